"""Rules of one's own: the built-in ones survive the form of the file, own ones win, mistakes are named."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livestream.parity.judging.rules import RULES, Rule, masked_message
from livestream.parity.judging.rulesfile import RuleError, load_rules, rules_text

RULE = {"name": "mine", "root": "pong", "path": "payload.timestamp", "pattern": r"\d+"}


def written(tmp_path, text):
    path = tmp_path / "own rules.toml"
    path.write_text(text, encoding="utf-8")
    return path


def table(**changes):
    """One [[rule]] as a file; a change to None leaves a field out."""
    fields = {name: value for name, value in (RULE | changes).items() if value is not None}
    return "\n".join(["[[rule]]", *(f"{name} = {json.dumps(value)}" for name, value in fields.items())])


# --- there and back


def test_the_built_in_rules_read_back_as_they_were(tmp_path):
    path = written(tmp_path, rules_text())
    assert load_rules(path) == (*RULES, *RULES)
    assert rules_text() == rules_text(RULES)


def test_an_infinite_bound_is_left_out(tmp_path):
    without = Rule("a", "b", "c", "d")
    rules = (without, without._replace(low=0, high=0.5), without._replace(high=-1))
    text = rules_text(rules)
    assert "inf" not in text
    assert re.findall(r"^(?:low|high) = .*", text, re.M) == ["low = 0", "high = 0.5", "high = -1"]
    assert load_rules(written(tmp_path, text))[:3] == rules


TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
BOUNDS = st.integers(-2**53, 2**53) | st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.builds(Rule, TEXTS, TEXTS, TEXTS, TEXTS.map(re.escape), BOUNDS, BOUNDS), max_size=3))
def test_any_rules_read_back_as_they_were(tmp_path_factory, rules):
    path = tmp_path_factory.mktemp("rules") / "rules.toml"
    path.write_text(rules_text(rules), encoding="utf-8")
    assert load_rules(path) == (*rules, *RULES)


def test_a_file_of_nothing_adds_nothing(tmp_path):
    assert load_rules(written(tmp_path, "")) == RULES
    assert load_rules(str(written(tmp_path, "# later\n"))) == RULES


# --- own rules come first


PONG = '{"type":"pong","payload":{"timestamp":%s},"timestamp":1795422278951}'


def test_an_own_rule_wins_at_its_place(tmp_path):
    rules = load_rules(written(tmp_path, table(high=10)))
    assert rules == (Rule(**RULE, high=10), *RULES)
    assert masked_message(PONG % 7, rules) == (
        '{"type":"pong","payload":{"timestamp":<mine>},"timestamp":<milliseconds>}')
    # Also where it is stricter than the built-in one, which would have taken this.
    assert "<milliseconds>}," not in masked_message(PONG % 1795422278950, rules)
    assert "<milliseconds>}," in masked_message(PONG % 1795422278950)


def test_the_first_of_two_own_rules_wins(tmp_path):
    rules = load_rules(written(tmp_path, table(name="first") + "\n" + table(name="second")))
    assert [rule.name for rule in rules[:2]] == ["first", "second"]
    assert "<first>" in masked_message(PONG % 7, rules)


def test_a_rule_may_name_words(tmp_path):
    """`true` is in no range, and is no number either."""
    rules = load_rules(written(tmp_path, table(path="ok", pattern="true|false", low=5)))
    assert masked_message('{"type":"pong","ok":true}', rules) == '{"type":"pong","ok":<mine>}'
    assert masked_message('{"type":"pong","ok":null}', rules) == '{"type":"pong","ok":null}'


# --- mistakes


def complaint(path):
    with pytest.raises(RuleError) as caught:
        load_rules(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert text.endswith(".") and not text.endswith("..") and "\n" not in text
    return text.removeprefix(str(path))


@pytest.mark.parametrize("changes, words", [
    ({"pattern": None}, ": rule 2 lacks pattern, or it is no string."),
    ({"name": None, "root": None}, ": rule 2 lacks name, root, or it is no string."),
    ({"path": 5}, ": rule 2 lacks path, or it is no string."),
    ({"place": "x", "also": "y"}, ": rule 2 has unknown fields: also, place."),
    ({"low": "1"}, ": rule 2: low and high are numbers."),
    ({"high": [1]}, ": rule 2: low and high are numbers."),
    ({"low": True}, ": rule 2: low and high are numbers."),
    ({"pattern": "("}, ": rule 2: the pattern is no regular expression: missing ), unterminated subpattern"),
    ({"pattern": "a{99999999999}"}, ": rule 2: the pattern is no regular expression: "),
    ({"pattern": "(" * 5000 + ")" * 5000}, ": rule 2: the pattern is no regular expression: "),
])
def test_a_mistake_in_a_rule_is_named(tmp_path, changes, words):
    path = written(tmp_path, f"{table()}\n{table(**changes)}")
    assert complaint(path).startswith(words)


@pytest.mark.parametrize("text, words", [
    ("[rule]\nname = 'x'", ": write [[rule]] tables, and nothing else."),
    ("rule = [1]", ": write [[rule]] tables, and nothing else."),
    ("rule = 'x'", ": write [[rule]] tables, and nothing else."),
    ("[[rules]]", ": write [[rule]] tables, and nothing else."),
    (f"more = 1\n{table()}", ": write [[rule]] tables, and nothing else."),
    ("[[rule]", " can't be read: "),
    ("rule = 1\nrule = 2", " can't be read: "),
])
def test_a_mistake_in_the_file_is_named(tmp_path, text, words):
    assert complaint(written(tmp_path, text)).startswith(words)


def test_a_file_that_is_not_there_or_no_text(tmp_path):
    assert complaint(tmp_path / "nowhere.toml").startswith(" can't be read: ")
    assert complaint(tmp_path).startswith(" can't be read: ")
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe")
    assert complaint(path).startswith(" can't be read: ")
