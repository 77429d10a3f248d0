import json
import pickle

import pytest
import yaml

from alb_mixup.datasets import VocDataset, from_spec, sample_dataset
from alb_mixup.errors import DatasetError, SerializationError
from tests.support.voc_files import add, add_split, voc_object


@pytest.fixture
def root(tmp_path):
    add(tmp_path, "a", voc_object("cat"), voc_object("dog", extra="<difficult>1</difficult>"))
    add(tmp_path, "b")
    add_split(tmp_path, "train", "b\na\n")
    return tmp_path


def same(one, other):
    assert type(one) is type(other)
    assert repr(one) == repr(other)
    assert one.classes == other.classes
    assert one.to_spec() == other.to_spec()
    for number in range(len(one)):
        assert one.image_path(number) == other.image_path(number)
        assert one.annotations(number)["labels"] == other.annotations(number)["labels"]


THROUGH = [lambda spec: json.loads(json.dumps(spec)), lambda spec: yaml.safe_load(yaml.safe_dump(spec))]


@pytest.mark.parametrize("through", THROUGH)
@pytest.mark.parametrize("annotated", [False, True])
@pytest.mark.parametrize(
    "arguments",
    [{}, {"split": "train"}, {"classes": ["dog", "cat"], "keep_difficult": True}, {"on_invalid": "raise"}],
)
def test_round_trip(root, through, annotated, arguments):
    dataset = VocDataset(root, **arguments)
    dataset = dataset.annotated() if annotated else dataset
    same(from_spec(through(dataset.to_spec())), dataset)


def test_a_relative_root_is_written_absolute(root, monkeypatch):
    monkeypatch.chdir(root)
    assert VocDataset(".").to_spec()["root"] == root.as_posix()


@pytest.mark.parametrize("through", THROUGH)
def test_the_sample_names_no_folder(through):
    assert sample_dataset().to_spec() == {"dataset": "sample"}
    part = sample_dataset().annotated()
    assert part.to_spec() == {"dataset": "sample", "annotated": True}
    same(from_spec(through(part.to_spec())), part)
    assert pickle.loads(pickle.dumps(part)).to_spec() == part.to_spec()


def test_writing_to_a_spec_changes_no_dataset(root):
    dataset = VocDataset(root, classes=["dog", "cat"])
    dataset.to_spec()["classes"].clear()
    assert dataset.to_spec()["classes"] == ["dog", "cat"]


@pytest.mark.parametrize("spec", [{}, {"dataset": "os.system"}, {"dataset": ["VocDataset"]}, {"dataset": None}])
def test_unknown_dataset(spec):
    with pytest.raises(SerializationError, match=r"spec\['dataset'\] must be one of .*'VocDataset', .*, got"):
        from_spec(spec)


@pytest.mark.parametrize("spec", [None, "VocDataset", [1]])
def test_not_a_spec(spec):
    with pytest.raises(SerializationError, match="spec must be a dict that to_spec returned, got"):
        from_spec(spec)


@pytest.mark.parametrize("spec", [{"dataset": "VocDataset"}, {"dataset": "sample", "root": "/tmp"}])
def test_arguments_that_do_not_fit(spec):
    with pytest.raises(SerializationError, match=f"spec must fit {spec['dataset']}, got "):
        from_spec(spec)


def test_a_folder_that_has_moved(tmp_path):
    with pytest.raises(DatasetError, match=r"root must be a folder, got .*/gone, which does not exist"):
        from_spec({"dataset": "VocDataset", "root": str(tmp_path / "gone")})
