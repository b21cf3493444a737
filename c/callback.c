/* Callbacks: C function pointers with a Python callable behind them.
 *
 * A C function pointer outlives the Python object that made it: C may have stored it anywhere.  So the pointer belongs to
 * a Slot, which is never freed.  While the Callback lives, the slot leads to it; once it is closed, the slot stays behind
 * in a queue, still knows its name and where it was closed, and answers C with the declared value while the foreign call
 * that C is in raises CallbackClosedError (upcall.c).  Only after QUARANTINE later closings does a slot serve a new
 * callback, and never while C is in it.
 */
#include "shim.h"

#define QUARANTINE 4096

static Slot *queue_head, *queue_tail;
static Py_ssize_t queue_length;

static void
slot_forget(Slot *slot)
{
    Py_CLEAR(slot->trampoline);
    Py_CLEAR(slot->name);
    Py_CLEAR(slot->file);
    Py_CLEAR(slot->kept);
    Py_CLEAR(slot->answerer);
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
    if (ffi_prep_closure_loc(slot->closure, &t->callback_cif, upcall_closure, slot, slot->code) != FFI_OK) {
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
    PyObject *trampoline, *callable, *on_error = Py_None, *function = NULL, *answerer = Py_None;
    int give = 0;
    if (kwargs && PyDict_GET_SIZE(kwargs)) {
        PyErr_SetString(PyExc_TypeError, "Callback takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O!O|OOOp:Callback", &TrampolineType, &trampoline, &callable, &on_error, &function, &answerer,
                          &give))
        return NULL;
    threads_bury();
    Slot *slot = slot_take();
    if (!slot)
        return NULL;
    slot->trampoline = (Trampoline *)Py_NewRef(trampoline);
    slot->give = (char)give;
    if (answerer != Py_None)
        slot->answerer = Py_NewRef(answerer);
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
    self->function = Py_NewRef(function && function != Py_None ? function : callable);
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
    slot_note_end(slot, self->function, collected);
    slot_retire(slot);
    if (self->callable == self->function)
        return;
    /* calls that wait for another thread need wait no longer; the slot, which is retired, may be gone after this */
    PyObject *done = PyObject_CallMethod(self->callable, "ended", "OOi", slot->name, slot->file, slot->line);
    if (!done)
        PyErr_WriteUnraisable(self->callable);
    Py_XDECREF(done);
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
    return PyObject_Call(self->function, args, kwargs);
}

static int
callback_traverse(Callback *self, visitproc visit, void *arg)
{
    Py_VISIT(self->callable);
    Py_VISIT(self->function);
    if (self->slot)
        Py_VISIT(self->slot->answerer); /* the slot is this callback's alone until it ends */
    return 0;
}

/* The end of a callback that nobody closed.  The collector runs this before it clears anything, so the callable still has
 * its name. */
static void
callback_finalize(Callback *self)
{
    PyObject *exception = take_exception();
    callback_end(self, 1);
    if (exception)
        give_exception(exception);
}

static int
callback_clear(Callback *self)
{
    Py_XSETREF(self->callable, Py_NewRef(Py_None)); /* what is left of it may still be looked at */
    Py_XSETREF(self->function, Py_NewRef(Py_None));
    return 0;
}

static void
callback_dealloc(Callback *self)
{
    if (PyObject_CallFinalizerFromDealloc((PyObject *)self) < 0)
        return;
    PyObject_GC_UnTrack(self);
    if (self->weakrefs)
        PyObject_ClearWeakRefs((PyObject *)self);
    Py_CLEAR(self->callable);
    Py_CLEAR(self->function);
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

/* How C's call gets to the callable. */
static PyObject *
callback_get_strategy(Callback *self, void *Py_UNUSED(closure))
{
    if (!self->slot)
        Py_RETURN_NONE;
    if (self->slot->code == self->slot->closure_code)
        return PyUnicode_FromString("libffi");
    return PyUnicode_FromString(self->slot->trampoline->upcall ? "compiled" : "registers");
}

static PyObject *
callback_get_signature(Callback *self, void *Py_UNUSED(closure))
{
    if (!self->slot)
        Py_RETURN_NONE;
    return Py_NewRef(self->slot->trampoline->signature);
}

static PyObject *
callback_get_doc(Callback *self, void *Py_UNUSED(closure))
{
    return PyObject_GetAttrString(self->function, "__doc__");
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
    if (found || !PyErr_ExceptionMatches(PyExc_AttributeError) || !((Callback *)self)->function)
        return found;
    PyErr_Clear();
    return PyObject_GetAttr(((Callback *)self)->function, name);
}

static PyObject *
callback_repr(Callback *self)
{
    PyObject *signature = callback_get_signature(self, NULL);
    PyObject *text = self->slot ? PyUnicode_FromFormat("<callback %R at %p: %S>", self->function, self->code, signature)
                                : PyUnicode_FromFormat("<closed callback %R at %p>", self->function, self->code);
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
    {"callable", T_OBJECT, offsetof(Callback, function), READONLY, "the Python callable"},
    {"__wrapped__", T_OBJECT, offsetof(Callback, function), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef callback_getset[] = {
    {"address", (getter)callback_get_address, NULL, "what C jumps to", NULL},
    {"closed", (getter)callback_get_closed, NULL, "whether it has ended", NULL},
    {"strategy", (getter)callback_get_strategy, NULL,
     "how C's call gets there: 'compiled', 'registers' or 'libffi'; None once it has ended", NULL},
    {"signature", (getter)callback_get_signature, NULL, "its Signature; None once it has ended", NULL},
    {"__doc__", (getter)callback_get_doc, NULL, NULL, NULL},
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
    .tp_finalize = (destructor)callback_finalize,
    .tp_dealloc = (destructor)callback_dealloc,
    .tp_getattro = callback_getattro,
    .tp_repr = (reprfunc)callback_repr,
    .tp_weaklistoffset = offsetof(Callback, weakrefs),
    .tp_methods = callback_methods,
    .tp_members = callback_members,
    .tp_getset = callback_getset,
};
