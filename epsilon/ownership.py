"""What C takes and what it keeps: ``(:give T)`` and ``(:keep T)``.

What is given is copied into memory of C's ``malloc``, for C will free it; our memory ends with the call.  What is kept
stays alive in a table until ``foreign_release``, and cannot be ended before.  Both happen only if the call does: floor
0 says ``depart`` when every argument is converted and C is about to be called.
"""

from __future__ import annotations

import _cffi_backend as cffi

from epsilon import _backend
from epsilon.errors import ForeignMemoryError, shorten
from epsilon.memory import foreign_alloc
from epsilon.owned import OwnedMemory
from epsilon.sites import users_line
from epsilon.typesystem import VOID_POINTER, WORDS, CData, CType
from epsilon.views import BYTES, bytes_at

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from typing import Any

_UINTPTR = WORDS["uintptr"].backend

_c: dict[str, Any] = {}


def _function(prototype: str) -> Any:
    """A function of the process's own allocator, which C code has, too."""
    if prototype not in _c:
        from epsilon.libraries import lib_open

        _c[prototype] = lib_open(None).bind(prototype)
    return _c[prototype]


def _allocate(content: Any, alignment: int) -> int:
    """The address of a copy in memory that C may free; ``content`` is a buffer."""
    _function("void free(void *memory)").address  # noqa: B018 - resolved now: later may be too late
    size = max(len(content), 1)
    if alignment <= 16:
        memory = _function("void *malloc(size_t size)")(size)
    else:
        size = -(-size // alignment) * alignment
        memory = _function("void *aligned_alloc(size_t alignment, size_t size)")(alignment, size)
    address = int(cffi.cast(_UINTPTR, memory))
    if address == 0:
        raise MemoryError
    bytes_at(address, len(content))[:] = content
    return address


class _Given(_backend.Guarded):
    """Memory on its way to C.  When the call is over, it is C's, and ``source`` ends; or there was no call, and it is
    freed, unless it is the source's own."""

    __slots__ = ("copied", "source", "taken")

    def depart(self, where: str) -> None:
        self.taken = f"{where}, given to C"

    def __del__(self) -> None:
        source = self.source
        if self.taken is None:
            if self.copied:
                _function("void free(void *memory)")(cffi.cast(VOID_POINTER, self.address))
        elif source is not None and _backend.is_alive(source):
            if isinstance(source, OwnedMemory):
                _backend.owner_of(source).free = None
            _backend.end(source, self.taken)


def _given(address: int, source: Any, copied: bool) -> _Given:
    made = _backend.Guarded.__new__(_Given, VOID_POINTER, -1, 1, address)
    made.source, made.copied, made.taken = source, copied, None
    return made


def _give(target: CType, value: Any, made: Any) -> Any:
    if isinstance(made, bytes):  # a text
        return _given(_allocate(made + b"\0", 1), None, True)
    if isinstance(made, memoryview):
        with made, made.cast("B") as content:
            return _given(_allocate(content, 1), None, True)
    if not isinstance(made, _backend.Guarded):
        return made  # C's own
    source = value if made is value else None
    if source is not None and _backend.exports_of(source):
        kept_at = kept_since(source)
        user = "C keeps already" if kept_at is not None else "a memoryview or another buffer looks at"
        raise ForeignMemoryError(f"got {shorten(value)}, which {user}: C cannot be given it")
    if isinstance(made, OwnedMemory):
        return _given(made.address, source, False)
    if source is not None and _backend.owner_of(source) is not None:
        raise ForeignMemoryError(f"got {shorten(value)}, which is part of other memory; C can be given a "
                                 "whole block, or a copy")  # fmt: skip
    if _backend.kept_by(made):
        raise ForeignMemoryError(f"got {shorten(value)}, which points to what Python keeps alive: C would find it "
                                 "gone; store pointers that C gave, or use (:keep T)")  # fmt: skip
    content = bytes_at(_backend.address_of(made), _backend.size_of(made))
    alignment = getattr(getattr(target, "target", None), "alignment", None) or 1
    return _given(_allocate(content, alignment), source, True)


# --- what C keeps ---------------------------------------------------------------------------------------------------

#: address → what was passed for it, what keeps it alive, and the place of the call, once for each call
_kept: dict[int, list[tuple[Any, Any, str]]] = {}


class _Kept(_backend.Guarded):
    """A pointer on its way to C, which will keep it."""

    __slots__ = ("held",)

    def depart(self, where: str) -> None:
        held, self.held = self.held, None
        if held is not None:  # not made again by :retry
            if isinstance(held[1], _backend.Guarded):
                _backend.hold(held[1])
            _kept.setdefault(self.address, []).append((*held, where))


def _keep(target: CType, value: Any, made: Any) -> Any:
    if isinstance(made, bytes):
        made = foreign_alloc("char", initial=made + b"\0")
    if isinstance(made, memoryview):
        made = cffi.from_buffer(BYTES, made)
    if isinstance(made, _backend.Guarded):
        address = _backend.address_of(made)
    elif isinstance(made, CData):
        address = int(cffi.cast(_UINTPTR, cffi.cast(VOID_POINTER, made)))
    else:  # a callback or a function
        address = made.address
    owner = made if isinstance(made, _backend.Guarded) else (made,)
    kept = _backend.Guarded.__new__(_Kept, VOID_POINTER, -1, 1, address, owner)
    kept.held = (value, made)
    return kept


def foreign_release(value: Any) -> None:
    """Let go of what C was passed as ``(:keep T)``: what was passed, or a pointer to it that C gave.

    What was kept by several calls is released as often.  Raises ``ForeignMemoryError`` for what is not kept.

    >>> numbers = foreign_alloc("int", initial=[1, 2])
    >>> identity = lib_open("libc").bind("strcpy", "pointer", [("keep", ("pointer", "int")), "string"])
    >>> _ = identity(numbers, b"")
    >>> foreign_release(numbers)
    >>> foreign_release(numbers)
    Traceback (most recent call last):
    ...
    epsilon.errors.ForeignMemoryError: foreign_release: C keeps nothing of <foreign memory int [2], at 0x...>
    """
    for address, holds in list(_kept.items()):
        for place, (passed, made, _) in enumerate(holds):
            if passed is value or address == _address_of(value):
                del holds[place]
                if isinstance(made, _backend.Guarded):
                    _backend.release(made)
                if not holds:
                    _kept.pop(address, None)
                return
    raise ForeignMemoryError(f"foreign_release: C keeps nothing of {shorten(value)}")


def kept_since(memory: Any) -> str | None:
    """The place of the first call since which C keeps memory, or a part of it; None: it keeps none."""
    for holds in list(_kept.values()):
        for _, made, where in holds:
            while isinstance(made, _backend.Guarded):
                if made is memory:
                    return where
                made = _backend.owner_of(made)
    return None


def _address_of(value: Any) -> int | None:
    if isinstance(value, CData) and cffi.typeof(value).kind in ("pointer", "array", "function"):
        return int(cffi.cast(_UINTPTR, cffi.cast(VOID_POINTER, value)))
    if isinstance(value, _backend.Guarded) and _backend.is_alive(value):
        return _backend.address_of(value)
    return None


# --- both -----------------------------------------------------------------------------------------------------------


def hand_over(handed: Any, value: Any) -> Any:
    """What is passed for ``value``, which C gets for good; a ``Handed`` says how."""
    made = handed.target.adapt(value)
    if made is None:
        return None
    return (_give if handed.way == "give" else _keep)(handed.target, value, made)


def depart(made: tuple) -> None:
    """The call is about to be made with these."""
    where = users_line()
    for each in made:
        if isinstance(each, (_Given, _Kept)):
            each.depart(where)
