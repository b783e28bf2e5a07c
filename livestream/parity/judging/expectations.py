"""What a server answers that has some of the original's faults and not others.

The corpus was recorded with every fault but the muteness. Each fault that is absent changes some cases, in a
way that follows from SPEC ("As reported" for what is right, "As shipped" for the muteness); nothing here was
recorded from a port. Sessions are made anew by `model`, for a missing fault moves their updates.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain, combinations
from typing import Any, Final, NamedTuple

from livestream import contract
from livestream.parity.cases import Case, Record, load_cases, load_session
from livestream.parity.playing.conversation import read_message
from livestream.parity.playing.stats import ENDINGS
from livestream.parity.playing.threads import STAGES

#: Names of the FLAGS that are present.
Faults = frozenset[str]


class Flag(NamedTuple):
    """A fault of the original: its name in the port's profiles, and the case that shows it best."""

    name: str
    shown_by: str


FLAGS: Final = (
    Flag("refuses_blocking_sends", "silence/nothing sent"),
    Flag("starts_a_thread_per_subscribe", "cadence/repeat-subscribe"),
    Flag("confirms_unknown_channels", "messages/sub-unknown"),
    Flag("ignores_unsubscribe", "messages/unsub"),
    Flag("leaves_threads_asleep", "threads/close"),
    Flag("keeps_registry_entries", "statistics/close frame"),
    Flag("counts_errors_twice", "statistics/reset"),
    Flag("sleeps_a_fixed_delay", "cadence/tps-only"),
)
MUTE: Final = "refuses_blocking_sends"

ALL_FLAGS: Final = frozenset(flag.name for flag in FLAGS)
#: Which faults each profile has; the corpus was recorded under `original`.
PROFILES: Final[Mapping[str, Faults]] = {
    "original": ALL_FLAGS - {MUTE}, "shipped": ALL_FLAGS, "corrected": frozenset(),
}
AS_RECORDED: Final = PROFILES["original"]

#: The case that opens every run: does the server speak at all?
OPENING: Final = "nothing sent"
_CONFIRMED: Final = re.compile(
    r'\{"type":"%s","payload":\{"channel":"(?P<channel>(?:[^"\\]|\\.)*)","status":"%s"\}(?P<rest>.*)'
    % (contract.SUBSCRIPTION_CONFIRMED, contract.STATUS_SUBSCRIBED), re.DOTALL)
_CHANNEL_NAMES: Final = frozenset(channel.name for channel in contract.CHANNELS)
#: A time like those of the recordings, in milliseconds since 1970, for messages that nobody recorded.
SAMPLE_TIME: Final = 1_795_422_288_000


def message(message_type: str, payload: Record) -> str:
    """A message as the original writes it, with a plausible timestamp (SPEC, "Messages")."""
    record = {"type": message_type, "payload": payload, "timestamp": SAMPLE_TIME}
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False)


def expected_cases(faults: Faults) -> list[Case]:
    """Every case but the sessions that a server with these faults can be asked, as it answers it."""
    return [expected(case, faults) for case in recorded_cases(faults)]


def recorded_cases(faults: Faults) -> list[Case]:
    """The cases of `expected_cases`, as they were recorded. A mute server can't be asked about messages."""
    speaking = ["handshake.jsonl", "frames.jsonl", "messages.jsonl", "http.jsonl"]
    groups = ["handshake.jsonl", "http.jsonl"] if MUTE in faults else speaking
    silence = load_cases("shipped.jsonl")
    opening = [case for case in silence if case.name == OPENING]
    cases = [case for group in groups for case in load_cases(group)]
    return [*(silence if MUTE in faults else opening), *cases, *_life_cases()]


def _life_cases() -> Iterator[Case]:
    """The cases that no file holds, since they are not on the stream."""
    for ending in ENDINGS:
        yield Case(ending.name, "statistics", {}, request={"connection ends by": ending.name})
    for stage in STAGES:
        yield Case(stage.name, "threads", {}, request={"all connections": stage.name})


def expected(case: Case, faults: Faults) -> Case:
    """The case as a server with these faults answers it. Sessions stay as they are: see `model`."""
    change = _CHANGES.get(case.kind)
    return replace(case, observed=change(case, faults)) if change else case


def explaining_flags(same: Callable[[Faults], bool], faults: Faults, mute: bool = False) -> tuple[str, ...]:
    """The fewest flags that, turned round in `faults`, make `same` true of them; empty when none do.

    Muteness hides all others: it is tried first where the server is known to be `mute`, else last.
    """
    names = [flag.name for flag in FLAGS if flag.name != MUTE]
    audible = chain.from_iterable(combinations(names, count) for count in range(1, len(names) + 1))
    sets = chain([(MUTE,)], audible) if mute else chain(audible, [(MUTE,)])
    return next((chosen for chosen in sets if same(faults ^ frozenset(chosen))), ())


def _conversation(case: Case, faults: Faults) -> Record:
    replies = list(case.observed["replies"])
    if "confirms_unknown_channels" not in faults:
        replies = [_without_unknown_channel(text) for text in replies]
    if "ignores_unsubscribe" not in faults:
        replies += _answers_to_unsubscribe(case.send)
    return {**case.observed, "replies": replies}


def _without_unknown_channel(text: str) -> str:
    """A confirmation of a channel that does not exist becomes an error; any other text stays."""
    match = _CONFIRMED.fullmatch(text)
    if match is None or match["channel"] in _CHANNEL_NAMES:
        return text
    # The channel stays written as it was: how it is escaped is part of what is compared.
    error = contract.UNKNOWN_CHANNEL + match["channel"]
    return f'{{"type":"{contract.ERROR}","payload":{{"error":"{error}"}}{match["rest"]}'


def _answers_to_unsubscribe(send: Iterable[Record]) -> list[str]:
    """An unsubscribe with a channel is confirmed, whatever the channel (SPEC, "As reported")."""
    requests = [read_message(step.get("text", "")) for step in send]
    return [
        message(contract.UNSUBSCRIPTION_CONFIRMED,
                {"channel": _channel_text(request["channel"]), "status": contract.STATUS_UNSUBSCRIBED})
        for request in requests
        if request.get("type") == contract.UNSUBSCRIBE and "channel" in request
    ]


def _channel_text(value: Any) -> str:
    """Value to text as SPEC has it, for the sorts of values that the corpus unsubscribes from."""
    return value if isinstance(value, str) else {None: "null", True: "true", False: "false"}[value]


def _handshake(case: Case, faults: Faults) -> Record:
    return {**case.observed, "stream_opens": case.observed["stream_opens"] and MUTE not in faults}


def _silence(case: Case, faults: Faults) -> Record:
    """Shipped says nothing. Any other server opens with the welcome and the first update."""
    if MUTE in faults or case.name != OPENING:
        return case.observed
    opening = [step.text for step in load_session("tps-only").steps[:2]]
    return {"frames": [["TEXT", text] for text in opening]}


def _statistics(case: Case, faults: Faults) -> Record:
    """SPEC, "Life of a connection", 1, 7 and 8."""
    is_error = any(ending.is_error for ending in ENDINGS if ending.name == case.name)
    twice = is_error and "counts_errors_twice" in faults
    kept = "keeps_registry_entries" in faults
    return {
        "open": {"active_connections": 1, "total_connections": 1},
        "ended": {"active_connections": -int(twice), "total_connections": int(kept)},
    }


def _threads(case: Case, faults: Faults) -> Record:
    """SPEC, "Life of a connection", 1 to 3 and 7. The channel of the stages is not the initial one."""
    speaks = MUTE not in faults
    again = "starts_a_thread_per_subscribe" in faults
    stays = "ignores_unsubscribe" in faults
    asleep = "leaves_threads_asleep" in faults
    subscribed = 2 if again else 1
    left = 1 + (subscribed if stays else 0)
    changes = {
        "connect": 0,
        "open": 1,
        "subscribe": 1,
        "subscribe again": subscribed - 1,
        "unsubscribe": 0 if stays else -subscribed,
        "close": 0 if asleep else -left,
        "one interval after close": -left if asleep else 0,
        "one interval after a reset": 0,
    }
    return {"threads": changes[case.name] if speaks else 0}


_CHANGES: Final[Mapping[str, Callable[[Case, Faults], Record]]] = {
    "message": _conversation,
    "frame": _conversation,
    "handshake": _handshake,
    "silence": _silence,
    "statistics": _statistics,
    "threads": _threads,
}
