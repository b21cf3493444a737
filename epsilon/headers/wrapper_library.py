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
_NAME = re.compile(r"\b(?!epsilon_)[^\W\d]\w*(?=\()")  #: of what is called
_ABSENT = re.compile(r"cannot find ([^\s:]+)|unable to find library (\S+)|library '?(\S+?)'? not found")
#: intrinsics that the options' processor has not
_TARGET = re.compile(r"inlining failed in call to '?always_inline'? '(\w+)[^']*': .*target specific")
_UNDEFINED = re.compile(
    r"undefined reference to [`'](.+?)'|undefined symbol: (\S+)|^\s*\"_(\S+)\", referenced from:", re.M
)


def build(
    unit, definitions: Definitions, wrappers: Mapping[str, str], others: Mapping[str, str], libraries: Iterable[str]
) -> tuple[str | None, dict[str, str]]:
    """The path of the library that exports ``wrappers``, and the reasons why some of them are not in it.

    ``wrappers`` maps a symbol to the line of C that defines it, and ``others`` some of them to another line to try
    where the first does not compile.  ``libraries`` are paths, or names as for ``-l``, of the libraries that the
    wrappers may call.  The path is None where there is nothing to export.
    """
    left, others = dict(wrappers), dict(others)
    refused: dict[str, str] = {}
    plain = definitions.plain
    link = link_options(libraries)
    strict = ["-Wl,-z,defs"] if "__ELF__" in definitions else []
    said = ""
    only_inlined: set[str] = set()  #: functions of which the compiler puts out no body
    for _ in range(_ROUNDS):
        if not left:
            return None, refused
        text = _text(plain, left)
        try:
            options = [*probing.options(unit), "-O1" if len(left) <= _MANY else "-O0"]
            return compiler.build(text, what=WHAT, options=options, link=[*strict, *link, "-lm"]), refused
        except CompilerError as error:
            said = str(error)
        complaints = probing.complaints_in(said)
        names = list(left)
        for number, words in complaints.probes.items():
            name = names[number - 1]
            if name in others:
                left[name] = others.pop(name)
                only_inlined.update(_NAME.findall(left[name])[-1:])
            else:
                refused[name] = f"it does not compile: {words}"
                del left[name]
        if (intrinsic := _TARGET.search(said)) and only_inlined:
            # One is named at a time, and there are thousands in <immintrin.h>: all go that are of this kind.
            reason = f"the compiler only inlines it, and {intrinsic[1]} for processors that the options do not name"
            for name, line in list(left.items()):
                if only_inlined.intersection(_NAME.findall(line)):
                    refused[name] = reason
                    del left[name]
        elif complaints.header:
            plain = mended(plain, complaints.header)
        elif not complaints.probes:
            absent = {f"-l{one[2]}" if one[2] else one[0] or one[1] for one in _ABSENT.findall(said)}
            if absent:  # the wrappers that need the library will miss it, and only they
                found = [word for word in link if word.removeprefix("-Wl,") not in absent]
                if found == link:
                    break
                link = found
                continue
            missing = {next(filter(None, found)).partition("@")[0] for found in _UNDEFINED.findall(said)}
            if not missing or not _drop_unlinkable(unit, text, left, missing, refused):
                break
    refused.update(dict.fromkeys(left, f"the compiler refuses all wrappers: {_first(said)}"))
    return None, refused


def _first(said: str) -> str:
    """The line of the compiler's words that tells most."""
    lines = said.splitlines()
    return next((line for line in lines if "error" in line or "cannot find" in line), lines[0] if lines else "")


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
