"""A folder with data, for the code of the pages."""

import importlib
import shutil

import pytest

from tests.support.pages import add_hugging_face, make_folder


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("pages"))


@pytest.fixture
def folder(data, tmp_path, monkeypatch):
    """An empty folder but for the data, which a block may write to."""
    shutil.copytree(data, tmp_path, dirs_exist_ok=True)
    described = tmp_path / "path" / "to" / "yolo" / "data.yaml"
    described.write_text(described.read_text(encoding="utf-8").replace(str(data), str(tmp_path)), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def prepare(folder, monkeypatch):
    """Skip where a framework is missing; make it quiet, offline and small where it is there."""

    def ready(frameworks):
        found = {framework: pytest.importorskip(framework) for framework in frameworks}
        for name, value in {"YOLO_CONFIG_DIR": str(folder), "YOLO_OFFLINE": "true", "YOLO_VERBOSE": "false"}.items():
            monkeypatch.setenv(name, value)
        if "datasets" in found:
            add_hugging_face(folder)
        if "transformers" in found:
            models = importlib.import_module("tests.integrations.detectors.models")
            small = found["transformers"].RTDetrImageProcessor(size={"height": 64, "width": 64})
            for auto, made in (
                ("AutoImageProcessor", lambda: small),
                ("AutoModelForObjectDetection", models.rt_detr_v2),
            ):
                loading = getattr(found["transformers"], auto)
                monkeypatch.setattr(loading, "from_pretrained", lambda *_, made=made, **__: made())

    return ready
