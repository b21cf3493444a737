"""The library of compiled wrappers: what a header defines but no library exports, under names that can be looked up.

It is one text: the preprocessed headers, and behind them one line of C for each wrapper.  A wrapper that does not
compile, or that calls what none of the libraries has, leaves with the reason; the others stay.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from epsilon import compiler
from epsilon.errors import CompilerError
from epsilon.headers import probing
from epsilon.headers.definitions import Definitions
from epsilon.headers.mending import mended

WHAT = "compiling a header's inline functions and macros"
#: what exports a symbol, whatever ``CFLAGS`` say
EXPORTED = '__attribute__((visibility("default")))'
#: From here on the compiler's time counts, not the wrappers': of OpenSSL's 1,700, -O2 takes 3 s, -O0 one.
_MANY = 400
_ROUNDS = 6  #: an error may hide others behind it
_UNDEFINED = re.compile(
    r"undefined reference to [`'](.+?)'|undefined symbol: (\S+)|^\s*\"_(\S+)\", referenced from:", re.M
)


def build(
    unit, definitions: Definitions, wrappers: Mapping[str, str], libraries: Iterable[str]
) -> tuple[str | None, dict[str, str]]:
    """The path of the library that exports ``wrappers``, and the reasons why some of them are not in it.

    ``wrappers`` maps a symbol to the line of C that defines it; ``libraries`` are paths, or names as for ``-l``, of the
    libraries that the wrappers may call.  The path is None where there is nothing to export.  Raises ``CompilerError``
    where there is no compiler, or where it fails for a reason that is none of the wrappers'.
    """
    left = dict(wrappers)
    refused: dict[str, str] = {}
    plain = definitions.plain
    link = link_options(libraries)
    strict = ["-Wl,-z,defs"] if "__ELF__" in definitions else []
    for attempt in range(_ROUNDS):
        if not left:
            return None, refused
        text = _text(plain, left)
        try:
            options = [*probing.options(unit), "-O1" if len(left) <= _MANY else "-O0"]
            return compiler.build(text, what=WHAT, options=options, link=[*strict, *link, "-lm"]), refused
        except CompilerError as error:
            said = str(error)
            if attempt == _ROUNDS - 1:
                raise
        complaints = probing.complaints_in(said)
        names = list(left)
        for number, words in complaints.probes.items():
            refused[names[number - 1]] = f"it does not compile: {words}"
            left.pop(names[number - 1], None)
        if complaints.header:
            plain = mended(plain, complaints.header)
        elif not complaints.probes:
            missing = {next(filter(None, found)).partition("@")[0] for found in _UNDEFINED.findall(said)}
            if not missing or not _drop_unlinkable(unit, text, left, missing, refused):
                raise CompilerError(said)
    return None, refused


def link_options(libraries: Iterable[str]) -> list[str]:
    """The linker's options for ``libraries``; where one of them lies is written into what is linked."""
    words = []
    for library in libraries:
        if os.sep not in library:
            words.append(f"-l{library}")
        else:
            folder, name = os.path.split(os.path.abspath(library))
            # A path may hold a comma, which -Wl would split at.
            words += [f"-Wl,{os.path.join(folder, name)}"] if "," not in library else [f"-L{folder}", f"-l:{name}"]
            words += [f"-Wl,-rpath,{folder}"] if "," not in folder else []
    return words


def _text(plain: str, wrappers: Mapping[str, str]) -> str:
    return "\n".join([plain, *(probing.probe(number, line) for number, line in enumerate(wrappers.values(), 1))])


def _drop_unlinkable(unit, text: str, left: dict[str, str], missing: set[str], refused: dict[str, str]) -> bool:
    """Take out of ``left`` the wrappers that use one of the ``missing`` symbols; whether there were any."""
    image, _ = probing.compiled(unit, text, ("-ffunction-sections", "-fdata-sections", "-fPIC"))
    found = False
    for symbol in list(left) if image is not None else ():
        if unmet := sorted(image.needs(symbol) & missing):
            refused[symbol] = f"it uses {', '.join(unmet)}, which none of the libraries has"
            del left[symbol]
            found = True
    return found
