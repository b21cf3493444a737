"""The option ``header`` of one function: its declaration is held against a header where it is compiled, or bound."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from epsilon import compiler
from epsilon.errors import CompilerError, ForeignTypeError, HeaderError, shorten
from epsilon.expressions import word_of
from epsilon.headers.checking import Finding, Known, check_function
from epsilon.headers.fact_types import FactTypes
from epsilon.headers.sources import Function
from epsilon.typesystem import FunctionType


def hold(
    symbols: Sequence[str],
    type: FunctionType,
    names: Sequence[str | None],
    header: Any,
    spots: Mapping[Any, Any],
    warn: Callable[[str], None],
) -> list[Finding]:
    """What differs between a function of this type and the header's; ``spots`` are what the findings point at.

    Where there is no compiler to read the header with, and it was not read before, ``warn`` is told so.
    """
    given = [header] if word_of(header) is not None or isinstance(header, os.PathLike) else header
    headers = tuple(word_of(each) or each for each in given) if isinstance(given, Sequence) else ()
    if not headers or not all(isinstance(each, (str, os.PathLike)) for each in headers):
        raise ForeignTypeError(f"{symbols[0]}: header is a name such as 'string.h', or several, not {shorten(header)}")
    try:
        known = _known(headers, os.environ.get("CC"))
    except CompilerError:
        if compiler.is_there():
            raise
        listed = ", ".join(map(str, headers))
        why = "there is no C compiler, and the header was not read before"
        warn(f"{symbols[0]} was not checked against {listed}: {why}")
        return []
    found = Function(symbols[0], tuple(symbols), "", type, tuple(names), spots.get("whole"), dict(spots), headers)
    return [finding for finding in check_function(found, known, covered=True) if not finding.is_note]


@functools.lru_cache(maxsize=64)
def _known(headers: tuple, _compiler: str | None) -> Known:
    from epsilon.headers.importing import facts_for

    return Known(FactTypes(facts_for(list(headers), {})), tuple(map(str, headers)))


def hold_bound(symbols: Sequence[str], signature: Any, names: Sequence[str | None], header: Any) -> None:
    """``bind(…, header=…)``: ``HeaderError`` with all differences."""
    type = FunctionType(signature.result, signature.parameters, signature.variadic, signature.abi)

    def warn(message: str) -> None:
        warnings.warn(message, stacklevel=_outside())

    findings = hold(symbols, type, names, header, {}, warn)
    if findings:
        raise HeaderError("; ".join(f"{finding.name}: {finding.message}" for finding in findings), function=symbols[0])


def _outside() -> int:
    """How many frames lie between the warning and the code that is not Epsilon's."""
    import sys

    frame, depth = sys._getframe(1), 1
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] == "epsilon":
        frame, depth = frame.f_back, depth + 1
    return depth
