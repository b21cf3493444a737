"""`make headers`: how much of real headers each tool reaches, against the compiler's own word, and how long it takes.

For each header of the list that is installed, the truth comes from `truth.py`; Epsilon, ctypesgen and libclang read
the same header in processes of their own, and what they have is held against it, name by name and value by value.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.truth import Headers, Record, Truth, truth
from benchmarks.workshop import HERE, Unavailable, Workshop

GNU = ("-D_GNU_SOURCE",)
LIBC = (
    "stdio stdlib string math time sys/stat sys/socket netinet/in dirent signal pthread termios unistd fcntl errno"
).split()
#: the headers that are named, for which all is asked …
NAMED = [
    *(Headers(f"{name}.h", (f"{name}.h",), ("libm" if name == "math" else "libc",), GNU) for name in LIBC),
    Headers("sqlite3.h", ("sqlite3.h",), ("sqlite3",)),
    Headers("openssl/ssl.h", ("openssl/ssl.h",), ("ssl", "crypto")),
    Headers("openssl/evp.h", ("openssl/evp.h",), ("crypto",)),
    Headers("openssl/err.h", ("openssl/err.h",), ("crypto",)),
    Headers("openssl/rand.h", ("openssl/rand.h",), ("crypto",)),
    Headers("openssl/pem.h", ("openssl/pem.h",), ("crypto",)),
    Headers("zlib.h", ("zlib.h",), ("z",)),
    Headers("png.h", ("png.h",), ("png16",)),
    Headers("curl/curl.h", ("curl/curl.h",), ("curl",)),
    Headers("sndfile.h", ("sndfile.h",), ("sndfile",)),
]
#: … and others, that nothing was made for
OTHERS = [
    Headers("X11/Xlib.h", ("X11/Xlib.h", "X11/Xutil.h", "X11/Xatom.h"), ("X11",)),
    Headers("X11/extensions/Xrender.h", ("X11/extensions/Xrender.h",), ("Xrender",)),
    Headers("X11/Xft/Xft.h", ("X11/Xft/Xft.h",), ("Xft",), ("-I/usr/include/freetype2",)),
    Headers("xcb/xcb.h", ("xcb/xcb.h", "xcb/xproto.h"), ("xcb",)),
    Headers("GL/gl.h", ("GL/gl.h", "GL/glext.h"), ("GL",)),
    Headers("GL/glut.h", ("GL/glut.h",), ("glut",)),
    Headers("EGL/egl.h", ("EGL/egl.h", "EGL/eglext.h"), ("EGL",)),
    Headers("GLES3/gl3.h", ("GLES3/gl3.h",), ("GLESv2",)),
    Headers("ft2build.h", ("ft2build.h", "freetype/freetype.h"), ("freetype",), ("-I/usr/include/freetype2",)),
    Headers("fontconfig.h", ("fontconfig/fontconfig.h",), ("fontconfig",)),
    Headers("libxml/parser.h", ("libxml/parser.h", "libxml/xpath.h"), ("xml2",), ("-I/usr/include/libxml2",)),
    Headers("libxslt/xslt.h", ("libxslt/xslt.h", "libxslt/transform.h"), ("xslt",), ("-I/usr/include/libxml2",)),
    Headers("expat.h", ("expat.h",), ("expat",)),
    Headers("yaml.h", ("yaml.h",), ("yaml",)),
    Headers("gmp.h", ("gmp.h",), ("gmp",)),
    Headers("mpfr.h", ("mpfr.h",), ("mpfr",)),
    Headers("curses.h", ("curses.h",), ("ncursesw", "tinfo")),
    Headers("readline.h", ("stdio.h", "readline/readline.h", "readline/history.h"), ("readline",)),
    Headers("ffi.h", ("ffi.h",), ("ffi",)),
    Headers("libpq-fe.h", ("libpq-fe.h",), ("pq",), ("-I/usr/include/postgresql",)),
    Headers("mysql.h", ("mariadb/mysql.h",), ("mariadb",)),
    Headers("gcrypt.h", ("gcrypt.h",), ("gcrypt",)),
    Headers("gpg-error.h", ("gpg-error.h",), ("gpg-error",)),
    Headers("gnutls.h", ("gnutls/gnutls.h", "gnutls/x509.h", "gnutls/crypto.h"), ("gnutls",)),
    Headers("libtasn1.h", ("libtasn1.h",), ("tasn1",)),
    Headers("idn2.h", ("idn2.h",), ("idn2",)),
    Headers("p11-kit.h", ("p11-kit/p11-kit.h",), ("p11-kit",), ("-I/usr/include/p11-kit-1",)),
    Headers("nspr.h", ("nspr.h",), ("nspr4",), ("-I/usr/include/nspr",)),
    Headers("nss.h", ("nss.h", "pk11pub.h"), ("nss3",), ("-I/usr/include/nspr", "-I/usr/include/nss")),
    Headers("unicode/ustring.h", ("unicode/ustring.h", "unicode/ucnv.h"), ("icuuc",)),
    Headers("jpeglib.h", ("stdio.h", "jpeglib.h"), ("jpeg",)),
    Headers("tiffio.h", ("tiffio.h",), ("tiff",)),
    Headers("lzma.h", ("lzma.h",), ("lzma",)),
    Headers("bzlib.h", ("bzlib.h",), ("bz2",)),
    Headers("zstd.h", ("zstd.h",), ("zstd",)),
    Headers("lz4.h", ("lz4.h", "lz4hc.h"), ("lz4",)),
    Headers("brotli", ("brotli/encode.h", "brotli/decode.h"), ("brotlienc", "brotlidec")),
    Headers("magic.h", ("magic.h",), ("magic",)),
    Headers("z3.h", ("z3.h",), ("z3",)),
    Headers("Python.h", ("Python.h",), ("python3.11",), ("-I/usr/include/python3.11",)),
    Headers("rpc/rpc.h", ("rpc/rpc.h",), ("tirpc",), ("-I/usr/include/tirpc",)),
    Headers("glib.h", ("glib.h", "glib-object.h"), ("glib-2.0", "gobject-2.0"),
            ("-I/usr/include/glib-2.0", "-I/usr/lib/x86_64-linux-gnu/glib-2.0/include")),
    Headers("cairo.h", ("cairo/cairo.h",), ("cairo",)),
    Headers("SDL.h", ("SDL2/SDL.h",), ("SDL2",)),
    Headers("uv.h", ("uv.h",), ("uv",)),
    Headers("event.h", ("event2/event.h", "event2/buffer.h"), ("event",)),
    Headers("pcre2.h", ("pcre2.h",), ("pcre2-8",), ("-DPCRE2_CODE_UNIT_WIDTH=8",)),
    Headers("libssh2.h", ("libssh2.h",), ("ssh2",)),
    Headers("hiredis.h", ("hiredis/hiredis.h",), ("hiredis",)),
    Headers("libusb.h", ("libusb-1.0/libusb.h",), ("usb-1.0",)),
]  # fmt: skip
KINDS = ("functions", "layouts", "constants", "inline")
ASKED = {"named": (100.0, 100.0, 100.0, 95.0), "others": (99.5, 99.5, 99.5, 95.0)}


def wanted(kind: str, known: Truth) -> dict[str, Any]:
    """What there is to be reached of one kind, by name."""
    return {
        "functions": known.functions,
        "layouts": known.records,
        "constants": {**known.enumerators, **known.constants},
        "inline": known.inlines,
    }[kind]


def missing(kind: str, known: Truth, has: dict[str, Any]) -> list[str]:
    """The names of that kind that a tool does not have, or has with another value."""
    return [name for name, value in wanted(kind, known).items() if not agrees(kind, name, value, has[kind])]


def agrees(kind: str, name: str, value: Any, has: dict[str, Any]) -> bool:
    if name not in has:
        return False
    if kind == "layouts":
        kind, size, members = has[name]
        # Of a transparent union, GCC's DWARF has the size alone.
        return value == Record(kind, size, tuple(map(tuple, members)) if value.members or not size else ())
    if kind == "constants":
        shown = value.hex() if isinstance(value, bytes) else value
        return has[name] == shown or (value != value and has[name] != has[name])
    return True


# --- the tools, each in a child process that prints what it has as JSON -----------------------------------------------


def child(script: str, asked: Headers, **environment: str) -> dict[str, Any]:
    """Run ``peers/headers_NAME.py`` with one line of the table."""
    done = subprocess.run(
        [sys.executable, str(HERE / "peers" / f"headers_{script}.py"), json.dumps(asked)],
        env={**os.environ, "PYTHONPATH": str(HERE.parent), **environment},
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    if done.returncode:
        raise Unavailable((done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1][:150])
    return json.loads(done.stdout.splitlines()[-1])


def epsilon(asked: Headers) -> dict[str, Any]:
    """Epsilon's bindings: the first import with an empty cache, then fresh processes with a full one."""
    with tempfile.TemporaryDirectory(prefix="epsilon-headers-") as cache:
        found = child("epsilon", asked, EPSILON_CACHE=cache, EPSILON_HEADERS_DETAIL="1")
        found["warm"] = min(child("epsilon", asked, EPSILON_CACHE=cache)["time"] for _ in range(5))
    return found


TOOLS = {
    "Epsilon": epsilon,
    "ctypesgen": lambda asked: child("ctypesgen", asked),
    "libclang": lambda asked: child("libclang", asked),
}


# --- the table --------------------------------------------------------------------------------------------------------


def share(reached: int, of: int) -> str:
    return "–" if not of else f"{reached}/{of}" if reached < of else str(of)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", help="the headers whose title contains this")
    parser.add_argument("--missing", action="store_true", help="name what Epsilon does not reach, with its reason")
    parser.add_argument("--tools", default=",".join(TOOLS), help="which tools, after Epsilon")
    arguments = parser.parse_args()
    workshop = Workshop(HERE / ".build")
    tools = {name: TOOLS[name] for name in TOOLS if name in arguments.tools.split(",")}
    for module, package in (("elftools", "pyelftools"), ("ctypesgen", "ctypesgen"), ("clang", "libclang")):
        try:
            workshop.install(module, package)
        except Unavailable as reason:
            print(f"{package}: {reason}", file=sys.stderr)
    if shutil.which("cc") is None:
        print("make headers needs a C compiler", file=sys.stderr)
        return 1
    report = Report(tools, full=not arguments.only)
    for group, entries in (("named", NAMED), ("others", OTHERS)):
        for asked in entries:
            if arguments.only and arguments.only not in asked.title:
                continue
            try:
                known = truth(asked)
            except Unavailable as reason:
                report.absent.append(f"{asked.title}: {reason}")
                continue
            report.line(group, asked, known, arguments.missing)
    text = report.finish()
    print(text)
    if report.full:
        (HERE / "HEADERS.md").write_text(text, encoding="utf-8")
        print(f"written: {HERE / 'HEADERS.md'}", file=sys.stderr)
    return 0


class Report:
    """The table as it grows."""

    def __init__(self, tools: dict[str, Any], full: bool):
        self.tools, self.full = tools, full
        self.absent: list[str] = []
        self.rows: list[list[str]] = []
        self.sums: dict[tuple[str, str, str], list[int]] = {}
        self.notes: list[str] = []
        self.times: dict[str, tuple[float, float]] = {}

    def line(self, group: str, asked: Headers, known: Truth, name_missing: bool) -> None:
        """Measure one header and note its row."""
        print(f"{asked.title} …", file=sys.stderr, flush=True)
        row = [asked.title]
        for tool, measure in self.tools.items():
            try:
                has = measure(asked)
            except (Unavailable, subprocess.TimeoutExpired, ValueError) as reason:
                self.notes.append(f"{tool}, {asked.title}: {reason}")
                has = None
            for kind in KINDS if tool == "Epsilon" else KINDS[:3]:
                of = len(wanted(kind, known))
                lacking = missing(kind, known, has) if has else list(wanted(kind, known))
                total = self.sums.setdefault((group, tool, kind), [0, 0])
                total[0] += of - len(lacking)
                total[1] += of
                row.append(share(of - len(lacking), of) if has else "✗")
                if tool == "Epsilon" and has and lacking:
                    reasons = has.get("skipped", {})
                    shown = [f"{name} ({reasons[name]})" if name in reasons else name for name in lacking]
                    if len(shown) > 6 and not name_missing:
                        shown[6:] = ["…"]
                    self.notes.append(f"{asked.title}: {kind} not reached: {', '.join(shown)}")
            if tool == "Epsilon" and has:
                self.times[asked.title] = has["time"], has["warm"]
        cold, warm = self.times.get(asked.title, (0.0, 0.0))
        self.rows.append([*row, f"{cold:.2f}", f"{warm * 1000:.1f}"])

    def finish(self) -> str:
        """The whole page."""
        head = ["header"]
        for tool in self.tools:
            head += [f"{tool}: {kind}" for kind in (KINDS if tool == "Epsilon" else KINDS[:3])]
        head += ["cold, s", "warm, ms"]
        lines = [
            "# Headers: what is reached of them",
            "",
            "`make headers` writes this page; [truth.py](truth.py) asks the compiler for the truth. A cell has how",
            "many were reached of how many there are, one number where it is all. Constants are enumerators and",
            "macros, values compared; layouts are compared member by member. `cold` is the first import, `warm` a",
            "later one in a fresh process, `import epsilon` not counted.",
            "",
            "| " + " | ".join(head) + " |",
            "|---|" + "---:|" * (len(head) - 1),
            *("| " + " | ".join(row) + " |" for row in self.rows),
            "",
            "| | asked | reached | verdict |",
            "|---|---|---|---|",
        ]
        for group, asked in ASKED.items():
            for kind, percent in zip(KINDS, asked, strict=True):
                reached, of = self.sums.get((group, "Epsilon", kind), (0, 0))
                if of:
                    got = 100 * reached / of
                    verdict = "met" if got >= percent else "NOT MET"
                    lines.append(f"| {kind}, {group} | {percent:g} % | {got:.2f} % ({reached} of {of}) | {verdict} |")
        for title, cold, warm in (("sqlite3.h", 1.0, 0.010), ("openssl/ssl.h", 6.0, 0.040)):
            if title in self.times:
                had = self.times[title]
                verdicts = ["met" if got <= most else "NOT MET" for got, most in zip(had, (cold, warm), strict=True)]
                lines.append(f"| {title}, cold | ≤ {cold:g} s | {had[0]:.2f} s | {verdicts[0]} |")
                lines.append(f"| {title}, warm | ≤ {warm * 1000:g} ms | {had[1] * 1000:.1f} ms | {verdicts[1]} |")
        lines += ["", "| all headers | " + " | ".join(KINDS) + " |", "|---|" + "---:|" * len(KINDS)]
        for tool in self.tools:
            cells = []
            for kind in KINDS:
                pairs = [value for (_, its, has), value in self.sums.items() if its == tool and has == kind]
                cells.append(f"{sum(p[0] for p in pairs)} of {sum(p[1] for p in pairs)}" if pairs else "–")
            lines.append(f"| {tool} | " + " | ".join(cells) + " |")
        lines += ["", *(f"- {note}" for note in self.notes)]
        if self.absent:
            lines += ["", "Not here: " + "; ".join(self.absent) + "."]
        return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
