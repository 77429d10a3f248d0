"""What must hold whatever comes: one property for each way in which a row has once come out wrong, and MixUp's laws."""

import copy
import re

import albumentations as A
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from alb_mixup import CachedDataset, MixUp
from alb_mixup.errors import SampleError
from tests.oracle import BBOX_FORMATS, FIT_MODES, from_pixels, mix, rounding_is_ambiguous, to_pixels
from tests.support.samples import LABEL_FIELDS, Reference, keypoint_params, mixing, pipeline, record_of

small = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
formats, fit_modes = st.sampled_from(BBOX_FORMATS), st.sampled_from(FIT_MODES)
ratios = st.sampled_from([0.0, 0.25, 0.5, 0.7, 1.0])


@st.composite
def samples(draw, least=0, **more):
    """A sample in pascal_voc: boxes between pixels, masks, and points that name their boxes."""
    height, width = draw(st.integers(8, 30)), draw(st.integers(8, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(least, 4))
    low = rng.integers(0, 4, (count, 2))
    corners = np.hstack([low, rng.integers(low + 2, 8)]) / 8 * (width, height, width, height) + 0.125
    owners = rng.integers(-1, count, draw(st.integers(0, 4)))
    return {
        "image": rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        "bboxes": corners.astype(np.float32),
        "labels": [f"{rng.integers(2**31)}" for _ in range(count)],
        "mixup_weight": rng.uniform(0.3, 1, count).astype(np.float32),
        "masks": rng.integers(0, 256, (count, height, width), dtype=np.uint8),
        "keypoints": rng.uniform(0, 7, (len(owners), 2)).astype(np.float32),
        "parts": [f"of {owner}" for owner in owners],
        "keypoint_boxes": owners,
    } | more


def only(sample, *keys):
    return {key: copy.deepcopy(sample[key]) for key in keys}


def with_boxes(sample, bbox_format="pascal_voc"):
    """Image, boxes in a format, labels and weights."""
    rows = [from_pixels(box, bbox_format, *sample["image"].shape[:2]) for box in sample["bboxes"]]
    return only(sample, "image", *LABEL_FIELDS) | {"bboxes": np.array(rows, np.float32).reshape(-1, 4)}


def corners_of(out, bbox_format="pascal_voc"):
    rows = [to_pixels(box, bbox_format, *out["image"].shape[:2]) for box in out["bboxes"]]
    return np.array(rows).reshape(-1, 4)


def everything(reference, **options):
    """A pipeline of one MixUp for boxes, masks and points, which may be outside of the image."""
    fields = keypoint_params(label_fields=("parts", "keypoint_boxes"))
    fields.remove_invisible = False
    return pipeline(MixUp(reference, p=1.0, **options), keypoint_params=fields)


def telling(primary, partner, fit_mode):
    assume(not rounding_is_ambiguous(primary["image"].shape[:2], partner["image"].shape[:2], fit_mode))


# --- the kinds ----------------------------------------------------------------------------------------------------


@small
@given(samples(), samples(), formats, formats, formats, fit_modes, ratios)
def test_a_transform_in_two_pipelines_is_each_ones_own(primary, partner, one, other, held, fit_mode, ratio):
    telling(primary, partner, fit_mode)
    mixup = MixUp(Reference([with_boxes(partner, held)], held), ratio_range=(ratio, ratio), fit_mode=fit_mode, p=1.0)
    pipelines = {name: pipeline(mixup, bbox_format=name) for name in (one, other)}
    wanted = mix(with_boxes(primary), with_boxes(partner), ratio, fit_mode)
    for name in (one, other, one):
        out = pipelines[name](**with_boxes(primary, name))
        assert list(out["labels"]) == wanted["labels"]
        np.testing.assert_allclose(corners_of(out, name), wanted["bboxes"], atol=0.01)


@small
@given(samples(least=1), samples(least=1), samples(least=1), fit_modes, st.booleans())
def test_positions_point_to_their_own_boxes(primary, partner, third, fit_mode, numbered):
    fields = [*LABEL_FIELDS, "box_id"] if numbered else LABEL_FIELDS
    given = [sample | {"box_id": np.arange(len(sample["labels"]))} for sample in (primary, partner, third)]
    for sample in given:  # a point's name says whose it is
        owners = sample["keypoint_boxes"]
        sample["parts"] = [sample["labels"][owner] if owner >= 0 else "nobody" for owner in owners]
    donors = [[sample] for sample in given[1:]]
    points = keypoint_params(label_fields=("parts", "keypoint_boxes"))
    points.remove_invisible = False
    options = {"fit_mode": fit_mode, "p": 1.0, "index_fields": ["keypoint_boxes", "box_id"], "min_weight": 0.25}
    mixups = [MixUp(donor, ratio_range=(0.5, 0.5), **options) for donor in donors]
    out = pipeline(*mixups, label_fields=fields, keypoint_params=points)(**given[0])
    numbers = out["box_id"] if numbered else range(len(out["labels"]))
    names = dict(zip(map(int, numbers), out["labels"], strict=True))
    for part, number in zip(out["parts"], out["keypoint_boxes"], strict=True):
        assert names.get(int(number), "nobody") == part


@small
@given(samples(), samples(), fit_modes, ratios, st.floats(0, 1))
def test_what_belongs_to_a_box_goes_with_it(primary, partner, fit_mode, ratio, min_weight):
    telling(primary, partner, fit_mode)
    partner["labels"] = [f"their {label}" for label in partner["labels"]]
    drawn = [only(sample, "image", "bboxes", *LABEL_FIELDS, "masks") for sample in (primary, partner)]
    wanted = mix(*drawn, ratio, fit_mode, min_weight=min_weight)
    weights = np.concatenate([primary["mixup_weight"] * ratio, partner["mixup_weight"] * (1 - ratio)])
    assume((np.abs(weights - min_weight) > 1e-4).all())
    options = {"ratio_range": (ratio, ratio), "fit_mode": fit_mode, "min_weight": min_weight}
    out = everything([partner], **options)(**primary)
    assert list(out["labels"]) == wanted["labels"]
    assert len(out["masks"]) == len(wanted["masks"]) == len(out["labels"])
    for got, mask in zip(out["masks"], wanted["masks"], strict=True):
        assert np.array_equal(got, mask)
    owned = sum(
        owner < 0 or sample["labels"][owner] in wanted["labels"]
        for sample in (primary, partner)
        for owner in sample["keypoint_boxes"]
    )
    assert len(out["keypoints"]) == len(out["keypoint_boxes"]) == owned


@small
@given(samples(), samples(), formats, formats, fit_modes, st.sampled_from(["held", "cached", "subset", "concat"]))
def test_boxes_are_read_in_the_format_that_their_dataset_says(primary, partner, here, held, fit_mode, wrapper):
    telling(primary, partner, fit_mode)
    reference = Reference([with_boxes(partner, held)], held)
    if wrapper == "cached":
        reference = CachedDataset(reference, 10**7)
    elif wrapper != "held":
        data = pytest.importorskip("torch.utils.data")
        reference = data.Subset(reference, [0]) if wrapper == "subset" else data.ConcatDataset([reference])
    out = mixing(reference, bbox_format=here, fit_mode=fit_mode)(**with_boxes(primary, here))
    wanted = mix(with_boxes(primary), with_boxes(partner), 0.75, fit_mode)
    np.testing.assert_allclose(corners_of(out, here), wanted["bboxes"], atol=0.01)


@small
@given(samples(), samples(), fit_modes, st.sampled_from(["image", "bboxes", "masks", "keypoints", "labels", "parts"]))
def test_a_target_that_the_partner_lacks_is_named(primary, partner, fit_mode, lacking):
    filled = partner["labels"] if lacking == "labels" else partner["parts"]
    assume(lacking not in {"labels", "parts"} or len(filled))
    held = {key: value for key, value in partner.items() if key != lacking}
    with pytest.raises(SampleError, match=f"got no {lacking!r}"):
        everything([held], fit_mode=fit_mode)(**primary)


@small
@given(st.integers(1, 4), st.integers(1, 4), fit_modes, ratios)
def test_a_clip_is_mixed_frame_by_frame_or_refused(ours, theirs, fit_mode, ratio):
    rng = np.random.default_rng(ours)
    clip, other = (rng.integers(0, 256, (frames, 9, 12, 3), dtype=np.uint8) for frames in (ours, theirs))
    mixer = A.Compose([MixUp([{"images": other}], ratio_range=(ratio, ratio), fit_mode=fit_mode, p=1.0)])
    if ours != theirs:
        with pytest.raises(SampleError, match="as many frames"):
            mixer(images=clip)
        return
    exact = ratio * clip.astype(np.float64) + (1 - ratio) * other
    assert np.abs(mixer(images=clip)["images"] - exact).max() <= 0.5 + 1e-4


@small
@given(st.integers(-(2**40), 2**40), st.integers(-(2**40), 2**40), st.booleans(), st.booleans())
def test_a_whole_number_comes_out_as_it_was_or_not_at_all(ours, theirs, our_array, their_array):
    def one(label, as_array):
        labels = np.array([label]) if as_array else [label]
        return {"image": np.zeros((8, 8, 3), np.uint8), "bboxes": [[1, 1, 5, 5]], "labels": labels}

    def weighted(sample):
        return sample | {"mixup_weight": [1.0]}

    try:
        out = mixing([weighted(one(theirs, their_array))])(**weighted(one(ours, our_array)))
    except SampleError:
        refused = True
    else:
        refused = False
        assert [int(label) for label in out["labels"]] == [ours, theirs]
    assert not refused or max(abs(ours), abs(theirs)) >= 2**24


@small
@given(st.integers(0, 2**31), st.integers(0, 3), st.integers(0, 3))
def test_ranks_that_are_seeded_alike_draw_differently(seed, one, other):
    def draws(rank, world_size=4):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RANK", str(rank))
            patch.setenv("WORLD_SIZE", str(world_size))
            mixup = MixUp([{"image": np.zeros((4, 4, 3), np.uint8)}] * 50, p=1.0)
            mixer = A.Compose([mixup], seed=seed, save_applied_params=True)
            return [mixer(image=np.zeros((4, 4, 3), np.uint8)) and record_of(mixup)["ratio"] for _ in range(3)]

    assert draws(one) == draws(one)
    assert (draws(one) == draws(other)) == (one == other)
    assert draws(0, world_size=1) == draws(1, world_size=1)


FORM = re.compile(r"^\S.* (must|needs) .+, got .+[^.]$", re.DOTALL)


@small
@given(
    samples(least=1),
    st.sampled_from(["image", "bboxes", "labels", "mixup_weight", "masks", "keypoints", "keypoint_boxes"]),
    st.sampled_from([None, 3, "text", [], [[1.0]], np.zeros((2, 2, 2, 2)), [np.nan], [[1.0, 2.0], [3.0]]]),
)
def test_a_partner_that_makes_no_sense_is_refused_in_one_form(partner, key, nonsense):
    primary = copy.deepcopy(partner)
    try:
        everything([partner | {key: nonsense}])(**primary)
    except SampleError as error:
        message = str(error)
    else:
        return
    assert FORM.match(message)


# --- the laws -----------------------------------------------------------------------------------------------------


@small
@given(samples(), samples(), fit_modes)
def test_a_share_of_one_is_the_identity_on_the_primary(primary, partner, fit_mode):
    out = mixing([partner], ratio_range=(1.0, 1.0), fit_mode=fit_mode)(**with_boxes(primary))
    count, (height, width) = len(primary["labels"]), primary["image"].shape[:2]
    assert np.array_equal(out["image"][:height, :width], primary["image"])
    np.testing.assert_allclose(corners_of(out)[:count], primary["bboxes"], atol=0.01)
    np.testing.assert_allclose(out["mixup_weight"][:count], primary["mixup_weight"], atol=1e-6)
    assert not np.any(out["mixup_weight"][count:])


@small
@given(samples(), samples(), fit_modes)
def test_a_share_of_nothing_is_the_partner(primary, partner, fit_mode):
    partner["image"] = np.resize(partner["image"], primary["image"].shape)
    partner["bboxes"] = primary["bboxes"][: len(partner["labels"])]
    assume(len(partner["bboxes"]) == len(partner["labels"]))
    out = mixing([partner], ratio_range=(0.0, 0.0), fit_mode=fit_mode)(**with_boxes(primary))
    count = len(primary["labels"])
    assert np.array_equal(out["image"], partner["image"])
    np.testing.assert_allclose(corners_of(out)[count:], partner["bboxes"], atol=0.01)
    np.testing.assert_allclose(out["mixup_weight"][count:], partner["mixup_weight"], atol=1e-6)
    assert not np.any(out["mixup_weight"][:count])


@small
@given(samples(), samples(), st.integers(0, 64))
def test_images_and_shares_may_be_swapped(primary, partner, share):
    forth, back = (
        mixing([other], ratio_range=(ratio, ratio), fit_mode="canvas")(**with_boxes(one))
        for one, other, ratio in ((primary, partner, share / 64), (partner, primary, 1 - share / 64))
    )
    assert np.array_equal(forth["image"], back["image"])
    assert list(forth["labels"]) == [*primary["labels"], *partner["labels"]]
    assert list(back["labels"]) == [*partner["labels"], *primary["labels"]]
    assert sorted(np.round(forth["mixup_weight"], 6)) == sorted(np.round(back["mixup_weight"], 6))


@small
@given(samples(), samples(), st.sampled_from(["contain", "stretch", "canvas"]), ratios, formats)
def test_no_box_is_lost(primary, partner, fit_mode, ratio, bbox_format):
    mixer = mixing([with_boxes(partner, bbox_format)], bbox_format=bbox_format, ratio_range=(ratio, ratio),
                   fit_mode=fit_mode)  # fmt: skip
    out = mixer(**with_boxes(primary, bbox_format))
    assert list(out["labels"]) == [*primary["labels"], *partner["labels"]]
    assert len(out["bboxes"]) == len(out["mixup_weight"]) == len(out["labels"])
