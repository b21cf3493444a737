"""GNU C as C11: a declaration as pycparser reads it, and beside it what the GNU syntax said.

Each member, each declarator and each struct's head begins a row of its own in the text that comes out, so that what was
said of it (its attributes, an asm label) is found again by the row.  Constant expressions, which are the compiler's to
evaluate, become names: ``a[sizeof(long)]`` is ``a[epsilon_constant_0]``, and the expression stands in a list.

The grammar of attributes: GCC manual, "Attribute Syntax".
"""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Sequence

from epsilon.headers.tokens import ATTRIBUTES, RECORDS, Piece, closing

#: an attribute: its name without underscores, and the tokens between its parentheses
Attribute = namedtuple("Attribute", ["name", "arguments"])
#: a constant expression: its tokens, its line, and whether it may go unknown (as a parameter's bound may)
Constant = namedtuple("Constant", ["tokens", "line", "optional"])

#: a constant of an enum: its name, its line, and the tokens of its value, none where it is one more than the last
Enumerator = namedtuple("Enumerator", ["name", "line", "value"])

_ASM = frozenset(("asm", "__asm", "__asm__"))
_TYPEOF = frozenset(("typeof", "__typeof", "__typeof__", "typeof_unqual"))
_ASSERT = frozenset(("_Static_assert", "static_assert"))
_DROPPED = frozenset(
    "__extension__ __thread _Thread_local thread_local register auto _Nullable _Nonnull _Null_unspecified".split()
)
#: GNU's spellings of C's words
SPELLED = {
    "__restrict": "restrict", "__restrict__": "restrict", "__const": "const", "__const__": "const",
    "__volatile": "volatile", "__volatile__": "volatile", "__signed": "signed", "__signed__": "signed",
    "__inline": "inline", "__inline__": "inline", "__complex__": "_Complex", "__complex": "_Complex", "bool": "_Bool",
    "__float128": "_Float128", "__uint128_t": "unsigned __int128", "__int128_t": "__int128",
}  # fmt: skip
#: calling conventions that are not the platform's own; those of 32-bit x86, such as stdcall, mean nothing elsewhere
CONVENTIONS = frozenset(("ms_abi", "vectorcall"))
_NUMBER = re.compile(r"(?:0[xX][0-9a-fA-F]+|\d+)[uUlL]*")
_FLOATING = re.compile(r"_Float(?:16|32|64|128)x?|__bf16|__fp16")

CONSTANT = "epsilon_constant_"
COMPLEX = "epsilon_complex_"
TYPEOF = "epsilon_typeof_"


class Unreadable(Exception):
    """Why a declaration cannot be read."""


class Plain:
    """A declaration without GNU syntax: ``text``, and what it said by the text's rows."""

    def __init__(self, piece: Piece, constants: list[Constant], typeofs: list[list[str]]):
        self.piece, self.constants, self.typeofs = piece, constants, typeofs
        #: row → what attributes say of the declarator, member or struct there
        self.attributes: dict[int, list[Attribute]] = {}
        #: row → the name that is linked
        self.labels: dict[int, str] = {}
        #: row → line
        self.lines: dict[int, int] = {}
        #: row of an enum's head → its constants
        self.enumerators: dict[int, list[Enumerator]] = {}
        self.names: set[str] = set()
        self._out: list[str] = []
        self._row = 0
        self._tokens, self._at = piece.tokens, 0
        self._levels: list[tuple[list[Attribute], list[Attribute]]] = [([], [])]
        self._declaration("")
        self.text = " ".join(self._out)
        self.rows = self._row + 1

    def _emit(self, *words: str) -> None:
        self._out += words

    def _new_row(self) -> None:
        self._out.append("\n")
        self._row += 1

    def _next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _line(self) -> int:
        return self.piece.lines[min(self._at, len(self._tokens) - 1)]

    # --- declarations: the outer one (``end`` is ""), or the members of a struct (``}``), or in parentheses (``)``) ---

    def _declaration(self, end: str) -> None:
        tokens = self._tokens
        self.lines[self._row] = self._line()
        while self._at < len(tokens):
            token = tokens[self._at]
            if token == end:
                return
            if token in ATTRIBUTES or token in _ASM or token == "[" and self._peek(1) == "[":
                self._said(end)
            elif token in RECORDS:
                self._record(token)
            elif token == "(":
                self._at += 1
                self._emit("(")
                self._declaration(")")
                self._at += 1
                self._emit(")")
            elif token == "[":
                self._bound(optional=end == ")")
            elif token in (",", ";") and end != ")":
                self._at += 1
                self._emit(token)
                self._declared(token == ";")
                self._new_row()
                self.lines[self._row] = self._line()
            elif token == ":" and end == "}":
                self._at += 1
                stop = self._until(",", ";", "__attribute__", "__attribute")
                self._emit(":", self._constant(tokens[self._at : stop], False))
                self._at = stop
            elif token in _ASSERT:
                self._at = closing(tokens, self._at + 1)
                if self._next() == ";":
                    self._at += 1
            elif token in _TYPEOF:
                self._typeof()
            else:
                self._word(token)
        self._declared(True)

    def _peek(self, ahead: int) -> str:
        return self._tokens[self._at + ahead] if self._at + ahead < len(self._tokens) else ""

    def _until(self, *ends: str) -> int:
        """Where the first of ``ends`` stands that no bracket encloses."""
        index = self._at
        while index < len(self._tokens) and self._tokens[index] not in ends:
            if self._tokens[index] in "([{":
                index = closing(self._tokens, index)
            elif self._tokens[index] in ")]}":
                break
            else:
                index += 1
        return index

    def _word(self, token: str) -> None:
        self._at += 1
        if token in _DROPPED:
            return
        token = SPELLED.get(token, token)
        if token in ("_Noreturn", "noreturn") and self._next() not in (",", ";", ""):
            self._levels[-1][0].append(Attribute("noreturn", ()))
            return
        if _FLOATING.fullmatch(token):
            if self._next() in ("_Complex", "__complex__"):
                self._at += 1
                token = COMPLEX + token
            elif self._out and self._out[-1] == "_Complex":
                self._out.pop()
                token = COMPLEX + token
        self._emit(token)
        if token[0].isalpha() or token[0] == "_":
            self.names.add(token)

    # --- what GNU syntax says ---

    def _said(self, end: str) -> None:
        """An attribute, an alignment or an asm label."""
        label: list[str] = []
        found = self._attributes(label)
        if end == ")":  # of a parameter, or of what a pointer points to
            odd = [attribute.name for attribute in found if attribute.name in CONVENTIONS]
            if odd:
                raise Unreadable(f"it has a pointer to a function of another calling convention ({odd[0]})")
            return
        of_declarator = self._next() in ("", ",", ";", ":") or bool(label)
        self._levels[-1][1 if of_declarator else 0].extend(found)
        if any(label):
            self.labels[self._row] = label[0]

    def _attributes(self, label: list[str]) -> list[Attribute]:
        """Those that stand here, one after the other; an asm label among them goes to ``label``."""
        found: list[Attribute] = []
        tokens = self._tokens
        while True:
            token = self._next()
            if token in _ASM:
                end = closing(tokens, self._at + 1)
                label.append("".join(_string(word) for word in tokens[self._at + 2 : end - 1]))
            elif token in ("_Alignas", "alignas"):
                end = closing(tokens, self._at + 1)
                asked = tuple(tokens[self._at + 2 : end - 1])
                found.append(Attribute("aligned", ("_Alignof", "(", *asked, ")") if _is_type(asked[0]) else asked))
            elif token == "[" and self._peek(1) == "[":
                end = closing(tokens, self._at)
                found += _listed(tokens[self._at + 2 : end - 2])
            elif token == "__declspec":
                end = closing(tokens, self._at + 1)
            elif token in ATTRIBUTES:
                end = closing(tokens, self._at + 1)
                found += _listed(tokens[self._at + 3 : end - 2])
            else:
                return found
            self._at = end

    def _declared(self, last: bool) -> None:
        """A declarator ends here, and with it, if it is the ``last``, a declaration."""
        of_all, own = self._levels[-1]
        if of_all or own:
            self.attributes.setdefault(self._row, []).extend((*of_all, *own))
        self._levels[-1] = ([] if last else of_all, [])

    def _typeof(self) -> None:
        end = closing(self._tokens, self._at + 1)
        inside = self._tokens[self._at + 2 : end - 1]
        self._at = end
        self._emit(f"{TYPEOF}{len(self.typeofs)}")
        self.typeofs.append(list(inside))

    # --- constants, structs, enums ---

    def _constant(self, tokens: Sequence[str], optional: bool) -> str:
        if len(tokens) == 1 and _NUMBER.fullmatch(tokens[0]):
            return tokens[0]
        self.constants.append(Constant(tuple(tokens), self._line(), optional))
        return f"{CONSTANT}{len(self.constants) - 1}"

    def _bound(self, optional: bool) -> None:
        end = closing(self._tokens, self._at)
        inside = [
            token for token in self._tokens[self._at + 1 : end - 1]
            if token not in ("static", "const", "volatile", "restrict", "__restrict", "__restrict__")
        ]  # fmt: skip
        if inside == ["*"]:
            inside = []
        self._emit("[", *([self._constant(inside, optional)] if inside else []), "]")
        self._at = end

    def _record(self, kind: str) -> None:
        """``struct``, ``union`` or ``enum``, with or without a body."""
        self._at += 1
        said = self._attributes([])
        tag = ""
        if self._next() not in ("{", ":", "") and (self._next()[0].isalpha() or self._next()[0] == "_"):
            tag = self._next()
            self._at += 1
        said += self._attributes([])
        if kind == "enum" and self._next() == ":" and "{" in self._tokens[self._at : self._at + 6]:
            self._at += self._tokens[self._at :].index("{")
        if self._next() != "{":
            self._emit(kind, tag)
            return
        self._new_row()
        head = self._row
        self.lines[head] = self._line()
        self._at += 1
        self._emit(*filter(None, (kind, tag)), "{")
        if kind == "enum":
            self._enumerators(head)
        else:
            self._new_row()
            self._levels.append(([], []))
            self._declaration("}")
            self._levels.pop()
        self._at += 1
        self._emit("}")
        self._new_row()
        said += self._attributes([])
        if said:
            self.attributes.setdefault(head, []).extend(said)

    def _enumerators(self, head: int) -> None:
        found = self.enumerators[head] = []
        while self._next() not in ("}", ""):
            name, line = self._next(), self._line()
            self._at += 1
            self._attributes([])
            value: tuple[str, ...] = ()
            if self._next() == "=":
                start = self._at + 1
                self._at = self._until(",", "}")
                value = tuple(self._tokens[start : self._at])
            if self._next() == ",":
                self._at += 1
            found.append(Enumerator(name, line, value))
        self._emit(", ".join(one.name for one in found))


def separated(tokens: Sequence[str]) -> tuple[list[str], list[Attribute]]:
    """``tokens`` without attributes, and these."""
    rest: list[str] = []
    found: list[Attribute] = []
    index = 0
    while index < len(tokens):
        if tokens[index] == "__attribute__":
            end = closing(tokens, index + 1)
            found += _listed(tokens[index + 3 : end - 2])
            index = end
        else:
            rest.append(tokens[index])
            index += 1
    return rest, found


def _listed(tokens: Sequence[str]) -> list[Attribute]:
    """``packed, __aligned__(4)``, or ``gnu::packed``."""
    found = []
    index = 0
    while index < len(tokens):
        name = tokens[index].strip("_") or tokens[index]
        index += 1
        while tokens[index : index + 2] == [":", ":"]:
            name = tokens[index + 2].strip("_")
            index += 3
        arguments: Sequence[str] = ()
        if index < len(tokens) and tokens[index] == "(":
            end = closing(tokens, index)
            arguments = tuple(tokens[index + 1 : end - 1])
            index = end
        if name != ",":
            found.append(Attribute(name, arguments))
    return found


def _string(word: str) -> str:
    return word[1:-1] if word[:1] == '"' else ""


_TYPE_WORDS = RECORDS | frozenset("void char short int long float double signed unsigned _Bool const volatile".split())


def _is_type(token: str) -> bool:
    """Whether ``token``, in the parentheses of ``_Alignas``, begins a type: a number does not, and a name may."""
    return token in _TYPE_WORDS or token.isidentifier() and token not in ("sizeof", "_Alignof", "__alignof__")
