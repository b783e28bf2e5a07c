"""`livestream serve`: the server, until a signal ends it."""

import errno
import os
import signal
import socket
from collections.abc import Callable, Sequence
from typing import Any

import click
from rich.console import Console

from livestream import contract
from livestream.app import LiveServer, give_memory_back, prepare_process
from livestream.cli.logs import log_to_standard_error
from livestream.settings import DEFAULTS, OPTIONS, Option, Settings, SettingsError, settings_from

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
RELOAD_SIGNAL = signal.SIGHUP
#: How often memory that connections left behind is given back, in seconds.
MEMORY_BACK_INTERVAL = 10.0


def _click_type(option: Option, default: Any) -> click.ParamType[Any]:
    if option.choices:
        return click.Choice(option.choices)
    if isinstance(default, bool):
        return click.BOOL
    ranges: dict[type, Callable[..., click.ParamType[Any]]] = {int: click.IntRange, float: click.FloatRange}
    if type(default) in ranges:
        return ranges[type(default)](option.least, option.most)
    return click.STRING


def settings_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds an option and a `LIVESTREAM_*` variable for every setting, in the settings' order."""
    for name, option in reversed(OPTIONS.items()):
        default = getattr(DEFAULTS[name], "name", DEFAULTS[name])
        command = click.option(
            "--" + name.replace("_", "-"),
            type=_click_type(option, default),
            default=default,
            show_default=True,
            envvar=f"LIVESTREAM_{name.upper()}",
            show_envvar=True,
            help=option.help,
            is_flag=isinstance(default, bool),
            multiple=isinstance(default, tuple),
        )(command)
    return command


@click.command()
@settings_options
def serve(**values: Any) -> None:
    """Serve the live stream until SIGINT (Ctrl-C) or SIGTERM."""
    try:
        settings = settings_from(values)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    log_to_standard_error(settings.log_level, settings.log_format)
    _prepare(settings)
    server = _listen(settings)
    # Blocked before the first thread starts, so that all inherit it and only sigwait sees the signal.
    signals = (*STOP_SIGNALS, RELOAD_SIGNAL) if server.reloads else STOP_SIGNALS
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    server.start()
    console = Console(highlight=False, soft_wrap=True)
    _greet(console, server)
    _wait_for_the_end(server, signals)
    _say_goodbye(console, server)


def _wait_for_the_end(server: LiveServer, signals: Sequence[signal.Signals]) -> None:
    """Until a signal to stop comes; meanwhile this thread keeps house."""
    while True:
        came = signal.sigtimedwait(signals, MEMORY_BACK_INTERVAL)
        if came is None:
            give_memory_back()
        elif came.si_signo == RELOAD_SIGNAL:
            server.reload()
        else:
            return


def _prepare(settings: Settings) -> None:
    try:
        prepare_process(settings.switch_interval, settings.pin_cpu)
    except OSError as error:
        raise click.UsageError(f"no processor {settings.pin_cpu} here: choose another --pin-cpu") from error


def _listen(settings: Settings) -> LiveServer:
    try:
        return LiveServer(settings)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        if error.errno == errno.EADDRINUSE:
            message = f"{where} is in use: stop what listens there or choose another --port"
            raise click.UsageError(message) from error
        raise click.UsageError(f"cannot listen on {where}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    """Why, without the address; a name that can't be resolved has numbers of its own."""
    if isinstance(error, socket.gaierror) or error.errno is None or error.errno < 0:
        return (error.strerror or str(error)).partition(" (while")[0]
    return os.strerror(error.errno)


def _greet(console: Console, server: LiveServer) -> None:
    settings = server.settings
    console.print(f"stream   {server.url('ws', contract.STREAM_PATH)}", markup=False)
    console.print(f"page     {server.url('http', contract.LAB_PATH)}", markup=False)
    console.print(f"REST     {server.url('http', contract.BLOCKCHAIN_STATS_PATH)}", markup=False)
    console.print(f"profile  {settings.profile.name}", markup=False)
    ceiling = server.ceiling
    if ceiling.clients < settings.max_connections:
        console.print(
            f"limit    about {ceiling.clients} clients with all channels, not {settings.max_connections}: "
            f"this machine allows {ceiling.limit}",
            markup=False,
        )
    console.print("stop     Ctrl-C", markup=False)
    console.file.flush()


def _say_goodbye(console: Console, server: LiveServer) -> None:
    console.print("stopping: closing every connection", markup=False)
    left = server.stop()
    if left:
        console.print(f"stopped; {len(left)} threads were still running", markup=False)
    else:
        console.print("stopped", markup=False)
