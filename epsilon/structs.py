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
    WORDS,
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

    from epsilon.declarator import Body, Member
    from epsilon.layout import Placed, Rules
    from epsilon.layout_table import LayoutTable


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

    @property
    def with_count(cls) -> Callable[..., Any]:
        """``with_count(count, pointer=None, /, **members)``: an instance of a struct that ends with an array
        without a length, with room for ``count`` of its elements; or the one that C has at ``pointer``, in place, whose
        count the caller knows.

        >>> message = define_c_struct("message", [("kind", "int"), ("data", ("array", "uint8"))])
        >>> one = message.with_count(3, kind=7, data=b"abc")
        >>> one, one.data[2]
        (message(kind=7, data=[97, 98, 99]), 99)
        >>> one.data[3]
        Traceback (most recent call last):
        epsilon.errors.ForeignIndexError: index 3 of uint8_t [3], which has 3 elements
        """
        return cls._with_count

    def _with_count(cls, count: Any, pointer: Any = None, /, **members: Any) -> Any:
        own = cls.ctype
        if own.flexible is None:
            raise ForeignTypeError(f"{own.spelling} does not end with an array without a length: it takes no count")
        if not hasattr(type(count), "__index__"):
            raise ForeignTypeError(f"{own.spelling}: the count is an int, not {shorten(count)}")
        size = own.flexible.offset + own.flexible.ctype.target.size * count.__index__()
        if not 0 <= count.__index__() or size > sys.maxsize // 8:
            raise ForeignValueError(f"{own.spelling}: {shorten(count)} is no count of elements that memory can hold")
        place: tuple = ()
        if pointer is not None:
            from epsilon.memory import _raw_address

            guarded = isinstance(pointer, _backend.Guarded)
            address = _backend.address_of(pointer) if guarded else _raw_address(pointer, "with_count")
            if guarded and 0 <= _backend.size_of(pointer) < size:
                raise ForeignValueError(
                    f"{own.spelling}: {count} elements take {size} bytes, more than {shorten(pointer)} has"
                )
            place = (address, pointer)
        self = _backend.Guarded.__new__(cls, own.converter.pointer_type, max(size, own.size), own.alignment, *place)
        for name, value in members.items():
            self[name] = value
        return self

    @property
    def layout(cls) -> Callable[[], LayoutTable]:
        """``layout()``: the memory map as a table, which prints as text; it has the rows, and ``svg()``.

        >>> print(define_c_struct("bits", [("a", "int", {"bits": 3}), ("b", "int", {"bits": 7})]).layout())
        struct bits: 4 bytes, aligned to 4
        offset  size  type  name       bits
             0     1  int   a          0..2
             0     2  int   b          3..9
             1     1        (padding)  2..7
             2     2        (padding)
        """
        return cls._layout

    def _layout(cls) -> LayoutTable:
        from epsilon.layout_table import LayoutTable

        return LayoutTable(cls.ctype)

    @property
    def proved(cls) -> bool:
        """Whether the compiler was asked about this layout, and agreed: see ``header`` of ``define_c_struct``."""
        return cls.ctype.proved

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

    def layout(self) -> LayoutTable:
        """The memory map, as a table: see ``StructType.layout``."""
        return type(self).layout()

    def __copy__(self) -> Any:
        """A struct of its own with the same bytes; what the members point to is shared."""
        from epsilon.instances import copied

        return copied(self)

    def __deepcopy__(self, memo: object) -> Any:
        return self.__copy__()

    def __reduce__(self) -> Any:
        from epsilon.instances import reduced

        return reduced(self)

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

    def __bytes__(self) -> bytes:
        """The memory as it is, padding included."""
        return bytes(_bytes_at(_backend.address_of(self), _backend.size_of(self)))

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
    """Some bits of an integer, which may cross the boundaries of its type in a packed struct."""

    def __init__(self, layout: Layout):
        super().__init__(layout)
        self.bits, self.shift, self.span = layout.bits, layout.shift, (layout.shift + layout.bits + 7) // 8
        plain = self.ctype.representation
        signed = isinstance(plain, Integer) and plain.low < 0
        self.low, self.high = (-(1 << self.bits - 1), (1 << self.bits - 1) - 1) if signed else (0, (1 << self.bits) - 1)

    def bytes_of(self, struct: Any) -> Any:
        return _bytes_at(_backend.address_of(struct) + self.offset, self.span)

    def read(self, struct: Any) -> Any:
        number = int.from_bytes(self.bytes_of(struct), "little") >> self.shift & (1 << self.bits) - 1
        if number > self.high:
            number -= 1 << self.bits
        return self.ctype.restore(number if isinstance(self.ctype.representation, Integer) else bool(number))

    def write(self, struct: Any, value: Any) -> None:
        if _backend.is_readonly(struct):
            refuse_write(struct)
        number = self.ctype.adapt(value)
        if not self.low <= number <= self.high:
            from epsilon.errors import ForeignRangeError

            raise ForeignRangeError(
                f"got {shorten(value)}, wanted an int from {self.low} to {self.high} ({self.bits} bits)"
            )
        place = self.bytes_of(struct)
        mask = (1 << self.bits) - 1
        rest = int.from_bytes(place, "little") & ~(mask << self.shift)
        place[:] = (rest | (number & mask) << self.shift).to_bytes(self.span, "little")


class FlexibleField(Field):
    """The array that ends a struct: as many elements as the struct's memory has room for."""

    def read(self, struct: Any) -> Any:
        room = max(_backend.size_of(struct) - self.offset, 0) // self.ctype.target.size
        return ArrayView(struct, Array(self.ctype.target, room), self.offset)

    def write(self, struct: Any, value: Any) -> None:
        self.read(struct)[:] = value


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


def define_c_struct(
    tag: Any, fields: Sequence[Any], *, packed: bool | int = False, align: int | None = None, header: Any = None
) -> StructType:
    """Define ``struct tag`` from ``(name, type)`` or ``(name, type, options)`` members; returns its class.

    A member's options are a mapping of ``bits`` (the width of a bit-field), ``align`` (bytes, as ``_Alignas``),
    ``packed`` and ``offset`` (bytes from the start, where C would choose another).  A member whose name is None is an
    unnamed bit-field, or an anonymous struct or union, whose members are reached through this struct.  The last member
    may be an array without a length; ``StructType.with_count`` makes the instances.  ``packed`` is True, as the
    attribute, or a number as in ``#pragma pack(n)``; ``align`` is the least alignment in bytes.

    With ``header``, the name of one that defines the same struct, or several, the C compiler is asked for its layout,
    and ``StructType.proved`` is true; a difference raises ``HeaderError`` with both layouts.  Without a compiler the
    layout is what is computed here, and ``proved`` is false.

    Raises ``ForeignTypeError`` for a member without a size, a name given twice or one that is no C name.

    >>> timespec = define_c_struct("timespec", [("sec", "long"), ("nsec", "long")])
    >>> now = timespec(sec=5)
    >>> now.nsec = 7
    >>> now, dict(now)
    (timespec(sec=5, nsec=7), {'sec': 5, 'nsec': 7})
    >>> record = define_c_struct("record", [("kind", "uint8", {"bits": 3}), ("size", "uint32")], packed=True)
    >>> record.size, record.alignment, record(kind=5, size=7)
    (5, 1, record(kind=5, size=7))
    """
    return _define("struct", tag, fields, packed, align, header)


def define_c_union(
    tag: Any, fields: Sequence[Any], *, packed: bool | int = False, align: int | None = None, header: Any = None
) -> StructType:
    """Define ``union tag``, whose members share one place; all else is as with ``define_c_struct``.

    >>> value = define_c_union("value", [("i", "int64"), ("d", "double"), ("p", "pointer")])
    >>> one = value(d=1.0)
    >>> value.size, hex(one.i)
    (8, '0x3ff0000000000000')
    """
    return _define("union", tag, fields, packed, align, header)


def _define(kind: str, tag: Any, fields: Any, packed: Any, align: Any, header: Any) -> StructType:
    name = (word_of(tag) or "").lstrip("':").replace("-", "_")
    if not name.isidentifier():
        raise ForeignTypeError(f"the name of a {kind} is a C name, not {shorten(tag)}")
    if not isinstance(fields, Sequence) or isinstance(fields, (str, bytes)):
        raise ForeignTypeError(f"{kind} {name}: the members are a list of (name, type), not {shorten(fields)}")
    from epsilon.layout import rules_of

    rules = rules_of(f"{kind} {name}", packed, align)
    if not fields:
        raise ForeignTypeError(f"{kind} {name} has no members; C has no empty {kind}")

    def define() -> StructType:
        return _proved(build(kind, name, [_read_member(kind, name, entry) for entry in fields], rules), header)

    return _anew(kind, name, define)


def _proved(found: StructType, header: Any) -> StructType:
    """``found``, held against the compiler where a header is given."""
    if header is not None:
        from epsilon.discovery import prove

        prove(found.ctype, header)
    return found


def _read_member(kind: str, tag: str, entry: Any) -> Member:
    options = {}
    if isinstance(entry, Sequence) and len(entry) == 3 and hasattr(type(entry[2]), "keys"):
        *entry, options = entry
    if isinstance(entry, (str, bytes)) or not isinstance(entry, Sequence) or len(entry) != 2:
        raise ForeignTypeError(f"{kind} {tag}: a member is (name, type) or (name, type, options), not {shorten(entry)}")
    word = word_of(entry[0])
    if word is None and entry[0] is not None:
        raise ForeignTypeError(f"{kind} {tag}: a member is (name, type), and its name is not {shorten(entry[0])}")
    name = word.lstrip("':").replace("-", "_") if word is not None else None
    from epsilon.declarator import Member

    member = Member(name, ctype(entry[1]), None)
    return member._replace(**_member_options(f"{kind} {tag}", name, options)) if options else member


def _member_options(what: str, name: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    given = {str(option): options[option] for option in options.keys()}
    for option in given:
        if option not in _MEMBER_OPTIONS:
            near = nearest(option, _MEMBER_OPTIONS)
            raise ForeignTypeError(f"{what}: member {name!r} has no option {option!r}{near}")
    return given


#: what a member may be given beside its name and its type
_MEMBER_OPTIONS = ("bits", "packed", "align", "offset")


def define_c_struct_auto(
    tag: Any,
    declaration: str,
    special: Mapping[Any, Any] | None = None,
    *,
    options: Mapping[Any, Mapping[str, Any]] | None = None,
    packed: bool | int | None = None,
    align: int | None = None,
    header: Any = None,
) -> StructType:
    """Define a struct or union from its C declaration, whose layout is computed, or from a header.

    With ``header`` (a name such as ``"sys/stat.h"``, or several), the declaration may be ``"struct stat"`` or a
    typedef's: the members are read from the header and their places proved by the C compiler, ``$CC`` or ``cc``.  With
    members the declaration is proved, as ``define_c_struct`` does.  ``CompilerError`` has the compiler's words where it
    fails or is missing, ``HeaderError`` both layouts where they differ.

    ``tag`` names the class; the C tag is the declaration's own.  ``special`` gives members, by name or by position, a
    type that C text cannot say, ``options`` the options that ``define_c_struct`` takes of a member; ``packed`` and
    ``align`` are those of ``define_c_struct``.
    ``__attribute__((packed, aligned(n)))``, ``_Alignas(n)`` and ``#pragma pack(n)`` before the text mean what they mean
    in C.

    >>> pair = define_c_struct_auto("pair", "struct pair { char c; double d[2]; };")
    >>> pair.size, pair.offset("d")
    (24, 8)
    """
    from epsilon.declarator import parse_body, parse_head
    from epsilon.layout import rules_of

    name = (word_of(tag) or "").lstrip("':").replace("-", "_")

    def define() -> StructType:
        body = parse_body(str(declaration), build_body)
        if not body.members:
            raise ForeignTypeError(f"{body.kind} {body.tag or name} has no members; C has no empty {body.kind}")
        members = list(body.members) if special or options else body.members
        for index, member in enumerate(members if special or options else ()):
            key = index if member.name is None else member.name
            if special and key in special:
                member = member._replace(ctype=ctype(special[key]))
            if options and key in options:
                member = member._replace(**_member_options(f"{kind} {body.tag or name}", member.name, options[key]))
            members[index] = member
        asked = rules_of(f"{kind} {body.tag or name}", packed, align)
        body = body._replace(
            members=members,
            packed=body.packed or asked.packed,
            pack=asked.pack or body.pack,
            align=max(body.align, asked.align),
        )
        return _proved(build_body(body._replace(tag=body.tag or name)).python_class, header)

    if header is not None and "{" not in str(declaration):
        from epsilon.discovery import discover

        if special or options or packed or align:
            raise ForeignTypeError(f"{declaration}: the header says members and layout; options say nothing here")
        return _named(discover(declaration, header).python_class, name)
    kind, own_tag = parse_head(str(declaration))
    if "{" not in str(declaration):
        raise ForeignTypeError(f"{declaration!r} has no members; header= names the header that defines it")
    return _named(_anew(kind, own_tag or name, define), name)


def _named(found: StructType, name: str) -> StructType:
    """``found``, under its name in Lisp or Python."""
    kind = found.ctype.kind
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


def build_body(body: Body, own: StructCType | None = None) -> StructCType:
    """The type of a definition that the declarator has read: ``own``, or the newest of its tag."""
    global _anonymous
    tag = body.tag
    if tag is None:
        _anonymous += 1
        tag = f"anonymous_{_anonymous}"
    from epsilon.layout import Rules

    return build(body.kind, tag, body.members, Rules(body.packed, body.pack, body.align), own).ctype


def build(
    kind: str, tag: str, members: Sequence[Member], rules: Rules, own: StructCType | None = None
) -> StructType:  # fmt: skip
    """Lay out ``kind tag`` and make its class; the type is ``own``, or the newest of its tag."""
    from epsilon.layout import check_members, place

    check_members(f"{kind} {tag}", kind, members, rules)
    placed = place(kind, members, rules)
    if placed.size > sys.maxsize // 8:
        raise ForeignTypeError(f"{kind} {tag} is larger than any memory")
    own = new_tagged(kind, tag) if own is None else own
    own.size, own.alignment, own.rules = placed.size, placed.alignment, rules
    layouts: list[Layout] = []
    for member, start in zip(members, placed.bits, strict=True):
        if member.bits is not None:
            if member.name is not None:
                layouts.append(_bit_field(member, start, placed.size))
        elif member.name is not None:
            layouts.append(Layout(member.name, member.ctype, start // 8))
        else:  # an anonymous member: its members are reached through this struct
            layouts.extend(
                Layout(inner.name, inner.ctype, start // 8 + inner.offset, inner.shift, inner.bits)
                for inner in member.ctype.fields
            )
    own.fields, own.members = tuple(layouts), tuple(zip(members, placed.bits, strict=True))
    own.flexible = next((layout for layout in layouts if layout.ctype.size is None), None)
    _complete(own, members, placed)
    has_bits = any(found.bits for found in (*layouts, *members))
    own.classes, own.elements = passing(own, has_bits)
    own.not_by_value = _not_by_value(own)
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


def _bit_field(member: Member, start: int, size: int) -> Layout:
    """Bits of a storage unit, as in C; of the bytes that they are in, where they cross units or the struct's end."""
    width = member.ctype.size * 8
    unit = width if start % width + member.bits <= width and (start // width + 1) * width <= size * 8 else 8
    return Layout(member.name, member.ctype, start // unit * unit // 8, start % unit, member.bits)


def _complete(own: StructCType, members: Sequence[Member], placed: Placed) -> None:
    """Tell cffi of the layout, for its pointers to such structs, without the bit-fields where it has others."""
    known_bits = any(member.bits is not None for member in members)
    if known_bits:  # cffi takes no place for them: it must find the same ones by itself
        trial = (cffi.new_struct_type if own.kind == "struct" else cffi.new_union_type)(own.spelling)
        entries = [(name or "", found.backend, -1 if bits is None else bits, -1) for name, found, bits, *_ in members]
        cffi.complete_struct_or_union(trial, entries, None, -1, -1, 0)
        places = dict(trial.fields)
        known_bits = (cffi.sizeof(trial), cffi.alignof(trial)) == (own.size, own.alignment) and all(
            field.name in places
            and places[field.name].offset * 8 + max(places[field.name].bitshift, 0) == field.offset * 8 + field.shift
            for field in own.fields
        )
    if not known_bits:
        entries = [
            (member.name or "", member.ctype.backend, -1, start // 8)
            for member, start in zip(members, placed.bits, strict=True)
            if member.bits is None
        ]
    size = (-1, -1) if known_bits else (own.size, own.alignment)
    cffi.complete_struct_or_union(own.backend, entries, None, *size, 0)


def caller_module() -> str:
    """The module that defines the struct: the first one outside this package, so that its class can be pickled."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] == "epsilon":
        frame = frame.f_back
    return "epsilon" if frame is None else frame.f_globals.get("__name__", "epsilon")


def _descriptor(layout: Layout) -> Any:
    if layout.bits is not None:
        return BitField(layout)
    if layout.ctype.size is None:
        return FlexibleField(layout)
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
        for member, start in found.members:
            if member.bits is None:
                yield from leaves(member.ctype, offset + start // 8)
            else:  # an integer in every byte that it touches, though it has no name: so GCC has it
                for byte in range(start // 8, (start + member.bits + 7) // 8):
                    yield offset + byte, WORDS["uint8"]
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


def _not_by_value(own: StructCType) -> str:
    """Why this struct cannot be passed by value here, or an empty str.  An alignment that was asked for leaves
    eightbytes without a class, which take no register (x86-64), or counts for nothing (AAPCS64); libffi knows neither.
    """
    if own.alignment > 16:
        return f"it is aligned to {own.alignment}, and the stack to 16"
    if own.size > 64:
        return ""
    scalars = list(leaves(own))
    covered = {byte // 8 for offset, scalar in scalars for byte in range(offset, offset + scalar.size)}
    natural = max((scalar.alignment for _, scalar in scalars), default=1)
    if (own.size <= 16 and HAS_EIGHTBYTES and len(covered) < (own.size + 7) // 8) or (
        HAS_REFERENCES and own.alignment > natural
    ):
        return f"its alignment of {own.alignment} is more than its members'"
    return ""


def _stand_in(own: StructCType, classes: str, elements: str) -> str:
    """Elements of the same number of bytes for a struct whose own ones overlap or have no address."""
    if len(set(elements)) == 1 and elements[0] in "fdg" and own.size % _WIDTHS[elements[0]] == 0:
        return elements[0] * (own.size // _WIDTHS[elements[0]])  # AAPCS64 §5.9.5: homogeneous, in a union too
    if HAS_EIGHTBYTES and own.size <= 16:
        if classes in ("M", "X"):
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
