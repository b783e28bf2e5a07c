"""`livestream watch`: the stream in a terminal, or as lines for a pipe."""

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import click
from rich.console import Console
from rich.live import Live

from livestream import contract
from livestream.cli.parameters import Finite
from livestream.cli.target import door_options
from livestream.cli.watching import CHANNELS, Picture, line_of, shown_state
from livestream.client import ALL, ClientSettings, Message, StreamClient, StreamError
from livestream.client.waiting import wait_for
from livestream.parity.playing.target import trusting

DEFAULT_URL: Final = f"ws://localhost:{contract.PORT}"
REFRESHES_PER_SECOND: Final = 4

#: Whether a message is to be shown.
Wanted = Callable[[Message], bool]
#: Shows what a client hears, until it is closed.
Show = Callable[[StreamClient, Wanted, Picture], None]


@click.command()
@click.argument("url", default=DEFAULT_URL)
@click.option("--channel", "channels", multiple=True, type=click.Choice(tuple(CHANNELS)), metavar="CHANNEL",
              help=f"Watch only this channel: {', '.join(CHANNELS)}. May be repeated. Otherwise all.")
@click.option("--json", "as_json", is_flag=True,
              help="Print every message as one line of JSON; what becomes of the connection goes to "
                   "standard error.")
@click.option("--seconds", type=Finite(0, threading.TIMEOUT_MAX),
              help="End by itself after so long.  [default: never]")
@click.option("--reconnect-delay", type=Finite(0.001, 3_600), default=ClientSettings.reconnect_delay,
              show_default=True, help="Seconds before the first of five attempts; each later one waits twice "
                                      "as long.")
@click.option("--time-scale", type=Finite(0.000_1, 1_000), default=1.0, show_default=True,
              help="Of the server's intervals, which lateness is against.")
@door_options
def watch(url: str, **options: Any) -> None:
    """Watch the stream at URL (default: port 9003 of this machine) until Ctrl-C.

    Each channel has a line with its latest values, its rate and how late the last update came. When the
    connection is lost it is tried again after 3, 6, 12, 24 and 48 s; then the blockchain statistics are
    polled every second, and marked so, until the stream, still tried every 48 s, is back. Without a terminal
    each message is a line.
    """
    channels = tuple(dict.fromkeys(options["channels"])) or tuple(CHANNELS)
    authority = options["authority"]
    try:
        client = StreamClient(
            url, headers=options["headers"] or (), ssl_context=trusting(authority) if authority else None,
            settings=_patient(options["reconnect_delay"]))
    except StreamError as error:
        raise click.UsageError(str(error)) from error
    for channel in channels:
        # It starts unasked; asked for, the original sends it twice.
        if channel != contract.INITIAL_CHANNEL.name:
            client.subscribe(channel)
    wanted = _wanted(channels)
    show = _VIEWS["json" if options["as_json"] else "terminal" if sys.stdout.isatty() else "lines"]
    picture = Picture(client.url, channels, options["time_scale"])
    _until(options["seconds"], client, lambda: show(client, wanted, picture))


def _patient(delay: float) -> ClientSettings:
    """Attempts after the delay and its doubles; while REST is polled after each time the last of them."""
    settings = ClientSettings(reconnect_delay=delay)
    *_, last = settings.delays()
    return replace(settings, retry_interval=last)


def _wanted(channels: tuple[str, ...]) -> Wanted:
    """All but the updates of other channels."""
    unwanted = contract.UPDATE_TYPES - {CHANNELS[name].message_type for name in channels}
    return lambda message: message.type not in unwanted


def _until(seconds: float | None, client: StreamClient, show: Callable[[], None]) -> None:
    """Shows until the time is up, Ctrl-C, or nobody reads any more; the client is closed then.

    click's UsageError when there was never a connection, nor a message that was polled.
    """
    there = threading.Event()
    client.on(ALL, lambda message: there.set())
    client.on_state(lambda state: there.set() if state == "open" else None)
    timer = threading.Timer(seconds or 0, client.close)
    timer.daemon = True
    if seconds is not None:
        client.on_state(lambda state: timer.start() if state == "connecting" else None)
    try:
        show()
    except StreamError as error:
        raise click.UsageError(str(error)) from error
    finally:
        timer.cancel()
        client.close()
    if not there.is_set():
        raise click.UsageError(client.problem or "There was no connection yet: give it more --seconds.")


def _print_json(client: StreamClient, wanted: Wanted, picture: Picture) -> None:
    _print_states(client, to_stderr=True)
    _print_each(client, wanted, Message.as_json)


def _print_lines(client: StreamClient, wanted: Wanted, picture: Picture) -> None:
    _print_states(client, to_stderr=False)
    _print_each(client, wanted, line_of)


def _print_states(client: StreamClient, to_stderr: bool) -> None:
    def told(state: str) -> None:
        # That nobody reads any more is for the next message to find out.
        with suppress(OSError):
            click.echo(shown_state(client.url, state, client.problem), err=to_stderr)

    client.on_state(told)


def _print_each(client: StreamClient, wanted: Wanted, text_of: Callable[[Message], str]) -> None:
    """One line per message, at once; BrokenPipeError when nobody reads them any more."""
    out = sys.stdout.buffer
    for message in client.connect():
        if wanted(message):
            # What UTF-8 lacks, a lone surrogate, is written as JSON escapes it.
            out.write(text_of(message).encode("utf-8", "backslashreplace") + b"\n")
            out.flush()


def _show(client: StreamClient, wanted: Wanted, picture: Picture) -> None:
    over = threading.Event()
    client.on(ALL, picture.on_message)

    def on_state(state: str) -> None:
        picture.on_state(state)
        if state == "closed":
            over.set()

    client.on_state(on_state)
    console = Console()

    def drawn() -> Any:
        return picture.drawn(client.problem)

    with Live(get_renderable=drawn, console=console, refresh_per_second=REFRESHES_PER_SECOND):
        client.connect()
        wait_for(over)


_VIEWS: Final[dict[str, Show]] = {"json": _print_json, "lines": _print_lines, "terminal": _show}
