"""What the instruments' commands have in common: which server, and how to be let in."""

import math
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import click

from livestream.parity.playing.target import Limits, Target, TargetError, check_url, read_headers, trusting

#: What a shown command has in place of a header's value, which may be a password.
HIDDEN: Final = "…"

Value = TypeVar("Value")


def _checked(read: Callable[[Value], Any]) -> Callable[[click.Context, click.Parameter, Value | None], Any]:
    """What the option's value makes, its complaint as click's own."""
    def callback(ctx: click.Context, param: click.Parameter, value: Value | None) -> Any:
        if value is None:
            return None
        try:
            return read(value)
        except TargetError as error:
            raise click.BadParameter(str(error)) from error
    return callback


def _readable(path: str) -> str:
    trusting(path)
    return path


def _seconds(seconds: float) -> float:
    # click's ranges let it through: it is neither below nor above anything.
    if math.isnan(seconds):
        raise TargetError("nan is no number of seconds.")
    return seconds


def url_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """The server's URL, checked; ws, wss, http or https, with or without the stream's path."""
    return click.argument("url", callback=_checked(check_url))(command)


def url_option(name: str, text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option that takes a URL, checked."""
    return click.option(name, metavar="URL", callback=_checked(check_url), help=text)


def door_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How to be let in."""
    for option in (
        click.option("--ca", "authority", metavar="FILE", callback=_checked(_readable),
                     help="Certificates (PEM) to trust, for a server behind TLS."),
        click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'",
                     callback=_checked(read_headers),
                     help="Goes with every request, for a server behind a login. May be repeated."),
    ):
        command = option(command)
    return command


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How to be let in, and how long to wait."""
    timeout = click.option(
        "--timeout", type=click.FloatRange(0.1, 600), default=Limits().answer, show_default=True,
        callback=_checked(_seconds),
        help="Seconds to wait for what every server must do: connect, answer a ping.")
    return door_options(timeout(command))


def make_target(
    url: str, headers: tuple[tuple[str, str], ...], authority: str | None, timeout: float,
) -> Target:
    """The server as the player knows it; `timeout` in seconds. TargetError when `authority` can't be read."""
    context = trusting(authority) if authority else None
    return Target(url, headers, context, Limits(answer=timeout))


def shown_headers(headers: Iterable[tuple[str, str]]) -> list[str]:
    """The options that gave these headers, without their values."""
    return [word for name, _ in headers for word in ("--header", f"{name}: {HIDDEN}")]
