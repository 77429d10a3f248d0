"""Every error and warning that this package raises, in one tree.

Each error also derives from the built-in that a caller would guess (`ValueError`, `OSError`, ...), so that
neither style of `except` misses it. A message names the argument, the constraint, the value and the fix.
"""


class AlbMixUpError(Exception):
    """Base of every error that this package raises on purpose."""


class ArgumentError(AlbMixUpError, ValueError):
    """An argument of ours breaks its constraint."""


class SampleError(AlbMixUpError, ValueError):
    """A primary or reference sample cannot be mixed: a target, label field, shape or dtype does not fit."""


class DatasetError(AlbMixUpError, ValueError):
    """A dataset cannot be opened: no such folder, split or layout, or a file of its index that says nonsense."""


class AnnotationError(DatasetError):
    """An annotation is invalid and the dataset was asked to raise (`on_invalid="raise"`)."""


class ImageReadError(AlbMixUpError, OSError):
    """An image file is missing, truncated or not an image."""


class OutputError(AlbMixUpError, OSError):
    """A folder or file cannot be written: it holds something else already, the disk is full, it is not allowed."""


class WorkerError(AlbMixUpError, RuntimeError):
    """A worker process ended before its work did: killed, or out of memory."""


class CacheError(AlbMixUpError, OSError):
    """A cache file cannot be written (the disk is full), or is damaged, gone, or something else."""


class SerializationError(AlbMixUpError, TypeError, NotImplementedError):
    """A transform holds something that has no JSON-safe description, such as an in-memory reference."""


class InstallationError(AlbMixUpError, ImportError):
    """The installed packages contradict each other, such as two packages that both own `albumentations/`."""


class AlbMixUpWarning(UserWarning):
    """Base of every warning that this package emits."""


class InvalidAnnotationWarning(AlbMixUpWarning):
    """Annotations were dropped or clipped while a dataset was built."""


class UnreadableImageWarning(AlbMixUpWarning):
    """An image could not be read: another was drawn in its place, or a cache leaves it out."""


class HardLabelsWarning(AlbMixUpWarning):
    """Mixes are written without weights though some of their objects can hardly be seen."""


class StaleCacheWarning(AlbMixUpWarning):
    """A cache file was made of other images or with other settings, and is built anew."""


class MissingWeightsWarning(AlbMixUpWarning):
    """A loss that reads the boxes' weights met training targets without any."""
