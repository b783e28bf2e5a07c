"""Reading and writing JSON as the original's library does (SPEC, "JSON as the original reads it").

The tables were read off Jackson 2.20.0 on JDK 25, the library of the original's Quarkus 3.28.2.
"""

import json
import math
import struct
import sys
import threading
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livestream.contract import INVALID_MESSAGE_FORMAT, MAX_NAME_UNITS, MAX_NESTING, MAX_NUMBER_DIGITS
from livestream.stream.jackson import MISSING, JsonError, as_text, read_tree, to_json
from livestream.stream.java_text import double_text

SMILE = "\U0001F600"
HIGH, LOW = "\ud83d", "\ude00"  # the two halves of SMILE


def refuses(text: str) -> bool:
    try:
        read_tree(text)
    except JsonError:
        return True
    return False


# The corpus: what the original answered.

def message_cases() -> list[Any]:
    lines = (files("livestream.parity") / "corpus" / "messages.jsonl").read_text("utf-8").splitlines()
    cases = [json.loads(line) for line in lines[1:]]
    return [
        pytest.param(case["send"][0]["text"], case["observed"]["replies"], id=case["case"]) for case in cases
    ]


@pytest.mark.parametrize("text, replies", message_cases())
def test_corpus_message_is_refused_when_the_original_refused_it(text: str, replies: list[str]) -> None:
    assert refuses(text) == any(INVALID_MESSAGE_FORMAT in reply for reply in replies)


@pytest.mark.parametrize("text, replies", message_cases())
def test_corpus_channel_is_shown_and_written_as_the_original_did(text: str, replies: list[str]) -> None:
    for reply in replies:
        recorded = json.loads(reply)
        if recorded["type"] == "subscription_confirmed":
            tree = read_tree(text)
            assert isinstance(tree, dict)
            recorded["payload"]["channel"] = as_text(tree["channel"])
        assert to_json(recorded).encode("utf-8", "replace") == reply.encode("utf-8")


# Reading: tables of edges.

#: A text, and the value that the original finds in it as the original writes that value.
ACCEPTED = [
    # The first value counts.
    ('{"a":1}x', '{"a":1}'), ('{"a":1}{', '{"a":1}'), ("{}\x00", "{}"), ("[]x", "[]"), ("[]]", "[]"),
    ("[1]//x", "[1]"), ('"x"y', '"x"'), ('"x" y', '"x"'), ('""\x00', '""'), ("[] ]", "[]"), ("[1] 2", "[1]"),
    ('{"a":1,"a":2}', '{"a":2}'), ('{"a":1,"b":2,"\\u0061":3}', '{"a":3,"b":2}'), ('{"":1}', '{"":1}'),
    (" \t\r\n[ \t\r\n] \t\r\n", "[]"), ("\n{ }", "{}"), ("[ 1 , { } ]", "[1,{}]"),
    ('{ "a" : [ ] , "b" : "c" }', '{"a":[],"b":"c"}'), ("[[[],{}],[{}]]", "[[[],{}],[{}]]"),
    # Literals and what may stand behind them.
    ("null", "null"), ("true ", "true"), ("false\n", "false"), ("null,", "null"), ("null:", "null"),
    ("null]", "null"), ("null}", "null"), ("null[", "null"), ("null{", "null"), ("null$", "null"),
    ("null/", "null"), ("null\x00", "null"), ("null\x1f", "null"), ("null-", "null"), ('null"', "null"),
    ("null;", "null"), ("null@", "null"), ("null`", "null"), ("null~", "null"), ("null\xa0", "null"),
    ("null\xd7", "null"), ("null\u2028", "null"), ("null\ufffd", "null"), ("null\uffff", "null"),
    ("null\U0001D400", "null"), ("null" + SMILE, "null"), ("null\ud800", "null"), ("null\udc00", "null"),
    ("true false", "true"), ("false x", "false"),
    # Numbers.
    ("0", "0"), ("-0", "0"), ("42", "42"), ("42 ,", "42"), ("42\t", "42"), ("42\r", "42"), ("42\n", "42"),
    ("-0.0", "-0.0"), ("0e1", "0.0"), ("0.5", "0.5"), ("1e5\t", "100000.0"), ("1E+5", "100000.0"),
    ("1.5 x", "1.5"), ("1e-5", "1.0E-5"), ("1e-400", "0.0"), ("-1e-400", "-0.0"),
    ("9223372036854775808", "9223372036854775808"), ("[-9223372036854775809]", "[-9223372036854775809]"),
    ("[1e400,-1e400]", '["Infinity","-Infinity"]'), ("1e99999999999", '"Infinity"'),
    ("[0.1,1.10,12345678.9,1e22,-1.0E-7]", "[0.1,1.1,1.23456789E7,1.0E22,-1.0E-7]"),
    # Strings.
    ('"\x7f\x85\ufeff"', '"\x7f\x85\ufeff"'), ('"\\/\\b\\f\\n\\r\\t\\"\\\\"', '"/\\b\\f\\n\\r\\t\\"\\\\"'),
    ('"\\u0041\\u00e9\\u00E9"', '"Aéé"'), ('"\\u001f\\u0000\\u000b"', '"\\u001F\\u0000\\u000B"'),
    ('"\\u0022\\u005c"', '"\\"\\\\"'), ('"\\\\u0041"', '"\\\\u0041"'),
    # Pairs and halves of pairs, raw and escaped.
    ('"\\ud83d\\ude00"', f'"{SMILE}"'), (f'"\\ud83d{LOW}"', f'"{SMILE}"'), (f'"{HIGH}\\ude00"', f'"{SMILE}"'),
    (f'"{HIGH}{LOW}"', f'"{SMILE}"'), ('"\\ud83d"', f'"{HIGH}"'), (f'"{LOW}{HIGH}"', f'"{LOW}{HIGH}"'),
    (f'{{"{SMILE}":1,"\\ud83d\\ude00":2}}', f'{{"{SMILE}":2}}'),
    # Hex digits are told by their low byte, half a pair may be one.
    ('"\\u\u0130\u0030\u0034\u0131"', '"A"'), ('"\\u004\u0161"', '"J"'), ('"\\u\U0001C03041"', '"A"'),
    ('"\\u00\U0001C030"', '"\\u0000"'),
]

REFUSED = [
    # Tokens that run on.
    "nullx", "null0", "null_", "nulL", "nul", "truefalse", "falsez", "null\x7f", "null\x80", "null\x85",
    "null\x9f", "null\xaa", "null\xad", "null\xe9", "null\u0301", "null\u0660", "null\u200b", "null\u2167",
    "null\u203f", "null\u20ac", "null\u4e16", "null\ufeff", "[nullx]", '{"a":truex}',
    "42,", "42\x00", "42]", "42}", '42"', "42x", "42\x0c", "42\xa0", "0x1", "1.5,", "1e5x", "1.5.5", "1e5e5",
    # Numbers.
    "-", "- 1", "--1", "+1", "00", "01", "-01", "0.", "5.", "-5.", ".5", "-.5", "1e", "1e+", "1e-",
    "1.e5", "1.5e",
    "[5.]", "[.5]", "[+1]", "[-]", "[01]", "[1e]", "[-01]", "1\u0660", "\u0661",
    "NaN", "-NaN", "Infinity", "-Infinity", "INF", "-INF", "[NaN]", "[-Infinity]", "undefined",
    # White space.
    "\ufeff{}", "\xa0{}", "\x0b1", "\x0c{}", "\x00{}", "\x1c{}", "\x1e1", "\u2028{}", "[1\x0c]",
    '{"a"\x00:1}', "\x7f",
    # Structure.
    "[", "{", "]", "}", ",", ":", "[,]", "[1,]", "[,1]", "[1,,2]", "[1 2]", "[1", "[1}", "[[1]", "{]",
    "[1:2]", "['a']",
    "{,}", '{"a"}', '{"a":}', '{"a" 1}', '{"a":1', '{"a":1,', '{"a":1,}', '{,"a":1}',
    '{"a":1]', '{"a":1 "b":2}',
    '{"a"::1}', '{"a":1,,"b":2}', "{1:2}", "{a:1}", "{null:1}", "{'a':1}", '{"a',
    "/**/1", "//\n1", "#1", "[1/**/]", "x", "'x'", "hello",
    # Strings.
    '"', '"abc', '"abc\\', '"\\"', '"\x00"', '"\x1f"', '"\n"', '"\\a"', '"\\\'"', '"\\\n"', '"\\0"',
    '"\\x41"', '"\\U0041"',
    '"\\u"', '"\\u12"', '"\\u123"', '"\\u12', '"\\uZZZZ"', '"\\u 123"', '"\\u+123"', '"\\u1_23"', '"\\u-123"',
    '"\\u\uff10\uff10\uff14\uff11"', '"\\\u0130"', f'"\\{SMILE}"', f'"\\u{SMILE}41"', '{"\\a":1}', '{"\t":1}',
]


@pytest.mark.parametrize("text, written", ACCEPTED)
def test_accepted(text: str, written: str) -> None:
    assert to_json(read_tree(text)) == written


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str) -> None:
    with pytest.raises(JsonError):
        read_tree(text)


@pytest.mark.parametrize("text", ["", " ", "\n", " \t\r\n"])
def test_blank_text_holds_nothing(text: str) -> None:
    assert read_tree(text) is MISSING


# Reading: limits.

#: A number with one digit over the limit; is it taken with text behind it; is it when it ends the text?
LONG_NUMBERS = [
    ("1" * 1001, False, False), ("-" + "1" * 1001, False, False), ("0." + "1" * 1000, True, True),
    ("-0." + "1" * 1000, True, True), ("0e" + "1" * 1000, True, True), ("0E-" + "1" * 1000, True, True),
    ("1." + "1" * 1000, False, True), ("-1." + "1" * 1000, False, True), ("1e" + "1" * 1000, False, True),
    ("1e+" + "0" * 1000, False, True), ("1" * 1000 + ".1", False, True), ("1" * 1000 + "e-1", False, True),
    ("1.1e" + "1" * 999, False, False), ("0.1e" + "1" * 999, False, False),
    ("-0.1E+" + "1" * 999, False, False),
    ("1." + "1" * 999 + "e1", False, False), ("0." + "1" * 999 + "e1", False, False),
]


def without_last_digits(number: str, count: int) -> str:
    """The number, shorter by so many digits; its longest part is all ones or zeros."""
    longest = "1" * 900 if "1" * 900 in number else "0" * 900
    return number.replace(longest, longest[count:], 1)


@pytest.mark.parametrize("number, inside, alone", LONG_NUMBERS)
def test_number_one_digit_over_the_limit(number: str, inside: bool, alone: bool) -> None:
    assert sum(map(str.isdigit, number)) == MAX_NUMBER_DIGITS + 1
    assert refuses(f"[{number}]") != inside
    assert refuses(f'{{"a":{number} }}') != inside
    assert refuses(f"{number} ") != inside
    assert refuses(number) != alone


@pytest.mark.parametrize("number, inside, alone", LONG_NUMBERS)
def test_number_at_the_limit_and_two_digits_over_it(number: str, inside: bool, alone: bool) -> None:
    at_limit = without_last_digits(number, 1)
    assert not refuses(at_limit) and not refuses(f"[{at_limit}]")
    over = number.replace("1" * 900, "1" * 901, 1).replace("0" * 900, "0" * 901, 1)
    assert refuses(over) and refuses(f"[{over}]")


def test_long_numbers_keep_their_value() -> None:
    assert read_tree("9" * MAX_NUMBER_DIGITS) == 10 ** MAX_NUMBER_DIGITS - 1
    assert read_tree("[0." + "1" * MAX_NUMBER_DIGITS + "]") == [0.1111111111111111]
    assert read_tree("[1e" + "1" * (MAX_NUMBER_DIGITS - 1) + "]") == [math.inf]


@pytest.mark.parametrize("filler, units", [
    ("k", 1), ("é", 1), (LOW, 1), ("\\n", 1), ("\\u0041", 1), (SMILE, 2), ("\\ud83d\\ude00", 2),
])
@pytest.mark.parametrize("start, start_units", [("", 0), ("\\t", 1), (SMILE, 2), (f"{HIGH}\\ude00", 2)])
def test_name_length(filler: str, units: int, start: str, start_units: int) -> None:
    name = start + filler * ((MAX_NAME_UNITS - start_units) // units)
    name += "k" * ((MAX_NAME_UNITS - start_units) % units)
    assert not refuses(f'{{"{name}":1}}')
    assert refuses(f'{{"{name}k":1}}')
    assert not refuses(f'{{"a":"{name}k"}}')


@pytest.mark.parametrize("opening, closing", [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
@pytest.mark.parametrize("innermost", ["[]", "{}", "[1]", '{"a":null}', "[ ]"])
def test_nesting(opening: str, closing: str, innermost: str) -> None:
    levels = 2 if opening.startswith("[{") else 1
    deepest = opening * ((MAX_NESTING - 1) // levels) + "[" * ((MAX_NESTING - 1) % levels)
    closings = "]" * ((MAX_NESTING - 1) % levels) + closing * ((MAX_NESTING - 1) // levels)
    assert not refuses(deepest + innermost + closings)
    assert refuses(deepest + f"[{innermost}]" + closings)
    assert refuses(deepest + f'{{"a":{innermost}}}' + closings)


def test_nesting_counts_what_is_open_not_what_was() -> None:
    assert read_tree("[" + "[[]]," * MAX_NESTING + "1]") == [[[]]] * MAX_NESTING + [1]


def test_deep_text_deep_in_a_thread_needs_no_stack() -> None:
    outcomes: list[bool] = []

    def dive(frames: int) -> None:
        if frames:
            return dive(frames - 1)
        outcomes.append(refuses("[" * MAX_NESTING + "]" * MAX_NESTING))
        outcomes.append(refuses("[" * 2 * MAX_NESTING + "]" * 2 * MAX_NESTING))

    thread = threading.Thread(target=dive, args=(sys.getrecursionlimit() - 50,))
    thread.start()
    thread.join()
    assert outcomes == [False, True]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("text", [
    "[" + "[]," * 100_000, " " * 1_000_000 + "x", '"' + "\\\\" * 500_000, '["' + "\\u0041" * 50_000,
    "1" * 1_000_000, "[1." + "1" * 1_000_000 + "]", "[" + " " * 1_000_000, '{"' + "k" * 1_000_000 + '":1}',
    '["' + '","' * 100_000, '{"a":' * 100_000, "-" * 1_000_000, '"' + SMILE * 300_000 + "\\",
], ids=lambda text: text[:8])
def test_hostile_text_is_refused_in_linear_time(text: str) -> None:
    assert refuses(text)


# Value to text.

@pytest.mark.parametrize("text, expected", [
    ('"a\\nb"', "a\nb"), ('""', ""), ("null", "null"), ("true", "true"), ("false", "false"),
    ("12", "12"), ("-0", "0"), ("-12345678901234567890", "-12345678901234567890"),
    ("1.50", "1.5"), ("1e3", "1000.0"), ("1e7", "1.0E7"),
    ("0.0001", "1.0E-4"), ("9999999.0", "9999999.0"), ("-0.0", "-0.0"), ("4.9e-324", "4.9E-324"),
    ("1e400", "Infinity"), ("-1e400", "-Infinity"),
    ("[1]", ""), ("{}", ""), ("[]", ""), ('{"a":"b"}', ""), ("", ""),
])
def test_as_text(text: str, expected: str) -> None:
    assert as_text(read_tree(text)) == expected


# Doubles: bits and text, from the JVM's Double.toString.

DOUBLES = [
    (0x0000000000000000, "0.0"), (0x8000000000000000, "-0.0"), (0x3FF0000000000000, "1.0"),
    (0xBFF0000000000000, "-1.0"), (0x3FB999999999999A, "0.1"), (0x3FC999999999999A, "0.2"),
    (0x3FD3333333333333, "0.3"), (0x3FF8000000000000, "1.5"), (0x4059000000000000, "100.0"),
    (0x408F400000000000, "1000.0"), (0x40FE240C9FBE76C9, "123456.789"), (0x3F50624DD2F1A9FC, "0.001"),
    (0xBF50624DD2F1A9FC, "-0.001"), (0x3F50624DD2F1A9FB, "9.999999999999998E-4"),
    (0x3F50385C67DFE32A, "9.9E-4"), (0x3F1A36E2EB1C432D, "1.0E-4"), (0x3EE4F8B588E368F1, "1.0E-5"),
    (0x416312CFE0000000, "9999999.0"), (0x416312CFFFFFFFFF, "9999999.999999998"),
    (0x416312D000000000, "1.0E7"), (0xC16312D000000000, "-1.0E7"), (0x41678C29DCCCCCCD, "1.23456789E7"),
    (0x4197D78400000000, "1.0E8"), (0x42047D3570000000, "1.1E10"),
    (0x437B69B4BA630F35, "1.2345678901234568E17"), (0x430C6BF526340000, "1.0E15"),
    (0x4341C37937E08000, "1.0E16"), (0x4340000000000000, "9.007199254740992E15"),
    (0x4340000000000001, "9.007199254740994E15"), (0x4350000000000000, "1.8014398509481984E16"),
    (0x444B1AE4D6E2EF50, "1.0E21"), (0x4480F0CF064DD592, "1.0E22"), (0x44B52D02C7E14AF6, "1.0E23"),
    (0x44C52D02C7E14AF6, "2.0E23"), (0x44B41DF5D77C6D9D, "9.5E22"), (0x447C7E83209E90B2, "8.41E21"),
    (0x3F60624DD2F1A9FC, "0.002"), (0x0000000000000001, "4.9E-324"), (0x0000000000000002, "9.9E-324"),
    (0x0000000000000003, "1.5E-323"), (0x0000000000000004, "2.0E-323"), (0x0000000000000006, "3.0E-323"),
    (0x0000000000000009, "4.4E-323"), (0x000000000000000A, "4.9E-323"), (0x0000000000000014, "9.9E-323"),
    (0x000000000000001E, "1.5E-322"), (0x0010000000000000, "2.2250738585072014E-308"),
    (0x000FFFFFFFFFFFFF, "2.225073858507201E-308"), (0x7FEFFFFFFFFFFFFF, "1.7976931348623157E308"),
    (0xFFEFFFFFFFFFFFFF, "-1.7976931348623157E308"), (0x7FEFFFFFFFFFFFFE, "1.7976931348623155E308"),
    (0x400921FB54442D18, "3.141592653589793"), (0x4005BF0A8B145769, "2.718281828459045"),
    (0x3FD5555555555555, "0.3333333333333333"), (0x44DFE185CA57C517, "6.02214076E23"),
    (0x390B860BDE023111, "6.62607015E-34"), (0x3C07A4DA290C1653, "1.602176634E-19"),
    (0x3D30000000000000, "5.684341886080802E-14"), (0x3D2FFFFFFFFFFFFF, "5.684341886080801E-14"),
    (0x439825B8C7F52E00, "4.35E17"), (0x3E60000000000000, "2.9802322387695312E-8"),
    (0x3E80000000000000, "1.1920928955078125E-7"), (0x4330000000000000, "4.503599627370496E15"),
    (0x432FFFFFFFFFFFFF, "4.5035996273704955E15"), (0x0000000000000FD0, "2.0E-320"),
    (0x0000406DE80B2597, "3.5E-310"), (0x54B249AD2594C37D, "1.0E100"), (0x2B2BFF2EE48E0530, "1.0E-100"),
    (0x3E080D43DE9CC603, "7.0E-10"), (0x7FF0000000000000, "Infinity"), (0xFFF0000000000000, "-Infinity"),
    (0x7FF8000000000000, "NaN"),
]


def double_of(bits: int) -> float:
    value: float = struct.unpack(">d", bits.to_bytes(8, "big"))[0]
    return value


def bits_of(number: float) -> bytes:
    return struct.pack(">d", number)


@pytest.mark.parametrize("bits, text", DOUBLES)
def test_double_text_is_javas(bits: int, text: str) -> None:
    assert double_text(double_of(bits)) == text


@settings(deadline=None, max_examples=300)
@given(st.floats(allow_nan=False) | st.integers(0, 2**64 - 1).map(double_of).filter(math.isfinite))
def test_double_text_reads_back_as_the_same_double(number: float) -> None:
    text = double_text(number)
    assert bits_of(float(text)) == bits_of(number)
    if math.isfinite(number):
        tree = read_tree(text)
        assert isinstance(tree, float) and bits_of(tree) == bits_of(number)
        assert ("E" in text) == (number != 0 and not 1e-3 <= abs(number) < 1e7)


# Writing.

@pytest.mark.parametrize("value, text", [
    ({"type": "pong", "payload": {"at": 1}, "timestamp": 2},
     '{"type":"pong","payload":{"at":1},"timestamp":2}'),
    ({"b": 1, "a": [True, False, None, -1, 1.5, "x", []]}, '{"b":1,"a":[true,false,null,-1,1.5,"x",[]]}'),
    ('"\\/<script>&\x7f\u2028é世' + SMILE, '"\\"\\\\/<script>&\x7f\u2028é世' + SMILE + '"'),
    ("\b\t\n\f\r\x00\x0b\x1f", '"\\b\\t\\n\\f\\r\\u0000\\u000B\\u001F"'), ({'"\n': 1}, '{"\\"\\n":1}'),
    ([1e7, 1e-4, -0.0, 100.0], "[1.0E7,1.0E-4,-0.0,100.0]"), (10 ** 30, "1" + "0" * 30),
    ([math.nan, math.inf, -math.inf], '["NaN","Infinity","-Infinity"]'), (LOW, f'"{LOW}"'), ("", '""'),
])
def test_to_json(value: object, text: str) -> None:
    assert to_json(value) == text


@pytest.mark.parametrize("value", [(1, 2), {1}, b"x", object(), MISSING, [{"a": (1,)}], {1: 2}])
def test_to_json_refuses_what_is_not_json(value: object) -> None:
    with pytest.raises(TypeError):
        to_json(value)


# Properties.

anything = st.text(st.characters(exclude_categories=()))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)
spaces = st.text(" \t\r\n", max_size=3)
#: Pieces of JSON in any order: near misses and sometimes a hit.
soup = st.lists(
    st.sampled_from([
        "{", "}", "[", "]", ",", ":", " ", "\n", '"', '"a"', '"type":', "\\", "\\u", "0041", "\\ud83d", "\\n",
        "null", "true", "false", "0", "1", "-", "+", ".", "e", "E5", "1.5", "\x00", "\x7f", "\xa0", "\u0130",
        "\ufeff", "é", SMILE,
    ]),
    max_size=15,
).map("".join)


def same(left: object, right: object) -> bool:
    """Equal in value and in type, 1 and 1.0 and True apart, -0.0 and 0.0 too."""
    return to_json(left) == to_json(right)


@settings(deadline=None, max_examples=200)
@given(values, st.booleans(), spaces, spaces, spaces, st.none() | st.integers(0, 3), anything)
def test_any_json_text_with_any_tail(
    value: object, ascii_only: bool, before: str, around_comma: str, around_colon: str, indent: int | None,
    tail: str,
) -> None:
    separators = (f"{around_comma},{around_comma}", f":{around_colon}")
    text = before + json.dumps(value, ensure_ascii=ascii_only, separators=separators, indent=indent)
    assert same(read_tree(text), value)
    assert same(read_tree(f"{text} {tail}"), value)
    if isinstance(value, (dict, list, str)):
        assert same(read_tree(text + tail), value)


@settings(deadline=None, max_examples=500)
@given(soup)
def test_agrees_with_the_standard_library_where_that_accepts(text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        return
    assert same(read_tree(text), expected)


@settings(deadline=None, max_examples=500)
@given(soup | anything)
def test_nothing_but_json_error_is_ever_raised(text: str) -> None:
    try:
        tree = read_tree(text)
    except JsonError:
        return
    assert isinstance(as_text(tree), str)
    if tree is not MISSING:
        assert same(read_tree(to_json(tree)), tree)


@settings(deadline=None, max_examples=200)
@given(values)
def test_written_text_is_read_back_by_both_readers(value: object) -> None:
    text = to_json(value)
    assert same(read_tree(text), value)
    assert same(json.loads(text), value)


@settings(deadline=None, max_examples=200)
@given(anything, st.booleans())
def test_any_string_survives_with_its_pairs_joined(string: str, escaped: bool) -> None:
    joined = string.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    text = json.dumps(string) if escaped else to_json(string)
    assert read_tree(text) == joined
    assert read_tree(f"{{{text}:1}}") == {joined: 1}


def test_a_text_of_many_escapes_lets_others_in_between(monkeypatch):
    pauses = []
    monkeypatch.setattr("livestream.stream.jackson.sleep", pauses.append)
    assert read_tree('{"a":"%s"}' % (r"\n" * 20_000)) == {"a": "\n" * 20_000}
    assert len(pauses) == 4
