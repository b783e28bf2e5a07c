"""A source from elsewhere: how it is found, and what becomes of its errors."""

import json
import logging
import sys
import threading
from collections import OrderedDict

import pytest

from livestream.stream.broadcast import Broadcast
from livestream.stream.channels import Unavailable, live_channels
from livestream.stream.registry import Connection
from livestream.stream.shared import SharedSubscription
from livestream.stream.sources import (
    LOG_PERIOD, MAX_PAYLOAD, MAX_WORDS, MOST_STALLED, STALLED, GuardedChannels, SourceError, load_source)
from tests.stream.fakes import FakeClock, FakeSession, FakeSleeper, FakeSource
from tests.support import PATIENCE

TPS = "tps_updates"


@pytest.fixture
def write_module(tmp_path, monkeypatch):
    """Writes a module that can be imported until the test is over."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(text, name="some_source"):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)

    yield write
    sys.modules.pop("some_source", None)


COMPLETE = """
class Source:
    tps_update = block_update = network_update = validator_update = lambda self: {"figure": 7}
class Shop:
    create = Source
"""


@pytest.mark.parametrize("factory", ["Source", "Shop.create"])
def test_a_factory_is_called_without_arguments(write_module, factory):
    write_module(COMPLETE)
    assert load_source(f"some_source:{factory}").block_update() == {"figure": 7}


BROKEN = {
    "1 / 0": "module some_source could not be imported: ZeroDivisionError: division by zero",
    "raise SystemExit(3)": "module some_source could not be imported: SystemExit: 3",
    "import no_such_thing": "module some_source could not be imported: ModuleNotFoundError: "
                            "No module named 'no_such_thing'",
    "def create(:": "module some_source could not be imported: ",
    "other = 1": "module some_source has no attribute create",
    "create = 5": "create in module some_source is no function, but a int",
    "def create(validators): pass": "create() raised TypeError: ",
    "def create(): raise OSError('two\\nlines')": "create() raised OSError: two lines",
    "def create(): exit(4)": "create() raised SystemExit: 4",
    "def create(): pass": "what create() returned, a NoneType, has no method tps_update",
    "class create: tps_update = block_update = len; network_update = 3":
        "what create() returned, a create, has no method network_update",
    "class create:\n @property\n def tps_update(self): 1 / 0":
        "the source's tps_update raised ZeroDivisionError: division by zero",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_source_that_cannot_be_is_refused_in_one_line_that_says_why(write_module, text):
    write_module(text)
    with pytest.raises(SourceError) as refusal:
        load_source("some_source:create")
    assert str(refusal.value).startswith(BROKEN[text])
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["no_such_module", "json.no_such_module"])
def test_a_module_that_is_not_there_is_named(name):
    with pytest.raises(SourceError, match=f"there is no module {name}; is its folder in PYTHONPATH"):
        load_source(f"{name}:create")


class Odd(FakeSource):
    """Returns whatever it is told, from `tps_update` alone."""

    returns = None

    def tps_update(self):
        super().tps_update()
        return self.returns


class Stage:
    def __init__(self, source=None):
        self.clock = FakeClock()
        self.source = source or FakeSource()
        self.guarded = GuardedChannels(live_channels(self.source), self.clock)
        self.channel = self.guarded.channels[TPS]

    def ask(self):
        try:
            return self.channel.payload()
        except Unavailable:
            return None

    @property
    def report(self):
        return self.guarded.report()[TPS]


def test_a_healthy_source_is_passed_on_and_nothing_is_counted():
    stage = Stage()
    assert [stage.ask(), stage.ask()] == [{"number": 1}, {"number": 2}]
    nothing = {"errors": 0, "last_error": None, "under_way": 0, "longest_ms": 0}
    assert stage.guarded.report() == dict.fromkeys(stage.guarded.channels, nothing)
    assert [channel[:3] for channel in stage.guarded.channels.values()] == [
        channel[:3] for channel in live_channels(stage.source).values()]


ENDLESS: dict = {}
ENDLESS["again"] = ENDLESS
#: What json.dumps still writes, and the envelope does not.
DEEP: list = []
for _ in range(700):
    DEEP = [DEEP]


@pytest.mark.parametrize("payload, kind", [
    (None, "TypeError"), ([1], "TypeError"), ("{}", "TypeError"), ({"a": object()}, "TypeError"),
    ({"a": {1, 2}}, "TypeError"), ({("a",): 1}, "TypeError"), ({"a": float("nan")}, "ValueError"),
    (ENDLESS, "ValueError"), ({"a": b""}, "TypeError"), ({"a": DEEP}, "RecursionError"),
    ({"a": "x" * MAX_PAYLOAD}, "ValueError"),
], ids=["null", "list", "text", "object", "set", "tuple as key", "NaN", "endless", "bytes", "deep", "long"])
def test_what_is_no_json_object_is_an_error(payload, kind):
    stage = Stage(Odd())
    stage.source.returns = payload
    assert stage.ask() is None
    assert (stage.report["errors"], stage.report["last_error"]) == (1, kind)


def test_what_json_can_say_is_said():
    stage = Stage(Odd())
    stage.source.returns = OrderedDict(a=(1, 2.5), b={"c": None}, d="\ud800")
    assert stage.ask() == {"a": [1, 2.5], "b": {"c": None}, "d": "\ud800"}


@pytest.mark.parametrize("error", [ValueError(), SystemExit(1), MemoryError(), KeyboardInterrupt()], ids=repr)
def test_whatever_it_raises_only_this_update_is_skipped(error):
    stage = Stage()
    stage.source.fails_with = error
    assert stage.ask() is None
    stage.source.fails_with = None
    assert stage.ask() == {"number": 1}
    assert stage.report == {
        "errors": 1, "last_error": type(error).__name__, "under_way": 0, "longest_ms": 0}
    assert stage.guarded.report()["block_updates"]["errors"] == 0


def test_a_kind_of_error_is_logged_once_and_then_once_a_period(caplog):
    stage = Stage()
    for error in (ValueError("first"), ValueError("x" * 999), KeyError("other"), ValueError("again")):
        stage.source.fails_with = error
        for _ in range(100):
            stage.ask()
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert caplog.messages == [
        "source: no update for channel tps_updates, 1 of this kind so far: ValueError: first",
        "source: no update for channel tps_updates, 1 of this kind so far: KeyError: 'other'"]
    assert stage.report["errors"] == 400
    stage.clock.advance(LOG_PERIOD)
    stage.source.fails_with = ValueError("y" * 999)
    stage.ask()
    stage.ask()
    assert len(caplog.messages) == 3
    assert ", 301 of this kind so far: ValueError: yyy" in caplog.messages[-1]
    assert caplog.messages[-1].count("y") < MAX_WORDS


def test_an_error_that_cannot_be_printed_is_counted_all_the_same(caplog):
    class Unspeakable(Exception):
        def __str__(self):
            raise RuntimeError

    stage = Stage()
    stage.source.fails_with = Unspeakable()
    assert stage.ask() is None
    assert stage.report["last_error"] == "Unspeakable"
    assert "Unspeakable" in caplog.text


def test_a_call_that_stalls_is_seen():
    entered, over = threading.Event(), threading.Event()

    class Stalling(FakeSource):
        def tps_update(self):
            entered.set()
            assert over.wait(PATIENCE)
            return {}

    stage = Stage(Stalling())
    thread = threading.Thread(target=stage.ask)
    thread.start()
    assert entered.wait(PATIENCE)
    stage.clock.advance(2.5)
    assert stage.report == {"errors": 0, "last_error": None, "under_way": 1, "longest_ms": 2_500}
    over.set()
    thread.join(PATIENCE)
    assert stage.report["under_way"] == 0


def test_clients_that_come_and_go_leave_few_threads_with_a_source_that_stalls(caplog):
    over, waiting = threading.Event(), threading.Semaphore(0)

    class Stalling(FakeSource):
        def tps_update(self):
            waiting.release()
            assert over.wait(PATIENCE)
            return super().tps_update()

    stage = Stage(Stalling())
    threads = [threading.Thread(target=stage.ask) for _ in range(MOST_STALLED)]
    for thread in threads:
        thread.start()
        assert waiting.acquire(timeout=PATIENCE)
    stage.clock.advance(STALLED + 0.1)
    assert stage.ask() is None
    assert (stage.report["under_way"], stage.report["last_error"]) == (MOST_STALLED, "SourceStalls")
    assert "SourceStalls: 8 calls have not answered for 5 s" in caplog.text
    over.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert stage.ask() == {"number": MOST_STALLED + 1}


def test_the_channel_thread_goes_on_at_its_next_interval():
    stage, session = Stage(), FakeSession()

    def fail(error):
        stage.source.fails_with = error

    meanwhile = {0: lambda: fail(ValueError("gone")), 2: lambda: fail(None)}
    sleeper = FakeSleeper(stage.clock, sleeps=4, meanwhile=meanwhile)
    Broadcast(Connection("3f2a9c1e", 0, session), stage.channel, 1, stage.clock, True, sleeper).run()
    assert [json.loads(text)["payload"] for text in session.sent] == [{"number": 1}, {"number": 2}]
    assert sleeper.asked == [1.0] * 4
    assert stage.report["errors"] == 2


def test_a_shared_thread_goes_on_too():
    stage, session = Stage(), FakeSession()
    subscription = SharedSubscription(Connection("3f2a9c1e", 0, session), stage.channel, stage.clock, True)
    stage.source.fails_with = ValueError("gone")
    assert subscription.send_unless_stopped() is True
    stage.source.fails_with = None
    assert subscription.send_unless_stopped() is True
    assert (len(session.sent), subscription.sends, stage.report["errors"]) == (1, 1, 1)
