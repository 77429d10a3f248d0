"""Runs the notebooks from a clean kernel: `python -m tests.support.notebooks [NAME ...]` keeps what they show."""

import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tests.support import ROOT

FOLDER = ROOT / "notebooks"


def run(path, folder):
    """Run a copy of a notebook in an empty folder; return it with its outputs."""
    copied = Path(shutil.copy(path, folder))
    notebook = nbformat.read(copied, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    # Without the widgets' state, viewers show the static picture of a cell with widgets.
    NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        store_widget_state=False,
        record_timing=False,
        coalesce_streams=True,
    ).execute()
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            # names the widgets of a kernel that has gone
            if "image/jpeg" in output.get("data", {}):
                output["data"].pop("text/plain", None)
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"], "language_info": {"name": "python"}}
    return notebook


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(path.name for path in FOLDER.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(run(FOLDER / name, folder), FOLDER / name)
