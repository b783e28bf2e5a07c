"""The README's plot is the one that its checked-in results give."""

from tests.bench.plot import PLOT, RESULTS, plot, read


def test_the_plot_is_not_stale():
    assert plot() == PLOT.read_bytes()


def test_its_results_are_a_whole_and_valid_run_of_the_port():
    results = read(RESULTS)
    assert results.server["name"] == "the port"
    assert results.finished and all(step.valid for step in results.steps)
    assert [step.figures["channel_threads"] for step in results.steps] == [
        4 * step.clients for step in results.steps]
