"""Structs from headers: what a header declares, and the compiler's word on where it lies.

The header is preprocessed, and of what comes out only the struct that was asked for is read, with the typedefs, tags
and enums that it needs.  Then a probe, compiled with the same header, says size, alignment, and the place of every
member; a layout that differs from it is refused with both.
"""

from __future__ import annotations

import re
from collections import ChainMap

from epsilon import compiler
from epsilon.declarator import Names, Reader, parse_type
from epsilon.errors import ForeignTypeError, HeaderError, nearest
from epsilon.structs import build_body
from epsilon.typesystem import NAMED, TAGS, TYPEDEFS, WORDS, CType, StructCType, tagged

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

_START = "#define _GNU_SOURCE 1\n#include <stddef.h>\n#include <string.h>\n#include <stdio.h>\n"
_BREAK = re.compile(r'[{};]|"(?:\\.|[^"\\])*"')
_TAIL = re.compile(r"([A-Za-z_]\w*)\s*(?:\[[^\]]*\]\s*)*(?:__attribute__\s*\(\(.*\)\)\s*)?$", re.S)
_FUNCTION = re.compile(r"\(\s*\*\s*([A-Za-z_]\w*)\s*\)\s*\(")
_TAGGED = re.compile(r"\b(struct|union|enum)\s+(?:__attribute__\s*\(\(.*?\)\)\s*)?([A-Za-z_]\w*)\s*\{")
_PRAGMA = re.compile(r"^[ \t]*#[^\n]*", re.M)


def headers_of(header: Any) -> list[str]:
    """One header, or several in their order."""
    listed = [header] if isinstance(header, str) else list(header) if isinstance(header, (list, tuple)) else [header]
    return [compiler.header_name(str(one) if isinstance(one, str) else one) for one in listed]


def _includes(headers: Sequence[str]) -> str:
    return "".join(f"#include <{one}>\n" for one in headers)


class HeaderNames(Names):
    """What names mean in preprocessed headers: each declaration is read when something needs it."""

    def __init__(self, text: str):
        self.declared: dict[str, str] = {}
        self.bodies: dict[tuple[str, str], str] = {}
        self.reading: set[tuple[str, str]] = set()
        self.made: dict[tuple[str, str], CType] = {}
        self.constants: dict[str, int] = {}
        for part in _declarations(_PRAGMA.sub("", text)):
            self._note(part)
        self.typedefs = ChainMap(_Lazily(self), TYPEDEFS, NAMED)

    def _note(self, part: str) -> None:
        if part.startswith("typedef"):
            found = _FUNCTION.search(part)
            tails = [found] if found else map(_TAIL.search, part.rpartition("}")[2].split(","))
            for name in tails:
                if name:
                    self.declared.setdefault(name[1], part)
        for found in _TAGGED.finditer(part):
            self.bodies.setdefault((found[1], found[2]), part[found.start() :])

    def reader(self, text: str) -> Reader:
        return Reader(text, build_body, self)

    def struct(self, kind: str, tag: str) -> CType:
        """The struct; defined, if the headers do, so that it can be a member."""
        key = (kind, tag)
        if key in self.made:
            return self.made[key]
        if key in self.bodies and key not in self.reading:
            self.reading.add(key)
            reader = self.reader(_one_body(self.bodies[key]))
            self.made[key] = reader.declaration()[1]
            self.reading.discard(key)
            return self.made[key]
        return tagged(kind, tag)

    def constant(self, reader: Reader, name: str, value: int) -> None:
        self.constants[name] = value

    def enum(self, reader: Reader, tag: str | None, values: dict[str, int]) -> CType:
        from epsilon.enums import underlying

        return underlying(values.values()) or WORDS["int"]

    def typedef(self, name: str) -> CType | None:
        text = self.declared.get(name)
        if text is None:
            return None
        reader = self.reader(text)
        if reader.tokens[1] in ("struct", "union") and reader.tokens[2] == "{":  # it goes by the typedef's name
            reader.tokens.insert(2, name)
        base, const = reader.specifiers()
        while True:
            found, ctype, _ = reader.declarator(base, const)
            if found == name or not reader.accept(","):
                return ctype


class _Lazily(dict):
    """The typedefs of the headers, read at their first use."""

    def __init__(self, names: HeaderNames):
        self.names = names

    def __missing__(self, name: str) -> CType:
        found = self.names.typedef(name)
        if found is None:
            raise KeyError(name)
        self[name] = found
        return found

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self.names.declared


def _declarations(text: str) -> Iterator[str]:
    """The declarations of preprocessed C; the bodies of functions are no declarations."""
    start = depth = 0
    for mark in _BREAK.finditer(text):
        if mark[0] == "{":
            depth += 1
        elif mark[0] == "}":
            depth -= 1
            if depth == 0 and text[start : mark.start()].partition("{")[0].rstrip().endswith(")"):
                start = mark.end()  # a function, inline
        elif mark[0] == ";" and depth == 0:
            yield text[start : mark.start()].strip().removeprefix("__extension__").lstrip()
            start = mark.end()


def _one_body(text: str) -> str:
    """``struct tag { … }`` at the beginning of ``text``, and the attributes behind it."""
    depth = 0
    for mark in _BREAK.finditer(text):
        depth += {"{": 1, "}": -1}.get(mark[0], 0)
        if mark[0] == "}" and depth == 0:
            attributes = re.match(r"\s*(?:__attribute__\s*\(\((?:[^()]|\([^()]*\))*\)\)\s*)*", text[mark.end() :])
            return text[: mark.end() + attributes.end()]
    raise HeaderError(f"the definition {text[:60]!r} has no end")


def discover(declaration: str, header: Any) -> StructCType:
    """The struct or union that ``declaration`` names (``"struct stat"``, or a typedef's name) as the headers have it,
    with the layout that the compiler gives it."""
    headers = headers_of(header)
    words = str(declaration).strip().rstrip(";").split()
    kind, tag = (
        (words[0], words[1]) if len(words) == 2 and words[0] in ("struct", "union") else ("", words[0] if words else "")
    )
    if not words or len(words) > 2 or (len(words) == 2 and not kind):
        raise ForeignTypeError(f"'struct NAME', 'union NAME' or the name of a typedef is wanted, not {declaration!r}")
    compiler.identifier(tag)
    spelled = f"{kind} {tag}".strip()
    names = HeaderNames(
        compiler.preprocess(_START + _includes(headers), f"reading {spelled} from {', '.join(headers)}")
    )
    if kind and (kind, tag) not in names.bodies:
        known = [other for its_kind, other in names.bodies if its_kind == kind]
        raise HeaderError(f"{', '.join(headers)} does not define {spelled}{nearest(tag, known)}")
    if not kind and tag not in names.declared:
        raise HeaderError(f"{', '.join(headers)} has no typedef {tag}{nearest(tag, names.declared)}")
    before = {key: known for key, known in TAGS.items() if known.fields is not None}
    try:
        found = names.struct(kind, tag) if kind else parse_type(tag, names)
    finally:  # what is inside was defined by the way: what the user calls by those tags stays what it is
        TAGS.update(before)
    if not isinstance(found, StructCType) or found.fields is None:
        raise HeaderError(f"{spelled} of {', '.join(headers)} is no struct or union whose members are known")
    TAGS[found.kind, found.tag] = found
    prove(found, headers, spelled)
    return found


# --- proof ------------------------------------------------------------------------------------------------------------


def prove(own: StructCType, header: Any, spelled: str | None = None) -> bool:
    """Hold a layout against the compiler's, member by member; ``HeaderError`` with both where they differ.  False
    without a compiler: nothing is proved then."""
    headers = headers_of(header)
    if not compiler.is_there():
        return False
    compiler.identifier(own.tag)
    whole = spelled or own.spelling
    plain = [member for member in own.fields if member.bits is None]
    bits = [member for member in own.fields if member.bits is not None]
    what = f"the proof of {whole} against {', '.join(headers)}"
    said = compiler.output_of(_probe(whole, headers, plain, bits), what).split()
    wanted: list[tuple[str, Any, Any]] = [("size", own.size, int(said[0])), ("alignment", own.alignment, int(said[1]))]
    for index, member in enumerate(plain):
        offset, size = map(int, said[2 + 2 * index : 4 + 2 * index])
        wanted.append((f"member {member.name}", f"byte {member.offset}, {member.ctype.size or 0} bytes",
                       f"byte {offset}, {size} bytes"))  # fmt: skip
    for index, member in enumerate(bits):
        first, width = map(int, said[2 + 2 * len(plain) + 2 * index :][:2])
        ours = member.offset * 8 + member.shift
        wanted.append((f"member {member.name}", f"bit {ours}, {member.bits} bits", f"bit {first}, {width} bits"))
    if any(mine != its for _, mine, its in wanted):
        column = max(len(label) for label, _, _ in wanted)
        middle = max(len(str(mine)) for _, mine, _ in wanted)
        middle = max(middle, len("declared"))
        lines = [f"  {label:{column}}  {mine!s:{middle}}  {its}{'' if mine == its else '  (differs)'}"
                 for label, mine, its in wanted]  # fmt: skip
        lines.insert(0, f"  {'':{column}}  {'declared':{middle}}  compiler")
        raise HeaderError("\n".join([f"{whole} in {', '.join(headers)} has another layout:", *lines]))
    own.proved = True
    return True


def _probe(whole: str, headers: Sequence[str], plain: Sequence[Any], bits: Sequence[Any]) -> str:
    lines = [f'printf("%zu %zu\\n", sizeof({whole}), (size_t)_Alignof({whole}));']
    for member in plain:
        size = "(size_t)0" if member.ctype.size is None else f"sizeof((({whole} *)0)->{member.name})"
        lines.append(f'printf("%zu %zu\\n", offsetof({whole}, {member.name}), {size});')
    for member in bits:
        lines.append(
            f"memset(&s, 0, sizeof s); s.{member.name} = -1; first = -1; count = 0;"
            f"for (long i = 0; i < (long)sizeof s * 8; i++) if (p[i / 8] >> i % 8 & 1) "
            f'{{ if (first < 0) first = i; count++; }} printf("%ld %ld\\n", first, count);'
        )
    body = f"static {whole} s; unsigned char *p = (unsigned char *)&s; long first, count;"
    return f"{_START}{_includes(headers)}int main(void) {{ {body} {' '.join(lines)} return 0; }}\n"
