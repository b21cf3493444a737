/* Function: the object that a bound C function is to Python.  How it is called is call.c's matter; what it was declared as is
 * its declaration's, a Python object whose attributes are the function's own.
 */
#include "shim.h"

/* (attempts, number, number …): the errnos on which a call is made again. */
static Retry *
read_retry(PyObject *given)
{
    Py_ssize_t count = PyTuple_Check(given) ? PyTuple_GET_SIZE(given) - 1 : -1;
    if (count < 1) {
        PyErr_SetString(PyExc_TypeError, "retry is a tuple: the number of attempts, and errnos");
        return NULL;
    }
    Retry *retry = PyMem_Malloc(sizeof(Retry) + (size_t)count * sizeof(int));
    if (!retry) {
        PyErr_NoMemory();
        return NULL;
    }
    retry->count = (int)count;
    retry->attempts = PyLong_AsLong(PyTuple_GET_ITEM(given, 0));
    for (Py_ssize_t i = 0; i < count; i++)
        retry->numbers[i] = (int)PyLong_AsLong(PyTuple_GET_ITEM(given, i + 1));
    if (!PyErr_Occurred())
        return retry;
    PyMem_Free(retry);
    return NULL;
}

static PyObject *
function_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"trampoline", "declaration", "cell", "address", "critical", "errno", "check", "raises", "retry",
                            NULL};
    PyObject *trampoline, *declaration, *cell = Py_None, *address = Py_None, *check = Py_None, *retry = Py_None;
    int critical = 0, keep_errno = 0, raises = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O|OOppOpO:Function", names, &TrampolineType, &trampoline,
                                     &declaration, &cell, &address, &critical, &keep_errno, &check, &raises, &retry))
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
    if (self->check && raises)
        self->flags |= CHECK;
    if (retry != Py_None) {
        self->retry = read_retry(retry);
        if (!self->retry) {
            Py_DECREF(self);
            return NULL;
        }
        self->flags |= RETRY | ERRNO;
    }
    self->vectorcall = function_entry(self);
    for (int i = 0; i < self->trampoline->count && i < QUICK_PARAMETERS; i++) {
        self->codes[i] = quick_code(self->trampoline->parameters[i].converter);
        self->places[i] = (char)self->trampoline->parameters[i].word;
    }
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
    return tails_traverse(self->tails, visit, arg);
}

static int
function_clear(Function *self)
{
    Py_CLEAR(self->dict);
    Py_CLEAR(self->check_callable);
    Tail *tails = self->tails;
    self->tails = NULL;
    tails_free(tails);
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
    PyMem_Free(self->retry);
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
    PyObject *done = PyObject_CallMethod(self->declaration, "prepare", NULL); /* as the first call does */
    if (!done)
        return NULL;
    Py_DECREF(done);
    if (self->address)
        self->vectorcall = function_entry(self); /* what is compiled since serves from now on */
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
