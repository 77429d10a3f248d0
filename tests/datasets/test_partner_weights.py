"""What a law makes of annotations, beside the same by hand from the files, through whatever wraps a dataset."""

import json
import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alb_mixup import (
    Background,
    CachedDataset,
    ClassWeights,
    DiskCache,
    MosaicDataset,
    PseudoLabelDataset,
    RecentSamples,
    RepeatFactor,
    VocDataset,
    open_dataset,
)
from alb_mixup.datasets.annotations.image_classes import ImageClasses
from alb_mixup.datasets.partner_weights import Numbers, as_law, weights_to_draw_by
from alb_mixup.datasets.protocols import Sample, image_classes_of
from alb_mixup.errors import ArgumentError, SerializationError
from tests.support import layouts
from tests.support.samples import Reference, picture, sample
from tests.support.voc_files import add, voc_object

HELD = [["cat"], ["cat", "dog", "cat"], [], ["dog"], ["cat"], ["zebra"], [], ["cat", "zebra"], ["cat"], ["cat"]]


def repeat_factors(held, threshold):
    """By hand, as arXiv 1908.03195 has them: r(c) = max(1, sqrt(t / f(c))), an image the largest of its classes."""
    images_with = Counter(name for names in held for name in set(names))
    r = {name: max(1.0, math.sqrt(threshold / (count / len(held)))) for name, count in images_with.items()}
    return [max([r[name] for name in names], default=1.0) for names in held]


def class_weights(held, weights, default):
    return [max([weights.get(name, default) for name in names], default=default) for names in held]


def background(held, share):
    empty = sum(not names for names in held)
    return [share / empty if not names else (1 - share) / (len(held) - empty) for names in held]


LAWS = [
    (RepeatFactor(0.5), lambda held: repeat_factors(held, 0.5)),
    (RepeatFactor(1e-3), lambda held: repeat_factors(held, 1e-3)),
    (ClassWeights({"zebra": 4, "dog": 2.5}), lambda held: class_weights(held, {"zebra": 4, "dog": 2.5}, 1.0)),
    (ClassWeights({"cat": 0.0}, default=3.0), lambda held: class_weights(held, {"cat": 0.0}, 3.0)),
    (Background(0.2), lambda held: background(held, 0.2)),
    (Background(1), lambda held: background(held, 1.0)),
]


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    """Ten images in files, whose objects are those of `HELD`."""
    root = tmp_path_factory.mktemp("voc")
    for index, names in enumerate(HELD):
        add(root, f"{index}", *(voc_object(name, (3 + i, 4, 20 + i, 15)) for i, name in enumerate(names)))
    return VocDataset(root)


@pytest.fixture(autouse=True)
def no_image_is_read(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("an image was read")

    for name in ("read_image", "read_fitted_image", "image_size"):
        monkeypatch.setattr(f"alb_mixup.datasets.base.{name}", refuse)


def in_memory(held):
    return [{"image": None, "labels": names} for names in held]


@pytest.mark.parametrize(("law", "by_hand"), LAWS, ids=[repr(law) for law, _ in LAWS])
def test_a_law_is_what_its_source_says(law, by_hand, voc):
    np.testing.assert_allclose(law.weights_of(voc), by_hand(HELD), rtol=1e-12)
    np.testing.assert_allclose(law.weights_of(in_memory(HELD)), by_hand(HELD), rtol=1e-12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(held=st.lists(st.lists(st.sampled_from("abcde"), max_size=5), min_size=1, max_size=12))
def test_any_labels(held):
    np.testing.assert_allclose(RepeatFactor(0.7).weights_of(in_memory(held)), repeat_factors(held, 0.7), rtol=1e-12)
    found = image_classes_of(in_memory(held))
    expected = {name: sum(name in names for names in held) / len(held) for names in held for name in names}
    assert dict(zip(found.names, found.shares(), strict=True)) == pytest.approx(expected)
    chosen = [len(held) - 1, 0, 0]
    assert [list(part) for part in labels_of(found.at(chosen))] == [held[index] for index in chosen]
    both = ImageClasses.joined([found, ImageClasses.of_labels([["e", "x"], []])])
    assert labels_of(both) == [*held, ["e", "x"], []]


def labels_of(held):
    return [[held.names[number] for number in held.ids[a:b]] for a, b in pairwise(held.offsets)]


@pytest.mark.parametrize("layout", layouts.WRITERS)
@pytest.mark.parametrize("law", [RepeatFactor(0.9), Background(0.3)], ids=repr)
def test_every_layout_tells_its_classes(layout, law, tmp_path):
    dataset = open_dataset(layouts.WRITERS[layout](tmp_path / "set"))
    held = [dataset.annotations(index)["labels"] for index in range(len(dataset))]
    expected = repeat_factors(held, 0.9) if isinstance(law, RepeatFactor) else background(held, 0.3)
    np.testing.assert_allclose(law.weights_of(dataset), expected, rtol=1e-12)
    part = dataset.annotated()
    held = [names for names in held if names]
    np.testing.assert_allclose(RepeatFactor(0.9).weights_of(part), repeat_factors(held, 0.9), rtol=1e-12)


def test_lvis_numbers():
    """A class in 1 of 4,000 images, at the threshold of 0.001, has r = 2; one in 4 of them has r = 1."""
    weights = RepeatFactor().weights_of(in_memory([["rare"], *[["common"]] * 3999]))
    np.testing.assert_allclose(weights, [2.0, *[1.0] * 3999])


def test_through_caches_mosaics_and_recent_ones(voc, tmp_path, monkeypatch):
    law, expected = RepeatFactor(0.5), repeat_factors(HELD, 0.5)
    cached = CachedDataset(voc, 10**6)
    for dataset in (cached, MosaicDataset(voc), MosaicDataset(cached), CachedDataset(in_memory(HELD), 10**6)):
        np.testing.assert_allclose(law.weights_of(dataset), expected)
    monkeypatch.undo()  # a cache on disk reads images when it is built
    np.testing.assert_allclose(law.weights_of(DiskCache(voc, tmp_path / "images.cache")), expected)
    with pytest.raises(ArgumentError, match=r"dataset must tell the classes of its images .* got RecentSamples"):
        law.weights_of(RecentSamples())


def test_background_of_mosaics_is_refused_for_their_other_cells_have_boxes(voc):
    with pytest.raises(ArgumentError, match="stay without boxes for Background, got MosaicDataset"):
        Background(0.2).weights_of(MosaicDataset(CachedDataset(voc, 10**6)))
    one_cell = MosaicDataset(voc, (30, 40), grid=(1, 1))
    np.testing.assert_allclose(Background(0.2).weights_of(one_cell), background(HELD, 0.2))


def test_scores_of_pseudo_labels_do_not_matter(voc, tmp_path):
    coco = {
        "images": [{"id": number, "file_name": f"{number}.png"} for number in range(3)],
        "categories": [{"id": 7, "name": "cat"}],
    }
    (tmp_path / "set.json").write_text(json.dumps(coco))
    found = [{"image_id": 1, "category_id": 7, "bbox": [1, 1, 5, 5], "score": 0.4}]
    pseudo = PseudoLabelDataset(found, tmp_path / "set.json", voc.root / "JPEGImages")
    np.testing.assert_allclose(Background(0.5).weights_of(pseudo), background([[], ["cat"], []], 0.5))


def test_through_the_wrappers_of_torch(voc):
    data = pytest.importorskip("torch.utils.data")
    chosen = [7, 2, 5, 5, 0]
    part = data.Subset(voc, chosen)
    np.testing.assert_allclose(RepeatFactor(0.5).weights_of(part), repeat_factors([HELD[i] for i in chosen], 0.5))
    other = in_memory([["zebra"], ["ant"], [], ["cat"]])  # its classes in another order
    joined = data.ConcatDataset([CachedDataset(part, 10**6), other, voc])
    held = [HELD[i] for i in chosen] + [sample["labels"] for sample in other] + HELD
    for law, by_hand in LAWS:
        np.testing.assert_allclose(law.weights_of(joined), by_hand(held), rtol=1e-12)
    with pytest.raises(ArgumentError, match="stay without boxes for Background, got ConcatDataset"):
        Background(0.2).weights_of(data.ConcatDataset([voc, MosaicDataset(voc)]))
    with pytest.raises(ArgumentError, match=r"dataset must tell the classes of its images .* got Reference"):
        RepeatFactor().weights_of(data.ConcatDataset([voc, Reference([sample()])]))


def test_labels_in_memory_are_text_or_numbers_in_any_container():
    arrays = [{"labels": np.array([3, 8])}, {"labels": np.array(["cat"])}, {"labels": (8,)}, {"labels": []}]
    held = image_classes_of(arrays)
    assert (held.names, held.ids.tolist(), held.offsets.tolist()) == ((3, 8, "cat"), [0, 1, 2, 1], [0, 2, 3, 4, 4])
    assert ClassWeights({8: 5.0}).weights_of(arrays).tolist() == [5.0, 1.0, 5.0, 1.0]


class Own(Reference):
    """A dataset of the user's that knows its classes."""

    def image_classes(self):
        return ImageClasses.of_labels(HELD)


@pytest.mark.parametrize(
    ("dataset", "says"),
    [
        (
            Reference([sample()]),
            r"dataset must tell the classes of its images without reading them, got Reference: give",
        ),
        (
            [Sample({"image": picture()}, None)],
            r"dataset\[0\] must be a dict with the class of each box under 'labels'",
        ),
        ([sample(), picture()], r"dataset\[1\] must be a dict .* got ndarray"),
        ([{"labels": [["cat"]]}], r"dataset\[0\] must be a dict with the class of each box"),
        ([{"labels": "cat"}], r"dataset\[0\] must be a dict with the class of each box"),
    ],
)
def test_a_dataset_that_cannot_tell_is_refused_by_name(dataset, says):
    for law in (RepeatFactor(), ClassWeights({"cat": 2}), Background()):
        with pytest.raises(ArgumentError, match=says):
            law.weights_of(dataset)


def test_a_dataset_of_the_users_own_can_tell():
    dataset = Own([sample()] * len(HELD))
    np.testing.assert_allclose(RepeatFactor(0.5).weights_of(dataset), repeat_factors(HELD, 0.5))


def test_unknown_classes_are_refused_with_near_names(voc):
    with pytest.raises(ArgumentError, match="must name classes of the dataset, got 'zebras': did you mean 'zebra'"):
        ClassWeights({"zebras": 2.0}).weights_of(voc)
    with pytest.raises(ArgumentError, match="got 3: it has cat, dog, zebra"):
        ClassWeights({3: 2.0}).weights_of(voc)


def test_background_without_images_of_both_kinds_is_refused():
    with pytest.raises(ArgumentError, match="got none without among 2: "):
        Background().weights_of(in_memory([["cat"], ["dog"]]))
    with pytest.raises(ArgumentError, match="got none with among 2: "):
        Background().weights_of(in_memory([[], []]))


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: RepeatFactor(0), "threshold must be a share of images in"),
        (lambda: RepeatFactor(1.5), "threshold must be a share of images in"),
        (lambda: RepeatFactor("a"), "threshold must be a share of images in"),
        (lambda: ClassWeights({}), "weights must be a dict from class names"),
        (lambda: ClassWeights(["cat"]), "weights must be a dict from class names"),
        (lambda: ClassWeights({"cat": -1}), r"weights\['cat'\] must be a finite number"),
        (lambda: ClassWeights({"cat": math.inf}), r"weights\['cat'\] must be a finite number"),
        (lambda: ClassWeights({"cat": 1}, default=math.nan), "default must be a finite number"),
        (lambda: Background(1.1), "share must be a share of draws"),
        (lambda: as_law("repeat"), "partner_weights must be None, a law or one number for each sample, got 'repeat'"),
        (lambda: as_law(2.0), "partner_weights must be None, a law or one number"),
        (lambda: as_law([[1.0]]), "partner_weights must be None, a law or one number"),
        (lambda: as_law(["a"]), "partner_weights must be None, a law or one number"),
    ],
)
def test_values_are_checked_at_the_door(build, says):
    with pytest.raises(ArgumentError, match=says):
        build()


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        ([1.0, 2.0], "one number for each of 3 samples, got 2"),
        ([1.0, math.nan, 1.0], "must be finite numbers .* got nan at 1"),
        ([1.0, 1.0, math.inf], "must be finite numbers .* got inf at 2"),
        ([-1.0, 1.0, 1.0], "must be finite numbers of at least 0, not all of them 0, got -1 at 0"),
        ([0, 0, 0], "not all of them 0, got nothing but 0"),
        ([1e16, 1, 0], "at most 1e[+]15 times the smallest that is not 0, got 1 and 1e[+]16"),
    ],
)
def test_numbers_that_cannot_be_drawn_by_are_refused(numbers, says):
    with pytest.raises(ArgumentError, match=says):
        weights_to_draw_by(as_law(numbers), in_memory([["a"]] * 3))


def test_a_law_that_leaves_nothing_to_draw_is_refused(voc):
    with pytest.raises(ArgumentError, match="not all of them 0, got nothing but 0"):
        weights_to_draw_by(ClassWeights({"cat": 0, "dog": 0, "zebra": 0}, default=0), voc)


def test_a_dataset_that_miscounts_its_classes_is_refused():
    with pytest.raises(ArgumentError, match="one number for each of 3 samples, got 10: they follow the order"):
        weights_to_draw_by(RepeatFactor(), Own([sample()] * 3))


@pytest.mark.parametrize("law", [law for law, _ in LAWS], ids=repr)
def test_the_spec_of_a_law_is_small_plain_json(law):
    text = json.dumps(law.to_spec())
    assert len(text) < 100
    assert as_law(json.loads(text)) == law


def test_numbers_have_a_list_as_their_spec_and_a_short_repr():
    numbers = as_law(np.arange(100_000.0))
    assert repr(numbers) == "<100,000 numbers>"
    assert as_law(json.loads(json.dumps(numbers.to_spec()))).to_spec() == list(range(100_000))
    assert isinstance(numbers, Numbers)


@pytest.mark.parametrize("spec", [{"law": "Exec"}, {}, {"law": "RepeatFactor", "by": 2}, {"law": ["RepeatFactor"]}])
def test_a_spec_that_is_none_is_refused(spec):
    with pytest.raises(SerializationError, match="partner_weights must be a law, numbers, or what to_spec returned"):
        as_law(spec)
