"""``import_header``: what a user asks for, checked; the facts, from the cache or worked out; and the bindings of both.

It stands on the way of quick starts: what reads headers is imported when headers are read.
"""

from __future__ import annotations

import os
from _collections_abc import Iterable, Mapping  # collections.abc, without all of collections

from epsilon.errors import ForeignTypeError, HeaderError, nearest, shorten
from epsilon.expressions import word_of
from epsilon.headers.binding import Asked, HeaderBindings
from epsilon.headers.store import facts_of
from epsilon.libraries import Library, library_for
from epsilon.options import OF_ONE, OPTIONS, check_option_names, read_options
from epsilon.signatures import Signature

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from epsilon.headers.facts import Facts
    from epsilon.tables import Bindings

#: of a function each: what the library lacks is in ``skipped``
_NOT_HERE = (*OF_ONE, "optional")


def import_header(
    header: Any,
    *,
    library: Any = None,
    include: Any = (),
    exclude: Any = (),
    prefix: Any = (),
    rename: Any = None,
    cflags: Any = (),
    defines: Any = (),
    include_dirs: Any = (),
    pkg_config: Any = (),
    macros: Any = (),
    **options: Any,
) -> Bindings:
    """Bind everything that a C header declares, and give it as ``Bindings``.

    ``header`` is a name as in ``#include <sqlite3.h>``, a path, or several; ``library`` the library, by name or as a
    ``Library``, or several, whose functions and variables are bound (None or ``[]``: none are, and the rest is there).
    The other parameters:

    - ``include`` and ``exclude`` are patterns of C names, such as ``"sqlite3_*"``: what is bound, and what is not.
    - ``prefix``, one or several, is taken from the names of attributes; ``rename`` maps C names to other ones.  The
      mappings keep the C names, and those stay attributes too.
    - ``cflags`` are options of the compiler, ``defines`` a mapping of macros to values (None: defined, and no more),
      ``include_dirs`` folders to look for headers in, ``pkg_config`` packages whose options are taken.
    - ``macros`` maps names of function-like macros to the types of their parameters, where those cannot be told.
    - What ``Library.declare`` takes for all functions (``errno``, ``check``, ``critical`` …) is taken here too; what
      looks at a result leaves those functions alone that have none.

    The compiler is asked once; what it said is kept in the cache until a header, the compiler or an option is another.
    Functions that the header marks ``const`` or ``pure`` are critical, and parameters that it marks ``nonnull`` refuse
    ``None``.  ``bindings.skipped`` names what could not be bound, with the reason.

    Raises ``HeaderError`` for a header that is not there or is refused by the compiler, ``CompilerError`` without a
    compiler, ``LibraryLoadError`` for a library that is not there, and ``ForeignTypeError`` for an option that cannot
    be.

    >>> c = import_header("stdlib.h", library="libc", include=["div", "div_t", "EXIT_*"])
    >>> c.div(17, 5), c.EXIT_FAILURE
    (div_t(quot=3, rem=2), 1)
    """
    header, library = _listed(header), [] if library is None else _listed(library)
    libraries = [library_for(one) for one in library]
    prefixes = _words("prefix", prefix)
    renamed = _renamed(rename)
    _check_options(options)
    given = {
        "cflags": cflags, "defines": defines, "include_dirs": include_dirs, "pkg_config": pkg_config,
        "include": include, "exclude": exclude, "macros": macros,
    }  # fmt: skip
    given = {name: _settled(value) for name, value in given.items()}
    given = {name: value for name, value in given.items() if not _is_nothing(value)}
    if "macros" in given:
        given["macros"] = _macros(given["macros"])
    facts = facts_for(header, given, [one.path for one in libraries if one.path is not None])
    headers = [os.fspath(one) for one in header]
    _check_renamed(renamed, facts, headers)
    everything = {"library": library, "prefix": prefixes, "rename": renamed, **given, **options}
    asked = Asked(headers, libraries, prefixes, renamed, options, (_again, (header, everything)))
    found = HeaderBindings(facts, asked)
    for one in libraries:
        one._headers[tuple(headers)] = found
    return found


def facts_for(header: Any, given: Mapping[str, Any], paths: Sequence[str] = ()) -> Facts:
    """What the headers declare, from the cache or by the compiler; ``paths`` are those of the libraries."""
    return facts_of(_spelled(header, given, list(paths)), lambda: _work_out(header, given, list(paths)))


def _again(header: Any, everything: dict[str, Any]) -> Bindings:
    """The bindings again, for a pickle."""
    return import_header(header, **everything)


def _work_out(header: Any, given: Mapping[str, Any], libraries: list[str]) -> tuple[Facts, list[str]]:
    """The facts, by the compiler, and the paths of what else they rest on: the libraries that the headers' inline
    functions may call are among it."""
    from epsilon.headers import linked, packages, progress
    from epsilon.headers.reading import read_headers
    from epsilon.headers.request import Request

    request = Request.of(header, **given)
    reached = dict.fromkeys([*libraries, *(path for one in libraries for path in linked.paths_of(one))])
    with progress.shown(f"reading {', '.join(request.headers)}, the first time"):
        facts = read_headers(request, list(reached))
    return facts, [*packages.files_of(request.pkg_config), *reached]


# --- what is asked for ------------------------------------------------------------------------------------------------


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, (tuple, list, dict)) and not value)


def _settled(value: Any) -> Any:
    """An option that can be looked at twice."""
    if value is None or isinstance(value, (str, bytes, os.PathLike)):
        return value
    return dict(value) if isinstance(value, Mapping) else list(value) if isinstance(value, Iterable) else value


def _listed(given: Any) -> list[Any]:
    """One, or several."""
    if isinstance(given, (str, Library)):
        return [given]
    if isinstance(given, (bytes, os.PathLike)) or not isinstance(given, Iterable):
        return [given]
    return list(given)


def _spelled(header: list[Any], given: Mapping[str, Any], libraries: list[str]) -> str:
    """All that is asked for as one text; where paths may be relative, with the folder that they are relative to."""

    def plain(value: Any) -> Any:
        if type(value) in (str, bytes, int, float, bool, type(None)):
            return value
        if type(value) in (list, tuple):
            return [plain(one) for one in value]
        if isinstance(value, Mapping):
            return [(plain(name), plain(one)) for name, one in value.items()]
        if isinstance(value, os.PathLike):
            return ("path", os.fspath(value))
        if isinstance(value, (str, bytes)):  # Hy's own, say
            return str(value)
        return [plain(one) for one in value] if isinstance(value, Iterable) else repr(value)

    words = plain(header)
    relative = any(not isinstance(word, str) or word.startswith(".") for word in words) or "include_dirs" in given
    folder = os.getcwd() if relative or "cflags" in given else ""
    return repr((words, [(name, plain(given[name])) for name in sorted(given)], folder, libraries))


def _words(option: str, given: Any) -> tuple[str, ...]:
    words = () if given is None else tuple(_listed(given))
    for word in words:
        if not isinstance(word, str) or not word:
            raise ForeignTypeError(f"import_header: {option} is a text, or several, not {shorten(given)}")
    return tuple(word.replace("-", "_") for word in words)


def _renamed(rename: Any) -> dict[str, str]:
    if _is_nothing(rename):
        return {}
    if not isinstance(rename, Mapping):
        raise ForeignTypeError(f"import_header: rename is a mapping of C names to new ones, not {shorten(rename)}")
    found: dict[str, str] = {}
    for name, new in rename.items():
        c_name, attribute = (str(word_of(one) or "").lstrip("':") for one in (name, new))
        attribute = attribute.replace("-", "_")
        if not c_name.isidentifier() or not attribute.isidentifier():
            raise ForeignTypeError(f"import_header: rename: {shorten(name)} to {shorten(new)}: names are wanted")
        if attribute in found.values():
            raise ForeignTypeError(f"import_header: rename: two names become {attribute!r}")
        found[c_name] = attribute
    return found


def _check_renamed(renamed: Mapping[str, str], facts: Facts, headers: list[str]) -> None:
    for name in renamed:
        tables = (facts.functions, facts.inlines, facts.macros, facts.variables, facts.constants, facts.typedefs,
                  facts.enums, facts.skipped)  # fmt: skip
        tags = {f"struct {name}", f"union {name}"}
        if not any(name in table for table in tables) and tags.isdisjoint(facts.records):
            known = [known for table in tables for known in table]
            raise HeaderError(f"rename: {', '.join(headers)} declares no {name!r}{nearest(name, known)}")


def _macros(macros: Any) -> dict[str, list[str]]:
    """The types of macros' parameters as C text: words and lists of the vocabulary are spelled, C text is C's."""
    from epsilon.expressions import ctype

    if not isinstance(macros, Mapping):
        raise ForeignTypeError(f"import_header: macros is a mapping of names to lists of types, not {shorten(macros)}")
    found = {}
    for name, types in macros.items():
        if isinstance(types, (str, bytes)) or not isinstance(types, Iterable):
            raise ForeignTypeError(f"import_header: macros: {name} has a list of types, not {shorten(types)}")
        texts = []
        for one in types:
            try:
                texts.append(ctype(one).spelling)
            except ForeignTypeError:
                if not isinstance(one, str) or one.startswith(":"):
                    raise
                texts.append(str(one))  # a type of the header's own
        found[str(word_of(name) or "").lstrip("':")] = texts
    return found


def _check_options(options: dict[str, Any]) -> None:
    code = import_header.__code__
    own = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    check_option_names("import_header", options, [*own, *(name for name in OPTIONS if name not in _NOT_HERE)])
    for name in _NOT_HERE:
        if name in options:
            raise ForeignTypeError(f"import_header: the option {name!r} is for one function, not for a header of them")
    if options:
        read_options("import_header", Signature("int", [], abi=options.get("abi", "default")), options)
