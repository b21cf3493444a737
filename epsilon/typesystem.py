"""The C types: what each is called, how it is laid out, and which Python values it takes.

Every type is a :class:`CType`, interned: the same meaning is the same object, whatever spelling it came from, so that
signatures compare by identity.  A ``CType`` knows three things: its C text (``declare``), the cffi type that stands for
it (``backend``), and how a value crosses (``converter``, made by floor 0 on first use).  Conversions run in floor 0;
``adapt`` is the slow path that it falls back to: it turns an unusual but acceptable value (a ``numpy.int64``, a
``pathlib.Path``) into a plain one, or raises the error that says what was wanted.

Sizes and alignments are those of this platform's C compiler, as cffi was built by it.
"""

from __future__ import annotations

import codecs
import itertools
import os
import sys
from operator import index

import _cffi_backend as cffi

from epsilon import _backend
from epsilon.errors import ForeignRangeError, ForeignTypeError, ForeignValueError, shorten

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

CData = cffi._CDataBase
_VOID = cffi.new_void_type()
VOID_POINTER = cffi.new_pointer_type(_VOID)

_interned: dict[tuple, CType] = {}


class CType:
    """One C type.  Make them with ``epsilon.ctype``; compare them with ``is``.

    ``code`` is floor 0's one-letter name of the conversion, ``size`` and ``alignment`` are in bytes (``None`` for a type
    that has no values, such as ``void``).
    """

    __slots__ = ("__weakref__", "_backend", "_converter", "alignment", "code", "key", "size")
    is_pointer = False
    #: why there can be no memory of this type, or an empty str
    only_parameter = ""
    #: what a user may pass, for error texts
    wants = "a value"

    def __new__(cls, *args: object) -> CType:
        key = (cls, *args)
        try:
            return _interned[key]
        except KeyError:
            self = super().__new__(cls)
            self.key = key
            self._backend = self._converter = None
            self.setup(*args)
            return _interned.setdefault(key, self)

    def setup(self, *args: Any) -> None:
        raise TypeError("CType is abstract: use epsilon.ctype(…)")

    def declare(self, inner: str = "") -> str:
        """The C declaration of ``inner`` (a name, or a declarator such as ``*p``) with this type."""
        raise TypeError("CType is abstract")

    def make_backend(self) -> Any:
        raise TypeError("CType is abstract")

    def make_converter(self) -> Any:
        return _backend.Converter(self, self.code, self.size or 0, self.alignment or 1, self.backend)

    def convert(self, value: Any) -> Any:
        """A plain value of this type for ``value``; raises a ``ForeignError`` without context.  See :meth:`adapt`."""
        raise self.refusal(value)

    @property
    def backend(self) -> Any:
        """The cffi type."""
        if self._backend is None:
            self._backend = self.make_backend()
        return self._backend

    @property
    def converter(self) -> Any:
        """Floor 0's converter for this type."""
        if self._converter is None:
            self._converter = self.make_converter()
        return self._converter

    @property
    def spelling(self) -> str:
        """The C text of the type alone."""
        return self.declare().rstrip()

    def adapt(self, value: Any) -> Any:
        """The plain value that floor 0 understands for ``value``: through a registered converter, or ``convert``."""
        registered = find_converter(self, type(value))
        return self.convert(registered(value)) if registered else self.convert(value)

    def taken(self, take: Callable[[Any], Any], value: Any) -> Any:
        """``take(value)``, where ``take`` is ``index``, ``float`` …; what it refuses is refused here."""
        try:
            return take(value)
        except TypeError as error:
            raise self.refusal(value) from error

    def refusal(self, value: object, why: str = "") -> ForeignTypeError:
        return ForeignTypeError(f"got {shorten(value)} ({type(value).__name__}), wanted {why or self.wants}")

    def __repr__(self) -> str:
        return f"<CType {self.spelling!r}>"

    def __reduce__(self):
        return (self.key[0], self.key[1:])

    def __copy__(self) -> CType:
        return self

    def __deepcopy__(self, memo: object) -> CType:
        return self


# --- converters that users add --------------------------------------------------------------------------------------

_registered: dict[CType, dict[type, Callable[[Any], Any]]] = {}


def find_converter(ctype: CType, python_type: type) -> Callable[[Any], Any] | None:
    """The converter registered for ``python_type`` or the nearest of its bases, or None."""
    table = _registered.get(ctype)
    if table:
        for base in python_type.__mro__:
            if base in table:
                return table[base]
    return None


def register_converter(ctype: CType, python_type: type, function: Callable[[Any], Any]) -> None:
    _registered.setdefault(ctype, {})[python_type] = function


# --- scalars --------------------------------------------------------------------------------------------------------


class Void(CType):
    """``void``: no value."""

    __slots__ = ()

    def setup(self) -> None:
        self.code, self.size, self.alignment = "v", None, None

    def declare(self, inner: str = "") -> str:
        return f"void {inner}"

    def make_backend(self) -> Any:
        return _VOID


class Scalar(CType):
    """What all scalars share: a C spelling and a cffi primitive of the same name or the same representation."""

    __slots__ = ("name", "primitive")

    def setup(self, name: str, primitive: str) -> None:
        self.name, self.primitive = name, primitive
        self.size = cffi.sizeof(self.backend)
        self.alignment = cffi.alignof(self.backend)
        self.code = self.choose_code()

    def choose_code(self) -> str:
        raise TypeError("Scalar is abstract")

    def declare(self, inner: str = "") -> str:
        return f"{self.name} {inner}"

    def make_backend(self) -> Any:
        return cffi.new_primitive_type(self.primitive)


class Integer(Scalar):
    """A C integer; ``low`` and ``high`` are its range, both included."""

    __slots__ = ("high", "low")

    def choose_code(self) -> str:
        bits = 8 * self.size
        signed = self.is_signed()
        self.low, self.high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        return "bhiq"[bits.bit_length() - 4] if signed else "BHIQ"[bits.bit_length() - 4]

    def is_signed(self) -> bool:
        return int(cffi.cast(self.backend, -1)) < 0

    @property
    def wants(self) -> str:
        return f"an int from {self.low} to {self.high}"

    def convert(self, value: Any) -> int:
        if not hasattr(type(value), "__index__"):
            raise self.refusal(value)
        number = self.taken(index, value)
        if not self.low <= number <= self.high:
            raise ForeignRangeError(f"got {shorten(value)}, wanted {self.wants}")
        return int(number)


class Character(Integer):
    """``char``, ``signed char``, ``unsigned char``: an int, which may be given as a 1-character str or bytes."""

    __slots__ = ()

    def choose_code(self) -> str:
        super().choose_code()
        return "c" if self.low else "C"

    def is_signed(self) -> bool:
        if self.primitive == "char":
            return CHAR_IS_SIGNED
        return super().is_signed()

    @property
    def wants(self) -> str:
        return f"an int from {self.low} to {self.high}, or a str or bytes of one character"

    def convert(self, value: Any) -> int:
        if isinstance(value, (str, bytes)) and len(value) == 1:
            number = ord(value)
            if number > 255:
                raise ForeignRangeError(f"got {shorten(value)}, wanted a character of one byte")
            return number - 256 if number > self.high else number
        return super().convert(value)


class WideCharacter(Integer):
    """``wchar_t``: an int."""

    __slots__ = ()

    def is_signed(self) -> bool:
        return WCHAR_IS_SIGNED


class Boolean(Scalar):
    """``_Bool``: any int is taken as its truth."""

    __slots__ = ()
    wants = "a bool or an int"

    def choose_code(self) -> str:
        return "?"

    def convert(self, value: Any) -> bool:
        if hasattr(type(value), "__index__"):
            return self.taken(index, value) != 0
        if type(value).__name__ in ("bool_", "bool"):  # NumPy's, which has no __index__
            return bool(value)
        raise self.refusal(value)


class Real(Scalar):
    """``float``, ``double``, ``long double``; a ``long double`` crosses as a Python float and keeps 53 bits."""

    __slots__ = ()
    wants = "a float, an int, or anything with __float__"

    def choose_code(self) -> str:
        return {"float": "f", "double": "d", "long double": "g"}[self.primitive]

    def convert(self, value: Any) -> float:
        if not (hasattr(type(value), "__float__") or hasattr(type(value), "__index__")):
            raise self.refusal(value)
        try:
            return self.taken(float, value)
        except OverflowError as error:
            raise ForeignRangeError(f"got {shorten(value)}: {error}") from None


class Complex(Scalar):
    """``float _Complex`` and ``double _Complex``."""

    __slots__ = ()
    wants = "a complex, a float, or anything with __complex__"

    def choose_code(self) -> str:
        return {"_cffi_float_complex_t": "F", "_cffi_double_complex_t": "D"}[self.primitive]

    def convert(self, value: Any) -> complex:
        if not any(hasattr(type(value), name) for name in ("__complex__", "__float__", "__index__")):
            raise self.refusal(value)
        try:
            return self.taken(complex, value)
        except OverflowError as error:
            raise ForeignRangeError(f"got {shorten(value)}: {error}") from None


# --- pointers -------------------------------------------------------------------------------------------------------


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
        if isinstance(self.target, (Array, FunctionType)):
            return self.target.declare(f"(*{inner})")
        if self.const and self.target.is_pointer:
            return self.target.declare(f"const *{inner}" if inner else "const *")
        return ("const " if self.const else "") + self.target.declare(f"*{inner}")

    def make_backend(self) -> Any:
        return cffi.new_pointer_type(self.target.backend)

    @property
    def wants(self) -> str:
        if self.code == "P":
            return "None, a pointer, struct, array, callback or function (an int is no pointer)"
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
        foreign = foreign_address(value)
        if foreign is not None and self.code == "P":
            return foreign
        if self.code == "p" and self.target.code in _CHARACTER_SIZED and has_buffer(value):
            return view(value, not self.const, self)
        raise self.refusal(value)

    def make_converter(self) -> Any:
        return _backend.Converter(self, self.code, self.size, self.alignment, self.backend, raw=self.const)

    def takes(self, kind: Any) -> bool:
        """Whether a pointer or array of cffi type ``kind`` may stand for this pointer."""
        if self.code == "P" or kind is VOID_POINTER or kind is self.backend:
            return True
        if kind.kind == "function":
            return False
        return same_representation(self.target.backend, kind.item)


def _crosses_alike(wanted: CType, given: CType) -> bool:
    """Whether C cannot tell values of the two types apart: all pointers are one to it here."""
    wanted, given = decay(wanted), decay(given)
    if wanted.is_pointer or given.is_pointer:
        return wanted.is_pointer and given.is_pointer
    return same_representation(wanted.backend, given.backend)


def same_representation(wanted: Any, given: Any) -> bool:
    """Whether two cffi types are one C type under two names: ``size_t`` and ``unsigned long`` on this platform, say."""
    if wanted is given:
        return True
    if wanted.kind == given.kind == "primitive":
        return _representation(wanted) == _representation(given)
    if wanted.kind == given.kind == "pointer":
        return same_representation(wanted.item, given.item)
    return False


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

    ``errors`` is Python's error handler for bytes that are not valid.
    """

    __slots__ = ("encoding", "errors")
    wants = "a str, bytes, a path, None, a char pointer or memory"

    def __new__(cls, encoding: str | None = "utf-8", errors: str = "strict") -> CType:
        return super().__new__(cls, encoding, errors)

    def setup(self, encoding: str | None, errors: str) -> None:
        super().setup()
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

    def make_converter(self) -> Any:
        plain = super().make_converter()
        if self.encoding == "utf-8" and self.errors == "strict":
            return plain
        bare = _backend.Converter(self, "z", self.size, self.alignment, self.backend, raw=True)
        return _backend.Converter(
            self, "x", self.size, self.alignment, self.backend, inner=bare, to=self.adapt, back=self.decode
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
    try:
        memory = memoryview(value)
    except (TypeError, BufferError, ValueError) as error:
        raise ctype.refusal(value) from error
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


class Direction(PointerLike):
    """``(:in T)``, ``(:out T)``, ``(:inout T)``: a ``T *`` whose target lives for the length of the call."""

    __slots__ = ("target", "way")
    only_parameter = "(:in T), (:out T) and (:inout T) say how a parameter is passed; in memory it is a (:pointer T)"

    def setup(self, way: str, target: CType) -> None:
        super().setup()
        refuse_parameter(target, way)
        if isinstance(target, Array):
            raise ForeignTypeError(
                f"(:{way} {target.spelling}): an array crosses as memory: allocate it, and declare a "
                f"(:pointer {target.target.spelling})"
            )
        if target.size is None:
            raise ForeignTypeError(f"(:{way} {target.spelling}): a value of type {target.spelling} has no size")
        self.way, self.target = way, target
        self.code = {"in": "<", "out": ">", "inout": "="}[way]

    @property
    def wants(self) -> str:
        return self.target.wants

    def declare(self, inner: str = "") -> str:
        return Pointer(self.target, self.way == "in").declare(inner)

    def make_backend(self) -> Any:
        return cffi.new_pointer_type(self.target.backend)

    def make_converter(self) -> Any:
        inner = self.target.converter
        return _backend.Converter(self, self.code, self.size, self.alignment, self.backend, inner=inner)

    def convert(self, value: Any) -> Any:
        return self.target.adapt(value)


class Array(CType):
    """``T[n]``: in a struct, n values in place; as a parameter a pointer to a copy of the sequence."""

    __slots__ = ("length", "target")

    def __new__(cls, target: CType, length: int | None = None) -> CType:
        return super().__new__(cls, target, length)

    def setup(self, target: CType, length: int | None) -> None:
        if target.size is None:
            raise ForeignTypeError(f"(:array {target.spelling}): a value of type {target.spelling} has no size")
        refuse_parameter(target, "array")
        if length is not None and length < 0:
            raise ForeignTypeError(f"(:array {target.spelling} {length}): the length is 0 or more")
        self.target, self.length = target, length
        self.size = None if length is None else target.size * length
        if (self.size or 0) > sys.maxsize:
            raise ForeignTypeError(f"(:array {target.spelling} {shorten(length)}) is larger than any memory")
        self.alignment = target.alignment
        self.code = "a"

    @property
    def wants(self) -> str:
        many = "" if self.length is None else f"{self.length} "
        return f"a sequence of {many}values of type {self.target.spelling}"

    def declare(self, inner: str = "") -> str:
        return self.target.declare(f"{inner}[{'' if self.length is None else self.length}]")

    def make_backend(self) -> Any:
        return cffi.new_array_type(cffi.new_pointer_type(self.target.backend), self.length)

    def make_converter(self) -> Any:
        pointer = Pointer(self.target).converter
        return _backend.Converter(
            self, "x", PointerLike.size_of_pointer, PointerLike.size_of_pointer, self.backend,
            inner=pointer, to=self.adapt, back=None,
        )  # fmt: skip

    def convert(self, value: Any) -> Any:
        pointer = Pointer(self.target)
        if value is None or isinstance(value, (_backend.Guarded, CData)):
            return pointer.convert(value)
        return hooks["copy_sequence"](self, value)


class FunctionType(CType):
    """The type of a function, which only a pointer to it makes usable."""

    __slots__ = ("abi", "parameters", "result", "variadic")

    def __new__(
        cls, result: CType, parameters: tuple[CType, ...], variadic: bool = False, abi: str = "default"
    ) -> CType:
        return super().__new__(cls, result, tuple(parameters), bool(variadic), abi)

    def setup(self, result: CType, parameters: tuple[CType, ...], variadic: bool, abi: str) -> None:
        self.result, self.parameters, self.variadic, self.abi = result, parameters, variadic, abi
        self.size, self.alignment, self.code = None, None, "v"

    def declare(self, inner: str = "") -> str:
        names = [parameter.declare().rstrip() for parameter in self.parameters] + ["..."] * self.variadic
        return self.result.declare(f"{inner}({', '.join(names) or 'void'})")

    def make_backend(self) -> Any:
        parameters = tuple(decay(parameter).backend for parameter in self.parameters)
        return cffi.new_function_type(parameters, self.result.backend, self.variadic)


def decay(ctype: CType) -> CType:
    """The type that a parameter of ``ctype`` has in C: an array becomes a pointer to its first element."""
    return Pointer(ctype.target) if isinstance(ctype, Array) else ctype


class FunctionPointer(PointerLike):
    """``R (*)(A, B)``: takes None, a callback, a bound function, or any callable for the length of the call."""

    __slots__ = ("target",)
    wants = "None, a callback, a foreign function or a callable"

    def setup(self, target: FunctionType) -> None:
        super().setup()
        self.target = target
        self.code = "x"

    def declare(self, inner: str = "") -> str:
        return self.target.declare(f"(*{inner})")

    def make_backend(self) -> Any:
        return self.target.backend

    def make_converter(self) -> Any:
        bare = VOID_POINTER_TYPE.converter
        return _backend.Converter(
            self, "x", self.size, self.alignment, self.backend, inner=bare, to=self.adapt, back=self.wrap
        )

    def convert(self, value: Any) -> Any:
        if isinstance(value, (_backend.Callback, _backend.Function)):
            own = value.signature  # None: it is closed, which the call will tell
            if own is not None and not self.fits(own):
                raise self.refusal(value, f"{self.wants} of type {self.spelling}")
            return value
        if value is None:
            return value
        if isinstance(value, CData):
            kind = cffi.typeof(value)
            if kind.kind == "function" or kind is VOID_POINTER:
                return cffi.cast(VOID_POINTER, value)
            raise self.refusal(value, f"{self.wants}, not a {cffi.getcname(kind, '')}")
        foreign = foreign_address(value)
        if foreign is not None:
            return foreign
        if callable(value):
            return hooks["wrap_callable"](self.target, value)
        raise self.refusal(value)

    def fits(self, signature: Any) -> bool:
        """Whether a function of this signature may be called as one of this type: the same number of parameters, each of
        the same representation (a ``(:in int)`` is a pointer to C)."""
        target = self.target
        mine, its = (target.result, *target.parameters), (signature.result, *signature.parameters)
        return len(mine) == len(its) and all(map(_crosses_alike, mine, its))

    def wrap(self, pointer: Any) -> Any:
        return hooks["call_pointer"](self.target, pointer) if pointer else None


#: what the floors above give to this one: ``copy_sequence(array_type, values)``, ``wrap_callable(function_type, f)``,
#: ``call_pointer(function_type, pointer)``
hooks: dict[str, Callable[..., Any]] = {}


# --- structs --------------------------------------------------------------------------------------------------------


class StructCType(CType):
    """The layout of one struct or union definition; ``structs.StructType`` makes these and the class users see.

    ``fields`` is a tuple of ``(name, ctype, offset, bits, shift)``, ``bits`` being None for a plain field.
    Each definition is a type of its own, so that a name can be defined again.
    """

    __slots__ = ("classes", "elements", "fields", "kind", "python_class", "serial", "tag")

    def setup(self, kind: str, tag: str, serial: int) -> None:
        self.kind, self.tag, self.serial = kind, tag, serial
        self.code, self.size, self.alignment, self.fields = "s", None, None, None
        self.python_class = None
        self.classes = self.elements = ""
        make = cffi.new_struct_type if kind == "struct" else cffi.new_union_type
        self._backend = make(f"{kind} {tag}")

    def declare(self, inner: str = "") -> str:
        return f"{self.kind} {self.tag} {inner}"

    @property
    def wants(self) -> str:
        return f"a {self.tag}, or a mapping with its fields"

    def make_converter(self) -> Any:
        return _backend.Converter(
            self, "s", self.size, self.alignment, cffi.new_pointer_type(self.backend),
            classes=self.classes, elements=self.elements, make=self.python_class,
        )  # fmt: skip

    def convert(self, value: Any) -> Any:
        if isinstance(value, _backend.Guarded):
            if _backend.pointer_type_of(value) is self.converter.pointer_type and _backend.size_of(value) >= self.size:
                return value
        elif isinstance(value, CData):
            if cffi.typeof(value) is self.backend:
                return hooks["copy_struct"](self, value)
        elif hasattr(type(value), "keys") and hasattr(type(value), "__getitem__"):
            return self.python_class(**{str(name): value[name] for name in value.keys()})
        raise self.refusal(value)

    def __reduce__(self):
        if self.python_class is None:  # opaque: the tag is all there is
            return (tagged, (self.kind, self.tag))
        return (_same, (self.python_class,))


def _same(python_class: Any) -> CType:
    return python_class.ctype


#: ``(kind, tag)`` → the newest definition of that struct or union, or its opaque forerunner
TAGS: dict[tuple[str, str], StructCType] = {}
_serials = itertools.count(1)


def tagged(kind: str, tag: str) -> StructCType:
    """The type ``struct tag`` or ``union tag``: its newest definition, or an opaque type until there is one."""
    found = TAGS.get((kind, tag))
    return found if found is not None else TAGS.setdefault((kind, tag), StructCType(kind, tag, next(_serials)))


def new_tagged(kind: str, tag: str) -> StructCType:
    """The type that a new definition of ``kind tag`` fills: the opaque one if there is one, so that pointers to it
    keep their meaning, else a new one, which leaves an earlier definition to those who hold it."""
    found = TAGS.get((kind, tag))
    if found is None or found.fields is not None:
        found = TAGS[kind, tag] = StructCType(kind, tag, next(_serials))
    return found


# --- the platform ---------------------------------------------------------------------------------------------------

_MACHINE = os.uname().machine.lower() if hasattr(os, "uname") else os.environ.get("PROCESSOR_ARCHITECTURE", "").lower()
_ARM = _MACHINE.startswith(("arm", "aarch64"))
# AAPCS64 §8.1 has unsigned char and wchar_t; Apple and Windows decided otherwise
CHAR_IS_SIGNED = not ((_ARM or _MACHINE.startswith(("ppc", "s390", "riscv"))) and sys.platform.startswith("linux"))
WCHAR_IS_SIGNED = not ((_ARM and sys.platform.startswith("linux")) or sys.platform == "win32")

VOID = Void()
VOID_POINTER_TYPE = Pointer(VOID)
CHARACTER_POINTER = Pointer(Character("char", "char"))


def _integers() -> dict[str, CType]:
    words: dict[str, CType] = {}
    for name in ("char", "signed char", "unsigned char"):
        words[name.replace(" ", "-")] = Character(name, name)
    for name in ("short", "int", "long", "long long"):
        words[name.replace(" ", "-")] = Integer(name, name)
        words["unsigned-" + name.replace(" ", "-")] = Integer("unsigned " + name, "unsigned " + name)
    for bits in (8, 16, 32, 64):
        for name in (f"int{bits}", f"uint{bits}"):
            words[name] = Integer(f"{name}_t", f"{name}_t")
    for name in ("size", "ssize", "ptrdiff", "intptr", "uintptr"):
        words[name] = Integer(f"{name}_t", f"{name}_t")
    words["wchar"] = WideCharacter("wchar_t", "wchar_t")
    return words


def pointer_to(target: CType, const: bool = False) -> CType:
    """The type of a pointer to ``target``: ``const char *`` is the string type, a function's is its own."""
    if isinstance(target, FunctionType):
        return FunctionPointer(target)
    if const and Pointer(target) is CHARACTER_POINTER:
        return WORDS["string"]
    return Pointer(target, const)


#: the words of the vocabulary: word → type
WORDS: dict[str, CType] = {
    "void": VOID,
    **_integers(),
    "float": Real("float", "float"),
    "double": Real("double", "double"),
    "long-double": Real("long double", "long double"),
    "float-complex": Complex("float _Complex", "_cffi_float_complex_t"),
    "double-complex": Complex("double _Complex", "_cffi_double_complex_t"),
    "bool": Boolean("_Bool", "_Bool"),
    "string": String(),
    "pointer": VOID_POINTER_TYPE,
    "buffer": Buffer(),
}

#: C spellings that are not words: the names that the declarator knows besides C's own keywords
TYPEDEFS: dict[str, CType] = {
    f"{word}_t": WORDS[word]
    for word in WORDS
    if word.startswith(("int", "uint"))
    and word[-1].isdigit()
    or word in ("size", "ssize", "ptrdiff", "intptr", "uintptr", "wchar")
}
TYPEDEFS["bool"] = WORDS["bool"]

# POSIX <sys/types.h>: 's' and 'u' with the size in bits.  A test compiles a C program that holds them against C's own.
_POSIX_LINUX_64 = """
    dev_t=u64 ino_t=u64 mode_t=u32 nlink_t=u64 uid_t=u32 gid_t=u32 id_t=u32 off_t=s64 pid_t=s32 time_t=s64 clock_t=s64
    socklen_t=u32 suseconds_t=s64 useconds_t=u32 blksize_t=s64 blkcnt_t=s64 fsblkcnt_t=u64 fsfilcnt_t=u64 key_t=s32
    clockid_t=s32 rlim_t=u64 sa_family_t=u16 in_port_t=u16 in_addr_t=u32 nfds_t=u64 wint_t=u32
"""
_POSIX_DARWIN = """
    dev_t=s32 ino_t=u64 mode_t=u16 nlink_t=u16 uid_t=u32 gid_t=u32 id_t=u32 off_t=s64 pid_t=s32 time_t=s64 clock_t=u64
    socklen_t=u32 suseconds_t=s32 useconds_t=u32 blksize_t=s32 blkcnt_t=s64 fsblkcnt_t=u32 fsfilcnt_t=u32 key_t=s32
    clockid_t=u32 rlim_t=u64 sa_family_t=u8 in_port_t=u16 in_addr_t=u32 nfds_t=u32 wint_t=s32
"""


def _posix() -> dict[str, CType]:
    if sys.platform.startswith("linux") and sys.maxsize > 2**32:
        table = _POSIX_LINUX_64
        if _ARM or "riscv" in _MACHINE:
            table = table.replace("nlink_t=u64", "nlink_t=u32").replace("blksize_t=s64", "blksize_t=s32")
    elif sys.platform == "darwin":
        table = _POSIX_DARWIN
    else:
        return {}
    names = {}
    for entry in table.split():
        name, _, kind = entry.partition("=")
        names[name] = Integer(name, ("int" if kind[0] == "s" else "uint") + kind[1:] + "_t")
    return names


#: names of <sys/types.h>, which plain cffi does not know: ``epsilon.cdef`` writes a typedef for each it meets
SYSTEM_TYPEDEFS = _posix()
TYPEDEFS.update(SYSTEM_TYPEDEFS)
