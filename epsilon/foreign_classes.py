"""Foreign classes: C objects that are counted or owned, as Python objects that release them."""

from __future__ import annotations

import _cffi_backend as cffi

from epsilon import _backend
from epsilon.errors import ForeignTypeError
from epsilon.owned import Release
from epsilon.results import releaser
from epsilon.sites import caller
from epsilon.typesystem import NAMED, VOID_POINTER, CData, CType, Pointer, PointerLike, tagged
from epsilon.typesystem.pointers import check_free
from epsilon.usertypes import new_name

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class ForeignClassType(PointerLike):
    """The type of a foreign class's objects: to C a pointer to an opaque struct.

    A result that is ``borrowed`` is acquired for the object that the user gets; any other is the user's to free.
    """

    __slots__ = ("acquire", "borrowed", "free", "name", "pointer", "python_class")
    only_parameter = "an object of a foreign class comes back from a call; in memory it is a plain pointer"

    def __new__(cls, python_class: type, name: str, free: Any, acquire: Any, borrowed: bool) -> CType:
        return super().__new__(cls, python_class, name, free, acquire, borrowed)

    def setup(self, python_class: type, name: str, free: Any, acquire: Any, borrowed: bool) -> None:
        super().setup()
        self.python_class, self.name, self.free, self.acquire = python_class, name, free, acquire
        self.borrowed, self.code = borrowed, "x"
        self.pointer: Any = Pointer(tagged("struct", name))

    @property
    def wants(self) -> str:
        return f"an object of the class {self.name}, None, or a {self.pointer.spelling}"

    def declare(self, inner: str = "") -> str:
        return self.pointer.declare(inner)

    def make_backend(self) -> Any:
        return self.pointer.backend

    def make_converter(self) -> Any:
        return _backend.Converter(
            self, "x", self.size, self.alignment, self.backend, inner=self.pointer.converter, to=self.adapt,
            back=self.restore, owned=True,
        )  # fmt: skip

    def convert(self, value: Any) -> Any:
        if value is None or isinstance(value, self.python_class):
            return value
        if isinstance(value, CData) and cffi.typeof(value) is self.backend:
            return value
        raise self.refusal(value)

    def restore(self, value: Any) -> Any:
        return value if value else None

    def own(self, who: Any, address: int, value: Any) -> Any:
        """The object for what came back from a call of ``who``; ``value`` is None where nobody gets it."""
        free = releaser(who, self.free)
        acquire = None if self.acquire is None else releaser(who, self.acquire)
        if value is None:
            if not self.borrowed:
                free(cffi.cast(VOID_POINTER, address))
            return None
        if self.borrowed:
            if acquire is None:
                raise ForeignTypeError(f"the class {self.name} has no acquire, without which a borrowed object is not "
                                       "safe to hold")  # fmt: skip
            acquire(cffi.cast(VOID_POINTER, address))
        return _object(self.python_class, address, free, acquire)

    def __reduce__(self):
        raise TypeError("a foreign class cannot be pickled")


class ForeignObject(_backend.Guarded):
    """What all objects of foreign classes share: they pass as pointers, and end with ``with`` or as garbage.

    ``copy.copy`` is an object of its own, for which C has been asked to count once more.  Two are equal where they
    stand for the same C object.
    """

    __slots__ = ("_acquire", "_free")

    def __new__(cls, *args: Any) -> ForeignObject:
        raise ForeignTypeError(f"{cls.__name__} is made by C: call a function with a result of this type")

    def end(self, where: str) -> None:
        """Release it now."""
        super().end(where)
        _backend.owner_of(self).release()

    def __copy__(self) -> ForeignObject:
        if self._acquire is None:
            raise ForeignTypeError(f"{self!r} cannot be copied: its class has no acquire")
        address = self.address
        self._acquire(cffi.cast(VOID_POINTER, address))
        return _object(type(self), address, self._free, self._acquire)

    def __deepcopy__(self, memo: object) -> ForeignObject:
        raise ForeignTypeError(f"{self!r}: C does not say how to copy what it points to; copy.copy shares it")

    def __reduce__(self):
        raise TypeError(f"{self!r} cannot be pickled")

    def __enter__(self) -> ForeignObject:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.alive:
            self.end(caller())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ForeignObject) or type(other) is not type(self):
            return NotImplemented
        return self is other or (self.alive and other.alive and self.address == other.address)

    def __hash__(self) -> int:
        return hash(_backend.owner_of(self).address)

    def __repr__(self) -> str:
        state = f"at {self.address:#x}" if self.alive else "ended"
        return f"<foreign {type(self).__name__}, {state}>"


def _object(python_class: type, address: int, free: Callable[[Any], Any], acquire: Any) -> Any:
    pointer = python_class.ctype.backend  # type: ignore[attr-defined]
    made = _backend.Guarded.__new__(python_class, pointer, -1, 1, address, Release(free, address))
    made._free, made._acquire = free, acquire
    return made


def define_foreign_class(name: Any, *, free: Any, acquire: Any = None) -> type[ForeignObject]:
    """Define the class of C objects that are reached through ``struct name *`` and counted; it serves as a type.

    ``free`` gives one count back and ``acquire`` takes one: symbols of the library that a function with such a result
    is in, or callables, which are given a ``void *``.  An object that a function returns is freed when it is collected,
    or at the end of ``with``; ``copy.copy`` acquires it once more, so that the last one frees.  A function that returns
    what it goes on owning is declared with the type ``borrowed`` of the class: its result is acquired.

    Raises ``ForeignTypeError`` for a name that is a type already.

    >>> stream = define_foreign_class("_IO_FILE", free="fclose")
    >>> tmpfile = lib_open("libc").bind("tmpfile", stream, [])
    >>> with tmpfile() as file:
    ...     lib_open("libc").bind("fileno", "int", [stream])(file) > 2
    True
    >>> file
    <foreign _IO_FILE, ended>
    """
    word = new_name(name)
    check_free(free)
    if acquire is not None:
        check_free(acquire)
    made = type(word, (ForeignObject,), {"__slots__": (), "__module__": None, "__doc__": f"C's struct {word}."})
    made.ctype = NAMED[word] = ForeignClassType(made, word, free, acquire, False)
    made.borrowed = ForeignClassType(made, word, free, acquire, True)
    return made
