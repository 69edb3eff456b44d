"""Have tasks done by several processes.

Processes, because only some estimators let go of Python's lock, and the limit of one thread that keeps sums in their
order is a process's. They are new ones and not forks, which OpenMP does not survive. They are spoken to over pipes
alone: the standard library's pool needs semaphores, which a container without a writable /dev/shm has not.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue

from kfp_hallmark.components.training.tune_model.trial import Trial
from kfp_hallmark.components.training.tune_model.work import Task, Work
from kfp_hallmark.errors import EnvironmentFailure

CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")
"""Where Linux says which share of a period's microseconds a container may use: `200000 100000` is two cores."""

Submit = Callable[[Task], "Future[Trial]"]


def cores() -> int:
    """Return how many cores this process may use: those it may run on, or fewer by the limit of its container."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = CPU_LIMIT.read_text().split() if CPU_LIMIT.is_file() else ["max"]
    return found if limit[0] == "max" else max(1, min(found, int(limit[0]) // int(limit[1])))


@contextmanager
def workers(work: Work, count: int) -> Iterator[Submit]:
    """Give the function that has a task done: by so many processes, or by this one when that is one.

    The processes end with the block, and with this process, however it ends.
    """
    if count == 1:
        yield lambda task: _done(work.run(task))
        return
    context, idle = get_context("spawn"), SimpleQueue[Connection]()
    processes = []
    for _ in range(count):
        ours, theirs = context.Pipe()
        processes.append(context.Process(target=_serve, args=(theirs, work), daemon=True))
        processes[-1].start()
        theirs.close()
        idle.put(ours)
    threads = ThreadPoolExecutor(count)
    try:
        yield lambda task: threads.submit(_ask, idle, task)
    finally:
        for process in processes:
            process.kill()
        threads.shutdown(cancel_futures=True)


def _done(trial: Trial) -> Future[Trial]:
    future: Future[Trial] = Future()
    future.set_result(trial)
    return future


def _ask(idle: SimpleQueue[Connection], task: Task) -> Trial:
    """Have a process that is idle do a task, and wait for it."""
    connection = idle.get()
    try:
        connection.send(task)
        answer = connection.recv()
    except (EOFError, OSError):
        raise EnvironmentFailure(
            "A process that tries parameters must end by itself; one was killed.",
            "It may have lacked memory: give the step more, or choose fewer parallel_trials. What was "
            "tried is kept, and the same step run again goes on from there.",
        ) from None
    finally:
        idle.put(connection)
    if isinstance(answer, Exception):
        raise answer
    return answer


def _serve(connection: Connection, work: Work) -> None:
    """Do tasks until the other end is closed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        try:
            answer: Trial | Exception = work.run(task)
        except Exception as error:
            answer = error
        connection.send(answer)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
