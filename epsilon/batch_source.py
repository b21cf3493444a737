"""C for the shape of a batch: its arguments, calls and results in a row, with nothing left to decide at run time.

A shape says of each call the letters of its conversions, where each argument comes from, and what is asked of the
result.  Whatever is not plain when it runs goes to the shim's general run before anything has happened, as in
``epsilon/trampolines.py``, whose conversions these are; ``epsilon/entries.py`` builds and finds both.
"""

from __future__ import annotations

from epsilon.entries import BATCH, TYPES, word_for

_INTEGERS = "bcBChHiIqQ"
_NUMBERS = _INTEGERS + "?fd"
PRELUDE = r"""
/* --- batches -------------------------------------------------------------------------------------------- */

/* What a run needs to know; c/batch.h has the same. */
typedef struct {
    void *const *addresses;      /* of each call */
    PyObject *const *constants;  /* arguments that are always the same */
    void *const *parameters;     /* the converter of each argument that no call gives */
    void *const *results;        /* the converter of each result */
} Flat;
typedef struct {
    int (*calls)(const Flat *, PyObject *const *, uint64_t *, Record *); /* how many were made well; -1: not plain */
    int (*results)(const Flat *, const uint64_t *, PyObject **);         /* how many could be had */
} BatchCode;
extern void Py_DecRef(PyObject *);

#define PUT_ARGUMENT(LETTER, NAME, VALUE, INDEX) \
    if (UNLIKELY(!to_##LETTER(VALUE, &NAME, flat->parameters[INDEX]))) \
        return -1;
/* Eight bytes are written at once: they are read at once, and a narrower store would stall that. */
#define KEEP_WHOLE(T, NAME, INDEX) raw[INDEX] = (uint64_t)NAME;
#define KEEP_REAL(T, NAME, INDEX) \
    { \
        union { T real; uint64_t word; } kept = {.word = 0}; \
        kept.real = NAME; \
        raw[INDEX] = kept.word; \
    }
#define STOP_IF(WRONG, INDEX) \
    if (UNLIKELY(*(PyObject *volatile *)&record->exception != NULL) || UNLIKELY(WRONG)) { \
        made = INDEX; \
        goto land; \
    }
#define BATCH_FLY(RELEASE) \
    if (RELEASE) \
        record->state = PyEval_SaveThread(); \
    CURRENT = record;
#define BATCH_LAND(RELEASE) \
    if (RELEASE) \
        PyEval_RestoreThread(record->state); \
    CURRENT = record->previous; \
    return made;

/* In place of what a former run left there. */
INLINE int
put_result(PyObject **item, PyObject *value)
{
    PyObject *old = *item;
    if (UNLIKELY(!value))
        return 0;
    *item = value;
    if (old)
        Py_DecRef(old);
    return 1;
}

/* The small int that is there already needs no counting up and down. */
INLINE int
put_integer(PyObject **item, long number)
{
    uint64_t index = (uint64_t)number - SMALLEST;
    if (LIKELY(index < small_count) && LIKELY(*item == (PyObject *)(small_ints + index * LONG_SIZE)))
        return 1;
    return put_result(item, integer(number));
}
/* that its letter is still the same was looked at before the calls */
#define GET_INTEGER(T, LETTER, INDEX) \
    if (UNLIKELY(!put_integer(items + INDEX, (long)(T)raw[INDEX]))) \
        return INDEX;
#define GET_RESULT(T, LETTER, INDEX) \
    { \
        T result; \
        memcpy(&result, raw + INDEX, sizeof result); \
        if (UNLIKELY(!put_result(items + INDEX, from_##LETTER(flat->results[INDEX], result)))) \
            return INDEX; \
    }
#define GET_NONE(INDEX) \
    if (*(items + INDEX) != NONE) \
        put_result(items + INDEX, another(NONE));
"""


def shape_of_call(letters: str, sources: list[str], errno: bool, check: int) -> str:
    """One call of a shape: the shape of its signature, where each argument comes from, and what is asked of it.

    A source is ``a3`` (of what a run is given, the fourth), ``k0`` (the first constant) or ``r1`` (a result).

    >>> shape_of_call("i(i,d)", ["a1", "r0"], True, 0)
    'i(i,d)@a1,r0@e0'
    """
    return f"{letters}@{','.join(sources)}@{'e' if errno else ''}{check}"


def shape_of_batch(calls: list[str], critical: bool) -> str:
    """The shape of a batch: whether its calls keep the GIL, and each of them."""
    return "|".join([f"{BATCH}{'keeps' if critical else 'releases'}", *calls])


def _read(call: str) -> tuple[str, list[str], list[str], bool, str]:
    """The result's letter, the parameters', their sources, whether errno is kept, and the check's number."""
    letters, sources, asked = call.split("@")
    result, _, rest = letters.partition("(")
    parameters = [letter for letter in rest.rstrip(")").split(",") if letter]
    return result, parameters, sources.split(",") if sources else [], asked.startswith("e"), asked.lstrip("e")


def batch(number: int, shape: str) -> str:
    """The C of a shape: its two functions, and ``epsilon_entry_`` with the number, which has their addresses."""
    first, *texts = shape.split("|")
    release = int(first == f"{BATCH}releases")
    calls = [_read(text) for text in texts]
    puts: list[str] = []
    made: list[str] = []
    gets: list[str] = []
    given = 0
    for index, (result, parameters, sources, errno, check) in enumerate(calls):
        passed = []
        for place, (letter, source) in enumerate(zip(parameters, sources, strict=True)):
            if source[0] == "r":
                passed.append(_carried(calls[int(source[1:])][0], letter, source))
                continue
            name, value = f"a{index}_{place}", f"{'args' if source[0] == 'a' else 'flat->constants'}[{source[1:]}]"
            puts += [f"    {TYPES[letter]} {name};", f"    PUT_ARGUMENT({word_for(letter)}, {name}, {value}, {given})"]
            passed.append(name)
            given += 1
        made += _call(index, result, parameters, passed, errno, check)
        gets.append(f"    {_get(index, result)}")
    return "\n".join([
        f"/* {shape} */",
        "static int", f"calls_{number}(const Flat *flat, PyObject *const *args, uint64_t *raw, Record *record)", "{",
        f"    int made = {len(calls)};", *puts, f"    BATCH_FLY({release})", *made, "land:",
        f"    BATCH_LAND({release})", "}",
        "static int", f"results_{number}(const Flat *flat, const uint64_t *raw, PyObject **items)", "{", *gets,
        f"    return {len(calls)};", "}",
        f"const BatchCode epsilon_entry_{number} = {{calls_{number}, results_{number}}};",
    ])  # fmt: skip


def _carried(given: str, wanted: str, name: str) -> str:
    """A result as an argument: numbers by C's own conversions, which lose nothing, for the types fit."""
    if wanted == "?":
        return f"{name} != 0"
    return f"({TYPES[wanted]}){name}" if given in _NUMBERS else f"(void *){name}"


def _call(index: int, result: str, parameters: list[str], passed: list[str], errno: bool, check: str) -> list[str]:
    returned = "void" if result == "v" else TYPES[result]
    types = ", ".join(TYPES[letter] for letter in parameters) or "void"
    call = f"(({returned} (*)({types}))flat->addresses[{index}])({', '.join(passed)});"
    wrong = "0"
    lines = ["    errno = 0;"] if errno else []
    if result == "v":
        lines += [f"    {call}", f"    raw[{index}] = 0;"]
    else:
        keep = "KEEP_REAL" if result in "fd" else "KEEP_WHOLE"
        lines += [f"    {returned} r{index} = {call}", f"    {keep}({returned}, r{index}, {index})"]
        if check != "0":
            wrong = f"!PASSES({check}, {'(uintptr_t)' if '*' in returned else ''}r{index})"
    if errno:
        lines.append("    SAVED_ERRNO = errno;")
    return [*lines, f"    STOP_IF({wrong}, {index})"]


def _get(index: int, result: str) -> str:
    if result == "v":
        return f"GET_NONE({index})"
    kind = "GET_INTEGER" if result in _INTEGERS.replace("Q", "") else "GET_RESULT"
    return f"{kind}({TYPES[result]}, {word_for(result)}, {index})"
