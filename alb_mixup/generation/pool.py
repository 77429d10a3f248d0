"""Work spread over processes that die with their parent, and whose death is noticed."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import connection
from typing import Any, TypeVar

import cv2

from alb_mixup._support.memory import keep_freed_memory
from alb_mixup.errors import WorkerError

_Result = TypeVar("_Result")
_AHEAD = 4  # tasks handed out for each worker: enough that none waits, and little memory for millions of tasks

_work: Callable[[Any], Any]


def run_in_workers(
    build: Callable[..., Callable[[Any], _Result]], arguments: tuple[Any, ...], tasks: Iterable[Any], workers: int
) -> Generator[_Result, None, None]:
    """Carry out tasks, their results in the order in which they are done.

    Args:
        build: Called once in each process with `arguments`; returns what carries out a task.
        arguments: Sent to each process by pickle; with "spawn", so that no thread of the parent is copied midway.
        tasks: What is handed out.
        workers: Processes; 1 is this one.

    Raises:
        WorkerError: A worker was killed.
    """
    if workers == 1:
        yield from map(build(*arguments), tasks)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(build, arguments))
    waiting = iter(tasks)
    try:
        pending: set[Future[_Result]] = {pool.submit(_carry_out, task) for task in islice(waiting, _AHEAD * workers)}
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
            pending |= {pool.submit(_carry_out, task) for task in islice(waiting, len(done))}
    except BrokenProcessPool as error:
        raise WorkerError(
            f"workers must live until their work is done, got one of {workers} that ended by itself (killed, or out of "
            "memory): run it again, with fewer workers if memory is short; what is done stays done. In a script, the "
            'call must be under `if __name__ == "__main__":`'
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start(build: Callable[..., Callable[[Any], Any]], arguments: tuple[Any, ...]) -> None:
    global _work  # noqa: PLW0603  (what a pool's initializer leaves for its tasks has no other place)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends the workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    keep_freed_memory()
    _work = build(*arguments)


def _end_with_parent() -> None:
    """End this process when its parent has been killed: nothing else would tell it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _carry_out(task: Any) -> Any:
    return _work(task)
