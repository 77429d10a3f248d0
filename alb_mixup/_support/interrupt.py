"""Ctrl-C before and after the command line's own `try`: one line there as well.

Importing takes a second, in which people press Ctrl-C too. So this is the first module that `alb_mixup` imports, and it
acts when it is imported; in anybody else's program it does nothing.
"""

import os
import signal
import sys
import threading
from pathlib import Path

EXIT_CODE = 130  # what shells expect of a program that SIGINT ends


def _end_at_once() -> None:
    """Let Ctrl-C end `alb-mixup` with one line, from here on: nothing is under way that could be left half done."""
    if _in_program() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: _end())


def raise_again() -> None:
    """Let Ctrl-C raise KeyboardInterrupt, from here on.

    Python drops an exception in a finalizer with a traceback, and a KeyboardInterrupt with it: there, the program ends.
    """
    if _in_program() and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        usual = sys.unraisablehook
        sys.unraisablehook = lambda lost: _end() if lost.exc_type is KeyboardInterrupt else usual(lost)


def ignore() -> None:
    """Let Ctrl-C do nothing, from here on: the program has said its last word.

    Python ends `python -m` by the signal, whatever its exit code, where a KeyboardInterrupt has passed through an
    `exec` of a string, as in dataclasses; the next `exec` of a string takes that back.
    """
    if _in_program():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        exec("")  # noqa: S102


def _in_program() -> bool:
    """Tell whether this process is `alb-mixup` or `python -m alb_mixup`, and this its main thread."""
    if threading.current_thread() is not threading.main_thread():
        return False
    command = Path(sys.argv[0]) if sys.argv else Path()
    if command.name == "-m":  # while the package itself is imported
        return sys.orig_argv[sys.orig_argv.index("-m") + 1 :][:1] == ["alb_mixup"]
    return command.stem == "alb-mixup" or command.parts[-2:] == ("alb_mixup", "__main__.py")


def _end() -> None:
    os.write(2, b"alb-mixup: interrupted\n")
    os._exit(EXIT_CODE)


_end_at_once()
