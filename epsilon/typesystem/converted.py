"""The types whose values are converted on their way to another type of C's: objects, enums and flags, users' own.

To C such a type *is* the other one, its ``representation``: same size, same registers.  Its converter stands before the
other's: ``adapt`` makes the value that the base takes, ``restore`` what the base gave into the user's value.  A type
that is none of these has nothing of this on its way.
"""

from __future__ import annotations

import itertools

from epsilon import _backend
from epsilon.errors import ForeignTypeError
from epsilon.typesystem.base import CType, find_converter, has_converters
from epsilon.typesystem.derived import Array, Direction
from epsilon.typesystem.handles import enter, leave
from epsilon.typesystem.pointers import OwnedPointer, PointerLike
from epsilon.typesystem.scalars import Integer

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Converted(CType):
    """A type of C's, ``base``, whose values are converted."""

    __slots__ = ("base",)
    #: whether it is an enum that C declares as ``enum tag``
    is_plain = False

    def adopt(self, base: CType) -> None:
        """Take the base's layout; for ``setup``."""
        self.base = base
        self.size, self.alignment, self.code = base.size, base.alignment, "x"

    @property
    def representation(self) -> CType:
        return self.base.representation

    def declare(self, inner: str = "") -> str:
        return self.base.declare(inner)

    def make_backend(self) -> Any:
        return self.base.backend

    def expression(self, spell: Callable[[CType], Any]) -> Any:
        """The type expression; ``spell`` gives the base's."""
        raise TypeError("Converted is abstract")

    def make_converter(self) -> Any:
        return self.converter_over(self.base, self.adapt, self.restore)

    def converter_over(self, base: CType, to: Callable[[Any], Any], back: Callable[[Any], Any]) -> Any:
        """Floor 0's converter: ``to`` and then the base's on the way to C, the base's and then ``back`` on the way
        from it."""
        inner = base.converter
        return _backend.Converter(
            self, "x", self.size, self.alignment, inner.pointer_type, inner=inner, to=to, back=back,
            owned=getattr(self, "free", None) is not None,
        )  # fmt: skip


class Object(PointerLike):
    """``:object``: any Python object, of which C gets a handle (``handles.py``)."""

    __slots__ = ()
    wants = "any object"

    def setup(self) -> None:
        super().setup()
        self.code = "x"

    def declare(self, inner: str = "") -> str:
        return f"void *{inner}"

    def make_converter(self) -> Any:
        number = Integer("uintptr_t", "uintptr_t").converter
        return _backend.Converter(
            self, "x", self.size, self.alignment, self.backend, inner=number, to=self.adapt, back=leave
        )

    def adapt(self, value: Any) -> Any:
        return super().adapt(value) if has_converters(self) else enter(value)

    def convert(self, value: Any) -> int:
        return enter(value)

    def restore(self, value: Any) -> Any:
        return leave(value)


_serials = itertools.count(1)


class UserType(Converted):
    """What ``define_foreign_type`` defines: a base type, a function before it and one behind it.

    Each definition is a type of its own, as a struct's is.
    """

    __slots__ = ("from_foreign", "name", "serial", "to_foreign")

    def __new__(cls, name: str, base: CType, to: Any, back: Any) -> CType:
        self = super().__new__(cls, name, base, next(_serials))
        self.to_foreign, self.from_foreign = to, back
        return self

    def setup(self, name: str, base: CType, serial: int) -> None:
        if isinstance(base, (Array, Direction)):
            raise ForeignTypeError(
                f"foreign type {name}: its base is the type of one value, not {base.spelling}; "
                f"an array of {name} or an (:in {name}) is made of the type that this defines"
            )
        if isinstance(base, OwnedPointer):
            raise ForeignTypeError(f"foreign type {name}: the memory that a pointer with :free gives back is its own "
                                   "value; give the :free in the function's declaration")  # fmt: skip
        if base.size is None:
            raise ForeignTypeError(f"foreign type {name}: a value of type {base.spelling} has no size that is known")
        self.name, self.serial = name, serial
        self.adopt(base)

    @property
    def is_pointer(self) -> bool:  # type: ignore[override]
        return self.base.is_pointer

    @property
    def only_parameter(self) -> str:  # type: ignore[override]
        return self.base.only_parameter

    @property
    def wants(self) -> str:  # type: ignore[override]
        return self.base.wants

    @property
    def free(self) -> Any:
        """What frees a text that comes back, or None."""
        return getattr(self.base, "free", None)

    def make_converter(self) -> Any:
        # Floor 0 keeps few objects for each parameter, so that a type over a type over a type is one step to it.
        base = self.base
        while isinstance(base, UserType):
            base = base.base
        return self.converter_over(base, self.to_base, self.from_base)

    def to_base(self, value: Any) -> Any:
        """The value that the first type that is no user's takes."""
        registered = find_converter(self, type(value))
        if registered is not None:
            value = registered(value)
        elif self.to_foreign is not None:
            value = self.to_foreign(value)
        return self.base.to_base(value) if isinstance(self.base, UserType) else value

    def from_base(self, value: Any) -> Any:
        """The way back of :meth:`to_base`."""
        if isinstance(self.base, UserType):
            value = self.base.from_base(value)
        return value if self.from_foreign is None else self.from_foreign(value)

    def adapt(self, value: Any) -> Any:
        first: CType = self
        value = self.to_base(value)
        while isinstance(first, UserType):
            first = first.base
        return first.adapt(value)

    def restore(self, value: Any) -> Any:
        value = self.base.restore(value)
        return value if self.from_foreign is None else self.from_foreign(value)

    def expression(self, spell: Callable[[CType], Any]) -> Any:
        return self.name

    def __repr__(self) -> str:
        return f"<CType {self.name}: {self.spelling!r}>"

    def __reduce__(self):
        from epsilon.expressions import ctype

        return (ctype, (self.name,))

