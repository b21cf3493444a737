/* The call: from a vectorcall entry, through the converters, into C and back, as often as the declaration asks for.
 *
 * `invoke` is the whole of it, for every signature and option.  Most calls are simpler than that, and have entries of their
 * own (quick.c), which send here whatever is not plain.
 */
#include "jump.h"

int
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

void
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

/* All is converted, and the call is about to be made: what C gets for good departs. */
static int
depart(const Frame *frame)
{
    PyObject *made = PyTuple_New(frame->count), *result;
    if (!made)
        return -1;
    for (int i = 0; i < frame->count; i++)
        PyTuple_SET_ITEM(made, i, Py_NewRef(frame->items[i]));
    result = PyObject_CallOneArg(hooks.depart, made);
    Py_DECREF(made);
    Py_XDECREF(result);
    return result ? 0 : -1;
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
    size_t again_size = UNLIKELY(flags & RETRY) ? (size_t)t->temporaries : 0; /* the temporaries as C first got them */
    size_t size = words_size + items_size + values_size + (size_t)t->temporaries + wide_size + again_size + 5 * 16 + alignment;
    char *heap = NULL, *block;
    if (LIKELY(size <= BLOCK_ON_STACK))
        block = alloca(size);
    else if (!(block = heap = PyMem_Malloc(size)))
        return PyErr_NoMemory();
    uint64_t *words = carve(&block, words_size, 16);
    frame.items = carve(&block, items_size, 16);
    void **values = carve(&block, values_size, 16);
    char *temporaries = carve(&block, (size_t)t->temporaries, 16);
    char *again = carve(&block, again_size, 16);
    if (wide_size)
        wide = carve(&block, wide_size, alignment);
    if (t->hidden)
        words[0] = (uintptr_t)wide;

    /* in flight from before the conversions, which may run Python that closes the library, until the result is read */
    if (cell)
        cell->inflight++;
    PyObject *const *next = args;
    if (UNLIKELY(t->counted) && !(next = arrays_prepare(t, who, args, &frame)))
        goto out;
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
    if (UNLIKELY(again_size))
        memcpy(again, temporaries, again_size);

    for (long attempt = 1;; attempt++) {
        int kept = frame.count, aboard = guarded_board(args, t->taken), kept_aboard = 0;
        if (UNLIKELY(aboard < 0))
            goto out;
        if (UNLIKELY(kept) && UNLIKELY((kept_aboard = guarded_board(frame.items, kept)) < 0)) {
            guarded_land(args, t->taken);
            goto out;
        }
        if (UNLIKELY(t->gives) && depart(&frame) < 0) {
            guarded_land(args, t->taken);
            if (kept_aboard)
                guarded_land(frame.items, kept);
            goto out;
        }

        /* in the air: from here to the landing nothing but C runs on this thread, and callbacks */
        t->calls++;
        Record record = {current_record, release ? PyEval_SaveThread() : PyThreadState_Get(), NULL};
        current_record = &record;
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
        current_record = record.previous;
        if (aboard)
            guarded_land(args, t->taken);
        if (UNLIKELY(kept_aboard))
            guarded_land(frame.items, kept);

        if (UNLIKELY(record.exception != NULL)) {
            give_exception(record.exception);
            if (UNLIKELY(t->owned) && t->result->owned)
                take_over(t->result, who, (void *)(uintptr_t)small[0], NULL);
        }
        else {
            value = wide_result ? from_memory(t->result, registers && !t->hidden ? small : wide)
                                : get_word(t->result, small[0]);
            if (UNLIKELY(!value))
                explain(who, -1);
            if (UNLIKELY(t->owned) && t->result->owned)
                value = take_over(t->result, who, (void *)(uintptr_t)small[0], value);
        }
        if (LIKELY(!(flags & (CHECK | RETRY))) || !value)
            break;
        int passes = result_passes(f, value, small[0]);
        if (passes == 0 && flags & RETRY && (passes = try_again(f, attempt)) > 0) {
            release_outputs(t, who, temporaries);
            memcpy(temporaries, again, again_size);
            Py_CLEAR(value);
            continue;
        }
        if (passes < 0)
            Py_CLEAR(value);
        else if (passes == 0 && flags & CHECK) {
            value = result_failed(f, value, args, temporaries, frame.items);
            goto out;
        }
        break;
    }
    if (UNLIKELY(t->outputs)) {
        if (value)
            value = with_outputs(t, who, value, temporaries, frame.items, 0);
        else
            release_outputs(t, who, temporaries);
    }
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
PyObject *
call_general(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
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
