"""Five servers, one after the other, in a process of their own: each leaves it as it was."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TREE = Path(__file__).parent.parent.parent
ROUNDS = 5
LIMIT = 60


@pytest.mark.parametrize("profile", ["original", "corrected"])
def test_start_load_stop_leaves_nothing(profile):
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-m", "tests.leakcheck", profile, str(ROUNDS)],
        capture_output=True, text=True, timeout=LIMIT, cwd=TREE,
    )
    assert done.returncode == 0, done.stderr
    before, *after = [json.loads(line) for line in done.stdout.splitlines()]
    assert before["threads"] == 1
    assert after == [before | {"left": []}] * ROUNDS
    # Log lines of the faulty clients are all that may stand there: a warning would be an "Exception ignored".
    assert "Exception" not in done.stderr and "Warning" not in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
