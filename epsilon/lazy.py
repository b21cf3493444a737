"""Blocks of C declarations whose functions are read when they are first asked for: ``declare(…, lazy=True)``.

A module of a few thousand functions uses a few dozen.  What the names in a function's declaration mean is what they
meant where the block was declared, however late it is read.
"""

from __future__ import annotations

import re
from collections import ChainMap

from epsilon.bindings import Block, split
from epsilon.declarator import RESERVED, Reader
from epsilon.errors import ForeignTypeError
from epsilon.prototypes import Prototype
from epsilon.tables import Bindings, Table
from epsilon.typesystem import ENUMS, NAMED, TAGS, TYPEDEFS, FunctionType, StructCType, tagged

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

#: a declaration of one function, whose name stands before its parameters
_FUNCTION = re.compile(r"(?!typedef\b)[\w\s*]*?\b([A-Za-z_]\w*) ?\((?! ?\*)[^{}]*\)")


class Moment(Block):
    """What names meant when it was made."""

    def __init__(self) -> None:
        super().__init__()
        self.typedefs = ChainMap({}, TYPEDEFS, dict(NAMED))
        self._tags = dict(TAGS)
        self._enums = {tag: found.base for tag, found in ENUMS.items()}

    def struct(self, kind: str, tag: str) -> StructCType:
        return self._tags.get((kind, tag)) or self._tags.setdefault((kind, tag), tagged(kind, tag))

    def prototype(self, text: str) -> Prototype:
        """The function that ``text`` declares."""
        self.enums = {**self._enums, **self.enums}
        reader = Reader(text, self.define, self)
        name, found, names = reader.declaration()
        reader.end()
        if name is None or not isinstance(found, FunctionType):
            raise reader.error("a function's prototype is wanted here")
        return Prototype(name, found, names)


def declare_lazily(library: Any, text: str, options: Mapping[str, Any]) -> Bindings:
    """The bindings of a block of prototypes; anything else is refused, for it would define something."""
    block = Moment()
    functions: dict[str, str] = {}
    for declaration in split(text):
        plain = _FUNCTION.fullmatch(declaration)
        name = plain[1] if plain and plain[1] not in RESERVED else None
        if name is None:  # one that returns a pointer to a function, say
            name = block.prototype(declaration).name
        if functions.setdefault(name, declaration) != declaration:
            raise ForeignTypeError(f"{name!r} is declared twice in a lazy block, as {functions[name]!r} and as "
                                   f"{declaration!r}")  # fmt: skip

    def bind(name: str, declaration: str) -> Any:
        return library.bind(block.prototype(declaration), **options)

    empty = dict.fromkeys(("variables", "constants", "typedefs", "structs", "unions", "enums"), {})
    return Bindings(library, {"functions": Table(functions, bind), **empty}, block)


def attributes(module: dict[str, Any], *blocks: Bindings, names: Mapping[str, str] | None = None) -> tuple:
    """``__getattr__`` and ``__dir__`` for a module whose functions are those of ``blocks``.

    ``module`` is its ``globals()``; what is found there from then on takes no detour.  ``names`` are functions that the
    module has under another name than C's.

    >>> block = lib_open("libc").declare("int abs(int n); long labs(long n);", lazy=True)
    >>> module = {}
    >>> find, names = attributes(module, block, names={"absolute": "abs"})
    >>> find("absolute")(-7), sorted(names())
    (7, ['absolute', 'labs'])
    """
    where = {name: (block, name) for block in blocks for name in block.functions}
    renamed = {name: where[symbol] for name, symbol in (names or {}).items()}
    for symbol in (names or {}).values():
        where.pop(symbol, None)
    where.update(renamed)

    def __getattr__(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {module.get('__name__')!r} has no attribute {name!r}{_near(name, where)}")
        block, symbol = where[name]
        found = module[name] = block.functions[symbol]
        return found

    def __dir__() -> list[str]:
        return sorted({*module, *where})

    return __getattr__, __dir__


def _near(name: str, known: Mapping[str, Any]) -> str:
    if name.startswith("__"):  # asked for by the import system, not by a person
        return ""
    from epsilon.errors import nearest

    return nearest(name, known)
