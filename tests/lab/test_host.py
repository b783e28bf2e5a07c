"""Facts of the machine: told where the kernel tells them, "unknown" elsewhere, and never whose it is."""

import getpass
import os
import platform
import resource
import socket
import sys
from pathlib import Path

import pytest

from livestream.lab import host
from livestream.lab.host import FACTS, PACKAGES, UNKNOWN, host_facts, process_facts, program_facts
from livestream.lab.probe import ProbeError
from tests.lab import child

FILES = {
    "etc/os-release": 'NAME="Some"\nPRETTY_NAME="Some Linux 7"\n',
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: Fast One\n\nprocessor\t: 1\nmodel name\t: Other\n",
    "proc/meminfo": "MemTotal:        8388608 kB\nMemFree:  5 kB\n",
    "proc/loadavg": "0.50 0.25 0.12 3/456 789\n",
    "proc/sys/vm/max_map_count": "65530\n",
    "proc/sys/kernel/pid_max": "32768\n",
    "proc/sys/kernel/threads-max": "1234\n",
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
}
FROM_FILES = {
    "distribution": "Some Linux 7",
    "processor": "Fast One",
    "memory": "8.0 GiB",
    "vm.max_map_count": "65530",
    "kernel.pid_max": "32768",
    "kernel.threads-max": "1234",
    "load average": "0.50 0.25 0.12",
    "clock source": "tsc",
}


@pytest.fixture
def machine(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_facts_are_read_from_the_kernel_s_files(machine):
    facts = host_facts(machine)
    assert {name: facts[name] for name in FROM_FILES} == FROM_FILES


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_makes_one_fact_unknown_and_no_error(machine, name):
    known = host_facts(machine)
    (machine / name).unlink()
    changed = {key for key, value in host_facts(machine).items() if value != known[key]}
    assert len(changed) == 1
    assert host_facts(machine)[changed.pop()] == UNKNOWN


@pytest.mark.parametrize("name", FILES)
def test_a_file_without_sense_makes_one_fact_unknown_and_no_error(machine, name):
    known = host_facts(machine)
    (machine / name).write_text("")
    assert [value for key, value in host_facts(machine).items() if value != known[key]] == [UNKNOWN]


def test_this_process_s_facts_are_those_that_python_tells():
    facts = host_facts()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert facts["kernel"] == f"Linux {platform.release()}"
    assert facts["cores"] == f"{len(os.sched_getaffinity(0))} of {os.cpu_count()}"
    assert facts["open files"] == f"soft {soft}, hard {hard}"
    assert list(facts) == list(FACTS)


def test_the_interpreter_and_its_packages_are_told_apart_from_the_machine():
    facts = program_facts()
    assert list(facts) == ["python", *PACKAGES] and facts.keys().isdisjoint(FACTS)
    assert facts["python"] == f"CPython {platform.python_version()}"
    assert UNKNOWN not in facts.values()


def test_no_fact_says_whose_machine_it_is():
    words = " ".join(host_facts().values()).split()
    assert {socket.gethostname(), getpass.getuser()} & set(words) == set()
    assert [word for word in words if word.startswith("/")] == []


def test_a_package_that_is_not_installed_is_unknown(monkeypatch):
    monkeypatch.setattr(host, "PACKAGES", ("no-such-package-at-all",))
    assert program_facts()["no-such-package-at-all"] == UNKNOWN


def test_a_process_is_told_by_its_executable_and_its_processors():
    with child() as running:
        os.sched_setaffinity(running.pid, {min(os.sched_getaffinity(0))})
        assert process_facts(running.pid) == {
            "executable": Path(sys.executable).resolve().name, "processors": "1",
        }


def test_a_process_that_ended_has_no_facts():
    with child() as running:
        running.end()
        with pytest.raises(ProbeError, match=f"^There is no process {running.pid}.$"):
            process_facts(running.pid)
