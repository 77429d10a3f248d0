"""Decoding no more than it takes to place an image: same annotations, near pixels, same orientation."""

import json

import albumentations as A
import cv2
import numpy as np
import pytest
from PIL import Image

from alb_mixup import MixUp, VocDataset, sample_dataset
from alb_mixup.datasets.images.decode import read_fitted_image, read_image
from alb_mixup.errors import ArgumentError, ImageReadError
from alb_mixup.functional.fit import Fit
from tests.datasets.images.test_decode import save_with_pillow
from tests.support.photos import SIZE, photograph, photographs, psnr, write_jpeg
from tests.support.samples import keypoint_params, pipeline, record_of, same
from tests.support.voc_files import add, picture, save, voc_object


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp("photos"), masks=True, keypoints=True)


@pytest.fixture
def flags(monkeypatch):
    """The flags of every decoding."""
    used = []
    decode = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda data, flag: used.append(flag) or decode(data, flag))
    return used


def read_as(path, size, wanted):
    return read_fitted_image(path, size, lambda whole: wanted)


@pytest.mark.parametrize(
    ("wanted", "decoded"),
    [
        ((480, 640), (480, 640)),
        ((481, 640), (960, 1280)),
        ((480, 641), (960, 1280)),
        ((241, 10), (480, 640)),
        ((240, 320), (240, 320)),
        ((100, 133), (120, 160)),
        ((1, 1), (120, 160)),
        ((960, 1280), (960, 1280)),
        ((2000, 3000), (960, 1280)),
    ],
)
def test_no_more_pixels_than_needed_and_never_fewer(photos, wanted, decoded):
    image, whole = read_as(photos.image_path(0), SIZE, wanted)
    assert image.shape == (*decoded, 3)
    assert whole == SIZE
    assert image.dtype == np.uint8
    assert image.flags.writeable


@pytest.mark.parametrize("shape", [(481, 640), (480, 641), (482, 644)])
def test_only_where_both_sides_divide(tmp_path, shape):
    write_jpeg(tmp_path / "a.jpg", picture(*shape))
    image, whole = read_as(tmp_path / "a.jpg", None, (20, 20))
    assert whole == shape
    assert image.shape[:2] == (shape if shape[0] % 2 or shape[1] % 2 else (241, 322))


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp"])
def test_other_formats_are_decoded_whole(tmp_path, suffix):
    save(tmp_path / f"a{suffix}", picture(64, 80))
    image, whole = read_as(tmp_path / f"a{suffix}", None, (8, 8))
    assert whole == (64, 80)
    np.testing.assert_array_equal(image, read_image(tmp_path / f"a{suffix}", None))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_modes(tmp_path, mode):
    Image.fromarray(picture(64, 80)).convert(mode).save(tmp_path / "a.jpg", quality=95)
    image, _ = read_as(tmp_path / "a.jpg", None, (32, 40))
    expected = cv2.resize(read_image(tmp_path / "a.jpg", None), (40, 32), interpolation=cv2.INTER_AREA)
    assert image.shape == (32, 40, 3)
    assert np.abs(image.astype(int) - expected).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("shape", [(64, 80), (80, 80)])
@pytest.mark.parametrize("stated", ["shown", "stored", None])
def test_orientation_is_decided_as_for_the_whole_image(tmp_path, flags, orientation, shape, stated):
    save_with_pillow(tmp_path / "a.jpg", Image.fromarray(picture(*shape)), orientation, quality=95)
    shown = shape[::-1] if orientation >= 5 else shape
    size = {"shown": shown, "stored": shape, None: None}[stated]
    whole_image = read_image(tmp_path / "a.jpg", size)
    flags.clear()
    image, whole = read_as(tmp_path / "a.jpg", size, (30, 30))
    assert len(flags) == 1
    assert whole == whole_image.shape[:2]
    assert image.shape[:2] == (whole[0] // 2, whole[1] // 2)
    expected = cv2.resize(whole_image, image.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(image.astype(int) - expected).mean() < 2  # turned otherwise, it differs by more than 30


@pytest.mark.parametrize("size", [(60, 90), (80, 60), (128, 160)])
def test_another_size_than_the_annotation_states(tmp_path, size):
    write_jpeg(tmp_path / "a.jpg", picture(64, 80))
    with pytest.raises(ImageReadError) as expected:
        read_image(tmp_path / "a.jpg", size)
    with pytest.raises(ImageReadError) as caught:
        read_as(tmp_path / "a.jpg", size, (8, 8))
    assert str(caught.value) == str(expected.value)


def test_a_swapped_size_without_an_orientation_is_no_orientation(tmp_path):
    write_jpeg(tmp_path / "a.jpg", picture(64, 80))
    with pytest.raises(ImageReadError, match="its annotation says 64 and 80"):
        read_as(tmp_path / "a.jpg", (80, 64), (8, 8))


@pytest.mark.parametrize("damage", [lambda data: data[:-200], lambda data: b"no image", lambda data: b""])
def test_damaged_files(tmp_path, damage):
    write_jpeg(tmp_path / "a.jpg", picture(64, 80))
    (tmp_path / "a.jpg").write_bytes(damage((tmp_path / "a.jpg").read_bytes()))
    with pytest.raises(ImageReadError, match=r"a\.jpg"):
        read_as(tmp_path / "a.jpg", (64, 80), (8, 8))


# The bound that the docstrings state.


@pytest.mark.parametrize("canvas", [(480, 640), (300, 300), (416, 416), (100, 90)])
@pytest.mark.parametrize("mode", ["contain", "cover", "stretch"])
def test_pixels_are_near_those_of_the_whole_image(photos, canvas, mode):
    fit = Fit(canvas, mode, cv2.INTER_LINEAR)
    sample, whole = photos.fitted(1, fit)
    complete = photos[1]["image"]
    assert whole == complete.shape[:2]
    fitted, plain = fit.resize(sample["image"], whole), fit.resize(complete, whole)
    area = cv2.resize(complete, fit.size(whole)[::-1], interpolation=cv2.INTER_AREA)
    assert fitted.shape == plain.shape == area.shape
    assert psnr(fitted, area) >= min(40, psnr(plain, area))


# In MixUp


def primary(height=240, width=320):
    return {
        "image": picture(height, width), "bboxes": [[10.0, 20.0, 60.0, 50.0]], "labels": ["RBC"], "mixup_weight": [1.0],
        "masks": np.zeros((1, height, width), np.uint8), "keypoints": [[5.0, 6.0]], "keypoint_labels": ["low"],
        "keypoint_visibility": [2.0], "keypoint_boxes": [0.0],
    }  # fmt: skip


KEYPOINT_FIELDS = ("keypoint_labels", "keypoint_visibility", "keypoint_boxes")


def mixer(reference, seed=4, **settings):
    settings = {"p": 1.0} | settings
    params = keypoint_params("xy", KEYPOINT_FIELDS)
    return pipeline(MixUp(reference, **settings), keypoint_params=params, seed=seed)


@pytest.mark.parametrize("fit_mode", ["contain", "cover", "stretch"])
@pytest.mark.parametrize("size", [(240, 320), (333, 250), (1000, 1300)])
def test_annotations_are_those_of_the_whole_image_to_the_bit(photos, flags, fit_mode, size):
    hinted = mixer(photos, fit_mode=fit_mode)(**primary(*size))
    reduced = list(flags)
    flags.clear()
    whole = mixer(photos, fit_mode=fit_mode, size_hint=False)(**primary(*size))
    assert flags == [cv2.IMREAD_COLOR]
    assert (reduced == flags) == (size[0] >= 1000)
    assert len(whole["bboxes"]) > 5
    assert len(whole["masks"]) > 5
    assert same({**hinted, "image": 0}, {**whole, "image": 0})
    assert psnr(hinted["image"], whole["image"]) > 30


@pytest.mark.parametrize(
    "settings",
    [
        {"fit_mode": "canvas"},
        {"size_hint": False},
        {
            "reference_transform": A.Compose(
                [A.HorizontalFlip(p=1.0)],
                bbox_params=A.BboxParams("coco", label_fields=["labels", "mixup_weight"]),
                keypoint_params=keypoint_params("xy", KEYPOINT_FIELDS),
            )
        },
    ],
    ids=["canvas", "off", "reference_transform"],
)
def test_whole_images_where_they_are_needed(photos, flags, settings):
    mixer(photos, **settings)(**primary())
    assert flags == [cv2.IMREAD_COLOR]


def test_frames_share_the_hint(photos, flags):
    frames = {**primary(), "images": np.stack([picture(240, 320, seed) for seed in range(2)])}
    del frames["image"]
    out = mixer(photos, ratio_range=(0, 0))(**frames)
    assert flags != [cv2.IMREAD_COLOR]
    np.testing.assert_array_equal(out["images"][0], out["images"][1])


def test_a_subclass_that_makes_samples_of_its_own(tmp_path):
    class Inverted(VocDataset):
        def __getitem__(self, index):
            sample = super().__getitem__(index)
            return {**sample, "image": 255 - sample["image"]}

    add(tmp_path, "a", voc_object(), suffix=".jpg", size=(240, 320), image=picture(240, 320))
    dataset = Inverted(tmp_path)
    reference = pipeline(MixUp(dataset, ratio_range=(0, 0), p=1.0))
    sample = {"image": picture(120, 160), "bboxes": [], "labels": [], "mixup_weight": []}
    expected = cv2.resize(dataset[0]["image"], (160, 120), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(reference(**sample)["image"], expected)


@pytest.mark.parametrize("through_json", [False, True])
def test_replay_repeats_the_pixels(photos, through_json):
    params = A.BboxParams("pascal_voc", label_fields=["labels", "mixup_weight"])
    sample = {key: primary()[key] for key in ("image", "bboxes", "labels", "mixup_weight")}
    replaying = A.ReplayCompose([MixUp(photos, p=1.0)], bbox_params=params)
    out = replaying(**sample)
    record = json.loads(json.dumps(out["replay"])) if through_json else out["replay"]
    again = A.ReplayCompose.replay(record, **sample)
    assert same({**again, "replay": 0}, {**out, "replay": 0})


def test_the_switch_is_written_down(photos):
    described = MixUp(photos, size_hint=False).to_dict_private()
    assert described["size_hint"] is False
    assert json.loads(json.dumps(described))["size_hint"] is False


@pytest.mark.parametrize("value", [None, 1, "yes"])
def test_the_switch_is_a_bool(value):
    with pytest.raises(ArgumentError, match="size_hint must be True or False, got"):
        MixUp(sample_dataset(), size_hint=value)


def test_a_reference_with_a_hint_of_its_own():
    class Small:
        """Gives an image of half the size, and annotations of the whole one."""

        def __len__(self):
            return 1

        def __getitem__(self, index):
            raise AssertionError

        def fitted(self, index, fit):
            self.asked = index, fit
            made = photograph()
            return {**made, "image": made["image"][::2, ::2].copy()}, SIZE

    reference = Small()
    sample = {"image": picture(300, 400), "bboxes": [], "labels": [], "mixup_weight": []}
    out = pipeline(MixUp(reference, fit_mode="stretch", interpolation=cv2.INTER_AREA, p=1.0))(**sample)
    assert reference.asked == (0, Fit((300, 400), "stretch", cv2.INTER_AREA))
    expected = photograph()["bboxes"] * np.tile([400 / 1280, 300 / 960], 2)
    np.testing.assert_allclose(out["bboxes"], expected, atol=1e-3)


def test_an_unreadable_image_is_drawn_again(tmp_path):
    photos = photographs(tmp_path, count=2)
    photos.image_path(1).write_bytes(b"")
    one = pipeline(MixUp(photos, max_redraws=50, p=1.0), save_applied_params=True)
    sample = {key: primary()[key] for key in ("image", "bboxes", "labels", "mixup_weight")}
    with pytest.warns(UserWarning, match=r"draws another sample.*1\.jpg"):
        _ = [one(**sample) for _ in range(6)]
    assert record_of(one.transforms[0])["reference_index"] == 0


def test_a_dataset_of_the_users_own_may_fit_too():
    class Fitting(list):
        def fitted(self, index, fit):
            made, hw = self[index], self[index]["image"].shape[:2]
            return {**made, "image": fit.resize(made["image"], hw)}, list(hw)

    samples = [{"image": picture(48, 64), "bboxes": [[8.0, 6.0, 24.0, 18.0]], "labels": ["a"]}]
    primary = {"image": picture(24, 32), "bboxes": [], "labels": [], "mixup_weight": []}
    fitted, whole = (
        pipeline(MixUp(kept, ratio_range=(0.5, 0.5), p=1.0))(**primary) for kept in (Fitting(samples), samples)
    )
    for made in (fitted, whole):
        np.testing.assert_array_equal(made["bboxes"], [[4.0, 3.0, 12.0, 9.0]])
    np.testing.assert_array_equal(fitted["image"], whole["image"])
