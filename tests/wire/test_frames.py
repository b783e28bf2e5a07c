"""Frames: what is written is read back, however it arrives; and what a server may not send is noticed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livestream.wire.frames import (
    Frame, FrameError, FrameReader, Opcode, apply_mask, close_payload, encode_close, encode_frame,
    server_stream_faults,
)

SIZES = st.one_of(st.integers(0, 300), st.sampled_from([125, 126, 127, 65_535, 65_536, 65_537]))
FRAMES = st.builds(
    Frame,
    opcode=st.integers(0, 15),
    payload=SIZES.map(lambda size: bytes(number % 251 for number in range(size))),
    fin=st.booleans(),
    rsv=st.integers(0, 7),
    masked=st.booleans(),
    minimal=st.just(True),
)


def wire(frame: Frame) -> bytes:
    mask = b"\x01\xfe\x00\x7f" if frame.masked else None
    return encode_frame(frame.opcode, frame.payload, fin=frame.fin, rsv=frame.rsv, mask=mask)


def server_text(text: str = "hi", **changes) -> Frame:
    return Frame(Opcode.TEXT, text.encode())._replace(**changes)


@given(st.lists(FRAMES, max_size=4))
def test_what_is_written_is_read_back_whole(frames):
    assert FrameReader().feed(b"".join(map(wire, frames))) == frames


@given(st.lists(FRAMES.filter(lambda frame: len(frame.payload) < 1000), max_size=4), st.integers(1, 7))
def test_what_is_written_is_read_back_in_small_pieces(frames, step):
    data = b"".join(map(wire, frames))
    reader = FrameReader()
    read = [frame for at in range(0, len(data), step) for frame in reader.feed(data[at:at + step])]
    assert read == frames
    assert reader.pending == 0


@given(FRAMES, FRAMES, st.data())
def test_a_tail_waits_for_its_rest(first, second, data):
    tail = wire(second)
    cut = data.draw(st.integers(0, len(tail) - 1))
    reader = FrameReader()
    assert reader.feed(wire(first) + tail[:cut]) == [first]
    assert reader.pending == cut
    assert reader.feed(tail[cut:]) == [second]


@given(st.binary(max_size=40), st.binary(min_size=4, max_size=4))
def test_a_mask_is_an_xor_that_undoes_itself(payload, mask):
    assert apply_mask(payload, mask) == bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    assert apply_mask(apply_mask(payload, mask), mask) == payload


@pytest.mark.parametrize("frame, expected", [
    # The examples of RFC 6455, section 5.7.
    (encode_frame(Opcode.TEXT, b"Hello", mask=None), "810548656c6c6f"),
    (encode_frame(Opcode.TEXT, b"Hello", mask=bytes.fromhex("37fa213d")), "818537fa213d7f9f4d5158"),
    (encode_frame(Opcode.TEXT, b"Hel", fin=False, mask=None), "010348656c"),
    (encode_frame(Opcode.CONTINUATION, b"lo", mask=None), "80026c6f"),
    (encode_frame(Opcode.BINARY, bytes(256), mask=None)[:4], "827e0100"),
    (encode_frame(Opcode.BINARY, bytes(65_536), mask=None)[:10], "827f0000000000010000"),
    (encode_frame(Opcode.TEXT, b"", rsv=4, mask=None), "c100"),
])
def test_bytes_on_the_wire(frame, expected):
    assert frame.hex() == expected


def test_the_default_mask_is_random():
    masks = {encode_frame(Opcode.TEXT, b"x")[2:6] for _ in range(8)}
    assert len(masks) == 8


@pytest.mark.parametrize("wrong", [{"mask": b"abc"}, {"length_size": 0}, {"rsv": 8}, {"opcode": 16}])
def test_what_cannot_be_written_is_refused(wrong):
    with pytest.raises(ValueError):
        encode_frame(**({"opcode": Opcode.TEXT, "payload": bytes(200)} | wrong))


@pytest.mark.parametrize("length_size", [2, 8])
def test_a_length_that_is_longer_than_needed_is_remembered(length_size):
    [frame] = FrameReader().feed(encode_frame(Opcode.TEXT, b"hi", mask=None, length_size=length_size))
    assert frame == server_text(minimal=False)


@pytest.mark.parametrize("header", ["82 65", "82 7e0065", "82 7f0000000000000065", "82 ff8000000000000000"])
def test_a_frame_over_the_limit_ends_reading_but_not_what_came_before(header):
    reader = FrameReader(limit=100)
    with pytest.raises(FrameError, match="over the limit of 100") as caught:
        reader.feed(encode_frame(Opcode.TEXT, b"hi", mask=None) + bytes.fromhex(header))
    assert caught.value.frames == [server_text()]
    with pytest.raises(FrameError):
        reader.feed(b"more")


def test_a_frame_at_the_limit_is_read():
    assert len(FrameReader(limit=100).feed(encode_frame(Opcode.BINARY, bytes(100)))) == 1


def test_a_hundred_thousand_frames_in_pieces_of_three_bytes():
    # Takes half a second; with anything that copies the buffer per frame it would take minutes.
    data = encode_frame(Opcode.TEXT, b'{"type":"tps_update"}', mask=None) * 100_000
    reader = FrameReader()
    assert sum(len(reader.feed(data[at:at + 3])) for at in range(0, len(data), 3)) == 100_000


@pytest.mark.parametrize("payload, expected", [
    (b"", (1005, "")),
    (b"\x03", (1005, "")),
    (b"\x03\xe8", (1000, "")),
    (b"\x03\xe9bye", (1001, "bye")),
    (b"\x03\xe8\xff", (1000, "\N{REPLACEMENT CHARACTER}")),
])
def test_close_payload(payload, expected):
    assert close_payload(payload) == expected


@given(st.integers(0, 65_535), st.text(max_size=30))
def test_close_payloads_are_read_back(code, reason):
    assert close_payload(encode_close(code, reason)) == (code, reason)


LEGAL_STREAM = [
    server_text(),
    Frame(Opcode.TEXT, b"\xc3", fin=False),
    Frame(Opcode.PING, b"x" * 125),
    Frame(Opcode.CONTINUATION, b"", fin=False),
    Frame(Opcode.CONTINUATION, b"\xa9"),
    Frame(Opcode.BINARY, b"\xff"),
    Frame(Opcode.PONG, b""),
    Frame(Opcode.CLOSE, encode_close(1000, "bye")),
]


def test_a_legal_stream_has_no_faults():
    assert server_stream_faults(LEGAL_STREAM) == []


@pytest.mark.parametrize("frames, fault", [
    ([server_text(masked=True)], "frame 1 (TEXT) is masked (RFC 6455, 5.1)"),
    ([server_text(rsv=4)], "frame 1 (TEXT) has RSV 4 (RFC 6455, 5.2)"),
    ([server_text(minimal=False)],
     "frame 1 (TEXT) has a length that is longer than it need be (RFC 6455, 5.2)"),
    ([Frame(3, b"")], "frame 1 (opcode 3) has a reserved opcode (RFC 6455, 5.2)"),
    ([Frame(11, b"")], "frame 1 (opcode 11) has a reserved opcode (RFC 6455, 5.2)"),
    ([Frame(Opcode.PING, bytes(126))],
     "frame 1 (PING) has 126 bytes, more than a control frame may (RFC 6455, 5.5)"),
    ([Frame(Opcode.PONG, b"", fin=False)], "frame 1 (PONG) is a fragmented control frame (RFC 6455, 5.5)"),
    ([Frame(Opcode.CONTINUATION, b"")], "frame 1 (CONTINUATION) continues no message (RFC 6455, 5.4)"),
    ([server_text(fin=False), server_text()],
     "frame 2 (TEXT) begins inside a fragmented message (RFC 6455, 5.4)"),
    ([Frame(Opcode.TEXT, b"\xff")], "frame 1 (TEXT) has text that is not UTF-8 (RFC 6455, 8.1)"),
    ([Frame(Opcode.TEXT, b"\xc3", fin=False), Frame(Opcode.CONTINUATION, b"")],
     "frame 2 (CONTINUATION) has text that is not UTF-8 (RFC 6455, 8.1)"),
    ([Frame(Opcode.CLOSE, b"\x03")], "frame 1 (CLOSE) has half a close code (RFC 6455, 5.5.1)"),
    ([Frame(Opcode.CLOSE, encode_close(1005))],
     "frame 1 (CLOSE) has the illegal close code 1005 (RFC 6455, 7.4)"),
    ([Frame(Opcode.CLOSE, b"\x03\xe8\xff")],
     "frame 1 (CLOSE) has a reason that is not UTF-8 (RFC 6455, 5.5.1)"),
    ([Frame(Opcode.CLOSE, b""), Frame(Opcode.PONG, b"")],
     "frame 2 (PONG) comes after the Close frame (RFC 6455, 5.5.1)"),
])
def test_each_fault_is_named(frames, fault):
    assert server_stream_faults(frames) == [fault]


@pytest.mark.parametrize("frames, count", [
    ([server_text(rsv=4)], 0),
    ([server_text(rsv=2)], 1),
    ([Frame(Opcode.PING, b"", rsv=4)], 1),
    # RFC 7692, section 6: only the first frame of a message carries the bit, and its bytes are no text.
    ([Frame(Opcode.TEXT, b"\xff", fin=False, rsv=4), Frame(Opcode.CONTINUATION, b"\xff")], 0),
    ([Frame(Opcode.TEXT, b"", fin=False, rsv=4), Frame(Opcode.CONTINUATION, b"", rsv=4)], 1),
])
def test_rsv1_where_compression_was_agreed(frames, count):
    assert len(server_stream_faults(frames, allow_rsv1=True)) == count
