/* Callbacks: C function pointers with a Python callable behind them.
 *
 * A C function pointer outlives the Python object that made it: C may have stored it anywhere.  So the pointer belongs to
 * a Slot, which is never freed.  While the Callback lives, the slot leads to it; once it is closed, the slot stays behind
 * in a queue, still knows its name and where it was closed, and answers C with the declared value while the foreign call
 * that C is in raises CallbackClosedError.  Only after QUARANTINE later closings does a slot serve a new callback.
 *
 * An exception never crosses C.  It is parked in the thread's Record, the one that `invoke` pushed, and raised when that
 * call lands; on a thread that is in no call of ours it goes to sys.unraisablehook.
 *
 * The GIL: a callback may come while this thread holds it (a critical call), while it has let go of it (a default call),
 * or on a thread that Python has never seen.  The Record says which thread state made the call; whether that state is the
 * current one says whether the GIL is held.  Without a Record, PyGILState_Ensure decides.
 */
#include "shim.h"

#define QUARANTINE 4096

struct Slot {
    Callback *callback;      /* borrowed; NULL once closed */
    Trampoline *trampoline;
    void *code;              /* the C function pointer: the thunk, or the closure's */
    void *thunk;             /* or NULL */
    ffi_closure *closure;    /* or NULL; made when a signature first needs it */
    void *closure_code;
    char *answer;            /* what C gets instead of a result, or NULL for zeros */
    PyObject *kept;          /* what `answer` points to, or NULL */
    PyObject *name, *file;   /* of the closed callback */
    int line;
    int entered;             /* C calls that are in it now; it serves nobody else meanwhile */
    char jump, hidden;       /* of the trampoline: read before the GIL is there */
    PyObject *returned;      /* thread → what the last result given to C there points to; or NULL */
    struct Slot *next;       /* in the queue */
};

/* Where the arguments of a call are: in registers (a thunk's words) or behind libffi's pointers. */
typedef struct {
    const uint64_t *words;
    void **pointers;
} Arguments;

static Slot *queue_head, *queue_tail;
static Py_ssize_t queue_length;

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

/* --- C calls ------------------------------------------------------------------------------------------------------ */

/* Park the exception that is set, for the foreign call that C is in. */
static void
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
    put_result(c, word, where);
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

/* C called a closed callback: answer, and let the enclosing call say so. */
static void
run_closed(Slot *slot, Record *record, void *where)
{
    slot->entered++;
    answer(slot, where);
    PyObject *exception = PyObject_CallFunction(hooks.closed, "OOi", slot->name, slot->file, slot->line);
    if (exception)
        give_exception(exception);
    park(record, slot->name);
    slot->entered--;
}

/* Convert the result for C; 0 or -1. */
static int
convert_result(Slot *slot, Converter *c, PyObject *result, void *where, Frame *frame)
{
    uint64_t word;
    if (is_wide(c))
        return to_memory(c, result, where, frame);
    if (to_word(c, result, &word, frame) < 0)
        return -1;
    put_result(c, word, where);
    if (LIKELY(!frame->count && c->code != 'z'))
        return 0;
    frame_keep(frame, Py_NewRef(result));
    return keep_result(slot, frame);
}

#define SMALL_CALLBACK 14

static void
run(Slot *slot, Record *record, void *where, Arguments from)
{
    Trampoline *t = slot->trampoline;
    Callback *callback = slot->callback;
    if (UNLIKELY(!callback)) {
        run_closed(slot, record, where);
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
    if (UNLIKELY(t->outputs))
        frame.items = alloca((size_t)((t->outputs + 2) * OWNED_PER_PARAMETER) * sizeof(PyObject *));
    PyObject *result = NULL;
    int given = 0, done = 0;
    const Parameter *p = t->parameters;
    if (LIKELY(t->words_only) && LIKELY(!t->outputs) && LIKELY(from.words != NULL))
        for (const Parameter *end = p + t->count; p < end; p++) {
            PyObject *argument = read_word(p->converter, from.words[p->word]);
            if (UNLIKELY(!argument))
                goto out;
            vector[++given] = argument;
        }
    else
        for (int i = 0; i < t->count; i++) {
            if (p[i].optional)
                continue;
            PyObject *argument = read_argument(t, i, from);
            if (UNLIKELY(!argument))
                goto out;
            vector[++given] = argument;
        }
    size_t nargsf = (size_t)given | PY_VECTORCALL_ARGUMENTS_OFFSET;
    vectorcallfunc vectorcall = PyVectorcall_Function(callable);
    result = LIKELY(vectorcall != NULL) ? vectorcall(callable, vector + 1, nargsf, NULL)
                                        : PyObject_Vectorcall(callable, vector + 1, nargsf, NULL);
    if (UNLIKELY(!result))
        goto out;
    if (UNLIKELY(t->outputs) && !(result = spread_outputs(t, result, from, &frame))) {
        explain(callable, -1);
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
        explain(callable, -1);
out:
    if (UNLIKELY(!done)) {
        PyObject *exception = take_exception();
        answer(slot, where);
        if (exception)
            give_exception(exception);
        park(record, callable);
    }
    while (given)
        Py_DECREF(vector[given--]);
    Py_XDECREF(result);
    while (UNLIKELY(frame.count))
        Py_DECREF(frame.items[--frame.count]);
    slot->entered--;
    Py_DECREF(callable);
}

/* C is here: get the GIL as this thread needs it, run, and leave the thread as it was. */
ALWAYS_INLINE void
enter(Slot *slot, void *where, Arguments from)
{
    Record *record = current_record;
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
        PyGILState_STATE state = PyGILState_Ensure();
        run(slot, NULL, where, from);
        PyGILState_Release(state);
    }
}

/* Through a closure of libffi's. */
static void
entered(ffi_cif *Py_UNUSED(cif), void *where, void **pointers, void *user)
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

/* --- making and closing ------------------------------------------------------------------------------------------- */

static void
slot_forget(Slot *slot)
{
    Py_CLEAR(slot->trampoline);
    Py_CLEAR(slot->name);
    Py_CLEAR(slot->file);
    Py_CLEAR(slot->kept);
    Py_CLEAR(slot->returned);
    PyMem_Free(slot->answer);
    slot->answer = NULL;
}

static void
slot_retire(Slot *slot)
{
    if (queue_tail && queue_length)
        queue_tail->next = slot;
    else
        queue_head = slot;
    queue_tail = slot;
    slot->next = NULL;
    queue_length++;
}

static Slot *
slot_take(void)
{
    if (queue_length > QUARANTINE) {
        Slot *slot = queue_head;
        queue_head = slot->next;
        queue_length--;
        if (LIKELY(!slot->entered)) {
            slot->next = NULL;
            slot_forget(slot);
            return slot;
        }
        slot_retire(slot); /* C is in it: it waits once more */
    }
    Slot *slot = PyMem_Calloc(1, sizeof(Slot));
    if (!slot)
        PyErr_NoMemory();
    else
        slot->thunk = thunk_take(slot);
    return slot;
}

/* Give the slot a C function pointer for its signature. */
static int
slot_aim(Slot *slot)
{
    Trampoline *t = slot->trampoline;
    slot->jump = t->jump;
    slot->hidden = t->hidden;
    if (t->strategy == BY_REGISTERS && slot->thunk) {
        slot->code = slot->thunk;
        return 0;
    }
    if (plan_callback(t) < 0)
        return -1;
    if (!slot->closure && !(slot->closure = ffi_closure_alloc(sizeof(ffi_closure), &slot->closure_code))) {
        PyErr_NoMemory();
        return -1;
    }
    slot->code = slot->closure_code;
    if (ffi_prep_closure_loc(slot->closure, &t->callback_cif, entered, slot, slot->code) != FFI_OK) {
        PyErr_SetString(PyExc_SystemError, "libffi refused to make a closure");
        return -1;
    }
    return 0;
}

/* The name and the place that CallbackClosedError will tell. */
static void
slot_note_end(Slot *slot, PyObject *callable, int collected)
{
    PyObject *name = PyObject_GetAttrString(callable, "__qualname__");
    if (!name) {
        PyErr_Clear();
        name = PyUnicode_FromString(Py_TYPE(callable)->tp_name);
    }
    PyErr_Clear();
    slot->name = name ? name : Py_NewRef(Py_None);
    slot->file = NULL;
    PyFrameObject *frame = collected ? NULL : PyEval_GetFrame();
    if (frame) {
        PyCodeObject *code = PyFrame_GetCode(frame);
        slot->file = Py_NewRef(code->co_filename);
        slot->line = PyFrame_GetLineNumber(frame);
        Py_DECREF(code);
    }
    if (!slot->file)
        slot->file = Py_NewRef(Py_None);
}

/* The value that C gets when there is no result: convert it now, so that nothing can fail then. */
static int
slot_set_answer(Slot *slot, PyObject *on_error)
{
    Converter *c = slot->trampoline->result;
    if (on_error == Py_None || c->code == 'v')
        return 0;
    PyObject *items[OWNED_PER_PARAMETER];
    Frame frame = {items, 0, NULL};
    slot->answer = PyMem_Calloc(1, c->size > 8 ? (size_t)c->size : 8);
    if (!slot->answer) {
        PyErr_NoMemory();
        return -1;
    }
    int failed = is_wide(c) ? to_memory(c, on_error, slot->answer, &frame)
                            : to_word(c, on_error, (uint64_t *)slot->answer, &frame);
    if (!failed) {
        slot->kept = PyTuple_New(frame.count + 1);
        if (slot->kept) {
            PyTuple_SET_ITEM(slot->kept, frame.count, Py_NewRef(on_error));
            for (int i = 0; i < frame.count; i++)
                PyTuple_SET_ITEM(slot->kept, i, Py_NewRef(items[i]));
        }
        failed = !slot->kept;
    }
    while (frame.count)
        Py_DECREF(items[--frame.count]);
    return failed ? -1 : 0;
}

static PyObject *
callback_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *trampoline, *callable, *on_error = Py_None;
    if (kwargs && PyDict_GET_SIZE(kwargs)) {
        PyErr_SetString(PyExc_TypeError, "Callback takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O!O|O:Callback", &TrampolineType, &trampoline, &callable, &on_error))
        return NULL;
    Slot *slot = slot_take();
    if (!slot)
        return NULL;
    slot->trampoline = (Trampoline *)Py_NewRef(trampoline);
    Callback *self = NULL;
    if (slot_set_answer(slot, on_error) == 0 && slot_aim(slot) == 0)
        self = (Callback *)type->tp_alloc(type, 0);
    if (!self) { /* nobody knows the pointer; the slot waits for its turn like the others */
        slot->name = Py_NewRef(Py_None);
        slot->file = Py_NewRef(Py_None);
        slot_retire(slot);
        return NULL;
    }
    self->callable = Py_NewRef(callable);
    self->slot = slot;
    self->code = slot->code;
    slot->callback = self;
    return (PyObject *)self;
}

static void
callback_end(Callback *self, int collected)
{
    Slot *slot = self->slot;
    if (!slot)
        return;
    self->slot = NULL;
    slot->callback = NULL;
    slot_note_end(slot, self->callable, collected);
    slot_retire(slot);
}

static PyObject *
callback_close(Callback *self, PyObject *Py_UNUSED(none))
{
    callback_end(self, 0);
    Py_RETURN_NONE;
}

static PyObject *
callback_enter(PyObject *self, PyObject *Py_UNUSED(none))
{
    return Py_NewRef(self);
}

static PyObject *
callback_exit(Callback *self, PyObject *Py_UNUSED(args))
{
    callback_end(self, 0);
    Py_RETURN_NONE;
}

/* From Python, a callback is the callable that it was made of. */
static PyObject *
callback_call(Callback *self, PyObject *args, PyObject *kwargs)
{
    return PyObject_Call(self->callable, args, kwargs);
}

static int
callback_traverse(Callback *self, visitproc visit, void *arg)
{
    Py_VISIT(self->callable);
    return 0;
}

static int
callback_clear(Callback *self)
{
    callback_end(self, 1);
    Py_CLEAR(self->callable);
    return 0;
}

static void
callback_dealloc(Callback *self)
{
    PyObject_GC_UnTrack(self);
    if (self->weakrefs)
        PyObject_ClearWeakRefs((PyObject *)self);
    PyObject *exception = take_exception();
    callback_clear(self);
    if (exception)
        give_exception(exception);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *
callback_get_closed(Callback *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->slot == NULL);
}

static PyObject *
callback_get_address(Callback *self, void *Py_UNUSED(closure))
{
    return PyLong_FromVoidPtr(self->code);
}

static PyObject *
callback_get_signature(Callback *self, void *Py_UNUSED(closure))
{
    if (!self->slot)
        Py_RETURN_NONE;
    return Py_NewRef(self->slot->trampoline->signature);
}

static PyObject *
callback_get_cdata(Callback *self, void *Py_UNUSED(closure))
{
    return PyObject_CallOneArg(hooks.cdata, (PyObject *)self);
}

static PyObject *
callback_getattro(PyObject *self, PyObject *name)
{
    PyObject *found = PyObject_GenericGetAttr(self, name);
    if (found || !PyErr_ExceptionMatches(PyExc_AttributeError) || !((Callback *)self)->callable)
        return found;
    PyErr_Clear();
    return PyObject_GetAttr(((Callback *)self)->callable, name);
}

static PyObject *
callback_repr(Callback *self)
{
    PyObject *signature = callback_get_signature(self, NULL);
    PyObject *text = self->slot ? PyUnicode_FromFormat("<callback %R at %p: %S>", self->callable, self->code, signature)
                                : PyUnicode_FromFormat("<closed callback %R at %p>", self->callable, self->code);
    Py_XDECREF(signature);
    return text;
}

static PyMethodDef callback_methods[] = {
    {"close", (PyCFunction)callback_close, METH_NOARGS, "End it: C gets the on_error value from now on."},
    {"__enter__", (PyCFunction)callback_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)callback_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef callback_members[] = {
    {"callable", T_OBJECT, offsetof(Callback, callable), READONLY, "the Python callable"},
    {"__wrapped__", T_OBJECT, offsetof(Callback, callable), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef callback_getset[] = {
    {"address", (getter)callback_get_address, NULL, "what C jumps to", NULL},
    {"closed", (getter)callback_get_closed, NULL, "whether it has ended", NULL},
    {"signature", (getter)callback_get_signature, NULL, "its Signature; None once it has ended", NULL},
    {"cdata", (getter)callback_get_cdata, NULL, "a cffi function pointer, for plain cffi code", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject CallbackType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "epsilon._shim.Callback",
    .tp_doc = "A C function pointer with a Python callable behind it.",
    .tp_basicsize = sizeof(Callback),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = callback_new,
    .tp_call = (ternaryfunc)callback_call,
    .tp_traverse = (traverseproc)callback_traverse,
    .tp_clear = (inquiry)callback_clear,
    .tp_dealloc = (destructor)callback_dealloc,
    .tp_getattro = callback_getattro,
    .tp_repr = (reprfunc)callback_repr,
    .tp_weaklistoffset = offsetof(Callback, weakrefs),
    .tp_methods = callback_methods,
    .tp_members = callback_members,
    .tp_getset = callback_getset,
};
