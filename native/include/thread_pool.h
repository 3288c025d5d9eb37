#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace wavekv {

/// Number of CPUs that this process may use, by its affinity mask; at least 1.
int usable_cpus();

/// A fixed set of threads that run one parallel region at a time. The caller takes part as thread 0, so a pool of
/// `num_threads` starts num_threads - 1 threads. Waiting threads spin briefly, then sleep.
/// run() must be called from one thread at a time; the body must not throw and must not call run().
class ThreadPool {
 public:
  /// num_threads <= 0 takes usable_cpus(). Threads are pinned to the CPUs of the affinity mask, one each.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return num_threads_; }

  /// Calls body(thread_index) once on every thread and returns when all have ended.
  template <typename Body>
  void run(Body&& body) {
    dispatch([](void* context, int thread_index) { (*static_cast<Body*>(context))(thread_index); }, &body);
  }

  /// Calls body(begin, end, thread_index) over [0, count) in pieces of at most `grain`, handed out in turn.
  template <typename Body>
  void parallel_for(int64_t count, int64_t grain, Body&& body) {
    if (count <= 0) return;
    if (grain < 1) grain = 1;
    if (count <= grain || num_threads_ == 1) {
      body(int64_t{0}, count, 0);
      return;
    }
    std::atomic<int64_t> next{0};
    run([&](int thread_index) {
      for (;;) {
        const int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
        if (begin >= count) return;
        body(begin, begin + grain < count ? begin + grain : count, thread_index);
      }
    });
  }

 private:
  using Task = void (*)(void* context, int thread_index);
  void dispatch(Task task, void* context);
  void worker(int thread_index);

  int num_threads_;
  std::vector<std::thread> threads_;
  Task task_ = nullptr;
  void* context_ = nullptr;
  alignas(64) std::atomic<uint64_t> generation_{0};
  alignas(64) std::atomic<int> pending_{0};
  alignas(64) std::atomic<int> sleepers_{0};
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
};

}  // namespace wavekv
