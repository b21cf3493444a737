/* What a batch is made of: batch.c has the object and its plan, batch_run.c the run of any batch, batch_quick.c that of plain
 * ones. */
#ifndef EPSILON_BATCH_H
#define EPSILON_BATCH_H

#include "jump.h"

/* Where an argument comes from. */
typedef struct {
    PyObject *constant; /* or NULL */
    int from;           /* the call whose result it is, or -1 */
} Source;

typedef struct {
    PyObject *callable; /* or NULL, before the first run */
    Function *function; /* the same, where the call is made here; else NULL */
    Source *sources;
    int count;          /* of arguments */
    int first;          /* the place of the first among all arguments */
    int place;          /* of the callable among what a run is called with, … */
    int named;          /* … if it is there; … */
    int same;           /* … or the call that it is the same as; or -1 */
    size_t words, values, temporaries, wide; /* offsets in the block, in bytes */
    char entry;         /* integers: '0' … '4'; floats: 'a' … 'c'; else 0 */
    char wide_size;     /* whether the result has a place of its own */
    char wired;         /* whether an argument is an earlier result */
    char text;          /* the result is a text: it is copied */
    char awaited;       /* whether a later call takes the result */
} Step;

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *shape, *callables; /* as they were given */
    Step *steps;
    Source *sources;
    int count, arguments; /* of calls, and of their arguments in all */
    int wanted;           /* what a run is called with */
    int *named;           /* the calls whose callables are given with each run */
    int named_count;
    int planned;
    int running;          /* runs in progress: the plan stays */
    int items;            /* objects that a run may keep */
    size_t size;          /* of the block */
    char lends;           /* a call made here may get memory or texts of its arguments */
    char tidies;          /* a call may leave something to be given back */
    struct Quick *quick;  /* the plan of a quick run, or NULL (batch_quick.c) */
} Batch;

/* What compiled code gets of a batch, and what it is; epsilon/batch_source.py has the same. */
typedef struct {
    void *const *addresses;       /* of each call */
    PyObject *const *constants;   /* arguments that are always the same */
    Converter *const *parameters; /* of each argument that no call gives */
    Converter *const *results;
} Flat;
typedef struct {
    int (*calls)(const Flat *, PyObject *const *, uint64_t *, Record *); /* how many were made well; -1: not plain */
    int (*results)(const Flat *, const uint64_t *, PyObject **);         /* how many could be had */
} BatchCode;

/* What a call left. */
typedef struct {
    uint64_t raw[4];
    PyObject *value; /* of an ordinary call, or a failed check's default */
    char *text;      /* the copy */
} Landed;

/* One run. */
typedef struct {
    Batch *batch;
    char *block;
    PyObject **objects; /* the arguments of all calls */
    Landed *landed;
    Frame frame;
    Record record;
    int flying;   /* the record is on this thread's list … */
    int released; /* … and the GIL is let go of */
} Run;

/* batch.c */
PyObject *batch_vectorcall(PyObject *object, PyObject *const *args, size_t nargsf, PyObject *kwnames);

/* batch_run.c */
PyObject *batch_run(Batch *self, PyObject *const *args);
uint64_t carry(char from, char to, uint64_t word);
void batch_gather(Run *run, PyObject *const *args);
void batch_name_call(Run *run, int failed, int made);
int batch_failed_check(Run *run, const Step *step);

/* batch_quick.c */
int quick_plan(Batch *self, const BatchCode *code);
void quick_forget(Batch *self);
int quick_is_compiled(const Batch *self);

#endif
