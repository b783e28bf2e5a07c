"""The plots: every value stands where it should, and it can be seen what is what."""

import html
import io
import math
import re
from dataclasses import replace
from functools import cache
from itertools import combinations
from xml.etree import ElementTree

import matplotlib
import pytest
from matplotlib.transforms import Bbox
from PIL import Image

from livestream.lab.reports.pictures import OVER_TIME, PICTURES, pictures, titles
from livestream.lab.reports.plots import draw, figure, png, svg
from livestream.lab.reports.reference import ORIGINAL, REPORT, SOURCES, reference
from livestream.lab.reports.styles import DOTS_PER_INCH, WIDTH
from livestream.lab.results import Step
from tests.lab.reports import samples

PANELS = [(name, panel) for name in PICTURES for panel in PICTURES[name].panels]
SVG = "{http://www.w3.org/2000/svg}"


class Plot:
    """One plot: as it was drawn, and as it was written."""

    def __init__(self, results, name):
        self.drawn = figure(results, name)
        self.svg = svg(self.drawn).decode()
        # An SVG has 72 dots an inch; the figure keeps the layout with which it was written.
        self.drawn.set_dpi(72)
        self.root = ElementTree.fromstring(self.svg)
        self.height = float(self.root.get("height").removesuffix("pt"))

    def axes(self, name):
        return next(axes for axes in self.drawn.axes for line in axes.get_lines() if line.get_gid() == name)

    def points(self, name):
        """A line's vertices, read from the SVG and turned back into data."""
        group = self.root.find(f".//{SVG}g[@id='{name}']")
        steps = re.findall(r"[ML] (\S+) (\S+)", group.find(f"{SVG}path").get("d"))
        return self.data(name, [(float(x), float(y)) for x, y in steps])

    def markers(self, name):
        group = self.root.find(f".//{SVG}g[@id='{name}']")
        used = [(float(use.get("x")), float(use.get("y"))) for use in group.iter(f"{SVG}use")]
        return self.data(name, used)

    def data(self, name, places):
        assert places, f"{name} is not there"
        axes = self.axes(name)
        back = axes.transData.inverted()
        return [tuple(back.transform((x, self.height - y))) for x, y in places]

    def names(self):
        return {group.get("id") for group in self.root.iter(f"{SVG}g")}

    def texts(self):
        """What is written in it: matplotlib notes each text beside its outlines."""
        return [html.unescape(text.strip()) for text in re.findall(r"<!--(.*?)-->", self.svg, re.S)]


@cache
def usual(experiment, name):
    """A plot of the usual results: drawn once for all tests, as that takes a while."""
    return Plot(samples.ALL[experiment](), name)


def sweep(name):
    return usual("sweep", name)


def near(points):
    return [pytest.approx(point, rel=2e-3, abs=2e-3) for point in points]


@pytest.mark.parametrize("experiment", samples.ALL)
def test_there_is_a_plot_for_everything_that_was_measured(experiment):
    results = samples.ALL[experiment]()
    over_time = [OVER_TIME] if experiment in ("lifecycle", "soak") else []
    assert list(titles(results)) == [*over_time, *PICTURES]


def test_what_was_not_measured_has_no_plot():
    results = samples.results("sweep", [Step("", 100, {"threads": 503})])
    assert list(draw(results)) == ["threads"]
    assert [panel.figure for panel in pictures(results)["threads"].panels] == ["threads"]
    assert draw(samples.results("sweep", [Step("", 100, {})])) == {}
    assert draw(samples.results("sweep", [], planned=4)) == {}


def test_no_plot_for_another_name():
    with pytest.raises(KeyError):
        figure(samples.sweep(), OVER_TIME)


@pytest.mark.parametrize("name, panel", PANELS)
def test_every_value_of_the_run_is_where_it_should_be(name, panel):
    plot = sweep(name)
    expected = [(step.clients, step.figures[panel.figure]) for step in samples.sweep().steps]
    assert plot.points(f"run-{panel.figure}-0") == near(expected)
    assert plot.markers(f"run-{panel.figure}-0") == near(expected)


@pytest.mark.parametrize("name, panel", PANELS)
def test_every_value_of_the_original_and_the_report_is_where_it_should_be(name, panel):
    plot = sweep(name)
    for source in SOURCES:
        known = reference(source, panel.figure)
        if known and known.points:
            assert plot.markers(f"{source}-{panel.figure}") == near(known.points.items())
        else:
            assert f"{source}-{panel.figure}" not in plot.names()


def test_the_original_is_drawn_wherever_it_was_measured():
    """What the other tests leave open: that there is a reference at all."""
    assert sweep("threads").markers("original-threads") == near(
        [(100, 454), (1_000, 4_081), (2_000, 8_124)])
    assert sweep("delivered").markers("original-delivered") == near([(4_000, 49)])


def test_the_report_is_a_rule_from_edge_to_edge():
    plot = sweep("threads")
    rule = plot.points("report-channel_threads-rule")
    low, high = plot.axes("report-channel_threads").get_xlim()
    assert rule[0][0] <= low * 1.02 and rule[-1][0] >= high * 0.98
    assert [y for _, y in rule] == near([4 * x for x, _ in rule])
    assert plot.markers("report-channel_threads") == near([(100, 400), (1_000, 4_000)])
    flat = sweep("bytes-per-client").points("report-bytes_per_client-rule")
    assert {round(y, 1) for _, y in flat} == {550.0}


def test_a_rule_ends_where_nothing_more_is_known():
    known = reference(ORIGINAL, "channel_threads")
    assert known.up_to == 2_000
    rule = sweep("threads").points("original-channel_threads-rule")
    assert rule[-1] == pytest.approx((2_000, 8_000), rel=2e-3)


def test_several_conditions_are_several_lines():
    results = samples.models()
    plot = usual("models", "cpu-per-message")
    for at, condition in enumerate(["threads", "pool", "ticker"]):
        expected = [(step.clients, step.figures["cpu_per_message_us"]) for step in results.of(condition)]
        assert plot.points(f"run-cpu_per_message_us-{at}") == near(expected)
        assert f"this run: {condition}" in plot.texts()
    colours = {line.get_color() for line in plot.drawn.axes[0].get_lines()}
    markers = {line.get_marker() for line in plot.drawn.axes[0].get_lines()}
    assert len(colours) == len(markers) == 4


@pytest.mark.parametrize("results, condition", [
    (samples.switch_interval(), "switch interval"), (samples.models(counts=[1_000]), "broadcaster"),
])
def test_where_only_the_condition_varies_it_is_the_x_axis(results, condition):
    plot = Plot(results, "lateness")
    values = [step.figures["late_p99"] for step in results.steps]
    assert plot.markers("run-late_p99-0") == near(enumerate(values))
    assert [y for _, y in plot.points("original-late_p99-level")] == near([4.8, 4.8])
    assert f"{condition}, at 1,000 clients" in plot.texts()
    assert set(results.conditions) <= set(plot.texts())


def test_invalid_steps_are_hollow_and_joined_by_no_line():
    results = samples.sweep(invalid=(1_000,))
    plot = Plot(results, "cpu-per-message")
    assert [x for x, _ in plot.points("run-cpu_per_message_us-0")] == near([100, 2_000, 4_000])
    assert [x for x, _ in plot.markers("invalid-cpu_per_message_us-0")] == near([1_000])
    faces = {line.get_gid(): line.get_markerfacecolor() for line in plot.drawn.axes[0].get_lines()}
    assert faces["invalid-cpu_per_message_us-0"] == "white" != faces["run-cpu_per_message_us-0"]
    assert "invalid: does not count" in plot.texts()
    assert "invalid: does not count" not in sweep("cpu-per-message").texts()


def test_legend_axes_and_ticks_say_what_they_show():
    texts = sweep("lateness").texts()
    assert {"this run", SOURCES[ORIGINAL], "clients", "lateness [ms]", "10"} <= set(texts)
    assert {"100", "1,000", "2,000", "4,000"} <= set(texts)
    assert SOURCES[REPORT] not in texts
    assert SOURCES[REPORT] in sweep("threads").texts()
    assert not [text for text in texts if "times" in text or "10^" in text or "e+" in text]


@pytest.mark.parametrize("name, units", [
    ("threads", ["threads", "threads"]), ("memory", ["RSS [MB]", "RSS per client [kB]"]),
    ("lateness", ["lateness [ms]"] * 3), ("cpu-per-message", ["time [µs]"]), ("delivered", ["share [%]"]),
    ("bytes-per-client", ["bytes [B/s]"]),
])
def test_every_y_axis_has_its_unit(name, units):
    assert [axes.get_ylabel() for axes in figure(samples.sweep(), name).axes] == units


@pytest.mark.parametrize("results, scale", [
    (samples.sweep(), "log"), (samples.sweep(counts=[1_000, 2_000]), "linear"), (samples.soak(), "linear"),
])
def test_clients_are_logarithmic_over_more_than_a_decade(results, scale):
    assert figure(results, "cpu-per-message").axes[0].get_xscale() == scale


def test_a_lateness_of_zero_has_a_place_on_its_axis():
    results = samples.results("sweep", [samples.step(100, late_p50=0.0), samples.step(1_000, late_p50=0.2)])
    plot = Plot(results, "lateness")
    assert plot.points("run-late_p50-0") == near([(100, 0.0), (1_000, 0.2)])
    low, high = plot.axes("run-late_p50-0").get_ylim()
    assert low <= 0 < 0.2 < high


def test_what_is_no_number_is_not_drawn():
    steps = [samples.step(100), samples.step(200, delivered=math.nan), samples.step(300, delivered=math.inf)]
    lines = figure(samples.results("sweep", steps), "delivered").axes[0].get_lines()
    assert [list(line.get_xdata()) for line in lines if line.get_gid() == "run-delivered-0"] == [[100]]


@pytest.mark.parametrize("experiment", ["lifecycle", "soak"])
def test_a_time_line_has_every_moment_and_every_mark(experiment):
    step = samples.ALL[experiment]().steps[0]
    plot = usual(experiment, OVER_TIME)
    for panel in ("threads", "rss_mb"):
        # matplotlib leaves out vertices that nobody could tell from the line; the rest must be moments.
        found = plot.points(f"run-{panel}")
        moments = {moment.seconds: getattr(moment, panel) for moment in step.timeline}
        assert found[0][0] == pytest.approx(0, abs=0.1)
        assert found[-1][0] == pytest.approx(step.timeline[-1].seconds, abs=0.5)
        assert max(y for _, y in found) == pytest.approx(max(moments.values()), rel=0.01)
        assert min(y for _, y in found) == pytest.approx(min(moments.values()), rel=0.01, abs=5)
    for name, at in step.marks.items():
        assert [x for x, _ in plot.points(f"mark-{name}")] == near([at, at])
        assert name in plot.texts()
    assert "time since the step began [s]" in plot.texts()
    assert [axes.get_ylabel() for axes in plot.drawn.axes] == ["threads", "RSS [MB]"]


def test_an_invalid_time_line_is_dashed_and_the_legend_says_so():
    step = samples.lifecycle().steps[0]
    looks = {}
    for invalid in ((), ("It was late.",)):
        drawn = figure(samples.results("lifecycle", [replace(step, invalid=invalid)]), OVER_TIME)
        styles = {line.get_gid(): line.get_linestyle() for line in drawn.axes[0].get_lines()}
        looks[styles["run-threads"]] = drawn.legends[0].get_texts()[0].get_text()
    assert looks == {"-": "this run", "--": "this run, invalid: does not count"}


def test_names_of_marks_cover_neither_each_other_nor_leave_the_picture():
    boxes = [text.get_window_extent() for text in usual("lifecycle", OVER_TIME).drawn.axes[0].texts]
    assert len(boxes) == 5
    for at, box in enumerate(boxes):
        assert 0 <= box.x0 and box.x1 <= WIDTH * 72
        assert not [other for other in boxes[:at] if box.overlaps(other)]


def test_each_step_with_a_time_line_has_a_plot():
    steps = [samples.lifecycle(clients).steps[0] for clients in (100, 200)]
    results = samples.results("lifecycle", steps)
    names = [name for name in titles(results) if name not in PICTURES]
    assert names == [f"{OVER_TIME}-1", f"{OVER_TIME}-2"]
    assert [figure(results, name).get_suptitle() for name in names] == [
        "Threads and memory over time, 100 clients", "Threads and memory over time, 200 clients"]


@pytest.mark.parametrize("experiment", samples.ALL)
def test_tick_labels_do_not_touch_and_nothing_is_cut_off(experiment):
    # The others are like "delivered": one panel from zero.
    for name in {"threads", "lateness", "delivered", OVER_TIME} & set(titles(samples.ALL[experiment]())):
        drawn = usual(experiment, name).drawn
        for axis in (drawn.axes[-1].xaxis, *(axes.yaxis for axes in drawn.axes)):
            labels = boxes_of(axis)
            assert labels and not any(one.overlaps(other) for one, other in combinations(labels, 2)), name
        sheet = Bbox([(0, 0), drawn.get_size_inches() * 72])
        ends = [drawn.legends[0], drawn.axes[-1].xaxis.label, *(axes.yaxis.label for axes in drawn.axes)]
        for box in [part.get_window_extent() for part in ends]:
            assert Bbox.intersection(box, sheet).bounds == pytest.approx(box.bounds), name


def test_many_conditions_are_slanted():
    steps = [Step(f"0.00{at} s", 100, {"threads": 503}) for at in range(1, 10)]
    for few, rotation in ((4, 0), (9, 35)):
        drawn = figure(samples.results("switch-interval", steps[:few], "switch interval"), "threads")
        assert {label.get_rotation() for label in drawn.axes[0].get_xticklabels()} == {rotation}


def boxes_of(axis):
    """Where the labels of the ticks stand that can be seen."""
    low, high = sorted(axis.get_view_interval())
    labels = zip(axis.get_ticklabels(), axis.get_ticklocs())
    return [label.get_window_extent() for label, at in labels if low <= at <= high and label.get_text()]


@pytest.mark.parametrize("name", ["lateness", OVER_TIME])
def test_a_png_is_a_picture_of_the_expected_size(name):
    drawn = figure(samples.lifecycle(), name)
    with Image.open(io.BytesIO(png(drawn))) as image:
        height = drawn.get_figheight() * DOTS_PER_INCH
        assert image.size == (round(WIDTH * DOTS_PER_INCH), pytest.approx(height, abs=1))
        assert len(image.convert("RGB").getcolors(1 << 24)) > 50


def test_the_same_results_give_the_same_bytes_whatever_the_user_has_set():
    results = few_figures(samples.lifecycle())
    first = draw(results)
    assert list(first) == [OVER_TIME, "threads"]
    with matplotlib.rc_context({"font.size": 20, "svg.hashsalt": "other", "axes.facecolor": "red"}):
        assert draw(results) == first


def few_figures(results):
    results.steps = [replace(step, figures={"threads": step.figures["threads"]}) for step in results.steps]
    return results


def test_drawing_changes_no_setting():
    before = dict(matplotlib.rcParams)
    draw(few_figures(samples.sweep()))
    assert dict(matplotlib.rcParams) == before


def test_hostile_names_are_drawn_as_they_are():
    """Also what would be broken mathematics, were it read as such."""
    hostile = "$x^{$<b> & \x07\u202e" + "long " * 40
    steps = [Step(*of, {"threads": 1}) for of in ((hostile, 100), ("b", 100), ("b", 10))]
    line = Plot(samples.results("models", steps, hostile), "threads")
    assert any("$x^{$<b> & ⟨U+0007⟩⟨U+202E⟩" in text for text in line.texts())
    categories = Plot(samples.results("models", steps[:2], hostile), "threads")
    assert sum("$x^{$<b>" in text for text in categories.texts()) == 2


def test_no_plot_refers_to_the_outside():
    text = sweep("threads").svg
    links = re.findall(r'href="([^"]*)"', text)
    assert links and all(link.startswith("#") for link in links)
    assert "<script" not in text and "url(http" not in text
