/* Values in guarded memory, and Field: the descriptor of a struct's plain member, which reads and writes in place. */
#include "shim.h"

/* The place of a value of this type in guarded memory, or NULL with the error set. */
char *
place_in(const Converter *self, Guarded *memory, Py_ssize_t offset)
{
    if (UNLIKELY(!guarded_alive(memory)))
        return NULL;
    if (UNLIKELY(offset < 0) || UNLIKELY(memory->size >= 0 && offset > memory->size - self->size)) {
        PyErr_Format(PyExc_IndexError, "%zd bytes at byte %zd of memory of %zd bytes", self->size, offset, memory->size);
        return NULL;
    }
    return memory->address + offset;
}

/* What the memory points to now at `where`, where C's type is that of `c`: it is kept alive, and what was pointed to before no
 * longer.  Plain values keep nothing, and a struct, which is a copy, what the original does. */
static int
keep(const Converter *c, Guarded *memory, char *where, PyObject *value, Frame *frame)
{
    const Converter *base = c;
    while (base->code == 'x')
        base = base->inner;
    Guarded *root = memory->root ? memory->root : memory;
    PyObject *things = NULL;
    if (base->code == 's') {
        for (int i = -1; i < frame->count && !things; i++) {
            PyObject *one = i < 0 ? value : frame->items[i];
            if (!is_guarded(one))
                continue;
            Guarded *source = ((Guarded *)one)->root ? ((Guarded *)one)->root : (Guarded *)one;
            if (source->kept && PyDict_GET_SIZE(source->kept) && !(things = PyDict_Copy(source->kept)))
                return -1;
        }
    }
    else if (!memchr("pPzyY", base->code, 5) && !(c->code == 'x' && frame->count)) /* what a converter made may be an address */
        return 0;
    else if (value != Py_None) {
        things = PyTuple_New(frame->count + 1);
        if (!things)
            return -1;
        PyTuple_SET_ITEM(things, 0, Py_NewRef(value));
        for (int i = 0; i < frame->count; i++)
            PyTuple_SET_ITEM(things, i + 1, Py_NewRef(frame->items[i]));
    }
    if (!things && !root->kept)
        return 0;
    int result = -1;
    PyObject *key = PyLong_FromVoidPtr(where);
    if (key && !root->kept)
        root->kept = PyDict_New();
    if (key && root->kept) {
        PyObject *kept = Py_NewRef(root->kept); /* what is forgotten may run Python */
        if (things)
            result = PyDict_SetItem(kept, key, things);
        else if ((result = PyDict_Contains(kept, key)) > 0)
            result = PyDict_DelItem(kept, key);
        Py_DECREF(kept);
    }
    Py_XDECREF(key);
    Py_XDECREF(things);
    return result;
}

/* Write a value, which the memory keeps alive if it then points to it.  The conversion may run Python that ends the memory, so
 * it writes elsewhere first. */
int
write_value(Converter *c, Guarded *memory, Py_ssize_t offset, PyObject *value)
{
    if (UNLIKELY(memory->readonly)) {
        PyObject *result = PyObject_CallOneArg(hooks.readonly, (PyObject *)memory);
        if (result) {
            Py_DECREF(result);
            PyErr_SetString(PyExc_SystemError, "the hook for read-only memory did not raise");
        }
        return -1;
    }
    uint64_t small[8];
    void *copy = c->size <= (Py_ssize_t)sizeof small ? small : PyMem_Malloc((size_t)c->size);
    if (!copy) {
        PyErr_NoMemory();
        return -1;
    }
    PyObject *items[OWNED_PER_PARAMETER];
    Frame frame = {items, 0, NULL};
    int result = -1;
    if (to_memory(c, value, copy, &frame) == 0) {
        char *where = place_in(c, memory, offset);
        if (where) {
            memcpy(where, copy, (size_t)c->size);
            result = keep(c, memory, where, value, &frame);
        }
    }
    while (frame.count)
        Py_DECREF(items[--frame.count]);
    if (copy != small)
        PyMem_Free(copy);
    return result;
}

/* --- Field -------------------------------------------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    PyObject *ctype, *name;
    Converter *converter; /* NULL until the first use: the type may not be whole when the struct is defined */
    Py_ssize_t offset;
    char view;            /* a struct: what is read is a view in place */
} Field;

static PyObject *
field_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs))
{
    PyObject *ctype, *name;
    Py_ssize_t offset;
    int view;
    if (!PyArg_ParseTuple(args, "OUnp:Field", &ctype, &name, &offset, &view))
        return NULL;
    Field *self = (Field *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->ctype = Py_NewRef(ctype);
    self->name = Py_NewRef(name);
    self->offset = offset;
    self->view = (char)view;
    return (PyObject *)self;
}

/* The converter, and the memory for which the descriptor was asked; 0, or -1 with the error set. */
COLD int
field_prepare(Field *self, PyObject *memory)
{
    if (!is_guarded(memory)) {
        PyErr_Format(PyExc_TypeError, "the member %R belongs to structs, not to %.100s", self->name,
                     Py_TYPE(memory)->tp_name);
        return -1;
    }
    if (!self->converter) {
        PyObject *found = PyObject_GetAttrString(self->ctype, "converter");
        if (found && !PyObject_TypeCheck(found, &ConverterType)) {
            PyErr_SetString(PyExc_TypeError, "a member's converter is a Converter");
            Py_CLEAR(found);
        }
        if (!found)
            return -1;
        Py_XSETREF(self->converter, (Converter *)found);
    }
    return 0;
}

static PyObject *
field_get(PyObject *descriptor, PyObject *memory, PyObject *Py_UNUSED(owner))
{
    Field *self = (Field *)descriptor;
    if (UNLIKELY(!memory))
        return Py_NewRef(descriptor);
    if ((UNLIKELY(!self->converter) || UNLIKELY(!is_guarded(memory))) && field_prepare(self, memory) < 0)
        return NULL;
    Converter *c = self->converter;
    char *where = place_in(c, (Guarded *)memory, self->offset);
    if (UNLIKELY(!where))
        return NULL;
    if (LIKELY(!self->view))
        return from_memory(c, where);
    while (c->code == 'x')
        c = c->inner;
    return guarded_view(c, (Guarded *)memory, where);
}

static int
field_set(PyObject *descriptor, PyObject *memory, PyObject *value)
{
    Field *self = (Field *)descriptor;
    if (UNLIKELY(!value)) {
        PyErr_Format(PyExc_AttributeError, "the member %R cannot be deleted", self->name);
        return -1;
    }
    if ((UNLIKELY(!self->converter) || UNLIKELY(!is_guarded(memory))) && field_prepare(self, memory) < 0)
        return -1;
    Guarded *guarded = (Guarded *)memory;
    if (LIKELY(!guarded->readonly)) {
        char *where = place_in(self->converter, guarded, self->offset);
        if (UNLIKELY(!where))
            return -1;
        if (LIKELY(put_plain(self->converter->code, value, where)))
            return 0;
    }
    if (write_value(self->converter, guarded, self->offset, value) == 0)
        return 0;
    PyObject *error = take_exception();
    PyObject *done = PyObject_CallFunctionObjArgs(hooks.member, descriptor, memory, error, NULL);
    if (done) {
        Py_DECREF(done);
        give_exception(error);
    }
    else
        Py_DECREF(error);
    return -1;
}

static PyObject *
field_get_doc(Field *self, void *Py_UNUSED(closure))
{
    PyObject *declared = PyObject_CallMethod(self->ctype, "declare", "O", self->name);
    PyObject *doc = declared ? PyUnicode_FromFormat("%U, at byte %zd", declared, self->offset) : NULL;
    Py_XDECREF(declared);
    return doc;
}

static int
field_traverse(Field *self, visitproc visit, void *arg)
{
    Py_VISIT(self->ctype);
    Py_VISIT(self->converter);
    return 0;
}

static int
field_clear(Field *self)
{
    Py_CLEAR(self->converter);
    return 0;
}

static void
field_dealloc(Field *self)
{
    PyObject_GC_UnTrack(self);
    field_clear(self);
    Py_CLEAR(self->ctype);
    Py_CLEAR(self->name);
    Py_TYPE(self)->tp_free(self);
}

static PyMemberDef field_members[] = {
    {"ctype", T_OBJECT, offsetof(Field, ctype), READONLY, "the type of the member"},
    {"name", T_OBJECT, offsetof(Field, name), READONLY, "its name"},
    {"offset", T_PYSSIZET, offsetof(Field, offset), READONLY, "bytes from the start of the struct"},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef field_getset[] = {
    {"__doc__", (getter)field_get_doc, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject FieldType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "epsilon._shim.Field",
    .tp_doc = "Field(ctype, name, offset, view): a plain member of a struct, or one that is a struct.",
    .tp_basicsize = sizeof(Field),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = field_new,
    .tp_traverse = (traverseproc)field_traverse,
    .tp_clear = (inquiry)field_clear,
    .tp_dealloc = (destructor)field_dealloc,
    .tp_descr_get = field_get,
    .tp_descr_set = field_set,
    .tp_members = field_members,
    .tp_getset = field_getset,
};
