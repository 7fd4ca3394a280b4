/* Functions that are inlined into each other, of which the innermost one waits. */
#include <unistd.h>

static int ends[2];

/* No tail call may replace a frame. */
#define STAY __asm__ volatile("" ::: "memory")

#define INLINE static inline __attribute__((always_inline))
#define APART __attribute__((noinline))

INLINE int inner(int number) { char byte; int got = read(ends[number], &byte, 1); STAY; return got; }
INLINE int middle(int number) { int got = inner(number) + 1; STAY; return got; }
APART int outer(int number) { int got = middle(number) + 1; STAY; return got; }

int main(void) { return pipe(ends) ? 1 : outer(0); }
