"""Signatures and their registry: what a function looks like to C, once for each meaning.

Equal signatures are the same object, whatever spelling they came from, and each has **one** trampoline, compiled on
first use and shared by every function and callback of the signature.  The registry is the mapping of names to
signatures that a user fills; the trampolines belong to the signatures themselves, so that nothing is compiled twice
for two names.
"""

from __future__ import annotations

import sys
from _collections_abc import Mapping  # collections.abc, without all of collections
from _thread import RLock

from epsilon import _backend
from epsilon.errors import ForeignTypeError, nearest, shorten
from epsilon.expressions import ctype, is_fixed, known_names, parameter_types, plain_word, spell, word_of
from epsilon.typesystem import (
    Array,
    CType,
    Direction,
    FunctionPointer,
    FunctionType,
    Handed,
    Required,
    StructCType,
    Void,
    array_of,
    bounded,
    check_callback,
    filled,
    linked,
    linked_result,
)

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence
    from typing import Any

ABIS = ("default", "cdecl", "system", "stdcall", "fastcall", "thiscall", "ms_abi", "sysv_abi")
#: the conventions of this platform that have a name: name → floor 0's number
CONVENTIONS: dict[str, int] = _backend.implementation.conventions()

#: bytes that one call passes by value; a thread's stack may be as small as 128 KiB (musl)
_LARGEST_CALL = 65536

_lock = RLock()
_interned: dict[tuple, Signature] = {}
#: spellings that always mean the same → signature: most bindings and callbacks come this way
_spelled: dict[tuple, Signature] = {}
_counters = {"hits": 0, "misses": 0}


class Signature:
    """The result type, the parameter types, whether more arguments may follow (``variadic``), and the convention.

    >>> Signature("int", ["int", "int"]) is Signature(":int", ("int", "signed int"))
    True
    >>> Signature("unsigned-long", ["string"])
    <Signature unsigned long (const char *)>
    """

    __slots__ = (
        "__weakref__", "_calls_back", "_trampoline", "abi", "entry", "filled", "parameters", "result", "variadic",
    )  # fmt: skip
    #: the parameters that take no argument because an array's length goes there, as indices
    filled: frozenset[int]
    result: CType
    parameters: tuple[CType, ...]
    variadic: bool
    abi: str
    #: whether there is a compiled entry; None until somebody looked
    entry: bool | None

    def __new__(cls, result: Any, parameters: Any = (), variadic: bool = False, abi: str = "default") -> Signature:
        try:
            key = (result, tuple(parameters), variadic, abi)
            return _spelled[key]
        except KeyError:
            fixed = is_fixed(result) and all(map(is_fixed, key[1]))
        except TypeError:  # a list in it, or no sequence: no key
            fixed = False
        types, ellipsis = parameter_types(parameters)
        found = signature_of(ctype(result), types, variadic or ellipsis, abi)
        if fixed:
            _spelled[key] = found
        return found

    @property
    def trampoline(self) -> Any:
        """The trampoline of this signature, compiled on first use."""
        found = self._trampoline
        if found is not None:
            _counters["hits"] += 1
            return found
        with _lock:
            if self._trampoline is None:
                _counters["misses"] += 1
                self._trampoline = self.compile(self.parameters, len(self.parameters) if self.variadic else -1)
            return self._trampoline

    @property
    def callback_trampoline(self) -> Any:
        """The same, for a callback; raises for a signature that none can have."""
        if not self._calls_back:
            if self.variadic:
                raise ForeignTypeError("a callback cannot be variadic: C's va_list does not say what was passed")
            check_callback(self.result, self.parameters)
            made = self.trampoline
            self.find_callback_entry()
            self._calls_back = True
            return made
        return self.trampoline

    def compile(self, parameters: tuple[CType, ...], fixed: int = -1) -> Any:
        """A new trampoline for these parameters; ``fixed`` is how many come before a variadic tail."""
        self.check_size(parameters)
        forced = "libffi" if _backend.strategy == "libffi" else None
        converters = tuple(parameter.converter for parameter in parameters)
        arrays = None
        if any(array_of(parameter) is not None for parameter in parameters) or bounded(self.result, parameters):
            from epsilon.array_plans import plan_of

            arrays = plan_of(self.result, parameters)
        convention = CONVENTIONS[self.abi]
        return _backend.Trampoline(self, self.result.converter, converters, fixed, forced, convention, arrays)

    def callbacks(self) -> Iterator[Signature]:
        """The signatures of callbacks that are known from this one: itself, if there were any, and its parameters'."""
        if self._calls_back:
            yield self
        for parameter in self.parameters:
            kept = parameter.target if isinstance(parameter, Handed) else parameter
            base = kept.base if isinstance(kept, Required) else kept
            if isinstance(base, FunctionPointer) and not base.target.variadic:
                target = base.target
                yield signature_of(target.result, target.parameters, target.variadic, target.abi)

    def find_entry(self) -> None:
        """Look for the compiled entry, and have the trampoline take it."""
        if _backend.may_have_entries():
            from epsilon import entries

            entries.prepare(self)
        self.entry = self._trampoline is not None and self._trampoline.strategy == "compiled"

    def find_callback_entry(self) -> None:
        """The same for callbacks: when the first of them is made, and by ``registry.compile``."""
        if _backend.may_have_entries():
            from epsilon import entries

            entries.prepare_callbacks(self)

    def check_size(self, parameters: tuple[CType, ...]) -> None:
        """Refuse what the C stack could not hold: C11 §5.2.4.1 asks of a compiler for 127 arguments."""
        passed = [parameter.representation for parameter in parameters]
        for found in (*passed, self.result.representation):
            if isinstance(found, StructCType) and found.not_by_value:
                raise ForeignTypeError(
                    f"{found.spelling} cannot be passed by value: {found.not_by_value}; pass a pointer to it"
                )
        size = sum(found.size if isinstance(found, StructCType) else 8 for found in passed)
        if size > _LARGEST_CALL:
            raise ForeignTypeError(
                f"{len(parameters)} parameters of {size} bytes in all: a call passes at most {_LARGEST_CALL} bytes"
            )

    def function_type(self) -> FunctionType:
        return FunctionType(self.result, self.parameters, self.variadic, self.abi)

    def prototype(self, name: str, names: Sequence[str | None] = ()) -> str:
        """The C declaration of a function of this signature.

        >>> Signature("unsigned-long", ["string"]).prototype("strlen", ["s"])
        'unsigned long strlen(const char *s)'
        """
        parts = [
            parameter.declare((names[index] if index < len(names) else None) or "").rstrip()
            for index, parameter in enumerate(self.parameters)
        ]
        if self.variadic:
            parts.append("...")
        return self.result.declare(f"{name}({', '.join(parts) or 'void'})")

    def __str__(self) -> str:
        return self.prototype("").replace("(", " (", 1).replace("  (", " (")

    def __repr__(self) -> str:
        return f"<Signature {self}>"

    def __reduce__(self):
        return (signature_of, (self.result, self.parameters, self.variadic, self.abi))

    def __copy__(self) -> Signature:
        return self

    def __deepcopy__(self, memo: object) -> Signature:
        return self


def signature_of(
    result: CType, parameters: tuple[CType, ...], variadic: bool = False, abi: str = "default"
) -> Signature:
    """The interned signature of these types."""
    if type(abi) is not str:
        abi = _check_abi(abi)
    key = (result, parameters, variadic, abi)
    found = _interned.get(key)
    if found is not None:
        return found
    abi = _check_abi(abi)
    if isinstance(result, (Direction, Array, Handed)) or result.representation.code in "yY":
        raise ForeignTypeError(f"a C function cannot return {result.spelling} (declared as {spell(result)})")
    if result.size is None and not isinstance(result, Void):
        raise ForeignTypeError(f"a function cannot return {result.spelling}, whose definition is not known")
    for index, parameter in enumerate(parameters, 1):
        if parameter.code == "v":
            raise ForeignTypeError(f"parameter {index} has type {parameter.spelling}, which has no values")
        if parameter.code == "s" and parameter.size is None:
            raise ForeignTypeError(f"parameter {index} is {parameter.spelling}, whose definition is not known")
    parameters = linked(parameters)
    result = linked_result(result, parameters)
    with _lock:
        self = object.__new__(Signature)
        self.filled = filled(parameters)
        self.result, self.parameters, self.variadic, self.abi = result, parameters, variadic, abi
        self._trampoline, self._calls_back, self.entry = None, False, None
        canonical = _interned.setdefault((result, parameters, variadic, abi), self)
        _interned[key] = canonical
    return canonical


def _check_abi(abi: Any) -> str:
    """The one name of a calling convention: where two names mean the same, ``default`` or the plainer one."""
    word = plain_word(word_of(abi) or "").replace("-", "_")
    if word == "system":  # what Windows' own libraries use
        word = "stdcall" if sys.platform == "win32" and "stdcall" in CONVENTIONS else "default"
    if word in CONVENTIONS:
        return word if CONVENTIONS[word] != CONVENTIONS["default"] else "default"
    if word in ABIS:
        raise ForeignTypeError(f"the calling convention {word!r} does not exist on this platform; it has "
                               f"{', '.join(sorted({*CONVENTIONS, 'system'}))}")  # fmt: skip
    raise ForeignTypeError(f"unknown calling convention {shorten(abi)}{nearest(word, ABIS)}")


class Registry(Mapping):
    """The mapping of registered names to signatures; ``epsilon.registry`` is the one there is.

    >>> registry = Registry()
    >>> registry.register("length", "unsigned-long", ["string"])
    <Signature unsigned long (const char *)>
    >>> registry["length"].parameters
    (<CType 'const char *'>,)
    """

    def __init__(self) -> None:
        self._names: dict[str, Signature] = {}

    def __getitem__(self, name: Any) -> Signature:
        word = word_of(name)
        found = self._names.get(word.lstrip("':")) if word else None
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._names))

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"<registry of {len(self._names)} names, {len(self.signatures())} signatures>"

    def register(self, name: Any, result: Any, parameters: Any = (), *, replace: bool = False, abi: str = "default"):
        """Give a signature a name that then serves wherever types do.

        Raises ``ForeignTypeError`` for a name that is a type, or that already means another signature (unless
        ``replace``).
        """
        word = (word_of(name) or "").lstrip("':")
        if not word or any(letter.isspace() or letter in "(*" for letter in word):
            raise ForeignTypeError(f"a signature's name is a word, not {shorten(name)}")
        if not {word, plain_word(word), word.replace("-", "_")}.isdisjoint(known_names()):
            raise ForeignTypeError(f"{word!r} is a type and cannot name a signature")
        signature = Signature(result, parameters, abi=abi)
        with _lock:
            known = self._names.get(word)
            if known is not None and known is not signature and not replace:
                raise ForeignTypeError(f"{word!r} is registered as {known} already, and {signature} is another "
                                       "signature; pass replace=True to replace it")  # fmt: skip
            self._names[word] = signature
        return signature

    def trampoline(self, result: Any, parameters: Any = ()) -> Any:
        """The one trampoline of a signature: ``trampoline(address, *arguments)``."""
        return Signature(result, parameters).trampoline

    def signatures(self) -> tuple[Signature, ...]:
        """Every signature that has been made."""
        with _lock:
            return tuple(dict.fromkeys(_interned.values()))

    def stats(self) -> dict[str, Any]:
        """How much was compiled and used: ``trampolines`` there are, ``hits`` and ``misses`` of the lookup, and for
        each signature with a trampoline its ``calls``, ``callbacks``, ``strategy`` and ``callback_strategy``."""
        compiled = {found: found._trampoline for found in self.signatures() if found._trampoline is not None}
        return {
            "trampolines": len(compiled),
            **_counters,
            "signatures": {
                found: {
                    "calls": made.calls,
                    "callbacks": made.callbacks,
                    "strategy": made.strategy,
                    "callback_strategy": made.callback_strategy,
                }
                for found, made in compiled.items()
            },
        }

    def compile(self) -> dict[Signature, str]:
        """Build the compiled entries of every signature that has been made, in one library of the cache, where this
        process and later ones find them by themselves; and those of the callbacks, of the signatures that callbacks
        were made of and of the parameters that are functions.

        Gives the signatures that have none, each with the reason: they are called as before, and so are their
        callbacks.  A function that was called already keeps its entry until its ``strategy`` is asked for; callbacks
        take theirs at once.  Raises ``CompilerError`` without a C compiler or the shim.
        """
        from epsilon import entries

        made = self.signatures()
        called_back = dict.fromkeys(found for one in made for found in one.callbacks())
        left, left_callbacks = entries.compile_all(made, called_back)
        for signature in made:
            signature.entry = None
        for signature in called_back:
            signature.find_callback_entry()
            reasons = {"function": left.get(signature), "callback": left_callbacks.get(signature)}
            if any(reasons.values()):
                left[signature] = "; ".join(f"as a {what}, {why}" for what, why in reasons.items() if why)
        return left

    def save(self, path: str | os.PathLike) -> None:
        """Write the registered names to a file that :meth:`load` reads (JSON; types as type expressions)."""
        import json

        entries = {
            name: {
                "result": spell(found.result),
                "parameters": [spell(parameter) for parameter in found.parameters] + ["..."] * found.variadic,
                "abi": found.abi,
            }
            for name, found in sorted(self._names.items())
        }
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"epsilon-registry": 1, "signatures": entries}, file, indent=1)
            file.write("\n")

    def load(self, path: str | os.PathLike, *, replace: bool = False) -> None:
        """Register every name of a file that :meth:`save` wrote."""
        import json

        try:
            with open(path, encoding="utf-8") as file:
                content = json.load(file)
            if content["epsilon-registry"] != 1:
                raise ValueError(f"version {content['epsilon-registry']} of the format")
            entries = content["signatures"]
            saved = {name: (entry["result"], entry["parameters"], entry["abi"]) for name, entry in entries.items()}
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ForeignTypeError(f"{str(path)!r} is no file that registry.save wrote: {error!r}") from error
        for name, (result, parameters, abi) in saved.items():
            self.register(name, result, parameters, replace=replace, abi=abi)


registry = Registry()


def register_signature(name: Any, result: Any, parameters: Any = (), *, replace: bool = False, abi: str = "default"):
    """``registry.register``: give a signature a name that then serves wherever types do.

    >>> register_signature("strcmp-like", "int", ["string", "string"])
    <Signature int (const char *, const char *)>
    """
    return registry.register(name, result, parameters, replace=replace, abi=abi)


def get_or_create_trampoline(result: Any, parameters: Any = ()) -> Any:
    """The one trampoline of a signature, a callable ``trampoline(address, *arguments)``.

    >>> get_or_create_trampoline("int", ["int"]) is get_or_create_trampoline("int", ["signed int"])
    True
    """
    return registry.trampoline(result, parameters)
