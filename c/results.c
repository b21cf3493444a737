/* What becomes of a result on its way to Python: who frees what it points to, whether it passes the declaration's check,
 * whether the call is to be made again, and the outputs that follow it.
 */
#include "shim.h"

/* Whether a result that is no callable's to judge passes the check. */
int
word_passes(const Converter *c, char check, uint64_t word)
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

/* 1: it passes; 0: it does not; -1: the callable that judges it raised. */
int
result_passes(Function *f, PyObject *value, uint64_t word)
{
    if (f->check != CHECK_CALLABLE)
        return word_passes(f->trampoline->result, f->check, word);
    PyObject *answer = PyObject_CallOneArg(f->check_callable, value);
    int passes = answer ? PyObject_IsTrue(answer) : -1;
    Py_XDECREF(answer);
    return passes;
}

/* The result failed the check: raise, or give what the declaration has for that case.  Takes the reference to `value`. */
PyObject *
result_failed(Function *f, PyObject *value, PyObject *const *args, char *temporaries, PyObject *const *items)
{
    Trampoline *t = f->trampoline;
    if (UNLIKELY(t->outputs) && !(value = with_outputs(t, f->declaration, value, temporaries, items, 1)))
        return NULL;
    PyObject *number = f->flags & ERRNO ? PyLong_FromLong(saved_errno) : Py_NewRef(Py_None);
    PyObject *given = PyTuple_New(t->taken), *result = NULL;
    for (int i = 0; given && i < t->taken; i++)
        PyTuple_SET_ITEM(given, i, Py_NewRef(args[i]));
    if (number && given)
        result = PyObject_CallFunctionObjArgs(hooks.check_failed, f->declaration, value, number, given, NULL);
    Py_XDECREF(number);
    Py_XDECREF(given);
    Py_DECREF(value);
    return result;
}

/* After a result that failed: whether the call is made once more (1), or not (0), or something raised meanwhile (-1): a
 * signal's Python handler runs here, as in Python's own system calls (PEP 475). */
int
try_again(Function *f, long attempt)
{
    const Retry *retry = f->retry;
    if (retry->attempts && attempt >= retry->attempts)
        return 0;
    for (int i = 0; i < retry->count; i++) {
        if (retry->numbers[i] != saved_errno)
            continue;
        int kept = saved_errno;
        if (PyErr_CheckSignals() < 0)
            return -1;
        PyObject *done = PyObject_CallOneArg(hooks.retrying, f->declaration);
        Py_XDECREF(done);
        saved_errno = kept;
        return done ? 1 : -1;
    }
    return 0;
}

/* What C gave at `address` is the caller's to free: the floors above make an object of it that does.  Takes the reference
 * to `value`; where that is NULL nobody wants it, it is freed now, and an error that is set stays set. */
PyObject *
take_over(Converter *c, PyObject *who, void *address, PyObject *value)
{
    if (!address)
        return value;
    PyObject *exception = value ? NULL : take_exception();
    PyObject *where = PyLong_FromVoidPtr(address), *result = NULL;
    if (where)
        result = PyObject_CallFunctionObjArgs(hooks.take, who, c->ctype, where, value ? value : Py_None, NULL);
    Py_XDECREF(where);
    if (value) {
        Py_DECREF(value);
        return result;
    }
    if (!result)
        PyErr_WriteUnraisable(who);
    Py_XDECREF(result);
    if (exception)
        give_exception(exception);
    return NULL;
}

static int
is_output(const Parameter *p)
{
    return p->converter->code == '>' || p->converter->code == '=';
}

/* The pointer that C left in an output. */
static void *
left_in(const Parameter *p, const char *temporaries)
{
    void *address;
    memcpy(&address, temporaries + p->temporary, sizeof address);
    return address;
}

static PyObject *
output(const Parameter *p, PyObject *who, char *temporaries)
{
    Converter *c = p->converter->inner;
    PyObject *value = from_memory(c, temporaries + p->temporary);
    return UNLIKELY(c->owned) ? take_over(c, who, left_in(p, temporaries), value) : value;
}

/* Free what C gave in the outputs, for nobody will get it. */
static void
release_from(Trampoline *t, int first, PyObject *who, char *temporaries)
{
    for (int i = first; t->owned && i < t->count; i++) {
        Parameter *p = &t->parameters[i];
        if (is_output(p) && p->converter->inner->owned)
            take_over(p->converter->inner, who, left_in(p, temporaries), NULL);
    }
}

void
release_outputs(Trampoline *t, PyObject *who, char *temporaries)
{
    release_from(t, 0, who, temporaries);
}

/* The same with arrays among them: the plan puts the values together. */
static PyObject *
with_arrays(Trampoline *t, PyObject *who, PyObject *result, char *temporaries, PyObject *prepared, int failed)
{
    PyObject *boxes = PyList_New(0), *value = NULL;
    int i = 0;
    for (; boxes && i < t->count; i++) {
        const Parameter *p = &t->parameters[i];
        if (!is_output(p))
            continue;
        PyObject *one = output(p, who, temporaries);
        if (!one || PyList_Append(boxes, one) < 0)
            Py_CLEAR(boxes);
        Py_XDECREF(one);
    }
    if (boxes)
        value = arrays_finish(t, who, result, boxes, prepared, failed);
    else
        release_from(t, i, who, temporaries);
    Py_XDECREF(boxes);
    Py_DECREF(result);
    return value;
}

/* The values of the :out and :inout parameters, after the result.  Takes the reference to `result`.  `items` are what the
 * call's frame keeps; `failed` says that the result failed its check. */
PyObject *
with_outputs(Trampoline *t, PyObject *who, PyObject *result, char *temporaries, PyObject *const *items, int failed)
{
    if (t->counted)
        return with_arrays(t, who, result, temporaries, items[0], failed);
    int skip = t->result->code == 'v', place = !skip, i = 0;
    int single = skip && t->outputs == 1;
    PyObject *tuple = single ? NULL : PyTuple_New(t->outputs + !skip);
    if (!single && !tuple)
        goto fail;
    if (tuple && !skip)
        PyTuple_SET_ITEM(tuple, 0, Py_NewRef(result));
    for (; i < t->count; i++) {
        const Parameter *p = &t->parameters[i];
        if (!is_output(p))
            continue;
        PyObject *value = output(p, who, temporaries);
        if (single) {
            Py_DECREF(result);
            return value;
        }
        if (!value) {
            i++;
            goto fail;
        }
        PyTuple_SET_ITEM(tuple, place++, value);
    }
    Py_DECREF(result);
    return tuple;
fail:
    release_from(t, i, who, temporaries);
    Py_DECREF(result);
    Py_XDECREF(tuple);
    return NULL;
}
