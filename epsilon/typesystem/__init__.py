"""The C types: what each is called, how it is laid out, and which Python values it takes.

Every type is a :class:`CType`, interned: the same meaning is the same object, whatever spelling it came from, so that
signatures compare by identity.  A ``CType`` knows three things: its C text (``declare``), the cffi type that stands for
it (``backend``), and how a value crosses (``converter``, made by floor 0 on first use).  Conversions run in floor 0;
``adapt`` is the slow path that it falls back to: it turns an unusual but acceptable value (a ``numpy.int64``, a
``pathlib.Path``) into a plain one, or raises the error that says what was wanted.

Sizes and alignments are those of this platform's C compiler, as cffi was built by it.
"""

from __future__ import annotations

from epsilon.typesystem.base import (
    BY_BACKEND,
    ENUMS,
    NAMED,
    VOID_POINTER,
    CData,
    CType,
    TypeObject,
    find_converter,
    register_converter,
)
from epsilon.typesystem.converted import Converted, Object, UserType
from epsilon.typesystem.counts import (
    array_of,
    bounded,
    check_callback,
    counter_index,
    filled,
    linked,
    linked_result,
    told,
    way_of,
)
from epsilon.typesystem.derived import (
    Array,
    Direction,
    FunctionPointer,
    FunctionType,
    Handed,
    decay,
    hooks,
    pointer_to,
)
from epsilon.typesystem.handles import Handle, object_handle
from epsilon.typesystem.pointers import (
    CHARACTER_POINTER,
    VOID_POINTER_TYPE,
    Buffer,
    CountedPointer,
    OwnedPointer,
    Pointer,
    PointerLike,
    String,
    characters,
    foreign_address,
    has_buffer,
    owned_type,
    refuse_parameter,
    same_representation,
    view,
)
from epsilon.typesystem.records import TAGS, StructCType, new_tagged, tagged
from epsilon.typesystem.required import Required
from epsilon.typesystem.scalars import (
    ARM,
    CHAR_IS_SIGNED,
    HAS_EIGHTBYTES,
    HAS_REFERENCES,
    MACHINE,
    WCHAR_IS_SIGNED,
    Boolean,
    Character,
    Complex,
    Integer,
    Real,
    Scalar,
    Void,
    WideCharacter,
)
from epsilon.typesystem.words import SYSTEM_TYPEDEFS, TYPEDEFS, VOID, WORDS

__all__ = [
    "ARM",
    "Array",
    "BY_BACKEND",
    "Boolean",
    "Buffer",
    "CData",
    "CHARACTER_POINTER",
    "CHAR_IS_SIGNED",
    "CType",
    "Character",
    "Complex",
    "Converted",
    "CountedPointer",
    "Direction",
    "ENUMS",
    "FunctionPointer",
    "FunctionType",
    "Handed",
    "HAS_EIGHTBYTES",
    "HAS_REFERENCES",
    "Handle",
    "Integer",
    "MACHINE",
    "NAMED",
    "Object",
    "OwnedPointer",
    "Pointer",
    "PointerLike",
    "Real",
    "Required",
    "SYSTEM_TYPEDEFS",
    "Scalar",
    "String",
    "StructCType",
    "TAGS",
    "TYPEDEFS",
    "TypeObject",
    "UserType",
    "VOID",
    "VOID_POINTER",
    "VOID_POINTER_TYPE",
    "Void",
    "WCHAR_IS_SIGNED",
    "WORDS",
    "WideCharacter",
    "array_of",
    "bounded",
    "characters",
    "check_callback",
    "counter_index",
    "decay",
    "filled",
    "find_converter",
    "foreign_address",
    "has_buffer",
    "hooks",
    "linked",
    "linked_result",
    "new_tagged",
    "object_handle",
    "owned_type",
    "pointer_to",
    "refuse_parameter",
    "register_converter",
    "same_representation",
    "tagged",
    "told",
    "view",
    "way_of",
]
