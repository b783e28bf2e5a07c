"""Builds and starts the Java twin (examples/java_twin): finds a JDK that is new enough, and Maven.

Nothing here needs more than the standard library: `make java-twin` works without an installation of ours.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from livestream.contract import STREAM_PATH
from livestream.lab.server import Server

FOLDER = Path(__file__).parents[2] / "examples" / "java_twin"
#: Where each profile's build goes, below target/: see application.properties.
BUILDS = {"original": "quarkus-app", "shipped": "shipped-app"}
#: Java as the original has it; numbers print differently before 19.
OLDEST_JAVA = 21
OLDEST_MAVEN = (3, 8)
#: Where systems keep JDKs beside the default one.
PLACES = ("/usr/lib/jvm", "/opt", str(Path.home() / ".sdkman/candidates/java"))
#: How long the service may take until it answers, and to stop, in seconds.
START_TIMEOUT = 60.0
STOP_TIMEOUT = 30.0
#: What the service prints once it answers.
_LISTENING = re.compile(r"Listening on: http://(\S+)")


class TwinError(Exception):
    """The twin can't be built or started; one sentence that says what to do."""


class Jdk(NamedTuple):
    """A JDK on this machine."""

    version: int
    home: Path

    @property
    def java(self) -> str:
        return str(self.home / "bin" / "java")


def find_jdk(environment: Mapping[str, str] = os.environ, places: tuple[str, ...] = PLACES) -> Jdk:
    """JAVA_HOME's, else the default one, else the newest there is: the first new enough. TwinError."""
    found = [jdk for home in _homes(environment, places) if (jdk := _jdk(home))]
    enough = [jdk for jdk in found if jdk.version >= OLDEST_JAVA]
    if enough:
        return enough[0]
    if not found:
        raise TwinError(f"There is no JDK: install one, {OLDEST_JAVA} or newer, or set JAVA_HOME.")
    newest = max(found)
    raise TwinError(f"The newest JDK is {newest.version}, in {newest.home}: "
                    f"install one, {OLDEST_JAVA} or newer, or set JAVA_HOME.")


def _homes(environment: Mapping[str, str], places: tuple[str, ...]) -> Iterator[Path]:
    if environment.get("JAVA_HOME"):
        yield Path(environment["JAVA_HOME"])
    compiler = shutil.which("javac", path=environment.get("PATH"))
    if compiler:
        yield Path(compiler).resolve().parents[1]
    others = [home for place in places if Path(place).is_dir() for home in Path(place).iterdir()]
    yield from sorted(others, key=_version, reverse=True)


def _jdk(home: Path) -> Jdk | None:
    """None for what has no compiler: that is no JDK."""
    return Jdk(_version(home), home) if (home / "bin" / "javac").is_file() else None


def _version(home: Path) -> int:
    """As the JDK's own file `release` has it; 0 without one, as before Java 9."""
    try:
        text = (home / "release").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    match = re.search(r'^JAVA_VERSION="(\d+)', text, re.MULTILINE)
    return int(match[1]) if match else 0


def find_maven(environment: Mapping[str, str] = os.environ) -> str:
    """Its command. TwinError when there is none, or one too old."""
    oldest = ".".join(map(str, OLDEST_MAVEN))
    command = shutil.which("mvn", path=environment.get("PATH"))
    if command is None:
        raise TwinError(f"There is no Maven: install it, {oldest} or newer, so that `mvn` is found.")
    told = subprocess.run([command, "--version"], env=dict(environment), capture_output=True, text=True)
    match = re.search(r"Apache Maven (\d+)\.(\d+)", told.stdout)
    if match is None:
        raise TwinError(f"{command} --version names no version of Maven: reinstall it.")
    if (int(match[1]), int(match[2])) < OLDEST_MAVEN:
        raise TwinError(f"Maven is {match[1]}.{match[2]}: install {oldest} or newer.")
    return command


def build(profile: str) -> Path:
    """The built service's file, made anew when a source is newer. TwinError with Maven's first complaint."""
    jar = FOLDER / "target" / BUILDS[profile] / "quarkus-run.jar"
    with _one_builder():
        if not _is_fresh(jar):
            _build(profile)
            jar.touch()  # Maven leaves it as it was when only a comment has changed.
    return jar


def _is_fresh(jar: Path) -> bool:
    sources = [FOLDER / "pom.xml", *(path for path in (FOLDER / "src").rglob("*") if path.is_file())]
    return jar.is_file() and jar.stat().st_mtime >= max(source.stat().st_mtime for source in sources)


@contextmanager
def _one_builder() -> Iterator[None]:
    """Two at once, as under parallel tests, would write into one folder."""
    folder = FOLDER / "target"
    folder.mkdir(exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(profile: str) -> None:
    maven, jdk = find_maven(), find_jdk()
    print(f"building the Java twin, profile {profile}, with JDK {jdk.version}; "
          "the first time takes minutes …", file=sys.stderr, flush=True)
    done = subprocess.run(
        [maven, "--quiet", "--batch-mode", "package", f"-Dquarkus.profile={_quarkus_profile(profile)}"],
        cwd=FOLDER, env={**os.environ, "JAVA_HOME": str(jdk.home)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        errors = [line for line in done.stdout.splitlines() if "ERROR" in line] or ["it gave no reason"]
        raise TwinError(f"Maven could not build the twin: {errors[0].removeprefix('[ERROR] ')}")


def _quarkus_profile(profile: str) -> str:
    """Quarkus calls what is built for use `prod`; `shipped` is one of our own."""
    return "prod" if profile == "original" else profile


def command(profile: str, port: int, host: str = "0.0.0.0") -> list[str]:
    """What starts the service, built if need be."""
    jar = build(profile)
    return [find_jdk().java, f"-Dquarkus.http.host={host}", f"-Dquarkus.http.port={port}", "-jar", str(jar)]


@contextmanager
def running_twin(profile: str = "original") -> Iterator[Server]:
    """The service on a free port of this machine, ready to answer, until left. TwinError."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command(profile, port=0, host="127.0.0.1"), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True)
        try:
            yield Server(_url(process, log), process.pid)
        finally:
            _stop(process)


def _url(process: "subprocess.Popen[bytes]", log: IO[str]) -> str:
    """The stream's, once the service says that it listens."""
    pause, deadline = threading.Event(), time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        log.seek(0)
        if match := _LISTENING.search(log.read()):
            return f"ws://{match[1]}{STREAM_PATH}"
        pause.wait(0.05)
    log.seek(0)
    raise TwinError(f"The twin did not start: {(log.read().strip().splitlines() or ['it said nothing'])[-1]}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Politely, and by force when that takes too long."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
