/* The call: from a vectorcall entry, through the converters, into C and back.
 *
 * One body, `invoke`, is written once and compiled into one entry for each strategy and way of holding the GIL, so that
 * nothing is decided at run time that the signature decides.  Around it stand the typed jumps (registers) and the
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
static void
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

#define JUMP(R) (t->floats ? ((R(*)(INTEGERS, FLOATS))address)(INTEGER_WORDS, FLOAT_WORDS) \
                           : ((R(*)(INTEGERS))address)(INTEGER_WORDS))

ALWAYS_INLINE void
jump(const Trampoline *t, void *address, const u64 *w, u64 *result)
{
    const double *d = (const double *)(w + INTEGER_REGISTERS);
    if (LIKELY(t->jump == 'I')) {
        result[0] = JUMP(u64);
        return;
    }
    if (LIKELY(t->jump == 'S')) {
        double r = JUMP(double);
        memcpy(result, &r, sizeof r);
        return;
    }
    switch (t->jump) {
    case '1': { Pair1 r = JUMP(Pair1); memcpy(result, &r, sizeof r); break; }
    case '2': { Pair2 r = JUMP(Pair2); memcpy(result, &r, sizeof r); break; }
    case '3': { Pair3 r = JUMP(Pair3); memcpy(result, &r, sizeof r); break; }
    case '4': { Pair4 r = JUMP(Pair4); memcpy(result, &r, sizeof r); break; }
    }
}
#else
ALWAYS_INLINE void
jump(const Trampoline *t, void *address, const uint64_t *w, uint64_t *result)
{
    (void)t, (void)address, (void)w, (void)result;
}
#endif

/* --- fast conversions --------------------------------------------------------------------------------------------- */

/* The value of a small exact int. */
ALWAYS_INLINE int
compact(PyObject *object, int64_t *value)
{
    if (UNLIKELY(!PyLong_CheckExact(object)))
        return 0;
#if PY_VERSION_HEX >= 0x030C0000
    if (UNLIKELY(!PyUnstable_Long_IsCompact((PyLongObject *)object)))
        return 0;
    *value = PyUnstable_Long_CompactValue((PyLongObject *)object);
#else
    Py_ssize_t size = Py_SIZE(object);
    if (UNLIKELY((size_t)(size + 1) > 2))
        return 0;
    *value = size * (int64_t)((PyLongObject *)object)->ob_digit[0];
#endif
    return 1;
}

/* The conversions that most calls need, inline; the rest goes to to_word.  Returns 0 or -1. */
ALWAYS_INLINE int
put_word(Converter *c, PyObject *value, uint64_t *word, Frame *frame)
{
    int64_t number;
    switch (c->code) {
    case 'i':
        if (LIKELY(compact(value, &number)) && LIKELY(number == (int32_t)number)) {
            *word = (uint64_t)number;
            return 0;
        }
        break;
    case 'q':
        if (LIKELY(compact(value, &number))) {
            *word = (uint64_t)number;
            return 0;
        }
        break;
    case 'I':
        if (LIKELY(compact(value, &number)) && LIKELY(number == (uint32_t)number)) {
            *word = (uint64_t)number;
            return 0;
        }
        break;
    case 'Q':
        if (LIKELY(compact(value, &number)) && LIKELY(number >= 0)) {
            *word = (uint64_t)number;
            return 0;
        }
        break;
    case 'd':
        if (LIKELY(PyFloat_CheckExact(value))) {
            memcpy(word, &((PyFloatObject *)value)->ob_fval, sizeof(double));
            return 0;
        }
        break;
    case 'f':
        if (LIKELY(PyFloat_CheckExact(value))) {
            float single = (float)((PyFloatObject *)value)->ob_fval;
            memcpy(word, &single, sizeof single);
            return 0;
        }
        break;
    case 'z':
        if (LIKELY(PyUnicode_CheckExact(value)) && LIKELY(PyUnicode_IS_COMPACT_ASCII(value))) {
            const char *text = (const char *)((PyASCIIObject *)value + 1);
            if (LIKELY(strlen(text) == (size_t)PyUnicode_GET_LENGTH(value))) {
                *word = (uintptr_t)text;
                return 0;
            }
        }
        break;
    case 'P':
        if (value == Py_None) {
            *word = 0;
            return 0;
        }
        break;
    }
    return to_word(c, value, word, frame);
}

ALWAYS_INLINE PyObject *
get_word(Converter *c, uint64_t word)
{
    switch (c->code) {
    case 'v': Py_RETURN_NONE;
    case 'i': return PyLong_FromLong((int32_t)word);
    case 'q': return PyLong_FromLong((long)(int64_t)word);
    case 'd': { double number; memcpy(&number, &word, sizeof number); return PyFloat_FromDouble(number); }
    }
    return from_word(c, word);
}

/* --- the body ----------------------------------------------------------------------------------------------------- */

static int
put_wide(Trampoline *t, Parameter *p, PyObject *value, uint64_t *words, Frame *frame)
{
    (void)t;
    if (p->mode == WIDE)
        return to_memory(p->converter, value, words + p->word, frame);
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

/* The whole of a call.  `f` is NULL when a bare trampoline is called; `who` is what error texts name. */
ALWAYS_INLINE PyObject *
invoke(Trampoline *t, void *address, Cell *cell, Function *f, PyObject *who, PyObject *const *args, int strategy,
       int release, int flags)
{
    Frame frame;
    PyObject *value = NULL;
    int registers = strategy == BY_REGISTERS;
    uint64_t fixed_words[REGISTERS + 2] __attribute__((aligned(16)));
    uint64_t *words = fixed_words;
    uint64_t small[4] = {0};
    void *wide = small;

    if (!registers) {
        words = alloca((size_t)(t->words + 2) * sizeof(uint64_t) + 16);
        words = (uint64_t *)(((uintptr_t)words + 15) & ~(uintptr_t)15);
    }
    frame.items = alloca((size_t)(t->count * OWNED_PER_PARAMETER + 1) * sizeof(PyObject *));
    frame.count = 0;
    char *temporaries = NULL;
    if (UNLIKELY(t->temporaries)) {
        temporaries = alloca((size_t)t->temporaries + 16);
        temporaries = (char *)(((uintptr_t)temporaries + 15) & ~(uintptr_t)15);
    }

    PyObject *const *next = args;
    Parameter *end = t->parameters + t->count;
    for (Parameter *p = t->parameters; p < end; p++) {
        PyObject *argument = UNLIKELY(p->optional) ? Py_None : *next++;
        if (UNLIKELY(p->temporary >= 0))
            frame.temporaries = temporaries + p->temporary;
        int failed = LIKELY(p->mode == WORD) ? put_word(p->converter, argument, words + p->word, &frame)
                                             : put_wide(t, p, argument, words, &frame);
        if (UNLIKELY(failed)) {
            explain(who, (int)(p - t->parameters));
            goto out;
        }
    }

    int struct_result = 0;
    if (UNLIKELY(t->jump != 'I' && t->jump != 'S') || UNLIKELY(t->hidden)) {
        struct_result = is_wide(t->result);
        if (t->result->size > (Py_ssize_t)sizeof small)
            wide = alloca((size_t)t->result->size + 16);
        if (t->hidden)
            words[0] = (uintptr_t)wide;
    }

    /* in the air: from here to the landing nothing but C runs on this thread, and callbacks */
    Record record = {current_record, PyThreadState_Get(), NULL};
    current_record = &record;
    if (cell)
        cell->inflight++;
    t->calls++;
    {
        void **values = registers ? NULL : alloca((size_t)(t->nffi + 1) * sizeof(void *));
        PyThreadState *state = release ? PyEval_SaveThread() : NULL;
        if (UNLIKELY(flags & ERRNO))
            errno = 0;
        if (registers)
            jump(t, address, words, small);
        else
            call_libffi(t, address, words, t->hidden ? small : wide, values);
        if (UNLIKELY(flags & ERRNO))
            saved_errno = errno;
        if (release)
            PyEval_RestoreThread(state);
    }
    current_record = record.previous;
    if (cell && --cell->inflight == 0 && UNLIKELY(cell->closed))
        cell_leave_slowly(cell);

    if (UNLIKELY(record.exception != NULL)) {
        give_exception(record.exception);
        goto out;
    }
    if (UNLIKELY(struct_result))
        value = from_memory(t->result, registers && !t->hidden ? small : wide);
    else
        value = get_word(t->result, small[0]);
    if (UNLIKELY(flags & CHECK) && value)
        value = checked(f, value, small[0], args);
    if (UNLIKELY(t->outputs) && value)
        value = with_outputs(t, value, temporaries);
out:
    while (UNLIKELY(frame.count))
        Py_DECREF(frame.items[--frame.count]);
    return value;
}

/* --- Function ----------------------------------------------------------------------------------------------------- */

/* Resolve the symbol, at the first call. */
int
function_resolve(Function *self)
{
    if (LIKELY(self->address) && !(self->cell && self->cell->closed))
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
    return 0;
}

ALWAYS_INLINE PyObject *
function_call(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames, int strategy, int release,
              int plain)
{
    Function *f = (Function *)callable;
    Trampoline *t = f->trampoline;
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    if (UNLIKELY(nargs != t->taken) || UNLIKELY(kwnames != NULL))
        return call_rearranged(callable, f->declaration, args, nargs, kwnames, 0);
    Cell *cell = f->cell;
    if (UNLIKELY(!f->address) || (cell && UNLIKELY(cell->closed))) {
        if (function_resolve(f) < 0)
            return NULL;
    }
    return invoke(t, f->address, cell, f, f->declaration, args, strategy, release, plain ? 0 : f->flags);
}

#define ENTRY(NAME, STRATEGY, RELEASE, PLAIN)                                                                          \
    static PyObject *NAME(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)                     \
    {                                                                                                                  \
        return function_call(self, args, nargsf, kwnames, STRATEGY, RELEASE, PLAIN);                                   \
    }
ENTRY(registers_critical, BY_REGISTERS, 0, 1)
ENTRY(registers_release, BY_REGISTERS, 1, 1)
ENTRY(registers_critical_options, BY_REGISTERS, 0, 0)
ENTRY(registers_release_options, BY_REGISTERS, 1, 0)
ENTRY(libffi_critical, BY_LIBFFI, 0, 0)
ENTRY(libffi_release, BY_LIBFFI, 1, 0)

static vectorcallfunc
choose_entry(const Trampoline *t, int flags)
{
    int critical = flags & CRITICAL, plain = !(flags & ~CRITICAL);
    if (t->strategy == BY_LIBFFI)
        return critical ? libffi_critical : libffi_release;
    if (plain)
        return critical ? registers_critical : registers_release;
    return critical ? registers_critical_options : registers_release_options;
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
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "a trampoline is called with the address of a function (an int that is not 0, "
                                             "or a foreign function), then its arguments");
        return NULL;
    }
    return t->strategy == BY_REGISTERS ? invoke(t, address, cell, NULL, self, args + 1, BY_REGISTERS, 1, 0)
                                       : invoke(t, address, cell, NULL, self, args + 1, BY_LIBFFI, 1, 0);
}

static PyObject *
function_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"trampoline", "declaration", "cell", "address", "critical", "errno", "check", NULL};
    PyObject *trampoline, *declaration, *cell = Py_None, *address = Py_None, *check = Py_None;
    int critical = 0, keep_errno = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O|OOppO:Function", names, &TrampolineType, &trampoline, &declaration,
                                     &cell, &address, &critical, &keep_errno, &check))
        return NULL;
    if (cell != Py_None && !PyObject_TypeCheck(cell, &CellType)) {
        PyErr_SetString(PyExc_TypeError, "cell is a Cell or None");
        return NULL;
    }
    void *where = address == Py_None ? NULL : PyLong_AsVoidPtr(address);
    if (!where && PyErr_Occurred())
        return NULL;
    Function *self = (Function *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->trampoline = (Trampoline *)Py_NewRef(trampoline);
    self->declaration = Py_NewRef(declaration);
    self->cell = cell == Py_None ? NULL : (Cell *)Py_NewRef(cell);
    self->address = where;
    self->flags = (critical ? CRITICAL : 0) | (keep_errno ? ERRNO : 0);
    if (PyUnicode_Check(check)) {
        static const char *const words[] = {"", "nonnegative", "positive", "nonzero", "zero"};
        for (int i = 1; i < 5; i++)
            if (PyUnicode_CompareWithASCIIString(check, words[i]) == 0)
                self->check = (char)i;
        if (PyUnicode_CompareWithASCIIString(check, "non-null") == 0)
            self->check = CHECK_NONZERO;
    }
    else if (check != Py_None) {
        self->check = CHECK_CALLABLE;
        self->check_callable = Py_NewRef(check);
    }
    if (self->check)
        self->flags |= CHECK;
    self->vectorcall = choose_entry(self->trampoline, self->flags);
    return (PyObject *)self;
}

static int
function_traverse(Function *self, visitproc visit, void *arg)
{
    Py_VISIT(self->trampoline);
    Py_VISIT(self->declaration);
    Py_VISIT(self->cell);
    Py_VISIT(self->check_callable);
    Py_VISIT(self->dict);
    return 0;
}

static int
function_clear(Function *self)
{
    Py_CLEAR(self->dict);
    Py_CLEAR(self->check_callable);
    return 0;
}

static void
function_dealloc(Function *self)
{
    PyObject_GC_UnTrack(self);
    if (self->weakrefs)
        PyObject_ClearWeakRefs((PyObject *)self);
    function_clear(self);
    Py_CLEAR(self->declaration);
    Py_CLEAR(self->trampoline);
    Py_CLEAR(self->cell);
    Py_TYPE(self)->tp_free(self);
}

/* What the declaration knows (its name, signature, library …) reads as an attribute of the function. */
static PyObject *
function_getattro(PyObject *self, PyObject *name)
{
    PyObject *found = PyObject_GenericGetAttr(self, name);
    if (found || !PyErr_ExceptionMatches(PyExc_AttributeError))
        return found;
    PyErr_Clear();
    return PyObject_GetAttr(((Function *)self)->declaration, name);
}

static PyObject *
function_repr(PyObject *self)
{
    return PyObject_Str(((Function *)self)->declaration);
}

static PyObject *
function_reduce(PyObject *self, PyObject *Py_UNUSED(none))
{
    return PyObject_CallMethod(((Function *)self)->declaration, "reduce", NULL);
}

static PyObject *
function_get_address(Function *self, void *Py_UNUSED(closure))
{
    return function_resolve(self) < 0 ? NULL : PyLong_FromVoidPtr(self->address);
}

static PyObject *
function_get_strategy(Function *self, void *Py_UNUSED(closure))
{
    return PyObject_GetAttrString((PyObject *)self->trampoline, "strategy");
}

/* help() and inspect read these from the type unless they are data descriptors */
static PyObject *
function_get_doc(Function *self, void *Py_UNUSED(closure))
{
    return PyObject_GetAttrString(self->declaration, "__doc__");
}

static PyMethodDef function_methods[] = {
    {"__reduce__", function_reduce, METH_NOARGS, "Pickled by library and symbol."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef function_members[] = {
    {"trampoline", T_OBJECT, offsetof(Function, trampoline), READONLY, "the trampoline of its signature"},
    {"declaration", T_OBJECT, offsetof(Function, declaration), READONLY, "what was declared"},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef function_getset[] = {
    {"address", (getter)function_get_address, NULL, "the address that a call jumps to", NULL},
    {"strategy", (getter)function_get_strategy, NULL, "how it is called", NULL},
    {"__doc__", (getter)function_get_doc, NULL, NULL, NULL},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject FunctionType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "epsilon._shim.Function",
    .tp_doc = "A C function that Python can call.",
    .tp_basicsize = sizeof(Function),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(Function, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_new = function_new,
    .tp_traverse = (traverseproc)function_traverse,
    .tp_clear = (inquiry)function_clear,
    .tp_dealloc = (destructor)function_dealloc,
    .tp_getattro = function_getattro,
    .tp_repr = function_repr,
    .tp_weaklistoffset = offsetof(Function, weakrefs),
    .tp_dictoffset = offsetof(Function, dict),
    .tp_methods = function_methods,
    .tp_members = function_members,
    .tp_getset = function_getset,
};
