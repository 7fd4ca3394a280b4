/* States of an aarch64 program without a library, of which some functions have no call frame information, as those of musl:
   naps, again, each and, with a frame pointer, keeps. The argument chooses the way to them; the thread ends up in ppoll(2). */
#define FRAME __attribute__((noinline))
#define STAY __asm__ volatile("" ::: "memory")

long naps(void), again(void), each(long (*function)(void)), keeps(long (*function)(void));
__asm__(
    /* A return address that is further from the caller's SP than that of `again`, of which it leaves what is there. */
    ".type naps, %function\nnaps:\n stp x29, x30, [sp, #-128]!\n mov x8, 73\n mov x0, 0\n mov x1, 0\n mov x2, 0\n mov x3, 0\n svc 0\n"
    " ldp x29, x30, [sp], #128\n ret\n.size naps, .-naps\n"
    ".type again, %function\nagain:\n sub sp, sp, #64\n stp x29, x30, [sp, #16]\n ldp x29, x30, [sp, #16]\n add sp, sp, #64\n ret\n"
    ".size again, .-again\n"
    ".type each, %function\neach:\n str x30, [sp, #-32]!\n blr x0\n ldr x30, [sp], #32\n ret\n.size each, .-each\n"
    ".type keeps, %function\nkeeps:\n stp x29, x30, [sp, #-48]!\n mov x29, sp\n blr x0\n ldp x29, x30, [sp], #48\n ret\n.size keeps, .-keeps\n");

FRAME long sleeps(int depth) { long got = depth ? sleeps(depth - 1) : naps(); STAY; return got + 1; }
FRAME long compared(void) { long got = sleeps(2); STAY; return got + 1; }
FRAME long sorts(int depth) { long got = depth ? sorts(depth - 1) : each(compared); STAY; return got + 1; }
FRAME long runs(int depth) { long got = depth ? runs(depth - 1) : keeps(compared); STAY; return got + 1; }
FRAME long twice(void) { long got = again(); STAY; got += naps(); STAY; return got; }

FRAME long begun(long *stack)
{
    const char *way = (const char *)stack[2];
    if (*way == 's') { long got = sorts(2); STAY; return got; }
    if (*way == 'r') { long got = runs(2); STAY; return got; }
    if (*way == 't') { long got = twice(); STAY; return got; }
    return 0;
}

__asm__(".globl _start\n_start:\n .cfi_startproc\n .cfi_undefined x30\n mov x0, sp\n bl first\n mov x8, 93\n svc 0\n .cfi_endproc\n");
__attribute__((used)) long first(long *stack) { long got = begun(stack); STAY; return got; }
