"""The errors of Epsilon: one root, one name for each way a foreign call can go wrong.

Every error text names the function, the parameter, the C type and the value, so that the person who reads it need not
look anything up.  The classes that have a counterpart among Python's own are subclasses of it: ``except OSError``
catches a failed ``open`` and ``except IndexError`` an index outside foreign memory.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "CallbackClosedError",
    "CompilerError",
    "ForeignError",
    "ForeignIndexError",
    "ForeignMemoryError",
    "ForeignOSError",
    "ForeignRangeError",
    "ForeignTypeError",
    "ForeignValueError",
    "HeaderError",
    "LibraryLoadError",
    "SymbolNotFoundError",
    "foreign_error_code",
    "foreign_error_function",
]


class ForeignError(Exception):
    """The root of all errors that Epsilon raises.

    ``code`` is the errno of the call under ``errno=True``, else the C result that a check refused, else ``None``;
    ``function`` is the C symbol's name as a str, or ``None`` where no function was involved.

    >>> error = ForeignError("it failed", code=2, function="open")
    >>> error.code, error.function, str(error)
    (2, 'open', 'it failed')
    """

    def __init__(self, message: str = "", *, code: object = None, function: str | None = None):
        super().__init__(message)
        self.code = code
        self.function = function

    def __reduce__(self):
        return (_rebuild, (type(self), self.args, self.code, self.function))


class LibraryLoadError(ForeignError):
    """A library was not found or could not be loaded; the text lists every place that was tried, and why it failed."""


class SymbolNotFoundError(ForeignError):
    """A library has no symbol of that name; the text gives the nearest names it does have."""


class ForeignTypeError(ForeignError, TypeError):
    """A value of the wrong kind, an unknown type, or a declaration that does not fit."""


class ForeignValueError(ForeignError, ValueError):
    """A value of the right kind that C cannot take, such as a str with a NUL inside."""


class ForeignRangeError(ForeignError, OverflowError):
    """An integer outside the range of its C type."""


class ForeignOSError(ForeignError, OSError):
    """A call that set ``errno`` failed its check.  ``code`` and ``errno`` are that number, ``strerror`` its text.

    >>> error = ForeignOSError("open(path='/none'): No such file", code=2, function="open")
    >>> error.errno == error.code == 2
    True
    >>> isinstance(error, OSError)
    True
    """

    def __init__(self, message: str = "", *, code: int | None = None, function: str | None = None):
        super().__init__(message, code=code, function=function)
        if code is not None:
            self.errno = code
            self.strerror = os.strerror(code)

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class ForeignMemoryError(ForeignError):
    """Memory was used after its end, freed twice, or freed though it was never allocated."""


class ForeignIndexError(ForeignError, IndexError):
    """An index outside the bounds of memory that Epsilon handed out."""


class CallbackClosedError(ForeignError):
    """C called a callback after it was closed; the text says which one and where it was closed."""


class HeaderError(ForeignError):
    """A C header was not found, could not be read, or contradicts a declaration."""


class CompilerError(ForeignError):
    """The C compiler is missing or refused the text it was given.

    ``filename`` and ``lineno`` are the place of its first complaint, where that is in a file of the user's.
    """

    filename: str | None = None
    lineno: int | None = None

    def __reduce__(self):
        return (*super().__reduce__(), {"filename": self.filename, "lineno": self.lineno})


def _rebuild(kind: type[ForeignError], args: tuple, code: object, function: str | None) -> ForeignError:
    """Make a pickled error again; ``__init__`` takes its details by keyword, which plain pickling cannot say."""
    return kind(*args, code=code, function=function)


def foreign_error_code(error: ForeignError) -> object:
    """The errno of a failed call under ``errno``, else the C result that was refused.

    >>> foreign_error_code(ForeignError("no", code=-1))
    -1
    """
    return error.code


def foreign_error_function(error: ForeignError) -> str | None:
    """The C symbol's name of the function that failed, as a str.

    >>> foreign_error_function(ForeignError("no", function="open"))
    'open'
    """
    return error.function


def nearest(wanted: str, known: Iterable[str], limit: int = 3) -> str:
    """A clause that names the known words nearest to ``wanted``, or an empty string.

    >>> nearest("strlem", ["strlen", "malloc"])
    "; did you mean 'strlen'?"
    """
    import difflib  # only an error needs it

    close = difflib.get_close_matches(wanted, list(known), n=limit, cutoff=0.6)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


def shorten(value: object, limit: int = 60) -> str:
    """``repr(value)``, cut to ``limit`` characters, and safe when ``__repr__`` itself fails.

    >>> shorten("a" * 100, 10)
    "'aaa…aaaa'"
    """
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    if len(text) <= limit:
        return text
    half = (limit - 1) // 2
    return f"{text[:half]}…{text[len(text) - (limit - 1 - half) :]}"
