"""`livestream record`: what it keeps, of whole recordings and of those that were cut short."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import date, timedelta

import pytest

from livestream import contract
from livestream.parity.cases import Header, corpus_files, load_cases, load_header, load_session
from livestream.parity.judging.cadence import session_differences
from livestream.parity.judging.comparison import differences
from livestream.parity.judging.deviations import load_deviations
from livestream.parity.playing.target import Target
from livestream.parity.recorder import Recording, RecordError
from livestream.stream.profiles import CORRECTED, SHIPPED
from livestream.wire.client import http_request
from tests.parity.independent_server import independent_server, serving
from tests.support import PATIENCE, Command, wait_until

#: How long a whole recording may take, in seconds; the sessions alone last 31.
WHOLE = 90.0
GROUPS = ("messages", "frames", "handshake", "http")
SESSIONS = sorted(name.removesuffix(".jsonl") for name in corpus_files() if name.startswith("session-"))
#: Where the two differ when this machine stalls; test_corpus holds the server to its pace.
PACE = ("first update", "interval", "interval spread")
#: With these a case that will not be answered is soon over.
IMPATIENT = ("--timeout", "1")


def command(*arguments):
    return [sys.executable, "-m", "livestream", *map(str, arguments)]


def run(*arguments, timeout=WHOLE, cwd=None):
    """A command that ends by itself, and must not end in a traceback."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=timeout, cwd=cwd)
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


@contextmanager
def running(*arguments):
    """A command that is still running when the block begins, and is gone when it ends."""
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(process, within=PATIENCE):
    """Exit code and both outputs of a command that must end in time, and not in a traceback."""
    out, err = process.communicate(timeout=within)
    assert "Traceback" not in out + err, err
    return process.returncode, out, err


def one_line(text):
    assert text.startswith("livestream: ") and text.count("\n") == 1, text
    return text


def only(*groups):
    return [word for group in groups for word in ("--only", group)]


def written(folder):
    """Every file of a folder with what is in it."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def named(cases):
    return {case.name: case for case in cases}


class Gate:
    """Lets so many messages of a type out, and holds everything after them until it is opened."""

    def __init__(self, message_type, count):
        self._start = f'{{"type":"{message_type}"'
        self._left = count
        self._lock = threading.Lock()
        self.reached = threading.Event()
        self._open = threading.Event()

    def change(self, text):
        """For `independent_server`."""
        with self._lock:
            self._left -= text.startswith(self._start)
            if self._left < 0:
                self.reached.set()
        if self.reached.is_set():
            self._open.wait(PATIENCE)
        return text

    @contextmanager
    def serving(self, **options):
        with independent_server(self.change, **options) as url:
            try:
                yield url
            finally:
                self._open.set()

    def interrupt(self, process):
        """Ctrl-C once it is reached, so that the command can't be through by then."""
        assert self.reached.wait(PATIENCE)
        process.send_signal(signal.SIGINT)
        self._open.set()


# --- whole recordings


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """All groups of cases, recorded from our server: its URL, the folder, and what the command said."""
    server = Command()
    folder = tmp_path_factory.mktemp("recorded") / "new" / "corpus"
    try:
        yield server.url, folder, run("record", server.url, folder, *only(*GROUPS))
    finally:
        server.kill()


def test_it_says_what_it_wrote(recorded):
    _, folder, done = recorded
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"wrote {folder / group}.jsonl" for group in GROUPS]
    assert sorted(written(folder)) == sorted(f"{group}.jsonl" for group in GROUPS)


def test_the_header_says_where_it_comes_from(recorded):
    url, folder, _ = recorded
    for group in GROUPS:
        header = load_header(folder / f"{group}.jsonl")
        assert header == Header(contract.CORPUS_FORMAT, url, header.recorded_on, partial=False)
        # It may have been midnight since.
        assert date.today() - date.fromisoformat(header.recorded_on) in (timedelta(0), timedelta(1))


@pytest.mark.parametrize("group", GROUPS)
def test_the_recording_is_the_packaged_one_but_for_what_is_excused(recorded, group):
    _, folder, _ = recorded
    deviations = load_deviations()
    packaged, own = load_cases(f"{group}.jsonl"), named(load_cases(folder / f"{group}.jsonl"))
    assert list(own) == list(named(packaged))
    wrong = {
        case.name: [str(one) for one in differences(case, own[case.name].observed)]
        for case in packaged
        if differences(case, own[case.name].observed)
        and not deviations.excuse(case, own[case.name].observed)
    }
    assert wrong == {}
    assert [(case.kind, case.send, case.request) for case in packaged] == [
        (case.kind, case.send, case.request) for case in own.values()]


def test_the_server_is_the_same_as_its_recording(recorded):
    url, folder, _ = recorded
    done = run("parity", url, "--corpus", folder)
    first, second = done.stdout.splitlines()[:2]
    assert (done.returncode, done.stderr) == (0, "")
    assert first.startswith("same: ")
    for group in GROUPS:
        row = rf"{group} +same +{len(load_cases(folder / f'{group}.jsonl'))} *"
        assert [line for line in done.stdout.splitlines() if re.fullmatch(row, line)]
    assert f"judged by the corpus of {url}, recorded on " in second


def test_another_server_is_not_the_same_as_its_recording(recorded, serve):
    _, folder, _ = recorded
    done = run("parity", serve(profile=CORRECTED).url, "--corpus", folder, *only("messages"))
    assert done.returncode == 1
    first = done.stdout.splitlines()[0]
    assert first.startswith("different: messages/")
    assert "expected" in first and "got" in first


def test_a_recording_can_have_a_name(serve, tmp_path):
    done = run("record", serve().url, tmp_path, *only("http", "http"), "--name", "ours, „neu“")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [f"wrote {tmp_path / 'http.jsonl'}"]
    assert load_header(tmp_path / "http.jsonl").recorded_from == "ours, „neu“"


def test_of_a_mute_server_it_records_what_can_be_asked(serve, tmp_path):
    done = run("record", serve(profile=SHIPPED).url, tmp_path, *IMPATIENT)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(written(tmp_path)) == ["handshake.jsonl", "http.jsonl", "shipped.jsonl"]
    own = named(load_cases(tmp_path / "shipped.jsonl"))
    packaged = load_cases("shipped.jsonl")
    assert {case.name: differences(case, own[case.name].observed) for case in packaged} == {
        case.name: [] for case in packaged}


def test_sessions_are_recorded_in_real_time(serve, tmp_path):
    done = run("record", serve().url, tmp_path, *only("sessions"))
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(written(tmp_path)) == [f"{name}.jsonl" for name in SESSIONS]
    own = {name: load_session(tmp_path / f"{name}.jsonl") for name in SESSIONS}
    assert {name: session.header.partial for name, session in own.items()} == dict.fromkeys(SESSIONS, False)
    for name, session in own.items():
        packaged = load_session(f"{name}.jsonl")
        found = [one for one in session_differences(packaged, session) if not one.where.endswith(PACE)]
        assert (name, found) == (name, [])
        assert abs(session.steps[-1].at - packaged.steps[-1].at) < 1


# --- what is there already


def test_it_overwrites_nothing_unless_told_to(serve, tmp_path):
    url = serve().url
    (tmp_path / "http.jsonl").write_text("precious")
    line = refused("record", url, tmp_path, *only("handshake", "http"))
    assert line.endswith("holds http.jsonl already: choose another folder, or --force\n")
    assert written(tmp_path) == {"http.jsonl": b"precious"}
    assert run("record", url, tmp_path, *only("handshake", "http"), "--force").returncode == 0
    assert len(load_cases(tmp_path / "http.jsonl")) == len(load_cases("http.jsonl"))
    assert sorted(written(tmp_path)) == ["handshake.jsonl", "http.jsonl"]


def test_a_session_that_is_there_counts_too(serve, tmp_path):
    (tmp_path / "session-mixed.jsonl").write_text("precious")
    assert "holds session-mixed.jsonl already" in refused(
        "record", serve().url, tmp_path, *only("sessions"))
    assert written(tmp_path) == {"session-mixed.jsonl": b"precious"}


def refused(*arguments):
    """The one line of a command that must refuse."""
    done = run(*arguments, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (2, "")
    return one_line(done.stderr)


def test_a_file_in_the_folders_place(serve, tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("precious")
    url = serve().url
    assert "is a file" in refused("record", url, taken, *only("http"))
    assert f"{taken / 'deeper'} can't be written: Not a directory" in refused(
        "record", url, taken / "deeper", *only("http"))
    assert taken.read_text() == "precious"


def test_a_folder_in_a_files_place(serve, tmp_path):
    (tmp_path / "http.jsonl").mkdir()
    done = run("record", serve().url, tmp_path, *only("handshake", "http"), "--force")
    assert done.returncode == 2
    assert f"{tmp_path} can't be written: Is a directory" in one_line(done.stderr)
    # What was done before it is told all the same.
    assert done.stdout.splitlines() == [f"wrote {tmp_path / 'handshake.jsonl'}"]
    assert sorted(written_files(tmp_path)) == ["handshake.jsonl"]


def written_files(folder):
    return [path.name for path in folder.iterdir() if path.is_file()]


def test_a_folder_that_nobody_may_make(serve):
    assert "/proc/livestream can't be written: " in refused(
        "record", serve().url, "/proc/livestream", *only("http"))


# --- recordings that are cut short: what there is of them is kept, and says that it is partial


def kept_cases(folder, group):
    path = folder / f"{group}.jsonl"
    assert load_header(path).partial
    assert sorted(written(folder)) == [path.name]
    return load_cases(path)


def test_ctrl_c_among_the_cases_keeps_what_was_recorded(tmp_path):
    gate = Gate(contract.CONNECTION_ESTABLISHED, 30)
    with gate.serving() as url:
        with running("record", url, tmp_path, *only("messages", "frames"), *IMPATIENT) as process:
            gate.interrupt(process)
            code, out, _ = ended(process)
        kept = kept_cases(tmp_path, "messages")
    assert code == 130
    assert out == f"wrote {tmp_path / 'messages.jsonl'} (partial)\n"
    names = [case.name for case in load_cases("messages.jsonl")]
    assert 1 <= len(kept) < len(names)
    assert [case.name for case in kept] == [name for name in names if name in named(kept)]
    for case in kept:
        assert case.observed["connection_ended"] is False


def test_ctrl_c_among_the_sessions_keeps_what_was_recorded(tmp_path):
    gate = Gate(contract.INITIAL_CHANNEL.message_type, 3 * len(SESSIONS))
    with gate.serving(time_scale=0.2) as url:
        with running("record", url, tmp_path, *only("sessions"), *IMPATIENT) as process:
            gate.interrupt(process)
            code, out, _ = ended(process)
    assert code == 130
    assert out.splitlines() == [f"wrote {tmp_path / name}.jsonl (partial)" for name in SESSIONS]
    assert sorted(written(tmp_path)) == [f"{name}.jsonl" for name in SESSIONS]
    for name in SESSIONS:
        session = load_session(tmp_path / f"{name}.jsonl")
        assert session.header.partial
        received = [json.loads(step.text)["type"] for step in session.steps if step.dir == "recv"]
        assert received[:2] == ["connection_established", "tps_update"]


def test_a_case_that_hangs_does_not_keep_ctrl_c_for_long(tmp_path):
    came = threading.Event()

    def hangs(connection):
        came.set()
        for _ in connection:
            pass

    with serving(hangs) as url:
        with running("record", url, tmp_path, *only("messages"), *IMPATIENT) as process:
            assert came.wait(PATIENCE)
            process.send_signal(signal.SIGINT)
            began = time.monotonic()
            code, out, _ = ended(process)
            assert time.monotonic() - began < 5
    assert code == 130
    assert "wrote" not in out
    assert written(tmp_path) == {}


def connections(url):
    stats = http_request(url, "GET", contract.WEBSOCKET_STATS_PATH, timeout=PATIENCE)
    return json.loads(stats.body)["total_connections"]


@contextmanager
def killed_after(count, *arguments):
    """A command whose server is killed once so many connections came."""
    server = Command()
    try:
        with running(arguments[0], server.url, *arguments[1:]) as process:
            wait_until(lambda: connections(server.url) >= count)
            server.kill()
            yield server.url, process
    finally:
        server.kill()


def test_a_lost_server_keeps_what_was_recorded(tmp_path):
    recording = ("record", tmp_path, *only("messages", "frames", "http"), *IMPATIENT)
    with killed_after(40, *recording) as (url, process):
        code, out, err = ended(process)
    assert code == 2
    # Its end may still be seen from a connection that it took while it died.
    assert url in one_line(err)
    assert out.splitlines()[0] == f"wrote {tmp_path / 'messages.jsonl'} (partial)"
    packaged = named(load_cases("messages.jsonl"))
    kept = kept_cases(tmp_path, "messages")
    assert 1 <= len(kept) < len(packaged)
    # No case holds the server's death for its answer.
    assert {case.name: differences(packaged[case.name], case.observed) for case in kept} == {
        case.name: [] for case in kept}


def test_a_lost_server_ends_the_sessions(tmp_path):
    with killed_after(len(SESSIONS), "record", tmp_path, *only("sessions"), *IMPATIENT) as (url, process):
        code, out, err = ended(process)
    assert code == 2
    assert f"Could not connect to {url}" in one_line(err)
    assert out.splitlines() == [f"wrote {tmp_path / name}.jsonl (partial)" for name in SESSIONS]
    for name in SESSIONS:
        session = load_session(tmp_path / f"{name}.jsonl")
        assert session.header.partial
        assert session.steps[-1].event in ("eof", "reset")


def test_what_ends_a_recording_ends_the_playing_too(serve, tmp_path):
    """Or the other cases would still be played, unseen, before the command could end."""
    served = serve()

    def stop(_name):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        recording_of(served.url, tmp_path).run(("messages",), stop)
    # As in the command, whose exit still holds the exception, and so all that was going on.
    assert (caught.traceback and playing()) == []
    assert len(kept_cases(tmp_path, "messages")) == 1
    assert served.stats()["total_connections"] <= 8


def test_a_server_that_is_gone_ends_the_playing_too(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(RecordError, match=f"Could not connect to {url}") as caught:
        recording_of(url, tmp_path).run(("messages",))
    assert (caught.traceback and playing()) == []
    assert written(tmp_path) == {}


def recording_of(url, folder):
    return Recording(Target(url), folder, Header(contract.CORPUS_FORMAT, "here", "2026-11-23"), parallel=2)


def playing():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("play")]


def test_cases_without_an_answer_are_left_out_by_name(tmp_path):
    unwelcome = iter(range(3))

    def change(text):
        return None if "connection_established" in text and next(unwelcome, None) is not None else text

    with independent_server(change) as url:
        done = run("record", url, tmp_path, *only("messages"), "--timeout", "0.5")
    left_out = [line for line in done.stdout.splitlines() if line.startswith("left out ")]
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines()[0] == f"wrote {tmp_path / 'messages.jsonl'} (partial)"
    names = [line.removeprefix("left out ").partition(":")[0] for line in left_out]
    assert [line.partition(": ")[2] for line in left_out] == [
        f"{url} sent no welcome and first update within 0.5 s."] * 3
    assert {case.name for case in kept_cases(tmp_path, "messages")} == set(
        named(load_cases("messages.jsonl"))) - set(names)
