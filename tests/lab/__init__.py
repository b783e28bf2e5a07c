"""Child processes: one that does what a test tells it to and says itself what it has done, and the load."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from livestream.lab.load import Load, load_json
from tests.support import PATIENCE

#: Of a `Load`, for tests that count nothing.
QUICK = {"clients": 3, "seconds": 0.2, "rate": 200.0, "time_scale": 0.02}

#: Reads one command with a number per line, answers with one line of JSON.
PROGRAM = """
import json, os, resource, sys, threading, time

gate = threading.Event()
kept = []

def nap(times):
    for _ in range(times):
        gate.wait(0.0001)
    napped.release()
    gate.wait()

def threads(number):
    for _ in range(number):
        threading.Thread(target=gate.wait, daemon=True).start()
    return threading.active_count()

def naps(number):
    global napped
    napped = threading.Semaphore(0)
    for _ in range(4):
        threading.Thread(target=nap, args=(number,), daemon=True).start()
    for _ in range(4):
        napped.acquire()
    used = resource.getrusage(resource.RUSAGE_SELF)
    return [used.ru_nvcsw, used.ru_nivcsw]

def descriptors(number):
    kept.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(number))
    return len(kept)

def memory(number):
    kept.append(b"x" * number)

def burn(milliseconds):
    began = time.process_time()
    while time.process_time() - began < milliseconds / 1000:
        pass
    return time.process_time() - began

def end_threads(number):
    gate.set()

for line in sys.stdin:
    name, number = line.split()
    print(json.dumps(globals()[name](int(number))), flush=True)
"""


class Child:
    """The running program. `do` returns once it is done, with what it said of it."""

    def __init__(self, program=PROGRAM, *arguments, **options):
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options,
        )
        self.pid = self.process.pid

    def do(self, name, number=0):
        print(name, number, file=self.process.stdin, flush=True)
        return self.read()

    def read(self):
        return json.loads(self.process.stdout.readline())

    def end(self):
        """May be called again."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@contextmanager
def child(*arguments, **options) -> Iterator[Child]:
    running = Child(*arguments, **options)
    try:
        yield running
    finally:
        running.end()


class LoadProcess(Child):
    """The load as `run_load` starts it; `constants` of its module for what a test can't wait for."""

    def __init__(self, load: Load, **constants):
        settings = "".join(f"swarm.{name} = {value!r}\n" for name, value in constants.items())
        super().__init__(f"from livestream.lab import swarm\n{settings}swarm.main()", "-")
        print(load_json(load), file=self.process.stdin, flush=True)

    def until(self, event):
        """Its events up to one of this name. Before that it is let open its window."""
        records = [self.read()]
        while records[-1]["event"] != event:
            if records[-1]["event"] == "settled":
                self.go_on()
            records.append(self.read())
        return records

    def go_on(self):
        """After "settled" it opens its window, after "measured" the clients leave."""
        print(file=self.process.stdin, flush=True)

    def finish(self):
        """Lets the clients leave; the rest of the events, of which the last is the result."""
        self.go_on()
        return self.until("result")


@contextmanager
def loading(load: Load, **constants) -> Iterator[LoadProcess]:
    running = LoadProcess(load, **constants)
    try:
        yield running
    finally:
        running.end()


def whole(load: Load, **constants):
    """The result of a load from beginning to end."""
    with loading(load, **constants) as running:
        running.until("measured")
        result = running.finish()[-1]
        assert running.process.wait(PATIENCE) == 0
    return result
