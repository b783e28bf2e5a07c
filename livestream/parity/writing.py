"""Corpus files, written: the counterpart of `cases`, which reads them."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from livestream.parity.cases import Case, CorpusError, Header, Session, load_cases


def header_line(header: Header) -> str:
    """The first line of a file; `partial` stands in it only when it is true."""
    return json.dumps({key: value for key, value in asdict(header).items() if value is not False})


def case_line(case: Case) -> str:
    """The case as one line of a file, without its end; keys in the corpus's order."""
    inputs: dict[str, Any] = {"send": list(case.send)} if case.request is None else {"request": case.request}
    return json.dumps({"case": case.name, "kind": case.kind, **inputs, "observed": case.observed})


def write_cases(path: Path, header: Header, cases: Iterable[Case]) -> None:
    """A whole file of cases, in place of what was there. OSError when it can't be written."""
    _write(path, [header_line(header), *map(case_line, cases)])


def write_session(path: Path, header: Header, session: Session) -> None:
    """A whole session, in place of what was there. OSError when it can't be written."""
    _write(path, [header_line(header), *(json.dumps(step.record()) for step in session.steps)])


def _write(path: Path, lines: Iterable[str]) -> None:
    """All or nothing: what is there stays until the new file is complete."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        unfinished.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def check_appendable(path: Path) -> None:
    """CorpusError when `append_case` would refuse this file."""
    if path.exists():
        load_cases(path.absolute())


def append_case(path: Path, case: Case, header: Header) -> None:
    """Adds a case to a file of cases, which begins with `header` when it is new.

    A case whose name is there already gets a further number. CorpusError when the file isn't one of cases
    in this format, or can't be written; it is left as it was.
    """
    # The whole path: a bare name could mean one of the package's own files.
    path = path.absolute()
    start = f"{header_line(header)}\n"
    if path.exists():
        case = replace(case, name=_free_name(case.name, {one.name for one in load_cases(path)}))
        start = "" if path.read_bytes().endswith(b"\n") else "\n"
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{start}{case_line(case)}\n")
    except OSError as error:
        raise CorpusError(f"{path} can't be written: {error}.") from error


def _free_name(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    further = (f"{name}-{number}" for number in range(2, len(taken) + 3))
    return next(free for free in further if free not in taken)
