/* A program that is stopped anywhere: recursion above the deepest parts of printf. */
#include <stdio.h>

static char text[400];
static volatile int count;

__attribute__((noinline)) static int inner(int depth)
{
    int got = depth ? inner(depth - 1) : snprintf(text, sizeof text, "%.60f %La", 3.0 / ++count, 1.0L);
    __asm__ volatile("" ::: "memory");
    return got;
}

int main(void)
{
    for (;;)
        inner(6);
}
