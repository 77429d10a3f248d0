"""MixUp under sliders, in a notebook (ipywidgets, the `notebook` extra).

ipywidgets and matplotlib are imported when something is shown, never when this module is.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alb_mixup.datasets.partner_weights import Law, as_law, weights_to_draw_by
from alb_mixup.datasets.protocols import Sample, format_of, like
from alb_mixup.errors import AlbMixUpError, ArgumentError, InstallationError
from alb_mixup.functional import Array
from alb_mixup.functional.geometry import FIT_MODES
from alb_mixup.transforms.mixup import MixUp
from alb_mixup.transforms.pipeline import detection_pipeline
from alb_mixup.view.pages import CAPTION, DPI, LEGEND, MARGIN, Sheet, class_names, plot_samples, reduced, tags_without
from alb_mixup.view.plot import PALETTE
from alb_mixup.view.scene import Scene, read_scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ALPHAS = (0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 16.0, 32.0, 64.0)
_STRIP = (1.0, 0.75, 0.5, 0.25, 0.0)
# In inches: widths of the mix and of an original, heights of the mix and of the density.
_LARGE, _SMALL, _HEIGHTS, _DENSITY = 5.6, 1.9, (3.6, 5.6), 0.85
_FIELDS = ("labels", "mixup_weight", "of_partner")
_KEYS = ("image", "bboxes", *_FIELDS)


def explore(
    dataset: Sequence[Mapping[str, Any]], *, partner_weights: Law | Sequence[float] | Array | None = None
) -> Explorer:
    """Show MixUp under sliders, in a notebook: as the last line of a cell, `alb_mixup.explore(dataset)`.

    λ, α, the fit mode, the primary and its partner can be moved, and the mix and its weights are drawn anew. "Draw λ"
    draws λ ~ Beta(α, α) as `MixUp(alpha=α)` does, "Draw partner" a partner as `MixUp` does with these weights. Where
    nothing runs (a page made of the notebook, GitHub's viewer), a strip of mixes from λ = 1 to λ = 0 stands in its
    place. A notebook that you ran and saved, and reopen without its kernel, shows the last mix if JupyterLab's "Save
    Widget State Automatically" (Settings) was on; else it says "Error displaying widget" until the cell is run again.

    Args:
        dataset: A dataset of this package, or any sequence of dicts with `image`, `bboxes`, `labels` and, if it has
            them, `mixup_weight`. Its attribute `bbox_format`, if it has one, says the format of its boxes;
            else they are "pascal_voc". Samples are read when they are chosen.
        partner_weights: As for `MixUp`.

    Returns:
        What the notebook shows. The partner is another sample than the primary, where there is another.

    Raises:
        ArgumentError: `dataset` holds nothing, or `partner_weights` do not fit it.
        SampleError: The first samples cannot be mixed or drawn.
        InstallationError: `ipywidgets` or `matplotlib` is missing.

    Examples:
        >>> import alb_mixup
        >>> alb_mixup.explore(alb_mixup.sample_dataset())  # doctest: +SKIP
    """
    return Explorer(dataset, partner_weights)


def mix_pair(
    primary: Mapping[str, Any],
    partner: Mapping[str, Any],
    ratio: float,
    *,
    fit_mode: str = "contain",
    bbox_format: str | None = None,
) -> dict[str, Any]:
    """Mix two given samples at a given λ, with `MixUp` itself.

    Args:
        primary: Dict of `image`, `bboxes`, `labels` and, if it has them, `mixup_weight`.
        partner: The same, in the same box format.
        ratio: The primary's share λ in [0, 1].
        fit_mode: As for `MixUp`.
        bbox_format: Format of the boxes in and out. None: as the primary says, else "pascal_voc".

    Returns:
        The mix: `image`, `bboxes`, `labels`, `mixup_weight`, and `of_partner`, which is 1 for the partner's boxes, else
        0. It says its format as the samples of this package's datasets do.

    Raises:
        ArgumentError: `ratio` or `fit_mode` breaks its constraint.
        SampleError: The two do not fit together.

    Examples:
        >>> from alb_mixup import mix_pair, sample_dataset
        >>> dataset = sample_dataset()
        >>> mixed = mix_pair(dataset[0], dataset[1], 0.75)
        >>> len(mixed["bboxes"]) == len(dataset[0]["bboxes"]) + len(dataset[1]["bboxes"])
        True
    """
    bbox_format = bbox_format or format_of(primary) or "pascal_voc"
    reference = [like(partner, {**partner, "of_partner": [1] * len(partner["bboxes"])})]
    mixup = MixUp(reference, ratio_range=(ratio, ratio), fit_mode=fit_mode, p=1.0)
    ones = np.ones(len(primary["bboxes"]), np.float32)
    sample = {"mixup_weight": ones, **primary, "of_partner": [0] * len(ones)}
    mixed = detection_pipeline([mixup], bbox_format, label_fields=_FIELDS)(**{key: sample[key] for key in _KEYS})
    return Sample({key: mixed[key] for key in _KEYS}, bbox_format)


def beta_density(ratios: ArrayLike, alpha: float) -> NDArray[np.float64]:
    """Compute how often λ ~ Beta(α, α) is near each of some values: x^(α-1) · (1-x)^(α-1) · Γ(2α) / Γ(α)².

    Args:
        ratios: Values of λ between 0 and 1, both excluded.
        alpha: Positive.

    Returns:
        The density at each of them, float64.
    """
    x = np.asarray(ratios, np.float64)
    log_density = (alpha - 1) * (np.log(x) + np.log1p(-x)) + math.lgamma(2 * alpha) - 2 * math.lgamma(alpha)
    return np.asarray(np.exp(log_density))


class Explorer:
    """What `explore` returns: shows itself in a notebook.

    Attributes:
        ratio: The widget of λ; its `value` can be read and set, as those of the others.
        alpha: The widget of α.
        fit_mode: The widget of the fit mode; off while both images have the same size, which fits in every mode.
        primary: The widget of the primary's index.
        partner: The widget of the partner's index.
        picture: The widget of the picture; its `value` is a JPEG.
    """

    def __init__(
        self, dataset: Sequence[Mapping[str, Any]], partner_weights: Law | Sequence[float] | Array | None = None
    ) -> None:
        widgets = _require_ipywidgets()
        if len(dataset) == 0:
            raise ArgumentError("dataset must hold at least one sample, got an empty one: there is nothing to mix")
        law = as_law(partner_weights)
        self._weights = np.ones(len(dataset)) if law is None else weights_to_draw_by(law, dataset)
        self._bbox_format = format_of(dataset)
        self._read = lru_cache(maxsize=2)(lambda index: dataset[index])
        last = len(dataset) - 1
        self.ratio = widgets.FloatSlider(0.5, min=0, max=1, step=0.01, description="λ")
        self.alpha = widgets.SelectionSlider(options=_ALPHAS, value=1.5, description="α")
        self.fit_mode = widgets.Dropdown(options=list(FIT_MODES), description="fit mode")
        self.primary = widgets.IntSlider(0, 0, last, description="primary")
        self.partner = widgets.IntSlider(min(1, last), 0, last, description="partner")
        self.picture = widgets.Image(format="jpeg", layout={"max_width": "100%"})
        self._message = widgets.Label()
        draw = widgets.Button(description="Draw λ", tooltip="draw λ from Beta(α, α)")
        draw.on_click(lambda _: self._draw_ratio())
        draw_partner = widgets.Button(description="Draw partner", tooltip="draw another sample as MixUp draws it")
        draw_partner.on_click(lambda _: self._draw_partner())
        chosen = [self.ratio, self.alpha, self.fit_mode, self.primary, self.partner]
        rows = [[self.ratio, self.alpha, draw, self.fit_mode], [self.primary, self.partner, draw_partner]]
        self._shown = widgets.VBox([*map(widgets.HBox, rows), self.picture, self._message])
        self._redraw()
        self._strip = _jpeg(self._static_strip())
        for side, other in ((self.primary, self.partner), (self.partner, self.primary)):
            side.observe(lambda change, other=other: self._keep_apart(change, other), names="value")
        for widget in chosen:
            widget.observe(lambda _: self._respond(), names="value")

    def _draw_ratio(self) -> None:
        self.ratio.value = round(float(np.random.default_rng().beta(self.alpha.value, self.alpha.value)), 2)

    def _draw_partner(self) -> None:
        weights = self._weights.copy()
        weights[self.primary.value] = 0
        if weights.any():
            self.partner.value = int(np.random.default_rng().choice(len(weights), p=weights / weights.sum()))

    def _keep_apart(self, change: Mapping[str, Any], other: Any) -> None:
        """Move the partner on where both sliders are at one sample: mixed with itself, it says nothing."""
        if change["new"] != other.value or self.partner.max == 0:
            return
        step = -1 if change["owner"] is self.partner and change["new"] < change["old"] else 1
        self.partner.value = (change["new"] + step) % (self.partner.max + 1)

    def _respond(self) -> None:
        """Redraw, or say what is wrong: an exception here would be lost in the front end's log."""
        try:
            self._redraw()
            self._message.value = ""
        except (AlbMixUpError, OSError) as error:
            self._message.value = str(error)

    def _redraw(self) -> None:
        primary, partner = self._read(self.primary.value), self._read(self.partner.value)
        ratio, alpha = self.ratio.value, self.alpha.value
        self.fit_mode.disabled = primary["image"].shape[:2] == partner["image"].shape[:2]
        mixed = mix_pair(primary, partner, ratio, fit_mode=self.fit_mode.value, bbox_format=self._bbox_format)
        samples = {"mix": mixed, "primary": primary, "partner": partner}
        read = {name: read_scene(sample, self._bbox_format) for name, sample in samples.items()}
        self.picture.value = _jpeg(_draw(read, ratio, alpha))

    def _static_strip(self) -> Figure:
        primary, partner = self._read(self.primary.value), self._read(self.partner.value)
        mixes = [mix_pair(primary, partner, ratio, bbox_format=self._bbox_format) for ratio in _STRIP]
        captions = [f"λ = {ratio:g}" for ratio in _STRIP]
        return plot_samples(mixes, captions, columns=len(_STRIP), bbox_format=self._bbox_format)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """Both forms, of which a viewer takes the richest that it can show: the widgets, or the strip."""
        return {**self._shown._repr_mimebundle_(), "image/jpeg": base64.b64encode(self._strip).decode("ascii")}


def _draw(scenes: Mapping[str, Scene], ratio: float, alpha: float) -> Figure:
    """Draw the mix, and beside it the primary, the partner, and where λ lies in Beta(α, α)."""
    mixed = scenes["mix"]
    height = float(np.clip(_LARGE * mixed.image.shape[0] / mixed.image.shape[1], *_HEIGHTS))
    small = _SMALL, (height - 2 * CAPTION - _DENSITY - MARGIN) / 2
    right = 2 * MARGIN + _LARGE
    sheet = Sheet(right + _SMALL + MARGIN, LEGEND + CAPTION + height + MARGIN)
    named = sheet.write_legend(class_names([scenes["primary"], scenes["partner"]]), top=0.1)
    top = LEGEND
    caption = f"λ = {ratio:.2f}:   {ratio:.2f} × primary + {1 - ratio:.2f} × partner (dashed)"
    sheet.write(MARGIN, top + 0.06, caption, fontsize=9)
    large = reduced(tags_without(mixed, all_but=named), round(_LARGE * DPI))
    sheet.place(MARGIN, top + CAPTION, (_LARGE, height), large)
    for name in ("primary", "partner"):
        sheet.write(right, top + 0.06, name, fontsize=8)
        untagged = tags_without(scenes[name], weights=True, all_but=named)
        sheet.place(right, top + CAPTION, small, reduced(untagged, round(_SMALL * DPI)))
        top += CAPTION + small[1]
    sheet.write(right, top + 0.06, f"how often λ is drawn, α = {alpha:g}", fontsize=8)
    draw_density(sheet.axes(right, top + CAPTION, (_SMALL, _DENSITY)), alpha, ratio)
    return sheet.figure


def draw_density(ax: Axes, alpha: float, ratio: float | None = None) -> None:
    """Draw the density of λ ~ Beta(α, α), with a line at one λ.

    Args:
        ax: Where to draw.
        alpha: Positive.
        ratio: Where to draw the line; None: nowhere.
    """
    x = np.linspace(0.005, 0.995, 199)
    density = beta_density(x, alpha)
    ax.fill_between(x, density, color=PALETTE[4], alpha=0.5, linewidth=0)
    ax.plot(x, density, color=PALETTE[0], linewidth=1.2)
    if ratio is not None:
        ax.axvline(ratio, color=PALETTE[3], linewidth=1.5)
    ax.set(xlim=(0, 1), ylim=(0, None), xticks=[0, 0.5, 1], xticklabels=["0", "½", "1"], yticks=[])
    ax.tick_params(labelsize=7, length=2, pad=1.5)
    ax.spines[["left", "right", "top"]].set_visible(False)


def _jpeg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="jpeg", pil_kwargs={"quality": 90})
    return buffer.getvalue()


def _require_ipywidgets() -> Any:
    try:
        import ipywidgets  # noqa: PLC0415
    except ImportError as error:
        raise InstallationError(
            'explore needs ipywidgets, got none, for it is not installed: pip install "alb-mixup[notebook]"'
        ) from error
    return ipywidgets
