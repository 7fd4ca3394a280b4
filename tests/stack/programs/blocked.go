// Three functions below one another, the last of which reads from a pipe that stays empty.
package main

import (
	"syscall"
	"unsafe"
)

//go:noinline
func innermost(end int) int {
	var one [1]byte
	got, _, _ := syscall.Syscall(syscall.SYS_READ, uintptr(end), uintptr(unsafe.Pointer(&one)), 1) // here
	return int(got)
}

//go:noinline
func middle(end int) int { return innermost(end) + 1 }

//go:noinline
func outermost(end int) int { return middle(end) + 1 }

func main() {
	var ends [2]int
	if syscall.Pipe(ends[:]) != nil {
		return
	}
	println(outermost(ends[0]))
}
