"""The reports that are files: HTML, JUnit's XML and JSON, and how both sides are marked and told."""

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from junitparser import Error, Failure, JUnitXml

from livestream.parity.cases import Case, load_cases, load_session
from livestream.parity.contractlog import ContractLog
from livestream.parity.judge import Judge, session_case
from livestream.parity.judging.difference import NOTHING, Difference
from livestream.parity.judging.expectations import AS_RECORDED, expected
from livestream.parity.judging.verdict import Report, Result, Verdict
from livestream.parity.plan import Plan
from livestream.parity.playing.player import Target
from livestream.parity.reports.data import json_report
from livestream.parity.reports.headline import flags_told, groups, headline
from livestream.parity.reports.html import LONGEST_PART, MOST, html_report
from livestream.parity.reports.junit import junit_report
from livestream.parity.reports.marking import CONTEXT, marked, plain, shown
from livestream.parity.reports.sent import EMPTY, LONGEST, sent, shortened, visible

URL = "http://server.invalid:9003"
COMMAND = f"livestream parity {URL}"
HOSTILE = "</script><script>alert('&amp;')</script>\x00\x07\x1b[31m\r\ud800\u202e" + "x" * 100_000
PLAN = Plan(Target(URL))
JUDGE = Judge(PLAN)
CASES = {
    f"{kind}/{case.name}": case
    for kind in ("messages", "frames", "handshake", "http", "shipped")
    for case in load_cases(f"{kind}.jsonl")
}


def changed(name, **observed):
    """The verdict on a case of the corpus with some fields observed otherwise."""
    case = CASES[name]
    return JUDGE.case(case, {**case.observed, **observed}, seconds=0.25)


def excused(name):
    case = CASES[name]
    return changed(name, **PLAN.deviations.of(case).instead)


def without_flag(name, flag):
    case = CASES[name]
    return JUDGE.case(case, dict(expected(case, AS_RECORDED - {flag}).observed), 0.25)


def slow_session():
    recorded = load_session("tps-only")
    slow = tuple(replace(step, at=round(step.at * 1.03, 3)) for step in recorded.steps)
    return JUDGE.session(recorded, replace(recorded, steps=slow), 31.25)


def whole(*results, **more):
    return Report(URL, "the corpus of <somebody> & others", results, seconds=42.5, command=COMMAND, **more)


SAME = changed("messages/ping")
WRONG_PONG = changed("messages/ping-extra", replies=['{"type":"pong","payload":{},"late":true}'])
UNKNOWN = without_flag("messages/sub-unknown", "confirms_unknown_channels")
EXCUSED = excused("frames/close-1014")
SILENT = JUDGE.silent(CASES["handshake/no-key"], f"{URL} gave <no> answer within 5 s.", 5.0)
SLOW = slow_session()
EVIL = changed("frames/binary-ping", replies=[HOSTILE], close={"code": 1003, "reason": HOSTILE})
REPORT = whole(SAME, WRONG_PONG, UNKNOWN, EXCUSED, SILENT, SLOW, EVIL, notes=("<b>left out</b>",))
FAILED = [result for result in REPORT.results if result.verdict.fails]
NOTHING_PLAYED = Report(URL, "nobody", ())


def test_the_report_to_be_shown_has_every_verdict():
    assert [result.verdict for result in REPORT.results] == [
        Verdict.SAME, Verdict.DIFFERENT, Verdict.DIFFERENT, Verdict.EXPLAINED, Verdict.NO_ANSWER,
        Verdict.DIFFERENT, Verdict.DIFFERENT]
    assert UNKNOWN.flags == ("confirms_unknown_channels",)


# HTML


VOID = {"meta", "br", "hr", "img", "input", "link", "wbr"}


class Page(HTMLParser):
    """A page as a reader gets it. Fails when a tag is not closed in its place."""

    def __init__(self, source):
        super().__init__()
        self.tags = []
        self.attributes = []
        self.headings = []
        self.marks = []
        self.cases = {}
        self.text = ""
        self._open = []
        self._case = None
        self.feed(source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)
        if "id" in attributes:
            self._case = self.cases.setdefault(attributes["id"], [])
        if re.fullmatch("h[1-6]", tag):
            self.headings.append([int(tag[1]), ""])
        if tag == "mark":
            self.marks.append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag
        if tag == "details":
            self._case = None

    def handle_data(self, data):
        if "style" in self._open:
            return
        self.text += data
        if self._case is not None:
            self._case.append(data)
        if any(re.fullmatch("h[1-6]", tag) for tag in self._open):
            self.headings[-1][1] += data
        if "mark" in self._open:
            self.marks[-1] += data

    def case(self, name):
        """The text of the details of one case."""
        return next(text for text in map("".join, self.cases.values()) if text.split()[0] == name)


@pytest.fixture(scope="module")
def source():
    return html_report(REPORT)


@pytest.fixture(scope="module")
def page(source):
    return Page(source)


def page_of(*results):
    return Page(html_report(whole(*results)))


def test_the_page_is_html_whose_first_heading_is_the_headline(source, page):
    assert source.startswith("<!DOCTYPE html>")
    assert source.endswith("</html>\n")
    assert page.headings[0] == [1, visible(headline(REPORT))]
    assert page.tags[:2] == ["html", "head"]


def test_the_headings_leave_no_level_out(page):
    levels = [level for level, _ in page.headings]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:]))


def test_the_page_needs_nothing_from_outside(source, page):
    assert not {"script", "link", "img", "iframe", "object", "embed", "base"} & set(page.tags)
    references = [value for name, value in page.attributes if name in ("src", "href", "srcset", "action")]
    assert references
    assert all(value.startswith("#case-") for value in references)
    style = re.search("<style>(.*?)</style>", source, re.DOTALL)[1]
    assert not re.search(r"@import|url\(|//", style)
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_each_link_leads_to_a_case_of_the_page(page):
    anchors = [value for name, value in page.attributes if name == "id"]
    links = [value.removeprefix("#") for name, value in page.attributes if name == "href"]
    assert sorted(links) == sorted(anchors)
    assert len(set(anchors)) == len(anchors)


def test_what_a_server_sent_is_text_and_never_a_tag(source, page):
    assert "<script" not in source.lower()
    assert "</script>" in page.text
    assert "alert('&amp;')" in page.text
    assert "<b>left out</b>" in page.text
    assert "<somebody> & others" in page.text


def test_no_character_is_on_the_page_that_html_or_utf8_forbids(source, page):
    assert source.encode().decode() == source
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", source)
    assert "⟨U+0000⟩⟨U+0007⟩⟨U+001B⟩[31m⟨U+000D⟩⟨U+D800⟩⟨U+202E⟩" in page.text


def test_a_long_answer_does_not_make_the_page_long(source):
    assert len(source) < 30_000
    assert f"… {len(HOSTILE) - LONGEST_PART} more …" in source


@pytest.mark.parametrize("result", FAILED, ids=lambda result: result.name)
def test_each_failing_case_is_there_with_what_was_sent_and_how_to_play_it_again(page, result):
    text = page.case(result.name)
    assert result.verdict.value in text
    assert REPORT.replay(result) in text
    assert all(line in text for line in sent(result.case))
    assert all(difference.where in text for difference in result.differences)
    assert result.reason in text
    if result.flags:
        assert flags_told(result.flags) in text


def test_failing_cases_come_in_the_order_of_their_groups(page):
    shown_names = [text for level, text in page.headings if level == 4]
    failed = [result.name for group in groups(REPORT) for result in group.results]
    assert shown_names == [*failed, EXCUSED.name]


def test_the_excused_cases_stand_under_the_deviation_and_its_reason(page):
    deviation = PLAN.deviations.of(EXCUSED.case)
    assert [3, f"{deviation.name} (1)"] in page.headings
    assert f"{deviation.name} (1)\n{deviation.reason}\n" in page.text
    assert deviation.reason in page.case(EXCUSED.name)


def test_what_was_not_answered_stands_under_what_happened(page):
    assert f"No answer (1)\n{SILENT.reason}\n" in page.text


def test_the_part_that_differs_is_marked_and_the_rest_is_not():
    name = "messages/sub-unknown"
    (reply,) = CASES[name].observed["replies"]
    page = page_of(changed(name, replies=[reply.replace("subscribed", "joined")]))
    assert page.marks == ["subscribed", "joined"]
    start = '{"type":"subscription_confirmed","payload":{"channel":"nope","status":"'
    end = '"},"timestamp":<milliseconds>}'
    assert f"expected{start}subscribed{end}" in page.case(name)
    assert f"got{start}joined{end}" in page.case(name)


def test_a_missing_reply_is_marked_as_a_whole():
    page = page_of(changed("messages/ping", replies=[]))
    assert page.marks == ['{"type":"pong","payload":{"timestamp":<milliseconds>},"timestamp":<milliseconds>}',
                          NOTHING]


def test_an_empty_side_says_so():
    page = page_of(changed("http/not-found", body=""))
    assert EMPTY in page.case("http/not-found")


def test_a_session_shows_the_figures_of_both_sides_by_channel(page):
    rows = page.case("cadence/tps-only").split("Figures of the session")[1].splitlines()
    lines = [line for line in rows if line.startswith(("tps_update", "got"))]
    assert len(lines) == 2
    assert all("–" not in line for line in lines)
    names = ("delivered", "first_update", "mean", "median", "spread", "bytes_per_second")
    for line, side in zip(lines, (SLOW.case.observed, SLOW.observed)):
        assert line.endswith("".join(f"{side['tps_update'][name]:g}" for name in names))
    assert "Figures of" not in page.case(UNKNOWN.name)


def test_a_channel_that_one_side_lacks_is_in_the_table_too():
    recorded = load_session("tps-only")
    steps = tuple(step for step in recorded.steps if "tps_update" not in str(step.text))
    mute = replace(recorded, steps=steps)
    text = page_of(JUDGE.session(recorded, mute)).case("cadence/tps-only")
    assert "got––––––" in text


def test_a_session_without_an_answer_has_no_figures():
    page = page_of(JUDGE.silent(session_case(load_session("tps-only")), "Nobody."))
    assert "Figures of" not in page.text


def test_the_layers_are_counted_by_verdict(source, page):
    table = re.search('<table class="layers">(.*?)</table>', source, re.DOTALL)[1]
    rows = [re.findall(r"<t[hd][^>]*>(?:<span[^>]*>)?([^<]*)", row) for row in table.split("<tr>")[1:]]
    assert rows == [
        ["layer", "verdict", "same", "explained", "different", "no answer", "cases"],
        ["handshake", "no answer", "0", "0", "0", "1", "1"],
        ["frames", "different", "0", "1", "1", "0", "2"],
        ["messages", "different", "1", "0", "2", "0", "3"],
        ["cadence", "different", "0", "0", "1", "0", "1"],
        ["all", "no answer", "1", "1", "4", "1", "7"],
    ]


def test_every_header_of_a_table_says_what_it_heads(source):
    headers = re.findall(r"<th\b[^>]*>", source)
    assert headers
    assert all(re.search(' scope="(col|row|rowgroup)"', header) for header in headers)


def test_in_the_end_all_cases_are_listed_with_verdict_and_seconds(source):
    listed = source.split("<h2>All cases</h2>")[1]
    row = r'<th scope="row">(?:<a[^>]*>)?([^<]*).*?>([a-z ]+)</span></td><td>([\d.]+)</td>'
    rows = re.findall(row, listed)
    assert sorted(rows) == sorted(
        (result.case.name, result.verdict.value, f"{result.seconds:.2f}") for result in REPORT.results)


def test_it_says_what_was_judged_by_what_and_how_long_it_took(page):
    for said in (f"judged{URL}", "bythe corpus of <somebody> & others", "took42.50 s", "note<b>left out</b>"):
        assert said in page.text


def test_more_differences_and_steps_than_anyone_reads_are_counted():
    many = changed("messages/ping", replies=[f"reply {at}" for at in range(1, MOST + 6)])
    steps = tuple({"text": f"step {at}"} for at in range(MOST + 3))
    text = page_of(replace(many, case=replace(many.case, send=steps))).case("messages/ping")
    assert f"reply {MOST}" in text
    assert f"reply {MOST + 1}" not in text
    assert "and 5 more differences" in text
    assert f"step {MOST - 1}\n" in text
    assert f"step {MOST}\n" not in text
    assert "and 3 more steps" in text


@pytest.mark.parametrize(
    "results", [(), (SAME,), (EXCUSED,), (SILENT,)], ids=["none", "same", "excused", "silent"])
def test_a_section_without_cases_is_not_there(results):
    page = page_of(*results)
    sections = [text for level, text in page.headings if level == 2]
    failed = any(result.verdict.fails for result in results)
    assert ("What failed" in sections) == failed
    assert ("What is explained" in sections) == (EXCUSED in results)
    assert ("All cases" in sections) == bool(results)
    assert page.headings[0][1] == headline(whole(*results))


# JUnit


@pytest.fixture(scope="module")
def xml():
    return junit_report(REPORT)


@pytest.fixture(scope="module")
def suites(xml):
    return {suite.name: suite for suite in JUnitXml.fromstring(xml.encode())}


def by_name(suites):
    return {f"{test.classname}/{test.name}": test for suite in suites.values() for test in suite}


def test_every_layer_is_a_suite_and_every_result_a_test(suites):
    assert list(suites) == [f"parity.{layer.name}" for layer in REPORT.layers]
    tests = by_name(suites)
    assert sorted(tests) == sorted(f"parity.{result.name}" for result in REPORT.results)
    assert tests["parity.cadence/tps-only"].time == 31.25


def test_failures_and_errors_are_counted(xml, suites):
    counts = {
        name: (suite.tests, suite.failures, suite.errors, suite.skipped) for name, suite in suites.items()}
    assert counts == {
        "parity.handshake": (1, 0, 1, 0), "parity.frames": (2, 1, 0, 0),
        "parity.messages": (3, 2, 0, 0), "parity.cadence": (1, 1, 0, 0),
    }
    root = ElementTree.fromstring(xml.encode())
    totals = {name: root.get(name) for name in ("tests", "failures", "errors", "skipped", "time")}
    assert totals == {"tests": "7", "failures": "4", "errors": "1", "skipped": "0", "time": "42.5"}
    assert len(root.findall(".//failure")) == 4
    assert len(root.findall(".//error")) == 1


def test_a_difference_is_a_failure_that_tells_all_of_it(suites):
    (failure,) = by_name(suites)["parity.messages/sub-unknown"].result
    assert isinstance(failure, Failure)
    assert failure.type == "different"
    assert failure.message == str(UNKNOWN.differences[0])
    assert "expected: " in failure.text
    assert "⟦error⟧" in failure.text
    assert flags_told(UNKNOWN.flags) in failure.text
    assert REPORT.replay(UNKNOWN) in failure.text


def test_every_difference_is_in_the_text(suites):
    (failure,) = by_name(suites)["parity.frames/binary-ping"].result
    assert len(EVIL.differences) > 1
    assert all(f"{difference.where}\n" in failure.text for difference in EVIL.differences)


def test_no_answer_is_an_error(suites):
    (error,) = by_name(suites)["parity.handshake/no-key"].result
    assert isinstance(error, Error)
    assert (error.type, error.message) == ("no answer", SILENT.reason)
    assert REPORT.replay(SILENT) in error.text


def test_same_and_explained_have_passed(suites):
    tests = by_name(suites)
    assert tests["parity.messages/ping"].is_passed
    assert tests["parity.messages/ping"].system_out is None
    excused_test = tests["parity.frames/close-1014"]
    assert excused_test.is_passed
    assert not excused_test.is_skipped
    assert excused_test.system_out == EXCUSED.reason


def test_what_xml_forbids_is_written_out(xml):
    text = ElementTree.fromstring(xml.encode()).find(".//testcase[@name='binary-ping']/failure").text
    assert "</script><script>alert('&amp;')</script>⟨U+0000⟩⟨U+0007⟩⟨U+001B⟩[31m⟨U+000D⟩⟨U+D800⟩" in text


@given(st.text())
def test_any_text_survives_in_a_file_of_xml(text):
    result = Result(replace(SAME.case, name=text), Verdict.NO_ANSWER, reason=text)
    (suite,) = JUnitXml.fromstring(junit_report(whole(result)).encode())
    (test,) = suite
    assert test.name == visible(text)
    assert test.result[0].text == visible(f"{text}\n{whole().replay(result)}")


def test_a_report_without_results_is_a_file_too():
    root = JUnitXml.fromstring(junit_report(NOTHING_PLAYED).encode())
    assert (len(root), root.tests) == (0, 0)
    assert json.loads(json_report(NOTHING_PLAYED))["results"] == []


# JSON


def not_strict(constant):
    raise AssertionError(f"{constant} is no JSON")


def read_json(text):
    return json.loads(text.encode().decode(), parse_constant=not_strict)


def test_the_data_has_the_whole_run():
    data = read_json(json_report(REPORT))
    results = data.pop("results")
    layers = data.pop("layers")
    assert data == {
        "format": "livestream-parity/1", "subject": URL, "reference": REPORT.reference,
        "verdict": "no answer", "started": "", "seconds": 42.5, "notes": ["<b>left out</b>"],
    }
    assert layers[1] == {"name": "frames", "verdict": "different", "counts": {
        "same": 0, "explained": 1, "different": 1, "no answer": 0}}
    assert [layer["name"] for layer in layers] == [layer.name for layer in REPORT.layers]
    assert [result["name"] for result in results] == [result.name for result in REPORT.results]


@pytest.mark.parametrize("number", range(len(REPORT.results)))
def test_the_data_has_every_result_as_it_is(number):
    result = REPORT.results[number]
    assert read_json(json_report(REPORT))["results"][number] == {
        "name": result.name, "layer": result.layer, "verdict": result.verdict.value,
        "seconds": result.seconds, "reason": result.reason, "flags": list(result.flags),
        "differences": [difference._asdict() for difference in result.differences],
        "replay": REPORT.replay(result), "send": list(result.case.send), "request": result.case.request,
        "expected": result.case.observed, "observed": result.observed,
    }


def test_text_is_readable_and_only_unpaired_surrogates_are_escaped():
    text = json_report(whole(changed("messages/ping", replies=["héllo 🌍 \ud800\x00"])))
    assert 'héllo 🌍 \\ud800\\u0000"' in text
    assert text.endswith("}\n")


def test_numbers_that_json_lacks_become_text():
    odd = Result(SAME.case, Verdict.DIFFERENT, {"figures": (math.nan, {"deep": -math.inf})},
                 (Difference("mean", math.inf, {1, 1}),), seconds=math.nan)
    (result,) = read_json(json_report(whole(odd)))["results"]
    assert result["observed"] == {"figures": ["nan", {"deep": "-inf"}]}
    assert result["differences"] == [{"where": "mean", "expected": "inf", "got": "{1}"}]
    assert result["seconds"] == "nan"


# Marking


#: So short that no equal part is shortened.
SHORT = 2 * CONTEXT
#: Few letters, so that two texts have much in common.
ALIKE = st.text("ab {}\",:\n", max_size=SHORT)
ANY = st.text(max_size=SHORT)


@given(st.one_of(st.tuples(ALIKE, ALIKE), st.tuples(ANY, ANY)))
def test_the_pieces_of_each_side_are_the_whole_of_it(sides):
    for side, pieces in zip(sides, marked(*sides)):
        assert "".join(piece.text for piece in pieces) == side


@given(ALIKE, ALIKE)
def test_what_is_not_marked_is_the_same_on_both_sides(one, other):
    equal = ["".join(piece.text for piece in side if not piece.differs) for side in marked(one, other)]
    assert equal[0] == equal[1]
    assert any(piece.differs for side in marked(one, other) for piece in side) == (one != other)


@pytest.mark.parametrize(("one", "other", "sides"), [
    ('{"type":"pong"}', '{"type":"error"}', ['{"type":"⟦pong⟧"}', '{"type":"⟦error⟧"}']),
    ("a b c", "a c", ["a ⟦b ⟧c", "a c"]),
    ("405", "404", ["⟦405⟧", "⟦404⟧"]),
    ("same", NOTHING, ["⟦same⟧", f"⟦{NOTHING}⟧"]),
    ("(nothing else)", NOTHING, ["⟦(nothing else)⟧", f"⟦{NOTHING}⟧"]),
])
def test_words_that_differ_are_marked_whole(one, other, sides):
    assert [plain(side) for side in marked(one, other)] == sides


def test_a_long_equal_part_is_shortened_on_both_sides():
    sides = marked("a" * 500 + " X", "a" * 500 + " Y")
    assert [plain(side) for side in sides] == [
        f"{'a' * CONTEXT} … {501 - 2 * CONTEXT} more … {'a' * (CONTEXT - 1)} ⟦{end}⟧" for end in "XY"]


def test_very_long_texts_are_marked_from_the_first_difference_to_the_last():
    sides = marked(f"<{'a b ' * 5_000}>", f"<{'b a ' * 5_000}>")
    assert [[piece.differs for piece in side] for side in sides] == [[False, True, False]] * 2
    assert [side[1].text[:5] for side in sides] == ["a b a", "b a b"]


def test_what_is_no_text_is_shown_as_json():
    assert shown({"code": 1000, "é": None}) == '{"code": 1000, "é": null}'
    assert plain(marked(True, None).got) == "⟦null⟧"


# What was sent


def step(**record):
    return sent(Case("one", "frame", {}, send=(record,)))


def frame(**record):
    return step(frame={"payload_hex": "", **record})


@pytest.mark.parametrize(("lines", "words"), [
    (step(text='{"type":"ping"}'), '{"type":"ping"}'),
    (step(text=""), EMPTY),
    (frame(opcode=8, rsv=4, mask=False, payload_hex="03e8787878"),
     "opcode 8 (close) fin rsv=4 unmasked, 5 bytes: 03e8787878"),
    (frame(opcode=1, fin=False, payload_hex="7b"), "opcode 1 (text) without fin, 1 byte: 7b"),
    (frame(opcode=3), "opcode 3 (reserved) fin, 0 bytes"),
    (step(padded_ping=65_537), "a ping padded to 65537 bytes"),
    (step(padded_ping=131_072, fragment=32_768), "a ping padded to 131072 bytes, in frames of 32768 bytes"),
    (step(raw_hex="81ff80"), "raw, 3 bytes: 81ff80"),
    (step(event="eof"), "event: eof"),
])
def test_a_step_is_told_in_words(lines, words):
    assert lines == [words]


@pytest.mark.parametrize(("name", "lines"), [
    ("handshake/plain", ["GET /api/v11/live/stream HTTP/1.1"]),
    ("handshake/no-key", ["GET /api/v11/live/stream HTTP/1.1", "without Sec-WebSocket-Key"]),
    ("handshake/http-1.0", ["GET /api/v11/live/stream HTTP/1.0"]),
    ("handshake/version-12",
     ["GET /api/v11/live/stream HTTP/1.1", "Sec-WebSocket-Version: 12 (in place of the usual)"]),
    ("http/stats-post", ["POST /api/v11/blockchain/stats HTTP/1.1"]),
    ("shipped/nothing sent", ["nothing"]),
])
def test_a_case_of_the_corpus_is_told_in_words(name, lines):
    assert sent(CASES[name]) == lines


def test_the_headers_of_a_request_are_told():
    added = Case("one", "handshake", {}, request={"path": "/x", "add": [["Origin", "null"]]})
    assert sent(added) == ["GET /x HTTP/1.1", "Origin: null (besides)"]
    request = {"method": "GET", "path": "/", "headers": {"Origin": "null"}}
    assert sent(Case("one", "http", {}, request=request)) == ["GET / HTTP/1.1", "Origin: null"]


def test_a_session_is_told_with_its_times():
    lines = sent(session_case(load_session("mixed")))
    assert lines[0] == 'at 0.40 s: {"type":"ping"}'
    assert lines[-1] == "at 10.00 s: close 1000"


def test_cases_that_no_file_holds_are_told_too():
    assert sent(Case("reset", "statistics", {}, request={"connection ends by": "reset"})) == [
        "connection ends by: reset"]
    log = ContractLog()
    log.watch("{}")
    assert sent(log.result().case) == ["valid by: livestream asyncapi"]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_case_of_the_corpus_can_be_told(case):
    lines = sent(case)
    assert lines
    assert all(0 < len(line) < LONGEST + 30 for line in lines)


def test_a_long_text_loses_its_middle():
    assert shortened("abcdefgh", 8) == "abcdefgh"
    assert shortened("abcdefghi", 8) == "abcdef … 1 more … hi"
    (line,) = step(text="x" * 100_000)
    assert line == f"{'x' * 300} … {100_000 - LONGEST} more … {'x' * 100}"


@pytest.mark.parametrize(("text", "words"), [
    ("a\x00b", "a⟨U+0000⟩b"), ("\ud800", "⟨U+D800⟩"), ("\ufeff\u200b", "⟨U+FEFF⟩⟨U+200B⟩"),
    ("\u202e", "⟨U+202E⟩"), ("\uffff\U0001fffe", "⟨U+FFFF⟩⟨U+1FFFE⟩"), ("\r\n\t", "⟨U+000D⟩\n\t"),
])
def test_what_cannot_be_seen_is_written_out(text, words):
    assert visible(text) == words


@given(st.text())
def test_visible_text_can_be_written_and_is_left_alone_where_it_could_before(text):
    fit = visible(text)
    assert fit.encode().decode() == fit
    assert not re.search("[\x00-\x08\x0b-\x1f\ud800-\udfff]", fit)
    assert visible(fit) == fit
    assert visible("tab\tand\nline, héllo 🌍") == "tab\tand\nline, héllo 🌍"
