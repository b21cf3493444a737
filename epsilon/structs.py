"""Structs and unions: C's layout behind Python attributes.

``define_c_struct`` makes a class.  Its metaclass is :class:`StructType`, so that the class itself is the type
(``point.size``, ``("pointer", point)``, ``match`` patterns); its instances are guarded memory with one descriptor for
each member, which reads and writes in place.  The layout is cffi's, which is the C compiler's.
"""

from __future__ import annotations

import sys
from _collections_abc import Sequence  # collections.abc, without all of collections

import _cffi_backend as cffi

from epsilon import _backend
from epsilon.errors import ForeignIndexError, ForeignMemoryError, ForeignTypeError, ForeignValueError, nearest, shorten
from epsilon.expressions import ctype, word_of
from epsilon.typesystem import (
    HAS_EIGHTBYTES,
    HAS_REFERENCES,
    TAGS,
    Array,
    CType,
    Integer,
    StructCType,
    characters,
    new_tagged,
)
from epsilon.typesystem import hooks as type_hooks

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, NoReturn

    from epsilon.declarator import Body


class Layout:
    """Where one member is: bytes from the start, and for a bit-field its first bit and its width."""

    __slots__ = ("bits", "ctype", "name", "offset", "shift")

    def __init__(self, name: str, ctype: CType, offset: int, shift: int = 0, bits: int | None = None):
        self.name, self.ctype, self.offset, self.shift, self.bits = name, ctype, offset, shift, bits


class StructType(type):
    """The type of struct and union classes: it knows the layout.

    >>> pair = define_c_struct("pair", [("c", "char"), ("d", "double")])
    >>> pair.size, pair.alignment, pair.offset("d")
    (16, 8, 8)
    >>> pair(c="x", d=2.5)
    pair(c=120, d=2.5)
    """

    @property
    def ctype(cls) -> StructCType:
        """The type itself."""
        try:
            return cls.__dict__[_OWN_TYPE]
        except KeyError:
            raise AttributeError(f"{cls.__name__} is no C struct") from None

    @property
    def size(cls) -> int:
        """Bytes, padding included."""
        return cls.ctype.size

    @property
    def alignment(cls) -> int:
        """Bytes."""
        return cls.ctype.alignment

    @property
    def offset(cls) -> Callable[[str], int]:
        """``offset(name)``: bytes from the start to the member ``name``."""
        return cls._offset  # a property, for it must win over a member that is called offset

    def _offset(cls, name: str) -> int:
        name = _member(cls, name)
        return next(member.offset for member in cls.ctype.fields if member.name == name)

    def __repr__(cls) -> str:
        return f"<{cls.ctype.spelling}>" if _OWN_TYPE in cls.__dict__ else super().__repr__()


#: where a struct's class keeps its type: no member can have this name
_OWN_TYPE = "C type"


def _member(cls: StructType, name: Any) -> str:
    """The name of a member as C has it."""
    word = (word_of(name) or "").lstrip("':").replace("-", "_")
    if word not in cls.__match_args__:
        raise ForeignTypeError(f"{cls.ctype.spelling} has no member {shorten(name)}{nearest(word, cls.__match_args__)}")
    return word


class Struct(_backend.Guarded, metaclass=StructType):
    """What all struct instances share.  ``with`` ends the memory early; a later use then raises
    ``ForeignMemoryError``."""

    __slots__ = ()
    __match_args__: tuple[str, ...] = ()

    def __new__(cls, /, *values: Any, **members: Any) -> Any:
        found = cls.__dict__.get(_OWN_TYPE)
        if found is None:
            raise TypeError("Struct is abstract: define_c_struct makes the classes")
        self = super().__new__(cls, found.converter.pointer_type, found.size, found.alignment)
        names = cls.__match_args__
        if len(values) > len(names):
            raise ForeignTypeError(f"{found.spelling} has {len(names)} members, {len(values)} values given")
        for name, value in zip(names, values, strict=False):
            setattr(self, name, value)
        for name, value in members.items():
            if name not in names:
                raise ForeignTypeError(f"{found.spelling} has no member {name!r}{nearest(name, names)}")
            setattr(self, name, value)
        return self

    @property
    def ctype(self) -> StructCType:
        """The type."""
        return type(self).ctype

    def keys(self) -> tuple[str, ...]:
        """The members' names, so that ``dict(struct)`` works."""
        return type(self).__match_args__

    def __getitem__(self, name: Any) -> Any:
        return getattr(self, _member(type(self), name))

    def __setitem__(self, name: Any, value: Any) -> None:
        setattr(self, _member(type(self), name), value)

    def __eq__(self, other: object) -> Any:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in type(self).__match_args__)

    __hash__ = None  # type: ignore[assignment]

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exception: object) -> None:
        _backend.end(self, sys._getframe(1))

    def __repr__(self) -> str:
        if not _backend.is_alive(self):
            return f"<ended {type(self).ctype.spelling}>"
        members = ", ".join(f"{name}={shorten(getattr(self, name))}" for name in type(self).__match_args__)
        return f"{type(self).__name__}({members})"


def caller(depth: int = 2) -> str:
    """``file:line`` of the code that called the caller of this."""
    frame = sys._getframe(depth)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _address(cdata: Any) -> int:
    return int(cffi.cast(_UINTPTR, cdata))


_UINTPTR = cffi.new_primitive_type("uintptr_t")
_CHARACTERS = cffi.new_pointer_type(cffi.new_primitive_type("char"))


def _bytes_at(address: int, size: int) -> Any:
    return cffi.buffer(cffi.cast(_CHARACTERS, address), size)


def view(ctype: StructCType, address: int, owner: Any) -> Any:
    """The struct at ``address``, in place; ``owner`` is kept alive and ends it when it ends."""
    pointer_type = ctype.converter.pointer_type
    readonly = isinstance(owner, _backend.Guarded) and _backend.is_readonly(owner)
    return _backend.Guarded.__new__(
        ctype.python_class, pointer_type, ctype.size, ctype.alignment, address, owner, readonly
    )


def copy_cdata(ctype: StructCType, value: Any) -> Any:
    """A copy of a cffi struct of this type."""
    copied = ctype.python_class()
    source = cffi.newp(ctype.converter.pointer_type, value)
    target = _bytes_at(_backend.address_of(copied), ctype.size)
    cffi.memmove(target, _bytes_at(_address(source), ctype.size), ctype.size)
    return copied


type_hooks["copy_struct"] = copy_cdata


def read(ctype: CType, memory: Any, offset: int) -> Any:
    """The value of type ``ctype`` in guarded memory: structs and arrays as views in place."""
    if isinstance(ctype, StructCType):
        return view(ctype, _backend.address_of(memory) + offset, memory)
    if isinstance(ctype, Array):
        return ArrayView(memory, ctype, offset)
    return ctype.converter.read(memory, offset)


def write(ctype: CType, memory: Any, offset: int, value: Any) -> None:
    """Write a value into guarded memory, which keeps alive what it then points to."""
    ctype.converter.write(memory, offset, value)


def refuse_write(memory: Any) -> NoReturn:
    raise ForeignMemoryError(f"{memory!r} is read-only")


# --- members --------------------------------------------------------------------------------------------------------


def name_member(field: Any, struct: Any, error: BaseException) -> None:
    """Put the member's name into an error of its conversion, in place."""
    if isinstance(error, (ForeignTypeError, ForeignValueError, OverflowError)):
        if error.args and getattr(error, "function", "") is None:
            text = f"{type(struct).ctype.spelling}: member {field.name!r} ({field.ctype.spelling}): {error.args[0]}"
            error.args = (text,)


_backend.set_hooks(member=name_member, readonly=refuse_write)


class Field:
    """A member: reading gives its value, or a view in place where it is a struct or an array.

    The shim has its own for plain members and structs (``c/field.c``), which is the same, and quicker.
    """

    def __init__(self, layout: Layout):
        self.name, self.ctype, self.offset = layout.name, layout.ctype, layout.offset
        self.__doc__ = f"{layout.ctype.declare(layout.name)}, at byte {layout.offset}"

    def __get__(self, struct: Any, owner: type) -> Any:
        return self if struct is None else self.read(struct)

    def __set__(self, struct: Any, value: Any) -> None:
        try:
            self.write(struct, value)
        except BaseException as error:
            name_member(self, struct, error)
            raise

    def read(self, struct: Any) -> Any:
        return read(self.ctype, struct, self.offset)

    def write(self, struct: Any, value: Any) -> None:
        write(self.ctype, struct, self.offset, value)


class ArrayField(Field):
    """An array inside a struct: writing takes a sequence of its length."""

    def write(self, struct: Any, value: Any) -> None:
        self.read(struct)[:] = value


class BitField(Field):
    """Some bits of an integer.  cffi knows where they are, as the compiler does."""

    def __init__(self, layout: Layout):
        super().__init__(layout)
        self.bits = layout.bits

    def cdata(self, struct: Any) -> Any:
        return cffi.cast(_backend.pointer_type_of(struct), _backend.address_of(struct))

    def read(self, struct: Any) -> Any:
        return self.ctype.restore(getattr(self.cdata(struct), self.name))

    def write(self, struct: Any, value: Any) -> None:
        if _backend.is_readonly(struct):
            refuse_write(struct)
        number = self.ctype.adapt(value)
        plain = self.ctype.representation
        signed = isinstance(plain, Integer) and plain.low < 0
        low, high = (-(1 << self.bits - 1), (1 << self.bits - 1) - 1) if signed else (0, (1 << self.bits) - 1)
        if not low <= number <= high:
            from epsilon.errors import ForeignRangeError

            raise ForeignRangeError(f"got {shorten(value)}, wanted an int from {low} to {high} ({self.bits} bits)")
        setattr(self.cdata(struct), self.name, number)


class ArrayView(Sequence):
    """The elements of an array member, in place."""

    __slots__ = ("_ctype", "_offset", "_owner")

    def __init__(self, owner: Any, found: Array, offset: int):
        self._owner, self._ctype, self._offset = owner, found, offset

    def __len__(self) -> int:
        return self._ctype.length or 0

    def _place(self, index: Any) -> int:
        if not hasattr(index, "__index__"):
            raise ForeignTypeError(f"an index is an int, not {shorten(index)}")
        place = index.__index__()
        if not 0 <= place < len(self):
            raise ForeignIndexError(f"index {place} of {self._ctype.spelling}, which has {len(self)} elements")
        return self._offset + place * self._ctype.target.size

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        return read(self._ctype.target, self._owner, self._place(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, slice):
            places = range(*index.indices(len(self)))
            values = list(value) if not isinstance(value, (str, bytes)) else characters(self._ctype.target, value)
            if len(values) > len(places) or (len(values) < len(places) and not isinstance(value, (str, bytes))):
                raise ForeignValueError(f"got {len(values)} values, wanted {len(places)} for {self._ctype.spelling}")
            for place, one in zip(places, values, strict=False):
                self[place] = one
            return
        target, offset = self._ctype.target, self._place(index)
        if isinstance(target, Array):
            ArrayView(self._owner, target, offset)[:] = value
        else:
            write(target, self._owner, offset, value)

    def __iter__(self) -> Iterator[Any]:
        return (self[place] for place in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and not isinstance(other, (str, bytes)) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))


# --- definition -----------------------------------------------------------------------------------------------------


def define_c_struct(tag: Any, fields: Sequence[Any]) -> StructType:
    """Define ``struct tag`` from ``(name, type)`` pairs; returns its class.

    Raises ``ForeignTypeError`` for a member without a size, a name given twice or one that is no C name.

    >>> timespec = define_c_struct("timespec", [("sec", "long"), ("nsec", "long")])
    >>> now = timespec(sec=5)
    >>> now.nsec = 7
    >>> now, dict(now)
    (timespec(sec=5, nsec=7), {'sec': 5, 'nsec': 7})
    """
    name = (word_of(tag) or "").lstrip("':").replace("-", "_")
    if not name.isidentifier():
        raise ForeignTypeError(f"the name of a struct is a C name, not {shorten(tag)}")
    if not isinstance(fields, Sequence) or isinstance(fields, (str, bytes)):
        raise ForeignTypeError(f"struct {name}: the members are a list of (name, type), not {shorten(fields)}")

    def define() -> StructType:
        members = []
        for entry in fields:
            if (
                isinstance(entry, (str, bytes))
                or not isinstance(entry, Sequence)
                or len(entry) != 2
                or word_of(entry[0]) is None
            ):
                raise ForeignTypeError(f"struct {name}: a member is (name, type), not {shorten(entry)}")
            members.append((word_of(entry[0]).lstrip("':").replace("-", "_"), ctype(entry[1]), None))
        return build("struct", name, members)

    return _anew("struct", name, define)


def define_c_struct_auto(tag: Any, declaration: str, special: Mapping[str, Any] | None = None) -> StructType:
    """Define a struct or union from its C declaration; the layout is computed.

    ``tag`` names the class; the C tag is the declaration's own.  ``special`` gives members, by name, a type that C text
    cannot say.

    >>> pair = define_c_struct_auto("pair", "struct pair { char c; double d[2]; };")
    >>> pair.size, pair.offset("d")
    (24, 8)
    """
    from epsilon.declarator import parse_body, parse_head

    name = (word_of(tag) or "").lstrip("':").replace("-", "_")

    def define() -> StructType:
        body = parse_body(str(declaration), build_body)
        if special:
            members = [
                member._replace(ctype=ctype(special[member.name])) if member.name in special else member
                for member in body.members
            ]
            body = body._replace(members=members)
        return build_body(body._replace(tag=body.tag or name)).python_class

    kind, own_tag = parse_head(str(declaration))
    found = _anew(kind, own_tag or name, define)
    if name:  # ``(:struct stat-struct)`` is the struct of that name, whatever its tag in C is
        TAGS[kind, name] = found.ctype
    found.__name__ = found.__qualname__ = name or found.__name__
    return found


def _anew(kind: str, tag: str, define: Callable[[], StructType]) -> StructType:
    """``define()``, in which ``kind tag`` means the struct that is being defined, which may hold pointers to itself,
    and not an earlier one of that name.  If it fails, the earlier one stays."""
    earlier = TAGS.get((kind, tag))
    new_tagged(kind, tag)
    try:
        return define()
    except BaseException:
        if earlier is not None:
            TAGS[kind, tag] = earlier
        raise


_anonymous = 0


def build_body(body: Body) -> StructCType:
    """The type of a definition that the declarator has read."""
    global _anonymous
    tag = body.tag
    if tag is None:
        _anonymous += 1
        tag = f"anonymous_{_anonymous}"
    return build(body.kind, tag, body.members).ctype


def build(kind: str, tag: str, members: Sequence[tuple[str | None, CType, int | None]]) -> StructType:
    """Lay out ``kind tag`` and make its class."""
    if not members:
        raise ForeignTypeError(f"{kind} {tag} has no members; C has no empty {kind}")
    seen: set[str] = set()
    for name, found, _ in members:
        if name is not None and (not name.isidentifier() or name in seen):
            raise ForeignTypeError(
                f"{kind} {tag}: member {name!r} {'is there twice' if name in seen else 'is no C name'}"
            )
        if name is not None and name.startswith("__") and name.endswith("__"):
            raise ForeignTypeError(f"{kind} {tag}: member {name!r} has a name that Python keeps for itself")
        if found.only_parameter:
            raise ForeignTypeError(f"{kind} {tag}: member {name!r}: {found.only_parameter}")
        if found.size is None:
            raise ForeignTypeError(f"{kind} {tag}: member {name!r} has type {found.spelling}, whose size is not known")
        seen.add(name or "")
    own = new_tagged(kind, tag)
    entries = [(name or "", found.backend, -1 if bits is None else bits, -1) for name, found, bits in members]
    try:
        cffi.complete_struct_or_union(own.backend, entries, None, -1, -1, 0)
    except (TypeError, ValueError, OverflowError) as error:  # a bit-field wider than its type, a struct too large
        raise ForeignTypeError(f"{own.spelling}: {error}") from None
    own.size, own.alignment = cffi.sizeof(own.backend), cffi.alignof(own.backend)
    places = dict(own.backend.fields)
    types = {name: found for name, found, _ in members}
    layouts = []
    for name, found, bits in members:
        if name:
            place = places[name]
            layouts.append(Layout(name, found, place.offset, max(place.bitshift, 0), bits))
        elif isinstance(found, StructCType):  # an anonymous member: its members are reached through this struct
            base = min(
                (places[inner.name].offset - inner.offset for inner in found.fields if inner.name in places), default=0
            )
            layouts.extend(
                Layout(inner.name, inner.ctype, base + inner.offset, inner.shift, inner.bits) for inner in found.fields
            )
            types.update({inner.name: inner.ctype for inner in found.fields})
    own.fields = tuple(layouts)
    own.classes, own.elements = passing(own, any(bits is not None for _, _, bits in members))
    namespace: dict[str, Any] = {
        "__slots__": (),
        _OWN_TYPE: own,
        "__match_args__": tuple(layout.name for layout in layouts),
        "__doc__": f"{own.spelling}: {own.size} bytes, aligned to {own.alignment}.",
        "__module__": caller_module(),
    }
    for layout in layouts:
        namespace[layout.name] = _descriptor(layout)
    own.python_class = made = StructType(tag, (Struct,), namespace)
    return made


def caller_module() -> str:
    """The module that defines the struct: the first one outside this package, so that its class can be pickled."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] == "epsilon":
        frame = frame.f_back
    return "epsilon" if frame is None else frame.f_globals.get("__name__", "epsilon")


def _descriptor(layout: Layout) -> Any:
    if layout.bits is not None:
        return BitField(layout)
    if isinstance(layout.ctype, Array):
        return ArrayField(layout)
    if _backend.Field is None:
        return Field(layout)
    return _backend.Field(layout.ctype, layout.name, layout.offset, isinstance(layout.ctype, StructCType))


# --- how a struct is passed by value --------------------------------------------------------------------------------


def leaves(found: CType, offset: int = 0) -> Iterator[tuple[int, CType]]:
    """Every scalar in ``found``, with its offset, as C has it."""
    found = found.representation
    if isinstance(found, StructCType):
        for member in found.fields:
            yield from leaves(member.ctype, offset + member.offset)
    elif isinstance(found, Array):
        for index in range(found.length or 0):
            yield from leaves(found.target, offset + index * found.target.size)
    else:
        yield offset, found


def passing(own: StructCType, has_bits: bool) -> tuple[str, str]:
    """The eightbyte classes of a struct (System V x86-64 ABI §3.2.3) and libffi's elements for it.

    The classes are ``I`` and ``S``, one letter for each eightbyte; ``M``: memory; ``X``: memory as an argument, the x87
    stack as a result.  On AArch64 ``R`` is a struct that travels as the address of a copy, and which libffi would align
    wrongly.  The elements are the codes of the scalars in it.  Where those would not lie where they do (a union at any
    depth, bit-fields), others stand for them that libffi classifies as the ABI classifies the struct.
    """
    reference = HAS_REFERENCES and own.size > 16 and own.alignment > 8
    if own.size > 64:  # no ABI looks into so large a struct, and an array in it may have millions of elements
        return "R" if reference else "M", _unit(own)
    scalars = list(leaves(own))
    if reference and {scalar.code for _, scalar in scalars} != {"g"}:
        return "R", _unit(own) * (own.size // _WIDTHS[_unit(own)])
    classes = _classes(own.size, scalars)
    elements = "".join(_element(scalar) for _, scalar in scalars)
    if own.kind == "union" or has_bits or _size_of(elements) != own.size or not _in_a_row(scalars):
        elements = _stand_in(own, classes, "" if has_bits else elements)
    return classes, elements


def _classes(size: int, scalars: list[tuple[int, CType]]) -> str:
    if size > 16:
        return "M"
    classes = [""] * ((size + 7) // 8)
    for offset, scalar in scalars:
        if offset % scalar.alignment:
            return "M"
        pieces = "XU" if scalar.code == "g" else "S" * 2 if scalar.code in "fdFD" else "I" * 2
        for eightbyte, kind in zip(range(offset // 8, (offset + scalar.size + 7) // 8), pieces, strict=False):
            both = {kind, classes[eightbyte] or kind}
            classes[eightbyte] = "I" if "I" in both else "M" if len(both) > 1 else kind
    word = "".join(kind or "S" for kind in classes)
    if word == "XU":
        return "X"
    return "M" if set(word) - {"I", "S"} else word


def _stand_in(own: StructCType, classes: str, elements: str) -> str:
    """Elements of the same number of bytes for a struct whose own ones overlap or have no address."""
    if len(set(elements)) == 1 and elements[0] in "fdg" and own.size % _WIDTHS[elements[0]] == 0:
        return elements[0] * (own.size // _WIDTHS[elements[0]])  # AAPCS64 §5.9.5: homogeneous, in a union too
    if HAS_EIGHTBYTES and own.size <= 16:
        if classes == "M":
            return "g"
        ends = range(8, own.size + 8, 8)
        return "".join("Q" if kind == "I" else "f" if end - own.size == 4 else "d"
                       for kind, end in zip(classes, ends, strict=True))  # fmt: skip
    unit = _unit(own)
    return unit * (own.size // _WIDTHS[unit])


def _unit(own: StructCType) -> str:
    """The integer that has the alignment of a struct, or 8 where no integer has so much."""
    return {1: "B", 2: "H", 4: "I"}.get(own.alignment, "Q")


def _in_a_row(scalars: list[tuple[int, CType]]) -> bool:
    """Whether each begins where the one before it ends, but for its alignment.  The members of a union do not, though
    they may fill the padding after it as if they did."""
    end = 0
    for offset, scalar in scalars:
        if offset != -(-end // scalar.alignment) * scalar.alignment:
            return False
        end = offset + scalar.size
    return True


def _element(scalar: CType) -> str:
    if scalar.code == "F":
        return "ff"
    if scalar.code == "D":
        return "dd"
    return "P" if scalar.is_pointer else scalar.code


def _size_of(elements: str) -> int:
    """The size of a struct of these scalars, laid out plainly."""
    size, widest = 0, 1
    for code in elements:
        width = _WIDTHS[code]
        size = (size + width - 1) // width * width + width
        widest = max(widest, width)
    return (size + widest - 1) // widest * widest


_LONG_DOUBLE = cffi.sizeof(cffi.new_primitive_type("long double"))
_WIDTHS = {**dict.fromkeys("bBcC?", 1), **dict.fromkeys("hH", 2), **dict.fromkeys("iIf", 4), **dict.fromkeys("qQd", 8),
           "g": _LONG_DOUBLE, "P": cffi.sizeof(_CHARACTERS)}  # fmt: skip


def struct_layout_size(struct: Any) -> int:
    """The size in bytes of a struct type or of an instance's type.

    >>> struct_layout_size(define_c_struct("two", [("a", "int"), ("b", "int")]))
    8
    """
    found = struct if isinstance(struct, StructType) else type(struct)
    if not isinstance(found, StructType):
        raise ForeignTypeError(f"struct_layout_size takes a struct or a struct type, not {shorten(struct)}")
    return found.size
