"""Inline functions and function-like macros, made callable: one compiled library has them all, under its own names."""

from __future__ import annotations

from collections.abc import Iterable

from epsilon.errors import ForeignTypeError
from epsilon.headers import macros, wrapper_library
from epsilon.headers.definitions import definitions_of
from epsilon.headers.facts import Facts, Skipped
from epsilon.headers.proof import Layouts
from epsilon.typesystem import VOID, FunctionType

_INLINE, _MACRO = "epsilon_inline_", "epsilon_macro_"


def wrap(unit, facts: Facts, libraries: Iterable[str] = ()) -> None:
    """Compile ``facts.inlines`` and the function-like macros of ``unit`` whose parameters' types can be told.

    ``facts.wrappers`` becomes the library's path, ``facts.macros`` is filled, and ``symbol`` is in both tables the name
    that the library exports.  What does not compile, or uses what none of the ``libraries`` has (paths, or names as
    for ``-l``), moves to ``facts.skipped``.  Raises ``CompilerError`` where there is no compiler.
    """
    definitions = definitions_of(unit)
    layouts = Layouts(facts)
    alias = _alias_of_darwin if "__APPLE__" in definitions else _alias
    lines = {
        _INLINE + name: alias(name, one.symbol or name)
        for name, one in facts.inlines.items() if unit.request.wants(name)
    }  # fmt: skip
    typed = {_INLINE + name: text for name in facts.inlines if (text := _typed(name, facts, layouts))}
    found = macros.find(unit, facts, definitions, _MACRO)
    lines.update((one.function.symbol, one.line) for one in found.values())
    path, refused = wrapper_library.build(unit, definitions, lines, typed, libraries)
    for name in list(facts.inlines):
        one = facts.inlines[name]
        if reason := refused.get(_INLINE + name):
            del facts.inlines[name]
            facts.skipped[name] = Skipped("inline function", facts.files[one.place[0]], one.place[1], reason)
        else:
            facts.inlines[name] = one._replace(symbol=_INLINE + name)
    for name, (function, _) in found.items():
        if reason := refused.get(function.symbol):
            facts.skipped[name] = Skipped("macro", unit.files[function.place[0]], function.place[1], reason)
        else:
            facts.macros[name] = function
    facts.wrappers = path


def _typed(name: str, facts: Facts, layouts: Layouts) -> str | None:
    """A function that calls another: for those that the compiler only ever inlines (GCC's ``gnu_inline``, as the
    intrinsics have it), whose body no alias has it put out."""
    try:
        ctype = layouts.read(facts.inlines[name].prototype)[1]
    except ForeignTypeError:
        return None
    if not isinstance(ctype, FunctionType) or ctype.variadic:
        return None
    arguments = [f"epsilon_p{index}_" for index in range(len(ctype.parameters))]
    parameters = [one.declare(argument) for one, argument in zip(ctype.parameters, arguments, strict=True)]
    head = ctype.result.declare(f"{_INLINE}{name}({', '.join(parameters) or 'void'})")
    leave = "" if ctype.result is VOID else "return "
    return f"{wrapper_library.EXPORTED} {head} {{ {leave}{name}({', '.join(arguments)}); }}"


def _alias_of_darwin(name: str, _symbol: str) -> str:
    """The same in the assembler's words: Mach-O's linker knows no ``alias`` attribute."""
    kept = f"static void *const epsilon_kept_{name} __attribute__((used)) = (void *){name};"
    assembled = f".globl _{_INLINE}{name}\\n.set _{_INLINE}{name}, _{name}"
    return f'extern __typeof__({name}) {name}; {kept} __asm__("{assembled}");'


def _alias(name: str, symbol: str) -> str:
    """A second name for a function, which is exported.  An alias needs no types, and has the compiler put out a body
    that nothing calls.

    ``extern`` before it does so for an ``inline`` that is not ``static`` (C11 §6.7.4p7), and changes nothing for a
    static function (§6.2.2p4).
    """
    return (
        f"extern __typeof__({name}) {name}; {wrapper_library.EXPORTED} extern __typeof__({name}) {_INLINE}{name} "
        f'__attribute__((alias("{symbol}")));'
    )
