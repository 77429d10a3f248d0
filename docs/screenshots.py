"""Keep pictures of built pages: `python docs/screenshots.py SITE FOLDER`, desktop and phone, by a headless Chromium."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PAGES = (
    "index", "get_started", "bring_your_data", "weights", "architecture", "api/transform",
    "notebooks/01_explore_mixup", "notebooks/03_train_detr", "notebooks/05_which_rule",
)  # fmt: skip
# Chromium takes no window narrower than 500 pixels: a phone's page is framed.
WIDTHS = {"desktop": (1280, 1600), "phone": (390, 1400)}
FRAME = '<body style="margin:0"><iframe src="{}" style="border:0;width:{}px;height:{}px"></iframe></body>'


def shoot(browser: str, page: Path, picture: Path, size: tuple[int, int]) -> None:
    """Draw one page.

    Args:
        browser: Path of Chromium.
        page: The HTML file.
        picture: The PNG to write.
        size: (width, height) in pixels.
    """
    with tempfile.TemporaryDirectory() as folder:
        frame = Path(folder, "frame.html")
        frame.write_text(FRAME.format(page.resolve().as_uri(), *size), encoding="utf-8")
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
            "--hide-scrollbars", f"--user-data-dir={folder}/profile", f"--window-size={max(size[0], 500)},{size[1]}",
            f"--screenshot={picture.resolve()}", frame.as_uri(),
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    if not picture.exists():
        sys.exit(f"{picture} must be written, got nothing from {browser}: run it by hand")


def main(site: str, folder: str) -> None:
    """Draw all pages in all widths.

    Args:
        site: Where `sphinx-build` wrote to.
        folder: Where pictures go.
    """
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("chromium must be installed, got none: without it no pictures are kept")
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name in PAGES:
        for device, size in WIDTHS.items():
            picture = Path(folder, f"{name.replace('/', '-')}-{device}.png")
            shoot(browser, Path(site, f"{name}.html"), picture, size)


if __name__ == "__main__":
    main(*sys.argv[1:])
