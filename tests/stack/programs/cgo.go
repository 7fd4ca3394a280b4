// Go and C that call each other; the argument is how many times.
package main

/*
#include <unistd.h>
extern void inGo(int);
static __attribute__((noinline)) void inC(int depth) {
	if (depth) { inGo(depth - 1); __asm__ volatile("" ::: "memory"); } else pause();
}
*/
import "C"

import (
	"os"
	"strconv"
)

//export inGo
func inGo(depth C.int) { C.inC(depth) }

func main() {
	depth, _ := strconv.Atoi(os.Args[1])
	go C.inC(0)
	C.inC(C.int(depth))
}
