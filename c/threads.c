/* Threads that Python has never seen: C calls a callback on one.
 *
 * PyGILState_Ensure makes a thread state for such a thread and PyGILState_Release throws it away, which costs ten times as
 * much as the callback.  So the state is kept until the thread ends.  It is kept by holding its counter up once; the end
 * of the thread is known from a key of pthread's, whose destructor runs then.  That destructor must not wait for the GIL,
 * for whoever has it may be waiting for this very thread; so it only puts the thread on a list, and the next new thread,
 * or the next callback that is made, clears what is on it.
 *
 * A state may also be cleared under our feet: by the end of the interpreter, and in the child of a fork.  A capsule in the
 * state's own dict tells of that.
 */
#include "shim.h"

#if defined(_WIN32)

PyGILState_STATE
thread_enter(void)
{
    return PyGILState_Ensure();
}

void
threads_bury(void)
{
}

int
threads_init(void)
{
    return 0;
}

#else

#include <pthread.h>

/* Destructors of other keys may call back after ours has run; a key that is set again is asked again (POSIX,
 * pthread_key_create: up to PTHREAD_DESTRUCTOR_ITERATIONS, which is at least 4, times). */
#define ROUNDS 3

typedef struct Visitor {
    PyThreadState *state; /* NULL: it was cleared by others */
    struct Visitor *next; /* in the list of the dead */
    int rounds;
} Visitor;

static pthread_key_t key;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the list, and of `state`; nothing is waited for under it */
static Visitor *dead;

/* The thread ends; it may not have the GIL. */
static void
thread_ended(void *pointer)
{
    Visitor *visitor = pointer;
    if (++visitor->rounds < ROUNDS && pthread_setspecific(key, visitor) == 0)
        return;
    pthread_mutex_lock(&lock);
    int cleared = !visitor->state;
    if (!cleared) {
        visitor->next = dead;
        dead = visitor;
    }
    pthread_mutex_unlock(&lock);
    if (cleared)
        free(visitor);
}

/* The thread's state is being cleared: by others, or by threads_bury, which has taken it off the list before. */
static void
state_cleared(PyObject *capsule)
{
    Visitor *visitor = PyCapsule_GetPointer(capsule, "epsilon.thread");
    pthread_mutex_lock(&lock);
    Visitor **place = &dead;
    while (*place && *place != visitor)
        place = &(*place)->next;
    int listed = *place != NULL;
    if (listed)
        *place = visitor->next;
    visitor->state = NULL;
    pthread_mutex_unlock(&lock);
    if (listed)
        free(visitor);
}

/* Clear the states of threads that have ended; with the GIL. */
void
threads_bury(void)
{
    while (UNLIKELY(dead != NULL)) {
        pthread_mutex_lock(&lock);
        Visitor *visitor = dead;
        if (visitor)
            dead = visitor->next;
        pthread_mutex_unlock(&lock);
        if (!visitor)
            return;
        PyThreadState *state = visitor->state;
        PyThreadState_Clear(state); /* runs the ends of what the thread had for itself, which may come here again */
#if PY_VERSION_HEX >= 0x030C0000
        state->_status.bound_gilstate = 0; /* else its deletion makes CPython forget the state of this thread */
#endif
        PyThreadState_Delete(state);
        free(visitor);
    }
}

/* Keep the state that PyGILState_Ensure has just made for this thread. */
static void
keep_state(void)
{
    Visitor *visitor = calloc(1, sizeof *visitor);
    PyObject *dict = PyThreadState_GetDict();
    PyObject *capsule = visitor && dict ? PyCapsule_New(visitor, "epsilon.thread", NULL) : NULL;
    if (!capsule || PyDict_SetItemString(dict, "epsilon.thread", capsule) < 0 || pthread_setspecific(key, visitor) != 0) {
        PyErr_Clear(); /* the state is thrown away as usual */
        Py_XDECREF(capsule);
        if (dict && PyDict_DelItemString(dict, "epsilon.thread") < 0)
            PyErr_Clear();
        free(visitor);
        return;
    }
    visitor->state = PyThreadState_Get();
    PyCapsule_SetDestructor(capsule, state_cleared);
    Py_DECREF(capsule);
    PyGILState_Ensure(); /* never released: the state stays */
}

/* Get the GIL on a thread that is in no call of ours; PyGILState_Release undoes it. */
PyGILState_STATE
thread_enter(void)
{
    int known = PyGILState_GetThisThreadState() != NULL;
    PyGILState_STATE before = PyGILState_Ensure();
    if (UNLIKELY(!known)) {
        threads_bury();
        keep_state();
    }
    return before;
}

static void
before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void
after_fork(void)
{
    pthread_mutex_unlock(&lock);
}

int
threads_init(void)
{
    if (pthread_key_create(&key, thread_ended) == 0 && pthread_atfork(before_fork, after_fork, after_fork) == 0)
        return 0;
    PyErr_SetString(PyExc_ImportError, "the shim cannot learn of the ends of threads: pthread_key_create failed");
    return -1;
}

#endif
