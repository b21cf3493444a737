"""Which files pkg-config's answer rests on: they are watched as headers are."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from epsilon.errors import HeaderError
from epsilon.headers.request import package_options


def files_of(packages: Iterable[str]) -> list[str]:
    """The ``.pc`` files of packages and of those that they require."""
    files: dict[str, None] = {}
    todo, seen = list(packages), set()
    while todo:
        package = todo.pop()
        if package in seen:
            continue
        seen.add(package)
        try:
            folder = package_options("--variable=pcfiledir", [package])
            todo += [word for word in package_options("--print-requires", [package]) if re.match(r"[A-Za-z_]", word)]
        except HeaderError:  # one that is only required, and not there: pkg-config has said so, or it does not matter
            continue
        if folder:
            files[os.path.join(folder[0], f"{package}.pc")] = None
    return list(files)
