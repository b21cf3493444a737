"""The examples are programs that a newcomer runs: each works against the real library, says what it did, cleans up."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"

#: what each prints, line by line; ``...`` stands for any text
OUTPUTS = {
    "qsort.hy": [
        "sorted:      [1, 1, 2, 3, 4, 5, 6, 9]",
        "found:       5",
        "descending:  [9, 6, 5, 4, 3, 2, 1, 1]",
        "  224004  Cork",
        "  290598  Aarhus",
        "  291940  Bergen",
        "raised:      ZeroDivisionError(...)",
    ],
    "sqlite.hy": [
        "SQLite 3...",
        "  Galdhøpiggen   2469.0 m",
        "  Kebnekaise     2096.8 m",
        "  Møllehøj        170.9 m",
        "  above 2000 m: {'Galdhøpiggen': 2469.0, 'Kebnekaise': 2096.8}",
        "  refused: sqlite3_exec(...) gave 1: no such column: height",
    ],
    "openssl.hy": [
        "OpenSSL ...",
        f"SHA-256 of this file: {hashlib.sha256((EXAMPLES / 'openssl.hy').read_bytes()).hexdigest()}",
        "  certificate at depth 0: accepted",
        "  TLSv1.3 with TLS_...",
        "  the server answers: HELLO FROM LISP",
    ],
    "audio.hy": [
        "loaded:     22050 frames of 2 channels at 44100 Hz, peak 0.250",
        "normalised: peak 1.000, the same after a journey through 16 bits",
        "refused:    ...No such file or directory.",
    ],
    "header_sqlite.hy": [
        "SQLite 3...",
        "int sqlite3_open(const char *filename, sqlite3 **ppDb)",
        "  GM  Symphony 2   80.25 minutes",
        "  CS  Trio 9       28.00 minutes",
        "  JSB Suite 10     20.50 minutes",
        "  under half an hour: Johann Sebastian Bach, Clara Schumann",
        "  refused: no such column: conductor",
    ],
    "header_openssl.hy": [
        "OpenSSL 3...",
        "sha256: 1e946d883246a9f19ab0802eb38d8d71..., as hashlib has it",
        "sha3_512: 5cc9617ca91b5c02e50bd92d7f8b3c26..., as hashlib has it",
        "AES-128-GCM: NIST's ciphertext and tag, and back; with another tag: the tag is not that of the text",
        "AES-256-GCM: NIST's ciphertext and tag, and back; with another tag: the tag is not that of the text",
        "certificate: -----BEGIN CERTIFICATE-----",
        "  trusted: ok",
        "  unknown: self...signed certificate",
    ],
    "header_curl.hy": [
        "libcurl/...",
        "200 Über allen Gipfeln",
        "the server was asked by Epsilon",
        "404 nothing here",
        "refused: ...",
    ],
    "native_qsort.hy": [
        "50,000 ints: in Lisp ... ms",
        "  224004  Cork",
        "  290598  Aarhus",
        "  291940  Bergen",
        "raised: thirteen: (!= (deref a) 13)",
        "/* native compare_ints: ... */",
        "static void (*epsilon_stop)...",
        "static int compare_ints(int *a, int *b);",
        "",
        "#line 17 ...",
        "static int compare_ints(int *a, int *b) {",
        "#line 19",
        "    return (*a > *b) - (*a < *b);",
        "#line 19",
        "}",
    ],
    "mandelbrot.hy": [
        "240 × 160 pixels in ..., 9798 in the set: ... ms",
        "written: ...mandelbrot.png, ... bytes",
    ],
    "sqlite_function.hy": [
        "function                5  native ... ms",
        "collation    ecbhcaaea660  native ... ms",
    ],
    "plain_python.py": [
        "bound: void qsort(void *, size_t, size_t, void *)",
        "sorted: [1, 1, 2, 3, 4, 5, 6, 9]",
        "lengths: 5 12",
        "trampoline: 21",
        "raised: cannot compare 2 and 1",
        "trampolines: 3 hits: ...",
        "registered: comparator, qsort, text-length",
    ],
}


def matches(line: str, wanted: str) -> bool:
    """Whether ``line`` is ``wanted``, in which ``...`` stands for any text."""
    return re.fullmatch(".*".join(map(re.escape, wanted.split("..."))), line) is not None


def test_every_example_is_tested():
    assert {path.name for path in EXAMPLES.iterdir() if path.suffix in (".hy", ".py")} == set(OUTPUTS)


@pytest.mark.parametrize("name", OUTPUTS)
def test_example(name, tmp_path):
    path = EXAMPLES / name  # as the Makefile runs it: `hy FILE` fails under Python 3.12.1
    command = [sys.executable, *(["-m", "hy", "-m", path.stem] if path.suffix == ".hy" else [str(path)])]
    search = os.pathsep.join(filter(None, [str(EXAMPLES), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONPATH": search, "TMPDIR": str(tmp_path)}
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", timeout=300, check=False
    )
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    if lines and lines[0].startswith("skipped: "):  # it says what is missing
        pytest.skip(lines[0])
    assert len(lines) == len(OUTPUTS[name]), ran.stdout
    assert all(map(matches, lines, OUTPUTS[name])), ran.stdout
    assert ran.stderr == ""
    assert list(tmp_path.iterdir()) == [], "the example left files behind"
