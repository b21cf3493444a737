"""Lease: the bytes of memory for a zero-copy view, which may outlive the memory's end; what ``c/lease.c`` is."""

from __future__ import annotations

import _cffi_backend as cffi

from epsilon._abi.guarded import CHARACTER_POINTER, Guarded

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from typing import Any


class _Keep:
    """What cffi calls when the last view of the bytes is gone; until then it keeps them."""

    __slots__ = ("count", "keep")

    def __init__(self, keep: Any):
        self.keep, self.count = (keep, None), None
        if isinstance(keep, Guarded):
            self.count, memory = Guarded._lend(keep)  # the name may be a member of a struct
            self.keep = (keep, memory)

    def __call__(self, pointer: Any) -> None:
        if self.count is not None:
            self.count.pop()


def Lease(keep: Any, address: int, size: int, readonly: bool = False) -> Any:
    """Bytes, as a buffer, that outlive the end of the memory they are in."""
    view = cffi.buffer(cffi.gcp(cffi.cast(CHARACTER_POINTER, address), _Keep(keep)), size)
    return memoryview(view).toreadonly() if readonly else view
