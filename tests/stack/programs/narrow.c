/* A thread below qsort and recursion, and main that waits for it. */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((noinline)) static int leaf(int size)
{
    volatile char large[5000 + size];
    large[0] = 1;
    pause();
    return large[0];
}

__attribute__((noinline)) static int deep(int depth)
{
    return depth ? deep(depth - 1) + 1 : leaf(depth + 7) + 1;
}

static int compare(const void *left, const void *right)
{
    return deep(3) + *(const int *)left - *(const int *)right;
}

static void *sorts(void *unused)
{
    int values[] = {1, 2};
    qsort(values, 2, sizeof *values, compare);
    return unused;
}

int main(void)
{
    pthread_t thread;
    pthread_create(&thread, 0, sorts, 0);
    pthread_join(thread, 0);
    return 0;
}
