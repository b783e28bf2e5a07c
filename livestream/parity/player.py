"""Plays the corpus against any server that has a URL, and says what it observed in the corpus's own shape.

`play_case` plays one case of any kind, `play_all` many at a time, `play_session` a session in real time.
Everything here ends within the target's limits, whatever the server does.
"""

import ssl
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, Final

from livestream.parity.cases import Case, Session, SessionStep, wire_bytes
from livestream.parity.conversation import MAX_EVENTS, Limits, NoAnswer, converse
from livestream.wire.client import (
    Deadline, Event, Header, Kind, WireClient, WireError, handshake_request, http_request, parse_url,
)
from livestream.wire.frames import Opcode, encode_close

__all__ = [
    "Limits", "NoAnswer", "Outcome", "Target", "play_all", "play_case", "play_handshake_case",
    "play_http_case", "play_message_case", "play_session", "play_silence_case",
]


@dataclass(frozen=True)
class Target:
    """The server to play against: its URL, what it wants besides, and how long to wait for it."""

    url: str
    headers: tuple[Header, ...] = ()
    ssl_context: ssl.SSLContext | None = None
    limits: Limits = Limits()

    def connect(self) -> WireClient:
        """A client after its handshake. NoAnswer when there is none to be had."""
        try:
            return WireClient.connect(
                self.url, timeout=self.limits.answer, headers=self.headers, ssl_context=self.ssl_context)
        except WireError as error:
            raise NoAnswer(str(error)) from error


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
        return converse(case, client, target.limits)


def play_handshake_case(case: Case, target: Target) -> dict[str, Any]:
    """A handshake made as the case asks. NoAnswer when the server answers nothing."""
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
        headers = {name: value for name, value in answer.headers if name.startswith("sec-websocket-")}
        opens = event is not None and event.kind is Kind.TEXT
        return {"status": answer.status, "headers": headers, "stream_opens": opens}


def play_http_case(case: Case, target: Target) -> dict[str, Any]:
    """One REST request. NoAnswer when there is no complete answer."""
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
    """Every frame within `limits.silence` seconds: ["PONG", hex], ["CLOSE", [code, reason]], ["EOF"]…"""
    frames: list[list[Any]] = []
    with target.connect() as client:
        deadline = Deadline(target.limits.silence)
        try:
            client.send_raw(b"".join(wire_bytes(step) for step in case.send), read_meanwhile=True)
        except WireError:
            pass  # The server ended the connection meanwhile, and the frames will show it.
        while (event := client.receive(deadline.left)) is not None:
            frames.append(_frame_record(event))
            if len(frames) > MAX_EVENTS:
                raise NoAnswer(f"{target.url} sent more than {MAX_EVENTS} messages in one case.")
            if not deadline.left:
                break
    return {"frames": frames}


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
    """One case of any kind: what was observed, in the corpus's shape. WireError when nothing was."""
    return _PLAYERS[case.kind](case, target)


def play_all(
    cases: Iterable[Case],
    target: Target,
    parallel: int = 8,
    on_done: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Plays cases, at most `parallel` at a time; the outcomes in the order of the cases.

    `on_done` is called in this thread for each outcome as it comes; when it raises, no further case begins.
    """
    with ThreadPoolExecutor(parallel, thread_name_prefix="play") as pool:
        futures: list[Future[Outcome]] = [pool.submit(_outcome, case, target) for case in cases]
        try:
            for future in as_completed(futures):
                on_done(future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in futures]


def _outcome(case: Case, target: Target) -> Outcome:
    start = time.monotonic()
    try:
        observed, error = play_case(case, target), None
    except WireError as failure:
        observed, error = None, str(failure)
    return Outcome(case, observed, error, time.monotonic() - start)


def play_session(session: Session, target: Target) -> Session:
    """Sends what the session sent, each at its time, and records what arrives; as long as the session was.

    NoAnswer when there is no stream at all; a connection that ends early gives a shorter session.
    """
    steps: list[SessionStep] = []
    sends = [step for step in session.steps if step.dir == "send"]
    length = session.steps[-1].at if session.steps else 0.0
    with target.connect() as client:
        start = time.monotonic()
        for step in sends:
            _record_until(client, steps, start, step.at)
            if client.ended or not _send_step(client, step):
                break
            steps.append(SessionStep(_since(start, time.monotonic()), "send", step.text, step.close))
        # After a Close the recording ends with the connection, which may take a moment longer here.
        closes = any(step.close is not None for step in sends)
        _record_until(client, steps, start, length + (target.limits.answer if closes else 0))
    return Session(session.name, session.header, tuple(steps))


def _send_step(client: WireClient, step: SessionStep) -> bool:
    """False when the connection is gone."""
    try:
        if step.text is not None:
            client.send_text(step.text)
        elif step.close is not None:
            client.send_frame(Opcode.CLOSE, encode_close(step.close))
        return True
    except WireError:
        return False


def _record_until(client: WireClient, steps: list[SessionStep], start: float, until: float) -> None:
    """Records what arrives until so many seconds after `start`."""
    deadline = Deadline(until - (time.monotonic() - start))
    while deadline.left and (event := client.receive(deadline.left)) is not None:
        steps.append(_session_step(event, _since(start, event.at)))
        if len(steps) > MAX_EVENTS:
            raise NoAnswer(f"{client.url} sent more than {MAX_EVENTS} messages in one session.")
        if event.kind is Kind.PING:
            _try_to_answer(client, event)


def _try_to_answer(client: WireClient, ping: Event) -> None:
    try:
        client.send_frame(Opcode.PONG, ping.payload)
    except WireError:
        pass  # It is gone, which the next event will say.


def _session_step(event: Event, at: float) -> SessionStep:
    if event.kind is Kind.TEXT:
        return SessionStep(at, "recv", text=event.text)
    if event.kind is Kind.CLOSE:
        return SessionStep(at, "recv", close=event.code)
    return SessionStep(at, "recv", event=event.kind.value)


def _since(start: float, at: float) -> float:
    return round(at - start, 3)
