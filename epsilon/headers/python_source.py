"""Reads what a Python file declares: the calls of Epsilon's Python face in its syntax tree, which is never run.

Text that stands in a constant of the module and reads as C prototypes is held to be declarations, too.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from epsilon.enums import read_enumeration
from epsilon.errors import ForeignError, ForeignTypeError
from epsilon.headers.sources import (
    Broken,
    Callback,
    Enum,
    Function,
    Name,
    Record,
    Source,
    Spot,
    Variable,
    passed,
)
from epsilon.layout import rules_of


def read(text: str, filename: str) -> list[Any]:
    """What the Python text declares: the namedtuples of ``sources``, in its order."""
    reader = PythonReader()
    try:
        tree = ast.parse(text, filename)
    except SyntaxError as error:
        return [Broken("", Spot(error.lineno or 1, error.offset or 1), f"cannot be read: {error.msg}")]
    except ValueError as error:  # a NUL in it
        return [Broken("", Spot(1, 1), f"cannot be read: {error}")]
    reader.visit(tree)
    return reader.found


def spot(node: ast.AST) -> Spot:
    return Spot(node.lineno, node.col_offset + 1)


def last_name(node: ast.AST | None) -> str:
    """``f`` of ``f`` and of ``module.f``."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


class _NotKnown(Exception):
    """A layout rests on what only run time knows."""


class PythonReader(Source, ast.NodeVisitor):
    """Goes through the syntax tree of one file, in its order."""

    def __init__(self) -> None:
        super().__init__()
        #: variable → library, as it was opened; variable → the literal that a module's constant is
        self.libraries: dict[str, str] = {}
        self.literals: dict[str, ast.expr] = {}
        #: the constants that were read as declarations
        self._texts: set[ast.expr] = set()
        self._depth = 0

    # --- statements ---

    def visit_Assign(self, node: ast.Assign) -> None:
        targets = [last_name(target) for target in node.targets]
        self.assigned(targets[0] if len(targets) == 1 else "", node.value)
        if self._depth == 0:
            for name in targets:
                self.literals[name] = node.value
            if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
                self.constant_text(node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.assigned(last_name(node.target), node.value)

    def visit_With(self, node: ast.With) -> None:
        for item in node.items:
            self.assigned(last_name(item.optional_vars), item.context_expr)
        for each in node.body:
            self.visit(each)

    visit_AsyncWith = visit_With

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and last_name(decorator.func) == "callback":
                self.read(decorator, lambda call: self.callback(node.name, call, 0))
            else:
                self.visit(decorator)
        self._depth += 1
        for each in node.body:
            self.visit(each)
        self._depth -= 1

    visit_AsyncFunctionDef = visit_FunctionDef

    def assigned(self, name: str, value: ast.expr) -> None:
        """Read a value that gets the name ``name``, or none."""
        if isinstance(value, ast.Call):
            if last_name(value.func) in ("lib_open", "library_for", "Library") and value.args:
                self.libraries[name] = self.text(value.args[0]) or ast.unparse(value.args[0])
                return
            reader = _CALLS.get(last_name(value.func))
            if reader is not None:
                self.read(value, lambda call: reader(self, name, call))
                self.callbacks_in(value)
                return
        self.visit(value)

    def visit_Call(self, node: ast.Call) -> None:
        reader = _CALLS.get(last_name(node.func))
        if reader is not None:
            self.read(node, lambda call: reader(self, "", call))
        self.generic_visit(node)
        if reader is None:
            self.passes(node)

    def callbacks_in(self, node: ast.Call) -> None:
        for each in (*node.args, *(keyword.value for keyword in node.keywords)):
            self.visit(each)

    def read(self, node: ast.Call, reader: Callable[[ast.Call], None]) -> None:
        """Read one call; what is wrong in it is found, too."""
        try:
            reader(node)
        except ForeignError as error:
            self.found.append(Broken(last_name(node.func), spot(node), error.args[0]))

    # --- values ---

    def expression(self, node: ast.AST) -> Any:
        """A type expression as ``Source.resolve`` takes it."""
        if isinstance(node, ast.Constant):
            return "..." if node.value is ... else node.value
        if isinstance(node, (ast.Tuple, ast.List)):
            return tuple(map(self.expression, node.elts))
        if isinstance(node, ast.Dict) and all(isinstance(key, ast.Constant) for key in node.keys):
            values = map(self.expression, node.values)
            return {key.value: value for key, value in zip(node.keys, values, strict=True)}
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
            return -node.operand.value if isinstance(node.operand.value, (int, float)) else Name(ast.unparse(node))
        if isinstance(node, ast.BinOp):
            return self.folded(node)
        name = last_name(node)
        if name and name not in self.named and name in self.literals:
            return self.expression(self.literals[name])
        return Name(name or ast.unparse(node))

    def folded(self, node: ast.BinOp) -> Any:
        """The value of ``1 << 3`` and the like."""
        left, right = self.expression(node.left), self.expression(node.right)
        make = _OPERATORS.get(type(node.op))
        if make is None or type(left) is not int or type(right) is not int or not 0 <= right < 1 << 16:
            return Name(ast.unparse(node))
        return make(left, right)

    def text(self, node: ast.AST | None) -> str | None:
        """The str that a node is, or None."""
        found = None if node is None else self.expression(node)
        return found if isinstance(found, str) else None

    def argument(self, call: ast.Call, index: int, name: str) -> ast.expr | None:
        """An argument, by position or by name."""
        if index < len(call.args):
            return call.args[index]
        return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)

    def headers(self, call: ast.Call) -> tuple[str, ...]:
        given = self.argument(call, 99, "header")
        found = None if given is None else self.expression(given)
        return tuple(each for each in (found if isinstance(found, tuple) else (found,)) if isinstance(each, str))

    def library(self, node: ast.expr | None) -> str:
        """What the file calls a library."""
        if isinstance(node, ast.Call) and last_name(node.func) in ("lib_open", "library_for") and node.args:
            node = node.args[0]
        if node is None:
            return ""
        return self.text(node) or self.libraries.get(last_name(node)) or ast.unparse(node)

    def typed(self, result: ast.expr, parameters: ast.expr | None) -> Any:
        listed = () if parameters is None else self.expression(parameters)
        return self.function_type(self.expression(result), listed) if isinstance(listed, tuple) else None

    # --- functions ---

    def bound(self, name: str, call: ast.Call) -> None:
        """``library.bind(…)``."""
        if not isinstance(call.func, ast.Attribute):
            return
        base = call.func.value
        known = last_name(base) in self.libraries or isinstance(base, ast.Call)
        first = self.expression(call.args[0]) if call.args else None
        symbols = first if isinstance(first, tuple) else (first,)
        if not symbols or not all(isinstance(each, str) for each in symbols):
            return
        result = self.argument(call, 1, "result")
        library, headers = self.library(base), self.headers(call)
        if result is not None:
            type = self.typed(result, self.argument(call, 2, "parameters")) if self.is_typed(call) else None
            if type is None and isinstance(self.expression(result), str):
                type = self.signatures.get(self.expression(result))
            names: tuple = ()
            spots = self.spots(result, self.argument(call, 2, "parameters"))
        elif "(" in symbols[0]:
            found = _prototype(self, symbols[0])
            symbols, type, names, spots = (found[0],), found[1], found[2], {}
        else:
            type, names, spots = self.signatures.get(symbols[0]) if known else None, (), {}
        if type is not None:
            function = Function(name or symbols[0], symbols, library, type, names, spot(call), spots, headers)
            self.add_function(function, name or None)

    def is_typed(self, call: ast.Call) -> bool:
        return self.argument(call, 2, "parameters") is not None

    def spots(self, result: ast.expr, parameters: ast.expr | None) -> dict[Any, Spot]:
        listed = parameters.elts if isinstance(parameters, (ast.List, ast.Tuple)) else ()
        return {"result": spot(result), **{index: spot(each) for index, each in enumerate(listed)}}

    def declared(self, name: str, call: ast.Call) -> None:
        """``library.declare(…)``."""
        if isinstance(call.func, ast.Attribute) and call.args:
            self.block(call.args[0], self.library(call.func.value), self.headers(call))

    def block(self, node: ast.expr, library: str, headers: tuple[str, ...]) -> None:
        origin = self.literals.get(last_name(node), node)
        text = self.text(origin)
        if text is not None and origin not in self._texts:
            self.read_block(text, library, lambda line, column: self.inside(origin, line, column), headers)

    def inside(self, node: ast.expr, line: int, column: int) -> Spot:
        """The spot of a line of a literal."""
        return Spot(node.lineno + line, column + 1 if line else node.col_offset + column + 2)

    def constant_text(self, node: ast.Constant) -> None:
        """Text in a module's constant, which is declarations where most of it reads as such."""
        if ";" not in node.value:
            return
        trial = PythonReader()
        trial.named.update(self.named)
        trial._structs.update(self._structs)
        trial.read_block(node.value, "", lambda line, column: Spot(1, 1), ())
        wrong = sum(isinstance(each, Broken) for each in trial.found)
        if 2 * wrong < len(trial.found):
            self._texts.add(node)
            self.read_block(node.value, "", lambda line, column: self.inside(node, line, column), ())

    def called(self, name: str, call: ast.Call) -> None:
        """``shared_call((symbol, library), …)``."""
        target = call.args[0] if call.args else None
        if not isinstance(target, (ast.Tuple, ast.List)) or len(target.elts) != 2 or len(call.args) < 2:
            return
        symbol = self.text(target.elts[0])
        registered = self.signatures.get(self.text(call.args[1]) or "")
        listed = len(call.args) > 2 and isinstance(self.expression(call.args[2]), tuple)
        if symbol is None or (registered is None and not listed):
            return
        type = registered or self.typed(call.args[1], call.args[2])
        spots = self.spots(call.args[1], None if registered else call.args[2])
        found = Function(symbol, (symbol,), self.library(target.elts[1]), type, (), spot(call), spots, ())
        self.found.append(found)
        self.note_callbacks(found, call.args[2 if registered else 3 :], call.keywords)

    def variable(self, name: str, call: ast.Call) -> None:
        symbol, library, type = (
            self.argument(call, index, each) for index, each in enumerate(("name", "library", "type"))
        )
        if symbol is not None and type is not None and self.text(symbol):
            found = self.resolve(self.expression(type))
            where = self.text(symbol)
            self.found.append(Variable(name or where, where, self.library(library), found, spot(call)))

    def signature(self, name: str, call: ast.Call) -> None:
        word = self.text(call.args[0]) if len(call.args) > 1 else None
        if word is not None:
            found = self.typed(call.args[1], self.argument(call, 2, "parameters"))
            if found is not None:
                self.signatures[word] = found

    # --- callbacks ---

    def made_callback(self, name: str, call: ast.Call) -> None:
        """``make_callback(function, …)``."""
        self.callback(name, call, 1)

    def callback(self, name: str, call: ast.Call, start: int) -> None:
        result = self.argument(call, start, "result")
        parameters = self.argument(call, start + 1, "parameters")
        if result is None:
            return
        word = self.text(result)
        if parameters is None and word is not None and "(" in word:
            _, type, _ = _prototype(self, word)
        elif parameters is None and word in self.signatures:
            type = self.signatures[word]
        elif parameters is not None:
            type = self.typed(result, parameters)
        else:
            return
        if type is not None:
            spots = self.spots(result, parameters)
            found = self.callbacks[name or spot(call)] = Callback(name or "callback", type, spot(call), spots, [])
            self.found.append(found)

    def passes(self, node: ast.Call) -> None:
        function = self.functions.get(last_name(node.func))
        if function is not None:
            self.note_callbacks(function, node.args, node.keywords)

    def note_callbacks(self, function: Function, arguments: list[ast.expr], keywords: list[ast.keyword]) -> None:
        """Note which callbacks a call passes, and where."""
        given = list(zip(passed(function.type), arguments, strict=False))
        given += [
            (function.parameters.index(keyword.arg), keyword.value)
            for keyword in keywords
            if keyword.arg in function.parameters
        ]
        for index, value in given:
            callback = self.callbacks.get(last_name(value) or spot(value))
            if callback is not None:
                callback.uses.append((function, index))

    # --- types ---

    def record(self, name: str, call: ast.Call, kind: str = "struct") -> None:
        """``define_c_struct(tag, members, …)``."""
        tag = self.text(self.argument(call, 0, "tag") or ast.Constant(None))
        fields = self.argument(call, 1, "fields")
        if tag is None or fields is None:
            return
        tag = tag.lstrip("':").replace("-", "_")
        own, reason, found = self.struct(kind, tag), "", None
        spots: dict[str, Spot] = {}
        try:
            found = self.lay_out(kind, tag, fields, call, spots)
        except _NotKnown as error:
            reason = str(error)
        self.named[tag] = found or own
        if name:
            self.named[name] = found or own
        self.found.append(Record(tag, found, spot(call), spots, self.headers(call), reason))

    def union(self, name: str, call: ast.Call) -> None:
        self.record(name, call, "union")

    def lay_out(self, kind: str, tag: str, fields: ast.expr, call: ast.Call, spots: dict[str, Spot]) -> Any:
        from epsilon.bodies import Body
        from epsilon.layout import Member

        origin = self.literals.get(last_name(fields), fields)
        if not isinstance(origin, (ast.List, ast.Tuple)):
            raise _NotKnown("the list of its members")
        members = []
        for node in origin.elts:
            entry = self.expression(node)
            if not isinstance(entry, tuple) or len(entry) not in (2, 3) or isinstance(entry[0], Name):
                raise _NotKnown(f"the member {ast.unparse(node)}")
            member, type, *options = entry
            member = member.lstrip("':").replace("-", "_") if isinstance(member, str) else None
            resolved = self.resolve(type)
            given = dict(options[0]) if options and isinstance(options[0], dict) else {}
            if resolved.only_run_time or any(isinstance(value, Name) for value in given.values()):
                raise _NotKnown(f"the type of {member}")
            if member is not None:
                spots[member] = spot(node)
            members.append(Member(member, resolved, None)._replace(**given))
        return self.define(Body(kind, tag, members, *rules_of(f"{kind} {tag}", *self.rules(call))))

    def rules(self, call: ast.Call) -> list[Any]:
        found = []
        for name in ("packed", "align"):
            given = self.argument(call, 99, name)
            value = None if given is None else self.expression(given)
            if isinstance(value, Name):
                raise _NotKnown(f"the value of {name}")
            found.append(value)
        return found

    def auto(self, name: str, call: ast.Call) -> None:
        tag = self.text(self.argument(call, 0, "tag") or ast.Constant(None))
        text = self.text(self.argument(call, 1, "declaration") or ast.Constant(None))
        special = self.argument(call, 2, "special") or self.argument(call, 99, "options")
        if text is None or "{" not in text or special is not None:
            return
        try:
            found = self.read_record(text, tag or "", *self.rules(call))
        except _NotKnown:
            return
        for each in filter(None, (tag, name)):
            self.named[each] = found
        self.found.append(Record(tag or found.tag, found, spot(call), {}, self.headers(call), ""))

    def type(self, name: str, call: ast.Call) -> None:
        word = self.text(self.argument(call, 0, "name") or ast.Constant(None))
        if word is None:
            return
        plain = word.lstrip("':").replace("-", "_")
        given = self.argument(call, 1, "type")
        found = self.struct("struct", plain) if given is None else self.resolve(self.expression(given))
        self.named[plain] = found
        if name:
            self.named[name] = found

    def enum(self, name: str, call: ast.Call, flags: bool = False) -> None:
        tag = self.text(self.argument(call, 0, "name") or ast.Constant(None))
        given = self.argument(call, 1, "constants")
        found = None if given is None else self.expression(given)
        entries = list(found.items()) if isinstance(found, dict) else list(found) if isinstance(found, tuple) else []
        pairs, following = [], 0
        for entry in entries:
            constant, value = entry if isinstance(entry, tuple) and len(entry) == 2 else (entry, following)
            if not isinstance(constant, str) or type(value) is not int:
                following = None
                continue
            pairs.append((constant, value))
            following = value + 1
        kind = self.argument(call, 2, "type")
        base = None if kind is None else self.resolve(self.expression(kind))
        if tag is not None and pairs:
            for each in filter(None, (tag, name)):
                self.named[each] = read_enumeration(flags, tag, pairs, base)
            self.found.append(Enum(tag, pairs, base, spot(call), {}))

    def flags(self, name: str, call: ast.Call) -> None:
        self.enum(name, call, True)


def _prototype(reader: PythonReader, text: str) -> tuple[str, Any, tuple]:
    """The name, the type and the parameters of a C prototype, whose typedefs are the file's."""
    from epsilon.declarator import Reader
    from epsilon.typesystem import FunctionType

    source = Reader(text, None, reader)
    name, found, names = source.declaration()
    if name is None or not isinstance(found, FunctionType):
        raise ForeignTypeError(f"{text!r} is no prototype")
    return name, found, names


_OPERATORS = {
    ast.LShift: int.__lshift__,
    ast.BitOr: int.__or__,
    ast.Add: int.__add__,
    ast.Sub: int.__sub__,
    ast.Mult: int.__mul__,
}

_CALLS: dict[str, Callable] = {
    "bind": PythonReader.bound,
    "declare": PythonReader.declared,
    "shared_call": PythonReader.called,
    "foreign_variable": PythonReader.variable,
    "register_signature": PythonReader.signature,
    "make_callback": PythonReader.made_callback,
    "define_c_struct": PythonReader.record,
    "define_c_union": PythonReader.union,
    "define_c_struct_auto": PythonReader.auto,
    "define_c_type": PythonReader.type,
    "define_c_enum": PythonReader.enum,
    "define_c_flags": PythonReader.flags,
}
