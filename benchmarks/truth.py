"""What headers declare by the compiler's own word: the truth that `make headers` counts against.

Nothing here reads C.  Functions come from GCC's ``-aux-info`` (GCC manual, "Options Controlling C Dialect"), records
and enumerators from the DWARF of an object file that keeps unused types (``-fno-eliminate-unused-debug-types``), and a
macro is a constant when the compiler accepts it as an initialiser of its own type.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.workshop import Unavailable, telling_line

AUX = re.compile(r"^/\* (.+?):(\d+):[NIO][CF] \*/ (.*)$")
#: what only some libc's headers' own words mean: DESIGN's scope rule in terms of Debian's package lists
SYSTEM_PACKAGES = ("libc6-dev", "linux-libc-dev", "libcrypt-dev", "libgcc-12-dev")


class Record(NamedTuple):
    """A struct or union: size in bytes, and ``(name, first bit, bits)`` of each named member, anonymous ones' too."""

    kind: str
    size: int
    members: tuple[tuple[str, int, int], ...]


class Truth(NamedTuple):
    """By C name.  A record goes by its tag, or by its typedef's name where it has none."""

    functions: dict[str, str]
    inlines: dict[str, str]
    records: dict[str, Record]
    enumerators: dict[str, int]
    constants: dict[str, Any]


class Headers(NamedTuple):
    """One line of the table."""

    title: str
    headers: tuple[str, ...]
    libraries: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()

    @property
    def prelude(self) -> str:
        """The lines that include them."""
        return "".join(f"#include <{header}>\n" for header in self.headers)


def cc(arguments: Sequence[str], folder: str, *, fail: bool = True) -> tuple[str, str]:
    """Run the compiler; what it gives, and what it complains of, which ``fail`` makes an error."""
    done = subprocess.run(["cc", "-std=gnu11", "-w", *arguments], cwd=folder, capture_output=True, text=True)
    if fail and done.returncode:
        raise Unavailable(f"cc: {telling_line(done.stderr) or done.returncode}")
    return done.stdout, done.stderr


@functools.lru_cache(maxsize=1)
def system_files() -> frozenset[str]:
    """The headers of the C library and the kernel, as the package manager lists them."""
    found: set[str] = set()
    for package in SYSTEM_PACKAGES:
        for listing in Path("/var/lib/dpkg/info").glob(f"{package}*.list"):
            found.update(os.path.realpath(line) for line in listing.read_text().splitlines() if line.endswith(".h"))
    if not found:
        raise Unavailable("dpkg's lists, which tell libc's headers from the others, are not here")
    return frozenset(found)


class Reader:
    """Asks the compiler about one line of the table."""

    def __init__(self, asked: Headers, folder: str):
        self.asked, self.folder = asked, folder
        self.named = {os.path.realpath(path) for path in self.paths()}
        self.serves_system = bool(self.named & system_files())

    def paths(self) -> Iterator[str]:
        """The files that the named headers are."""
        text, _ = self.compile(["-E"], self.asked.prelude)
        wanted = set(self.asked.headers)
        for path in dict.fromkeys(re.findall(r'^# \d+ "([^"<]+)"', text, re.M)):
            if any(path.endswith("/" + header) for header in wanted):
                yield path

    def belongs(self, path: str) -> bool:
        """DESIGN's rule: all but libc's and the kernel's; of those, the named ones and the parts that serve them."""
        real = os.path.realpath(os.path.join(self.folder, path))
        if real.startswith(os.path.realpath(self.folder)):
            return False
        if real in self.named:
            return True
        if real in system_files() or "/lib/gcc/" in real:
            return self.serves_system and bool(re.search(r"/(bits|asm|asm-generic|gnu)/", real))
        return True

    def compile(self, arguments: Sequence[str], text: str, *, fail: bool = True) -> tuple[str, str]:
        """Compile ``text``; its own file is ``t.c``."""
        Path(self.folder, "t.c").write_text(text, encoding="utf-8")
        return cc([*self.asked.flags, *arguments, "t.c"], self.folder, fail=fail)

    # --- functions ---

    def functions(self) -> tuple[dict[str, str], dict[str, str]]:
        """Functions that C could link to, and ``static inline`` ones: name → the compiler's prototype."""
        self.compile(["-fsyntax-only", "-aux-info", "aux"], self.asked.prelude)
        functions: dict[str, str] = {}
        inlines: dict[str, str] = {}
        for line in Path(self.folder, "aux").read_text(encoding="utf-8", errors="replace").splitlines():
            found = AUX.match(line)
            if not found or not self.belongs(found[1]):
                continue
            prototype = found[3].partition("; /*")[0].rstrip(";")
            name = _declared(prototype)
            table = inlines if prototype.startswith("static ") else functions
            table.setdefault(name, prototype)
        for name in functions.keys() & inlines.keys():
            del functions[name]
        return functions, inlines

    # --- records and enumerators ---

    def types(self) -> tuple[dict[str, Record], dict[str, int]]:
        """Every struct and union with members, and every enumerator, from DWARF."""
        from elftools.elf.elffile import ELFFile

        flags = ["-c", "-g", "-gdwarf-4", "-fno-eliminate-unused-debug-types", "-o", "t.o"]
        self.compile(flags, self.asked.prelude + "int epsilon_anchor;\n")
        records: dict[str, Record] = {}
        enumerators: dict[str, int] = {}
        with open(os.path.join(self.folder, "t.o"), "rb") as file:
            unit = next(ELFFile(file).get_dwarf_info(relocate_dwarf_sections=True).iter_CUs())
            dwarf = Dwarf(unit)
            for die in unit.get_top_DIE().iter_children():
                if not self.belongs(dwarf.file(die)):
                    continue
                if die.tag in ("DW_TAG_structure_type", "DW_TAG_union_type"):
                    dwarf.record(die, dwarf.name(die), records)
                elif die.tag == "DW_TAG_typedef":
                    target = dwarf.target(die)
                    if target is not None and dwarf.name(target) is None:
                        dwarf.record(target, dwarf.name(die), records)
                elif die.tag == "DW_TAG_enumeration_type":
                    for child in die.iter_children():
                        enumerators[dwarf.name(child)] = child.attributes["DW_AT_const_value"].value
        return records, enumerators

    # --- constants ---

    def constants(self) -> dict[str, Any]:
        """Each object-like macro that is a number, a character or a string, with its value; what says where it stands
        (``__LINE__``, ``__FILE__``) has none."""
        text, _ = self.compile(["-E", "-dD"], self.asked.prelude)
        candidates: dict[str, None] = {}
        here = ""
        for line in text.splitlines():
            marker = re.match(r'# \d+ "([^"]*)"', line)
            if marker:
                here = marker[1]
            found = re.match(r"#define ([A-Za-z_]\w*) (?!__(?:LINE|FILE|COUNTER)__$)(.+)", line)
            if found and not here.startswith("<") and self.belongs(here):
                candidates[found[1]] = None
            elif line.startswith(("#define ", "#undef ")):
                candidates.pop(re.split(r"[ (]", line, maxsplit=2)[1], None)
        bodies = self._balanced(list(candidates))
        numbers = self._accepted(bodies, "static const __typeof__(({0}) + 0) epsilon_{1} = ({0});"
                                        " static char epsilon_n{1}[{2}];", arithmetic=True)  # fmt: skip
        strings = self._accepted({name: body for name, body in bodies.items() if name not in numbers},
                                 'static const char epsilon_{1}[] = "" {0} "";')  # fmt: skip
        return self._values(numbers, strings)

    def _balanced(self, names: list[str]) -> dict[str, str]:
        """Those whose expansion, which is the value, closes what it opens, so that it can stand in another text."""
        lines = [f"@ {index} @ {name}" for index, name in enumerate(names)]
        text, _ = self.compile(["-E", "-P"], self.asked.prelude + "\n".join(lines) + "\n", fail=False)
        parts = re.split(r"@ (\d+) @", text)[1:]
        expanded = {names[int(index)]: " ".join(body.split("\n")) for index, body in zip(parts[::2], parts[1::2],
                                                                                         strict=True)}  # fmt: skip
        good = {}
        for name in names:
            body = re.sub(r'"(\\.|[^"\\])*"|\'(\\.|[^\'\\])*\'', "0", expanded.get(name, "")).strip()
            if body and _closes(body) and not re.search(r"[;{}#@]", body):
                good[name] = expanded[name]
        return good

    def _accepted(self, bodies: dict[str, str], form: str, arithmetic: bool = False) -> list[str]:
        """The names whose bodies the compiler takes in ``form``: rounds until it complains of none."""
        number = "__builtin_classify_type({0}) == 1 || __builtin_classify_type({0}) == 8"
        names = list(bodies)
        while names:
            lines = [
                f'#line {index + 1} "epsilon-macros"\n'
                + form.format(bodies[name], index, f"({number.format(bodies[name])}) ? 1 : -1" if arithmetic else "")
                for index, name in enumerate(names)
            ]
            flags = ["-fsyntax-only", "-fmax-errors=0"]
            _, said = self.compile(flags, self.asked.prelude + "\n".join(lines) + "\n", fail=False)
            bad = {int(line) - 1 for line in re.findall(r"^epsilon-macros:(\d+):(?:\d+:)? .*error", said, re.M)}
            if not bad:
                break
            names = [name for index, name in enumerate(names) if index not in bad]
        return names

    def _values(self, numbers: list[str], strings: list[str]) -> dict[str, Any]:
        """The values, printed by a program: ``i`` and ``u`` whole numbers, ``f`` floating ones, ``s`` bytes in hex."""
        lines = [f'n("{name}", {name});' for name in numbers]
        lines += [f's("{name}", {name}, sizeof({name}) - 1);' for name in strings]
        show = r"""
#include <stdio.h>
#define n(NAME, X) \
    _Generic((X), float: f, double: f, long double: f, _Float32: f, _Float64: f, _Float32x: f, _Float64x: f, \
             _Float128: f, default: i)(NAME, (X), (__typeof__((X) + 0))-1 < 0)
static void f(const char *name, long double x, int sign) { printf("f %s %La\n", name, x); }
static void i(const char *name, unsigned long long x, int sign) {
    if (sign) printf("i %s %lld\n", name, (long long)x); else printf("i %s %llu\n", name, x); }
static void s(const char *name, const char *x, unsigned long size) {
    printf("s %s ", name); for (unsigned long k = 0; k < size; k++) printf("%02x", (unsigned char)x[k]); puts(""); }
"""
        main = "int main(void) {\n" + "\n".join(lines) + "}\n"
        self.compile(["-O0", "-o", "values"], self.asked.prelude + show + main)
        said = subprocess.run([os.path.join(self.folder, "values")], capture_output=True, text=True, check=True).stdout
        found: dict[str, Any] = {}
        for line in said.splitlines():
            kind, name, *value = line.split(" ")
            if kind == "s":
                found[name] = bytes.fromhex(value[0] if value else "")
            else:
                found[name] = int(value[0]) if kind == "i" else _long_double(value[0])
        return found

    def all(self) -> Truth:
        """Everything."""
        functions, inlines = self.functions()
        records, enumerators = self.types()
        return Truth(functions, inlines, records, enumerators, self.constants())


def _declared(prototype: str) -> str:
    """The name that a prototype of ``-aux-info``'s declares: the last word before the parameters."""
    found = re.search(r"(?<!__attribute__)\b([A-Za-z_]\w*) \((?!\*)", prototype)
    if found:
        return found[1]
    return prototype.split()[-1].lstrip("*")  # a function declared by a typedef of its type


def _closes(text: str) -> bool:
    depth = 0
    for character in text:
        depth += {"(": 1, ")": -1, "[": 1, "]": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0


def _long_double(text: str) -> float:
    """A number as ``%La`` prints it, rounded to a double."""
    return float.fromhex(text) if text not in ("inf", "-inf", "nan", "-nan") else float(text)


class Dwarf:
    """Names, files and layouts of debug entries (DWARF 4, §5)."""

    def __init__(self, unit: Any):
        self.unit = unit
        program = unit.dwarfinfo.line_program_for_CU(unit)
        folders = [b"", *program.header["include_directory"]]
        self.files = [""] + [
            os.path.join(folders[entry.dir_index].decode(), entry.name.decode()) for entry in program["file_entry"]
        ]

    def name(self, die: Any) -> str | None:
        found = die.attributes.get("DW_AT_name")
        return found.value.decode() if found else None

    def file(self, die: Any) -> str:
        found = die.attributes.get("DW_AT_decl_file")
        return self.files[found.value] if found else ""

    def target(self, die: Any) -> Any:
        return die.get_DIE_from_attribute("DW_AT_type") if "DW_AT_type" in die.attributes else None

    def record(self, die: Any, name: str | None, records: dict[str, Record]) -> None:
        """Note a struct or union that is defined, and those defined inside it that have tags."""
        if die.tag not in ("DW_TAG_structure_type", "DW_TAG_union_type") or "DW_AT_declaration" in die.attributes:
            return
        for child in die.iter_children():
            if child.tag in ("DW_TAG_structure_type", "DW_TAG_union_type") and self.name(child):
                self.record(child, self.name(child), records)
        if name is not None:
            kind = "struct" if die.tag == "DW_TAG_structure_type" else "union"
            size = die.attributes["DW_AT_byte_size"].value
            records.setdefault(name, Record(kind, size, tuple(self.members(die, 0))))

    def members(self, die: Any, start: int) -> Iterator[tuple[str, int, int]]:
        for child in die.iter_children():
            if child.tag != "DW_TAG_member":
                continue
            at = child.attributes
            first = start
            if "DW_AT_data_bit_offset" in at:
                first += at["DW_AT_data_bit_offset"].value
            elif "DW_AT_data_member_location" in at:
                first += 8 * at["DW_AT_data_member_location"].value
            if "DW_AT_bit_size" in at:
                bits = at["DW_AT_bit_size"].value
                if "DW_AT_bit_offset" in at:  # DWARF 3: from the top of the storage unit
                    first += 8 * self.size(child) - at["DW_AT_bit_offset"].value - bits
            else:
                bits = 8 * self.size(self.target(child))
            name = self.name(child)
            if name is None:
                yield from self.members(self.plain(self.target(child)), first)
            else:
                yield name, first, bits

    def plain(self, die: Any) -> Any:
        """What a typedef or a qualified type is."""
        while die is not None and die.tag in ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type",
                                              "DW_TAG_restrict_type", "DW_TAG_atomic_type"):  # fmt: skip
            die = self.target(die)
        return die

    def size(self, die: Any) -> int:
        """Bytes of a type, or of a bit-field's storage unit."""
        if die.tag == "DW_TAG_member":
            found = die.attributes.get("DW_AT_byte_size")
            return found.value if found else self.size(self.target(die))
        die = self.plain(die)
        if die is None or die.tag == "DW_TAG_subroutine_type":
            return 0
        if die.tag == "DW_TAG_array_type":
            if "DW_AT_GNU_vector" in die.attributes and "DW_AT_byte_size" in die.attributes:
                return die.attributes["DW_AT_byte_size"].value
            count = 1
            for child in die.iter_children():
                if child.tag == "DW_TAG_subrange_type":
                    upper = child.attributes.get("DW_AT_upper_bound")
                    many = child.attributes.get("DW_AT_count")
                    count *= many.value if many else upper.value + 1 if upper and upper.form != "DW_FORM_exprloc" else 0
            return count * self.size(self.target(die))
        return die.attributes["DW_AT_byte_size"].value if "DW_AT_byte_size" in die.attributes else 0


def truth(asked: Headers) -> Truth:
    """Ask the compiler all that it knows of one line of the table."""
    with tempfile.TemporaryDirectory(prefix="epsilon-truth-") as folder:
        return Reader(asked, folder).all()
