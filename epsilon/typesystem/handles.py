"""Handles: what C gets for a Python object that passes through ``void *``.

A handle is a number that looks like a pointer and is none: C can store it, compare it and give it back, and there is
nothing behind it to damage.  A table leads from the number to the object.  Numbers are never used again, so that one
that comes back too late, or a pointer that never was a handle, is an error and not another object, and never a crash.
"""

from __future__ import annotations

import itertools

from epsilon.errors import ForeignMemoryError, shorten
from epsilon.typesystem.scalars import POINTER_BITS

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from typing import Any

#: Where memory is not: Linux and macOS fill the 47 bits of a user's addresses from both ends.  Above 47 bits would be
#: safer still, but interpreters that box their values (LuaJIT's light user data) refuse a ``void *`` that large.
_FIRST = 1 << 45 if POINTER_BITS == 64 else 16
#: C code may take the low bits of a pointer for its own marks
_STEP = 16

_numbers = itertools.count(_FIRST, _STEP)
_objects: dict[int, Any] = {}


class Ticket(int):
    """The number of an object, which is in the table for as long as this is alive."""

    __slots__ = ()

    def __del__(self, forget: Any = _objects.pop) -> None:
        forget(self, None)


def enter(value: Any) -> int:
    """The number under which C knows ``value``: hold it for as long as C may give it back.  None is NULL."""
    if value is None:
        return 0
    if isinstance(value, Handle):
        return value._live()
    number = next(_numbers)
    ticket = Ticket(number)
    _objects[number] = value
    return ticket


def leave(number: int) -> Any:
    """The object for the number that C gave."""
    if not number:
        return None
    try:
        return _objects[number]
    except KeyError:
        pass
    if _FIRST <= number < next(_numbers) and number % _STEP == 0:
        raise ForeignMemoryError(
            f"got {number:#x}, the handle of an object that has ended: an object that is passed has its handle for the "
            "length of the call; where C keeps the pointer, pass epsilon.object_handle(object) and keep that"
        )
    raise ForeignMemoryError(f"got {number:#x}, which is no handle of a Python object; declare a pointer of C's own as "
                             "a :pointer")  # fmt: skip


class Handle:
    """A Python object that C may keep: what ``object_handle`` gives."""

    __slots__ = ("__weakref__", "_ticket")

    def __init__(self, object: Any):
        number = next(_numbers)
        self._ticket: Ticket | None = Ticket(number)
        _objects[number] = object

    def _live(self) -> Ticket:
        ticket = self._ticket
        if ticket is None:
            raise ForeignMemoryError(f"use of {self!r} after its end")
        return ticket

    @property
    def address(self) -> int:
        """The ``void *`` that C gets, as an int.  Nothing is there: C can only keep it and give it back."""
        return int(self._live())

    @property
    def object(self) -> Any:
        """The object."""
        return _objects[self._live()]

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._ticket is None

    def close(self) -> None:
        """End it: from now on the pointer means nothing, and the object is no longer kept alive."""
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            _objects.pop(ticket, None)

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError(f"{self!r} cannot be copied or pickled: the pointer means one object, in this process")

    def __repr__(self) -> str:
        ticket = self._ticket
        return "<closed handle>" if ticket is None else f"<handle {int(ticket):#x} of {shorten(_objects.get(ticket))}>"


def object_handle(object: Any) -> Handle:
    """A handle of ``object``, for C that keeps the pointer: as user data of a callback, say.

    C may give the pointer back for as long as the handle lives, which keeps the object alive: until ``.close()``, the
    end of ``with``, or the collection of the handle.  It passes as an ``:object`` and as a ``void *``; ``.address`` is
    the pointer and ``.object`` the object.  What C gives back later raises ``ForeignMemoryError``.

    >>> identity = make_callback(lambda data: data, "object", ["object"])
    >>> same = get_or_create_trampoline("object", ["object"])
    >>> with object_handle(["any", "object"]) as handle:
    ...     same(identity.address, handle)
    ['any', 'object']
    >>> handle
    <closed handle>
    """
    return Handle(object)
