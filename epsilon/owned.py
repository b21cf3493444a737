"""Memory that C allocated and gave away: freed by the function that its declaration names, once."""

from __future__ import annotations

import sys

import _cffi_backend as cffi

from epsilon import _backend
from epsilon import memory as memory_module
from epsilon.errors import ForeignIndexError, ForeignTypeError, shorten
from epsilon.memory import ForeignMemory
from epsilon.typesystem import VOID_POINTER, Array, Pointer
from epsilon.typesystem import hooks as type_hooks

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any


class OwnedMemory(ForeignMemory):
    """What C allocated and gave away with ``free``; where its length is not known an index is C's to trust.

    It is freed when it is collected, by ``with``, or by ``foreign_free``.
    """

    __slots__ = ()

    def __new__(cls, found: Pointer, address: int, free: Callable[[Any], Any]) -> OwnedMemory:
        release = Release(free, address)
        self = _backend.Guarded.__new__(cls, found.backend, -1, 1, address, release, found.const)
        self.element, self.count = found.target, None
        return self

    def bounded(self, count: int) -> OwnedMemory:
        """The same of a length that is known; this object is given up for it."""
        element, release = self.element, _backend.owner_of(self)
        size = count * element.size
        found = _backend.Guarded.__new__(OwnedMemory, self.pointer_type, size, 1, self.address, release, self.readonly)
        found.element, found.count = element, count
        return memory_module.notice(found)

    def _place(self, index: Any) -> int:
        if self.count is not None:
            return ForeignMemory._place(self, index)
        if not hasattr(index, "__index__"):
            raise ForeignTypeError(f"an index is an int, not {shorten(index)}")
        if self.element.size is None:
            raise ForeignTypeError(f"{self!r} points to {self.element.spelling}, which has no size; cast it first")
        place = index.__index__()
        if place < 0:
            raise ForeignIndexError(f"index {place} of {self!r}, whose end is not known")
        return place * self.element.size

    def __len__(self) -> int:
        if self.count is not None:
            return self.count
        raise ForeignTypeError(f"{self!r} has no length that is known")

    def __iter__(self) -> Iterator[Any]:
        if self.count is not None:
            return ForeignMemory.__iter__(self)
        raise ForeignTypeError(f"{self!r} has no end that is known; take a slice, p[0:n]")

    def _places(self, index: slice) -> range:
        if self.count is not None:
            return ForeignMemory._places(self, index)
        if index.stop is None or min(index.start or 0, index.stop) < 0 or (index.step or 1) < 0:
            raise ForeignIndexError(f"a slice of {self!r}, whose end is not known, is p[start:stop] with stop given")
        return range(*index.indices(index.stop))

    def end(self, where: Any) -> None:
        super().end(where)
        # else C uses it in a call of this thread, or a zero-copy view looks at it: the last of them frees it
        if not _backend.in_flight(self) and not _backend.leases_of(self):
            _backend.owner_of(self).release()

    def __exit__(self, *exception: object) -> None:
        if self.alive:
            self.end(sys._getframe(1))

    def __repr__(self) -> str:
        state = f"at {self.address:#x}" if self.alive else "ended"
        found = Pointer(self.element) if self.count is None else Array(self.element, self.count)
        return f"<owned {found.spelling}, {state}>"


class Release:
    """What frees memory that C gave away, once."""

    __slots__ = ("address", "free")

    def __init__(self, free: Callable[[Any], Any], address: int):
        self.free: Callable[[Any], Any] | None = free
        self.address = address

    def release(self) -> None:
        free, self.free = self.free, None
        if free is not None:
            free(cffi.cast(VOID_POINTER, self.address))

    __del__ = release


type_hooks["own"] = OwnedMemory
