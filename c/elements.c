/* Memory: guarded memory of values of one type, one after the other; how it is allocated, and how its elements are read and
 * written.
 *
 * Here are the elements that most memory has, and an int within the bounds as the index.  Every other index and value is the
 * matter of `_get` and `_set`, which the class in Python has (epsilon/memory.py), with all error texts.
 */
#include "shim.h"

enum { UNKNOWN, VALUES, VIEWS, OTHERS }; /* what the elements are: VIEWS are structs, OTHERS the matter of Python */

static PyObject *get_name, *set_name;

/* What its elements are, from the type, which is whole by the time that somebody reads one. */
COLD int
find_kind(Memory *self)
{
    if (!self->element) {
        PyErr_SetString(PyExc_AttributeError, "element");
        return -1;
    }
    PyObject *code = PyObject_GetAttrString(self->element, "code"), *converter = NULL;
    if (!code)
        return -1;
    char letter = PyUnicode_Check(code) ? (char)PyUnicode_READ_CHAR(code, 0) : 'v';
    Py_DECREF(code);
    self->kind = OTHERS;
    if (letter == 'v' || letter == 'a')
        return 0;
    converter = PyObject_GetAttrString(self->element, "converter");
    if (!converter)
        return -1;
    if (PyObject_TypeCheck(converter, &ConverterType) && ((Converter *)converter)->size > 0) {
        Py_XSETREF(self->converter, (Converter *)Py_NewRef(converter));
        self->kind = letter == 's' ? VIEWS : VALUES;
    }
    Py_DECREF(converter);
    return 0;
}

/* The place of an element, or NULL, perhaps with an error set: then it is Python's matter. */
ALWAYS_INLINE char *
quick_place(Memory *self, PyObject *key)
{
    int64_t index;
    if (UNLIKELY(!compact(key, &index)) || UNLIKELY(index < 0) || UNLIKELY(index >= self->count))
        return NULL;
    if (UNLIKELY(self->kind == UNKNOWN) && find_kind(self) < 0)
        return NULL;
    if (UNLIKELY(self->kind == OTHERS) || UNLIKELY(!guarded_alive(&self->guarded)))
        return NULL;
    return self->guarded.address + index * self->converter->size;
}

static PyObject *
memory_get(PyObject *memory, PyObject *key)
{
    Memory *self = (Memory *)memory;
    char *where = quick_place(self, key);
    if (LIKELY(where != NULL)) {
        Converter *c = self->converter;
        if (LIKELY(self->kind == VALUES))
            return from_memory(c, where);
        while (c->code == 'x')
            c = c->inner;
        return guarded_view(c, &self->guarded, where);
    }
    return PyErr_Occurred() ? NULL : PyObject_CallMethodOneArg(memory, get_name, key);
}

static int
memory_set(PyObject *memory, PyObject *key, PyObject *value)
{
    Memory *self = (Memory *)memory;
    if (UNLIKELY(!value)) {
        PyErr_SetString(PyExc_TypeError, "elements of memory cannot be deleted");
        return -1;
    }
    if (LIKELY(!self->guarded.readonly)) {
        char *where = quick_place(self, key);
        if (LIKELY(where != NULL) && LIKELY(put_plain(self->converter->code, value, where)))
            return 0;
        if (UNLIKELY(!where) && PyErr_Occurred())
            return -1;
    }
    PyObject *done = PyObject_CallMethodObjArgs(memory, set_name, key, value, NULL);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

/* --- where it comes from ------------------------------------------------------------------------------------------ */

/* Objects that were collected, for the next: memory is often allocated for a moment. */
#define SPARES 16
static Memory *spares[SPARES];
static int spare_count;

/* Whether its objects are Memory and nothing else: a subclass with a __dict__ has more, before the object or behind it. */
ALWAYS_INLINE int
is_bare(const PyTypeObject *type)
{
#ifdef Py_TPFLAGS_MANAGED_DICT
    if (type->tp_flags & Py_TPFLAGS_MANAGED_DICT)
        return 0;
#endif
    return type->tp_basicsize == sizeof(Memory) && type->tp_dictoffset == 0;
}

static Memory *
new_memory(PyTypeObject *type)
{
    if (UNLIKELY(!spare_count) || UNLIKELY(!is_bare(type)))
        return (Memory *)type->tp_alloc(type, 0);
    Memory *self = spares[--spare_count]; /* what it had, its end has cleared */
    Guarded *guarded = &self->guarded;
    guarded->root = NULL;
    guarded->user = NULL;
    guarded->inflight = 0;
    guarded->ended = guarded->readonly = guarded->shared = 0;
    self->kind = UNKNOWN;
    PyObject_Init((PyObject *)self, type);
    PyObject_GC_Track(self);
    return self;
}

/* allocate(ways, type, count): `ways` is a dict, type → (converter, pointer type); None where the type is not in it, or the
 * count is no plain one. */
static PyObject *
allocated(PyObject *class, PyObject *const *args, Py_ssize_t nargs, int pooled)
{
    if (nargs != 3 || !PyDict_CheckExact(args[0])) {
        PyErr_SetString(PyExc_TypeError, "a dict, a type and a count are wanted");
        return NULL;
    }
    PyObject *way = PyDict_GetItemWithError(args[0], args[1]);
    if (UNLIKELY(!way)) {
        if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_TypeError))
            return NULL;
        PyErr_Clear(); /* a list, which is no key */
        Py_RETURN_NONE;
    }
    if (!PyTuple_CheckExact(way) || PyTuple_GET_SIZE(way) != 2 ||
        !PyObject_TypeCheck(PyTuple_GET_ITEM(way, 0), &ConverterType)) {
        PyErr_SetString(PyExc_TypeError, "a way is (converter, pointer type)");
        return NULL;
    }
    Converter *c = (Converter *)PyTuple_GET_ITEM(way, 0);
    int64_t count = 1, size;
    if ((pooled || args[2] != Py_None) && (!compact(args[2], &count) || count < 0))
        Py_RETURN_NONE;
    if (__builtin_mul_overflow(count, c->size, &size))
        return PyErr_NoMemory();
    Memory *self = new_memory((PyTypeObject *)class);
    if (!self)
        return NULL;
    self->guarded.pointer_type = Py_NewRef(PyTuple_GET_ITEM(way, 1));
    self->guarded.size = size;
    self->element = Py_NewRef(c->ctype);
    self->count = count;
    if (LIKELY(c->code != 's') && LIKELY(c->code != 'x')) { /* else its type says what the elements are */
        self->converter = (Converter *)Py_NewRef((PyObject *)c);
        self->kind = VALUES;
    }
    if (pooled && size > SMALL_MEMORY && c->alignment <= 16) {
        if ((self->guarded.address = pool_take((size_t)size))) {
            self->guarded.owns = POOLED;
            if (c->code == 'p' || c->code == 'P' || c->code == 'z' || c->code == 's' || c->code == 'x')
                memset(/* what was last in it may be pointers, to what has gone */
                       self->guarded.address, 0, (size_t)size);
            return (PyObject *)self;
        }
    }
    else if (allocate_memory(&self->guarded, size, c->alignment) == 0)
        return (PyObject *)self;
    Py_DECREF(self);
    return NULL;
}

static PyObject *
memory_allocate(PyObject *class, PyObject *const *args, Py_ssize_t nargs)
{
    return allocated(class, args, nargs, 0);
}

static PyObject *
memory_take(PyObject *class, PyObject *const *args, Py_ssize_t nargs)
{
    return allocated(class, args, nargs, 1);
}

/* free(where): end it; False where its memory is that of something else. */
static PyObject *
memory_free(PyObject *self, PyObject *where)
{
    if (((Guarded *)self)->owner)
        Py_RETURN_FALSE;
    PyObject *done = guarded_end((Guarded *)self, where);
    if (!done)
        return NULL;
    Py_DECREF(done);
    Py_RETURN_TRUE;
}

static PyObject *
memory_enter(PyObject *self, PyObject *Py_UNUSED(none))
{
    return Py_NewRef(self);
}

static PyObject *
memory_exit(PyObject *self, PyObject *const *Py_UNUSED(args), Py_ssize_t Py_UNUSED(nargs))
{
    Guarded *memory = (Guarded *)self;
    if ((memory->root ? memory->root : memory)->ended == ENDED)
        Py_RETURN_NONE;
    PyObject *frame = (PyObject *)PyEval_GetFrame();
    return guarded_end(memory, frame ? frame : Py_None);
}

/* --- the type ----------------------------------------------------------------------------------------------------- */

static PyObject *
memory_get_element(Memory *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(self->element ? self->element : Py_None);
}

static int
memory_set_element(Memory *self, PyObject *element, void *Py_UNUSED(closure))
{
    self->kind = UNKNOWN;
    Py_CLEAR(self->converter);
    Py_XSETREF(self->element, Py_XNewRef(element));
    return 0;
}

static PyObject *
memory_get_count(Memory *self, void *Py_UNUSED(closure))
{
    return self->count < 0 ? Py_NewRef(Py_None) : PyLong_FromSsize_t(self->count);
}

static int
memory_set_count(Memory *self, PyObject *count, void *Py_UNUSED(closure))
{
    Py_ssize_t number = !count || count == Py_None ? -1 : PyLong_AsSsize_t(count);
    if (number == -1 && PyErr_Occurred())
        return -1;
    self->count = number;
    return 0;
}

static int
memory_traverse(Memory *self, visitproc visit, void *arg)
{
    Py_VISIT(self->element);
    Py_VISIT(self->converter);
    return GuardedType.tp_traverse((PyObject *)self, visit, arg);
}

static int
memory_clear(Memory *self)
{
    return GuardedType.tp_clear((PyObject *)self);
}

static void
memory_dealloc(Memory *self)
{
    PyObject_GC_UnTrack(self);
    if (self->guarded.address == self->guarded.small)
        memset(self->guarded.small, 0, SMALL_MEMORY); /* for the next, whose memory begins zeroed */
    Py_CLEAR(self->element);
    Py_CLEAR(self->converter);
    guarded_finish(&self->guarded);
    if (LIKELY(is_bare(Py_TYPE(self))) && LIKELY(spare_count < SPARES))
        spares[spare_count++] = self;
    else
        Py_TYPE(self)->tp_free(self);
}

int
elements_init(void)
{
    get_name = PyUnicode_InternFromString("_get");
    set_name = PyUnicode_InternFromString("_set");
    return get_name && set_name ? 0 : -1;
}

static PyMethodDef memory_methods[] = {
    {"allocate", (PyCFunction)(void (*)(void))memory_allocate, METH_FASTCALL | METH_CLASS,
     "allocate(ways, type, count): zeroed memory of its own, or None where the type or the count is not for it."},
    {"take", (PyCFunction)(void (*)(void))memory_take, METH_FASTCALL | METH_CLASS,
     "take(ways, type, count): memory of this thread's pool, or None where the type or the count is not for it."},
    {"free", memory_free, METH_O, "free(where): end it; False where its memory is that of something else."},
    {"__enter__", memory_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))memory_exit, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef memory_getset[] = {
    {"element", (getter)memory_get_element, (setter)memory_set_element, "the C type of its elements", NULL},
    {"count", (getter)memory_get_count, (setter)memory_set_count, "how many elements there are, or None", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMappingMethods memory_mapping = {
    .mp_subscript = memory_get,
    .mp_ass_subscript = memory_set,
};

PyTypeObject MemoryType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "epsilon._shim.Memory",
    .tp_doc = "Guarded memory of values of one type.",
    .tp_basicsize = sizeof(Memory),
    .tp_base = &GuardedType,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_traverse = (traverseproc)memory_traverse,
    .tp_clear = (inquiry)memory_clear,
    .tp_dealloc = (destructor)memory_dealloc,
    .tp_methods = memory_methods,
    .tp_getset = memory_getset,
    .tp_as_mapping = &memory_mapping,
};
