"""Arenas: memory of which everything ends together, in the reverse of the order in which it was made.

An arena takes memory from C in regions and cuts its blocks off them.  A block has its region for its root, so that the
end of the region is that of all blocks in it, and of what was derived from them.
"""

from __future__ import annotations

from _thread import get_ident

import _cffi_backend as cffi

from epsilon import _backend, memory
from epsilon.errors import ForeignMemoryError, ForeignTypeError, nearest, shorten
from epsilon.expressions import is_fixed, plain_word, word_of
from epsilon.memory import _PLAIN_COUNT, ForeignMemory, requested
from epsilon.sites import caller
from epsilon.typesystem import CHARACTER_POINTER, Array, CType

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from typing import Any

KINDS = ("shared", "confined", "collected")
#: the bytes of an arena's first region; each further one is twice as large, up to the second figure
_FIRST, _LARGEST = 4096, 1 << 20

_new = _backend.Guarded.__new__
#: the words of C's own types → the type, a pointer to it, its size and alignment
_known: dict[str, tuple[CType, Any, int, int]] = {}


class _Region(_backend.Guarded):
    """A stretch of memory from ``start`` to ``limit`` that blocks are cut off: from ``next`` on it is free."""

    __slots__ = ("kind", "limit", "next", "start")

    def __new__(cls, kind: str, size: int) -> _Region:
        self = super().__new__(cls, CHARACTER_POINTER.backend, size, 16)
        self.kind, self.start = kind, self.address
        self.next, self.limit = self.start, self.start + size
        if kind == "confined":
            self.confine()
        return self

    def __repr__(self) -> str:
        return f"<memory of a {self.kind} arena>"


class ArenaMemory(ForeignMemory):
    """A block of an arena: it ends with the arena, and has no end of its own."""

    __slots__ = ("arena",)

    def __exit__(self, *exception: object) -> None:
        """The end of ``with`` is not that of the arena."""

    def __repr__(self) -> str:
        spelling = Array(self.element, self.count).spelling
        try:
            state = f"at {self.address:#x}"
        except ForeignMemoryError:
            state = "confined to another thread" if self.alive else "ended"
        return f"<arena memory {spelling}, {state}>"


class Arena:
    """What :func:`arena` makes: ``alloc`` takes memory, ``close`` or the end of ``with`` ends all of it."""

    __slots__ = ("__weakref__", "_closed_at", "_open", "_regions", "_thread", "kind")

    def __init__(self, kind: str = "shared"):
        word = plain_word(word_of(kind) or "")
        if word not in KINDS:
            raise ForeignTypeError(f"unknown kind of arena {shorten(kind)}{nearest(word, KINDS)}; there are "
                                   f"{', '.join(KINDS)}")  # fmt: skip
        self.kind = word
        self._thread = get_ident()
        self._closed_at: str | None = None
        self._regions: list[_Region] = []
        #: the region that blocks are cut off; taken out meanwhile, so that no two threads cut at the same place
        self._open: list[_Region] = []

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._closed_at is not None

    def alloc(self, type: Any, count: int | None = None, initial: Any = None) -> ArenaMemory:
        """Memory as ``foreign_alloc`` gives it, which ends with the arena.

        >>> with arena() as a:
        ...     p = a.alloc("int", count=3, initial=[1, 2])
        ...     list(p)
        [1, 2, 0]
        >>> p[0]
        Traceback (most recent call last):
        ...
        epsilon.errors.ForeignMemoryError: use of <memory of a shared arena> after its end: it was freed at ...
        """
        self._check()
        if initial is None and type.__class__ is str and type in _known:  # the commonest, quicker
            if count is None:
                return self._cut(_known[type], 1)
            if count.__class__ is int and 0 <= count < _PLAIN_COUNT:
                return self._cut(_known[type], count)
        element, number, values = requested(type, count, initial, "arena.alloc")
        found = element, cffi.new_pointer_type(element.backend), element.size, element.alignment
        if type.__class__ is str and is_fixed(type):
            _known[type] = found
        block = self._cut(found, number)
        for index, value in enumerate(values):
            block[index] = value
        return block

    def _check(self) -> None:
        if self._closed_at is not None:
            raise ForeignMemoryError(f"the arena has ended: it was closed at {self._closed_at}")
        if self.kind == "confined" and self._thread != get_ident():
            raise ForeignMemoryError("use of a confined arena on another thread than the one that made it")

    def _cut(self, found: tuple[CType, Any, int, int], count: int) -> ArenaMemory:
        element, pointer_type, step, alignment = found
        size = step * count
        try:
            region = self._open.pop()
        except IndexError:
            region = None
        if region is not None:
            start = -(-region.next // alignment) * alignment
        if region is None or start + size > region.limit:
            grown = min((region.limit - region.start) * 2, _LARGEST) if region is not None else _FIRST
            region = self._more(max(grown, size + alignment))
            start = -(-region.start // alignment) * alignment
        region.next = start + (size or 1)  # two blocks of nothing have two addresses
        block = _new(ArenaMemory, pointer_type, size, alignment, start, region)
        block.element, block.count = element, count
        block.arena = self if self.kind == "collected" else None
        self._open[:] = [region]
        return block

    def _more(self, size: int) -> _Region:
        region = memory.notice(_Region(self.kind, size))
        self._regions.append(region)
        if self._closed_at is not None:  # by another thread, since we looked
            region.end(self._closed_at)
        return region

    def close(self) -> None:
        """End all memory of the arena, what was allocated last first.  Closing twice does nothing.

        Raises ``ForeignMemoryError`` for a collected arena, which ends when nobody holds it or its memory any more, and
        for a confined one on another thread.
        """
        self._end(caller())

    def _end(self, where: str) -> None:
        if self._closed_at is not None:
            return
        if self.kind == "collected":
            raise ForeignMemoryError("a collected arena has no end to be told: it ends when nobody holds it any more")
        self._check()
        self._closed_at = where
        try:
            while self._regions:
                self._regions[-1].end(where)
                self._regions.pop()
        except BaseException:  # a call on another thread uses it, or somebody looks at a buffer: what is left lives on
            self._open[:] = [region for region in self._open if region.alive]
            self._closed_at = None
            raise
        self._open.clear()

    def __enter__(self) -> Arena:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.kind != "collected":
            self._end(caller())

    def __repr__(self) -> str:
        used = sum(region.next - region.start for region in list(self._regions))
        state = "ended" if self.closed else f"{used} bytes in use"
        return f"<{self.kind} arena, {state}>"


def arena(kind: str = "shared") -> Arena:
    """An arena: memory that ends together, at the end of ``with`` or by ``close()``, the last block first.

    ``kind`` is ``"shared"``, for all threads; ``"confined"``, of which another thread than the one that makes it can
    use nothing (``ForeignMemoryError``); or ``"collected"``, which ends by itself when nobody holds the arena or any of
    its memory, and never before.  Blocks are cut off larger regions, and end in one step.

    >>> with arena("confined") as a:
    ...     texts = [a.alloc("char", initial=text) for text in ("one", "two")]
    >>> a
    <confined arena, ended>
    """
    return Arena(kind)
