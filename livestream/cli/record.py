"""`livestream record`: what a server answers, kept as a corpus."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import click

from livestream import contract
from livestream.cli.progress import showing
from livestream.cli.target import make_target, target_options, url_argument
from livestream.parity.cases import Header
from livestream.parity.recorder import GROUPS, RecordError, Recording


@click.command()
@url_argument
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option("--only", multiple=True, type=click.Choice(GROUPS), metavar="GROUP",
              help=f"Record only this group: {', '.join(GROUPS)}. May be repeated. Otherwise all that the "
                   "server can be asked, `shipped` only if it sends no message.")
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
@click.option("--name", help="What the recordings are of, for their first lines.  [default: the URL]")
@target_options
@click.pass_context
def record(ctx: click.Context, /, **options: Any) -> None:
    """Record what the server at URL answers into the folder OUT, in the corpus's format.

    `livestream parity URL --corpus OUT` compares with it. What was recorded before Ctrl-C, or before the
    connection was lost, is kept and marked partial.
    """
    target = make_target(options["url"], options["headers"], options["authority"], options["timeout"])
    header = Header(contract.CORPUS_FORMAT, options["name"] or options["url"], date.today().isoformat())
    recording = Recording(target, options["out"], header)
    try:
        groups = tuple(dict.fromkeys(options["only"])) or recording.usual_groups()
        _prepare(recording, groups, options["force"])
        with showing("recording", recording.total(groups)) as advance:
            recording.run(groups, advance)
    except RecordError as error:
        _tell(recording)
        raise click.UsageError(str(error)) from error
    except OSError as error:
        _tell(recording)
        raise click.UsageError(f"{options['out']} can't be written: {error.strerror}") from error
    except KeyboardInterrupt:
        _tell(recording)
        raise
    _tell(recording)
    ctx.exit(1 if recording.left_out else 0)


def _prepare(recording: Recording, groups: Sequence[str], force: bool) -> None:
    taken = [path.name for path in recording.files(groups) if path.exists()]
    if taken and not force:
        raise RecordError(
            f"{recording.folder} holds {', '.join(taken)} already: choose another folder, or --force")
    recording.folder.mkdir(parents=True, exist_ok=True)


def _tell(recording: Recording) -> None:
    for path in recording.written:
        click.echo(f"wrote {path}")
    for path in recording.partial:
        click.echo(f"wrote {path} (partial)")
    for name, reason in recording.left_out:
        click.echo(f"left out {name}: {reason}")
