"""What a module that ctypesgen writes has of a header: functions of the library, Structures, constants."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def members(kind: Any, start: int = 0) -> list[tuple[str, int, int]]:
    """Name, first bit and bits of each member, anonymous ones' too."""
    found = []
    anonymous = getattr(kind, "_anonymous_", ())
    for name, ctype, *bits in getattr(kind, "_fields_", ()):
        place = getattr(kind, name)
        if name in anonymous:
            found += members(ctype, start + 8 * place.offset)
        elif bits:
            found.append((name, start + 8 * place.offset + (place.size & 0xFFFF), bits[0]))
        else:
            found.append((name, start + 8 * place.offset, 8 * ctypes.sizeof(ctype)))
    return found


def main() -> None:
    title, headers, libraries, flags = json.loads(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder, "t.h"), Path(folder, "made.py")
        path.write_text("".join(f"#include <{header}>\n" for header in headers))
        start = [sys.executable, "-c", "import sys; from ctypesgen.main import main; sys.exit(main())", "--all-headers"]
        command = [*start, *(f"-l{name}" for name in libraries), "-o", str(out)]
        done = subprocess.run([*command, *flags, str(path)], capture_output=True, text=True)
        if not out.exists():
            sys.exit((done.stderr.strip().splitlines() or ["no module was written"])[-1])
        spec = importlib.util.spec_from_file_location("made", out)
        made = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
    has: dict[str, dict[str, Any]] = {"functions": {}, "layouts": {}, "constants": {}, "inline": {}}
    for name, value in vars(made).items():
        if isinstance(value, type) and issubclass(value, (ctypes.Structure, ctypes.Union)):
            plain = name.removeprefix("struct_").removeprefix("union_")
            word = "union" if issubclass(value, ctypes.Union) else "struct"
            try:
                has["layouts"].setdefault(plain, (word, ctypes.sizeof(value), members(value)))
            except TypeError:  # Structure and Union themselves
                continue
        elif isinstance(value, (int, float)):
            has["constants"][name] = value
        elif isinstance(value, str):
            has["constants"][name] = value.encode().hex()
        elif callable(value) and not isinstance(value, type):
            has["functions"][name] = True
    print(json.dumps(has, default=str))


main()
