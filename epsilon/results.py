"""What becomes of a result: the error of a failed check, and the end of what C gave away.

Floor 0 (``c/results.c``) asks here when a check has failed, and when what came back is the caller's to free.
"""

from __future__ import annotations

import os
from _collections_abc import Mapping  # collections.abc, without all of collections

import _cffi_backend as cffi

from epsilon import _backend
from epsilon.errors import ForeignError, ForeignOSError, ForeignTypeError, shorten
from epsilon.typesystem import (
    VOID_POINTER,
    WORDS,
    CType,
    Direction,
    Pointer,
    String,
    same_representation,
    told,
    way_of,
)
from epsilon.typesystem import hooks as type_hooks

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from epsilon.functions import Declaration
    from epsilon.signatures import Signature


# --- a failed check -------------------------------------------------------------------------------------------------


class Failure:
    """A call whose result failed its check, as what ``error=`` was given needs it."""

    __slots__ = ("arguments", "code", "declaration", "errno", "outputs", "result")

    def __init__(self, declaration: Declaration, result: Any, errno: int | None, arguments: tuple):
        self.outputs: tuple = ()
        if any(isinstance(found, Direction) and found.way != "in" for found in declaration.signature.parameters):
            result, *outputs = result
            self.outputs = tuple(outputs)
        self.declaration, self.result, self.errno, self.arguments = declaration, result, errno, arguments
        #: what the error's ``code`` is
        self.code = result if errno is None else errno

    def raise_with(self, said: Any = None) -> Any:
        """Raise the error; ``said`` is what ``error=`` says of it: a text, an exception, or a class of them."""
        if isinstance(said, BaseException):
            if isinstance(said, ForeignError) and said.function is None:
                said.code, said.function = self.code, self.declaration.symbol
            raise said
        kind: type = ForeignError if self.errno is None else ForeignOSError
        text = said
        if isinstance(said, type) and issubclass(said, BaseException):
            kind, text = said, None
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        if text is not None and not isinstance(text, str):
            raise ForeignTypeError(
                f"{self.declaration.symbol}(): error gave {shorten(said)}, wanted a text, an exception or its class",
                code=self.code, function=self.declaration.symbol,
            )  # fmt: skip
        message = self.message(text)
        if issubclass(kind, ForeignError):
            raise kind(message, code=self.code, function=self.declaration.symbol)
        if issubclass(kind, OSError) and self.errno is not None:
            raise kind(self.errno, message)
        raise kind(message)

    def message(self, text: str | None) -> str:
        """The call, its result, and what that means."""
        declaration = self.declaration
        given = ", ".join(
            f"{name}={shorten(value)}" for name, value in zip(declaration.argument_names, self.arguments, strict=False)
        )
        head = f"{declaration.symbol}({given}) gave {shorten(self.result)}"
        if text is not None:
            return f"{head}: {text}"
        if self.errno is not None:
            return f"{head}: [errno {self.errno}] {os.strerror(self.errno)}"
        check = declaration.check
        return f"{head}, which is not {check if isinstance(check, str) else getattr(check, '__name__', 'good')}"


def check_failed(declaration: Declaration, result: Any, errno: int | None, arguments: tuple) -> Any:
    """A check refused the result: raise the error that says so, or give the default."""
    if declaration.default:
        return declaration.default[0]
    failure = Failure(declaration, result, errno, arguments)
    return failure.raise_with(None if declaration.error is None else declaration.error(failure))


def error_reader(symbol: str, signature: Signature, errno: bool, error: Any) -> Any:
    """What says the error of a :class:`Failure`: made of a callable, of a C function, or of a mapping by code."""
    if error is None:
        return None
    if isinstance(error, Mapping):
        return _ByCode(error)
    if isinstance(error, _backend.Function):
        return _ByFunction(error, _places(symbol, signature, errno, error))
    if callable(error):
        return _ByCallable(error)
    raise ForeignTypeError(
        f"{symbol}: error is a callable that is given (result, *arguments), a C function that gives the text, or a "
        f"mapping of codes to exceptions or texts; not {shorten(error)}"
    )


class _ByCallable:
    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]):
        self.function = function

    def __call__(self, failure: Failure) -> Any:
        return self.function(failure.result, *failure.arguments)

    def __reduce__(self) -> tuple:
        return (type(self), (self.function,))


class _ByCode:
    """The mapping is asked for the code, and under errno for its name, such as ``"ENOENT"``, too."""

    __slots__ = ("table",)

    def __init__(self, table: Mapping[Any, Any]):
        self.table = table

    def __call__(self, failure: Failure) -> Any:
        found = self.table.get(failure.code)
        if found is None:  # an enum's name is looked up as its number, too
            found = self.table.get(getattr(failure.code, "value", None))
        if found is None and failure.errno is not None:
            import errno

            found = self.table.get(errno.errorcode.get(failure.errno))
        return found

    def __reduce__(self) -> tuple:
        return (type(self), (self.table,))


class _ByFunction:
    """A C function such as ``sqlite3_errmsg``: each of its parameters is given the code or an argument of the call."""

    __slots__ = ("function", "places")

    def __init__(self, function: Any, places: list[tuple[str, int]]):
        self.function, self.places = function, places

    def __call__(self, failure: Failure) -> Any:
        values = []
        for where, place in self.places:
            source = {"code": (failure.code,), "argument": failure.arguments, "output": failure.outputs}[where]
            values.append(source[place])
        return self.function(*values)

    def __reduce__(self) -> tuple:
        return (type(self), (self.function, self.places))


def _places(symbol: str, signature: Signature, errno: bool, function: Any) -> list[tuple[str, int]]:
    """Where the arguments of ``function`` come from: by their C types, the code first, then the call's arguments and
    outputs from the left, each once."""
    code = WORDS["int"] if errno else signature.result
    every, implied = list(enumerate(signature.parameters)), told(signature.parameters, signature.result)
    arguments = [found for index, found in every if way_of(found) != "out" and index not in signature.filled]
    outputs = [found.target for index, found in every if way_of(found) != "in" and index not in implied]
    sources: list[tuple[str, int, CType]] = [("code", 0, code)]
    sources += [("argument", place, found) for place, found in enumerate(arguments)]
    sources += [("output", place, found) for place, found in enumerate(outputs)]
    places = []
    for wanted in function.signature.parameters:
        source = next((each for each in sources if _is_for(wanted, each[2])), None)
        if source is None:
            raise ForeignTypeError(
                f"{symbol}: error: no argument of {symbol}, nor its result, is a {wanted.spelling} for "
                f"{function.declaration}; give a callable that is given (result, *arguments)"
            )
        sources.remove(source)
        places.append(source[:2])
    if function.signature.variadic or not isinstance(function.signature.result, String):
        raise ForeignTypeError(f"{symbol}: error: {function.declaration} gives no text")
    return places


def _is_for(wanted: CType, given: CType) -> bool:
    """Whether a value that crossed as ``given`` is what a parameter ``wanted`` is about."""
    if isinstance(wanted, String) or isinstance(given, String):
        return isinstance(wanted, String) and isinstance(given, String)
    if wanted.is_pointer or given.is_pointer:
        return isinstance(wanted, Pointer) and isinstance(given, Pointer) and same_representation(
            wanted.backend, given.backend
        )  # fmt: skip
    return same_representation(wanted.backend, given.backend)


# --- what C gives away ----------------------------------------------------------------------------------------------


def take(who: Any, found: Any, address: int, value: Any) -> Any:
    """``value``, of type ``found``, came back from C, and what is at ``address`` is the caller's to free.

    A text has been copied, so it is freed now; a pointer becomes memory that frees itself.
    """
    own = getattr(found, "own", None)
    if own is not None:  # an object of a foreign class
        return own(who, address, value)
    free = releaser(who, found.free)
    if value is None or isinstance(found.representation, String):
        free(cffi.cast(VOID_POINTER, address))
        return value
    return type_hooks["own"](found, address, free)


def releaser(who: Any, free: Any) -> Callable[[Any], Any]:
    """The function that frees: ``free`` itself, or the symbol of that name, of the function's own library or of the
    process."""
    if callable(free):
        return free
    from epsilon.functions import Declaration
    from epsilon.libraries import library_for
    from epsilon.signatures import Signature

    process = library_for(None)
    library = getattr(who, "library", None) or process
    found = library._releasers.get(free)
    if found is None:
        # C's own free is that of the process, as C code has it: another allocator may be loaded before the C library
        places = (process, library) if free == "free" else (library, process)
        home = next((place for place in places if place.find((free,)) is not None), process)
        found = Declaration((free,), home, Signature("void", ("pointer",))).function()
        library._releasers[free] = found
    return found


def owned_symbols(signature: Signature) -> list[Any]:
    """What frees the result and the outputs of a function of this signature."""
    given_back = [signature.result]
    given_back += [each.target for each in signature.parameters if isinstance(each, Direction) and each.way != "in"]
    return [each.free for each in given_back if getattr(each, "free", None) is not None]


_backend.set_hooks(check_failed=check_failed, take=take)
