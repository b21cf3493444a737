"""What the compiler would answer, computed: for where there is a preprocessor, and no compiler."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from epsilon.declarator import Reader
from epsilon.enums import underlying
from epsilon.errors import ForeignTypeError
from epsilon.headers import facts as tables
from epsilon.headers import gnu, proof
from epsilon.headers.facts import Facts
from epsilon.headers.parsing import Declarations
from epsilon.headers.questions import Answers
from epsilon.typesystem import StructCType

_WHOLE = (1 << 64) - 1


def computed(declared: Declarations) -> Answers:
    """The answers to ``Questions`` about ``declared``, with the sizes and layouts of this machine."""
    return _Computer(declared).answer()


class _Computer:
    def __init__(self, declared: Declarations):
        self.declared, self.answers = declared, Answers()
        facts = Facts()
        facts.typedefs = {name: tables.Typedef(*one) for name, one in declared.typedefs.items()}
        facts.records = {
            name: tables.Record(one.definition, None, None, (), one.place) for name, one in declared.records.items()
        }
        self.layouts = proof.Layouts(facts)
        self.layouts.constants = self.values = _Values(declared, self.layouts)
        for tag, enum in declared.enums.items():
            known = underlying([self.values[one.name] for one in enum.names if one.name in self.values])
            spelled = "int" if known is None else known.spelling
            facts.enums[tag] = tables.Enum((), spelled, enum.place)

    def answer(self) -> Answers:
        values, refused = self.answers.values, self.answers.refused
        for index in range(len(self.declared.constants)):
            name = f"{gnu.CONSTANT}{index}"
            if name in self.values:
                values["constants", index] = [self.values[name] & _WHOLE]
            else:
                refused["constants", index] = "it takes a compiler"
        for name in self.declared.enumerators:
            if name in self.values:
                value = self.values[name]
                signed = -(1 << 31) <= value < 1 << 31 or value < 0
                size = 4 if -(1 << 31) <= value < 1 << 32 else 8
                values["enumerators", name] = [value & _WHOLE, int(value < 0), size, int(signed)]
            else:
                refused["enumerators", name] = "it takes a compiler"
        for tag in self.declared.enums:
            found = self.layouts.enums.get(tag)
            values["enums", tag] = [found.size, int(found.low < 0)]
        for name, record in self.declared.records.items():
            if record.definition is None:
                continue
            try:
                values["records", name] = list(self._record(name, record))
            except (ForeignTypeError, StopIteration) as error:
                refused["records", name] = str(error) or "it takes a compiler"
        return self.answers

    def _record(self, name: str, record: Any) -> Iterator[int]:
        kind, tag = name.split(" ")
        own: StructCType = self.layouts.struct(kind, tag)
        fault = self.layouts.fault(own)
        if fault is not None:
            raise ForeignTypeError(fault)
        yield from (own.size, own.alignment)
        for path, placed in proof.computed(own, [member.path for member in record.members]).items():
            if next(member for member in record.members if member.path == path).kind == "bits":
                image = ((1 << placed.bits) - 1) << placed.first
                self.answers.bits[name, path] = image.to_bytes(own.size, "little")
            else:
                yield from (placed.first // 8, placed.bits // 8)


class _Values(dict):
    """The values of enum constants and of other constant expressions, by name, evaluated when they are asked for."""

    def __init__(self, declared: Declarations, layouts: proof.Layouts):
        self._declared, self._layouts = declared, layouts

    def __contains__(self, name: object) -> bool:
        return self.get(name) is not None

    def get(self, name: Any, default: Any = None) -> Any:
        if name not in self.keys():
            self[name] = None  # what rests on itself has no value
            self[name] = self._evaluate(name)
        found = dict.__getitem__(self, name)
        return default if found is None else found

    def __getitem__(self, name: Any) -> Any:
        return self.get(name)

    def _evaluate(self, name: str) -> int | None:
        before = None
        if name.startswith(gnu.CONSTANT):
            tokens = self._declared.constants[int(name[len(gnu.CONSTANT) :])].tokens
        elif name in self._declared.enumerators:
            _, tokens, before = self._declared.enumerators[name]
        else:
            return None
        if not tokens:
            known = -1 if before is None else self.get(before)
            return None if known is None else known + 1
        reader = Reader(" ".join(tokens), None, self._layouts)
        try:
            value = reader.constant("")
        except (ForeignTypeError, RecursionError):
            return None
        return value if reader.position >= len(reader.tokens) else None
