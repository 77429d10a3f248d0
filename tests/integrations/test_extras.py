"""An integration without its framework says what installs it."""

import pkgutil
import subprocess
import sys

import pytest

from alb_mixup import integrations
from tests.support import ROOT

NAMES = [module.name for module in pkgutil.iter_modules(integrations.__path__) if not module.name.startswith("_")]
# A framework that is not there, and one whose own imports fail.
IMPORT = """
import sys
import alb_mixup.errors  # before: AlbumentationsX itself imports torch
for name in ("torch", "torchvision", "transformers", "ultralytics", "rfdetr", "ray", "pyarrow"):
    sys.modules[name] = None
try:
    import alb_mixup.integrations.{name}
except alb_mixup.errors.InstallationError as error:
    print(error)
"""


def test_there_are_some():
    assert {"torch", "torchvision", "transformers", "ultralytics", "ray"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_framework_is_named_with_the_command_that_installs_it(name):
    done = subprocess.run(
        [sys.executable, "-c", IMPORT.format(name=name)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.endswith(f'pip install "alb-mixup[{name}]"\n')
    assert f'the {name} integration must find what it needs, got "' in done.stdout
    assert f"\n{name} = [" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
