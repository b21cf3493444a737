"""Variables: the globals of a C library, read and written in place.

The memory of a variable belongs to its ``Library``: all who name it share it, it keeps alive what Python wrote into it
for C to read, and it ends when the library is closed.
"""

from __future__ import annotations

from epsilon import _backend
from epsilon.errors import ForeignError, ForeignMemoryError, ForeignTypeError
from epsilon.expressions import ctype, word_of
from epsilon.memory import ForeignMemory
from epsilon.sites import caller
from epsilon.typesystem import Array, CType, Scalar, StructCType
from epsilon.views import read, write

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from typing import Any

    from epsilon.libraries import Library

#: the libraries whose variables point to what Python keeps alive: they stay, though nobody may hold them any more
_written: set[Library] = set()


class ForeignVariable:
    """A variable of a C library: what ``foreign_variable`` gives.

    ``name``, ``library`` and ``ctype`` say which it is; ``readonly`` that C declares it ``const``.
    """

    __slots__ = ("_keeps", "_known", "_read", "_write", "ctype", "library", "name", "readonly")

    def __init__(self, name: str, library: Library, type: CType, readonly: bool = False):
        self.name, self.library, self.ctype, self.readonly = name, library, type, readonly
        self._known: ForeignMemory | None = None
        #: floor 0's reader; structs and arrays, which are views in place, have none
        self._read = None if isinstance(type, (Array, StructCType)) else type.converter.read
        #: floor 0's writer where there is nothing to keep alive
        self._write = type.converter.write if isinstance(type, Scalar) else None
        #: whether it is known that the library must stay, for its memory points to what Python keeps alive
        self._keeps = False

    def _memory(self) -> ForeignMemory:
        """The variable's own memory; its symbol is looked up at the first use."""
        address = self.library.address(self.name)
        known = self.library._variables
        memory = known.get((self.name, self.ctype))
        if memory is None:
            memory = ForeignMemory(self.ctype, 1, address, self.library)
            memory = known.setdefault((self.name, self.ctype), memory)
        self._known = memory
        return memory

    @property
    def value(self) -> Any:
        """The value; a struct or an array is a view in place.  An assignment writes it.

        Raises ``SymbolNotFoundError`` where the library has no such variable, and ``ForeignError`` once it is closed;
        an assignment the conversion's error, or ``ForeignMemoryError`` for a variable that is ``const``.
        """
        memory, read_value = self._known, self._read
        if memory is None or not memory.alive:
            memory = self._memory()
        return read(self.ctype, memory, 0) if read_value is None else read_value(memory, 0)

    @value.setter
    def value(self, value: Any) -> None:
        if self.readonly:
            raise ForeignMemoryError(f"{self!r} is const in C, and cannot be written")
        memory = self._known
        if memory is None or not memory.alive:
            memory = self._memory()
        try:
            if self._write is not None:
                self._write(memory, 0, value)
                return
            if self._read is None and isinstance(self.ctype, Array):
                read(self.ctype, memory, 0)[:] = value
            else:
                write(self.ctype, memory, 0, value)
        except ForeignError as error:
            if error.function is None:
                error.args = (f"{self!r}: {error.args[0]}",)
            raise
        if not self._keeps and _backend.kept_by(memory):
            _written.add(self.library)
            self._keeps = True

    @property
    def pointer(self) -> ForeignMemory:
        """A pointer to the variable, of one element; of an array, to all of its elements.  It ends when the library is
        closed."""
        memory, found = self._memory(), self.ctype
        element, count = (found.target, found.length) if isinstance(found, Array) else (found, 1)
        return ForeignMemory(element, count, memory.address, memory, self.readonly)

    def __reduce__(self) -> tuple:
        return (ForeignVariable, (self.name, self.library, self.ctype, self.readonly))

    def __repr__(self) -> str:
        declared = self.ctype.declare(f"const {self.name}" if self.readonly else self.name)
        return f"<foreign variable {declared} of {self.library!r}>"


def foreign_variable(name: str, library: Any, type: Any) -> ForeignVariable:
    """The variable ``name`` of a library, which is given by its name or as a ``Library``, as a value of ``type``.

    ``.value`` is read and assigned, ``.pointer`` points to it.  The symbol is looked up at the first use.  Raises
    ``ForeignTypeError`` for a type that no variable has: ``void``, a function, an array without a length.

    >>> environ = foreign_variable("environ", "libc", ("pointer", "string"))
    >>> "=" in deref(environ.value, type="string")
    True
    """
    from epsilon.libraries import library_for

    symbol = word_of(name)
    if not symbol:
        raise ForeignTypeError(f"a variable's name is a str, not {name!r}")
    found = ctype(type)
    check_variable(symbol, found)
    return ForeignVariable(symbol, library_for(library), found)


def check_variable(name: str, found: CType) -> None:
    """Refuse a type that no variable can have."""
    if found.size is None:
        raise ForeignTypeError(f"variable {name!r}: a value of type {found.spelling} has no size that is known")
    if found.only_parameter:
        raise ForeignTypeError(f"variable {name!r}: {found.only_parameter}")


def end_variables(library: Library) -> None:
    """End the memory of the variables of a library that is being closed."""
    _written.discard(library)
    for key, memory in list(library._variables.items()):
        _backend.end(memory, caller(3))
        library._variables.pop(key, None)
