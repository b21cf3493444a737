"""Conversions without the shim: how one value of one C type crosses, each way, as cffi wants it.

What the shim's converters are, in Python.  A value crosses as what cffi takes for a plain C type of the same
representation: an int for every integer, a float, a pointer cdata.  The common values are recognised here, exactly
those that the shim recognises; everything else asks the hook ``adapt`` once for a plain value, and tries again.
"""

from __future__ import annotations

import _cffi_backend as cffi

from epsilon._abi.guarded import (
    CHARACTER_POINTER,
    CHARACTERS,
    NULL,
    VOID_POINTER,
    CodePointer,
    Guarded,
    hooks,
    is_readonly,
    kept_by,
    live_address,
    live_pointer,
    pointer_type_of,
    size_of,
)

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: code → the cffi type of the same representation, which cffi converts without opinions of its own: its ``char`` is
#: bytes, its ``wchar_t`` a str, and its ``_Bool`` refuses a C program's 2
PRIMITIVES = {
    code: cffi.new_primitive_type(name)
    for code, name in {
        "b": "int8_t", "c": "int8_t", "B": "uint8_t", "C": "uint8_t", "?": "uint8_t", "h": "int16_t", "H": "uint16_t",
        "i": "int32_t", "I": "uint32_t", "q": "int64_t", "Q": "uint64_t", "f": "float", "d": "double",
        "g": "long double", "F": "_cffi_float_complex_t", "D": "_cffi_double_complex_t",
    }.items()
}  # fmt: skip
CData = cffi._CDataBase
_WORDS = cffi.new_array_type(cffi.new_pointer_type(PRIMITIVES["Q"]), None)
#: a value that is not of the plain kind
_NOT_PLAIN = object()


class Converter:
    """How one C type crosses.

    ``put(value, kept)`` gives what cffi takes for a Python value, and appends to ``kept`` what must live for as long
    as C may look at it; ``get(raw)`` gives the Python value for what cffi gave.  They, and the cffi types ``outgoing``
    and ``incoming`` that they are for, are chosen by the code, once, and again when the converter is wrapped.
    """

    __slots__ = (
        "alignment", "back", "classes", "code", "ctype", "get", "incoming", "incoming_pointer", "inner", "make",
        "outgoing", "outgoing_pointer", "owned", "pointer_type", "put", "raw", "required", "size", "to",
    )  # fmt: skip

    def __init__(
        self,
        ctype: Any,
        code: str,
        size: int,
        alignment: int,
        backend: Any,
        inner: Converter | None = None,
        to: Callable[[Any], Any] | None = None,
        back: Callable[[Any], Any] | None = None,
        make: Any = None,
        classes: str = "",
        elements: str = "",
        raw: bool = False,
        owned: bool = False,
        required: bool = False,
    ):
        if inner is not None and not isinstance(inner, Converter):
            raise TypeError("inner is a Converter")
        self.ctype, self.code, self.size, self.alignment = ctype, code, size, alignment
        #: the cffi type of pointers (to a struct)
        self.pointer_type = backend
        self.inner, self.to, self.back, self.make, self.classes, self.raw = inner, to, back, make, classes, raw
        #: whether what comes back is the caller's to free
        self.owned = owned
        #: whether C must not get it as NULL: what would be one goes to the hook ``adapt``
        self.required = required
        self._choose()

    def wrap(self, back: Callable[[Any], Any], /) -> None:
        """wrap(back): put a Python callable behind what it gives back, in place, for all who use it."""
        self.inner = Converter(
            self.ctype, self.code, self.size, self.alignment, self.pointer_type, inner=self.inner, to=self.to,
            back=self.back, make=self.make, classes=self.classes, raw=self.raw, required=self.required,
        )  # fmt: skip
        self.code, self.to, self.back = "x", None, back
        self._choose()

    @property
    def base(self) -> Converter:
        """The converter of C's own representation, within all wrappings."""
        found = self
        while found.code == "x":
            found = found.inner
        return found

    def _choose(self) -> None:
        base = self.base
        if base.code in PRIMITIVES:
            self.outgoing = self.incoming = PRIMITIVES[base.code]
        elif base.code == "s":
            self.outgoing = self.incoming = self.pointer_type.item
        else:
            self.outgoing, self.incoming = VOID_POINTER, _INCOMING.get(base.code, lambda _: VOID_POINTER)(base)
        self.outgoing_pointer = cffi.new_pointer_type(self.outgoing)
        self.incoming_pointer = cffi.new_pointer_type(self.incoming)
        put, get = _WAYS.get(self.code, (Converter._put_plain, None))
        put = put.__get__(self)
        self.put = _QUICK[self.code](put) if self.code in _QUICK else put
        self.get = get.__get__(self) if get else _GETS.get(self.code, _as_it_is)

    # --- memory ---

    def read(self, memory: Guarded, offset: int, /) -> Any:
        """read(memory, offset) → the value there."""
        return self.load(self._place(memory, offset))

    def read_at(self, address: int, /) -> Any:
        """read_at(address) → the value there; nothing is checked."""
        return self.load(cffi.cast(VOID_POINTER, address))

    def write(self, memory: Guarded, offset: int, value: Any, /) -> None:
        """write(memory, offset, value): write it there; the memory keeps alive what it then points to.

        The conversion may run Python that ends the memory, so it writes elsewhere first.
        """
        if is_readonly(memory):
            hooks.readonly(memory)
        kept: list[Any] = []
        copy = cffi.newp(self.outgoing_pointer)
        self.store(copy, value, kept)
        cffi.memmove(self._place(memory, offset), copy, self.size)
        self._keep(memory, live_address(memory) + offset, value, kept)

    def _keep(self, memory: Guarded, address: int, value: Any, kept: list[Any]) -> None:
        """Keep alive what the memory points to at an address now.

        Plain values keep nothing, and a struct, which is a copy, what the original does.
        """
        code, things = self.base.code, None
        if code == "s":
            sources = (kept_by(one) for one in (value, *kept) if isinstance(one, Guarded))
            things = next((dict(source) for source in sources if source), None)
        elif code not in "pPzyY" and not (self.code == "x" and kept):  # what a converter made may be an address
            return
        elif value is not None:
            things = (value, *kept)
        if things is not None:
            kept_by(memory)[address] = things
        else:
            kept_by(memory).pop(address, None)

    def pack(self, values: Any, pointer_type: Any, writable: bool, /) -> Guarded | None:
        """pack(value, pointer_type, writable) → memory with the plain numbers of a list; None for all else, buffers
        among them, which here are quicker in no way than in that of all."""
        kinds = _PLAIN_KINDS.get(self.code)
        if kinds is None or type(values) is not list or not kinds.issuperset(map(type, values)):
            return None
        try:
            data = cffi.newp(cffi.new_array_type(self.outgoing_pointer, None), values)
        except (OverflowError, TypeError):  # which the conversion of each will say better
            return None
        memory = Guarded(pointer_type, len(data) * self.size, self.alignment)
        cffi.memmove(live_pointer(memory), data, size_of(memory))
        return memory

    def _place(self, memory: Guarded, offset: int) -> Any:
        """A ``void *`` to a value of this type in guarded memory."""
        if not isinstance(memory, Guarded):
            raise TypeError(f"guarded memory is wanted, not {memory!r}")
        address, size = live_address(memory), size_of(memory)
        if offset < 0 or 0 <= size < offset + self.size:
            raise IndexError(f"{self.size} bytes at byte {offset} of memory of {size} bytes")
        return cffi.cast(VOID_POINTER, address + offset)

    def load(self, pointer: Any) -> Any:
        """The value behind a pointer cdata."""
        return self.get(cffi.cast(self.incoming_pointer, pointer)[0])

    def store(self, pointer: Any, value: Any, kept: list[Any]) -> None:
        """Write a value behind a pointer cdata."""
        if self.code == "x":
            self.inner.store(pointer, self._converted(value, kept), kept)
        elif self.code == "s":
            cffi.memmove(pointer, live_pointer(self._struct(value, kept)), self.size)
        else:
            made = self.put(value, kept)
            cffi.cast(self.outgoing_pointer, pointer)[0] = made
            if isinstance(made, CData):
                kept.append(made)

    # --- one pair for each kind of conversion ---

    def _put_plain(self, value: Any, kept: list[Any]) -> Any:
        plain = _PLAIN.get(self.code)
        if plain is None:
            raise SystemError(f"no conversion {self.code!r} to C")
        made = plain(self, value, False)
        if made is _NOT_PLAIN or (self.required and not made):
            value = self._adapted(value, kept)
            made = plain(self, value, True)
            if made is _NOT_PLAIN:
                raise SystemError(f"adapt() gave a {type(value).__name__} for conversion {self.code!r}")
        if isinstance(value, Guarded):
            kept.append(value)  # call.py looks at it again when all arguments are converted
        return made

    def _adapted(self, value: Any, kept: list[Any]) -> Any:
        plain = hooks.adapt(self.ctype, value)
        kept.append(plain)
        return plain

    def _put_wrapped(self, value: Any, kept: list[Any]) -> Any:
        return self.inner.put(self._converted(value, kept), kept)

    def _converted(self, value: Any, kept: list[Any]) -> Any:
        if self.to is None:
            return value
        converted = self.to(value)
        kept.append(converted)
        return converted

    def _get_wrapped(self, raw: Any) -> Any:
        value = self.inner.get(raw)
        return value if self.back is None else self.back(value)

    def _put_target(self, value: Any, kept: list[Any]) -> Any:
        """(:in T), (:out T), (:inout T): a pointer to memory of its own."""
        inner = self.inner
        box = cffi.newp(inner.outgoing_pointer)
        if self.code != ">":
            inner.store(box, value, kept)
        kept.append(box)
        return box

    def _get_target(self, raw: Any) -> Any:
        if not raw:
            return hooks.null_pointer(self.ctype)
        return self.inner.get(raw[0])

    def _put_struct(self, value: Any, kept: list[Any]) -> Any:
        """A copy of the struct, in whole words."""
        struct = self._struct(value, kept)
        copy = cffi.newp(_WORDS, (self.size + 7) // 8)
        cffi.memmove(copy, live_pointer(struct), self.size)
        kept.append(copy)
        return copy

    def _struct(self, value: Any, kept: list[Any]) -> Guarded:
        return value if isinstance(value, self.make) else self._adapted(value, kept)

    def _get_struct(self, raw: Any) -> Any:
        made = Guarded.__new__(self.make, self.pointer_type, self.size, self.alignment)
        cffi.memmove(live_pointer(made), cffi.rawaddressof(VOID_POINTER, raw, 0), self.size)
        return made

    def _get_text(self, raw: Any) -> Any:
        if not raw:
            return None
        data = cffi.string(raw)
        if self.raw:
            return data
        try:
            return data.decode()
        except UnicodeDecodeError:
            pass
        return hooks.undecodable(self.ctype, data)


# --- Python → C: one attempt at a plain value -----------------------------------------------------------------------


def _range(code: str) -> tuple[int, int]:
    bits = 8 * cffi.sizeof(PRIMITIVES[code])
    return (0, (1 << bits) - 1) if code in "BCHIQ" else (-(1 << bits - 1), (1 << bits - 1) - 1)


def _integer(converter: Converter, value: Any, adapted: bool) -> Any:
    if not isinstance(value, int):
        return _NOT_PLAIN
    low, high = _range(converter.code)
    value = int.__index__(value)  # its value, whatever a subclass makes of comparisons
    return value if low <= value <= high else _NOT_PLAIN


def _boolean(converter: Converter, value: Any, adapted: bool) -> Any:
    return int(bool(value)) if isinstance(value, int) else _NOT_PLAIN


def _real(converter: Converter, value: Any, adapted: bool) -> Any:
    if isinstance(value, float):
        return value
    if not isinstance(value, int):
        return _NOT_PLAIN
    try:
        return int.__float__(value)
    except OverflowError:
        return _NOT_PLAIN


def _complex(converter: Converter, value: Any, adapted: bool) -> Any:
    return value if isinstance(value, complex) else _real(converter, value, adapted)


def _string(converter: Converter, value: Any, adapted: bool) -> Any:
    if isinstance(value, str):
        try:
            value = str.encode(value)
        except UnicodeEncodeError:
            return _NOT_PLAIN
    if isinstance(value, bytes):
        return _NOT_PLAIN if 0 in value else cffi.from_buffer(CHARACTERS, value)
    if value is None:
        return NULL
    if isinstance(value, Guarded):
        return live_pointer(value)
    return value if isinstance(value, CData) and cffi.typeof(value) is VOID_POINTER else _NOT_PLAIN


def _typed_pointer(converter: Converter, value: Any, adapted: bool) -> Any:
    if value is None:
        return NULL
    if isinstance(value, Guarded):
        return live_pointer(value) if adapted or pointer_type_of(value) is converter.pointer_type else _NOT_PLAIN
    if isinstance(value, CData):
        kind = cffi.typeof(value)
        return value if kind is VOID_POINTER or kind is converter.pointer_type else _NOT_PLAIN
    if adapted and isinstance(value, memoryview):  # a buffer for a char pointer
        return cffi.from_buffer(CHARACTERS, value)
    return _NOT_PLAIN


def _pointer(converter: Converter, value: Any, adapted: bool) -> Any:
    if value is None:
        return NULL
    if isinstance(value, Guarded):
        return live_pointer(value)
    if isinstance(value, CData):
        return value if cffi.typeof(value).kind in ("pointer", "array", "function") else _NOT_PLAIN
    if adapted and isinstance(value, memoryview):  # a buffer for a const void *
        return cffi.from_buffer(CHARACTERS, value)
    return cffi.cast(VOID_POINTER, value._code()) if isinstance(value, CodePointer) else _NOT_PLAIN


def _buffer(converter: Converter, value: Any, adapted: bool) -> Any:
    writable = converter.code == "Y"
    if value is None:
        return NULL
    if isinstance(value, Guarded):
        return _NOT_PLAIN if writable and is_readonly(value) else live_pointer(value)
    if type(value) is bytes and not writable:
        return cffi.from_buffer(CHARACTERS, value)
    try:
        view = memoryview(value)
    except Exception:  # the exporter's own, of any kind
        return _NOT_PLAIN
    if not view.c_contiguous or (writable and view.readonly):
        return _NOT_PLAIN
    return cffi.from_buffer(CHARACTERS, view, writable)


_PLAIN: dict[str, Callable[[Converter, Any, bool], Any]] = {
    **dict.fromkeys("bBcChHiIqQ", _integer), "?": _boolean, "f": _real, "d": _real, "g": _real, "F": _complex,
    "D": _complex, "z": _string, "p": _typed_pointer, "P": _pointer, "y": _buffer, "Y": _buffer,
}  # fmt: skip


#: code → the classes of plain numbers
_PLAIN_KINDS = {**dict.fromkeys("bBcChHiIqQ", {int}), **dict.fromkeys("fd", {float})}


def _quick_integer(code: str) -> Callable[[Any], Any]:
    low, high = _range(code)

    def around(slow: Callable[[Any, list], Any]) -> Callable[[Any, list], Any]:
        def put(value: Any, kept: list[Any]) -> Any:
            return value if type(value) is int and low <= value <= high else slow(value, kept)

        return put

    return around


def _quick_float(slow: Callable[[Any, list], Any]) -> Callable[[Any, list], Any]:
    return lambda value, kept: value if type(value) is float else slow(value, kept)


#: code → what makes a quick way for the commonest values around the way for all
_QUICK: dict[str, Callable[[Any], Any]] = {
    **{code: _quick_integer(code) for code in "bBcChHiIqQ"},
    **dict.fromkeys("fdg", _quick_float),
}


# --- C → Python -----------------------------------------------------------------------------------------------------


def _as_it_is(raw: Any) -> Any:
    return raw


_GETS: dict[str, Callable[[Any], Any]] = {"?": bool, "g": float}

#: kinds with methods of their own: code → how a value goes out, how it comes in
_WAYS: dict[str, tuple[Any, Any]] = {
    "x": (Converter._put_wrapped, Converter._get_wrapped),
    "<": (Converter._put_target, Converter._get_target),
    ">": (Converter._put_target, Converter._get_target),
    "=": (Converter._put_target, Converter._get_target),
    "s": (Converter._put_struct, Converter._get_struct),
    "z": (Converter._put_plain, Converter._get_text),
}

#: pointers: code → the cffi type that C's value is given as
_INCOMING: dict[str, Callable[[Converter], Any]] = {
    "z": lambda converter: CHARACTER_POINTER,
    "p": lambda converter: converter.pointer_type,
    "P": lambda converter: converter.pointer_type,
    "<": lambda converter: converter.inner.incoming_pointer,
    ">": lambda converter: converter.inner.incoming_pointer,
    "=": lambda converter: converter.inner.incoming_pointer,
}
