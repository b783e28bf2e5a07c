"""RFC 6455 by a suite of others: the cases of the Autobahn TestSuite, run by kosoku, against an echo.

The echo is a route of these tests on the port's own transport and server. Left out are 12.* and 13.*:
they are about permessage-deflate, which the port refuses as the original does.
"""

import json
import logging
import subprocess
import sysconfig
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import flask_sock
import pytest
from flask import Flask
from werkzeug.serving import make_server

from livestream.transport.container import Sock
from livestream.transport.websocket import Limits
from tests.support import wait_until

ECHO = "/echo"
KOSOKU = Path(sysconfig.get_path("scripts"), "kosoku")
#: Cases at a time, and the connections that the echo allows: one that is ending may still count.
AT_A_TIME, CONNECTIONS = 4, 64
RUNS = 3
#: How long one run may take, in seconds; it takes about 7.
RUN_TIME = 90
CASES, CASES_WITHIN_THE_LIMIT = 301, 246
#: Slow ones: they wait a second each, or send many megabytes.
SLOW = ("5.19", "5.20", "6.4.*", "9.*")
#: Sends a frame of 262,144 bytes; of the others only 9.* go beyond the port's own limit.
ABOVE_THE_FRAME_LIMIT = ("7.1.6", "9.*")


class Verdict(NamedTuple):
    """What the suite says of one case: the messages, the closing handshake, the server's Close code."""

    behavior: str
    closing: str
    code: int | None


#: The suite judges none of these: a Close behind unread messages, and Close codes of no range. It
#: matters only that they end properly (RFC 6455, sections 5.5.1 and 7.4.2).
UNJUDGED = {
    "7.1.6": Verdict("INFORMATIONAL", "INFORMATIONAL", 1000),
    "7.13.1": Verdict("INFORMATIONAL", "INFORMATIONAL", 1002),
    "7.13.2": Verdict("INFORMATIONAL", "INFORMATIONAL", 1002),
}
#: "HTTP" read as a frame is a Close, and its code is "TP": an answer was written into the WebSocket.
CODE_OF_AN_HTTP_ANSWER = int.from_bytes(b"TP", "big")


def run_suite(url, report, *left_out):
    """Runs the cases in a process of their own; returns every verdict by its case.

    The whole report is left in the folder `report`, also as web pages.
    """
    excluded = [option for case in ("12.*", "13.*", *left_out) for option in ("--exclude", case)]
    parallel = ("--parallelism", str(AT_A_TIME))
    command = [KOSOKU, "ws" + url.removeprefix("http") + ECHO, "--outdir", report, *parallel, *excluded]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_TIME)
    index = report / "index.json"
    assert index.exists(), done.stderr
    return {
        case: Verdict(result["behavior"], result["behaviorClose"], result["remoteCloseCode"])
        for results in json.loads(index.read_text()).values()
        for case, result in results.items()
    }


def imperfect(verdicts):
    """What is not simply OK with a Close code; the suite itself lets NON-STRICT pass, and an empty Close."""
    return {
        case: verdict
        for case, verdict in verdicts.items()
        if verdict[:2] != ("OK", "OK") or verdict.code is None
    }


def echo(ws):
    """Sends every message back as it came: text as text, binary as binary."""
    while True:
        ws.send(ws.receive())


def add_echo(served, limits):
    Sock(served.server.app, CONNECTIONS, limits).route(ECHO)(echo)


@pytest.mark.timeout(RUNS * RUN_TIME)
def test_the_transport_passes_every_case_every_time(serve, tmp_path):
    served = serve()
    add_echo(served, Limits(frame=0, message=0))
    for run in range(RUNS):
        verdicts = run_suite(served.url, tmp_path / str(run))
        assert len(verdicts) == CASES
        assert imperfect(verdicts) == UNJUDGED


def test_with_the_ports_own_limits_it_passes_every_case_within_them(serve, tmp_path):
    served = serve()
    add_echo(served, Limits())
    verdicts = run_suite(served.url, tmp_path, *ABOVE_THE_FRAME_LIMIT)
    assert len(verdicts) == CASES_WITHIN_THE_LIMIT
    assert imperfect(verdicts) == {case: UNJUDGED[case] for case in ("7.13.1", "7.13.2")}


@contextmanager
def plain_echo():
    """The same echo behind plain Flask-Sock, on Werkzeug's threaded server; yields its URL."""
    app = Flask("plain")
    flask_sock.Sock(app).route(ECHO)(echo)
    threads = threading.active_count()
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        wait_until(lambda: threading.active_count() == threads)


def test_the_plain_library_does_not(tmp_path, caplog):
    """Which cases fail is a matter of luck: none does so in every run, so none is named here.

    Two threads write at once, the library's and Werkzeug's: in 120 runs of these 241 cases 2 to 32 failed.
    And what came right before an error is not handed on: ten cases, 3.2 to 3.4, 4.1.3 to 4.1.5, 4.2.3 to
    4.2.5 and 5.15, are NON-STRICT, most of them in every run.
    """
    caplog.set_level(logging.CRITICAL + 1, "werkzeug")
    caplog.set_level(logging.CRITICAL + 1, "plain")
    with plain_echo() as url:
        seen = [
            verdict
            for attempt in range(RUNS)
            for verdict in run_suite(url, tmp_path / str(attempt), *SLOW).values()
        ]
    assert [verdict for verdict in seen if verdict.code == CODE_OF_AN_HTTP_ANSWER]
    assert [verdict for verdict in seen if verdict.behavior == "NON-STRICT"]
