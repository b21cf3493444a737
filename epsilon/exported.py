"""The callbacks that C programs link against: which there are, and what a library that has them asks Python for.

``epsilon compile FILE --shared`` writes such a library (``native/exporting.py``).  When C calls a function of it for
the first time, Python is started, if it does not run yet, and asks here for the addresses of the file's callbacks.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections import namedtuple

from epsilon.compiler import identifier
from epsilon.errors import ForeignError, ForeignTypeError, shorten

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import Any

#: C11 §6.4.1, and what the compiler calls by itself
_KEYWORDS = frozenset(
    "asm auto break case char const continue default do double else enum extern float for goto if inline int long main "
    "register restrict return short signed sizeof static struct switch typedef typeof union unsigned void volatile "
    "while".split()
)
#: One callback: the names of C's parameters, and the value on an error, which C gets too where Python cannot be had.
Export = namedtuple("Export", ["callback", "names", "on_error"])
#: module → C name → callback; what is here lives on, for C may call it as long as the process runs
_exports: dict[str, dict[str, Export]] = {}


def c_name(name: Any) -> str:
    """``name`` if C can have a function of that name, else ``ForeignTypeError``.

    >>> c_name("render_page")
    'render_page'
    """
    if identifier(name) in _KEYWORDS:
        raise ForeignTypeError(f"{shorten(name)} is a word of C's, and no name of a function")
    return str(name)


def export(name: Any, callback: Any, names: Sequence[str | None] = (), on_error: Any = None) -> Any:
    """Note a callback that has a C name; ``ForeignTypeError`` for a name that cannot be one or is another's."""
    name = c_name(name)
    function = callback.callable
    module, path = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not isinstance(module, str) or path is None:
        raise ForeignTypeError(f"callback {shorten(function)}: what is exported as {name} is a function of a module")
    known = _exports.setdefault(module, {})
    if name in known and known[name].callback.callable.__qualname__ != path:
        other = known[name].callback.callable.__qualname__
        raise ForeignTypeError(f"callback {path}: {other} is exported as {name} already")
    count = len(callback.signature.parameters)
    known[name] = Export(callback, names if len(names) == count else (None,) * count, on_error)
    return callback


def exports_of(module: str) -> dict[str, Export]:
    """The callbacks that a module exports, by their C names."""
    return _exports.get(module, {})


def import_file(file: str) -> ModuleType:
    """Import a file as a module of its own name, as ``python FILE`` would find its neighbours."""
    path = os.path.realpath(file)
    name, suffix = os.path.splitext(os.path.basename(path))
    if suffix == ".hy":
        import hy  # noqa: F401  (teaches the import system to read Hy)
    folder = os.path.dirname(path)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None:
        raise ImportError(f"{file} is a file in neither Hy nor Python", path=file)
    sys.path.insert(0, folder)
    try:
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]  # half of it is no module
        raise
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
    return module


def addresses(file: str, wanted: Sequence[tuple[str, str]]) -> list[int]:
    """The addresses of a file's callbacks, each asked for by its C name and the signature that its C has.

    The file is imported unless it has been.  ``ForeignError`` if another module has its name, or if it has changed so
    that the C would call something else.
    """
    name = os.path.splitext(os.path.basename(file))[0]
    module = sys.modules.get(name)
    if module is None:
        import_file(file)
    elif os.path.realpath(getattr(module, "__file__", None) or "") != os.path.realpath(file):
        raise ForeignError(f"{file} cannot be imported as {name}: that is {module!r} here")
    found = []
    for symbol, signature in wanted:
        known = exports_of(name).get(symbol)
        if known is None or str(known.callback.signature) != signature:
            now = "it is no more" if known is None else f"it is {known.callback.signature} now"
            raise ForeignError(f"{file} has changed since it was compiled: {symbol} was {signature}, and {now}; "
                               f"compile it again: epsilon compile {file} --shared …")  # fmt: skip
        found.append(known.callback.address)
    return found
