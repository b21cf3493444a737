"""Enums and flags by name: ``define_c_enum`` and ``define_c_flags``, and the objects that they make.

What crosses is ``typesystem/enumerations.py``'s: a name goes to C as its number, and comes back as the name.
"""

from __future__ import annotations

from _collections_abc import Mapping, Sequence  # collections.abc, without all of collections

from epsilon.errors import ForeignTypeError, nearest, shorten
from epsilon.expressions import ctype
from epsilon.typesystem import ENUMS, NAMED, TypeObject
from epsilon.typesystem.enumerations import Enumeration, constant_name, underlying
from epsilon.usertypes import new_name

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


class EnumType(TypeObject, Mapping):
    """An enum, as ``define_c_enum`` makes it: a type, and the read-only mapping of its constants to their values.

    A constant is an attribute too, unless the mapping has a method of that name.

    >>> color = define_c_enum("color", ["red", "green", ("blue", 7)])
    >>> dict(color), color.blue, color["blue"], color.size
    ({'red': 0, 'green': 1, 'blue': 7}, 7, 7, 4)
    """

    __slots__ = ("__weakref__", "ctype")

    def __init__(self, found: Enumeration):
        self.ctype = found

    @property
    def name(self) -> str:
        """The tag."""
        return self.ctype.tag

    @property
    def size(self) -> int:
        """Bytes."""
        return self.ctype.size

    def __getitem__(self, name: Any) -> int:
        return self.ctype.numbers[constant_name(name)]

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in self.ctype.constants])

    def __len__(self) -> int:
        return len(self.ctype.constants)

    def __contains__(self, name: object) -> bool:
        return constant_name(name) in self.ctype.numbers

    def __getattr__(self, name: str) -> int:
        if name != "ctype":  # of an instance that is not made yet
            numbers = self.ctype.numbers
            if name in numbers:
                return numbers[name]
            raise AttributeError(f"{self!r} has no constant {name!r}{nearest(name, numbers)}")
        raise AttributeError(name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.ctype.numbers})

    def __hash__(self) -> int:
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple:
        return (type(self), (self.ctype,))

    def __repr__(self) -> str:
        constants = ", ".join(f"{name}={number}" for name, number in self.ctype.constants)
        return f"<{self.ctype.kind} {self.name}: {shorten(constants, 200)[1:-1]}>"


class FlagsType(EnumType):
    """Flags, as ``define_c_flags`` makes them: an :class:`EnumType` whose values are sets of names."""

    __slots__ = ()


def define_c_enum(name: Any, constants: Any, type: Any = None) -> EnumType:
    """Define ``enum name``, whose values cross by name; returns its type.

    ``constants`` are names, which count on from the last value as C's do, or ``(name, value)`` pairs, or a mapping.
    ``type`` is the integer type that C has for it; without one it is what GCC and Clang choose: ``unsigned int`` where
    nothing is negative, else ``int``, and wider where a value asks for it.

    To C goes a name, in either spelling (``dark-red``, ``dark_red``), or an int; an int that is no constant is taken,
    as C takes it.  From C comes the name, as a str that is equal to its int as well, and of a value without a name the
    int.

    Raises ``ForeignTypeError`` for a name that is there twice or is no C name, or a value that is no int of the type.

    >>> color = define_c_enum("color", ["red", "green", ("blue", 7)])
    >>> colors = foreign_alloc(color, initial=["green", "blue", 5])
    >>> list(colors), int(colors[1])
    (['green', 'blue', 5], 7)
    >>> colors[0] = "grene"
    Traceback (most recent call last):
    ...
    epsilon.errors.ForeignValueError: <...>: element 0: got 'grene', which is no constant of color; did you mean...
    """
    return _define(EnumType, name, constants, type)


def define_c_flags(name: Any, constants: Any, type: Any = None) -> FlagsType:
    """Define flags: an integer whose bits cross by name; returns its type.

    ``constants`` are ``(name, value)`` pairs or a mapping, ``type`` is as for ``define_c_enum``.  To C goes a name, an
    iterable of names and ints, or an int; from C comes a frozenset of names, which is equal to its int too.  Bits that
    have no name are in it as one int, and 0 is the empty set.

    >>> mode = define_c_flags("mode", {"read": 4, "write": 2, "execute": 1})
    >>> modes = foreign_alloc(mode, count=2, initial=[{"read", "execute"}, 0o17])
    >>> modes[0], modes[0] == {"execute", "read"}, int(modes[0])
    (<mode read | execute>, True, 5)
    >>> modes[1]
    <mode read | write | execute | 8>
    """
    return _define(FlagsType, name, constants, type)


def _define(kind: type, name: Any, constants: Any, type: Any) -> Any:
    tag = new_name(name)
    found = read_enumeration(kind is FlagsType, tag, constants, type)
    ENUMS[tag] = NAMED[tag] = found
    return kind(found)


def read_enumeration(flags: bool, tag: str, constants: Any, type: Any = None) -> Enumeration:
    """The type of an enum, or of flags, of these constants."""
    what = f"{'flags' if flags else 'enum'} {tag}"
    if isinstance(constants, Mapping):
        constants = list(constants.items())
    if not isinstance(constants, Sequence) or isinstance(constants, (str, bytes)) or not constants:
        raise ForeignTypeError(f"{what}: the constants are a list of names and (name, value) pairs, or a mapping; "
                               f"not {shorten(constants)}")  # fmt: skip
    pairs: dict[str, tuple[str, int]] = {}
    following = 0
    for entry in constants:
        name, number = _constant(what, entry, following)
        if flags and not _is_pair(entry):
            raise ForeignTypeError(f"{what}: {name!r} has no value; flags are (name, value) pairs")
        c_name = constant_name(name)
        if not c_name.isidentifier():
            raise ForeignTypeError(f"{what}: {shorten(name)} is no C name")
        if c_name in pairs:
            raise ForeignTypeError(f"{what}: {name!r} is there twice")
        pairs[c_name] = (name, number)
        following = number + 1
    numbers = [number for _, number in pairs.values()]
    base = underlying(numbers) if type is None else ctype(type)
    if base is None:
        raise ForeignTypeError(f"{what}: no integer type holds all its constants")
    if not hasattr(base, "low"):
        raise ForeignTypeError(f"{what}: its type is an integer type, not {base.spelling}")
    for name, number in pairs.values():
        if not base.low <= number <= base.high:
            raise ForeignTypeError(f"{what}: {name} = {number} is outside {base.spelling}")
    return Enumeration(tag, tuple(pairs.values()), base, flags)


def _is_pair(entry: Any) -> bool:
    return isinstance(entry, Sequence) and not isinstance(entry, (str, bytes)) and len(entry) == 2


def _constant(what: str, entry: Any, following: int) -> tuple[str, int]:
    """The name, as it is written, and the value of one constant."""
    name, number = entry if _is_pair(entry) else (entry, following)
    if constant_name(name) is None or not hasattr(number, "__index__") or isinstance(number, str):
        raise ForeignTypeError(f"{what}: a constant is a name or (name, value), not {shorten(entry)}")
    written = str(name) if isinstance(name, str) else name.name
    return written.lstrip(":'"), number.__index__()
