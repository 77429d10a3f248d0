"""Tables and a plot from the rows of the training study, and from nothing else.

python -m benchmarks.training.report            # tables on the screen, differences.png beside the rows
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from scipy import stats

from benchmarks.training_value import (
    ARMS,
    CLASSES,
    LENGTH_SUBSETS,
    LENGTHS,
    OTHER_DIVISOR,
    SHORT,
    SHORT_SUBSETS,
    SUBSETS,
    length_of,
    rows_of,
)

PRIMARY = (("interpolate", "blind"), ("scale", "blind"), ("interpolate", "scale"))
SECONDARY = (
    *((arm, "none") for arm in ARMS if arm != "none"), ("interpolate", "hard"), ("scale", "hard"),
)  # fmt: skip
EXPLORATORY = (("scale", OTHER_DIVISOR), ("interpolate", OTHER_DIVISOR))
FIRM = 1 - 0.05 / (len(PRIMARY) * len(CLASSES))
RESAMPLES = 10_000


class Contrast(NamedTuple):
    """One arm's score less another's, paired by subset."""

    arms: tuple[str, str]
    differences: np.ndarray  # (subsets,)

    def interval(self, level=0.95):
        """Return the ends of the t interval of the mean; NaN from fewer than two subsets."""
        count = len(self.differences)
        if count < 2:
            return np.nan, np.nan
        half = stats.t.ppf((1 + level) / 2, count - 1) * self.differences.std(ddof=1) / np.sqrt(count)
        return self.differences.mean() - half, self.differences.mean() + half

    def bootstrap(self):
        """Return the ends of the 95 % percentile interval over resampled subsets."""
        picks = np.random.default_rng(0).integers(len(self.differences), size=(RESAMPLES, len(self.differences)))
        return tuple(np.percentile(self.differences[picks].mean(axis=1), [2.5, 97.5]))

    def verdict(self):
        """Return "firm", "settled" or "open", as the design defines them."""
        excluded = [low > 0 or high < 0 for low, high in (self.interval(FIRM), self.interval())]
        return "firm" if excluded[0] else "settled" if excluded[1] else "open"

    def line(self, complete):
        """Return a row of a table; a verdict only where no row of the design is missing."""
        (low, high), (from_, to) = self.interval(), self.bootstrap()
        ways = f"{(self.differences > 0).sum()} : {(self.differences < 0).sum()}"
        verdict = self.verdict() if complete else "interim"
        return (
            f"| {self.arms[0]} − {self.arms[1]} | {len(self.differences)} | {self.differences.mean():+.4f} | "
            f"{low:+.4f} to {high:+.4f} | {from_:+.4f} to {to:+.4f} | {ways} | {verdict} |"
        )


def main():
    """Print the tables and draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=Path, default=Path(__file__).parent / "rows.csv")
    args = parser.parse_args()
    rows = rows_of(args.rows)
    print("\n".join(report(rows)))
    draw(rows, args.rows.with_name("differences.png"))


def report(rows):
    """Return the lines of all tables, in Markdown."""
    lines = [f"{len(rows)} rows, {sum(int(row['seconds']) for row in rows) / 3600:.1f} hours of one core.", ""]
    lines += sorted({f"Versions: {row['versions']}" for row in rows})
    for dataset in CLASSES:
        epochs, needed = length_of(dataset, rows)
        lines += ["", f"## {dataset}", "", *length_lines(dataset, rows, epochs, needed)]
        for title, length, subsets in (
            (f"{epochs} epochs, the length of this set", epochs, SUBSETS),
            (f"{SHORT} epochs, subsets {SHORT_SUBSETS[0]} to {SHORT_SUBSETS[-1]}", SHORT, SHORT_SUBSETS),
        ):
            of_length = [row for row in rows if length and of(row, dataset, length)]
            lines += section(title, of_length, subsets, dataset) if of_length else []
    return lines


def of(row, dataset, epochs):
    """Tell whether a row is of a set and a length, and not one that served to find the length."""
    return (row["dataset"], int(row["epochs"])) == (dataset, epochs) and int(row["subset"]) not in LENGTH_SUBSETS


def length_lines(dataset, rows, epochs, needed):
    """Say what the length rule rests on."""
    of_rule = [row for row in rows if row["dataset"] == dataset and int(row["subset"]) in LENGTH_SUBSETS]
    lines = ["| epochs | none, mAP50-95 by subset | mean | gain |", "|---|---|---|---|"]
    means = {}
    for length in LENGTHS:
        scores = [float(row["map50_95"]) for row in of_rule if int(row["epochs"]) == length]
        if scores:
            means[length] = np.mean(scores)
            gain = f"{means[length] - list(means.values())[-2]:+.4f}" if len(means) > 1 else ""
            by_subset = ", ".join(f"{score:.4f}" for score in scores)
            lines.append(f"| {length} | {by_subset} | {means[length]:.4f} | {gain} |")
    found = (
        f"Length: {epochs} epochs." if epochs else f"Length: not known yet, {', '.join(map(str, needed))} are needed."
    )
    return [*lines, "", found]


def section(title, rows, subsets, dataset):
    """Return the tables of one set at one length."""
    done = {arm: {int(row["subset"]): row for row in rows if row["arm"] == arm} for arm in (*ARMS, OTHER_DIVISOR)}
    complete = all(set(subsets) <= done[arm].keys() for arm in ARMS)
    lines = ["", f"### {title}" + ("" if complete else ": INTERIM, rows are missing, no claim rests on this"), ""]
    lines += ["| arm | subsets | mAP50 | mAP50-95 |", "|---|---|---|---|"]
    for arm, of_arm in done.items():
        if of_arm:
            means = [np.mean([float(row[score]) for row in of_arm.values()]) for score in ("map50", "map50_95")]
            lines.append(f"| {arm} | {len(of_arm)} | {means[0]:.4f} | {means[1]:.4f} |")
    groups = {"primary, mAP50-95": PRIMARY, "secondary, mAP50-95": SECONDARY, "exploratory, mAP50-95": EXPLORATORY}
    groups = {name: (pairs, "map50_95") for name, pairs in groups.items()} | {"mAP50": (PRIMARY + SECONDARY, "map50")}
    groups |= {f"{name}, mAP50-95": (PRIMARY, f"map50_95:{name}") for name in CLASSES[dataset]}
    for name, (pairs, score) in groups.items():
        found = [contrast for pair in pairs if len((contrast := contrast_of(done, pair, score)).differences) > 1]
        if found:
            head = f"| {name} | subsets | mean | 95 %, t | 95 %, bootstrap | up : down | |"
            lines += ["", head, "|---|---|---|---|---|---|---|", *(contrast.line(complete) for contrast in found)]
    return lines


def contrast_of(done, pair, score):
    """Pair two arms by the subsets that both have."""
    subsets = sorted(done[pair[0]].keys() & done[pair[1]].keys())
    values = [[float(done[arm][subset][score] or "nan") for subset in subsets] for arm in pair]
    differences = np.array(values[0]) - np.array(values[1])
    return Contrast(pair, differences[np.isfinite(differences)])


def draw(rows, file):
    """Draw paired differences as dots with their mean and 95 % t interval, one panel a set, at its length."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(CLASSES), figsize=(12, 5), sharex=True, constrained_layout=True)
    pairs = (*PRIMARY, *SECONDARY)
    for axis, dataset in zip(axes, CLASSES, strict=True):
        epochs, _ = length_of(dataset, rows)
        of_length = [row for row in rows if epochs and of(row, dataset, epochs)]
        done = {arm: {int(row["subset"]): row for row in of_length if row["arm"] == arm} for arm in ARMS}
        for height, pair in enumerate(reversed(pairs)):
            contrast = contrast_of(done, pair, "map50_95")
            colour = "C0" if pair in PRIMARY else "C7"
            axis.plot(contrast.differences, np.full(len(contrast.differences), height), "o", color=colour, alpha=0.4)
            if len(contrast.differences) > 1:
                mean, (low, high) = contrast.differences.mean(), contrast.interval()
                axis.errorbar(mean, height, xerr=[[mean - low], [high - mean]], fmt="|", color="black", capsize=4)
        complete = all(set(SUBSETS) <= of_arm.keys() for of_arm in done.values())
        title = f"{dataset}, {epochs} epochs" if epochs else f"{dataset}, length not known yet"
        axis.set(title=title + ("" if complete else " (interim)"), xlabel="difference in mAP50-95, paired by subset")
        axis.set_yticks(range(len(pairs)), [" − ".join(pair) for pair in reversed(pairs)])
        axis.axvline(0, color="black", linewidth=0.8)
        axis.grid(axis="x", alpha=0.3)
    figure.savefig(file, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
