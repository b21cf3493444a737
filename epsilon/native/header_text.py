"""The header of an exported library: prototypes, the structs that they need, docstrings as comments."""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Iterable
from typing import Any

from epsilon.compiler import identifier
from epsilon.declarations import is_plain
from epsilon.errors import CompilerError
from epsilon.layout import Member, Rules, place
from epsilon.native import rules
from epsilon.native.clibrary import Library
from epsilon.native.ctext import Names
from epsilon.typesystem import SYSTEM_TYPEDEFS, VOID, CType, Integer, StructCType, decay

#: One function: its C name, its types, Lisp's names of its parameters, its docstring.
Prototype = namedtuple("Prototype", ["name", "signature", "names", "doc"])

#: which header has the names of types
_INCLUDES = {
    "stdbool.h": "bool",
    "stddef.h": "size_t ptrdiff_t wchar_t",
    "stdint.h": "int8_t int16_t int32_t int64_t uint8_t uint16_t uint32_t uint64_t intptr_t uintptr_t",
    "sys/types.h": " ".join({"ssize_t", *SYSTEM_TYPEDEFS}
                            - {*"sa_family_t socklen_t in_addr_t in_port_t rlim_t nfds_t wint_t".split()}),
    "sys/socket.h": "sa_family_t socklen_t",
    "netinet/in.h": "in_addr_t in_port_t",
    "sys/resource.h": "rlim_t",
    "poll.h": "nfds_t",
    "wchar.h": "wint_t",
    "uchar.h": "char16_t char32_t",
}  # fmt: skip
#: words of C++ that are none in C: a header is for both
_CPLUSPLUS = frozenset(
    "alignas alignof and and_eq bitand bitor bool catch char16_t char32_t class compl constexpr decltype delete "
    "explicit export false friend mutable namespace new noexcept not not_eq nullptr operator or or_eq private "
    "protected public template this throw true try typeid typename using virtual wchar_t xor xor_eq".split()
)


class Header(Library):
    """The types of a header: named as the system's headers name them, structs with their members."""

    def use(self, found: CType) -> None:
        if not isinstance(found, Integer):
            super().use(found)

    def declare_struct(self, found: StructCType, whole: bool) -> None:
        known = self.types.get(found)
        if known is None:
            for other in self.types:
                if isinstance(other, StructCType) and other.spelling == found.spelling:
                    raise rules.NativeError(f"two definitions of {found.spelling} in one header", None)
            identifier(found.tag)
            self.types[found] = "", False
        if not whole or found.fields is None or known is not None and known[1]:
            return
        self.types[found] = "", True  # it may lead to itself
        text = self.definition(found)
        del self.types[found]  # it comes after what its members are
        self.types[found] = text, True

    def definition(self, found: StructCType) -> str:
        ending, written = "", bool(found.fields)
        if not is_plain(found):
            members = [Member(field.name, field.ctype, field.bits) for field in found.fields]
            own = found.size, found.alignment, [field.offset * 8 + field.shift for field in found.fields]
            ways = {
                word: place(found.kind, members, Rules(bool(word), 0, found.alignment)) for word in ("", "packed, ")
            }
            fitting = [word for word, placed in ways.items() if (placed.size, placed.alignment, placed.bits) == own]
            written = bool(fitting)
            ending = f" __attribute__(({fitting[0]}aligned({found.alignment})))" if written else ""
        lines = []
        for field in found.fields:
            self.complete(field.ctype)
            bits = "" if field.bits is None else f" : {field.bits}"
            lines.append(f"    {self.spell(field.ctype, identifier(field.name) if field.name else '')}{bits};\n")
        if not written:  # no attribute of C's says where these are
            lines = [f"    char bytes[{found.size}]; /* the members are where C itself would not have them */\n"]
            ending = f" __attribute__((aligned({found.alignment})))"
        return f"{found.spelling} {{\n{''.join(lines)}}}{ending};\n"


def header_text(name: str, prototypes: Iterable[Prototype], stopped: str, what: str) -> str:
    """The header; ``stopped`` is the function that says what stopped a native, if one can stop."""
    library = Header(what, [])
    try:
        declared = [_declared(library, one) for one in prototypes]
        while waiting := [one for one, (_, whole) in library.types.items() if not whole and one.fields is not None]:
            for one in waiting:
                library.declare_struct(one, True)
    except rules.NativeError as error:
        raise CompilerError(f"{what}: {error}") from None
    if stopped:
        declared.append("/* What stopped a function on this thread since this was asked last: division by zero, a\n"
                        "   failed assert and the like. NULL: nothing. The text lasts until the thread asks again. */\n"
                        f"const char *{stopped}(void);\n")  # fmt: skip
    structs = [one for one in library.types if isinstance(one, StructCType)]
    forward = "".join(f"{one.spelling};\n" for one in structs if len(structs) > 1 or one.fields is None)
    parts = [forward, *(text for text, _ in library.types.values() if text), *declared]
    body = re.sub(r"\b_Bool\b", "bool", "\n".join(part for part in parts if part))
    code = re.sub(r"/\*.*?\*/", "", body, flags=re.S)
    words = set(re.findall(r"\w+", code))
    includes = "".join(f"#include <{file}>\n" for file, names in _INCLUDES.items() if words & {*names.split()})
    guard = re.sub(r"\W", "_", name, flags=re.ASCII).upper()
    guard = f"EPSILON_{guard if guard.endswith('_H') else guard + '_H'}"
    return f"""\
/* {_comment(name)}: written by `epsilon compile`; changes are lost. */
#ifndef {guard}
#define {guard}

{includes + chr(10) if includes else ""}#ifdef __cplusplus
extern "C" {{
#endif

{body}
#ifdef __cplusplus
}}
#endif

#endif
"""


def _declared(library: Header, one: Prototype) -> str:
    """A prototype and its docstring."""
    names = Names({one.name})
    parameters = []
    for index, (found, name) in enumerate(zip(one.signature.parameters, one.names, strict=True), 1):
        called = names.new(name or f"arg{index}")
        parameters.append(library.spell(decay(found), called + "_" if called in _CPLUSPLUS else called))
        library.complete(decay(found))
    inner = f"{one.name}({', '.join(parameters) or 'void'})"
    head = f"void {inner}"
    if one.signature.result is not VOID:
        library.complete(one.signature.result)
        head = library.spell(one.signature.result, inner)
    lines = [line.rstrip() for line in _comment(one.doc or "").expandtabs().strip().splitlines()]
    lines = [lines[0], *(f"   {line.strip()}" if line else "" for line in lines[1:])] if lines else []
    doc = "/* " + "\n".join(lines) + " */\n" if lines else ""
    return f"{doc}{head};\n"


def _comment(text: Any) -> str:
    """Text that can stand in a comment, whatever is in it."""
    return "".join(mark if mark.isprintable() or mark in "\n\t" else "?" for mark in str(text)).replace(
        "*/", "* /").replace("/*", "/ *").replace("??/", "?? /")  # fmt: skip


def proofs(prototypes: Iterable[Prototype]) -> str:
    """Assertions that the compiler has the structs of the header where Epsilon has them."""
    library = Header("", [])
    for one in prototypes:
        _declared(library, one)
    texts = []
    for found in library.types:
        if isinstance(found, StructCType) and found.fields is not None:
            texts.append(f'_Static_assert(sizeof({found.spelling}) == {found.size} && _Alignof({found.spelling}) == '
                         f'{found.alignment}, "the layout of {found.spelling}");\n')  # fmt: skip
    return "".join(texts)
