"""Bindings: everything that a block of C declarations or a header declares, as one object with mappings by C name.

``Library.declare`` (``bindings.py``) and ``import_header`` (``headers/``) fill the mappings; what a user sees is the
same for both.
"""

from __future__ import annotations

from _collections_abc import Mapping  # collections.abc, without all of collections

from epsilon.errors import nearest

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any


class Table(Mapping):
    """A mapping by C name whose values are made when they are first asked for, and then stay."""

    __slots__ = ("_made", "_make", "_source")

    def __init__(self, source: Mapping[str, Any], make: Callable[[str, Any], Any]):
        self._source, self._make = source, make
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name in self._made:
            return self._made[name]
        return self._made.setdefault(name, self._make(name, self._source[name]))

    def __contains__(self, name: object) -> bool:
        return name in self._source

    def __iter__(self) -> Iterator[str]:
        return iter(self._source)

    def __len__(self) -> int:
        return len(self._source)

    def __repr__(self) -> str:
        return f"<{', '.join(self._source) or 'nothing'}>"


#: in the order in which an attribute is looked for in them
TABLES = ("functions", "variables", "constants", "typedefs", "structs", "unions", "enums")


class Bindings:
    """What a block of declarations or a header declares: ``Library.declare`` and ``import_header`` give it.

    ``functions``, ``structs``, ``unions``, ``enums``, ``typedefs``, ``constants`` and ``variables`` are mappings by C
    name, tags without ``struct``; all that is in them is an attribute, too.  A typedef is the type itself, an enum an
    ``EnumType``, which is a mapping of its constants, a variable has ``.value`` and ``.pointer``.  ``skipped`` has what
    could not be bound, with the reason; ``proved`` says whether the compiler has confirmed layouts and values.

    >>> c = lib_open("libc").declare("enum { EOF = -1 }; int isdigit(int c), isalpha(int c);")
    >>> c.isdigit(ord("7")) != 0, c.EOF, list(c.functions)
    (True, -1, ['isdigit', 'isalpha'])
    """

    __slots__ = ("__weakref__", "_block", "library", "proved", "skipped", *TABLES)

    def __init__(self, library: Any, tables: Mapping[str, Mapping[str, Any]], block: Any):
        self.library, self.skipped, self.proved = library, {}, False
        #: what the names in the declarations mean
        self._block = block
        for name in TABLES:
            setattr(self, name, tables[name])

    def __getattr__(self, name: str) -> Any:
        if name in Bindings.__slots__:  # of an instance that is not made yet
            raise AttributeError(name)
        for table in TABLES:
            found = getattr(self, table)
            if name in found:
                return found[name]
        raise AttributeError(f"{self!r} declares no {name!r}{nearest(name, self._names())}")

    def _names(self) -> dict[str, Any]:
        """The names of the attributes that are C's."""
        return dict.fromkeys(name for table in TABLES for name in getattr(self, table))

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._names()})

    def _described(self) -> str:
        return f"{self.library!r}"

    def __repr__(self) -> str:
        counts = [(len(getattr(self, table)), table) for table in TABLES]
        listed = ", ".join(f"{count} {table if count > 1 else table[:-1]}" for count, table in counts if count)
        return f"<bindings of {self._described()}: {listed or 'nothing'}>"
