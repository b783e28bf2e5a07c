"""The pieces beside wsproto: our own text frames, and messages put together from fragments."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livestream.transport.frames import MessageAssembler, MessageTooBig, text_frame
from livestream.wire.frames import Opcode, encode_frame

TINY_FRAGMENTS = 100_000


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 70_000])
def test_a_text_frame_has_the_shortest_header(size):
    assert text_frame(b"x" * size) == encode_frame(Opcode.TEXT, b"x" * size, mask=None)


@given(st.lists(st.text(), min_size=1) | st.lists(st.binary(), min_size=1))
def test_a_message_is_the_sum_of_its_pieces(pieces):
    assembler = MessageAssembler(0)
    for _ in range(2):
        assert [assembler.add(piece, False) for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
        assert assembler.add(pieces[-1], True) == pieces[0][:0].join(pieces)


@given(st.lists(st.text(), min_size=1))
def test_the_limit_is_exact_and_counts_bytes(pieces):
    size = len("".join(pieces).encode())
    exact = MessageAssembler(size)
    for piece in pieces:
        exact.add(piece, False)
    if size == 0:
        return  # no limit
    short = MessageAssembler(size - 1 or 1)
    with pytest.raises(MessageTooBig, match=f"of {size - 1 or 1} has been exceeded"):
        for piece in [*pieces, "x"]:
            short.add(piece, False)


@pytest.mark.parametrize("piece", ["", b""], ids=["text", "binary"])
def test_empty_fragments_take_no_memory(piece):
    assembler = MessageAssembler(10)
    assembler.add(piece, False)
    tracemalloc.start()
    try:
        for _ in range(TINY_FRAGMENTS):
            assembler.add(piece, False)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < TINY_FRAGMENTS / 10


def test_one_byte_fragments_take_no_more_than_their_text():
    assembler = MessageAssembler(0)
    tracemalloc.start()
    try:
        for _ in range(TINY_FRAGMENTS):
            assembler.add("ä", False)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 5 * TINY_FRAGMENTS
