/* Upcalls: C calls a callback.
 *
 * An exception never crosses C.  It is parked in the thread's Record, the one that the enclosing call pushed (call.c), and
 * raised when that call lands; on a thread that is in no call of ours it goes to sys.unraisablehook.
 *
 * The GIL: a callback may come while this thread holds it (a critical call), while it has let go of it (a default call),
 * or on a thread that Python has never seen.  The Record says which thread state made the call; whether that state is the
 * current one says whether the GIL is held.  Without a Record, PyGILState_Ensure decides (threads.c).
 *
 * What happens when there is no result (a wrong one, an exception, a closed callback) is told at `fail`.
 *
 * A signature may have a compiled entry for its callbacks (entries.c).  It stands for `interpret`, and for nothing else:
 * what surrounds that is here for both, and whatever is not plain comes back to the functions `upcall_…`.
 */
#include "shim.h"

/* Where the arguments of a call are: in registers (a thunk's words) or behind libffi's pointers. */
typedef struct {
    const uint64_t *words;
    void **pointers;
} Arguments;

static PyThreadState *
current_state(void)
{
#if PY_VERSION_HEX >= 0x030D0000
    return PyThreadState_GetUnchecked();
#else
    return _PyThreadState_UncheckedGet();
#endif
}

/* Whether Python is going or gone: C's own atexit functions run later than that. */
static int
finalizing(void)
{
#if PY_VERSION_HEX >= 0x030D0000
    return Py_IsFinalizing() || !Py_IsInitialized();
#else
    return _Py_IsFinalizing() || !Py_IsInitialized();
#endif
}

/* Park the exception that is set, for the foreign call that C is in. */
void
park(Record *record, PyObject *context)
{
    if (!record) {
        PyErr_WriteUnraisable(context);
        return;
    }
    PyObject *exception = take_exception();
    if (!record->exception) {
        record->exception = exception;
        return;
    }
    PyObject *result = PyObject_CallFunctionObjArgs(hooks.another, record->exception, exception, NULL);
    if (!result)
        PyErr_WriteUnraisable(context);
    Py_XDECREF(result);
    Py_DECREF(exception);
}

/* Where this thread keeps its Records, as a number; it holds for as long as the thread lives.  None for a thread whose
 * state may outlive it (threads.c): of its end nobody would learn in time. */
PyObject *
shim_own_calls(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    PyObject *dict = PyThreadState_GetDict();
    if (!dict || PyDict_GetItemString(dict, "epsilon.thread"))
        Py_RETURN_NONE;
    return PyLong_FromVoidPtr(&current_record);
}

/* leave_to(thread, exception): park it for the foreign call that another thread is in; whether it is in one.  `thread.calls`
 * is what own_calls gave there, and None from the thread's end on.  The GIL is what makes this safe: nothing lets go of it
 * between that look and the end of this function, and a call takes its Record off only after it has the GIL again. */
PyObject *
shim_leave_to(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *thread, *exception;
    if (!PyArg_ParseTuple(args, "OO:leave_to", &thread, &exception))
        return NULL;
    PyObject *calls = PyObject_GetAttrString(thread, "calls");
    if (!calls)
        return NULL;
    Record **place = calls == Py_None ? NULL : PyLong_AsVoidPtr(calls);
    Record *record = place ? __atomic_load_n(place, __ATOMIC_ACQUIRE) : NULL;
    Py_DECREF(calls);
    if (!record)
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_False);
    if (exception != Py_None) {
        give_exception(Py_NewRef(exception));
        park(record, Py_None);
    }
    Py_RETURN_TRUE;
}

/* Write a word as libffi wants a closure's result: integers widened to ffi_arg. */
static void
put_result(const Converter *c, uint64_t word, void *where)
{
    while (c->code == 'x')
        c = c->inner;
    if (c->code == 'f')
        memcpy(where, &word, sizeof(float));
    else if (c->code == 'd')
        memcpy(where, &word, sizeof(double));
    else if (c->size <= (Py_ssize_t)sizeof(ffi_arg)) {
        ffi_arg wide = (ffi_arg)word;
        memcpy(where, &wide, sizeof wide);
    }
    else
        memcpy(where, &word, sizeof word);
}

/* A copy of a string that C frees. */
static uint64_t
give_copy(uint64_t word)
{
    return word ? (uintptr_t)strdup((const char *)(uintptr_t)word) : 0;
}

/* The declared answer, or zero.  No Python: it is also given when Python is gone. */
static void
answer(const Slot *slot, void *where)
{
    Converter *c = slot->trampoline->result;
    if (c->code == 'v')
        return;
    if (is_wide(c)) {
        if (slot->answer)
            memcpy(where, slot->answer, (size_t)c->size);
        else
            memset(where, 0, (size_t)c->size);
        return;
    }
    uint64_t word = 0;
    if (slot->answer)
        memcpy(&word, slot->answer, sizeof word);
    put_result(c, slot->give ? give_copy(word) : word, where);
}

/* A str or buffer that C got must outlive the return: it is kept until this slot's next return on this thread. */
static int
keep_result(Slot *slot, Frame *frame)
{
    if (!frame->count)
        return 0;
    if (!slot->returned)
        slot->returned = PyDict_New();
    PyObject *key = PyLong_FromUnsignedLong(PyThread_get_thread_ident()), *kept = PyTuple_New(frame->count);
    int failed = !slot->returned || !key || !kept;
    for (int i = 0; kept && i < frame->count; i++)
        PyTuple_SET_ITEM(kept, i, Py_NewRef(frame->items[i]));
    failed = failed || PyDict_SetItem(slot->returned, key, kept) < 0;
    Py_XDECREF(key);
    Py_XDECREF(kept);
    return failed ? -1 : 0;
}

/* The pointer that an :out or :inout parameter received. */
static void *
pointer_argument(Trampoline *t, int i, Arguments from)
{
    return from.words ? (void *)(uintptr_t)from.words[t->parameters[i].word] : *(void **)from.pointers[i];
}

static char
base_code(const Converter *c)
{
    while (c->code == 'x')
        c = c->inner;
    return c->code;
}

/* Write the values of :out and :inout parameters through C's pointers; the result proper is what remains. */
static PyObject *
spread_outputs(Trampoline *t, PyObject *result, Arguments from, Frame *frame)
{
    int skip = t->result->code == 'v', place = !skip;
    int single = skip && t->outputs == 1;
    PyObject *first = NULL;
    if (!single && (!PyTuple_Check(result) || PyTuple_GET_SIZE(result) != t->outputs + !skip)) {
        PyErr_Format(hooks.type_error, "got %.100R, wanted a tuple of %d values: with :out and :inout parameters the callable "
                     "returns theirs too", result, t->outputs + !skip);
        goto out;
    }
    for (int i = 0; i < t->count; i++) {
        Converter *c = t->parameters[i].converter;
        if (c->code != '>' && c->code != '=')
            continue;
        void *where = pointer_argument(t, i, from);
        PyObject *value = single ? result : PyTuple_GET_ITEM(result, place++);
        if (where && to_memory(c->inner, value, where, frame) < 0)
            goto out;
        if (where && base_code(c->inner) == 'z') /* C points into the str itself */
            frame_keep(frame, Py_NewRef(value));
    }
    first = Py_NewRef(skip ? Py_None : PyTuple_GET_ITEM(result, 0));
out:
    Py_DECREF(result);
    return first;
}

static PyObject *
read_wide(Trampoline *t, int i, Arguments from)
{
    Parameter *p = &t->parameters[i];
    if (p->mode == REFERENCE)
        return from_memory(p->converter, pointer_argument(t, i, from));
    if (!from.words)
        return from_memory(p->converter, from.pointers[i]);
    uint64_t pieces[2] = {from.words[p->word], p->word2 < 0 ? 0 : from.words[p->word2]};
    return from_memory(p->converter, pieces);
}

/* Ints, and the (:in int) of a comparator, without a detour. */
ALWAYS_INLINE PyObject *
read_word(Converter *c, uint64_t word)
{
    char code = c->code;
    if (code == 'i')
        return PyLong_FromLong((int32_t)word);
    if (code == '<' && c->inner->code == 'i' && LIKELY(word != 0))
        return PyLong_FromLong(*(int32_t *)(uintptr_t)word);
    return from_word(c, word);
}

/* One argument as a Python object. */
static PyObject *
read_argument(Trampoline *t, int i, Arguments from)
{
    Parameter *p = &t->parameters[i];
    Converter *c = p->converter;
    uint64_t word;
    if (LIKELY(from.words != NULL) && LIKELY(p->mode == WORD))
        word = from.words[p->word];
    else if (is_wide(c))
        return read_wide(t, i, from);
    else if (c->code != '<' && c->code != '=' && c->size < (Py_ssize_t)sizeof(uint64_t))
        return from_memory(c, from.pointers[i]);
    else
        memcpy(&word, from.pointers[i], sizeof word);
    return read_word(c, word);
}

/* The arguments of a signature with arrays, into the vector; how many, or -1. */
static int
receive_arrays(Trampoline *t, PyObject *callable, Arguments from, PyObject **vector, PyObject **received)
{
    PyObject *raw = PyTuple_New(t->count);
    for (int i = 0; raw && i < t->count; i++) {
        const Parameter *p = &t->parameters[i];
        PyObject *value = p->array      ? PyLong_FromVoidPtr(pointer_argument(t, i, from))
                          : p->optional ? Py_NewRef(Py_None)
                                        : read_argument(t, i, from);
        if (value)
            PyTuple_SET_ITEM(raw, i, value);
        else
            Py_CLEAR(raw);
    }
    int given = raw ? arrays_receive(t, callable, raw, vector, received) : -1;
    Py_XDECREF(raw);
    return given;
}

/* Write what a callable returned besides its result to C's memory, by way of the plan for arrays. */
static PyObject *
spread_arrays(Trampoline *t, PyObject *callable, PyObject *received, PyObject *result, Arguments from, Frame *frame)
{
    PyObject *boxes = NULL, *proper = arrays_spread(t, callable, received, result, &boxes, frame);
    Py_ssize_t place = 0;
    for (int i = 0; proper && i < t->count; i++) {
        Converter *c = t->parameters[i].converter;
        if (c->code != '>' && c->code != '=')
            continue;
        void *where = pointer_argument(t, i, from);
        if (where && to_memory(c->inner, PyTuple_GET_ITEM(boxes, place), where, frame) < 0)
            Py_CLEAR(proper);
        place++;
    }
    Py_XDECREF(boxes);
    return proper;
}

/* Convert the result for C; 0 or -1. */
static int
convert_result(Slot *slot, Converter *c, PyObject *result, void *where, Frame *frame)
{
    uint64_t word;
    if (is_wide(c)) {
        if (to_memory(c, result, where, frame) < 0)
            return -1;
        /* a struct may point to what it keeps alive itself */
        if (LIKELY(!frame->count) && !(PyObject_TypeCheck(result, &GuardedType) && ((Guarded *)result)->kept))
            return 0;
        frame_keep(frame, Py_NewRef(result));
        return keep_result(slot, frame);
    }
    if (to_word(c, result, &word, frame) < 0)
        return -1;
    put_result(c, word, where);
    if (LIKELY(!frame->count && c->code != 'z'))
        return 0;
    if (slot->give) {
        uint64_t copy = give_copy(word);
        put_result(c, copy, where);
        if (copy || !word)
            return 0;
        PyErr_NoMemory();
        return -1;
    }
    frame_keep(frame, Py_NewRef(result));
    return keep_result(slot, frame);
}

/* What on_error, a callable, answers to the exception; where it fails itself C gets zero, and the exception a note. */
static void
ask_answerer(Slot *slot, PyObject *exception, void *where)
{
    Converter *c = slot->trampoline->result;
    PyObject *kept[OWNED_PER_PARAMETER + 1];
    Frame frame = {kept, 0, NULL};
    PyObject *result = PyObject_CallOneArg(slot->answerer, exception);
    if (result && result != Py_None && c->code != 'v' && convert_result(slot, c, result, where, &frame) < 0) {
        explain(slot->answerer, -2);
        Py_CLEAR(result);
    }
    if (!result || result == Py_None)
        answer(slot, where);
    if (!result) {
        PyObject *second = take_exception();
        PyObject *done = PyObject_CallFunctionObjArgs(hooks.another, exception, second, NULL);
        if (!done)
            PyErr_WriteUnraisable(slot->answerer);
        Py_XDECREF(done);
        Py_XDECREF(second);
    }
    Py_XDECREF(result);
    while (frame.count)
        Py_DECREF(frame.items[--frame.count]);
}

/* There is no result, and the exception that is set says why: C gets the answer, and its caller the exception. */
static void
fail(Slot *slot, Record *record, PyObject *context, void *where)
{
    if (slot->answerer) {
        PyObject *exception = take_exception();
        ask_answerer(slot, exception, where);
        give_exception(exception);
    }
    else
        answer(slot, where);
    park(record, context);
}

/* C called a closed callback: answer, and let the enclosing call say so. */
__attribute__((noinline, cold)) void
upcall_closed(Slot *slot, Record *record, void *where)
{
    slot->entered++;
    PyObject *exception = PyObject_CallFunction(hooks.closed, "OOi", slot->name, slot->file, slot->line);
    if (exception)
        give_exception(exception);
    fail(slot, record, slot->name, where);
    slot->entered--;
}

/* What an error is said to be in: the function that the user gave, where the callback has not ended meanwhile. */
COLD PyObject *
shown(const Slot *slot, PyObject *callable)
{
    return slot->callback ? slot->callback->function : callable;
}

/* A call that gave no result: the exception that is set says why. */
COLD void
run_failed(Slot *slot, Record *record, PyObject *callable, PyObject *received, void *where)
{
    PyObject *function = Py_NewRef(shown(slot, callable));
    fail(slot, record, function, where);
    if (received)
        arrays_end(received, function);
    Py_DECREF(function);
}

/* The result that cannot be converted, named. */
COLD void
explain_result(const Slot *slot, PyObject *callable)
{
    explain(shown(slot, callable), -1);
}

/* --- what a compiled entry hands over --- */

/* A callable that is no Python function. */
PyObject *
upcall_vectorcall(PyObject *callable, PyObject *const *args, size_t nargsf)
{
    return PyObject_Vectorcall(callable, args, nargsf, NULL);
}

/* There is no result: the exception that is set says why. */
void
upcall_failed(Slot *slot, Record *record, PyObject *callable, void *where)
{
    run_failed(slot, record, callable, NULL, where);
}

/* The argument with that index is no value of its type: the exception that is set says why. */
void
upcall_refused(Slot *slot, Record *record, PyObject *callable, int index, void *where)
{
    explain(shown(slot, callable), index);
    run_failed(slot, record, callable, NULL, where);
}

/* A result that is not plain. */
void
upcall_result(Slot *slot, Record *record, PyObject *callable, PyObject *result, void *where)
{
    PyObject *kept[OWNED_PER_PARAMETER + 1];
    Frame frame = {kept, 0, NULL};
    if (convert_result(slot, slot->trampoline->result, result, where, &frame) < 0) {
        explain_result(slot, callable);
        run_failed(slot, record, callable, NULL, where);
    }
    while (frame.count)
        Py_DECREF(frame.items[--frame.count]);
}

/* --- the call --- */

#define SMALL_CALLBACK 14

static void
interpret(Slot *slot, Record *record, void *where, Arguments from)
{
    Trampoline *t = slot->trampoline;
    Callback *callback = slot->callback;
    if (UNLIKELY(!callback)) {
        upcall_closed(slot, record, where);
        return;
    }
    t->callbacks++;
    PyObject *callable = Py_NewRef(callback->callable);
    slot->entered++; /* the callback may close itself while it runs */
    PyObject *small[SMALL_CALLBACK + 1];
    PyObject **vector = small;
    if (UNLIKELY(t->count > SMALL_CALLBACK))
        vector = alloca((size_t)(t->count + 1) * sizeof(PyObject *));
    PyObject *kept[OWNED_PER_PARAMETER + 1];
    Frame frame = {kept, 0, NULL};
    if (UNLIKELY(t->after))
        frame.items = alloca((size_t)((t->outputs + 2) * OWNED_PER_PARAMETER) * sizeof(PyObject *));
    PyObject *result = NULL, *received = NULL;
    int given = 0, done = 0;
    const Parameter *p = t->parameters;
    if (LIKELY(t->words_only) && LIKELY(!t->outputs) && LIKELY(from.words != NULL))
        for (const Parameter *end = p + t->count; p < end; p++) {
            PyObject *argument = read_word(p->converter, from.words[p->word]);
            if (UNLIKELY(!argument)) {
                explain(shown(slot, callable), (int)(p - t->parameters));
                goto out;
            }
            vector[++given] = argument;
        }
    else if (UNLIKELY(t->viewed)) {
        int count = receive_arrays(t, shown(slot, callable), from, vector, &received);
        if (UNLIKELY(count < 0))
            goto out;
        given = count;
    }
    else
        for (int i = 0; i < t->count; i++) {
            if (p[i].optional)
                continue;
            PyObject *argument = read_argument(t, i, from);
            if (UNLIKELY(!argument)) {
                explain(shown(slot, callable), i);
                goto out;
            }
            vector[++given] = argument;
        }
    size_t nargsf = (size_t)given | PY_VECTORCALL_ARGUMENTS_OFFSET;
    vectorcallfunc vectorcall = PyVectorcall_Function(callable);
    result = LIKELY(vectorcall != NULL) ? vectorcall(callable, vector + 1, nargsf, NULL)
                                        : PyObject_Vectorcall(callable, vector + 1, nargsf, NULL);
    if (UNLIKELY(!result))
        goto out;
    if (UNLIKELY(t->after)) {
        result = t->viewed ? spread_arrays(t, shown(slot, callable), received, result, from, &frame)
                           : spread_outputs(t, result, from, &frame);
        if (!result) {
            explain_result(slot, callable);
            goto out;
        }
        if (keep_result(slot, &frame) < 0)
            goto out;
    }
    int64_t number;
    if (LIKELY(t->result->code == 'i') && LIKELY(compact(result, &number)) &&
        (PyLong_SHIFT <= 30 || LIKELY(number == (int32_t)number))) {
        ffi_arg wide = (ffi_arg)number;
        memcpy(where, &wide, sizeof wide);
        done = 1;
    }
    else
        done = t->result->code == 'v' || convert_result(slot, t->result, result, where, &frame) == 0;
    if (UNLIKELY(!done))
        explain_result(slot, callable);
out:
    if (UNLIKELY(!done))
        run_failed(slot, record, callable, received, where);
    while (given)
        Py_DECREF(vector[given--]);
    Py_XDECREF(result);
    if (UNLIKELY(t->after))
        Py_XDECREF(received);
    while (UNLIKELY(frame.count))
        Py_DECREF(frame.items[--frame.count]);
    slot->entered--;
    Py_DECREF(callable);
}

/* The GIL is held.  A closure has no words, so that it never comes to a compiled entry. */
ALWAYS_INLINE void
run(Slot *slot, Record *record, void *where, Arguments from)
{
    Upcall compiled = slot->trampoline->upcall;
    if (from.words && compiled)
        compiled(slot, record, from.words, where);
    else
        interpret(slot, record, where, from);
}

/* Get the GIL as this thread needs it, run, and leave the thread as it was. */
ALWAYS_INLINE void
enter_as_needed(Slot *slot, void *where, Arguments from)
{
    Record *record = current_record;
    if (record && UNLIKELY(!record->state))
        record->state = PyGILState_GetThisThreadState(); /* a call that keeps the GIL, and did not ask */
    if (record && current_state() == record->state) {
        run(slot, record, where, from);
        return;
    }
    if (UNLIKELY(finalizing())) { /* to wait for the GIL now would be to wait for ever */
        answer(slot, where);
        return;
    }
    if (LIKELY(record != NULL)) {
        PyEval_RestoreThread(record->state);
        run(slot, record, where, from);
        PyEval_SaveThread();
    }
    else {
        PyGILState_STATE state = thread_enter();
        run(slot, NULL, where, from);
        PyGILState_Release(state);
    }
}

/* C is here.  What Python does to errno is none of C's business. */
ALWAYS_INLINE void
enter(Slot *slot, void *where, Arguments from)
{
    int before = errno;
    enter_as_needed(slot, where, from);
    errno = before;
}

/* Through a closure of libffi's. */
void
upcall_closure(ffi_cif *Py_UNUSED(cif), void *where, void **pointers, void *user)
{
    Slot *slot = user;
    if (slot->hidden) { /* the first argument is where the result goes, and the result is that address */
        void *target = *(void **)pointers[0];
        memcpy(where, &target, sizeof target);
        where = target;
        pointers++;
    }
    enter(slot, where, (Arguments){NULL, pointers});
}

/* Through a thunk: the words are the registers, and the result goes into the registers that its classes name. */
void
thunk_run(void *user, ThunkCall *call)
{
    Slot *slot = user;
    char jump = slot->jump;
    if (LIKELY(jump == 'I') && LIKELY(!slot->hidden)) {
        enter(slot, &call->rax, (Arguments){call->words, NULL});
        return;
    }
    uint64_t result[2] = {0};
    if (slot->hidden) {
        call->rax = call->words[0];
        enter(slot, (void *)(uintptr_t)call->words[0], (Arguments){call->words, NULL});
        return;
    }
    enter(slot, result, (Arguments){call->words, NULL});
    switch (jump) {
    case 'S': call->xmm0 = result[0]; break;
    case '1': call->rax = result[0], call->rdx = result[1]; break;
    case '2': call->rax = result[0], call->xmm0 = result[1]; break;
    case '3': call->xmm0 = result[0], call->rax = result[1]; break;
    default: call->xmm0 = result[0], call->xmm1 = result[1];
    }
}
