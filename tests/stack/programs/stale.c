/* main calls work, which first digs some levels deep and comes back, and then prints to a full pipe: what the
   digging left on the stack lies in the frames of the C library that waits. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((noinline)) int dig(int depth)
{
    volatile long room[2] = {depth};
    return depth ? dig(depth - 1) + (int)room[0] : getpid();
}

__attribute__((noinline)) int work(int depth, int end, int levels)
{
    if (depth)
        return work(depth - 1, end, levels) + 1;
    int found = dig(levels);
    return dprintf(end, "%f %d\n", found / 3.0, found);
}

int main(int count, char **words)
{
    int ends[2];
    char page[4096] = {0};
    pipe(ends);
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    while (write(ends[1], page, sizeof page) > 0)
        ;
    fcntl(ends[1], F_SETFL, 0);
    return work(4, ends[1], atoi(words[count - 1])) + 1;
}
