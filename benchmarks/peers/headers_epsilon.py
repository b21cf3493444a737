"""What Epsilon's bindings have of a header, and how long the import took."""

from __future__ import annotations

import json
import os
import sys
import time

import epsilon

TITLE, HEADERS, LIBRARIES, FLAGS = json.loads(sys.argv[1])


def members(kind: type) -> list[tuple[str, int, int]]:
    """Name, first bit and bits of each member."""
    return [
        (field.name, 8 * field.offset + field.shift, 8 * (field.ctype.size or 0) if field.bits is None else field.bits)
        for field in kind.ctype.fields
    ]


def main() -> None:
    start = time.perf_counter()
    bindings = epsilon.import_header(HEADERS, library=LIBRARIES, cflags=FLAGS)
    has = {"time": time.perf_counter() - start}
    if os.environ.get("EPSILON_HEADERS_DETAIL"):
        skipped = {name: reason.reason for name, reason in bindings.skipped.items()}
        unexported = {name: True for name, reason in skipped.items() if "not export" in reason}
        layouts = {}
        for word, table in (("struct", bindings.structs), ("union", bindings.unions)):
            for name, kind in table.items():
                if isinstance(kind, epsilon.StructType):
                    layouts[name] = (word, kind.size, members(kind))
        has |= {
            "functions": {**dict.fromkeys(bindings.functions, True), **unexported},
            "inline": dict.fromkeys(bindings.functions, True),
            "layouts": layouts,
            "constants": {name: _shown(value) for name, value in bindings.constants.items()},
            "skipped": skipped,
        }
    print(json.dumps(has, default=str))


def _shown(value: object) -> object:
    if isinstance(value, (str, bytes)):
        return (value.encode() if isinstance(value, str) else value).hex()
    return value


main()
