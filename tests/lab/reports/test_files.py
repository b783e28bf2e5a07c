"""What an experiment leaves in a folder."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from PIL import Image

from livestream.lab.reports import files
from livestream.lab.reports.files import write_report, write_results
from tests.lab.reports import samples


def few(**more):
    """A run with two plots, as drawing takes time."""
    step = samples.lifecycle(100).steps[0]
    return samples.results("lifecycle", [replace(step, figures={"threads": 503.0})], **more)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_results_are_written_as_json_and_csv(tmp_path):
    folder = tmp_path / "new" / "folder"
    paths = write_results(samples.sweep(), folder)
    assert [path.name for path in paths] == ["results.json", "results.csv"]
    assert names(folder) == ["results.csv", "results.json"]
    assert len(json.loads(paths[0].read_text())["steps"]) == 4
    with paths[1].open(newline="") as file:
        assert [row[1] for row in csv.reader(file)] == ["clients", "100", "1000", "2000", "4000"]


def test_a_report_is_a_page_and_its_plots_twice(tmp_path):
    paths = write_report(few(), tmp_path)
    plots = ["threads-over-time.svg", "threads-over-time.png", "threads.svg", "threads.png"]
    assert [path.name for path in paths] == [*plots, "report.html"]
    assert names(tmp_path) == sorted([*plots, "report.html"])
    assert paths[0].read_text().startswith("<?xml")
    with Image.open(paths[1]) as image:
        image.verify()
    page = paths[-1].read_text()
    assert page.count("<img ") == 2 and "1 step, valid" in page


def test_a_smaller_run_leaves_no_plot_of_a_larger_one_and_nothing_else_goes(tmp_path):
    for name in ("memory.svg", "memory.png", "threads-over-time-2.svg", "threads-over-time-12.png"):
        (tmp_path / name).write_text("of a larger run")
    others = ["my-memory.svg", "notes.txt", "threads-over-time-mine.svg"]
    for name in others:
        (tmp_path / name).write_text("of the user")
    paths = write_report(few(), tmp_path)
    assert names(tmp_path) == sorted([*others, *(path.name for path in paths)])


def test_a_run_without_steps_has_a_report(tmp_path):
    paths = write_report(samples.sweep(counts=(), planned=3), tmp_path)
    assert [path.name for path in paths] == ["report.html"]
    assert "stopped after 0 of 3 steps" in (tmp_path / "report.html").read_text()


def test_the_same_results_give_the_same_files(tmp_path):
    for folder in ("one", "two"):
        write_results(few(), tmp_path / folder)
        write_report(few(), tmp_path / folder)
    assert names(tmp_path / "one") == names(tmp_path / "two")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_a_reader_never_sees_half_a_file(tmp_path, monkeypatch):
    """The old file stays until the new one is complete, and nothing is left over when that fails."""
    write_results(samples.sweep(), tmp_path)
    before = (tmp_path / "results.json").read_bytes()

    def full(source, target):
        assert source.read_bytes() != before == target.read_bytes()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_results(samples.sweep(counts=(1,)), tmp_path)
    assert (tmp_path / "results.json").read_bytes() == before
    assert names(tmp_path) == ["results.csv", "results.json"]


@pytest.mark.parametrize("write", [write_results, write_report])
def test_a_folder_that_cannot_be_made_is_an_os_error(tmp_path, write):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        write(samples.sweep(counts=(), planned=1), tmp_path / "file")


def test_results_are_written_without_loading_matplotlib():
    """While the load runs, its half a second and its memory would be in the way."""
    code = f"import sys, {files.__name__}; print('matplotlib' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
