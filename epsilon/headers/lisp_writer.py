"""Writes bindings as a Hy module: the forms that a person would write, in the header's order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from epsilon.headers.outline import (
    MOST,
    Alias,
    Bound,
    Enumerated,
    Inline,
    Outline,
    Standing,
    Structure,
    attributes,
    in_blocks,
    member_text,
    plain,
    prototype,
    wrapped,
)
from epsilon.typesystem import TYPEDEFS, WORDS, Array, CType, Pointer, String

_WORD_OF = {found: word for word, found in reversed(list(WORDS.items()))}
_NAME_OF = {found: name for name, found in TYPEDEFS.items()}


def write(outline: Outline, title: str) -> str:
    """The text of the module; ``title`` is what its docstring begins with."""
    body = list(_body(outline))
    text = "\n".join(body)
    macros = [macro for macro in _MACROS if f"({macro} " in text]
    names = [name for name in ("expect-layout",) if f"({name} " in text]
    escaped = title.replace("\\", "\\\\").replace('"', '\\"')
    lines = [f'"{escaped}"', ""]
    if macros:  # what loads a compiled module needs their expansions only
        lines.append(f"(eval-when-compile (require epsilon [{' '.join(macros)}]))")
    if names:
        lines.append(f"(import epsilon [{' '.join(names)}])")
    return "\n".join([*lines, *body]).rstrip() + "\n"


_MACROS = ("declare-c", "define-c-enum", "define-c-struct", "define-c-struct-auto", "define-c-type", "define-c-union",
           "defcvar", "defshared")  # fmt: skip


def _body(outline: Outline) -> Iterator[str]:
    if outline.left_out:
        yield from ["", ";;; Left out"]
        for reason, names in outline.left_out.items():
            yield from wrapped([f"{reason}:"], ";;")
            yield from wrapped(names, ";;  ")
    if outline.constants:
        yield from ["", ";;; Constants", "(setv"]
        lines = [f"  {value.variable} {literal(value.value)}" for value in outline.constants]
        yield from lines[:-1]
        yield f"{lines[-1]})"
    if outline.opaque or outline.types:
        yield from ["", ";;; Types"]
        yield from (_alias(each) for each in outline.opaque)
        for each in outline.types:
            yield from _type(each)
    if outline.functions:
        yield from ["", ";;; Functions"]
        yield from _functions(outline.functions)
    if outline.variables:
        yield from ["", ";;; Variables"]
        for each in outline.variables:
            yield f"(defcvar {each.variable} {literal(each.symbol)} {literal(each.library)} {lisp_type(each.type)})"


# --- values ---------------------------------------------------------------------------------------------------------


def literal(value: Any) -> str:
    """A constant as Hy reads it."""
    if isinstance(value, bytes):
        return 'b"' + "".join(chr(byte) if chr(byte).isprintable() and byte < 127 and chr(byte) not in '"\\'
                              else f"\\x{byte:02x}" for byte in value) + '"'  # fmt: skip
    if isinstance(value, str):
        return f'"{_escaped(value)}"'
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Inf" if value > 0 else "-Inf"
    return repr(value)


def _escaped(text: str) -> str:
    """Text for between two quotation marks."""
    return "".join(
        {'"': '\\"', "\\": "\\\\", "\n": "\\n"}.get(each) or (each if each.isprintable() else f"\\U{ord(each):08x}")
        for each in text
    )


# --- types ----------------------------------------------------------------------------------------------------------


def lisp_type(found: CType) -> str:
    """A type as a form has it: keywords where they say all of it, else C text."""
    word = _WORD_OF.get(found)
    if word is not None:
        return f":{word}"
    if found in _NAME_OF:
        return f":{_NAME_OF[found]}"
    if isinstance(found, Standing):
        return f"(:{found.kind} {found.name})" if found.kind else f":{found.name}"
    if isinstance(found, Pointer) and not found.const and not _binds(found.target):
        return f"(:pointer {lisp_type(found.target)})"
    if isinstance(found, Array) and not _binds(found.target):
        length = "" if found.length is None else f" {found.length}"
        return f"(:array {lisp_type(found.target)}{length})"
    return f'"{found.spelling}"'


def _binds(found: CType) -> bool:
    """Whether a type is better left to C text: a function's, or a pointer to a const pointer."""
    return not isinstance(found, Array) and (found.binds_tighter or (found.is_pointer and _is_text(found)))


def _is_text(found: CType) -> bool:
    return not isinstance(found, String) and lisp_type(found).startswith('"')


def _type(found: Any) -> Iterator[str]:
    if isinstance(found, Alias):
        yield _alias(found)
        if found.record is not None:
            yield f"(setv {found.variable} {found.record})"
    elif isinstance(found, Enumerated):
        yield from _enum(found)
    elif isinstance(found, Structure):
        yield from _structure(found)


def _alias(found: Alias) -> str:
    return f"(define-c-type {found.name}{'' if found.type is None else ' ' + lisp_type(found.type)})"


def _enum(found: Enumerated) -> Iterator[str]:
    yield f"(define-c-enum {found.variable}"
    following: int | None = 0
    for name, value in found.values:
        yield f"  :{name}" if value == following else f"  (:{name} {value})"
        following = value + 1
    yield f"  :type {lisp_type(found.type)})"


def _structure(found: Structure) -> Iterator[str]:
    body = found.body
    plain_members = all(member.name is not None and not _has_inline(member.ctype) for member in body.members)
    asked = body.rules
    options = (" :packed True" if asked.packed else f" :packed {asked.pack}" if asked.pack else "") + (
        f" :align {asked.align}" if asked.align > 1 else ""
    )
    if plain_members and found.variable == found.tag:
        lines = [f"({member.name} {lisp_type(member.ctype)}{_member_options(member)})" for member in body.members]
        yield f"(define-c-{found.kind} {found.tag}"
        yield from (f"  {line}" for line in lines[:-1])
        yield f"  {lines[-1]}{options})"
    else:
        yield f'(define-c-struct-auto {found.variable} "{found.kind} {found.tag} {{'
        yield from (f"  {member_text(member)};" for member in body.members)
        closing = "}" + attributes(asked.packed, asked.align if asked.align > 1 else None)
        yield f'{closing};"{f" :packed {asked.pack}" if asked.pack else ""})'
    yield f"(expect-layout {found.variable} {found.row.size} {found.row.alignment}"
    yield from _places(found.row.members)


def _member_options(member: Any) -> str:
    asked = (("bits", member.bits), ("packed", True if member.packed else None), ("align", member.align))
    return "".join(f" :{name} {value}" for name, value in asked if value is not None)


def _places(members: Sequence[tuple[str, int, int]]) -> list[str]:
    words = [f'"{name}" {place}' for name, place in places(members).items()]
    lines = wrapped(words, " ", 116)
    if not lines:
        return ["  {})"]
    return [("  {" if index == 0 else "   ") + line.strip() + ("})" if index + 1 == len(lines) else "")
            for index, line in enumerate(lines)]  # fmt: skip


def places(members: Sequence[tuple[str, int, int]]) -> dict[str, str]:
    """Where members lie, as ``expect_layout`` takes it: bytes, or of a bit-field its bits."""
    return {name: f"[{first} {bits}]" if first % 8 or bits % 8 else str(first // 8) for name, first, bits in members}


def _has_inline(found: CType) -> bool:
    return isinstance(found, Inline) or any(map(_has_inline, _targets(found)))


def _targets(found: CType) -> tuple[CType, ...]:
    target = getattr(found, "target", None)
    if target is None:
        return ()
    return (target.result, *target.parameters) if hasattr(target, "result") else (target,)


# --- functions ------------------------------------------------------------------------------------------------------


def lisp_name(name: str) -> str:
    """A function's name with dashes, which is the same name to Hy."""
    bare = name.strip("_")
    return name.replace(bare, bare.replace("_", "-")) if bare and "__" not in bare else name


def _functions(functions: Sequence[Bound]) -> Iterator[str]:
    if len(functions) <= MOST:
        yield from map(_defshared, functions)
        return
    yield ";; They are many: each is read when it is first asked for."
    blocks, names = in_blocks(functions)
    for index, (library, found) in enumerate(blocks.items(), 1):
        yield '(declare-c "'
        yield from (f"  {prototype(each)};" for each in found)
        yield f'  " :library {literal(library)} :as _functions_{index} :lazy True)'
    listed = " ".join(f"_functions_{index}" for index in range(1, len(blocks) + 1))
    yield "(import epsilon.lazy [attributes])"
    if not names:
        yield f"(setv [__getattr__ __dir__] (attributes (globals) {listed}))"
        return
    yield f"(setv [__getattr__ __dir__] (attributes (globals) {listed} :names {{"
    lines = wrapped([f'"{name}" "{symbol}"' for name, symbol in names.items()], " ", 114)
    yield from lines[:-1]
    yield f"{lines[-1]}}}))"


def _defshared(found: Bound) -> str:
    parameters = [
        f"({plain(name) if name else f'arg{place}'} {lisp_type(type)})"
        for place, (name, type) in enumerate(found.parameters, 1)
    ] + ["..."] * found.variadic
    names = f"{lisp_name(found.variable)} {literal(found.symbol)} {literal(found.library)}"
    head = f"(defshared {names} {lisp_type(found.result)}"
    line = " ".join([head, *parameters])
    if len(line) > 119:
        line = "\n".join([head, *wrapped(parameters, " ", 118)])
    return f"{line}\n  :doc {literal(found.doc)})" if found.doc else f"{line})"
