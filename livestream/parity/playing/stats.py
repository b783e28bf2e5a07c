"""What a connection's end does to the server's statistics (SPEC, "Life of a connection", 7 to 9).

They are not on the stream, so they are not in the corpus: the cases are the ways in which a connection may
end, and SPEC says of each how the counter changes.
"""

import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from livestream import contract
from livestream.parity.cases import Case
from livestream.parity.playing.target import NoAnswer, Target
from livestream.parity.playing.waiting import WATCH, settled
from livestream.wire.client import Kind, WireClient, WireError, http_request
from livestream.wire.frames import Opcode, encode_close, encode_frame


class Ending(NamedTuple):
    """One way in which a connection may end, and whether the original takes it for an error (SPEC, 8)."""

    name: str
    is_error: bool
    end: Callable[[WireClient], None]


def _close_frame(client: WireClient) -> None:
    client.send_frame(Opcode.CLOSE, encode_close(contract.CLOSE_NORMAL))


def _end_of_file(client: WireClient) -> None:
    while client.receive(0) is not None:
        pass  # Closing a socket with something unread in it would be a reset.
    client.release()


def _protocol_error(client: WireClient) -> None:
    client.send_frame(Opcode.TEXT, b"{}", mask=None)


def _oversize(client: WireClient) -> None:
    client.send_raw(encode_frame(Opcode.TEXT, b" " * (contract.MAX_FRAME_BYTES + 1)), read_meanwhile=True)


def _illegal_close_code(client: WireClient) -> None:
    client.send_frame(Opcode.CLOSE, encode_close(contract.CLOSE_NO_STATUS))


ENDINGS: Final = (
    Ending("close frame", False, _close_frame),
    Ending("end of file", False, _end_of_file),
    Ending("half-close", False, WireClient.half_close),
    Ending("protocol error", False, _protocol_error),
    Ending("reset", True, WireClient.abort),
    Ending("oversize frame", True, _oversize),
    Ending("illegal close code", True, _illegal_close_code),
)
_ENDING: Final = {ending.name: ending for ending in ENDINGS}

Statistics = dict[str, int]
#: What the original counts; a port may tell more.
COUNTED: Final = ("active_connections", "total_connections")


def read_statistics(target: Target) -> Statistics | None:
    """The numbers at contract.WEBSOCKET_STATS_PATH by name; None when nothing of that sort is served there.

    WireError when there is no answer.
    """
    answer = http_request(
        target.url, "GET", contract.WEBSOCKET_STATS_PATH, target.headers, target.limits.answer,
        target.ssl_context)
    try:
        numbers = json.loads(answer.body)
    except ValueError:
        return None
    if answer.status != 200 or not isinstance(numbers, dict):
        return None
    return {name: number for name, number in numbers.items() if type(number) is int}


def play_statistics_case(case: Case, target: Target) -> dict[str, Any]:
    """One connection that ends as the case's name says: how far each number changed.

    {"open": {name: change}, "ended": {name: change}}, by the names of COUNTED. WireError when the server is
    gone or serves no numbers. Nobody else may come or go meanwhile: the numbers are the server's.
    """
    before = _statistics(target)

    def change() -> Statistics:
        return {name: number - before.get(name, 0) for name, number in _statistics(target).items()}

    with target.connect() as client:
        opened = settled(change, case.observed.get("open"), target.limits.missing)
        _try_to_end(client, _ENDING[case.name])
        closed = settled(change, case.observed.get("ended"), target.limits.missing)
    return {"open": opened, "ended": closed}


def _statistics(target: Target) -> Statistics:
    numbers = read_statistics(target)
    if numbers is None:
        raise NoAnswer(f"{target.url} has no statistics at {contract.WEBSOCKET_STATS_PATH}.")
    return {name: numbers[name] for name in COUNTED if name in numbers}


def _try_to_end(client: WireClient, ending: Ending) -> None:
    try:
        ending.end(client)
        client.receive_until(lambda event: event.kind in (Kind.EOF, Kind.RESET), WATCH)
    except WireError:
        pass  # It was quicker than we were, which is an end too.
