"""Libraries: opening them by name or path, finding what is in them, and closing them safely.

A ``Library`` owns one reference to the loaded file, as ``dlopen`` counts them: the same file opened twice is loaded
once, and stays until both are closed.  One that is dropped without being closed stays loaded, for nobody knows which
pointers into it are still alive.

Closing waits for the calls that are inside.  Every bound function holds its library's ``cell``, counts its calls on it,
and looks at ``cell.closed`` before each; the file is unloaded at once, or by the last of the calls on its way out.
"""

from __future__ import annotations

import os
import sys
from _collections_abc import Iterable, Sequence  # collections.abc, without all of collections

import _cffi_backend

from . import loader, search
from ._backend import Cell
from .errors import ForeignError, ForeignTypeError, ForeignValueError, LibraryLoadError, SymbolNotFoundError, nearest
from .functions import Declaration, bind, read_prototype
from .search import library_search_paths
from .signatures import registry

TYPE_CHECKING = False  # as in ``typing``, whose import would cost more than that of this module
if TYPE_CHECKING:
    from .bindings import Bindings
    from .functions import Function
    from .memory import ForeignMemory

__all__ = ["Library", "define_library", "lib_close", "lib_open", "library_for", "library_search_paths"]

Name = str | bytes | os.PathLike | None

_ffi = _cffi_backend.FFI()
_SYMBOL = _ffi.typeof("void *")

_PLATFORM = {"win32": "windows"}.get(sys.platform, sys.platform)
# What define_library was told: name -> platform -> the names to try in turn.
_definitions: dict[str, dict[str, tuple[str, ...]]] = {}
# The open libraries that bindings by name share, each with the directories it was searched in; a path was not searched.
_shared: dict[str | None, tuple[Library, tuple | None]] = {}


class Library:
    """An open library: what ``lib_open`` gives.

    ``name`` is what it was opened by and ``path`` the file that was loaded; both are ``None`` for the process itself.
    It is a context manager, which closes it.

    >>> with lib_open("libc") as libc:
    ...     libc.address("strlen") > 0
    True
    >>> libc.closed
    True
    """

    __slots__ = (
        "__weakref__", "_declared", "_flags", "_functions", "_headers", "_loaded", "_releasers", "_symbols",
        "_variables", "cell", "name", "path",
    )  # fmt: skip
    __contains__ = None  # "is the symbol there" or "is it declared"? Neither question is asked by ``in``.
    __iter__ = None

    def __init__(self, name: str | None, path: str | None, handle: object, flags: int = 0):
        self.name = name
        self.path = path
        self._flags = flags
        self._loaded = _cffi_backend.load_library(handle)
        self.cell = Cell(self._loaded.close_lib)
        self._symbols: dict[str, int] = {}
        self._functions: dict[str, Function] = {}
        self._declared: dict[str, Bindings] = {}
        # The bindings of headers that were imported for it, by the headers' names.
        self._headers: dict[tuple[str, ...], Bindings] = {}
        # The memory of its variables, which ends when the library is closed; see variables.py.
        self._variables: dict[tuple, ForeignMemory] = {}
        # The functions that free what others of it give away, by name; see results.py.
        self._releasers: dict[str, Function] = {}

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called; calls that were inside by then may still be running."""
        return self.cell.closed

    def close(self) -> None:
        """Close the library; a later call through it raises ``ForeignError``.  Closing twice does nothing.

        A call that is inside it, in another thread or in the C function that called the callback that closes it,
        comes back safely: the file is unloaded after that.  ``ForeignMemoryError`` is raised, and it stays open, while
        a call on another thread uses the memory of one of its variables.
        """
        if self._variables:
            from .variables import end_variables

            end_variables(self)
        self.cell.close()

    def __enter__(self) -> Library:
        self._check_open("it cannot be entered")
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # --- Symbols ---

    def address(self, name: str) -> int:
        """The address of the function or variable ``name``; ``SymbolNotFoundError`` if the library has none.

        >>> lib_open(None).address("malloc") == lib_open("c").address("malloc")
        True
        """
        return self.resolve(name)[1]

    def resolve(self, names: str | Sequence[str]) -> tuple[str, int]:
        """The first of ``names`` that the library has, and its address; ``SymbolNotFoundError`` if it has none.

        >>> lib_open("libc").resolve(["strlen_of_tomorrow", "strlen"])[0]
        'strlen'
        """
        found = self.find(names)
        if found is None:
            wanted = _symbol_names(names)
            raise SymbolNotFoundError(self._not_found(wanted), function=wanted[0])
        return found

    def find(self, names: str | Sequence[str]) -> tuple[str, int] | None:
        """As ``resolve``, but ``None`` for a symbol that is not there: what ``optional=True`` asks for.

        >>> lib_open("libc").find("strlen_of_tomorrow") is None
        True
        """
        names = _symbol_names(names)
        self._check_open(f"function {names[0]!r} can no longer be reached")
        for name in names:
            address = self._symbols.get(name)
            if address is None:
                try:
                    pointer = self._loaded.load_function(_SYMBOL, name)
                except AttributeError:
                    continue  # not there: the next name may be
                except ValueError:  # closed by another thread since it was checked
                    self._check_open(f"function {name!r} can no longer be reached")
                    raise
                address = self._symbols[name] = int(_ffi.cast("uintptr_t", pointer))
            return name, address
        return None

    # --- Functions ---

    def bind(
        self, declaration: object, result: object = None, parameters: object = None, **options: object
    ) -> Function | None:
        """Bind a function of the library: by a C prototype, by name and types, or by a registered name.

        A sequence of names in place of one is tried in turn.  The symbol is looked up at the first call.  The options:

        - ``critical=True`` keeps the GIL: for short functions that neither block nor wait.
        - ``errno=True`` clears ``errno`` before the call and keeps it for ``epsilon.errno()``.
        - ``check`` says what a good result is (``"nonnegative"``, ``"positive"``, ``"nonzero"``, ``"zero"``,
          ``"non-null"``, or a callable that is given it); another raises ``ForeignError``, or under ``errno``
          ``ForeignOSError``.  ``error`` says what of: a callable that is given ``(result, *arguments)``, a C function
          that gives the text (``sqlite3_errmsg``), or a mapping of codes to exceptions or texts.  ``default=v`` gives
          ``v`` instead.
        - ``retry="EINTR"``, or a list of such names, calls again after a failure with that errno; ``attempts`` is how
          many calls that may be in all.  Python's signal handlers run between them.
        - ``free="sqlite3_free"``: the result is the caller's to free, by that function of this library or of the
          process: a text at once, a pointer when it is collected or at the end of ``with``.
        - ``abi`` is the calling convention; ``name`` and ``doc`` are for ``help``.
        - ``optional=True`` looks for the symbol now, and gives ``None`` if it is missing.
        - ``header="string.h"`` holds the declaration against the header now: ``HeaderError`` says what differs.

        Raises ``ForeignTypeError`` for a declaration or an option that cannot be.

        >>> strlen = lib_open("libc").bind("size_t strlen(const char *s)")
        >>> strlen("world")
        5
        >>> rmdir = lib_open("libc").bind("int rmdir(const char *path)", errno=True, check="nonnegative", default=False)
        >>> rmdir("/no/such/folder")
        False
        """
        if type(declaration) is str and "(" in declaration and result is None and parameters is None and not options:
            name, signature, names = read_prototype(declaration)
            function = self._functions[name] = Declaration((name,), self, signature, names).function()
            return function  # the quick way, which most bindings take
        function = bind(self, declaration, result, parameters, **options)
        if function is not None:
            self._functions.update(dict.fromkeys(function.symbols, function))
        return function

    def declare(self, text: str, **options: object) -> Bindings:
        """Bind a block of C declarations, and give what it declares as ``Bindings``.

        The block holds what stands in a header: functions, structs, unions, enums, typedefs, variables.  Its typedefs
        are its own.  It is read by Epsilon itself: there is no preprocessor, so that ``#define`` and ``#include`` are
        refused.  The options are those of ``bind``, but for ``name``, ``doc`` and ``free``, and hold for every
        function.  Symbols are looked up at the first call.  With ``lazy=True`` the block holds prototypes only, and
        each is read when its function is first asked for, with the types of now: for large blocks of which little is
        used.

        Raises ``ForeignTypeError``, which quotes the declaration that cannot be read; nothing is bound then.

        >>> libc = lib_open("libc")
        >>> c = libc.declare("typedef struct { int quot, rem; } div_t;  div_t div(int numerator, int denominator);")
        >>> c.div(17, 5)
        div_t(quot=3, rem=2)
        >>> libc["div"] is c.div
        True
        """
        from .bindings import declare

        declared = declare(self, text, options)
        for name in declared.functions:
            self._functions.pop(name, None)
            self._declared[name] = declared
        return declared

    def __getitem__(self, name: str) -> Function:
        """The function ``name``, if it was bound or its name is registered; else an error that says how to declare it.

        Raises ``SymbolNotFoundError`` if the library has no such symbol, and ``ForeignTypeError`` if it has, but nobody
        said what its types are.

        >>> libc = lib_open("libc")
        >>> strlen = libc.bind("size_t strlen(const char *s)")
        >>> libc["strlen"] is strlen
        True
        """
        _symbol_names([name])
        function = self._functions.get(name)
        if function is not None:
            return function
        if name in self._declared:
            return self._declared[name].functions[name]
        for bindings in self._headers.values():
            if name in bindings.functions:
                return bindings.functions[name]
        self.address(name)
        if name in registry:
            return self.bind(name)
        raise ForeignTypeError(
            f"no declaration for {name!r} of {self._described()}, and its types cannot be guessed; declare it by its "
            f"C prototype, library.bind('<result> {name}(<parameters>)'), "
            f"or by types, library.bind({name!r}, <result>, [<parameters>])",
            function=name,
        )

    # --- Texts ---

    def __repr__(self) -> str:
        return f"<{'closed ' if self.closed else ''}{self._described()}>"

    def __reduce__(self) -> tuple:
        """A library pickles as the call that opens it: by name, or by path if that is how it was opened."""
        name = self.path if self.name is not None and search.is_path(self.name) else self.name
        return (lib_open, (name, self._flags) if self._flags else (name,))

    def _described(self) -> str:
        if self.name is None:
            return "library None (the process itself)"
        return f"library {self.name!r}" + (f" ({self.path})" if self.path != self.name else "")

    def _check_open(self, consequence: str) -> None:
        if self.cell.closed:
            raise ForeignError(f"{self._described()} is closed: {consequence}")

    def _not_found(self, names: tuple[str, ...]) -> str:
        from . import elf  # only a failure needs it

        files = loader.process_files() if self.path is None else [self.path]
        known = {symbol for file in files for symbol in elf.exported_names(file)}
        tried = " or ".join(map(repr, names))
        return f"no symbol {tried} in {self._described()}{nearest(names[0], known)}"


def lib_open(name: Name, flags: int = 0) -> Library:
    """Open the library ``name`` and return it as a ``Library``.

    ``name`` is a short name (``"c"``, ``"libssl"``), a file name (``"libssl.so.3"``), a path (a str with a directory in
    it, or any ``pathlib.Path``), a name that ``define_library`` knows, or ``None`` for the process itself.  ``"libc"``
    is the platform's C library everywhere.  A short or a file name is searched for in ``epsilon.library_search_paths``,
    ``EPSILON_LIBRARY_PATH``, by the platform's own rules, and then under versioned names, the highest first; never in
    the current directory.  ``flags`` are those of dlopen(3), such as ``os.RTLD_GLOBAL``.

    Raises ``LibraryLoadError``, which lists each place that was tried and why it failed there.

    >>> lib_open("libc").name, lib_open(None).path
    ('libc', None)
    """
    spelled = _spelled(name)
    if not isinstance(flags, int) or not 0 <= flags < 1 << 31:
        raise ForeignTypeError(f"lib_open: flags is a number made of os.RTLD_NOW, os.RTLD_GLOBAL …, not {flags!r}")
    if spelled is None:
        return Library(None, None, loader.load(None, flags), flags)
    tried = []
    for wanted in _definitions.get(spelled, {}).get(_PLATFORM, (spelled,)):
        for target, origin, fault in search.candidates(wanted):
            if fault is None:
                try:
                    handle = loader.load(target, flags)
                except OSError as error:
                    fault = loader.explain(target, str(error))
                else:
                    return Library(spelled, loader.loaded_path(handle, target), handle, flags)
            tried.append(f"{target}: {fault} ({origin})")
    places = "\n  ".join(dict.fromkeys(tried))
    raise LibraryLoadError(
        f"library {spelled!r} could not be loaded{search.suggestion(spelled, list(_definitions))}\n"
        f"tried, in this order:\n  {places}"
    )


def lib_close(library: Library) -> None:
    """Close ``library``; a later call through it raises ``ForeignError``.  Closing twice does nothing.

    >>> libc = lib_open("libc")
    >>> lib_close(libc)
    >>> libc.address("strlen")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    epsilon.errors.ForeignError: library 'libc' (...) is closed: function 'strlen' can no longer be reached
    """
    if not isinstance(library, Library):
        raise ForeignTypeError(f"lib_close takes a Library, as lib_open gives it, not {library!r}")
    library.close()


def define_library(
    name: str,
    *,
    linux: Name | Iterable[Name] = None,
    darwin: Name | Iterable[Name] = None,
    windows: Name | Iterable[Name] = None,
) -> None:
    """Say what the library ``name`` is called on each platform; ``lib_open(name)`` tries those names in turn.

    Each is a name or path as ``lib_open`` takes it, or several of them.  On a platform that nothing was said of, the
    name is searched for as any other.  Defining a name again replaces the definition.

    >>> define_library("the-c-library", linux=["libc.so.99", "libc.so.6"], darwin="libc", windows="libc")
    >>> lib_open("the-c-library").address("strlen") == lib_open("libc").address("strlen")
    True
    """
    if not isinstance(name, str):
        raise ForeignTypeError(f"define_library takes the library's name as a str, not {name!r}")
    spelled = _spelled(name)
    if search.is_path(spelled):
        raise ForeignValueError(f"define_library: {name!r} is a path; a library's name has no directory in it")
    platforms = {"linux": linux, "darwin": darwin, "windows": windows}
    definition = {platform: _spelled_all(names) for platform, names in platforms.items() if names is not None}
    if not all(definition.values()) or not definition:
        raise ForeignValueError(f"define_library({name!r}): give at least one name for each platform that is mentioned")
    _definitions[spelled] = definition
    _shared.pop(spelled, None)


def library_for(name: Library | Name) -> Library:
    """The one open library of that name that all bindings by name share; a ``Library`` stands for itself.

    It is opened at the first use, and again if it was closed since, or if the directories to be searched are others.

    >>> library_for("libc") is library_for("libc")
    True
    """
    if isinstance(name, Library):
        return name
    if type(name) is str and name in _shared:  # the quick way for the hundreds of bindings that a module makes
        library, searched = _shared[name]
        if not library.cell.closed and (searched is None or searched == search.named_directories()):
            return library
    key, places = _spelled(name), None
    if key is None or not search.is_path(key):
        places = search.named_directories()
    elif not os.path.isabs(key):
        key = os.path.join(os.getcwd(), key)
    library, searched = _shared.get(key, (None, None))
    if library is None or library.closed or searched != places:
        library = lib_open(key)
        _shared[key] = library, places
    return library


def _spelled(name: Name) -> str | None:
    """A library's name as a plain str; anything that the loader must not see is refused."""
    if name is None:
        return None
    if not isinstance(name, (str, bytes, os.PathLike)):
        raise ForeignTypeError(f"a library is given by its name, its path or None, not by {name!r}")
    spelled = str(os.fsdecode(name))
    if not spelled or "\0" in spelled:
        # dlopen("") is the program itself on glibc: never what an empty variable was meant to say.
        fault = "has a NUL in it" if spelled else "is empty"
        raise ForeignValueError(f"{name!r} cannot be a library's name: it {fault}")
    try:
        os.fsencode(spelled)
    except UnicodeEncodeError as error:
        raise ForeignValueError(f"{name!r} cannot be a library's name: it is not valid text") from error
    if isinstance(name, os.PathLike) and not search.is_path(spelled):
        return os.path.join(os.curdir, spelled)  # Path("./x.so") forgets its "./", but is a path all the same
    return spelled


def _spelled_all(names: Name | Iterable[Name]) -> tuple[str | None, ...]:
    """The names that one platform has for a library, as ``define_library`` takes them."""
    if isinstance(names, (str, bytes, os.PathLike)):
        names = (names,)
    if not isinstance(names, Iterable):
        raise ForeignTypeError(f"define_library takes a library's name or a list of names, not {names!r}")
    spelled = tuple(map(_spelled, names))
    if None in spelled:
        raise ForeignTypeError("define_library: None, the process itself, cannot be one of a library's names")
    return spelled


def _symbol_names(names: str | Sequence[str]) -> tuple[str, ...]:
    """One or several symbols' names as a tuple; anything that the loader must not see is refused."""
    names = tuple(names) if isinstance(names, (list, tuple)) else (names,)
    for name in names:
        if not isinstance(name, str):
            raise ForeignTypeError(f"a symbol's name is a str, not {name!r}")
        if not name or "\0" in name:
            raise ForeignValueError(f"{name!r} is no symbol's name: it {'has a NUL in it' if name else 'is empty'}")
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise ForeignValueError(f"{name!r} is no symbol's name: it is not valid text") from error
    if not names:
        raise ForeignValueError("no symbol's name was given")
    return names
