/* The call: from a vectorcall entry, through the converters, into C and back.
 *
 * `invoke` is the whole of it, for every signature and option.  Most calls are simpler than that: `quick` serves those whose
 * parameters and result are one word each in registers, compiled once for each way of holding the GIL and each kind of
 * jump, so that nothing is decided at run time that the signature decides.  Around them stand the typed jumps and the
 * Function type.
 */
#include "shim.h"

_Thread_local Record *current_record TLS_FAST = NULL;
static _Thread_local int saved_errno TLS_FAST = 0;

/* --- exceptions that travel beside C ------------------------------------------------------------------------------ */

PyObject *
take_exception(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (!type)
        return NULL;
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback)
        PyException_SetTraceback(value, traceback);
    Py_XDECREF(traceback);
    Py_DECREF(type);
    return value;
#endif
}

void
give_exception(PyObject *exception)
{
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(exception);
#else
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(exception)), exception, PyException_GetTraceback(exception));
#endif
}

/* Let the floors above name the function and the parameter in the error that is set. */
void
explain(PyObject *who, int index)
{
    PyObject *exception = take_exception();
    PyObject *better = PyObject_CallFunction(hooks.explain, "OiO", who, index, exception);
    Py_DECREF(exception);
    if (better)
        give_exception(better);
}

/* --- errno -------------------------------------------------------------------------------------------------------- */

PyObject *
shim_errno(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    return PyLong_FromLong(saved_errno);
}

PyObject *
shim_set_errno(PyObject *Py_UNUSED(module), PyObject *value)
{
    int number = (int)PyLong_AsLong(value);
    if (number == -1 && PyErr_Occurred())
        return NULL;
    saved_errno = number;
    Py_RETURN_NONE;
}

/* --- the typed jumps ---------------------------------------------------------------------------------------------- */

/* A C function that is declared with more register parameters than it has ignores the rest: both ABIs assign registers
 * from the left, integers and floats apart, and no callee looks further.  So one jump serves every signature that fits. */
#if HAVE_REGISTERS
typedef uint64_t u64;
typedef struct { u64 a, b; } Pair1;
typedef struct { u64 a; double b; } Pair2;
typedef struct { double a; u64 b; } Pair3;
typedef struct { double a, b; } Pair4;

#if INTEGER_REGISTERS == 6
#define INTEGERS u64, u64, u64, u64, u64, u64
#define INTEGER_WORDS w[0], w[1], w[2], w[3], w[4], w[5]
#else
#define INTEGERS u64, u64, u64, u64, u64, u64, u64, u64
#define INTEGER_WORDS w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]
#endif
#define FLOATS double, double, double, double, double, double, double, double
#define FLOAT_WORDS d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]

#define JUMP(R, FLOATING) ((FLOATING) ? ((R(*)(INTEGERS, FLOATS))address)(INTEGER_WORDS, FLOAT_WORDS) \
                                      : ((R(*)(INTEGERS))address)(INTEGER_WORDS))

/* The jump for a result of one word, in the integer register ('I') or the float register ('S').  With the numbers of
 * integer and float arguments known when this is compiled, it loads no more registers than it must. */
ALWAYS_INLINE u64
jump_word(void *address, const u64 *w, int integers, int floats, int kind)
{
    const double *d = (const double *)(w + INTEGER_REGISTERS);
    u64 word;
    if (kind == 'I') {
        if (!floats)
            switch (integers) {
            case 0: return ((u64(*)(void))address)();
            case 1: return ((u64(*)(u64))address)(w[0]);
            case 2: return ((u64(*)(u64, u64))address)(w[0], w[1]);
            case 3: return ((u64(*)(u64, u64, u64))address)(w[0], w[1], w[2]);
            case 4: return ((u64(*)(u64, u64, u64, u64))address)(w[0], w[1], w[2], w[3]);
            }
        return JUMP(u64, floats);
    }
    double r;
    if (!integers && floats == 1)
        r = ((double (*)(double))address)(d[0]);
    else if (!integers && floats == 2)
        r = ((double (*)(double, double))address)(d[0], d[1]);
    else if (!integers && floats == 3)
        r = ((double (*)(double, double, double))address)(d[0], d[1], d[2]);
    else
        r = JUMP(double, floats);
    memcpy(&word, &r, sizeof r);
    return word;
}

static void
jump(const Trampoline *t, void *address, const u64 *w, u64 *result)
{
    const double *d = (const double *)(w + INTEGER_REGISTERS);
    switch (t->jump) {
    case '1': { Pair1 r = JUMP(Pair1, t->floats); memcpy(result, &r, sizeof r); break; }
    case '2': { Pair2 r = JUMP(Pair2, t->floats); memcpy(result, &r, sizeof r); break; }
    case '3': { Pair3 r = JUMP(Pair3, t->floats); memcpy(result, &r, sizeof r); break; }
    case '4': { Pair4 r = JUMP(Pair4, t->floats); memcpy(result, &r, sizeof r); break; }
    default: *result = jump_word(address, w, INTEGER_REGISTERS, t->floats, t->jump);
    }
}
#else
static void
jump(const Trampoline *t, void *address, const uint64_t *w, uint64_t *result)
{
    (void)t, (void)address, (void)w, (void)result;
}
#endif

/* --- fast conversions --------------------------------------------------------------------------------------------- */

/* All eight bytes are written at once: the jump loads them at once, and a narrower store would stall it. */
ALWAYS_INLINE uint64_t
float_word(PyFloatObject *value)
{
    float single = (float)value->ob_fval;
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    return bits;
}

/* Whether there is a NUL among the first `length` bytes; short texts without a call. */
ALWAYS_INLINE int
has_nul(const char *text, size_t length)
{
    if (length < 8 || length > 24)
        return strlen(text) != length;
    uint64_t found = 0;
    for (size_t at = 0;; at += 8) {
        uint64_t chunk;
        if (at + 8 > length)
            at = length - 8;
        memcpy(&chunk, text + at, sizeof chunk);
        found |= (chunk - 0x0101010101010101u) & ~chunk; /* the text is ASCII: bit 7 of a byte is set only for a NUL */
        if (at + 8 == length)
            return (found & 0x8080808080808080u) != 0;
    }
}

/* The conversions that most calls need, inline, the commonest first: 1 if it is done, 0 if it is a matter for to_word. */
ALWAYS_INLINE int
quick_word(char code, PyObject *value, uint64_t *word)
{
    int64_t number;
    if (code == 'i') {
        if (UNLIKELY(!compact(value, &number)) || (PyLong_SHIFT > 30 && UNLIKELY(number != (int32_t)number)))
            return 0; /* a compact int is one digit of PyLong_SHIFT bits */
        *word = (uint64_t)number;
        return 1;
    }
    if (code == 'd') {
        if (UNLIKELY(!PyFloat_CheckExact(value)))
            return 0;
        memcpy(word, &((PyFloatObject *)value)->ob_fval, sizeof(double));
        return 1;
    }
    if (code == 'z') {
        if (UNLIKELY(!PyUnicode_CheckExact(value)) || UNLIKELY(!PyUnicode_IS_COMPACT_ASCII(value)))
            return 0;
        const char *text = (const char *)((PyASCIIObject *)value + 1);
        *word = (uintptr_t)text;
        return LIKELY(!has_nul(text, (size_t)PyUnicode_GET_LENGTH(value)));
    }
    if (code == 'P') {
        *word = 0;
        return LIKELY(value == Py_None);
    }
    if (code == 'f') {
        if (UNLIKELY(!PyFloat_CheckExact(value)))
            return 0;
        *word = float_word((PyFloatObject *)value);
        return 1;
    }
    if (UNLIKELY(!compact(value, &number)))
        return 0;
    *word = (uint64_t)number;
    return code == 'q' || (code == 'Q' && LIKELY(number >= 0)) || (code == 'I' && LIKELY(number == (uint32_t)number));
}

ALWAYS_INLINE PyObject *
get_word(Converter *c, uint64_t word)
{
    char code = c->code;
    if (code == 'i')
        return PyLong_FromLong((int32_t)word);
    if (code == 'd') {
        double number;
        memcpy(&number, &word, sizeof number);
        return PyFloat_FromDouble(number);
    }
    if (sizeof(long) == 8 && (code == 'q' || (code == 'Q' && LIKELY((int64_t)word >= 0))))
        return PyLong_FromLong((long)word);
    if (code == 'v')
        Py_RETURN_NONE;
    return from_word(c, word);
}

/* --- the body ----------------------------------------------------------------------------------------------------- */

static int
put_wide(Parameter *p, PyObject *value, uint64_t *words, Frame *frame)
{
    if (p->mode == WIDE)
        return to_memory(p->converter, value, words + p->word, frame);
    if (p->mode == REFERENCE) {
        words[p->word] = (uintptr_t)frame->temporaries;
        return to_memory(p->converter, value, frame->temporaries, frame);
    }
    uint64_t pieces[4] = {0};
    if (to_memory(p->converter, value, pieces, frame) < 0)
        return -1;
    words[p->word] = pieces[0];
    if (p->word2 >= 0)
        words[p->word2] = pieces[1];
    return 0;
}

static void
call_libffi(Trampoline *t, void *address, uint64_t *words, void *result, void **values)
{
    for (int i = 0; i < t->nffi; i++) {
        char *where = (char *)(words + t->positions[i]);
#if PY_BIG_ENDIAN
        ffi_type *type = t->types[i];
        if (type->size < 8 && type->type != FFI_TYPE_STRUCT && type->type != FFI_TYPE_FLOAT)
            where += 8 - type->size;
#endif
        values[i] = where;
    }
    ffi_call(&t->cif, FFI_FN(address), result, values);
}

/* The values of the :out and :inout parameters, after the result. */
static PyObject *
with_outputs(Trampoline *t, PyObject *result, char *temporaries)
{
    int skip = t->result->code == 'v';
    if (skip && t->outputs == 1) {
        Py_DECREF(result);
        for (Parameter *p = t->parameters;; p++)
            if (p->converter->code == '>' || p->converter->code == '=')
                return from_memory(p->converter->inner, temporaries + p->temporary);
    }
    PyObject *tuple = PyTuple_New(t->outputs + !skip);
    if (!tuple) {
        Py_DECREF(result);
        return NULL;
    }
    int place = 0;
    if (skip)
        Py_DECREF(result);
    else
        PyTuple_SET_ITEM(tuple, place++, result);
    for (Parameter *p = t->parameters; p < t->parameters + t->count; p++) {
        if (p->converter->code != '>' && p->converter->code != '=')
            continue;
        PyObject *value = from_memory(p->converter->inner, temporaries + p->temporary);
        if (!value) {
            Py_DECREF(tuple);
            return NULL;
        }
        PyTuple_SET_ITEM(tuple, place++, value);
    }
    return tuple;
}

/* Whether the result passes the check that the declaration names. */
static int
check_passes(Converter *c, char check, uint64_t word)
{
    int64_t sign;
    while (c->code == 'x')
        c = c->inner;
    switch (c->code) {
    case 'b': case 'c': sign = (int8_t)word; break;
    case 'h': sign = (int16_t)word; break;
    case 'i': sign = (int32_t)word; break;
    case 'q': sign = (int64_t)word; break;
    case 'f': { float n; memcpy(&n, &word, sizeof n); sign = n != n ? -1 : (n > 0) - (n < 0); break; }
    case 'd': { double n; memcpy(&n, &word, sizeof n); sign = n != n ? -1 : (n > 0) - (n < 0); break; }
    case '?': case 'B': case 'C': sign = (uint8_t)word != 0; break;
    case 'H': sign = (uint16_t)word != 0; break;
    case 'I': sign = (uint32_t)word != 0; break;
    default: sign = word != 0;
    }
    switch (check) {
    case CHECK_NONNEGATIVE: return sign >= 0;
    case CHECK_POSITIVE: return sign > 0;
    case CHECK_NONZERO: return sign != 0;
    default: return sign == 0;
    }
}

/* Apply the check; returns the value to give, which replaces `value`, or NULL. */
static PyObject *
checked(Function *f, PyObject *value, uint64_t word, PyObject *const *args)
{
    int passes;
    if (f->check == CHECK_CALLABLE) {
        PyObject *answer = PyObject_CallOneArg(f->check_callable, value);
        passes = answer ? PyObject_IsTrue(answer) : -1;
        Py_XDECREF(answer);
    }
    else
        passes = check_passes(f->trampoline->result, f->check, word);
    if (passes > 0)
        return value;
    PyObject *result = NULL;
    if (passes == 0) {
        PyObject *number = f->flags & ERRNO ? PyLong_FromLong(saved_errno) : Py_NewRef(Py_None);
        PyObject *given = PyTuple_New(f->trampoline->taken);
        for (int i = 0; given && i < f->trampoline->taken; i++)
            PyTuple_SET_ITEM(given, i, Py_NewRef(args[i]));
        if (number && given)
            result = PyObject_CallFunctionObjArgs(hooks.check_failed, f->declaration, value, number, given, NULL);
        Py_XDECREF(number);
        Py_XDECREF(given);
    }
    Py_DECREF(value);
    return result;
}

/* Call with the positional arguments that belong to these; the hook names what is wrong with them. */
static PyObject *
call_rearranged(PyObject *self, PyObject *who, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, Py_ssize_t skip)
{
    PyObject *positional = PyTuple_New(nargs), *keywords = NULL, *given = NULL, *result = NULL;
    for (Py_ssize_t i = 0; positional && i < nargs; i++)
        PyTuple_SET_ITEM(positional, i, Py_NewRef(args[i]));
    if (kwnames && (keywords = PyDict_New())) {
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(kwnames); i++)
            if (PyDict_SetItem(keywords, PyTuple_GET_ITEM(kwnames, i), args[nargs + i]) < 0)
                goto done;
    }
    if (!positional || (kwnames && !keywords))
        goto done;
    given = PyObject_CallFunctionObjArgs(hooks.arguments, who, positional, keywords ? keywords : Py_None, NULL);
    if (!given)
        goto done;
    if (!PyTuple_Check(given)) { /* a variadic function: the hook has made the call */
        result = Py_NewRef(PyList_GET_ITEM(given, 0));
        goto done;
    }
    Py_ssize_t count = PyTuple_GET_SIZE(given);
    PyObject **all = PyMem_Malloc((size_t)(count + skip + 1) * sizeof(PyObject *));
    if (!all) {
        PyErr_NoMemory();
        goto done;
    }
    if (skip)
        all[0] = args[-1];
    for (Py_ssize_t i = 0; i < count; i++)
        all[i + skip] = PyTuple_GET_ITEM(given, i);
    result = PyObject_Vectorcall(self, all, (size_t)(count + skip), NULL);
    PyMem_Free(all);
done:
    Py_XDECREF(positional);
    Py_XDECREF(keywords);
    Py_XDECREF(given);
    return result;
}

#define BLOCK_ON_STACK 16384

/* The next `size` bytes of a block, aligned. */
ALWAYS_INLINE void *
carve(char **block, size_t size, size_t alignment)
{
    char *start = (char *)(((uintptr_t)*block + alignment - 1) & ~(alignment - 1));
    *block = start + size;
    return start;
}

/* Whether the memory among the arguments is still there: a later argument's conversion may have run Python that freed an
 * earlier one. */
static int
arguments_alive(PyObject *const *args, int count)
{
    for (int i = 0; i < count; i++)
        if (PyObject_TypeCheck(args[i], &GuardedType) && !guarded_alive((Guarded *)args[i]))
            return 0;
    return 1;
}

/* The whole of a call.  `f` is NULL when a bare trampoline is called; `who` is what error texts name. */
static PyObject *
invoke(Trampoline *t, void *address, Cell *cell, Function *f, PyObject *who, PyObject *const *args, int release, int flags)
{
    Frame frame = {NULL, 0, NULL};
    PyObject *value = NULL;
    int registers = t->strategy == BY_REGISTERS, wide_result = is_wide(t->result);
    uint64_t small[4] = {0};
    void *wide = small;

    /* all that the call needs, in one block: the words, the objects kept, libffi's pointers, the temporaries, the result */
    size_t alignment = t->result->alignment > 16 ? (size_t)t->result->alignment : 16;
    size_t words_size = ((size_t)t->words + 2) * sizeof(uint64_t);
    size_t items_size = ((size_t)t->count * OWNED_PER_PARAMETER + 1) * sizeof(PyObject *);
    size_t values_size = registers ? 0 : ((size_t)t->nffi + 1) * sizeof(void *);
    size_t wide_size = wide_result && (t->hidden || t->result->size > (Py_ssize_t)sizeof small) ? (size_t)t->result->size : 0;
    size_t size = words_size + items_size + values_size + (size_t)t->temporaries + wide_size + 4 * 16 + alignment;
    char *heap = NULL, *block;
    if (LIKELY(size <= BLOCK_ON_STACK))
        block = alloca(size);
    else if (!(block = heap = PyMem_Malloc(size)))
        return PyErr_NoMemory();
    uint64_t *words = carve(&block, words_size, 16);
    frame.items = carve(&block, items_size, 16);
    void **values = carve(&block, values_size, 16);
    char *temporaries = carve(&block, (size_t)t->temporaries, 16);
    if (wide_size)
        wide = carve(&block, wide_size, alignment);
    if (t->hidden)
        words[0] = (uintptr_t)wide;

    /* in flight from before the conversions, which may run Python that closes the library, until the result is read */
    if (cell)
        cell->inflight++;
    PyObject *const *next = args;
    Parameter *end = t->parameters + t->count;
    for (Parameter *p = t->parameters; p < end; p++) {
        PyObject *argument = UNLIKELY(p->optional) ? Py_None : *next++;
        if (UNLIKELY(p->temporary >= 0))
            frame.temporaries = temporaries + p->temporary;
        int failed = p->mode == WORD ? to_word(p->converter, argument, words + p->word, &frame)
                                     : put_wide(p, argument, words, &frame);
        if (UNLIKELY(failed)) {
            explain(who, (int)(p - t->parameters));
            goto out;
        }
    }

    if (UNLIKELY(!arguments_alive(args, t->taken)))
        goto out;

    /* in the air: from here to the landing nothing but C runs on this thread, and callbacks */
    t->calls++;
    Record record = {current_record, release ? PyEval_SaveThread() : PyThreadState_Get(), NULL};
    current_record = &record;
    {
        if (UNLIKELY(flags & ERRNO))
            errno = 0;
        if (registers)
            jump(t, address, words, small);
        else
            call_libffi(t, address, words, t->hidden ? small : wide, values);
        if (UNLIKELY(flags & ERRNO))
            saved_errno = errno;
        if (release)
            PyEval_RestoreThread(record.state);
    }
    current_record = record.previous;
    if (UNLIKELY(record.exception != NULL)) {
        give_exception(record.exception);
        goto out;
    }
    value = wide_result ? from_memory(t->result, registers && !t->hidden ? small : wide) : get_word(t->result, small[0]);
    if (UNLIKELY(!value))
        explain(who, -1);
    if (UNLIKELY(flags & CHECK) && value)
        value = checked(f, value, small[0], args);
    if (UNLIKELY(t->outputs) && value)
        value = with_outputs(t, value, temporaries);
out:
    while (UNLIKELY(frame.count))
        Py_DECREF(frame.items[--frame.count]);
    PyMem_Free(heap);
    if (cell && --cell->inflight == 0 && UNLIKELY(cell->closed))
        cell_leave_slowly(cell);
    return value;
}

/* --- the entries of a Function ------------------------------------------------------------------------------------ */

/* Resolve the symbol, at the first call; from then on the function has its own entry. */
int
function_resolve(Function *self)
{
    if (LIKELY(self->address != NULL) && !(self->cell && self->cell->closed))
        return 0;
    if (self->cell && self->cell->closed) {
        PyObject *result = PyObject_CallOneArg(hooks.library_closed, self->declaration);
        Py_XDECREF(result);
        if (result)
            PyErr_SetString(PyExc_SystemError, "the hook for a closed library did not raise");
        return -1;
    }
    PyObject *address = PyObject_CallMethod(self->declaration, "resolve", NULL);
    if (!address)
        return -1;
    void *where = PyLong_AsVoidPtr(address);
    Py_DECREF(address);
    if (!where) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_SystemError, "a symbol resolved to NULL");
        return -1;
    }
    self->address = where;
    self->vectorcall = function_entry(self);
    return 0;
}

/* The general entry: every signature, every option. */
static PyObject *
general(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Function *f = (Function *)callable;
    Trampoline *t = f->trampoline;
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    if (UNLIKELY(nargs != t->taken) || UNLIKELY(kwnames != NULL))
        return call_rearranged(callable, f->declaration, args, nargs, kwnames, 0);
    if (UNLIKELY(function_resolve(f) < 0))
        return NULL;
    return invoke(t, f->address, f->cell, f, f->declaration, args, !(f->flags & CRITICAL), f->flags);
}

/* The quick entry: every parameter and the result are one word each, all in registers, and no option is set.  An argument
 * that is not of the plainest kind sends the whole call to the general entry; nothing has happened by then.  `integers` and
 * `floats` are how many arguments there are where that is known (then the words never touch memory); ANY where it is not. */
#define ANY 99

ALWAYS_INLINE PyObject *
quick(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames, int release, int integers, int floats,
      int kind)
{
    Function *f = (Function *)callable;
    Trampoline *t = f->trampoline;
    Cell *cell = f->cell;
    uint64_t words[REGISTERS + 1], result;
    int count = integers == ANY ? t->count : integers + floats;
    if (UNLIKELY(PyVectorcall_NARGS(nargsf) != count) || UNLIKELY(kwnames != NULL) || UNLIKELY(cell->closed))
        return general(callable, args, nargsf, kwnames);
    if (integers == ANY) {
        for (int i = 0; i < count; i++)
            if (UNLIKELY(!quick_word(f->codes[i], args[i], words + f->places[i])))
                return general(callable, args, nargsf, kwnames);
    }
    else {
        int first = integers ? 0 : INTEGER_REGISTERS;
#pragma GCC unroll 4
        for (int i = 0; i < count; i++)
            if (UNLIKELY(!quick_word(f->codes[i], args[i], words + first + i)))
                return general(callable, args, nargsf, kwnames);
    }
    cell->inflight++;
    t->calls++;
    Record record = {current_record, release ? PyEval_SaveThread() : PyThreadState_Get(), NULL};
    current_record = &record;
    result = jump_word(f->address, words, integers, floats, kind);
    if (release)
        PyEval_RestoreThread(record.state);
    current_record = record.previous;
    PyObject *value = NULL;
    if (UNLIKELY(record.exception != NULL))
        give_exception(record.exception);
    else {
        value = get_word(t->result, result);
        if (UNLIKELY(!value))
            explain(f->declaration, -1);
    }
    if (--cell->inflight == 0 && UNLIKELY(cell->closed))
        cell_leave_slowly(cell);
    return value;
}

#if HAVE_REGISTERS
#define QUICK(NAME, INTEGERS_, FLOATS_, KIND)                                                                          \
    static PyObject *NAME(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)                     \
    {                                                                                                                  \
        return quick(self, args, nargsf, kwnames, 0, INTEGERS_, FLOATS_, KIND);                                        \
    }                                                                                                                  \
    static PyObject *NAME##_release(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)           \
    {                                                                                                                  \
        return quick(self, args, nargsf, kwnames, 1, INTEGERS_, FLOATS_, KIND);                                        \
    }
QUICK(integers_0, 0, 0, 'I')
QUICK(integers_1, 1, 0, 'I')
QUICK(integers_2, 2, 0, 'I')
QUICK(integers_3, 3, 0, 'I')
QUICK(integers_4, 4, 0, 'I')
QUICK(floats_1, 0, 1, 'S')
QUICK(floats_2, 0, 2, 'S')
QUICK(floats_3, 0, 3, 'S')
QUICK(integers_to_word, ANY, 0, 'I')
QUICK(integers_to_float, ANY, 0, 'S')
QUICK(mixed_to_word, ANY, ANY, 'I')
QUICK(mixed_to_float, ANY, ANY, 'S')
#endif

/* The entry that calls of this function take: the quickest that serves it, once it is resolved. */
vectorcallfunc
function_entry(const Function *f)
{
#if HAVE_REGISTERS
    static const vectorcallfunc by_integers[][2] = {
        {integers_0_release, integers_0}, {integers_1_release, integers_1}, {integers_2_release, integers_2},
        {integers_3_release, integers_3}, {integers_4_release, integers_4},
    };
    static const vectorcallfunc by_floats[][2] = {
        {floats_1_release, floats_1}, {floats_2_release, floats_2}, {floats_3_release, floats_3},
    };
    static const vectorcallfunc otherwise[2][2][2] = {
        {{integers_to_word_release, integers_to_word}, {integers_to_float_release, integers_to_float}},
        {{mixed_to_word_release, mixed_to_word}, {mixed_to_float_release, mixed_to_float}},
    };
    const Trampoline *t = f->trampoline;
    int critical = f->flags & CRITICAL;
    if (!f->address || !t->plain || !f->cell || f->flags & ~CRITICAL || t->count > QUICK_PARAMETERS)
        return general;
    int to_float = t->jump == 'S';
    if (!t->floats && !to_float && t->count <= 4)
        return by_integers[t->count][critical];
    if (to_float && t->floats == t->count && t->count >= 1 && t->count <= 3)
        return by_floats[t->count - 1][critical];
    return otherwise[t->floats > 0][to_float][critical];
#endif
    return general;
}

/* trampoline(address, *arguments): the bare call, with the GIL released. */
PyObject *
trampoline_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Trampoline *t = (Trampoline *)self;
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    if (nargs < 1 || nargs != t->taken + 1 || kwnames)
        return call_rearranged(self, self, args + (nargs > 0), nargs > 0 ? nargs - 1 : 0, kwnames, 1);
    void *address = NULL;
    Cell *cell = NULL;
    if (PyLong_Check(args[0]))
        address = PyLong_AsVoidPtr(args[0]);
    else if (Py_TYPE(args[0]) == &FunctionType) {
        if (function_resolve((Function *)args[0]) < 0)
            return NULL;
        address = ((Function *)args[0])->address;
        cell = ((Function *)args[0])->cell;
    }
    else if (Py_TYPE(args[0]) == &CallbackType)
        address = ((Callback *)args[0])->code;
    if (!address) {
        PyErr_Clear(); /* an int too large for an address */
        PyErr_Format(hooks.type_error, "%S: got %.100R as the address, wanted an int that is not 0, a foreign function or a "
                         "callback", self, args[0]);
        return NULL;
    }
    return invoke(t, address, cell, NULL, self, args + 1, 1, 0);
}
