"""What the compiler is asked about declarations, in one run: sizes, places, values, and whether it reads them alike.

The headers' text, preprocessed, is compiled once more with questions behind it, each on a line of its own.  Values
stand in an object file: nothing is run, so a cross compiler serves.  A question that the compiler refuses, or a
declaration in the headers that it cannot read, is left out, and the rest is asked again.
"""

from __future__ import annotations

import os
import re
import struct
import tempfile
from collections.abc import Callable, Mapping, Sequence

from epsilon import compiler
from epsilon.errors import HeaderError
from epsilon.headers import gnu
from epsilon.headers.objectfile import ObjectFile
from epsilon.headers.parsing import Declarations
from epsilon.headers.preprocess import Unit
from epsilon.headers.probing import options, probe
from epsilon.headers.tokens import Piece, guess

#: who asked: a table of ``Declarations`` and a name in it, or ``("constants", index)``
Owner = tuple[str, object]

_WHAT = "holding the headers' declarations against the compiler"
_ERROR = re.compile(r"^(.+?):(\d+):(?:\d+:)? (?:fatal )?error: (.*)$", re.M)
_NAMED = re.compile(r"'(\w+)'")
_DEFINES = re.compile(r"^#[ \t]*(?:define|undef)\b[^\n]*", re.M)
_CONSTANT = re.compile(rf"{gnu.CONSTANT}(\d+)")
_TAGGED = re.compile(r"\b(struct|union|enum) (\w+)(?! *\{)")
#: how often the rest is asked again
_ROUNDS = 12


class Answers:
    """``values`` are by owner, in the order of its questions; ``bits`` the bytes of a struct in which only one
    bit-field is set, by ``(struct, path)``; ``refused`` the compiler's words by owner; ``unreadable`` by piece."""

    def __init__(self) -> None:
        self.values: dict[Owner, list[int]] = {}
        self.bits: dict[tuple[str, str], bytes] = {}
        self.refused: dict[Owner, str] = {}
        self.unreadable: dict[int, str] = {}
        self.order = "<"
        #: whether they are the compiler's
        self.proved = False


class Questions:
    """All questions about ``declared``, which ``unit`` declares."""

    def __init__(self, unit: Unit, declared: Declarations):
        self.unit, self.declared = unit, declared
        self.texts: list[tuple[Owner, str]] = []
        self.values: list[tuple[Owner, str]] = []
        self.bits: list[tuple[Owner, str, str]] = []
        self._untagged = {key: one.spelled for key, one in declared.records.items() if one.spelled != key}
        self._untagged.update(
            {f"enum {tag}": one.spelled for tag, one in declared.enums.items() if one.spelled != f"enum {tag}"}
        )
        self._collect()

    def c_text(self, text: str) -> str:
        """A normalised text as the headers' compiler reads it."""
        if gnu.CONSTANT in text:
            text = _CONSTANT.sub(lambda found: " ".join(self.declared.constants[int(found[1])].tokens), text)
        if self._untagged and ("struct " in text or "union " in text or "enum " in text):
            text = _TAGGED.sub(lambda found: self._untagged.get(f"{found[1]} {found[2]}", found[0]), text)
        return text

    def _collect(self) -> None:
        declared = self.declared
        for index, constant in enumerate(declared.constants):
            self.values.append((("constants", index), f"({' '.join(constant.tokens)})"))
        for name in declared.enumerators:
            owner = ("enumerators", name)
            self.values += [(owner, name), (owner, f"({name}) < 0"), (owner, f"sizeof({name})"),
                            (owner, f"(__typeof__({name}))-1 < 0")]  # fmt: skip
        for tag, enum in declared.enums.items():
            owner = ("enums", tag)
            self.values += [(owner, f"sizeof({enum.spelled})"), (owner, f"({enum.spelled})-1 < 0")]
        for name, function in declared.functions.items():
            text = self.c_text(function.prototype)
            if function.inline:  # to declare it again is refused where it is gnu_inline
                self._ask_same(("functions", name), name, text, name)
            else:
                said = "".join(f"__attribute__(({note})) " for note in function.notes if note in gnu.CONVENTIONS)
                self.texts.append((("functions", name), f"{said}{text};"))
        for name, variable in declared.variables.items():
            if "{" not in variable.declaration:
                self._ask_same(("variables", name), name, self.c_text(variable.declaration), name)
        for name, typedef in declared.typedefs.items():
            if "{" not in typedef.declaration and "__attribute__" not in typedef.declaration:
                self.texts.append((("typedefs", name), f"{self.c_text(typedef.declaration)};"))
        for name, record in declared.records.items():
            if record.members is not None:
                self._ask_record(("records", name), record.spelled, record.members)

    def _ask_same(self, owner: Owner, found: str, declaration: str, name: str) -> None:
        """Whether ``found``, an expression, has the type with which ``declaration`` declares ``name``."""
        wanted = re.sub(rf"\b{name}\b", "", declaration, count=1)
        same = f"__builtin_types_compatible_p(__typeof__({found}), __typeof__({wanted}))"
        self.texts.append((owner, f'_Static_assert({same}, "another type than {_quoted(declaration)}");'))

    def _ask_record(self, owner: Owner, spelled: str, members: Sequence) -> None:
        # of a struct without a tag, the alignment that its typedef asks for hides its own
        alignment = "0" if spelled in self.declared.aligned else f"_Alignof({spelled})"
        self.values += [(owner, f"sizeof({spelled})"), (owner, alignment)]
        for member in members:
            if member.kind == "bits":
                self.bits.append((owner, spelled, member.path))
                continue
            place = f"(({spelled} *)0)->{member.path}"
            self.values.append((owner, f"__builtin_offsetof({spelled}, {member.path})"))
            self.values.append((owner, "0" if member.kind == "flexible" else f"sizeof({place})"))
            if member.type is not None:
                self._ask_same(owner, place, self.c_text(member.type % "epsilon_name"), "epsilon_name")

    # --- asking ---

    def ask(self, pieces: Sequence[Piece]) -> Answers | None:
        """The answers, or None where the compiler only preprocesses; ``unit.text`` loses those of the ``pieces`` that
        it cannot read."""
        answers = Answers()
        with tempfile.TemporaryDirectory(prefix="epsilon-proof-") as folder:
            path = os.path.join(folder, "proof.o")
            for _ in range(_ROUNDS):
                text, owners = self._program(answers.refused)
                arguments = [*options(self.unit), "-undef", "-O0", "-g0", "-c", "-o", path]
                status, _, said = compiler.run(arguments, text, _WHAT)
                if not status or not _ERROR.search(said):
                    return self._read(path, answers)
                if not self._learn(said, owners, pieces, answers):
                    raise HeaderError(f"{', '.join(self.unit.request.headers)}: the compiler cannot read it:\n{said}")
        raise HeaderError(f"{', '.join(self.unit.request.headers)}: the compiler finds no end of errors:\n{said}")

    def _program(self, refused: Mapping[Owner, str]) -> tuple[str, list[Owner]]:
        owners: list[Owner] = []
        # tags that are first met among a function's parameters would mean something else each time
        tags = [f"{name};" for name, record in self.declared.records.items() if record.spelled == name]
        parts = [" ".join(tags), _DEFINES.sub("", self.unit.text)]

        def line(owner: Owner, text: str) -> None:
            owners.append(owner)
            parts.append(probe(len(owners), text))  # from 1: GCC does not say line 0

        for owner, text in self.texts:
            if owner not in refused:
                line(owner, text)
        for index, (owner, spelled, path) in enumerate(self.bits):
            if owner not in refused:
                line(owner, f"const {spelled} epsilon_bits_{index} = {{ .{path} = -1 }};")
        parts.append("const unsigned long long epsilon_values[] = {\n")
        for owner, text in self.values:
            if owner not in refused:
                line(owner, f"(unsigned long long)({text}),")
        parts.append("0 };\n")
        return "\n".join(parts), owners

    def _learn(self, said: str, owners: Sequence[Owner], pieces: Sequence[Piece], answers: Answers) -> bool:
        """Note what the compiler refuses; False if that is nothing new."""
        before = len(answers.refused) + len(answers.unreadable)
        in_headers: list[tuple[str, int, str]] = []
        for file, number, words in _ERROR.findall(said):
            if file == "epsilon-probe" and int(number) <= len(owners):
                answers.refused.setdefault(owners[int(number) - 1], words)
            else:
                in_headers.append((file, int(number), words))
        if in_headers:
            self._leave_out(in_headers, pieces, answers)
        return len(answers.refused) + len(answers.unreadable) > before

    def _leave_out(self, errors: Sequence[tuple[str, int, str]], pieces: Sequence[Piece], answers: Answers) -> None:
        files = {name: index for index, name in enumerate(self.unit.files)}
        spans: dict[tuple[int, int], list[int]] = {}
        for index, piece in enumerate(pieces):
            for line in range(piece.lines[0], piece.last + 1):
                spans.setdefault((piece.file, line), []).append(index)
        gone: dict[tuple[int, int], str] = {}
        for file, line, words in errors:
            place = files.get(file, -1), line
            found = spans.get(place, [])
            named = set(_NAMED.findall(words))
            guilty = [index for index in found if named.intersection(pieces[index].tokens)] or found
            for index in guilty:
                piece = pieces[index]
                answers.unreadable.setdefault(index, words)
                gone.update(((piece.file, one), "") for one in range(piece.lines[0], piece.last + 1))
        for place in gone:
            # what is left of a struct is its name, so that pointers to it mean the same everywhere; and others that
            # stand on the same line, as those that a macro makes
            for index in spans[place]:
                piece = pieces[index]
                kind, name = guess(piece.tokens)
                if index not in answers.unreadable:
                    whole = piece.lines[0] == piece.last and not piece.body
                    gone[place] += f"{' '.join(piece.tokens)};" if whole else ""
                elif kind in ("struct", "union") and name != "?" and piece.lines[0] == place[1]:
                    gone[place] += f"{name};"
        self.unit.leave_out(gone)

    def _read(self, path: str, answers: Answers) -> Answers | None:
        try:
            with open(path, "rb") as file:
                found = ObjectFile(file.read())
        except (OSError, ValueError):
            return None
        answers.order, answers.proved = found.order, True
        asked = [owner for owner, _ in self.values if owner not in answers.refused]
        numbers = struct.unpack(f"{found.order}{len(asked)}Q", found.data("epsilon_values", 8 * len(asked)))
        for owner, number in zip(asked, numbers, strict=True):
            answers.values.setdefault(owner, []).append(number)
        for index, (owner, _, path) in enumerate(self.bits):
            if owner not in answers.refused:
                size = answers.values[owner][0]
                answers.bits[str(owner[1]), path] = found.data(f"epsilon_bits_{index}", size)
        return answers


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def filled(text: str, values: Callable[[int], str]) -> str:
    """A normalised text with its constants as numbers."""
    return _CONSTANT.sub(lambda found: values(int(found[1])), text) if gnu.CONSTANT in text else text
