"""A pytest plugin, ``-p gc_stress``: Python's collector runs at every turn, and a full collection in every callback.

What Epsilon's C code holds without a reference, or shows to the collector before it is whole, is gone by the time it is
used.  What there was before the first test is frozen, so that a collection looks at little.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

#: collections that callbacks made, for the test that wants to know whether there were any
collections = 0


def collecting(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, with a collection before it and one after."""

    @functools.wraps(function, updated=())
    def wrapper(*arguments: Any, **keywords: Any) -> Any:
        global collections
        collections += 1
        gc.collect()
        try:
            return function(*arguments, **keywords)
        finally:
            gc.collect()

    return wrapper


@pytest.fixture(autouse=True, scope="session")
def every_callback_collects() -> Iterator[None]:
    from epsilon import callbacks

    made = callbacks.Callback

    def make(trampoline: Any, runs: Callable[..., Any], on_error: Any = None, function: Any = None, *rest: Any) -> Any:
        if function is not None and function is not runs:  # a dispatcher runs it on some thread, and is told of the end
            return made(trampoline, runs, on_error, function, *rest)
        wrapped = collecting(runs)
        return made(trampoline, wrapped, on_error, wrapped, *rest)

    callbacks.Callback = make
    gc.collect()
    gc.freeze()
    yield
    callbacks.Callback = made


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        return (yield)
    finally:
        gc.set_threshold(*before)


def pytest_sessionfinish() -> None:
    print(f"\ncollections in callbacks: {collections}")
