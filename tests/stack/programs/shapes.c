/* Stacks of unusual shape: the first argument chooses one, and the thread rests in pause(2). */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define FRAME __attribute__((noinline)) static
#define WAY(name) if (!strcmp(way, #name))

static volatile int none;
static char other[1 << 18];
static ucontext_t outside, within;
static jmp_buf back;
static pthread_key_t key;
static void (*volatile table[4])(int);

FRAME void rest(void) { pause(); none++; }
FRAME void inside(int depth) { if (depth) { inside(depth - 1); none++; } else rest(); }
FRAME __attribute__((noreturn)) void forever(void) { for (;;) rest(); }
FRAME void ends(int depth) { if (depth) { ends(depth - 1); none++; } else forever(); }
FRAME void by_table(int depth) { if (depth) { table[depth & 3](depth - 1); none++; } else rest(); }
FRAME void jumps(int depth) { if (depth) jumps(depth - 1); else longjmp(back, 1); none++; }
FRAME void on_other(void) { inside(4); none++; }
FRAME void leaves(int one, int two) { inside(one + two); swapcontext(&within, &outside); }
FRAME void on_signal(int number) {
    if (number == SIGUSR1) raise(SIGUSR2); else if (number == SIGUSR2) raise(SIGHUP); else inside(2);
    none++;
}
FRAME void on_fault(int number, siginfo_t *info, void *context) { (void)number; (void)info; (void)context; inside(1); }
FRAME void at_end(void) { inside(1); }
FRAME void cleanup(void *unused) { (void)unused; inside(1); }
FRAME void *cancelled(void *unused) { pthread_cleanup_push(cleanup, unused); pthread_exit(0); pthread_cleanup_pop(1); return 0; }
FRAME void *with_key(void *unused) { pthread_setspecific(key, &key); return unused; }
FRAME int child(void *unused) { (void)unused; inside(2); return 0; }
FRAME int compare(const void *one, const void *two) { (void)one; (void)two; rest(); return 0; }

/* Other stacks without unwind data: one that leads back by rbp, one that ends with a 0. */
void switched(void *stack, void (*function)(void));
void begun(void *stack, void (*function)(void));
__asm__(".text\n.type switched,@function\nswitched: push %rbp\n mov %rsp,%rbp\n mov %rdi,%rsp\n call *%rsi\n leave\n ret\n.size switched,.-switched\n"
        ".type begun,@function\nbegun: lea -8(%rdi),%rsp\n movq $0,(%rsp)\n xor %ebp,%ebp\n jmp *%rsi\n.size begun,.-begun\n");

/* Called by the dynamic linker, or by the program's start, to choose a function. */
static void chosen(void) {}
static void *chooses(void) {
    long number = 34; /* pause(2) */
    char **one = environ;
    for (int wanted = 0; one && *one; one++)
        for (wanted = !strncmp(*one, "CHOOSES=", 8); wanted;) __asm__ volatile("syscall" : "+a"(number) : : "rcx", "r11", "memory");
    return (void *)chosen;
}
void by_choice(void) __attribute__((ifunc("chooses")));

static void generated(const char *code, size_t size) {
    char *place = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(place, code, size);
    ((void (*)(void (*)(void)))place)(on_other);
    none++;
}
static void handles(int number, int flags) {
    struct sigaction how = {.sa_handler = on_signal, .sa_flags = SA_NODEFER | flags};
    sigaction(number, &how, 0);
}
static void faults(int flags) {
    struct sigaction how = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | flags};
    stack_t apart = {.ss_sp = other, .ss_size = sizeof other};
    sigaltstack(&apart, 0);
    sigaction(SIGSEGV, &how, 0);
}
__attribute__((constructor)) static void first(void) { if (getenv("FIRST")) inside(1); }
__attribute__((destructor)) static void last(void) { if (getenv("LAST")) inside(1); }
static void again(const char *name, char **arguments) {
    if (getenv(name)) return;
    setenv(name, "1", 1);
    execv("/proc/self/exe", arguments);
}

int main(int count, char **arguments) {
    const char *way = count > 1 ? arguments[1] : "";
    int numbers[9] = {3, 2, 1};
    pthread_t thread;
    WAY(noreturn) ends(4);
    WAY(coroutine) {
        getcontext(&within);
        within.uc_stack.ss_sp = other, within.uc_stack.ss_size = sizeof other, within.uc_link = &outside;
        makecontext(&within, (void (*)(void))leaves, 2, 1, 2);
        swapcontext(&outside, &within);
    }
    WAY(nested) { handles(SIGUSR1, 0); handles(SIGUSR2, 0); handles(SIGHUP, 0); raise(SIGUSR1); }
    WAY(nested_apart) { faults(0); handles(SIGUSR1, SA_ONSTACK); handles(SIGUSR2, 0); handles(SIGHUP, 0); raise(SIGUSR1); }
    WAY(fault) { faults(0); *(volatile int *)8 = 1; }
    WAY(fault_apart) { faults(SA_ONSTACK); *(volatile int *)8 = 1; }
    WAY(call_of_0) { faults(0); ((void (*)(void))(long)none)(); }
    WAY(switched) switched(other + sizeof other, on_other);
    WAY(begun) begun(other + sizeof other, on_other);
    WAY(table) { for (int at = 0; at < 4; at++) table[at] = by_table; by_table(6); }
    WAY(generated_frame) generated("\x55\x48\x89\xe5\xff\xd7\x5d\xc3", 8);
    WAY(generated_bare) generated("\x48\x83\xec\x08\xff\xd7\x48\x83\xc4\x08\xc3", 11);
    WAY(generated_leaf) generated("\xb8\x22\0\0\0\x0f\x05\xc3", 8);
    WAY(choice) { again("CHOOSES", arguments); by_choice(); }
    WAY(first) again("FIRST", arguments);
    WAY(last) { setenv("LAST", "1", 1); return 0; }
    WAY(atexit) { atexit(at_end); exit(0); }
    WAY(cleanup) { pthread_create(&thread, 0, cancelled, 0); pthread_join(thread, 0); }
    WAY(key) { pthread_key_create(&key, cleanup); pthread_create(&thread, 0, with_key, 0); pthread_join(thread, 0); }
    WAY(cloned) { int pid = clone(child, other + sizeof other, CLONE_VM | SIGCHLD, 0); waitpid(pid, 0, 0); }
    WAY(longjmp) { if (!setjmp(back)) jumps(30); inside(2); }
    WAY(bsearch) bsearch(numbers, numbers, 9, sizeof *numbers, compare);
    WAY(atfork) { pthread_atfork(at_end, 0, 0); fork(); }
    WAY(abort) { handles(SIGABRT, 0); abort(); }
    rest();
    return 0;
}
