"""YOLO label files: one object a row."""

from array import array
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alb_mixup.datasets.annotations.shapes import LONGEST_OUTLINE, Shape, ring_from


class YoloRows:
    """The rows of all label files read so far, as flat columns.

    Args:
        keypoint_columns: columns behind the box in each row of a pose dataset, which are skipped.
        keep_rings: keep the polygons of segment rows.
    """

    def __init__(self, *, keypoint_columns: int = 0, keep_rings: bool = False) -> None:
        self._keypoint_columns, self._keep_rings = keypoint_columns, keep_rings
        self._numbers = array("d")  # class id, x centre, y centre, width, height, weight of each row
        self.shapes: list[Shape] = []

    def __len__(self) -> int:
        return len(self._numbers) // 6

    def add(self, line: str) -> None:
        """Add one row.

        Raises:
            ValueError: it is malformed; the message is the reason.
        """
        numbers = [float(text) for text in line.split()]
        count, shape = len(numbers), Shape()
        if self._keypoint_columns and count == 5 + self._keypoint_columns:
            numbers = numbers[:5]
        elif count >= 7 and count % 2:
            ring = ring_from(numbers[1:], 2 * LONGEST_OUTLINE)
            shape = Shape([ring])
            low, high = ring.min(axis=0), ring.max(axis=0)
            numbers = [numbers[0], *((low + high) / 2).tolist(), *(high - low).tolist()]
        elif count not in {5, 6}:
            raise ValueError(
                f"a row must be a class and a box (5 numbers), a box and a weight (6), or a polygon (7, 9, ...); "
                f"got {count}"
            )
        if not 0 <= numbers[0] < 2**31 or numbers[0] % 1:
            raise ValueError(f"a class must be a whole number, 0 or more; got {numbers[0]:g}")
        self._numbers.extend(numbers if len(numbers) == 6 else [*numbers, 1.0])
        if self._keep_rings:
            self.shapes.append(shape)

    def columns(self) -> NDArray[np.float64]:
        """float64 (m, 6): class id, x centre, y centre, width, height, weight."""
        return np.array(self._numbers, np.float64).reshape(-1, 6)


def label_lines(path: Path) -> list[str] | None:
    """The lines of a label file; None where there is no file.

    Raises:
        ValueError: it cannot be read; the message is the reason.
    """
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"is no text in UTF-8: {error}") from error


def label_file(image: str) -> str:
    """The label file of an image, both below the root, by Ultralytics' rule.

    The last folder named `images` in the path becomes `labels`, and the suffix `.txt`; without such a folder, both lie
    side by side.
    """
    head, found, tail = f"/{image}".rpartition("/images/")
    path = f"{head}/labels/{tail}" if found else f"/{image}"
    return path[1:].rpartition(".")[0] + ".txt"
