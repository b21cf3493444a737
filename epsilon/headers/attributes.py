"""What GNU attributes mean to functions, types and layouts: GCC manual, "Attribute Syntax" and what follows it."""

from __future__ import annotations

from collections.abc import Sequence

from epsilon.headers.gnu import CONVENTIONS, Attribute, Unreadable

#: GCC manual, "Common Variable Attributes", mode; by the mode, the type with its sign left open
_MODES = {
    "QI": "char", "byte": "char", "HI": "short", "SI": "int", "DI": "long", "TI": "__int128", "word": "long",
    "pointer": "long", "unwind_word": "long", "SF": "float", "DF": "double", "XF": "long double", "TF": "_Float128",
    "SC": "float _Complex", "DC": "double _Complex", "XC": "long double _Complex",
}  # fmt: skip
#: what ``aligned`` alone asks for
LARGEST = Attribute("", ("_Alignof", "(", "struct", "{", "char", "c", ";", "}", "__attribute__((aligned))", ")"))
_NOTES = ("const", "pure", "malloc", "noreturn", "deprecated")


def with_mode(names: Sequence[str], attributes: Sequence[Attribute]) -> str:
    """The words of a type, or the type that the attribute ``mode`` makes of them."""
    modes = [one.arguments[0].strip("_") for one in attributes if one.name == "mode" and one.arguments]
    if not modes:
        return " ".join(names)
    if modes[0] not in _MODES:
        raise Unreadable(f"the machine mode {modes[0]} is not known")
    found = _MODES[modes[0]]
    if "unsigned" in names:
        return f"unsigned {found}"
    return "signed char" if found == "char" else found


def notes(attributes: Sequence[Attribute]) -> tuple[str, ...]:
    """What attributes say of a function, as ``facts.Function`` has it."""
    found = [one.name for one in attributes if one.name in _NOTES or one.name in CONVENTIONS]
    for one in attributes:
        if one.name == "nonnull":
            numbers = [word for word in one.arguments if word.isdigit()]
            found.append(" ".join(["nonnull", *numbers]))
    return tuple(dict.fromkeys(found))
