"""Which libraries a library was linked to: what they have, it gives to those who look a symbol up in it."""

from __future__ import annotations

from collections.abc import Iterator

from epsilon import elf
from epsilon.errors import LibraryLoadError
from epsilon.libraries import library_for


def paths_of(library: str) -> Iterator[str]:
    """The paths of the libraries that the one at the path ``library`` was linked to."""
    for name in elf.needed(library):
        try:
            path = library_for(name).path
        except LibraryLoadError:
            continue
        if path is not None:
            yield path
