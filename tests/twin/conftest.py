"""The Java service, built if need be and started once for each file of tests."""

import pytest

from tests.twin.jvm import running_twin


@pytest.fixture(scope="module")
def twin():
    """Under `original`."""
    with running_twin() as server:
        yield server


@pytest.fixture(scope="module")
def shipped_twin():
    with running_twin("shipped") as server:
        yield server
