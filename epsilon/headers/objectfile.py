"""Reads what a compiler wrote into an object file: the bytes of a symbol, and where a pointer among them leads.

So a constant's value is known though nothing was linked or run, and a cross compiler serves as well.  ELF as in the
System V ABI, chapter 4; Mach-O as in ``<mach-o/loader.h>``, ``<mach-o/nlist.h>`` and ``<mach-o/reloc.h>``.
"""

from __future__ import annotations

import bisect
import struct
from collections import namedtuple

_SHT_SYMTAB, _SHT_RELA, _SHT_NOBITS, _SHT_REL = 2, 4, 8, 9
_SHN_LORESERVE = 0xFF00
_LC_SYMTAB, _LC_SEGMENT_64 = 0x2, 0x19
_S_ZEROFILL = 1

#: ``content`` is None for zeros that the file does not hold; ``address`` is 0 in ELF.
_Section = namedtuple("_Section", ["content", "size", "address"])
_Symbol = namedtuple("_Symbol", ["section", "offset"])
#: What a pointer leads to: a place in a section, or ``name``, a symbol that is defined elsewhere.
Target = namedtuple("Target", ["name", "section", "offset"])


class ObjectFile:
    """The symbols of one object file.

    ``order`` is the byte order, ``<`` or ``>``; ``pointer_size`` is in bytes.  What is no object file, or a damaged
    one, is a ``ValueError``.
    """

    def __init__(self, image: bytes):
        self.image = image
        self.sections: list[_Section] = []
        self.symbols: dict[str, _Symbol] = {}
        self._targets: dict[tuple[int, int], Target] = {}
        self._uses: dict[int, set[int | str]] | None = None
        try:
            if image[:4] == b"\x7fELF":
                self._read_elf()
            elif image[:4] == b"\xcf\xfa\xed\xfe":
                self._read_macho()
            else:
                raise ValueError("neither an ELF nor a 64-bit Mach-O file")
        except (struct.error, IndexError) as error:
            raise ValueError(f"a damaged object file: {error}") from None

    def data(self, name: str, size: int) -> bytes:
        """The first ``size`` bytes of the symbol ``name``, ``KeyError`` if it is not defined here."""
        symbol = self.symbols[name]
        return self._bytes(symbol.section, symbol.offset, size)

    def target(self, name: str) -> Target | None:
        """Where the pointer that the symbol ``name`` holds leads, or None if it is a plain number."""
        return self._targets.get(self.symbols[name])

    def string(self, target: Target) -> bytes | None:
        """The bytes from ``target`` up to the first NUL, or None if they are not in this file."""
        if target.name is not None:
            return None
        section = self._section(target.section)
        if section.content is None or not 0 <= target.offset < section.size:
            return None
        end = section.content.find(b"\0", target.offset)
        return section.content[target.offset : end] if end >= 0 else None

    def needs(self, name: str) -> set[str]:
        """The symbols defined elsewhere that the function ``name`` uses, or what it uses does, and so on.

        Each function has a section of its own if the compiler was told so (``-ffunction-sections``).
        """
        if self._uses is None:
            self._uses = {}
            for (section, _), target in self._targets.items():
                self._uses.setdefault(section, set()).add(target.section if target.name is None else target.name)
        found: set[str] = set()
        seen: set[int] = set()
        fresh = [self.symbols[name].section]
        while fresh:
            section = fresh.pop()
            if section not in seen:
                seen.add(section)
                for used in self._uses.get(section, ()):
                    found.add(used) if isinstance(used, str) else fresh.append(used)
        return found

    def _section(self, index: int) -> _Section:
        if index >= len(self.sections):
            raise ValueError(f"a damaged object file: it has no section {index}")
        return self.sections[index]

    def _bytes(self, index: int, offset: int, size: int) -> bytes:
        section = self._section(index)
        if offset < 0 or offset + size > section.size:
            raise ValueError(f"a damaged object file: {size} bytes at {offset} of a section of {section.size}")
        return bytes(size) if section.content is None else section.content[offset : offset + size]

    def _unpack(self, layout: str, offset: int) -> tuple:
        return struct.unpack_from(self.order + layout, self.image, offset)

    def _name(self, strings: int, offset: int) -> str:
        end = self.image.index(b"\0", strings + offset)
        return self.image[strings + offset : end].decode("utf-8", "replace")

    def _read_elf(self) -> None:
        wide = self.image[4] == 2
        self.order = "<" if self.image[5] == 1 else ">"
        self.pointer_size = 8 if wide else 4
        (table,) = self._unpack("Q", 40) if wide else self._unpack("I", 32)
        size, count = self._unpack("HH", 58 if wide else 46)
        headers = []
        layout = "IIQQQQIIQQ" if wide else "10I"
        at = 0
        while at < count or at == 0:
            _, kind, _, _, start, length, link, info, _, _ = self._unpack(layout, table + size * at)
            if at == 0:  # beyond 65,279 sections the count stands in the first one
                count = count or length
            headers.append((kind, start, length, link, info))
            content = None if kind == _SHT_NOBITS else self.image[start : start + length]
            self.sections.append(_Section(content, length, 0))
            at += 1
        symbols: list[tuple[str, int, int]] = []
        for kind, start, length, link, _ in headers:
            if kind == _SHT_SYMTAB:
                symbols = self._elf_symbols(wide, start, length, headers[link][1])
        for kind, start, length, _, info in headers:
            if kind in (_SHT_RELA, _SHT_REL):
                self._elf_relocations(wide, kind == _SHT_RELA, start, length, info, symbols)

    def _elf_symbols(self, wide: bool, start: int, length: int, strings: int) -> list[tuple[str, int, int]]:
        symbols = []
        for at in range(start, start + length, 24 if wide else 16):
            if wide:
                name, _, _, section, value, _ = self._unpack("IBBHQQ", at)
            else:
                name, value, _, _, _, section = self._unpack("IIIBBH", at)
            text = self._name(strings, name)
            symbols.append((text, section, value))
            if 0 < section < _SHN_LORESERVE and text:
                self.symbols[text] = _Symbol(section, value)
        return symbols

    def _elf_relocations(self, wide: bool, rela: bool, start: int, length: int, section: int, symbols: list) -> None:
        layout = ("QQq" if rela else "QQ") if wide else ("IIi" if rela else "II")
        for at in range(start, start + length, struct.calcsize("=" + layout)):
            place, info, *addend = self._unpack(layout, at)
            name, index, value = symbols[info >> 32 if wide else info >> 8]
            # Without an addend of its own the relocation adds to what is in the place.
            more = addend[0] if rela else self._pointer(section, place)
            known = 0 < index < _SHN_LORESERVE
            self._targets[section, place] = Target(None, index, value + more) if known else Target(name, 0, more)

    def _pointer(self, section: int, offset: int) -> int:
        if offset + self.pointer_size > self._section(section).size:  # a relocation of code, at the very end
            return 0
        return int.from_bytes(
            self._bytes(section, offset, self.pointer_size), "little" if self.order == "<" else "big", signed=True
        )

    def _read_macho(self) -> None:
        self.order, self.pointer_size = "<", 8
        (commands,) = self._unpack("I", 16)
        self.sections.append(_Section(b"", 0, 0))  # sections are counted from one
        relocations = []
        symbol_table = None
        at = 32
        for _ in range(commands):
            command, size = self._unpack("II", at)
            if command == _LC_SEGMENT_64:
                (count,) = self._unpack("I", at + 64)
                for header in range(at + 72, at + 72 + 80 * count, 80):
                    address, length, start, _, first, many, flags = self._unpack("QQIIIII", header + 32)
                    content = None if flags & 0xFF == _S_ZEROFILL else self.image[start : start + length]
                    relocations.append((len(self.sections), first, many))
                    self.sections.append(_Section(content, length, address))
            elif command == _LC_SYMTAB:
                symbol_table = self._unpack("III", at + 8)
            at += size
        symbols = self._macho_symbols(*symbol_table) if symbol_table else []
        for section, first, many in relocations:
            self._macho_relocations(section, first, many, symbols)

    def _macho_symbols(self, start: int, count: int, strings: int) -> list[tuple[str, int, int]]:
        symbols = []
        for at in range(start, start + 16 * count, 16):
            name, _, section, _, value = self._unpack("IBBHQ", at)
            text = self._name(strings, name).removeprefix("_")
            symbols.append((text, section, value))
            if section:
                self.symbols[text] = _Symbol(section, value - self.sections[section].address)
        return symbols

    def _macho_relocations(self, section: int, first: int, many: int, symbols: list) -> None:
        starts = [one.address for one in self.sections]
        for at in range(first, first + 8 * many, 8):
            place, info = self._unpack("iI", at)
            if info >> 25 & 3 != 3:  # not eight bytes: no pointer
                continue
            more = self._pointer(section, place)
            index, external = info & 0xFFFFFF, info >> 27 & 1
            if external:
                name, index, value = symbols[index]
                if not index:
                    self._targets[section, place] = Target(name, 0, more)
                    continue
                more += value
            else:
                index = bisect.bisect_right(starts, more) - 1
            self._targets[section, place] = Target(None, index, more - starts[index])
