"""Pipelines and replay records written down and read back."""

import copy
import json
import pickle

import albumentations as A
import numpy as np
import pytest

from alb_mixup import MixUp, VocDataset, sample_dataset
from alb_mixup.errors import SampleError, SerializationError
from tests.support.samples import LABEL_FIELDS, Reference, as_arrays, frozen, pipeline, same, sample
from tests.support.voc_files import add, picture, voc_object

RECORD = {"ratio", "reference_index", "seed"}
SETTINGS = {
    "alpha": (2.0, 5.0),
    "ratio_range": (0.1, 0.9),
    "fit_mode": "cover",
    "fill": (1, 2, 3),
    "fill_mask": 4,
    "interpolation": 2,
    "mask_interpolation": 1,
    "weighting": "none",
    "min_weight": 0.125,
    "metadata_key": "donors",
    "max_redraws": 3,
    "p": 0.75,
}  # every argument but weight_field, reference and reference_transform, none at its default


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    """Four small images of two classes, in files."""
    root = tmp_path_factory.mktemp("voc")
    for index in range(4):
        add(root, f"{index}", voc_object("cat"), voc_object("zebra", (5, 6, 30, 25)), image=picture(seed=index))
    return VocDataset(root)


@pytest.fixture(params=["sample_dataset", "VocDataset"])
def dataset(request, voc):
    return sample_dataset() if request.param == "sample_dataset" else voc


def flips():
    params = A.BboxParams("pascal_voc", label_fields=["labels"])
    return A.Compose([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)], bbox_params=params)


def run(mixer, dataset, calls=4):
    mixer.set_random_seed(11)
    return [mixer(**dataset[index % len(dataset)]) for index in range(calls)]


def leaves(value):
    """Everything in nested dicts, lists and tuples, keys included."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield key
            yield from leaves(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from leaves(part)
    else:
        yield value


def without_replay(out):
    return {key: value for key, value in out.items() if key != "replay"}


# --- A.to_dict, A.save --------------------------------------------------------------------------------------------


def dict_round_trip(mixer, _):
    return A.from_dict(A.to_dict(mixer))


def json_text_round_trip(mixer, _):
    return A.from_dict(json.loads(json.dumps(A.to_dict(mixer))))


def file_round_trip(data_format):
    def round_trip(mixer, folder):
        path = folder / f"pipeline.{data_format}"
        A.save(mixer, path, data_format=data_format)
        return A.load(path, data_format=data_format)

    return round_trip


ROUND_TRIPS = {
    "dict": dict_round_trip,
    "json text": json_text_round_trip,
    "json file": file_round_trip("json"),
    "yaml file": file_round_trip("yaml"),
}


@pytest.mark.parametrize("round_trip", ROUND_TRIPS.values(), ids=ROUND_TRIPS)
def test_a_round_trip_gives_the_same_seeded_output(round_trip, dataset, tmp_path):
    mixer = pipeline(MixUp(dataset, p=0.8), A.HorizontalFlip(p=0.5))
    assert same(run(round_trip(mixer, tmp_path), dataset), run(mixer, dataset))


@pytest.mark.parametrize("round_trip", ROUND_TRIPS.values(), ids=ROUND_TRIPS)
def test_a_round_trip_keeps_every_setting_and_the_reference_transform(round_trip, voc, tmp_path):
    mixer = pipeline(MixUp(voc, reference_transform=flips(), **SETTINGS))
    loaded = round_trip(mixer, tmp_path)
    for name in SETTINGS:
        assert getattr(loaded.transforms[0], name) == getattr(mixer.transforms[0], name), name
        assert getattr(loaded.transforms[0], name) != getattr(MixUp(voc), name), name
    assert same(run(loaded, voc), run(mixer, voc))


@pytest.mark.parametrize("weight_field", ["score", None])
def test_a_round_trip_keeps_the_weight_field(voc, weight_field):
    loaded = A.from_dict(A.to_dict(pipeline(MixUp(voc, weight_field=weight_field))))
    assert loaded.transforms[0].weight_field == weight_field


def test_a_round_trip_without_a_reference():
    donors = [sample(i, labels=(f"class {i}",)) for i in range(9)]
    mixer = pipeline(MixUp(p=1.0))
    loaded = A.from_dict(json.loads(json.dumps(A.to_dict(mixer))))
    outputs = []
    for one in (mixer, loaded):
        one.set_random_seed(3)
        outputs.append([one(**sample(), mixup_metadata=donors) for _ in range(4)])
    assert same(*outputs)


def test_the_dict_is_small_and_holds_plain_values_only(dataset):
    settings = {"fill": np.float64(3.0), "interpolation": np.int64(1), "alpha": (np.float32(2), 3), "p": np.float64(1)}
    described = A.to_dict(pipeline(MixUp(dataset, reference_transform=flips(), **settings)))
    assert {type(leaf) for leaf in leaves(described)} <= {str, int, float, bool, type(None)}
    assert len(json.dumps(described)) < 4000


def test_the_constructor_takes_the_spec_back(voc):
    spec = A.to_dict(MixUp(voc, p=1.0))["transform"]["reference"]
    rebuilt = MixUp(spec, p=1.0)
    assert isinstance(rebuilt.reference, VocDataset)
    assert same(run(pipeline(rebuilt), voc), run(pipeline(MixUp(voc, p=1.0)), voc))


def test_a_transform_alone_is_serialized_too(voc):
    loaded = A.from_dict(A.to_dict(MixUp(voc, alpha=7, p=1.0)))
    assert loaded.alpha == 7
    assert isinstance(loaded.reference, VocDataset)


@pytest.mark.parametrize("nested", [False, True])
def test_an_in_memory_reference_is_refused(nested, tmp_path):
    transform = MixUp([sample(1)])
    mixer = pipeline(A.OneOf([transform]) if nested else transform)
    says = r"reference must be file-backed to be serialized, got <in-memory list of 1 samples>: use VocDataset"
    with pytest.raises(SerializationError, match=says):
        A.to_dict(mixer)
    for data_format in ("json", "yaml"):
        path = tmp_path / f"pipeline.{data_format}"
        with pytest.raises(TypeError, match=says):
            A.save(mixer, path, data_format=data_format)
        assert not path.exists()


@pytest.mark.parametrize("make", [lambda s: [s], lambda s: Reference([s])], ids=["list", "sequence"])
def test_repr_is_short_and_holds_no_pixels(make, voc):
    image = np.full((40, 50, 3), 213, np.uint8)
    reference = make(sample(1, image=image))
    nested = A.OneOf([MixUp(reference, reference_transform=A.Compose([A.HorizontalFlip()]))])
    for one in (MixUp(reference), pipeline(MixUp(reference)), pipeline(nested), A.ReplayCompose([MixUp(reference)])):
        text = repr(one)
        assert "MixUp(" in text
        assert "of 1 samples" in text
        assert "213" not in text
        assert "array" not in text
        assert len(text) < 3000
    assert "VocDataset" in repr(pipeline(MixUp(voc)))


def test_repr_of_a_transform_shows_the_settings():
    text = repr(MixUp([sample(1)], alpha=(2, 3), fit_mode="cover", p=0.25))
    for part in ("alpha=[2.0, 3.0]", "fit_mode='cover'", "p=0.25", "weight_field='mixup_weight'"):
        assert part in text


# --- applied params -----------------------------------------------------------------------------------------------


def test_applied_params_are_the_record():
    reference = Reference([sample(i) for i in range(9)])
    mixer = pipeline(MixUp(reference, p=1.0), save_applied_params=True)
    mixer(**sample())
    record = mixer.transforms[0].get_applied_params()
    assert record.keys() == RECORD
    assert record["reference_index"] == reference.drawn[-1]
    assert 0 <= record["ratio"] <= 1
    assert json.loads(json.dumps(record)) == record


def test_applied_params_of_a_transform_not_applied_are_empty():
    mixer = pipeline(MixUp([sample(1)], p=0.0), save_applied_params=True)
    mixer(**sample())
    assert mixer.transforms[0].get_applied_params() == {}


def test_applied_transforms_in_the_output_hold_no_pixels():
    out = pipeline(MixUp([sample(1)], p=1.0), A.HorizontalFlip(p=1.0), save_applied_params=True)(**sample())
    applied = out["applied_transforms"]
    assert ["MixUp" in name for name, _ in applied] == [True, False]
    assert not any(isinstance(leaf, np.ndarray) for leaf in leaves(applied))


# --- replay -------------------------------------------------------------------------------------------------------


def replaying(*transforms, seed=2):
    params = A.BboxParams("pascal_voc", label_fields=list(LABEL_FIELDS))
    mixer = A.ReplayCompose(list(transforms), bbox_params=params)
    mixer.set_random_seed(seed)
    return mixer


def mixup_record(replay):
    """The first transform's record, out of AlbumentationsX's envelope."""
    params = replay["transforms"][0]["params"]
    return params.get("params", params)


REFERENCES = {
    "list": lambda: [sample(i, labels=(f"class {i}",)) for i in range(9)],
    "arrays": lambda: [as_arrays(sample(i, labels=(f"class {i}",))) for i in range(9)],
    "sequence": lambda: Reference([sample(i, labels=(f"class {i}",)) for i in range(9)]),
    "files": sample_dataset,
}


@pytest.mark.parametrize("transform", [None, flips], ids=["plain", "reference_transform"])
@pytest.mark.parametrize("make", REFERENCES.values(), ids=REFERENCES)
def test_replay_in_the_same_process_takes_any_reference(make, transform):
    mixup = MixUp(make(), reference_transform=transform and transform(), p=1.0)
    mixer = replaying(mixup, A.HorizontalFlip(p=0.5))
    for seed in range(4):
        out = mixer(**sample(20 + seed))
        mixer(**sample(99))  # what comes after must not matter
        again = A.ReplayCompose.replay(out["replay"], **sample(20 + seed))
        assert same(without_replay(again), without_replay(out))


def test_replay_of_another_image_takes_the_same_partner_and_ratio():
    reference = [sample(i, labels=(f"class {i}",)) for i in range(9)]
    out = replaying(MixUp(reference, p=1.0))(**sample(20, labels=("cat",)))
    box = [[4.0, 5.0, 9.0, 9.0]]  # AlbumentationsX wants the recorded label, though
    again = A.ReplayCompose.replay(out["replay"], **sample(21, labels=("cat",), bboxes=box))
    assert again["labels"] == out["labels"]
    assert again["mixup_weight"] == out["mixup_weight"]
    np.testing.assert_allclose(again["bboxes"][0], box[0], atol=1e-4)
    assert same(again["bboxes"][1], out["bboxes"][1])
    assert not same(again["image"], out["image"])


def test_replay_of_a_mixup_that_was_not_applied():
    out = replaying(MixUp([sample(1)], p=0.0), A.HorizontalFlip(p=1.0))(**sample())
    again = A.ReplayCompose.replay(out["replay"], **sample())
    assert same(without_replay(again), without_replay(out))


def test_replay_of_two_mixups():
    references = [[sample(i, labels=(f"{name} {i}",)) for i in range(9)] for name in ("first", "second")]
    mixer = replaying(*(MixUp(reference, p=0.7) for reference in references))
    for seed in range(6):
        out = mixer(**sample(20 + seed))
        again = A.ReplayCompose.replay(out["replay"], **sample(20 + seed))
        assert same(without_replay(again), without_replay(out))


def test_replay_inside_one_of():
    reference = [sample(i, labels=(f"class {i}",)) for i in range(9)]
    mixer = replaying(A.OneOf([MixUp(reference, p=1.0), A.HorizontalFlip(p=1.0)], p=1.0))
    for seed in range(6):
        out = mixer(**sample(20 + seed))
        again = A.ReplayCompose.replay(out["replay"], **sample(20 + seed))
        assert same(without_replay(again), without_replay(out))


@pytest.mark.parametrize("through_json", [False, True])
def test_replay_with_donors_given_again(through_json):
    donors = [sample(i, labels=(f"class {i}",)) for i in range(9)]
    out = replaying(MixUp(p=1.0, reference_transform=flips()))(**sample(), mixup_metadata=donors)
    record = json.loads(json.dumps(out["replay"])) if through_json else out["replay"]
    again = A.ReplayCompose.replay(record, **sample(), mixup_metadata=donors)
    assert same(without_replay(again), without_replay(out))


def test_replay_with_fewer_donors_says_so():
    donors = [sample(i) for i in range(9)]
    mixer = replaying(MixUp(p=1.0))
    out = mixer(**sample(), mixup_metadata=donors)
    while mixup_record(out["replay"])["reference_index"] == 0:
        out = mixer(**sample(), mixup_metadata=donors)
    with pytest.raises(SampleError, match=r"replayed reference_index must be below 1, got .* give those"):
        A.ReplayCompose.replay(out["replay"], **sample(), mixup_metadata=donors[:1])


@pytest.mark.parametrize("transform", [None, flips], ids=["plain", "reference_transform"])
def test_a_saved_record_of_files_is_replayed(dataset, transform):
    mixer = replaying(MixUp(dataset, reference_transform=transform and transform(), p=1.0), A.HorizontalFlip(p=0.5))
    for index in range(3):
        out = mixer(**dataset[index])
        again = A.ReplayCompose.replay(json.loads(json.dumps(out["replay"])), **dataset[index])
        assert same(without_replay(again), without_replay(out))


def test_the_record_holds_what_was_drawn_and_nothing_else():
    reference = [as_arrays(sample(i)) for i in range(9)]
    out = replaying(MixUp(reference, reference_transform=flips(), p=1.0))(**sample())
    assert mixup_record(out["replay"]).keys() == RECORD
    assert not any(isinstance(leaf, np.ndarray) for leaf in leaves(out["replay"]))
    assert len(repr(out["replay"])) < 4000


def test_a_record_is_copied_without_the_reference():
    reference = Reference([sample(i) for i in range(9)])
    out = replaying(MixUp(reference, reference_transform=flips(), p=1.0))(**sample())
    record = copy.deepcopy(out["replay"])
    again = A.ReplayCompose.replay(record, **sample())
    assert same(without_replay(again), without_replay(out))
    assert all(leaf is not reference for leaf in leaves(record))
    assert len(reference.drawn) == 2  # the second time by the copy: it refers to the reference itself
    assert reference.drawn[0] == reference.drawn[1]


def test_a_record_of_an_in_memory_reference_is_not_written_down():
    replay = replaying(MixUp([sample(1)], p=1.0))(**sample())["replay"]
    with pytest.raises(TypeError):
        json.dumps(replay)
    with pytest.raises(SerializationError, match="reference must be file-backed to be serialized"):
        pickle.dumps(replay)


# --- pickle -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copied", [lambda one: pickle.loads(pickle.dumps(one)), copy.deepcopy], ids=["pickle", "deep"])
def test_a_copy_continues_the_stream(copied):
    reference = [sample(i, labels=(f"class {i}",)) for i in range(20)]
    mixer = pipeline(MixUp(reference, reference_transform=flips(), p=0.8), MixUp(reference), A.HorizontalFlip(), seed=4)
    for _ in range(3):
        mixer(**sample())
    twin = copied(mixer)
    assert same([twin(**sample()) for _ in range(6)], [mixer(**sample()) for _ in range(6)])


def test_a_copy_of_an_unused_pipeline_runs_as_the_original():
    mixer = pipeline(MixUp([sample(i, labels=(f"class {i}",)) for i in range(20)], p=1.0), seed=4)
    twin = pickle.loads(pickle.dumps(mixer))
    assert same([twin(**sample()) for _ in range(6)], [mixer(**sample()) for _ in range(6)])


def test_a_pickle_holds_no_sample_that_was_drawn():
    reference = sample_dataset()
    mixer = pipeline(MixUp(reference, p=1.0), save_applied_params=True)
    before = len(pickle.dumps(mixer))
    mixer(**reference[0])
    assert len(pickle.dumps(mixer)) < before + 20_000  # an image of the sample has 900,000 bytes


def test_a_records_dict_survives_its_transform(voc):
    """The record is data: what the transform does later does not change it."""
    mixer = replaying(MixUp(voc, p=1.0))
    out = mixer(**voc[0])
    before = frozen(out["replay"])
    for index in range(3):
        mixer(**voc[index])
    assert same(out["replay"], before)
