"""Arrays among parameters: which parameter says how long an array is, and which of them a caller passes.

A length is implied by its array.  Where the array is an argument, its length is none: the call fills it in.  Where the
array is a value that comes back, its length comes back as the list's.
"""

from __future__ import annotations

from epsilon.errors import ForeignTypeError, nearest
from epsilon.typesystem.derived import Array, Direction, Handed
from epsilon.typesystem.scalars import Integer

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from epsilon.typesystem.base import CType


def array_of(parameter: CType) -> Any:
    """The array that a parameter is, or that it points to; else None."""
    found = parameter.target if isinstance(parameter, Direction) else parameter
    return found if isinstance(found, Array) else None


def way_of(parameter: CType) -> str:
    """``in``, ``out`` or ``inout``."""
    return parameter.way if isinstance(parameter, Direction) else "in"


def linked(parameters: tuple[CType, ...], names: Sequence[str | None] = ()) -> tuple[CType, ...]:
    """The parameters, every array's length as the index of the parameter that it is in.

    Raises ``ForeignTypeError`` for a length in no parameter, or in one that cannot hold it, and for an ``:out`` array
    without a length.
    """
    found = list(parameters)
    for place, parameter in enumerate(parameters):
        array = array_of(parameter)
        if array is None:
            continue
        what = f"parameter {place + 1} ({parameter.spelling})"
        if array.counter is None:
            if array.length is None and way_of(parameter) == "out":
                raise ForeignTypeError(f"{what} is an :out array, and its length is missing: (:array TYPE 8) has 8 "
                                       "elements, (:array TYPE :length n) as many as the parameter n says")  # fmt: skip
            continue
        index = counter_index(array.counter, len(parameters), names, what)
        _check_counter(parameters, index, way_of(parameter), what)
        if index != array.counter:
            array = Array(array.target, None, index)
            found[place] = Direction(parameter.way, array) if isinstance(parameter, Direction) else array
    return tuple(found)


def counter_index(counter: str | int, count: int, names: Sequence[str | None], what: str) -> int:
    """Which of ``count`` parameters ``counter`` means: an index, a name, or ``arg1``, ``arg2`` …"""
    known = [name or f"arg{place + 1}" for place, name in enumerate([*names, *[None] * (count - len(names))])]
    if isinstance(counter, int):
        if counter < count:
            return counter
        raise ForeignTypeError(f"{what} has its length in parameter {counter}, counted from 0; there are {count}")
    if counter in known:
        return known.index(counter)
    numbers = [f"arg{place}" for place in range(1, count + 1)]
    if counter in numbers:
        return numbers.index(counter)
    raise ForeignTypeError(f"{what} has its length in {counter!r}, and no parameter is called so"
                           f"{nearest(counter, known)}; the parameters are {', '.join(known)}")  # fmt: skip


def _check_counter(parameters: tuple[CType, ...], index: int, way: str, what: str) -> None:
    counter = parameters[index]
    text = f"{what} has its length in parameter {index + 1} ({counter.spelling})"
    number = counter.target if isinstance(counter, Direction) else counter
    if not isinstance(number, Integer) and not number.only_run_time:
        raise ForeignTypeError(f"{text}, which is no integer")
    if way_of(counter) == "out":
        raise ForeignTypeError(f"{text}, which is :out: then nothing says how many there is room for; (:inout "
                               f"{counter.target.spelling}) takes that number, and gives what C writes")  # fmt: skip


def filled(parameters: tuple[CType, ...]) -> frozenset[int]:
    """The lengths that a call fills in, as indices: those of arrays that are arguments."""
    return frozenset(
        array_of(parameter).counter
        for parameter in parameters
        if array_of(parameter) is not None and way_of(parameter) != "out" and array_of(parameter).counter is not None
    )


def told(parameters: tuple[CType, ...]) -> frozenset[int]:
    """The lengths that C writes and that a list which comes back tells, as indices."""
    return frozenset(
        array_of(parameter).counter
        for parameter in parameters
        if array_of(parameter) is not None
        and way_of(parameter) != "in"
        and array_of(parameter).counter is not None
        and way_of(parameters[array_of(parameter).counter]) == "inout"
    )


def check_callback(parameters: Iterable[CType]) -> None:
    """Refuse what a callback cannot return: an array whose length nothing says."""
    for place, parameter in enumerate(parameters, 1):
        if isinstance(parameter, Handed):
            raise ForeignTypeError(f"parameter {place} ({parameter.spelling}) is :{parameter.way}: that is for what C "
                                   "gets from a call, and a callback gets it from C")  # fmt: skip
        array = array_of(parameter)
        if array is not None and way_of(parameter) == "inout" and array.length is None and array.counter is None:
            raise ForeignTypeError(f"parameter {place} ({parameter.spelling}) is an :inout array without a length: how "
                                   "many values a callback may write, (:array TYPE :length n) says")  # fmt: skip
