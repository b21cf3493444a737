"""Reading what concerns types and memory: casts, sizes, arrays, structs, pointers, members."""

from __future__ import annotations

from epsilon.errors import nearest
from epsilon.expressions import ctype
from epsilon.native.naming import Naming
from epsilon.native.rules import SIZE, UNKNOWN, NativeError, named
from epsilon.native.source import TAG, symbol, unquoted, written
from epsilon.native.tree import Node
from epsilon.typesystem import Array, StructCType

#: what a single local array may take
_LARGEST = 1 << 20


class Access(Naming):
    """The forms that have to do with types and with memory."""

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
