"""The bindings of headers: what ``import_header`` gives.  Everything in them is made when it is first asked for.

To import is to read the facts and nothing else.  A function's prototype is read, its symbol looked up and its
trampoline compiled when somebody takes it from the bindings; which of all the functions the libraries have, when
somebody asks for all of them.
"""

from __future__ import annotations

from types import MappingProxyType

from epsilon import _backend
from epsilon.errors import ForeignTypeError, nearest
from epsilon.functions import Declaration
from epsilon.options import NONE, Options, read_options
from epsilon.signatures import signature_of
from epsilon.tables import Bindings, Table
from epsilon.typesystem import Array, Required

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from epsilon.headers.facts import Facts
    from epsilon.headers.names import HeaderNames

#: the options that look at a function's result: they are for those functions that have a number or a pointer to look at
_OF_RESULTS = ("check", "error", "default", "retry", "attempts")
#: what the words of a function's notes mean to a reader of its help
_NOTES = {
    "const": "Its result depends on its arguments alone (const): it keeps the GIL.",
    "pure": "It changes nothing (pure): it keeps the GIL.",
    "noreturn": "It does not return (noreturn).",
    "deprecated": "Deprecated, says the header.",
    "malloc": "Its result points to fresh memory (malloc).",
}


class Asked:
    """What a user asked for beside the headers: libraries, names and options of calls."""

    __slots__ = ("headers", "libraries", "options", "origin", "prefixes", "rename")

    def __init__(
        self,
        headers: Sequence[str],
        libraries: Sequence[Any],
        prefixes: Sequence[str],
        rename: Mapping[str, str],
        options: Mapping[str, Any],
        origin: tuple,
    ):
        self.headers, self.libraries, self.prefixes, self.rename = headers, libraries, prefixes, rename
        self.options = options
        #: what a pickle calls to have the bindings again: a function and its arguments
        self.origin = origin


class HeaderBindings(Bindings):
    """What headers declare; see ``Bindings``.  ``libraries`` are those whose functions and variables are bound."""

    __slots__ = ("__dict__", "_asked", "_attributes", "_exports", "_facts", "_lazy_names", "_made", "_wrappers",
                 "libraries")  # fmt: skip

    def __init__(self, facts: Facts, asked: Asked):
        self._facts, self._asked = facts, asked
        self.libraries = tuple(asked.libraries)
        self.library = self.libraries[0] if self.libraries else None
        self.proved = facts.proved
        self._lazy_names = self._attributes = self._made = self._wrappers = None
        #: symbol → the library that has it, or None
        self._exports: dict[str, Any] = {}

    # --- what there is ---

    def __getattr__(self, name: str) -> Any:
        if name[:2] == name[-2:] == "__" and name not in self._all_names():  # asked for by ``copy`` and its like
            raise AttributeError(name)
        make = _TABLES.get(name)
        if make is not None:
            found = make(self)
        else:
            c_name = self._c_names().get(name, name) if self._asked.prefixes or self._asked.rename else name
            found = self._find(c_name)
        if name in Bindings.__slots__:
            setattr(self, name, found)
        else:
            self.__dict__[name] = found  # the next access takes no detour
        return found

    def _find(self, name: str) -> Any:
        """What the C name means; among several, in the order of the tables."""
        facts = self._facts
        if name in facts.functions and self._library_of(facts.functions[name].symbol) is not None:
            return self._all_functions[name]
        if any(name in table for table in self._wrapped()):
            return self._all_functions[name]
        if name in facts.variables and self._library_of(facts.variables[name].symbol) is not None:
            return self.variables[name]
        for table in ("constants", "typedefs", "enums"):
            if name in getattr(facts, table):
                return getattr(self, table)[name]
        for kind, table in (("struct", "structs"), ("union", "unions")):
            if f"{kind} {name}" in facts.records:
                return getattr(self, table)[name]
        missing = self.skipped.get(name)
        if missing is not None:
            raise AttributeError(f"{name!r} of {', '.join(self._asked.headers)} is not bound: {missing.reason}")
        raise AttributeError(f"{self!r} declares no {name!r}{nearest(name, self._names())}")

    def _names_of_types(self) -> HeaderNames:
        if self._lazy_names is None:
            from epsilon.headers.names import HeaderNames

            self._lazy_names = HeaderNames(self._facts, self)
        return self._lazy_names

    def _c_names(self) -> dict[str, str]:
        """Attribute → C name, where the two differ: what was renamed, and what lost a prefix and is no other's name."""
        if self._attributes is None:
            rename, prefixes = self._asked.rename, self._asked.prefixes
            known = self._all_names()
            found = {new: name for name, new in rename.items()}
            for name in known if prefixes else ():
                prefix = next((one for one in prefixes if name.startswith(one)), "")
                short = name[len(prefix) :]
                if prefix and name not in rename and short.isidentifier() and short not in known:
                    found.setdefault(short, name)
            self._attributes = found
        return self._attributes

    def _all_names(self) -> dict[str, None]:
        """All C names, those that no library has among them."""
        facts = self._facts
        tables = (facts.functions, facts.inlines, facts.macros, facts.variables, facts.constants, facts.typedefs,
                  facts.enums)  # fmt: skip
        names = dict.fromkeys(name for table in tables for name in table)
        names.update(dict.fromkeys(key.partition(" ")[2] for key in facts.records))
        return names

    def _names(self) -> dict[str, Any]:
        names = super()._names()
        for short, name in self._c_names().items():
            if names.pop(name, self) is not self:
                names[short] = None
        return names

    # --- libraries ---

    def _library_of(self, symbol: str) -> Any:
        """The first of the libraries that has the symbol, or None."""
        try:
            return self._exports[symbol]
        except KeyError:
            found = next((one for one in self.libraries if one.find(symbol) is not None), None)
            self._exports[symbol] = found
            return found

    def _wrapped(self) -> tuple:
        """The tables of functions that are compiled wrappers; none, if there was no compiler."""
        facts = self._facts
        return () if facts.wrappers is None else (facts.inlines, facts.macros)

    def _wrapper_library(self) -> Any:
        """The library of the compiled wrappers."""
        if self._wrappers is None:
            from epsilon.compiler import load

            self._wrappers = load(self._facts.wrappers)
        return self._wrappers

    # --- tables ---

    @property
    def _all_functions(self) -> Table:
        """All functions by C name, exported or not: what the table ``functions`` takes its own from.  A wrapper stands
        for a function of its name only where no library has that."""
        if self._made is None:
            facts = self._facts
            source = dict.fromkeys(facts.functions, facts.functions)
            for table in self._wrapped():
                for name in table:
                    if name not in source or self._library_of(facts.functions[name].symbol) is None:
                        source[name] = table
            self._made = Table(source, self._function)
        return self._made

    def _make_functions(self) -> Mapping[str, Any]:
        made, own = self._all_functions, self._facts.functions
        there = {
            name: None
            for name, table in made._source.items()
            if table is not own or self._library_of(own[name].symbol) is not None
        }
        return Table(there, lambda name, _: made[name])

    def _make_variables(self) -> Mapping[str, Any]:
        there = {
            name: row for name, row in self._facts.variables.items() if self._library_of(row.symbol) is not None
        }  # fmt: skip
        return Table(there, self._variable)

    def _make_records(self, kind: str) -> Mapping[str, Any]:
        start = f"{kind} "
        there = {key[len(start) :]: key for key in self._facts.records if key.startswith(start)}
        return Table(there, lambda tag, _: self._record(kind, tag))

    def _make_skipped(self) -> Mapping[str, Any]:
        from epsilon.headers.facts import Skipped

        facts = self._facts
        found = dict(facts.skipped)
        if not self.libraries:
            why = "no library was given to look for it in"
        else:
            listed = ", ".join(repr(one.name) for one in self.libraries)
            why = f"not exported by {listed}"
        for name, row in () if self._wrapped() else facts.inlines.items():
            why_not = "it is inline, and was not compiled"
            found.setdefault(name, Skipped("inline", facts.files[row.place[0]], row.place[1], why_not))
        wrapped = {name for table in self._wrapped() for name in table}
        for kind, table in (("function", facts.functions), ("variable", facts.variables)):
            for name, row in table.items():
                if self._library_of(row.symbol) is None and name not in wrapped:
                    file = facts.files[row.place[0]]
                    label = "" if row.symbol == name else f" (as {row.symbol!r})"
                    found.setdefault(name, Skipped(kind, file, row.place[1], why + label))
        return MappingProxyType(found)

    # --- what is in the tables ---

    def _function(self, name: str, table: Mapping[str, Any]) -> Any:
        facts, row = self._facts, table[name]
        wrapped = table is not facts.functions
        library = self._wrapper_library() if wrapped else self._library_of(row.symbol)
        try:
            prototype = self._names_of_types().prototype(row.prototype)
            kind = prototype.type
            notes = row.notes or ()
            parameters = _required(kind.parameters, notes)
            declared = next((note for note in notes if note in ("ms_abi", "vectorcall")), "default")
            abi = self._asked.options.get("abi", declared)
            signature = signature_of(kind.result, parameters, kind.variadic, abi)
            options = self._call_options(row.symbol, signature, notes)
            declaration = HeaderDeclaration((row.symbol,), library, signature, prototype.parameters, options, name)
            declaration.told = self, row, wrapped
            return declaration.function()
        except ForeignTypeError as error:
            return Refused(self, name, row, error.args[0])

    def _call_options(self, symbol: str, signature: Any, notes: Sequence[str]) -> Options:
        asked = dict(self._asked.options)
        if signature.result.representation.code in "vsFDg":
            for name in _OF_RESULTS:
                asked.pop(name, None)
        if "critical" not in asked and _backend.shim is not None and ("const" in notes or "pure" in notes):
            asked["critical"] = True
        return read_options(symbol, signature, asked) if asked else NONE

    def _variable(self, name: str, row: Any) -> Any:
        from epsilon.variables import ForeignVariable, check_variable

        found, const = self._names_of_types().variable(row.declaration)
        library = self._library_of(row.symbol)
        if isinstance(found, Array) and found.length is None and library.path is not None:
            from epsilon import elf
            from epsilon.headers import linked

            paths = (library.path, *linked.paths_of(library.path))
            size = next(filter(None, (elf.symbol_size(path, row.symbol) for path in paths)), 0)
            if size:  # of "extern const char version[]", C does not know it
                found = Array(found.target, size // found.target.size)
        check_variable(name, found)
        return ForeignVariable(row.symbol, library, found, const)

    def _constant(self, name: str, row: Any) -> Any:
        if isinstance(row.value, int) and "*" in row.type:
            return self._pointer_constant(row)
        if isinstance(row.value, int) and row.type in self._facts.typedefs:
            found = self._names_of_types().type_of(row.type)
            if found.is_pointer:
                return self._pointer_constant(row)
        return row.value

    def _pointer_constant(self, row: Any) -> Any:
        from _cffi_backend import cast

        from epsilon.typesystem import VOID_POINTER

        return cast(VOID_POINTER, row.value)

    def _typedef(self, name: str, row: Any) -> Any:
        words = row.declaration.split()
        if len(words) == 4 and words[1] == "enum" and words[2] in self._facts.enums:
            return self.enums[words[2]]
        names = self._names_of_types()
        return _type_object(names.typedefs[name])

    def _record(self, kind: str, tag: str) -> Any:
        return _type_object(self._names_of_types().struct(kind, tag))

    def _enum(self, tag: str, row: Any) -> Any:
        from epsilon.enums import EnumType
        from epsilon.typesystem.enumerations import Enumeration

        return EnumType(Enumeration(tag, tuple(row.values), self._names_of_types().type_of(row.type), False))

    # --- texts ---

    def _document(self, prototype: str, place: tuple[int, int], notes: Sequence[str], why: str = "") -> str:
        """What ``help`` shows of a function: the C prototype, the header's own comment, and what attributes say."""
        from epsilon.headers.comments import comment_at

        said = [_NOTES[note] for note in notes if note in _NOTES]
        for note in notes:
            if note.startswith("nonnull"):
                which = note.split()[1:]
                said.append(f"Not NULL: parameter{'s' * (len(which) > 1)} {', '.join(which)}." if which else
                            "No pointer may be NULL.")  # fmt: skip
        parts = [prototype, why, comment_at(self._facts.files[place[0]], place[1]) or "", "\n".join(said)]
        return "\n\n".join(filter(None, parts))

    def _described(self) -> str:
        return ", ".join(self._asked.headers)

    def __reduce__(self) -> tuple:
        return self._asked.origin


_TABLES: dict[str, Callable[[HeaderBindings], Any]] = {
    "constants": lambda bindings: Table(bindings._facts.constants, bindings._constant),
    "enums": lambda bindings: Table(bindings._facts.enums, bindings._enum),
    "functions": HeaderBindings._make_functions,
    "variables": HeaderBindings._make_variables,
    "structs": lambda bindings: bindings._make_records("struct"),
    "typedefs": lambda bindings: Table(bindings._facts.typedefs, bindings._typedef),
    "unions": lambda bindings: bindings._make_records("union"),
    "skipped": HeaderBindings._make_skipped,
}


def _type_object(found: Any) -> Any:
    """The class of a struct or union that is defined; any other type as it is."""
    made = getattr(found, "python_class", None)
    return found if made is None else made


def _required(parameters: tuple, notes: Sequence[str]) -> tuple:
    """The parameters, of which those that the notes name refuse NULL."""
    for note in notes:
        if note.startswith("nonnull"):
            which = {int(number) - 1 for number in note.split()[1:]} or range(len(parameters))
            parameters = tuple(
                Required(found) if index in which and found.is_pointer and not isinstance(found, Required) else found
                for index, found in enumerate(parameters)
            )
    return parameters


class HeaderDeclaration(Declaration):
    """What a header declared of one function."""

    __slots__ = ("told",)

    @property
    def __doc__(self) -> str:
        bindings, row, _ = self.told
        return bindings._document(row.prototype, row.place, row.notes or ())

    @property
    def prototype(self) -> str:
        """The C declaration: of an inline function or a macro the header's own, whatever its wrapper is called."""
        _, row, wrapped = self.told
        return row.prototype if wrapped else self.signature.prototype(self.symbol, self.names)

    def reduce(self) -> tuple:
        return (_function_again, (self.told[0], self.__name__))


def _function_again(bindings: HeaderBindings, name: str) -> Any:
    return bindings._all_functions[name]


class Refused:
    """A function that Python cannot call, for a type that it cannot carry or C cannot pass: calling it says why."""

    def __init__(self, bindings: HeaderBindings, name: str, row: Any, why: str):
        self.__name__ = self.__qualname__ = name
        self.prototype, self._why = row.prototype, why
        self._told = bindings, row

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        raise ForeignTypeError(f"{self.__name__}() cannot be called: {self._why}", function=self.__name__)

    @property
    def __doc__(self) -> str:
        bindings, row = self._told
        return bindings._document(row.prototype, row.place, row.notes or (), f"It cannot be called: {self._why}")

    def __repr__(self) -> str:
        return self.prototype

    def __reduce__(self) -> tuple:
        return (_function_again, (self._told[0], self.__name__))
