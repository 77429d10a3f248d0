"""A dataset written in another layout, without mixing."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from alb_mixup.datasets import DetectionDataset
from alb_mixup.datasets.protocols import Samples
from alb_mixup.errors import ArgumentError, OutputError
from alb_mixup.generation.conversion import Conversion, Converter, HeldSamples
from alb_mixup.generation.destination import PLAN, Folder
from alb_mixup.generation.run import carry_out, check_workers, in_processes


def write_dataset(
    dataset: Samples,
    destination: str | os.PathLike[str],
    *,
    output_format: str = "coco",
    classes: Sequence[str] | None = None,
    bbox_format: str | None = None,
    image_format: str | None = None,
    quality: int = 95,
    drop_weights: bool = False,
    val: str | os.PathLike[str] | None = None,
    workers: int = 1,
    progress: bool = True,
) -> Path:
    """Write a dataset as it is, in COCO's, YOLO's or Pascal VOC's layout, weights included.

    Of a dataset on disk, image files are copied byte by byte under their own names. Encoded once, as JPEG where the
    file was one and else as PNG, are files whose EXIF orientation turns or mirrors them, so that every reader sees them
    as their boxes lie, and those whose name no layout knows. Two files of one name in two folders get a number before
    it. Masks and keypoints are written where the dataset was opened with them: a layout that cannot hold them is
    refused. Weights that are all 1 are not written; a missing one means that.

    Stopped, by whatever, the same call goes on where it was, as for `generate`; only samples that are not read from
    a dataset's files begin anew, in another folder. Beside the set lies `manifest.csv`: each image and its source.

    Args:
        dataset: A `CocoDataset`, `YoloDataset`, `VocDataset` or `PseudoLabelDataset`. Or any sequence of dicts
            `image` (uint8 (H, W, 3), RGB), `bboxes` (N, 4), `labels` (N class names), and where wanted `mixup_weight`
            (N,), `masks` (N, H, W), `keypoints` (P, 2) with their label fields as `CocoDataset` has them, and then
            an attribute `keypoint_names` of the sequence. Their images become PNG unless `image_format` says
            otherwise, `image_000000.png` and so on.
        destination: A new or empty folder, or one that the same call has begun or finished.
        output_format: "coco", "yolo" or "voc".
        classes: Class names of a sequence that has no attribute `classes`.
        bbox_format: Format of the boxes of a sequence that does not say it, as `A.BboxParams` names it.
        image_format: "jpg" or "png": encode all images. None: as said above.
        quality: Of JPEG, 0 to 100, where an image is encoded.
        drop_weights: Write no weights, for readers that accept none; VOC corners are whole pixels then.
        val: Of "yolo": a folder of validation images, or a file that lists them, which the data.yaml names.
        workers: Processes that write; 1 is this one.
        progress: Show a bar, where tqdm is installed.

    Returns:
        The destination.

    Raises:
        ArgumentError: An argument breaks its constraint, or the layout cannot hold what the dataset has.
        OutputError: `destination` holds something else, or cannot be written. What is written stays.
        ImageReadError: An image cannot be read.
        SampleError: A sample of a sequence cannot be written.
        WorkerError: A worker was killed.

    Examples:
        >>> import alb_mixup, tempfile
        >>> cells = alb_mixup.sample_dataset()
        >>> root = alb_mixup.write_dataset(cells, tempfile.mkdtemp(), output_format="yolo", progress=False)
        >>> sorted(path.name for path in root.iterdir() if path.name[0] != ".")
        ['data.yaml', 'images', 'labels', 'manifest.csv']
        >>> alb_mixup.open_dataset(root)[0]["labels"] == cells[0]["labels"]
        True
    """
    plan = Conversion(_source(dataset, classes, bbox_format), output_format, image_format, quality, drop_weights, val)
    check_workers(workers)
    folder = Folder(destination)
    if plan.dataset.fingerprint() is None and folder.read(PLAN) is not None:
        raise OutputError(
            f"destination must be a new or an empty folder for samples in memory, got {folder}, which holds a set "
            "already: whether it is the same cannot be told; take another folder"
        )
    carry_out(plan, folder, partial(in_processes, (plan, folder, Converter), workers), progress)
    return folder.root


def _source(dataset: Samples, classes: Sequence[str] | None, bbox_format: str | None) -> DetectionDataset | HeldSamples:
    """Return a dataset whose files can be copied as it is, and anything else as the samples that it holds."""
    if not isinstance(dataset, DetectionDataset) or type(dataset).__getitem__ is not DetectionDataset.__getitem__:
        return HeldSamples(dataset, classes, bbox_format)
    for name, given in (("classes", classes), ("bbox_format", bbox_format)):
        if given is not None:
            raise ArgumentError(f"{name} must be None for a dataset that has its own, got {given!r}: leave it out")
    return dataset
