"""The notebooks are stored with their outputs, and a new run ends in the same ones."""

import math
import re
from pathlib import Path

import nbformat
import pytest

from tools.notebooks import FOLDER, PATHS, executed

NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def code(book: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in book.cells if cell.cell_type == "code"]


def kinds(cell: nbformat.NotebookNode) -> list[tuple[str, ...]]:
    """Of each output its stream, or what it can be shown as."""
    return [
        (o.name,) if o.output_type == "stream" else (o.output_type, *sorted(o.get("data", ()))) for o in cell.outputs
    ]


def text(cell: nbformat.NotebookNode) -> str:
    parts = [o.text if o.output_type == "stream" else o.get("data", {}).get("text/plain", "") for o in cell.outputs]
    return "\n".join(
        line for line in "".join(parts).splitlines() if "img/s" not in line and "figure size" not in line.lower()
    )


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_they_are_stored_whole_and_define_nothing(path):
    cells = code(nbformat.read(path, as_version=4))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    lines = [line for cell in cells for line in cell.source.splitlines()]
    assert not [line for line in lines if line.lstrip().startswith(("def ", "class "))]
    stored = path.read_text()
    assert "Traceback" not in stored
    assert str(Path.home()) not in stored
    assert str(FOLDER.parent) not in stored


@pytest.mark.notebook
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_new_run_ends_in_what_is_stored(path):
    """Word for word, and number for number to 2 %: another processor may round otherwise."""
    new, stored = code(executed(path)), code(nbformat.read(path, as_version=4))
    for cell, kept in zip(new, stored, strict=True):
        assert kinds(cell) == kinds(kept), cell.source
        assert NUMBER.sub("#", text(cell)) == NUMBER.sub("#", text(kept)), cell.source
        numbers = zip(NUMBER.findall(text(cell)), NUMBER.findall(text(kept)), strict=True)
        apart = [(a, b) for a, b in numbers if not math.isclose(float(a), float(b), rel_tol=0.02, abs_tol=0.5)]
        assert not apart, cell.source
