"""The commands of the README and the texts beside the tour that need minutes or a JVM. Run by `make soak`."""

import pytest

from tests.examples.test_claims import COMMANDS as OF_THE_CLAIMS
from tests.placed import copy_project, free_port, run, running
from tests.test_commands import MINUTES, is_well, of, run_beside

#: This one would run itself.
THIS = "make soak"
#: Goes on until Ctrl-C, once it is built.
TWIN = "make java-twin-run"
#: The longest soak is half an hour, and all tests take less than that.
LONGEST = 3_600

#: What of the claims is shorter, `tests/examples/test_claims.py` runs.
CLAIMED = [command for command in OF_THE_CLAIMS if command.startswith("livestream scale ")]
COMMANDS = list(dict.fromkeys([*of(MINUTES), *CLAIMED]))

pytestmark = pytest.mark.timeout(LONGEST + 300)


@pytest.mark.parametrize("command", [one for one in COMMANDS if one not in (THIS, TWIN)])
def test_a_long_command_does_what_it_is_there_for(command, tmp_path):
    tree = copy_project(tmp_path)
    ran = run_beside(command, tree, lambda written: run(written, tree, LONGEST))
    assert is_well(ran), ran.said


def test_the_twin_is_built_and_serves(tmp_path, monkeypatch):
    tree = copy_project(tmp_path)
    monkeypatch.setenv("PORT", str(free_port()))
    code, said = run("make java-twin", tree, LONGEST)
    assert code == 0, said
    assert TWIN in of(MINUTES)
    with running(TWIN, tree) as started:
        assert started.port()
        assert "Traceback" not in started.interrupt()
