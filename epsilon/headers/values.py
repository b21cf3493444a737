"""Python values of C's bytes: real numbers in the formats that compilers have, string literals of all widths."""

from __future__ import annotations

import struct
from fractions import Fraction
from math import copysign, inf, nan


def real(raw: bytes, order: str, digits: int) -> float:
    """The float nearest to a real number of ``digits`` bits of precision (``LDBL_MANT_DIG`` and the like).

    IEEE 754's formats, the 80-bit one of x86 (64 digits), and IBM's pair of doubles (106 digits).

    >>> real(bytes.fromhex("00000000000000c0ff3f000000000000"), "<", 64)
    1.5
    """
    if digits in (11, 24, 53):
        return struct.unpack(order + {11: "e", 24: "f", 53: "d"}[digits], raw[: {11: 2, 24: 4, 53: 8}[digits]])[0]
    if digits == 106:
        high, low = struct.unpack(order + "dd", raw[:16])
        return high + low
    if digits == 64:
        significand, rest = struct.unpack("<QH", raw[:10])
        bits = 63
    elif digits == 113:
        whole = int.from_bytes(raw[:16], "little" if order == "<" else "big")
        rest, significand = whole >> 112, whole & (1 << 112) - 1
        bits = 112
        if rest & 0x7FFF:
            significand |= 1 << 112
    else:
        raise ValueError(f"no known format of real numbers has {digits} digits")
    sign, exponent = -1 if rest >> 15 else 1, rest & 0x7FFF
    if exponent == 0x7FFF:
        return nan if significand & (1 << bits) - 1 else sign * inf
    try:
        value = float(significand * Fraction(2) ** (max(exponent, 1) - 16383 - bits))
    except OverflowError:
        value = inf
    return copysign(value, sign)


def string(raw: bytes, order: str, unit: int) -> str | bytes:
    """A string literal's value, its last NUL taken off: str where it is valid UTF-8 (of wide ones: UTF-16, UTF-32).

    >>> string(b"caf\\xc3\\xa9\\0", "<", 1), string(b"\\xff\\0", "<", 1)
    ('café', b'\\xff')
    """
    encoding = {1: "utf-8", 2: "utf-16", 4: "utf-32"}[unit]
    if unit > 1:
        encoding += "-le" if order == "<" else "-be"
    raw = raw[:-unit]
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        return raw
