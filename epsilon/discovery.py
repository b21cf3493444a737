"""Structs from headers: ``define-c-struct-auto`` of a header's struct, and the proof of a layout against a header.

Both read the headers as ``import-header`` does (``headers.reading``), and no more of them than the one struct needs.
"""

from __future__ import annotations

from _thread import RLock
from collections import ChainMap
from collections.abc import Sequence
from typing import Any

from epsilon import compiler
from epsilon.bodies import parse_body
from epsilon.declarator import Names, Reader, parse_type
from epsilon.errors import CompilerError, ForeignTypeError, HeaderError, nearest
from epsilon.headers.facts import Facts
from epsilon.headers.preprocess import preprocess
from epsilon.headers.proof import Layouts
from epsilon.headers.reading import declarations
from epsilon.headers.request import Request
from epsilon.struct_definitions import build_body
from epsilon.typesystem import NAMED, TAGS, TYPEDEFS, WORDS, CType, StructCType

#: the tags mean a header's structs while these are made
_lock = RLock()


def _read(headers: Sequence[str], wanted: str) -> Facts:
    """What is known of ``wanted`` from the headers, as a GNU program that has <stdio.h> reads them."""
    request = Request.of(["stddef.h", "stdio.h", *headers], defines={"_GNU_SOURCE": 1})
    try:
        unit = preprocess(request)
    except HeaderError as error:
        raise CompilerError(str(error)) from None
    return declarations(unit, wanted)


def headers_of(header: Any) -> tuple[str, ...]:
    """One header, or several in their order."""
    return Request.of(header).headers


class _Names(Names):
    """What names mean in ``facts``, as types that are everyone's."""

    def __init__(self, facts: Facts):
        self.facts = facts
        self.typedefs = ChainMap(_Typedefs(self), TYPEDEFS, NAMED)
        self.enums = {tag: WORDS[enum.type.replace(" ", "-")] for tag, enum in facts.enums.items()}


class _Typedefs(dict):
    """The typedefs of the headers, read at their first use."""

    def __init__(self, names: _Names):
        self._names = names

    def __missing__(self, name: str) -> CType:
        reader = Reader(self._names.facts.typedefs[name].declaration, build_body, self._names)
        reader.accept("typedef")
        self[name] = found = reader.declaration()[1]
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._names.facts.typedefs


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
    facts = _read(headers, spelled)
    table = facts.records if kind else facts.typedefs
    if spelled not in table or kind and table[spelled].definition is None:
        raise _missing(spelled, kind, headers, facts)
    with _lock:
        found = _made(facts, spelled)
    if not isinstance(found, StructCType) or found.fields is None:
        raise HeaderError(f"{spelled} of {', '.join(headers)} is no struct or union whose members are known")
    TAGS[found.kind, found.tag] = found
    found.proved = facts.proved
    return found


def _missing(spelled: str, kind: str, headers: Sequence[str], facts: Facts) -> HeaderError:
    skipped = facts.skipped.get(spelled)
    if skipped is not None:
        return HeaderError(f"{spelled} ({skipped.file}, line {skipped.line}): {skipped.reason}")
    everything = declarations(preprocess(Request.of(["stddef.h", "stdio.h", *headers], defines={"_GNU_SOURCE": 1})))
    records = [name.split(" ")[1] for name in everything.records if name.startswith(kind)]
    known = records if kind else everything.typedefs
    what = f"does not define {spelled}" if kind else f"has no typedef {spelled}"
    return HeaderError(f"{', '.join(headers)} {what}{nearest(spelled.split(' ')[-1], known)}")


def _made(facts: Facts, spelled: str) -> CType:
    """The type of ``spelled``, with the structs that it needs.  What the user calls by their tags stays what it is."""
    layouts = Layouts(facts)
    keys = [tuple(name.split(" ")) for name in facts.records]
    before = {key: TAGS.pop(key) for key in keys if key in TAGS}
    try:
        for kind, tag in keys:
            _ = layouts.struct(kind, tag).size
        names = _Names(facts)
        for own in layouts.order:  # each behind those that it holds
            found = build_body(parse_body(facts.records[f"{own.kind} {own.tag}"].definition, build_body, names))
            found.proved = facts.proved
        return parse_type(spelled, names)
    finally:
        for key in keys:
            TAGS.pop(key, None)
        TAGS.update(before)


# --- proof ------------------------------------------------------------------------------------------------------------


def prove(own: StructCType, header: Any) -> bool:
    """Hold a layout against the compiler's, member by member; ``HeaderError`` with both where they differ.  False
    without a compiler: nothing is proved then."""
    headers = headers_of(header)
    if not compiler.is_there():
        return False
    compiler.identifier(own.tag)
    whole = own.spelling
    facts = _read(headers, whole)
    record = facts.records.get(whole)
    if record is None or record.definition is None:
        raise _missing(whole, own.kind, headers, facts)
    theirs = {name: (first, bits) for name, first, bits in record.members}
    wanted: list[tuple[str, Any, Any]] = [("size", own.size, record.size)]
    wanted.append(("alignment", own.alignment, record.alignment))
    for member in sorted(own.fields, key=lambda member: member.bits is not None):
        if member.name not in theirs:
            raise CompilerError(f"{whole} of {', '.join(headers)} has no member named {member.name!r}"
                                f"{nearest(member.name, theirs)}")  # fmt: skip
        first, bits = theirs[member.name]
        ours = member.offset * 8 + member.shift
        if member.bits is None:
            rows = f"byte {member.offset}, {member.ctype.size or 0} bytes", f"byte {first // 8}, {bits // 8} bytes"
        else:
            rows = f"bit {ours}, {member.bits} bits", f"bit {first}, {bits} bits"
        wanted.append((f"member {member.name}", *rows))
    if any(mine != its for _, mine, its in wanted):
        column = max(len(label) for label, _, _ in wanted)
        middle = max(len("declared"), *(len(str(mine)) for _, mine, _ in wanted))
        lines = [f"  {label:{column}}  {mine!s:{middle}}  {its}{'' if mine == its else '  (differs)'}"
                 for label, mine, its in wanted]  # fmt: skip
        lines.insert(0, f"  {'':{column}}  {'declared':{middle}}  compiler")
        raise HeaderError("\n".join([f"{whole} in {', '.join(headers)} has another layout:", *lines]))
    own.proved = facts.proved
    return facts.proved
