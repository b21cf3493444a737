"""Writes bindings as a Python module, and the stub that tells a type checker what is in it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from epsilon.headers.outline import (
    MOST,
    Alias,
    Bound,
    Enumerated,
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
from epsilon.typesystem import Boolean, Complex, CType, Integer, Real, String, Void


def write(outline: Outline, title: str) -> str:
    """The text of the module; ``title`` is what its docstring begins with."""
    lines = [docstring(title), "", "import epsilon"]
    if len(outline.functions) > MOST:
        lines.append("from epsilon.lazy import attributes")
    return "\n".join([*lines, *_body(outline)]).rstrip() + "\n"


def docstring(title: str) -> str:
    escaped = title.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'"""{escaped}"""'


def _body(outline: Outline) -> Iterator[str]:
    if outline.left_out:
        yield from ["", "# --- left out"]
        for reason, names in outline.left_out.items():
            yield from wrapped([f"{reason}:"], "#")
            yield from wrapped(names, "#  ")
    if outline.constants:
        yield from ["", "# --- constants"]
        yield from (f"{each.variable} = {literal(each.value)}" for each in outline.constants)
    if outline.opaque or outline.types:
        yield from ["", "# --- types"]
        yield from (_alias(each) for each in outline.opaque)
        for each in outline.types:
            yield from _type(each)
    if outline.functions:
        yield from ["", "# --- functions"]
        yield from _functions(outline.functions)
    if outline.variables:
        yield from ["", "# --- variables"]
        for each in outline.variables:
            type = each.type.spelling
            symbol, library = quoted(each.symbol), quoted(each.library)
            yield f"{each.variable} = epsilon.foreign_variable({symbol}, {library}, {quoted(type)})"


def literal(value: Any) -> str:
    """A constant as Python reads it."""
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    return quoted(value) if isinstance(value, str) else repr(value)


def quoted(text: str) -> str:
    """A str in double quotes, where that is as easy to read."""
    spelled = repr(text)
    return f'"{spelled[1:-1]}"' if spelled[0] == "'" and '"' not in text and "\\'" not in spelled else spelled


def _type(found: Any) -> Iterator[str]:
    if isinstance(found, Alias):
        yield _alias(found)
        if found.record is not None:
            yield f"{found.variable} = {found.record}"
    elif isinstance(found, Enumerated):
        values = ", ".join(f"{quoted(name)}: {value}" for name, value in found.values)
        yield f"{found.variable} = epsilon.define_c_enum("
        yield f"    {quoted(found.tag)},"
        yield from wrapped(f"{{{values}}},".split(" "), "   ")
        yield f"    type={quoted(found.type.spelling)},"
        yield ")"
    elif isinstance(found, Structure):
        yield from _structure(found)


def _alias(found: Alias) -> str:
    type = "" if found.type is None else f", {quoted(found.type.spelling)}"
    return f"{found.variable} = epsilon.define_c_type({quoted(found.name)}{type})"


def _structure(found: Structure) -> Iterator[str]:
    body = found.body
    closing = "}" + attributes(body.packed, body.align if body.align > 1 else None) + ";"
    yield f"{found.variable} = epsilon.define_c_struct_auto("
    yield f"    {quoted(found.variable)},"
    yield f'    """{found.kind} {found.tag} {{'
    yield from (f"        {member_text(member)};" for member in body.members)
    yield f'    {closing}""",'
    if body.pack:
        yield f"    packed={body.pack},"
    yield ")"
    places = ", ".join(
        f"{quoted(name)}: {(first, bits)}" if first % 8 or bits % 8 else f"{quoted(name)}: {first // 8}"
        for name, first, bits in found.row.members
    )
    head = f"epsilon.expect_layout({found.variable}, {found.row.size}, {found.row.alignment}, {{"
    line = f"{head}{places}}})"
    if len(line) <= 120:
        yield line
    else:
        yield head
        yield from wrapped(places.split(" "), "   ")
        yield "})"


def _functions(functions: Sequence[Bound]) -> Iterator[str]:
    blocks, names = in_blocks(functions)
    libraries = {library: f"_library_{index}" for index, library in enumerate(blocks, 1)}
    for library, variable in libraries.items():
        yield f"{variable} = epsilon.lib_open({quoted(library)})"
    if len(functions) <= MOST:
        for each in functions:
            yield from _bound(each, libraries[each.library])
        return
    yield "# They are many: each is read when it is first asked for."
    for index, (library, found) in enumerate(blocks.items(), 1):
        yield f"_functions_{index} = {libraries[library]}.declare("
        yield '    """'
        yield from (f"    {prototype(each)};" for each in found)
        yield '    """,'
        yield "    lazy=True,"
        yield ")"
    listed = ", ".join(f"_functions_{index}" for index in range(1, len(blocks) + 1))
    if not names:
        yield f"__getattr__, __dir__ = attributes(globals(), {listed})"
        return
    yield f"__getattr__, __dir__ = attributes(globals(), {listed}, names={{"
    yield from wrapped([f"{quoted(name)}: {quoted(symbol)}," for name, symbol in names.items()], "   ")
    yield "})"


def _bound(found: Bound, library: str) -> Iterator[str]:
    options = [] if found.name == found.symbol else [f"name={quoted(found.name)}"]
    if found.doc:
        options.append(f"doc={quoted(found.doc)}")
    arguments = [quoted(prototype(found)), *options]
    line = f"{found.variable} = {library}.bind({', '.join(arguments)})"
    if len(line) <= 120:
        yield line
        return
    yield f"{found.variable} = {library}.bind("
    yield from (f"    {argument}," for argument in arguments)
    yield ")"


# --- the stub -------------------------------------------------------------------------------------------------------


def write_stub(outline: Outline, title: str) -> str:
    """The text of the module's ``.pyi``."""
    lines = [docstring(title), "", "from typing import Any, Final", "", "import epsilon",
             "from epsilon.structs import Struct", "from epsilon.variables import ForeignVariable", ""]  # fmt: skip
    lines += [f"{each.variable}: Final[{type(each.value).__name__}]" for each in outline.constants]
    structs = {each.tag: each.variable for each in outline.types if isinstance(each, Structure)}
    for each in outline.types:
        if isinstance(each, Alias) and each.record is not None:
            structs[each.name] = each.record
    taken = {each.variable for each in (*outline.constants, *outline.functions, *outline.variables)}
    taken.update(structs.values())
    for each in (*outline.opaque, *outline.types):
        if isinstance(each, Structure):
            lines += _class(each, structs)
        elif isinstance(each, Alias) and each.record is not None and each.variable not in taken:
            lines.append(f"{each.variable} = {each.record}")
        elif each.variable not in taken:
            lines.append(f"{each.variable}: Final[epsilon.{'EnumType' if isinstance(each, Enumerated) else 'CType'}]")
    for each in outline.functions:
        names = [plain(name) if name else f"arg{place}" for place, (name, _) in enumerate(each.parameters, 1)]
        types = [_given(found, structs) for _, found in each.parameters]
        parameters = [f"{name}: {type}" for name, type in zip(names, types, strict=True)]
        if each.variadic:
            parameters = [f"{name}: {type}" for name, type in zip([f"__{name}" for name in names], types, strict=True)]
            parameters.append("*arguments: Any")
        lines.append(f"def {each.variable}({', '.join(parameters)}) -> {_got(each.result, structs)}: ...")
    lines += [f"{each.variable}: Final[ForeignVariable]" for each in outline.variables]
    return "\n".join(lines).rstrip() + "\n"


def _class(found: Structure, structs: dict[str, str]) -> list[str]:
    members = [(name, kind) for name, kind in _members(found.body, structs) if plain(name) == name]
    lines = [f"class {found.variable}(Struct):"]
    lines += [f"    {name}: {kind}" for name, kind in members]
    listed = "".join(f", {name}: Any = ..." for name, _ in members)
    return [*lines, f"    def __init__(self, /{listed}) -> None: ..."]


def _members(body: Any, structs: dict[str, str]) -> Iterator[tuple[str, str]]:
    for member in body.members:
        if member.name is not None:
            yield member.name, _got(member.ctype, structs)
        elif hasattr(member.ctype, "body"):
            yield from _members(member.ctype.body, structs)


def _got(found: CType, structs: dict[str, str]) -> str:
    """The Python type of what C gives."""
    if isinstance(found, Void):
        return "None"
    if isinstance(found, Boolean):
        return "bool"
    if isinstance(found, Integer):
        return "int"
    if isinstance(found, Real):
        return "float"
    if isinstance(found, Complex):
        return "complex"
    if isinstance(found, String):
        return "str | None"
    if isinstance(found, Standing):
        return structs.get(found.name, "Any")
    return "Any"


def _given(found: CType, structs: dict[str, str]) -> str:
    """The Python type of what is passed."""
    if isinstance(found, (Boolean, Complex, Integer, Real)):
        return _got(found, structs)
    return "str | bytes | None" if type(found) is String else "Any"

