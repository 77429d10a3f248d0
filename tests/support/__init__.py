"""What tests share: samples, small datasets, and where the sources lie."""

from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def tree(root):
    """All files of a folder and their bytes, hidden ones too."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
