"""A page of mixes, each beside the two originals that it was made from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from alb_mixup.errors import ArgumentError
from alb_mixup.plot import Scene, chip_size, chip_style, class_color, draw, draw_tags, read_scene, require_matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text

# All in inches.
_DPI = 110
_SMALL = 1.35  # width of an original; the mix is as high as two of them
_GAP = 0.04
_CAPTION = 0.24
_MARGIN = 0.16
_HEADER = 0.66
_MORE = 0.8  # kept free for "and 60 more"
_CARDS_IN_A_ROW = 4


class MixTriple(NamedTuple):
    """One mix and where it came from, as `plot_mixes` draws it.

    Attributes:
        primary: the sample that went in.
        partner: the sample that was drawn from the reference.
        mixed: the sample that came out.
        ratio: λ in [0, 1], the primary's share.
        primary_name: short name of the primary, such as its file's; of a long one, the end is drawn.
        partner_name: short name of the partner.
    """

    primary: Mapping[str, Any]
    partner: Mapping[str, Any]
    mixed: Mapping[str, Any]
    ratio: float
    primary_name: str
    partner_name: str


def plot_mixes(mixes: Iterable[MixTriple], *, title: str = "", bbox_format: str = "pascal_voc") -> Figure:
    """Draw a page of mixes, each beside the two originals that it was made from.

    Args:
        mixes: At least one. Only reduced copies of the images are kept, so a generator of large ones needs
            little memory.
        title: A line at the top of the page.
        bbox_format: How to read the boxes of all samples, as in `plot`.

    Returns:
        A figure that pyplot does not know: nothing to close, and no display needed. `figure.savefig` writes it.

    Raises:
        ArgumentError: If `mixes` is empty or `bbox_format` is unknown.
        SampleError: If a sample cannot be drawn.
        InstallationError: If matplotlib is missing.
    """
    require_matplotlib()
    cards = [_card(mix, bbox_format) for mix in mixes]
    if not cards:
        raise ArgumentError("mixes must hold at least one mix, got none: pass an iterable of MixTriple")
    names = sorted({name for _, panels in cards for panel in panels for name in panel.names if name})
    # The usual shape: the tallest would leave most of the page white where one portrait is among landscapes.
    aspect = np.median([panel.image.shape[0] / panel.image.shape[1] for _, panels in cards for panel in panels])
    page = _Page(len(cards), float(np.clip(aspect, 0.4, 2)))
    page.write_header(title, names)  # sorted and first: no draw decides which class gets its colour first
    for index, (caption, panels) in enumerate(cards):
        page.draw(index, caption, panels)
    return page.figure


def _card(mix: MixTriple, bbox_format: str) -> tuple[str, list[Scene]]:
    """Reduce a mix to what is drawn of it: tags with weights on the mix alone, colours tell the classes."""
    first, second = (f"…{name[-15:]}" if len(name) > 16 else name for name in (mix.primary_name, mix.partner_name))
    caption = f"λ = {mix.ratio:.2f}:   {mix.ratio:.2f} × {first} + {1 - mix.ratio:.2f} × {second}"
    primary, partner, mixed = (
        _reduced(read_scene(sample, bbox_format), round(2 * _SMALL * _DPI))
        for sample in (mix.primary, mix.partner, mix.mixed)
    )
    untagged = [replace(scene, tags=[""] * len(scene.tags)) for scene in (primary, partner)]
    return caption, [*untagged, replace(mixed, tags=[f"{weight:.2f}" for weight in mixed.weights])]


def _reduced(scene: Scene, side: int) -> Scene:
    """Shrink a scene, boxes included, until no side of its image is longer than `side` pixels."""
    height, width = scene.image.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return scene
    size = max(1, round(width * scale)), max(1, round(height * scale))
    image = cv2.resize(scene.image, size, interpolation=cv2.INTER_AREA)
    return replace(scene, image=image, xyxy=scene.xyxy * ([size[0] / width, size[1] / height] * 2))


class _Page:
    """A figure with room for `count` cards: two originals above each other, their mix beside them."""

    def __init__(self, count: int, aspect: float) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415

        self._columns = min(_CARDS_IN_A_ROW, math.ceil(math.sqrt(count)))
        self._small = _SMALL, _SMALL * aspect
        self._large = 2 * _SMALL + _GAP / aspect, 2 * self._small[1] + _GAP
        self._card = _SMALL + _GAP + self._large[0] + _MARGIN, self._large[1] + _CAPTION + _GAP
        self._width = self._columns * self._card[0] + _MARGIN
        self._height = math.ceil(count / self._columns) * self._card[1] + _HEADER + _MARGIN
        self.figure = Figure(figsize=(self._width, self._height), dpi=_DPI, facecolor="white")
        FigureCanvasAgg(self.figure)  # keeps one renderer: without it, measuring each tag would make its own

    def write_header(self, title: str, names: Sequence[str]) -> None:
        """Write the title, and under it the classes in their colours, as many as one line holds."""
        self._write(_MARGIN, 0.1, title, fontsize=11, weight="bold")
        left, top = _MARGIN, 0.4
        for index, name in enumerate(names):
            chip = self._write(left, top, name, fontsize=8, **chip_style(class_color(name)))
            wide, _, pad = (side / _DPI for side in chip_size(chip, _DPI))
            if left + wide + _MORE > self._width and index + 1 < len(names):
                chip.remove()
                self._write(left, top, f"and {len(names) - index} more", fontsize=8)
                return
            chip.set_x((left + pad) / self._width)
            left += wide + 0.08

    def draw(self, index: int, caption: str, panels: list[Scene]) -> None:
        """Draw one card."""
        row, column = divmod(index, self._columns)
        left, top = _MARGIN + column * self._card[0], _HEADER + row * self._card[1]
        self._write(left, top + 0.06, caption, fontsize=7.5)
        top, right = top + _CAPTION, left + _SMALL + _GAP
        places = [(left, top, self._small), (left, top + self._small[1] + _GAP, self._small), (right, top, self._large)]
        for (x, y, (width, height)), scene in zip(places, panels, strict=True):
            bottom = 1 - (y + height) / self._height
            ax = self.figure.add_axes((x / self._width, bottom, width / self._width, height / self._height))
            ax.set_anchor("NW")  # an image of another shape than most stays by its caption
            draw(ax, scene)
            draw_tags(ax, scene)

    def _write(self, left: float, top: float, text: str, **style: Any) -> Text:
        style = {"va": "top", "parse_math": False, **style}
        return self.figure.text(left / self._width, 1 - top / self._height, text, **style)
