"""What may differ between two servers that are the same: rules, and texts masked by them.

Everything that no rule names is compared as text, so key order, spacing, escapes and the form of numbers
count. A part that a rule names is replaced by the rule's name, but only when it is plausible: a timestamp
of 12 digits stays as it is, and is a difference.
"""

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from livestream import contract
from livestream.parity.cases import Case


class Rule(NamedTuple):
    """A part of a message or body that may vary.

    `root` is a message type or the path of a REST request, `path` leads to the part (`payload.timestamp`,
    `validators[].stake`); both may hold `*`. `pattern` must match the whole JSON token (a string's quotes
    included), and a number must lie in [low, high). A group called `kept` is compared all the same.
    """

    name: str
    root: str
    path: str
    pattern: str
    low: float = float("-inf")
    high: float = float("inf")


_MILLISECONDS: Final = r"[1-9]\d{12}"
_UUID: Final = r'"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"'
_INTEGER: Final = r"0|[1-9]\d*"
#: A double as Java prints one that was rounded to two places.
_TWO_PLACES: Final = r"\d+\.(\d|\d[1-9])"
_INSTANT: Final = r'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3}|\.\d{6}|\.\d{9})?Z"'
#: A random non-negative 63-bit number, and then the validator's index (SPEC, "The validators service").
_PUBLIC_KEY: Final = r'"0x0{48}[0-7][0-9a-f]{15}(?P<kept>[0-9a-f]{16})"'

_STATS: Final = contract.BLOCKCHAIN_STATS_PATH
_VALIDATORS: Final = contract.VALIDATORS_PATH
_VALIDATOR: Final = f"{contract.VALIDATORS_PATH}/validator_*"


def _validator_rules(root: str, prefix: str) -> list[Rule]:
    """The figures of one validator, which its service simulates."""
    return [
        Rule("public key", root, f"{prefix}publicKey", _PUBLIC_KEY),
        Rule("uptime", root, f"{prefix}uptime", _TWO_PLACES, 80, 100.01),
        Rule("blocks", root, f"{prefix}blocksProduced", _INTEGER, 45_000),
        Rule("missed", root, f"{prefix}missedBlocks", _INTEGER),
        Rule("stake", root, f"{prefix}stake", _INTEGER),
        Rule("power", root, f"{prefix}votingPower", _TWO_PLACES, 0, 100.01),
        Rule("performance", root, f"{prefix}performance", _TWO_PLACES, 0, 100.01),
        Rule("instant", root, f"{prefix}lastBlockTime", _INSTANT),
        Rule("instant", root, f"{prefix}registeredAt", _INSTANT),
    ]


#: SPEC, "Messages" and "REST". The first rule that fits is the one that counts.
RULES: Final[tuple[Rule, ...]] = (
    Rule("instant", _VALIDATORS, "timestamp", _INSTANT),
    Rule("milliseconds", "*", "timestamp", _MILLISECONDS),
    Rule("milliseconds", contract.PONG, "payload.timestamp", _MILLISECONDS),
    Rule("milliseconds", contract.CONNECTION_ESTABLISHED, "payload.timestamp", _MILLISECONDS),
    Rule("uuid", contract.CONNECTION_ESTABLISHED, "payload.connectionId", _UUID),
    Rule("tps", contract.TPS_UPDATES.message_type, "payload.currentTPS", _INTEGER,
         contract.CURRENT_TPS.start, contract.CURRENT_TPS.stop),
    Rule("latency", contract.TPS_UPDATES.message_type, "payload.latency", _INTEGER,
         contract.LATENCY_MS.start, contract.LATENCY_MS.stop),
    Rule("milliseconds", _STATS, "latestBlockTimestamp", _MILLISECONDS),
    Rule("milliseconds", _STATS, "networkHealth.lastIncident", _MILLISECONDS),
    *_validator_rules(_VALIDATORS, "validators[]."),
    *_validator_rules(_VALIDATOR, ""),
    Rule("height", _VALIDATORS, "networkBlockHeight", _INTEGER, 1_500_000),
    Rule("height", contract.VALIDATORS_HEALTH_PATH, "networkBlockHeight", _INTEGER, 1_500_000),
    Rule("total stake", _VALIDATORS, "totalNetworkStake", _INTEGER),
)

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+|\s+|"', re.DOTALL)
_PUNCTUATION: Final = frozenset("{}[]:,")
_TYPE: Final = re.compile(r'\s*\{\s*"type"\s*:\s*"([a-z_]+)"')


def masked_message(text: str, rules: Sequence[Rule] = RULES) -> str:
    """A message of the stream with its varying parts masked; its root is its type."""
    return masked(text, message_root(text), rules)


def message_root(text: str) -> str:
    """The root of a message of the stream: its type, "" for what has none."""
    kind = _TYPE.match(text)
    return kind[1] if kind else ""


def body_root(case: Case) -> str:
    """The root of the answer to a REST request: its path."""
    return str((case.request or {}).get("path", "")).partition("?")[0].rstrip("/")


def masked(text: str, root: str, rules: Sequence[Rule] = RULES) -> str:
    """JSON text with what the rules name replaced by `<name>`. Text that is not JSON passes through."""
    relevant = [rule for rule in rules if fnmatchcase(root, rule.root)]
    return "".join(_mask(token, path, relevant) for token, path in tokens_with_paths(text))


def masked_token(token: str, root: str, path: str, rules: Sequence[Rule]) -> str:
    """One value of a text, masked by its root and path as `masked` does it."""
    return _mask(token, path, [rule for rule in rules if fnmatchcase(root, rule.root)])


def _mask(token: str, path: str | None, rules: Sequence[Rule]) -> str:
    if path is None:
        return token
    # In a path `[]` is an array, not one of fnmatch's character classes.
    rule = next((rule for rule in rules if fnmatchcase(path, rule.path.replace("[]", "[[]]"))), None)
    match = rule and re.fullmatch(rule.pattern, token)
    if not rule or not match or not _in_range(token, rule):
        return token
    return f"<{rule.name}>{match.groupdict().get('kept') or ''}"


def _in_range(token: str, rule: Rule) -> bool:
    """Only a number has a range; a string or a word such as `true` has none."""
    try:
        number = float(token)
    except ValueError:
        return True
    return rule.low <= number < rule.high


def tokens_with_paths(text: str) -> Iterator[tuple[str, str | None]]:
    """JSON text cut into tokens; with each value that is no object or array, the path that leads to it.

    A path is made of keys as they are written, joined by dots, and `[]` for an array. Never fails.
    """
    # One entry for each open object or array: the key being read, or None in an array.
    path: list[str | None] = []
    awaits_key = False
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in _PUNCTUATION:
            awaits_key = _follow(token, path, awaits_key)
            yield token, None
        elif token.isspace():
            yield token, None
        elif awaits_key and path:
            path[-1] = token[1:-1]
            yield token, None
        else:
            yield token, _joined(path)


def _follow(token: str, path: list[str | None], awaits_key: bool) -> bool:
    """Moves the path past a punctuation mark; whether a key comes next."""
    if token in "{[":
        path.append("" if token == "{" else None)
        return token == "{"
    if token in "}]" and path:
        path.pop()
        return False
    if token == ",":
        return bool(path) and path[-1] is not None
    return False


def _joined(path: Sequence[str | None]) -> str:
    joined = "".join("[]" if key is None else f".{key}" for key in path)
    return joined.removeprefix(".")
