"""`alb-mixup preview`: mixes of a dataset beside their originals, as a picture."""

import argparse
import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alb_mixup._support import checks
from alb_mixup._support.files import write_whole
from alb_mixup._support.progress import progress_bar
from alb_mixup._support.text import counted
from alb_mixup.cli.parser import SOURCE, add_mixing, add_reading, whole
from alb_mixup.cli.source import open_source, tell_of_invalid
from alb_mixup.datasets import DetectionDataset, sample_dataset
from alb_mixup.datasets.partner_weights import weights_to_draw_by
from alb_mixup.errors import ArgumentError, DatasetError, ImageReadError
from alb_mixup.view.explorer import mix_pair
from alb_mixup.view.pages import MixTriple, plot_mixes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 100  # mixes on a page of some 16 MB, which programs still open
EXAMPLES = """\
examples:
  alb-mixup preview                             the images inside the package
  alb-mixup preview datasets/dogs --split train -n 9 -o dogs.png
  alb-mixup preview datasets/dogs --partners background:0.5
  alb-mixup preview datasets/dogs --ratio-range 0.45 0.55 --fit-mode cover
"""


def add(command: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    command.add_argument("src", nargs="?", metavar="SRC", help=f"{SOURCE} (default: the images inside the package)")
    add_reading(command)
    command.add_argument(
        "-n",
        type=whole(1, MOST),
        default=16,
        metavar="N",
        help=f"mixes, each drawn with its two originals, up to {MOST} (default: 16)",
    )
    command.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("mixup-preview.png"),
        metavar="PNG",
        help="file to write, or to write anew (default: mixup-preview.png)",
    )
    add_mixing(command)


def run(arguments: argparse.Namespace) -> tuple[str, int]:
    """Draw mixes of SRC.

    Returns:
        What was written, and 0.

    Raises:
        ArgumentError: An option breaks its constraint, or the picture cannot be written.
        DatasetError: SRC cannot be opened, or has nothing to mix.
        ImageReadError: An image cannot be read, and is not to be skipped; or none can.
    """
    ratio_range = checks.ratio_range(arguments.ratio_range)
    _check_output(arguments.output)
    dataset = _open(arguments)
    tell_of_invalid(dataset, arguments)
    source = "the images inside the package" if arguments.src is None else arguments.src
    if not dataset.image_classes().has_boxes.any():
        raise DatasetError(f"SRC must have images with boxes, got none in {source}: there is nothing to mix")
    how = f"λ ~ Beta({arguments.alpha:g}, {arguments.alpha:g})"
    if ratio_range is not None:
        how = "λ = {:g}".format(*ratio_range) if len({*ratio_range}) == 1 else "λ in {:g} to {:g}".format(*ratio_range)
    mixes = _Mixes(dataset, arguments, ratio_range)
    shown = not arguments.quiet
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # drawn as empty rectangles, which say as much
        figure = plot_mixes(
            progress_bar(iter(mixes), "mixing", total=arguments.n, shown=shown),
            title=f"MixUp, {how}, {arguments.fit_mode}; the partner's boxes are dashed",
            progress=shown,
        )
        _write_png(figure, arguments.output)
    skipped = mixes.unreadable
    and_skipped = f"; skipped {counted(len(skipped), 'image')} that cannot be read" if skipped else ""
    return f"Wrote {arguments.output} ({counted(arguments.n, 'mix', 'mixes')} of {source}{and_skipped})", 0


class _Mixes:
    """Mixes of a dataset with itself: each image is primary once before any is twice, and never its own partner.

    Primaries are the images with boxes, and so are partners, where no law says how often each image is drawn.

    Args:
        dataset: What is mixed; some of its images have boxes.
        arguments: The command's.
        ratio_range: Bounds of λ, or None for Beta.

    Attributes:
        unreadable: Positions of images that were skipped, with what is wrong with them.
    """

    def __init__(
        self, dataset: DetectionDataset, arguments: argparse.Namespace, ratio_range: tuple[float, float] | None
    ) -> None:
        self._dataset, self._arguments, self._ratio_range = dataset, arguments, ratio_range
        self._generator = np.random.default_rng(arguments.seed)
        has_boxes = dataset.image_classes().has_boxes
        self._primaries = np.flatnonzero(has_boxes)
        law = arguments.partners
        self._weights = has_boxes.astype(np.float64) if law is None else weights_to_draw_by(law, dataset)
        self.unreadable: dict[int, ImageReadError] = {}

    def __iter__(self) -> Iterator[MixTriple]:
        made = 0
        while made < self._arguments.n:
            for index in self._generator.permutation(self._primaries).tolist():
                primary = self._read(index)
                if primary is not None and made < self._arguments.n:
                    made += 1
                    yield self._mix(index, primary)
            if not made:
                raise next(iter(self.unreadable.values()))

    def _mix(self, index: int, primary: dict[str, Any]) -> MixTriple:
        alpha, draw = self._arguments.alpha, self._generator
        ratio = draw.beta(alpha, alpha) if self._ratio_range is None else draw.uniform(*self._ratio_range)
        partner_index, partner = self._partner(index, primary)
        mixed = mix_pair(primary, partner, float(ratio), fit_mode=self._arguments.fit_mode)
        names = (self._dataset.image_path(number).stem for number in (index, partner_index))
        return MixTriple(primary, partner, mixed, float(ratio), *names)

    def _partner(self, index: int, primary: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Draw another image that can be read; the primary itself where there is no other."""
        weights = self._weights.copy()
        weights[[index, *self.unreadable]] = 0
        while weights.any():
            other = int(self._generator.choice(len(weights), p=weights / weights.sum()))
            sample = self._read(other)
            if sample is not None:
                return other, sample
            weights[other] = 0
        return index, primary

    def _read(self, index: int) -> dict[str, Any] | None:
        if index in self.unreadable:
            return None
        try:
            return self._dataset[index]
        except ImageReadError as error:
            if self._arguments.on_unreadable == "stop":
                raise
            self.unreadable[index] = error
            return None


def _open(arguments: argparse.Namespace) -> DetectionDataset:
    if arguments.src is not None:
        return open_source(arguments)
    for option in ("split", "layout", "images", "annotations", "classes"):
        if getattr(arguments, option) is not None:
            raise ArgumentError(
                f"--{option} must come with SRC, got {getattr(arguments, option)!r} alone: the images inside the "
                "package need none"
            )
    return sample_dataset()


def _check_output(output: Path) -> None:
    """Refuse before the work what could not be written after it."""
    if output.suffix.lower() not in {"", ".png"}:
        raise ArgumentError(f"-o must be a PNG, got {output}: end it in .png")
    if not output.name or (output.exists() and not output.is_file()):
        raise ArgumentError(f"-o must be a file, got {str(output)!r}: give a file's name, such as preview.png")
    if not output.absolute().parent.is_dir():
        raise ArgumentError(f"-o must lie in a folder that exists, got {output}: make the folder first")


def _write_png(figure: "Figure", output: Path) -> None:
    """Write a figure whole or not at all; through a symbolic link, to where it points."""
    target = Path(os.path.realpath(output))
    page = io.BytesIO()
    figure.savefig(page, format="png")
    try:
        write_whole(target, [page.getvalue()], target.with_name(f".{target.name}.{os.getpid()}.tmp"))
    except OSError as error:  # whose own words would name the temporary file
        raise ArgumentError(
            f"-o must be a file that can be written, got {output}: {error.strerror or error}"
        ) from error
