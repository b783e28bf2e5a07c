"""Plays a session in real time, and records what comes."""

import time

from livestream.parity.cases import Session, SessionStep
from livestream.parity.playing.conversation import MAX_EVENTS
from livestream.parity.playing.target import STOP_LATENCY, NoAnswer, Target
from livestream.wire.client import Deadline, Event, Kind, WireClient, WireError
from livestream.wire.frames import Opcode, encode_close


def play_session(session: Session, target: Target) -> Session:
    """Sends what the session sent, each at its time, and records what arrives; as long as the session was.

    NoAnswer when there is no stream at all, or it floods; a connection that ends early, or `stop`, gives a
    shorter session.
    """
    steps: list[SessionStep] = []
    sends = [step for step in session.steps if step.dir == "send"]
    length = session.steps[-1].at if session.steps else 0.0
    with target.connect() as client:
        start = time.monotonic()
        for step in sends:
            _record_until(client, target, steps, start, step.at)
            if client.ended or target.stop.is_set() or not _send_step(client, step):
                break
            steps.append(SessionStep(_since(start, time.monotonic()), "send", step.text, step.close))
        # After a Close the recording ends with the connection, which may take a moment longer here.
        closes = any(step.close is not None for step in sends)
        _record_until(client, target, steps, start, length + (target.limits.answer if closes else 0))
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


def _record_until(
    client: WireClient, target: Target, steps: list[SessionStep], start: float, until: float,
) -> None:
    """Records what arrives until so many seconds after `start`, or until the target's `stop`."""
    deadline = Deadline(until - (time.monotonic() - start))
    while deadline.left and not client.exhausted and not target.stop.is_set():
        event = client.receive(min(deadline.left, STOP_LATENCY))
        if event is None:
            continue
        steps.append(_session_step(event, _since(start, event.at)))
        if event.kind is Kind.TEXT:
            target.watch(event.text)
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
