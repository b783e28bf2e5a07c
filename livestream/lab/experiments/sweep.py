"""`sweep`: the same load for more and more clients."""

from functools import partial

from livestream.lab.experiment import Planned, Setup


def sweep(setup: Setup) -> list[Planned]:
    """One step for each number of clients."""
    return [setup.planned("", clients, partial(setup.step, clients)) for clients in setup.clients]
