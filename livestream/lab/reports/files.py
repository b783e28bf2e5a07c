"""What an experiment leaves in a folder. Each file is whole or not there: a reader never sees half of one."""

import os
from pathlib import Path

from livestream.lab.reports.page import html_report
from livestream.lab.reports.pictures import OVER_TIME, PICTURES
from livestream.lab.results import Results, results_csv, results_json


def write_results(results: Results, folder: Path) -> list[Path]:
    """results.json and results.csv, in place of what was there. OSError when they can't be written."""
    texts = {"results.json": results_json(results), "results.csv": results_csv(results)}
    return _write(folder, {name: text.encode() for name, text in texts.items()})


def write_report(results: Results, folder: Path) -> list[Path]:
    """Every plot as SVG and PNG, and report.html with the SVGs in it. OSError when they can't be written."""
    # Half a second and 50 MB, and not before the load has ended.
    from livestream.lab.reports.plots import draw

    drawn = draw(results)
    plots = {
        f"{name}.{suffix}": content
        for name, plot in drawn.items() for suffix, content in plot._asdict().items()
    }
    page = html_report(results, {name: plot.svg.decode() for name, plot in drawn.items()})
    written = _write(folder, plots | {"report.html": page.encode()})
    for path in _plots_in(folder) - set(written):
        path.unlink()
    return written


def _plots_in(folder: Path) -> set[Path]:
    """Those of a larger run before must not look like this one's."""
    names = [*PICTURES, OVER_TIME, f"{OVER_TIME}-[0-9]*"]
    return {path for name in names for suffix in ("svg", "png") for path in folder.glob(f"{name}.{suffix}")}


def _write(folder: Path, contents: dict[str, bytes]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        _write_one(folder / name, content)
    return [folder / name for name in contents]


def _write_one(path: Path, content: bytes) -> None:
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
