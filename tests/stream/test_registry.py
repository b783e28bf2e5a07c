"""The connections and their counter (SPEC, "Life of a connection", 1, 7, 8, 9)."""

import threading

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from livestream.stream.registry import CLOSED_SESSION, Connection, Registry
from tests.stream.fakes import FakeSession

#: How long a thread of a test may take, in seconds.
PATIENCE = 20.0


def connection(name="3f2a9c1e-0000-4000-8000-000000000000"):
    return Connection(name, 5, FakeSession())


class RegistryMachine(RuleBasedStateMachine):
    """Against a plain list of entries and a number."""

    connections = Bundle("connections")

    def __init__(self):
        super().__init__()
        self.registry = Registry()
        self.entries = []
        self.active = 0
        self.made = 0

    @rule(target=connections)
    def add(self):
        self.made += 1
        entry = connection(str(self.made))
        self.registry.add(entry)
        self.entries.append(entry)
        self.active += 1
        return entry

    @rule(entry=connections)
    def remove(self, entry):
        self.registry.remove(entry)
        self.entries = [other for other in self.entries if other is not entry]

    @rule(times=st.integers(1, 3))
    def count_down(self, times):
        for _ in range(times):
            self.registry.count_down()
        self.active -= times

    @rule()
    def spoil_a_snapshot(self):
        self.registry.connections().clear()

    @invariant()
    def agrees(self):
        assert self.registry.active_connections == self.active
        assert self.registry.total_connections == len(self.entries)
        assert self.registry.connections() == self.entries


def test_the_registry_against_a_plain_model():
    run_state_machine_as_test(
        RegistryMachine, settings=settings(max_examples=60, stateful_step_count=30, deadline=None)
    )


def run_together(functions):
    """Runs them all at once, each in a thread; raises what any of them raised."""
    barrier = threading.Barrier(len(functions))
    errors = []

    def run(function):
        try:
            barrier.wait(PATIENCE)
            function()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(function,), daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert [thread for thread in threads if thread.is_alive()] == []
    assert errors == []


def test_many_threads_lose_no_count_and_no_entry():
    registry = Registry()
    per_thread = 300

    def come_and_go(number):
        for turn in range(per_thread):
            entry = connection(f"{number}-{turn}")
            registry.add(entry)
            assert entry in registry.connections()
            registry.count_down()
            if turn % 3:
                registry.remove(entry)

    run_together([lambda number=number: come_and_go(number) for number in range(8)])
    assert registry.active_connections == 0
    assert registry.total_connections == 8 * per_thread / 3


class WatchedLock:
    """A lock that counts its uses."""

    def __init__(self):
        self.lock, self.used = threading.Lock(), 0

    def __enter__(self):
        self.used += 1
        return self.lock.__enter__()

    def __exit__(self, *error):
        self.lock.__exit__(*error)


@pytest.mark.parametrize("use", [
    lambda registry: registry.add(connection()),
    lambda registry: registry.remove(connection()),
    lambda registry: registry.count_down(),
    lambda registry: registry.connections(),
    lambda registry: registry.active_connections,
    lambda registry: registry.total_connections,
])
def test_every_access_takes_the_lock_once(use):
    registry = Registry()
    registry._lock = WatchedLock()
    use(registry)
    assert registry._lock.used == 1
    assert registry._lock.lock.acquire(blocking=False)


def test_removing_leaves_the_counter_alone_and_may_be_repeated():
    registry, entry = Registry(), connection()
    registry.add(entry)
    registry.remove(entry)
    registry.remove(entry)
    assert (registry.active_connections, registry.total_connections) == (1, 0)


def test_the_counter_goes_below_zero():
    registry = Registry()
    registry.count_down()
    assert registry.active_connections == -1


def test_a_connection_knows_its_names_and_that_no_channel_is_kept():
    entry = connection()
    assert (entry.short_id, entry.thread_name) == ("3f2a9c1e", "stream-3f2a9c1e")
    assert entry.subscribed_channels == frozenset()
    assert entry != connection()


def test_the_session_of_the_past_is_closed_and_refuses_to_send():
    assert not CLOSED_SESSION.is_open
    with pytest.raises(OSError):
        CLOSED_SESSION.send_text("x")
    assert CLOSED_SESSION.close(1001, "", 0) is True
