"""The real labelled images inside the package."""

from pathlib import Path

from alb_mixup.datasets.voc import VocDataset


def sample_dataset() -> VocDataset:
    """Fourteen blood-smear photographs with their boxes, embedded in the package.

    640×480 pixels, RGB, 3 to 30 boxes an image, classes `Platelets`, `RBC` and `WBC`. Enough to see MixUp at work
    without a download; too few to train on.

    Source: BCCD, https://github.com/Shenggan/BCCD_Dataset at commit d272fb1, MIT, © 2017 shenggan.
    """
    dataset = VocDataset(Path(__file__).parent / "sample", on_invalid="raise")
    dataset._spec = {"dataset": "sample"}  # no folder: the package lies elsewhere on the next machine
    return dataset
