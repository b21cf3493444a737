/* The buffer protocol of structs and of arrays of structs: what memoryview(struct) looks at.
 *
 * A struct shows its bytes, an array of structs one item for each, in the words of PEP 3118; which of them, the hook `shown`
 * says, or it raises.  A buffer keeps its memory: it cannot be ended while somebody looks at it, as a bytearray cannot be
 * resized.  (A Lease lets it end, and keeps the bytes: lease.c.)
 */
#include "shim.h"

typedef struct {
    PyObject *format; /* bytes, or NULL: plain bytes */
    Py_ssize_t shape, stride;
} Shown;

static int
refuse(const char *message)
{
    PyErr_SetString(PyExc_BufferError, message);
    return -1;
}

static int
guarded_get_buffer(Guarded *self, Py_buffer *view, int flags)
{
    view->obj = NULL;
    if (!guarded_alive(self))
        return -1;
    PyObject *shown = PyObject_CallOneArg(hooks.shown, (PyObject *)self), *format;
    Py_ssize_t item;
    if (!shown)
        return -1;
    if (!PyArg_ParseTuple(shown, "On", &format, &item)) {
        Py_DECREF(shown);
        return -1;
    }
    if (format == Py_None)
        format = NULL;
    Py_XINCREF(format);
    Py_DECREF(shown);
    Shown *own = NULL;
    if (self->readonly && flags & PyBUF_WRITABLE)
        refuse("the memory is read-only");
    else if (guarded_alive(self) && !(own = PyMem_Malloc(sizeof *own))) /* the hook ran Python */
        PyErr_NoMemory();
    if (!own) {
        Py_XDECREF(format);
        return -1;
    }
    *own = (Shown){format, self->size / item, item};
    int shaped = (flags & PyBUF_ND) == PyBUF_ND;
    view->buf = self->address;
    view->obj = Py_NewRef((PyObject *)self);
    view->len = self->size;
    view->readonly = self->readonly;
    view->itemsize = item;
    view->format = flags & PyBUF_FORMAT ? format ? PyBytes_AS_STRING(format) : "B" : NULL;
    view->ndim = 1;
    view->shape = shaped ? &own->shape : NULL;
    view->strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? &own->stride : NULL;
    view->suboffsets = NULL;
    view->internal = own;
    Guarded *root = self->root ? self->root : self;
    root->leases++;
    root->exports++;
    return 0;
}

static void
guarded_release_buffer(Guarded *self, Py_buffer *view)
{
    Shown *own = view->internal;
    Guarded *root = self->root ? self->root : self;
    root->exports--;
    guarded_unlease(root);
    Py_XDECREF(own->format);
    PyMem_Free(own);
}

PyBufferProcs guarded_buffers = {
    .bf_getbuffer = (getbufferproc)guarded_get_buffer,
    .bf_releasebuffer = (releasebufferproc)guarded_release_buffer,
};
