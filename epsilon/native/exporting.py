"""Export to C: the natives and exported callbacks of a file as a shared library, which C programs link against.

The text of the natives is the one that Lisp calls, but for what surrounds it: the functions have their C names, call C
functions by theirs, and note what stopped them, for there may be no Python to raise it.  A callback is a C function
that asks ``embedding.py``'s part for its entry, once, and jumps to that.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from epsilon import _backend, cache, compiler, embedding
from epsilon.errors import CompilerError, ForeignError
from epsilon.exported import Export, c_name, exports_of
from epsilon.native import rules
from epsilon.native.building import Native, check_callees, native_of
from epsilon.native.clibrary import Library
from epsilon.native.ctext import OPTIONS, Names, function_type
from epsilon.native.header_text import Prototype, header_text, proofs
from epsilon.typesystem import VOID, Boolean, FunctionPointer, Integer, Real, decay

_DARWIN = sys.platform == "darwin"
_PREFIX = "_" if _DARWIN else ""  #: of every C name in an object file


def export(modules: Iterable[tuple[str, ModuleType]], shared: str, header: str | None = None) -> list[str]:
    """Write the library ``shared`` and its header for the natives and exported callbacks of ``modules``, each with its
    file; their C names.

    Raises ``CompilerError`` where there is nothing to export, two functions have one name, a native cannot do without
    Python, or the compiler or the linker refuses.
    """
    what = os.path.basename(shared)
    natives, callbacks = _collect(modules, what)
    stem = re.sub(r"\W", "_", os.path.basename(shared).split(".")[0].removeprefix("lib"), flags=re.ASCII) or "library"
    stopped = f"{stem if not stem[0].isdigit() else '_' + stem}_stopped"
    if stopped in natives or stopped in callbacks:
        raise CompilerError(f"{what}: {stopped} is what tells C programs why a native stopped, and no other name")
    files = {file: [name for name, (one, _) in callbacks.items() if one == file] for file, _ in callbacks.values()}
    if len(files) > 1:
        raise CompilerError(f"{what}: a library has the callbacks of one file, and these are of {', '.join(files)}")
    text, links = _text(natives, callbacks, stopped, what)
    prototypes = _prototypes(natives, callbacks)
    asked = stopped if "epsilon_stop(" in text else ""
    declared = header_text(os.path.basename(header or shared), prototypes, asked, what)
    status, _, said = compiler.run(["-fsyntax-only", "-std=gnu11", "-w"], declared + proofs(prototypes), what)
    if status:
        raise compiler.refusal(f"{what}: the header", said, status)
    for file, names in files.items():
        wanted = [(name, str(callbacks[name][1].callback.signature)) for name in names]
        made = embedding.object_file(file, wanted, what)
        folder, library = embedding.python_library(what)
        links = [made, *links, *_link(os.path.join(folder, library))]
    _write_library(text, links, shared, what)
    if header is not None:
        _write(header, declared, what)
    return [one.name for one in prototypes]


# --- what is exported -------------------------------------------------------------------------------------------------


def _collect(
    modules: Iterable[tuple[str, ModuleType]], what: str
) -> tuple[dict[str, Native], dict[str, tuple[str, Export]]]:
    """The natives and the callbacks of modules by their C names."""
    natives: dict[str, Native] = {}
    callbacks: dict[str, tuple[str, Export]] = {}
    for file, module in modules:
        found: dict[int, tuple[str, Any]] = {}
        for value in vars(module).values():
            native = native_of(value)
            if native is not None and value.declaration.module == module.__name__ and not native.name.startswith("_"):
                found[id(native)] = native.name, native
        new = [*found.values(), *exports_of(module.__name__).items()]
        for name, one in new:
            try:
                c_name(name)
            except ForeignError as error:
                raise CompilerError(f"{what}: {error}") from None
            if name in natives or name in callbacks:
                raise CompilerError(f"{what}: two functions would have the C name {name}")
            if isinstance(one, Native):
                natives[name] = one
            else:
                callbacks[name] = (os.path.realpath(file), one)
                _check_callback(name, one, what)
    if not natives and not callbacks:
        raise CompilerError(f"{what}: there is nothing to export: no native, and no callback with :export")
    return natives, callbacks


def _check_callback(name: str, one: Export, what: str) -> None:
    signature = one.callback.signature
    if signature is None:
        raise CompilerError(f"{what}: the callback {name} has been closed")
    if signature.abi != "default":
        raise CompilerError(f"{what}: the callback {name} has the calling convention {signature.abi}, and what is "
                            "exported has the platform's own")  # fmt: skip
    for part in (signature.result, *signature.parameters):
        if part is not VOID and rules.parameter_type(part) is None:
            raise CompilerError(f"{what}: the callback {name} has a {part.spelling}, which no exported function has")


def _prototypes(natives: dict[str, Native], callbacks: dict[str, tuple[str, Export]]) -> list[Prototype]:
    found = []
    for name, native in natives.items():
        found.append(Prototype(name, native.signature, native.names, native.function().declaration.doc))
    for name, (_, one) in callbacks.items():
        found.append(Prototype(name, one.callback.signature, one.names, one.callback.callable.__doc__))
    return found


# --- the text ---------------------------------------------------------------------------------------------------------


class ExportLibrary(Library):
    """The text of natives and callbacks that C programs call by name."""

    def __init__(self, title: str, symbols: dict[Native, str], stopped: str, callbacks: dict[int, str]):
        super().__init__(title, [])
        self.symbols, self.stopped, self.callbacks = symbols, stopped, callbacks
        #: the name in the text → the C name
        self.labels: dict[str, str] = {}
        self.libraries: dict[str, None] = {}
        #: whether all that is called is in a library that is known
        self.closed = True

    def declare(self, native: Any, wish: str) -> None:
        super().declare(native, wish)
        if native in self.symbols:
            self.labels[self.natives[native]] = self.symbols[native]

    def linkage(self, name: str) -> str:
        return "" if name in self.labels else "static "

    def prototype(self, name: str, head: str) -> str:
        symbol = self.labels.get(name)
        if symbol is None:
            return f"static {head};"
        return f"{head};" if symbol == name else f"{head} {_label(symbol)};"

    def stop(self) -> str:
        return _STOP.replace("STOPPED", self.stopped) if any("epsilon_stop(" in one for one in self.functions) else ""

    def imported(self) -> list[str]:
        """C functions by their names; what a name in the text is has nothing to do with them."""
        return [f"extern {self.spell(function_type(callee.signature), name)} {_label(self.symbol(callee))};"
                for callee, name in self.imports.values()]  # fmt: skip

    def symbol(self, callee: Any) -> str:
        """The name by which the linker finds a function."""
        function, named = callee.function, f"{self.title}: {callee.name}"
        if isinstance(function, _backend.Callback):
            if id(function) not in self.callbacks:
                raise CompilerError(f"{named} is a callback in Python, which C has only if it has :export, too")
            return self.callbacks[id(function)]
        library = function.declaration.library
        if library is None:
            raise CompilerError(f"{named} has an address here, but no name by which C finds it")
        symbol, _ = library.resolve(function.declaration.symbols)
        if symbol in self.symbols.values():
            raise CompilerError(f"{named} is a C function, and a native exported as {symbol} would stand before it")
        path = library.path
        if path is None:
            self.closed = False
        elif cache.trusted(path):
            raise CompilerError(f"{named} is a macro or an inline function, which no library has")
        else:
            self.libraries.setdefault(path)
        return c_name(symbol)


def _label(symbol: str) -> str:
    return f'__asm__("{_PREFIX}{symbol}")'


_STOP = """\
/* What stopped a native is kept, for the thread that it stopped on; the first is written to stderr, as long as nobody
   asks. */
extern int epsilon_print(int file, const char *format, ...) __asm__("PREFIXdprintf");
static __thread char epsilon_kept[1024], epsilon_told[1024];
static void epsilon_stop(const char *error, const char *text, const char *name, const char *file, int line)
{
    if (epsilon_kept[0])
        return;
    __builtin_snprintf(epsilon_kept, sizeof epsilon_kept, "%s: %s, in %s (%s:%d)", error, text, name, file, line);
    epsilon_print(2, "%s\\n", epsilon_kept);
}
const char *epsilon_stopped(void) __asm__("PREFIXSTOPPED");
const char *epsilon_stopped(void)
{
    if (!epsilon_kept[0])
        return (void *)0;
    __builtin_memcpy(epsilon_told, epsilon_kept, sizeof epsilon_told);
    epsilon_kept[0] = 0;
    return epsilon_told;
}""".replace("PREFIX", _PREFIX)


def _text(
    exported: dict[str, Native], callbacks: dict[str, tuple[str, Export]], stopped: str, what: str
) -> tuple[str, list[str]]:
    """The C text, and what it is linked to."""
    symbols = {native: name for name, native in exported.items()}
    places = {id(one.callback): name for name, (_, one) in callbacks.items()}
    library = ExportLibrary(what, symbols, stopped, places)
    natives = list(exported.values())
    for native in natives:  # and those that they call, of whatever file
        native.read()
        check_callees(native)
        called = dict.fromkeys(callee.native for callee in native.callees if callee.native is not None)
        natives += [one for one in called if one not in natives]
    for native in natives:
        library.declare(native, native.name)
    for native in natives:
        try:
            library.define(native, native.read(), native.signature, native.place, native.line)
        except rules.NativeError as error:
            raise native.complaint(error) from None
    try:
        stubs = [_stub(library, index, name, one) for index, (name, (_, one)) in enumerate(callbacks.items())]
    except rules.NativeError as error:
        raise CompilerError(f"{what}: {error}") from None
    head = f'extern {embedding.ENTRY} __attribute__((visibility("hidden")));\n' if stubs else ""
    text = library.text(loads=False) + '\n#line 1 "callbacks"\n' + head + "".join(stubs)
    links = [word for path in library.libraries for word in _link(path)]
    if library.closed and not _DARWIN:
        links.append("-Wl,-z,defs")  # what is missing is found now, and not when a C program is linked
    return text, [*links, "-lm"]


def _stub(library: ExportLibrary, index: int, symbol: str, one: Export) -> str:
    """The C function that is a callback's: its entry is asked for once."""
    signature = one.callback.signature
    for part in (signature.result, *signature.parameters):
        if part is not VOID:
            library.complete(decay(part))
    name, names = library.names.new(symbol), Names(("entry", "found"))
    given = [names.new(f"arg{place}") for place in range(1, len(signature.parameters) + 1)]
    parameters = ", ".join(map(library.spell, map(decay, signature.parameters), given)) or "void"
    inner = f"{name}({parameters})"
    head = f"void {inner}" if signature.result is VOID else library.spell(signature.result, inner)
    pointer = FunctionPointer(function_type(signature))
    back = "" if signature.result is VOID else "return "
    return f"""
{head} {_label(symbol)};
{head}
{{
    static {library.spell(pointer, "entry")};
    {library.spell(pointer, "found")} = __atomic_load_n(&entry, __ATOMIC_ACQUIRE);
    if (!found) {{
        found = epsilon_entry({index});
        if (!found)
            return{_answer(library, signature.result, one.on_error)};
        __atomic_store_n(&entry, found, __ATOMIC_RELEASE);
    }}
    {back}found({", ".join(given)});
}}
"""


def _answer(library: Library, result: Any, value: Any) -> str:
    """What C gets where there is no Python: the value for errors if it is a number, else zero."""
    if result is VOID:
        return ""
    plain = rules.plain(result)
    if isinstance(plain, (Boolean, Integer)) and isinstance(value, int):
        value = int(value)
        number = f"{value}ULL" if value > 0 else f"-{-value - 1}LL - 1" if value < 0 else "0"
        return f" ({library.spell(result)})({number})"
    if isinstance(plain, Real) and isinstance(value, (int, float)):
        return f" ({library.spell(result)}){_float(float(value))}"
    return f" ({library.spell(result)}){{0}}"


def _float(value: float) -> str:
    """A float as C text, exactly."""
    if value != value:
        return '__builtin_nan("")'
    return value.hex() if value - value == 0 else f"{'-' if value < 0 else ''}__builtin_inf()"


# --- the files --------------------------------------------------------------------------------------------------------


def _link(path: str) -> list[str]:
    """The linker's words for a library; outside of the system's directories programs find it by its path."""
    folder, name = os.path.split(path)
    words = [f"-L{folder}", f"-l:{name}"] if not _DARWIN else [path]
    usual = folder.startswith(("/lib/", "/usr/lib/", "/lib64", "/usr/lib64")) or folder in ("/lib", "/usr/lib")
    return words if usual else [*words, "-Xlinker", "-rpath", "-Xlinker", folder]


def _write_library(text: str, links: list[str], shared: str, what: str) -> None:
    """Compile and link; the file stands under its name when it is whole."""
    temporary = cache.temporary_name(os.path.abspath(shared))
    options = ["-std=gnu11", "-O2", "-w", "-fPIC", "-shared", "-fno-semantic-interposition", *OPTIONS]
    if not _DARWIN:
        options += ["-Xlinker", "-soname", "-Xlinker", os.path.basename(shared)]
    try:
        status, _, said = compiler.run([*options, "-o", temporary, *links], text, what)
        if status:
            raise compiler.refusal(what, said, status)
        os.replace(temporary, shared)
    except OSError as error:
        raise CompilerError(f"{what}: {shared} cannot be written: {error.strerror}") from None
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def _write(path: str, text: str, what: str) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise CompilerError(f"{what}: {path} cannot be written: {error.strerror}") from None
