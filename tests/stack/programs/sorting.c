/* main calls work, which calls itself and then qsort, whose comparison ends in pause. */
#include <stdlib.h>
#include <unistd.h>

__attribute__((noinline)) int sleeper(int depth)
{
    if (depth)
        return sleeper(depth - 1) + 1;
    pause();
    return 1;
}

__attribute__((noinline)) int compared(const void *one, const void *other)
{
    return sleeper(3) + *(const int *)one - *(const int *)other;
}

__attribute__((noinline)) int work(int depth)
{
    int numbers[] = {3, 1, 2, 5, 4};
    if (depth)
        return work(depth - 1) + 1;
    qsort(numbers, 5, sizeof *numbers, compared);
    return numbers[0];
}

int main(void)
{
    return work(4) + 1;
}
