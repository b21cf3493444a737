"""What headers declare, as plain data: names, C text, numbers.  It is what is cached, written out and bound.

The C text is normalised, so that ``declarator.Reader`` reads it without pycparser: one declaration each, no storage
class, no GNU spelling but ``__attribute__((packed, aligned(n), vector_size(n)))``, ``#pragma pack(n)`` before a
definition, and the names of types (``_Float64``, ``__int128``, ``__builtin_va_list``), array bounds and bit widths as
numbers, tags and typedef names for what is defined elsewhere in the same facts.  A struct that has no tag goes by its
typedef's name; one that has neither stands inside the member that it is for.
"""

from __future__ import annotations

from collections import namedtuple

#: Where something stands: an index into ``Facts.files``, and a line.
Place = tuple[int, int]

#: ``prototype`` is ``"int f(const char *s, ...)"``; ``symbol`` the name that is linked (an asm label changes it);
#: ``notes`` what attributes say: words among ``const pure malloc noreturn deprecated``, ``nonnull``, ``nonnull 1 3``,
#: and a calling convention such as ``ms_abi``.
Function = namedtuple("Function", ["prototype", "symbol", "notes", "place"])
#: ``definition`` is ``"struct tag { … }"``, or None where the headers only name it; ``members`` are
#: ``(name, first bit, bits)`` in order (the members of anonymous ones in their place), as the compiler has them.
Record = namedtuple("Record", ["definition", "size", "alignment", "members", "place"])
#: ``values`` are ``(name, value)`` pairs in order; ``type`` the C type that the compiler gives the enum.
Enum = namedtuple("Enum", ["values", "type", "place"])
#: ``declaration`` is ``"typedef struct x *name"``.
Typedef = namedtuple("Typedef", ["declaration", "place"])
#: ``declaration`` is ``"const char *const version"``.
Variable = namedtuple("Variable", ["declaration", "symbol", "place"])
#: ``value`` is an int, a float, str or bytes; ``type`` its C type, such as ``unsigned long`` or ``char [6]``.
Constant = namedtuple("Constant", ["value", "type", "place"])
#: ``kind`` is a word such as ``function`` or ``macro``.
Skipped = namedtuple("Skipped", ["kind", "file", "line", "reason"])

TABLES = {
    "functions": Function,
    "inlines": Function,  #: ``static inline`` functions; ``symbol`` is their name in the wrappers' library
    "macros": Function,  #: function-like macros, likewise; parameter types as they were told or given
    "records": Record,  #: by ``"struct tag"`` and ``"union tag"``
    "enums": Enum,  #: by tag
    "typedefs": Typedef,
    "variables": Variable,
    "constants": Constant,  #: enum and macro constants alike
    "skipped": Skipped,
}


class Facts:
    """All tables, each a dict by C name in the order of the headers; ``records`` by kind and tag."""

    __slots__ = ("files", "own", "proved", "search", "wrappers", *TABLES)

    def __init__(self) -> None:
        for table in TABLES:
            setattr(self, table, {})
        #: the files that were read, as the compiler names them; those among them whose declarations count, by index
        self.files: list[str] = []
        self.own: set[int] = set()
        #: the folders in which headers were looked for, in their order: the store watches them for one that comes first
        self.search: list[str] = []
        #: whether the compiler has proved layouts and values
        self.proved = False
        #: the library of compiled wrappers (inline functions and macros), or None
        self.wrappers: str | None = None
