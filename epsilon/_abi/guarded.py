"""The life of things without the shim: a Cell for a library, a Guarded for memory, a Record for a call in progress.

What ``c/guarded.c`` is, in Python, with the hooks.  The C code is safe because it holds the GIL from one line to the
next; here every step that another thread, a signal handler or a finalizer must not see half done is one atomic
operation of a built-in container.  A lock would not do: a finalizer may run on the thread that holds it.
"""

from __future__ import annotations

import sys
from _thread import _local as thread_local
from _thread import get_ident
from operator import index

import _cffi_backend as cffi

from epsilon.errors import ForeignTypeError

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

VOID_POINTER = cffi.new_pointer_type(cffi.new_void_type())
UINTPTR = cffi.new_primitive_type("uintptr_t")
CHARACTER_POINTER = cffi.new_pointer_type(cffi.new_primitive_type("char"))
CHARACTERS = cffi.new_array_type(CHARACTER_POINTER, None)
NULL = cffi.cast(VOID_POINTER, 0)
#: of CPython's object.h
_PYBUF_WRITABLE, _PYBUF_FORMAT = 1, 4


# --- what the floors above set --------------------------------------------------------------------------------------


class Hooks:
    """The callables that floor 0 reaches back through; ``c/shim.h`` says what each is given."""

    __slots__ = (
        "adapt", "another", "arguments", "batch_failed", "batch_plan", "cdata", "check_failed", "closed", "dead",
        "depart", "explain", "in_use", "library_closed", "member", "null_pointer", "readonly", "retrying", "shown",
        "tail", "take", "type_error", "undecodable",
    )  # fmt: skip


hooks = Hooks()


def set_hooks(**given: Callable[..., Any]) -> None:
    """Set the hooks of the floors above."""
    for name, hook in given.items():
        if name not in Hooks.__slots__:
            raise TypeError(f"set_hooks got a hook that floor 0 does not know: {name!r}")
        setattr(hooks, name, hook)


def explain(who: Any, index: int, error: BaseException) -> None:
    """Let the floors above name the function and the parameter in ``error``, or raise a better one in its place."""
    better = hooks.explain(who, index, error)
    if better is not error:
        raise better from error


def needs_shim(what: str) -> ForeignTypeError:
    """The error of a declaration that asks for what cffi's ABI mode cannot do."""
    from epsilon import _backend  # which imports this package, and is whole by the time of a declaration

    return ForeignTypeError(f"{what} needs the shim: {_backend.why_no_shim}")


# --- a call in progress ---------------------------------------------------------------------------------------------


class Record(list):
    """A foreign call in progress: empty, or with the exception of a callback in it, which waits for the call to land.

    ``errno`` is what the call left, under errno=True.
    """

    __slots__ = ("errno",)
    __hash__ = object.__hash__


class _Local(thread_local):
    """What each thread has for itself: its calls in progress, the innermost last, and what ``errno()`` gives."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.errno = 0


local = _Local()


def park(exception: BaseException, context: object) -> None:
    """Leave a callback's exception to the foreign call that C is in; with no such call, to ``sys.unraisablehook``."""
    records = local.records
    if not records:
        unraisable(exception, context)
        return
    record = records[-1]
    if not record:
        record.append(exception)
        return
    try:
        hooks.another(record[0], exception)
    except BaseException as error:
        unraisable(error, context)


def own_calls() -> list[Record]:
    """This thread's foreign calls in progress."""
    return local.records


def leave_to(thread: Any, exception: BaseException | None, /) -> bool:
    """Leave an exception to the foreign call that a thread is in; whether it is in one.  ``thread.calls`` is what
    ``own_calls`` gave there, and None from the thread's end on."""
    try:
        record = thread.calls[-1]
    except (IndexError, TypeError):
        return False
    if exception is None:
        return True
    if record:
        hooks.another(record[0], exception)
    else:
        record.append(exception)
    return True


def unraisable(exception: BaseException, context: object) -> None:
    """What PyErr_WriteUnraisable does: ``sys.unraisablehook`` is told, and nothing is raised."""
    # Python has no name for the type of the hook's argument, but the default hook insists on it.
    arguments = next(kind for kind in tuple.__subclasses__() if kind.__name__ == "UnraisableHookArgs")
    hook = sys.unraisablehook
    try:
        hook(arguments((type(exception), exception, exception.__traceback__, None, context)))
    except BaseException as error:
        text = "Exception ignored in sys.unraisablehook"
        sys.__unraisablehook__(arguments((type(error), error, error.__traceback__, text, hook)))


# --- libraries ------------------------------------------------------------------------------------------------------


class Cell:
    """Cell(closer): the life of a library; calls in flight hold its closing back."""

    __slots__ = ("_closed", "_closers", "_inside")

    def __init__(self, closer: Callable[[], Any], /):
        self._closers = [closer]
        self._inside: dict[Record, None] = {}
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._closed

    @property
    def inflight(self) -> int:
        """Calls in progress."""
        return len(self._inside)

    def close(self) -> None:
        """Mark it closed; the closer runs once no call is in flight."""
        self._closed = True
        if not self._inside:
            self._finish()

    def enter(self, record: Record) -> bool:
        """Count a call in; False, and it is not counted, when the library is closed.

        It counts first and looks then: whoever closes after the look finds the call inside and leaves the closing to
        it.
        """
        self._inside[record] = None
        if not self._closed:
            return True
        self.leave(record)
        return False

    def leave(self, record: Record) -> None:
        """Count a call out; the last one out of a closed library closes it for good."""
        self._inside.pop(record, None)
        if self._closed and not self._inside:
            try:
                self._finish()
            except BaseException as error:
                unraisable(error, self)

    def _finish(self) -> None:
        try:
            closer = self._closers.pop()
        except IndexError:  # another thread has taken it
            return
        closer()


# --- memory ---------------------------------------------------------------------------------------------------------

_ALIGNMENT = 16  # malloc(3): suitable for any built-in type


class Guarded:
    """Guarded(pointer_type, size, alignment=1, address=None, owner=None): memory with a known end.

    A view into another Guarded has that one as its root and ends with it.  The names of the slots are mangled, for a
    subclass has attributes that its user has named: the members of a C struct.
    """

    __slots__ = (
        "__address", "__allocated_at", "__ended", "__ended_at", "__exports", "__inside", "__kept", "__leases",
        "__memory", "__owner", "__pointer_type", "__readonly", "__root", "__size", "__weakref__",
    )  # fmt: skip

    def __new__(
        cls, pointer_type: Any, size: int, alignment: int = 1, address: int | None = None, owner: Any = None,
        readonly: bool = False,
    ) -> Guarded:  # fmt: skip
        self = super().__new__(cls)
        self.__pointer_type = pointer_type
        self.__size = size
        self.__ended = False
        self.__readonly = bool(readonly)
        self.__kept = self.__ended_at = self.__memory = self.__owner = self.__allocated_at = None
        self.__leases: list[None] = []  # one for each zero-copy view, for an append or a pop is atomic
        self.__exports: list[None] = []  # one for each buffer that somebody looks at; of the root
        self.__root = None
        #: the calls that C uses it in now → their threads; of the root
        self.__inside: dict[Record, int] = {}
        if address is not None:
            self.__address = index(address)
            self.__owner = owner
            if isinstance(owner, Guarded):
                self.__root = owner if owner.__root is None else owner.__root
            return self
        alignment = max(alignment, _ALIGNMENT)
        self.__memory = cffi.newp(CHARACTERS, max(size, 1) + alignment - 1)
        start = int(cffi.cast(UINTPTR, self.__memory))
        self.__address = (start + alignment - 1) // alignment * alignment
        return self

    def __check(self) -> None:
        root = self if self.__root is None else self.__root
        if root.__ended and (root.__ended is True or root.__ended != get_ident()):
            hooks.dead(root)
            raise SystemError("the hook for ended memory did not raise")

    @property
    def address(self) -> int:
        """The address; raises once the memory has ended."""
        self.__check()
        return self.__address

    @property
    def alive(self) -> bool:
        """Whether the memory is there."""
        return (self if self.__root is None else self.__root).__ended is not True

    @property
    def leases(self) -> int:
        """How many zero-copy views there are of its bytes."""
        return len((self if self.__root is None else self.__root).__leases)

    def _lend(self) -> tuple[list[None], Any]:
        """Count a zero-copy view in: the list that it pops from when it is gone, and the bytes, for it to keep."""
        self.__check()
        root = self if self.__root is None else self.__root
        root.__leases.append(None)
        return root.__leases, root.__memory

    @property
    def exports(self) -> int:
        """How many buffers of it somebody looks at, and how often it is held."""
        return len((self if self.__root is None else self.__root).__exports)

    def hold(self) -> None:
        """From now on it cannot end, until it is released as often."""
        exports = (self if self.__root is None else self.__root).__exports
        exports.append(None)  # counts first and looks then, as ``board`` does
        try:
            self.__check()
        except BaseException:
            exports.pop()
            raise

    def release(self) -> None:
        """It is held once less."""
        (self if self.__root is None else self.__root).__exports.pop()

    def __buffer__(self, flags: int, /) -> memoryview:
        """The buffer protocol of structs, as Python has it from 3.12 on (PEP 688)."""
        self.__check()
        format_, _ = hooks.shown(self)
        if format_ is not None and flags & _PYBUF_FORMAT:
            raise BufferError(f"a buffer of {self!r} with its structs needs the shim: from_buffer and bytes(…) do not")
        if self.__readonly and flags & _PYBUF_WRITABLE:
            raise BufferError("the memory is read-only")
        exports = (self if self.__root is None else self.__root).__exports
        exports.append(None)  # counts first and looks then, as ``board`` does
        try:
            view = memoryview(cffi.buffer(cffi.cast(CHARACTER_POINTER, live_address(self)), self.__size))
        except BaseException:
            exports.pop()
            raise
        return view.toreadonly() if self.__readonly else view

    def __release_buffer__(self, view: memoryview, /) -> None:
        (self if self.__root is None else self.__root).__exports.pop()
        view.release()

    @property
    def kept(self) -> dict[Any, Any]:
        """A dict of what the memory points to, by address."""
        root = self if self.__root is None else self.__root
        if root.__kept is None:
            root.__kept = {}
        return root.__kept

    @property
    def size(self) -> int:
        """In bytes; -1 where it is unknown."""
        return self.__size

    @property
    def pointer_type(self) -> Any:
        """The cffi type of a pointer to it."""
        return self.__pointer_type

    @property
    def readonly(self) -> bool:
        """Whether it may only be read."""
        return self.__readonly

    @property
    def owner(self) -> Any:
        """What keeps the memory alive."""
        return self.__owner

    @property
    def allocated_at(self) -> Any:
        """Where it was allocated, if that was recorded."""
        return self.__allocated_at

    @allocated_at.setter
    def allocated_at(self, where: Any) -> None:
        self.__allocated_at = where

    @property
    def ended_at(self) -> Any:
        """Where it was freed."""
        return self.__ended_at

    @property
    def inflight(self) -> int:
        """The calls that C uses it in now."""
        return len((self if self.__root is None else self.__root).__inside)

    def __board(self, record: Record) -> bool:
        """Count a call in; False, and it is not counted, when the memory has ended.

        It counts first and looks then, as ``Cell.enter`` does.
        """
        root = self if self.__root is None else self.__root
        root.__inside[record] = get_ident()
        if root.__ended is not True and (not root.__ended or root.__ended == get_ident()):
            return True
        root.__land(record)
        return False

    def __land(self, record: Record) -> None:
        """Count a call out; what was ended meanwhile, on the thread of the call, is let go now."""
        root = self if self.__root is None else self.__root
        root.__inside.pop(record, None)
        if root.__ended is True and not root.__inside:
            root.__memory = root.__kept = None

    def confine(self) -> None:
        """From now on it is there for this thread alone."""
        self.__check()
        self.__ended = get_ident()

    def end(self, where: Any, /) -> None:
        """End the memory; ``where``, a text or a frame, is what a later use is told.

        Raises if it has ended, or if C uses it on another thread.  Where a callback ends what its own call uses, it
        stays until the call lands.
        """
        root = self if self.__root is None else self.__root
        if root.__ended:
            self.__check()
        before = self.__ended
        self.__ended = True  # no call between the look and the mark, so no other thread either
        if self.__exports or any(thread != get_ident() for thread in list(self.__inside.values())):
            self.__ended = before
            hooks.in_use(self)
        self.__finish(f"{where.f_code.co_filename}:{where.f_lineno}" if hasattr(where, "f_code") else where)

    def lapse(self, where: Any, /) -> None:
        """End memory that was never ours to keep, whoever uses it."""
        self.__check()
        self.__ended = True
        self.__finish(where)

    def __finish(self, where: Any) -> None:
        self.__ended_at = where
        if not self.__inside:
            self.__memory = self.__kept = None


# As functions, for a struct may have members of these names.
live_address = Guarded.address.fget
is_alive = Guarded.alive.fget
board = Guarded._Guarded__board
land = Guarded._Guarded__land
kept_by = Guarded.kept.fget
is_readonly = Guarded.readonly.fget
pointer_type_of = Guarded.pointer_type.fget
size_of = Guarded.size.fget


def live_pointer(memory: Guarded) -> Any:
    """A ``void *`` to the memory; raises once it has ended."""
    return cffi.cast(VOID_POINTER, live_address(memory))


class CodePointer:
    """What functions and callbacks have in common: an address that C can jump to."""

    __slots__ = ()
    _cell: Cell | None = None

    def _code(self) -> int:
        """The address; resolves the symbol of a function."""
        raise TypeError("CodePointer is abstract")
