"""The flags and the three sets (SPEC, "Life of a connection", "As shipped", "As reported")."""

import ast
import json
from dataclasses import FrozenInstanceError, fields
from importlib.resources import files
from pathlib import Path

import pytest

import livestream
from livestream.stream.profiles import CORRECTED, FAULTS, ORIGINAL, PROFILES, SHIPPED

PACKAGE = Path(livestream.__file__).parent
MUTE = "refuses_blocking_sends"
AS_WRITTEN = {
    "starts_a_thread_per_subscribe", "confirms_unknown_channels", "ignores_unsubscribe",
    "leaves_threads_asleep", "keeps_registry_entries", "counts_errors_twice", "sleeps_a_fixed_delay",
}


def flags_of(profile):
    return {name for name in FAULTS if getattr(profile, name)}


def test_the_three_sets():
    assert flags_of(CORRECTED) == set()
    assert flags_of(ORIGINAL) == AS_WRITTEN
    assert flags_of(SHIPPED) == AS_WRITTEN | {MUTE}


def test_the_three_are_found_by_name_with_the_default_first():
    assert list(PROFILES) == ["original", "shipped", "corrected"]
    assert list(PROFILES.values()) == [ORIGINAL, SHIPPED, CORRECTED]
    assert all(name == profile.name for name, profile in PROFILES.items())


def test_every_field_but_the_name_is_a_flag():
    assert [field.name for field in fields(ORIGINAL)] == ["name", *FAULTS]
    assert set(FAULTS) == AS_WRITTEN | {MUTE}


def test_a_profile_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        ORIGINAL.ignores_unsubscribe = False


@pytest.mark.parametrize("flag", FAULTS)
def test_a_flag_says_what_it_does_what_was_promised_and_what_shows_it(flag):
    does, promised, shown_by = FAULTS[flag]
    assert does.endswith(".") and promised.endswith(".") and shown_by
    assert len({does, promised, shown_by}) == 3


def corpus_lines(name):
    return (files("livestream.parity") / "corpus" / name).read_text("utf-8").splitlines()


@pytest.mark.parametrize("flag", FAULTS)
def test_what_shows_a_flag_is_in_the_corpus_or_said_not_to_be(flag):
    for place in FAULTS[flag].shown_by.split("; "):
        name, _, case = place.partition(": ")
        if name == "not on the wire":
            assert case.startswith("SPEC, ")
            continue
        lines = corpus_lines(name)
        if name == "messages.jsonl":
            assert case in {json.loads(line).get("case") for line in lines}


# Code asks for a flag, never for a profile.

CONSTANTS = {"ORIGINAL", "SHIPPED", "CORRECTED"}


def is_profile(node):
    """Whether an expression says by its last name that it is a profile."""
    last = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return last in CONSTANTS or last.lstrip("_") == "profile"


def name_uses(tree):
    """Every `profile.name`, with the node that it is an operand of."""
    for parent in ast.walk(tree):
        for child in ast.iter_child_nodes(parent):
            if isinstance(child, ast.Attribute) and child.attr == "name" and is_profile(child.value):
                yield child, parent


def decisions(tree):
    """Every comparison, match and truth test of a whole profile."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and any(map(is_profile, [node.left, *node.comparators])):
            yield node
        elif isinstance(node, ast.Match) and is_profile(node.subject):
            yield node
        elif isinstance(node, (ast.If, ast.IfExp, ast.While)) and is_profile(node.test):
            yield node


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(PACKAGE)) for path in MODULES])
def test_no_code_compares_profiles_and_a_profiles_name_is_only_shown(path):
    tree = ast.parse(path.read_text("utf-8"))
    assert [node.lineno for node in decisions(tree)] == []
    shown = (ast.FormattedValue, ast.Dict, ast.DictComp)
    assert [node.lineno for node, parent in name_uses(tree) if not isinstance(parent, shown)] == []


@pytest.mark.parametrize("code", [
    "if profile == ORIGINAL: pass", "self._profile is SHIPPED", "x if settings.profile in (A, B) else y",
    "match profile:\n case _: pass", "if profile: pass",
])
def test_the_check_sees_a_comparison(code):
    assert list(decisions(ast.parse(code)))


@pytest.mark.parametrize("code", [
    "profile.name == 'original'", "table[self._profile.name]", "if ORIGINAL.name: pass",
    "f(settings.profile.name)",
])
def test_the_check_sees_a_name_that_decides(code):
    assert [parent for _, parent in name_uses(ast.parse(code)) if not isinstance(parent, ast.FormattedValue)]
