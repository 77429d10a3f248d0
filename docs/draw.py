"""Draw the pictures of the pages: `python docs/draw.py` writes them to docs/images."""

import warnings
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

from alb_mixup import ClassWeights, RepeatFactor, VocDataset, mix_pair, plot_samples, sample_dataset
from alb_mixup.view.survey import shares_of_draws

FOLDER = Path(__file__).parent / "images"
BLUE, ORANGE, GREEN, RED, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9"  # Okabe & Ito
WEIGHTS = {1.0: "black", 0.6: BLUE, 0.2: ORANGE}

# From top to bottom; a room may import from those below it.
LAYERS = [
    [("cli", "parses, calls, reports")],
    [
        ("integrations", "one module a framework"),
        ("generation", "sets on disk"),
        ("view", "plots, pages, explorer"),
    ],
    [("transforms", "the idea: MixUp, Primary, Reference, Partner")],
    [("datasets", "readers, caches, mosaics, protocols")],
    [("_backend", "the two Albumentations"), ("_support", "checks, files, locks")],
    [("functional", "pure kernels"), ("errors", "one tree")],
]
WALK = [
    ("A.Compose", ["boxes to its own form,", "labels to numbers"], "#EEEEEE"),
    ("MixUp.draw", ["look: Primary", "draw: λ, index, seed", "read: Reference"], "#D6EBF7"),
    ("record", ["λ, index, seed:", "never pixels"], "#FFF3D6"),
    ("MixUp.mix", ["partner: place, convert", "rows: join, weight, drop", "pixels: addWeighted"], "#D6EBF7"),
    ("A.Compose", ["flips, crops, colour:", "weights stay with", "their boxes"], "#EEEEEE"),
]


def keep(figure, name):
    """Write a figure, the same bytes each time."""
    mpl.rcParams["svg.hashsalt"] = name
    figure.savefig(FOLDER / name, metadata={"Date": None}, facecolor="white")
    plt.close(figure)


def blank(width, height):
    """Return axes of a size in inches, without anything, in those units from the top left."""
    figure = plt.figure(figsize=(width, height))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(height, 0))
    ax.axis("off")
    return figure, ax


def box(ax, x, y, width, height, title, lines, color):
    """Draw a box with a title and lines below it."""
    shape = mpl.patches.FancyBboxPatch(
        (x, y), width, height, boxstyle="round,pad=0,rounding_size=0.08", facecolor=color, edgecolor="#555555"
    )
    ax.add_patch(shape)
    top = y + height / 2 - 0.095 * len(lines)
    ax.text(x + width / 2, top, title, ha="center", va="center", fontsize=10, family="monospace", weight="bold")
    for number, line in enumerate(lines, 1):
        ax.text(x + width / 2, top + 0.2 * number, line, ha="center", va="center", fontsize=8.5)


def layers():
    """Draw the rooms of the package."""
    figure, ax = blank(8, 4.7)
    height, gap, left, right = 0.6, 0.15, 0.2, 7.1
    for row, rooms in enumerate(LAYERS):
        width = (right - left - gap * (len(rooms) - 1)) / len(rooms)
        for column, (name, about) in enumerate(rooms):
            color = "#D6EBF7" if name == "transforms" else "#F2F2F2"
            box(ax, left + column * (width + gap), 0.15 + row * (height + gap), width, height, name, [about], color)
    arrow = {"arrowstyle": "-|>", "color": BLUE, "lw": 2}
    ax.annotate("", xy=(7.45, 4.45), xytext=(7.45, 0.2), arrowprops=arrow)
    ax.text(7.66, 2.3, "imports", rotation=270, va="center", ha="center", color=BLUE, fontsize=10)
    keep(figure, "layers.svg")


def walk():
    """Draw the walk of a sample."""
    figure, ax = blank(10, 2.1)
    width, gap = 1.72, 0.28
    for number, (title, lines, color) in enumerate(WALK):
        x = 0.15 + number * (width + gap)
        box(ax, x, 0.45, width, 1.15, title, lines, color)
        if number:
            ax.annotate("", xy=(x, 1.02), xytext=(x - gap, 1.02), arrowprops={"arrowstyle": "-|>", "color": BLUE})
    ax.text(3.0, 0.22, "all randomness", ha="center", fontsize=9, color=BLUE)
    ax.text(7.0, 0.22, "no randomness", ha="center", fontsize=9, color=BLUE)
    ax.text(5.0, 1.85, "a replay begins here", ha="center", fontsize=9, color=RED)
    keep(figure, "walk.svg")


def two_rules():
    """Draw what both rules make of a weight: binary cross-entropy of a matched location."""
    score = np.linspace(0.005, 0.995, 400)
    as_object, as_background = -np.log(score), -np.log(1 - score)
    rules = {
        "interpolate": lambda w: w * as_object + (1 - w) * as_background,
        "scale": lambda w: w * as_object,
    }
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.1), layout="constrained")
    for ax, (rule, loss) in zip(axes, rules.items(), strict=False):
        for weight, color in WEIGHTS.items():
            terms = loss(weight)
            ax.plot(score, terms, color=color, label=f"w = {weight:g}")
            lowest = terms.argmin()
            ax.plot(score[lowest], terms[lowest], "o", color=color, clip_on=False)
        aim = "the score aims at w" if rule == "interpolate" else "the score aims at 1"
        ax.set(title=f'rule="{rule}": {aim}', xlabel="score of the class", ylim=(0, 3), xlim=(0, 1))
        ax.legend(frameon=False, fontsize=8, loc="upper right" if rule == "scale" else "upper center")
    axes[0].set_ylabel("class term")
    ax, weight = axes[2], 0.6
    lines = [
        ("whole object (w = 1)", score - 1, "black", "--"),
        ("background", score, "gray", "--"),
        ("interpolate, w = 0.6", score - weight, GREEN, "-"),
        ("scale, w = 0.6", weight * (score - 1), RED, "-"),
    ]
    for label, gradient, color, style in lines:
        ax.plot(score, -gradient, style, color=color, label=label)
    ax.axhline(0, color="lightgray", linewidth=0.8, zorder=0)
    ax.set(title="pull on the logit", xlabel="score of the class", xlim=(0, 1), ylabel="down  ←   →  up")
    ax.legend(frameon=False, fontsize=7.5, loc="lower left")
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.title.set_fontsize(10)
    keep(figure, "two_rules.svg")


def rare_classes():
    """Draw repeat factors, and what two laws do to the classes of the embedded sample."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.5, 3.3), layout="constrained", width_ratios=(1, 1.3))
    shares = np.geomspace(1e-4, 1, 400)
    for threshold, color in ((0.1, ORANGE), (0.01, GREEN), (0.001, BLUE)):
        factors = np.maximum(1, np.sqrt(threshold / shares))
        left.plot(shares, factors, color=color, label=f"threshold = {threshold:g}")
    left.set(xscale="log", xlim=(1e-4, 1), ylim=(0, 11), xlabel="share of images that hold the class")
    left.set(title="RepeatFactor: how much more often", ylabel="weight of an image")
    left.legend(frameon=False, fontsize=8)
    dataset = sample_dataset()
    laws = {
        "RepeatFactor(threshold=0.9)": (RepeatFactor(0.9), SKY),
        'ClassWeights({"Platelets": 4.0})': (ClassWeights({"Platelets": 4.0}), ORANGE),
    }
    drawn = [("all images alike", [], "lightgray")]
    for name, (law, color) in laws.items():
        classes = shares_of_draws(law, dataset).classes
        drawn[0] = (drawn[0][0], [shares.before for shares in classes.values()], drawn[0][2])
        drawn.append((name, [shares.after for shares in classes.values()], color))
    for number, (name, heights, color) in enumerate(drawn):
        bars = right.bar(np.arange(len(heights)) + (number - 1) * 0.27, heights, 0.25, label=name, color=color)
        right.bar_label(bars, fmt="{:.0%}", fontsize=7)
    right.set(title="share of draws that bring a class", xticks=range(len(classes)), xticklabels=classes)
    right.set(ylim=(0, 1.45), yticks=[0, 0.5, 1], yticklabels=["0", "50 %", "100 %"])
    right.legend(frameon=False, fontsize=7.5, loc="upper left")
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
        ax.title.set_fontsize(10)
    keep(figure, "rare_classes.svg")


def background():
    """Draw a mix whose partner has no boxes: the embedded sample, of which platelets alone are objects."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # objects of other classes are left out
        dataset = VocDataset(sample_dataset().root, classes=["Platelets"])
    has_boxes = dataset.image_classes().has_boxes
    primary, partner = dataset[np.flatnonzero(has_boxes)[1]], dataset[np.flatnonzero(~has_boxes)[1]]
    samples = [primary, partner, mix_pair(primary, partner, 0.6)]
    captions = ["primary", "partner: nothing to find", "mix, λ = 0.6: weights 0.6"]
    figure = plot_samples(samples, captions, columns=3)
    figure.savefig(FOLDER / "background.png", metadata={"Software": None}, facecolor="white", dpi=90)


if __name__ == "__main__":
    mpl.use("agg")
    FOLDER.mkdir(exist_ok=True)
    layers()
    walk()
    two_rules()
    rare_classes()
    background()
