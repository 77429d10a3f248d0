"""Draw samples with their boxes, labels and weights (matplotlib, the `cli` extra).

matplotlib is imported when something is drawn, never when this module is: `import alb_mixup` does not need it.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from alb_mixup.errors import InstallationError
from alb_mixup.view.scene import Scene, read_scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

# Okabe & Ito's colours, which people with any colour vision tell apart (https://jfly.uni-koeln.de/color/).
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#000000")

_TAG_SHARE = 0.2  # of the picture: more tags than this hide what they name
_CHIP_PAD = 0.15  # around a tag's text, of its font's size
_DASHES = (0, (5, 2.5))  # of a partner's box: on, off, in widths of its line
# Asked for glyphs that the usual font lacks, where they are installed.
_FALLBACK_FONTS = (
    "Noto Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK KR", "Hiragino Sans", "PingFang SC",
    "Apple SD Gothic Neo", "Yu Gothic", "Microsoft YaHei", "Malgun Gothic", "WenQuanYi Micro Hei", "Arial Unicode MS",
)  # fmt: skip
_colors: dict[str, str] = {}


def plot(sample: Mapping[str, Any], ax: Axes | None = None, *, bbox_format: str | None = None) -> Axes:
    """Draw a sample's image with its boxes, labels and MixUp weights.

    A class has the same colour in every picture of a process. A lighter weight makes a thinner and paler box. Tags
    read "RBC 0.37"; where they would hide the picture or each other, the smaller boxes go without.

    Args:
        sample: What goes into a pipeline or comes out of it. `image` is an array of (H, W), (H, W, 1), (H, W, 3) RGB
            or (H, W, 4), whose fourth channel is not drawn; uint8 in 0 to 255 or float in 0 to 1. `bboxes`, if any,
            are (N, 4), or (N, 5) with an angle in degrees as AlbumentationsX has it; `labels` are N strings or
            integers; `mixup_weight` is N weights, of which 1 and more are drawn alike; boxes whose `of_partner` (N
            booleans) is true are dashed.
        ax: Where to draw; a new pyplot figure if None.
        bbox_format: How to read the boxes: "pascal_voc", "coco", "yolo", "albumentations" or "cxcywh". None: as the
            sample says, which those of this package's datasets do, else "pascal_voc".

    Returns:
        The axes. They hold one Rectangle a box, in the order of `bboxes`, in pixels from the image's top left corner.

    Raises:
        ArgumentError: `bbox_format` is unknown.
        SampleError: The sample's image, boxes, labels or weights cannot be drawn; boxes read in a format that is not
            theirs mostly cannot.
        InstallationError: `matplotlib` is missing.

    Examples:
        >>> import alb_mixup
        >>> dataset = alb_mixup.sample_dataset()
        >>> ax = alb_mixup.plot(dataset[0])
        >>> ax.figure.savefig("sample.png")  # doctest: +SKIP
    """
    require_matplotlib()
    scene = read_scene(sample, bbox_format)
    if ax is None:
        ax = _new_axes(scene.image)
    draw(ax, scene)
    draw_tags(ax, scene)
    return ax


def require_matplotlib() -> None:
    """Name the extra where matplotlib is missing.

    Raises:
        InstallationError: It is.
    """
    try:
        import matplotlib  # noqa: F401, PLC0415
    except ImportError as error:
        raise InstallationError(
            'plotting needs matplotlib, got none, for it is not installed: pip install "alb-mixup[cli]"'
        ) from error


def class_color(name: str) -> str:
    """Choose the colour of a class, once a process.

    The name alone decides where in the palette to look first, which keeps colours from run to run; a colour is
    given twice only when all are taken, and `alike` tells then.
    """
    if name not in _colors:
        start = zlib.crc32(name.encode()) % len(PALETTE)
        choices = PALETTE[start:] + PALETTE[:start]
        taken = set(_colors.values())
        _colors[name] = next((color for color in choices if color not in taken), choices[0])
    return _colors[name]


def alike(names: Iterable[str]) -> set[str]:
    """The classes among these whose colour is another's too."""
    colors = {name: class_color(name) for name in names}
    often = Counter(colors.values())
    return {name for name, color in colors.items() if often[color] > 1}


def _new_axes(image: NDArray[Any]) -> Axes:
    from matplotlib import pyplot as plt  # noqa: PLC0415

    height, width = image.shape[:2]
    inches = 8.0 / max(height, width)
    _, ax = plt.subplots(
        figsize=(max(width * inches, 2.0), max(height * inches, 2.0)),
        gridspec_kw={"left": 0.01, "right": 0.99, "bottom": 0.01, "top": 0.93},
    )
    return ax


def _inches_wide(ax: Axes) -> float:
    ax.apply_aspect()
    return float(ax.get_window_extent().width / ax.figure.dpi)


def draw(ax: Axes, scene: Scene) -> None:
    """Draw the image and its boxes, heavy boxes over light ones."""
    from matplotlib.patches import Rectangle  # noqa: PLC0415
    from matplotlib.patheffects import withStroke  # noqa: PLC0415

    height, width = scene.image.shape[:2]
    # The extent puts coordinate 0 on the outer edge of the first pixel, as boxes have it, not on its centre.
    ax.imshow(scene.image, cmap="gray", vmin=0, vmax=_white(scene.image), extent=(0, width, height, 0), aspect="equal")
    ax.set(xticks=[], yticks=[], xlim=(0, width), ylim=(height, 0))
    ax.spines[:].set_visible(False)
    unit = float(np.clip(_inches_wide(ax) / 5, 0.4, 1))
    for (left, top, right, bottom), angle, name, weight, of_partner in zip(
        scene.xyxy, scene.angles, scene.names, np.minimum(scene.weights, 1), scene.of_partner, strict=True
    ):
        line = unit * (0.6 + 1.9 * weight)
        halo = withStroke(linewidth=line + 1.6 * unit, foreground="white", alpha=0.15 + 0.45 * weight)
        ax.add_patch(
            Rectangle(
                (left, top),
                right - left,
                bottom - top,
                angle=angle,
                rotation_point="center",
                fill=False,
                edgecolor=class_color(name),
                linewidth=line,
                linestyle=_DASHES if of_partner else "-",
                alpha=0.35 + 0.65 * weight,
                zorder=2 + weight,
                path_effects=[halo],
            )
        )


def _white(image: NDArray[Any]) -> float:
    return 255.0 if image.dtype == np.uint8 else 1.0


def draw_tags(ax: Axes, scene: Scene) -> None:
    """Write the boxes' tags where there is room, those of the largest boxes first."""
    height, width = scene.image.shape[:2]
    inches = _inches_wide(ax)
    px = ax.get_window_extent().width / width  # on the screen, for one of the image
    room = _TAG_SHARE * height * width
    placed: list[_Spot] = []
    for index in np.argsort(-np.prod(scene.xyxy[:, 2:] - scene.xyxy[:, :2], axis=1), kind="stable"):
        if not scene.tags[index] or room <= 0:
            continue
        chip = ax.text(
            0, 0, scene.tags[index], zorder=4, **chip_style(class_color(scene.names[index]), scene.weights[index])
        )
        chip.set_fontsize(4.5 + 2.5 * min(inches / 5, 1))
        wide, high, pad = (side / px for side in chip_size(chip, ax.figure.dpi))
        spot = _free_spot(scene.xyxy[index], (wide, high), (width, height), placed)
        if spot is None:
            chip.remove()
            continue
        chip.set_position((spot.left + pad, spot.top + pad))
        placed.append(spot)
        room -= wide * high


class _Spot(NamedTuple):
    """The rectangle that a tag takes, in pixels of the image."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: _Spot) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def _free_spot(
    xyxy: NDArray[np.float64], tag_wh: tuple[float, float], image_wh: tuple[int, int], placed: list[_Spot]
) -> _Spot | None:
    """Find where a tag covers no other: in an upper corner of its box, or above or below a small one."""
    left, top, right, bottom = xyxy.tolist()
    wide, high = tag_wh
    if wide <= right - left and 2 * high <= bottom - top:
        corners = [(left, top), (right - wide, top)]
    else:
        corners = [(left, top - high), (left, bottom)]
    for x, y in corners:
        # max last: what is larger than the image starts at its left or top
        x0, y0 = max(0.0, min(x, image_wh[0] - wide)), max(0.0, min(y, image_wh[1] - high))
        spot = _Spot(x0, y0, x0 + wide, y0 + high)
        if not any(spot.overlaps(other) for other in placed):
            return spot
    return None


@lru_cache(maxsize=1)
def font_families() -> list[str]:
    """The usual font, and those installed that know glyphs which it lacks: class names are in every script."""
    from matplotlib import font_manager, rcParams  # noqa: PLC0415

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return [*rcParams["font.family"], *(name for name in _FALLBACK_FONTS if name in installed)]


def chip_style(color: str, weight: float = 1.0) -> dict[str, Any]:
    """Style text as a chip in a class's colour, its top left corner at the text's position."""
    red, green, blue = (int(color[k : k + 2], 16) / 255 for k in (1, 3, 5))
    return {
        "color": "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.55 else "white",
        "ha": "left",
        "va": "top",
        "parse_math": False,  # a class may be named "$"
        "family": font_families(),
        "bbox": {
            "boxstyle": f"square,pad={_CHIP_PAD}",
            "facecolor": color,
            "edgecolor": "none",
            "alpha": 0.5 + 0.4 * min(weight, 1),
        },
    }


def chip_size(chip: Text, dpi: float) -> tuple[float, float, float]:
    """Measure a chip on the screen: width, height and the padding in them, in pixels."""
    pad = _CHIP_PAD * float(chip.get_fontsize()) * dpi / 72
    extent = chip.get_window_extent()
    # 8 % over: hinting makes the same text wider at some resolutions, and a figure may be saved at any.
    return 1.08 * extent.width + 2 * pad, extent.height + 2 * pad, pad
