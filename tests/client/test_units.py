"""The client's small parts by themselves: URLs, headers, settings, messages, handlers, the backlog."""

import asyncio
import json
import threading

import pytest

from livestream.client import ClientSettings, Message, StreamClient, StreamError
from livestream.client.handlers import Backlog, Handlers
from livestream.client.messages import read_message, read_statistics, subscribe_text
from livestream.client.opening import check_headers, parse_url
from tests.client.support import STATISTICS

STREAM, STATS = "/api/v11/live/stream", "/api/v11/blockchain/stats"


@pytest.mark.parametrize("url, expected", [
    ("ws://localhost:9003", (False, "localhost", 9003, STREAM, STATS, "localhost:9003")),
    ("http://localhost/", (False, "localhost", 80, STREAM, STATS, "localhost")),
    ("wss://example.org", (True, "example.org", 443, STREAM, STATS, "example.org")),
    ("wss://example.org:80", (True, "example.org", 80, STREAM, STATS, "example.org:80")),
    ("ws://[::1]:9003/x?y=1", (False, "::1", 9003, "/x?y=1", STATS, "[::1]:9003")),
    ("ws://h/v2/api/v11/live/stream", (False, "h", 80, f"/v2{STREAM}", f"/v2{STATS}", "h")),
])
def test_a_url_taken_apart(url, expected):
    address = parse_url(url)
    assert (address.secure, address.host, address.port, address.target, address.statistics,
            address.host_header) == expected


@pytest.mark.parametrize("url", [
    "", "localhost:9003", "ftp://x", "ws://", "ws://x:port", "ws://x:99999", "ws://[::1", "ws://x/ü",
    "ws://x/#part", "ws://user:secret@x",
])
def test_a_bad_url_is_one_sentence(url):
    with pytest.raises(StreamError) as caught:
        StreamClient(url)
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence and "secret" not in sentence


@pytest.mark.parametrize("header", [
    ("X Y", "1"), ("X", "a\r\nb: c"), ("", "x"), ("X", "€"), ("X", None), "XY3",
])
def test_a_bad_header_is_one_sentence_without_its_value(header):
    with pytest.raises(StreamError, match="^Header 2 is not a name and a value that HTTP allows.$"):
        StreamClient("ws://x", headers=[("Authorization", "Bearer x"), header])


def test_good_headers_stay_as_they_are():
    assert check_headers([["X-Name", "wért"]]) == (("X-Name", "wért"),)


@pytest.mark.parametrize("name, value", [
    ("reconnect_attempts", -1), ("reconnect_delay", -1), ("poll_interval", 0),
    ("connect_timeout", float("nan")), ("ping_timeout", float("inf")), ("queue_size", 0),
    ("max_message_size", 0),
])
def test_a_setting_that_makes_no_sense_is_named(name, value):
    with pytest.raises(StreamError, match=name):
        ClientSettings(**{name: value})


def test_the_delays_are_the_reports():
    assert list(ClientSettings().delays()) == [3, 6, 12, 24, 48]
    assert ClientSettings().poll_interval == 1
    assert list(ClientSettings(reconnect_attempts=2_000).delays())[-1] == 1_000_000


def test_a_message_read():
    read = read_message('{"type":"pong","payload":{"timestamp":5},"timestamp":7}', 9)
    assert read == Message("pong", {"timestamp": 5}, 7, 9)
    assert read.as_json() == '{"type":"pong","payload":{"timestamp":5},"timestamp":7}'


@pytest.mark.parametrize("text", [
    "", "nonsense", "[]", "1", "{}", '{"type":1,"payload":{},"timestamp":1}', '{"type":"x","timestamp":1}',
    '{"type":"x","payload":[],"timestamp":1}', '{"type":"x","payload":{},"timestamp":true}',
    '{"type":"x","payload":{"a":NaN},"timestamp":1}', '{"type":"x","payload":{"a":1e999},"timestamp":1}',
    "[" * 100_000, "1" * 5_000,
])
def test_what_is_no_message(text):
    assert read_message(text, 0) is None


def test_statistics_become_a_polled_update():
    polled = read_statistics(json.dumps(STATISTICS), 9)
    assert polled == Message("tps_update", {
        "currentTPS": 1_808_267, "peakTPS": 2_156_789, "averageTPS": 1_450_234, "latency": 42.3,
    }, 1_795_422_292_531, 9, polled=True)
    assert json.loads(polled.as_json())["polled"] is True


@pytest.mark.parametrize("without", [("transactionStats",), ("performance",), ("timestamp",),
                                     ("transactionStats", "peakTPS"), ("performance", "averageLatency")])
def test_statistics_that_lack_a_figure(without):
    spoiled = part = json.loads(json.dumps(STATISTICS))
    *path, last = without
    for name in path:
        part = part[name]
    del part[last]
    assert read_statistics(json.dumps(spoiled), 0) is None


def test_the_channel_stands_beside_the_type():
    assert subscribe_text("ü\ud800") == '{"type":"subscribe","channel":"\\u00fc\\ud800"}'


def always():
    return True


def test_handlers_are_called_in_order_and_those_for_all_last():
    handlers, heard = Handlers(), []
    handlers.add("*", lambda value: heard.append("all"))
    handlers.add("a", lambda value: heard.append("first"))
    handlers.add("a", lambda value: heard.append("second"))
    handlers.add("b", lambda value: heard.append("other"))
    handlers.call(("a", "*"), 1, always)
    assert heard == ["first", "second", "all"]


def test_a_handler_added_twice_is_removed_once():
    handlers, heard = Handlers(), []
    remove = handlers.add("a", heard.append)
    handlers.add("a", heard.append)
    remove()
    remove()
    handlers.call(("a",), 1, always)
    assert heard == [1]


def test_a_handler_that_raises_is_logged_and_the_others_still_run(caplog):
    handlers, heard = Handlers(), []

    def leave(value):
        raise SystemExit(value)

    def call_off(value):
        raise asyncio.CancelledError

    handlers.add("a", lambda value: 1 / 0)
    handlers.add("a", leave)
    handlers.add("a", call_off)
    handlers.add("a", heard.append)
    handlers.call(("a",), 1, always)
    assert heard == [1]
    assert [record.exc_info[0] for record in caplog.records] == [
        ZeroDivisionError, SystemExit, asyncio.CancelledError]


def test_what_cant_be_called_is_no_handler():
    with pytest.raises(TypeError, match="^A handler is called with each message: None can't be.$"):
        Handlers().add("a", None)


def test_handlers_may_remove_and_add_handlers_while_they_are_called():
    handlers, heard = Handlers(), []

    def swap(value):
        remove_other()
        handlers.add("a", lambda value: heard.append("late"))

    handlers.add("a", swap)
    remove_other = handlers.add("a", lambda value: heard.append("removed"))
    handlers.call(("a",), 1, always)
    assert heard == []
    handlers.call(("a",), 1, always)
    assert heard == ["late"]


def test_no_handler_begins_when_the_client_is_to_end():
    handlers, heard = Handlers(), []
    handlers.add("a", heard.append)
    handlers.add("a", heard.append)
    handlers.call(("a",), 1, lambda: not heard)
    assert heard == [1]


def test_handlers_come_and_go_while_messages_come():
    handlers, over = Handlers(), threading.Event()

    def come_and_go():
        while not over.is_set():
            for remove in [handlers.add("a", lambda value: None) for _ in range(5)]:
                remove()

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    heard = []
    handlers.add("a", heard.append)
    for thread in threads:
        thread.start()
    for number in range(5_000):
        handlers.call(("a",), number, always)
    over.set()
    for thread in threads:
        thread.join()
    assert heard == list(range(5_000))
    assert len(handlers._registered["a"]) == 1


def test_the_backlog_drops_the_oldest_and_says_so_once(caplog):
    backlog = Backlog(3)
    for number in range(5):
        backlog.put(number)
    assert (backlog.dropped, caplog.records) == (0, [])
    backlog.want()
    for number in range(5, 8):
        backlog.put(number)
    assert backlog.dropped == 3
    assert len(caplog.records) == 1
    assert [backlog.get() for _ in range(3)] == [5, 6, 7]
    for number in range(4):
        backlog.put(number)
    assert (backlog.dropped, len(caplog.records)) == (4, 2)


def test_the_backlog_ends_at_once():
    backlog = Backlog(3)
    backlog.put(1)
    backlog.end()
    with pytest.raises(StopIteration):
        backlog.get()
