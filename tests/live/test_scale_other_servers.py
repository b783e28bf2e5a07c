"""`livestream scale --url`: servers that somebody else started, counted by /proc and by themselves."""

import json
import os
import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import trustme

from livestream.contract import CHANNELS
from tests.examples.test_floor import build
from tests.live.other_servers import SCALE
from tests.parity.independent_server import Conversation, serving
from tests.scaling import QUICK, Run, run_scale
from tests.support import PATIENCE, Command, wait_until

pytestmark = pytest.mark.timeout(300)

CLIENTS = 8
SECRET = "sesame-0815"


@contextmanager
def other(*command):
    """A server that prints its URL first: that, and its process."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.kill()
        process.communicate()


def thread_names(process):
    """As the server itself lists them."""
    print(file=process.stdin, flush=True)
    return json.loads(process.stdout.readline())


def measured_threads(folder):
    """Another implementation, asked for its threads until it has one for each channel of each client."""
    with other(sys.executable, "-m", "tests.live.other_servers", "threads") as (url, process):
        options = (*QUICK, "--clients", CLIENTS, "--url", url, "--pid", process.pid)
        with Run(folder, *options, beside=process.pid) as run:
            everyone = CLIENTS * len(CHANNELS)
            wait_until(lambda: "".join(thread_names(process)).count("_broadcast") == everyone, 4 * PATIENCE)
            return run.ended()


def measured_event_loop(folder):
    with other(sys.executable, "-m", "tests.live.other_servers", "event-loop") as (url, process):
        options = (*QUICK, "--clients", CLIENTS, "--url", url, "--pid", process.pid)
        return run_scale(folder, *options, beside=process.pid)


def measured_floor(folder):
    with other(build(folder / "floor"), "0") as (url, process):
        options = ("--seconds", 1, "--clients", CLIENTS, "--url", url, "--pid", process.pid)
        return run_scale(folder / "results", *options, beside=process.pid)


def measured_port(folder):
    server = Command("--time-scale", str(SCALE))
    pid = server.process.pid
    try:
        options = (*QUICK, "--clients", f"2,{CLIENTS}", "--url", server.url, "--pid", pid)
        return run_scale(folder, *options, beside=pid)
    finally:
        server.kill()


def measured_from_afar(folder):
    server = Command("--time-scale", str(SCALE))
    try:
        return run_scale(folder, *QUICK, "--clients", CLIENTS, "--url", server.url)
    finally:
        server.kill()


MEASURED = {
    "threads": measured_threads, "event loop": measured_event_loop, "floor": measured_floor,
    "port": measured_port, "from afar": measured_from_afar,
}
#: Threads that read for each client, and threads that send.
THREADS = {"threads": (2, 4), "event loop": (0, 0), "floor": (1, 4), "port": (1, 4)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folders = {name: tmp_path_factory.mktemp("measured") for name in MEASURED}
    with ThreadPoolExecutor(len(MEASURED)) as pool:
        futures = {name: pool.submit(measure, folders[name]) for name, measure in MEASURED.items()}
    return {name: future.result() for name, future in futures.items()}


@pytest.mark.parametrize("name", THREADS)
def test_threads_are_those_that_proc_lists(runs, name):
    scaled = runs[name]
    step = scaled.steps[-1]
    scaled.assert_whole(*[("", one["clients"]) for one in scaled.steps])
    figures, (transport, channels) = step["figures"], THREADS[name]
    assert figures["transport_threads"] == transport * CLIENTS
    assert figures["channel_threads"] == channels * CLIENTS
    assert figures["up"] == CLIENTS
    pid = int(scaled.results["server"]["pid"])
    # Connections that are only counted are more than the clients: they may have had more threads.
    most = max(scaled.seen.seen[pid].most_threads, figures["threads"])
    assert figures["threads"] == max(moment["threads"] for moment in step["timeline"]) <= most
    if transport + channels > 4:
        assert scaled.seen.seen[pid].most_threads == figures["threads"]


def test_the_second_step_begins_as_the_first(runs):
    first, second = runs["port"].steps
    assert first["timeline"][0]["threads"] == second["timeline"][0]["threads"]
    assert [step["figures"]["channel_threads"] for step in (first, second)] == [
        2 * len(CHANNELS), CLIENTS * len(CHANNELS)]


def test_only_the_load_is_started(runs):
    for name in MEASURED:
        seen = runs[name].seen
        assert len(seen.loads) == len(runs[name].steps)
        assert [one for one in seen.servers if str(one.pid) != runs[name].results["server"].get("pid")] == []


def test_from_afar_there_is_what_the_clients_saw_and_it_says_so(runs):
    scaled = runs["from afar"]
    scaled.assert_whole(("", CLIENTS))
    figures = scaled.step["figures"]
    assert figures["up"] == CLIENTS and figures["delivered"] > 50 and figures["bytes_per_client"] > 0
    assert figures.keys().isdisjoint({"threads", "channel_threads", "rss_mb", "cpu_share", "descriptors"})
    assert scaled.step["timeline"] == []
    assert "without --pid there is only what the clients saw" in (scaled.folder / "report.html").read_text()
    assert "threads" not in scaled.out


def test_the_results_name_the_server(runs):
    floor = runs["floor"].results
    assert floor["server"]["executable"] == "floor"
    assert floor["server"]["name"] in floor["command"] and floor["server"]["pid"] in floor["command"]
    assert floor["server"]["name"] in (runs["floor"].folder / "report.html").read_text()


def test_channel_threads_are_those_that_the_server_itself_names(serve, tmp_path):
    served = serve(time_scale=SCALE)
    options = (*QUICK, "--clients", CLIENTS, "--url", served.url, "--pid", os.getpid())
    channels = [channel.name for channel in CHANNELS]
    with Run(tmp_path / "out", *options) as run:
        names = wait_until(
            lambda: (names := served.threads()) and len(names) >= CLIENTS * 5 and names, 4 * PATIENCE)
        scaled = run.ended()
    scaled.assert_whole(("", CLIENTS))
    sending = [name for name in names if any(channel in name for channel in channels)]
    assert scaled.step["figures"]["channel_threads"] == len(sending)
    assert scaled.step["figures"]["transport_threads"] == len(names) - len(sending)


# --- behind a login


@contextmanager
def locked(folder):
    """A server behind TLS and a login, in this process: its URL, its authority's file, who was let in."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    asked = []

    def check(connection, request):
        asked.append(request.headers.get("Authorization"))
        return None if asked[-1] == f"Bearer {SECRET}" else connection.respond(401, "")

    def handler(connection):
        Conversation(connection, lambda text: text, SCALE).run()

    with serving(handler, ssl=context, process_request=check) as url:
        yield url.replace("ws://", "wss://"), folder / "ca.pem", asked


def written(folder):
    return b"".join(path.read_bytes() for path in folder.iterdir())


def test_it_is_let_in_by_a_header_and_tells_nobody_its_value(tmp_path):
    out = tmp_path / "out"
    with locked(tmp_path) as (url, authority, asked):
        scaled = run_scale(
            out, *QUICK, "--clients", 3, "--url", url, "--pid", os.getpid(), "--ca", authority,
            "--header", f"Authorization: Bearer {SECRET}")
    scaled.assert_whole(("", 3))
    assert scaled.step["figures"]["up"] == 3
    assert scaled.step["figures"]["channel_threads"] == 3 * len(CHANNELS)
    # One that tried, one that asked for the validators, and the clients.
    assert asked == [f"Bearer {SECRET}"] * 5
    told = written(out) + scaled.out.encode() + scaled.err.encode()
    assert b"Authorization: " in told and SECRET.encode() not in told
    # Everybody on this machine can see how a process was called.
    assert not any(SECRET in word for one in scaled.seen.loads for word in one.words)
