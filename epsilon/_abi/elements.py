"""Memory without the shim: values of one type, one after the other, and where blocks of them come from.

What ``c/elements.c`` and ``c/pool.c`` are, in Python.
"""

from __future__ import annotations

from _thread import _local as thread_local  # threading.local, without all of threading
from sys import _getframe

from epsilon._abi.guarded import Guarded, is_alive

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from typing import Any


class _Pool(thread_local):
    """Blocks that are used again, by size and alignment."""

    def __init__(self) -> None:
        self.blocks: dict[tuple[int, int], list[Guarded]] = {}


_pool = _Pool()
#: blocks of one size that a thread keeps
_KEPT = 16


def _way(ways: dict[Any, tuple[Any, Any]], type_: Any) -> tuple[Any, Any] | None:
    try:
        return ways.get(type_)
    except TypeError:  # a list, which is no key
        return None


class Memory(Guarded):
    """Guarded memory of ``count`` values of type ``element``; a subclass reads and writes them (``_get``, ``_set``)."""

    __slots__ = ("_block", "count", "element")

    def __getitem__(self, index: Any) -> Any:
        return self._get(index)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._set(index, value)

    @classmethod
    def allocate(cls, ways: dict[Any, tuple[Any, Any]], type_: Any, count: Any, /) -> Any:
        """allocate(ways, type, count): zeroed memory of its own.

        ``ways`` has type → (converter, pointer type); None where the type is not in it, or the count is no plain one.
        """
        number = 1 if count is None else count
        way = _way(ways, type_)
        if way is None or type(number) is not int or not 0 <= number < 1 << 30:
            return None
        converter, pointer_type = way
        self = cls._made(pointer_type, number * converter.size, converter.alignment)
        self.element, self.count = converter.ctype, number
        return self

    @classmethod
    def take(cls, ways: dict[Any, tuple[Any, Any]], type_: Any, count: Any, /) -> Any:
        """take(ways, type, count): memory of this thread's pool, or None as for ``allocate``."""
        way = _way(ways, type_)
        if way is None or type(count) is not int or not 0 <= count < 1 << 30:
            return None
        converter, pointer_type = way
        if converter.code not in "bBcChHiIqQfdg?FD":  # what was last in it may be pointers, to what has gone
            return cls.allocate(ways, type_, count)
        kind = (count * converter.size, converter.alignment)
        blocks = _pool.blocks.setdefault(kind, [])
        try:
            block = blocks.pop()
        except IndexError:
            block = Guarded(pointer_type, *kind)
        self = cls._made(pointer_type, *kind, block.address, (block,))
        self.element, self.count, self._block = converter.ctype, count, (kind, block)
        return self

    @classmethod
    def _made(cls, *given: Any) -> Any:
        return Guarded.__new__(cls, *given)

    def free(self, where: Any, /) -> bool:
        """free(where): end it; False where its memory is that of something else."""
        if self.owner is not None:
            return False
        self.end(where)
        return True

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exception: object) -> None:
        if not is_alive(self):
            return
        self.end(_getframe(1))
        kind, block = getattr(self, "_block", (None, None))
        if block is not None and not self.inflight and not self.leases:  # else C uses it here, or a view looks at it
            blocks = _pool.blocks.setdefault(kind, [])
            if len(blocks) < _KEPT:
                blocks.append(block)
