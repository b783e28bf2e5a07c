"""A report in the XML that continuous integration shows: one suite per layer, one test per case."""

from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Final

from junitparser import Error, Failure, JUnitXml, TestCase, TestSuite

from livestream.parity.judging.verdict import Report, Result, Verdict
from livestream.parity.reports.headline import flags_told
from livestream.parity.reports.marking import marked, plain
from livestream.parity.reports.sent import shortened, visible

_SUITES: Final = "parity"


def junit_report(report: Report) -> str:
    """JUnit's XML, declared as UTF-8.

    Different is a failure, no answer an error; explained passes, with the reason in `system-out`. What XML
    1.0 forbids (section 2.2) is written out, such as ⟨U+0000⟩. Between ⟦ and ⟧ stands what differs.
    """
    root = JUnitXml(_SUITES)
    for layer in report.layers:
        root.add_testsuite(_suite(report, layer.name))
    # Set by hand: the library would add up the times of cases that were played at once.
    root.time = round(report.seconds, 3)
    root.tests = len(report.results)
    root.failures = len(report.of(Verdict.DIFFERENT))
    root.errors = len(report.of(Verdict.NO_ANSWER))
    root.skipped = 0
    file = BytesIO()
    root.write(file)
    return file.getvalue().decode() + "\n"


def _suite(report: Report, layer: str) -> TestSuite:
    suite = TestSuite(f"{_SUITES}.{layer}")
    suite.add_property("subject", visible(report.subject))
    suite.add_property("reference", visible(report.reference))
    for note in report.notes:
        suite.add_property("note", visible(note))
    suite.add_testcases([_test(report, result) for result in report.results if result.layer == layer])
    return suite


def _test(report: Report, result: Result) -> TestCase:
    test = TestCase(visible(result.case.name), f"{_SUITES}.{result.layer}", round(result.seconds, 3))
    match result.verdict:
        case Verdict.DIFFERENT:
            failure = Failure(_message(result.differences), result.verdict.value)
            failure.text = visible("\n".join([*_differences(result), report.replay(result)]))
            test.result = failure
        case Verdict.NO_ANSWER:
            error = Error(visible(result.reason), result.verdict.value)
            error.text = visible(f"{result.reason}\n{report.replay(result)}")
            test.result = error
        case Verdict.EXPLAINED:
            test.system_out = visible(result.reason)
    return test


def _message(differences: Sequence[object]) -> str:
    return visible(shortened(str(differences[0]))) if differences else ""


def _differences(result: Result) -> Iterator[str]:
    for where, expected, got in result.differences:
        sides = marked(expected, got)
        yield f"{where}\n  expected: {plain(sides.expected)}\n  got:      {plain(sides.got)}\n"
    if result.flags:
        yield f"{flags_told(result.flags)}\n"
