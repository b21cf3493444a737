"""The options of a binding: what may be asked of a function besides its types, read and checked when it is bound.

What they mean at a call is floor 0's (``c/results.c``) and ``results.py``'s.
"""

from __future__ import annotations

from _collections_abc import Iterable, Mapping  # collections.abc, without all of collections
from _operator import index  # operator, without what it has in Python

from epsilon import _backend
from epsilon.errors import ForeignTypeError, nearest, shorten
from epsilon.expressions import plain_word, word_of
from epsilon.typesystem import WORDS, CType, owned_type

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from epsilon.signatures import Signature

CHECKS = ("nonnegative", "positive", "nonzero", "zero", "non-null")
OPTIONS = (
    "critical", "errno", "check", "error", "default", "retry", "attempts", "free", "name", "doc", "optional", "abi",
    "header",
)  # fmt: skip


class Options:
    """What was asked of a function besides its types."""

    __slots__ = ("check", "critical", "default", "errno", "error", "raises", "retry")

    def __init__(
        self,
        critical: bool = False,
        errno: bool = False,
        check: Any = None,
        raises: bool = True,
        error: Any = None,
        default: tuple = (),
        retry: tuple[int, ...] | None = None,
    ):
        self.critical, self.errno, self.check, self.retry = critical, errno, check, retry
        #: whether a failed check raises, what it raises, or what it gives instead (a tuple of that one value)
        self.raises, self.error, self.default = raises, error, default


#: what most functions ask for
NONE = Options()
#: the options that make sense for one function only, not for a block of declarations
OF_ONE = ("name", "doc", "free", "header")


def check_option_names(what: Any, options: Mapping[str, Any], known: Collection[str] = OPTIONS) -> None:
    """Refuse an option that is none; ``what`` is the declaration that came with it, ``known`` what the error lists.

    A type that came as a keyword argument leaves the declaration without it, so this is asked first.
    """
    for name in options:
        if name in OPTIONS:
            continue
        symbol, word = word_of(what) or shorten(what), name.replace("_", "-")
        if word in WORDS:
            raise ForeignTypeError(f"{symbol}: {word!r} is a type, and came as a keyword argument; in a method call "
                                   f"write \"{word}\" or ':{word}")  # fmt: skip
        raise ForeignTypeError(f"{symbol}: unknown option {name!r}{nearest(name, known)}; the options are "
                               f"{', '.join(known)}")  # fmt: skip


def read_options(symbol: str, signature: Signature, options: Mapping[str, Any]) -> Options:
    """The options of a call, among those of a binding."""
    found = Options(bool(options.get("critical", False)), bool(options.get("errno", False)))
    if found.critical and _backend.shim is None:
        raise ForeignTypeError(f"{symbol}: :critical (the GIL kept) needs the shim: {_backend.why_no_shim}")
    found.check = read_check(symbol, signature, options.get("check"))
    if found.check is None:
        for name in ("error", "default"):
            if name in options:
                raise ForeignTypeError(f"{symbol}: {name} says what a failed check gives, and there is no check")
    if "default" in options:
        if options.get("error") is not None:
            raise ForeignTypeError(f"{symbol}: error says what is raised, default that nothing is; give one of them")
        found.default = (options["default"],)
    from epsilon.results import error_reader

    found.error = error_reader(symbol, signature, found.errno, options.get("error"))
    found.retry = read_retry(symbol, options.get("retry"), options.get("attempts"))
    if found.retry is not None:
        found.errno = True
        if found.check is None:  # it says which result has failed, and nothing is raised
            found.check, found.raises = default_check(symbol, signature.result), False
    return found


def read_check(symbol: str, signature: Signature, check: Any) -> Any:
    """The check as a word of floor 0, as a callable, or None."""
    if check is None or check is False:
        return None
    word = word_of(check)
    if word is None:
        if callable(check):
            return check
        raise ForeignTypeError(f"{symbol}: check is one of {', '.join(CHECKS)}, or a callable; not {shorten(check)}")
    word = plain_word(word)
    if word not in CHECKS:
        raise ForeignTypeError(
            f"{symbol}: unknown check {word!r}{nearest(word, CHECKS)}; the checks are {', '.join(CHECKS)}"
        )
    if signature.result.representation.code in "vsFDg":
        raise ForeignTypeError(f"{symbol}: the check {word!r} needs a number or a pointer, and the result is "
                               f"{signature.result.spelling}")  # fmt: skip
    return word


def default_check(symbol: str, result: CType) -> str:
    """The check that tells a failed system call: POSIX functions give -1 or NULL and set errno."""
    if result.is_pointer:
        return "non-null"
    if result.representation.code in "bhiqc":
        return "nonnegative"
    raise ForeignTypeError(
        f"{symbol}: retry needs a check that tells which result has failed, for the result is {result.spelling}"
    )


def read_retry(symbol: str, retry: Any, attempts: Any) -> tuple[int, ...] | None:
    """The number of calls that may be made (0: any number), and the errnos after which one is made again."""
    if retry is None or retry is False:
        if attempts is not None:
            raise ForeignTypeError(f"{symbol}: attempts says how often to retry, and there is no retry")
        return None
    word = word_of(retry)
    items = list(retry) if word is None and isinstance(retry, Iterable) else [retry]
    numbers = [_errno_number(symbol, item) for item in items]
    if not numbers:
        raise ForeignTypeError(f"{symbol}: retry is the name of an errno, such as 'EINTR', or a list of them")
    if attempts is None:
        return (0, *numbers)
    if not hasattr(attempts, "__index__") or not 1 <= index(attempts) < 2**31:
        raise ForeignTypeError(f"{symbol}: attempts is a number of calls, 1 or more; not {shorten(attempts)}")
    return (index(attempts), *numbers)


def _errno_number(symbol: str, item: Any) -> int:
    import errno

    word = word_of(item)
    number = item if word is None else getattr(errno, word.lstrip("':"), None)
    if isinstance(number, bool) or not isinstance(number, int) or number not in errno.errorcode:
        near = "" if word is None else nearest(word.lstrip("':"), errno.errorcode.values())
        raise ForeignTypeError(f"{symbol}: retry: {shorten(item)} is no errno{near}")
    return number


def owned_result(symbol: str, signature: Signature, free: Any) -> Signature:
    """The signature whose result is freed by ``free``: a symbol's name, or a function."""
    from epsilon.signatures import signature_of

    try:
        result = owned_type(signature.result, free)
    except ForeignTypeError as error:
        error.args = (f"{symbol}: {error.args[0]}",)
        raise
    return signature_of(result, signature.parameters, signature.variadic, signature.abi)
