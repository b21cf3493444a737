"""The ``epsilon`` command: Epsilon from the shell, one subcommand a function.

A subcommand is a function ``add_NAME(subcommands)`` that declares its arguments and names the function that runs it;
``COMMANDS`` lists them. What runs it takes the parsed arguments and gives the exit status, and imports what it needs
itself, so that ``epsilon --help`` stays quick.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import epsilon
from epsilon.headers.commands import add_bind, add_check


def add_doctor(subcommands: Any) -> None:
    """Declare ``epsilon doctor``."""
    command = subcommands.add_parser(
        "doctor",
        help="say what is here, what is missing, and the command that gets it",
        description="Look at this installation of Epsilon and try it: versions, the C shim, the call strategies, "
        "the system's tools and libraries, one real call and one real callback. Exit status 0: all works.",
    )
    command.set_defaults(run=run_doctor)


def run_doctor(arguments: argparse.Namespace) -> int:
    """Print the doctor's report; 0 when all works, 1 when something that should be there is missing."""
    from epsilon import doctor

    return doctor.examine()


def add_layout(subcommands: Any) -> None:
    """Declare ``epsilon layout``."""
    command = subcommands.add_parser(
        "layout",
        help="show where the members of a C struct lie",
        description="Print the memory map of a struct or union: offsets, sizes, bits and padding. The struct is a "
        "definition in C, or, with --header, the name of one that the C compiler ($CC, or cc) finds there.",
    )
    command.add_argument("declaration", help='such as "struct timespec { long sec; long nsec; }" or "struct stat"')
    command.add_argument("--header", action="append", help="a header that has it, such as sys/stat.h; may be repeated")
    command.add_argument("--svg", metavar="FILE", help="write the map as an image, too")
    command.set_defaults(run=run_layout)


def run_layout(arguments: argparse.Namespace) -> int:
    """Print the memory map; 1 where the declaration, the header or the file is not right, which stderr then says."""
    import sys

    try:
        found = epsilon.define_c_struct_auto("", arguments.declaration, header=arguments.header).layout()
        print(found)
        if arguments.svg:
            with open(arguments.svg, "w", encoding="utf-8") as file:
                file.write(found.svg())
    except (epsilon.ForeignError, OSError) as error:
        print(f"epsilon layout: {error}", file=sys.stderr)
        return 1
    return 0


def add_compile(subcommands: Any) -> None:
    """Declare ``epsilon compile``."""
    command = subcommands.add_parser(
        "compile",
        help="build the compiled entries of a program's functions and callbacks ahead of time",
        description="Import the files, in Hy or Python, and build the entries of all the signatures that they declare, "
        "in one library of the cache. Later processes take them by themselves. With --shared, build a library for C "
        "programs instead: of the files' natives, and of their callbacks with :export.",
    )
    command.add_argument("file", nargs="+", metavar="FILE", help="a file in Hy or Python that binds C functions")
    command.add_argument("--shared", metavar="LIBRARY", help="write the files' natives and exported callbacks for C")
    command.add_argument("--header", metavar="HEADER", help="with --shared: write the header that declares them, too")
    command.set_defaults(run=run_compile)


def run_compile(arguments: argparse.Namespace) -> int:
    """Import the files and compile what they declare; 1 where that cannot be done, which stderr then says."""
    import sys
    from pathlib import Path

    from epsilon import cache
    from epsilon.exported import import_file

    if arguments.header and not arguments.shared:
        print("epsilon compile: --header declares what --shared writes, which is missing", file=sys.stderr)
        return 1
    modules = []
    for file in arguments.file:
        if not Path(file).is_file():
            print(f"epsilon compile: there is no file {file}", file=sys.stderr)
            return 1
        modules.append((file, import_file(file)))
    try:
        if arguments.shared:
            from epsilon.native.exporting import export

            names = export(modules, arguments.shared, arguments.header)
            print(f"{arguments.shared} has {', '.join(names)}")
            return 0
        left = epsilon.registry.compile()
    except epsilon.ForeignError as error:
        print(f"epsilon compile: {error}", file=sys.stderr)
        return 1
    made = len(epsilon.registry.signatures())
    print(f"{made - len(left)} of {made} signatures are compiled, in {cache.directory()}")
    for signature, reason in left.items():
        print(f"  not {signature}: {reason}")
    return 0


COMMANDS = (add_doctor, add_layout, add_bind, add_check, add_compile)


def parser() -> argparse.ArgumentParser:
    """The command line's grammar, with every subcommand of ``COMMANDS``.

    >>> parser().parse_args(["doctor"]).run.__name__
    'run_doctor'
    """
    top = argparse.ArgumentParser(
        prog="epsilon", description="Epsilon: a foreign function interface for Hy and Python."
    )
    top.add_argument("--version", action="version", version=f"epsilon {epsilon.__version__}")
    subcommands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in COMMANDS:
        add(subcommands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line *argv* (the process's own by default) and give its exit status.

    A wrong command line ends in ``SystemExit(2)``, with what was wrong on stderr, as argparse does it.
    """
    arguments = parser().parse_args(argv)
    return arguments.run(arguments)
