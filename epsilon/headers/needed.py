"""Which declarations are read: those that count, and those of types that they need from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from epsilon.headers.preprocess import Unit
from epsilon.headers.tokens import ATTRIBUTES, RECORDS, Piece, closing


def needed(unit: Unit, pieces: Sequence[Piece], wanted: str | None = None) -> list[Piece]:
    """Those of ``pieces`` that belong to ``unit`` and, from its other files, what these need, in their order; or the
    typedef ``wanted``, or ``"struct wanted"``, alone with what it needs."""
    if wanted is None:
        own = [index for index, piece in enumerate(pieces) if unit.belongs(piece.file)]
        if len(own) == len(pieces):
            return list(pieces)
        chosen = set(own)
        by_name = _index(pieces, (index for index in range(len(pieces)) if index not in chosen))
    else:
        by_name = _index(pieces, range(len(pieces)))
        own = [by_name[wanted]] if wanted in by_name else []
        chosen = set(own)
    waiting = own
    while waiting:
        for name in _mentioned(pieces[waiting.pop()].tokens):
            index = by_name.get(name)
            if index is not None and index not in chosen:
                chosen.add(index)
                waiting.append(index)
    return [pieces[index] for index in sorted(chosen)]


def _mentioned(tokens: Sequence[str]) -> set[str]:
    """Names and tags (as ``struct tag``) in ``tokens``."""
    found = set(tokens)
    for index, token in enumerate(tokens):
        if token in RECORDS and index + 1 < len(tokens):
            found.add(f"{token} {_tag(tokens, index)[0]}")
    return found


def _tag(tokens: Sequence[str], index: int) -> tuple[str, int]:
    """The tag behind the ``struct`` at ``index``, and where it stands."""
    index += 1
    while index < len(tokens) and tokens[index] in ATTRIBUTES:
        index = closing(tokens, index + 1)
    return (tokens[index] if index < len(tokens) else ""), index


def _index(pieces: Sequence[Piece], others: Iterable[int]) -> dict[str, int]:
    """Which declaration defines a typedef's name or a tag.

    A typedef's own name is the first that is met: others in the declaration were declared before it.
    """
    found: dict[str, int] = {}
    for index in others:
        tokens = pieces[index].tokens
        for at, token in enumerate(tokens):
            if token in RECORDS:
                tag, where = _tag(tokens, at)
                if "{" in tokens[where + 1 : where + 2] or ATTRIBUTES.intersection(tokens[where + 1 : where + 2]):
                    found.setdefault(f"{token} {tag}", index)
        if "typedef" in tokens:
            for name in _candidates(tokens):
                found.setdefault(name, index)
    return found


def _candidates(tokens: Sequence[str]) -> Iterable[str]:
    """The identifiers in a typedef that are neither in a struct's body nor in a list of parameters."""
    index, before = 0, ""
    while index < len(tokens):
        token = tokens[index]
        if token == "{" or token == "(" and (before == ")" or before in ATTRIBUTES or before.isidentifier()):
            index = closing(tokens, index)
            before = ")"
            continue
        if token.isidentifier():
            yield token
        before = token
        index += 1

