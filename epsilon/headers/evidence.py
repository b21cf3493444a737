"""Which types a macro's parameters have, told from what the macro does with them.

The compiler tells most: each parameter is given a struct type of its own that fits nowhere, and the errors name the
type that was wanted in its place, as an argument of a function or in an assignment.  Else the text tells:

- a pointer to the only struct that has all the members that are taken of it (``->``), or that struct itself (``.``);
- what is cast to pointers is a ``void *``, which takes any; to a pointer to functions, or to a real type, is just that;
- what is cast to integer types, shifted, masked, or is an index, is an ``int``, as a literal argument is in C, or the
  wider type that it is cast to; so is what compiles neither as a ``double`` nor as a pointer.

What is assigned to, or whose size, address or type is taken, has no place in a function.  What serves all types alike,
as in ``MAX(a, b)``, only the user can tell: a wrong type would be worse than none.
"""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Collection, Mapping, Sequence

from epsilon.errors import ForeignTypeError
from epsilon.headers import probing
from epsilon.headers.definitions import Definitions
from epsilon.headers.facts import Facts
from epsilon.headers.macro_text import BASIC_TYPES, QUALIFIERS, tokens
from epsilon.headers.probing import Type, declared
from epsilon.headers.proof import Layouts

#: why a parameter's type cannot be told; ``%s`` in the reason stands for its name
Unclear = namedtuple("Unclear", ["parameter", "reason"])

_PLACEHOLDER = re.compile(r"epsilon_p(\d+)_")
#: a type in the compiler's words, and the stranger in its place; the first three are GCC's, the others clang's
_TYPE = r"'(?P<type>[^']*)'(?: [{(]aka '(?P<aka>[^']*)'[)}])?"
_STRANGER = r"'struct epsilon_type_(?P<stranger>\d+)'"
_WANTED = [
    re.compile(text)
    for text in (
        rf"expected {_TYPE} but argument is of type {_STRANGER}",
        rf"incompatible types when assigning to type {_TYPE} from type {_STRANGER}",
        rf"incompatible types when initializing type {_TYPE} using type {_STRANGER}",
        rf"passing {_STRANGER} to parameter of incompatible type {_TYPE}",
        rf"(?:assigning to|initializing) {_TYPE} (?:from|with an expression of) incompatible type {_STRANGER}",
    )
]
_PROBE_LINE = re.compile(r"^epsilon-probe:(\d+):")

_ASSIGNING = frozenset(("=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>=", "++", "--"))
_INTEGER_OPERATORS = frozenset(("<<", ">>", "%", "|", "^", "&"))
_OF_TYPES = frozenset(
    "sizeof typeof __typeof __typeof__ _Alignof __alignof__ _Generic __builtin_types_compatible_p "
    "__builtin_choose_expr __builtin_constant_p __builtin_object_size "
    "__builtin_va_start __builtin_va_arg __builtin_va_end".split()
)
#: integer types from the narrowest; what is narrower than an int is passed as one
_INTEGERS = ("int", "unsigned int", "long", "unsigned long", "long long", "unsigned long long", "__int128",
             "unsigned __int128")  # fmt: skip
_NARROW = frozenset(("char", "signed char", "unsigned char", "short", "unsigned short", "_Bool"))
_REALS = frozenset(("float", "double", "long double"))
_ANY = frozenset(("void *", "const void *"))


class _Use:
    """What a macro's text does with one of its parameters."""

    def __init__(self) -> None:
        self.count = 0
        self.casts: list[str] = []
        self.members: list[tuple[str, str]] = []  #: ``->`` or ``.``, and the member
        self.integer = False
        self.refusal: str | None = None


def placeholder(index: int) -> str:
    """What stands for a macro's argument while its expansion is looked at."""
    return f"epsilon_p{index}_"


def is_placeholder(word: str) -> bool:
    return _PLACEHOLDER.fullmatch(word) is not None


def gather(
    unit, facts: Facts, definitions: Definitions, texts: Mapping[str, str], counts: Mapping[str, int], bodies: Mapping
) -> dict[str, list[str] | Unclear]:
    """The types of the parameters of each macro, or the parameter that leaves it open.

    ``texts`` are the expansions, ``counts`` the numbers of the parameters, and ``bodies`` make a function's body of an
    expansion.
    """
    types_known = BASIC_TYPES | set(facts.typedefs)
    uses = {name: uses_in(tokens(text), counts[name], types_known) for name, text in texts.items()}
    casts = list(dict.fromkeys(cast for some in uses.values() for use in some for cast in use.casts))
    asking = _Asking(unit, definitions, bodies)
    found: dict[str, list[str] | Unclear] = {}
    types: dict[str, list[str | None]] = {name: [None] * counts[name] for name in texts}
    wanted, cast_types = asking.wanted(types, casts)
    told = _Told(facts, cast_types)
    fresh = list(texts)
    while fresh:  # a type that is told may have the compiler tell of others: those that a member is called with
        again = []
        for name in fresh:
            before = list(types[name])
            answers = told.decided(uses[name], wanted.get(name, {}), before)
            if isinstance(answers, Unclear):
                found[name] = answers
                continue
            types[name] = answers
            if None in answers and answers != before and any(answers):
                again.append(name)
        fresh = again
        wanted, _ = asking.wanted({name: types[name] for name in fresh}) if fresh else ({}, {})
    left = {name: types[name] for name in texts if name not in found}
    integers = asking.only_integers({name: known for name, known in left.items() if None in known})
    for name, known in left.items():
        open_ones = [k for k, one in enumerate(known) if one is None and (name, k) not in integers]
        found[name] = Unclear(open_ones[0], "%s may be of any type") if open_ones else [one or "int" for one in known]
    return found


class _Asking:
    """Puts questions about the macros to the compiler, all those of a kind in one run."""

    def __init__(self, unit, definitions: Definitions, bodies: Mapping[str, str]):
        self.unit, self.bodies = unit, bodies
        self.plain = definitions.plain

    def said(self, functions: Sequence[str], strangers: int = 0, strict: bool = False) -> str:
        lines = [self.plain, probing.NOWHERE]
        lines += [f"struct epsilon_type_{index} {{ char none; }};" for index in range(strangers)]
        for number, function in enumerate(functions, 1):
            lines.append(probing.probe(number, f"void epsilon_probe_{number}{function}"))
        strictness = probing.STRICT if strict else ()
        return probing.words_about(self.unit, "\n".join(lines), strictness, loud=strict)

    def function(self, name: str, types: Sequence[str]) -> str:
        parameters = ", ".join(declared(one, placeholder(k)) for k, one in enumerate(types)) or "void"
        return f"({parameters}) {self.bodies[name]}"

    def wanted(
        self, asked: Mapping[str, Sequence[str | None]], casts: Sequence[str] = ()
    ) -> tuple[dict[str, dict[int, list[Type]]], dict[str, Type]]:
        """What the compiler wants in the place of parameters whose types are not known yet (None); and the types of
        what is cast to, as far as these are types."""
        functions = [f"(void) {probing.assigned(f'({cast})0')}" for cast in casts]
        functions += [
            self.function(name, [one or f"struct epsilon_type_{k}" for k, one in enumerate(types)])
            for name, types in asked.items()
        ]
        said = self.said(functions, max(map(len, asked.values()), default=0))
        complaints = probing.complaints_in(said).probes
        named = {cast: probing.named_type(complaints.get(number, "")) for number, cast in enumerate(casts, 1)}
        found = _wanted(said)
        wanted = {name: found[number] for number, name in enumerate(asked, len(casts) + 1) if number in found}
        return wanted, {cast: one for cast, one in named.items() if one is not None}

    def only_integers(self, asked: Mapping[str, Sequence[str | None]]) -> set[tuple[str, int]]:
        """The parameters that can be neither a ``double`` nor a pointer, where nothing else is known of them."""
        trials = [
            (name, k, self.function(name, [trial if index == k else one or "int" for index, one in enumerate(types)]))
            for name, types in asked.items()
            for k, known in enumerate(types) if known is None
            for trial in ("double", "char *")
        ]  # fmt: skip
        if not trials:
            return set()
        refused = probing.complaints_in(self.said([one[2] for one in trials], strict=True)).probes
        passed = {trials[n - 1][:2] for n in range(1, len(trials) + 1) if n not in refused}
        return {one[:2] for one in trials} - passed


def _wanted(said: str) -> dict[int, dict[int, list[Type]]]:
    """The types that the compiler wanted instead of each parameter, by the probe's number and the parameter's."""
    found: dict[int, dict[int, list[Type]]] = {}
    number = 0
    for line in said.splitlines():
        if probe := _PROBE_LINE.match(line):
            number = int(probe[1])
        if "struct epsilon_type_" not in line:
            continue
        match = next(filter(None, (one.search(line) for one in _WANTED)), None)
        if match is None:
            continue
        spelled, canonical, parameter = match["type"], match["aka"], match["stranger"]
        types = found.setdefault(number, {}).setdefault(int(parameter), [])
        types.append(probing.plain_type(spelled, canonical or spelled))
    return found


# --- what the text does -------------------------------------------------------------------------------------------


def uses_in(words: Sequence[tuple[str, str]], count: int, types: Collection[str] = BASIC_TYPES) -> list[_Use]:
    """What an expansion does with each of its parameters; ``types`` are names of types.

    >>> use = uses_in(tokens("((long)(epsilon_p0_) << 2) + (epsilon_p0_)->size"), 1)[0]
    >>> use.casts, use.members
    (['long'], [('->', 'size')])
    """
    uses = [_Use() for _ in range(count)]
    spelled = ["", *(word for _, word in words), ""]
    for index, word in enumerate(spelled):
        if found := _PLACEHOLDER.fullmatch(word):
            _look(spelled, index, uses[int(found[1])], types)
    return uses


def _look(words: list[str], index: int, use: _Use, types: Collection[str]) -> None:
    use.count += 1
    left, right = index - 1, index + 1
    while words[left] == "(" and words[right] == ")" and not _is_operand(words[left - 1]):
        left, right = left - 1, right + 1
    before, after = words[left], words[right]
    if before == "(" and words[left - 1] == ")" or before == ")":
        # (type)(x), or (type)x, unless it is a call, whose argument is for the compiler to tell of
        end = left if before == ")" else left - 1
        start = _opening(words, end)
        inner = words[start + 1 : end]
        if before == "(" and after == ")":
            after = words[right + 1]
        if inner and all(word in ("*", "(", ")") or word.isidentifier() and not is_placeholder(word) for word in inner):
            if inner != ["void"]:
                use.casts.append(" ".join(inner))
            return
    operator = words[left - 1] if before == "(" and after == ")" else before
    if operator in _OF_TYPES or before == "," and _OF_TYPES & set(words[max(0, left - 8) : left]):
        use.refusal = "it takes the size or the type of %s"
    elif after in _ASSIGNING or before in ("++", "--"):
        use.refusal = "it changes %s"
    elif before == "&" and (not _is_operand(words[left - 1]) or _is_cast(words, left - 1, types)):
        use.refusal = "it takes the address of %s"
    elif after in ("->", "."):
        use.members.append((after, words[right + 1]))
    elif after in _INTEGER_OPERATORS or before in _INTEGER_OPERATORS | {"~"} or before == "[" and after == "]":
        use.integer = True


def _is_operand(word: str) -> bool:
    """Whether an opening bracket behind ``word`` begins a call or an index, and an ``&`` has two sides."""
    return word in (")", "]") or word.isidentifier() and word not in ("return", "else", "do") or word[:1].isdigit()


def _is_cast(words: Sequence[str], end: int, types: Collection[str]) -> bool:
    """Whether the bracket that closes at ``end`` has a type in it."""
    first = words[_opening(words, end) + 1]
    return words[end] == ")" and (first in types or first in QUALIFIERS)


def _opening(words: Sequence[str], end: int) -> int:
    depth = 0
    for index in range(end, -1, -1):
        depth += (words[index] == ")") - (words[index] == "(")
        if depth == 0:
            return index
    return 0


# --- what it comes to ---------------------------------------------------------------------------------------------


class _Told:
    """Decides a parameter's type from its uses; ``casts`` has the types of what is cast to."""

    def __init__(self, facts: Facts, casts: Mapping[str, Type]):
        self.casts = casts
        self.owners = _owners(facts)
        self.layouts = Layouts(facts)

    def decided(
        self, uses: Sequence[_Use], wanted: Mapping[int, list[Type]], known: Sequence[str | None]
    ) -> list[str | None] | Unclear:
        """The types that are told by now, None for those that are not."""
        types: list[str | None] = []
        for index, use in enumerate(uses):
            found = known[index] or self.type(use, wanted.get(index, []))
            if isinstance(found, Unclear):
                return found._replace(parameter=index)
            types.append(found)
        return types

    def type(self, use: _Use, wanted: list[Type]) -> str | Unclear | None:
        if use.refusal:
            return Unclear(0, use.refusal)
        if not use.count:
            return Unclear(0, "it makes no use of %s")
        told = list(wanted)
        if use.members:
            common = set.intersection(*(self.owners.get(member, set()) for _, member in use.members))
            if len(common) != 1 or len({how for how, _ in use.members}) != 1:
                return Unclear(0, f"no one struct is known that %s must be, with {use.members[0][1]}")
            spelled = common.pop() + (" *" if use.members[0][0] == "->" else "")
            told.append(Type(spelled, spelled))
        if told:
            return self.one_of(told)
        kinds = [self.casts[cast] for cast in use.casts if cast in self.casts]
        if len(kinds) != len(use.casts):
            return Unclear(0, "the type of %s cannot be told")
        return self.of_casts(kinds, use.integer)

    def meaning(self, one: Type) -> object:
        """What is the same for two spellings of a type, and for pointers that differ in ``const``."""
        plain = re.sub(r"\bconst\b", "", one.spelled)
        try:
            return self.layouts.read(plain)[1]
        except ForeignTypeError:
            return re.sub(r"\bconst\b|\s", "", one.canonical)

    def one_of(self, told: list[Type]) -> str | Unclear:
        """The type that fits in all places: of pointers that differ in ``const`` the plain one, any but ``void *``."""
        by_meaning: dict[object, Type] = {}
        for one in told:
            meaning = self.meaning(one)
            known = by_meaning.get(meaning)
            if known is None or "const" in known.canonical and "const" not in one.canonical:
                by_meaning[meaning] = one
        if len(by_meaning) > 1:
            by_meaning = {meaning: one for meaning, one in by_meaning.items() if one.canonical not in _ANY}
        if len(by_meaning) > 1:
            first, second = list(by_meaning.values())[:2]
            return Unclear(0, f"%s is used as {first.spelled} and as {second.spelled}")
        return next(iter(by_meaning.values()), told[0]).spelled

    def of_casts(self, kinds: list[Type], integer: bool) -> str | Unclear | None:
        words = [one.canonical for one in kinds]
        if not words:
            return "int" if integer else None
        if all("(*" in word for word in words):
            return self.one_of(kinds)
        if all(word.endswith("*") for word in words):
            return "const void *" if all(word.startswith("const ") for word in words) else "void *"
        if all(word in _INTEGERS or word in _NARROW for word in words):
            return max((word for word in words if word in _INTEGERS), key=_INTEGERS.index, default="int")
        if len(set(words)) == 1 and words[0] in _REALS and not integer:
            return words[0]
        return Unclear(0, f"%s is cast to {', '.join(dict.fromkeys(one.spelled for one in kinds))}")


def _owners(facts: Facts) -> dict[str, set[str]]:
    """By the names of members, the structs that have them, as C spells these."""
    found: dict[str, set[str]] = {}
    for name, record in facts.records.items():
        tag = name.partition(" ")[2]
        typedef = facts.typedefs.get(tag)
        spelled = tag if typedef is not None and typedef.declaration == f"typedef {name} {tag}" else name
        for member in record.members:
            found.setdefault(member[0], set()).add(spelled)
    return found
