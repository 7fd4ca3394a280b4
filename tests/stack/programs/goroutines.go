// Goroutines that wait in all the usual ways, each in a function of its own; a signal (SIGQUIT) makes
// the runtime print them.
package main

import (
	"net"
	"os"
	"sync"
	"time"
)

//go:noinline
func receives(channel chan int) int { return <-channel }

//go:noinline
func sends(channel chan int) { channel <- 1 }

//go:noinline
func selects(one, other chan int) {
	select {
	case <-one:
	case <-other:
	}
}

//go:noinline
func sleeps() { time.Sleep(time.Hour) }

//go:noinline
func locks(lock *sync.Mutex) { lock.Lock() }

//go:noinline
func waits(condition *sync.Cond) {
	condition.L.Lock()
	condition.Wait()
}

//go:noinline
func accepts(listener net.Listener) { listener.Accept() }

//go:noinline
func reads(file *os.File) { file.Read(make([]byte, 1)) }

//go:noinline
func deeper(levels int, channel chan int) int {
	if levels > 0 {
		return deeper(levels-1, channel) + 1
	}
	return receives(channel)
}

func main() {
	channel := make(chan int)
	var held sync.Mutex
	held.Lock()
	listener, _ := net.Listen("tcp", "127.0.0.1:0")
	end, _, _ := os.Pipe()
	go deeper(5, channel)
	go sends(make(chan int))
	go selects(make(chan int), make(chan int))
	go sleeps()
	go locks(&held)
	go waits(sync.NewCond(&sync.Mutex{}))
	go accepts(listener)
	go reads(end)
	select {}
}
