"""One message or frame case, played: what was seen, and when enough was seen.

Messages of one connection are answered in order (SPEC, "Life of a connection", 5), so the pong of a closing
ping ends the replies. Which pong is the closing ping's can't be told by its looks: it is the last one. How
long to go on listening then depends on whether everything came that was recorded or promised. What was
recorded only ever sets the pace, never the result.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from livestream import contract
from livestream.parity.cases import Case, Record, wire_bytes
from livestream.parity.playing.target import STOP_LATENCY, Limits, NoAnswer, Target, Watch, unwatched
from livestream.wire.client import Deadline, Event, Kind, WireClient, WireError
from livestream.wire.frames import Opcode, encode_close

CLOSING_PING: Final = '{"type":"ping"}'
#: A server that sends more than this in one case is flooding; memory must not follow it.
MAX_EVENTS: Final = 20_000

_UPDATES_OF_CHANNEL: Final = {channel.name: channel.message_type for channel in contract.CHANNELS}
_CLOSING_PING_FRAME: Final = {"opcode": Opcode.TEXT, "payload_hex": CLOSING_PING.encode().hex()}
_ENDS: Final = (Kind.EOF, Kind.RESET)


@dataclass
class Seen:
    """What arrived on one connection, sorted as the corpus has it."""

    url: str
    replies: list[str] = field(default_factory=list)
    pongs: int = 0
    updates: set[str] = field(default_factory=set)
    #: Update types that a confirmed subscription promised.
    promised: set[str] = field(default_factory=set)
    control: list[dict[str, str]] = field(default_factory=list)
    close: dict[str, Any] | None = None
    ended: bool = False
    welcomed: bool = False
    faults: list[str] = field(default_factory=list)
    watch: Watch = unwatched
    stop: threading.Event = field(default_factory=threading.Event)
    _count: int = 0

    @property
    def opened(self) -> bool:
        """The welcome came, and the channel that starts by itself has started."""
        return self.welcomed and contract.INITIAL_CHANNEL.message_type in self.updates

    def add(self, event: Event) -> None:
        """Sorts one event in. NoAnswer when it is one too many."""
        self._count += 1
        if self._count > MAX_EVENTS:
            raise NoAnswer(f"{self.url} sent more than {MAX_EVENTS} messages in one case.")
        if event.kind is Kind.TEXT:
            self._add_text(event.text)
        elif event.kind is Kind.BINARY:
            self.replies.append(f"(binary) {event.payload.hex()}")
        elif event.kind is Kind.CLOSE:
            self.close = {"code": event.code, "reason": event.reason}
        elif event.kind in _ENDS:
            self.ended = True
        else:
            self.control.append({"opcode": event.kind.name, "payload_hex": event.payload.hex()})

    def _add_text(self, text: str) -> None:
        self.watch(text)
        message = read_message(text)
        kind = message.get("type")
        if kind in contract.UPDATE_TYPES:
            self._add_update(kind)
        elif kind == contract.CONNECTION_ESTABLISHED and not self.welcomed:
            self.welcomed = True
        else:
            self.replies.append(text)
            self.pongs += kind == contract.PONG
            if kind == contract.SUBSCRIPTION_CONFIRMED:
                self._add_confirmation(message)

    def _add_update(self, kind: str) -> None:
        unasked = contract.INITIAL_CHANNEL.message_type
        if kind not in self.updates | self.promised | {unasked}:
            self.faults.append(f"{kind} came before its subscription was confirmed")
        self.updates.add(kind)

    def _add_confirmation(self, message: dict[str, Any]) -> None:
        payload = message.get("payload")
        channel = payload.get("channel") if isinstance(payload, dict) else None
        if isinstance(channel, str) and channel in _UPDATES_OF_CHANNEL:
            self.promised.add(_UPDATES_OF_CHANNEL[channel])

    def observed(self) -> dict[str, Any]:
        """The observation in the corpus's shape; `faults` is added only where the server broke a rule."""
        replies, faults_seen = list(self.replies), list(self.faults)
        if self.pongs and not self.ended:
            closing = _last_pong(replies)
            if closing < len(replies) - 1:
                faults_seen.append("a reply came after the pong of a later ping")
            del replies[closing]
        faults = {"faults": faults_seen} if faults_seen else {}
        return {
            "replies": replies,
            "updates_started": sorted(self.updates - {contract.INITIAL_CHANNEL.message_type}),
            "control": self.control,
            "close": self.close,
            "connection_ended": self.ended,
            "answers_ping_after": None if self.ended else self.pongs > 0,
            **faults,
        }


def read_message(text: str) -> dict[str, Any]:
    """A message as a dictionary; an empty one for text that is no JSON object."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def _last_pong(replies: list[str]) -> int:
    pongs = [number for number, text in enumerate(replies) if is_pong(text)]
    return pongs[-1]


def is_pong(text: str) -> bool:
    """Whether this text is the answer to a ping message."""
    return read_message(text).get("type") == contract.PONG


def converse(case: Case, client: WireClient, target: Target) -> dict[str, Any]:
    """Plays a message or frame case on a fresh connection; the observation in the corpus's shape.

    NoAnswer when the stream doesn't open, or floods.
    """
    seen, limits = Seen(client.url, watch=target.watch, stop=target.stop), target.limits
    _wait_for_opening(client, seen, limits)
    _try_to_send(client, b"".join(wire_bytes(step) for step in case.send))
    if case.observed.get("connection_ended"):
        # A ping into a connection that is about to end could turn its end into a reset.
        listen(client, seen, lambda: False, limits.missing)
    elif _may_end(case):
        listen(client, seen, lambda: bool(seen.close), limits.settle)
        if seen.close:
            wait_for_end(client, seen, limits)
    if not seen.ended:
        _ask_whether_it_still_answers(case, client, seen, limits)
    seen.faults += client.faults
    return seen.observed()


def _may_end(case: Case) -> bool:
    """Whether nothing is recorded and its frames may end the connection; a text message doesn't."""
    return not case.observed and any("text" not in step for step in case.send)


def _wait_for_opening(client: WireClient, seen: Seen, limits: Limits) -> None:
    listen(client, seen, lambda: seen.opened, limits.answer)
    if seen.opened:
        return
    if seen.ended:
        raise NoAnswer(f"{client.url} ended the connection before the welcome and the first update.")
    raise NoAnswer(f"{client.url} sent no welcome and first update within {limits.answer:g} s.")


def _ask_whether_it_still_answers(case: Case, client: WireClient, seen: Seen, limits: Limits) -> None:
    _try_to_send(client, _closing_ping_bytes())
    pings_before = sum(map(_is_ping, case.send))
    listen(client, seen, lambda: bool(seen.pongs > pings_before or seen.close), limits.answer)
    if not seen.close:
        listen(client, seen, lambda: _complete(case, seen), limits.missing)
        as_recorded = case.observed and not seen.promised and _complete(case, seen)
        listen(client, seen, lambda: False, limits.grace if as_recorded else limits.settle)
    if seen.close and not seen.ended:
        wait_for_end(client, seen, limits)


def _is_ping(step: Record) -> bool:
    """Whether a step says just what the closing ping says, in a frame of its own."""
    return step.get("text") == CLOSING_PING or step.get("frame") == _CLOSING_PING_FRAME


def _closing_ping_bytes() -> bytes:
    return wire_bytes({"text": CLOSING_PING})


def _complete(case: Case, seen: Seen) -> bool:
    """Whether all came that was recorded, or promised by a confirmation, and the closing ping's pong."""
    recorded = case.observed
    return (
        len(seen.replies) > len(recorded.get("replies", ()))
        and seen.pongs > sum(map(is_pong, recorded.get("replies", ())))
        and len(seen.control) >= len(recorded.get("control", ()))
        and seen.updates >= seen.promised | set(recorded.get("updates_started", ()))
    )


def listen(client: WireClient, seen: Seen, done: Callable[[], bool], seconds: float) -> None:
    """Takes in what arrives until `done`, the connection's end, `stop`, or so many seconds have passed.

    NoAnswer when it is a flood.
    """
    deadline = Deadline(seconds)
    while not (done() or seen.ended or client.exhausted or seen.stop.is_set()):
        event = client.receive(min(deadline.left, STOP_LATENCY))
        if event is not None:
            seen.add(event)
        if not deadline.left:
            return


def wait_for_end(client: WireClient, seen: Seen, limits: Limits) -> None:
    """After a Close frame: the server should end the connection; if it waits for our Close, it gets it."""
    listen(client, seen, lambda: False, limits.settle)
    if not seen.ended and seen.close:
        code = seen.close["code"]
        answer = encode_close(None if code == contract.CLOSE_NO_STATUS else code)
        try:
            client.send_frame(Opcode.CLOSE, answer)
        except WireError:
            pass  # It ended in this moment, as the next line will see.
        listen(client, seen, lambda: False, limits.answer)


def _try_to_send(client: WireClient, data: bytes) -> None:
    """Sends; a server that has ended the connection meanwhile is no error, its frames still count."""
    try:
        client.send_raw(data, read_meanwhile=True)
    except WireError:
        pass
