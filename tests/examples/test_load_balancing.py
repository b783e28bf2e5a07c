"""Three instances behind nginx, 300 clients, and one instance that dies."""

import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
import trustme

from livestream.client import ClientSettings, StreamClient
from livestream.contract import BLOCKCHAIN_STATS_PATH, HEALTH_READY_PATH, METRICS_PATH, TPS_UPDATES
from livestream.wire.handshake import http_request
from tests.support import PATIENCE, Command, wait_until

CONFIGURATION = Path(__file__).parents[2] / "examples" / "load_balancing" / "nginx.conf"
#: Debian's place for it is not on everybody's path.
NGINX = shutil.which("nginx", path=os.environ["PATH"] + os.pathsep + "/usr/sbin")
NOBODY = 65_534
CLIENTS = 300
#: Seconds before a client's first attempt to come back; the second would begin three times as late.
DELAY = 2.0
#: A busy machine is late by less than half of this interval, in seconds.
TIME_SCALE = 3
INTERVAL = TPS_UPDATES.interval_ms / 1000 * TIME_SCALE

pytestmark = pytest.mark.timeout(180)


class Client:
    """One client, with what it lived through and when."""

    def __init__(self, url, context):
        self.states, self.updates = [], []
        self.stream = StreamClient(
            url, ssl_context=context, settings=ClientSettings(reconnect_delay=DELAY, connect_timeout=30))
        self.stream.on_state(lambda state: self.states.append((str(state), time.monotonic())))
        self.stream.on("tps_update", lambda message: self.updates.append(message.timestamp / 1000))

    def was(self):
        return [state for state, _ in self.states]

    def away(self):
        """Seconds from losing the connection to having one."""
        times = dict(self.states)  # the last of each
        return times["open"] - times["reconnecting"]

    def gaps(self, since):
        """Seconds between the updates, by the server's clock."""
        return [later - earlier for earlier, later in pairwise(self.updates) if earlier >= since]


class Proxy:
    """The example's nginx in a folder of its own, without root's rights, in front of these ports."""

    def __init__(self, folder, ports):
        self.authority = trustme.CA()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        text = CONFIGURATION.read_text()
        for example, real in zip(("9443", "127.0.0.1:9003", "127.0.0.1:9004", "127.0.0.1:9005"),
                                 (f"127.0.0.1:{port}", *(f"127.0.0.1:{one}" for one in ports))):
            text, found = re.subn(rf"\b{example}\b", real, text)
            assert found == 1, example
        (folder / "nginx.conf").write_text(text)
        (folder / "temporary").mkdir()
        certificate = self.authority.issue_cert("localhost")
        certificate.private_key_pem.write_to_path(folder / "key.pem")
        certificate.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
        rights = {}
        if os.geteuid() == 0:
            rights = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            for path in (folder, *folder.iterdir()):
                os.chown(path, NOBODY, NOBODY)
        command = [NGINX, "-p", folder, "-e", "error.log", "-c", folder / "nginx.conf", "-g", "daemon off;"]
        self.process = subprocess.Popen(command, **rights)
        self.context = ssl.create_default_context()
        self.authority.configure_trust(self.context)
        self.url = f"https://localhost:{port}"
        self.log = folder / "error.log"

    def ask(self, path):
        return http_request(self.url, "GET", path, ssl_context=self.context, timeout=PATIENCE)

    def answers(self):
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.ask(BLOCKCHAIN_STATS_PATH).status == 200
        except OSError:
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE)


@pytest.fixture(scope="module")
def instances():
    options = ("--log-level", "error", "--metrics", "--health", "--time-scale", str(TIME_SCALE))
    started = [Command(*options) for _ in range(3)]
    yield started
    for one in started:
        one.kill()


@pytest.fixture(scope="module")
def proxy(instances):
    with tempfile.TemporaryDirectory() as folder:
        started = Proxy(Path(folder), [re.search(r":(\d+)/", one.url)[1] for one in instances])
        try:
            wait_until(started.answers)
            yield started
        finally:
            started.stop()


def open_connections(instance):
    answer = http_request(instance.url, "GET", METRICS_PATH, timeout=PATIENCE)
    return int(float(re.search(rb"^livestream_open_connections (\S+)$", answer.body, re.MULTILINE)[1]))


def test_what_is_about_one_instance_is_not_shown(instances, proxy):
    for path in (METRICS_PATH, HEALTH_READY_PATH):
        assert http_request(instances[0].url, "GET", path, timeout=PATIENCE).status == 200
        assert proxy.ask(path).status == 404


def test_when_an_instance_dies_its_clients_come_back_at_once_and_no_other_notices(instances, proxy):
    clients = [Client(proxy.url, proxy.context) for _ in range(CLIENTS)]
    with ExitStack() as closing, ThreadPoolExecutor(16) as pool:
        for client in clients:
            closing.callback(client.stream.close)
        list(pool.map(lambda client: client.stream.connect(), clients))
        wait_until(lambda: all(client.was()[-1:] == ["open"] for client in clients), 60)
        shares = [open_connections(one) for one in instances]
        assert sum(shares) == CLIENTS
        assert min(shares) > CLIENTS / 6
        began = time.time()
        wait_until_all_have(clients, began)
        instances[0].process.kill()
        wait_until(lambda: sum("reconnecting" in client.was() for client in clients) == shares[0])
        lost = [client for client in clients if "reconnecting" in client.was()]
        others = [client for client in clients if client not in lost]
        wait_until(lambda: all(client.was()[-1] == "open" for client in lost))
        wait_until_all_have(clients, time.time() + INTERVAL)
        wait_until(lambda: sum(map(open_connections, instances[1:])) == CLIENTS)
        lives = {tuple(client.was()) for client in lost}, {tuple(client.was()) for client in others}
    assert lives == ({("connecting", "open", "reconnecting", "open")}, {("connecting", "open")})
    assert max(client.away() for client in lost) < 3 * DELAY
    gaps = [client.gaps(began) for client in others]
    assert min(map(len, gaps)) >= 2
    assert max(map(max, gaps)) < 1.5 * INTERVAL


def wait_until_all_have(clients, moment):
    """Waits until each of them has an update from after this moment."""
    wait_until(lambda: all(client.updates[-1:] > [moment] for client in clients), 3 * INTERVAL + PATIENCE)
