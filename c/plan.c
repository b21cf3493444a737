/* Trampoline: a signature compiled into a plan, once, and shared by every function of the signature.
 *
 * The plan says where each parameter goes.  A call has an array of 64-bit words.  Under the registers strategy the first
 * INTEGER_REGISTERS + FLOAT_REGISTERS of them stand for the argument registers, so that a converter writes its value where
 * the jump will load it from.  Under libffi the words follow each other, and `positions` says where each argument starts.
 *
 * On System V x86-64 a struct of at most 16 bytes travels as its eightbytes (§3.2.3) when the registers suffice for all of
 * it, under both strategies: libffi before its fix #848 overwrites the first float register when such a struct takes the
 * sixth integer register (issue #574), and passing the eightbytes as scalars is the same call without the bug.
 * Classes are the letters that structs.py works out: I and S; M for memory; X for a long double in a struct, which is an
 * argument in memory and a result on the x87 stack; none where libffi is to decide.  On AArch64 R is a struct that travels as
 * the address of a copy (AAPCS64 §6.8.2, B.4) and whose address libffi would align on the stack as if it were the struct.
 *
 * A variadic call is placed like any other: System V (§3.5.7) and AAPCS64 (§6.8.2) assign registers to the tail as to the
 * rest, and the one difference, the number of float registers in AL, the jump sets (jump.h).  Where the platform treats the
 * tail otherwise (Apple's AArch64) and under a convention that is not the platform's own, everything is libffi's.
 */
#include "shim.h"

typedef struct {
    int integers, floats; /* registers taken */
} Allocation;

#if defined(__APPLE__)
#define TAIL_IN_REGISTERS 0 /* Apple's AArch64 puts it on the stack */
#else
#define TAIL_IN_REGISTERS HAVE_REGISTERS
#endif

static int
is_float(char class)
{
    return class == 'S';
}

/* The eightbyte classes of one value on this platform; "" where libffi is to decide. */
static const char *
classes_of(const Converter *c)
{
    while (c->code == 'x')
        c = c->inner;
    if (is_wide(c))
        return HAVE_EIGHTBYTES || (HAVE_REFERENCES && *c->classes == 'R') ? c->classes : "";
    return c->code == 'f' || c->code == 'd' ? "S" : "I";
}

/* Take registers for the classes; returns 0 and takes none when they do not suffice for all of them. */
static int
take(Allocation *a, const char *classes, int places[2])
{
    int integers = 0, floats = 0;
    for (const char *p = classes; *p; p++)
        *(is_float(*p) ? &floats : &integers) += 1;
    if (!*classes || *classes == 'M' || *classes == 'X')
        return 0;
    if (a->integers + integers > INTEGER_REGISTERS || a->floats + floats > FLOAT_REGISTERS)
        return 0;
    places[0] = places[1] = -1;
    for (int i = 0; classes[i]; i++)
        places[i] = is_float(classes[i]) ? INTEGER_REGISTERS + a->floats++ : a->integers++;
    return 1;
}

/* How the result comes back: the letter of a typed jump; see jump.h. */
static char
result_jump(const Converter *c)
{
    if (c->code == 'v')
        return 'I';
    const char *classes = classes_of(c);
    if (!strcmp(classes, "I")) return 'I';
    if (!strcmp(classes, "S")) return 'S';
    if (!strcmp(classes, "II")) return '1';
    if (!strcmp(classes, "IS")) return '2';
    if (!strcmp(classes, "SI")) return '3';
    if (!strcmp(classes, "SS")) return '4';
    return 0;
}

static Py_ssize_t
base_size(const Converter *c)
{
    while (c->code == 'x')
        c = c->inner;
    return c->size;
}

static int
passed_by_reference(const Trampoline *t, const Parameter *p)
{
    return !t->foreign && *classes_of(p->converter) == 'R';
}

/* Try to place everything in registers; 0: it does not fit. */
static int
plan_registers(Trampoline *t)
{
    if (!HAVE_REGISTERS)
        return 0;
    Allocation a = {t->hidden, 0};
    t->jump = t->hidden ? 'I' : result_jump(t->result);
    if (!t->jump)
        return 0; /* long double comes back on the x87 stack; other platforms: as libffi decides */
    for (int i = 0; i < t->count; i++) {
        Parameter *p = &t->parameters[i];
        int places[2];
        if (!take(&a, classes_of(p->converter), places))
            return 0;
        p->word = places[0];
        p->word2 = places[1];
        p->mode = passed_by_reference(t, p) ? REFERENCE : is_wide(p->converter) ? PIECES : WORD;
    }
    t->floats = (char)a.floats;
    int simple = !t->hidden && !t->temporaries && !t->owned && !t->gives;
    t->words_only = 1;
    t->structs = simple;
    for (int i = 0; i < t->count; i++) {
        t->words_only = t->words_only && t->parameters[i].mode == WORD;
        t->structs = t->structs && (t->parameters[i].mode == WORD || t->parameters[i].converter->code == 's');
    }
    t->plain = t->words_only && simple && !is_wide(t->result);
    t->structs = t->structs && !t->plain;
    t->words = REGISTERS;
    t->strategy = BY_REGISTERS;
    return 1;
}

static int
plan_libffi(Trampoline *t)
{
    Allocation a = {t->hidden, 0};
    t->jump = t->hidden ? 'I' : result_jump(t->result);
    t->types = PyMem_Calloc((size_t)(2 * t->count) + 2, sizeof(ffi_type *));
    t->positions = PyMem_Calloc((size_t)(2 * t->count) + 2, sizeof(int));
    if (!t->types || !t->positions) {
        PyErr_NoMemory();
        return -1;
    }
    int word = 0, fixed = 0;
    if (t->hidden) {
        t->positions[t->nffi] = word++;
        t->types[t->nffi++] = &ffi_type_pointer;
    }
    for (int i = 0; i < t->count; i++) {
        Parameter *p = &t->parameters[i];
        int places[2];
        const char *classes = classes_of(p->converter);
        int fits = !t->foreign && take(&a, classes, places);
        if (i == t->fixed)
            fixed = t->nffi;
        p->word2 = -1;
        if (passed_by_reference(t, p)) {
            p->mode = REFERENCE;
            t->positions[t->nffi] = p->word = word++;
            t->types[t->nffi++] = &ffi_type_pointer;
            continue;
        }
        if (!is_wide(p->converter) || (fits && HAVE_EIGHTBYTES)) {
            p->mode = is_wide(p->converter) ? PIECES : WORD;
            for (int piece = 0; classes[piece] && (piece == 0 || p->mode == PIECES); piece++) {
                *(piece ? &p->word2 : &p->word) = word;
                t->positions[t->nffi] = word++;
                t->types[t->nffi++] = p->mode == WORD          ? p->converter->ffi
                                      : is_float(classes[piece]) ? &ffi_type_double
                                                                 : &ffi_type_uint64;
            }
            continue;
        }
        p->mode = WIDE;
        if (p->converter->alignment > 8)
            word += word & 1;
        p->word = word;
        t->positions[t->nffi] = word;
        t->types[t->nffi++] = p->converter->ffi;
        word += (int)((base_size(p->converter) + 7) / 8);
    }
    if (t->fixed >= t->count)
        fixed = t->nffi;
    t->words = word;
    t->strategy = BY_LIBFFI;
    ffi_type *result = t->hidden ? &ffi_type_pointer : t->result->ffi;
    unsigned count = (unsigned)t->nffi;
    ffi_status status = t->fixed >= 0 ? ffi_prep_cif_var(&t->cif, t->abi, (unsigned)fixed, count, result, t->types)
                                      : ffi_prep_cif(&t->cif, t->abi, count, result, t->types);
    if (status != FFI_OK) {
        PyErr_Format(PyExc_SystemError, "libffi refused the signature (status %d)", (int)status);
        return -1;
    }
    return 0;
}

/* The cif that closures of this signature use: the types as they are written, for libffi receives structs rightly. */
int
plan_callback(Trampoline *t)
{
    if (t->callback_ready)
        return 0;
    t->callback_types = PyMem_Calloc((size_t)t->count + 2, sizeof(ffi_type *));
    if (!t->callback_types) {
        PyErr_NoMemory();
        return -1;
    }
    unsigned count = 0;
    if (t->hidden)
        t->callback_types[count++] = &ffi_type_pointer;
    for (int i = 0; i < t->count; i++)
        t->callback_types[count++] =
            passed_by_reference(t, &t->parameters[i]) ? &ffi_type_pointer : t->parameters[i].converter->ffi;
    ffi_type *result = t->hidden ? &ffi_type_pointer : t->result->ffi;
    if (ffi_prep_cif(&t->callback_cif, t->abi, count, result, t->callback_types) != FFI_OK) {
        PyErr_SetString(PyExc_SystemError, "libffi refused the signature of a callback");
        return -1;
    }
    t->callback_ready = 1;
    return 0;
}

/* Which parameters take no argument, which give a value back, and where their temporaries are. */
static void
plan_temporaries(Trampoline *t)
{
    int offset = 0;
    t->owned = t->result->owned;
    for (int i = 0; i < t->count; i++) {
        Parameter *p = &t->parameters[i];
        char code = p->converter->code;
        p->temporary = -1;
        p->optional = code == '>';
        t->taken += !p->optional;
        t->outputs += code == '>' || code == '=';
        t->owned |= (code == '>' || code == '=') && p->converter->inner->owned;
        t->gives |= code == 'x' && p->converter->owned && p->converter->raw;
        if (code == '<' || code == '>' || code == '=') {
            p->temporary = offset;
            offset += (int)((p->converter->inner->size + 15) / 16 * 16);
        }
        else if (passed_by_reference(t, p)) {
            p->temporary = offset;
            offset += (int)((base_size(p->converter) + 15) / 16 * 16);
        }
    }
    t->temporaries = offset;
}

static PyObject *
trampoline_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"signature", "result", "parameters", "fixed", "strategy", "abi", "arrays", NULL};
    PyObject *signature, *result, *parameters, *arrays = Py_None;
    int fixed = -1, abi = FFI_DEFAULT_ABI;
    const char *strategy = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO!O!|iziO:Trampoline", names, &signature, &ConverterType, &result,
                                     &PyTuple_Type, &parameters, &fixed, &strategy, &abi, &arrays))
        return NULL;
    Trampoline *self = (Trampoline *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->vectorcall = trampoline_vectorcall;
    self->signature = Py_NewRef(signature);
    self->result = (Converter *)Py_NewRef(result);
    self->fixed = fixed;
    self->abi = (ffi_abi)abi;
    self->foreign = abi != FFI_DEFAULT_ABI;
    int count = (int)PyTuple_GET_SIZE(parameters);
    self->parameters = PyMem_Calloc((size_t)count + 1, sizeof(Parameter));
    if (!self->parameters) {
        PyErr_NoMemory();
        goto fail;
    }
    for (; self->count < count; self->count++) {
        PyObject *converter = PyTuple_GET_ITEM(parameters, self->count);
        if (!PyObject_TypeCheck(converter, &ConverterType)) {
            PyErr_SetString(PyExc_TypeError, "parameters is a tuple of Converters");
            goto fail;
        }
        self->parameters[self->count].converter = (Converter *)Py_NewRef(converter);
    }
    plan_temporaries(self);
    /* §3.2.3: the caller passes the address of the result */
    self->hidden = !self->foreign && *classes_of(self->result) == 'M';
    int libffi_only = self->foreign || (fixed >= 0 && !TAIL_IN_REGISTERS) || (strategy && !strcmp(strategy, "libffi"));
    if ((libffi_only || !plan_registers(self)) && plan_libffi(self) < 0)
        goto fail;
    if (arrays != Py_None && arrays_plan(self, arrays) < 0)
        goto fail;
    self->after = self->outputs || self->viewed;
    return (PyObject *)self;
fail:
    Py_DECREF(self);
    return NULL;
}

static int
trampoline_traverse(Trampoline *self, visitproc visit, void *arg)
{
    Py_VISIT(self->signature);
    Py_VISIT(self->result);
    for (int i = 0; i < self->count; i++)
        Py_VISIT(self->parameters[i].converter);
    Py_VISIT(self->arrays);
    return 0;
}

static int
trampoline_clear(Trampoline *self)
{
    Py_CLEAR(self->signature);
    return 0;
}

/* The types of a cif die with the trampoline, and whoever has the cif (a closure, a call) holds the trampoline. */
static void
trampoline_dealloc(Trampoline *self)
{
    PyObject_GC_UnTrack(self);
    trampoline_clear(self);
    Py_CLEAR(self->arrays);
    Py_CLEAR(self->result);
    for (int i = 0; i < self->count; i++)
        Py_CLEAR(self->parameters[i].converter);
    PyMem_Free(self->parameters);
    PyMem_Free(self->types);
    PyMem_Free(self->positions);
    PyMem_Free(self->callback_types);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *
trampoline_get_strategy(Trampoline *self, void *Py_UNUSED(closure))
{
    return PyUnicode_FromString(self->compiled ? "compiled" : self->strategy == BY_REGISTERS ? "registers" : "libffi");
}

static PyObject *
trampoline_get_callback_strategy(Trampoline *self, void *Py_UNUSED(closure))
{
    int thunks = HAVE_THUNKS && self->strategy == BY_REGISTERS;
    return PyUnicode_FromString(self->upcall ? "compiled" : thunks ? "registers" : "libffi");
}

static PyObject *
trampoline_repr(Trampoline *self)
{
    return PyUnicode_FromFormat("<trampoline of %S>", self->signature);
}

static PyMemberDef trampoline_members[] = {
    {"signature", T_OBJECT, offsetof(Trampoline, signature), READONLY, "the Signature it was compiled from"},
    {"calls", T_ULONGLONG, offsetof(Trampoline, calls), READONLY, "calls made through it"},
    {"callbacks", T_ULONGLONG, offsetof(Trampoline, callbacks), READONLY, "callbacks received through it"},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef trampoline_getset[] = {
    {"strategy", (getter)trampoline_get_strategy, NULL, "'compiled', 'registers' or 'libffi'", NULL},
    {"callback_strategy", (getter)trampoline_get_callback_strategy, NULL,
     "the same, of its callbacks; those that have closures are libffi's all the same", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject TrampolineType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "epsilon._shim.Trampoline",
    .tp_doc = "The one compiled trampoline of a signature: trampoline(address, *arguments).",
    .tp_basicsize = sizeof(Trampoline),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(Trampoline, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_new = trampoline_new,
    .tp_traverse = (traverseproc)trampoline_traverse,
    .tp_clear = (inquiry)trampoline_clear,
    .tp_dealloc = (destructor)trampoline_dealloc,
    .tp_repr = (reprfunc)trampoline_repr,
    .tp_members = trampoline_members,
    .tp_getset = trampoline_getset,
};
