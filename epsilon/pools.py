"""Pools: blocks of one size that are taken and given back, without asking C for memory each time."""

from __future__ import annotations

import sys
from _weakref import ref

import _cffi_backend as cffi

from epsilon import _backend
from epsilon import memory as memory_module
from epsilon.errors import ForeignMemoryError, ForeignTypeError, ForeignValueError, shorten
from epsilon.memory import ForeignMemory, requested
from epsilon.sites import caller
from epsilon.typesystem import CHARACTER_POINTER, Array

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from typing import Any

_CHARACTER_POINTER = CHARACTER_POINTER.backend
_getframe = sys._getframe
_new = _backend.Guarded.__new__


class PoolMemory(ForeignMemory):
    """A block of a :class:`Pool`: it goes back with ``pool.free``, at the end of ``with``, or when it is garbage."""

    __slots__ = ("pool",)

    def __exit__(self, *exception: object) -> None:
        if self.alive:
            self.pool._give_back(self, _getframe(1))

    def __del__(self) -> None:
        if self.alive:
            self.pool._give_back(self, "its collection")


class Pool:
    """Blocks of ``count`` values of ``type``, ``capacity`` of them at first.

    When all are in use, the pool grows, or, with ``grow=False``, raises ``ForeignMemoryError``.  A block is zeroed when
    it is taken.  The end of ``with``, or ``close()``, ends every block.

    >>> with Pool("int", count=4, capacity=2, grow=False) as pool:
    ...     first, second = pool.alloc(), pool.alloc(initial=[1, 2])
    ...     pool.free(first)
    ...     list(pool.alloc()), list(second), pool
    ([0, 0, 0, 0], [1, 2, 0, 0], <pool of int [4], 1 of 2 in use>)
    >>> second[0]
    Traceback (most recent call last):
    ...
    epsilon.errors.ForeignMemoryError: use of <foreign memory int [4], ended> after its end: it was freed at ...
    """

    def __init__(self, type: Any, count: int = 1, capacity: int = 16, grow: bool = True):
        self._type = type
        self.element, self.count, _ = requested(type, count, None, "Pool")
        if not hasattr(capacity, "__index__"):
            raise ForeignTypeError(f"Pool: the capacity is an int, not {shorten(capacity)}")
        if capacity.__index__() < 1:
            raise ForeignValueError(f"Pool: the capacity is 1 or more, not {capacity}")
        self.grow, self.capacity = bool(grow), 0
        self._pointer = cffi.new_pointer_type(self.element.backend)
        self._closed_at: str | None = None
        self._regions: list[Any] = []
        self._free: list[int] = []
        #: address → a block in use
        self._used: dict[int, Any] = {}
        self._extend(capacity.__index__())

    def _extend(self, many: int) -> None:
        alignment = self.element.alignment
        step = max(-(-self.element.size * self.count // alignment) * alignment, 1)
        requested("char", many * step, None, "Pool")  # larger than any memory?
        region = memory_module.notice(_backend.Guarded(CHARACTER_POINTER.backend, many * step, max(alignment, 16)))
        self._regions.append(region)
        start = region.address
        self._free.extend(range(start + (many - 1) * step, start - 1, -step))
        self.capacity += many

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._closed_at is not None

    def alloc(self, initial: Any = None) -> PoolMemory:
        """A block, zeroed, with ``initial`` values as in ``foreign_alloc``.

        Raises ``ForeignMemoryError`` when all are in use and the pool may not grow, and after its end.
        """
        values = requested(self._type, self.count, initial, "pool.alloc")[2] if initial is not None else ()
        regions = self._regions  # kept for now: another thread may close the pool
        address = self._take()
        size = self.element.size * self.count
        cffi.memmove(cffi.cast(_CHARACTER_POINTER, address), bytes(size), size)
        memory = _new(PoolMemory, self._pointer, size, self.element.alignment, address, (self, regions))
        memory.element, memory.count, memory.pool = self.element, self.count, self
        self._used[address] = ref(memory)
        if self._closed_at is not None:  # by another thread, since we looked
            memory.end(self._closed_at)
        for index, value in enumerate(values):
            memory[index] = value
        return memory

    def _take(self) -> int:
        while True:
            if self._closed_at is not None:
                raise ForeignMemoryError(f"{self!r}: it was closed at {self._closed_at}")
            try:
                return self._free.pop()
            except IndexError:
                if not self.grow:
                    raise ForeignMemoryError(f"{self!r} is exhausted") from None
            self._extend(self.capacity)

    def free(self, memory: Any) -> None:
        """Give a block back, which ends it.

        Raises ``ForeignMemoryError`` for one that has ended, and for what is no block of this pool.
        """
        if not isinstance(memory, PoolMemory) or memory.pool is not self:
            raise ForeignMemoryError(f"pool.free: {shorten(memory)} is no block of {self!r}")
        self._give_back(memory, _getframe(1))

    def _give_back(self, memory: PoolMemory, where: Any) -> None:
        address = memory.address
        memory.end(where)
        self._used.pop(address, None)
        self._free.append(address)

    def close(self) -> None:
        """End every block, and the pool.  Closing twice does nothing."""
        self._end(caller())

    def _end(self, where: str) -> None:
        if self._closed_at is not None:
            return
        self._closed_at = where
        try:
            while self._used:
                memory = self._used.popitem()[1]()
                if memory is not None and memory.alive:
                    memory.end(where)
        except BaseException:  # a call on another thread uses it
            self._used[memory.address] = ref(memory)
            self._closed_at = None
            raise
        self._free.clear()
        self._regions = []

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exception: object) -> None:
        self._end(caller())

    def __repr__(self) -> str:
        spelling = Array(self.element, self.count).spelling
        state = "ended" if self.closed else f"{self.capacity - len(self._free)} of {self.capacity} in use"
        return f"<pool of {spelling}, {state}>"
