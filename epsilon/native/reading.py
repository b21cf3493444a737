"""Reading a body: forms become nodes whose names are resolved, and what is outside of the subset is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from epsilon.errors import nearest
from epsilon.native.access import Access
from epsilon.native.control import Control
from epsilon.native.naming import Environment
from epsilon.native.rules import UNKNOWN, NativeError
from epsilon.native.source import TAG, head, symbol, written
from epsilon.native.subset import AUGMENTED, COMPARISONS, INSTEAD, SHIFTS, SIGNS
from epsilon.native.tree import Callee, Node, Variable
from epsilon.typesystem import CType, StructCType, TypeObject


class Reader(Control, Access):
    """Reads one native: ``parameters`` are ``(Lisp name, Python name, type, type of the pointer that C passes)``."""

    def __init__(self, parameters: list[tuple], result: CType, body: tuple, environment: Environment):
        self.environment = environment
        self.result = result
        self.parameters: list[Variable] = []
        #: what is assigned to which variable, for the inference of their types
        self.assignments: list[tuple[Variable, Node]] = []
        self.callees: dict[int, Callee] = {}
        self.loops = 0
        names: dict[str, Variable] = {}
        for lisp, name, found, behind in parameters:
            variable = Variable(lisp, found, True)
            variable.parameter = True
            variable.behind = behind
            names[name] = variable
            if name.endswith("_"):  # a word of C's, in which a prototype has it
                names.setdefault(name[:-1], variable)
            self.parameters.append(variable)
        for lisp, name in _assigned(body):
            names.setdefault(name, Variable(lisp))
        self.scopes = [names]
        self.body = self.read(body)

    def read(self, form: tuple) -> Node:
        tag = form[TAG]
        if tag in "if":
            return Node("const", form, value=float(form[3]) if tag == "f" else form[3])
        if tag == "t":
            if "\0" in form[3]:
                raise NativeError("a string literal ends where its NUL is; write bytes, b\"…\"", form)
            return Node("text", form, data=form[3].encode())
        if tag == "b":
            return Node("text", form, data=form[3])
        if tag == "s":
            return self.read_symbol(form)
        if tag == "(":
            return self.read_expression(form)
        wanted = {
            "[": "an array is (the (:array TYPE LENGTH) [VALUE …]), an element (get p i)",
            ":": "a type stands in the, cast and sizeof",
            "{": "a struct is made by calling its type, (point :x 1)",
        }.get(tag, "values are numbers, pointers, strings and structs")
        raise NativeError(f"{written(form)} is no value in native code; {wanted}", form)

    def read_symbol(self, form: tuple) -> Node:
        name = form[3]
        if name in ("True", "False"):
            return Node("const", form, value=name == "True")
        if name == "None":
            return Node("const", form, value=None)
        variable = self.find(form[4])
        if variable is not None:
            return Node("local", form, variable=variable)
        return self.global_value(form)

    def global_value(self, form: tuple) -> Node:
        found = self.module_object(form)
        if found is UNKNOWN:
            return Node("unknown", form)
        if isinstance(found, (bool, float)) or found is None:
            return Node("const", form, value=found)
        if isinstance(found, int):
            return Node("const", form, value=int(found))
        if isinstance(found, (str, bytes)):
            return Node("text", form, data=found.encode() if isinstance(found, str) else found)
        callee = self.callee(found, form)
        if callee is None:
            what = type(found).__name__
            raise NativeError(f"{written(form)} is a {what}; native code takes numbers, strings, types, C functions "
                              "and natives from the module", form)  # fmt: skip
        return Node("function", form, callee=callee)

    def read_expression(self, form: tuple) -> Node:
        if len(form) == 3:
            raise NativeError("() is no value", form)
        first = form[3]
        name = symbol(first)
        local = bool(name) and self.find(first[4]) is not None
        if name and not local:
            if name in COMPARISONS and len(form) > 4:
                return Node("compare", form, signs=[COMPARISONS[name]] * (len(form) - 5), items=self.many(form[4:]))
            if name in SIGNS or name in SHIFTS:
                return self.read_arithmetic(form, name)
            if name in AUGMENTED:
                return self.read_augmented(form, name)
            if name in METHODS:
                return getattr(self, METHODS[name])(form, form[4:])
            if name in INSTEAD and not self.is_module_function(first):
                raise NativeError(f"{name} is not in the subset of native code; {INSTEAD[name]}", form)
        if head(first) == "." and symbol(first[4]) == "None":
            raise NativeError(f"native code has no methods; a member is (. p {symbol(first[5])})", form)
        return self.read_call(form)

    def read_arithmetic(self, form: tuple, sign: str) -> Node:
        items = self.many(form[4:])
        if not items:
            raise NativeError(f"({sign}) is no value", form)
        if len(items) == 1:
            if sign not in "+-":
                raise NativeError(f"{sign} takes two values", form)
            found = items[0]
            if found.kind == "const" and type(found.value) in (int, float):
                return Node("const", form, value=-found.value if sign == "-" else found.value)
            return Node("unary", form, sign=sign, value=found)
        found = items[0]
        for item in items[1:]:
            kind = "shift" if sign in SHIFTS else "binary"
            found = _folded(form, sign, found, item) or Node(kind, form, sign=sign, left=found, right=item)
        return found

    def read_augmented(self, form: tuple, name: str) -> Node:
        self.wants(form, 2, 2, f"({name} PLACE VALUE)")
        sign = AUGMENTED[name]
        place = self.read_place(form[4])
        # Its parts are evaluated once: lowering gives the place to both.
        value = Node("shift" if sign in SHIFTS else "binary", form, sign=sign, left=Node("same", form[4], place=place),
                     right=self.read(form[5]))  # fmt: skip
        return self.assignment(form, place, value)

    def form_bit_not(self, form: tuple, items: tuple) -> Node:
        self.wants(form, 1, 1, "(bnot VALUE)")
        return Node("unary", form, sign="~", value=self.read(items[0]))

    def form_ord(self, form: tuple, items: tuple) -> Node:
        self.wants(form, 1, 1, '(ord "a")')
        data = items[0][3] if items[0][TAG] in ("t", "b") else ""
        if len(data) != 1:
            raise NativeError('ord takes a string literal of one character, (ord "a")', form)
        return Node("const", form, value=ord(data))

    def read_call(self, form: tuple) -> Node:
        first, items = form[3], form[4:]
        if self.is_local(first) and head(first) != ".":
            return Node("call", form, pointer=self.read(first), arguments=self.call_arguments(form, items))
        if head(first) == "." and not (symbol(first[4]) and self.find(first[4][4]) is None):
            return Node("call", form, pointer=self.read(first), arguments=self.call_arguments(form, items))
        found = self.module_object(first)
        if found is UNKNOWN:
            plain_items = [item for item in items if item[TAG] != ":" and not _is_pair(item)]
            return Node("unknown", form, items=self.many(plain_items))
        own = getattr(found, "ctype", None)
        if isinstance(own, StructCType) and isinstance(found, (type, TypeObject)):
            return self.struct(form, own, items)
        callee = self.callee(found, form)
        if callee is None:
            name = symbol(first)
            hint = f"; {INSTEAD[name]}" if name in INSTEAD else "; natives call C functions and other natives"
            raise NativeError(f"{written(first)} is a {type(found).__name__} of Python{hint}", form)
        names = [*getattr(found, "names", ())] or [None] * len(callee.signature.parameters)
        return Node("call", form, callee=callee, arguments=self.call_arguments(form, items, names))

    def call_arguments(self, form: tuple, items: tuple, names: Any = ()) -> list[Node]:
        """The arguments of a call; an extra one of a variadic function may be ``[TYPE VALUE]``."""
        found: list[Any] = []
        named_ones: dict[int, Node] = {}
        rest = list(items)
        while rest:
            item = rest.pop(0)
            if item[TAG] == ":" and rest:
                name = item[3].replace("-", "_")
                if name not in names:
                    raise NativeError(f"no parameter is called {name}{nearest(name, [n for n in names if n])}", item)
                named_ones[list(names).index(name)] = self.read(rest.pop(0))
            elif _is_pair(item):
                found.append(Node("the", item, type=self.type(item[3]), value=self.read(item[4])))
            else:
                found.append(self.read(item))
        for index in sorted(named_ones):
            if index != len(found):
                raise NativeError(f"the argument {names[min(index, len(found))]} is missing or there twice", form)
            found.append(named_ones[index])
        return found


_OTHERWISE = {
    "dot": ".", "bit-not": "bnot", "pointer-plus": "pointer+", "pointer-minus": "pointer-", "is-null": "null-pointer?",
}  # fmt: skip
#: the forms of the subset but for the operators → the method that reads them
METHODS = {
    _OTHERWISE.get(word, word): name
    for name in dir(Reader)
    if name.startswith("form_")
    for word in [name.removeprefix("form_").replace("_", "-")]
}


def _is_pair(form: tuple) -> bool:
    return form[TAG] == "[" and len(form) == 5


def _folded(form: tuple, sign: str, left: Node, right: Node) -> Node | None:
    """The constant that two literal integers make, as Python has it."""
    if not (left.kind == right.kind == "const" and type(left.value) is type(right.value) is int):
        return None
    one, other = left.value, right.value
    if sign in ("//", "%", "/") or (sign in SHIFTS and not 0 <= other < 64):
        return None
    value = {
        "+": lambda: one + other, "-": lambda: one - other, "*": lambda: one * other, "&": lambda: one & other,
        "|": lambda: one | other, "^": lambda: one ^ other, "<<": lambda: one << other, ">>": lambda: one >> other,
    }[sign]()  # fmt: skip
    return Node("const", form, value=value)


def _assigned(form: tuple) -> Iterator[tuple[str, str]]:
    """The names that a body assigns: of the function, unless a let has them."""
    if form[TAG] not in ("(", "[", "{"):
        return
    name = head(form)
    if name == "setv":
        for target in form[4::2]:
            if target[TAG] == "s":
                yield target[3], target[4]
    if name == "for" and len(form) > 4 and form[4][TAG] == "[":
        for target in form[4][3::2]:
            if target[TAG] == "s":
                yield target[3], target[4]
    for item in form[3:]:
        yield from _assigned(item)

