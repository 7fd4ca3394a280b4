/* A function without unwind data, as assembler has it, between others: build with -DWITHOUT and
   -fno-asynchronous-unwind-tables for the one, without for the others. */
#include <unistd.h>

int without(int (*function)(void));

#ifdef WITHOUT
int without(int (*function)(void))
{
    int got = function();
    __asm__ volatile("" ::: "memory");
    return got + 1;
}
#else
static int leaf(void)
{
    char room[100];
    room[0] = pause();
    return room[0];
}

int work(int depth)
{
    return depth ? work(depth - 1) + 1 : without(leaf);
}

int main(void)
{
    return work(5);
}
#endif
