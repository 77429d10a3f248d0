"""Work spread over processes that die with their parent, and whose death is noticed."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from multiprocessing import connection, resource_tracker
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import cv2

from alb_mixup._support.memory import keep_freed_memory
from alb_mixup.errors import WorkerError

_Result = TypeVar("_Result")
_AHEAD = 2  # tasks handed out to each worker: enough that none waits, and little memory for millions of tasks


def run_in_workers(
    build: Callable[..., Callable[[Any], _Result]], arguments: tuple[Any, ...], tasks: Iterable[Any], workers: int
) -> Generator[_Result, None, None]:
    """Carry out tasks, their results in the order in which they are done.

    Stopped midway, by an error or an interrupt, it ends its workers wherever they are.

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
    processes: list[Any] = []
    pipes: list[Connection] = []
    try:
        with _uninterrupted():
            for _ in range(workers):
                _start(build, arguments, processes, pipes)
        yield from _hand_out(iter(tasks), pipes)
    except (EOFError, ConnectionError) as error:
        raise WorkerError(
            f"workers must live until their work is done, got one of {workers} that ended by itself (killed, or out of "
            "memory): run it again, with fewer workers if memory is short; what is done stays done. In a script, the "
            'call must be under `if __name__ == "__main__":`'
        ) from error
    finally:
        with _uninterrupted():
            for process in processes:
                process.kill()
            for process in processes:
                process.join()
            for pipe in pipes:
                pipe.close()


def _start(build: Any, arguments: Any, processes: list[Any], pipes: list[Connection]) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, build, arguments), daemon=True)
    process.start()
    theirs.close()
    processes.append(process)
    pipes.append(ours)


def _hand_out(tasks: Iterator[Any], pipes: list[Connection]) -> Generator[Any, None, None]:
    waiting = dict.fromkeys(pipes, 0)  # tasks that each has and has not answered
    for pipe in pipes * _AHEAD:
        _send(pipe, tasks, waiting)
    while any(waiting.values()):
        ready: list[Any] = connection.wait([pipe for pipe, count in waiting.items() if count])
        for pipe in ready:
            result, error = pipe.recv()
            if error is not None:
                raise error
            waiting[pipe] -= 1
            _send(pipe, tasks, waiting)
            yield result


def _send(pipe: Connection, tasks: Iterator[Any], waiting: dict[Connection, int]) -> None:
    for task in tasks:
        pipe.send(task)
        waiting[pipe] += 1
        return


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Put off Ctrl-C until the block is over, for this process; those that it starts never see it.

    It reaches the whole group. A worker that is still importing would answer with a traceback.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # before Python 3.12, it lets signals through again when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    caught: list[Any] = []
    handler = signal.signal(signal.SIGINT, lambda *arguments: caught.append(arguments))  # another thread may take it
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGINT, handler if handler is not None else signal.SIG_DFL)
        if caught and callable(handler):
            handler(*caught[0])


def _serve(pipe: Connection, build: Callable[..., Callable[[Any], Any]], arguments: tuple[Any, ...]) -> None:
    """What a worker does: carry out what comes, until nothing comes any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    keep_freed_memory()
    with contextlib.suppress(EOFError, ConnectionError):  # the parent wants no more
        try:
            work = build(*arguments)
            while True:
                pipe.send((work(pipe.recv()), None))
        except (EOFError, ConnectionError):
            raise
        except Exception as error:
            pipe.send((None, error))


def _end_with_parent() -> None:
    """End this process when its parent has been killed: nothing else would tell it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
