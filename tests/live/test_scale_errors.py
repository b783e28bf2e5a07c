"""`livestream scale`: what it refuses in one line before anything is measured, and what it shows as help."""

import os
import re
import resource
import shlex
import socket
import ssl
import subprocess
import sys
from contextlib import contextmanager

import pytest
import trustme

from livestream.cli import main
from livestream.lab.experiments.models import MODELS
from livestream.lab.limits import SPARE_DESCRIPTORS
from tests.parity.independent_server import serving
from tests.scaling import QUICK, Run, scale
from tests.support import PATIENCE

#: Starting a server of ours, to try its options, is the longest that takes.
BOUND = 4 * PATIENCE
EXPERIMENTS = ("sweep", "lifecycle", "soak", "switch-interval", "models")
URL = "ws://127.0.0.1:9"
SECRET = "sesame-0815"


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=BOUND, **options)


@pytest.fixture
def refused(capfd, monkeypatch, tmp_path):
    """The one line of a command that must refuse. Run in this process: starting one takes the longest."""
    def refuse(*words):
        monkeypatch.setattr(sys, "argv", ["livestream", "scale", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert (ended.value.code, out) == (2, ""), err
        assert err.startswith("livestream: ") and err.count("\n") == 1, err
        return err.removeprefix("livestream: ").removesuffix("\n")

    monkeypatch.chdir(tmp_path)
    return refuse


REFUSALS = {
    "--clients 0": "0 is not in the range 1 to 100000",
    "--clients -3": "-3 is not in the range 1 to 100000",
    "--clients 1,,2": "'1,,2' is not of the form 1,10,100",
    "--clients many": "'many' is not of the form 1,10,100",
    "--clients 1.5": "'1.5' is not of the form 1,10,100",
    "--seconds 0": "0.0 is not in the range",
    "--seconds nan": "nan is no number",
    "--rate inf": "inf is not in the range",
    "--time-scale fast": "'fast' is not a valid float",
    "soak --minutes 0": "0.0 is not in the range",
    "soak --churn -1": "-1.0 is not in the range",
    "soak --seconds 5": "No such option '--seconds'",
    "switch-interval --intervals 0.005,-1": "-1.0 is not in the range 0 to 10",
    "switch-interval --intervals nan": "nan is not in the range 0 to 10",
    "models --model none": "'none' is not one of 'threads', 'pool', 'ticker'",
    f"models --url {URL}": "No such option '--url'",
    f"switch-interval --url {URL}": "No such option '--url'",
    "dance": "No such command 'dance'",
    "--pid 1": "--pid needs --url: the server that runs in that process",
    "--header A:b": "--header and --ca need --url",
    "--url nowhere": "'nowhere' is not a URL that begins with ws://",
    f"--url {URL} --header x": "Header 1 is not of the form 'Name: value'",
    f"--url {URL} --ca /none/such.pem": "/none/such.pem holds no certificate",
    f"--url {URL} --pid 0": "0 is not in the range",
    f"--url {URL} --pid 4194305": "There is no process 4194305",
    f"--url {URL} -- --profile corrected": "--profile is for a server that is started here",
    f"--url {URL} --clients 1": f"Could not connect to {URL}",
    "sweep more": "'more' is no option",
    "--profile corrected": "--profile is the server's: put it after --",
    "-- --time-scale 0.1": "--time-scale goes before --",
    # What the server itself has against its options.
    "--clients 1 -- --no-such-option": "The server did not start: No such option '--no-such-option'.",
    "--clients 1 -- --profile broken": "'broken' is not one of 'original', 'shipped', 'corrected'",
    "--clients 1 -- --pin-cpu 4000": "no processor 4000",
}


@pytest.mark.parametrize("words", REFUSALS)
def test_a_bad_value_is_one_clear_line_and_leaves_no_folder(refused, words, tmp_path):
    assert REFUSALS[words] in refused(*shlex.split(words))
    assert list(tmp_path.iterdir()) == []


# --- where the results go


def test_results_that_are_there_are_kept_unless_told_otherwise(refused, tmp_path):
    (tmp_path / "results.json").write_text("precious")
    assert refused("--clients", 1, "--out", tmp_path) == (
        f"{tmp_path} holds results already: choose another --out, or --force")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["precious"]


def test_without_out_the_folder_is_named_after_the_experiment(refused, tmp_path):
    for experiment in EXPERIMENTS:
        (tmp_path / f"scale-{experiment}").write_text("precious")
        assert f"scale-{experiment} can't be written: File exists" in refused(experiment)


def test_without_out_results_that_are_there_get_a_neighbour(refused, tmp_path):
    for name in ("scale-sweep", "scale-sweep-2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text("precious")
    (tmp_path / "scale-sweep-3").write_text("in the way, so that nothing is measured")
    assert "scale-sweep-3 can't be written: File exists" in refused("sweep")


def test_a_place_where_nothing_can_be_written(refused, tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("precious")
    assert f"'{taken}' is a file" in refused("--clients", 1, "--out", taken)
    assert f"{taken / 'deeper'} can't be written: Not a directory" in refused(
        "--clients", 1, "--out", taken / "deeper")
    # Nobody may, not even root.
    assert "/proc can't be written: " in refused("--clients", 1, "--out", "/proc")
    assert taken.read_text() == "precious"


# --- limits of the machine


def limited(descriptors, *words):
    """The same command in a shell that allows so many descriptors."""
    return ["sh", "-c", f'ulimit -n {descriptors} && exec "$@"', "sh", *scale(*words)]


def test_a_limit_that_is_too_low_is_told_with_what_would_do(tmp_path):
    done = run(*limited(64, "--clients", "5,300", "--out", tmp_path / "out"))
    needed = 300 + SPARE_DESCRIPTORS
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("livestream: limits are too low for 300 clients (--anyway tries")
    for whose in ("server", "load"):
        assert f"descriptors for the {whose}: 64, needed are {needed}: ulimit -n {needed}" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_limit_that_was_told_would_do(tmp_path):
    done = run(*limited(300 + SPARE_DESCRIPTORS, "--clients", "5,300", "--out", "/proc"))
    # One complaint later.
    assert done.stderr.startswith("livestream: /proc can't be written")


def test_no_experiment_and_no_option_is_a_sweep_up_to_a_thousand(tmp_path):
    done = run(*limited(64), cwd=tmp_path)
    assert "limits are too low for 1,000 clients" in done.stderr


def test_a_shared_broadcaster_needs_fewer_threads(refused):
    """6,000 clients of five threads are too many for the kernel's usual number of memory maps."""
    with open("/proc/sys/vm/max_map_count") as file:
        clients = int(file.read()) // 15 + 1
    most = ("--clients", clients, "--out", "/proc")
    assert "memory maps" in refused(*most)
    for model in MODELS[1:]:
        assert "memory maps" not in refused(*most, "--", "--broadcaster", model)
        assert "memory maps" not in refused(*most, "--", f"--broadcaster={model}")
        assert "memory maps" not in refused("models", "--model", model, *most)
    assert "memory maps" in refused("models", "--model", "pool", "--model", "threads", *most)


@pytest.mark.timeout(300)
def test_anyway_tries_all_the_same_and_says_so_and_force_overwrites(tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    (tmp_path / "results.json").write_text("no longer precious")
    words = (*QUICK, "--clients", 80, "--rate", 200, "--anyway", "--force")
    with Run(tmp_path, *words, preexec_fn=limit) as tried:
        scaled = tried.ended()
    for note in scaled.results["notes"]:
        assert note in (tmp_path / "report.html").read_text()
    needed = 80 + SPARE_DESCRIPTORS
    assert f"server: 64, needed are {needed}: ulimit -n {needed}" in scaled.results["notes"][0]
    # Whoever met the limit, it is a remark on the step and no crash.
    assert "Too many open files" in scaled.rows[0]["remarks"] and "Too many open files" in scaled.out


# --- servers that let nobody in


@contextmanager
def locked(folder):
    """A server behind TLS and a login: its URL, and its authority's file."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))

    def refuse(connection, request):
        return connection.respond(401, "")

    with serving(lambda _: None, ssl=context, process_request=refuse) as url:
        yield url.replace("ws://", "wss://"), folder / "ca.pem"


def test_a_server_that_lets_nobody_in_is_told_before_anything_is_measured(refused, tmp_path):
    login = ("--header", f"Authorization: Bearer {SECRET}")
    with locked(tmp_path) as (url, authority):
        strange = refused("--url", url, *login)
        closed = refused("--url", url, "--ca", authority, *login)
    assert "certificate verify failed" in strange
    assert closed == f"{url} answered the handshake with status 401, not 101."
    assert SECRET not in strange + closed


def test_a_server_that_does_not_answer(refused):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        assert url in refused("lifecycle", "--url", url)


# --- packages that are missing


LAB = ("numpy", "psutil", "matplotlib")


def without(packages, *words):
    """The command where these packages are not installed."""
    code = "\n".join((
        "import sys",
        "from importlib.abc import MetaPathFinder",
        "class Missing(MetaPathFinder):",
        "    def find_spec(self, name, path, target=None):",
        f"        if name.partition('.')[0] in {packages!r}:",
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)",
        "sys.meta_path.insert(0, Missing())",
        "from livestream.cli import main",
        "main()"))
    return run(sys.executable, "-c", code, *words)


@pytest.mark.parametrize("package", LAB)
@pytest.mark.parametrize("words", [(), ("soak", "--help")], ids=["bare", "help"])
def test_a_missing_package_is_told_with_the_line_that_installs_it(package, words):
    done = without((package,), "scale", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "livestream: scale needs packages that are not installed: pip install 'livestream[lab]'\n")


def test_other_commands_do_without():
    shown = without(LAB, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert re.search(r"\n  scale +Not installed: pip install 'livestream\[lab\]'", shown.stdout)
    for command in ("serve", "parity", "record", "asyncapi"):
        assert without(LAB, command, "--help").returncode == 0


# --- help


def test_the_help_names_every_experiment():
    done = run(*scale("--help"))
    assert (done.returncode, done.stderr) == (0, "")
    for experiment in EXPERIMENTS:
        line, = re.findall(rf"\n  {experiment}  .*", done.stdout)
        assert not line.endswith("...")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_each_experiment_has_a_help_of_its_own(experiment):
    done = run(*scale(experiment, "--help"), env=os.environ | {"COLUMNS": "110"})
    assert (done.returncode, done.stderr) == (0, "")
    assert f"livestream scale {experiment} [OPTIONS] [-- SERVE OPTIONS]" in done.stdout
    for option in ("--clients", "--rate", "--time-scale", "--out", "--force", "--anyway"):
        assert f"\n  {option} " in done.stdout
    assert ("--url" in done.stdout) == (experiment in ("sweep", "lifecycle", "soak"))


def test_the_help_s_defaults_can_be_typed():
    shown = " ".join(run(*scale("switch-interval", "--help")).stdout.split())
    assert "[default: 0.005,0.05,0.3,1,0]" in shown and "[default: 1000]" in shown
