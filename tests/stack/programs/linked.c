/* States of an aarch64 program without a library: the thread ends up in pause(), and the second argument chooses the way there. Functions that call no other keep their return address in x30, which the kernel does not tell. */
#define FRAME __attribute__((noinline))
#define STAY __asm__ volatile("" ::: "memory")

static long call(long number, long a, long b, long c, long d, long e);
__asm__(
    ".type call, %function\n"
    "call:\n .cfi_startproc\n mov x8, x0\n mov x0, x1\n mov x1, x2\n mov x2, x3\n mov x3, x4\n mov x4, x5\n svc 0\n ret\n"
    " .cfi_endproc\n.size call, .-call\n");

/* ppoll without descriptors, for a function that keeps its return address in x30 only. */
FRAME long leaf(void)
{
    register long number __asm__("x8") = 73;
    register long x0 __asm__("x0") = 0, x1 __asm__("x1") = 0, x2 __asm__("x2") = 0, x3 __asm__("x3") = 0;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(number), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
}

FRAME long one_call(int depth) { long got = depth ? one_call(depth - 1) : leaf(); STAY; return got + 1; }
FRAME long two_calls(int which) { long got = which ? leaf() + 1 : 2 * leaf(); STAY; return got; }
FRAME long with_alloca(int size)
{
    char *room = __builtin_alloca(size);
    room[0] = 1;
    STAY;
    return leaf() + room[0];
}
FRAME long through_pointer(long (*function)(void)) { long got = function(); STAY; return got; }
FRAME long jumps(int which) { STAY; return which ? leaf() : one_call(which); }
FRAME long jumped(void) { long got = jumps(1); STAY; return got + 1; }
static void handler(int number) { (void)number; one_call(1); STAY; }
/* Interrupted while its return address is in x30. */
FRAME long interrupted(void) { STAY; *(volatile long *)0 = 1; return 1; }

static int is(const char *left, const char *right)
{
    while (*left && *left == *right)
        left++, right++;
    return *left == *right;
}

FRAME long begun(long *stack)
{
    const char *way = (const char *)stack[2];
    long action[4] = {(long)handler, 0, 0, 0};
    call(134, 11, (long)action, 0, 8, 0);
    if (is(way, "one_call")) return one_call(3);
    if (is(way, "two_calls")) return two_calls(1);
    if (is(way, "alloca")) return with_alloca(*stack * 100);
    if (is(way, "pointer")) return through_pointer(leaf);
    if (is(way, "jumped")) return jumped();
    if (is(way, "signal")) return interrupted();
    return 0;
}

__asm__(".globl _start\n_start:\n .cfi_startproc\n .cfi_undefined x30\n mov x0, sp\n bl first\n mov x8, 93\n svc 0\n .cfi_endproc\n");
__attribute__((used)) long first(long *stack) { long got = begun(stack); STAY; return got; }
