"""YOLO label files: one object a row."""

from array import array

import numpy as np
from numpy.typing import NDArray

from alb_mixup._support.regular import read_text
from alb_mixup.datasets.annotations.shapes import LONGEST_OUTLINE, Shape, ring_from

_LONGEST = 2**26  # bytes of a label file


class YoloRows:
    """The rows of all label files read so far, as flat columns.

    Args:
        keypoint_columns: Columns behind the box in each row of a pose dataset, which are skipped.
        keep_rings: Keep the polygons of segment rows.
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
            ValueError: It is malformed; the message is the reason.
        """
        numbers = _numbers(line)
        count, shape = len(numbers), Shape()
        if self._keypoint_columns and count == 5 + self._keypoint_columns:
            numbers = numbers[:5]
        elif count >= 7 and count % 2:
            ring = ring_from(numbers[1:], 2 * LONGEST_OUTLINE)
            shape = Shape([ring])
            low, high = ring.min(axis=0), ring.max(axis=0)
            numbers = [numbers[0], *((low + high) / 2).tolist(), *(high - low).tolist()]
        elif count not in {5, 6}:
            raise ValueError(self._form(count))
        if not 0 <= numbers[0] < 2**31 or numbers[0] % 1:
            raise ValueError(f"a class must be a whole number, 0 or more, got {numbers[0]:g}")
        if count == 6 and not 0 <= numbers[5] <= 1:
            raise ValueError(
                f"weight {numbers[5]:g} is not in [0, 1]: a 6th number is read as the box's weight, and may be a track "
                "id or a confidence in percent"
            )
        self._numbers.extend(numbers if len(numbers) == 6 else [*numbers, 1.0])
        if self._keep_rings:
            self.shapes.append(shape)

    def _form(self, count: int) -> str:
        hint = "if the others are keypoints, data.yaml must have kpt_shape" if count > 7 else "see the labels' format"
        if self._keypoint_columns:
            hint = f"with the kpt_shape of data.yaml, a row with keypoints has {5 + self._keypoint_columns}"
        return (
            "a row must be a class and a box (5 numbers), a box and a weight (6), or a polygon (7, 9, ...), got "
            f"{count}: {hint}"
        )

    def columns(self) -> NDArray[np.float64]:
        """Return the rows, (m, 6) float64: class id, x centre, y centre, width, height, weight."""
        return np.array(self._numbers, np.float64).reshape(-1, 6)


def _numbers(line: str) -> list[float]:
    texts = line.split()
    try:
        return [float(text) for text in texts]
    except ValueError:
        odd = next(text for text in texts if not _is_number(text))
    raise ValueError(f"a row must be numbers with spaces between them, got {odd!r:.80}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def label_lines(path: str) -> list[str] | None:
    """Return the lines of a label file; None where the file is gone.

    Raises:
        ValueError: It cannot be read; the message is the reason.
    """
    try:
        return read_text(path, _LONGEST).split("\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"is not text in UTF-8: {error}") from error
