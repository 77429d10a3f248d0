"""Locks that end with their process."""

import sys


def lock(descriptor: int, *, wait: bool) -> bool | None:
    """Lock an open file or folder for this process, until it is closed or the process ends.

    Args:
        descriptor: The open file or folder.
        wait: Whether to wait for another process that has the lock.

    Returns:
        Whether this process has the lock; None where there are no such locks: Windows, some network file systems.
    """
    if sys.platform == "win32":
        return None
    import fcntl  # noqa: PLC0415  (POSIX only)

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
