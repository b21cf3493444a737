"""The library of compiled wrappers: what static inline functions and function-like macros are called through."""

from __future__ import annotations

import os

from epsilon import compiler
from epsilon.errors import ForeignError, LibraryLoadError
from epsilon.libraries import lib_open

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Sequence

    from epsilon.libraries import Library


def load(path: str, libraries: Sequence[Library]) -> Library:
    """Open the wrappers, which call functions of ``libraries``: those are made visible to it first."""
    for one in libraries:
        if one.path is not None:
            lib_open(one.path, os.RTLD_GLOBAL | os.RTLD_LAZY)
    try:
        return compiler.load(path)
    except LibraryLoadError as error:
        raise ForeignError(
            f"the headers' inline functions need a library that was not given: {error.args[0]}"
        ) from error
