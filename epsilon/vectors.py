"""``vectorize``: NumPy ufuncs of C functions; the loops are the shim's (``c/vectorize.c``)."""

from __future__ import annotations

from operator import index
from typing import Any

from epsilon import _backend
from epsilon.errors import ForeignTypeError, shorten
from epsilon.typesystem import Boolean, CType, Direction, Integer, Real

#: code → the dtype of the same numbers; long double and complex numbers are not in it
_DTYPES = {
    "?": "bool", "b": "int8", "c": "int8", "B": "uint8", "C": "uint8", "h": "int16", "H": "uint16", "i": "int32",
    "I": "uint32", "q": "int64", "Q": "uint64", "f": "float32", "d": "float64",
}  # fmt: skip
_MOST_THREADS = 256
_MOST_ARGUMENTS = 16


def vectorize(function: Any, *, threads: int = 1) -> Any:
    """A true NumPy ufunc of a C function: its inner loop calls C for each element, with the GIL released.

    Parameters and result are numbers, which have the dtypes of their C types; values of ``:out`` parameters are further
    outputs.  What NumPy's own ufuncs do, this one does: broadcasting, ``out``, ``where``, casting, and for two
    parameters and a result of one type ``reduce``, ``accumulate``, ``outer``.  The elements are computed in no fixed
    order.  With ``threads``, so many share an array, each at least 16,384 elements of it; the function must allow that,
    and an exception of a callback on another thread goes to ``sys.unraisablehook``.  The GIL is released for a
    ``:critical`` function, too.

    Raises ``ForeignTypeError`` for what is no foreign function, has parameters that are no numbers, or options that
    judge single calls (a check, ``errno``, ``retry``), and without the shim; ``ImportError`` without NumPy.

    >>> import epsilon
    >>> fmax = epsilon.vectorize(epsilon.lib_open("libm").bind("double fmax(double x, double y)"))
    >>> fmax([1, 8, 27], 5).tolist(), float(fmax.reduce([1, 8, 27]))
    ([5.0, 8.0, 27.0], 27.0)
    """
    if not isinstance(function, _backend.Function):
        raise ForeignTypeError(f"vectorize: got {shorten(function)} ({type(function).__name__}), wanted a foreign "
                               "function; numpy.vectorize is for Python's")  # fmt: skip
    declaration = function.declaration
    if not hasattr(type(threads), "__index__") or not 1 <= index(threads) <= _MOST_THREADS:
        raise ForeignTypeError(f"vectorize: threads is a number from 1 to {_MOST_THREADS}, not {shorten(threads)}")
    inputs, outputs, slots = _arguments(declaration)
    if _backend.shim is None:
        raise ForeignTypeError(f"vectorize: {declaration.symbol}: ufuncs need the shim: {_backend.why_no_shim}")
    numpy, table = _numpy()
    numbers = [numpy.dtype(_DTYPES[found.code]).num for found in (*inputs, *outputs)]
    return _backend.shim.vectorize(
        table, function, bytes(slots), len(inputs), len(outputs), declaration.signature.result.code != "v",
        bytes(numbers), index(threads), declaration.__name__.encode(), (declaration.__doc__ or "").encode(),
    )  # fmt: skip


def _arguments(declaration: Any) -> tuple[list[CType], list[CType], list[int]]:
    """The types of the inputs and of the outputs, and of each C parameter the place among both."""
    signature, symbol = declaration.signature, declaration.symbol
    if signature.variadic:
        raise ForeignTypeError(f"vectorize: {declaration} is variadic; bind it with the parameters that you pass")
    for option in ("check", "errno", "retry"):
        if getattr(declaration, option):
            raise ForeignTypeError(f"vectorize: {symbol}() was bound with {option}, which is a matter of single calls; "
                                   "bind it without")  # fmt: skip
    inputs = [found for found in signature.parameters if not _is_output(found)]
    outputs = [found.target for found in signature.parameters if _is_output(found)]
    if signature.result.code != "v":
        outputs.insert(0, signature.result)
        _check(f"{symbol}(): the result", signature.result)
    slots, given, written = [], 0, len(inputs) + (signature.result.code != "v")
    for place, found in enumerate(signature.parameters):
        name = declaration.names[place]
        what = f"{symbol}(): parameter {place + 1}" + (f" {name!r}" if name else "")
        _check(what, found.target if _is_output(found) else found)
        slots.append(written if _is_output(found) else given)
        written += _is_output(found)
        given += not _is_output(found)
    if not inputs or not outputs:
        raise ForeignTypeError(f"vectorize: {declaration}: a ufunc has at least one input and one output")
    if len(inputs) + len(outputs) > _MOST_ARGUMENTS:
        raise ForeignTypeError(
            f"vectorize: {declaration}: a ufunc has at most {_MOST_ARGUMENTS} inputs and outputs here"
        )
    return inputs, outputs, slots


def _is_output(found: CType) -> bool:
    return isinstance(found, Direction) and found.way == "out"


def _check(what: str, found: CType) -> None:
    if not isinstance(found, (Integer, Boolean, Real)) or found.code not in _DTYPES:
        raise ForeignTypeError(f"vectorize: {what} ({found.spelling.strip()}) is no number that a ufunc takes: an "
                               "integer, a bool, a float or a double")  # fmt: skip


def _numpy() -> tuple[Any, Any]:
    """NumPy, and the table of its C functions for ufuncs."""
    try:
        import numpy
    except ImportError as error:
        raise ImportError("vectorize needs NumPy, which is not here: pip install 'epsilon-ffi[numpy]'") from error
    try:
        from numpy._core import _multiarray_umath as core
    except ImportError:  # before NumPy 2
        from numpy.core import _multiarray_umath as core
    return numpy, core._UFUNC_API
