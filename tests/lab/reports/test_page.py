"""The page: whole in one file, harmless whatever a server is called, and complete."""

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from livestream.lab.reports.cells import shown
from livestream.lab.reports.claims import MACHINE_NOTE, Verdict, comparison, judged
from livestream.lab.reports.page import html_report
from livestream.lab.reports.pictures import titles
from livestream.lab.reports.words import described, headline
from livestream.lab.results import FIGURES, Step
from tests.lab.reports import samples

VOID = {"meta", "img", "br", "link", "input", "hr"}
HOSTILE = "<script>alert(1)</script>\"'&\x07\u202e{{ 7 * 7 }}</style>"


class Page(HTMLParser):
    """What a browser would find; a tag that isn't closed in its place is an error."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.attributes, self.open, self.tables = [], [], [], []
        self.pieces, self.headings = [], []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_decl(self, declaration):
        assert declaration == "DOCTYPE html"

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attributes]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("th", "td"):
            self.tables[-1][-1].append("")
        if tag in ("h1", "h2"):
            self.headings.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if "style" in self.open:
            return
        self.pieces.append(text)
        if {"th", "td"} & set(self.open):
            self.tables[-1][-1][-1] += text
        if {"h1", "h2"} & set(self.open):
            self.headings[-1] += text

    @property
    def text(self):
        return " ".join("".join(self.pieces).split())

    def table(self, head):
        """The table whose first head is so called."""
        return next(table for table in self.tables if table[0][0] == head)

    def values(self, tag, name):
        return [value for found, attribute, value in self.attributes if (found, attribute) == (tag, name)]


def svgs(results):
    return {name: f"<svg xmlns='http://www.w3.org/2000/svg' id='{name}'/>" for name in titles(results)}


def page(results):
    return Page(html_report(results, svgs(results)))


EMPTY = samples.results("models", [], "broadcaster", planned=4, server={}, host={})
STOPPED = samples.sweep(counts=(100, 1_000), planned=4)
EVERY = [*(make() for make in samples.ALL.values()), EMPTY, STOPPED, samples.sweep(counts=(1,))]


@pytest.mark.parametrize("results", EVERY, ids=lambda results: f"{results.experiment}-{len(results.steps)}")
def test_the_page_is_whole_and_asks_for_nothing(results):
    source = html_report(results, svgs(results))
    found = Page(source)
    assert source.endswith("</html>\n")
    assert found.headings[0] == headline(results)
    assert not {"script", "link", "iframe", "object", "base", "form"} & set(found.tags)
    links = [value for _, name, value in found.attributes if name in ("src", "href", "srcset", "data")]
    assert all(link.startswith("data:image/svg+xml;base64,") for link in links)
    assert not [name for _, name, _ in found.attributes if name.startswith("on")]
    assert "url(" not in source and "@import" not in source
    assert "default-src 'none'" in found.values("meta", "content")[0]
    assert "Undefined" not in source and "None" not in found.text


@pytest.mark.parametrize("results, sentence", [
    (samples.sweep(),
     "A sweep of livestream 0.1.0 on An Example Processor with 2 of 2 cores, 100 to 4,000 clients: "
     "4 steps, all valid."),
    (samples.sweep(counts=(1,), host={"processor": "P"}),
     "A sweep of livestream 0.1.0 on P, 1 client: 1 step, valid."),
    (replace(samples.sweep(counts=(1,), host={"processor": "P"}), server_is_here=False),
     "A sweep of livestream 0.1.0, looked at from a machine with P, 1 client: 1 step, valid."),
    (samples.sweep(invalid=(100, 4_000), host={"cores": "2 of 2"}),
     "A sweep of livestream 0.1.0 with 2 of 2 cores, 100 to 4,000 clients: 4 steps, 2 of them invalid."),
    (samples.sweep(counts=(100,), invalid=(100,), host={"processor": "unknown"}),
     "A sweep of livestream 0.1.0, 100 clients: 1 step, invalid."),
    (samples.sweep(counts=(1, 2), invalid=(1, 2), host={}, server={"url": "ws://a/b"}),
     "A sweep of ws://a/b, 1 to 2 clients: 2 steps, none of them valid."),
    (replace(STOPPED, host={}),
     "A sweep of livestream 0.1.0, 100 to 1,000 clients: stopped after 2 of 4 steps, all valid."),
    (EMPTY, "Several broadcasters of a server: stopped after 0 of 4 steps."),
    (replace(EMPTY, planned=0), "Several broadcasters of a server: 0 steps."),
])
def test_the_headline_says_what_was_measured_on_what_and_whether_it_counts(results, sentence):
    assert headline(results) == sentence
    assert page(results).headings[0] == sentence


@pytest.mark.parametrize("results, colour", [
    (samples.sweep(), "good"), (samples.sweep(invalid=(100,)), "bad"), (STOPPED, "unsure"), (EMPTY, "unsure"),
])
def test_the_headline_has_a_colour(results, colour):
    assert page(results).values("h1", "class") == [colour]


def test_a_run_that_was_stopped_says_so():
    assert "The run ended early: 2 of 4 steps are here." in page(STOPPED).text
    assert "The run ended early: 0 of 4 steps are here." in page(EMPTY).text
    assert "ended early" not in page(samples.sweep()).text


def test_reasons_warnings_and_notes_stand_above_everything_else():
    results = samples.sweep(invalid=(4_000,), notes=["The load shared the machine."])
    results.steps[0] = replace(results.steps[0], warnings=("The load average was 3.1.",))
    text = page(results).text
    parts = [
        "warning 100 clients.", "The load average was 3.1.",
        "invalid 4,000 clients: these figures do not count.",
        "The load itself was late, by 31 ms at p99.", "notes", "The load shared the machine.",
        "What the report claims",
    ]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


@pytest.mark.parametrize("experiment", samples.ALL)
def test_every_claim_is_there_with_its_verdict_and_sentence(experiment):
    results = samples.ALL[experiment]()
    found = page(results)
    rows = [row for table in found.tables if table[0][0] == "claim" for row in table[1:]]
    answered = [row for row in rows if len(row) == 6]
    assert len(rows) == len(judged(results))
    for claim in judged(results):
        if claim.verdict is Verdict.NOT_MEASURED:
            assert [claim.claim, claim.sentence, claim.says, claim.original] in rows
        else:
            assert list(claim[1:2] + (claim.verdict.value, claim.sentence) + claim[2:5]) in answered
    assert bool(answered) is (experiment != "switch-interval")
    assert ("This run answers none of them." in found.text) is not bool(answered)


@pytest.mark.parametrize("results", [samples.sweep(), samples.models()])
def test_the_comparison_has_every_row_under_its_step(results):
    found = page(results)
    table = found.table("figure")
    expected, last = [], None
    for row in comparison(results):
        step = Step(row.condition, row.clients, {}).name
        expected += [[step]] if step != last else []
        expected.append([row.title, row.report, row.original, row.measured, row.ratio])
        last = step
    assert len(expected) > 20
    assert table[1:] == expected
    assert MACHINE_NOTE in found.text


@pytest.mark.parametrize("experiment", samples.ALL)
def test_every_figure_of_every_step_is_there_with_its_unit(experiment):
    results = samples.ALL[experiment](**{"invalid": (100,)} if experiment == "sweep" else {})
    table = [table for table in page(results).tables if table[0][0] == "figure"][-1]
    heads = [f"{step.name}{'' if step.valid else ' invalid'}" for step in results.steps]
    assert table[0] == ["figure", "unit", *heads]
    rows = {title: (unit, values) for title, unit, *values in table[1:]}
    assert len(rows) == len(table) - 1 == len({name for step in results.steps for name in step.figures})
    for at, step in enumerate(results.steps):
        for name, value in step.figures.items():
            unit, values = rows[FIGURES[name].title]
            assert unit == FIGURES[name].unit
            assert shown(name, value).removesuffix(unit).strip() == values[at]


def test_a_figure_that_was_not_measured_is_a_dash_not_a_zero():
    results = samples.results("sweep", [Step("", 100, {"threads": 503}), Step("", 200, {"up": 0})])
    assert page(results).table("figure")[1:]
    rows = {row[0]: row[2:] for row in page(results).tables[-1][1:]}
    assert rows == {FIGURES["threads"].title: ["503", "–"], FIGURES["up"].title: ["–", "0"]}


def test_the_plots_are_inside_each_with_words():
    results = samples.lifecycle()
    found = page(results)
    sources = found.values("img", "src")
    inside = [base64.b64decode(source.partition(",")[2]).decode() for source in sources]
    assert inside == list(svgs(results).values())
    assert found.values("img", "alt") == list(described(results).values())
    assert "Plots" not in page(EMPTY).headings


def test_the_words_of_a_plot_give_its_values():
    words = described(samples.sweep())["threads"]
    assert words.startswith("Threads of the server. Threads in all: this run, 503 at 100 clients to 20,003")
    assert "the original, measured, 454 at 100 clients to 8,124 at 2,000 clients." in words
    assert "the report's claim, 400 at 100 clients to 16,000 at 4,000 clients" in words
    assert "this run (pool), 0 at 100 clients to 0 at 4,000 clients" in described(samples.models())["threads"]
    varied = described(samples.switch_interval())["cpu-per-message"]
    assert "run, 744.5 µs at 0.005 s, 205.0 µs at 0.05 s, 80.5 µs at 0.3 s, 246.5 µs at 1 s" in varied
    assert "the original, measured, 231.0 µs at 1,000 clients." in varied
    assert "(invalid)" in described(samples.sweep(invalid=(4_000,)))["delivered"]
    line = described(samples.lifecycle())["threads-over-time"]
    assert "In 29.9 s: threads in all first 3, at the most 5,003, in the end 3" in line
    assert "all up at 10.0 s" in line


def test_machine_server_and_command_are_told():
    results = samples.sweep()
    text = page(results).text
    for fact in (*results.server.values(), *results.host.values(), results.command, results.started):
        assert fact in text


def hostile():
    step = Step(HOSTILE, 100, samples.figures(100), (HOSTILE,), (HOSTILE,), marks={HOSTILE: 1.0},
                timeline=samples.lifecycle().steps[0].timeline)
    facts = {HOSTILE: HOSTILE, "name": HOSTILE, "processor": HOSTILE}
    return samples.results(
        "models", [step], HOSTILE, server=facts, host=facts, notes=[HOSTILE], command=HOSTILE,
        started=HOSTILE)


def test_whatever_comes_from_outside_is_escaped():
    results = hostile()
    source = html_report(results, {HOSTILE: "<svg/>", **svgs(results)})
    found = Page(source)
    assert "script" not in found.tags
    assert source.count("</style>") == 1
    assert "\x07" not in source and "\u202e" not in source
    assert "49" not in found.headings[0] and "{{ 7 * 7 }}" in found.headings[0]
    assert found.text.count("<script>alert(1)</script>\"'&⟨U+0007⟩⟨U+202E⟩") >= 10


def test_an_experiment_of_another_name_has_a_page():
    assert page(samples.results("<new>", [samples.step(10)])).headings[0].startswith("<new> of livestream")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_colour_of_the_style_is_defined_in_both_schemes(scheme):
    source = html_report(EMPTY, {})
    light, dark = re.findall(r":root \{(.*?)\}", source, re.S)
    defined = set(re.findall(r"(--[a-z-]+):", light if scheme == "light" else dark))
    assert defined == set(re.findall(r"var\((--[a-z-]+)\)", source))
