"""From the names of headers to ``Facts``: the cold road, which asks the preprocessor, pycparser and the compiler."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from epsilon.errors import ForeignTypeError, HeaderError
from epsilon.headers import constants, proof, wrappers
from epsilon.headers import facts as tables
from epsilon.headers.computed import computed
from epsilon.headers.definitions import definitions_of
from epsilon.headers.facts import Facts, Place, Skipped
from epsilon.headers.needed import needed
from epsilon.headers.parsing import Declarations, Record
from epsilon.headers.preprocess import Unit, preprocess
from epsilon.headers.questions import Answers, Questions, filled
from epsilon.headers.request import Request
from epsilon.headers.tokens import Piece, guess, pieces

_NAME = re.compile(r"[^\W\d]\w*")


def read_headers(request: Request, libraries: Sequence[str] = ()) -> Facts:
    """All that the headers of ``request`` declare; what cannot be read is in ``skipped``.

    ``libraries`` are those that inline functions and macros may call: paths, or names as for ``-l``.

    ``HeaderError`` for a header that is not found, that the compiler refuses, or that declares nothing;
    ``CompilerError`` where there is no compiler.  One that only preprocesses (``CC=cpp``) gives declarations and enums
    with layouts and values that are computed, and ``proved`` is false; what macros stand for takes a whole one.
    """
    unit = preprocess(request)
    facts = declarations(unit)
    if facts.proved:
        constants.find(unit, facts)
        wrappers.wrap(unit, facts, libraries)
    else:
        for name, one in definitions_of(unit).items():
            if unit.belongs(one.file):
                reason = "what a macro stands for takes a compiler to tell"
                facts.skipped.setdefault(name, Skipped("macro", unit.files[one.file], one.line, reason))
    _select(facts, request)
    if not any(getattr(facts, table) for table in tables.TABLES if table != "skipped"):
        raise _nothing(unit, facts)
    return facts


def _nothing(unit: Unit, facts: Facts) -> HeaderError:
    """That the headers give nothing: what was read, and what was skipped."""
    read = "".join(f"\n  {unit.files[index]}" for index in sorted(unit.own)) or " them"
    lost = "".join(f"\n  {name} ({one.file}, line {one.line}): {one.reason}" for name, one in facts.skipped.items())
    skipped = f"\nwhat cannot be read:{lost}" if lost else ""
    return HeaderError(f"{', '.join(unit.request.headers)}: nothing is declared in{read}{skipped}")


def declarations(unit: Unit, wanted: str | None = None) -> Facts:
    """What ``unit`` declares, without its macros, proved by the compiler; or the typedef ``wanted``, or ``"struct
    wanted"``, alone with what it needs."""
    everything = list(pieces(unit))
    chosen = needed(unit, everything, wanted)
    declared = Declarations()
    declared.read(chosen)
    answers = Questions(unit, declared).ask(everything) or computed(declared)
    return _Facts(unit, declared, everything, answers).make()


class _Facts:
    """Puts together what was declared and what the compiler answered."""

    def __init__(self, unit: Unit, declared: Declarations, everything: Sequence[Piece], answers: Answers):
        self.unit, self.declared, self.answers = unit, declared, answers
        self.everything = everything
        self.facts = Facts()
        #: where the compiler has the members of each struct
        self._placed: dict[str, dict[str, proof.Placed]] = {}
        self.facts.files, self.facts.own, self.facts.proved = unit.files, unit.own, answers.proved
        self.facts.search = unit.search

    def make(self) -> Facts:
        for index, words in self.answers.unreadable.items():
            piece = self.everything[index]
            if self.unit.belongs(piece.file):
                kind, name = guess(piece.tokens)
                self._skip(name, kind, (piece.file, piece.lines[0]), f"the compiler refuses it: {words}")
        for name, (kind, place, reason) in self.declared.refused.items():
            self._skip(name, kind, place, reason)
        self._enums()
        self._typedefs()
        self._records()
        self._objects()
        return self.facts

    def _skip(self, name: str, kind: str, place: Place, reason: str) -> None:
        if self.unit.belongs(place[0]):
            self.facts.skipped.setdefault(name, Skipped(kind, self.unit.files[place[0]], place[1], reason))

    def _text(self, text: str) -> str:
        """``text`` with numbers for its constants; ``ForeignTypeError`` says which one is unknown."""

        def value(index: int) -> str:
            found = self.answers.values.get(("constants", index))
            if found is None:
                constant = self.declared.constants[index]
                if constant.optional:
                    return ""
                words = self.answers.refused.get(("constants", index), "it is not known")
                raise ForeignTypeError(f"the value of {' '.join(constant.tokens)} is not known: {words}")
            return str(found[0] - (1 << 64) if found[0] >> 63 else found[0])

        return filled(text, value)

    def _refusal(self, table: str, name: str) -> str | None:
        words = self.answers.refused.get((table, name))
        return f"the compiler has it otherwise: {words}" if words and self.answers.proved else words

    def _enums(self) -> None:
        facts = self.facts
        for name, (place, _, _) in self.declared.enumerators.items():
            answer = self.answers.values.get(("enumerators", name))
            if not self.unit.belongs(place[0]) or answer is None:
                continue
            value, negative, size, signed = answer
            value = value - (1 << 64) if negative else value
            facts.constants[name] = tables.Constant(value, _integer(size, bool(signed)), place)
        for tag, enum in self.declared.enums.items():
            answer = self.answers.values.get(("enums", tag))
            if answer is None:
                self._skip(tag, "enum", enum.place, self._refusal("enums", tag) or "its size is not known")
                continue
            values = []
            for one in enum.names:
                found = self.answers.values.get(("enumerators", one.name))
                if found is not None:
                    values.append((one.name, found[0] - (1 << 64) if found[1] else found[0]))
            facts.enums[tag] = tables.Enum(tuple(values), _integer(*answer), enum.place)

    def _typedefs(self) -> None:
        for name, typedef in self.declared.typedefs.items():
            try:
                text = self._text(typedef.declaration)
                reason = self._refusal("typedefs", name)
            except ForeignTypeError as error:
                text, reason = "", str(error)
            if reason is None:
                self.facts.typedefs[name] = tables.Typedef(text, typedef.place)
            else:
                self._skip(name, "typedef", typedef.place, reason)

    def _records(self) -> None:
        facts = self.facts
        for name, record in self.declared.records.items():
            facts.records[name] = tables.Record(None, None, None, (), record.place)
        told: dict[str, tuple[int, int, tuple]] = {}
        for name, record in self.declared.records.items():
            if record.definition is None:
                continue
            try:
                reason = self._refusal("records", name)
                if reason is None:
                    facts.records[name] = self._record(name, record)
                    told[name] = facts.records[name][1:4]
            except ForeignTypeError as error:
                reason = str(error)
            if reason is not None:
                self._opaque(name, record, reason)
        while True:  # a struct that holds one whose layout is not known has none, either
            self.layouts = proof.Layouts(facts)
            wrong = {name: reason for name in told if (reason := self._fault(name)) is not None}
            if not wrong:
                break
            for name, reason in wrong.items():
                self._opaque(name, self.declared.records[name], reason)
                del told[name]

    def _record(self, name: str, record: Record) -> tables.Record:
        owner = ("records", name)
        values = self.answers.values[owner]
        bits = {member.path: self.answers.bits[name, member.path] for member in record.members if member.kind == "bits"}
        placed = proof.said(record.members, values[2:], bits, self.answers.order)
        members = tuple((one.path, one.first, one.bits) for one in placed.values() if not set(one.path) & {".", "["})
        self._placed[name] = placed
        return tables.Record(self._text(record.definition), values[0], values[1], members, record.place)

    def _fault(self, name: str) -> str | None:
        record = self.facts.records[name]
        kind, tag = name.split(" ")
        own = self.layouts.struct(kind, tag)
        fault = self.layouts.fault(own)
        if fault is not None:
            return fault
        if not record.alignment:
            record = self.facts.records[name] = record._replace(alignment=own.alignment)
        return proof.difference(own, record.size, record.alignment, self._placed[name])

    def _opaque(self, name: str, record: Record, reason: str) -> None:
        self.facts.records[name] = tables.Record(None, None, None, (), record.place)
        self._skip(name, name.split(" ")[0], record.place, reason)

    def _objects(self) -> None:
        facts = self.facts
        for name, variable in self.declared.variables.items():
            if self.unit.belongs(variable.place[0]):
                text = self._readable("variables", name, "variable", variable.declaration, variable.place)
                if text is not None:
                    facts.variables[name] = tables.Variable(text, variable.symbol, variable.place)
        for name, one in self.declared.functions.items():
            if self.unit.belongs(one.place[0]):
                text = self._readable("functions", name, "function", one.prototype, one.place)
                if text is not None and one.inline:
                    facts.inlines[name] = tables.Function(text, "", one.notes, one.place)
                elif text is not None:
                    facts.functions[name] = tables.Function(text, one.symbol, one.notes, one.place)
        for name, typedef in list(facts.typedefs.items()):
            try:
                self.layouts.read(typedef.declaration)
            except ForeignTypeError as error:
                self._skip(name, "typedef", typedef.place, str(error))
                del facts.typedefs[name]

    def _readable(self, table: str, name: str, kind: str, text: str, place: Place) -> str | None:
        try:
            text = self._text(text)
            reason = self._refusal(table, name)
            if reason is None:
                self.layouts.read(text)
                return text
        except ForeignTypeError as error:
            reason = str(error)
        self._skip(name, kind, place, reason)
        return None


def _integer(size: int, signed: Any) -> str:
    word = {1: "char", 2: "short", 4: "int"}.get(size, "long")
    if size == 1 and signed:
        return "signed char"
    return word if signed else f"unsigned {word}"


def _select(facts: Facts, request: Request) -> None:
    """Leave what ``include`` and ``exclude`` leave, and the types that it needs."""
    if not request.include and not request.exclude:
        return

    def wanted(name: str) -> bool:
        return request.wants(name.rpartition(" ")[2])

    for table in ("functions", "inlines", "macros", "variables", "constants", "skipped"):
        rows = getattr(facts, table)
        for name in [name for name in rows if not wanted(name)]:
            del rows[name]
    types = {**facts.typedefs, **facts.records, **{f"enum {tag}": enum for tag, enum in facts.enums.items()}}
    needed_types: set[str] = set()
    objects = (facts.functions, facts.inlines, facts.macros, facts.variables)
    waiting = [row[0] for rows in objects for row in rows.values()]
    waiting += [_type_text(types[name]) for name in types if wanted(name)]
    while waiting:
        for name in _types_in(waiting.pop()):
            if name in types and name not in needed_types:
                needed_types.add(name)
                waiting.append(_type_text(types[name]))
    for table, prefix in (("typedefs", ""), ("records", ""), ("enums", "enum ")):
        rows = getattr(facts, table)
        for name in [name for name in rows if not wanted(name) and f"{prefix}{name}" not in needed_types]:
            del rows[name]


def _type_text(row: Any) -> str:
    return row[0] if isinstance(row[0], str) else ""


def _types_in(text: str) -> set[str]:
    words = _NAME.findall(text)
    return set(words) | {f"{kind} {tag}" for kind, tag in zip(words, words[1:], strict=False)
                         if kind in ("struct", "union", "enum")}  # fmt: skip

