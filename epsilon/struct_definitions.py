"""Defining structs and unions: members, C text or a header become a layout, and the class that has it."""

from __future__ import annotations

import sys
from _collections_abc import Sequence  # collections.abc, without all of collections

import _cffi_backend as cffi

from epsilon.errors import ForeignTypeError, nearest, shorten
from epsilon.expressions import ctype, word_of
from epsilon.fields import descriptor
from epsilon.layout import Member, Rules, check_members, place, rules_of, settle
from epsilon.passing import not_by_value, passing
from epsilon.structs import OWN_TYPE, Struct, StructType
from epsilon.typesystem import TAGS, StructCType, new_tagged

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from epsilon.bodies import Body
    from epsilon.layout import Placed


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
    from epsilon.bodies import parse_body, parse_head

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
    return build(body.kind, tag, body.members, body.rules, own).ctype


def build(
    kind: str, tag: str, members: Sequence[Member], rules: Rules, own: StructCType | None = None
) -> StructType:  # fmt: skip
    """Lay out ``kind tag`` and make its class; the type is ``own``, or the newest of its tag."""
    check_members(f"{kind} {tag}", kind, members, rules)
    placed = place(kind, members, rules)
    if placed.size > sys.maxsize // 8:
        raise ForeignTypeError(f"{kind} {tag} is larger than any memory")
    own = new_tagged(kind, tag) if own is None else own
    settle(own, members, placed, rules)
    _complete(own, members, placed)
    has_bits = any(found.bits for found in (*own.fields, *members))
    own.classes, own.elements = passing(own, has_bits)
    own.not_by_value = not_by_value(own)
    namespace: dict[str, Any] = {
        "__slots__": (),
        OWN_TYPE: own,
        "__match_args__": tuple(layout.name for layout in own.fields),
        "__doc__": f"{own.spelling}: {own.size} bytes, aligned to {own.alignment}.",
        "__module__": caller_module(),
    }
    for layout in own.fields:
        namespace[layout.name] = descriptor(layout)
    own.python_class = made = StructType(tag, (Struct,), namespace)
    return made


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
