"""The application under gunicorn: the same as the original, with no excuse but those of our own server."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from livestream import create_app
from livestream.contract import BLOCKCHAIN_STATS_PATH, CLOSE_GOING_AWAY
from livestream.settings import Settings, SettingsError
from livestream.wire.client import WireClient
from livestream.wire.events import Kind
from livestream.wire.handshake import handshake_request, http_request
from tests.certificates import make_certificate
from tests.support import PATIENCE, SUBSCRIBE, Command, next_text, wait_until

CONFIGURATION = Path(__file__).parents[2] / "examples" / "gunicorn" / "gunicorn.conf.py"
#: All that is played in seconds; the sessions' pace is the broadcaster's, which the server has no part in.
LAYERS = ("silence", "handshake", "frames", "messages", "http", "statistics", "threads", "contract")
THREADS = 64
REFUSAL = "this server's own TLS can't carry the stream: end TLS at a proxy before it"

pytestmark = pytest.mark.timeout(300)


class Gunicorn:
    """One in a process of its own, ready to answer."""

    def __init__(self, *options):
        command = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--no-control-socket",
                   "--threads", str(THREADS), *options, "livestream:create_app()"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.log = []
        self.url = ""
        for line in self.process.stderr:
            self.log.append(line)
            found = re.search(r"Listening at: (\S+)", line)
            self.url = found[1] if found else self.url
            if "Booting worker" in line:
                break

    @property
    def worker(self):
        """The process that serves."""
        [worker] = psutil.Process(self.process.pid).children()
        return worker.pid

    def stop(self):
        """Ends it by SIGTERM; returns the exit code and the rest of its log."""
        self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, err

    def kill(self):
        """Whatever it does, it is gone afterwards: its worker too, which looks after its parent."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def gunicorn():
    started = []

    def start(*options):
        started.append(Gunicorn(*options))
        return started[-1]

    yield start
    for server in started:
        server.kill()


def verdicts(url, pid, folder):
    """The exit code of a comparison, and each case's verdict and excuse."""
    path = folder / "report.json"
    only = [word for layer in LAYERS for word in ("--only", layer)]
    answer = subprocess.run(
        [sys.executable, "-m", "livestream", "parity", url, "--pid", str(pid), *only, "--json", str(path)],
        capture_output=True, text=True, timeout=240)
    results = json.loads(path.read_text())["results"]
    return answer.returncode, {
        (result["layer"], result["name"]): (result["verdict"], result.get("reason")) for result in results}


def test_it_answers_every_case_as_our_own_server_does(gunicorn, tmp_path):
    server = gunicorn("--worker-class", "gthread")
    code, under_gunicorn = verdicts(server.url, server.worker, tmp_path)
    own = Command("--log-level", "error")
    try:
        own_code, alone = verdicts(own.url, own.process.pid, tmp_path)
    finally:
        own.kill()
    assert (code, own_code) == (0, 0)
    assert len(under_gunicorn) > 240
    assert {layer for layer, _ in under_gunicorn} == set(LAYERS)
    excused = {case: one for case, one in under_gunicorn.items() if one[0] != "same"}
    assert excused == {case: alone[case] for case in excused}


def test_when_it_stops_its_clients_are_told_and_no_thread_holds_it_up(gunicorn):
    server = gunicorn("--config", str(CONFIGURATION))
    with WireClient.connect(server.url, timeout=PATIENCE) as client, \
            WireClient.connect(server.url, timeout=PATIENCE) as other:
        for one in (client, other):
            one.send_text(SUBSCRIBE % "validator_metrics")
            next_text(one, "validator_update")
        worker = psutil.Process(server.worker)
        server.process.send_signal(signal.SIGTERM)
        for one in (client, other):
            events = one.receive_until(lambda event: event.kind is Kind.CLOSE, PATIENCE)
            assert events[-1].code == CLOSE_GOING_AWAY
            one.close()
    code, err = server.stop()
    assert (code, "was sent SIG" in err) == (0, False), err
    wait_until(lambda: not worker.is_running())


def test_its_own_tls_is_refused_for_the_stream_and_said_in_the_log(gunicorn, tmp_path):
    certificate = make_certificate(tmp_path)
    server = gunicorn(
        "--worker-class", "gthread", "--certfile", certificate.cert, "--keyfile", certificate.key)
    with WireClient.open(server.url, timeout=PATIENCE, ssl_context=certificate.client) as client:
        assert client.handshake(handshake_request("x")).status == 501
    rest = http_request(server.url, "GET", BLOCKCHAIN_STATS_PATH, ssl_context=certificate.client)
    assert rest.status == 200
    _, err = server.stop()
    assert REFUSAL in err


def test_tls_of_our_own_server_is_none_of_anothers():
    with pytest.raises(SettingsError, match="tls_cert and tls_key are for LiveServer"):
        create_app(Settings(tls_cert="cert.pem", tls_key="key.pem"))


def test_without_the_configuration_its_connections_are_cut_after_the_graceful_time(gunicorn):
    server = gunicorn("--worker-class", "gthread", "--graceful-timeout", "1")
    with WireClient.connect(server.url, timeout=PATIENCE) as client:
        next_text(client)
        worker = psutil.Process(server.worker)
        server.process.send_signal(signal.SIGTERM)
        events = client.receive_until(lambda event: event.kind is not Kind.TEXT, PATIENCE)
        # No Close frame.
        assert events[-1].kind in (Kind.EOF, Kind.RESET)
    server.stop()
    wait_until(lambda: not worker.is_running())
