"""The rude clients of `make faults` for ten minutes. Run by `make soak`.

Under `corrected`: the registry of `original` keeps 0.4 kB of everybody who ever came, 6% after so many.
"""

import pytest

from tests.faults.crowd import rude_clients


@pytest.mark.timeout(1_200)
def test_a_thousand_clients_keep_their_updates_for_ten_minutes_beside_the_rude():
    outcome = rude_clients(1_000, 600.0, 20.0, "corrected")
    print(outcome)
    assert outcome.well, outcome
