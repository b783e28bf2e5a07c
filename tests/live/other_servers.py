"""Servers that are not the port, each in a process of its own that can be counted from outside.

`python -m tests.live.other_servers threads` prints its URL, answers each line on standard input with the
names of its threads as JSON, and ends with standard input. Its intervals are a tenth of the contract's.
"""

import asyncio
import json
import sys
import threading
from contextlib import contextmanager

from websockets.asyncio.server import serve

from livestream import contract
from livestream.parity.cases import load_session
from tests.parity.independent_server import independent_server

SCALE = 0.1
#: The recorded original's messages, by type.
TEXTS = {json.loads(step.text)["type"]: step.text for step in load_session("all-channels").steps if step.text}


async def broadcast(connection, channel):
    while True:
        await connection.send(TEXTS[channel.message_type])
        await asyncio.sleep(channel.interval_ms / 1_000 * SCALE)


async def converse(connection):
    """One connection; all of them in one thread."""
    await connection.send(TEXTS[contract.CONNECTION_ESTABLISHED])
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(broadcast(connection, contract.INITIAL_CHANNEL))]
        async for message in connection:
            wanted = json.loads(message)["channel"]
            for channel in contract.CHANNELS:
                if channel.name == wanted:
                    await connection.send(TEXTS[contract.SUBSCRIPTION_CONFIRMED])
                    started.append(tasks.create_task(broadcast(connection, channel)))
        for task in started:
            task.cancel()


@contextmanager
def with_an_event_loop():
    """Serves from one thread; gives the URL."""
    ready, ended = threading.Event(), asyncio.Event()
    found = []

    async def run():
        async with serve(converse, "127.0.0.1", 0, compression=None) as server:
            found.extend((asyncio.get_running_loop(), server.sockets[0].getsockname()[1]))
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),), name="event loop")
    thread.start()
    ready.wait()
    loop, port = found
    try:
        yield f"ws://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()


SERVERS = {"threads": lambda: independent_server(time_scale=SCALE), "event-loop": with_an_event_loop}

if __name__ == "__main__":
    with SERVERS[sys.argv[1]]() as url:
        print(url, flush=True)
        for _ in sys.stdin:
            print(json.dumps([thread.name for thread in threading.enumerate()]), flush=True)
