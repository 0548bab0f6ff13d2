"""Measures how long something takes: `with client.timer("render"):`, or `@client.timer("render")` on a function."""

import functools
import inspect
import time
from collections.abc import Callable
from typing import Any, ParamSpec, Self, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")


class Timer:
    """Also counts what ends with an exception, which goes on as it is. For each `with`, one of its own."""

    def __init__(self, take: Callable[[float], None]) -> None:
        self._take = take
        self._started = 0

    def __enter__(self) -> Self:
        self._started = time.perf_counter_ns()
        return self

    def __exit__(self, *raised: object) -> None:
        self._take((time.perf_counter_ns() - self._started) / 1e6)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """The function, timed at each call; a coroutine function until its coroutine ends."""
        take = self._take
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def timed_coroutine(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the function takes
                with Timer(take):
                    return await function(*args, **kwargs)

            return cast("Callable[P, R]", timed_coroutine)

        @functools.wraps(function)
        def timed(*args: P.args, **kwargs: P.kwargs) -> R:
            with Timer(take):
                return function(*args, **kwargs)

        return timed
