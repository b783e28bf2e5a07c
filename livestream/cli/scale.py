"""`livestream scale`: what does a thread per channel per client cost, in the port and in any other server?"""

import itertools
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

import click

from livestream.cli.parameters import Finite, MeasuringGroup, Numbers
from livestream.cli.scaling import run, says_limits, try_server
from livestream.cli.target import door_options, shown_headers, url_option
from livestream.contract import CHANNELS
from livestream.lab.experiment import THREADS_PER_CLIENT, Planned, Setup
from livestream.lab.experiments.lifecycle import lifecycle as plan_lifecycle
from livestream.lab.experiments.models import MODELS
from livestream.lab.experiments.models import models as plan_models
from livestream.lab.experiments.soak import soak as plan_soak
from livestream.lab.experiments.sweep import sweep as plan_sweep
from livestream.lab.experiments.switch_interval import INTERVALS
from livestream.lab.experiments.switch_interval import switch_interval as plan_switch_interval
from livestream.lab.host import host_facts, process_facts, program_facts
from livestream.lab.load import Load
from livestream.lab.probe import ProbeError
from livestream.lab.results import Results
from livestream.lab.server import ServerError, own_server, running_server
from livestream.parity.playing.target import NoAnswer
from livestream.settings import DEFAULTS

if find_spec("matplotlib") is None:
    # It is loaded last, for the plots: that it is missing must be told before minutes of measuring.
    raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")

#: What is run when no experiment is named.
DEFAULT: Final = "sweep"
MOST_CLIENTS: Final = 100_000
#: How a client asks for compression (RFC 7692, section 5).
_OFFER: Final = (("Sec-WebSocket-Extensions", "permessage-deflate"),)
MakePlan = Callable[[Setup], list[Planned]]


@click.group(cls=MeasuringGroup, default=DEFAULT)
def scale() -> None:
    """Measure what clients cost a server: threads, memory, processor time, lateness.

    Without a name of an experiment it is `sweep`. Each starts the port in a process of its own; options of
    `livestream serve` go after `--`. sweep, lifecycle and soak also take any other server: --url, and --pid
    if it runs on this machine.

    Exit code 0: done. 1: some figures don't count, and the report says why. 2: it could not run.
    """


def _options(*options: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def decorator(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command
    return decorator


def _clients(default: tuple[int, ...]) -> Callable[..., Any]:
    return click.option(
        "--clients", type=Numbers(int, 1, MOST_CLIENTS), metavar="N,…", default=",".join(map(str, default)),
        show_default=True, help="Numbers of clients; one step each.")


def _seconds(default: float, help: str) -> Callable[..., Any]:
    return click.option("--seconds", type=Finite(0.1, 86_400), default=default, show_default=True, help=help)


_WINDOW: Final = _seconds(20, "How long is measured, in each step.")
_COMMON: Final = _options(
    click.option("--rate", type=Finite(0.1, 10_000), default=100, show_default=True,
                 help="Connections opened per second."),
    click.option("--time-scale", type=Finite(0.001, 1_000), default=1, show_default=True,
                 help="Of the server's intervals; a server started here gets it too."),
    click.option("--compression", is_flag=True,
                 help="The clients offer permessage-deflate; a server started here takes it."),
    click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
                 help="Where results, plots and report go.  [default: scale-EXPERIMENT, then with a number]"),
    click.option("--force", is_flag=True, help="Overwrite results that are there."),
    click.option("--anyway", is_flag=True, help="Try also when this machine's limits are too low."),
    click.argument("server_options", nargs=-1, type=click.UNPROCESSED, metavar="[-- SERVE OPTIONS]"),
)
_OTHER_SERVER: Final = _options(
    url_option("--url", "Measure this server, which runs already."),
    click.option("--pid", type=click.IntRange(1),
                 help="Its process on this machine: threads, memory, processor."),
    door_options,
)


@scale.command()
@_options(_clients((1, 10, 100, 1000)), _WINDOW, _COMMON, _OTHER_SERVER)
@click.pass_context
def sweep(ctx: click.Context, /, **options: Any) -> None:
    """The same load for more and more clients."""
    _run(ctx, options, plan_sweep)


@scale.command()
@_options(_clients((100, 1000)), _seconds(5, "How long the clients stay."), _COMMON, _OTHER_SERVER)
@click.pass_context
def lifecycle(ctx: click.Context, /, **options: Any) -> None:
    """Clients come and go: when are their threads gone?"""
    _run(ctx, options, plan_lifecycle)


@scale.command()
@_options(
    _clients((100,)),
    click.option("--minutes", type=Finite(0.01, 1_440), default=5, show_default=True, help="How long."),
    click.option("--churn", type=Finite(0, 1_000), default=10, show_default=True,
                 help="Connections beside the clients that come and go, per second."),
    _COMMON, _OTHER_SERVER)
@click.pass_context
def soak(ctx: click.Context, /, **options: Any) -> None:
    """Minutes under load: what grows?"""
    _run(ctx, options | {"seconds": options["minutes"] * 60}, plan_soak)


@scale.command("switch-interval")
@_options(
    _clients((1000,)),
    click.option("--intervals", type=Numbers(float, 0, 10), metavar="S,…", show_default=True,
                 default=",".join(f"{one:g}" for one in INTERVALS),
                 help="Switch intervals in seconds; 0 grows with the threads."),
    _WINDOW, _COMMON)
@click.pass_context
def switch_interval(ctx: click.Context, /, **options: Any) -> None:
    """The same load at several of Python's switch intervals."""
    known = {sys.getswitchinterval(): "Python's", DEFAULTS["switch_interval"]: "the port's"}
    intervals = options["intervals"]
    _run(ctx, options, lambda setup: plan_switch_interval(setup, intervals, known), "switch interval")


@scale.command()
@_options(
    _clients((100, 1000)),
    click.option("--model", "names", multiple=True, type=click.Choice(MODELS),
                 help="Only this one. May be repeated."),
    _WINDOW, _COMMON)
@click.pass_context
def models(ctx: click.Context, /, **options: Any) -> None:
    """Threads for each client, against a pool and a ticker."""
    _run(ctx, options, lambda setup: plan_models(setup, options["names"] or MODELS), "broadcaster")


def _run(ctx: click.Context, options: dict[str, Any], make_plan: MakePlan, varied: str = "") -> None:
    """Checks, measures, reports, and leaves with the exit code."""
    experiment = str(ctx.info_name)
    folder: Path = options["out"] or _default_folder(experiment, options["force"])
    _check(options, folder)
    setup = _setup(options)
    results = Results(experiment, _command(ctx), datetime.now(UTC).isoformat(timespec="seconds"), 0, varied)
    try:
        results.host = host_facts()
        results.server = _server_facts(options)
        results.notes += says_limits(setup, _threads_per_client(options), options["anyway"])
        try_server(setup)
    except (ProbeError, ServerError, NoAnswer) as error:
        raise click.UsageError(str(error)) from error
    results.time_scale = options["time_scale"]
    results.server_is_here = options.get("url") is None or options["pid"] is not None
    results.notes += _notes(experiment, options)
    _prepare(folder)
    ctx.exit(run(results, make_plan(setup), folder))


def _notes(experiment: str, options: dict[str, Any]) -> Iterator[str]:
    """What a reader of the results must know of how they came about."""
    if options["time_scale"] != 1:
        yield f"At time scale {options['time_scale']:g} bytes per second and lateness compare with nothing."
    if options["compression"]:
        yield ("The clients offered compression. Bytes are those on the wire: beside the original's they "
               "show what a server that took it saved.")
    if experiment == "models" and options["server_options"]:
        yield "The message corpus was played to each broadcaster without the server's other options."
    if options.get("pid") and len(options["clients"]) > 1:
        yield ("The server ran on from step to step: memory that an earlier step left behind is not counted "
               "again, so growth per client may be more than is told here.")


def _check(options: dict[str, Any], folder: Path) -> None:
    if options.get("pid") and not options["url"]:
        raise click.UsageError("--pid needs --url: the server that runs in that process")
    if options.get("url") and options["server_options"]:
        raise click.UsageError(
            f"{options['server_options'][0]} is for a server that is started here: leave out that, or --url")
    for name in ("headers", "authority"):
        if options.get(name) and not options["url"]:
            raise click.UsageError("--header and --ca need --url: our own server asks for neither")
    first = "".join(options["server_options"][:1])
    if first and not first.startswith("-"):
        raise click.UsageError(f"{first!r} is no option: leave it out; the server's options go after --")
    if any(word.partition("=")[0] == "--time-scale" for word in options["server_options"]):
        raise click.UsageError("--time-scale goes before --: the load must know it too")
    if _holds_results(folder) and not options["force"]:
        raise click.UsageError(f"{folder} holds results already: choose another --out, or --force")


def _default_folder(experiment: str, force: bool) -> Path:
    """`scale-sweep`, then `scale-sweep-2` and so on; with `force` always the first."""
    names = itertools.chain(("",), (f"-{number}" for number in itertools.count(2)))
    folders = (Path(f"scale-{experiment}{name}") for name in names)
    return next(folder for folder in folders if force or not _holds_results(folder))


def _holds_results(folder: Path) -> bool:
    return (folder / "results.json").exists()


def _prepare(folder: Path) -> None:
    """That nothing can be written must be told before anything is measured."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise click.UsageError(f"{folder} can't be written: {error.strerror}") from error


def _setup(options: dict[str, Any]) -> Setup:
    url, pid, scale = options.get("url"), options.get("pid"), options["time_scale"]
    offer, accept = (_OFFER, ("--compression",)) if options["compression"] else ((), ())
    load = Load(
        "", 0, options["seconds"], options["rate"], scale, options.get("churn", 0.0),
        headers=(*options.get("headers", ()), *offer), authority=options.get("authority"))
    return Setup(
        own_server if url is None else running_server(url, pid), url is None, load, options["clients"],
        ("--time-scale", str(scale), *accept, *options["server_options"]), pid)


def _threads_per_client(options: dict[str, Any]) -> int:
    """As the original's, unless it is known that there are fewer: none may be asked for in vain."""
    names = options.get("names") or _broadcasters(options["server_options"])
    return THREADS_PER_CLIENT if MODELS[0] in names else THREADS_PER_CLIENT - len(CHANNELS)


def _broadcasters(server_options: Sequence[str]) -> Sequence[str]:
    """Those that may serve: the one that the options name, in either form, the last of several."""
    words = [word for option in server_options for word in option.split("=", 1)]
    named = [name for option, name in zip(words, words[1:]) if option == "--broadcaster"]
    return named[-1:] or MODELS


def _server_facts(options: dict[str, Any]) -> dict[str, str]:
    if options.get("url") is None:
        told = {"name": "the port", "options": shlex.join(options["server_options"]) or "none"}
        return told | program_facts()
    facts = {"name": options["url"]}
    if options["pid"] is None:
        return facts | {"process": "not seen: without --pid there is only what the clients saw"}
    return facts | {"pid": str(options["pid"])} | process_facts(options["pid"])


def _command(ctx: click.Context) -> str:
    """The same command again, without the values of headers."""
    words = ["livestream", "scale", str(ctx.info_name)]
    for option in ctx.command.params:
        value = ctx.params.get(option.name or "")
        given = ctx.get_parameter_source(option.name or "") is not click.core.ParameterSource.DEFAULT
        if isinstance(option, click.Option) and given:
            words += _words(option, value)
    rest = ctx.params["server_options"]
    return shlex.join([*words, *(["--", *rest] if rest else [])])


def _words(option: click.Option, value: Any) -> Sequence[str]:
    if option.name == "headers":
        return shown_headers(value)
    if option.is_flag:
        return option.opts[:1]
    if isinstance(value, tuple) and not option.multiple:
        return [option.opts[0], ",".join(f"{one:g}" for one in value)]
    values = value if option.multiple else [value]
    return [word for one in values for word in (option.opts[0], str(one))]
