"""Which foreign memory is live, and what allocated it: ``epsilon.memory.report()`` and ``EPSILON_CHECK=1``.

The list is what Python's collector knows of, so that it costs nothing until it is asked for.  Only under
``EPSILON_CHECK=1`` is each allocation's line remembered, and what is live at exit printed.
"""

from __future__ import annotations

import atexit
import functools
import gc
import sys
from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import ref

import _cffi_backend as cffi

from epsilon import _backend
from epsilon.errors import ForeignMemoryError
from epsilon.memory import ForeignMemory, PooledMemory
from epsilon.owned import OwnedMemory
from epsilon.sites import users_line
from epsilon.structs import Struct
from epsilon.typesystem import Array, Pointer
from epsilon.typesystem import hooks as type_hooks


class Block(NamedTuple):
    """A live block: its C type, its size in bytes (None: not known), its address (None: confined to another thread),
    and the line that allocated it (None: not known)."""

    type: str
    size: int | None
    address: int | None
    allocated: str | None

    def __str__(self) -> str:
        size = "of unknown size" if self.size is None else f"{self.size} bytes"
        address = "" if self.address is None else f" at {self.address:#x}"
        return f"{self.type}, {size}{address}, allocated at {self.allocated or 'an unknown line'}"


class Report(list):
    """A list of :class:`Block`; as a str, one on each line."""

    def __str__(self) -> str:
        return "\n".join(map(str, self))


#: id of a block → the line that allocated it, and what takes the entry out when the block is gone
_origins: dict[int, tuple[str, Any]] = {}


def live() -> list[Any]:
    """The blocks that are live and stand for themselves: no views, no pins."""
    return [
        thing
        for thing in gc.get_objects()
        if issubclass(type(thing), _backend.Guarded)
        and (_backend.owner_of(thing) is None or isinstance(thing, (OwnedMemory, PooledMemory)))
        and _backend.is_alive(thing)
    ]


def described(memory: Any) -> Block:
    """What the report says of a block."""
    size = _backend.size_of(memory)
    if isinstance(memory, OwnedMemory) and memory.count is None:
        spelling = Pointer(memory.element).spelling
    elif isinstance(memory, ForeignMemory):
        spelling = Array(memory.element, memory.count).spelling
    elif isinstance(memory, Struct):
        spelling = type(memory).ctype.spelling
    elif type(memory) is _backend.Guarded:
        spelling = cffi.getcname(_backend.pointer_type_of(memory), "")
    else:
        spelling = repr(memory)
    try:
        address = _backend.address_of(memory)
    except ForeignMemoryError:
        address = None
    return Block(spelling, None if size < 0 else size, address, _origins.get(id(memory), (None,))[0])


def report() -> Report:
    """See ``epsilon.memory.report``."""
    return Report(map(described, live()))


# --- EPSILON_CHECK=1 ------------------------------------------------------------------------------------------------


def notice(memory: Any) -> Any:
    """Remember the line of the user's that allocates ``memory``."""
    key = id(memory)
    _origins[key] = (users_line(), ref(memory, lambda _: _origins.pop(key, None)))
    return memory


def _noticing(allocate: Callable[..., Any]) -> Callable[..., Any]:
    return functools.wraps(allocate)(lambda *args, **kwargs: notice(allocate(*args, **kwargs)))


def watch() -> None:
    """Remember every allocation from here on, and print at exit what is live then."""
    from epsilon import memory

    memory.foreign_alloc = _noticing(memory.foreign_alloc)
    memory.pooled_memory = _noticing(memory.pooled_memory)
    memory.notice = notice
    type_hooks["own"] = _noticing(type_hooks["own"])
    Struct.__new__ = _noticing(Struct.__new__)
    atexit.register(_print_live)


def _print_live() -> None:
    """Tell of what the program allocated and neither freed nor dropped; structs are values, and left out."""
    gc.collect()
    blocks = [described(thing) for thing in live() if id(thing) in _origins and not isinstance(thing, Struct)]
    if blocks:
        many = f"{len(blocks)} blocks of foreign memory are" if len(blocks) > 1 else "1 block of foreign memory is"
        print(f"epsilon: {many} live at exit:", *(f"  {block}" for block in blocks), sep="\n", file=sys.stderr)
