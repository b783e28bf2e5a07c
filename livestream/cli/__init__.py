"""The command line: `livestream COMMAND`, also `python -m livestream COMMAND`.

Every error is one line that says what to do, with exit code 2.

- `serve`, `watch`, `parity`, `record`, `asyncapi`, `scale`: a command each.
- `watching`: what `watch` shows. `scaling`: how `scale` runs an experiment.
- `target`: which server, and how to be let in. `parameters`: kinds of values. `progress`: how far it is.
  `logs`: the server's log.
"""

import importlib
import os
import sys
from typing import Final

import click

#: Where each command lives: it is loaded only when it is called, so no command pays for another.
COMMANDS: Final = {
    "serve": "livestream.cli.serve",
    "parity": "livestream.cli.parity",
    "record": "livestream.cli.record",
    "asyncapi": "livestream.cli.asyncapi",
    "watch": "livestream.cli.watch",
    "scale": "livestream.cli.scale",
}
#: What is installed with an extra only, by the package that would be missing first.
EXTRAS: Final = {"numpy": "lab", "matplotlib": "lab", "psutil": "lab"}


class _Commands(click.Group):
    """A group whose commands are loaded when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        try:
            command = getattr(importlib.import_module(module), cmd_name)
        except ModuleNotFoundError as error:
            if error.name not in EXTRAS:
                raise
            return _not_installed(cmd_name, EXTRAS[error.name])
        assert isinstance(command, click.Command)
        return command


def _not_installed(name: str, extra: str) -> click.Command:
    """What stands for a command whose packages are missing: it says how to get them."""
    advice = f"pip install 'livestream[{extra}]'"

    def complain(rest: tuple[str, ...]) -> None:
        raise click.UsageError(f"{name} needs packages that are not installed: {advice}")

    rest = click.Argument(["rest"], nargs=-1, type=click.UNPROCESSED)
    return click.Command(
        name, {"ignore_unknown_options": True}, complain, [rest], help=f"Not installed: {advice}.",
        add_help_option=False)


@click.group(cls=_Commands)
@click.version_option(package_name="livestream")
def cli() -> None:
    """A thread-faithful Python port of a Java WebSocket service, and the instruments around it."""


def main() -> None:
    """Runs the command line; errors become one line and an exit code."""
    try:
        sys.exit(cli.main(prog_name="livestream", standalone_mode=False))
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        print(f"livestream: {error.format_message()}".replace("\n", " "), file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # Whoever read our output has gone. Nothing more can be told, and Python must not try at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
