"""Minutes of coming and going: what a closed connection leaves behind. Run by `make soak`."""

import psutil
import pytest

from livestream.wire.client import WireClient
from livestream.wire.frames import Opcode, encode_close, encode_frame
from tests.support import PATIENCE, Command, next_text, wait_until

AT_ONCE = 50
WARM_UP = 4_000
CONNECTIONS = 12_000
#: Bytes that a closed connection may cost: its registry entry for ever in `original`, nothing when corrected.
GROWTH = {"original": 1_500, "corrected": 250}


def polite(client):
    client.send_raw(encode_frame(Opcode.CLOSE, encode_close(1000)))


def come_and_go(url, connections, end):
    for _ in range(0, connections, AT_ONCE):
        clients = [WireClient.connect(url, timeout=PATIENCE) for _ in range(AT_ONCE)]
        for client in clients:
            next_text(client, "tps_update")
            end(client)
        for client in clients:
            client.release()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("end", [polite, WireClient.abort, WireClient.release])
@pytest.mark.parametrize("profile", GROWTH)
def test_a_closed_connection_leaves_nothing_but_what_the_profile_demands(profile, end):
    command = Command("--profile", profile, "--log-level", "error")
    try:
        process = psutil.Process(command.process.pid)
        threads, descriptors = process.num_threads(), process.num_fds()
        come_and_go(command.url, WARM_UP, end)
        before = process.memory_info().rss
        come_and_go(command.url, CONNECTIONS, end)
        wait_until(lambda: process.num_threads() <= threads and process.num_fds() <= descriptors)
        growth = (process.memory_info().rss - before) / CONNECTIONS
        print(f"{profile}, {end.__name__}: {growth:.0f} bytes a connection")
        assert growth < GROWTH[profile]
        assert command.stop()[0] == 0
    finally:
        command.kill()
