"""From definitions to functions: the natives of a file are built together when the first of them is needed.

A definition costs little: its forms are kept as they are.  The first call, or the first use of an address, takes all
that the file has defined so far, and makes one library of them, which the cache has from then on.  Its key covers the
forms and all that the names in them mean, so that what is in the cache is loaded without reading the forms again.
Without a compiler the same statements are interpreted, behind a callback.
"""

from __future__ import annotations

import os
import sys
from _thread import RLock
from _weakref import ref as weak_reference
from collections.abc import Callable, Iterable, Mapping

import _cffi_backend as cffi

from epsilon import _backend, cache, compiler, loader
from epsilon.callbacks import make_callback
from epsilon.errors import CompilerError, ForeignTypeError, ForeignValueError
from epsilon.functions import Declaration
from epsilon.options import NONE, read_options
from epsilon.typesystem import VOID, WORDS, Array, CType, Direction, FunctionPointer, FunctionType, Pointer, StructCType

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from typing import Any

    from epsilon.native.lowering import Lowered
    from epsilon.native.tree import Callee

_ADDRESSES = cffi.new_pointer_type(WORDS["uintptr"].backend)
_LOAD = cffi.new_function_type((_ADDRESSES,), cffi.new_void_type())
_TEXT = cffi.new_pointer_type(WORDS["char"].backend)
#: what ``clibrary`` puts before the natives in their table: ``epsilon_load``, and whether it is to have ``stop``
_BEFORE = 2


def _writer() -> str:
    """Which code writes the text of natives: as long as it is worked on, the version of Epsilon does not say it."""
    found = []
    for file in sorted(os.scandir(os.path.dirname(__file__)), key=lambda file: file.name):
        if file.is_file():
            status = file.stat()
            found.append(f"{file.name} {status.st_size} {status.st_mtime_ns}")
    return " ".join(found)


_WRITER = _writer()
#: whether natives are interpreted even where there is a compiler
interprets = _backend.strategy == "cffi"
_lock = RLock()
#: file → the natives that it has defined and nobody has needed yet
_waiting: dict[str, list[Native]] = {}
#: what must outlive every pointer that C may have: libraries, callbacks
_kept: list[object] = []


class Native:
    """One definition, and what became of it."""

    def __init__(
        self,
        name: str,
        signature: Any,
        names: tuple,
        body: str,
        scope: Mapping[str, Callable[[], Any]],
        file: str,
        on_error: Any,
        text_at: int | None,
    ):
        self.name, self.signature, self.names, self.body = name, signature, names, body
        self.scope, self.file, self.on_error = scope, file, on_error
        #: the line of the file that has the text of the body, where the forms' lines are that text's own; else None
        self.text_at = text_at
        #: what the forms' lines are lines of
        self.place = file if text_at is None else f"<text at {file}:{text_at}>"
        self.function: Any = None
        self.address: int | None = None
        self.interpreted: Any = None
        self.error: CompilerError | None = None
        self.lowered: Lowered | None = None
        #: while it is built: what the names of the module in it mean
        self.meanings: dict[str, Any] = {}
        self.building = False
        #: the functions that it calls
        self.callees: list[Any] = []

    def look_up(self, path: str) -> Any:
        """The object of a name of the module's, such as ``qsort`` or ``color.blue``; ``KeyError`` if there is none."""
        find = self.scope.get(path)
        if find is None:
            raise KeyError(path)
        try:
            return find()
        except NameError:
            if path == self.name:  # it is not assigned yet, or not to that name
                return self.function()
            raise KeyError(path) from None

    def settle(self) -> None:
        """Look up all names of the module's; a wrong one is found when the body is read."""
        for path in self.scope:
            try:
                self.meanings[path] = self.look_up(path)
            except (AttributeError, KeyError):
                self.meanings[path] = None

    def unsettle(self) -> None:
        """Forget what was only needed for building."""
        self.building, self.lowered, self.meanings = False, None, {}

    def parameters(self, form: tuple) -> list[tuple]:
        """What the reader is told of each: Lisp's name, Python's, the type, and that of the pointer to the value."""
        from epsilon.native.rules import NativeError, parameter_type

        for declared in (self.signature.result, *self.signature.parameters):
            if declared is not VOID and parameter_type(declared) is None:
                raise NativeError(f"native code has no {declared.spelling}", form)
        found = []
        for index, (declared, name) in enumerate(zip(self.signature.parameters, self.names, strict=True)):
            known, behind = parameter_type(declared), None
            if is_value_behind(declared):
                behind, known = known, parameter_type(declared.target)
            name = name or f"arg{index + 1}"
            found.append((name, name, known, behind))
        return found

    def read(self) -> Lowered:
        """The statements of its body; ``CompilerError`` for what is wrong in it."""
        from epsilon.native.lowering import lower
        from epsilon.native.reading import Reader
        from epsilon.native.rules import NativeError

        if self.lowered is None:
            try:
                form = forms_of(self.body)
            except (MemoryError, RecursionError, SyntaxError):
                raise self.wrong("its forms are nested too deeply") from None
            try:
                reader = Reader(self.parameters(form), self.signature.result, form, self.look_up)
                self.lowered = lower(reader, self.name, self.on_error)
            except NativeError as error:
                raise self.complaint(error) from None
            self.callees = list(reader.callees.values())
        return self.lowered

    @property
    def line(self) -> int:
        """Where it begins."""
        return int(self.body[1 : self.body.index(",")])

    def complaint(self, error: Any) -> CompilerError:
        """A mistake in the body, with its place."""
        line = error.form[0] if error.form else self.line
        found = self.wrong(str(error), line)
        found.filename, found.lineno = self.file, line if self.text_at is None else self.text_at
        return found

    def wrong(self, why: str, line: int | None = None) -> CompilerError:
        """The error of a native that cannot be built, at a line of its own."""
        return CompilerError(f"native {self.name}, {self.place}:{line or self.line}: {why}", function=self.name)


def is_value_behind(declared: CType) -> bool:
    """Whether C passes a pointer to the value that a body has: an ``(:in T)``."""
    return isinstance(declared, Direction) and declared.way == "in" and not isinstance(declared.target, Array)


def forms_of(body: str) -> tuple:
    """The forms that were kept as text: what ``repr`` gives of them."""
    import ast

    return ast.literal_eval(body)


class NativeDeclaration(Declaration):
    __slots__ = ("module", "native")
    __doc__ = Declaration.__dict__["__doc__"]  # a docstring of this class would stand before it

    def resolve(self) -> int:
        return address_of(self.native)

    def reduce(self) -> tuple:
        place = (self.module, self.__name__)
        if getattr(sys.modules.get(self.module), self.__name__, None) is not self.native.function():
            raise TypeError(f"{self}: a native is pickled by its module and name, and is not {'.'.join(place)}")
        return (_find, place)


def native_of(value: Any) -> Native | None:
    """The native that a function is, if it is one."""
    declaration = getattr(value, "declaration", None) if isinstance(value, _backend.Function) else None
    return declaration.native if isinstance(declaration, NativeDeclaration) else None


def _find(module: str, name: str) -> Any:
    """The native of a pickle: by its module and its name, as Python's functions are."""
    import importlib

    return getattr(importlib.import_module(module), name)


def define(
    signature: Any,
    name: str,
    names: Iterable[str | None],
    body: str,
    scope: Mapping[str, Callable[[], Any]],
    place: tuple[str, str],
    options: Mapping[str, Any],
    doc: str | None = None,
    on_error: Any = None,
    text_at: int | None = None,
) -> Any:
    """The function of a native; ``body`` is what ``repr`` gives of its forms, ``scope`` what gives the objects of the
    module's names in it, ``place`` its module and file.  ``text_at`` is the line that has the text of the body, where
    the forms' lines are that text's own and not the file's."""
    if signature.variadic:
        raise ForeignTypeError(f"native {name}: native code cannot be variadic")
    if signature.abi != "default":
        raise ForeignTypeError(f"native {name}: native code has the platform's own calling convention")
    module, file = place
    asked = read_options(name, signature, options) if options else NONE
    declaration = NativeDeclaration((name,), None, signature, tuple(names), asked, name, doc)
    native = Native(name, signature, declaration.names, body, scope, file, on_error, text_at)
    declaration.native, declaration.module = native, module
    function = declaration.function()
    native.function = weak_reference(function)
    with _lock:
        _waiting.setdefault(file, []).append(native)
    return function


def address_of(native: Native) -> int:
    """Where C finds a native; it is built if it is not yet."""
    if native.address is None:
        with _lock:
            if native.building:
                raise CompilerError(f"native {native.name}: natives of two files call each other; put them into one "
                                    "file", function=native.name)  # fmt: skip
            if native.address is None and native.error is None:
                _make(native)
        if native.error is not None:
            raise type(native.error)(*native.error.args, function=native.name)
    return native.address


def compiles() -> bool:
    """Whether natives are compiled here, and not interpreted."""
    return not interprets and compiler.is_there()


def _make(native: Native) -> None:
    """Give an address to a native, and to all others that its file has defined by now."""
    waiting = [one for one in _waiting.pop(native.file, []) if one is native or one.function() is not None]
    if native not in waiting:
        waiting.append(native)
    for one in waiting:
        one.building = True
        one.settle()
    try:
        if interprets:
            _interpret(waiting)
        else:
            for batch in _batches(waiting):
                _build(batch)
    finally:
        for one in waiting:
            one.unsettle()
        _waiting.setdefault(native.file, []).extend(
            one for one in waiting if one is not native and one.address is None and one.error is None
        )  # the compiler was not to be had


# --- compiled ---------------------------------------------------------------------------------------------------------


def _batches(natives: list[Native]) -> list[list[Native]]:
    """The natives in as few libraries as can be: a tag has one meaning in each."""
    batches: list[tuple[dict, list[Native]]] = []
    structs: dict[Any, set[StructCType]] = {}
    for native in natives:
        tags = {found.spelling: found for found in _structs(native, structs)}
        for known, members in batches:
            if all(known.get(tag, found) is found for tag, found in tags.items()):
                known.update(tags)
                members.append(native)
                break
        else:
            batches.append((tags, [native]))
    return [members for _, members in batches]


def _structs(native: Native, known: dict[Any, set[StructCType]]) -> set[StructCType]:
    """The structs that a native may mention; ``known`` are those of signatures and types that were met before."""
    found = set()
    for one in (native.signature, *native.meanings.values()):
        if isinstance(one, (_backend.Callback, _backend.Function)):
            one = one.signature
        elif not hasattr(one, "parameters"):
            one = getattr(one, "ctype", None)
        if one not in known:
            known[one] = reached = set()
            parts = (one.result, *one.parameters) if hasattr(one, "parameters") else [one]
            for part in parts:
                if isinstance(part, CType):
                    _reach(part, reached)
        found |= known[one]
    return found


def _reach(found: CType, known: set[StructCType]) -> None:
    """Note every struct that a type leads to."""
    if isinstance(found, StructCType):
        if found not in known:
            known.add(found)
            for field in found.fields or ():
                _reach(field.ctype, known)
    elif isinstance(found, FunctionType):
        for part in (found.result, *found.parameters):
            _reach(part, known)
    elif isinstance(found, (Pointer, Array, Direction, FunctionPointer)):
        _reach(found.target, known)
    elif found.representation is not found:
        _reach(found.representation, known)


def _build(natives: list[Native]) -> None:
    """One library of several natives, from the cache or from the compiler; what cannot be built has its error."""
    key = _key(natives)
    path = _cached(key)
    if path is None:
        if not compiler.is_there():
            _interpret(natives)
            return
        natives = _without_mistakes(natives)
        if not natives:
            return
        key = _key(natives)
        path = _cached(key)
    imports = _imports(natives)
    if path is None:
        text = _text(natives, imports)
        path = compiler.build(text, what=_what(natives), options=_options(), link=["-lm"], key=key)
    _load(path, natives, imports)


def _options() -> tuple[str, ...]:
    from epsilon.native.ctext import OPTIONS

    return OPTIONS


def _what(natives: list[Native]) -> str:
    names = ", ".join(native.name for native in natives[:5])
    return f"native {names}{' …' if len(natives) > 5 else ''}"


def _cached(key: str) -> str | None:
    """The path of the library that was built of the same natives before, if it is still whole."""
    return cache.find("library", key + ".so")


def _key(natives: list[Native]) -> str:
    parts = ["natives", _WRITER, compiler.identity()]
    described: dict[Any, str] = {}
    places = {id(native): str(index) for index, native in enumerate(natives)}
    for native in natives:
        parts += [native.name, native.file, native.place, native.body, repr(native.on_error), *map(str, native.names)]
        parts.append(_signature_text(native.signature, described))
        for path, value in native.meanings.items():
            parts += [path, _described(value, places, described)]
    return cache.key(*parts)


def _described(value: Any, places: dict[int, str], described: dict[Any, str]) -> str:
    """What a name of the module's means for the text of a native."""
    own = native_of(value)
    if own is not None:
        place = places.get(id(own), "elsewhere")
        return f"native {place} {_signature_text(own.signature, described)}"
    signature = getattr(value, "signature", None)
    if hasattr(signature, "parameters"):
        return f"function {getattr(value, '__name__', '')} {_signature_text(signature, described)}"
    found = getattr(value, "ctype", None)
    if isinstance(found, CType):
        return _type_text(found, described)
    if isinstance(value, CType):
        return _type_text(value, described)
    return f"{type(value).__name__} {value!r}" if isinstance(value, (int, float, str, bytes)) else type(value).__name__


def _signature_text(signature: Any, described: dict[Any, str]) -> str:
    known = described.get(signature)
    if known is None:
        types = (signature.result, *signature.parameters)
        ways = [getattr(found, "way", "") for found in types]
        texts = [_type_text(found, described) for found in types]
        known = described[signature] = f"{signature} {ways} {signature.abi} {texts}"
    return known


def _type_text(found: CType, described: dict[Any, str]) -> str:
    known = described.get(found)
    if known is None:
        structs: set[StructCType] = set()
        _reach(found, structs)
        layouts = sorted(map(_layout_text, structs))
        known = described[found] = f"{found.spelling} {layouts}"
    return known


def _layout_text(found: StructCType) -> str:
    members = [(one.name, one.ctype.spelling, one.offset, one.bits, one.shift) for one in found.fields or ()]
    return f"{found.spelling} {found.size} {found.alignment} {members}"


def _imports(natives: list[Native]) -> list[Any]:
    """The functions that natives may call and that are not among them, in the order of their names in the forms."""
    own = {id(native) for native in natives}
    found: dict[int, Any] = {}
    for native in natives:
        for value in native.meanings.values():
            if isinstance(value, (_backend.Callback, _backend.Function)) and id(native_of(value)) not in own:
                found.setdefault(id(value), value)
    return list(found.values())


def _text(natives: list[Native], imports: list[Any], loads: bool = True) -> str:
    """The C text of natives that are known to be right."""
    from epsilon.native.clibrary import Library

    library = Library(f"{_what(natives)}: {natives[0].file}", imports)
    for native in natives:
        library.declare(native, native.name)
    for native in natives:
        library.define(native, native.read(), native.signature, native.place, native.line)
    return library.text(loads)


def _without_mistakes(natives: list[Native]) -> list[Native]:
    """The natives that can be built; the others, and those that call them, are given their errors."""
    from epsilon.native.clibrary import Library
    from epsilon.native.rules import NativeError

    for native in natives:
        try:
            lowered = native.read()
            check_callees(native)
            trial = Library("a trial", [])
            trial.declare(native, native.name)
            trial.define(native, lowered, native.signature, native.place, native.line)
        except CompilerError as error:
            native.error = error
        except NativeError as error:
            native.error = native.complaint(error)
    good = [native for native in natives if native.error is None]
    while True:
        bad = {native: callee for native in good for callee in native.callees if _is_bad(callee)}
        if not bad:
            return good
        for native, callee in bad.items():
            native.error = native.wrong(f"it calls {callee.name}, which cannot be built: {callee.native.error}")
            good.remove(native)


def check_callees(native: Native) -> None:
    """``CompilerError`` for a function that native code cannot call."""
    for callee in native.callees:
        if callee.signature.abi != "default":
            raise native.wrong(
                f"{callee.name} has the calling convention {callee.signature.abi}, and native code calls by the "
                f"platform's own"
            )


def _is_bad(callee: Callee) -> bool:
    return callee.native is not None and callee.native.error is not None


def _load(path: str, natives: list[Native], imports: list[Any]) -> None:
    """Load a library: tell it the addresses that it calls, and read those of its natives."""
    try:
        library = cffi.load_library(loader.load(path))
    except OSError as error:
        raise CompilerError(f"{_what(natives)}: {path} cannot be loaded: {error}") from None
    _kept.append(library)
    table = library.load_function(_ADDRESSES, "epsilon_natives")
    addresses = [stop_address() if table[1] else 0, *(_lasting_address(function) for function in imports)]
    given = cffi.newp(cffi.new_array_type(_ADDRESSES, len(addresses)), addresses)
    cffi.cast(_LOAD, table[0])(given)
    for index, native in enumerate(natives, _BEFORE):
        native.address = table[index]


def _lasting_address(function: Any) -> int:
    """The address of a C function, which stays what it is: its library is opened once more, and never closed."""
    address = function.address
    _kept.append(function)
    path = getattr(getattr(function, "library", None), "path", None)
    if path is not None:
        _kept.append(cffi.load_library(path))
    return address


# --- interpreted ------------------------------------------------------------------------------------------------------


def _interpret(natives: list[Native]) -> None:
    """Give natives the addresses of callbacks that interpret them, or their errors."""
    for native in natives:
        _interpret_one(native)


def _interpret_one(native: Native) -> None:
    from epsilon.native.interpreting import entry
    from epsilon.native.rules import NativeError

    try:
        run = interpreted(native)
        check_callees(native)
        result, parameters, call = entry(run, native.signature)
    except CompilerError as error:
        native.error = error
        return
    except NativeError as error:
        native.error = native.complaint(error)
        return
    callback = make_callback(call, result, parameters)
    _kept.append(callback)
    native.address = callback.address


def interpreted(native: Native) -> Callable[..., Any]:
    """A native as a Python function of numbers and bytes."""
    from epsilon.native.interpreting import Tools, function

    if native.interpreted is None:
        lowered = native.read()
        native.interpreted = function(lowered, native.signature, native.place, Tools(stop, interpreted))
        native.interpreted.__name__ = native.name
    return native.interpreted


# --- what stops a native ----------------------------------------------------------------------------------------------

_ERRORS = {
    "ZeroDivisionError": ZeroDivisionError,
    "AssertionError": AssertionError,
    "ValueError": ValueError,
    "ForeignValueError": ForeignValueError,
}
_stop: list[Any] = []


def stop_address() -> int:
    """The callback that natives call before they end with an error: what it raises, the enclosing call raises."""
    with _lock:
        if not _stop:
            _stop.append(make_callback(_raise, "void", ["uintptr", "uintptr", "uintptr", "uintptr", "int"]))
    return _stop[0].address


def stop(error: str, text: str, name: str, file: str, line: int) -> None:
    """What the interpreter does for ``epsilon_stop``: the same, by way of C."""
    kind = cffi.new_function_type((*[_TEXT] * 4, WORDS["int"].backend), cffi.new_void_type())
    cffi.cast(kind, stop_address())(*(word.encode("utf-8", "replace") for word in (error, text, name, file)), line)


def _raise(error: int, text: int, name: int, file: int, line: int) -> None:
    """Raise the error of a native, with its Lisp line in the traceback; the words are the addresses of C strings."""
    error, text, name, file = (
        cffi.string(cffi.cast(_TEXT, word)).decode("utf-8", "replace") for word in (error, text, name, file)
    )
    found = _ERRORS[error](f"{text}, in {name} ({file}:{line})")
    code = compile("\n" * (line - 1) + "raise error", file, "exec").replace(co_name=name)
    exec(code, {"error": found, "__name__": name})


def source(function: Any) -> str:
    """The C text of a native, and of those of the same file that it calls."""
    native = native_of(function)
    if native is None:
        raise ForeignTypeError(f"native_source takes a native, as defnative makes it, not {function!r}")
    with _lock:
        return _source([native])


def _source(found: list[Native]) -> str:
    for one in found:
        one.read()
        check_callees(one)
        near = (callee.native for callee in one.callees if callee.native and callee.native.file == one.file)
        found += [callee for callee in dict.fromkeys(near) if callee not in found]
    for one in found:
        one.settle()
    text = _text(found, _imports(found), loads=False)
    for one in found:
        one.unsettle()
    return text


def frame_place(depth: int) -> tuple[str, str]:
    """The module and the file of the code that called, ``depth`` frames up."""
    frame = sys._getframe(depth + 1)
    return frame.f_globals.get("__name__", "__main__"), frame.f_code.co_filename
