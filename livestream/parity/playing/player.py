"""Plays the corpus against any server that has a URL, and says what it observed in the corpus's own shape.

`play_case` plays one case of any kind, `play_each` many at a time. Everything here ends within the target's
limits, whatever the server does.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Any, Final

from livestream.parity.cases import Case, wire_bytes
from livestream.parity.playing.conversation import MAX_EVENTS, converse
from livestream.parity.playing.target import NoAnswer, Target
from livestream.wire.client import (
    Deadline, Event, Header, Kind, WireClient, WireError, handshake_request, http_request, parse_url,
)

#: The headers by which a server answers a handshake (RFC 6455, section 11.3); a container may add its own.
NEGOTIATED: Final = frozenset((
    "sec-websocket-accept", "sec-websocket-protocol", "sec-websocket-extensions", "sec-websocket-version",
))
#: So many cases of a kind in a row without an answer are enough to know.
MAX_UNANSWERED: Final = 12


@dataclass(frozen=True)
class Outcome:
    """What came of one case: an observation, or `error`, the sentence that says why there is none."""

    case: Case
    observed: dict[str, Any] | None
    error: str | None
    seconds: float


def play_message_case(case: Case, target: Target) -> dict[str, Any]:
    """A message or frame case, on a connection of its own. NoAnswer when its stream does not open."""
    with target.connect() as client:
        return converse(case, client, target)


def play_handshake_case(case: Case, target: Target) -> dict[str, Any]:
    """A handshake made as the case asks: `status`, `headers` (those of NEGOTIATED), `stream_opens`.

    WireError when the server can't be reached or doesn't answer in HTTP.
    """
    request = case.request or {}
    address = parse_url(target.url)
    data = handshake_request(
        address.host_header,
        method=request.get("method", "GET"),
        path=request.get("path", address.target),
        version=request.get("version", "1.1"),
        drop=request.get("drop", ()),
        add=[*_pairs(request.get("add", ())), *target.headers],
        replace=_pairs(request.get("rep", ())),
    )
    limits = target.limits
    wait = limits.answer if case.observed.get("stream_opens", True) else limits.missing
    with WireClient.open(target.url, timeout=limits.answer, ssl_context=target.ssl_context) as client:
        answer = client.handshake(data)
        event = client.receive(wait) if answer.status == 101 else None
        if event is not None and event.kind is Kind.TEXT:
            target.watch(event.text)
        headers = {name: value for name, value in answer.headers if name in NEGOTIATED}
        opens = event is not None and event.kind is Kind.TEXT
        return {"status": answer.status, "headers": headers, "stream_opens": opens}


def play_http_case(case: Case, target: Target) -> dict[str, Any]:
    """One REST request: `status`, `content_type`, `allow`, `access_control_allow_origin`, `body`.

    A header that is missing is None. WireError when there is no complete answer.
    """
    request = case.request or {}
    headers = [*request.get("headers", {}).items(), *target.headers]
    answer = http_request(
        target.url, request["method"], request["path"], headers, target.limits.answer, target.ssl_context)
    return {
        "status": answer.status,
        "content_type": answer.header("content-type"),
        "allow": answer.header("allow"),
        "access_control_allow_origin": answer.header("access-control-allow-origin"),
        "body": answer.body.decode(errors="replace"),
    }


def play_silence_case(case: Case, target: Target) -> dict[str, Any]:
    """`frames`: each within `limits.silence` seconds: ["PONG", hex], ["CLOSE", [code, reason]], ["EOF"]…

    Where frames of a stream are expected, no more than those are waited for. NoAnswer when the server can't
    be connected to, or floods.
    """
    frames: list[list[Any]] = []
    enough = len(case.observed.get("frames", ())) if _speaks(case) else MAX_EVENTS + 1
    with target.connect() as client:
        deadline = Deadline(target.limits.silence)
        try:
            client.send_raw(b"".join(wire_bytes(step) for step in case.send), read_meanwhile=True)
        except WireError:
            pass  # The server ended the connection meanwhile, and the frames will show it.
        while (event := client.receive(deadline.left)) is not None:
            frames.append(_frame_record(event))
            if event.kind is Kind.TEXT:
                target.watch(event.text)
            if len(frames) > MAX_EVENTS:
                raise NoAnswer(f"{target.url} sent more than {MAX_EVENTS} messages in one case.")
            if not deadline.left or len(frames) == enough:
                break
    return {"frames": frames}


def _speaks(case: Case) -> bool:
    return any(frame[0] == Kind.TEXT.name for frame in case.observed.get("frames", ()))


def _frame_record(event: Event) -> list[Any]:
    name = event.kind.name
    if event.kind in (Kind.EOF, Kind.RESET):
        return [name]
    if event.kind is Kind.CLOSE:
        return [name, [event.code, event.reason]]
    return [name, event.text if event.kind is Kind.TEXT else event.payload.hex()]


def _pairs(headers: Iterable[Iterable[str]]) -> list[Header]:
    """JSON has lists where headers are tuples."""
    return [(name, value) for name, value in headers]


_PLAYERS: Final[dict[str, Callable[[Case, Target], dict[str, Any]]]] = {
    "message": play_message_case,
    "frame": play_message_case,
    "silence": play_silence_case,
    "handshake": play_handshake_case,
    "http": play_http_case,
}


def play_case(case: Case, target: Target) -> dict[str, Any]:
    """One case of a corpus file: what was observed, in the corpus's shape. WireError when nothing was."""
    return _PLAYERS[case.kind](case, target)


class Patience:
    """How long a server that hangs is still waited for; each kind of cases has a patience of its own."""

    def __init__(self, limit: int = MAX_UNANSWERED) -> None:
        self._limit = limit
        #: Guards the counts.
        self._lock = threading.Lock()
        self._unanswered: Counter[str] = Counter()
        self._without_pong: Counter[str] = Counter()

    def lost(self, kind: str) -> bool:
        """Whether cases of this kind are no longer worth playing."""
        with self._lock:
            return self._unanswered[kind] >= self._limit

    def limits(self, kind: str, target: Target) -> Target:
        """The target, waited for less where it left so many closing pings unanswered."""
        with self._lock:
            patient = self._without_pong[kind] < self._limit
        short = replace(target.limits, answer=min(target.limits.answer, target.limits.missing))
        return target if patient else replace(target, limits=short)

    def note(self, kind: str, observed: dict[str, Any] | None) -> None:
        """What came of one case."""
        without_pong = observed is not None and observed.get("answers_ping_after") is False
        with self._lock:
            self._unanswered[kind] = self._unanswered[kind] + 1 if observed is None else 0
            self._without_pong[kind] = self._without_pong[kind] + 1 if without_pong else 0


def play_all(cases: Iterable[Case], target: Target, parallel: int = 8) -> list[Outcome]:
    """Plays cases as `play_each` does; the outcomes in the order of the cases."""
    cases = list(cases)
    place = {id(case): at for at, case in enumerate(cases)}
    return sorted(play_each(cases, target, parallel), key=lambda outcome: place[id(outcome.case)])


def play_each(cases: Iterable[Case], target: Target, parallel: int = 8) -> Iterator[Outcome]:
    """Plays cases, at most `parallel` at a time; each outcome as it comes.

    Whoever stops asking for outcomes stops the playing: no further case begins. After MAX_UNANSWERED cases
    of a kind in a row without an answer, the others of this kind aren't played.
    """
    patience = Patience()
    with ThreadPoolExecutor(parallel, thread_name_prefix="play") as pool:
        futures: list[Future[Outcome]] = [pool.submit(_outcome, case, target, patience) for case in cases]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            target.stop.set()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _outcome(case: Case, target: Target, patience: Patience) -> Outcome:
    if patience.lost(case.kind):
        return Outcome(case, None, f"Not played: {MAX_UNANSWERED} cases before it got no answer.", 0.0)
    start = time.monotonic()
    try:
        observed, error = play_case(case, patience.limits(case.kind, target)), None
    except WireError as failure:
        observed, error = None, str(failure)
    patience.note(case.kind, observed)
    return Outcome(case, observed, error, time.monotonic() - start)
