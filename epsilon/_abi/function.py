"""Function without the shim: a trampoline, an address, and what the declaration asked for."""

from __future__ import annotations

import _cffi_backend as cffi

from epsilon._abi.call import Trampoline
from epsilon._abi.guarded import Cell, CodePointer, Record, hooks, needs_shim

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_CHECKS: dict[str, Callable[[Any], bool]] = {
    "nonnegative": lambda sign: sign >= 0,
    "positive": lambda sign: sign > 0,
    "nonzero": lambda sign: sign != 0,
    "zero": lambda sign: sign == 0,
    "non-null": lambda sign: sign != 0,
}


class Function(CodePointer):
    """A C function that Python can call."""

    __slots__ = (
        "__dict__", "__weakref__", "_address", "_asks", "_cell", "_declaration", "_errno", "_options", "_pointer",
        "_raises", "_retry", "_sign", "_trampoline",
    )  # fmt: skip

    def __init__(
        self,
        trampoline: Trampoline,
        declaration: Any,
        cell: Cell | None = None,
        address: int | None = None,
        critical: bool = False,
        errno: bool = False,
        check: Any = None,
        raises: bool = True,
        retry: tuple[int, ...] | None = None,
    ):
        if not isinstance(trampoline, Trampoline):
            raise TypeError("trampoline is a Trampoline")
        if cell is not None and not isinstance(cell, Cell):
            raise TypeError("cell is a Cell or None")
        if critical:
            raise needs_shim(f"{declaration}: :critical")
        self._trampoline, self._declaration, self._cell = trampoline, declaration, cell
        self._errno, self._retry = bool(errno or retry), retry
        # the two kinds of check: a word asks for the sign of C's value, a callable is asked about Python's
        self._sign, self._asks = (_CHECKS.get(check), None) if isinstance(check, str) else (None, check)
        self._raises = raises and (self._sign is not None or self._asks is not None)
        self._options = self._errno or self._raises
        self._address = self._pointer = None
        if address:
            self._settle(address)

    def _settle(self, address: int) -> None:
        self._pointer = cffi.cast(self._trampoline.pointer, address)
        self._address = address

    def _code(self) -> int:
        if self._cell is not None and self._cell.closed:
            return self._closed()
        if self._address is None:
            address = self._declaration.resolve()
            if not address:
                raise SystemError("a symbol resolved to NULL")
            self._settle(address)
        return self._address

    def _closed(self) -> Any:
        hooks.library_closed(self._declaration)
        raise SystemError("the hook for a closed library did not raise")

    def _passes(self, raw: Any, value: Any) -> bool:
        """Whether the result passes the check."""
        if self._asks is not None:
            return self._asks(value)
        if self._sign is None:
            return True
        if isinstance(raw, (int, float)):
            return self._sign(raw if raw == raw else -1)
        return self._sign(bool(raw))  # a pointer

    def _tries_again(self, errno: int, attempt: int) -> bool:
        """Whether a call that failed is made once more."""
        if errno not in self._retry[1:] or attempt == self._retry[0]:
            return False
        hooks.retrying(self._declaration)
        return True

    def _failed(self, value: Any, arguments: tuple, record: Record) -> Any:
        """The result failed the check: raises, or gives what the declaration has for that case."""
        return hooks.check_failed(self._declaration, value, record.errno if self._errno else None, arguments)

    def __call__(self, /, *arguments: Any, **keywords: Any) -> Any:
        trampoline = self._trampoline
        if len(arguments) != trampoline.taken or keywords:
            if trampoline.variadic and len(arguments) > trampoline.taken and not keywords:
                function, values, _ = hooks.tail(self._declaration, arguments)
                return function(*values)
            return self(*hooks.arguments(self._declaration, arguments, keywords or None))
        cell = self._cell
        if self._pointer is None or (cell is not None and cell._closed):
            self._code()
        return trampoline.invoke(self._pointer, self, self._declaration, arguments)

    @property
    def trampoline(self) -> Trampoline:
        """The trampoline of its signature."""
        return self._trampoline

    @property
    def declaration(self) -> Any:
        """What was declared."""
        return self._declaration

    @property
    def address(self) -> int:
        """The address that a call jumps to."""
        return self._code()

    @property
    def strategy(self) -> str:
        """How it is called."""
        return self._trampoline.strategy

    @property
    def __doc__(self) -> str:
        return self._declaration.__doc__

    def __getattr__(self, name: str) -> Any:
        """What the declaration knows (its name, signature, library …) reads as an attribute of the function."""
        return getattr(object.__getattribute__(self, "_declaration"), name)

    def __repr__(self) -> str:
        return str(self._declaration)

    def __reduce__(self) -> Any:
        return self._declaration.reduce()
