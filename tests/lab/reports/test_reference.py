"""The packaged figures are SPEC's, exactly; nothing is known between them; a wrong file is refused."""

from importlib.resources import files

import pytest

from livestream.contract import CHANNELS
from livestream.lab.reports.reference import (
    EXPERIMENTS, PACKAGED, SOURCES, Reference, ReferenceDataError, parsed, reference, references,
    references_for,
)
from livestream.lab.results import FIGURES, Results

TEXT = (files("livestream.lab.reports") / PACKAGED).read_text(encoding="utf-8")

# SPEC, "Figures": what was measured on the original, at which number of clients.
MEASURED = {
    ("threads", 100): 454,
    ("threads", 1000): 4081,
    ("threads", 2000): 8124,
    ("rss_mb", 1000): 634,
    ("rss_per_client_kb", 1000): 524,
    ("rss_per_client_kb", 2000): 475,
    ("cpu_per_message_us", 1000): 231,
    ("cpu_per_message_us", 2000): 282,
    ("cpu_per_message_us", 4000): 448,
    ("late_p50", 1000): 0.44,
    ("late_p50", 2000): 1.2,
    ("late_p50", 4000): 946,
    ("late_p99", 1000): 4.8,
    ("late_p99", 2000): 173,
    ("late_p99", 4000): 2014,
    ("delivered", 4000): 49,
}
# The same where it holds at several numbers of clients: figure to value at 100, 1000 and 2000.
MEASURED_EVERYWHERE = {
    "bytes_per_client": (286, 286, 286),
    "channel_threads_per_client": (4, 4, 4),
    "channel_threads": (400, 4000, 8000),
}
# SPEC, "What the report claims": at 100, 1000 and 10000.
CLAIMED = {
    "bytes_per_client": (550, 550, 550),
    "bytes_tps_updates": (300, 300, 300),
    "bytes_block_updates": (100, 100, 100),
    "bytes_network_status": (83, 83, 83),
    "bytes_validator_metrics": (70, 70, 70),
    "channel_threads": (400, 4000, 40_000),
    "channel_threads_per_client": (4, 4, 4),
    "rss_per_closed_connection_bytes": (100, 100, 100),
}
# The claims that one figure answers: experiment, figure, clients, value, of all clients together.
CLAIMS = {
    "threads-per-client": ("sweep", "channel_threads_per_client", None, 4, False),
    "threads-at-100": ("sweep", "channel_threads", 100, 400, False),
    "threads-at-1000": ("sweep", "channel_threads", 1000, 4000, False),
    "bytes-per-client": ("sweep", "bytes_per_client", None, 550, False),
    "bytes-tps_updates": ("sweep", "bytes_tps_updates", None, 300, False),
    "bytes-block_updates": ("sweep", "bytes_block_updates", None, 100, False),
    "bytes-network_status": ("sweep", "bytes_network_status", None, 83, False),
    "bytes-validator_metrics": ("sweep", "bytes_validator_metrics", None, 70, False),
    "bytes-at-100": ("sweep", "bytes_per_client", 100, 55_000, True),
    "bytes-at-1000": ("sweep", "bytes_per_client", 1000, 550_000, True),
    "registry-entry": ("soak", "rss_per_closed_connection_bytes", None, 100, False),
    "cleanup": ("lifecycle", "threads_left", None, 0, False),
    "cleanup-at-once": ("lifecycle", "gone_seconds", None, 0, False),
}


def test_the_sources_are_two_and_a_legend_has_words_for_both():
    assert list(SOURCES) == ["report", "original"]
    assert all(source in words for source, words in SOURCES.items())


@pytest.mark.parametrize(("figure", "clients"), MEASURED)
def test_what_was_measured_on_the_original_stands_there(figure, clients):
    assert reference("original", figure).points[clients] == MEASURED[figure, clients]
    assert reference("original", figure).at(clients) == MEASURED[figure, clients]


def test_nothing_else_is_said_to_have_been_measured():
    known = references().figures["original"]
    points = {(name, clients) for name, found in known.items() for clients in found.points}
    assert points == MEASURED.keys()
    assert {name for name, found in known.items() if not found.points} == MEASURED_EVERYWHERE.keys()


@pytest.mark.parametrize("figure", MEASURED_EVERYWHERE)
def test_what_holds_for_every_client_is_a_rule_as_far_as_it_was_measured(figure):
    found = reference("original", figure)
    assert tuple(found.at(clients) for clients in (100, 1000, 2000)) == MEASURED_EVERYWHERE[figure]
    assert found.at(4000) is None


@pytest.mark.parametrize("figure", CLAIMED)
def test_what_the_report_says_is_a_rule_for_any_number_of_clients(figure):
    found = reference("report", figure)
    assert tuple(found.at(clients) for clients in (100, 1000, 10_000)) == CLAIMED[figure]


def test_the_report_says_nothing_else():
    assert references().figures["report"].keys() == CLAIMED.keys()
    points = {name: dict(found.points) for name, found in references().figures["report"].items()}
    assert {name: found for name, found in points.items() if found} == {
        "channel_threads": {100: 400, 1000: 4000}}


def test_the_report_says_about_where_it_rounds():
    about = {name for name, found in references().figures["report"].items() if found.about}
    assert about == CLAIMED.keys() - {"channel_threads", "channel_threads_per_client"}


def test_the_report_s_channels_are_all_of_them_and_add_up_to_about_all():
    parts = [reference("report", f"bytes_{channel.name}").constant for channel in CHANNELS]
    assert parts == [300, 100, 83, 70]
    assert sum(parts) == 553


@pytest.mark.parametrize("clients", [0, 1, 99, 500, 1001, 1500, 3000, 8000])
def test_between_and_beyond_measurements_nothing_is_known(clients):
    figures = {figure for figure, _ in MEASURED}
    assert {figure: reference("original", figure).at(clients) for figure in figures} == dict.fromkeys(figures)


def test_a_figure_that_a_source_doesn_t_know_is_none_and_another_source_an_error():
    assert reference("report", "late_p99") is None
    assert reference("original", "no such figure") is None
    with pytest.raises(KeyError):
        reference("rumour", "threads")


@pytest.mark.parametrize(("found", "expected"), [
    (Reference({100: 7}), 7),
    (Reference({100: 7}, constant=5), 7),
    (Reference({100: 7}, per_client=5), 7),
    (Reference({200: 7}, constant=5), 5),
    (Reference({200: 7}, per_client=5), 500),
    (Reference(constant=0), 0),
    (Reference(constant=5, up_to=100), 5),
    (Reference(constant=5, up_to=99), None),
    (Reference({200: 7}), None),
    (Reference({50: 7, 200: 9}), None),
])
def test_at_is_the_point_or_the_rule_or_nothing(found, expected):
    assert found.at(100) == expected


def test_claims_are_spec_s():
    assert {
        claim.id: (claim.experiment, claim.figure, claim.clients, claim.value, claim.times_clients)
        for claim in references().claims
    } == CLAIMS
    assert [claim.id for claim in references().model_claims] == ["others-scale-better", "threads-are-optimal"]


def test_every_figure_and_every_experiment_that_is_named_exists():
    known = references()
    named = {name for figures in known.figures.values() for name in figures}
    named |= {claim.figure for claim in known.claims}
    named |= {name for claim in known.claims for name in claim.needs}
    named |= {figure.name for figure in known.compared}
    assert named <= FIGURES.keys()
    experiments = {"sweep", "lifecycle", "soak", "switch-interval", "models"}
    assert set(EXPERIMENTS) == experiments
    assert {claim.experiment for claim in known.claims} <= experiments


def test_every_tolerance_has_its_reason_in_a_sentence():
    known = references()
    reasons = [claim.why for claim in known.claims] + [figure.why for figure in known.compared]
    assert all(len(why) > 30 and why.endswith(".") for why in reasons)
    assert all(claim.claim and claim.thing for claim in known.claims)


@pytest.mark.parametrize(("claim", "clients", "allowed"), [
    ("threads-per-client", 100, 0.4),
    ("threads-at-100", 100, 40),
    ("threads-at-1000", 1000, 400),
    ("bytes-per-client", 1000, 55),
    ("registry-entry", 500, 50),
    ("cleanup", 1000, 100),
    ("cleanup-at-once", 1000, 1),
])
def test_how_far_off_still_holds(claim, clients, allowed):
    found = next(one for one in references().claims if one.id == claim)
    assert found.allowed(clients) == pytest.approx(allowed)


def test_less_is_no_fault_where_the_claim_is_that_there_is_little():
    assert {claim.id for claim in references().claims if claim.at_most} == {
        "registry-entry", "cleanup", "cleanup-at-once"}


def test_broadcasters_are_compared_in_memory_lateness_and_processor_time():
    known = references()
    assert (known.baseline, known.others) == ("threads", ("pool", "ticker"))
    assert [figure.name for figure in known.compared] == [
        "rss_per_client_kb", "late_p99", "cpu_per_message_us"]


def test_the_file_is_read_once_and_what_it_gives_can_t_be_changed():
    assert references() is references()
    with pytest.raises(TypeError):
        references().figures["report"]["threads"] = Reference(constant=1)
    with pytest.raises(TypeError):
        reference("original", "threads").points[100] = 1
    with pytest.raises(AttributeError):
        reference("original", "threads").constant = 1


def test_the_packaged_text_is_what_is_parsed():
    assert parsed(TEXT) == references()


@pytest.mark.parametrize(("old", "new", "named"), [
    ("[report.bytes_per_client]", "[report.bytes_per_head]", ["report.bytes_per_head", "no figure"]),
    ("[original.rss_mb]", "[rumour.rss_mb]", ["unknown", "rumour"]),
    ("constant = 286", "konstant = 286", ["konstant"]),
    ("constant = 286", "constant = 286\nper_client = 4", ["original.bytes_per_client", "one of"]),
    ("constant = 286\nup_to = 2000", "up_to = 2000", ["original.bytes_per_client", "points"]),
    ("constant = 286", "constant = '286'", ["original.bytes_per_client", "'286'"]),
    ("constant = 286", "constant = true", ["original.bytes_per_client", "True"]),
    ("constant = 286", "constant = nan", ["original.bytes_per_client", "nan"]),
    ("constant = 286", "constant = -1", ["original.bytes_per_client", "-1"]),
    ("{ 1000 = 634 }", "{ many = 634 }", ["original.rss_mb", "many"]),
    ('experiment = "soak"', 'experiment = "sulk"', ["claim 11", "sulk"]),
    ('figure = "threads_left"', 'figure = "threads_kept"', ["claim 12", "threads_kept"]),
    ('figure = "threads_left"\n', "", ["claim 12", "figure"]),
    ('id = "cleanup"', 'id = "cleanup-at-once"', ["two claims"]),
    ('thing = "threads left over"\n', "", ["claim 12", "thing"]),
    ('thing = "threads left over"', 'thing = "threads left over"\nthin = 1', ["claim 12", "thin"]),
    ("value = 0\nsays = \"none\"", 'says = "none"', ["claim 12", "value"]),
    ("slack = 1\nwhy = \"\"\"To end", "slack = 'some'\nwhy = \"\"\"To end", ["claim 13", "some"]),
    ("needs = { closed_connections", "needs = { closed_doors", ["claim 11", "closed_doors"]),
    ('baseline = "threads"\n', "", ["baseline"]),
    ('name = "late_p99"', 'name = "late_p98"', ["models.figure 2", "late_p98"]),
    ('holds_if = "another is better in nothing"', 'holds_if = "always"', ["model_claim 2", "holds_if"]),
    ("[models]\nbaseline", "[models\nbaseline", ["can't be read"]),
])
def test_a_file_that_can_t_be_used_is_refused_by_the_entry_s_name(old, new, named):
    assert TEXT.count(old) == 1
    with pytest.raises(ReferenceDataError) as error:
        parsed(TEXT.replace(old, new))
    assert [word for word in (PACKAGED, *named) if word not in str(error.value)] == []


def test_at_another_time_scale_a_figure_that_hangs_on_intervals_compares_with_nothing():
    for time_scale, sources in ((1.0, {"report", "original"}), (0.2, set())):
        run = Results("sweep", "", "", 1, time_scale=time_scale)
        assert references_for(run, "bytes_per_client").keys() == sources
        assert references_for(run, "channel_threads").keys() == {"report", "original"}
