// Threads that wait in the usual ways: a condition variable below templates and recursion, a timeout, a mutex, a sleep, a read, a poll.
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

#define FRAME __attribute__((noinline))
#define STAY __asm__ volatile("" ::: "memory")

static std::mutex guard, held;
static std::condition_variable ready;

template <class T> struct Queue {
    FRAME void wait(int depth) {
        if (depth) { wait(depth - 1); STAY; return; }
        std::unique_lock<std::mutex> lock(guard);
        ready.wait(lock, [] { return false; });
    }
};
FRAME static void timed() { std::unique_lock<std::mutex> lock(guard); ready.wait_for(lock, std::chrono::hours(1)); STAY; }
FRAME static void locked() { std::lock_guard<std::mutex> lock(held); STAY; }
FRAME static void asleep() { std::this_thread::sleep_for(std::chrono::hours(1)); STAY; }
FRAME static void reading(int end) { char byte; if (read(end, &byte, 1) < 0) _exit(1); STAY; }
FRAME static void polling(int end) { struct pollfd one = {end, POLLIN, 0}; poll(&one, 1, -1); STAY; }

int main(int count, char **words) {
    int ends[2], rounds = count > 1 ? atoi(words[1]) : 1;
    held.lock();
    if (pipe(ends)) return 1;
    std::vector<std::thread> threads;
    for (int round = 0; round < rounds; round++) {
        threads.emplace_back([] { Queue<int> queue; queue.wait(5); });
        threads.emplace_back(timed);
        threads.emplace_back(locked);
        threads.emplace_back(asleep);
        threads.emplace_back(reading, ends[0]);
        threads.emplace_back(polling, ends[0]);
    }
    for (auto &thread : threads) thread.join();
}
