"""What must hold before Albumentations is imported (no look-up of newer versions, no telemetry), and repeatable CI."""

import os
import signal
import sys
from importlib.util import find_spec

import pytest
from hypothesis import settings

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
os.environ["ALBUMENTATIONS_NO_TELEMETRY"] = "1"

# What a script starts in the background ignores Ctrl-C, and so would the programs that tests start, and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    settings.load_profile("ci")


def pytest_configure(config):
    """Frameworks leave files open, and the test that runs while they are collected as garbage would fail for it."""
    if any(find_spec(framework) for framework in ("ray", "torchvision", "transformers", "ultralytics")):
        config.addinivalue_line("filterwarnings", "ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def seeded():
    """Frameworks draw crops, flips and initial weights from PyTorch's global generator: each test, the same ones."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
