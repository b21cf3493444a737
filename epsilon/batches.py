"""Batches: several foreign calls in one crossing, and results of earlier calls as arguments of later ones.

Floor 0's ``Batch`` makes the calls.  Here is what it must not know: how a user writes them, whether a result fits the
parameter that it goes to, and what an error says of the call that it came from.
"""

from __future__ import annotations

from operator import index

from epsilon import _backend
from epsilon.errors import ForeignError, ForeignTypeError, shorten
from epsilon.functions import arrange
from epsilon.typesystem import Boolean, CType, Direction, Integer, Pointer, Real, String, array_of

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any


#: the checks that compiled code makes, with their numbers in floor 0 (CHECK_NONNEGATIVE …, shim.h)
_CHECKS = {"nonnegative": 1, "positive": 2, "nonzero": 3, "non-null": 3, "zero": 4}

#: the compiler's time grows faster than the batch: 32 calls take it up to a second, 1,000 minutes
_MOST_COMPILED = 32


class BatchResult:
    """Stands for the result of an earlier call of the same batch, by its index, which begins at 0.

    >>> BatchResult(0)
    BatchResult(0)
    """

    __slots__ = ("index",)

    def __init__(self, index_: int):
        self.index = index(index_)

    def __repr__(self) -> str:
        return f"BatchResult({self.index})"


def foreign_batch(calls: Iterable[Sequence[Any]]) -> Any:
    """A batch: a callable that makes ``calls`` in order, in one crossing, and gives the list of all their results.

    Each call is ``(function, argument, …)``.  An argument ``...`` is given when the batch is called, in the order of
    the calls; ``BatchResult(n)`` is the result of call ``n``; any other is always the same.  All arguments are
    converted before the first call, and the GIL is released once.  A batch is made once and called often.

    ``batch.compiled`` says whether C that was compiled for a batch of this shape makes the calls, since the first run;
    docs/batches.md says when.

    A call that fails stops the batch.  The error's ``index`` is the call's, from 0, and ``results`` are those of the
    calls before it; its text names the call.  ``ForeignTypeError`` is raised before anything is called if a result does
    not fit the parameter it goes to.

    >>> import epsilon
    >>> libc = epsilon.lib_open("libc")
    >>> strlen, c_abs = libc.bind("size_t strlen(const char *s)"), libc.bind("int abs(int n)")
    >>> both = foreign_batch([(strlen, ...), (c_abs, ...), (c_abs, BatchResult(1))])
    >>> both("four", -3)
    [4, 3, 3]
    """
    callables: list[Any] = []
    shape: list[tuple] = []
    for place, call in enumerate(calls):
        if not isinstance(call, (tuple, list)) or not call:
            raise ForeignTypeError(
                f"call {place + 1} of a batch: (function, argument, …) is wanted, not {shorten(call)}"
            )
        callables.append(call[0])
        shape.append(tuple(_source(place, argument) for argument in call[1:]))
    given = tuple(callables), tuple(shape)
    check_wiring(*given)
    return _backend.Batch(given[1], given[0])


def _source(place: int, argument: Any) -> Any:
    if argument is ...:
        return None
    if not isinstance(argument, BatchResult):
        return (argument,)
    if not 0 <= argument.index < place:
        raise ForeignTypeError(f"call {place + 1} of a batch: {argument!r} is no earlier call; the first is 0")
    return argument.index


def planned_batch(shape: tuple) -> Any:
    """What ``with-foreign-batch`` keeps for a form: a batch that is given its callables, too; see ``_runtime``."""
    return _backend.Batch(tuple(call[1:] for call in shape), tuple(call[0] for call in shape))


# --- what may be wired to what --------------------------------------------------------------------------------------


def plan(callables: tuple, shape: tuple, named: tuple) -> int:
    """Floor 0's hook, before it plans a batch: the address of its compiled code, or 0.

    ``named`` has None for each callable that is given with each run.  Raises as ``check_wiring``.
    """
    check_wiring(callables, shape)
    from epsilon import entries

    text = _shape(callables, shape, named)
    if not text:
        return 0
    entries.batches[text] = None
    try:
        return entries.address_of(text) if _backend.may_have_entries() else 0
    except (ForeignError, OSError):  # as for a signature: what cannot be compiled is run by the shim
        return 0


def _shape(callables: tuple, shape: tuple, named: tuple) -> str:
    """The shape of a batch of which each call is its values only; of any other, an empty str."""
    from epsilon import entries
    from epsilon.batch_source import shape_of_batch, shape_of_call

    if len(shape) > _MOST_COMPILED:
        return ""
    calls: list[str] = []
    given = constants = 0
    critical = {isinstance(called, _backend.Function) and called.declaration.options.critical for called in callables}
    for called, sources, name in zip(callables, shape, named, strict=True):
        if not isinstance(called, _backend.Function) or len(critical) > 1:
            return ""
        asked, letters = called.declaration.options, entries.shape_here(called.signature)[0]
        if not letters or letters[0] == "z" or "s" in letters or asked.retry or asked.default:
            return ""
        if asked.check is not None and not (isinstance(asked.check, str) and asked.raises):
            return ""
        check = 0 if asked.check is None else _CHECKS[asked.check]
        given += name is None
        places = []
        for source in sources:
            if source is None:
                places.append(f"a{given}")
                given += 1
            elif isinstance(source, tuple):
                places.append(f"k{constants}")
                constants += 1
            else:
                places.append(f"r{source}")
        calls.append(shape_of_call(letters, places, asked.errno, check))
    return shape_of_batch(calls, critical.pop()) if calls else ""


def check_wiring(callables: tuple, shape: tuple) -> None:
    """Raise ``ForeignTypeError`` unless these calls can be made."""
    for place, (called, sources) in enumerate(zip(callables, shape, strict=True)):
        head = f"call {place + 1} of {len(shape)}"
        if not callable(called):
            raise ForeignTypeError(f"{head} of a batch: {shorten(called)} is no function")
        if not isinstance(called, _backend.Function):
            continue
        declaration = called.declaration
        try:
            arrange(declaration, sources, None)
        except ForeignTypeError as error:
            error.args = (f"{head}: {error.args[0]}",)
            raise
        for where, source in zip(declaration.argument_indices(), sources, strict=False):
            if isinstance(source, int):
                _check_wire(head, declaration, where, source, callables[source])


def _check_wire(head: str, declaration: Any, where: int, source: int, origin: Any) -> None:
    """Whether the result of ``origin`` fits; what only Python values can tell is for the call itself to say."""
    if not isinstance(origin, _backend.Function):
        return
    wanted, given = declaration.signature.parameters[where], origin.signature
    outputs = [found for found in given.parameters if isinstance(found, Direction) and found.way != "in"]
    if array_of(wanted) is not None or any(array_of(found) is not None for found in (given.result, *given.parameters)):
        return
    if given.result.code == "v" and len(outputs) == 1:
        fitting, spelling = _fits(outputs[0].target, wanted), outputs[0].target.spelling
    elif outputs:
        fitting, spelling = False, f"a tuple of {1 + len(outputs) - (given.result.code == 'v')} values"
    else:
        fitting, spelling = _fits(given.result, wanted), given.result.spelling
    if not fitting:
        name = f" {declaration.names[where]!r}" if declaration.names[where] else ""
        raise ForeignTypeError(
            f"{head}: {declaration.symbol}(): parameter {where + 1}{name} ({wanted.spelling}) cannot be the result of "
            f"call {source + 1}, {origin.symbol}(), which is {spelling.strip()}", function=declaration.symbol,
        )  # fmt: skip


def _fits(given: CType, wanted: CType) -> bool:
    """Whether every value of type ``given`` is one that a parameter of type ``wanted`` takes."""
    if isinstance(wanted, Direction):
        wanted = wanted.target
    if given is wanted:
        return True
    if given.code == "v":
        return False
    if _needs_python(given) or _needs_python(wanted):
        return True
    if isinstance(given, (Integer, Boolean)):
        if isinstance(wanted, Integer):
            low, high = (0, 1) if isinstance(given, Boolean) else (given.low, given.high)
            return wanted.low <= low and high <= wanted.high
        return isinstance(wanted, Boolean) or (isinstance(wanted, Real) and wanted.code in "fd")
    if isinstance(given, Real):
        return isinstance(wanted, Real) and given.code in "fd" and wanted.code in "fd"
    if isinstance(given, String):
        return isinstance(wanted, String) and given.encoding == wanted.encoding
    return isinstance(given, Pointer) and isinstance(wanted, Pointer) and wanted.takes(given.backend)


def _needs_python(found: CType) -> bool:
    """Whether a value becomes another in Python, or an object that frees it: its type in C says too little."""
    return found.representation is not found or getattr(found, "free", None) is not None


# --- errors ---------------------------------------------------------------------------------------------------------


def batch_failed(callables: tuple, place: int, results: list, error: BaseException) -> None:
    """Name call ``place`` (-1: not known) in the error that stopped a batch, and leave the results so far with it."""
    error.index, error.results = (None if place < 0 else place), results  # type: ignore[attr-defined]
    if place < 0:
        return
    head = f"call {place + 1} of {len(callables)}"
    if isinstance(error, ForeignError):
        error.args = (f"{head}: {error.args[0] if error.args else ''}", *error.args[1:])
        return
    note = f"in {head} of a batch: {_name(callables[place])}()"
    if hasattr(error, "add_note"):
        error.add_note(note)
    else:
        error.__notes__ = [*getattr(error, "__notes__", ()), note]  # type: ignore[attr-defined]


def _name(called: Callable) -> str:
    if isinstance(called, _backend.Function):
        return called.declaration.symbol
    return getattr(called, "__qualname__", None) or shorten(called)


_backend.set_hooks(batch_plan=plan, batch_failed=batch_failed)
