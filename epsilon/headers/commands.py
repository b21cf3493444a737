"""``epsilon bind`` and ``epsilon check``: what headers declare, written as a module, or held against a file."""

from __future__ import annotations

import argparse
import sys
from typing import Any


def add_options(command: Any) -> None:
    """The options that say how headers are read."""
    command.add_argument("--cflags", action="append", default=[], metavar="OPTIONS", help="options of the C compiler")
    command.add_argument("--define", action="append", default=[], metavar="NAME[=VALUE]", help="define a macro")
    command.add_argument("--include-dir", action="append", default=[], metavar="DIR", help="look for headers there")
    command.add_argument("--pkg-config", action="append", default=[], metavar="PACKAGE", help="take its options")


def given(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options as ``import_header`` takes them."""
    import shlex

    found = {
        "cflags": [word for options in arguments.cflags for word in shlex.split(options)],
        "defines": list(arguments.define),
        "include_dirs": list(arguments.include_dir),
        "pkg_config": list(arguments.pkg_config),
        "include": list(getattr(arguments, "include", [])),
        "exclude": list(getattr(arguments, "exclude", [])),
    }
    return {name: value for name, value in found.items() if value}


# --- bind -----------------------------------------------------------------------------------------------------------


def add_bind(subcommands: Any) -> None:
    """Declare ``epsilon bind``."""
    command = subcommands.add_parser(
        "bind",
        help="write what C headers declare as a module of Hy or Python",
        description="Write bindings of everything that the headers declare. The module needs neither header nor "
        "compiler; the layouts in it are checked when it is loaded. Exit status 1: it cannot be done.",
    )
    command.add_argument("headers", nargs="+", metavar="HEADER", help="such as sqlite3.h, or a path")
    command.add_argument("-o", metavar="FILE", dest="out", help="a .hy file, or a .py file, which gets a .pyi beside "
                         "it; without it Hy is printed")  # fmt: skip
    command.add_argument("--library", action="append", default=[], help="a library whose functions are bound")
    command.add_argument("--include", action="append", default=[], metavar="PATTERN", help="only these C names")
    command.add_argument("--exclude", action="append", default=[], metavar="PATTERN", help="not these C names")
    command.add_argument("--prefix", action="append", default=[], help="take it from the names of functions, variables "
                         "and constants")  # fmt: skip
    add_options(command)
    command.set_defaults(run=run_bind)


def run_bind(arguments: argparse.Namespace) -> int:
    """Write the module; 1 where that cannot be done, which stderr then says."""
    from epsilon.errors import ForeignError
    from epsilon.headers import lisp_writer, python_writer
    from epsilon.headers.importing import facts_for
    from epsilon.headers.outline import Outliner
    from epsilon.libraries import library_for

    out = arguments.out
    if out is not None and not out.endswith((".hy", ".py")):
        print(f"epsilon bind: -o takes a file whose name ends with .hy or .py, not {out!r}", file=sys.stderr)
        return 1
    try:
        libraries = [library_for(name) for name in arguments.library]
        paths = [library.path for library in libraries if library.path is not None]
        facts = facts_for(arguments.headers, given(arguments), paths)
        outline = Outliner(facts, libraries, arguments.prefix).make()
        title = _title(arguments)
        if out is None:
            sys.stdout.write(lisp_writer.write(outline, title))
        elif out.endswith(".hy"):
            _save(out, lisp_writer.write(outline, title))
        else:
            _save(out, python_writer.write(outline, title))
            _save(f"{out}i", python_writer.write_stub(outline, title))
    except (ForeignError, OSError) as error:
        print(f"epsilon bind: {error}", file=sys.stderr)
        return 1
    return 0


def _save(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def _title(arguments: argparse.Namespace) -> str:
    """What the module's docstring says: what it has, and how it is made again."""
    import shlex

    words = ["epsilon", "bind", *arguments.headers]
    for option in ("library", "include", "exclude", "prefix", "cflags", "define", "include_dir", "pkg_config"):
        for value in getattr(arguments, option):
            words.append(f"--{option.replace('_', '-')}={value}")
    headers = ", ".join(header.rsplit("/", 1)[-1] for header in arguments.headers)
    return (
        f"Bindings of {headers}, written by Epsilon. Change the command, and not this file:\n\n"
        f"    {shlex.join(words)}\n\n"
        f"Layouts are checked when this is loaded; neither the header nor a compiler is needed."
    )


# --- check ----------------------------------------------------------------------------------------------------------


def add_check(subcommands: Any) -> None:
    """Declare ``epsilon check``."""
    command = subcommands.add_parser(
        "check",
        help="hold hand-written declarations against C headers",
        description="Read the declarations in files of Hy and Python, which are not run, and name every difference "
        "from the headers. Exit status 0: none, 1: there are some, 2: it could not be done.",
    )
    command.add_argument("files", nargs="+", metavar="FILE", help="a .hy or a .py file")
    command.add_argument("--header", action="append", default=[], help="a header that declares what the files declare; "
                         "may be repeated")  # fmt: skip
    add_options(command)
    command.set_defaults(run=run_check)


def run_check(arguments: argparse.Namespace) -> int:
    """Print the differences; 1 where there are some, 2 where a file or a header cannot be read."""
    import functools

    from epsilon.errors import ForeignError
    from epsilon.headers.checking import Known, check
    from epsilon.headers.fact_types import FactTypes
    from epsilon.headers.importing import facts_for

    options = given(arguments)

    @functools.cache
    def load(headers: tuple[str, ...]) -> Known:
        return Known(FactTypes(facts_for(list(headers), options)), headers)

    differences = notes = 0
    try:
        known = load(tuple(arguments.header)) if arguments.header else None
        for path in arguments.files:
            for finding in check(read_source(path), known, load):
                place = f"{path}:{finding.spot.line}:{finding.spot.column}"
                print(f"{place}: {finding.name + ': ' if finding.name else ''}{finding.message}")
                notes += finding.is_note
                differences += not finding.is_note
    except (ForeignError, OSError, UnicodeDecodeError) as error:
        print(f"epsilon check: {error}", file=sys.stderr)
        return 2
    said = f"{differences or 'no'} difference{'s' * (differences != 1)}"
    print(f"epsilon check: {said}" + (f", {notes} not checked" if notes else ""), file=sys.stderr)
    return 1 if differences else 0


def read_source(path: str) -> list[Any]:
    """What the file at ``path`` declares."""
    from epsilon.errors import ForeignValueError

    if not path.endswith((".hy", ".py")):
        raise ForeignValueError(f"{path!r} is no Hy and no Python file: its name ends with neither .hy nor .py")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if path.endswith(".py"):
        from epsilon.headers import python_source

        return python_source.read(text, path)
    from epsilon.headers import lisp_source

    return lisp_source.read(text, path)
