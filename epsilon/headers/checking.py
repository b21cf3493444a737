"""Holds what a source file declares against what headers declare, and says what differs, at its line.

``sources`` has what a file declares, ``fact_types`` what the headers mean, ``comparing`` which types agree.
"""

from __future__ import annotations

import os
from collections import namedtuple
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

from epsilon.errors import ForeignError, nearest
from epsilon.headers import sources
from epsilon.headers.comparing import MEMORY, PARAMETER, RESULT, functions, layout, passes_variadic, shown, why_not
from epsilon.headers.fact_types import FactTypes
from epsilon.typesystem import CType, FunctionPointer, FunctionType
from epsilon.typesystem.enumerations import constant_name

#: ``is_note`` tells what was not checked from what differs
Finding = namedtuple("Finding", ["spot", "name", "message", "is_note"], defaults=(False,))
#: how much a name is like another that is probably meant: two letters that changed places in a word of six
_ALIKE = 0.82
#: The facts of some headers, their meaning, and how the headers were called.
Known = namedtuple("Known", ["types", "headers"])


def check(found: Iterable[Any], known: Known | None, load: Callable[[tuple[str, ...]], Known]) -> list[Finding]:
    """What differs between the declarations ``found`` and the headers: ``known``, those that were named for the whole
    file, or None; ``load`` gives what is known of those that a form names itself."""
    found = list(found)
    covered = _covered(found, known)
    findings: list[Finding] = []
    for each in found:
        if isinstance(each, sources.Broken):
            findings.append(Finding(each.spot, each.name, each.reason))
            continue
        own = getattr(each, "headers", ())
        held = load(own) if own else known
        if held is None:
            if not isinstance(each, (sources.Callback, sources.Enum, sources.Record)):
                findings.append(_note(each, f"not checked: no header named for {_quoted(each.library)}"))
            continue
        try:
            findings += _CHECKS[type(each)](each, held, bool(own) or getattr(each, "library", "") in covered)
        except ForeignError as error:  # the header's declaration is one that Epsilon cannot read
            findings.append(_note(each, f"not checked: {error.args[0]}"))
    return sorted(findings, key=lambda finding: finding.spot)


def _covered(found: list[Any], known: Known | None) -> set[str]:
    """The libraries that the headers are for: those of which they declare anything, or what is called much alike."""
    libraries: set[str] = set()
    if known is None:
        return libraries
    facts = known.types.facts
    names = [*facts.functions, *facts.variables]
    for each in found:
        if not isinstance(each, (sources.Function, sources.Variable)) or getattr(each, "headers", ()):
            continue
        symbols = each.symbols if isinstance(each, sources.Function) else (each.symbol,)
        if each.library in libraries or not symbols:
            continue
        if any(
            known.types.function(symbol) or symbol in facts.variables or get_close_matches(symbol, names, 1, _ALIKE)
            for symbol in symbols
        ):
            libraries.add(each.library)
    return libraries


def _note(found: Any, message: str) -> Finding:
    return Finding(found.spot, found.name, message, True)


def _quoted(library: str) -> str:
    return f"the library {library!r}" if library else "it"


def _from(known: Known) -> str:
    return ", ".join(os.path.basename(header) for header in known.headers)


def place(known: Known, where: tuple[int, int]) -> str:
    """``header.h:12``."""
    return f"{known.types.facts.files[where[0]]}:{where[1]}"


# --- functions ------------------------------------------------------------------------------------------------------


def check_function(found: sources.Function, known: Known, covered: bool) -> list[Finding]:
    """One function's findings: its symbol, its result, its parameters."""
    names = [name for name in map(known.types.function, found.symbols) if name is not None]
    if not names:
        return [_undeclared(found, found.symbols[0], known, covered)]
    return [finding for name in names[:1] for finding in _differences(found, name, known)]


def _undeclared(found: Any, symbol: str, known: Known, covered: bool) -> Finding:
    facts = known.types.facts
    headers = _from(known)
    kind = facts.skipped[symbol].kind if symbol in facts.skipped else ""
    if symbol in facts.inlines or kind == "inline function":
        return Finding(found.spot, found.name, f"{symbol} is a static inline function in {headers}: no library has it")
    if symbol in facts.macros or kind == "macro":
        return Finding(found.spot, found.name, f"{symbol} is a macro in {headers}: no library has it")
    if symbol in facts.skipped:
        skipped = facts.skipped[symbol]
        reason = f"{skipped.file}:{skipped.line}: {skipped.reason}"
        return _note(found, f"not checked: the header's declaration of {symbol} could not be read: {reason}")
    if isinstance(found, sources.Function) and symbol in facts.variables:
        return Finding(found.spot, found.name, f"{symbol} is a variable in C: {facts.variables[symbol].declaration}")
    if isinstance(found, sources.Variable) and symbol in facts.functions:
        return Finding(found.spot, found.name, f"{symbol} is a function in C: {facts.functions[symbol].prototype}")
    if not covered:
        return _note(found, f"not checked: no header named declares {symbol}, of {_quoted(found.library)}")
    known_names = facts.functions if isinstance(found, sources.Function) else facts.variables
    return Finding(found.spot, found.name, f"{headers} declares no {symbol}{nearest(symbol, known_names)}")


def _differences(found: sources.Function, name: str, known: Known) -> list[Finding]:
    types = known.types
    fact = types.facts.functions[name]
    actual = types.prototype(fact.prototype)
    tail = f"; {fact.prototype} [{place(known, fact.place)}]"
    mine, its = found.type, actual.type
    findings = []

    def differs(part: Any, what: str) -> None:
        findings.append(Finding(found.spots.get(part, found.spot), found.name, what + tail))

    reason = why_not(mine.result, its.result, RESULT, types)
    if reason is not None:
        differs("result", _both("the result", mine.result, its.result, reason))
    if fact.prototype.rstrip("; ").endswith("()"):
        return findings  # K&R: C does not say what it takes
    extra = mine.parameters[len(its.parameters) :]
    if len(mine.parameters) < len(its.parameters) or (extra and not its.variadic):
        differs(None, f"{_count(mine)}, in C {_count(its)}")
        return findings
    if mine.variadic and not its.variadic:
        differs(len(mine.parameters), "variadic, in C it is not")
    for index, (own, other) in enumerate(zip(mine.parameters, its.parameters, strict=False)):
        reason = why_not(own, other, PARAMETER, types)
        if reason is not None:
            label = (actual.parameters[index] if index < len(actual.parameters) else None) or ""
            if index < len(found.parameters):
                label = found.parameters[index] or label
            what = f"parameter {index + 1}" + (f" ({label})" if label else "")
            differs(index, _both(what, own, other, reason))
    for index, own in enumerate(extra, len(its.parameters)):
        if not passes_variadic(own):
            differs(index, f"parameter {index + 1} is {shown(own)}, which no variadic argument is: C promotes it")
    return findings


def _both(what: str, mine: CType, its: CType, reason: str) -> str:
    """Both sides of a difference, spelled in C."""
    if shown(mine) == shown(its):  # such as two structs of one tag
        return f"{what} is {shown(mine)}, and in C it is another" + (f": {reason}" if reason else "")
    return f"{what} is {shown(mine)}, in C it is {shown(its)}" + (f": {reason}" if reason else "")


def _count(found: FunctionType) -> str:
    count = len(found.parameters)
    return f"{count} parameter{'s' * (count != 1)}" + (" and more" if found.variadic else "")


# --- variables, types, constants ------------------------------------------------------------------------------------


def check_variable(found: sources.Variable, known: Known, covered: bool) -> list[Finding]:
    types = known.types
    fact = types.facts.variables.get(found.symbol) or next(
        (each for each in types.facts.variables.values() if each.symbol == found.symbol), None
    )
    if fact is None:
        return [_undeclared(found, found.symbol, known, covered)]
    _, actual, _, _ = types.read(fact.declaration)
    if getattr(actual, "target", None) is not None and not actual.is_pointer and actual.size is None:
        return []  # an array of unknown length, extern
    reason = why_not(found.ctype, actual, MEMORY, types)
    if reason is None:
        return []
    tail = f"; {fact.declaration} [{place(known, fact.place)}]"
    return [Finding(found.spot, found.name, _both("it", found.ctype, actual, reason) + tail)]


def check_record(found: sources.Record, known: Known, covered: bool) -> list[Finding]:
    types = known.types
    names = [found.name.replace("-", "_")] + ([found.ctype.tag] if found.ctype is not None else [])
    actual = next(filter(None, map(types.named_record, names)), None)
    if actual is None:
        if found.headers:
            tags = [key.split()[-1] for key in types.facts.records] + list(types.facts.typedefs)
            return [Finding(found.spot, found.name, f"{_from(known)} has no such struct{nearest(names[0], tags)}")]
        return [_note(found, "not checked: no header named has a struct of this name")]
    key = f"{actual.kind} {actual.tag}"
    record = types.facts.records.get(key)
    if record is None or record.definition is None:
        return [_note(found, f"not checked: the headers name {key}, and do not say what is in it")]
    if found.ctype is None:
        return [_note(found, f"not checked: {found.reason} is known at run time only")]
    if found.ctype.kind != actual.kind:
        return [Finding(found.spot, found.name, f"a {found.ctype.kind}, in C it is a {actual.kind}")]
    tail = f"; {key} [{place(known, record.place)}]"
    return [
        Finding(found.spots.get(member, found.spot), found.name, f"{member or 'it'} is {what}{tail}")
        for member, what in layout(found.ctype, actual.kind, actual.tag, types)
    ]


def check_enum(found: sources.Enum, known: Known, covered: bool) -> list[Finding]:
    facts = known.types.facts
    name = found.name.replace("-", "_")
    enum = facts.enums.get(name)
    if enum is None and name in facts.typedefs:
        actual = known.types.typedefs.get(name)
        enum = facts.enums.get(getattr(actual, "tag", ""))
    within = {} if enum is None else dict(enum.values)
    findings = []
    for written, value in found.constants:
        spot, constant = found.spots.get(written, found.spot), constant_name(written)
        real, right = _constant(constant, within, facts.constants)
        if real is not None and right != value:
            findings.append(Finding(spot, found.name, f"{written} is {value}, in C {real} is {right}"))
        elif real is None and within:
            near = nearest(constant, within)
            findings.append(Finding(spot, found.name, f"enum {name} has no {written} in C{near}"))
    if found.base is not None and enum is not None:
        _, base, _, _ = known.types.read(enum.type)
        if found.base.size != base.size:
            findings.append(Finding(found.spot, found.name, f"of type {shown(found.base)}, in C {shown(base)}"))
    return findings


def _constant(name: str, within: dict[str, int], constants: Any) -> tuple[str | None, Any]:
    """The constant of C that ``name`` means, and its value: by its own name, or without the enum's prefix."""
    if name in within:
        return name, within[name]
    ending = f"_{name.upper()}"
    matching = [each for each in within if each.upper() == name.upper() or each.upper().endswith(ending)]
    if len(matching) == 1:
        return matching[0], within[matching[0]]
    if not within and name in constants and isinstance(constants[name].value, int):
        return name, constants[name].value
    return None, None


# --- callbacks ------------------------------------------------------------------------------------------------------


def check_callback(found: sources.Callback, known: Known, covered: bool) -> list[Finding]:
    """Held against the parameters that it is passed as, and the function type that it bears the name of."""
    types = known.types
    findings = []
    for function, index in found.uses:
        name = next(filter(None, map(types.function, function.symbols)), None)
        if name is None:
            continue
        parameters = types.prototype(types.facts.functions[name].prototype).type.parameters
        wanted = parameters[index] if index < len(parameters) else None
        if isinstance(wanted, FunctionPointer):
            findings += _held(found, wanted.target, f"as parameter {index + 1} of {name}", types)
    named = types.typedefs.get(found.name.replace("-", "_")) if found.name else None
    if isinstance(named, FunctionPointer):
        named = named.target
    if isinstance(named, FunctionType):
        findings += _held(found, named, f"as a {found.name}", types)
    return list(dict.fromkeys(findings))


def _held(found: sources.Callback, wanted: FunctionType, what: str, types: FactTypes) -> list[Finding]:
    reason = functions(found.type, wanted, types, callback=True)
    if reason is None:
        return []
    text = wanted.declare("(*)").replace("(unnamed)", "{ … }")
    return [Finding(found.spot, found.name, f"{what}: {reason}; C calls a {text}")]


_CHECKS: dict[type, Callable[[Any, Known, bool], list[Finding]]] = {
    sources.Function: check_function,
    sources.Variable: check_variable,
    sources.Record: check_record,
    sources.Enum: check_enum,
    sources.Callback: check_callback,
}

