/* Converter: the object that describes how one C type crosses.  The conversions themselves are in convert.c. */
#include "shim.h"

static ffi_type *
scalar_ffi(char code, Py_ssize_t size)
{
    switch (code) {
    case 'v': return &ffi_type_void;
    case 'f': return &ffi_type_float;
    case 'd': return &ffi_type_double;
    case 'g': return &ffi_type_longdouble;
    case 'F': return &ffi_type_complex_float;
    case 'D': return &ffi_type_complex_double;
    case 'b': case 'c': return &ffi_type_sint8;
    case 'B': case 'C': case '?': return &ffi_type_uint8;
    case 'h': return &ffi_type_sint16;
    case 'H': return &ffi_type_uint16;
    case 'i': return &ffi_type_sint32;
    case 'I': return &ffi_type_uint32;
    case 'q': return &ffi_type_sint64;
    case 'Q': return &ffi_type_uint64;
    default: return size == 4 ? &ffi_type_uint32 : &ffi_type_pointer;
    }
}

/* libffi's description of a struct whose leaves are `elements`, a string of scalar codes ('P' for any pointer). */
static int
struct_ffi(Converter *self, const char *elements)
{
    size_t count = strlen(elements);
    ffi_type *type = PyMem_Calloc(1, sizeof(ffi_type) + (count + 1) * sizeof(ffi_type *));
    if (!type) {
        PyErr_NoMemory();
        return -1;
    }
    type->type = FFI_TYPE_STRUCT;
    type->size = (size_t)self->size;
    type->alignment = (unsigned short)self->alignment;
    type->elements = (ffi_type **)(type + 1);
    for (size_t i = 0; i < count; i++)
        type->elements[i] = scalar_ffi(elements[i], sizeof(void *));
    self->ffi = self->own_ffi = type;
    return 0;
}

static PyObject *
converter_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"ctype", "code", "size", "alignment", "backend", "inner", "to",
                            "back", "make", "classes", "elements", "raw", "owned", "required", NULL};
    PyObject *ctype, *backend, *inner = NULL, *to = NULL, *back = NULL, *make = NULL;
    const char *code, *classes = "", *elements = "";
    Py_ssize_t size, alignment;
    int raw = 0, owned = 0, required = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OsnnO|OOOOssppp:Converter", names, &ctype, &code, &size, &alignment,
                                     &backend, &inner, &to, &back, &make, &classes, &elements, &raw, &owned, &required))
        return NULL;
    if (inner && inner != Py_None && !PyObject_TypeCheck(inner, &ConverterType)) {
        PyErr_SetString(PyExc_TypeError, "inner is a Converter");
        return NULL;
    }
    Converter *self = (Converter *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->ctype = Py_NewRef(ctype);
    self->backend = Py_NewRef(backend);
    self->inner = inner && inner != Py_None ? (Converter *)Py_NewRef(inner) : NULL;
    self->to = to && to != Py_None ? Py_NewRef(to) : NULL;
    self->back = back && back != Py_None ? Py_NewRef(back) : NULL;
    self->make = make && make != Py_None ? Py_NewRef(make) : NULL;
    self->code = code[0];
    self->raw = (char)raw;
    self->owned = (char)owned;
    self->required = (char)required;
    self->size = size;
    self->alignment = alignment;
    strncpy(self->classes, classes, 2);
    if (self->code == 's' && self->classes[0] == 'X' && HAVE_EIGHTBYTES)
        self->ffi = &ffi_type_longdouble; /* libffi takes a struct's result from no x87 register; the call is the same */
    else if (self->code == 's') {
        if (struct_ffi(self, elements) < 0)
            Py_CLEAR(self);
    }
    else {
        self->ffi = self->code == 'x' && self->inner ? self->inner->ffi : scalar_ffi(self->code, size);
        if (self->code == 'F')
            strcpy(self->classes, "S");
        if (self->code == 'D')
            strcpy(self->classes, "SS");
    }
    return (PyObject *)self;
}

/* Put a Python callable behind what this converter gives back, in place: every trampoline that uses it sees it from now on.
 * The way to C stays as it is, for functions remember it (quick.c, `codes`). */
static PyObject *
converter_wrap(Converter *self, PyObject *back)
{
    if (self->code != 'x' || self->back) {
        Converter *inner = (Converter *)ConverterType.tp_alloc(&ConverterType, 0);
        if (!inner)
            return NULL;
        inner->ctype = Py_NewRef(self->ctype);
        inner->backend = Py_NewRef(self->backend);
        inner->make = Py_XNewRef(self->make);
        inner->inner = (Converter *)Py_XNewRef((PyObject *)self->inner);
        inner->to = self->to;
        inner->back = self->back;
        self->to = self->back = NULL;
        inner->ffi = self->ffi;
        inner->size = self->size;
        inner->alignment = self->alignment;
        inner->code = self->code;
        inner->raw = self->raw;
        inner->owned = self->owned;
        inner->required = self->required;
        memcpy(inner->classes, self->classes, sizeof(self->classes));
        Py_XSETREF(self->inner, inner);
        self->code = 'x';
    }
    Py_XSETREF(self->back, Py_NewRef(back));
    Py_RETURN_NONE;
}

static PyObject *
converter_read_at(Converter *self, PyObject *address)
{
    void *where = PyLong_AsVoidPtr(address);
    if (!where && PyErr_Occurred())
        return NULL;
    return from_memory(self, where);
}

static PyObject *
converter_read(Converter *self, PyObject *args)
{
    PyObject *memory;
    Py_ssize_t offset;
    if (!PyArg_ParseTuple(args, "O!n:read", &GuardedType, &memory, &offset))
        return NULL;
    char *where = place_in(self, (Guarded *)memory, offset);
    return where ? from_memory(self, where) : NULL;
}

static PyObject *
converter_write(Converter *self, PyObject *args)
{
    PyObject *memory, *value;
    Py_ssize_t offset;
    if (!PyArg_ParseTuple(args, "O!nO:write", &GuardedType, &memory, &offset, &value) ||
        write_value(self, (Guarded *)memory, offset, value) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static int
converter_traverse(Converter *self, visitproc visit, void *arg)
{
    Py_VISIT(self->ctype);
    Py_VISIT(self->inner);
    Py_VISIT(self->to);
    Py_VISIT(self->back);
    Py_VISIT(self->make);
    return 0;
}

static int
converter_clear(Converter *self)
{
    Py_CLEAR(self->to);
    Py_CLEAR(self->back);
    return 0;
}

static void
converter_dealloc(Converter *self)
{
    PyObject_GC_UnTrack(self);
    converter_clear(self);
    Py_CLEAR(self->ctype);
    Py_CLEAR(self->backend);
    Py_CLEAR(self->make);
    Py_CLEAR(self->inner);
    PyMem_Free(self->own_ffi);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef converter_methods[] = {
    {"wrap", (PyCFunction)converter_wrap, METH_O, "wrap(back): put a Python callable behind what it gives back, in place."},
    {"pack", (PyCFunction)arrays_pack, METH_VARARGS,
     "pack(value, pointer_type, writable) → memory with the plain numbers of a list, or of a buffer in place; or None."},
    {"read", (PyCFunction)converter_read, METH_VARARGS, "read(memory, offset) → the value there."},
    {"read_at", (PyCFunction)converter_read_at, METH_O, "read_at(address) → the value there; nothing is checked."},
    {"write", (PyCFunction)converter_write, METH_VARARGS,
     "write(memory, offset, value): write it there; the memory keeps alive what it then points to."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef converter_members[] = {
    {"ctype", T_OBJECT, offsetof(Converter, ctype), READONLY, "the CType"},
    {"pointer_type", T_OBJECT, offsetof(Converter, backend), READONLY, "the cffi type of pointers (to a struct)"},
    {"code", T_CHAR, offsetof(Converter, code), READONLY, "the letter of the conversion"},
    {"owned", T_BOOL, offsetof(Converter, owned), READONLY, "whether what comes back is the caller's to free"},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject ConverterType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "epsilon._shim.Converter",
    .tp_doc = "How one C type crosses.",
    .tp_basicsize = sizeof(Converter),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = converter_new,
    .tp_traverse = (traverseproc)converter_traverse,
    .tp_clear = (inquiry)converter_clear,
    .tp_dealloc = (destructor)converter_dealloc,
    .tp_methods = converter_methods,
    .tp_members = converter_members,
};
