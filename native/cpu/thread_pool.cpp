#include "thread_pool.h"

#include <sched.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace wavekv {
namespace {

// About 30 us: longer than the gap between two regions of a decode step, short enough to leave an idle machine idle.
constexpr int kSpinRounds = 2000;

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

void pin_to_cpu(int thread_index) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  const int count = CPU_COUNT(&allowed);
  if (count == 0) return;
  int seen = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    if (seen++ == thread_index % count) {
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(cpu, &one);
      sched_setaffinity(0, sizeof one, &one);
      return;
    }
  }
}

}  // namespace

int usable_cpus() {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
    const int count = CPU_COUNT(&allowed);
    if (count > 0) return count;
  }
  const unsigned hardware = std::thread::hardware_concurrency();
  return hardware > 0 ? static_cast<int>(hardware) : 1;
}

ThreadPool::ThreadPool(int num_threads) : num_threads_(num_threads > 0 ? num_threads : usable_cpus()) {
  threads_.reserve(static_cast<size_t>(num_threads_ - 1));
  for (int index = 1; index < num_threads_; ++index) threads_.emplace_back([this, index] { worker(index); });
}

ThreadPool::~ThreadPool() {
  stopping_.store(true);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    generation_.fetch_add(1);
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::dispatch(Task task, void* context) {
  if (num_threads_ == 1) {
    task(context, 0);
    return;
  }
  task_ = task;
  context_ = context;
  pending_.store(num_threads_ - 1, std::memory_order_relaxed);
  // Sequentially consistent with the sleeper's own check: either it sees the new generation or we see it asleep.
  generation_.fetch_add(1);
  if (sleepers_.load() > 0) {
    std::lock_guard<std::mutex> lock(mutex_);
    wake_.notify_all();
  }
  task(context, 0);
  for (int rounds = 0; pending_.load(std::memory_order_acquire) != 0; ++rounds) {
    // On a busy machine the thread waited for may need this very CPU.
    if (rounds < kSpinRounds) {
      relax();
    } else {
      std::this_thread::yield();
    }
  }
}

void ThreadPool::worker(int thread_index) {
  pin_to_cpu(thread_index);
  uint64_t seen = 0;
  for (;;) {
    int rounds = 0;
    while (generation_.load(std::memory_order_acquire) == seen && rounds < kSpinRounds) {
      relax();
      ++rounds;
    }
    if (generation_.load(std::memory_order_acquire) == seen) {
      std::unique_lock<std::mutex> lock(mutex_);
      sleepers_.fetch_add(1);
      wake_.wait(lock, [&] { return generation_.load() != seen; });
      sleepers_.fetch_sub(1);
    }
    if (stopping_.load()) return;
    seen = generation_.load(std::memory_order_acquire);
    task_(context_, thread_index);
    pending_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace wavekv
