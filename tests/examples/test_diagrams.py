"""The tour's diagrams: up to date, complete, readable, and true of a server that runs now."""

import json
import re
from collections import Counter
from dataclasses import replace
from itertools import combinations
from xml.etree import ElementTree

import pytest

from livestream import contract
from livestream.parity.cases import load_session
from livestream.stream.profiles import PROFILES
from tests.browser.support import chromium
from tests.examples.diagrams.album import DIAGRAMS, FOLDER, LIVES, SESSIONS, recorded_life
from tests.examples.diagrams.drawing import GROUND, INKS, MARKS, WIDTH
from tests.examples.diagrams.life import Fate, Life
from tests.examples.diagrams.recording import record
from tests.examples.diagrams.sequence import Arrow, Fold, draw_sequence, rows
from tests.examples.diagrams.timeline import MARK_WIDTH, draw_timeline
from tests.examples.tour import TOUR

#: A fifth of every time: short, and still long enough to tell at once from later on a busy machine.
SCALE = 0.2
#: What WCAG 2 asks of text, and of graphical objects.
TEXT_CONTRAST, MARK_CONTRAST = 4.5, 3.0
#: Where each text of a drawing is, as x, y, width, height.
TEXT_BOXES = """[...document.querySelectorAll('text')].map((text) => {
    const box = text.getBBox();
    return [text.textContent, box.x, box.y, box.width, box.height];
})"""


def session_rows(name):
    return list(rows(load_session(name), SESSIONS[name]))


def words(svg):
    """All texts of a drawing, in order, what follows in smaller print apart."""
    drawing = ElementTree.fromstring(svg)
    return [part.strip() for part in drawing.itertext() if part.strip()]


def luminance(colour):
    channels = [int(colour[at:at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.fixture(scope="module", params=LIVES)
def lives(request):
    """The recorded life under a profile, and one that is lived now."""
    return Life.read(recorded_life(request.param)), record(PROFILES[request.param], SCALE)


@pytest.mark.parametrize("name", DIAGRAMS)
def test_a_diagram_is_what_its_recording_makes_now(name):
    # The message alone: a comparison of two whole drawings helps nobody.
    is_current = (FOLDER / name).read_text() == DIAGRAMS[name]()
    assert is_current, f"examples/diagrams/{name} is out of date: run `make diagrams`"


def test_nothing_else_is_beside_the_diagrams():
    assert {path.name for path in FOLDER.iterdir()} == {
        *DIAGRAMS, *(recorded_life(profile).name for profile in LIVES)}


def test_every_diagram_is_in_the_tour_once_with_words_for_who_cant_see_it():
    shown = re.findall(r"^!\[([^\]]{20,})\]\(diagrams/(.+)\)$", TOUR.read_text(), re.M)
    assert sorted(name for _, name in shown) == sorted(DIAGRAMS)


def test_what_runs_now_begins_and_ends_its_threads_as_drawn(lives):
    drawn, now = lives
    assert now.shape() == drawn.shape(), "the port behaves otherwise: run `make diagrams ARGS=--record`"
    assert [act.what for act in now.acts] == [act.what for act in drawn.acts]


def test_what_runs_now_sends_as_often_as_drawn(lives):
    drawn, now = lives
    sends = {thread.name: len(thread.sends) for thread in drawn.threads}
    others = {thread.name: len(thread.sends) for thread in now.threads}
    assert sends.keys() == others.keys()
    assert {name: (sends[name], others[name]) for name in sends if abs(sends[name] - others[name]) > 2} == {}


def test_the_drawn_lives_are_the_faults_and_the_promises():
    shapes = {profile: Life.read(recorded_life(profile)).shape() for profile in LIVES}
    four = {f"{channel.name}-1" for channel in contract.CHANNELS}
    assert shapes["corrected"].keys() == four | {"handler"}
    assert shapes["original"].keys() == four | {"handler", "tps_updates-2"}
    assert shapes["corrected"]["tps_updates-1"].ended_after == "unsubscribe from tps_updates"
    assert shapes["original"]["tps_updates-1"].ended_after == "close"
    slept_on = {(profile, name)
                for profile, shape in shapes.items() for name, fate in shape.items() if fate.slept_on}
    assert slept_on == {("original", "validator_metrics-1")}


def test_a_life_is_read_as_it_was_written(tmp_path):
    life = Life.read(recorded_life("original"))
    life.write(tmp_path / "life.json")
    assert Life.read(tmp_path / "life.json") == life
    assert json.loads((tmp_path / "life.json").read_text())["profile"] == "original"


def test_a_threads_fate_follows_the_clients_acts():
    life = Life.read(recorded_life("original"))
    life.threads[-1] = replace(life.threads[-1], began=life.acts[0].at, ended=life.acts[3].at + 0.1)
    assert life.shape()[life.threads[-1].name] == Fate("open", life.acts[3].what, False)


@pytest.mark.parametrize("name", SESSIONS)
def test_a_sequence_tells_every_step_once_in_order(name):
    steps = load_session(name).steps
    drawn = session_rows(name)
    told = sum(sum(row.counts.values()) if isinstance(row, Fold) else 1 for row in drawn)
    assert told == len(steps)
    times = [row.until if isinstance(row, Fold) else row.at for row in drawn]
    assert times == sorted(times)
    sent = [row.what for row in drawn if isinstance(row, Arrow) and row.by_client]
    assert sent == [step.text or f"Close {step.close}" for step in steps if step.dir == "send"]


def test_long_repetitions_are_folded():
    folds = [row for row in session_rows("tps-only") if isinstance(row, Fold)]
    assert folds == [Fold(11.077, {"tps_update": 10})]
    assert "… 10 more tps_update" in words(draw_sequence(load_session("tps-only"), 2))


def test_one_update_more_than_are_shown_needs_no_fold():
    assert not any(isinstance(row, Fold) for row in rows(load_session("tps-only"), 11))
    assert Fold(11.077, {"tps_update": 2}) in rows(load_session("tps-only"), 10)


def test_what_gets_no_answer_says_so():
    arrows = [row for row in session_rows("mixed") if isinstance(row, Arrow)]
    silent = [arrow.what for arrow in arrows if arrow.detail == "no answer"]
    assert silent == ['{"type":"hello"}', '{"type":"unsubscribe","channel":"block_updates"}']


def test_a_timeline_names_every_act_and_thread_with_its_sends_and_its_end():
    life = Life.read(recorded_life("original"))
    told = Counter(words(draw_timeline(life)))
    for thread in life.threads:
        wanted = Counter([thread.name, str(len(thread.sends) or "–"), f"{thread.ended:.1f}"])
        assert wanted <= told
    assert Counter(act.what for act in life.acts) <= told


def test_a_timeline_has_a_mark_for_every_update():
    life = Life.read(recorded_life("original"))
    drawing = ElementTree.fromstring(draw_timeline(life))
    lines = drawing.iter("{http://www.w3.org/2000/svg}line")
    marks = [line for line in lines if line.get("stroke-width") == str(MARK_WIDTH)]
    assert len(marks) == sum(len(thread.sends) for thread in life.threads)


@pytest.mark.parametrize("on", [0, 1], ids=["light", "dark"])
def test_words_and_marks_stand_out_from_their_ground(on):
    told = {name: contrast(INKS[name][on], GROUND[on]) for name in ("ink", "faint")}
    assert {name: found for name, found in told.items() if found < TEXT_CONTRAST} == {}
    drawn = {name: contrast(colours[on], GROUND[on]) for name, colours in MARKS.items()}
    assert {name: found for name, found in drawn.items() if found < MARK_CONTRAST} == {}


def test_no_text_covers_another_or_leaves_the_sheet():
    wrong = []
    with chromium() as browser:
        page = browser.new_page(viewport={"width": WIDTH, "height": 1000})
        for name in DIAGRAMS:
            page.goto((FOLDER / name).as_uri())
            height = page.evaluate("document.documentElement.viewBox.baseVal.height")
            boxes = page.evaluate(TEXT_BOXES)
            assert boxes
            wrong += [(name, text) for text, x, y, width, high in boxes
                      if x < 0 or y < 0 or x + width > WIDTH or y + high > height]
            wrong += [(name, one[0], other[0])
                      for one, other in combinations(boxes, 2) if overlap(one, other)]
    assert wrong == []


def overlap(one, other):
    """Whether two boxes share more than the air around their letters."""
    (_, x1, y1, width1, height1), (_, x2, y2, width2, height2) = one, other
    beside = min(x1 + width1, x2 + width2) - max(x1, x2)
    below = min(y1 + height1, y2 + height2) - max(y1, y2)
    return beside > 0 and below > 3
