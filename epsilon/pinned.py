"""``pinned_array``: the memory of a Python object with the buffer protocol, in place."""

from __future__ import annotations

import sys

import _cffi_backend as cffi

from epsilon import _backend
from epsilon.errors import ForeignTypeError, ForeignValueError, shorten
from epsilon.formats import word_of_format
from epsilon.memory import ForeignMemory
from epsilon.typesystem import WORDS
from epsilon.typesystem.exposed import exposed
from epsilon.views import BYTES

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from typing import Any


class PinnedArray(ForeignMemory):
    """The memory of a Python object with the buffer protocol, in place; the object cannot be resized meanwhile."""

    __slots__ = ("hold",)

    def __exit__(self, *exception: object) -> None:
        if self.alive:
            self.end(sys._getframe(1))
        if self.hold is not None and not _backend.in_flight(self):  # else it is released with this object
            if not _backend.leases_of(self):  # else the last zero-copy view does, which keeps the owner
                cffi.release(self.hold)
            self.hold = None


def pinned_array(array: Any) -> PinnedArray:
    """The memory of ``array`` (a ``bytearray``, ``array.array``, NumPy array …) without a copy, for a ``with`` block.

    Its elements have the array's own type; a read-only object gives read-only memory.  Raises ``ForeignTypeError``
    for an object without the buffer protocol or with elements that are no C scalars, ``ForeignValueError`` for memory
    that is not contiguous.

    >>> data = bytearray(b"abc")
    >>> with pinned_array(data) as p:
    ...     p[0] = ord("x")
    >>> data
    bytearray(b'xbc')
    """
    given, array = array, exposed(array)
    if array is None:
        raise ForeignTypeError(f"pinned_array takes an object with the buffer protocol, not {shorten(given)}")
    with memoryview(array) as view:
        if not view.c_contiguous:
            raise ForeignValueError(f"pinned_array: the memory of {shorten(array)} is not contiguous")
        word = word_of_format(view.format)
        if word is None:
            raise ForeignTypeError(f"pinned_array: elements of format {view.format!r} are no C scalars")
        element, count, readonly = WORDS[word], view.nbytes // view.itemsize, view.readonly
    hold = cffi.from_buffer(BYTES, array, not readonly)
    pinned = PinnedArray(element, count, int(cffi.cast(WORDS["uintptr"].backend, hold)), (hold, array), readonly)
    pinned.hold = hold
    return pinned
