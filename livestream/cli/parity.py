"""`livestream parity`: is this server the same as that one?"""

import random
import shlex
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource
from rich.console import Console

from livestream import contract
from livestream.cli.progress import showing
from livestream.cli.target import make_target, shown_headers, target_options, url_argument, url_option
from livestream.parity.cases import CorpusError, Header
from livestream.parity.judging.deviations import (
    LAYERS, NO_DEVIATIONS, DeviationError, Deviations, load_deviations,
)
from livestream.parity.judging.expectations import PROFILES
from livestream.parity.judging.rules import RULES
from livestream.parity.judging.rulesfile import RuleError, load_rules, rules_text
from livestream.parity.judging.verdict import Report, Verdict
from livestream.parity.plan import GENERATED, PARALLEL, Plan, corpus_paths
from livestream.parity.reports.data import json_report
from livestream.parity.reports.html import html_report
from livestream.parity.reports.junit import junit_report
from livestream.parity.reports.terminal import print_report
from livestream.parity.run import CannotRun, Comparison
from livestream.parity.writing import append_case, case_line, check_appendable

FILE: Final = click.Path(path_type=Path)
#: Reports that go to a file, by option.
_WRITERS: Final[dict[str, Callable[[Report], str]]] = {
    "html": html_report, "junit": junit_report, "json": json_report,
}
#: Options that do not change what a case comes out as.
_NOT_REPEATED: Final = frozenset(("only", "chosen", "append", "parallel", *_WRITERS))


def _show_rules(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        click.echo(rules_text(), nl=False)
        ctx.exit()


@click.command()
@url_argument
@url_option("--against", "Judge by this live server, not by the corpus.")
@url_option("--twin", "The same server as --against: what differs between the two is noise.")
@click.option("--profile", type=click.Choice(list(PROFILES)), default="original", show_default=True,
              help="Which faults of the original to expect.")
@click.option("--corpus", multiple=True, type=FILE, metavar="PATH",
              help="Files or folders of one's own in place of the packaged corpus. May be repeated.")
@click.option("--only", multiple=True, type=click.Choice([*LAYERS.values()]), metavar="LAYER",
              help=f"Play only this layer: {', '.join(LAYERS.values())}. May be repeated.")
@click.option("--case", "chosen", multiple=True, metavar="LAYER/NAME",
              help="Play only this case. May be repeated.")
@click.option("--pid", type=click.IntRange(1), help="The server's process, for counting its threads.")
@click.option("--against-pid", type=click.IntRange(1), help="The process of --against.")
@click.option("--deviations", "own_deviations", type=FILE, metavar="FILE",
              help="Deviations of one's own, beside the packaged ones (the same TOML).")
@click.option("--strict", is_flag=True,
              help="Leave the packaged deviations out: they are the port's, not the original's.")
@click.option("--rules", "own_rules", type=FILE, metavar="FILE",
              help="Rules of one's own for what may vary, before the built-in ones.")
@click.option("--show-rules", is_flag=True, is_eager=True, expose_value=False, callback=_show_rules,
              help="Print the built-in rules in the form of --rules, and leave.")
@click.option("--parallel", type=click.IntRange(1, 64), default=PARALLEL, show_default=True,
              help="Connections at once.")
@click.option("--fuzz", type=click.IntRange(0, 1_000_000), default=0, metavar="N",
              help="Also generate N inputs and play them to both sides (needs --against).")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Generate the same inputs again.")
@click.option("--generate", multiple=True, type=click.Choice(GENERATED),
              help="Generate only this sort of input. May be repeated.")
@click.option("--append", type=FILE, metavar="FILE", help="Add what was found to this corpus file.")
@click.option("--html", type=FILE, metavar="FILE", help="Also write the report as one HTML page.")
@click.option("--junit", type=FILE, metavar="FILE", help="Also write it as JUnit XML.")
@click.option("--json", type=FILE, metavar="FILE", help="Also write it as JSON.")
@target_options
@click.pass_context
def parity(ctx: click.Context, /, **options: Any) -> None:
    """Compare the server at URL with the recorded original, or with another live server.

    Exit code 0: the same, or every difference is explained. 1: different, or no answer. 2: it could not run.
    """
    _check(ctx, options)
    if options["seed"] is None:
        options["seed"] = random.randrange(2**32)
    report = _run(_plan(options), _command(ctx, options["seed"]))
    if report.finished and not report.results:
        raise click.UsageError(f"nothing was compared: {'; '.join(report.notes) or 'see --only and --case'}")
    # Files first: whoever reads the terminal may close it in the middle.
    _write_reports(report, options)
    kept = _keep_findings(report, options["append"])
    print_report(report, Console(highlight=False))
    for line in kept:
        click.echo(line)
    if not report.finished:
        raise KeyboardInterrupt
    ctx.exit(1 if report.verdict.fails else 0)


def _check(ctx: click.Context, options: dict[str, Any]) -> None:
    """Options that make no sense without, or beside, another; and files that could not be written."""
    for name in ("twin", "against_pid", "fuzz"):
        if options[name] and not options["against"]:
            option = name.replace("_", "-")
            raise click.UsageError(f"--{option} needs --against: another server to compare with")
    for name in ("seed", "append", "generate"):
        if options[name] not in (None, ()) and not options["fuzz"]:
            raise click.UsageError(f"--{name} needs --fuzz: a number of inputs to generate")
    if options["pid"] is not None and options["pid"] == options["against_pid"]:
        raise click.UsageError("--pid and --against-pid are one process: name two")
    chosen = ctx.get_parameter_source("profile") is not click.core.ParameterSource.DEFAULT
    if chosen and (options["against"] or options["corpus"]):
        raise click.UsageError("--profile is about the packaged corpus: leave out --against and --corpus")
    for name in (*_WRITERS, "append"):
        path = options[name]
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            raise click.UsageError(f"--{name}: {path} is no file in a folder that exists: choose another")


def _plan(options: dict[str, Any]) -> Plan:
    def target(name: str) -> Any:
        url = options[name]
        if url is None:
            return None
        return make_target(url, options["headers"], options["authority"], options["timeout"])

    try:
        if options["append"]:
            check_appendable(options["append"])
        return Plan(
            subject=target("url"), reference=target("against"), twin=target("twin"),
            faults=PROFILES[options["profile"]], corpus=corpus_paths(options["corpus"]),
            deviations=_deviations(options["own_deviations"], options["strict"]),
            rules=load_rules(options["own_rules"]) if options["own_rules"] else RULES,
            pid=options["pid"], reference_pid=options["against_pid"],
            only=frozenset(options["only"]), chosen=frozenset(options["chosen"]),
            parallel=options["parallel"], fuzz=options["fuzz"], seed=options["seed"],
            generate=options["generate"] or GENERATED,
        )
    except (CorpusError, DeviationError, RuleError) as error:
        raise click.UsageError(str(error)) from error


def _deviations(own: Path | None, strict: bool) -> Deviations:
    packaged = NO_DEVIATIONS if strict else load_deviations()
    return load_deviations(own).before(packaged) if own else packaged


def _command(ctx: click.Context, seed: int) -> str:
    """The same command again, without its choice of cases and its reports."""
    words = ["livestream", "parity", ctx.params["url"]]
    for option in ctx.command.params:
        given = ctx.get_parameter_source(option.name or "") is not ParameterSource.DEFAULT
        value = ctx.params.get(option.name or "")
        if isinstance(option, click.Option) and option.name not in _NOT_REPEATED and given:
            words += _words(option, value)
    if ctx.params["fuzz"] and ctx.params["seed"] is None:
        words += ["--seed", str(seed)]
    return shlex.join(words)


def _words(option: click.Option, value: Any) -> list[str]:
    if option.name == "headers":
        return shown_headers(value)
    if option.is_flag:
        return [option.opts[0]]
    values = value if option.multiple else [value]
    return [word for one in values for word in (option.opts[0], str(one))]


def _run(plan: Plan, command: str) -> Report:
    """Plays the plan; Ctrl-C ends it and keeps what is finished."""
    start, started = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    try:
        comparison = Comparison(plan)
        finished = _play(comparison)
    except (CannotRun, CorpusError) as error:
        raise click.UsageError(str(error)) from error
    if not finished:
        comparison.notes.append(f"stopped after {len(comparison.results)} of {comparison.total} cases")
    return Report(
        plan.subject.url, plan.described(), comparison.results_in_order(), tuple(comparison.notes),
        time.monotonic() - start, started, finished, command)


def _play(comparison: Comparison) -> bool:
    """False when Ctrl-C ended it."""
    with showing("playing", comparison.total) as advance:
        try:
            comparison.run(advance)
        except KeyboardInterrupt:
            return False
    return True


def _keep_findings(report: Report, path: Path | None) -> list[str]:
    """What was generated and disagreed about: as corpus cases to be shown, and in a file if wanted."""
    told = []
    for result in report.results:
        if not result.generated or result.verdict is not Verdict.DIFFERENT:
            continue
        told += ["", "as a corpus case:", case_line(result.case)]
        if path is not None:
            try:
                append_case(path, result.case, _header(report.reference))
            except CorpusError as error:
                raise click.UsageError(f"--append: {error}") from error
            told.append(f"added to {path}")
    return told


def _write_reports(report: Report, options: dict[str, Any]) -> None:
    for name, write in _WRITERS.items():
        path = options[name]
        if path is None:
            continue
        try:
            path.write_text(write(report), encoding="utf-8")
        except OSError as error:
            raise click.UsageError(f"--{name}: {path} can't be written: {error.strerror}") from error


def _header(reference: str) -> Header:
    return Header(contract.CORPUS_FORMAT, reference, date.today().isoformat())
