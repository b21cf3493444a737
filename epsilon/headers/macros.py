"""Function-like macros: their parameters' types, told from what the macro does with them, and the functions they make.

A macro has no types; a function needs them.  They are told by the compiler where they can be: each parameter is given a
struct type of its own that fits nowhere, and the errors name the type that was wanted in its place, as an argument of a
function or in an assignment.  Else the macro's text tells, by these rules, and a macro that they leave open is skipped:

- what is shifted, masked, or an index, and cast to no other than an integer type, is an integer: an ``int``, as a
  literal argument in C, or the wider type that it is cast to;
- what is cast to a pointer is a ``void *``, which takes any; what is cast to ``double`` is one;
- what has members that just one struct has is a pointer to that struct (``->``), or that struct (``.``);
- what is assigned to, or whose size, address or type is taken, has no place in a function.

So ``MAX(a, b)``, which serves all types alike, is skipped: only the user knows, and says ``macros={"MAX": ["int", "int"]}``.
The result's type is the compiler's word; a statement (``do { … } while (0)``) has none.
"""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Iterator, Sequence

from epsilon import compiler
from epsilon.errors import HeaderError, nearest
from epsilon.headers import probing
from epsilon.headers.definitions import Definition, Definitions
from epsilon.headers.facts import Facts, Function, Skipped
from epsilon.headers.macro_text import UNBALANCED, BASIC_TYPES, balanced, expand, swallowing, tokens, unknown
from epsilon.headers.wrapper_library import EXPORTED

#: what is found of a macro: its ``facts.Function``, and the line of C that defines the wrapper
Wrapper = namedtuple("Wrapper", ["function", "line"])
#: a C type as the compiler spells it, and with its typedefs resolved
Type = namedtuple("Type", ["spelled", "canonical"])
