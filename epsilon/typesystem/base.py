"""What all C types share: interning, the way to cffi and to floor 0, and the converters that users register."""

from __future__ import annotations

import _cffi_backend as cffi

from epsilon import _backend
from epsilon.errors import ForeignTypeError, shorten

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

CData = cffi._CDataBase
_VOID = cffi.new_void_type()
VOID_POINTER = cffi.new_pointer_type(_VOID)

_interned: dict[tuple, CType] = {}


class CType:
    """One C type.  Make them with ``epsilon.ctype``; compare them with ``is``.

    ``code`` is floor 0's one-letter name of the conversion, ``size`` and ``alignment`` are in bytes (``None`` for a
    type that has no values, such as ``void``).
    """

    __slots__ = ("__weakref__", "_backend", "_converter", "alignment", "code", "key", "size")
    is_pointer = False
    #: an array's or a function's declarator takes precedence over a pointer's: ``int (*p)[3]``
    binds_tighter = False
    #: why there can be no memory of this type, or an empty str
    only_parameter = ""
    #: whether it stands for a type that is not known yet
    only_run_time = False
    #: what a user may pass, for error texts
    wants = "a value"

    def __new__(cls, *args: object) -> CType:
        key = (cls, *args)
        try:
            return _interned[key]
        except KeyError:
            self = super().__new__(cls)
            self.key = key
            self._backend = self._converter = None
            self.setup(*args)
            return _interned.setdefault(key, self)

    def setup(self, *args: Any) -> None:
        raise TypeError("CType is abstract: use epsilon.ctype(…)")

    def declare(self, inner: str = "") -> str:
        """The C declaration of ``inner`` (a name, or a declarator such as ``*p``) with this type."""
        raise TypeError("CType is abstract")

    def make_backend(self) -> Any:
        raise TypeError("CType is abstract")

    def make_converter(self) -> Any:
        return _backend.Converter(self, self.code, self.size or 0, self.alignment or 1, self.backend)

    def convert(self, value: Any) -> Any:
        """A plain value of this type for ``value``; raises a ``ForeignError`` without context.  See :meth:`adapt`."""
        raise self.refusal(value)

    @property
    def backend(self) -> Any:
        """The cffi type."""
        if self._backend is None:
            self._backend = self.make_backend()
        return self._backend

    @property
    def converter(self) -> Any:
        """Floor 0's converter for this type."""
        if self._converter is None:
            self._converter = self.make_converter()
        return self._converter

    @property
    def representation(self) -> CType:
        """The type that C has for it: itself, unless its values are converted on their way to another type."""
        return self

    def restore(self, value: Any) -> Any:
        """What this type gives back for a plain value: the way back of :meth:`adapt`."""
        return value

    @property
    def spelling(self) -> str:
        """The C text of the type alone."""
        return self.declare().rstrip()

    def adapt(self, value: Any) -> Any:
        """The plain value that floor 0 understands for ``value``: through a registered converter, or ``convert``."""
        found = find_converter(self, type(value))
        return self.convert(found(value)) if found else self.convert(value)

    def taken(self, take: Callable[[Any], Any], value: Any) -> Any:
        """``take(value)``, where ``take`` is ``index``, ``float`` …; what it refuses is refused here."""
        try:
            return take(value)
        except TypeError as error:
            raise self.refusal(value) from error

    def refusal(self, value: object, why: str = "") -> ForeignTypeError:
        return ForeignTypeError(f"got {shorten(value)} ({type(value).__name__}), wanted {why or self.wants}")

    def __repr__(self) -> str:
        return f"<CType {self.spelling!r}>"

    def __reduce__(self):
        return (self.key[0], self.key[1:])

    def __copy__(self) -> CType:
        return self

    def __deepcopy__(self, memo: object) -> CType:
        return self


# --- names that users give ------------------------------------------------------------------------------------------

#: C name → type: aliases, opaque structs, enums, flags and foreign types, as they were defined last.  C's own names are
#: in ``TYPEDEFS``, and mean the same for ever.
NAMED: dict[str, CType] = {}
#: tag → the newest definition of an enum, or of flags
ENUMS: dict[str, Any] = {}


#: cffi type → the struct or union that it stands for
BY_BACKEND: dict[Any, Any] = {}


class TypeObject:
    """An object that stands for its ``ctype`` wherever a type is wanted, as a struct's class does."""

    __slots__ = ()
    ctype: CType


# --- converters that users add --------------------------------------------------------------------------------------

#: C type → Python class → converter
registered: dict[CType, dict[type, Callable[[Any], Any]]] = {}


def find_converter(ctype: CType, python_type: type) -> Callable[[Any], Any] | None:
    """The converter registered for ``python_type`` or the nearest of its bases, or None."""
    table = registered.get(ctype)
    if table:
        for base in python_type.__mro__:
            if base in table:
                return table[base]
    return None


#: whether any converter is registered for a type
has_converters = registered.__contains__


def register_converter(ctype: CType, python_type: type, function: Callable[[Any], Any]) -> None:
    registered.setdefault(ctype, {})[python_type] = function
