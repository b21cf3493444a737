"""A library of many functions in twenty signatures, and the modules that bind 500 of them: Hy, cffi, ctypes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.workshop import Unavailable, Workshop, run

FORMS = 500

# (C result, C parameters, Hy result, Hy parameters, what the C function returns); the first one is called as a test.
SIGNATURES = (
    ("int", "int a, int b", ":int", "(a :int) (b :int)", "a + b"),
    ("void", "void", ":void", "", ""),
    ("int", "void", ":int", "", "1"),
    ("int", "int a", ":int", "(a :int)", "a"),
    ("double", "double a", ":double", "(a :double)", "a"),
    ("double", "double a, double b", ":double", "(a :double) (b :double)", "a * b"),
    ("size_t", "const char *s", ":size", "(s :string)", "s != 0"),
    ("const char *", "int a", ":string", "(a :int)", "a ? \"yes\" : \"no\""),
    ("void *", "size_t n", ":pointer", "(n :size)", "(void *)n"),
    ("void", "void *p", ":void", "(p :pointer)", ""),
    ("int", "void *p, int a", ":int", "(p :pointer) (a :int)", "a + (p != 0)"),
    ("int", "void *p, const char *s", ":int", "(p :pointer) (s :string)", "p != 0 && s != 0"),
    ("int", "const char *s, int a, int b", ":int", "(s :string) (a :int) (b :int)", "a + b + (s != 0)"),
    ("long", "int a, double b, long c", ":long", "(a :int) (b :double) (c :long)", "a + (long)b + c"),
    ("float", "float a, float b", ":float", "(a :float) (b :float)", "a + b"),
    ("unsigned long", "unsigned long a", ":unsigned-long", "(a :unsigned-long)", "a"),
    ("int64_t", "int64_t a, uint32_t b", ":int64", "(a :int64) (b :uint32)", "a + b"),
    ("int", "int *a", ":int", "(a (:pointer :int))", "a ? *a : 0"),
    ("void *", "void *a, const void *b, size_t n", ":pointer", "(a :pointer) (b :pointer) (n :size)",
     "b ? a : (void *)n"),
    ("int", "uint8_t a, int16_t b, unsigned c, short d", ":int", "(a :uint8) (b :int16) (c :unsigned-int) (d :short)",
     "a + b + (int)c + d"),
)


def prototype(index: int) -> str:
    """The C prototype of function `index`, without the semicolon."""
    result, parameters, *_ = SIGNATURES[index % len(SIGNATURES)]
    return f"{result} b_{index}({parameters})"


def library(workshop: Workshop) -> Path:
    """Build the library: every signature has FORMS functions, so that binding one signature has names enough."""
    lines = ["#include <stddef.h>", "#include <stdint.h>"]
    for index in range(FORMS * len(SIGNATURES)):
        lines += [prototype(index) + ";", f"{prototype(index)} {{ return {SIGNATURES[index % len(SIGNATURES)][4]}; }}"]
    source = workshop.directory / "many.c"
    source.write_text("\n".join(lines) + "\n")
    return workshop.compile("libmany.so", [source])


def hy_module(directory: Path, path: Path) -> str:
    """Write a Hy module of FORMS `defshared` forms, as a user would, and compile it; return its name."""
    lines = ["(require epsilon [defshared])"]
    for index in range(FORMS):
        _, _, result, parameters, _ = SIGNATURES[index % len(SIGNATURES)]
        lines.append(f'(defshared b-{index} "b_{index}" "{path}" {result} {parameters})')
    (directory / "bound_in_hy.hy").write_text("\n".join(lines) + "\n")
    return compiled(directory, "bound_in_hy", ["hy"])


def cffi_module(directory: Path, path: Path) -> str:
    """The same with one in-line cdef of cffi (ABI mode), as its manual shows."""
    text = "".join(prototype(index) + ";\n" for index in range(FORMS))
    (directory / "bound_in_cffi.py").write_text(
        f'import cffi\nffi = cffi.FFI()\nffi.cdef("""{text}""")\nlib = ffi.dlopen({str(path)!r})\nb_0 = lib.b_0\n')
    return compiled(directory, "bound_in_cffi", ["cffi"])


def compiled(directory: Path, module: str, imported: list[str]) -> str:
    """Import `module` once in a child process, so that its .pyc is written; return its name."""
    code = f"import sys; sys.path.insert(0, {str(directory)!r}); import {', '.join(imported)}, {module}"
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    run([sys.executable, "-c", code], env=env, stdin=subprocess.DEVNULL)
    if not list(directory.glob(f"__pycache__/{module}.*.pyc")):
        raise Unavailable(f"importing {module} wrote no .pyc")
    return module
