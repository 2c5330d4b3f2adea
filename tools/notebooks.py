"""Run the notebooks and store them with what they print and draw.

``python -m tools.notebooks`` writes all of notebooks/; tests/test_notebooks.py holds what is stored against a new run.
"""

import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))


def executed(path: Path) -> nbformat.NotebookNode:
    """Run a notebook from its first cell on, beside results/ in a folder that is thrown away.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised, or took more than ten minutes.
    """
    book = nbformat.read(path, as_version=4)
    about = {"kernelspec": book.metadata.kernelspec, "language_info": {"name": "python"}}
    with tempfile.TemporaryDirectory() as there:
        (Path(there) / "results").symlink_to(FOLDER.parent / "results")
        here = Path(there) / "notebooks"
        here.mkdir()
        about_it = {"metadata": {"path": str(here)}}
        NotebookClient(book, timeout=600, record_timing=False, coalesce_streams=True, resources=about_it).execute()
    book.metadata = nbformat.from_dict(about)  # without the version of this Python
    return book


def main() -> None:
    """Store all of them."""
    for path in PATHS:
        nbformat.write(executed(path), path)
        print(path.name)


if __name__ == "__main__":
    main()
