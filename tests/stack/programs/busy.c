/* Never sleeps: main calls climb, which calls itself LEVELS times and then spin, which calls burn.
   With a third argument the stack of each level is of that many bytes. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

volatile unsigned long counter;

__attribute__((noinline)) void burn(void)
{
    for (int i = 0; i < 1000; i++)
        counter += i;
}

__attribute__((noinline)) void spin(int kernel)
{
    for (;;) {
        burn();
        if (kernel)
            getppid();
    }
}

__attribute__((noinline)) void climb(int levels, int bytes, int kernel)
{
    char room[bytes + 1];
    memset(room, 1, sizeof room);
    if (levels)
        climb(levels - 1, bytes, kernel);
    else
        spin(kernel);
    counter += room[bytes / 2];
}

int main(int count, char **words)
{
    climb(atoi(words[1]), count > 2 ? atoi(words[2]) : 0, count > 3);
    return 0;
}
