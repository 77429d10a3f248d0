"""Memory of a process that works through images."""

import numpy as np

_LARGEST = 2**25 - 2**16  # the largest block that glibc learns from, its own header included


def keep_freed_memory() -> None:
    """Have this process keep up to 64 MB of the memory that it frees for what it allocates next.

    A loader's worker allocates and frees whole images all the time. glibc gives them back to the system, which maps and
    clears each page anew when it is wanted next: up to half of a pipeline's time (benchmarks/RESULTS.md, "Pages" and
    "Epoch"). What it gives back is what exceeds twice the largest block that was freed so far; so one large block is
    freed here, none of whose pages was ever there. `MALLOC_TRIM_THRESHOLD_` and its like, where the user has set them,
    win; with another C library this does nothing.
    """
    np.empty(_LARGEST, np.uint8)
