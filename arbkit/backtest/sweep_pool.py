"""A pool of processes on this machine that ends with its owner, however that ends.

Processes are spawned: a fork of a notebook would copy its threads' locks. Ctrl-C goes to the whole group of a
terminal, so the workers ignore it and the owner decides; a pipe that only the owner holds open tells them to go, when
the sweep is interrupted and when its process was killed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection


@contextmanager
def local_pool(most: int) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of spawned processes, one for each core that we may use and not more than `most`.

    Left by an error, it ends its processes where they stand.
    """
    spawn = multiprocessing.get_context("spawn")
    reader, writer = spawn.Pipe(duplex=False)
    workers = max(1, min(most, _cores()))
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=begin, initargs=(reader,))
    try:
        yield pool
    except BaseException:
        writer.close()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        writer.close()
        reader.close()


def begin(owner: Connection) -> None:
    """Prepare a worker process: deaf to Ctrl-C, gone when the other end of `owner` is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with, args=(owner,), daemon=True).start()


def _leave_with(owner: Connection) -> None:
    try:
        owner.poll(None)
    finally:
        os._exit(1)


def _cores() -> int:
    """Return how many cores this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
