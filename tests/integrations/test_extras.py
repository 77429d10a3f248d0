"""An integration without its framework says what installs it."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("framework", ["torch", "torchvision", "transformers", "rfdetr"])
def test_a_missing_framework_is_named_with_its_extra(framework):
    code = f"import sys; sys.modules[{framework!r}] = None; import alb_mixup.integrations.{framework}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("alb_mixup.errors.InstallationError: the ")
    assert f'pip install "alb-mixup[{framework}]"' in last or (framework != "torch" and "alb-mixup[torch]" in last)
