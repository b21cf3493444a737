"""Scopes: libraries, memory and callbacks that end together, in the reverse of the order in which they were made."""

from __future__ import annotations

from epsilon.callbacks import make_callback
from epsilon.errors import ForeignError, ForeignTypeError, shorten
from epsilon.libraries import lib_open
from epsilon.memory import ForeignMemory, foreign_alloc
from epsilon.sites import caller

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Scope:
    """What :func:`scope` makes.  What is made through it ends with it."""

    __slots__ = ("_closed_at", "_ends")

    def __init__(self) -> None:
        self._closed_at: str | None = None
        #: what ends the things, given the place where the scope does
        self._ends: list[Callable[[str], Any]] = []

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._closed_at is not None

    def alloc(self, type: Any, count: int | None = None, initial: Any = None) -> ForeignMemory:
        """``foreign_alloc``, for the length of the scope."""
        self._check()
        return self._add(foreign_alloc(type, count, initial))

    def callback(self, function: Callable[..., Any], result: Any, parameters: Any = None, **options: Any) -> Any:
        """``make_callback``, for the length of the scope."""
        self._check()
        return self._add(make_callback(function, result, parameters, **options))

    def lib_open(self, name: Any, flags: int = 0) -> Any:
        """``lib_open``, for the length of the scope."""
        self._check()
        return self._add(lib_open(name, flags))

    def enter(self, thing: Any) -> Any:
        """Let ``thing`` end with the scope, and give what ``with`` would: an arena, a pool, a struct, pinned or owned
        memory, anything that ``with`` takes.

        Raises ``ForeignTypeError`` for what it does not take.
        """
        self._check()
        leave = getattr(type(thing), "__exit__", None)
        if leave is None or not hasattr(type(thing), "__enter__"):
            raise ForeignTypeError(f"scope.enter takes what with takes, not {shorten(thing)}")
        found = type(thing).__enter__(thing)
        self._ends.append(lambda where: leave(thing, None, None, None))
        return found

    def _check(self) -> None:
        if self._closed_at is not None:
            raise ForeignError(f"the scope has ended: it was closed at {self._closed_at}")

    def _add(self, thing: Any) -> Any:
        if isinstance(thing, ForeignMemory):
            self._ends.append(lambda where: thing.end(where) if thing.alive else None)
        else:
            self._ends.append(lambda where: thing.close())
        return thing

    def close(self) -> None:
        """End all, what was made last first.  Closing twice does nothing.

        All is ended even if the end of something raises; then the last such exception is raised, with the others in its
        ``__context__``.
        """
        self._end(caller())

    def _end(self, where: str) -> None:
        if self._closed_at is None:
            self._closed_at = where
        failed: BaseException | None = None
        while self._ends:
            try:
                self._ends.pop()(where)
            except BaseException as error:
                error.__context__ = failed
                failed = error
        if failed is not None:
            raise failed

    def __enter__(self) -> Scope:
        return self

    def __exit__(self, *exception: object) -> None:
        self._end(caller())

    def __repr__(self) -> str:
        return f"<scope, {'ended' if self.closed else f'{len(self._ends)} things'}>"


def scope() -> Scope:
    """A scope: the libraries, memory and callbacks that are made through it end at the end of ``with``, what was made
    last first, also when an exception ends it.

    >>> with scope() as s:
    ...     libc = s.lib_open("libc")
    ...     numbers = s.alloc("int", initial=[3, 1, 2])
    ...     less = s.callback(lambda a, b: a - b, "int", [("in", "int"), ("in", "int")])
    ...     libc.bind("void qsort(void *, size_t, size_t, void *)")(numbers, 3, 4, less)
    ...     list(numbers)
    [1, 2, 3]
    >>> libc.closed, less.closed, numbers.alive
    (True, True, False)
    """
    return Scope()
