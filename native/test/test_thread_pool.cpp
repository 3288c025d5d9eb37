#include "thread_pool.h"

#include <sched.h>

#include <chrono>

#include "check.h"

using namespace wavekv;

TEST(every_thread_runs_once) {
  for (int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    CHECK(pool.num_threads() == threads);
    for (int round = 0; round < 200; ++round) {
      std::vector<std::atomic<int>> calls(static_cast<size_t>(threads));
      pool.run([&](int index) { calls[static_cast<size_t>(index)].fetch_add(1); });
      for (auto& count : calls) CHECK(count.load() == 1);
    }
  }
}

TEST(parallel_for_covers_the_range_once) {
  ThreadPool pool(3);
  for (int64_t count : {0, 1, 2, 7, 100, 1001}) {
    for (int64_t grain : {0, 1, 3, 64, 5000}) {
      std::vector<std::atomic<int>> seen(static_cast<size_t>(count));
      pool.parallel_for(count, grain, [&](int64_t begin, int64_t end, int) {
        for (int64_t i = begin; i < end; ++i) seen[static_cast<size_t>(i)].fetch_add(1);
      });
      for (auto& hits : seen) CHECK(hits.load() == 1);
    }
  }
}

TEST(sleeping_threads_wake) {
  ThreadPool pool(4);
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // longer than the spin
    std::atomic<int> calls{0};
    pool.run([&](int) { calls.fetch_add(1); });
    CHECK(calls.load() == 4);
  }
}

TEST(usable_cpus_follows_the_affinity_mask) {
  cpu_set_t before, one;
  CHECK(sched_getaffinity(0, sizeof before, &before) == 0);
  CHECK(usable_cpus() == CPU_COUNT(&before));
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &before)) {
      CPU_SET(cpu, &one);
      break;
    }
  }
  CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
  const int narrowed = usable_cpus();
  CHECK(sched_setaffinity(0, sizeof before, &before) == 0);
  CHECK(narrowed == 1);
}

TEST_MAIN()
