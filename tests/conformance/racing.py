"""Several threads at once, for the suites."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from watchkeeper.errors import Conflict

T = TypeVar("T")


def at_once(jobs: Sequence[Callable[[], T]]) -> list[T]:
    """Start the jobs together; answers what they answer, in their order, and raises what one of them raises."""
    start = Barrier(len(jobs))

    def run(job: Callable[[], T]) -> T:
        start.wait()
        return job()

    with _changing_threads_often(), ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(run, jobs))


def won(put: Callable[[], object]) -> bool:
    """Whether a conditional put went through."""
    try:
        put()
    except Conflict:
        return False
    return True


@contextlib.contextmanager
def _changing_threads_often() -> Iterator[None]:
    """A race that the interpreter loses once in a million turns is lost at once."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
