"""Functions: what a declaration asks for, bound to a symbol of a library.

A :class:`Declaration` holds what floor 0 must not know: the names, the library, the options, the C text.  Floor 0's
``Function`` holds a trampoline, an address and flags, and asks its declaration for everything else.  The hooks at the
end are how floor 0 reaches back: it converts common values by itself, and asks here for uncommon ones and for every
error text.
"""

from __future__ import annotations

from _collections_abc import Sequence  # collections.abc, without all of collections
from _operator import index  # operator, without what it has in Python

import _cffi_backend as cffi

from epsilon import _backend
from epsilon.errors import (
    CallbackClosedError,
    ForeignError,
    ForeignMemoryError,
    ForeignTypeError,
    ForeignValueError,
    nearest,
    shorten,
)
from epsilon.expressions import ctype, is_fixed, word_of
from epsilon.options import NONE, Options, check_option_names, owned_result, read_options
from epsilon.signatures import Signature, registry, signature_of
from epsilon.typesystem import (
    VOID_POINTER_TYPE,
    WORDS,
    Converted,
    CType,
    Direction,
    FunctionType,
    array_of,
    linked,
    linked_result,
)
from epsilon.typesystem import hooks as type_hooks

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, NoReturn


class Declaration:
    """What was declared of one function; its attributes are the function's."""

    __slots__ = (
        "__name__", "__weakref__", "cell", "doc", "known_address", "library", "names", "options", "signature", "symbol",
        "symbols", "tails",
    )  # fmt: skip

    def __init__(
        self,
        symbols: tuple[str, ...],
        library: Any,
        signature: Signature,
        names: Sequence[str | None] = (),
        options: Options = NONE,
        name: Any = None,
        doc: Any = None,
    ):
        self.symbols = symbols
        self.symbol = symbols[0]
        self.library = library
        self.cell = None if library is None else library.cell
        self.signature = signature
        self.names = tuple(names) + (None,) * (len(signature.parameters) - len(names))
        self.options = options
        self.__name__ = str(name or self.symbol)
        self.doc = None if doc is None else str(doc)
        #: of a variadic function: the tail's types → its function
        self.tails: dict[tuple, Any] | None = None

    def function(self, address: int | None = None) -> Any:
        """The ``Function`` of this declaration; ``address`` is given where there is no library to look it up in."""
        self.known_address = address
        if self.options is NONE:
            return _backend.Function(self.signature.trampoline, self, self.cell, address)
        return self.make(self.signature.trampoline, address)

    def make(self, trampoline: Any, address: int | None) -> Any:
        """A ``Function`` with the options."""
        asked = self.options
        return _backend.Function(
            trampoline, self, self.cell, address, critical=asked.critical, errno=asked.errno, check=asked.check,
            raises=asked.raises, retry=asked.retry,
        )  # fmt: skip

    def resolve(self) -> int:
        """The symbol's address; called once, by the first call.  What frees the result is found now, too: later would
        be too late."""
        self.symbol, address = self.library.resolve(self.symbols)
        self.prepare()
        from epsilon.results import owned_symbols, releaser  # the first call is early enough

        for free in owned_symbols(self.signature):
            if isinstance(free, str):
                _ = releaser(self, free).address
        return address

    def prepare(self) -> None:
        """Look for the signature's compiled entry: at the first call, or when somebody asks for the strategy."""
        if self.signature.entry is None:
            self.signature.find_entry()

    def reduce(self) -> tuple:
        if self.library is None:
            raise TypeError(
                f"{self}: a function without a library cannot be pickled, for its address means nothing elsewhere"
            )
        options = None if self.options is NONE else self.options
        return (_rebind, (self.library, self.symbols, self.signature, self.names, options, self.__name__, self.doc))

    @property
    def prototype(self) -> str:
        """The C declaration."""
        return self.signature.prototype(self.symbol, self.names)

    @property
    def argument_names(self) -> list[str]:
        """The names of the arguments that a caller passes; a nameless parameter is ``arg1``, ``arg2`` …"""
        return [self.name_of(index) for index in self.argument_indices()]

    def argument_indices(self) -> list[int]:
        filled = self.signature.filled
        return [
            index
            for index, parameter in enumerate(self.signature.parameters)
            if not is_output_only(parameter) and index not in filled
        ]

    def name_of(self, index: int) -> str:
        return self.names[index] or f"arg{index + 1}"

    @property
    def __doc__(self) -> str:
        return f"{self.prototype}\n\n{self.doc}" if self.doc else self.prototype

    def __getattr__(self, name: str) -> Any:
        if name == "__qualname__":  # a class body cannot define this one
            return self.__name__
        if name in Options.__slots__:
            return getattr(self.options, name)
        raise AttributeError(f"a foreign function has no attribute {name!r}")

    @property
    def __signature__(self) -> Any:
        import inspect
        import keyword

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        names = [f"{name}_" if keyword.iskeyword(name) else name for name in self.argument_names]
        parameters = [inspect.Parameter(name, kind) for name in names if name.isidentifier()]
        if self.signature.variadic:
            parameters.append(inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL))
        return inspect.Signature(parameters)

    def __str__(self) -> str:
        return self.prototype


def is_output_only(parameter: CType) -> bool:
    return isinstance(parameter, Direction) and parameter.way == "out"


# --- binding --------------------------------------------------------------------------------------------------------


def bind(
    library: Any,
    declaration: Any,
    result: Any = None,
    parameters: Any = None,
    *,
    special: Mapping[Any, Any] | None = None,
    symbols: Sequence[str] | None = None,
    **options: Any,
) -> Any:
    """Bind a function of ``library``: see ``Library.bind``.  ``special`` gives parameters of a prototype, by
    position, a type that C text cannot say (``{0: ("in", "int")}``; ``"result"`` is the key of the result);
    ``symbols`` are the names to be tried in turn in place of the prototype's own."""
    if options:
        check_option_names(declaration, options)
    declared, signature, names = read_declaration(
        declaration, result, parameters, special, options.get("abi", "default")
    )
    symbols = declared if symbols is None else tuple(symbols)
    if options.get("header") is not None:
        from epsilon.headers.holding import hold_bound

        hold_bound(symbols, signature, names, options["header"])
    if not options:
        return Declaration(symbols, library, signature, names).function()
    if options.get("free") is not None:
        signature = owned_result(symbols[0], signature, options["free"])
    asked = read_options(symbols[0], signature, options)
    if options.get("optional") and library.find(symbols) is None:
        return None
    return Declaration(
        symbols, library, signature, names, asked, options.get("name"), options.get("doc")
    ).function()  # fmt: skip


def read_declaration(
    declaration: Any, result: Any, parameters: Any, special: Mapping[Any, Any] | None = None, abi: str = "default"
) -> tuple[tuple[str, ...], Signature, Sequence[str | None]]:
    """The symbol's names, the signature and the parameter names, from a prototype, a registered name, or types."""
    word = word_of(declaration)
    if word is not None and "(" in word:
        if result is not None or parameters is not None:
            raise ForeignTypeError(f"the prototype {word!r} says the types already; pass it alone")
        name, signature, names = read_prototype(word, special, abi)
        return (name,), signature, names
    if isinstance(getattr(declaration, "type", None), FunctionType):  # a ``prototypes.Prototype``
        return (declaration.name,), _specialised(declaration, special, abi), declaration.parameters
    if word is not None:
        symbols: tuple = (word,)
    else:
        symbols = tuple(map(word_of, declaration)) if isinstance(declaration, Sequence) else ()
    if not symbols or not all(symbols):
        raise ForeignTypeError(f"{shorten(declaration)}: a C prototype, a symbol's name or a list of names is wanted")
    if result is None and parameters is None:
        return symbols, _registered(symbols), ()
    if parameters is None:
        registered = registry.get(result)
        if registered is not None:
            return symbols, registered, ()
        raise ForeignTypeError(f"{symbols[0]}: the parameter types are missing; bind(name, result, [types …])")
    return symbols, Signature(result, parameters, abi=abi), ()


def read_prototype(
    text: str, special: Mapping[Any, Any] | None = None, abi: str = "default"
) -> tuple[str, Signature, Sequence[str | None]]:
    """The name, the signature and the parameter names of a C prototype.

    What differs in the name alone from one that was read is not read again, for a module makes hundreds of bindings.
    """
    global _parse
    if _parse is None:
        from epsilon.prototypes import parse_shape as _parse
    name, shape = _parse(text)
    if special or abi != "default":
        return name, _specialised(shape, special, abi), shape.parameters
    signature = shape.signature
    if signature is None:
        signature = shape.signature = _specialised(shape, None, abi)
    return name, signature, shape.parameters


#: ``prototypes.parse_shape``; its module is imported at the first prototype
_parse: Any = None


def _specialised(prototype: Any, special: Mapping[Any, Any] | None, abi: str) -> Signature:
    type_ = prototype.type
    if not special:
        return signature_of(type_.result, type_.parameters, type_.variadic, abi)
    parameters, result = list(type_.parameters), type_.result
    for key, expression in special.items():
        if key == "result":
            result = ctype(expression)
        else:
            parameters[key] = ctype(expression)
    types = linked(tuple(parameters), prototype.parameters)
    return signature_of(linked_result(result, types, prototype.parameters), types, type_.variadic, abi)


def _registered(symbols: tuple[str, ...]) -> Signature:
    for symbol in symbols:
        if symbol in registry:
            return registry[symbol]
    raise ForeignTypeError(
        f"{symbols[0]!r} is no prototype, and "
        f"no signature is registered under that name{nearest(symbols[0], registry)}; "
        f"declare it: bind('int {symbols[0]}(…)') or bind({symbols[0]!r}, 'int', […])"
    )


def _rebind(library: Any, symbols: tuple, signature: Signature, names: tuple, options: Any, name: str, doc: Any) -> Any:
    return Declaration(symbols, library, signature, names, options or NONE, name, doc).function()


def function_at(address: int, signature: Signature, name: str = "function", library: Any = None) -> Any:
    """A ``Function`` for a bare address, such as a function pointer that C gave."""
    return Declaration((name,), library, signature).function(address)


# --- variadic calls -------------------------------------------------------------------------------------------------


def tail(declaration: Declaration, arguments: tuple) -> tuple[Any, tuple, bool]:
    """The function for a variadic call with these arguments, what it is called with, and whether every call whose extra
    arguments look alike is its own.

    The tail's types come with the arguments, and each shape of tail has its trampoline.
    """
    fixed = len(declaration.argument_indices())
    types, values, all_alike = [], [], True
    for place, argument in enumerate(arguments[fixed:], 1):
        try:
            found, value, alike = _tail_argument(argument)
        except ForeignError as error:
            error.function = declaration.symbol
            error.args = (f"{declaration.symbol}(): extra argument {place}: {error.args[0]}",)
            raise
        types.append(found)
        values.append(value)
        all_alike = all_alike and alike
    key = tuple(types)
    if declaration.tails is None:
        declaration.tails = {}
    function = declaration.tails.get(key)
    if function is None:
        signature = declaration.signature
        trampoline = signature.compile(signature.parameters + key, len(signature.parameters))
        function = declaration.tails[key] = declaration.make(trampoline, declaration.known_address)
    return function, (*arguments[:fixed], *values), all_alike


def _tail_argument(argument: Any) -> tuple[CType, Any, bool]:
    """The type and the value of one extra argument, and whether an argument that looks alike has the same type: a pair
    says both; else C's default promotions (C11 §6.5.2.2), by which a struct stays itself and goes by value."""
    if isinstance(argument, (tuple, list)) and len(argument) == 2:
        found = ctype(argument[0])
        counted = array_of(found) is not None and array_of(found).counter is not None
        if found.code == "v" or (found.code == "s" and found.size is None) or is_output_only(found) or counted:
            raise ForeignTypeError(f"got {shorten(argument)}: no argument has type {found.spelling} here")
        alike = isinstance(argument[0], (CType, type)) or is_fixed(argument[0])
        if isinstance(found, Converted) and found.representation.code in "fbBhHcC?":  # which C promotes
            return *_tail_argument((found.representation, found.adapt(argument[1])))[:2], False
        if found.code == "f":
            found = WORDS["double"]
        elif found.code in "bBhHcC?" and found.size < WORDS["int"].size:
            return WORDS["int"], found.adapt(argument[1]), False  # a value out of its own type's range is refused
        return found, argument[1], alike
    if isinstance(argument, float):
        return WORDS["double"], argument, True
    if isinstance(argument, (str, bytes)):
        return WORDS["string"], argument, True
    if isinstance(argument, _backend.Guarded):
        from epsilon.structs import Struct

        if isinstance(argument, Struct):
            return type(argument).ctype, argument, True
    if hasattr(type(argument), "__index__"):
        number = WORDS["long-long"].taken(index, argument)
        alike = type(argument) in (int, bool)
        return (WORDS["int"] if -(2**31) <= number < 2**31 else WORDS["long-long"]), number, alike
    return VOID_POINTER_TYPE, argument, True


# --- floor 0's hooks ------------------------------------------------------------------------------------------------


def check_failed(*refused: Any) -> Any:
    """A check refused a result: ``results.check_failed``, which takes the hook's place when it is imported."""
    from epsilon import results

    return results.check_failed(*refused)


def take(*given: Any) -> Any:
    """A result is the caller's to free: ``results.take``, likewise."""
    from epsilon import results

    return results.take(*given)


def adapt(found: CType, value: Any) -> Any:
    return found.adapt(value)


def explain(who: Any, index: int, error: BaseException) -> BaseException:
    """Put the function and the parameter (``index`` -1: the result, -2: on_error's) into a conversion's error."""
    if not isinstance(error, ForeignError) or error.function is not None:
        return error
    if isinstance(who, Declaration):
        error.function = who.symbol
        head, signature, names = f"{who.symbol}()", who.signature, who.names
        if index >= len(names):
            error.args = (f"{head}: extra argument {index - len(names) + 1}: {error.args[0]}",)
            return error
        name = "" if index < 0 or names[index] is None else f" {names[index]!r}"
    elif isinstance(who, _backend.Trampoline):
        head, signature, name = f"trampoline of {who.signature}", who.signature, ""
    else:
        named = {-1: "the result", -2: "the answer of on_error"}
        place = named.get(index) or f"parameter {index + 1}"
        error.args = (f"callback {getattr(who, '__qualname__', who)}: {place}: {error.args[0]}",)
        return error
    found = signature.result if index < 0 else signature.parameters[index]
    place = "result" if index < 0 else f"parameter {index + 1}{name}"
    error.args = (f"{head}: {place} ({found.spelling}): {error.args[0]}",)
    return error


def undecodable(found: Any, value: bytes) -> NoReturn:
    found.decode(value)
    raise AssertionError("floor 0 found bytes undecodable that Python decodes")


def arrange(who: Any, arguments: tuple, keywords: dict[str, Any] | None) -> Any:
    """The positional arguments of a call that came otherwise."""
    if not isinstance(who, Declaration):
        wanted = who.signature
        count = len(wanted.parameters) - len(wanted.filled) - sum(map(is_output_only, wanted.parameters))
        raise ForeignTypeError(f"trampoline of {wanted}: call it with an address and {count} arguments, by "
                               f"position; {len(arguments)} given")  # fmt: skip
    names = who.argument_names
    if keywords:
        given = dict(zip(names, arguments, strict=False))
        for name, value in keywords.items():
            if name not in names:
                if name.replace("_", "-") in WORDS:
                    text = f"{name!r} is a type, not a parameter; in Hy a bare keyword in a call is a keyword argument"
                    raise ForeignTypeError(f"{who}: {text}", function=who.symbol)
                raise ForeignTypeError(
                    f"{who}: no parameter is called {name!r}{nearest(name, names)}", function=who.symbol
                )
            if name in given:
                raise ForeignTypeError(f"{who}: parameter {name!r} is given twice", function=who.symbol)
            given[name] = value
        missing = [name for name in names if name not in given]
        if not missing:
            arguments = tuple(given[name] for name in names) + arguments[len(names) :]
    if len(arguments) != len(names) and not (who.signature.variadic and len(arguments) > len(names)):
        raise ForeignTypeError(
            f"{who}: {len(names)} argument{'s' * (len(names) != 1)} wanted"
            f"{' (' + ', '.join(names) + ')' if names else ''}, {len(arguments) + len(keywords or ())} given",
            function=who.symbol,
        )
    return arguments


def retrying(declaration: Declaration) -> None:
    """A call that failed is about to be made again, unless it was cancelled."""
    from epsilon import _interrupts

    _interrupts.check()


def callback_closed(name: str, file: str | None, line: int) -> CallbackClosedError:
    where = (
        f"was closed at {file}:{line}"
        if file
        else "was garbage-collected (keep a reference for as long as C may call it)"
    )
    return CallbackClosedError(f"C called the callback {name}, which {where}")


def memory_ended(memory: Any) -> NoReturn:
    if _backend.is_alive(memory):
        raise ForeignMemoryError(f"use of {memory!r} on another thread than the one that it is confined to")
    raise ForeignMemoryError(
        f"use of {memory!r} after its end: it was freed at {_backend.ended_at(memory) or 'an unknown place'}"
        f"{allocation_of(memory)}"
    )


def memory_in_use(memory: Any) -> NoReturn:
    from epsilon.ownership import kept_since

    kept_at = kept_since(memory)
    if kept_at is not None:
        user = f"C keeps it since {kept_at}; foreign_release says when it does no longer"
    elif _backend.exports_of(memory):
        user = "a buffer of it, such as a memoryview or a NumPy array, is in use; release it first"
    else:
        user = "it is in use by a call on another thread"
    raise ForeignMemoryError(f"{memory!r} cannot end: {user}{allocation_of(memory)}")


def buffer_shown(memory: Any) -> tuple[bytes | None, int]:
    """What memory shows through the buffer protocol: ``exports.shown``, which is imported at the first buffer."""
    from epsilon.exports import shown

    return shown(memory)


def allocation_of(memory: Any) -> str:
    """Where guarded memory was allocated, for an error, if that was recorded; its type says its size in any case."""
    site = _backend.allocated_at(memory)
    return f"; its {_backend.size_of(memory)} bytes were allocated at {site}" if site else ""


def library_closed(declaration: Declaration) -> NoReturn:
    raise ForeignError(
        f"{declaration}: the library {declaration.library.name!r} is closed", function=declaration.symbol
    )


def another_exception(first: BaseException, later: BaseException) -> None:
    """A second callback of one foreign call failed: the first exception is raised, the later one is its note."""
    note = f"and then, in the same foreign call: {type(later).__name__}: {later}"
    if hasattr(first, "add_note"):
        first.add_note(note)
    else:
        first.__notes__ = [*getattr(first, "__notes__", ()), note]


def callback_cdata(callback: Any) -> Any:
    """A cffi function pointer to a callback."""
    signature = callback.signature
    backend = cffi.new_pointer_type(WORDS["void"].backend) if signature is None else signature.function_type().backend
    return cffi.cast(backend, callback.address)


def depart(made: tuple) -> None:
    """C is about to get, for good, what some of the arguments became."""
    from epsilon import ownership

    ownership.depart(made)


def hand_over(handed: Any, value: Any) -> Any:
    """What is passed for a value that C keeps: ``ownership.hand_over``, which is imported for the first of them."""
    from epsilon import ownership

    return ownership.hand_over(handed, value)


def null_pointer(found: CType) -> NoReturn:
    raise ForeignValueError(f"C passed NULL where a {found.spelling} to read from was declared")


def call_pointer(target: FunctionType, pointer: Any) -> Any:
    """The Python callable for a function pointer that C gave."""
    signature = signature_of(target.result, target.parameters, target.variadic, target.abi)
    return function_at(int(cffi.cast(WORDS["uintptr"].backend, pointer)), signature)


_backend.set_hooks(
    adapt=adapt, explain=explain, undecodable=undecodable, check_failed=check_failed, retrying=retrying, take=take,
    arguments=arrange, tail=tail, closed=callback_closed, dead=memory_ended, library_closed=library_closed,
    another=another_exception, cdata=callback_cdata, null_pointer=null_pointer, type_error=ForeignTypeError,
    in_use=memory_in_use, depart=depart, shown=buffer_shown,
)  # fmt: skip
type_hooks["call_pointer"] = call_pointer
type_hooks["hand_over"] = hand_over


def _later(name: str, module: str) -> None:
    """Let the hook ``name`` be set by its module, which is imported when the hook is first called."""

    def first(*arguments: Any) -> Any:
        from importlib import import_module

        import_module(module)
        return type_hooks[name](*arguments)

    type_hooks[name] = first


_later("array_taker", "epsilon.memory")
_later("copy_struct", "epsilon.views")
_later("own", "epsilon.memory")
_later("wrap_callable", "epsilon.callbacks")


# --- one call, without a binding ------------------------------------------------------------------------------------

_called: dict[tuple, Any] = {}


def shared_call(target: Any, result: Any, *rest: Any) -> Any:
    """Call ``(symbol, library)`` with the given result type, parameter types and arguments.

    The function is bound once for each symbol, library and signature.  A registered name may stand in place of the
    types.

    >>> shared_call(("strlen", "libc"), "unsigned-long", ["string"], "hello")
    5
    """
    if result in registry if word_of(result) else False:
        signature, arguments = registry[result], rest
    elif not rest:
        raise ForeignTypeError(
            f"shared_call({shorten(target)}, {shorten(result)}): the list of parameter types is missing"
        )
    else:
        signature, arguments = Signature(result, rest[0]), rest[1:]
    return bound(target, signature)(*arguments)


def bound(target: Any, signature: Signature) -> Any:
    """The function of ``(symbol, library)`` with this signature, bound once."""
    from epsilon.libraries import library_for

    symbol, name = read_target(target)
    key = (symbol, name, signature)
    function = _called.get(key)
    if function is None or function.cell.closed:
        function = _called[key] = Declaration((symbol,), library_for(name), signature).function()
    return function


def read_target(target: Any) -> tuple[str, Any]:
    items = list(target) if isinstance(target, Sequence) and not isinstance(target, (str, bytes)) else None
    if items is not None and len(items) == 2 and word_of(items[0]) == "quote" and not isinstance(items[1], str):
        return read_target(items[1])
    if items is None or len(items) != 2 or word_of(items[0]) is None:
        raise ForeignTypeError(
            f"a function is named by (symbol, library), such as ('strlen', 'libc'); not by {shorten(target)}"
        )
    library = word_of(items[1])
    return word_of(items[0]), library if library is not None else items[1]
