"""The memory map of a struct as a table, in text and as SVG: what ``StructType.layout()`` gives."""

from __future__ import annotations

from collections import namedtuple

from epsilon.typesystem import StructCType

TYPE_CHECKING = False  # as in ``typing``, which takes longer to import than all of Epsilon
if TYPE_CHECKING:
    from collections.abc import Iterator

#: One row: ``offset`` and ``size`` in bytes, the C type, the name with its path, and for a bit-field its first bit in
#: the byte at ``offset`` and its width.  Padding has the type "" and the name "padding"; its ``bits`` tell of part of a
#: byte.
Row = namedtuple("Row", ["offset", "size", "type", "name", "bits"])


class LayoutTable:
    """A struct's memory map: iterate over it for its rows, print it, or draw it with ``svg()``.

    >>> print(define_c_struct("pair", [("c", "char"), ("d", "double")]).layout())
    struct pair: 16 bytes, aligned to 8
    offset  size  type    name       bits
         0     1  char    c
         1     7          (padding)
         8     8  double  d
    """

    def __init__(self, ctype: StructCType):
        self.ctype = ctype
        self.rows = tuple(_rows(ctype))

    @property
    def title(self) -> str:
        """The struct, its size and alignment."""
        own = self.ctype
        packed = ", packed" if own.rules.packed else f", packed to {own.rules.pack}" if own.rules.pack else ""
        return f"{own.spelling}: {own.size} bytes, aligned to {own.alignment}{packed}"

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def cells(self) -> list[tuple[str, ...]]:
        """The rows as text."""
        return [
            (str(row.offset), "" if row.size is None else str(row.size), row.type,
             row.name if row.type else "(padding)",
             "" if row.bits is None else f"{row.bits[0]}..{row.bits[0] + row.bits[1] - 1}")
            for row in self.rows
        ]  # fmt: skip

    def __str__(self) -> str:
        lines = [("offset", "size", "type", "name", "bits"), *self.cells()]
        widths = [max(len(line[column]) for line in lines) for column in range(5)]
        text = [
            f"{line[0]:>{widths[0]}}  {line[1]:>{widths[1]}}  {line[2]:{widths[2]}}  {line[3]:{widths[3]}}  {line[4]}"
            for line in lines
        ]
        return "\n".join([self.title, *(line.rstrip() for line in text)])

    def __repr__(self) -> str:
        return f"<layout of {self.title}>"

    def svg(self) -> str:
        """The map as an SVG image: a line for each row, whose bar lies where its bytes do; holes are grey.

        >>> define_c_struct("two", [("a", "char"), ("b", "short")]).layout().svg()[:4]
        '<svg'
        """
        from html import escape

        cells = self.cells()
        text = [f"{offset:>6} {size:>5}  {kind} {name} {bits}".rstrip() for offset, size, kind, name, bits in cells]
        left, wide, high, top = 24 + 8 * max(map(len, text), default=0), 640, 24, 48
        scale = wide / max(self.ctype.size * 8, 1)
        parts = []
        for index, (row, label) in enumerate(zip(self.rows, text, strict=True)):
            start, length = (0, (row.size or 0) * 8) if row.bits is None else row.bits
            x, y = left + (row.offset * 8 + start) * scale, top + index * high
            parts.append(
                f'<text x="8" y="{y + 16}" xml:space="preserve">{escape(label)}</text>'
                f'<rect x="{x:g}" y="{y + 3}" width="{max(length * scale, 1):g}" height="{high - 6}" '
                f'fill="{"#6699cc" if row.type else "#cccccc"}"/>'
            )
        bottom = top + len(text) * high
        parts.append(
            f'<rect x="{left}" y="{top}" width="{wide}" height="{bottom - top}" fill="none" stroke="#333333"/>'
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + wide + 8}" height="{bottom + 8}" '
            f'font-family="monospace" font-size="13"><text x="8" y="24" font-weight="bold">{escape(self.title)}</text>'
            f"{''.join(parts)}</svg>\n"
        )


def _rows(own: StructCType) -> Iterator[Row]:
    """The members in the order of their declaration; between those of a struct, what lies before each and unused."""
    end = 0
    for member, start in own.members:
        size = member.bits if member.bits is not None else (member.ctype.size or 0) * 8
        if own.kind == "struct" and start > end:
            yield from _padding(end, start)
        if member.bits is not None:
            if member.bits:
                yield Row(start // 8, (start % 8 + size + 7) // 8, member.ctype.spelling, member.name or "(unnamed)",
                          (start % 8, size))  # fmt: skip
        else:
            yield from _member_rows(member.ctype, member.name, start // 8)
        end = max(end, start + size)
    if end < own.size * 8 and (own.kind == "struct" or end):
        yield from _padding(end, own.size * 8)


def _member_rows(found: StructCType, name: str | None, offset: int) -> Iterator[Row]:
    if not isinstance(found, StructCType):
        yield Row(offset, found.size, found.spelling, name, None)
        return
    prefix = f"{name}." if name else ""
    for row in _rows(found):
        yield row._replace(offset=offset + row.offset, name=f"{prefix}{row.name}" if row.type else row.name)


def _padding(start: int, end: int) -> Iterator[Row]:
    """From one bit to another: the rest of a byte, whole bytes, and what a bit-field's unit begins with."""
    if start % 8:
        stop = min(end, start // 8 * 8 + 8)
        yield Row(start // 8, 1, "", "padding", (start % 8, stop - start))
        start = stop
    if end // 8 > start // 8:
        yield Row(start // 8, end // 8 - start // 8, "", "padding", None)
        start = end // 8 * 8
    if start < end:
        yield Row(start // 8, 1, "", "padding", (0, end - start))
