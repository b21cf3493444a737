/* The life of things: a Cell for a library, a Guarded for memory. */
#include "shim.h"

#include <frameobject.h> /* of CPython 3.10: PyFrameObject's own members */

/* --- Cell --------------------------------------------------------------------------------------------------------- */

static PyObject *
cell_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *closer;
    if (!PyArg_ParseTuple(args, "O:Cell", &closer))
        return NULL;
    (void)kwargs;
    Cell *self = (Cell *)type->tp_alloc(type, 0);
    if (self)
        self->closer = Py_NewRef(closer);
    return (PyObject *)self;
}

static int
cell_finish(Cell *self)
{
    PyObject *closer = self->closer;
    if (!closer || self->inflight || __atomic_load_n(&self->aloft, __ATOMIC_SEQ_CST))
        return 0;
    self->closer = NULL;
    PyObject *result = PyObject_CallNoArgs(closer);
    Py_DECREF(closer);
    if (!result)
        return -1;
    Py_DECREF(result);
    return 0;
}

/* The last call through a closed library is on its way out: close it for good.  Keeps the exception that is set. */
int
cell_leave_slowly(Cell *self)
{
    PyObject *exception = take_exception();
    if (cell_finish(self) < 0)
        PyErr_WriteUnraisable((PyObject *)self);
    if (exception)
        give_exception(exception);
    return 0;
}

static PyObject *
cell_close(Cell *self, PyObject *Py_UNUSED(none))
{
    __atomic_store_n(&self->closed, 1, __ATOMIC_SEQ_CST);
    if (cell_finish(self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static int
cell_traverse(Cell *self, visitproc visit, void *arg)
{
    Py_VISIT(self->closer);
    return 0;
}

static int
cell_clear(Cell *self)
{
    Py_CLEAR(self->closer);
    return 0;
}

static void
cell_dealloc(Cell *self)
{
    PyObject_GC_UnTrack(self);
    cell_clear(self);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef cell_methods[] = {
    {"close", (PyCFunction)cell_close, METH_NOARGS, "Mark it closed; the closer runs once no call is in flight."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef cell_members[] = {
    {"closed", T_BOOL, offsetof(Cell, closed), READONLY, "whether close() was called"},
    {"inflight", T_PYSSIZET, offsetof(Cell, inflight), READONLY, "calls in progress"},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject CellType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "epsilon._shim.Cell",
    .tp_doc = "Cell(closer): the life of a library; calls in flight hold its closing back.",
    .tp_basicsize = sizeof(Cell),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = cell_new,
    .tp_traverse = (traverseproc)cell_traverse,
    .tp_clear = (inquiry)cell_clear,
    .tp_dealloc = (destructor)cell_dealloc,
    .tp_methods = cell_methods,
    .tp_members = cell_members,
};

/* --- Guarded ------------------------------------------------------------------------------------------------------ */

/* Zeroed memory for it: 0, or -1 with the error set. */
int
allocate_memory(Guarded *self, Py_ssize_t size, Py_ssize_t alignment)
{
    size_t bytes = size > 0 ? (size_t)size : 1;
    void *memory = NULL;
    if (bytes <= SMALL_MEMORY && alignment <= 16) {
        self->address = self->small; /* zero, as a new object is */
        return 0;
    }
    if (alignment <= (Py_ssize_t)(2 * sizeof(void *)))
        memory = calloc(1, bytes);
    else if (posix_memalign(&memory, (size_t)alignment, bytes) == 0)
        memset(memory, 0, bytes);
    else
        memory = NULL;
    if (!memory) {
        PyErr_NoMemory();
        return -1;
    }
    self->address = memory;
    self->owns = MALLOCED;
    return 0;
}

PyObject *
guarded_allocate(PyTypeObject *type, Py_ssize_t size, Py_ssize_t alignment, PyObject *pointer_type)
{
    Guarded *self = (Guarded *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->pointer_type = Py_NewRef(pointer_type);
    self->size = size;
    if (allocate_memory(self, size, alignment) < 0)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static PyObject *
guarded_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"pointer_type", "size", "alignment", "address", "owner", "readonly", NULL};
    PyObject *pointer_type, *address = NULL, *owner = NULL;
    Py_ssize_t size, alignment = 1;
    int readonly = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "On|nOOp:Guarded", names, &pointer_type, &size, &alignment, &address,
                                     &owner, &readonly))
        return NULL;
    if (!address || address == Py_None)
        return guarded_allocate(type, size, alignment, pointer_type);
    void *where = PyLong_AsVoidPtr(address);
    if (!where && PyErr_Occurred())
        return NULL;
    Guarded *self = (Guarded *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->pointer_type = Py_NewRef(pointer_type);
    self->size = size;
    self->address = where;
    self->readonly = (char)readonly;
    if (owner && owner != Py_None) {
        self->owner = Py_NewRef(owner);
        if (PyObject_TypeCheck(owner, &GuardedType)) {
            Guarded *parent = (Guarded *)owner;
            self->root = parent->root ? parent->root : parent;
        }
    }
    return (PyObject *)self;
}

/* 1 if the memory is there; else 0 with the error set. */
int
guarded_alive(Guarded *self)
{
    Guarded *root = self->root ? self->root : self;
    if (LIKELY(root->ended == ALIVE))
        return 1;
    if (root->ended == CONFINED && PyLong_AsUnsignedLong(root->ended_at) == PyThread_get_thread_ident())
        return 1;
    PyObject *result = PyObject_CallOneArg(hooks.dead, (PyObject *)root);
    if (result) {
        Py_DECREF(result);
        PyErr_SetString(PyExc_SystemError, "the hook for ended memory did not raise");
    }
    return 0;
}

/* A struct in place, in guarded memory. */
PyObject *
guarded_view(Converter *c, Guarded *memory, char *where)
{
    PyTypeObject *type = (PyTypeObject *)c->make;
    Guarded *self = (Guarded *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->pointer_type = Py_NewRef(c->backend);
    self->size = c->size;
    self->address = where;
    self->owner = Py_NewRef((PyObject *)memory);
    self->root = memory->root ? memory->root : memory;
    self->readonly = memory->readonly;
    return (PyObject *)self;
}

/* --- calls that use memory ---------------------------------------------------------------------------------------- */

/* Count a call in on the memory among its arguments, which must be there: a later argument's conversion may have run Python
 * that ended an earlier one.  How many there are; or -1 with the error set, and none is counted. */
int
guarded_board(PyObject *const *objects, int count)
{
    int found = 0;
    for (int i = 0; i < count; i++) {
        if (!is_guarded(objects[i]))
            continue;
        Guarded *memory = (Guarded *)objects[i], *root = memory->root ? memory->root : memory;
        if (UNLIKELY(!guarded_alive(root))) {
            guarded_land(objects, i);
            return -1;
        }
        found++;
        PyThreadState *state = PyThreadState_Get();
        if (root->inflight++ == 0)
            root->user = state;
        else if (root->user != state)
            root->shared = 1;
    }
    return found;
}

static void
release_memory(Guarded *self)
{
    char owns = self->owns;
    self->owns = 0;
    if (owns == MALLOCED)
        free(self->address);
    else if (owns == POOLED)
        pool_give(self->address);
}

/* Count it out; what was ended meanwhile, on the thread of the call, is freed now. */
void
guarded_land(PyObject *const *objects, int count)
{
    for (int i = 0; i < count; i++) {
        if (!is_guarded(objects[i]))
            continue;
        Guarded *memory = (Guarded *)objects[i], *root = memory->root ? memory->root : memory;
        if (--root->inflight > 0)
            continue;
        root->user = NULL;
        root->shared = 0;
        if (UNLIKELY(root->ended == ENDED)) {
            if (!root->leases)
                release_memory(root);
            PyObject *exception = take_exception();
            Py_CLEAR(root->kept);
            if (exception)
                give_exception(exception);
        }
    }
}

/* --- its end ------------------------------------------------------------------------------------------------------ */

/* Remember where it ended: a frame is looked up only when somebody asks, which costs more than freeing. */
static void
remember_end(Guarded *self, PyObject *where)
{
    if (PyFrame_Check(where)) {
        PyFrameObject *frame = (PyFrameObject *)where;
#if PY_VERSION_HEX >= 0x030B0000
        self->ended_line = PyFrame_GetLasti(frame);
#else
        self->ended_line = frame->f_lasti * (int)sizeof(_Py_CODEUNIT);
#endif
        Py_XSETREF(self->ended_at, (PyObject *)PyFrame_GetCode(frame));
    }
    else
        Py_XSETREF(self->ended_at, Py_NewRef(where));
}

static PyObject *
guarded_get_ended_at(Guarded *self, void *Py_UNUSED(closure))
{
    if (!self->ended_at)
        Py_RETURN_NONE;
    if (!PyCode_Check(self->ended_at))
        return Py_NewRef(self->ended_at);
    PyCodeObject *code = (PyCodeObject *)self->ended_at;
    return PyUnicode_FromFormat("%U:%d", code->co_filename, PyCode_Addr2Line(code, self->ended_line));
}

static PyObject *
finish_end(Guarded *self, PyObject *where)
{
    self->ended = ENDED;
    remember_end(self, where);
    if (!self->inflight) {
        if (!self->leases)
            release_memory(self);
        Py_CLEAR(self->kept);
    }
    Py_RETURN_NONE;
}

/* End the memory.  While C uses it in a call of this very thread, that is a callback of the call has ended it, nobody can
 * use it any more, and it is freed when the call lands; while C uses it on another thread, or somebody looks at a buffer of
 * it, it cannot be ended. */
PyObject *
guarded_end(Guarded *self, PyObject *where)
{
    if (!guarded_alive(self))
        return NULL;
    if (UNLIKELY(self->exports) ||
        (UNLIKELY(self->inflight) && (self->shared || self->user != PyThreadState_Get()))) {
        PyObject *result = PyObject_CallOneArg(hooks.in_use, (PyObject *)self);
        if (result) {
            Py_DECREF(result);
            PyErr_SetString(PyExc_SystemError, "the hook for memory in use did not raise");
        }
        return NULL;
    }
    return finish_end(self, where);
}

/* End what was never ours to keep, such as the memory that C lent to a callback, whoever uses it. */
static PyObject *
guarded_lapse(Guarded *self, PyObject *where)
{
    return guarded_alive(self) ? finish_end(self, where) : NULL;
}

/* C keeps it, beyond any call: it cannot end until it is released. */
static PyObject *
guarded_hold(Guarded *self, PyObject *Py_UNUSED(none))
{
    if (!guarded_alive(self))
        return NULL;
    (self->root ? self->root : self)->exports++;
    Py_RETURN_NONE;
}

static PyObject *
guarded_release(Guarded *self, PyObject *Py_UNUSED(none))
{
    (self->root ? self->root : self)->exports--;
    Py_RETURN_NONE;
}

static PyObject *
guarded_get_inflight(Guarded *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong((self->root ? self->root : self)->inflight);
}

static PyObject *
guarded_confine(Guarded *self, PyObject *Py_UNUSED(none))
{
    if (!guarded_alive(self))
        return NULL;
    PyObject *thread = PyLong_FromUnsignedLong(PyThread_get_thread_ident());
    if (!thread)
        return NULL;
    Py_XSETREF(self->ended_at, thread);
    self->ended = CONFINED;
    Py_RETURN_NONE;
}

/* A zero-copy view is gone; the last one frees what has ended meanwhile. */
void
guarded_unlease(Guarded *self)
{
    if (--self->leases == 0 && self->ended == ENDED && !self->inflight)
        release_memory(self);
}

static PyObject *
guarded_get_address(Guarded *self, void *Py_UNUSED(closure))
{
    return guarded_alive(self) ? PyLong_FromVoidPtr(self->address) : NULL;
}

static PyObject *
guarded_get_alive(Guarded *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong((self->root ? self->root : self)->ended != ENDED);
}

static PyObject *
guarded_get_leases(Guarded *self, void *Py_UNUSED(closure))
{
    return PyLong_FromSsize_t((self->root ? self->root : self)->leases);
}

static PyObject *
guarded_get_exports(Guarded *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong((self->root ? self->root : self)->exports);
}

static PyObject *
guarded_get_kept(Guarded *self, void *Py_UNUSED(closure))
{
    Guarded *root = self->root ? self->root : self;
    if (!root->kept) {
        root->kept = PyDict_New();
        if (!root->kept)
            return NULL;
    }
    return Py_NewRef(root->kept);
}

static int
guarded_traverse(Guarded *self, visitproc visit, void *arg)
{
    Py_VISIT(self->owner);
    Py_VISIT(self->kept);
    Py_VISIT(self->ended_at);
    Py_VISIT(self->allocated_at);
    return 0;
}

static int
guarded_clear(Guarded *self)
{
    Py_CLEAR(self->kept);
    Py_CLEAR(self->ended_at);
    Py_CLEAR(self->allocated_at);
    return 0;
}

/* Let go of all it has: the object is dying. */
void
guarded_finish(Guarded *self)
{
    if (self->weakrefs)
        PyObject_ClearWeakRefs((PyObject *)self);
    guarded_clear(self);
    release_memory(self);
    Py_CLEAR(self->owner);
    Py_CLEAR(self->pointer_type);
}

static void
guarded_dealloc(Guarded *self)
{
    PyObject_GC_UnTrack(self);
    guarded_finish(self);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef guarded_methods[] = {
    {"end", (PyCFunction)guarded_end, METH_O, "End the memory; `where`, a text or a frame, is what a later use is told.  Raises if it has ended."},
    {"lapse", (PyCFunction)guarded_lapse, METH_O, "End memory that was never ours to keep, whoever uses it."},
    {"hold", (PyCFunction)guarded_hold, METH_NOARGS, "From now on it cannot end, until it is released as often."},
    {"release", (PyCFunction)guarded_release, METH_NOARGS, "It is held once less."},
    {"confine", (PyCFunction)guarded_confine, METH_NOARGS, "From now on it is there for this thread alone."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef guarded_members[] = {
    {"size", T_PYSSIZET, offsetof(Guarded, size), READONLY, "in bytes; -1 where it is unknown"},
    {"pointer_type", T_OBJECT_EX, offsetof(Guarded, pointer_type), READONLY, "the cffi type of a pointer to it"},
    {"readonly", T_BOOL, offsetof(Guarded, readonly), READONLY, "whether it may only be read"},
    {"owner", T_OBJECT, offsetof(Guarded, owner), READONLY, "what keeps the memory alive"},
    {"allocated_at", T_OBJECT, offsetof(Guarded, allocated_at), 0, "where it was allocated, if that was recorded"},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef guarded_getset[] = {
    {"address", (getter)guarded_get_address, NULL, "the address; raises once the memory has ended", NULL},
    {"alive", (getter)guarded_get_alive, NULL, "whether the memory is there", NULL},
    {"ended_at", (getter)guarded_get_ended_at, NULL, "where it was freed", NULL},
    {"inflight", (getter)guarded_get_inflight, NULL, "the calls that C uses it in now", NULL},
    {"leases", (getter)guarded_get_leases, NULL, "how many zero-copy views there are of its bytes", NULL},
    {"exports", (getter)guarded_get_exports, NULL, "how many buffers of it somebody looks at, and how often it is held", NULL},
    {"kept", (getter)guarded_get_kept, NULL, "a dict of what the memory points to, by address", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject GuardedType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "epsilon._shim.Guarded",
    .tp_doc = "Guarded(pointer_type, size, alignment=1, address=None, owner=None, readonly=False): memory with a known end.",
    .tp_basicsize = sizeof(Guarded),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = guarded_new,
    .tp_traverse = (traverseproc)guarded_traverse,
    .tp_clear = (inquiry)guarded_clear,
    .tp_dealloc = (destructor)guarded_dealloc,
    .tp_weaklistoffset = offsetof(Guarded, weakrefs),
    .tp_as_buffer = &guarded_buffers,
    .tp_methods = guarded_methods,
    .tp_members = guarded_members,
    .tp_getset = guarded_getset,
};
