"""What libclang's Python bindings have of a header: cursors, sizes and offsets; macros that are one literal."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from clang import cindex


def members(kind: Any, whole: Any) -> list[tuple[str, int, int]]:
    """Name, first bit and bits of each member, anonymous ones' too."""
    found = []
    for field in kind.get_fields():
        if field.is_anonymous() or not field.spelling:
            found += members(field.type.get_canonical(), whole)
        else:
            bits = field.get_bitfield_width() if field.is_bitfield() else 8 * max(field.type.get_size(), 0)
            found.append((field.spelling, whole.get_offset(field.spelling), bits))
    return found


def main() -> None:
    title, headers, libraries, flags = json.loads(sys.argv[1])
    gcc = subprocess.run(["cc", "-print-file-name=include"], capture_output=True, text=True, check=True).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.c")
        path.write_text("".join(f"#include <{header}>\n" for header in headers))
        unit = cindex.Index.create().parse(
            str(path), args=["-std=gnu11", f"-I{gcc}", *flags],
            options=cindex.TranslationUnit.PARSE_DETAILED_PROCESSING_RECORD,
        )  # fmt: skip
    has: dict[str, dict[str, Any]] = {"functions": {}, "layouts": {}, "constants": {}, "inline": {}}
    for cursor in unit.cursor.walk_preorder():
        kind = cursor.kind
        if kind == cindex.CursorKind.FUNCTION_DECL:
            has["functions"][cursor.spelling] = True
        elif kind in (cindex.CursorKind.STRUCT_DECL, cindex.CursorKind.UNION_DECL, cindex.CursorKind.TYPEDEF_DECL):
            own = cursor.type.get_canonical()
            if own.kind == cindex.TypeKind.RECORD and own.get_size() >= 0:
                word = "union" if own.get_declaration().kind == cindex.CursorKind.UNION_DECL else "struct"
                has["layouts"][cursor.spelling] = (word, own.get_size(), members(own, own))
        elif kind == cindex.CursorKind.ENUM_CONSTANT_DECL:
            has["constants"][cursor.spelling] = cursor.enum_value
        elif kind == cindex.CursorKind.MACRO_DEFINITION:
            tokens = [token.spelling for token in cursor.get_tokens()]
            if len(tokens) == 2:
                has["constants"].setdefault(cursor.spelling, literal(tokens[1]))
    print(json.dumps(has))


def literal(text: str) -> Any:
    """The value of one literal."""
    plain = text.rstrip("uUlLfF") if not text.startswith(("0x", "0X")) else text.rstrip("uUlL")
    try:
        if text.startswith('"'):
            return ast.literal_eval("b" + text).hex()
        if plain.isdigit() and plain.startswith("0"):
            return int(plain, 8)
        return ast.literal_eval(plain)
    except (ValueError, SyntaxError):
        return None


main()
