"""Callbacks: Python and Lisp callables that C can call.

Floor 0's ``Callback`` is the C function pointer; this room reads the types and names the mistakes.  The contract (an
exception is raised again by the foreign call that C was in, a closed callback reports) is floor 0's: ``c/callback.c``.
"""

from __future__ import annotations

from epsilon import _backend
from epsilon.errors import ForeignError, ForeignTypeError, nearest, shorten
from epsilon.expressions import plain_word, word_of
from epsilon.signatures import Signature, registry, signature_of
from epsilon.typesystem import String
from epsilon.typesystem import hooks as type_hooks

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from epsilon.typesystem import FunctionType

Callback = _backend.Callback


#: where a callback may run
THREADS = ("any", "same", "queue", "loop")
#: seconds that C's thread waits for one that seems never to come, under ``queue`` and ``loop``; None for ever
patience: float | None = 10


def make_callback(
    function: Callable[..., Any],
    result: Any,
    parameters: Any = None,
    *,
    on_error: Any = None,
    thread: Any = "any",
    give: bool = False,
    abi: Any = None,
) -> Any:
    """A C function pointer that calls ``function``.

    ``result`` and ``parameters`` are types as everywhere; a registered name or a ``Signature`` in place of ``result``
    serves for both.
    ``on_error`` is what C gets when there is no result because ``function`` raised or the callback is closed (zero by
    default), or a callable that is given the exception and returns it.  (Where the result is a pointer, a function
    pointer is a value like any other.)

    ``thread`` says which thread runs ``function`` when C calls on another one than the one that made the callback:

    - ``"any"``, the one that C is on;
    - ``"same"``, none: C gets ``on_error``, and a ``ForeignError`` names both threads;
    - ``"queue"``, one that calls :func:`run_pending`; C waits for it;
    - ``"loop"``, or an asyncio loop: the thread of that loop, or of the one that runs here.  A coroutine is awaited.

    A wait that can never end is given up, and a ``ForeignError`` says why: see ``epsilon.callbacks.patience``.

    ``give=True`` hands a string result to C as a copy made by ``malloc``, which C frees.  ``abi`` is the calling
    convention, as in ``bind``.

    The object keeps the pointer alive: hold it for as long as C may call, or use ``with``.  ``.address``
    is what C jumps to, ``.close()`` ends it, and ``.strategy`` says how C's call gets to Python: ``compiled``,
    ``registers``, ``libffi`` or ``cffi``.

    Raises ``ForeignTypeError`` for something that cannot be called or a type that cannot cross, and the conversion's
    own error for an ``on_error`` that is no value of the result's type, and ``ForeignError`` for ``"loop"`` where no
    loop is running.

    >>> double = make_callback(lambda x: 2 * x, "int", ["int"])
    >>> get_or_create_trampoline("int", ["int"])(double.address, 21)
    42
    """
    if not callable(function):
        raise ForeignTypeError(f"a callback is made of a callable, not of {shorten(function)}")
    if parameters is not None and abi is None and not isinstance(result, Signature):
        signature = Signature(result, parameters)
    else:
        signature = _read(result, parameters, abi)
    trampoline = signature.callback_trampoline
    answerer = None
    if on_error is not None and callable(on_error) and not _is_pointer(signature, on_error):
        on_error, answerer = None, on_error
    if give is not False:
        _check_give(signature, give)
    runs = function if thread == "any" else _dispatched(function, thread)
    try:
        return Callback(trampoline, runs, on_error, function, answerer, give)
    except ForeignError as error:
        error.args = (f"callback {getattr(function, '__qualname__', function)}: on_error: {error.args[0]}",)
        raise


def callback(
    result: Any,
    parameters: Any = None,
    *,
    on_error: Any = None,
    thread: Any = "any",
    give: bool = False,
    abi: Any = None,
    export: Any = None,
) -> Callable[[Callable[..., Any]], Any]:
    """The decorator form of :func:`make_callback`.

    ``export`` is the C name by which C programs call it, in a library that ``epsilon compile FILE --shared`` makes of
    the file (docs/native.md); such a callback lives as long as the process.  ``ForeignTypeError`` if it is no C name,
    or another callback of the module has it.

    >>> @callback("int", [("in", "int"), ("in", "int")])
    ... def compare_ints(a, b):
    ...     return a - b
    >>> compare_ints(3, 1)      # from Python it is the function that it was
    2
    """

    def make(function: Callable[..., Any]) -> Any:
        made = make_callback(function, result, parameters, on_error=on_error, thread=thread, give=give, abi=abi)
        return made if export is None else exported_callback(made, export, None, on_error)

    return make


def exported_callback(made: Any, export: Any, names: Any, on_error: Any) -> Any:
    """Note that C programs call a callback by a name; ``names`` are its parameters', or None for the function's own."""
    from epsilon import exported

    if names is None:
        code = getattr(made.callable, "__code__", None)
        names = () if code is None else code.co_varnames[: code.co_argcount]
    return exported.export(export, made, names, on_error)


def run_pending(timeout: float | None = 0) -> int:
    """Run the callbacks under ``thread="queue"`` that C has called and waits for; how many there were.

    Where there are none, wait up to ``timeout`` seconds for the first; None waits for ever.  What they raise goes to
    C's threads, ``KeyboardInterrupt`` and ``SystemExit`` excepted, which are raised here.

    >>> run_pending()
    0
    """
    from epsilon import dispatch

    return dispatch.run_pending(timeout)


def call_async(function: Any, /, *arguments: Any, **keywords: Any) -> Coroutine[Any, Any, Any]:
    """``await call_async(f, …)``: make a blocking foreign call on a thread of its own, off the asyncio loop.

    ``function`` is called with the arguments and the context variables that are here; ``(symbol, library)``, the
    result's type and the parameter types may stand in its place, as in ``shared_call``.  What it raises is raised
    here.

    A cancellation interrupts a system call that waits, which then gives ``EINTR``; the ``await`` lasts until C is out
    of the call, for it has the arguments till then.  A call that C does not let be interrupted ends when it ends.

    >>> import asyncio
    >>> asyncio.run(call_async(("strlen", "libc"), "size", ["string"], "hello"))
    5
    """
    from epsilon.asynchronous import call

    return call(function, *arguments, **keywords)


def _is_pointer(signature: Signature, value: Any) -> bool:
    """Whether a callable is a value of the result's type: a function pointer, where the result is a pointer."""
    if not signature.result.is_pointer:
        return False
    try:
        signature.result.adapt(value)
    except ForeignError:
        return False
    return True


def _check_give(signature: Signature, give: Any) -> None:
    if give is not True:
        raise ForeignTypeError(f"give is True or False, not {shorten(give)}")
    if not isinstance(signature.result, String):
        raise ForeignTypeError(f"give hands a string to C to free, and the result is {signature.result.spelling}")


def _dispatched(function: Callable[..., Any], thread: Any) -> Callable[..., Any]:
    """What C calls in place of ``function``, so that the right thread runs it."""
    word = word_of(thread)
    if word is not None:
        word = plain_word(word)
        if word == "any":
            return function
        if word not in THREADS:
            known = f"there are {', '.join(THREADS)}, or an asyncio loop"
            raise ForeignTypeError(f"unknown thread policy {word!r}{nearest(word, THREADS)}; {known}")
    from epsilon import dispatch

    if word is not None:
        return dispatch.POLICIES[word](function)
    if not hasattr(thread, "call_soon_threadsafe"):
        raise ForeignTypeError(f"thread is {', '.join(THREADS)} or an asyncio loop, not {shorten(thread)}")
    return dispatch.Loop(function, thread)


def _read(result: Any, parameters: Any, abi: Any) -> Signature:
    if isinstance(result, Signature):
        signature = result
    elif parameters is None:
        signature = registry.get(result)
        if signature is None:
            raise ForeignTypeError(
                f"the parameter types are missing, and no signature is registered as {shorten(result)}"
            )
    else:
        return Signature(result, parameters, abi="default" if abi is None else abi)
    given = signature if abi is None else signature_of(signature.result, signature.parameters, signature.variadic, abi)
    if given is not signature:
        raise ForeignTypeError(f"{signature} says its calling convention itself; got abi={shorten(abi)} too")
    return signature


def wrap_callable(target: FunctionType, function: Callable[..., Any]) -> Any:
    """A callback for a callable that came as a ``(:function …)`` argument; the call keeps it alive."""
    signature = signature_of(target.result, target.parameters, target.variadic, target.abi)
    return Callback(signature.callback_trampoline, function)


type_hooks["wrap_callable"] = wrap_callable
