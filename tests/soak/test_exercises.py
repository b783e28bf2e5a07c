"""The exercise that takes a minute and both processors, solved. Run by `make soak`."""

import pytest

from tests.examples.test_exercises import LONG, copy_project, pytest_in, run, the_test_of

NUMBER = 6


@pytest.mark.timeout(400)
def test_the_solution_serves_ten_thousand_clients(tmp_path):
    folder = copy_project(tmp_path)
    run(folder, "make", "solution", f"EXERCISE={NUMBER}")
    said = pytest_in(folder, the_test_of(NUMBER), "-k", LONG, bound=350)
    assert " 1 passed" in said, said
