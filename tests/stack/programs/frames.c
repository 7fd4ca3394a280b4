/* Ways to have frames on a stack: the first argument chooses one, and the thread ends up reading from a pipe that stays empty. */
#define _GNU_SOURCE
#include <alloca.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FRAME __attribute__((noinline))
/* No tail call may replace the frame. */
#define STAY __asm__ volatile("" ::: "memory")

static int ends[2];

FRAME int leaf(void) { char byte; int got = read(ends[0], &byte, 1); STAY; return got; }
FRAME int recursion(int depth) { int got = depth ? recursion(depth - 1) : leaf(); STAY; return got + 1; }
FRAME int with_alloca(int depth) {
    char *room = alloca(depth * 48 + 100);
    memset(room, depth, depth * 48 + 100);
    int got = depth ? with_alloca(depth - 1) : leaf();
    __asm__ volatile("" ::"r"(room) : "memory");
    return got + room[0];
}
FRAME int alloca_leaf(int size) {
    char *room = alloca(size);
    memset(room, 0, size);
    int got = read(ends[0], room, 1);
    STAY;
    return got;
}
FRAME int with_vla(int depth) {
    volatile char room[depth * 7 + 1];
    room[0] = depth;
    int got = depth ? with_vla(depth - 1) : leaf();
    return got + room[0];
}
FRAME int vla_leaf(int size) { char room[size]; int got = read(ends[0], room, size); STAY; return got + room[0]; }
FRAME int many_arguments(int a, int b, int c, int d, int e, int f, int g, int h) { int got = leaf(); STAY; return got + a + b + c + d + e + f + g + h; }
FRAME int vectors(int depth) {
    typedef int wide __attribute__((vector_size(32)));
    volatile wide lanes = {depth};
    int got = depth ? vectors(depth - 1) : leaf();
    return got + lanes[0];
}
FRAME int even(int depth);
FRAME int odd(int depth) { int got = depth ? even(depth - 1) : leaf(); STAY; return got; }
FRAME int even(int depth) { int (*next)(int) = depth & 4 ? odd : odd; __asm__ volatile("" : "+r"(next)); int got = depth ? next(depth - 1) : leaf(); STAY; return got; }
static int compare(const void *left, const void *right) { leaf(); STAY; return *(const int *)left - *(const int *)right; }
static int compare_alloca(const void *left, const void *right) { char *room = alloca(*(const int *)left * 16 + 64); memset(room, 1, 64); leaf(); return *(const int *)left - *(const int *)right + room[0]; }
static void handler(int number) { (void)number; leaf(); STAY; }
static void handler_that_waits(int number) { (void)number; pause(); STAY; }

static void signalled(void (*handler)(int), int flags) {
    static char other[65536];
    stack_t stack = {.ss_sp = other, .ss_size = sizeof other};
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigaltstack(&stack, NULL);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
}

FRAME int vforks(int depth) {
    if (depth) { int got = vforks(depth - 1); STAY; return got + 1; }
    if (vfork() == 0) { pause(); _exit(0); }
    return 0;
}

/* Until the stack is at its end; the handler of the fault goes on on another one. */
FRAME int overflow(int depth) {
    volatile char room[7000];
    room[depth % 7000] = 1;
    int got = overflow(depth + 1);
    STAY;
    return got + room[depth % 7000];
}

static void overflows(void) {
    static char other[65536];
    stack_t stack = {.ss_sp = other, .ss_size = sizeof other};
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    sigaltstack(&stack, NULL);
    sigaction(SIGSEGV, &action, NULL);
    overflow(0);
}

static void *second(void *unused) { recursion(5); return unused; }

int main(int count, char **words) {
    int numbers[] = {5, 4, 3, 2, 1};
    const char *way = count > 1 ? words[1] : "";
    if (pipe(ends)) return 1;
#define IS(name) (strcmp(way, name) == 0)
    if (IS("recursion")) return recursion(20);
    if (IS("deep")) return recursion(200);
    if (IS("deeper")) return recursion(1000);
    if (IS("vfork")) return vforks(3);
    if (IS("overflow")) { overflows(); return 0; }
    if (IS("alloca")) return with_alloca(10);
    if (IS("alloca_leaf")) return alloca_leaf(count * 300);
    if (IS("vla")) return with_vla(10);
    if (IS("vla_leaf")) return vla_leaf(count * 300);
    if (IS("many")) return many_arguments(1, 2, 3, 4, 5, 6, 7, 8);
    if (IS("vectors")) return vectors(6);
    if (IS("pointers")) return even(12);
    if (IS("qsort")) { qsort(numbers, 5, sizeof(int), compare); return numbers[0]; }
    if (IS("qsort_alloca")) { qsort(numbers, 5, sizeof(int), compare_alloca); return numbers[0]; }
    if (IS("signal")) { signalled(handler, 0); return 0; }
    if (IS("altstack")) { signalled(handler, SA_ONSTACK); return 0; }
    if (IS("handler")) { signalled(handler_that_waits, 0); return 0; }
    if (IS("handler_apart")) { signalled(handler_that_waits, SA_ONSTACK); return 0; }
    if (IS("orphan")) { pthread_t thread; pthread_create(&thread, NULL, second, NULL); pthread_exit(NULL); }
    if (IS("stdio")) { char line[10]; FILE *file = fdopen(ends[0], "r"); return fgets(line, 10, file) != NULL; }
    if (IS("system")) return system("read x; sleep 1000");
    if (IS("main_alloca")) { char *room = alloca(count * 100); memset(room, 1, count * 100); return read(ends[0], room, 1) + room[0]; }
    for (;;) pause();
}
