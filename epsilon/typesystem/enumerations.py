"""Enums and flags: integers that Python knows by the names of their constants."""

from __future__ import annotations

from _collections_abc import Iterable, Set  # collections.abc, without all of collections

from epsilon.errors import ForeignError, ForeignValueError, nearest, shorten
from epsilon.typesystem.base import CType
from epsilon.typesystem.converted import Converted
from epsilon.typesystem.words import WORDS

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from typing import Any


def underlying(values: Iterable[int]) -> CType | None:
    """The integer type of an enum with these values; None where no type holds them all.

    C11 §6.7.2.2 leaves it to the compiler.  GCC and Clang: unsigned int where no constant is negative, else int; wider
    where a constant asks for it.
    """
    low, high = min(values), max(values)
    words = ("int", "long-long") if low < 0 else ("unsigned-int", "unsigned-long-long")
    return next((WORDS[word] for word in words if WORDS[word].low <= low and high <= WORDS[word].high), None)


def constant_name(value: Any) -> str | None:
    """The C name that a str, or Hy's keyword or symbol, means; None for anything else."""
    if not isinstance(value, str):
        if type(value).__name__ != "Keyword":
            return None
        value = getattr(value, "name", "")
    return value.lstrip(":'").replace("-", "_")


class EnumValue(str):
    """A constant that C gave: the name that was declared, which is equal to its ``.value``, the int, too.

    It hashes as its name, and is no member of a set of ints.
    """

    __slots__ = ("value",)
    value: int

    def __new__(cls, name: str, value: int) -> EnumValue:
        self = super().__new__(cls, name)
        self.value = value
        return self

    def __int__(self) -> int:
        return self.value

    __index__ = __int__

    def __eq__(self, other: object) -> Any:
        if isinstance(other, str):
            return str.__eq__(self, other)
        if isinstance(other, int):
            return self.value == other
        if type(other).__name__ == "Keyword":
            return constant_name(self) == constant_name(other)
        return NotImplemented

    def __ne__(self, other: object) -> Any:
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    __hash__ = str.__hash__

    def __reduce__(self) -> tuple:
        return (EnumValue, (str(self), self.value))


class FlagsValue(frozenset):
    """The flags that C gave: the set of their names, and of what has no name one int; ``.value`` is the whole int.

    It is equal to that int and to a set of names that means it.
    """

    __slots__ = ("_flags", "value")
    value: int

    def __new__(cls, flags: Enumeration, value: int) -> FlagsValue:
        self = super().__new__(cls, flags.parts(value))
        self._flags, self.value = flags, value
        return self

    def __int__(self) -> int:
        return self.value

    __index__ = __int__

    def __contains__(self, item: object) -> bool:
        name = constant_name(item)
        return frozenset.__contains__(self, item if name is None else self._flags.declared.get(name, item))

    def __eq__(self, other: object) -> Any:
        if isinstance(other, FlagsValue) and other._flags is not self._flags:
            return frozenset.__eq__(self, other)
        if isinstance(other, int):
            return self.value == other
        if isinstance(other, Set):
            try:
                return self._flags.convert(other) == self.value
            except (ForeignError, TypeError):
                return False
        return NotImplemented

    def __ne__(self, other: object) -> Any:
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    __hash__ = frozenset.__hash__

    def __reduce__(self) -> tuple:
        return (FlagsValue, (self._flags, self.value))

    def __repr__(self) -> str:
        parts = self._flags.parts(self.value)
        return f"<{self._flags.tag} {' | '.join(map(str, parts)) or 0}>"


class _ByNumber(dict):
    """number → name; a number without one stands for itself."""

    def __missing__(self, number: int) -> int:
        return number


class Enumeration(Converted):
    """The type of an enum, or of flags: an integer type with constants.  Equal definitions are one type."""

    __slots__ = ("by_number", "constants", "declared", "flags", "numbers", "tag")

    def setup(self, tag: str, constants: tuple[tuple[str, int], ...], base: CType, flags: bool) -> None:
        self.tag, self.constants, self.flags = tag, constants, flags
        self.numbers = {constant_name(name): number for name, number in constants}
        self.declared = {constant_name(name): name for name, _ in constants}
        self.by_number = _ByNumber()
        for name, number in constants:  # of several names of one value, the first
            self.by_number.setdefault(number, EnumValue(name, number))
        self.adopt(base)

    @property
    def kind(self) -> str:
        return "flags" if self.flags else "enum"

    @property
    def is_plain(self) -> bool:
        """Whether C's own ``enum tag { … }`` has this type."""
        return self.base is underlying(self.numbers.values())

    def declare(self, inner: str = "") -> str:
        return f"enum {self.tag} {inner}" if self.is_plain else self.base.declare(inner)

    def expression(self, spell: Any) -> Any:
        return [self.kind, self.tag, {"constants": list(map(list, self.constants)), "type": spell(self.base)}]

    def definition(self) -> str:
        """The C definition of the enum."""
        constants = ", ".join(f"{name} = {number}" for name, number in self.numbers.items())
        return f"enum {self.tag} {{ {constants} }};"

    @property
    def wants(self) -> str:  # type: ignore[override]
        names = [name for name, _ in self.constants]
        listed = ", ".join(names[:8]) + ", …" * (len(names) > 8)
        several = ", an iterable of names" if self.flags else ""
        return f"the name of a constant of {self.tag} ({listed}){several} or an int"

    def make_converter(self) -> Any:
        # ``dict.__getitem__`` looks the name up without a Python frame
        return self.converter_over(self.base, self.adapt, self.restore if self.flags else self.by_number.__getitem__)

    def convert(self, value: Any) -> int:
        name = constant_name(value)
        if name is not None:
            if name in self.numbers:
                return self.numbers[name]
            raise ForeignValueError(f"got {shorten(value)}, which is no constant of {self.tag}"
                                    f"{nearest(name, self.numbers)}; wanted {self.wants}")  # fmt: skip
        if isinstance(value, FlagsValue) and value._flags is self:
            return value.value
        if self.flags and isinstance(value, Iterable) and not isinstance(value, (bytes, bytearray, memoryview)):
            whole = 0
            for part in value:
                whole |= self.convert(part)
            return whole
        if not hasattr(type(value), "__index__") or isinstance(value, Set):
            raise self.refusal(value)
        return self.base.convert(value)

    def restore(self, value: Any) -> Any:
        return FlagsValue(self, value) if self.flags else self.by_number[value]

    def parts(self, value: int) -> list[Any]:
        """The names of the flags in ``value``, as they were declared, and what is left as one int.

        A constant of one bit is there where its bit is; one of several bits only where it names what no other names.
        """
        single, several = [], []
        for number, name in self.by_number.items():
            if number and number & value == number:
                (several if number & (number - 1) else single).append((number, name))
        names, left = set(), value
        for number, name in single:
            names.add(name)
            left &= ~number
        for number, name in sorted(several, key=lambda pair: -pair[0].bit_count()):
            if number & left:
                names.add(name)
                left &= ~number
        parts: list[Any] = [str(name) for name in self.by_number.values() if name in names]
        return [*parts, left] if left else parts
