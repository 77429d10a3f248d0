"""The messages that the page of errors explains are those that users meet."""

import albumentations as A
import numpy as np
import pytest

from alb_mixup import MixUp, open_dataset, sample_dataset
from tests.support import ROOT

PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
SAMPLE = dict(sample_dataset()[0])
COUNT = len(SAMPLE["labels"])
ONE = {"image": SAMPLE["image"], "labels": ["a"], "mixup_weight": [1.0]}


def without(key):
    return {name: value for name, value in SAMPLE.items() if name != key}


def pipeline(reference=(SAMPLE,), fields=("labels", "mixup_weight")):
    return A.Compose([MixUp(list(reference), p=1.0)], bbox_params=A.BboxParams("pascal_voc", label_fields=[*fields]))


class MixingItself:
    bbox_format = "pascal_voc"

    def __init__(self):
        self.pipeline = A.Compose(
            [MixUp(self, p=1.0)], bbox_params=A.BboxParams("pascal_voc", label_fields=["labels", "mixup_weight"])
        )

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return self.pipeline(**SAMPLE)


CAUSES = {
    "Your 'label_fields' are not valid": lambda: pipeline()(**without("mixup_weight")),
    "x_max is less than or equal to x_min for bbox": lambda: pipeline()(**ONE, bboxes=[[300, 200, 50, 40]]),
    "to be in the range [0.0, 1.0]": lambda: pipeline()(**ONE, bboxes=[[300, 200, 700, 240]]),
    "You have to pass data to augmentations as named arguments": lambda: pipeline()(SAMPLE),
    "maximum recursion depth exceeded": lambda: MixingItself()[0],
    "weight_field 'mixup_weight' must be in BboxParams.label_fields": lambda: pipeline(fields=["labels"])(
        **without("mixup_weight")
    ),
    "must have every target of the primary": lambda: pipeline([without("bboxes")])(**SAMPLE),
    "every label field of the pipeline": lambda: pipeline([without("labels")])(**SAMPLE),
    "mixup_weight must be a list of Python floats or a float array": lambda: pipeline()(
        **SAMPLE | {"mixup_weight": np.ones(COUNT, int)}
    ),
    "label field 'labels' must hold whole numbers below 16777216": lambda: pipeline(
        [SAMPLE | {"labels": [900100184613] * COUNT}]
    )(**SAMPLE | {"labels": [900100184613] * COUNT}),
    "reference must be file-backed to be serialized": lambda: A.to_dict(pipeline()),
    "bboxes must come through A.Compose": lambda: MixUp([SAMPLE], p=1.0)(**SAMPLE),
    "split must be": lambda: open_dataset(sample_dataset().root, "nonsense"),
}


@pytest.mark.parametrize("text", CAUSES)
def test_a_message_is_explained(text):
    assert text in PAGE
    with pytest.raises(Exception) as caught:  # noqa: PT011  (whichever; its text is what people search for)
        CAUSES[text]()
    assert text in str(caught.value)
