"""The words of the subset: the operators, and what to use in place of what is not in it."""

from __future__ import annotations

SIGNS = {"+": "+", "-": "-", "*": "*", "/": "/", "//": "//", "%": "%", "&": "&", "|": "|", "^": "^"}
SHIFTS = ("<<", ">>")
COMPARISONS = {"=": "==", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=", "is": "==", "is-not": "!="}
AUGMENTED = {f"{sign}=": sign for sign in (*SIGNS, *SHIFTS)}

#: what is not in the subset → what to use in its place
INSTEAD = {
    "**": "bind pow of libm, and call it",
    "@": "a native has no matrices; write the loops",
    "fn": "define another native, and call it or pass it by its name",
    "defn": "define the other function with defnative, beside this one",
    "defnative": "define the other native beside this one",
    "try": "nothing is caught in a native; what C called raises in the enclosing call",
    "raise": "(assert False \"why\") stops the function",
    "with": "memory in a native is a local array, (the (:array :int 10))",
    "with-foreign-memory": "a local array is (the (:array :int 10))",
    "with-c-struct": "a local struct is made by calling its type, (point :x 1)",
    "foreign-alloc": "a local array is (the (:array :int 10)); malloc of libc gives memory that lasts",
    "lfor": "use a local array and a for",
    "dfor": "use a local array and a for",
    "sfor": "use a local array and a for",
    "gfor": "use a for",
    "in": "compare with = and or",
    "not-in": "compare with != and and",
    "match": "use cond",
    "case": "use cond",
    "import": "import beside the native; its body has the module's names",
    "require": "require beside the native",
    "yield": "a native returns once",
    "await": "a native does not wait",
    "global": "a native has its parameters and locals; pass a pointer to what it shall change",
    "nonlocal": "a native has its parameters and locals; pass a pointer to what it shall change",
    "del": "a local lasts as long as the call",
    "cut": "a part of memory is a pointer and a length: (+ p 3)",
    "defclass": "use a struct",
    "setx": "use setv",
    "quote": "a symbol is only the name of a member, (struct-ref p 'x)",
    "quasiquote": "a native does not make forms",
    "eval": "a native does not make forms",
    "py": "a native has no Python",
    "print": "bind printf of libc, and call it",
    "len": "C has no length of memory; pass it",
    "str": "C has no str; use pointers to char",
    "list": "use a local array",
    "chr": "a character is an integer",
    "int": "(cast x :int)",
    "float": "(cast x :double)",
    "bool": "(cast x :bool)",
    "enumerate": "use range and get",
    "range": "range stands in a for: (for [i (range n)] …)",
}  # fmt: skip
