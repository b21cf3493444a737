"""What users call: ``define_native``, and ``native_source``, which shows the C that a native became."""

from __future__ import annotations

import ast
import linecache
import sys
import tokenize
from collections.abc import Callable, Iterator
from types import FrameType
from typing import IO, Any

from epsilon.errors import ForeignTypeError, shorten
from epsilon.functions import read_declaration
from epsilon.native import building
from epsilon.native.source import TAG, head, moved, read_text


def define_native(
    declaration: str, body: str, *, critical: bool = False, on_error: Any = None, doc: str | None = None
) -> Any:
    """A function of machine code, from its C prototype and a body in the typed subset of Lisp that docs/native.md has.

    It is a ``Function`` as a bound one is: Python calls it, and C does, by its address.  The names in the body are the
    parameters, its own locals, and those of the calling module: C functions, other natives, struct types, numbers.
    What the module has defined so far is compiled when the first of it is called, and is in the cache from then on;
    without a compiler, and under ``EPSILON_STRATEGY=cffi``, the same body is interpreted.

    Integers have the width that they have in C and wrap (GCC manual, ``-fwrapv``); ``//`` and ``%`` floor.  Division by
    zero and a failed ``assert`` end the function, give its caller zero, or ``on_error``, and are raised by the foreign
    call that C was in.  ``critical=True`` keeps the GIL.

    Raises ``ForeignTypeError`` for a prototype that cannot be; the body is looked at when the native is needed, and
    ``CompilerError`` has the line of what is wrong in it.  That is a line of the file where the body stands in the call
    as it is; any other text has lines of its own, and is called ``<text at FILE:LINE>`` by the line of the call.

    >>> mean = define_native("double mean(const int *values, size_t count)", '''
    ...     (setv total (the :long 0))
    ...     (for [i (range count)]
    ...       (+= total (get values i)))
    ...     (/ (cast total :double) count)''')
    >>> mean(foreign_alloc("int", initial=[1, 2, 6]), 3)
    3.0
    """
    if not isinstance(declaration, str) or not isinstance(body, str):
        wrong = body if isinstance(declaration, str) else declaration
        raise ForeignTypeError(f"a native is made of a C prototype and a body, which are texts; not {shorten(wrong)}")
    (symbol,), signature, names = read_declaration(declaration, None, None)
    try:
        form = read_text(body)
    except SyntaxError as error:
        raise ForeignTypeError(f"native {symbol}: the body cannot be read: {error.msg}") from None
    frame = sys._getframe(1)
    scope = {path: _finder(path, frame.f_globals) for path in _names_in(form)}
    options = {"critical": critical} if critical else {}
    text_at: int | None = frame.f_lineno
    begins = _line_in(frame, body)
    if begins is not None:
        form, text_at = moved(form, begins - 1), None
    place = building.frame_place(1)
    return building.define(signature, symbol, names, repr(form), scope, place, options, doc, on_error, text_at)


def _line_in(frame: FrameType, body: str) -> int | None:
    """The line of the caller's file at which ``body`` begins, where it is a literal in the call without escapes."""
    lines = linecache.getlines(frame.f_code.co_filename, frame.f_globals)[frame.f_lineno - 1 :]
    try:
        for token in tokenize.generate_tokens(iter(lines).__next__):
            if token.type == tokenize.NEWLINE:
                break
            if token.type == tokenize.STRING and body in token.string and ast.literal_eval(token.string) == body:
                return frame.f_lineno + token.start[0] - 1 + token.string.count("\n", 0, token.string.index(body))
    except (SyntaxError, ValueError, tokenize.TokenError):  # no Python, or not what it was when it was compiled
        pass
    return None


def _finder(path: str, namespace: dict[str, Any]) -> Callable[[], Any]:
    """What gives the object of a name, or of one with dots."""
    first, *rest = path.split(".")

    def find() -> Any:
        if first not in namespace:
            raise NameError(first)
        found = namespace[first]
        for name in rest:
            found = getattr(found, name)
        return found

    return find


def _names_in(form: tuple) -> Iterator[str]:
    """Every name that may be the module's."""
    if form[TAG] == "s":
        yield form[4]
    elif form[TAG] in ("(", "[", "{"):
        if head(form) == "." and all(item[TAG] == "s" for item in form[3:]):
            yield ".".join(item[4] for item in form[4:])
        for item in form[3:]:
            yield from _names_in(item)


def native_source(function: Any, file: IO[str] | None = None) -> None:
    """Print the C text that a native is compiled from, to ``file`` or the standard output; ``#line`` has Lisp's lines.

    Raises ``ForeignTypeError`` for what is no native, and ``CompilerError`` if its body is wrong.

    >>> twice = define_native("int twice(int n)", "(* 2 n)")
    >>> native_source(twice)  # doctest: +ELLIPSIS
    /* native twice: ... */
    ...
    static int twice(int n) {
    #line 1
        return 2 * n;
    ...
    """
    print(building.source(function), end="", file=file)
