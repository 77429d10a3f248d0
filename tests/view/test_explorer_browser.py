"""`explore` in a real browser: JupyterLab runs the first notebook's cell, a slider is moved, the picture changes.

Needs JupyterLab, Playwright's Python package and Chromium (CHROMIUM names it, where it is not on the path). The
screenshots are kept in the folder that CI_ARTIFACTS names.
"""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.support import ROOT

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("jupyterlab")
playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("Chromium is not installed", allow_module_level=True)

QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE = 120_000  # milliseconds that a slow machine may take for one step
PICTURE = ".jupyter-widgets.widget-image"
RATIO = ".jupyter-widgets.widget-slider:has-text('λ') [role=slider]"


@pytest.fixture
def lab(tmp_path):
    """JupyterLab over a folder that holds the first notebook's opening, without its outputs; its address."""
    notebook = nbformat.read(ROOT / "notebooks" / "01_explore_mixup.ipynb", as_version=4)
    (opening,) = [cell for cell in notebook.cells if "alb_mixup.explore(" in cell.source and cell.cell_type == "code"]
    opening.outputs, opening.execution_count = [], None
    notebook.cells = [opening]
    folder, settings = tmp_path / "notebooks", tmp_path / "settings" / "@jupyterlab" / "apputils-extension"
    folder.mkdir()
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')
    nbformat.write(notebook, folder / "explore.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--ip=127.0.0.1",
        f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}",
        "--ServerApp.port_retries=0",
    ]  # fmt: skip
    own = {"HOME": str(tmp_path), "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"), "PYTHONPATH": str(ROOT)}
    with (tmp_path / "lab.log").open("w") as log:
        server = subprocess.Popen(command, env=os.environ | own, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_for(f"http://127.0.0.1:{port}/api/status?token={token}", server, tmp_path / "lab.log")
            yield f"http://127.0.0.1:{port}/lab/tree/explore.ipynb?token={token}"
        finally:
            server.terminate()
            server.wait(30)


def wait_for(address, server, log):
    for _ in range(PATIENCE // 500):
        assert server.poll() is None, log.read_text()
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
            json.load(answer)
            return
        time.sleep(0.5)
    raise AssertionError(log.read_text())


# In the browser: keep the picture's pixels; later, the share of their values that have changed by more than 20 of 255.
PIXELS = """image => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
    const changed = window.kept ? pixels.filter((value, i) => Math.abs(value - window.kept[i]) > 20).length : 0;
    window.kept = pixels;
    return changed / pixels.length;
}"""


def test_sliders_move_the_picture(lab, tmp_path):
    artifacts = Path(os.environ.get("CI_ARTIFACTS", tmp_path))
    artifacts.mkdir(parents=True, exist_ok=True)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(PATIENCE)
        page.goto(lab, wait_until="domcontentloaded")
        page.locator(".jp-CodeCell .cm-content").first.click()
        page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for(state="attached")
        page.keyboard.press("Control+Enter")
        page.locator(PICTURE).wait_for()
        page.wait_for_function("selector => document.querySelector(selector).naturalWidth > 0", arg=PICTURE)
        picture = page.locator(PICTURE)
        before, unchanged = picture.get_attribute("src"), picture.evaluate(PIXELS)
        page.screenshot(path=artifacts / "explore-before.png")

        page.locator(RATIO).first.focus()
        for _ in range(5):
            page.keyboard.press("PageUp")
        page.wait_for_function(
            "([selector, before]) => document.querySelector(selector).src !== before", arg=[PICTURE, before]
        )
        page.wait_for_timeout(2000)  # for the last of the redraws
        changed = picture.evaluate(PIXELS)
        page.screenshot(path=artifacts / "explore-after.png")
        others = page.locator(".jupyter-widgets.widget-slider:not(:has-text('λ')) [role=slider]")
        assert others.count() > 1
        for slider in others.all():
            before = picture.get_attribute("src")
            slider.focus()
            page.keyboard.press("PageUp")
            page.wait_for_function(
                "([selector, before]) => document.querySelector(selector).src !== before", arg=[PICTURE, before]
            )
        readout = page.locator(".jupyter-widgets.widget-slider:has-text('λ') .widget-readout").first.inner_text()
        assert page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
        browser.close()
    assert unchanged == 0
    assert float(readout) > 0.5
    assert changed > 0.02
