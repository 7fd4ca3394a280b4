/* A thread that sleeps 100 microseconds at a time, each time below another of three chains of calls, whose frames have the same sizes nowhere. */
#include <stdlib.h>
#include <time.h>

#define STAY __asm__ volatile("" ::: "memory")
#define CHAIN(name, room)                                                                                          \
    __attribute__((noinline)) void name##3(long us) {                                                            \
        struct timespec pause = {0, us * 1000};                                                                  \
        char pad[room];                                                                                          \
        __asm__ volatile("" ::"r"(pad) : "memory");                                                              \
        nanosleep(&pause, 0);                                                                                    \
        STAY;                                                                                                    \
    }                                                                                                            \
    __attribute__((noinline)) void name##2(long us) { name##3(us); STAY; }                                       \
    __attribute__((noinline)) void name##1(long us) { name##2(us); STAY; }

CHAIN(first, 64)
CHAIN(second, 128)
CHAIN(third, 192)

int main(int count, char **words) {
    long us = count > 1 ? atol(words[1]) : 100;
    for (;;) switch (rand() % 3) {
        case 0: first1(us); break;
        case 1: second1(us); break;
        default: third1(us);
        }
}
