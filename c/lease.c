/* Lease: the bytes of memory for a zero-copy view, which may outlive the memory's end.
 *
 * NumPy keeps an address and never asks again, so memory that ends while an array looks at it must keep its bytes until the
 * last array is gone.  A Lease is what such an array has as its base: it shows the bytes through the buffer protocol, keeps
 * their owner alive, and is counted by the Guarded whose bytes they are, which frees them at once when its count is 0 and
 * leaves that to the last lease otherwise (guarded_end).
 */
#include "shim.h"

typedef struct {
    PyObject_HEAD
    PyObject *keep; /* what keeps the bytes alive */
    Guarded *root;  /* borrowed from keep: whose bytes they are; or NULL: C's own, or another object's */
    char *address;
    Py_ssize_t size;
    char readonly;
} Lease;

static PyObject *
lease_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"keep", "address", "size", "readonly", NULL};
    PyObject *keep, *address;
    Py_ssize_t size;
    int readonly = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOn|p:Lease", names, &keep, &address, &size, &readonly))
        return NULL;
    void *where = PyLong_AsVoidPtr(address);
    if (!where && PyErr_Occurred())
        return NULL;
    Guarded *root = NULL;
    if (PyObject_TypeCheck(keep, &GuardedType)) {
        if (!guarded_alive((Guarded *)keep))
            return NULL;
        root = ((Guarded *)keep)->root ? ((Guarded *)keep)->root : (Guarded *)keep;
    }
    Lease *self = (Lease *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->keep = Py_NewRef(keep);
    self->root = root;
    self->address = where;
    self->size = size;
    self->readonly = (char)readonly;
    if (root)
        root->leases++;
    return (PyObject *)self;
}

static int
lease_traverse(Lease *self, visitproc visit, void *arg)
{
    Py_VISIT(self->keep);
    return 0;
}

static void
lease_dealloc(Lease *self)
{
    PyObject_GC_UnTrack(self);
    if (self->root)
        guarded_unlease(self->root);
    Py_CLEAR(self->keep);
    Py_TYPE(self)->tp_free(self);
}

static int
lease_buffer(Lease *self, Py_buffer *view, int flags)
{
    return PyBuffer_FillInfo(view, (PyObject *)self, self->address, self->size, self->readonly, flags);
}

static PyBufferProcs lease_buffers = {.bf_getbuffer = (getbufferproc)lease_buffer};

PyTypeObject LeaseType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "epsilon._shim.Lease",
    .tp_doc = "Lease(keep, address, size, readonly=False): bytes, as a buffer, that outlive the end of the memory they are in.",
    .tp_basicsize = sizeof(Lease),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = lease_new,
    .tp_traverse = (traverseproc)lease_traverse,
    .tp_dealloc = (destructor)lease_dealloc,
    .tp_as_buffer = &lease_buffers,
};
