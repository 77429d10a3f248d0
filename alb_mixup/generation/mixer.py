"""The outputs of a plan, one by one: mixed, encoded, written."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np

from alb_mixup import _backend
from alb_mixup.functional.boxes import to_xyxy
from alb_mixup.generation.destination import Destination
from alb_mixup.generation.layouts import WrittenImage
from alb_mixup.generation.plan import Plan
from alb_mixup.transforms.mixup import MixUp
from alb_mixup.transforms.pipeline import detection_pipeline

_DIGITS = 6
_TARGETS = {"image", "bboxes", "labels", "mixup_weight"}


class Output(NamedTuple):
    """One mix, ready to be written.

    Attributes:
        record: JSON types: `number`, `files`, and what `WrittenImage` and the manifest hold of it.
        files: Contents by path below the destination.
    """

    record: dict[str, Any]
    files: dict[str, bytes]


class Mixer:
    """Makes the outputs of a plan; each process builds one.

    Args:
        plan: The plan.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan, self._layout = plan, plan.layout()
        self._mixup = MixUp(plan.dataset, alpha=plan.alpha, fit_mode=plan.fit_mode, p=1.0)
        self._pipeline = detection_pipeline([self._mixup], plan.dataset.bbox_format)
        self._class_ids = {name: number for number, name in enumerate(plan.dataset.classes)}

    def make(self, number: int) -> Output:
        """Make one output.

        Raises:
            ImageReadError: One of its two images cannot be read.
        """
        plan, dataset = self._plan, self._plan.dataset
        variant, row = divmod(number, len(dataset))
        seed = int(np.random.SeedSequence((plan.seed, row, variant)).generate_state(1, np.uint64)[0])
        sample = {key: value for key, value in dataset[row].items() if key in _TARGETS}
        mixed = _backend.run_seeded(self._pipeline, sample, seed)
        drawn = self._mixup.get_applied_params()
        hw = mixed["image"].shape[:2]
        record: dict[str, Any] = {
            "number": number,
            "name": f"mixup_{number:0{_DIGITS}d}.{plan.image_format}",
            "hw": list(hw),
            "xyxy": to_xyxy(mixed["bboxes"], dataset.bbox_format, hw).tolist(),
            "class_ids": [self._class_ids[name] for name in mixed["labels"]],
            "weights": np.asarray(mixed["mixup_weight"], np.float64).tolist(),
            "ratio": drawn["ratio"],
            "primary": self._source(row),
            "partner": self._source(drawn["reference_index"]),
        }
        files = self._files(mixed["image"], written_image(record))
        return Output(record | {"files": list(files)}, files)

    def _source(self, index: int) -> str:
        return self._plan.dataset.image_path(index).relative_to(self._plan.dataset.root).as_posix()

    def _files(self, image: Any, written: WrittenImage) -> dict[str, bytes]:
        options = [cv2.IMWRITE_JPEG_QUALITY, self._plan.quality] if self._plan.image_format == "jpg" else []
        _, encoded = cv2.imencode(f".{self._plan.image_format}", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
        files = {f"{self._layout.images}/{written.name}": encoded.tobytes()}
        label_file = self._layout.label_file(written)
        return files if label_file is None else files | {label_file[0]: label_file[1].encode()}


class Writer:
    """Makes and writes outputs, and returns their records; each process that works builds one.

    Args:
        plan: The plan.
        destination: Where to.
    """

    def __init__(self, plan: Plan, destination: Destination) -> None:
        self._mixer, self._destination = Mixer(plan), destination

    def __call__(self, number: int) -> dict[str, Any]:
        """Make and write one output."""
        output = self._mixer.make(number)
        for path, content in output.files.items():
            self._destination.write(path, [content])
        return output.record


def written_image(record: Mapping[str, Any]) -> WrittenImage:
    """The part of a record that a layout writes."""
    return WrittenImage(record["name"], tuple(record["hw"]), record["xyxy"], record["class_ids"], record["weights"])
