"""The types that cross as an address: pointers, strings and buffers, and which Python values may stand for them."""

from __future__ import annotations

import codecs
import os
import sys

import _cffi_backend as cffi

from epsilon import _backend
from epsilon.errors import ForeignTypeError, ForeignValueError, shorten
from epsilon.typesystem.base import BY_BACKEND, VOID_POINTER, CData, CType
from epsilon.typesystem.exposed import exposed
from epsilon.typesystem.handles import Handle
from epsilon.typesystem.scalars import Character, Void

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from typing import Any


class PointerLike(CType):
    """What all types that cross as an address share."""

    __slots__ = ()
    is_pointer = True
    size_of_pointer = cffi.sizeof(VOID_POINTER)

    def setup(self, *args: Any) -> None:
        self.size = self.alignment = self.size_of_pointer

    def make_backend(self) -> Any:
        return VOID_POINTER


_CHARACTER_SIZED = "bBcC"


def characters(ctype: CType, text: str | bytes) -> Any:
    """The values of ``text`` (UTF-8) for C's characters of type ``ctype``; for another type, what iteration gives."""
    if ctype.code not in _CHARACTER_SIZED:
        return list(text)
    data = text.encode() if isinstance(text, str) else text
    return [number - 256 if number > ctype.high else number for number in data]


def refuse_parameter(target: CType, what: str) -> None:
    if target.only_parameter:
        raise ForeignTypeError(f"(:{what} {target.spelling}): {target.only_parameter}")


class Pointer(PointerLike):
    """``T *``, or ``void *`` where ``target`` is ``void``; ``const`` says that C does not write through it."""

    __slots__ = ("const", "target")

    def setup(self, target: CType, const: bool = False) -> None:
        super().setup()
        refuse_parameter(target, "pointer")
        self.target, self.const = target, const
        self.code = "P" if isinstance(target, Void) else "p"

    def __new__(cls, target: CType, const: bool = False) -> CType:
        return super().__new__(cls, target, bool(const))

    def declare(self, inner: str = "") -> str:
        if self.target.binds_tighter:
            return self.target.declare(f"(*{inner})")
        if self.const and self.target.is_pointer:
            return self.target.declare(f"const *{inner}" if inner else "const *")
        return ("const " if self.const else "") + self.target.declare(f"*{inner}")

    def make_backend(self) -> Any:
        return cffi.new_pointer_type(self.target.backend)

    @property
    def wants(self) -> str:
        if self.code == "P":
            buffer = ", a buffer" if self.const else ""
            return f"None, a pointer, struct, array{buffer}, callback or function (an int is no pointer)"
        buffers = f", or a {'' if self.const else 'writable '}buffer" if self.target.code in _CHARACTER_SIZED else ""
        return f"None, a pointer to {self.target.spelling}{buffers}"

    def convert(self, value: Any) -> Any:
        if value is None or isinstance(value, (_backend.Callback, _backend.Function)):
            if value is not None and self.code == "p":
                raise self.refusal(value)
            return value
        if isinstance(value, _backend.Guarded):
            kind = _backend.pointer_type_of(value)
            if kind is self.backend or self.code == "P":
                return value
            if self.takes(kind):  # floor 0 knows this pointer's own type only
                return cffi.cast(VOID_POINTER, _backend.address_of(value))
            raise self.refusal(value, f"{self.wants}, not a {cffi.getcname(kind, '')}")
        if isinstance(value, CData):
            kind = cffi.typeof(value)
            if kind.kind in ("pointer", "array", "function") and self.takes(kind):
                return cffi.cast(VOID_POINTER, value)
            raise self.refusal(value, f"{self.wants}, not a {cffi.getcname(kind, '')}")
        if self.code == "P":
            if isinstance(value, Handle):
                return cffi.cast(VOID_POINTER, value.address)
            foreign = foreign_address(value)
            if foreign is not None:
                return foreign
            if self.const and has_buffer(value):
                return view(value, False, self)
            if not isinstance(value, (int, str, bytes)):
                raise self.refusal(value, f"{self.wants}; any Python object passes as an :object, which has its handle "
                                          "for the length of the call, or as object_handle(object)")  # fmt: skip
        if self.code == "p" and self.target.code in _CHARACTER_SIZED and has_buffer(value):
            return view(value, not self.const, self)
        raise self.refusal(value)

    def make_converter(self) -> Any:
        return _backend.Converter(self, self.code, self.size, self.alignment, self.backend, raw=self.const)

    def owned_by(self, free: Any) -> CType:
        """The type of such a pointer that is the caller's to free."""
        return OwnedPointer(self.target, self.const, free)

    def takes(self, kind: Any) -> bool:
        """Whether a pointer or array of cffi type ``kind`` may stand for this pointer."""
        if self.code == "P" or kind is VOID_POINTER or kind is self.backend:
            return True
        if kind.kind == "function":
            return False
        return same_representation(self.target.backend, kind.item)


class OwnedPointer(Pointer):
    """A ``T *`` that is the caller's to free, as a result or an output: ``free`` is a symbol's name or a callable."""

    __slots__ = ("free",)
    only_parameter = "what is freed with :free comes back from a call; in memory it is a plain pointer"

    def __new__(cls, target: CType, const: bool, free: Any) -> CType:
        return CType.__new__(cls, target, bool(const), free)

    def setup(self, target: CType, const: bool, free: Any) -> None:
        super().setup(target, const)
        self.free = check_free(free)

    def make_converter(self) -> Any:
        return _backend.Converter(
            self, self.code, self.size, self.alignment, self.backend, raw=self.const, owned=True
        )  # fmt: skip


class CountedPointer(OwnedPointer):
    """A ``T *`` that comes back from a call with its bounds: ``count`` elements, or as many as the parameter
    ``counter`` says, a name until the parameters are known (``counts.linked_result``) and then an index."""

    __slots__ = ("count", "counter")
    only_parameter = ":count says how many elements a result has; elsewhere it is a plain pointer"

    def __new__(
        cls, target: CType, const: bool, free: Any, count: int | None, counter: int | str | None = None
    ) -> CType:
        return CType.__new__(cls, target, bool(const), free, count, counter)

    def setup(self, target: CType, const: bool, free: Any, count: int | None, counter: int | str | None) -> None:
        Pointer.setup(self, target, const)
        if isinstance(target, Void):
            raise ForeignTypeError("(:pointer :void :count …): void has no size; (:pointer :uint8 :count …) has bytes")
        self.free = None if free is None else check_free(free)
        self.count, self.counter = count, counter

    def make_converter(self) -> Any:
        owned = self.free is not None
        return _backend.Converter(
            self, self.code, self.size, self.alignment, self.backend, raw=self.const, owned=owned
        )  # fmt: skip

    def owned_by(self, free: Any) -> CType:
        return CountedPointer(self.target, self.const, free, self.count, self.counter)

    def counted_in(self, index: int) -> CType:
        """The same, with the count in the parameter ``index``."""
        return CountedPointer(self.target, self.const, self.free, None, index)


def check_free(free: Any) -> Any:
    """What frees: the name of a C symbol, or a callable that is given the address as a ``void *``."""
    if callable(free) or (isinstance(free, str) and free and "\0" not in free):
        return free
    raise ForeignTypeError(f"free is the name of a C function, or a callable; not {shorten(free)}")


def owned_type(found: CType, free: Any) -> CType:
    """``found`` as the type of something that is the caller's to free."""
    make = getattr(found, "owned_by", None)
    if make is None:
        raise ForeignTypeError(f"free is for a pointer or a string, and the result is {found.spelling}")
    return make(check_free(free))


def same_representation(wanted: Any, given: Any) -> bool:
    """Whether two cffi types are one C type under two names: ``size_t`` and ``unsigned long`` on this platform, say."""
    if wanted is given:
        return True
    if wanted.kind == given.kind == "primitive":
        return _representation(wanted) == _representation(given)
    if wanted.kind == given.kind == "pointer":
        return same_representation(wanted.item, given.item)
    if wanted.kind == given.kind in ("struct", "union"):
        return compatible(wanted, given)
    return False


def compatible(wanted: Any, given: Any) -> bool:
    """Whether two cffi types of structs or unions are one to C (C11 §6.2.7): they have the same tag, and one of them is
    opaque, or they have the same members in the same places."""
    first, second = BY_BACKEND.get(wanted), BY_BACKEND.get(given)
    if first is None or second is None or (first.kind, first.tag) != (second.kind, second.tag):
        return False
    if first.fields is None or second.fields is None:
        return True
    return (first.size, first.alignment) == (second.size, second.alignment) and _places(first) == _places(second)


def _places(found: CType) -> list[tuple]:
    return [
        (member.name, member.offset, member.shift, member.bits, member.ctype.code, member.ctype.size)
        for member in found.fields
    ]


def _representation(primitive: Any) -> tuple:
    size = cffi.sizeof(primitive)
    name = cffi.getcname(primitive, "")
    if "float" in name or "double" in name or "_Bool" in name:
        return ("other", name)
    if size == 1:
        return ("character",)
    return ("integer", size, int(cffi.cast(primitive, -1)) < 0)


class String(PointerLike):
    """C's ``const char *`` as a str: UTF-8 unless ``encoding`` says otherwise (``None`` gives bytes).

    ``errors`` is Python's error handler for bytes that are not valid.  ``free`` (a symbol's name, or a callable) frees
    a text that comes back from C, once it is copied.
    """

    __slots__ = ("encoding", "errors", "free")
    wants = "a str, bytes, a path, None, a char pointer or memory"

    def __new__(cls, encoding: str | None = "utf-8", errors: str = "strict", free: Any = None) -> CType:
        return super().__new__(cls, encoding, errors, free)

    def setup(self, encoding: str | None, errors: str, free: Any) -> None:
        super().setup()
        self.free = None if free is None else check_free(free)
        if encoding is not None:
            try:
                codecs.lookup(encoding)
                codecs.lookup_error(errors)
            except (LookupError, TypeError, ValueError) as error:
                raise ForeignTypeError(f"a string of encoding {encoding!r}, errors {errors!r}: {error}") from None
        self.encoding, self.errors = encoding, errors
        self.code = "z"

    def declare(self, inner: str = "") -> str:
        return f"const char *{inner}"

    def make_backend(self) -> Any:
        return cffi.new_pointer_type(cffi.new_primitive_type("char"))

    @property
    def only_parameter(self) -> str:
        return "" if self.free is None else OwnedPointer.only_parameter

    def owned_by(self, free: Any) -> CType:
        """The type of such a text that is the caller's to free."""
        return String(self.encoding, self.errors, free)

    def make_converter(self) -> Any:
        owned = self.free is not None
        if self.encoding == "utf-8" and self.errors == "strict":
            return _backend.Converter(self, "z", self.size, self.alignment, self.backend, owned=owned)
        bare = _backend.Converter(self, "z", self.size, self.alignment, self.backend, raw=True)
        return _backend.Converter(
            self, "x", self.size, self.alignment, self.backend, inner=bare, to=self.adapt, back=self.decode, owned=owned
        )

    def convert(self, value: Any) -> Any:
        given = value
        if isinstance(value, os.PathLike):
            value = self.taken(os.fspath, value)
        if isinstance(value, str):
            try:
                value = value.encode(self.encoding or "utf-8", self.errors)
            except UnicodeEncodeError as error:
                raise ForeignValueError(f"got {shorten(value)}: {error}") from None
        if isinstance(value, bytes):
            if 0 in value:
                raise ForeignValueError(f"got {shorten(given)}: the embedded NUL would end the C string")
            return value
        if value is None or isinstance(value, _backend.Guarded):
            return value
        if isinstance(value, CData):
            kind = cffi.typeof(value)
            if kind.kind in ("pointer", "array") and CHARACTER_POINTER.takes(kind):
                return cffi.cast(VOID_POINTER, value)
        raise self.refusal(value)

    def restore(self, value: Any) -> Any:
        return self.decode(value) if isinstance(value, bytes) else value

    def decode(self, value: bytes | None) -> Any:
        """The Python value for the C bytes ``value``."""
        if value is None or self.encoding is None:
            return value
        try:
            return value.decode(self.encoding, self.errors)
        except UnicodeDecodeError as error:
            raise ForeignValueError(
                f"got bytes {shorten(value)}, not valid {self.encoding} at offset {error.start}"
            ) from None


class Buffer(PointerLike):
    """``void *`` into any object with the buffer protocol, held for the length of the call and never copied."""

    __slots__ = ("writable",)
    only_parameter = "a :buffer is lent for the length of a call; in memory it is a :pointer"

    def __new__(cls, writable: bool = False) -> CType:
        return super().__new__(cls, bool(writable))

    def setup(self, writable: bool) -> None:
        super().setup()
        self.writable = writable
        self.code = "Y" if writable else "y"

    @property
    def wants(self) -> str:
        return f"None or a {'writable, ' if self.writable else ''}contiguous object with the buffer protocol"

    def declare(self, inner: str = "") -> str:
        return f"{'void' if self.writable else 'const void'} *{inner}"

    def convert(self, value: Any) -> Any:
        if value is None:
            return value
        if isinstance(value, _backend.Guarded):
            if self.writable and _backend.is_readonly(value):
                raise ForeignValueError(f"got {shorten(value)}, which is read-only; wanted {self.wants}")
            return value
        return view(value, self.writable, self)


def has_buffer(value: object) -> bool:
    try:
        memoryview(value).release()
    except (TypeError, BufferError, ValueError):
        return False
    return True


def view(value: Any, writable: bool, ctype: CType) -> memoryview:
    """A contiguous memoryview of ``value``, or the refusal that says what is wrong with it."""
    found = exposed(value)
    if found is None:
        raise ctype.refusal(value)
    memory = memoryview(found)
    if not memory.c_contiguous:
        raise ForeignValueError(f"got {shorten(value)}, whose memory is not contiguous; wanted {ctype.wants}")
    if writable and memory.readonly:
        raise ForeignValueError(f"got {shorten(value)}, which is read-only; wanted {ctype.wants}")
    return memory


def foreign_address(value: Any) -> Any:
    """A ``void *`` for another FFI's pointer-like objects (a numba ``cfunc``), or None."""
    address = getattr(value, "address", None)
    if isinstance(address, int) and hasattr(value, "ctypes") and hasattr(value, "native_name"):
        return cffi.cast(VOID_POINTER, address)
    kinds = sys.modules.get("_ctypes")  # a ctypes object can only exist where ctypes was imported
    if kinds is not None and isinstance(value, kinds.CFuncPtr):
        import ctypes

        return cffi.cast(VOID_POINTER, ctypes.cast(value, ctypes.c_void_p).value or 0)
    return None


VOID_POINTER_TYPE = Pointer(Void())
CHARACTER_POINTER = Pointer(Character("char", "char"))
