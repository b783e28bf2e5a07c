"""Messages as a client sees them: read from the stream, made from a poll, or written by itself.

Source: SPEC, "Messages" and "The portal client".
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isinf
from types import MappingProxyType
from typing import Any, Final, TypeGuard

from livestream import contract


@dataclass(frozen=True)
class Message:
    """One message of the stream; `timestamp` and `received` in milliseconds since 1970.

    `polled`: made from the blockchain statistics. `replayed`: kept by the server and sent again.
    """

    #: As in the table of SPEC, "Messages": `tps_update`, `pong`, …
    type: str
    payload: Mapping[str, Any]
    #: The server's time, in milliseconds since 1970.
    timestamp: int
    #: This machine's time when it came, in milliseconds since 1970.
    received: int = 0
    #: True for a `tps_update` that was made from the blockchain statistics, not sent by the stream.
    polled: bool = False
    #: True for an update that the server kept and sent again, for a client that was away.
    replayed: bool = False

    def as_json(self) -> str:
        """One line of compact JSON, keys in the contract's order, then `"polled":true` or `replayed`."""
        members = {"type": self.type, "payload": self.payload, "timestamp": self.timestamp}
        if self.polled:
            members["polled"] = True
        if self.replayed:
            members[contract.REPLAYED] = True
        return json.dumps(members, separators=(",", ":"), ensure_ascii=False)


def read_message(text: str, received: int) -> Message | None:
    """The message that a text holds, `received` in milliseconds since 1970.

    None when it is no JSON, or not of the stream's shape.
    """
    members = _read_object(text)
    message_type, payload, timestamp = (members.get(name) for name in ("type", "payload", "timestamp"))
    if isinstance(message_type, str) and isinstance(payload, dict) and _is_integer(timestamp):
        return Message(
            message_type, payload, timestamp, received, replayed=members.get(contract.REPLAYED) is True)
    return None


def read_statistics(text: str, received: int) -> Message | None:
    """Blockchain statistics as a `tps_update` that is marked as polled; None when they hold no such figures.

    `received` in milliseconds since 1970. `latency` is their `averageLatency` in
    milliseconds, and may have a fraction.
    """
    members = _read_object(text)
    statistics, performance = members.get("transactionStats"), members.get("performance")
    if not isinstance(statistics, dict) or not isinstance(performance, dict):
        return None
    payload = {name: statistics.get(name) for name in ("currentTPS", "peakTPS", "averageTPS")}
    payload["latency"] = performance.get("averageLatency")
    timestamp = members.get("timestamp")
    if not _is_integer(timestamp) or not all(_is_number(value) for value in payload.values()):
        return None
    return Message(contract.TPS_UPDATES.message_type, payload, timestamp, received, polled=True)


def subscribe_text(channel: str, options: Mapping[str, object] = MappingProxyType({})) -> str:
    """The client's `subscribe`, with the channel where the server looks for it: beside the type.

    `options` are keys of the server's extensions.
    """
    return _compact({"type": contract.SUBSCRIBE, "channel": channel, **options})


def unsubscribe_text(channel: str) -> str:
    """The client's `unsubscribe`."""
    return _compact({"type": contract.UNSUBSCRIBE, "channel": channel})


#: The client's `ping` message; a Ping frame is another thing.
PING_TEXT: Final = f'{{"type":"{contract.PING}"}}'


def _compact(members: Mapping[str, object]) -> str:
    # Escaped, so that a lone surrogate can be sent too.
    return json.dumps(members, separators=(",", ":"))


def _read_object(text: str) -> dict[str, Any]:
    """The object that a text holds; an empty one when it holds none."""
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if isinf(number):
        raise ValueError("a number that can't be written as JSON again")
    return number


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
