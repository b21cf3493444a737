"""The C text of a library of natives: what they use is declared, they are defined, and told what they call.

No header is included: what ``size_t`` is, is said here, which saves the compiler most of its time.  C functions are
called through pointers that ``epsilon_load`` fills, for a library in the cache knows no addresses.  ``epsilon_natives``
is all that is looked up in the library: ``epsilon_load``, whether ``epsilon_stop`` is ever called, and the natives.
"""

from __future__ import annotations

from typing import Any

from epsilon.compiler import identifier
from epsilon.declarations import is_plain
from epsilon.native import rules
from epsilon.native.ctext import Names, Writer, c_type, function_type
from epsilon.native.lowering import Lowered
from epsilon.native.tree import Callee
from epsilon.typesystem import VOID, Array, CType, FunctionPointer, FunctionType, Integer, Pointer, StructCType, decay

STOP = "void (*epsilon_stop)(const char *, const char *, const char *, const char *, int)"


class Library:
    """The text of several natives that become one shared library."""

    def __init__(self, title: str, imports: list[Any]):
        self.title = title
        self.slots = {id(function): index for index, function in enumerate(imports, 1)}
        self.names = Names()
        #: type → its declaration, and whether that has all its members
        self.types: dict[CType, tuple[str, bool]] = {}
        self.helpers: dict[str, str] = {}
        self.imports: dict[int, tuple[Callee, str]] = {}
        self.natives: dict[Any, str] = {}
        self.prototypes: list[str] = []
        self.functions: list[str] = []

    # --- what natives use ---

    def spell(self, found: CType, inner: str = "") -> str:
        """The declaration of ``inner`` with a type, whose parts are declared before."""
        bare = c_type(found)
        self.use(bare)
        return bare.declare(inner).rstrip()

    def use(self, found: CType) -> None:
        """Declare what a type is made of."""
        if isinstance(found, StructCType):
            self.declare_struct(found, False)
        elif isinstance(found, (Pointer, Array)):
            self.use(found.target)
        elif isinstance(found, FunctionPointer):
            self.use(found.target)
        elif isinstance(found, FunctionType):
            for part in (found.result, *found.parameters):
                self.use(part)
        elif isinstance(found, Integer) and found not in self.types and found.name.endswith("_t"):
            kind = {1: "char", 2: "short", 4: "int", rules.LONG.size: "long"}.get(found.size, "long long")
            sign = "signed " if found.low else "unsigned "
            self.types[found] = f"typedef {sign}{kind} {identifier(found.name)};", True

    def declare_struct(self, found: StructCType, whole: bool) -> None:
        """Declare a struct; ``whole`` with its members, for it is used by value or looked into."""
        known = self.types.get(found)
        if known is not None and (known[1] or not whole):
            return
        for other in self.types:
            if isinstance(other, StructCType) and other is not found and other.spelling == found.spelling:
                raise rules.NativeError(f"two definitions of {found.spelling} in natives that are built together", None)
        identifier(found.tag)
        if not whole or found.fields is None:
            self.types[found] = f"{found.spelling};", False
            return
        self.types[found] = "", True  # it may lead to itself
        if not is_plain(found):
            members = f" _Alignas({found.alignment}) char bytes[{found.size}];"
        else:
            members = ""
            for field in found.fields:
                self.complete(field.ctype)
                bits = "" if field.bits is None else f" : {field.bits}"
                members += f" {self.spell(field.ctype, identifier(field.name) if field.name else '')}{bits};"
        del self.types[found]  # it comes after what its members are
        proof = f'_Static_assert(sizeof({found.spelling}) == {found.size}, "the layout that Epsilon has");'
        self.types[found] = f"{found.spelling} {{{members} }};\n{proof}", True

    def complete(self, found: CType) -> None:
        """See that a type has a size in C."""
        found = c_type(found)
        while isinstance(found, Array):
            found = found.target
        if isinstance(found, StructCType):
            self.declare_struct(found, True)
        else:
            self.use(found)

    def complete_all(self, found: CType) -> None:
        """As ``complete``, of what pointers lead to as well, which is indexed."""
        found = c_type(found)
        while isinstance(found, (Array, Pointer)):
            found = found.target
        if isinstance(found, StructCType):
            self.declare_struct(found, True)

    def callee(self, callee: Callee) -> str:
        """How a function is called in the text."""
        if callee.native is not None and callee.native in self.natives:
            return self.natives[callee.native]
        known = self.imports.get(id(callee.function))
        if known is None:
            name = "c_" + self.names.new(callee.name)
            known = self.imports[id(callee.function)] = (callee, name)
            for part in (callee.signature.result, *callee.signature.parameters):
                if part is not VOID:
                    self.complete(decay(part))
        return known[1]

    def helper(self, name: str, text: str) -> str:
        self.helpers[name] = text
        return name

    # --- the whole ---

    def declare(self, native: Any, wish: str) -> None:
        """Give a native its name, before any text mentions it."""
        self.natives[native] = self.names.new(wish)

    def define(self, native: Any, lowered: Lowered, signature: Any, file: str, first: int) -> None:
        """Add the text of a native."""
        for part in (signature.result, *signature.parameters):
            if part is not VOID:
                self.complete(decay(part))
        writer = Writer(self, self.natives[native], lowered, signature, file)
        text = writer.text(first)
        self.functions.append(text)
        self.prototypes.append(self.prototype(self.natives[native], writer.head))

    # --- what differs where C programs are to link against the library: ``exporting.py`` ---

    def linkage(self, name: str) -> str:
        """What stands before the definition of a native."""
        return "static "

    def prototype(self, name: str, head: str) -> str:
        return f"static {head};"

    def stop(self) -> str:
        """What natives call before they end with an error."""
        return f"static {STOP};"

    def imported(self) -> list[str]:
        """The declarations of the functions that natives call."""
        return [f"static {self.spell(FunctionPointer(function_type(callee.signature)), name)};"
                for callee, name in self.imports.values()]  # fmt: skip

    def text(self, loads: bool = True) -> str:
        """The whole; ``loads`` says whether it ends with what makes it a library that can be loaded."""
        pointers = self.imported()
        fill = "".join(f"    {name} = addresses[{self.slots.get(id(callee.function), 0)}];\n"
                       for callee, name in self.imports.values())  # fmt: skip
        stops = int(any("epsilon_stop(" in text for text in (*self.helpers.values(), *self.functions)))
        table = ", ".join(f"(void *){name}" for name in ("epsilon_load", stops, *self.natives.values()))
        title = self.title.replace("*/", "* /").replace("\n", " ")
        parts = [
            f"/* {title} */",
            *(declaration for declaration, _ in self.types.values()),
            self.stop(),
            *pointers,
            *self.helpers.values(),
            *self.prototypes,
            "",
            "\n".join(self.functions),
        ]
        if not loads:
            return "\n".join(parts)
        parts += [
            '#line 1 "natives"',
            "static void epsilon_load(void *const *addresses)\n{\n    epsilon_stop = addresses[0];\n" + fill + "}",
            "",
            f"void *const epsilon_natives[] = {{{table}}};",
        ]
        return "\n".join(parts) + "\n"
