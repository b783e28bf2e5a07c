"""A session as a server answers it that has some of the original's faults and not others.

SPEC, "Life of a connection" and "As reported", put on a time line: what is sent stays as recorded, what is
received is made from it. Texts of updates, the welcome and the end are the recording's own.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from livestream import contract
from livestream.parity.cases import Session, SessionStep
from livestream.parity.judging.expectations import AS_RECORDED, SAMPLE_TIME, Faults, message
from livestream.parity.judging.figures import mean_interval, runs
from livestream.parity.playing.conversation import read_message

#: A reply comes this long after its request, and an update this long after its confirmation, in seconds.
REPLY_DELAY: Final = 0.002
_TIMESTAMP: Final = re.compile(r'"timestamp":\d+\}$')
_CHANNELS: Final = {channel.name: channel for channel in contract.CHANNELS}


def expected_session(recorded: Session, faults: Faults) -> Session:
    """What a server with these faults gives in place of a session of the original."""
    if faults == AS_RECORDED:
        return recorded
    return Session(recorded.name, recorded.header, tuple(_Model(recorded, faults).steps()))


class _Model:
    """One connection: which channels send from when to when, and what is answered meanwhile."""

    def __init__(self, recorded: Session, faults: Faults) -> None:
        self._recorded = recorded
        self._faults = faults
        self._steps: list[SessionStep] = []
        #: Of each thread that is sending: its channel and since when.
        self._sending: list[tuple[contract.ChannelContract, float]] = []
        self._answers = {
            contract.PING: self._ping, contract.SUBSCRIBE: self._subscribe,
            contract.UNSUBSCRIBE: self._unsubscribe,
        }

    def steps(self) -> list[SessionStep]:
        """The whole session in the order of time."""
        welcome, first, *_ = [step for step in self._recorded.steps if step.dir == "recv"]
        self._steps.append(welcome)
        self._start(contract.INITIAL_CHANNEL, first.at)
        for step in self._recorded.steps:
            if step.dir == "send":
                self._steps.append(step)
                self._answer(step)
        last = self._recorded.steps[-1].at
        for channel, since in self._sending:
            self._add_updates(channel, since, last)
        self._steps += [step for step in self._recorded.steps if step.dir == "recv" and step.text is None]
        return sorted(self._steps, key=lambda step: step.at)

    def _answer(self, step: SessionStep) -> None:
        if step.text is None:
            return
        try:
            request = json.loads(step.text)
        except ValueError:
            self._reply(step.at, contract.ERROR, {"error": contract.INVALID_MESSAGE_FORMAT})
            return
        answer = self._answers.get(str(request.get("type"))) if isinstance(request, dict) else None
        if answer is not None:
            answer(step.at, request)

    def _ping(self, at: float, request: dict[str, Any]) -> None:
        self._reply(at, contract.PONG, {"timestamp": SAMPLE_TIME})

    def _subscribe(self, at: float, request: dict[str, Any]) -> None:
        name = request.get("channel")
        if name is None:
            self._reply(at, contract.ERROR, {"error": contract.CHANNEL_NOT_SPECIFIED})
        elif name not in _CHANNELS and "confirms_unknown_channels" not in self._faults:
            self._reply(at, contract.ERROR, {"error": contract.UNKNOWN_CHANNEL + name})
        else:
            status = {"channel": name, "status": contract.STATUS_SUBSCRIBED}
            self._reply(at, contract.SUBSCRIPTION_CONFIRMED, status)
            self._subscribe_to(name, at + 2 * REPLY_DELAY)

    def _subscribe_to(self, name: str, at: float) -> None:
        if name not in _CHANNELS:
            return
        has_one = any(channel.name == name for channel, _ in self._sending)
        if not has_one or "starts_a_thread_per_subscribe" in self._faults:
            self._start(_CHANNELS[name], at)

    def _unsubscribe(self, at: float, request: dict[str, Any]) -> None:
        name = request.get("channel")
        if name is None or "ignores_unsubscribe" in self._faults:
            return
        for channel, since in self._sending:
            if channel.name == name:
                self._add_updates(channel, since, at)
        self._sending = [entry for entry in self._sending if entry[0].name != name]
        status = {"channel": name, "status": contract.STATUS_UNSUBSCRIBED}
        self._reply(at, contract.UNSUBSCRIPTION_CONFIRMED, status)

    def _reply(self, at: float, message_type: str, payload: dict[str, Any]) -> None:
        self._steps.append(SessionStep(at + REPLY_DELAY, "recv", text=message(message_type, payload)))

    def _start(self, channel: contract.ChannelContract, at: float) -> None:
        self._sending.append((channel, at))

    def _add_updates(self, channel: contract.ChannelContract, since: float, until: float) -> None:
        text = next(step.text for step in self._updates(channel))
        interval = self._interval(channel)
        at = since
        while at < until:
            self._steps.append(SessionStep(round(at, 3), "recv", text=_stamped(text or "", at)))
            at += interval

    def _updates(self, channel: contract.ChannelContract) -> Iterator[SessionStep]:
        for step in self._recorded.steps:
            if step.dir == "recv" and read_message(step.text or "").get("type") == channel.message_type:
                yield step

    def _interval(self, channel: contract.ChannelContract) -> float:
        """As recorded when each wake-up adds to the interval, else the interval itself."""
        nominal = channel.interval_ms / 1000
        if "sleeps_a_fixed_delay" not in self._faults:
            return nominal
        return mean_interval(runs([step.at for step in self._updates(channel)], nominal)) or nominal


def _stamped(text: str, at: float) -> str:
    """An update as it is sent so many seconds after the handshake."""
    return _TIMESTAMP.sub(f'"timestamp":{SAMPLE_TIME + round(at * 1000)}}}', text)
