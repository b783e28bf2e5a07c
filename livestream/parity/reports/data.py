"""A report as data, for programs to read."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from livestream.parity.judging.difference import Difference
from livestream.parity.judging.verdict import Layer, Report, Result, Verdict

FORMAT: Final = "livestream-parity/1"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def json_report(report: Report) -> str:
    """The report as one JSON object, indented, with a newline at the end.

    ::

        {"format": "livestream-parity/1",
         "subject": URL, "reference": in words what it was judged by,
         "verdict": "same" | "explained" | "different" | "no answer", the worst of all results,
         "started": when it began, "seconds": how long it took, "notes": [what was left out, and why, …],
         "layers": [{"name", "verdict", "counts": {each of the four verdicts: how many cases}}, …],
         "results": [{
             "name": "layer/case", "layer", "verdict", "seconds",
             "differences": [{"where": field, "expected", "got"}, …], varying parts masked,
             "reason": of "explained" the deviation, of "no answer" what happened, else "",
             "flags": [faults of the original that explain it, turned round, …],
             "replay": the command that plays it again,
             "send": [steps as in the corpus, …], "request": as in the corpus, or null,
             "expected": observation, "observed": observation, null when there is none}, …]}

    Results stand in the order of the run. It is strict JSON: a number that JSON lacks becomes text ("nan",
    "inf"). Text stands as it is, but for unpaired surrogates, which UTF-8 lacks: they are escaped.
    """
    text = json.dumps(_whole(report), ensure_ascii=False, allow_nan=False, indent=1)
    return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"


def _whole(report: Report) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "subject": report.subject,
        "reference": report.reference,
        "verdict": report.verdict.value,
        "started": report.started,
        "seconds": _seconds(report.seconds),
        "notes": list(report.notes),
        "layers": [_layer(layer) for layer in report.layers],
        "results": [_result(report, result) for result in report.results],
    }


def _layer(layer: Layer) -> dict[str, Any]:
    counts = {verdict.value: layer.counts.get(verdict, 0) for verdict in Verdict}
    return {"name": layer.name, "verdict": layer.verdict.value, "counts": counts}


def _result(report: Report, result: Result) -> dict[str, Any]:
    return {
        "name": result.name,
        "layer": result.layer,
        "verdict": result.verdict.value,
        "seconds": _seconds(result.seconds),
        "differences": _differences(result.differences),
        "reason": result.reason,
        "flags": list(result.flags),
        "replay": report.replay(result),
        "send": _plain(result.case.send),
        "request": _plain(result.case.request),
        "expected": _plain(result.case.observed),
        "observed": _plain(result.observed),
    }


def _differences(differences: Iterable[Difference]) -> list[dict[str, Any]]:
    return [
        {"where": where, "expected": _plain(expected), "got": _plain(got)}
        for where, expected, got in differences
    ]


def _seconds(seconds: float) -> Any:
    return _plain(round(seconds, 3))


def _plain(value: Any) -> Any:
    """The same of nothing but what JSON has."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, (str, int, float)) else str(value)
