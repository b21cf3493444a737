"""Makes random structs and holds their layout against the C compiler: ``make conformance`` checks 5,000.

A struct here has scalars, arrays, function pointers, bit-fields (unnamed and of no width, too), nested and anonymous
structs and unions, the packed and aligned attributes of itself and of its members, ``#pragma pack``, and an array
without a length at its end.  It is written as C and given to Epsilon, in turn as Python lists and as C text.  Compiled
C says its size, its alignment, where each member begins, and for each bit-field which bits of the struct it
sets; Epsilon must say the same, set the same bits, and read them back as C does.
"""

from __future__ import annotations

import argparse
import datetime
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from clib import load_c

import epsilon

SCALARS = ["char", "signed char", "unsigned char", "short", "unsigned short", "int", "unsigned int", "long",
           "unsigned long", "long long", "float", "double", "long double", "void *", "_Bool",
           "double _Complex"]  # fmt: skip
#: the types of bit-fields, and their bits
BITS = {"signed char": 8, "unsigned char": 8, "short": 16, "unsigned short": 16, "int": 32, "unsigned int": 32,
        "long": 64, "unsigned long": 64, "long long": 64, "unsigned long long": 64, "_Bool": 1}  # fmt: skip
#: structs in one C file
BATCH = 500


class Item(NamedTuple):
    """A member: of C text ``type``, or a nested ``Node``; ``dimensions`` has -1 for an array without a length."""

    name: str | None
    type: Any
    dimensions: tuple[int, ...] = ()
    bits: int | None = None
    packed: bool = False
    align: int | None = None

    def text(self) -> str:
        if isinstance(self.type, Node):
            own = self.type.text(inline=True) if self.name is None else f"{self.type.kind} {self.type.tag}"
        else:
            own = self.type
        name = self.name or ""
        body = own.replace("*)", f"*{name})") if "(" in own and not isinstance(self.type, Node) else f"{own} {name}"
        body += "".join("[]" if length < 0 else f"[{length}]" for length in self.dimensions)
        body += "" if self.bits is None else f" : {self.bits}"
        return body + attributes(self.packed, self.align) + ";"

    def entry(self) -> tuple:
        """As ``define_c_struct`` takes it."""
        found = self.type.python() if isinstance(self.type, Node) else self.type
        for length in reversed(self.dimensions):
            found = ("array", found) if length < 0 else ("array", found, length)
        given = {"bits": self.bits, "packed": self.packed, "align": self.align}
        options = {name: value for name, value in given.items() if value not in (None, False)}
        if self.bits == 0:
            options["bits"] = 0
        return (self.name, found, options) if options else (self.name, found)


class Node(NamedTuple):
    """A struct or a union."""

    kind: str
    tag: str
    items: list[Item]
    packed: bool = False
    pack: int = 0
    align: int | None = None

    def text(self, inline: bool = False) -> str:
        """The definition, without what it needs before it; ``inline``: as an anonymous member."""
        body = " ".join(item.text() for item in self.items)
        head = "" if inline or not self.pack else f"#pragma pack(push, {self.pack})\n"
        foot = "" if inline else ";\n#pragma pack(pop)" if self.pack else ";"
        tag = "" if inline else f" {self.tag}"
        return f"{head}{self.kind}{tag} {{ {body} }}{attributes(self.packed, self.align)}{foot}"

    def needed(self) -> Iterator[Node]:
        """The named structs inside, what is needed first."""
        for item in self.items:
            if isinstance(item.type, Node):
                yield from item.type.needed()
                if item.name is not None:
                    yield item.type

    def python(self) -> Any:
        """Defined by lists."""
        define = epsilon.define_c_struct if self.kind == "struct" else epsilon.define_c_union
        packed = self.pack or self.packed
        return define(self.tag, [item.entry() for item in self.items], packed=packed, align=self.align)

    def from_text(self) -> Any:
        """Defined by C text."""
        for other in (*self.needed(), self):
            found = epsilon.define_c_struct_auto(other.tag, other.text())
        return found

    def members(self) -> Iterator[Item]:
        """The named members, those of anonymous ones too."""
        for item in self.items:
            if item.name is not None:
                yield item
            elif isinstance(item.type, Node):
                yield from item.type.members()


def attributes(packed: bool, align: int | None) -> str:
    words = ["packed"] * packed + ([f"aligned({align})"] if align else [])
    return f" __attribute__(({', '.join(words)}))" if words else ""


class Maker:
    """Random structs, the same for the same seed."""

    def __init__(self, seed: int):
        self.rng, self.names = random.Random(seed), 0

    def name(self) -> str:
        self.names += 1
        return f"m{self.names}"

    def node(self, tag: str, depth: int = 0, pack: int | None = None) -> Node:
        """``pack`` is what an anonymous member has around it; it has no other."""
        rng = self.rng
        kind = rng.choice(["struct", "struct", "struct", "union"])
        packed, own, align = False, pack or 0, None
        if rng.random() < 0.3 and not own:
            packed = True
        elif pack is None and rng.random() < 0.3:
            own = rng.choice([1, 2, 4, 8, 16])
        if rng.random() < 0.15:
            align = rng.choice([1, 2, 4, 8, 16, 32])
        items = []
        bit_heavy = rng.random() < 0.5
        for index in range(rng.randint(1, 9)):
            items.append(self.item(f"{tag}_{index}", depth, own, bit_heavy, bool(own)))
        if not any(item.name or isinstance(item.type, Node) for item in items):
            items.append(Item(self.name(), "int"))
        if kind == "struct" and depth == 0 and rng.random() < 0.05:
            items.append(Item(self.name(), rng.choice(SCALARS), (-1,)))
        return Node(kind, tag, items, packed, own, align)

    def item(self, tag: str, depth: int, pack: int, bit_heavy: bool, in_pragma: bool) -> Item:
        rng = self.rng
        packed = not in_pragma and rng.random() < 0.08
        align = rng.choice([1, 2, 4, 8, 16, 32]) if rng.random() < 0.08 else None
        if rng.random() < (0.6 if bit_heavy else 0.1):
            base, most = rng.choice(list(BITS.items()))
            if rng.random() < 0.12:
                return Item(None, base, bits=0)
            width = rng.randint(1, most) if rng.random() < 0.6 else rng.randint(1, min(most, 9))
            return Item(None if rng.random() < 0.12 else self.name(), base, bits=width, packed=packed)
        if depth < 2 and rng.random() < 0.2:
            if rng.random() < 0.4:
                return Item(None, self.node(tag, depth + 1, pack))
            return Item(self.name(), self.node(tag, depth + 1), self.dimensions(), None, packed, align)
        base = rng.choice(SCALARS) if rng.random() < 0.9 else "int (*)(int, void *)"
        dimensions = () if "(" in base else self.dimensions()
        return Item(self.name(), base, dimensions, None, packed, align)

    def dimensions(self) -> tuple[int, ...]:
        draw = self.rng.random()
        return () if draw < 0.75 else tuple(self.rng.randint(1, 4) for _ in range(1 if draw < 0.95 else 2))


def structs(count: int, seed: int) -> list[Node]:
    maker = Maker(seed)
    return [maker.node(f"random_{index}") for index in range(count)]


def source(nodes: Sequence[Node]) -> str:
    """C that reports on each: size, alignment, then offsets, then for each bit-field the struct with only it set."""
    parts = ["#include <stddef.h>\n#include <string.h>"]
    for node in nodes:
        parts += [other.text() for other in (*node.needed(), node)]
        whole = f"{node.kind} {node.tag}"
        members = list(node.members())
        plain = [f"offsetof({whole}, {item.name})" for item in members if item.bits is None]
        numbers = ", ".join([f"sizeof({whole})", f"_Alignof({whole})", *plain])
        parts.append(f"const long {node.tag}_places[] = {{ {numbers} }};")
        lines = [f"{whole} *s = to; (void)s;"]
        for index, item in enumerate(item for item in members if item.bits is not None):
            lines.append(f"if (which == {index}) {{ memset(s, 0, sizeof *s); s->{item.name} = -1; }}")
            lines.append(f"if (which == {-1 - index}) return (long)s->{item.name};")
        parts.append(f"long {node.tag}_bits(int which, void *to) {{ {' '.join(lines)} return 0; }}")
    return "\n".join(parts)


def differences(node: Node, library: epsilon.Library, as_text: bool) -> list[str]:
    """What Epsilon says otherwise than C, with both."""
    try:
        found = node.from_text() if as_text else node.python()
        told = _compare(node, found, library)
    except epsilon.ForeignError as error:
        told = [f"refused: {error}"]
    if told:
        definitions = "\n".join(other.text() for other in (*node.needed(), node))
        told = [f"{definitions}\n    {'from C text' if as_text else 'from lists'}: " + "; ".join(told)]
    return told


def _compare(node: Node, found: Any, library: epsilon.Library) -> list[str]:
    members = list(node.members())
    names = [item.name for item in members if item.bits is None]
    said = library.declare(f"extern const long {node.tag}_places[{2 + len(names)}];").variables[f"{node.tag}_places"]
    wanted = list(said.value)
    got = [found.size, found.alignment, *(found.offset(name) for name in names)]
    labels = ["size", "alignment", *(f"offset of {name}" for name in names)]
    told = [f"{label}: C has {c}, Epsilon {e}" for label, c, e in zip(labels, wanted, got, strict=True) if c != e]
    fields = [item for item in members if item.bits is not None]
    if told or not fields:
        return told
    act = library.bind(f"{node.tag}_bits", "long", ["int", "pointer"])
    for index, item in enumerate(fields):
        by_c, by_us = found(), found()
        act(index, by_c)
        highest = 1 if item.type == "_Bool" else (1 << item.bits) - 1
        signed = item.type in ("signed char", "short", "int", "long", "long long")
        ones = -1 if signed else highest
        setattr(by_us, item.name, ones)
        if bytes(by_us) != bytes(by_c):
            told.append(f"{item.name}: C sets other bits")
        if getattr(by_c, item.name) != ones:
            told.append(f"{item.name}: C set {ones}, Epsilon reads {getattr(by_c, item.name)}")
        setattr(by_us, item.name, 0)
        if any(bytes(by_us)):
            told.append(f"{item.name}: a bit stays set")
    return told


def check(count: int, seed: int) -> list[str]:
    """Every difference in ``count`` structs."""
    told = []
    made = structs(count, seed)
    for start in range(0, count, BATCH):
        batch = made[start : start + BATCH]
        library = load_c(source(batch))
        for index, node in enumerate(batch):
            told += differences(node, library, bool(index % 2))
    return told


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=5000, help="structs (5000)")
    today = int(datetime.date.today().strftime("%Y%m%d"))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("EPSILON_CONFORMANCE_SEED", today)))
    options = parser.parse_args(arguments)
    started = time.monotonic()
    told = check(options.count, options.seed)
    print(f"layouts: {options.count} structs against the C compiler, --seed {options.seed}: "
          f"{len(told)} differences, {time.monotonic() - started:.0f} s")  # fmt: skip
    print("\n".join(told[:20]))
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
