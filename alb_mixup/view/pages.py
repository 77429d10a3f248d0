"""Pages of samples: side by side, or mixes each beside the two originals that it was made from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from alb_mixup._support.progress import progress_bar
from alb_mixup.errors import ArgumentError
from alb_mixup.view.plot import (
    alike,
    chip_size,
    chip_style,
    class_color,
    draw,
    draw_tags,
    font_families,
    require_matplotlib,
)
from alb_mixup.view.scene import Scene, file_title, read_scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

# All in inches.
DPI = 110
_SMALL = 1.35  # width of an original; the mix is as high as two of them
_GAP = 0.04
CAPTION = 0.24
MARGIN = 0.16
_HEADER = 0.66
_MORE = 0.8  # kept free for "and 60 more"
_CARDS_IN_A_ROW = 4
LEGEND = 0.36
_TITLE = 16  # letters of a file name in a caption
_PAGE = 10.0  # width of a page of samples
_LARGEST = 5.0  # and of one sample on it


class MixTriple(NamedTuple):
    """One mix and where it came from, as `plot_mixes` draws it.

    Attributes:
        primary: The sample that went in.
        partner: The sample that was drawn from the reference.
        mixed: The sample that came out; with `of_partner`, as `plot` takes it, the partner's boxes are dashed.
        ratio: The primary's share λ in [0, 1].
        primary_name: Short name of the primary, such as its file's; of a long one, the end is drawn.
        partner_name: Short name of the partner.
    """

    primary: Mapping[str, Any]
    partner: Mapping[str, Any]
    mixed: Mapping[str, Any]
    ratio: float
    primary_name: str
    partner_name: str


def plot_mixes(
    mixes: Iterable[MixTriple], *, title: str = "", bbox_format: str | None = None, progress: bool = False
) -> Figure:
    """Draw a page of mixes, each beside the two originals that it was made from.

    Args:
        mixes: At least one. Only reduced copies of the images are kept, so a generator of large ones needs
            little memory.
        title: A line at the top of the page.
        bbox_format: How to read the boxes of all samples, as in `plot`.
        progress: Show a bar, where tqdm is installed.

    Returns:
        A figure that pyplot does not know: nothing to close, and no display needed. `figure.savefig` writes it.

    Raises:
        ArgumentError: `mixes` is empty, or `bbox_format` is unknown.
        SampleError: A sample cannot be drawn.
        InstallationError: `matplotlib` is missing.

    Examples:
        >>> from alb_mixup import mix_pair, sample_dataset
        >>> from alb_mixup.view.pages import MixTriple, plot_mixes
        >>> one, other = sample_dataset()[0], sample_dataset()[1]
        >>> figure = plot_mixes([MixTriple(one, other, mix_pair(one, other, 0.6), 0.6, "one", "other")])
        >>> figure.savefig("mixes.png")  # doctest: +SKIP
    """
    require_matplotlib()
    cards = [_card(mix, bbox_format) for mix in mixes]
    if not cards:
        raise ArgumentError("mixes must hold at least one mix, got none: pass an iterable of MixTriple")
    scenes = [panel for _, panels in cards for panel in panels]
    page = _Page(len(cards), _usual_aspect(scenes))
    page.write(MARGIN, 0.1, title, fontsize=11, weight="bold")
    named = page.write_legend(class_names(scenes), top=0.4)
    numbered = progress_bar(enumerate(cards), "drawing", total=len(cards), shown=progress)
    for index, (caption, (primary, partner, mixed)) in numbered:
        originals = [tags_without(scene, weights=True, all_but=named) for scene in (primary, partner)]
        page.draw(index, caption, [*originals, tags_without(mixed, all_but=named)])
    return page.figure


def plot_samples(
    samples: Iterable[Mapping[str, Any]],
    captions: Sequence[str] = (),
    *,
    columns: int = 4,
    bbox_format: str | None = None,
) -> Figure:
    """Draw samples side by side under their captions, and above them all the classes in their colours.

    Args:
        samples: At least one, each as `plot` takes it. Tags read the weight alone where colours tell the class.
        captions: One for each sample, or none.
        columns: How many share a row.
        bbox_format: How to read the boxes of all samples, as in `plot`.

    Returns:
        A figure that pyplot does not know, as `plot_mixes` returns it.

    Raises:
        ArgumentError: `samples` is empty, `captions` are not as many, or `bbox_format` is unknown.
        SampleError: A sample cannot be drawn.
        InstallationError: `matplotlib` is missing.

    Examples:
        >>> from alb_mixup import plot_samples, sample_dataset
        >>> dataset = sample_dataset()
        >>> figure = plot_samples([dataset[0], dataset[1]], ["one", "another"])
        >>> figure.savefig("samples.png")  # doctest: +SKIP
    """
    require_matplotlib()
    read = [read_scene(sample, bbox_format) for sample in samples]
    if not read or len(captions) not in {0, len(read)}:
        raise ArgumentError(
            f"samples must be at least one, with as many captions or none, got {len(read)} and {len(captions)} captions"
        )
    columns = min(columns, len(read))
    width = min(_LARGEST, (_PAGE - MARGIN) / columns - MARGIN)
    scenes = [reduced(scene, round(2 * width * DPI)) for scene in read]
    height, caption = width * _usual_aspect(scenes), (CAPTION if captions else 0)
    names = class_names(scenes)
    header, row_height = (LEGEND if names else MARGIN), caption + height + MARGIN
    sheet = Sheet(columns * (width + MARGIN) + MARGIN, header + math.ceil(len(scenes) / columns) * row_height)
    named = sheet.write_legend(names, top=0.1)
    for index, scene in enumerate(scenes):
        row, column = divmod(index, columns)
        left, top = MARGIN + column * (width + MARGIN), header + row * row_height
        sheet.write(left, top + 0.06, captions[index] if captions else "", fontsize=8)
        sheet.place(left, top + caption, (width, height), tags_without(scene, all_but=named))
    return sheet.figure


def _usual_aspect(scenes: Iterable[Scene]) -> float:
    """Height to width of most: the tallest would leave a page white where one portrait is among landscapes."""
    return float(np.clip(np.median([scene.image.shape[0] / scene.image.shape[1] for scene in scenes]), 0.4, 2))


def class_names(scenes: Iterable[Scene]) -> list[str]:
    """The classes, sorted: asked for their colours in this order, they have the same whatever was drawn."""
    return sorted({name for scene in scenes for name in scene.names if name})


def tags_without(scene: Scene, *, weights: bool = False, all_but: Set[str] = frozenset()) -> Scene:
    """Leave out of the tags what is told elsewhere.

    Args:
        scene: The scene.
        weights: Leave out the weights too.
        all_but: Classes whose names stay, for their colours do not tell them.
    """
    tags = []
    for name, tag in zip(scene.names, scene.tags, strict=True):
        weight = "" if weights else tag.removeprefix(name)
        tags.append(f"{name if name in all_but else ''}{weight}".strip())
    return replace(scene, tags=tags)


def _card(mix: MixTriple, bbox_format: str | None) -> tuple[str, list[Scene]]:
    """Reduce a mix to what is drawn of it: primary, partner, mix."""
    first, second = (file_title(name, _TITLE) for name in (mix.primary_name, mix.partner_name))
    caption = f"λ = {mix.ratio:.2f}:   {mix.ratio:.2f} × {first} + {1 - mix.ratio:.2f} × {second}"
    samples = (mix.primary, mix.partner, mix.mixed)
    return caption, [reduced(read_scene(sample, bbox_format), round(2 * _SMALL * DPI)) for sample in samples]


def reduced(scene: Scene, side: int) -> Scene:
    """Shrink a scene, boxes included, until no side of its image is longer than `side` pixels."""
    height, width = scene.image.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return scene
    size = max(1, round(width * scale)), max(1, round(height * scale))
    image = cv2.resize(scene.image, size, interpolation=cv2.INTER_AREA)
    return replace(scene, image=image, xyxy=scene.xyxy * ([size[0] / width, size[1] / height] * 2))


class Sheet:
    """A figure that is measured in inches from its top left corner."""

    def __init__(self, width: float, height: float) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415

        self._width, self._height = width, height
        self.figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
        FigureCanvasAgg(self.figure)  # keeps one renderer: without it, measuring each tag would make its own

    def write_legend(self, names: Sequence[str], top: float) -> set[str]:
        """Write the classes in their colours, as many as one line holds.

        Returns:
            The classes that no colour tells: it is another's too, or is not in the legend.
        """
        left, untold = MARGIN, alike(names)
        for index, name in enumerate(names):
            chip = self.write(left, top, name, fontsize=8, **chip_style(class_color(name)))
            wide, _, pad = (side / DPI for side in chip_size(chip, DPI))
            if left + wide + _MORE > self._width and index + 1 < len(names):
                chip.remove()
                self.write(left, top, f"and {len(names) - index} more", fontsize=8)
                return untold | set(names[index:])
            chip.set_x((left + pad) / self._width)
            left += wide + 0.08
        return untold

    def write(self, left: float, top: float, text: str, **style: Any) -> Text:
        """Write text below and to the right of a point."""
        style = {"va": "top", "parse_math": False, "family": font_families(), **style}
        return self.figure.text(left / self._width, 1 - top / self._height, text, **style)

    def place(self, left: float, top: float, size: tuple[float, float], scene: Scene) -> None:
        """Draw a scene into a place of (width, height), as large as it fits, at its top left."""
        ax = self.axes(left, top, size)
        ax.set_anchor("NW")  # an image of another shape than most stays by its caption
        draw(ax, scene)
        draw_tags(ax, scene)

    def axes(self, left: float, top: float, size: tuple[float, float]) -> Axes:
        """Add axes at a place of (width, height)."""
        width, height = size
        bottom = 1 - (top + height) / self._height
        return self.figure.add_axes((left / self._width, bottom, width / self._width, height / self._height))


class _Page(Sheet):
    """A sheet with room for `count` cards: two originals above each other, their mix beside them."""

    def __init__(self, count: int, aspect: float) -> None:
        self._columns = min(_CARDS_IN_A_ROW, math.ceil(math.sqrt(count)))
        self._small = _SMALL, _SMALL * aspect
        self._large = 2 * _SMALL + _GAP / aspect, 2 * self._small[1] + _GAP
        self._card = _SMALL + _GAP + self._large[0] + MARGIN, self._large[1] + CAPTION + _GAP
        super().__init__(
            self._columns * self._card[0] + MARGIN, math.ceil(count / self._columns) * self._card[1] + _HEADER + MARGIN
        )

    def draw(self, index: int, caption: str, panels: list[Scene]) -> None:
        """Draw one card."""
        row, column = divmod(index, self._columns)
        left, top = MARGIN + column * self._card[0], _HEADER + row * self._card[1]
        self.write(left, top + 0.06, caption, fontsize=7.5)
        top, right = top + CAPTION, left + _SMALL + _GAP
        below = top + _height_in(self._small, panels[0]) + _GAP
        places = [(left, top, self._small), (left, below, self._small), (right, top, self._large)]
        for place, scene in zip(places, panels, strict=True):
            self.place(*place, scene)


def _height_in(size: tuple[float, float], scene: Scene) -> float:
    """How high a scene is in a place of (width, height), as large as it fits."""
    height, width = scene.image.shape[:2]
    return min(size[1], float(size[0] * height / width))
