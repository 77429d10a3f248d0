"""What tests share: samples, small datasets, and where the sources lie."""

from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
