"""How the documentation is built: `sphinx-build -W -n docs docs/_build`."""

import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE)]

import from_markdown  # noqa: E402
import stand_ins  # noqa: E402

import alb_mixup  # noqa: E402

project = "alb_mixup"
author = "The alb_mixup developers"
copyright = f"2026, {author}"
version = release = alb_mixup.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"alb_mixup {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False

# Pages are Markdown; notebooks are shown as they were kept, never run.
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_mime_priority_overrides = [  # a page has no kernel: the strip of mixes stands in for the sliders
    ("*", "image/jpeg", 0),
    ("*", "application/vnd.jupyter.widget-view+json", None),
]

# Docstrings: Google style with a little Markdown. Frameworks need not be installed.
stand_ins.stand_in_for("torch", "torchvision", "transformers", "ultralytics", "rfdetr", "ray", "fsspec", "pyarrow")
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 88
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Record", "Image types", "Targets", "Source", "Sources", "Example", "Supported bboxes"]
default_role = "py:obj"

# Names of other projects are not looked up: a build needs no network. Ours must resolve.
nitpick_ignore_regex = [(r"py:.*", r"(?s)(?!alb_mixup\.[\w.]+$).*")]

SHOWN_FROM_THE_ROOT = {  # page: the file that it shows
    "benchmarks": ROOT / "benchmarks" / "RESULTS.md",
    "does_it_pay": ROOT / "benchmarks" / "TRAINING.md",
    "changelog": ROOT / "CHANGELOG.md",
    "contributing": ROOT / "CONTRIBUTING.md",
}


def show_from_the_root(app, name, source):
    """Fill a page with a file that lies elsewhere."""
    if name in SHOWN_FROM_THE_ROOT:
        file = SHOWN_FROM_THE_ROOT[name]
        folder = Path("..", file.parent.relative_to(ROOT)).as_posix()
        source[0] = from_markdown.relinked(file.read_text(encoding="utf-8"), folder)


def rewrite_docstring(app, what, name, obj, options, lines):
    """Turn the Markdown of a docstring into what Sphinx reads, before Napoleon sees it."""
    lines[:] = from_markdown.docstring(lines)


def copy_notebooks(app):
    """Bring the notebooks where Sphinx finds them."""
    folder = HERE / "notebooks"
    folder.mkdir(exist_ok=True)
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        copied = folder / notebook.name
        if not copied.exists() or copied.read_bytes() != notebook.read_bytes():
            shutil.copyfile(notebook, copied)


def setup(app):
    """Connect the above."""
    app.connect("builder-inited", copy_notebooks)
    app.connect("source-read", show_from_the_root)
    app.connect("autodoc-process-docstring", rewrite_docstring, priority=100)
