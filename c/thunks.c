/* Thunks: the C function pointers of callbacks whose arguments all travel in registers.
 *
 * A thunk is sixteen bytes of the shim's own text: it pushes its number and jumps to one common entry, which stores the
 * argument registers in the order that a plan gives them (plan.c), calls `thunk_entered`, and loads the result registers.
 * That is all that libffi's closures do, without classifying the arguments anew at each call, and no page is ever both
 * writable and executable.  There are THUNKS of them; callbacks beyond that, and signatures that need the stack, are
 * libffi's.  System V x86-64 only (ABI §3.2.3); elsewhere thunk_take gives none.
 */
#include "shim.h"

#if HAVE_THUNKS

#define THUNKS 16384
#define STRING_(x) #x
#define STRING(x) STRING_(x)

extern char epsilon_thunks[] __attribute__((visibility("hidden")));

/* Entry of a thunk: 0(%rsp) its number, 8(%rsp) the return address.  The block on the stack is a ThunkCall. */
__asm__(
    "    .text\n"
    "    .balign 16\n"
    "    .type epsilon_thunk_common, @function\n"
    "epsilon_thunk_common:\n"
    "    .cfi_startproc\n"
    "    .cfi_def_cfa_offset 16\n"
    "    pushq %rbp\n"
    "    .cfi_def_cfa_offset 24\n"
    "    .cfi_offset %rbp, -24\n"
    "    movq %rsp, %rbp\n"
    "    .cfi_def_cfa_register %rbp\n"
    "    subq $152, %rsp\n"
    "    movq %rdi, 0(%rsp)\n"
    "    movq %rsi, 8(%rsp)\n"
    "    movq %rdx, 16(%rsp)\n"
    "    movq %rcx, 24(%rsp)\n"
    "    movq %r8, 32(%rsp)\n"
    "    movq %r9, 40(%rsp)\n"
    "    movsd %xmm0, 48(%rsp)\n"
    "    movsd %xmm1, 56(%rsp)\n"
    "    movsd %xmm2, 64(%rsp)\n"
    "    movsd %xmm3, 72(%rsp)\n"
    "    movsd %xmm4, 80(%rsp)\n"
    "    movsd %xmm5, 88(%rsp)\n"
    "    movsd %xmm6, 96(%rsp)\n"
    "    movsd %xmm7, 104(%rsp)\n"
    "    movl 8(%rbp), %edi\n"
    "    movq %rsp, %rsi\n"
    "    call epsilon_thunk_entered\n"
    "    movq 112(%rsp), %rax\n"
    "    movq 120(%rsp), %rdx\n"
    "    movsd 128(%rsp), %xmm0\n"
    "    movsd 136(%rsp), %xmm1\n"
    "    leave\n"
    "    .cfi_def_cfa %rsp, 16\n"
    "    addq $8, %rsp\n"
    "    .cfi_def_cfa_offset 8\n"
    "    ret\n"
    "    .cfi_endproc\n"
    "    .size epsilon_thunk_common, . - epsilon_thunk_common\n"
    "    .balign 16\n"
    "    .globl epsilon_thunks\n"
    "    .hidden epsilon_thunks\n"
    "    .type epsilon_thunks, @function\n"
    "epsilon_thunks:\n"
    "    .cfi_startproc\n"
    "    .set epsilon_number, 0\n"
    "    .rept " STRING(THUNKS) "\n"
    "    .balign 16\n"
    "    .byte 0xf3, 0x0f, 0x1e, 0xfa\n" /* endbr64: a target of indirect jumps */
    "    .byte 0x68\n"                   /* pushq $number, always in four bytes */
    "    .long epsilon_number\n"
    "    jmp epsilon_thunk_common\n"
    "    .set epsilon_number, epsilon_number + 1\n"
    "    .endr\n"
    "    .cfi_endproc\n"
    "    .size epsilon_thunks, . - epsilon_thunks\n");

static void *users[THUNKS];
static int taken;

/* A thunk that will call thunk_run(user, …), or NULL when there are no more.  Thunks are never given back: the slot that
 * has one keeps it (callback.c). */
void *
thunk_take(void *user)
{
    if (taken == THUNKS)
        return NULL;
    users[taken] = user;
    return epsilon_thunks + 16 * taken++;
}

__attribute__((used, visibility("hidden"))) void epsilon_thunk_entered(unsigned number, ThunkCall *call);

void
epsilon_thunk_entered(unsigned number, ThunkCall *call)
{
    thunk_run(users[number], call);
}

#else

void *
thunk_take(void *user)
{
    (void)user;
    return NULL;
}

#endif
