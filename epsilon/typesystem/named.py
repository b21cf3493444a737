"""The types that a user has named, and what stands for its type wherever a type does."""

from __future__ import annotations

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from epsilon.typesystem.base import CType

#: C name → type: aliases, opaque structs, enums, flags and foreign types, as they were defined last.  C's own names are
#: in ``TYPEDEFS``, and mean the same for ever.
NAMED: dict[str, CType] = {}


class TypeObject:
    """An object that stands for ``ctype``, as a struct's class does."""

    __slots__ = ()
    ctype: CType
