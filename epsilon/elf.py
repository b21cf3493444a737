"""A small reader of ELF files: what a file is that will not load, which names a library exports, what it is linked to.

Error texts use it, when something has failed already, and imports of headers, so it is patient with damaged files: what
cannot be read is simply not known.  Layouts are those of the System V ABI, chapters 4 and 5, and of ``<elf.h>``.
"""

from __future__ import annotations

import functools
import mmap
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["exported_names", "fault", "needed", "symbol_size"]

# e_machine, for the machines that a Python runs on.
_MACHINES = {
    2: "SPARC",
    3: "x86",
    8: "MIPS",
    20: "PowerPC",
    21: "PowerPC64",
    22: "S390",
    40: "ARM",
    43: "SPARC64",
    62: "x86-64",
    183: "AArch64",
    243: "RISC-V",
    258: "LoongArch",
}
_ET_REL, _ET_EXEC, _ET_DYN, _ET_CORE = 1, 2, 3, 4
_KINDS = {_ET_REL: "an object file (.o)", _ET_EXEC: "a program", _ET_CORE: "a core dump"}
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NEEDED, _DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_GNU_HASH = 1, 4, 5, 6, 0x6FFFFEF5
_STB_LOCAL = 0

# What other files begin with.
_MAGICS = [
    (b"!<arch>\n", "a static archive (.a)"),
    (b"!<thin>\n", "a static archive (.a)"),
    (b"\xcf\xfa\xed\xfe", "a library for macOS (Mach-O)"),
    (b"\xce\xfa\xed\xfe", "a library for macOS (Mach-O)"),
    (b"\xca\xfe\xba\xbe", "a universal library for macOS (Mach-O)"),
    (b"MZ", "a library for Windows (PE)"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself"),
]


class _Target(NamedTuple):
    """What a file was built for; the fields are those of the ELF header."""

    bits: int
    order: str
    machine: int
    kind: int

    def __str__(self) -> str:
        order = "" if self.order == "<" else ", big-endian"
        return f"{_MACHINES.get(self.machine, f'machine {self.machine}')} ({self.bits}-bit{order})"


def _read_target(head: bytes) -> _Target | None:
    """The header's first 20 bytes, or ``None`` if they are not those of an ELF file."""
    if len(head) < 20 or head[:4] != b"\x7fELF" or head[4] not in (1, 2) or head[5] not in (1, 2):
        return None
    order = "<" if head[5] == 1 else ">"
    kind, machine = struct.unpack_from(order + "HH", head, 16)
    return _Target(32 * head[4], order, machine, kind)


@functools.cache
def _own_target() -> _Target | None:
    """What this Python was built for, or ``None`` where it is no ELF program."""
    try:
        with open("/proc/self/exe", "rb") as file:
            return _read_target(file.read(20))
    except OSError:
        return None


def fault(path: str) -> str | None:
    """What is wrong with the file at ``path`` as a library for this process, or ``None`` if nothing is to be seen.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile(suffix=".so") as file:
    ...     _ = file.write(b"GROUP ( /lib/libm.so.6 )"), file.flush()
    ...     fault(file.name)
    'not a library but a linker script, which stands for /lib/libm.so.6'
    """
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
    except FileNotFoundError:
        return f"a symbolic link to {os.readlink(path)}, which is absent" if os.path.islink(path) else "absent"
    except IsADirectoryError:
        return "a directory"
    except OSError as error:
        return f"not readable: {error.strerror}"
    target = _read_target(head)
    if target is None:
        return _foreign_fault(head)
    own = _own_target()
    if own is not None and target[:3] != own[:3]:
        return f"of the wrong architecture: it is for {target}, this Python for {own}"
    kind = _KINDS.get(target.kind)
    return f"not a library but {kind}" if kind else None


def _foreign_fault(head: bytes) -> str | None:
    """What a file is that is not ELF, by its first bytes."""
    if not head:
        return "an empty file"
    for magic, what in _MAGICS:
        if head.startswith(magic):
            own = _own_target()
            return f"not a library for this system but {what}" if own is not None else None
    if head.startswith(b"\x7fELF"):
        return "a damaged ELF file: its header is cut off or wrong"
    if b"\0" in head:
        return None
    text = head.decode("utf-8", "replace")
    for command in ("GROUP", "INPUT"):
        _, found, rest = text.partition(command)
        if found and "(" in rest:
            names = rest.partition("(")[2].partition(")")[0].replace("AS_NEEDED", "").replace("(", "").split()
            # Of a pair such as "libc.so.6 libc_nonshared.a" the shared ones are what can be opened instead.
            shared = [name for name in names if not name.endswith(".a") and not name.startswith("-l")] or names
            return f"not a library but a linker script, which stands for {' '.join(shared)}"
    return "not a library but a text file"


def exported_names(path: str) -> list[str]:
    """The names of the symbols that the library at ``path`` defines for others; empty if they cannot be read.

    >>> "_cffi_backend" in " ".join(exported_names(__import__("_cffi_backend").__file__)) or os.name == "nt"
    True
    """
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image:
            target = _read_target(image[:20])
            return sorted(set(_Image(image, target).exported())) if target else []
    except (OSError, ValueError, OverflowError, struct.error):  # ValueError: an empty file cannot be mapped
        return []


def needed(path: str) -> list[str]:
    """The names of the libraries that the one at ``path`` was linked to; empty if they cannot be read.

    >>> any("libc" in name for name in needed("/proc/self/exe")) or not os.path.exists("/proc/self/exe")
    True
    """
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image:
            target = _read_target(image[:20])
            return list(_Image(image, target).needed()) if target else []
    except (OSError, ValueError, OverflowError, struct.error, KeyError):
        return []


def symbol_size(path: str, name: str) -> int | None:
    """How many bytes the symbol ``name`` of the library at ``path`` has; None where that cannot be read."""
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image:
            target = _read_target(image[:20])
            symbols = _Image(image, target).symbols() if target else ()
            return next((size for one, size in symbols if one == name), None)
    except (OSError, ValueError, OverflowError, struct.error):
        return None


class _Image:
    """The dynamic symbol table of one mapped ELF file.

    It is found as the loader finds it, by the program headers: a stripped library may have no section headers.
    """

    def __init__(self, image: mmap.mmap, target: _Target):
        self.image = image
        self.order = target.order
        self.wide = target.bits == 64
        self.word = "Q" if self.wide else "I"
        self.segments = list(self._program_headers())
        self.tags = dict(self._dynamic())

    def unpack(self, layout: str, offset: int) -> tuple:
        return struct.unpack_from(self.order + layout, self.image, offset)

    def _program_headers(self) -> Iterator[tuple[int, int, int, int]]:
        """Type, file offset, virtual address and size in the file of each segment."""
        (start,) = self.unpack(self.word, 32 if self.wide else 28)
        size, count = self.unpack("HH", 54 if self.wide else 42)
        for at in range(start, start + size * count, size):
            if self.wide:
                kind, _, offset, address, _, length = self.unpack("IIQQQQ", at)
            else:
                kind, offset, address, _, length = self.unpack("IIIII", at)
            yield kind, offset, address, length

    def _dynamic(self) -> Iterator[tuple[int, int]]:
        size = struct.calcsize(self.word) * 2
        for kind, offset, _, length in self.segments:
            if kind == _PT_DYNAMIC:
                for at in range(offset, offset + length, size):
                    yield self.unpack(self.word * 2, at)

    def needed(self) -> Iterator[str]:
        strings = self.offset(self.tags[_DT_STRTAB])
        for tag, name in self._dynamic():
            if tag == _DT_NEEDED:
                end = self.image.find(b"\0", strings + name)
                yield self.image[strings + name : end].decode("utf-8", "replace")

    def offset(self, address: int) -> int:
        """Where in the file the virtual ``address`` is."""
        for kind, offset, start, length in self.segments:
            if kind == _PT_LOAD and start <= address < start + length:
                return address - start + offset
        raise ValueError(f"no segment holds the address {address:#x}")

    def symbol_count(self) -> int:
        """The length of the symbol table, which only its hash tables tell.

        The GNU one comes first, since the entries of the other are twice as wide on s390x and Alpha.
        """
        if _DT_GNU_HASH not in self.tags:
            return self.unpack("II", self.offset(self.tags[_DT_HASH]))[1]
        table = self.offset(self.tags[_DT_GNU_HASH])
        buckets, first, bloom, _ = self.unpack("IIII", table)
        bucket_table = table + 16 + bloom * (8 if self.wide else 4)
        last = max(self.unpack(f"{buckets}I", bucket_table), default=0)
        if last < first:
            return first
        chains = bucket_table + 4 * buckets
        while not self.unpack("I", chains + 4 * (last - first))[0] & 1:  # the last of a chain has the low bit set
            last += 1
        return last + 1

    def exported(self) -> Iterator[str]:
        return (name for name, _ in self.symbols())

    def symbols(self) -> Iterator[tuple[str, int]]:
        """The names and sizes of the symbols that are defined here, for others."""
        if not {_DT_SYMTAB, _DT_STRTAB} <= self.tags.keys() or not {_DT_HASH, _DT_GNU_HASH} & self.tags.keys():
            return
        symbols, strings = self.offset(self.tags[_DT_SYMTAB]), self.offset(self.tags[_DT_STRTAB])
        for index in range(1, self.symbol_count()):
            if self.wide:
                name, info, _, section, _, size = self.unpack("IBBHQQ", symbols + 24 * index)
            else:
                name, _, size, info, _, section = self.unpack("IIIBBH", symbols + 16 * index)
            if section and info >> 4 != _STB_LOCAL:  # section 0: needed from elsewhere, not defined here
                end = self.image.find(b"\0", strings + name)
                yield self.image[strings + name : end].decode("utf-8", "replace"), size
