"""Reading a body: forms become nodes whose names are resolved; what is outside the subset is refused, with what to use.

The names of locals are known from the body alone.  Any other name is the module's, which the environment looks up: a
function that gives the object, or ``UNKNOWN`` where only run time knows, or raises ``KeyError``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from epsilon import _backend
from epsilon.errors import ForeignTypeError, nearest
from epsilon.expressions import ctype
from epsilon.native.building import native_of
from epsilon.native.rules import SIZE, UNKNOWN, NativeError, named, parameter_type, plain
from epsilon.native.source import TAG, head, symbol, unquoted, written
from epsilon.native.subset import AUGMENTED, COMPARISONS, INSTEAD, SHIFTS, SIGNS
from epsilon.native.tree import Callee, Node, Variable
from epsilon.typesystem import VOID, Array, CType, StructCType, TypeObject

Environment = Callable[[str], Any]

class Reader:
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

    # --- names ---

    def find(self, name: str) -> Variable | None:
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        return None

    def module_object(self, form: tuple) -> Any:
        """The module's object for a symbol, or for a dotted name that begins with one of the module's."""
        parts = [form] if form[TAG] == "s" else list(form[4:])
        if not parts or not all(part[TAG] == "s" for part in parts):
            raise NativeError(f"{written(form)} is no name", form)
        try:
            return self.environment(".".join(part[4] for part in parts))
        except AttributeError as error:
            raise NativeError(str(error), form) from None
        except KeyError:
            known = [variable.lisp for scope in self.scopes for variable in scope.values()]
            name = parts[0][3]
            hint = f"; {INSTEAD[name]}" if name in INSTEAD else nearest(name, known)
            raise NativeError(f"unknown name {name}{hint}", form) from None

    def is_local(self, form: tuple) -> bool:
        return form[TAG] != "s" or self.find(form[4]) is not None

    # --- types ---

    def type(self, form: tuple) -> Any:
        """The type that a form spells, or ``UNKNOWN``."""
        bare = unquoted(form)
        expression = self.type_expression(bare)
        if expression is UNKNOWN:
            return UNKNOWN
        try:
            found = ctype(expression)
            if isinstance(found, Array) and found.length is None:
                raise NativeError(f"the length of {written(bare)} is missing: (:array TYPE LENGTH)", form)
        except ForeignTypeError as error:
            raise NativeError(str(error), form) from None
        known = plain(found)
        if known is None:
            raise NativeError(f"native code has no {found.spelling}" + (
                "; use :double" if "long double" in found.spelling else ""), form)  # fmt: skip
        return known

    def type_expression(self, form: tuple) -> Any:
        tag = form[TAG]
        if tag == ":":
            return _known_word(form[3])
        if tag in ("t", "i"):
            return form[3]
        if tag == "s" or head(form) == ".":
            if tag == "s" and (form[3] in _C_WORDS or form[3].endswith("_t")):
                return form[3]
            found = self.module_object(form)
            if found is not UNKNOWN and not isinstance(found, (CType, TypeObject, type, int, str)):
                raise NativeError(f"{written(form)} is no type", form)
            return found
        if tag in ("(", "[") and len(form) > 3:
            first = form[3]
            if first[TAG] == ":" and first[3] in ("struct", "union", "enum", "flags") and len(form) == 5:
                return (first[3], symbol(form[4]) and form[4][4] or form[4][3])
            parts = [self.type_expression(unquoted(part)) for part in form[4:]]
            begin = first[3] if first[TAG] in (":", "t") else self.type_expression(first)
            return UNKNOWN if UNKNOWN in (begin, *parts) else (begin, *parts)
        raise NativeError(f"{written(form)} is no type", form)

    # --- forms ---

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

    def callee(self, found: Any, form: tuple) -> Callee | None:
        if not isinstance(found, (_backend.Callback, _backend.Function)):
            return None
        signature = found.signature
        if signature is None:
            raise NativeError(f"{written(form)} is a closed callback", form)
        known = self.callees.get(id(found))
        if known is None:
            name = getattr(found, "__name__", "function")
            native = native_of(found)
            known = self.callees[id(found)] = Callee(name, found, signature, native)
            for part in (signature.result, *signature.parameters):
                if part is not VOID and parameter_type(part) is None:
                    raise NativeError(f"native code cannot call {name}: it has no {part.spelling}", form)
        return known

    def many(self, forms: Any) -> list[Node]:
        return [self.read(form) for form in forms]

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

    def is_module_function(self, form: tuple) -> bool:
        try:
            return isinstance(self.environment(form[4]), (_backend.Callback, _backend.Function))
        except KeyError:
            return False

    def wants(self, form: tuple, fewest: int, most: int, usage: str) -> None:
        count = len(form) - 4
        if not fewest <= count <= most:
            raise NativeError(f"{usage} is wanted, not {written(form)}", form)

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

    def form_not(self, form: tuple, items: tuple) -> Node:
        self.wants(form, 1, 1, "(not VALUE)")
        return Node("not", form, value=self.read(items[0]))

    def form_and(self, form: tuple, items: tuple) -> Node:
        if not items:
            return Node("const", form, value=True)
        return Node("logic", form, sign="&&", items=self.many(items)) if len(items) > 1 else self.read(items[0])

    def form_or(self, form: tuple, items: tuple) -> Node:
        if not items:
            return Node("const", form, value=None)
        return Node("logic", form, sign="||", items=self.many(items)) if len(items) > 1 else self.read(items[0])

    def form_do(self, form: tuple, items: tuple) -> Node:
        return Node("do", form, body=self.many(items))

    def form_if(self, form: tuple, items: tuple) -> Node:
        self.wants(form, 2, 3, "(if CONDITION THEN ELSE)")
        test, *arms = self.many(items)
        return Node("if", form, test=test, then=arms[0], otherwise=arms[1] if len(arms) > 1 else None)

    def form_when(self, form: tuple, items: tuple) -> Node:
        if not items:
            raise NativeError("(when CONDITION BODY …) is wanted", form)
        return Node("if", form, test=self.read(items[0]), then=Node("do", form, body=self.many(items[1:])))

    def form_unless(self, form: tuple, items: tuple) -> Node:
        found = self.form_when(form, items)
        found.test = Node("not", items[0], value=found.test)
        return found

    def form_cond(self, form: tuple, items: tuple) -> Node:
        if len(items) % 2:
            raise NativeError("cond takes pairs, (cond TEST VALUE …)", form)
        found = None
        for test, value in reversed(list(zip(items[::2], items[1::2], strict=True))):
            if symbol(test) == "True":
                found = self.read(value)
            else:
                found = Node("if", test, test=self.read(test), then=self.read(value), otherwise=found)
        return found or Node("do", form, body=[])

    def form_let(self, form: tuple, items: tuple) -> Node:
        if not items or items[0][TAG] != "[" or len(items[0][3:]) % 2:
            raise NativeError("(let [NAME VALUE …] BODY …) is wanted", form)
        steps = []
        self.scopes.append({})
        pairs = items[0][3:]
        for target, value in zip(pairs[::2], pairs[1::2], strict=True):
            if target[TAG] != "s":
                raise NativeError(f"a name is wanted here, not {written(target)}", target)
            read = self.read(value)
            variable = Variable(target[3])
            self.scopes[-1][target[4]] = variable
            steps.append(self.assignment(target, Node("local", target, variable=variable), read))
        body = self.many(items[1:])
        self.scopes.pop()
        return Node("do", form, body=steps + body)

    def form_setv(self, form: tuple, items: tuple) -> Node:
        if len(items) % 2:
            raise NativeError("(setv PLACE VALUE …) is wanted", form)
        steps = []
        for target, value in zip(items[::2], items[1::2], strict=True):
            place = self.read_place(target)
            read = self.read(value)
            steps.append(self.assignment(form if len(items) == 2 else target, place, read))
        return steps[0] if len(steps) == 1 else Node("do", form, body=steps)

    def assignment(self, form: tuple, place: Node, value: Node) -> Node:
        if place.kind == "local":
            self.assignments.append((place.variable, value))
        return Node("set", form, place=place, value=value)

    def read_place(self, form: tuple) -> Node:
        place = self.read(form)
        if place.kind not in ("local", "index", "member", "unknown"):
            raise NativeError(f"{written(form)} cannot be assigned; a local, (get p i), (deref p) or (. p member) "
                              "can", form)  # fmt: skip
        return place

    def form_while(self, form: tuple, items: tuple) -> Node:
        if not items:
            raise NativeError("(while CONDITION BODY …) is wanted", form)
        if items[-1][TAG] == "(" and head(items[-1]) == "else":
            raise NativeError("a loop of native code has no else", items[-1])
        test = self.read(items[0])
        found = Node("while", form, test=test, body=self.loop_body(items[1:]))
        return found

    def loop_body(self, forms: tuple) -> Node:
        self.loops += 1
        body = self.many(forms)
        self.loops -= 1
        return Node("do", forms[0] if forms else (0, 0, "s", "None", "None"), body=body)

    def form_for(self, form: tuple, items: tuple) -> Node:
        usage = "(for [NAME (range …)] BODY …)"
        if not items or items[0][TAG] != "[" or len(items[0]) < 5:
            raise NativeError(f"{usage} is wanted", form)
        if head(items[-1]) == "else" and len(items) > 1:
            raise NativeError("a loop of native code has no else", items[-1])
        clauses = items[0][3:]
        if len(clauses) % 2:
            raise NativeError(f"{usage} is wanted", items[0])
        return self.for_clauses(form, list(zip(clauses[::2], clauses[1::2], strict=True)), items[1:])

    def for_clauses(self, form: tuple, clauses: list, body: tuple) -> Node:
        (target, over), *inner = clauses
        if target[TAG] != "s":
            raise NativeError(f"{written(target)} is not in the subset; a for is (for [NAME (range …)] BODY …)", target)
        if head(over) != "range" or not 5 <= len(over) <= 7:
            raise NativeError(f"a native loops over a range, (range STOP) or (range START STOP STEP), not over "
                              f"{written(over)}; of memory, over its indices", over)  # fmt: skip
        limits = self.many(over[4:])
        start, stop = (Node("const", over, value=0), limits[0]) if len(limits) == 1 else limits[:2]
        step = limits[2] if len(limits) > 2 else Node("const", over, value=1)
        variable = self.find(target[4])
        if inner:
            self.loops += 1
            read = Node("do", form, body=[self.for_clauses(form, inner, body)])
            self.loops -= 1
        else:
            read = self.loop_body(body)
        for limit in (start, stop):
            self.assignments.append((variable, limit))
        return Node("for", form, variable=variable, start=start, stop=stop, step=step, body=read)

    def form_break(self, form: tuple, items: tuple) -> Node:
        self.wants(form, 0, 0, "(break)")
        return self.leave(form, "break")

    def form_continue(self, form: tuple, items: tuple) -> Node:
        self.wants(form, 0, 0, "(continue)")
        return self.leave(form, "continue")

    def leave(self, form: tuple, kind: str) -> Node:
        if not self.loops:
            raise NativeError(f"({kind}) is outside of a loop", form)
        return Node(kind, form)

    def form_return(self, form: tuple, items: tuple) -> Node:
        self.wants(form, 0, 1, "(return VALUE)")
        return Node("return", form, value=self.read(items[0]) if items else None)

    def form_assert(self, form: tuple, items: tuple) -> Node:
        self.wants(form, 1, 2, "(assert CONDITION \"why\")")
        if len(items) == 2 and items[1][TAG] != "t":
            raise NativeError("what an assert says is a string literal", items[1])
        return Node("assert", form, test=self.read(items[0]), text=items[1][3] if len(items) == 2 else "")

    def form_the(self, form: tuple, items: tuple) -> Node:
        self.wants(form, 1, 2, "(the TYPE VALUE)")
        found = self.type(items[0])
        if isinstance(found, Array):
            return self.array(form, found, items[1:])
        if isinstance(found, StructCType) and len(items) == 1:
            return self.struct(form, found, ())
        if len(items) == 1:
            raise NativeError("(the TYPE VALUE) is wanted; only an array or a struct begins with zeros", form)
        if found is UNKNOWN:
            return Node("unknown", form, items=[] if items[1][TAG] == "[" else [self.read(items[1])])
        return Node("the", form, type=found, value=self.read(items[1]))

    def array(self, form: tuple, found: Array, items: tuple) -> Node:
        if found.length * found.target.size > _LARGEST:
            raise NativeError(f"{found.spelling} takes {found.size} bytes; a local array has its place on the stack, "
                              f"at most {_LARGEST} bytes", form)  # fmt: skip
        if items and items[0][TAG] not in ("[", "t", "b"):
            raise NativeError(f"the values of an array are [VALUE …], not {written(items[0])}", items[0])
        values: list[Node] = []
        if items and items[0][TAG] == "[":
            values = self.many(items[0][3:])
        elif items:
            data = items[0][3].encode() if items[0][TAG] == "t" else items[0][3]
            values = [Node("const", items[0], value=byte) for byte in data]
        if len(values) > found.length:
            raise NativeError(f"{found.spelling} has no place for {len(values)} values", form)
        return Node("array", form, type=found, values=values)

    def struct(self, form: tuple, found: StructCType, items: tuple) -> Node:
        if found.fields is None:
            raise NativeError(f"{found.spelling} has no members that are known", form)
        values, rest = {}, list(items)
        names = [field.name for field in found.fields if field.name]
        while rest:
            name = rest.pop(0)
            if name[TAG] == ":" and rest:
                member = name[3].replace("-", "_")
                if member not in names:
                    raise NativeError(f"{found.spelling} has no member {member}{nearest(member, names)}", name)
                values[member] = self.read(rest.pop(0))
            elif len(values) < len(names):
                values[names[len(values)]] = self.read(name)
            else:
                raise NativeError(f"{found.spelling} has no member for {written(name)}", name)
        return Node("struct", form, type=found, values=values)

    def form_cast(self, form: tuple, items: tuple) -> Node:
        self.wants(form, 2, 2, "(cast VALUE TYPE)")
        return Node("cast", form, value=self.read(items[0]), type=self.type(items[1]))

    def form_sizeof(self, form: tuple, items: tuple) -> Node:
        return self.measure(form, items, "size")

    def form_alignof(self, form: tuple, items: tuple) -> Node:
        return self.measure(form, items, "alignment")

    def measure(self, form: tuple, items: tuple, what: str) -> Node:
        self.wants(form, 1, 1, f"({symbol(form[3])} TYPE)")
        if items[0][TAG] == "s" and self.find(items[0][4]):
            return Node("sizeof", form, value=self.read(items[0]), what=what)
        found = self.type(items[0])
        if found is UNKNOWN:
            return Node("unknown", form)
        if getattr(found, what) is None:
            raise NativeError(f"{named(found)} has no {what}", form)
        return Node("the", form, type=SIZE, value=Node("const", form, value=getattr(found, what)))

    def form_offsetof(self, form: tuple, items: tuple) -> Node:
        self.wants(form, 2, 2, "(offsetof STRUCT 'MEMBER)")
        found = self.type(items[0])
        if found is UNKNOWN:
            return Node("unknown", form)
        name = self.member_name(items[1])
        for field in getattr(found, "fields", None) or ():
            if field.name == name:
                return Node("the", form, type=SIZE, value=Node("const", form, value=field.offset))
        raise NativeError(f"{named(found)} has no member {name}", items[1])

    def form_ord(self, form: tuple, items: tuple) -> Node:
        self.wants(form, 1, 1, '(ord "a")')
        data = items[0][3] if items[0][TAG] in ("t", "b") else ""
        if len(data) != 1:
            raise NativeError('ord takes a string literal of one character, (ord "a")', form)
        return Node("const", form, value=ord(data))

    def form_deref(self, form: tuple, items: tuple) -> Node:
        self.wants(form, 1, 3, "(deref POINTER INDEX TYPE)")
        pointer, index = self.read(items[0]), None
        for item in items[1:]:
            if item[TAG] == ":" or (item[TAG] == "(" and len(item) > 3 and item[3][TAG] == ":"):
                found = self.type(item)
                if found is not UNKNOWN:
                    pointer = Node("cast", form, value=pointer, type=ctype(("pointer", found)))
            else:
                index = self.read(item)
        return Node("index", form, base=pointer, index=index or Node("const", form, value=0))

    def form_deref_int(self, form: tuple, items: tuple) -> Node:
        self.wants(form, 1, 2, "(deref-int POINTER INDEX)")
        pointer = Node("cast", form, value=self.read(items[0]), type=ctype(("pointer", "int")))
        index = self.read(items[1]) if len(items) > 1 else Node("const", form, value=0)
        return Node("index", form, base=pointer, index=index)

    def form_get(self, form: tuple, items: tuple) -> Node:
        if len(items) < 2:
            raise NativeError("(get POINTER INDEX) is wanted", form)
        found = self.read(items[0])
        for item in items[1:]:
            if item[TAG] == "t":
                found = Node("member", form, base=found, name=item[3])
            else:
                found = Node("index", form, base=found, index=self.read(item))
        return found

    def form_struct_ref(self, form: tuple, items: tuple) -> Node:
        self.wants(form, 2, 2, "(struct-ref STRUCT 'MEMBER)")
        return Node("member", form, base=self.read(items[0]), name=self.member_name(items[1]))

    def member_name(self, form: tuple) -> str:
        bare = unquoted(form)
        if bare[TAG] not in ("s", "t", ":"):
            raise NativeError(f"a member's name is wanted here, not {written(form)}", form)
        return bare[4] if bare[TAG] == "s" else bare[3].replace("-", "_")

    def form_dot(self, form: tuple, items: tuple) -> Node:
        if len(items) < 2:
            raise NativeError("(. POINTER MEMBER) is wanted", form)
        if items[0][TAG] == "s" and self.find(items[0][4]) is None and all(map(symbol, items)):
            return self.global_value(form)
        found = self.read(items[0])
        for item in items[1:]:
            if item[TAG] == "[" and len(item) == 4:
                found = Node("index", form, base=found, index=self.read(item[3]))
            elif item[TAG] == "s":
                found = Node("member", form, base=found, name=item[4])
            else:
                raise NativeError(f"native code has no methods; {written(item)} is no member", item)
        return found

    def form_pointer_plus(self, form: tuple, items: tuple) -> Node:
        self.wants(form, 2, 2, "(pointer+ POINTER COUNT)")
        return Node("binary", form, sign="+", left=self.read(items[0]), right=self.read(items[1]))

    def form_pointer_minus(self, form: tuple, items: tuple) -> Node:
        self.wants(form, 2, 2, "(pointer- POINTER COUNT)")
        return Node("binary", form, sign="-", left=self.read(items[0]), right=self.read(items[1]))

    def form_is_null(self, form: tuple, items: tuple) -> Node:
        self.wants(form, 1, 1, "(null-pointer? POINTER)")
        return Node("compare", form, signs=["=="], items=[self.read(items[0]), Node("const", form, value=None)])

    def form_struct_pointer(self, form: tuple, items: tuple) -> Node:
        self.wants(form, 1, 1, "(struct-pointer STRUCT)")
        return Node("address", form, value=self.read(items[0]))

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


#: what a single local array may take
_LARGEST = 1 << 20
_C_WORDS = {"void", "char", "short", "int", "long", "float", "double", "bool", "_Bool"}
_OTHERWISE = {
    "dot": ".", "bit-not": "bnot", "pointer-plus": "pointer+", "pointer-minus": "pointer-", "is-null": "null-pointer?",
}  # fmt: skip
#: the forms of the subset but for the operators → the method that reads them
METHODS = {
    _OTHERWISE.get(word, word): name
    for name in vars(Reader)
    if name.startswith("form_")
    for word in [name.removeprefix("form_").replace("_", "-")]
}


def _known_word(word: str) -> str:
    return word.lstrip(":")


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

