/* Blocks of memory that are used again: what `with pooled_memory(…)` takes and gives back.
 *
 * Each thread has a pool of its own, so that a block is warm in its cache; it dies with the thread's state.  The blocks of
 * one size are on one shelf; two sizes may come to the same shelf, and then the one that is used now has it.
 */
#include "shim.h"

typedef struct Block {
    struct Block *next; /* on the shelf */
    size_t size;
    _Alignas(16) char memory[];
} Block;

enum { SHELVES = 64, KEPT = 4 << 20 /* bytes that a pool keeps */ };

typedef struct {
    Block *shelves[SHELVES];
    size_t kept;
} Pool;

static _Thread_local Pool *own_pool TLS_FAST;

static void
clear_shelf(Pool *pool, int shelf)
{
    Block *block;
    while ((block = pool->shelves[shelf])) {
        pool->shelves[shelf] = block->next;
        pool->kept -= block->size;
        free(block);
    }
}

static void
end_pool(PyObject *capsule)
{
    Pool *pool = PyCapsule_GetPointer(capsule, NULL);
    if (own_pool == pool)
        own_pool = NULL;
    for (int shelf = 0; shelf < SHELVES; shelf++)
        clear_shelf(pool, shelf);
    free(pool);
}

/* Give this thread a pool; without one, for want of memory or because the thread is ending, blocks are malloc's. */
static Pool *
make_pool(void)
{
    PyObject *state = PyThreadState_GetDict(); /* borrowed */
    Pool *pool = state ? calloc(1, sizeof *pool) : NULL;
    if (!pool)
        return NULL;
    PyObject *capsule = PyCapsule_New(pool, NULL, end_pool);
    if (!capsule) {
        PyErr_Clear();
        free(pool);
        return NULL;
    }
    own_pool = pool;
    if (PyDict_SetItemString(state, "epsilon.pool", capsule) < 0)
        PyErr_Clear(); /* the capsule ends the pool */
    Py_DECREF(capsule);
    return own_pool;
}

static int
shelf_of(size_t size)
{
    return (int)((size * UINT64_C(0x9E3779B97F4A7C15)) >> 58) % SHELVES;
}

/* Memory for `size` bytes, of any content, or NULL with the error set. */
void *
pool_take(size_t size)
{
    Pool *pool = own_pool;
    if (LIKELY(pool != NULL)) {
        int shelf = shelf_of(size);
        Block *block = pool->shelves[shelf];
        if (LIKELY(block != NULL) && LIKELY(block->size == size)) {
            pool->shelves[shelf] = block->next;
            pool->kept -= size;
            return block->memory;
        }
    }
    Block *block = size > PY_SSIZE_T_MAX - sizeof(Block) ? NULL : calloc(1, sizeof(Block) + size);
    if (!block) {
        PyErr_NoMemory();
        return NULL;
    }
    block->size = size;
    return block->memory;
}

/* Back into the pool of whichever thread this is.  Keeps the exception that is set. */
void
pool_give(void *memory)
{
    Block *block = (Block *)((char *)memory - offsetof(Block, memory));
    Pool *pool = own_pool;
    if (UNLIKELY(!pool)) {
        PyObject *exception = take_exception();
        pool = make_pool();
        if (exception)
            give_exception(exception);
    }
    if (!pool || block->size > KEPT) {
        free(block);
        return;
    }
    int shelf = shelf_of(block->size);
    if (pool->shelves[shelf] && UNLIKELY(pool->shelves[shelf]->size != block->size))
        clear_shelf(pool, shelf);
    if (UNLIKELY(pool->kept + block->size > KEPT)) {
        free(block);
        return;
    }
    pool->kept += block->size;
    block->next = pool->shelves[shelf];
    pool->shelves[shelf] = block;
}
