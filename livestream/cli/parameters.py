"""Kinds of values and commands that click lacks."""

import math
from typing import Any

import click

from livestream.settings import OPTIONS


class Numbers(click.ParamType[tuple[float, ...]]):
    """Numbers between commas, each once and within bounds."""

    name = "numbers"

    def __init__(self, kind: type[int] | type[float], least: float, most: float) -> None:
        self._kind, self._least, self._most = kind, least, most

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[float, ...]:
        """What was given, as numbers; click's complaint when it isn't."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(dict.fromkeys(self._kind(word) for word in value.split(",")))
        except ValueError:
            self.fail(f"{value!r} is not of the form 1,10,100.", param, ctx)
        wrong = [number for number in numbers if not self._least <= number <= self._most]
        if wrong:
            self.fail(f"{wrong[0]} is not in the range {self._least} to {self._most}.", param, ctx)
        return numbers


class Finite(click.FloatRange):
    """A range that "nan" is not in."""

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """What was given, if it is a number."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is no number.", param, ctx)
        return number


class MeasuringCommand(click.Command):
    """A command that knows which options are the server's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does; an option of the server's is told to stand after `--`."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name.removeprefix("--").replace("-", "_") in OPTIONS:
                raise click.UsageError(f"{error.option_name} is the server's: put it after --") from error
            raise


class MeasuringGroup(click.Group):
    """A group with a default: `scale --clients 10` is `scale sweep --clients 10`."""

    command_class = MeasuringCommand

    def __init__(self, *args: Any, default: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does; without a command's name the default's is put first."""
        if not args or args[0].startswith("-") and args[0] not in ctx.help_option_names:
            args = [self._default, *args]
        return super().parse_args(ctx, args)
