#include "parallel/thread_pool.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <cstdio>
#include <mutex>
#include <numeric>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "parallel/topology.h"

namespace axk1 {
namespace {

// More threads than this machine may have processors: every size is tested everywhere.
class ThreadPoolTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, ::testing::Values(1, 2, 3, 4, 8));

TEST_P(ThreadPoolTest, RunsEveryPartOnce) {
  const int n = GetParam();
  ThreadPool pool(n);
  EXPECT_EQ(pool.num_threads(), n);
  std::vector<int> runs(static_cast<size_t>(n), 0);  // each thread writes its own
  for (int repeat = 1; repeat <= 50; ++repeat) {
    pool.run([&](int thread_idx) { ++runs[static_cast<size_t>(thread_idx)]; });
    for (int r : runs) ASSERT_EQ(r, repeat);
  }
}

TEST_P(ThreadPoolTest, WhileTheCallerIsBusyTheOthersDoTheirOwnParts) {
  const int n = GetParam();
  ThreadPool pool(n);
  std::vector<std::thread::id> ids(static_cast<size_t>(n));
  std::atomic<int> begun = 0;
  for (int repeat = 1; repeat <= 20; ++repeat) {
    begun = 0;
    pool.run([&](int thread_idx) {
      ids[static_cast<size_t>(thread_idx)] = std::this_thread::get_id();
      ++begun;
      while (begun < n) std::this_thread::yield();  // all of them at once
    });
    EXPECT_EQ(ids[0], std::this_thread::get_id());
    EXPECT_EQ(std::set<std::thread::id>(ids.begin(), ids.end()).size(), static_cast<size_t>(n));
  }
}

TEST_P(ThreadPoolTest, TheCallerDoesWhatNoThreadBegins) {
  ThreadPool pool(GetParam());
  const auto caller = std::this_thread::get_id();
  std::atomic<int> parts = 0, by_caller = 0;
  constexpr int kRegions = 100;
  for (int i = 0; i < kRegions; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // the others are asleep by now
    pool.run([&](int thread_idx) {
      ++parts;
      if (thread_idx != 0 && std::this_thread::get_id() == caller) ++by_caller;
    });
  }
  EXPECT_EQ(parts, kRegions * GetParam());
  if (GetParam() > 1) {
    EXPECT_GT(by_caller, 0) << "waking a thread takes longer than nothing to do";
  }
}

TEST_P(ThreadPoolTest, ParallelForCoversEveryElementOnce) {
  ThreadPool pool(GetParam());
  size_t cases = 0;
  for (const size_t count : {0, 1, 2, 7, 8, 9, 63, 64, 65, 1000}) {
    for (const size_t grain : {1, 2, 7, 16, 64, 1000, 5000}) {
      std::vector<int> seen(count, 0);
      std::mutex mutex;
      std::vector<std::pair<size_t, size_t>> cuts;
      pool.parallel_for(count, grain, [&](size_t begin, size_t end) {
        for (size_t i = begin; i < end; ++i) ++seen[i];
        std::lock_guard lock(mutex);
        cuts.emplace_back(begin, end);
      });
      for (int s : seen) ASSERT_EQ(s, 1);
      for (auto [begin, end] : cuts) {
        ASSERT_LT(begin, end);
        ASSERT_EQ(begin % grain, 0u);
        ASSERT_TRUE(end % grain == 0 || end == count);
      }
      ASSERT_LE(cuts.size(), static_cast<size_t>(GetParam()));
      ++cases;
    }
  }
  std::printf("[ cases ] parallel_for cuts on %d threads: %zu\n", GetParam(), cases);
}

TEST_P(ThreadPoolTest, ParallelForSharesEvenly) {
  ThreadPool pool(GetParam());
  const auto n = static_cast<size_t>(GetParam());
  std::atomic<size_t> longest = 0, shortest = SIZE_MAX, parts = 0;
  pool.parallel_for(1000 * 16, 16, [&](size_t begin, size_t end) {
    for (size_t seen = longest;
         end - begin > seen && !longest.compare_exchange_weak(seen, end - begin);) {
    }
    for (size_t seen = shortest;
         end - begin < seen && !shortest.compare_exchange_weak(seen, end - begin);) {
    }
    ++parts;
  });
  EXPECT_EQ(parts, n);
  EXPECT_LE(longest - shortest, 16u);
}

TEST_P(ThreadPoolTest, EveryPartIsCoveredOnceWhoeverIsLate) {
  ThreadPool pool(GetParam());
  const size_t parts = static_cast<size_t>(GetParam()) * ThreadPool::kPartsPerThread;
  for (size_t chunk : {0, 1, 2, 5, 12, 13}) {
    std::vector<std::atomic<int>> covered(parts);
    pool.parallel_parts(chunk, [&](size_t begin, size_t end) {
      ASSERT_LT(begin, end);
      // The last thread's own run takes longer than all the others' work.
      if (end == parts - ThreadPool::kSharedParts) {
        std::this_thread::sleep_for(std::chrono::milliseconds(3));
      }
      for (size_t i = begin; i < end; ++i) ++covered[i];
    });
    for (size_t i = 0; i < parts; ++i) ASSERT_EQ(covered[i], 1) << "part " << i;
  }
}

TEST_P(ThreadPoolTest, TasksRunOnceEach) {
  ThreadPool pool(GetParam());
  for (const size_t count : {0, 1, 2, 5, 100, 1001}) {
    std::vector<int> seen(count, 0);
    pool.parallel_tasks(count, [&](size_t i, int thread_idx) {
      ++seen[i];
      ASSERT_LT(thread_idx, pool.num_threads());
    });
    for (int s : seen) ASSERT_EQ(s, 1);
  }
}

TEST_P(ThreadPoolTest, WritesOfTheCallerAndOfTheWorkersAreSeen) {
  ThreadPool pool(GetParam());
  std::vector<size_t> numbers(1000, 0);
  for (size_t round = 1; round <= 200; ++round) {
    numbers[0] = round;  // plain memory: TSan sees a missing order
    pool.parallel_for(999, 1, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i) numbers[i + 1] = numbers[0] + i;
    });
    ASSERT_EQ(std::accumulate(numbers.begin(), numbers.end(), size_t{0}),
              round * 1000 + 998 * 999 / 2);
  }
}

TEST_P(ThreadPoolTest, AnExceptionReachesTheCallerAndThePoolGoesOn) {
  const int n = GetParam();
  ThreadPool pool(n);
  for (int thrower = 0; thrower < n; ++thrower) {
    std::atomic<int> finished = 0;
    try {
      pool.run([&](int thread_idx) {
        if (thread_idx == thrower) throw std::runtime_error("thread " + std::to_string(thrower));
        ++finished;
      });
      FAIL();
    } catch (const std::runtime_error& error) {
      EXPECT_EQ(error.what(), "thread " + std::to_string(thrower));
    }
    EXPECT_EQ(finished, n - 1);
    std::atomic<int> after = 0;
    pool.run([&](int) { ++after; });
    EXPECT_EQ(after, n);
  }
  EXPECT_THROW(pool.run([](int) { throw 1; }), int);  // all at once: one of them arrives
  EXPECT_THROW(pool.parallel_tasks(100,
                                   [](size_t i, int) {
                                     if (i == 50) throw 1;
                                   }),
               int);
  EXPECT_THROW(pool.parallel_for(100, 1, [](size_t, size_t) { throw 1; }), int);
  size_t sum = 0;
  std::mutex mutex;
  pool.parallel_tasks(100, [&](size_t i, int) {
    std::lock_guard lock(mutex);
    sum += i;
  });
  EXPECT_EQ(sum, 4950u);
}

TEST_P(ThreadPoolTest, WakesAfterSleeping) {
  ThreadPool pool(GetParam());
  for (int i = 0; i < 5; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // longer than the workers spin
    std::atomic<int> ran = 0;
    pool.run([&](int thread_idx) {
      // The caller, too, has to wait longer than it spins.
      if (thread_idx != 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
      ++ran;
    });
    ASSERT_EQ(ran, GetParam());
  }
}

TEST_P(ThreadPoolTest, ComesAndGoesWithoutWork) {
  for (int i = 0; i < 50; ++i) ThreadPool pool(GetParam());
}

TEST_P(ThreadPoolTest, ManyShortRegions) {
  ThreadPool pool(GetParam());
  std::vector<int64_t> sums(static_cast<size_t>(GetParam()) * 16, 0);
  std::mt19937 rng(7);
  constexpr int kRegions = 20000;
  int64_t expected = 0;
  for (int i = 0; i < kRegions; ++i) {
    const int work = static_cast<int>(rng() % 64);
    expected += work;
    pool.run([&](int thread_idx) {
      int64_t& sum = sums[static_cast<size_t>(thread_idx) * 16];
      for (int k = 0; k < work; ++k) ++sum;
    });
  }
  for (size_t i = 0; i < sums.size(); i += 16) ASSERT_EQ(sums[i], expected);
  std::printf("[ cases ] regions on %d threads: %d\n", GetParam(), kRegions);
}

TEST(ThreadPool, LessThanOneThreadIsOne) {
  EXPECT_EQ(ThreadPool(0).num_threads(), 1);
  EXPECT_EQ(ThreadPool(-3).num_threads(), 1);
}

TEST(ThreadPool, TwoPoolsAtOnce) {
  std::atomic<int> total = 0;
  auto user = [&] {
    ThreadPool pool(3);
    for (int i = 0; i < 500; ++i) pool.run([&](int) { ++total; });
  };
  std::thread other(user);
  user();
  other.join();
  EXPECT_EQ(total, 2 * 500 * 3);
}

TEST(ThreadPoolDeathTest, NestedRegionsAreOurOwnMistake) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        ThreadPool pool(2);
        pool.run([&](int thread_idx) {
          if (thread_idx == 0) pool.run([](int) {});
        });
      },
      "check failed: !running_");
}

TEST(Topology, CountsTheAffinityMask) {
  EXPECT_GE(usable_cpus(), 1);
  cpu_set_t before, one;
  ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
  EXPECT_LE(usable_cpus(), CPU_COUNT(&before));
  CPU_ZERO(&one);
  for (size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &before)) {
      CPU_SET(cpu, &one);
      break;
    }
  }
  ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  const int cpus = usable_cpus();
  ASSERT_EQ(::sched_setaffinity(0, sizeof before, &before), 0);
  EXPECT_EQ(cpus, 1);
}

}  // namespace
}  // namespace axk1
