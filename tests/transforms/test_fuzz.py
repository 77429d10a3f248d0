"""A fixed number of the fuzzer's pipelines; `python -m tests.transforms.fuzz` runs as many as one likes."""

import copy

import numpy as np
import pytest

from alb_mixup import MixUp, MosaicDataset
from tests.support.samples import Reference, as_arrays, keypoint_params, mixing, pipeline, sample
from tests.transforms import fuzz

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.mark.parametrize("start", range(0, 250, 50))
def test_pipelines_agree_with_the_oracle(start):
    told = {seed: fuzz.check(seed) for seed in range(start, start + 50)}
    assert {seed: found for seed, found in told.items() if found} == {}
    assert sum(found is None for found in told.values()) < 15  # most cases can be told


def test_the_fuzzer_notices_a_wrong_mix(monkeypatch):
    monkeypatch.setattr(fuzz.Scene, "mixed", lambda self, *_: copy.copy(self))
    assert any(fuzz.check(seed) for seed in range(10))


def test_a_failing_case_is_made_smaller(monkeypatch):
    monkeypatch.setattr(fuzz.Scene, "flipped", lambda self, _: self)
    seed = next(seed for seed in range(100) if fuzz.check(seed))
    case, found = fuzz.shrunk(fuzz.draw_case(seed))
    assert found
    assert len(list(fuzz.walk(case["transforms"]))) <= 2
    assert len(case["primaries"]) == len(case["donors"]) == 1


def test_a_seed_is_a_case():
    assert fuzz.draw_case(7) == fuzz.draw_case(7) != fuzz.draw_case(8)


# --- what it has found --------------------------------------------------------------------------------------------


def test_keypoints_of_a_reference_that_says_its_box_format():
    points = {"keypoints": [[4.0, 5.0]], "parts": ["eye"]}
    donor = sample(1, bboxes=[[0.25, 0.25, 0.5, 0.5]], labels=["cat"], mixup_weight=[1.0], **points)
    mixer = pipeline(MixUp(Reference([donor], "albumentations"), p=1.0), keypoint_params=keypoint_params())
    out = mixer(**sample(0, keypoints=[], parts=[]))
    assert np.allclose(out["keypoints"], [[4.0, 5.0]])
    assert out["parts"] == ["eye"]


@pytest.mark.parametrize("partner", [("cat",), ()])
def test_arrays_of_strings_are_not_cut_to_the_width_of_an_earlier_call(partner):
    donors = [as_arrays(sample(1, labels=("cat",))), as_arrays(sample(2, labels=partner))]
    mixer = mixing(None)
    empty = as_arrays(sample(0, labels=())) | {"labels": np.array([], "<U20")}
    assert list(mixer(**empty, mixup_metadata=donors[:1])["labels"]) == ["cat"]
    primary = as_arrays(sample(3, labels=("platelets",)))
    assert list(mixer(**primary, mixup_metadata=donors[1:])["labels"]) == ["platelets", *partner]


def test_arrays_of_strings_are_as_wide_as_an_empty_primary_says():
    mixer = mixing(None)
    empty = as_arrays(sample(0, labels=())) | {"labels": np.array([], "<U20")}
    mixer(**empty, mixup_metadata=[as_arrays(sample(1, labels=("cat",)))])
    primary = as_arrays(sample(3, labels=("platelets",)))
    assert list(mixer(**primary, mixup_metadata=[])["labels"]) == ["platelets"]


def test_mosaics_of_arrays_and_lists_hold_plain_numbers():
    donors = [sample(0, labels=[0.5, 1.5]), as_arrays(sample(1, labels=[2.5, 3.5]))]
    mosaics = MosaicDataset(Reference(donors, "pascal_voc"), size=(24, 32), fit_mode="contain", seed=0)
    for index in (0, 1) * 4:
        made = mosaics[index]
        assert isinstance(made["labels"], np.ndarray) or {type(label) for label in made["labels"]} <= {float}
