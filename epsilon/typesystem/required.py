"""Pointers that C must not get as NULL: parameters that a header marks ``nonnull``."""

from __future__ import annotations

from epsilon import _backend
from epsilon.errors import ForeignTypeError, shorten
from epsilon.typesystem.base import CData, CType
from epsilon.typesystem.pointers import PointerLike

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from typing import Any


class Required(PointerLike):
    """A parameter of the pointer type ``base`` that refuses ``None`` and NULL; all else is the base's."""

    __slots__ = ("base",)
    only_parameter = "nonnull says what may be passed; in memory it is a plain pointer"

    def setup(self, base: CType) -> None:
        super().setup()
        self.base, self.code = base, base.code

    @property
    def representation(self) -> CType:
        return self.base.representation

    @property
    def target(self) -> CType:
        """What it points to."""
        return self.base.target  # type: ignore[attr-defined]

    @property
    def wants(self) -> str:  # type: ignore[override]
        return self.base.wants.removeprefix("None, ").replace(", None", "")

    def declare(self, inner: str = "") -> str:
        return self.base.declare(inner)

    def make_backend(self) -> Any:
        return self.base.backend

    def make_converter(self) -> Any:
        base = self.base.converter
        if self.code == "x":
            return _backend.Converter(
                self, "x", self.size, self.alignment, self.backend, inner=base, to=self.refuse_null
            )
        const = getattr(self.base, "const", False)
        return _backend.Converter(
            self, self.code, self.size, self.alignment, self.backend, raw=const, required=True
        )  # fmt: skip

    def refuse_null(self, value: Any) -> Any:
        """The value, for the base's converter."""
        if value is None or (isinstance(value, CData) and not value):
            raise ForeignTypeError(
                f"got {shorten(value)}, and C declares that this pointer is never NULL (nonnull); wanted {self.wants}"
            )
        return value

    def adapt(self, value: Any) -> Any:
        return self.refuse_null(self.base.adapt(self.refuse_null(value)))
