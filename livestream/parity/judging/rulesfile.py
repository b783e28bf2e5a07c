"""Rules of a user's own: read from a TOML file, and the built-in ones shown in the same form."""

import json
import math
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from livestream.parity.judging.rules import RULES, Rule

_NEEDED: Final = ("name", "root", "path", "pattern")
_BOUNDS: Final = ("low", "high")


class RuleError(ValueError):
    """A file of rules can't be used; the text names the file and the rule."""


def load_rules(path: str | Path) -> tuple[Rule, ...]:
    """The rules of a file, and then the built-in ones: the first that fits a place is the one that counts.

    The file holds [[rule]] tables with the fields of rules.Rule, low and high optional. RuleError
    for a file that can't be used.
    """
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RuleError(f"{path} can't be read: {error}.") from error
    entries = data.get("rule", [])
    if data.keys() - {"rule"} or not _are_tables(entries):
        raise RuleError(f"{path}: write [[rule]] tables, and nothing else.")
    return (*(_rule(f"{path}: rule {number}", entry) for number, entry in enumerate(entries, 1)), *RULES)


def _are_tables(entries: Any) -> bool:
    return isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)


def _rule(where: str, entry: dict[str, Any]) -> Rule:
    missing = [name for name in _NEEDED if not isinstance(entry.get(name), str)]
    if missing:
        raise RuleError(f"{where} lacks {', '.join(missing)}, or it is no string.")
    unknown = sorted(entry.keys() - {*_NEEDED, *_BOUNDS})
    if unknown:
        raise RuleError(f"{where} has unknown fields: {', '.join(unknown)}.")
    if not all(type(entry.get(bound, 0)) in (int, float) for bound in _BOUNDS):
        raise RuleError(f"{where}: low and high are numbers.")
    try:
        re.compile(entry["pattern"])
    except (re.error, OverflowError, RecursionError) as error:
        raise RuleError(f"{where}: the pattern is no regular expression: {error}.") from error
    return Rule(**entry)


def rules_text(rules: Sequence[Rule] = RULES) -> str:
    """Rules as a file that `load_rules` reads."""
    return "\n\n".join(_table(rule) for rule in rules) + "\n"


def _table(rule: Rule) -> str:
    strings = [f"{name} = {_string(getattr(rule, name))}" for name in _NEEDED]
    bounds = [
        f"{name} = {getattr(rule, name)!r}" for name in _BOUNDS if math.isfinite(getattr(rule, name))]
    return "\n".join(("[[rule]]", *strings, *bounds))


def _string(text: str) -> str:
    """A string of TOML: one of JSON, but without surrogates, and DEL is a control character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
