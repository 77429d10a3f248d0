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
EXPLORATORY = (("blind", "hard"), ("scale", OTHER_DIVISOR), ("interpolate", OTHER_DIVISOR))
FIRM = 1 - 0.05 / (len(PRIMARY) * len(CLASSES))
RESAMPLES = 10_000


class Contrast(NamedTuple):
    """One arm's score less another's, paired by subset."""

    arms: tuple[str, str]
    differences: np.ndarray  # (subsets,)

    def interval(self, level=0.95):
        """Return the ends of the t interval of the mean."""
        return tuple(stats.ttest_1samp(self.differences, 0).confidence_interval(level))

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
            lines += section(title, rows, dataset, length, subsets)
        lines += turns(dataset, rows, epochs) if epochs and epochs != SHORT else []
    return lines


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


def section(title, rows, dataset, epochs, subsets):
    """Return the tables of one set at one length; none where no run is done."""
    done, complete = by_arm(rows, dataset, epochs, subsets)
    if not any(done.values()):
        return []
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
        lines += table(name, done, pairs, score, complete)
    return lines


def turns(dataset, rows, epochs):
    """Return the table of what each contrast is at the set's length, less what it is at the short one."""
    ends = [by_arm(rows, dataset, length, SHORT_SUBSETS) for length in (epochs, SHORT)]
    (at_length, _), (at_short, _) = ends
    score, gains = "map50_95", {}
    for arm in ARMS:
        both = at_length[arm].keys() & at_short[arm].keys()
        gains[arm] = {
            subset: {score: float(at_length[arm][subset][score]) - float(at_short[arm][subset][score])}
            for subset in both
        }
    name = f"{epochs} less {SHORT} epochs, mAP50-95"
    return table(name, gains, PRIMARY + SECONDARY, score, all(complete for _, complete in ends))


def by_arm(rows, dataset, epochs, subsets):
    """Sort the rows of one set and length by arm and subset, without those that served to find the length.

    Returns:
        Arm to subset to row, and whether all of the design's are there.
    """
    done = {arm: {} for arm in (*ARMS, OTHER_DIVISOR)}
    for row in rows:
        if (row["dataset"], int(row["epochs"])) == (dataset, epochs) and int(row["subset"]) not in LENGTH_SUBSETS:
            done[row["arm"]][int(row["subset"])] = row
    return done, all(set(subsets) <= done[arm].keys() for arm in ARMS)


def contrast_of(done, pair, score):
    """Pair two arms by the subsets that both have."""
    one, other = (done[arm] for arm in pair)
    subsets = sorted(one.keys() & other.keys())
    return Contrast(pair, np.array([float(one[subset][score]) - float(other[subset][score]) for subset in subsets]))


def table(name, done, pairs, score, complete):
    """Return the table of those contrasts that have an interval; none where none has."""
    contrasts = [contrast_of(done, pair, score) for pair in pairs]
    lines = [contrast.line(complete) for contrast in contrasts if len(contrast.differences) > 1]
    head = f"| {name} | subsets | mean | 95 %, t | 95 %, bootstrap | up : down | |"
    return ["", head, "|---|---|---|---|---|---|---|", *lines] if lines else []


def draw(rows, file):
    """Draw paired differences as dots with their mean and 95 % t interval, one panel a set, at its length."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(CLASSES), figsize=(10, 5), sharey=True, constrained_layout=True)
    pairs = PRIMARY + SECONDARY
    for axis, dataset in zip(axes, CLASSES, strict=True):
        epochs, _ = length_of(dataset, rows)
        done, complete = by_arm(rows, dataset, epochs, SUBSETS)
        for height, pair in enumerate(pairs):
            contrast = contrast_of(done, pair, "map50_95")
            found = contrast.differences
            name, colour = ("primary", "C0") if pair in PRIMARY else ("secondary", "C7")
            label = f"{name}: one training subset"
            axis.plot(found, [height] * len(found), "o", c=colour, alpha=0.4, label=label)
            if len(found) > 1:
                ends, label = contrast.interval(), "mean and its 95 % interval (t)"
                axis.plot(ends, [height, height], "|-", c="black", markersize=9, linewidth=1.5, label=label)
                axis.plot(found.mean(), height, "D", c="black", markersize=5)
        title = f"{dataset}, {epochs} epochs" if epochs else f"{dataset}, length not known yet"
        axis.set(title=title + ("" if complete else " (interim)"), xlabel="difference in mAP50-95, paired by subset")
        axis.axvline(0, color="black", linewidth=0.8)
        axis.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(pairs)), [" − ".join(pair) for pair in pairs])
    axes[0].invert_yaxis()
    handles, labels = axes[0].get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    figure.legend(once.values(), once.keys(), loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(file, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
