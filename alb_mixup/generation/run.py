"""Mixed sets on disk: one seeded plan, which any number of workers carries out, and which goes on after a stop."""

import contextlib
import csv
import io
import os
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from alb_mixup._support import checks
from alb_mixup._support.files import check_of
from alb_mixup._support.progress import progress_bar
from alb_mixup.datasets import DetectionDataset
from alb_mixup.datasets.annotations.shared import remove_abandoned
from alb_mixup.errors import (
    AlbMixUpError,
    ArgumentError,
    HardLabelsWarning,
    ImageReadError,
    OutputError,
    UnreadableImageWarning,
)
from alb_mixup.generation.conversion import Conversion
from alb_mixup.generation.destination import FINISHED, JOURNAL, PLAN, Destination, Folder
from alb_mixup.generation.journal import Journal, encode
from alb_mixup.generation.layout import Layout
from alb_mixup.generation.mixer import Mixer, Writer, Written
from alb_mixup.generation.plan import FAINT, Plan, read_plan, text_of, with_settings
from alb_mixup.generation.pool import run_in_workers
from alb_mixup.generation.record import written_image
from alb_mixup.generation.verify import damaged, is_finished

_NOTABLE = 0.001  # share of mixes that is worth a warning
_LONG = ("dataset", "pipeline")  # settings whose value says nothing to anybody
_MANIFEST, _SKIPPED = "manifest.csv", "skipped.csv"
_BATCH = 64  # outputs whose files are synced together, before they are noted as done

# Makes and writes the outputs of these numbers, by `Writer`s; returns what these return, as it is done.
Engine = Callable[[list[int]], Generator[Written, None, None]]


@with_settings
def generate(
    dataset: DetectionDataset,
    destination: str | os.PathLike[str],
    *,
    workers: int = 1,
    progress: bool = True,
    **settings: Any,
) -> Path:
    """Mix a dataset with itself and write the mixes as a dataset, which `open_dataset` reads, weights included.

    Each image is the primary of `multiplier` mixes, or goes through `pipeline` as often, whatever that holds. Beside
    the set lies `manifest.csv`, with a row for each MixUp that an output went through, in their order: its image, λ,
    and the two source images, below the dataset's root or else absolute; with a pipeline also which of its MixUps it
    was, counted from 1. An output that went through none has one row, without λ and partner.

    Masks and keypoints are mixed and written where the dataset was opened with them; a layout that cannot hold them is
    refused.

    The result depends on the dataset and the settings alone, not on `workers`. Stopped, by whatever, a power cut
    included, the same call goes on where it was: what is there is kept, what is missing is made, and the result is the
    same, byte by byte. It first reads what is there: a file that is damaged or was edited, and an output whose source
    images have changed, is made anew. The same call on a finished set checks it so
    (`alb_mixup.generation.verify.verify` does without the dataset).

    Args:
        dataset: What to mix.
        destination: A new or empty folder, or one that the same call has begun or finished. Nothing outside of it is
            written or deleted: links in it to other folders are refused.
        workers: Processes that mix; 1 is this one.
        progress: Show a bar, where tqdm is installed.
        settings: As `Plan` has them.

    Returns:
        The destination.

    Raises:
        ArgumentError: An argument breaks its constraint.
        OutputError: `destination` holds something else, or cannot be written. What is written stays.
        ImageReadError: An image cannot be read, and `on_unreadable` is "stop".
        SampleError: `pipeline` fails, or returns what cannot be written. It is tried on one image before anything is
            written.
        WorkerError: A worker was killed.

    Examples:
        >>> import alb_mixup, tempfile
        >>> folder = tempfile.mkdtemp()
        >>> root = alb_mixup.generate(alb_mixup.sample_dataset(), folder, multiplier=2, seed=7, progress=False)
        >>> len(alb_mixup.open_dataset(root))
        28
    """
    plan = Plan(dataset, **settings)
    check_workers(workers)
    folder = Folder(destination)

    carry_out(plan, folder, partial(in_processes, (plan, folder), workers), progress)
    return folder.root


def in_processes(arguments: tuple[Any, ...], workers: int, missing: list[int]) -> Generator[Written, None, None]:
    """Make and write outputs in processes of this machine, by `Writer(*arguments)`."""
    size = max(1, min(_BATCH, -(-len(missing) // (2 * workers))))
    batches = [missing[begin : begin + size] for begin in range(0, len(missing), size)]
    return run_in_workers(Writer, arguments, batches, min(workers, max(1, len(batches))))


def check_workers(workers: int) -> None:
    """Refuse a number of workers that does no work.

    Raises:
        ArgumentError: It is not a whole number of at least 1.
    """
    if checks.whole_number("workers", workers) < 1:
        raise ArgumentError(f"workers must be at least 1, got {workers}: 1 is one after the other")


def carry_out(plan: Plan | Conversion, destination: Destination, engine: Engine, progress: bool) -> None:
    """Write what is missing of a plan's set; then the files about the whole of it.

    Args:
        plan: What is made.
        destination: Where to.
        engine: Who makes and writes the outputs.
        progress: Show a bar.

    Raises:
        OutputError: `destination` holds something else, or cannot be written.
        AlbMixUpError: What the engine raises.
    """
    remove_abandoned()
    if isinstance(plan, Plan) and plan.pipeline is not None:
        _try(plan)
    try:
        _claim(destination, plan)
        if isinstance(plan, Plan):
            _warn_of_hard_labels(plan)
        _complete(destination, plan, engine, progress)
        _tell_of_skipped(destination, plan)
    except AlbMixUpError:
        raise
    except OSError as error:
        raise OutputError(
            f"destination must be a folder that can be written, got {destination}: {error.strerror or error}; what "
            "is there is whole, and the same call goes on from it when this is mended"
        ) from error


def _try(plan: Plan) -> None:
    """Run the pipeline on the first image that can be read, so that a wrong one is refused before anything is written.

    Raises:
        SampleError: It fails, or returns what cannot be written.
        ImageReadError: An image cannot be read, and is not to be skipped.
    """
    mixer = Mixer(plan)
    any("skipped" not in mixer.make(number).record for number in range(len(plan.dataset)))


def _warn_of_hard_labels(plan: Plan) -> None:
    share = plan.faint_share() if plan.has_hard_labels else 0.0
    if share >= _NOTABLE:
        instead = "let its MixUp draw λ near one half, or drop such boxes"
        if plan.pipeline is None:
            instead = "take ratio_range=(0.45, 0.55), or min_weight=0.3"
        warnings.warn(
            f"sets without weights make whole objects of faint ones: one image has a share below {FAINT:g} in "
            f"{share:.1%} of the mixes; {instead}",
            HardLabelsWarning,
            stacklevel=4,
        )


def _claim(destination: Destination, plan: Plan | Conversion) -> None:
    """Make a destination this plan's, or find that it is."""
    text, described = destination.read(PLAN), plan.describe()
    if text == text_of(described):
        return
    if text is not None:
        found = read_plan(text)
        if found is None:
            raise OutputError(
                f"destination must hold a plan that can be read, got {destination}, whose {PLAN} is damaged: put that "
                "file back from a copy, or take another folder"
            )
        changed = {key: value for key, value in described.items() if found.get(key) != value}
        other = [
            f"another {key}" if key in _LONG else f"{key}={found.get(key)!r} (now {value!r})"
            for key, value in changed.items()
        ]
        if other:
            raise OutputError(
                f"destination must be new, empty, or begun with the same dataset and settings, got {destination}, made "
                f"with {', '.join(other)}: take another folder"
            )
    elif not destination.is_free():
        raise OutputError(
            f"destination must be a new or an empty folder, got {destination}, which holds something else: nothing is "
            "overwritten; take another folder"
        )
    destination.write(PLAN, [text_of(described)])


def _complete(destination: Destination, plan: Plan | Conversion, engine: Engine, progress: bool) -> None:
    """Make what is missing, then the files about the whole set."""
    with contextlib.closing(destination.journal(len(plan))) as journal:
        journal.forget(damaged(destination, journal, plan.dataset.root, progress))
        missing = journal.missing()
        try:
            if missing or not is_finished(destination):
                for _ in progress_bar(
                    _noted(journal, engine(missing)),
                    plan.doing,
                    total=len(plan),
                    initial=len(plan) - len(missing),
                    shown=progress,
                ):
                    pass
                _finish(destination, plan, journal)
        finally:
            destination.clear()


def _noted(journal: Journal, done: Generator[Written, None, None]) -> Iterator[int]:
    """Note what is done, and raise what was raised."""
    with contextlib.closing(done):
        for records, error in done:
            journal.add(records)
            yield from (record["number"] for record in records)
            if error is not None:
                raise error


def _finish(destination: Destination, plan: Plan | Conversion, journal: Journal) -> None:
    """Write the files about the whole set, and at last that it is finished."""
    layout = plan.layout()
    skipped = [record for record in journal if "skipped" in record]
    written: dict[str, Sequence[int]] = {PLAN: check_of([text_of(plan.describe())])}
    for path, pieces in layout.index_files(lambda: map(written_image, _made(journal))):
        written[path] = destination.write(path, (piece.encode() for piece in pieces))
    if skipped:
        rows = ([record["number"], record["primary"], record["skipped"]] for record in skipped)
        written[_SKIPPED] = destination.write(_SKIPPED, _csv(["number", "primary", "reason"], rows))
    else:
        destination.remove(_SKIPPED)
    manifest = _manifest(layout, _made(journal), of_pipeline=plan.pipeline is not None)
    written[_MANIFEST] = destination.write(_MANIFEST, manifest)
    written[JOURNAL] = destination.write(JOURNAL, journal.lines())
    destination.write(FINISHED, [encode({"outputs": len(plan), "files": written})])


def _made(records: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return (record for record in records if "skipped" not in record)


def _tell_of_skipped(destination: Destination, plan: Plan | Conversion) -> None:
    """Warn of the outputs that are left out, also where another run left them out.

    Raises:
        ImageReadError: Not one is left.
    """
    text = destination.read(_SKIPPED)
    if text is None:
        return
    rows = list(csv.DictReader(io.StringIO(text.decode(errors="surrogateescape"), newline="")))
    first = f"{rows[0]['primary']} {rows[0]['reason']}"
    if len(rows) == len(plan):
        raise ImageReadError(f"dataset must have images that can be read, got none of {len(plan.dataset)}: {first}")
    warnings.warn(
        f"{len(rows)} of {len(plan)} outputs are left out, for their images cannot be read ({_SKIPPED} has them all): "
        f"{first}",
        UnreadableImageWarning,
        stacklevel=4,
    )


def _manifest(layout: Layout, records: Iterable[Mapping[str, Any]], *, of_pipeline: bool) -> Iterator[bytes]:
    """The manifest as CSV, a row for each MixUp that an output went through; one without λ where it went through none.

    Columns: the image below the destination, λ, the two source images, and of a pipeline which of its MixUps it was.
    """
    header = ["image", "ratio", "primary", "partner", "mixup"]
    rows = (
        [f"{layout.images}/{record['name']}", ratio, record["primary"], partner, mixup]
        for record in records
        for mixup, ratio, partner in record["mixups"] or [("", "", "")]
    )
    columns = len(header) if of_pipeline else len(header) - 1
    return _csv(header[:columns], (row[:columns] for row in rows))


def _csv(header: list[str], rows: Iterable[list[Any]]) -> Iterator[bytes]:
    for row in chain([header], rows):
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(row)
        yield line.getvalue().encode(errors="surrogateescape")  # file names of any bytes
