"""What the fuzzer sends: strategies for text messages and frames, a state machine for conversations.

All give lists of a case's steps (`cases`), and shrink to short and plain ones. Every choice is made from a
small table: so the texts and frames of a seed are the same everywhere, and no list of Unicode is needed.
What is legal and what isn't: SPEC, "JSON as the original reads it" and "Frames"; RFC 6455, section 5.
"""

import sys
from collections.abc import Callable
from typing import Any, ClassVar, Final, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from hypothesis.strategies import SearchStrategy

from livestream import contract
from livestream.parity.cases import Record
from livestream.wire.frames import RSV1, Opcode, encode_close, encode_frame

T = TypeVar("T")

_MOST_FRAMES: Final = 5
_PING: Final = f'{{"type":"{contract.PING}"}}'
_CHANNELS: Final = tuple(channel.name for channel in contract.CHANNELS)


def weighted(*options: tuple[int, SearchStrategy[T]]) -> SearchStrategy[T]:
    """One of these strategies, each as often as its weight says; the first is the simplest."""
    table = [strategy for weight, strategy in options for _ in range(weight)]
    # Not `table.__getitem__`: when Hypothesis describes that, it writes the whole table out.
    return st.integers(0, len(table) - 1).flatmap(lambda number: table[number])


def _words(text: str) -> SearchStrategy[str]:
    return st.sampled_from(text.split())


def _joined(*parts: SearchStrategy[str]) -> SearchStrategy[str]:
    return st.tuples(*parts).map("".join)


def _repeated(pieces: SearchStrategy[str], least: int, most: int) -> SearchStrategy[str]:
    return st.lists(pieces, min_size=least, max_size=most).map("".join)


# JSON text, legal more often than not.

_NOTHING: Final = st.just("")
_SPACES: Final = weighted(
    (30, _NOTHING), (5, st.sampled_from((" ", "\n", "\t", "\r\n"))),
    (1, st.sampled_from(("\f", "\v", "\xa0", "\ufeff", "\x00", "/**/"))),
)
_PLAIN: Final = st.sampled_from(
    (*"ab7 _-/{}[],:'", "\x7f", "é", "\xa0", "€", "\u2028", "\ufeff", "\ufffd", "😀"))
_ESCAPES: Final = _words(
    r"\" \\ \/ \b \f \n \r \t \u0041 \u00e9 \u0000 \u001F \uD83D\uDE00 \ud800 \udc00 \uDE00\uD83D \ufffe")
#: The last one is for a reader that looks at the low byte of a digit only: U+0131 for "1".
_BROKEN: Final = st.sampled_from(("\x00", "\t", "\n", "\x1f", "\\\n")) | _words(
    '" \\ \\x41 \\\' \\u12 \\u12g4 \\U0041 \\u004\u0131')
_STRINGS: Final = _repeated(weighted((30, _PLAIN), (12, _ESCAPES), (1, _BROKEN)), 0, 8).map('"{}"'.format)

_DIGIT: Final = st.sampled_from("0123456789")
_NUMBERS: Final = weighted(
    (12, _joined(
        st.sampled_from(("", "-")),
        weighted((3, _DIGIT), (3, _joined(st.sampled_from("123456789"), _repeated(_DIGIT, 0, 20)))),
        weighted((2, _NOTHING), (3, _repeated(_DIGIT, 1, 20).map(".{}".format))),
        weighted((3, _NOTHING), (2, _joined(_words("e E e- e+"), _repeated(_DIGIT, 1, 3)))),
    )),
    (6, _words(
        "-0 -0.0 0e0 1e7 9999999.0 9999999.999999999 0.001 9.999999999999999e-4 1e-4 2e-3 1.0E+2 1e-400 "
        "5e-324 2.4e-324 2.5e-324 2.2e-322 2.2250738585072014e-308 1.7976931348623157e308 -1e309 2.0e23 "
        "1.7976931348623159e308 9007199254740993.0 9223372036854775808 -9223372036854775809 1e21 1e23")),
    (2, _words("+1 .5 5. 01 - --1 1e 1e+ 1.e1 0x1 1_0 1f -a 00 1.2.3 1e1.5 ٣ NaN Infinity -Infinity INF")),
    (1, st.builds(
        lambda form, more, digit: form.format(digit * (contract.MAX_NUMBER_DIGITS + more)),
        _words("{} -{} 0.{} 7.{} {}.5 {}e1 1e{} 0.{}e1"), st.integers(-3, 2), st.sampled_from("70"))),
)
_LITERALS: Final = weighted(
    (5, _words("null true false")), (1, _words("nul nullx True FALSE undefined a 'a' null_ null- tru")))
_DEEP: Final = st.builds(
    lambda depth, brackets: brackets[0] * depth + "1" + brackets[1] * depth,
    st.integers(-2, 1).map(contract.MAX_NESTING.__add__),
    st.sampled_from(("[]", ("[[],", "]"), ('{"a":', "}"))))
_SCALARS: Final = weighted((4, _STRINGS), (4, _NUMBERS), (2, _LITERALS))


def _enclosed(opening: str, items: SearchStrategy[str], closing: str) -> SearchStrategy[str]:
    """An array or object with white space anywhere and, at times, a comma too many."""
    inside = st.lists(_joined(_SPACES, items, _SPACES), max_size=3).map(",".join)
    return _joined(st.just(opening), inside, weighted((20, _NOTHING), (1, st.just(","))), st.just(closing))


def _member(names: SearchStrategy[str], values: SearchStrategy[str]) -> SearchStrategy[str]:
    return _joined(names, _SPACES, st.just(":"), _SPACES, values)


_VALUES: Final = weighted((4, _SCALARS), (1, st.recursive(
    _SCALARS,
    lambda inner: _enclosed("[", inner, "]") | _enclosed("{", _member(_STRINGS, inner), "}"),
    max_leaves=5,
)))
_TYPE: Final = _member(st.just('"type"'), weighted(
    (9, st.just(f'"{contract.SUBSCRIBE}"')), (4, _words(f'"{contract.PING}" "{contract.UNSUBSCRIBE}"')),
    (1, _words(r'"Subscribe" "" "pong" "p\u0069ng"')), (1, _VALUES),
))
_CHANNEL: Final = _member(st.just('"channel"'), weighted(
    (3, st.sampled_from(_CHANNELS).map('"{}"'.format)), (12, _VALUES), (1, _DEEP),
    (1, st.just(r'"tps\u005fupdates"')),
))
_LONG_NAMES: Final = st.integers(0, 1).map(lambda more: f'"{"k" * (contract.MAX_NAME_UNITS + more)}"')
_OTHER: Final = _member(
    weighted((8, _words('"payload" "Type" ""')), (4, _STRINGS), (1, _LONG_NAMES), (1, _words("a 1"))),
    weighted((12, _VALUES), (1, _DEEP)),
)
_MEMBERS: Final = weighted(
    (5, st.tuples(_TYPE, _CHANNEL).map(list)), (2, st.tuples(_CHANNEL, _TYPE).map(list)),
    (3, st.lists(weighted((3, _TYPE), (3, _CHANNEL), (2, _OTHER)), max_size=4)),
    (2, st.tuples(_OTHER, _TYPE, _CHANNEL).flatmap(st.permutations)),
)
_OBJECTS: Final = st.builds(
    lambda members, space: "{" + f",{space}".join(members) + space + "}", _MEMBERS, _SPACES)
_TAILS: Final = weighted(
    (7, _NOTHING), (1, _words('x } ] {} , : " 1 - . null // é')),
    (1, st.sampled_from((" ", "\n", " x", "\x00", "\ufeff", "\xa0"))),
)
_WELL_MEANT: Final = _joined(_SPACES, weighted((5, _OBJECTS), (2, _VALUES), (1, st.just(_PING))), _TAILS)
_PIECES: Final = st.sampled_from((*'"\\{}[],: 0-.eu', "\x00", "\x1f", "\x7f", "\x85", "\ufeff", "é", "😀"))
_CHANGES: Final[tuple[Callable[[str, int, str], str], ...]] = (
    lambda text, at, piece: text[:at],
    lambda text, at, piece: text[:at] + piece + text[at:],
    lambda text, at, piece: text[:at] + text[at + 1:at + 2] + text[at:at + 1] + text[at + 2:],
)
_CHANGED: Final = st.builds(
    lambda text, change, at, piece: change(text, at, piece),
    _WELL_MEANT, st.sampled_from(_CHANGES), st.integers(0, 60), _PIECES)
#: One text message; it can be encoded and is small enough for one frame.
TEXTS: Final[SearchStrategy[str]] = weighted((5, _WELL_MEANT), (2, _CHANGED)).filter(
    lambda text: len(text.encode()) <= contract.MAX_FRAME_BYTES)
#: Steps of the group "messages": one to three text messages.
MESSAGES: Final[SearchStrategy[list[Record]]] = st.lists(
    TEXTS.map(lambda text: {"text": text}), min_size=1, max_size=3)


# Frames. Never a subscription to a real channel: whether its first update comes before a Close is a race.


def frame(opcode: int, payload: bytes = b"", **flags: Any) -> Record:
    """A frame's step; `fin`, `mask` and `rsv` only where they are not as in most frames."""
    return {"frame": {"opcode": int(opcode), "payload_hex": payload.hex(), **flags}}


_PAYLOADS: Final = weighted(
    (5, st.just(_PING.encode())), (2, st.just('{"type":"subscribe","channel":"é😀"}'.encode())),
    (2, _words('{ {} "" {"type":"subscribe"}').map(str.encode)),
    (1, st.sampled_from((b"", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80"))),
)
_DATA_OPCODES: Final = weighted((4, st.just(Opcode.TEXT)), (1, st.just(Opcode.BINARY)))
_CONTROL_OPCODES: Final = st.sampled_from((Opcode.PING, Opcode.PONG))
_CONTROL_FRAMES: Final = st.builds(
    lambda opcode, size: frame(opcode, b"x" * size),
    _CONTROL_OPCODES, st.sampled_from((0, 0, 1, 1, 125, 125, 126, 300)))
_CLOSE_PAYLOADS: Final = weighted(
    (7, st.builds(
        lambda code, reason: encode_close(code) + reason,
        weighted((3, st.sampled_from((1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 4999))),
                 (2, st.sampled_from((0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535)))),
        weighted((6, st.just(b"")), (3, st.sampled_from((b"bye", "é😀".encode(), b"x" * 123))),
                 (1, st.sampled_from((b"\xff", b"\xc3", b"\xed\xa0\x80", b"x" * 124)))))),
    (1, st.sampled_from((b"", b"\x03", b"\x00"))),
)
_ANY_FRAMES: Final = st.builds(
    lambda opcode, payload, flags: frame(opcode, payload, **flags),
    weighted((3, st.sampled_from(tuple(Opcode))), (1, st.sampled_from((3, 7, 11, 15)))),
    _PAYLOADS, st.sampled_from((*[{}] * 6, *[{"fin": False}] * 4, {"mask": False}, {"rsv": RSV1})),
)


@st.composite
def _fragmented(draw: st.DrawFn) -> list[Record]:
    """A message in two or three frames, perhaps a control frame before the last."""
    opcode, payload = draw(_DATA_OPCODES), draw(_PAYLOADS)
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), min_size=1, max_size=2)))
    pieces = [payload[start:end] for start, end in zip([0, *cuts], [*cuts, len(payload)])]
    opcodes = [opcode, *[Opcode.CONTINUATION] * len(cuts)]
    *steps, _ = (frame(opcode, piece, fin=False) for opcode, piece in zip(opcodes, pieces))
    return [*steps, *draw(st.lists(_CONTROL_FRAMES, max_size=1)), frame(Opcode.CONTINUATION, pieces[-1])]


_LIMIT: Final = contract.MAX_FRAME_BYTES
_LARGE: Final = st.sampled_from([
    {"padded_ping": size, **cut} for size in (_LIMIT, _LIMIT - 1, _LIMIT + 1, 2 * _LIMIT, 2 * _LIMIT + 2)
    for cut in ({}, {"fragment": _LIMIT}, {"fragment": _LIMIT + 1}, {"fragment": _LIMIT // 2})])
_SMALL: Final = st.sampled_from([
    {"padded_ping": size, **cut} for size in (22, 125, 126)
    for cut in ({}, {"fragment": 1}, {"fragment": 7}, {"fragment": 125})])
#: Lengths in more bytes than they need, and headers that announce more than ever comes (section 5.2).
_RAW: Final = st.sampled_from((
    *(encode_frame(Opcode.TEXT, _PING.encode(), mask=bytes(4), length_size=size) for size in (2, 8)),
    *(encode_frame(Opcode.PING, bytes(9), mask=bytes(4), length_size=size) for size in (2, 8)),
    *(b"\x81\xff" + size.to_bytes(8, "big") + bytes(4) for size in (2**24 + 1, 2**63 - 1, 2**63)),
)).map(lambda data: {"raw_hex": data.hex()})
_ONE_STEP: Final[SearchStrategy[Record]] = weighted(
    (9, st.builds(frame, _DATA_OPCODES, _PAYLOADS)), (9, _CONTROL_FRAMES), (12, _ANY_FRAMES),
    (4, st.builds(frame, st.just(Opcode.CLOSE), _CLOSE_PAYLOADS)), (3, _SMALL), (1, _LARGE), (1, _RAW))
#: Steps of the group "frames": one to five of them.
FRAMES: Final[SearchStrategy[list[Record]]] = st.lists(
    weighted((4, _ONE_STEP.map(lambda step: [step])), (1, _fragmented())), min_size=1, max_size=_MOST_FRAMES,
).map(lambda chunks: [step for chunk in chunks for step in chunk][:_MOST_FRAMES])


# Conversations.

_SAYINGS: Final = st.sampled_from((
    _PING, '{"type":"subscribe","channel":"é"}', '{"type":"subscribe"}', "{}", "{", "",
    '{"type":"unsubscribe","channel":"tps_updates"}', '{"type":"unsubscribe"}',
))
_CUTS: Final = st.integers(0, 20)
_BETWEEN_MESSAGES: Final = precondition(lambda machine: machine.unsent is None and not machine.closed)
_IN_A_MESSAGE: Final = precondition(lambda machine: machine.unsent is not None and not machine.closed)


class Conversation(RuleBasedStateMachine):
    """Steps that know what went before: legal frames only, none after a Close (RFC 6455, section 5.5.1).

    At the end `play` gets the steps; a subclass defines it, and what it raises is the machine's failure.
    No Close comes after a subscription, since its first update would race with the end.
    """

    play: ClassVar[Callable[[list[Record]], None]]

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Record] = []
        self.closed = self.subscribed = False
        #: What a message in fragments still lacks; None between messages.
        self.unsent: bytes | None = None
        # Hypothesis calls `teardown` also when it gives an example up, which is no whole one then.
        self._handled_before = sys.exception()

    @_BETWEEN_MESSAGES
    @rule(text=_SAYINGS)
    def say(self, text: str) -> None:
        """A text message, JSON or not."""
        self.steps.append({"text": text})

    @_BETWEEN_MESSAGES
    @rule(channel=st.sampled_from(_CHANNELS))
    def subscribe(self, channel: str) -> None:
        """To a channel that there is; from then on no Close, which would race its first update."""
        self.subscribed = True
        self.steps.append({"text": f'{{"type":"subscribe","channel":"{channel}"}}'})

    @_BETWEEN_MESSAGES
    @rule(text=_SAYINGS)
    def send_binary(self, text: str) -> None:
        """A binary message."""
        self.steps.append(frame(Opcode.BINARY, text.encode()))

    @precondition(lambda self: not self.closed)
    @rule(opcode=_CONTROL_OPCODES, size=st.sampled_from((0, 1, 125)))
    def send_control(self, opcode: Opcode, size: int) -> None:
        """A Ping or Pong, also between the fragments of a message."""
        self.steps.append(frame(opcode, b"x" * size))

    @_BETWEEN_MESSAGES
    @rule(opcode=_DATA_OPCODES, text=_SAYINGS, cut=_CUTS)
    def begin(self, opcode: Opcode, text: str, cut: int) -> None:
        """The first fragment of a message."""
        payload = text.encode()
        self.steps.append(frame(opcode, payload[:cut], fin=False))
        self.unsent = payload[cut:]

    @_IN_A_MESSAGE
    @rule(cut=_CUTS)
    def go_on(self, cut: int) -> None:
        """One fragment more."""
        unsent = self.unsent or b""
        self.steps.append(frame(Opcode.CONTINUATION, unsent[:cut], fin=False))
        self.unsent = unsent[cut:]

    @_IN_A_MESSAGE
    @rule()
    def finish(self) -> None:
        """The last fragment."""
        self.steps.append(frame(Opcode.CONTINUATION, self.unsent or b""))
        self.unsent = None

    @precondition(lambda self: not self.closed and not self.subscribed)
    @rule(payload=st.sampled_from((b"", *map(encode_close, (1000, 1001, 3000, 4999)))))
    def close(self, payload: bytes) -> None:
        """A legal Close, after which nothing is added."""
        self.steps.append(frame(Opcode.CLOSE, payload))
        self.closed = True

    @precondition(lambda self: self.closed)
    @rule()
    def stay_silent(self) -> None:
        """Hypothesis wants a rule for every state."""

    def teardown(self) -> None:
        """Plays what was made up, unless making it up has failed."""
        if sys.exception() is not self._handled_before:
            return
        if self.unsent is not None and not self.closed:
            self.finish()
        type(self).play(self.steps)
