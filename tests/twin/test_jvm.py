"""Finding a JDK and Maven, and what is said when there is none that would do."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from livestream import contract
from tests.twin import jvm
from tests.twin.jvm import BUILDS, FOLDER, OLDEST_JAVA, Jdk, TwinError, build, find_jdk, find_maven

ROOT = Path(__file__).parents[2]


def program(path, text=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def jdk(home, version, compiler="javac"):
    program(home / "bin" / compiler)
    if version:
        (home / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{version}"\n')
    return home


@pytest.fixture
def default(tmp_path):
    """A JDK that is too old, and is found by PATH as systems have it: by a link."""
    home = jdk(tmp_path / "default-17", "17.0.15")
    path = tmp_path / "usr" / "bin"
    path.mkdir(parents=True)
    (path / "javac").symlink_to(home / "bin" / "javac")
    return {"PATH": str(path)}


# --- the JDK


def test_a_newer_jdk_is_found_beside_the_default_one(default, tmp_path):
    place = tmp_path / "jvm"
    jdk(place / "old", "11.0.2")
    for version in ("9.0.1", "21.0.4", "25"):
        jdk(place / f"jdk-{version}", version)
    assert find_jdk(default, (str(place), "/nowhere")) == Jdk(25, place / "jdk-25")


def test_java_home_comes_first_and_the_default_one_next(default, tmp_path):
    own, place = jdk(tmp_path / "own", "22"), tmp_path / "jvm"
    jdk(place / "newest", "25.0.1")
    assert find_jdk(default | {"JAVA_HOME": str(own)}, (str(place),)).home == own
    jdk(tmp_path / "default-17", "24")
    assert find_jdk(default, (str(place),)).home == tmp_path / "default-17"


def test_what_has_no_compiler_is_no_jdk(default, tmp_path):
    jdk(tmp_path / "jvm" / "runtime", "25", compiler="java")
    with pytest.raises(TwinError) as caught:
        find_jdk(default, (str(tmp_path / "jvm"),))
    assert str(caught.value) == (
        f"The newest JDK is 17, in {tmp_path}/default-17: install one, 21 or newer, or set JAVA_HOME.")


def test_without_any_it_says_so():
    with pytest.raises(TwinError) as caught:
        find_jdk({"PATH": "/nowhere"}, ("/nowhere",))
    assert str(caught.value) == "There is no JDK: install one, 21 or newer, or set JAVA_HOME."


@pytest.mark.parametrize("version", ["", "1.8.0_402"])
def test_one_from_before_java_9_is_too_old(version, tmp_path):
    home = jdk(tmp_path / "jdk", version)
    with pytest.raises(TwinError, match="The newest JDK is [01], in "):
        find_jdk({"JAVA_HOME": str(home), "PATH": "/nowhere"}, ())


# --- Maven


@pytest.mark.parametrize("told, complaint", [
    ("echo Apache Maven 3.6.3", "Maven is 3.6: install 3.8 or newer."),
    ("echo Apache Maven 2.9", "Maven is 2.9: install 3.8 or newer."),
    ("echo what", "names no version of Maven: reinstall it."),
    (None, "There is no Maven: install it, 3.8 or newer, so that `mvn` is found."),
])
def test_a_maven_that_would_not_do(told, complaint, tmp_path):
    if told is not None:
        program(tmp_path / "mvn", told)
    with pytest.raises(TwinError, match=re.escape(complaint)) as caught:
        find_maven({"PATH": f"{tmp_path}"})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("version", ["3.8.7", "3.10.0", "4.0.0"])
def test_a_maven_that_does(version, tmp_path):
    command = program(tmp_path / "mvn", f"echo 'Apache Maven {version} (x)'")
    assert find_maven({"PATH": f"{tmp_path}"}) == str(command)


def test_what_maven_complains_of_is_told_in_a_line(tmp_path, monkeypatch):
    program(tmp_path / "mvn", 'echo "Apache Maven 3.9"; echo "[INFO] x"; echo "[ERROR] No network."; '
                              'echo "[ERROR] And more."; exit 1')
    monkeypatch.setattr(jvm, "FOLDER", tmp_path)
    (tmp_path / "pom.xml").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(TwinError) as caught:
        build("original")
    assert str(caught.value) == "Maven could not build the twin: No network."


# --- what it builds


def test_it_is_built_again_when_a_source_is_newer(tmp_path, monkeypatch):
    built = tmp_path / "target" / BUILDS["shipped"] / "quarkus-run.jar"
    program(tmp_path / "mvn", f'echo "Apache Maven 3.9"; echo "$@" >> {tmp_path}/calls; touch {built}')
    monkeypatch.setattr(jvm, "FOLDER", tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    source = tmp_path / "src" / "main" / "A.java"
    for path in (source, built.parent / "x", tmp_path / "pom.xml"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def builds():
        assert build("shipped") == built
        return len([line for line in (tmp_path / "calls").read_text().splitlines() if "package" in line])

    assert [builds(), builds()] == [1, 1]
    later = built.stat().st_mtime + 10
    os.utime(source, (later, later))
    assert builds() == 2
    assert "-Dquarkus.profile=shipped" in (tmp_path / "calls").read_text()


def test_the_two_profiles_are_one_line_apart():
    lines = (FOLDER / "src/main/resources/application.properties").read_text().splitlines()
    settings = dict(line.split("=") for line in lines if line and not line.startswith("#"))
    shipped = {name.removeprefix("%shipped."): value
               for name, value in settings.items() if name.startswith("%")}
    assert settings["quarkus.websocket.dispatch-to-worker"] == "true"
    assert shipped == {
        "quarkus.websocket.dispatch-to-worker": "false",
        # Not of the service, but of its file.
        "quarkus.package.output-directory": BUILDS["shipped"],
    }
    assert int(settings["quarkus.http.port"]) == contract.PORT
    assert int(settings["quarkus.http.limits.max-connections"]) == contract.MAX_CONNECTIONS
    assert int(settings["quarkus.websocket.max-frame-size"]) == contract.MAX_FRAME_BYTES


def test_the_stack_is_the_originals():
    pom = (FOLDER / "pom.xml").read_text()
    assert "<quarkus.version>3.28.2<" in pom
    assert f"<maven.compiler.release>{OLDEST_JAVA}<" in pom
    deviations = tomllib.loads((FOLDER / "deviations.toml").read_text())
    assert deviations.keys() == {"deviation"}


# --- the commands


def make(*words, **environment):
    return subprocess.run(
        ["make", "--no-print-directory", f"PYTHON={sys.executable}", *words], cwd=ROOT,
        env={**os.environ, **environment}, capture_output=True, text=True)


def test_make_java_twin_builds_both(tmp_path):
    done = make("java-twin")
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    assert [Path(line).parent.name for line in done.stdout.split()] == list(BUILDS.values())
    assert all(Path(line).is_file() for line in done.stdout.split())


@pytest.mark.parametrize("words, complaint", [
    (["PROFILE=corrected"], "invalid choice: 'corrected'"),
    (["PORT=x"], "invalid int value: 'x'"),
])
def test_make_java_twin_run_refuses_what_it_does_not_know(words, complaint):
    done = make("java-twin-run", *words)
    assert done.returncode != 0
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
