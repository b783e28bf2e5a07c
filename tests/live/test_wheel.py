"""The wheel carries its data: in another environment, from another folder, it serves the same."""

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

import livestream
from livestream.contract import BLOCKCHAIN_STATS_PATH
from livestream.parity.cases import corpus_files
from livestream.wire.client import WireClient
from livestream.wire.handshake import http_request
from tests.support import PATIENCE, Command, next_text

TREE = Path(livestream.__file__).parent.parent
FILES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")
BUILDING = 100


def pip(*arguments):
    subprocess.run([sys.executable, "-m", "pip", "--quiet", *arguments], check=True, timeout=BUILDING)


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of an environment with the wheel in it; what the wheel needs is borrowed from here."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    shutil.copytree(TREE / "livestream", tree / "livestream")
    for name in FILES:
        shutil.copy(TREE / name, tree)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(tree))
    shutil.rmtree(tree)
    venv.create(folder / "environment", with_pip=False)
    interpreter = folder / "environment" / "bin" / "python"
    site = next((folder / "environment" / "lib").glob("python3*/site-packages"))
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    (wheel,) = folder.glob("*.whl")
    pip("--python", str(interpreter), "install", "--no-deps", "--no-index", str(wheel))
    return interpreter


def test_it_is_the_wheel_that_runs_and_its_data_is_there(python, tmp_path):
    code = """
import livestream, livestream.parity.cases as cases, livestream.parity.judging.deviations as deviations
deviations.load_deviations()
print(livestream.__file__, *cases.corpus_files())
"""
    shown = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    where, *files = shown.stdout.split()
    assert where.startswith(str(python.parent.parent))
    assert files == corpus_files()


def test_it_serves_from_another_folder(python, tmp_path):
    command = Command(python=str(python), cwd=str(tmp_path))
    try:
        with WireClient.connect(command.url, timeout=PATIENCE) as client:
            next_text(client, "tps_update")
        answer = http_request(command.url, "GET", BLOCKCHAIN_STATS_PATH, timeout=PATIENCE)
        assert answer.status == 200
        assert command.stop()[0] == 0
    finally:
        command.kill()
