/* What the rooms of the shim share: the objects of floor 0 and the record of a foreign call in progress. */
#ifndef EPSILON_SHIM_H
#define EPSILON_SHIM_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <complex.h>
#include <ffi.h>
#include <stdint.h>
#include <string.h>

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define COLD static __attribute__((noinline, cold)) /* keeps its registers out of the path that is hot */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* --- the register file of a call, by platform ------------------------------------------------------------------- */

#if defined(__x86_64__) && !defined(_WIN32) && !defined(__ILP32__)
#define HAVE_REGISTERS 1 /* System V ABI, AMD64 supplement, §3.2.3 */
#define HAVE_EIGHTBYTES 1
#define INTEGER_REGISTERS 6
#define FLOAT_REGISTERS 8
#elif defined(__aarch64__) && !defined(_WIN32) && !defined(__ILP32__)
#define HAVE_REGISTERS 1 /* AAPCS64 §6.8 */
#define HAVE_EIGHTBYTES 0
#define INTEGER_REGISTERS 8
#define FLOAT_REGISTERS 8
#else
#define HAVE_REGISTERS 0
#define HAVE_EIGHTBYTES 0
#define INTEGER_REGISTERS 0
#define FLOAT_REGISTERS 0
#endif
#if defined(__x86_64__) && defined(__ELF__) && !defined(__ILP32__)
#define HAVE_THUNKS 1
#else
#define HAVE_THUNKS 0
#endif
#define REGISTERS (INTEGER_REGISTERS + FLOAT_REGISTERS)
#define HAVE_REFERENCES (HAVE_REGISTERS && !HAVE_EIGHTBYTES) /* AAPCS64: large structs travel as the address of a copy */

/* --- objects ----------------------------------------------------------------------------------------------------- */

/* The life of a library: calls in flight hold its closing back. */
typedef struct {
    PyObject_HEAD
    PyObject *closer; /* called once, when closed and no call is in flight */
    Py_ssize_t inflight;
    int aloft; /* loops in progress that may have no GIL: atomic (vectorize.c) */
    char closed;
} Cell;

/* Memory with a known type, size and end.  A view into another Guarded has that one as its root and ends with it.  Small
 * memory is within the object: most structs that travel by value fit, and malloc would cost more than the rest of them. */
#define SMALL_MEMORY 32
typedef struct Guarded {
    PyObject_HEAD
    _Alignas(16) char small[SMALL_MEMORY];
    char *address;
    Py_ssize_t size;        /* in bytes; -1: unknown */
    PyObject *pointer_type; /* the cffi type "T *" */
    PyObject *owner;        /* keeps the memory alive */
    PyObject *kept;         /* dict of what the memory points to, or NULL */
    PyObject *ended_at;     /* where it was freed: a text, or a code object and `ended_line` in it; or
                               NULL.  Of CONFINED memory the thread, as an int */
    PyObject *allocated_at; /* what whoever allocated it says, or NULL */
    PyObject *weakrefs;
    struct Guarded *root;   /* borrowed from owner, or NULL */
    Py_ssize_t leases;      /* zero-copy views of the bytes, which keep them (lease.c) */
    PyThreadState *user;    /* the thread of the calls in flight */
    int inflight;           /* calls that C uses it in; of the root */
    int ended_line;
    int exports;            /* of the root: who looks at buffers of it (buffer.c) or holds it; it cannot end meanwhile */
    char owns;              /* MALLOCED, POOLED, or 0 */
    char ended, readonly;
    char shared;            /* the calls in flight are those of several threads */
} Guarded;

enum { ALIVE, ENDED, CONFINED }; /* `ended`: CONFINED memory is there for one thread, and the slow path looks which */

enum { MALLOCED = 1, POOLED };

/* Guarded memory of `count` values of one type, one after the other. */
typedef struct {
    Guarded guarded;
    PyObject *element;    /* the CType */
    struct Converter *converter; /* of elements that are read and written here (elements.c), once it is known */
    Py_ssize_t count;     /* -1: unknown */
    char kind;            /* what its elements are: elements.c */
} Memory;

/* How one C type crosses.  `code` is the letter that typesystem.py gives it. */
typedef struct Converter {
    PyObject_HEAD
    PyObject *ctype;        /* the CType, for the slow path and for error texts */
    PyObject *backend;      /* the cffi type that results have */
    PyObject *make;         /* struct: the Python class */
    PyObject *to, *back;    /* 'x': Python callables around `inner`; only `back` may be put there later */
    struct Converter *inner;/* 'x' and '<' '>' '=': what is behind */
    ffi_type *ffi;          /* libffi's description */
    ffi_type *own_ffi;      /* allocated with this converter, or NULL */
    Py_ssize_t size, alignment;
    char code;
    char raw;               /* 'z': the bytes, not a str; 'p': C only reads, so read-only buffers will do */
    char owned;             /* what comes back is the caller's to free: the hook `take` sees to it; 'x' and raw:
                               what is passed is C's to keep */
    char required;          /* a pointer that C must not get as NULL: what would be one goes to the hook `adapt` */
    char classes[3];        /* eightbyte classes, "" for memory: System V §3.2.3 */
} Converter;

/* The letter that the quick entries go by: they pass None as NULL where it is 'P'. */
static inline char
quick_code(const Converter *c)
{
    return c->required && c->code == 'P' ? 'p' : c->code;
}

/* Where one parameter goes. */
typedef struct {
    Converter *converter;
    int word, word2; /* indices into the words of the call; word2 < 0: none */
    int temporary;   /* offset into the temporaries of the call, < 0: none */
    char mode;       /* WORD, PIECES, WIDE, REFERENCE */
    char optional;   /* '>' takes no argument */
    char array;      /* of a plan for arrays: ARRAY, or ARRAY_BACK where its values are given back */
} Parameter;

enum { WORD, PIECES, WIDE, REFERENCE };
enum { NO_ARRAY, ARRAY, ARRAY_BACK };
enum { NO_STRATEGY, BY_REGISTERS, BY_LIBFFI };

/* A compiled entry of callbacks: what `interpret` of upcall.c does, for the signatures of one shape. */
struct Slot;
struct Record;
typedef void (*Upcall)(struct Slot *slot, struct Record *record, const uint64_t *words, void *where);

/* The one compiled trampoline of a signature. */
typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *signature;
    Converter *result;
    Parameter *parameters;
    int count, taken, outputs; /* parameters in C; arguments taken from Python; values given back besides the result */
    int words, temporaries;    /* sizes: in words, in bytes */
    int fixed;                 /* variadic: how many parameters come before the tail; else -1 */
    char strategy;
    char jump;                 /* which typed jump (registers) */
    char floats;               /* how many float registers are used */
    char words_only;           /* every parameter is one word, in a register */
    char plain;                /* so is the result, and nothing is temporary */
    char structs;              /* as plain, but that structs are passed or returned in registers */
    char hidden;               /* the result goes through a hidden first pointer (registers) */
    char counted, viewed;      /* whether calls ask the plan for arrays, and whether callbacks do */
    char after;                /* a callback's result is more than a conversion: outputs, or views to end */
    char owned;                /* the result or an output is the caller's to free */
    char gives;                /* a parameter is C's to keep: the hook `depart` sees to it */
    char foreign;              /* `abi` is another than the platform's own, and libffi's matter alone */
    ffi_abi abi;
    ffi_cif cif;
    ffi_type **types;
    int *positions;            /* libffi: the word of each argument */
    int nffi;
    ffi_cif callback_cif;      /* callbacks see the signature as it is written */
    ffi_type **callback_types;
    char callback_ready;
    unsigned long long calls, callbacks;
    const vectorcallfunc (*compiled)[2]; /* entries of its functions, by options and GIL, or NULL (entries.c) */
    Upcall upcall;             /* the entry of its callbacks, or NULL (entries.c) */
    PyObject *arrays;          /* the Python object that knows its arrays and their lengths (arrays.c), or NULL */
} Trampoline;

enum { CRITICAL = 1, ERRNO = 2, CHECK = 4, RETRY = 8 };
enum { CHECK_NONE, CHECK_NONNEGATIVE, CHECK_POSITIVE, CHECK_NONZERO, CHECK_ZERO, CHECK_CALLABLE };

/* On which errno a failed call is made again, and how many calls that may make; 0: any number. */
typedef struct {
    long attempts;
    int count;
    int numbers[];
} Retry;

typedef struct Tail Tail;

/* A bound function: a trampoline, an address, and what the declaration asked for.  What a quick call reads comes first. */
#define QUICK_PARAMETERS 14
typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    void *address; /* NULL until it is resolved */
    Cell *cell;
    Trampoline *trampoline;
    char codes[QUICK_PARAMETERS + 2];  /* quick calls: the conversion of each parameter … */
    char places[QUICK_PARAMETERS + 2]; /* … and its word */
    int flags;
    char check;            /* what a good result is; whether a bad one raises is the flag CHECK */
    PyObject *declaration;
    PyObject *check_callable;
    Retry *retry;          /* or NULL */
    Tail *tails;           /* of a variadic function: the shapes of tail that it was called with (tails.c) */
    PyObject *dict;
    PyObject *weakrefs;
} Function;

typedef struct Slot Slot;

/* A C function pointer with a Python callable behind it. */
typedef struct Callback {
    PyObject_HEAD
    Slot *slot;         /* NULL once it is closed */
    PyObject *callable; /* what C's call runs: the function, or what takes it to the right thread (epsilon/dispatch.py) */
    PyObject *function; /* what the user gave */
    PyObject *weakrefs;
    void *code;
} Callback;

/* A C function pointer, for ever; which callback it leads to changes. */
struct Slot {
    Callback *callback;      /* borrowed; NULL once closed */
    Trampoline *trampoline;
    void *code;              /* the C function pointer: the thunk, or the closure's */
    void *thunk;             /* or NULL */
    ffi_closure *closure;    /* or NULL; made when a signature first needs it */
    void *closure_code;
    char *answer;            /* what C gets instead of a result, or NULL for zeros */
    PyObject *kept;          /* what `answer` points to, or NULL */
    PyObject *answerer;      /* on_error as a callable: (exception) → what C gets, or NULL */
    PyObject *name, *file;   /* of the closed callback */
    int line;
    int entered;             /* C calls that are in it now; it serves nobody else meanwhile */
    char jump, hidden;       /* of the trampoline: read before the GIL is there */
    char give;               /* a string goes to C as a malloc'ed copy, which is C's to free */
    PyObject *returned;      /* thread → what the last result given to C there points to; or NULL */
    struct Slot *next;       /* in the queue */
};

/* --- a foreign call in progress ----------------------------------------------------------------------------------- */

typedef struct Record {
    struct Record *previous;
    PyThreadState *state; /* of a compiled entry that keeps the GIL: NULL until somebody wants to know (upcall.c) */
    PyObject *exception; /* parked by a callback */
} Record;

#if defined(__linux__)
#define TLS_FAST __attribute__((tls_model("initial-exec")))
#else
#define TLS_FAST
#endif
extern _Thread_local Record *current_record TLS_FAST;
extern _Thread_local int saved_errno TLS_FAST; /* what epsilon.errno() gives */

/* Objects that live until the call ends. */
typedef struct {
    PyObject **items;
    int count;
    char *temporaries;
} Frame;

/* --- what the rooms offer each other ------------------------------------------------------------------------------ */

extern PyTypeObject CellType, GuardedType, MemoryType, LeaseType, FieldType, ConverterType, TrampolineType, FunctionType,
    CallbackType, BatchType, VectorType;

/* the hooks that the floors above set: Python callables, see module.c */
extern struct Hooks {
    PyObject *adapt;         /* (ctype, value) → plain value, or the error */
    PyObject *explain;       /* (who, index, exception) → exception, with the parameter named */
    PyObject *undecodable;   /* (ctype, bytes): raises */
    PyObject *check_failed;  /* (declaration, result, errno or None, arguments): raises, or returns the value to give; with
                                outputs, `result` is the tuple of it and them */
    PyObject *retrying;      /* (declaration): raises if the call is not to be made again */
    PyObject *take;          /* (declaration or trampoline, ctype, address, value) → what to give for a pointer that is
                                the caller's to free; value None where there is none: it is freed */
    PyObject *arguments;     /* (declaration or trampoline, args, kwargs) → tuple of positional arguments, or raises */
    PyObject *tail;          /* (declaration, arguments) → (function, arguments, whether calls alike get the same) for a
                                variadic call */
    PyObject *closed;        /* (name, file, line) → CallbackClosedError */
    PyObject *dead;          /* (guarded): raises */
    PyObject *library_closed;/* (declaration): raises */
    PyObject *another;       /* (first, later): add the later exception to the first as a note */
    PyObject *cdata;         /* (callback) → a cffi function pointer */
    PyObject *depart;        /* (tuple of what the arguments became): C is about to get it, for good */
    PyObject *type_error;    /* the class ForeignTypeError */
    PyObject *null_pointer;  /* (ctype): raises, for a NULL behind (:in T) */
    PyObject *readonly;      /* (guarded): raises, for a write into memory that may only be read */
    PyObject *in_use;        /* (guarded): raises, for the end of memory that C uses on another thread */
    PyObject *batch_plan;    /* (callables, shape, as given) → the address of its compiled code or 0; raises where these
                              * calls cannot be a batch */
    PyObject *batch_failed;  /* (callables, index, results, exception): name the call in an exception, in place */
    PyObject *shown;         /* (guarded) → (format or None, size of an item) of its buffer, or raises */
    PyObject *member;        /* (field, struct, exception): names the member in an exception, in place */
} hooks;

/* guarded.c */
int guarded_alive(Guarded *self);
int allocate_memory(Guarded *self, Py_ssize_t size, Py_ssize_t alignment);
void guarded_finish(Guarded *self);
int guarded_board(PyObject *const *objects, int count);
void guarded_land(PyObject *const *objects, int count);
PyObject *guarded_end(Guarded *self, PyObject *where);
PyObject *guarded_view(Converter *c, Guarded *memory, char *where);
void guarded_unlease(Guarded *self);
PyObject *guarded_allocate(PyTypeObject *type, Py_ssize_t size, Py_ssize_t alignment, PyObject *pointer_type);
int cell_leave_slowly(Cell *cell);

ALWAYS_INLINE int
is_guarded(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object), *base = type->tp_base; /* a struct's class is the second below Guarded */
    return type == &GuardedType || (base && (base == &GuardedType || base->tp_base == &GuardedType)) ||
           (type->tp_flags & Py_TPFLAGS_BASETYPE && PyType_IsSubtype(type, &GuardedType));
}

/* buffer.c */
extern PyBufferProcs guarded_buffers;

/* pool.c */
void *pool_take(size_t size);
void pool_give(void *block);

/* field.c: values in guarded memory */
char *place_in(const Converter *self, Guarded *memory, Py_ssize_t offset);
int write_value(Converter *c, Guarded *memory, Py_ssize_t offset, PyObject *value);

/* elements.c */
int elements_init(void);

/* convert.c */
int convert_init(void);
int to_word(Converter *c, PyObject *value, uint64_t *word, Frame *frame);
int to_memory(Converter *c, PyObject *value, void *address, Frame *frame);
PyObject *from_word(Converter *c, uint64_t word);
PyObject *from_memory(Converter *c, const void *address);
int is_wide(const Converter *c);
void cdata_types(PyObject **type, PyObject **pointer);

/* plan.c */
int plan_callback(Trampoline *t);

/* entries.c */
vectorcallfunc compiled_entry(const Function *f);
PyObject *shim_layout(PyObject *, PyObject *);
PyObject *shim_lend(PyObject *, PyObject *);
PyObject *shim_adopt(PyObject *, PyObject *);
PyObject *shim_adopt_upcall(PyObject *, PyObject *);

/* quick.c */
vectorcallfunc function_entry(const Function *f);

/* arrays.c */
int put_plain(char code, PyObject *value, char *where);
int arrays_plan(Trampoline *t, PyObject *plan);
PyObject *const *arrays_prepare(Trampoline *t, PyObject *who, PyObject *const *args, Frame *frame);
PyObject *arrays_finish(Trampoline *t, PyObject *who, PyObject *result, PyObject *boxes, PyObject *prepared, int failed);
int arrays_receive(Trampoline *t, PyObject *callable, PyObject *raw, PyObject **vector, PyObject **received);
PyObject *arrays_spread(Trampoline *t, PyObject *callable, PyObject *received, PyObject *result, PyObject **boxes,
                        Frame *frame);
void arrays_end(PyObject *received, PyObject *callable);
PyObject *arrays_pack(Converter *element, PyObject *args);

/* results.c */
int word_passes(const Converter *c, char check, uint64_t word);
int result_passes(Function *f, PyObject *value, uint64_t word);
PyObject *result_failed(Function *f, PyObject *value, PyObject *const *args, char *temporaries, PyObject *const *items);
int try_again(Function *f, long attempt);
PyObject *take_over(Converter *c, PyObject *who, void *address, PyObject *value);
PyObject *with_outputs(Trampoline *t, PyObject *who, PyObject *result, char *temporaries, PyObject *const *items,
                       int failed);
void release_outputs(Trampoline *t, PyObject *who, char *temporaries);

/* tails.c */
PyObject *call_variadic(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames);
int tails_traverse(Tail *tail, visitproc visit, void *arg);
void tails_free(Tail *tail);

/* call.c */
int put_wide(Parameter *p, PyObject *value, uint64_t *words, Frame *frame);
void call_libffi(Trampoline *t, void *address, uint64_t *words, void *result, void **values);
PyObject *call_general(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwnames);
PyObject *trampoline_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames);
int function_resolve(Function *self);
PyObject *shim_errno(PyObject *, PyObject *);
PyObject *shim_set_errno(PyObject *, PyObject *);

/* thunks.c: the registers of a call that came through a thunk, in the order of a plan's words, and of its result */
typedef struct {
    uint64_t words[14];
    uint64_t rax, rdx;
    uint64_t xmm0, xmm1;
} ThunkCall;
void *thunk_take(void *user);

/* threads.c */
int threads_init(void);
PyGILState_STATE thread_enter(void);
void threads_bury(void);

/* upcall.c: what thunks and libffi's closures call; and how an exception gets to another thread's foreign call */
void park(Record *record, PyObject *context);
PyObject *shim_own_calls(PyObject *, PyObject *);
PyObject *shim_leave_to(PyObject *, PyObject *);
void thunk_run(void *user, ThunkCall *call);
PyObject *upcall_vectorcall(PyObject *callable, PyObject *const *args, size_t nargsf);
void upcall_closed(Slot *slot, Record *record, void *where);
void upcall_refused(Slot *slot, Record *record, PyObject *callable, int index, void *where);
void upcall_failed(Slot *slot, Record *record, PyObject *callable, void *where);
void upcall_result(Slot *slot, Record *record, PyObject *callable, PyObject *result, void *where);
void upcall_closure(ffi_cif *cif, void *where, void **pointers, void *user);

/* vectorize.c */
PyObject *shim_vectorize(PyObject *, PyObject *);

/* errors.c */
PyObject *take_exception(void);
void give_exception(PyObject *exception);
void explain(PyObject *who, int index);

/* The value of a small exact int. */
ALWAYS_INLINE int
compact(PyObject *object, int64_t *value)
{
    if (UNLIKELY(!PyLong_CheckExact(object)))
        return 0;
#if PY_VERSION_HEX >= 0x030C0000
    if (UNLIKELY(!PyUnstable_Long_IsCompact((PyLongObject *)object)))
        return 0;
    *value = PyUnstable_Long_CompactValue((PyLongObject *)object);
#else
    Py_ssize_t size = Py_SIZE(object);
    int64_t digit = (int64_t)((PyLongObject *)object)->ob_digit[0];
    if (LIKELY(size == 1))
        *value = digit;
    else if (size == -1)
        *value = -digit;
    else if (size == 0)
        *value = 0;
    else
        return 0;
#endif
    return 1;
}

#define OWNED_PER_PARAMETER 4
#define BLOCK_ON_STACK 16384
ALWAYS_INLINE void frame_keep(Frame *frame, PyObject *object) { frame->items[frame->count++] = object; }

/* The next `size` bytes of a block, aligned. */
ALWAYS_INLINE void *
carve(char **block, size_t size, size_t alignment)
{
    char *start = (char *)(((uintptr_t)*block + alignment - 1) & ~(alignment - 1));
    *block = start + size;
    return start;
}

#endif
