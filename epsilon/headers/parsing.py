"""Declarations through pycparser, and from its tree to normalised C text (see ``facts``).

Many declarations are parsed at once; where that fails they are halved, so that one that cannot be read costs itself
only.  What constants stand for is not known yet: in the texts they go by their names (``gnu.CONSTANT``).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import namedtuple
from collections.abc import Iterator, Sequence

from pycparser import c_ast, c_parser

from epsilon.headers import gnu, simple
from epsilon.headers.attributes import LARGEST, notes, with_mode
from epsilon.headers.facts import Place
from epsilon.headers.gnu import Attribute, Plain, Unreadable
from epsilon.headers.tokens import Piece, guess, tokens_of

#: ``inline`` is whether it is defined in the header, so that no library has it
Function = namedtuple("Function", ["prototype", "symbol", "notes", "place", "inline"])
Variable = namedtuple("Variable", ["declaration", "symbol", "place"])
#: ``spelled`` is what C calls it; ``members`` are ``Member``s, None where it is only named
Record = namedtuple("Record", ["definition", "spelled", "members", "place"])
#: ``path`` is as C reaches it from the struct; ``kind`` is "bits" for a bit-field, "flexible" for an array without a
#: length, else ""; ``type`` the C text of its type with ``%s`` for a name, or None where it has no name
Member = namedtuple("Member", ["path", "kind", "type"])
#: An enum's constant: the tokens of its value, or none and the constant ``before`` that it is one more than.
Value = namedtuple("Value", ["place", "tokens", "before"])
#: ``names`` are its constants (``gnu.Enumerator``); ``spelled`` what C calls the enum
Enum = namedtuple("Enum", ["names", "spelled", "place"])
Typedef = namedtuple("Typedef", ["declaration", "place"])

_CHUNK = 200
_ALWAYS_TYPES = re.compile(rf"_Float\d+x?|__bf16|__fp16|__builtin_va_list|{gnu.COMPLEX}\w+|{gnu.TYPEOF}\d+")


class Declarations:
    """All that is declared, by C name, as it is read: ``read`` takes the declarations in their order."""

    def __init__(self) -> None:
        self.functions: dict[str, Function] = {}
        self.variables: dict[str, Variable] = {}
        self.records: dict[str, Record] = {}
        self.enums: dict[str, Enum] = {}
        self.typedefs: dict[str, Typedef] = {}
        #: by the name of an enum's constant
        self.enumerators: dict[str, Value] = {}
        #: name → (kind, place, reason)
        self.refused: dict[str, tuple[str, Place, str]] = {}
        self.constants: list[gnu.Constant] = []
        self._typeofs: list[list[str]] = []
        self._known: set[str] = set()
        #: the functions that are declared without a body, so that a library has them
        self._exported: set[str] = set()
        #: typedefs of functions
        self._types: dict[str, tuple[c_ast.Node, Plain, int]] = {}
        #: typedefs that ask for an alignment, and which
        self.aligned: dict[str, str] = {}
        #: the names of typedefs that are replaced where they stand
        self._odd: set[str] = set()
        #: transparent unions: how their first member is declared
        self._transparent: dict[str, str] = {}
        self._parser = c_parser.CParser()
        # of what is being read
        self._plain: Plain
        self._offset = 0
        self._tags: dict[int, str] = {}

    def read(self, pieces: Sequence[Piece]) -> None:
        plains = []
        for piece in pieces:
            if "transparent_union" in piece.tokens or "__transparent_union__" in piece.tokens:
                self._odd.add(guess(piece.tokens)[1])
        for piece in pieces:
            if self._simple(piece):
                continue
            try:
                plains.append(Plain(piece, self.constants, self._typeofs))
            except Unreadable as error:
                self._refuse(piece, str(error))
            except IndexError:
                self._refuse(piece, "it has no end")
        for start in range(0, len(plains), _CHUNK):
            self._parse(plains[start : start + _CHUNK])
        order: dict[Place, int] = {}
        for index, piece in enumerate(pieces):
            for line in piece.lines:
                order.setdefault((piece.file, line), index)
        for table in (self.functions, self.typedefs, self.records):
            rows = sorted(table.items(), key=lambda item: order[item[1].place])
            table.clear()
            table.update(rows)

    def _simple(self, piece: Piece) -> bool:
        """Take a declaration that pycparser need not see, if ``piece`` is one."""
        if not self._odd.isdisjoint(piece.tokens):
            return False
        place = piece.file, piece.lines[0]
        typedef = simple.typedef(piece.tokens)
        if typedef is not None:
            self._known.add(typedef.name)
            self.typedefs.setdefault(typedef.name, Typedef(typedef.text, place))
            if typedef.tag is not None:
                self.records.setdefault(typedef.tag, Record(None, typedef.tag, None, place))
            return True
        function = simple.function(piece.tokens)
        if function is None:
            return False
        self._note_function(function.name, function.text, function.name, piece, function.attributes, function.storage)
        return True

    # --- through pycparser ---

    def _parse(self, plains: Sequence[Plain]) -> None:
        names = set().union(*(plain.names for plain in plains)) if plains else set()
        known = sorted(name for name in names if name in self._known or _ALWAYS_TYPES.fullmatch(name))
        for plain in plains:
            known += [f"{gnu.TYPEOF}{index}" for index in _typeofs_in(plain)]
        text = "".join(f"typedef int {name}; " for name in known)
        starts = []
        row = 2
        parts = []
        for plain in plains:
            starts.append(row)
            parts.append(f"{plain.text}\n{'{}' if plain.piece.body and ';' in plain.piece.tokens[-1:] else ';'}")
            row += plain.rows + 1
        try:
            tree = self._parser.parse("\n".join([text, *parts]))
        except Exception as error:  # ParseError has moved between pycparser's modules, and its lexer has others
            if len(plains) == 1:
                self._refuse(plains[0].piece, _said(error))
                return
            tree = None
        if tree is None:
            self._parse(plains[: len(plains) // 2])
            self._parse(plains[len(plains) // 2 :])
            return
        groups: dict[int, list[c_ast.Node]] = {}
        for node in tree.ext:
            line = _line(node)
            if line >= 2:
                groups.setdefault(bisect_right(starts, line) - 1, []).append(node)
        for index, nodes in groups.items():
            self._take(plains[index], starts[index], nodes)

    def _refuse(self, piece: Piece, reason: str) -> None:
        kind, name = guess(piece.tokens)
        self.refused.setdefault(name, (kind, (piece.file, piece.lines[0]), reason))

    # --- from the tree ---

    def _take(self, plain: Plain, offset: int, nodes: Sequence[c_ast.Node]) -> None:
        self._plain, self._offset, self._tags = plain, offset, {}
        nodes = [node.decl if isinstance(node, c_ast.FuncDef) else node for node in nodes]
        for node in nodes:
            inner = getattr(node, "type", None)
            if isinstance(node, c_ast.Typedef) and isinstance(inner, c_ast.TypeDecl):
                kind = inner.type
                if isinstance(kind, (c_ast.Struct, c_ast.Union, c_ast.Enum)) and kind.name is None:
                    self._tags.setdefault(id(kind), node.name)
        for node in nodes:
            try:
                self._declare(node)
            except Unreadable as error:
                name = getattr(node, "name", None) or guess(plain.piece.tokens)[1]
                kind = "typedef" if isinstance(node, c_ast.Typedef) else guess(plain.piece.tokens)[0]
                self.refused.setdefault(name, (kind, self._place(node), str(error)))

    def _place(self, node: c_ast.Node) -> Place:
        return self._plain.piece.file, self._plain.piece.lines[0]

    def _row(self, node: c_ast.Node) -> int:
        return _line(node) - self._offset

    def _attributes(self, node: c_ast.Node) -> list[Attribute]:
        return self._plain.attributes.get(self._row(node), [])

    def _declare(self, node: c_ast.Node) -> None:
        if isinstance(node, c_ast.Typedef):
            self._typedef(node)
        elif isinstance(node, c_ast.Decl):
            if node.name is None:
                self._base(node.type, top=True)
                return
            found = self._function_type(node.type)
            if found is not None:
                self._function(node, found)
            else:
                self._variable(node)

    def _typedef(self, node: c_ast.Typedef) -> None:
        attributes = self._attributes(node)
        name = node.name
        function = self._function_type(node.type)
        self._known.add(name)
        if function is not None:
            self._types.setdefault(name, function)
        prefix = self._layout_attributes(attributes, packed=False)
        aligned = [one for one in attributes if one.name == "aligned"]
        if aligned:
            self.aligned[name] = self._alignment(aligned[-1])
        elif (base := _plain_name(node.type)) in self.aligned:
            self.aligned[name] = self.aligned[base]
        text = self._spell(node.type, name, attributes)
        if any(one.name == "transparent_union" for one in attributes):
            self._note_transparent(name, node.type)
        elif (base := _plain_name(node.type)) in self._transparent:
            self._transparent[name] = self._transparent[base]
        self.typedefs.setdefault(name, Typedef(f"typedef {prefix}{text}", self._place(node)))

    def _function(self, node: c_ast.Decl, found: tuple[c_ast.Node, Plain, int]) -> None:
        plain, row = self._plain, self._row(node)
        attributes = plain.attributes.get(row, [])
        text = self._elsewhere(found, node.name, attributes)
        symbol = plain.labels.get(row, node.name)
        self._note_function(node.name, text, symbol, plain.piece, attributes, {*node.storage, *node.funcspec})

    def _note_function(
        self, name: str, text: str, symbol: str, piece: Piece, attributes: Sequence[Attribute], storage: set[str]
    ) -> None:
        place = piece.file, piece.lines[0]
        if "static" in storage and not piece.body:
            reason = "it is static, and not defined in the headers"
            if name not in self.functions:
                self.refused.setdefault(name, ("function", place, reason))
            return
        if not piece.body:
            self._exported.add(name)
        inline = piece.body and ("static" in storage or name not in self._exported)
        self.refused.pop(name, None)
        made = Function(text, symbol, notes(attributes), place, inline)
        known = self.functions.get(name)
        if known is not None:
            said = known.notes + tuple(note for note in made.notes if note not in known.notes)
            symbol = known.symbol if symbol == name else symbol
            better = made if known.prototype.endswith("()") else known
            made = better._replace(notes=said, symbol=symbol, inline=inline or known.inline and piece.body)
        self.functions[name] = made

    def _variable(self, node: c_ast.Decl) -> None:
        if "static" in node.storage:
            reason = "it is static: each file that includes the header has its own"
            self.refused.setdefault(node.name, ("variable", self._place(node), reason))
            return
        row = self._row(node)
        attributes = self._attributes(node)
        text = self._layout_attributes(attributes, packed=False) + self._spell(node.type, node.name, attributes)
        known = self.variables.get(node.name)
        symbol = self._plain.labels.get(row, known.symbol if known else node.name)
        if known is None or "[]" in known.declaration:
            self.variables[node.name] = Variable(text, symbol, known.place if known else self._place(node))

    def _function_type(self, node: c_ast.Node) -> tuple[c_ast.Node, Plain, int] | None:
        """The tree of the function type that ``node`` is, be it by a typedef's name, and where it stands."""
        if isinstance(node, c_ast.FuncDecl):
            return node, self._plain, self._offset
        name = _plain_name(node)
        if name is None:
            return None
        if name.startswith(gnu.TYPEOF):
            node, plain, offset = self._typeof(name)
            return (node, plain, offset) if isinstance(node, c_ast.FuncDecl) else None
        found = self._types.get(name)
        return found if found is not None and isinstance(found[0], c_ast.FuncDecl) else None

    def _elsewhere(self, found: tuple[c_ast.Node, Plain, int], inner: str, attributes: Sequence[Attribute] = ()) -> str:
        """The text of a tree that may stand in another declaration."""
        before = self._plain, self._offset
        node, self._plain, self._offset = found
        try:
            return self._spell(node, inner, attributes)
        finally:
            self._plain, self._offset = before

    def _typeof(self, name: str) -> tuple[c_ast.Node, Plain, int]:
        tokens = self._typeofs[int(name[len(gnu.TYPEOF) :])]
        try:
            if len(tokens) == 1 and tokens[0] in self.functions:
                tokens = tokens_of(self.functions[tokens[0]].prototype.replace(tokens[0], "epsilon_type", 1))
            elif len(tokens) == 1 and tokens[0] in self.variables:
                tokens = tokens_of(self.variables[tokens[0]].declaration.replace(tokens[0], "epsilon_type", 1))
            else:
                tokens = [*tokens, "epsilon_type"]
            lines = [self._plain.piece.lines[0]] * (len(tokens) + 2)
            piece = Piece(["typedef", *tokens], lines, self._plain.piece.file, 0, False, lines[0])
            plain = Plain(piece, self.constants, self._typeofs)
            known = [one for one in plain.names if one in self._known or _ALWAYS_TYPES.fullmatch(one)]
            tree = self._parser.parse("".join(f"typedef int {one}; " for one in known) + f"\n{plain.text};")
        except Exception:
            raise Unreadable(f"typeof({' '.join(tokens)}) is not the name of a type or of an object") from None
        return tree.ext[-1].type, plain, 2

    # --- texts ---

    def _spell(self, node: c_ast.Node, inner: str, attributes: Sequence[Attribute] = ()) -> str:
        """The C text that declares ``inner`` with the type of ``node``."""
        if isinstance(node, c_ast.TypeDecl):
            name = _plain_name(node)
            if name is not None and name.startswith(gnu.TYPEOF):
                qualifiers = " ".join(node.quals)
                return f"{qualifiers} {self._elsewhere(self._typeof(name), inner, attributes)}".lstrip()
            base = self._base(node.type, attributes)
            return " ".join(filter(None, (*node.quals, base, inner)))
        if isinstance(node, c_ast.PtrDecl):
            qualifiers = " ".join(node.quals)
            inner = f"*{qualifiers} {inner}" if qualifiers and inner else f"*{qualifiers}{inner}"
            if isinstance(node.type, (c_ast.ArrayDecl, c_ast.FuncDecl)):
                inner = f"({inner})"
            return self._spell(node.type, inner, attributes)
        if isinstance(node, c_ast.ArrayDecl):
            return self._spell(node.type, f"{inner}[{_bound(node.dim)}]", attributes)
        if isinstance(node, c_ast.FuncDecl):
            return self._spell(node.type, f"{inner}({self._parameters(node.args)})", attributes)
        raise Unreadable(f"a {type(node).__name__} is not known here")

    def _parameters(self, found: c_ast.ParamList | None) -> str:
        if found is None or any(isinstance(one, c_ast.ID) for one in found.params):
            return ""
        texts = []
        for one in found.params:
            if isinstance(one, c_ast.EllipsisParam):
                texts.append("...")
                continue
            transparent = self._transparent.get(_plain_name(one.type) or "")
            if transparent is not None:
                texts.append(transparent % (one.name or ""))
            else:
                texts.append(self._spell(one.type, one.name or ""))
        return ", ".join(text.strip() for text in texts)

    def _base(self, node: c_ast.Node, attributes: Sequence[Attribute] = (), top: bool = False) -> str:
        """The text of specifiers; what they define is noted by the way."""
        if isinstance(node, c_ast.IdentifierType):
            names = [_COMPLEX_NAME.sub(r"_Complex \1", name) for name in node.names]
            return with_mode(names, attributes)
        if isinstance(node, c_ast.Enum):
            return self._enum(node)
        if isinstance(node, (c_ast.Struct, c_ast.Union)):
            return self._record(node, top)
        if isinstance(node, c_ast.TypeDecl):
            return self._base(node.type, attributes)
        if isinstance(node, c_ast.Typename):  # _Atomic(type)
            return self._spell(node.type, "")
        raise Unreadable(f"a {type(node).__name__} is not known here")

    def _enum(self, node: c_ast.Enum) -> str:
        tag = node.name or self._tags.get(id(node))
        if node.values is not None:
            names = self._plain.enumerators.get(self._row(node), [])
            file = self._plain.piece.file
            before = None
            for one in names:
                self.enumerators.setdefault(one.name, Value((file, one.line), one.value, before))
                before = one.name
            if tag is not None:
                spelled = f"enum {tag}" if node.name else tag
                self.enums.setdefault(tag, Enum(tuple(names), spelled, self._head(node)))
            else:
                # its type is the compiler's choice; its first constant has it, or one that holds the same values
                return "int"
        return f"enum {tag}"

    def _head(self, node: c_ast.Node) -> Place:
        """Where the struct or enum begins; the whole declaration, if that is what it is for."""
        line = self._plain.lines.get(self._row(node), self._plain.piece.lines[0])
        return self._plain.piece.file, line

    def _record(self, node: c_ast.Struct | c_ast.Union, top: bool = False) -> str:
        kind = "struct" if isinstance(node, c_ast.Struct) else "union"
        tag = node.name or self._tags.get(id(node))
        if tag is not None and not node.name and self._is_taken(f"{kind} {tag}", node):
            tag = self._tags[id(node)] = f"{tag}__typedef"
        spelled = f"{kind} {tag}"
        if node.decls is None:
            self.records.setdefault(spelled, Record(None, spelled, None, self._head(node)))
            return spelled
        if tag is not None:
            known = self.records.get(spelled)
            if known is not None and known.definition is not None:
                return spelled
            if known is None:
                self.records[spelled] = Record(None, spelled, None, self._head(node))
        body, members = self._body(node)
        text = f"{kind} {tag} {body}" if tag is not None else f"{kind} {body}"
        if tag is None:
            return text
        pack = f"#pragma pack({self._plain.piece.pack})\n" if self._plain.piece.pack else ""
        c_name = spelled if node.name else _original(tag)
        self.records[spelled] = Record(pack + text, c_name, tuple(members), self._head(node))
        if any(one.name == "transparent_union" for one in self._attributes(node)):
            self._transparent[c_name] = members[0].type
        return spelled

    def _is_taken(self, spelled: str, node: c_ast.Node) -> bool:
        """Whether another struct has this tag, and not this one that is met again behind a comma."""
        known = self.records.get(spelled)
        return known is not None and known.definition is not None and known.spelled == spelled

    def _body(self, node: c_ast.Struct | c_ast.Union) -> tuple[str, list[Member]]:
        texts, members = [], []
        for one in node.decls:
            if not isinstance(one, c_ast.Decl):
                continue
            attributes = self._attributes(one)
            own = self._layout_attributes(attributes, self._member_alignment(one))
            if one.name is None and one.bitsize is None:
                anonymous = isinstance(one.type, (c_ast.Struct, c_ast.Union)) and one.type.name is None
                text = self._base(one.type)
                if not anonymous:
                    continue  # it declares a tag or constants, and no member
                texts.append(f"{text}{own and ' ' + own.rstrip()};")
                members += self._body(one.type)[1]
                continue
            name = one.name or ""
            prefix, text = "", self._spell(one.type, name, attributes)
            if "vector_size" in own:
                prefix, own = own, ""
            if one.bitsize is not None:
                text += f" : {_bound(one.bitsize)}"
            texts.append(f"{prefix}{text}{own and ' ' + own.rstrip()};")
            if name:
                members += self._paths(one, name, attributes)
        attributes = self._attributes(node)
        if any(one.name == "scalar_storage_order" for one in attributes):
            raise Unreadable("its members have another byte order (scalar_storage_order)")
        attributes = self._layout_attributes(attributes)
        return f"{{ {' '.join(texts)} }}{attributes and ' ' + attributes.rstrip()}", members

    def _paths(self, one: c_ast.Decl, name: str, attributes: Sequence[Attribute]) -> Iterator[Member]:
        """A member, and what is in it where its type has no name."""
        inner, path = one.type, name
        while isinstance(inner, c_ast.ArrayDecl):
            inner, path = inner.type, f"{path}[0]"
        inner = inner.type if isinstance(inner, c_ast.TypeDecl) else inner
        pointed = one.type
        while not isinstance(pointed, c_ast.TypeDecl):
            pointed = pointed.type
        nameless = isinstance(pointed.type, (c_ast.Struct, c_ast.Union, c_ast.Enum)) and (
            pointed.type.name is None and id(pointed.type) not in self._tags
        )
        flexible = isinstance(one.type, c_ast.ArrayDecl) and one.type.dim is None
        kind = "bits" if one.bitsize is not None else "flexible" if flexible else ""
        vectors = self._layout_attributes([one for one in attributes if one.name == "vector_size"])
        yield Member(name, kind, None if nameless else vectors + self._spell(one.type, "%s", attributes))
        if nameless and inner is pointed.type and not isinstance(inner, c_ast.Enum):
            for member in self._body(inner)[1]:
                yield Member(f"{path}.{member.path}", member.kind, member.type)

    def _note_transparent(self, name: str, node: c_ast.Node) -> None:
        inner = node.type if isinstance(node, c_ast.TypeDecl) else None
        if isinstance(inner, c_ast.Union):
            tag = inner.name or self._tags.get(id(inner))
            known = self.records.get(f"union {tag}")
            if known is not None and known.members:
                self._transparent[name] = known.members[0].type

    # --- attributes that change a layout ---

    def _layout_attributes(self, attributes: Sequence[Attribute], alignment: str = "", packed: bool = True) -> str:
        """``__attribute__((…)) `` as ``facts`` has it, or nothing."""
        words = ["packed"] if alignment or packed and any(one.name == "packed" for one in attributes) else []
        words += [f"aligned({self._alignment(one)})" for one in attributes if one.name == "aligned"]
        if alignment:
            words.append(f"aligned({alignment})")
        words += [f"vector_size({self._value(one)})" for one in attributes if one.name == "vector_size"]
        return f"__attribute__(({', '.join(words)})) " if words else ""

    def _alignment(self, found: Attribute) -> str:
        return self._value(found) if found.arguments else self._value(LARGEST)

    def _value(self, found: Attribute) -> str:
        tokens = [token for token in found.arguments if token not in "()"] if len(found.arguments) <= 3 else []
        if len(tokens) == 1 and re.fullmatch(r"\d+", tokens[0]):
            return tokens[0]
        self.constants.append(gnu.Constant(tuple(found.arguments), self._plain.piece.lines[0], False))
        return f"{gnu.CONSTANT}{len(self.constants) - 1}"

    def _member_alignment(self, one: c_ast.Decl) -> str:
        """What a typedef asks of the member whose type it is."""
        inner = one.type
        while isinstance(inner, c_ast.ArrayDecl):
            inner = inner.type
        return self.aligned.get(_plain_name(inner) or "", "") if one.bitsize is None else ""


_COMPLEX_NAME = re.compile(rf"{gnu.COMPLEX}(\w+)")


def _original(tag: str) -> str:
    return tag.removesuffix("__typedef")


def _line(node: c_ast.Node) -> int:
    """The row at which a declarator stands; -1 where nobody knows."""
    part = node
    while part is not None and part.coord is None:  # a bit-field without a name, a name in parentheses
        part = getattr(part, "bitsize", None) or getattr(part, "type", None)
    return -1 if part is None or part.coord is None else part.coord.line


def _plain_name(node: c_ast.Node) -> str | None:
    """The typedef's name that ``node`` is, if it is nothing more."""
    if isinstance(node, c_ast.TypeDecl) and isinstance(node.type, c_ast.IdentifierType) and len(node.type.names) == 1:
        return node.type.names[0]
    return None


def _bound(node: c_ast.Node | None) -> str:
    if node is None:
        return ""
    return str(node.value).rstrip("uUlL") if isinstance(node, c_ast.Constant) else str(node.name)


def _typeofs_in(plain: Plain) -> list[str]:
    return [word[len(gnu.TYPEOF) :] for word in plain.text.split() if word.startswith(gnu.TYPEOF)]


def _said(error: Exception) -> str:
    words = re.sub(r"^.*?:\d+:\d+: ", "", str(error)) or type(error).__name__
    found = re.match(r"before: (.*)", words)
    return f"its syntax is not known, at {found[1]!r}" if found else f"its syntax is not known: {words}"
