"""Batches with the boxes' weights, as the frameworks take them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from alb_mixup._support import checks
from alb_mixup.errors import ArgumentError, SampleError
from alb_mixup.functional.boxes import BBOX_FORMATS, from_xyxy, to_xyxy


class _Collate:
    """What all forms of a batch have in common: how images, labels, weights and masks become tensors."""

    def __init__(
        self, classes: Sequence[str] | None, bbox_format: str, first_label: int = 0, weight_field: str = "mixup_weight"
    ) -> None:
        first = checks.whole_number("first_label", first_label)
        self._ids = {name: first + position for position, name in enumerate(classes or ())}
        self._format = checks.choice("bbox_format", bbox_format, BBOX_FORMATS)
        self._weight_field = checks.field_name("weight_field", weight_field)

    def _pixels(self, sample: Mapping[str, Any]) -> torch.Tensor:
        """Return an image (C, H, W) of the dtype that it has."""
        if not {"image", "bboxes", "labels"} <= sample.keys():
            raise SampleError(
                f"samples must have image, bboxes and labels, got {sorted(sample)}: return them from the pipeline; the "
                "Trainer of transformers takes them away without TrainingArguments(remove_unused_columns=False)"
            )
        image = sample["image"]
        if isinstance(image, torch.Tensor):  # ToTensorV2 has been there
            return image
        return torch.from_numpy(np.ascontiguousarray(np.atleast_3d(image).transpose(2, 0, 1)))

    def _image(self, sample: Mapping[str, Any]) -> torch.Tensor:
        """Return a float32 (C, H, W) image; uint8 is divided by 255."""
        image = self._pixels(sample)
        return image.float() / 255 if image.dtype == torch.uint8 else image.float()

    def _rows(self, sample: Mapping[str, Any], hw: tuple[int, int]) -> tuple[Any, torch.Tensor, torch.Tensor]:
        """Return boxes (N, 4) as absolute xyxy, class ids (N,) int64 and weights (N,) float32."""
        xyxy = to_xyxy(sample["bboxes"], self._format, hw)
        labels = torch.tensor([self._id(label) for label in sample["labels"]], dtype=torch.int64)
        weights = torch.as_tensor(np.array(sample.get(self._weight_field, np.ones(len(xyxy))), np.float32))
        if not len(xyxy) == len(labels) == len(weights):
            raise SampleError(
                f"labels and {self._weight_field} must have one value for each of {len(xyxy)} boxes, got {len(labels)} "
                f"and {len(weights)}: list both in BboxParams(label_fields=...)"
            )
        return xyxy, labels, weights

    def _masks(self, sample: Mapping[str, Any], count: int, hw: tuple[int, int]) -> dict[str, torch.Tensor]:
        """Return `masks` uint8 (N, H, W), one for each box, where the sample has masks."""
        masks = sample.get("masks")
        if masks is None:
            return {}
        if len(masks) != count:
            raise SampleError(
                f"masks must be one for each of {count} boxes, got {len(masks)}: pipelines drop boxes and leave masks; "
                "let a label field number them, and take those masks that it still names"
            )
        stacked = [torch.as_tensor(np.asarray(mask)).to(torch.uint8) for mask in masks]
        return {"masks": torch.stack(stacked) if stacked else torch.zeros((0, *hw), dtype=torch.uint8)}

    def _id(self, label: Any) -> int:
        if label in self._ids:
            return self._ids[label]
        if isinstance(label, str) or label != int(label):  # Albumentations returns whole numbers as floats
            raise SampleError(f"labels must be whole numbers or one of classes={list(self._ids)}, got {label!r}")
        return int(label)


class TorchvisionCollate(_Collate):
    """Samples as torchvision's detection models take them, for `DataLoader(collate_fn=)`.

    Called with a list of samples, it returns a list of images, float32 (C, H, W), each of its own size, and a list of
    dicts: `boxes` float32 (N, 4) as x_min, y_min, x_max, y_max in pixels, `labels` int64 (N,), `weights` float32 (N,);
    `masks` uint8 (N, H, W) where the samples have masks, one for each box.

    uint8 images are divided by 255, float ones stay as they are; torchvision's models normalize them themselves, so
    the pipeline should not. An image that is a tensor already (`ToTensorV2`) is (C, H, W).

    Args:
        classes: The class names. The id of a name is its position plus `first_label`; labels that are numbers are ids
            already.
        bbox_format: What the pipeline's boxes are in, as `A.BboxParams` names it.
        first_label: Id of the first class: 1, as torchvision's 0 is the background.
        weight_field: The label field of the weights, as MixUp has it; a sample without it has weights of 1.

    Raises:
        ArgumentError: An argument breaks its constraint.
        SampleError: On a call, a label is unknown, or labels, weights or masks are not one for each box.

    Examples:
        >>> from alb_mixup import sample_dataset
        >>> from alb_mixup.integrations.torch import TorchvisionCollate
        >>> dataset = sample_dataset()
        >>> images, targets = TorchvisionCollate(dataset.classes)([dataset[0], dataset[1]])
        >>> sorted(targets[0])
        ['boxes', 'labels', 'weights']
    """

    def __init__(
        self,
        classes: Sequence[str] | None = None,
        bbox_format: str = "pascal_voc",
        first_label: int = 1,
        weight_field: str = "mixup_weight",
    ) -> None:
        super().__init__(classes, bbox_format, first_label, weight_field)

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> tuple[list[torch.Tensor], list[dict[str, Any]]]:
        """Return images and targets."""
        images, targets = [self._image(sample) for sample in samples], []
        for image, sample in zip(images, samples, strict=True):
            hw = tuple(image.shape[-2:])
            xyxy, labels, weights = self._rows(sample, hw)
            target = {"boxes": torch.from_numpy(xyxy).float(), "labels": labels, "weights": weights}
            targets.append(target | self._masks(sample, len(xyxy), hw))
        return images, targets


class TransformersCollate(_Collate):
    """Samples as the detection models of Hugging Face transformers take them, for `Trainer(data_collator=)`.

    Called with a list of samples, it returns a dict: `pixel_values` float32 (B, C, H, W); `labels`, a list of dicts
    with `class_labels` int64 (N,), `boxes` float32 (N, 4) as x_center, y_center, width, height in shares of H and W,
    `weights` float32 (N,), `orig_size` int64 (2,), the height and width that the pipeline gave; `image_id` int64 (1,)
    and `masks` uint8 (N, H, W) where the samples have them.

    **With a processor**, the model's own image processor resizes, normalizes and pads, and this is what it returns;
    a box that it drops takes its weight along. The pipeline then leaves all of that alone. Float images are taken to be
    in [0, 1]. The processors of DETR, Conditional and Deformable DETR and RF-DETR take masks too, by pycocotools, and
    return them as bool (N, H, W); RT-DETR's returns none, and is refused then.

    **Without**, images of different sizes are padded with zeros at the right and bottom to the largest H and W;
    `pixel_mask` int64 (B, H, W), 1 on the image, comes with them, and boxes are in shares of the padded size. uint8
    images are divided by 255, which is all that RT-DETR and D-FINE want. Float ones stay as they are: for models that
    want ImageNet's mean and deviation, such as DETR, end the pipeline with `A.Normalize()`.

    Args:
        classes: The class names, in the order of the model's ids; labels that are numbers are ids already.
        bbox_format: What the pipeline's boxes are in, as `A.BboxParams` names it.
        processor: An image processor of transformers for detection, such as `AutoImageProcessor.from_pretrained(name)`;
            None: none.
        weight_field: The label field of the weights, as MixUp has it; a sample without it has weights of 1.

    Raises:
        ArgumentError: An argument breaks its constraint.
        SampleError: On a call, a label is unknown, or labels, weights or masks are not one for each box; or there are
            masks in some samples alone, or with a processor that returns none.

    Examples:
        >>> from transformers import RTDetrImageProcessor
        >>> from alb_mixup import sample_dataset
        >>> from alb_mixup.integrations.torch import TransformersCollate
        >>> dataset = sample_dataset()
        >>> collate = TransformersCollate(dataset.classes, processor=RTDetrImageProcessor())
        >>> collate([dataset[0]])["pixel_values"].shape
        torch.Size([1, 3, 640, 640])
    """

    def __init__(
        self,
        classes: Sequence[str] | None = None,
        bbox_format: str = "pascal_voc",
        processor: Any = None,
        weight_field: str = "mixup_weight",
    ) -> None:
        super().__init__(classes, bbox_format, weight_field=weight_field)
        if processor is not None and not callable(processor):
            raise ArgumentError(
                f"processor must be an image processor of transformers or None, got {processor!r}: e.g. "
                "AutoImageProcessor.from_pretrained(name)"
            )
        self._processor = processor

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return pixels and labels."""
        return self._padded(samples) if self._processor is None else self._processed(samples)

    def _padded(self, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        images, labels = [self._image(sample) for sample in samples], []
        sizes = [tuple(image.shape[-2:]) for image in images]
        height, width = (max(sides) for sides in zip(*sizes, strict=True))
        pixels = images[0].new_zeros(len(images), images[0].shape[0], height, width)
        mask = torch.zeros(len(images), height, width, dtype=torch.int64)
        for i, (image, (h, w), sample) in enumerate(zip(images, sizes, samples, strict=True)):
            pixels[i, :, :h, :w], mask[i, :h, :w] = image, 1
            xyxy, class_labels, weights = self._rows(sample, (h, w))
            boxes = torch.from_numpy(from_xyxy(xyxy, "yolo", (height, width))).float()
            target = {"class_labels": class_labels, "boxes": boxes, "weights": weights}
            masks = self._masks(sample, len(xyxy), (h, w))
            padded = {key: F.pad(value, (0, width - w, 0, height - h)) for key, value in masks.items()}
            named = {"image_id": torch.tensor([int(sample["image_id"])])} if "image_id" in sample else {}
            labels.append(target | padded | named | {"orig_size": torch.tensor([h, w])})
        batch = {"pixel_values": pixels, "labels": labels}
        return batch if len(set(sizes)) == 1 else batch | {"pixel_mask": mask}

    def _processed(self, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Let the processor do its work on boxes whose class is their number, by which it gives them back."""
        with_masks = {sample.get("masks") is not None for sample in samples}
        if len(with_masks) > 1:
            raise SampleError("masks must be in all samples of a batch or in none, got both: give each its own")
        images, annotations, rows = [self._pixels(sample) for sample in samples], [], []
        to_rescale = all(image.dtype == torch.uint8 for image in images)
        if not to_rescale:  # a processor rescales all images or none
            images = [self._image(sample) for sample in samples]
        for position, (image, sample) in enumerate(zip(images, samples, strict=True)):
            height, width = image.shape[-2:]
            xyxy, class_labels, weights = self._rows(sample, (height, width))
            boxes = from_xyxy(xyxy, "coco", (1, 1)).tolist()
            segmentations: list[dict[str, Any]] = [{}] * len(boxes)
            if True in with_masks:  # one more, without a pixel: processors fail where they keep no mask at all
                masks = F.pad(self._masks(sample, len(boxes), (height, width))["masks"], (0, 0, 0, 0, 0, 1))
                segmentations = [{"segmentation": _run_lengths(mask.numpy() != 0)} for mask in masks]
                boxes.append([0.0, 0.0, width, height])
            numbered = [
                {"category_id": number, "bbox": box, "area": box[2] * box[3], "iscrowd": 0} | segmentation
                for number, (box, segmentation) in enumerate(zip(boxes, segmentations, strict=True))
            ]
            annotations.append({"image_id": int(sample.get("image_id", position)), "annotations": numbered})
            rows.append((class_labels, weights))
        given: dict[str, Any] = {"images": images, "annotations": annotations, "input_data_format": "channels_first"}
        given |= {"do_convert_annotations": True}  # some leave boxes in pixels where they do not normalize images
        given |= {} if to_rescale else {"do_rescale": False}
        given |= {"return_segmentation_masks": True} if True in with_masks else {}
        batch = dict(self._processor(**given, return_tensors="pt"))
        batch["labels"] = [dict(labels) for labels in batch["labels"]]
        for labels, (class_labels, weights) in zip(batch["labels"], rows, strict=True):
            if True in with_masks and "masks" not in labels:
                raise SampleError(
                    f"masks must be left out of samples for {type(self._processor).__name__}, which returns none, got "
                    "some: pop them behind the pipeline, or collate without processor=, after A.Resize and "
                    "A.Normalize of your own"
                )
            kept = labels["class_labels"] < len(class_labels)
            per_box = [key for key in ("class_labels", "boxes", "area", "iscrowd", "masks") if key in labels]
            labels.update({key: labels[key][kept] for key in per_box})
            numbers = labels["class_labels"]
            labels["class_labels"], labels["weights"] = class_labels[numbers], weights[numbers]
        return batch


def _run_lengths(mask: Any) -> dict[str, Any]:
    """Return a mask, bool (H, W), as COCO's run lengths: column by column, of zeros and ones in turn."""
    columns = mask.T.ravel()
    starts = np.flatnonzero(np.diff(columns, prepend=False))
    return {"counts": np.diff(starts, prepend=0, append=columns.size).tolist(), "size": list(mask.shape)}
