"""`livestream parity` and `record` against servers that are gone, silent or mad, and with options that are
wrong: a clear line, the right exit code, and an end in time."""

import itertools
import json
import shlex
import signal
import socket
import socketserver
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest
import trustme
from websockets.exceptions import ConnectionClosed

from livestream import contract
from livestream.parity.cases import load_cases, load_header
from livestream.stream.profiles import CORRECTED, SHIPPED
from tests.live.test_record import (
    Gate, ended, killed_after, only, refused, run, running, written,
)
from tests.parity.independent_server import Conversation, serving
from tests.support import PATIENCE

#: What the commands are told to wait for a server, and how long they may then take in all, in seconds.
SHORT = ("--timeout", "0.5")
BOUND = 60.0
#: One case, for whoever only wants to be let in.
PING = ("--only", "messages", "--case", "messages/ping")
SECRET = "s3cret-of-the-header"
LOGIN = ("--header", f"Authorization: Bearer {SECRET}")


# --- servers without a stream


@contextmanager
def nobody():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield f"ws://127.0.0.1:{port}"


@contextmanager
def silent_tcp():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}"


class ManyAtOnce(socketserver.ThreadingTCPServer):
    """Lets more than five wait to be accepted."""

    request_queue_size = 128


@contextmanager
def tcp_server(answer):
    """`answer(socket, over)` talks to every client, until it returns or fails."""
    over = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            try:
                answer(self.request, over)
            except OSError:
                pass  # The client has left.

    with ManyAtOnce(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.server_address[1]}"
        finally:
            over.set()
            server.shutdown()
            thread.join()


def garbage(sock, _over):
    sock.sendall(b"SSH-2.0-OpenSSH_9.6\r\n\x00\xff\xfe\r\n\r\n")
    sock.recv(65_536)


def hangs_up(sock, _over):
    sock.recv(65_536)


def endless_head(sock, _over):
    sock.sendall(b"HTTP/1.1 200 OK\r\n")
    for number in itertools.count():
        sock.sendall(b"X-Header-%d: x\r\n" % number)


def trickling_head(sock, over):
    for byte in itertools.chain(b"HTTP/1.1 200 OK\r\nX-Header: ", itertools.repeat(ord("x"))):
        sock.sendall(bytes([byte]))
        if over.wait(0.02):
            return


def wrong_key(sock, _over):
    sock.recv(65_536)
    sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n")
    sock.recv(65_536)


@contextmanager
def http_server(status, body=b""):
    """Answers every request the same way, and no handshake."""
    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self):
            self.raw_requestline = self.rfile.readline(65_537)
            if self.raw_requestline and self.parse_request():
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            self.close_connection = True

        def log_message(self, *_arguments):
            """Nobody reads it."""

    with ManyAtOnce(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


WITHOUT_A_STREAM = {
    "nobody there": (nobody, "Could not connect to {url}"),
    "says nothing": (silent_tcp, "{url} gave no complete answer within the time limit"),
    "garbage": (lambda: tcp_server(garbage), "{url} did not answer the handshake in HTTP"),
    "hangs up": (lambda: tcp_server(hangs_up), "{url} closed the connection instead of answering"),
    "endless head": (lambda: tcp_server(endless_head), "{url} did not answer the handshake in HTTP"),
    "trickling head": (lambda: tcp_server(trickling_head), "{url} gave no complete answer within the time"),
    "wrong key": (lambda: tcp_server(wrong_key), "{url} answered the handshake with a wrong"),
    "404": (lambda: http_server(404), "{url} answered the handshake with status 404, not 101"),
    "REST only": (lambda: http_server(200, b"{}"), "{url} answered the handshake with status 200, not 101"),
}


@pytest.mark.parametrize("name", WITHOUT_A_STREAM)
def test_without_a_stream_nothing_can_be_compared_or_recorded(name, tmp_path):
    server, sentence = WITHOUT_A_STREAM[name]
    with server() as url:
        assert sentence.format(url=url) in refused("parity", url, *SHORT)
        assert sentence.format(url=url) in refused("record", url, tmp_path, *SHORT)
    assert written(tmp_path) == {}


def test_the_other_servers_are_asked_first_too(serve):
    url = serve().url
    with nobody() as gone:
        for options in (("--against", gone), ("--against", url, "--twin", gone)):
            assert f"Could not connect to {gone}" in refused("parity", url, *options, *SHORT)


def test_a_server_of_rest_alone_can_be_asked_about_it(tmp_path):
    with http_server(200, b"{}") as url:
        done = run("parity", url, *only("http"), *SHORT, timeout=BOUND)
        recorded = run("record", url, tmp_path, *only("http"), *SHORT, timeout=BOUND)
    assert done.returncode == 1
    assert done.stdout.startswith("different: http/")
    assert recorded.returncode == 0
    assert {case.observed["body"] for case in load_cases(tmp_path / "http.jsonl")} == {"{}", ""}


def test_a_rest_that_says_nothing_is_not_asked_everything(tmp_path):
    with silent_tcp() as url:
        done = run("parity", url, *only("http"), *SHORT, timeout=BOUND)
        recorded = run("record", url, tmp_path, *only("http"), *SHORT, timeout=BOUND)
    assert done.returncode == 1
    assert done.stdout.startswith("no answer: http/")
    assert f" at {url} got no answer: " in done.stdout
    assert "Not played: 12 cases before it got no answer." in done.stdout
    assert recorded.returncode == 1
    assert recorded.stdout.count("left out ") == len(load_cases("http.jsonl"))
    assert written(tmp_path) == {}


# --- servers with a stream that goes wrong


def welcomes(connection):
    for message_type in (contract.CONNECTION_ESTABLISHED, contract.INITIAL_CHANNEL.message_type):
        connection.send(json.dumps({"type": message_type}))


def says_nothing(connection):
    for _ in connection:
        pass


def drops_after_the_welcome(connection):
    welcomes(connection)
    connection.socket.shutdown(socket.SHUT_RDWR)


def drops_when_asked(connection):
    welcomes(connection)
    connection.recv()
    connection.socket.shutdown(socket.SHUT_RDWR)


def floods(connection):
    welcomes(connection)
    while True:
        connection.socket.sendall(b"\x81\x05flood" * 5_000)


def trickles(connection):
    """Messages without an end, slowly enough for no limit to count them."""
    welcomes(connection)
    pause = threading.Event()
    while True:
        connection.send("flood")
        pause.wait(0.02)


def trickles_a_frame(connection):
    """One frame of a mebibyte, byte by byte."""
    welcomes(connection)
    connection.socket.sendall(b"\x81\x7f" + (2**20).to_bytes(8, "big"))
    pause = threading.Event()
    while True:
        connection.socket.sendall(b"x")
        pause.wait(0.02)


def sends_a_broken_stream(connection):
    welcomes(connection)
    connection.socket.sendall(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
    connection.recv()


def drops_later(limit):
    """Well-behaved for so many connections, and then never again."""
    count = itertools.count()

    def handler(connection):
        if next(count) < limit:
            Conversation(connection, lambda text: text, 1.0).run()
        else:
            connection.socket.shutdown(socket.SHUT_RDWR)
    return handler


STREAMS = {
    "says nothing": says_nothing,
    "drops after the welcome": drops_after_the_welcome,
    "drops when asked": drops_when_asked,
    "trickles": trickles,
    "trickles a frame": trickles_a_frame,
    "sends a broken stream": sends_a_broken_stream,
}
#: The layers that need no half minute.
QUICK = only("silence", "handshake", "frames", "messages", "http")
#: Some of each, for servers that take their time.
SOME = [
    word
    for name in ("silence/nothing sent", "handshake/plain", "frames/binary-ping", "frames/close-1000",
                 "frames/subscribe-twice", "messages/ping", "messages/sub-unknown", "http/stats")
    for word in ("--case", name)
]


def quietly(handler):
    """A handler whose connection may end at any time."""
    def quiet(connection):
        try:
            handler(connection)
        except (OSError, ConnectionClosed):
            pass
    return quiet


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_goes_wrong_is_a_difference_in_time(name):
    with serving(quietly(STREAMS[name])) as url:
        done = run("parity", url, *SOME, *SHORT, timeout=BOUND)
    assert (done.returncode, done.stderr) == (1, "")
    # Which of its differences tells most is for the report to say.
    assert done.stdout.startswith("different: ")


def test_a_flood_is_not_listened_to_for_ever():
    cases = ("--case", "silence/nothing sent", "--case", "messages/ping", "--parallel", "1")
    with serving(quietly(floods)) as url:
        done = run("parity", url, *cases, timeout=BOUND)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("different: silence/nothing sent: ")
    assert f"no answer: {url} sent more than 20000 messages in one case." in done.stdout


def test_a_stream_without_messages_is_not_asked_for_them():
    with serving(says_nothing) as url:
        done = run("parity", url, *SOME, *SHORT, timeout=BOUND)
    assert "5 cases, no answer: Not played: the server opens a stream and sends nothing on it." in done.stdout


@pytest.mark.parametrize("handler", [drops_after_the_welcome, trickles_a_frame])
def test_recording_a_stream_that_goes_wrong_ends_in_time(handler, tmp_path):
    with serving(quietly(handler)) as url:
        done = run("record", url, tmp_path, *only("shipped"), *SHORT, timeout=BOUND)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"wrote {tmp_path / 'shipped.jsonl'}\n"


def test_a_flood_is_not_recorded(tmp_path):
    with serving(quietly(floods)) as url:
        done = run("record", url, tmp_path, *only("messages"), timeout=BOUND)
    assert (done.returncode, done.stderr) == (1, "")
    assert f"left out ping: {url} sent more than 20000 messages in one case.\n" in done.stdout
    assert "Not played: 12 cases before it got no answer." in done.stdout
    assert written(tmp_path) == {}


def test_a_server_that_drops_after_some_connections():
    with serving(drops_later(20)) as url:
        done = run("parity", url, *only("messages"), *SHORT, timeout=BOUND)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith(("different: messages/", "no answer: messages/"))
    assert f"no answer: {url} ended the connection before the welcome and the first update." in done.stdout
    assert "no answer: Not played: 12 cases before it got no answer." in done.stdout


def test_a_server_that_is_killed():
    with killed_after(40, "parity", *only("messages"), *SHORT) as (url, process):
        code, out, err = ended(process, BOUND)
    assert (code, err) == (1, "")
    assert out.startswith(("different: messages/", "no answer: messages/"))
    assert f"no answer: Could not connect to {url}: Connection refused." in out


# --- being let in


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    """A server behind TLS and a login: its URL, and the file of the authority that vouches for it."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    file = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(file))

    def check(connection, request):
        if request.headers.get("Authorization") == f"Bearer {SECRET}":
            return None
        return connection.respond(401, "")

    def handler(connection):
        Conversation(connection, lambda text: text, 1.0).run()

    with serving(handler, ssl=context, process_request=check) as url:
        yield url.replace("ws://", "wss://"), file


def test_a_certificate_that_nobody_vouches_for(locked, tmp_path):
    url, _ = locked
    for line in (refused("parity", url, *PING, *LOGIN), refused("record", url, tmp_path, *LOGIN)):
        assert f"Could not set up TLS with {url}" in line and "certificate verify failed" in line
        assert SECRET not in line


def test_a_login_that_is_missing(locked, tmp_path):
    url, file = locked
    for line in (refused("parity", url, *PING, "--ca", file), refused("record", url, tmp_path, "--ca", file)):
        assert f"{url} answered the handshake with status 401, not 101" in line


def test_with_both_it_plays(locked):
    url, file = locked
    done = run("parity", url, *PING, *LOGIN, "--ca", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("same: 1 case")
    # The original takes this for a number without an end; Python's JSON reader doesn't.
    done = run("parity", url, "--case", "messages/lit-nan", *LOGIN, "--ca", file)
    assert done.returncode == 1
    assert done.stdout.startswith("different: messages/lit-nan: ")


def test_with_both_it_records(locked, tmp_path):
    url, file = locked
    done = run("record", url, tmp_path, *only("handshake"), *LOGIN, "--ca", file, *SHORT)
    assert (done.returncode, done.stderr) == (0, "")
    assert load_header(tmp_path / "handshake.jsonl").recorded_from == url
    assert SECRET not in done.stdout
    assert SECRET.encode() not in b"".join(written(tmp_path).values())


def test_the_secret_stands_in_no_report(locked, tmp_path):
    url, file = locked
    reports = {option: tmp_path / option for option in ("html", "junit", "json")}
    options = [word for option, path in reports.items() for word in (f"--{option}", path)]
    done = run("parity", url, *only("handshake", "messages"), *LOGIN, "--ca", file, *options)
    assert done.returncode == 1
    assert f"--header 'Authorization: …' --ca {file} --case " in done.stdout
    assert SECRET not in done.stdout + done.stderr
    assert sorted(written(tmp_path)) == ["html", "json", "junit"]
    for path in reports.values():
        text = path.read_text()
        assert "Authorization" in text and SECRET not in text


# --- options that are wrong


@pytest.fixture(scope="module")
def nonsense(tmp_path_factory):
    """A file that is no sort of file that is wanted."""
    path = tmp_path_factory.mktemp("nonsense") / "nonsense"
    path.write_text("[[[ no such thing\n")
    return path


#: By the options: what is said of them. URL and NONSENSE stand for a server and a file.
WRONG_OPTIONS = {
    ("--twin", "URL"): "--twin needs --against",
    ("--fuzz", "10"): "--fuzz needs --against",
    ("--against-pid", "1"): "--against-pid needs --against",
    ("--against", "URL", "--seed", "1"): "--seed needs --fuzz",
    ("--against", "URL", "--append", "/tmp/none"): "--append needs --fuzz",
    ("--against", "URL", "--generate", "frames"): "--generate needs --fuzz",
    ("--against", "URL", "--profile", "shipped"): "--profile is about the packaged corpus",
    ("--corpus", "NONSENSE", "--profile", "original"): "--profile is about the packaged corpus",
    ("--profile", "broken"): "'broken' is not one of 'original', 'shipped', 'corrected'",
    ("--case", "messages/none"): "No case fits this choice: see --only and --case.",
    ("--only", "frames", "--case", "messages/ping"): "No case fits this choice",
    ("--only", "everything"): "'everything' is not one of 'silence', 'handshake'",
    ("--corpus", "NONSENSE"): "NONSENSE, line 1 is not JSON",
    ("--corpus", "/no/such/file"): "/no/such/file can't be read: ",
    ("--deviations", "NONSENSE"): "NONSENSE can't be read: ",
    ("--deviations", "/no/such/file"): "/no/such/file can't be read: ",
    ("--rules", "NONSENSE"): "NONSENSE can't be read: ",
    ("--rules", "/no/such/file"): "/no/such/file can't be read: ",
    ("--html", "/no/such/folder/report"): "--html: /no/such/folder/report is no file in a folder that exists",
    ("--junit", "/no/such/folder/report"): "--junit: /no/such/folder/report is no file",
    ("--json", "/tmp"): "--json: /tmp is no file in a folder that exists",
    ("--header", "a: b", "--header", "secret"): "Header 2 is not of the form 'Name: value'",
    ("--header", "X: €"): "Header 1 is not of the form 'Name: value', in Latin-1, on one line.",
    ("--header", "a b: c"): "Header 1 is not of the form 'Name: value'",
    ("--seed", "0"): "--seed needs --fuzz",
    ("--only", "threads"): "threads were not counted: --pid names the server's process",
    ("--only", "fuzz"): "Inputs are generated with --fuzz N and --against URL",
    ("--only", "contract"): "The contract is judged by the messages of other layers",
    ("--pid", "1", "--against", "URL", "--against-pid", "1"): "--pid and --against-pid are one process",
    ("--pid", "99999999"): "There is no process 99999999 to count threads of.",
    ("--against", "URL", "--fuzz", "1", "--append", "NONSENSE"): "NONSENSE, line 1 is not JSON",
    ("--header", ": no name"): "Header 1 is not of the form 'Name: value'",
    ("--header", "X: a\r\nY: b"): "Header 1 is not of the form 'Name: value'",
    ("--ca", "NONSENSE"): "NONSENSE holds no certificate that can be read",
    ("--ca", "/no/such/file"): "/no/such/file holds no certificate that can be read",
    ("--timeout", "0"): "0.0 is not in the range 0.1<=x<=600",
    ("--timeout", "nan"): "nan is no number of seconds",
    ("--parallel", "0"): "0 is not in the range 1<=x<=64",
    ("--pid", "0"): "0 is not in the range",
    ("--against", "nowhere"): "'nowhere' is not a URL that begins with ws://, wss://, http:// or https://",
    ("--loud",): "No such option",
}


@pytest.mark.parametrize("options", WRONG_OPTIONS, ids=" ".join)
def test_wrong_options_are_one_line(serve, nonsense, options):
    url = serve().url
    values = {"URL": url, "NONSENSE": nonsense}
    line = refused("parity", url, *(values.get(option, option) for option in options))
    assert "secret" not in line
    assert WRONG_OPTIONS[options].replace("NONSENSE", str(nonsense)) in line


@pytest.mark.parametrize("url, complaint", [
    ("nowhere", "'nowhere' is not a URL that begins with"),
    ("ftp://127.0.0.1/", "'ftp://127.0.0.1/' is not a URL that begins with"),
    ("ws://127.0.0.1:port/", "is not a URL: "),
    ("ws://[::1/", "is not a URL: "),
    ("ws://", "'ws://' is not a URL that begins with"),
    ("ws://a..b/", "'a..b' is no name of a host."),
    ("ws://no.such.host.invalid/", "Could not connect to ws://no.such.host.invalid/"),
])
def test_a_url_that_is_none_is_one_line(url, complaint, tmp_path):
    assert complaint in refused("parity", url)
    assert complaint in refused("record", url, tmp_path)


@pytest.mark.parametrize("options, complaint", {
    ("--only", "everything"): "'everything' is not one of 'handshake', 'frames'",
    ("--header", "no colon"): "Header 1 is not of the form",
    ("--timeout", "nan"): "nan is no number of seconds",
}.items(), ids=str)
def test_wrong_options_of_recording_are_one_line(options, complaint, tmp_path):
    assert complaint in refused("record", "ws://127.0.0.1:1/", tmp_path / "new", *options)
    assert written(tmp_path) == {}


# --- the command that a report prints


@pytest.mark.parametrize("profile, options", [
    (SHIPPED, only("silence")),
    (CORRECTED, only("messages")),
    (CORRECTED, ["--case", "messages/unsub", "--profile", "original", "--timeout", "2", "--parallel", "3"]),
], ids=["a blank in the name", "one of many", "with options"])
def test_the_printed_command_plays_just_that_case_again(serve, tmp_path, profile, options):
    done = run("parity", serve(profile=profile).url, *options)
    assert done.returncode == 1
    lines = [line.strip() for line in done.stdout.splitlines()]
    again = [line.removeprefix("again: ") for line in lines if line.startswith("again: ")]
    assert again
    for number, line in enumerate(again):
        report = tmp_path / f"{number}.json"
        program, *arguments = shlex.split(line)
        assert program == "livestream"
        played = run(*arguments, "--json", report)
        [result] = json.loads(report.read_text())["results"]
        assert (played.returncode, result["verdict"]) == (1, "different")
        assert f"--case {shlex.quote(result['name'])}" in line
        assert played.stdout.startswith(f"different: {result['name']}: ")
        # And once more the same is said.
        assert result["replay"] == line


# --- Ctrl-C


def stopped(code, out):
    """How many of how many cases a run was stopped after, as its report says."""
    assert code == 130
    [line] = [line for line in out.splitlines() if line.startswith("note: stopped after ")]
    done, of, all_, cases = line.removeprefix("note: stopped after ").split()
    assert (of, cases) == ("of", "cases")
    return int(done), int(all_)


def test_ctrl_c_among_the_cases_reports_what_is_finished(tmp_path):
    gate, report = Gate(contract.CONNECTION_ESTABLISHED, 30), tmp_path / "report.json"
    with gate.serving() as url:
        with running("parity", url, *only("messages"), "--json", report, "--timeout", "1") as process:
            gate.interrupt(process)
            code, out, err = ended(process)
    done, total = stopped(code, out)
    assert err.strip() == ""
    assert total == len(load_cases("messages.jsonl"))
    assert 1 <= done < total
    data = json.loads(report.read_text())
    assert len(data["results"]) == done
    assert f"stopped after {done} of {total} cases" in data["notes"]


@pytest.mark.parametrize("against", [False, True], ids=["the corpus", "another server"])
def test_ctrl_c_among_the_sessions_comes_through_at_once(serve, against):
    gate = Gate(contract.INITIAL_CHANNEL.message_type, 12)
    options = ["--against", serve().url] if against else []
    with gate.serving(time_scale=0.2) as url:
        with running("parity", url, *only("cadence"), *options, "--timeout", "1") as process:
            gate.interrupt(process)
            code, out, err = ended(process, within=5.0)
    assert stopped(code, out) == (0, 4)
    assert out.startswith("nothing was compared; stopped before its end\n")
    assert err.strip() == ""


def test_ctrl_c_before_the_first_answer():
    came = threading.Event()

    def answer(sock, over):
        came.set()
        over.wait()

    with tcp_server(answer) as url, running("parity", url, "--timeout", "60") as process:
        assert came.wait(PATIENCE)
        process.send_signal(signal.SIGINT)
        code, out, _ = ended(process, within=5.0)
    assert stopped(code, out)[0] == 0


def test_ctrl_c_while_cases_hang(serve):
    came = threading.Event()

    def hangs(connection):
        came.set()
        says_nothing(connection)

    with serving(hangs) as url, running("parity", url, *only("messages"), "--timeout", "1") as process:
        assert came.wait(PATIENCE)
        process.send_signal(signal.SIGINT)
        code, out, _ = ended(process, within=5.0)
    assert stopped(code, out)[1] == len(load_cases("messages.jsonl"))
