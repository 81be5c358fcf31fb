#include "parallel/thread_pool.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "parallel/topology.h"

namespace axk1 {
namespace {

// About 50 us on current processors: longer than the serial parts between two regions of a decode
// step, short enough not to burn a core between requests.
constexpr int kSpin = 2000;

// After as many polls the caller begins what no other thread has begun: some microseconds, longer
// than a thread that is awake takes to notice a region.
constexpr int kPatience = 200;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Returns once value != old: polls `spin` times, then sleeps.
uint32_t wait_while_equal(std::atomic<uint32_t>& value, uint32_t old, int spin) {
  for (int i = 0; i < spin; ++i) {
    const uint32_t now = value.load(std::memory_order_acquire);
    if (now != old) return now;
    pause();
  }
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int num_threads)
    : num_threads_(std::max(1, num_threads)),
      spin_(num_threads_ <= usable_cpus() ? kSpin : 0),
      claims_(static_cast<size_t>(num_threads_)) {
  try {
    for (int i = 1; i < num_threads_; ++i) threads_.emplace_back([this, i] { worker(i); });
  } catch (const std::system_error& error) {
    const size_t started = threads_.size();
    stop_workers();
    fail(ErrorCode::kOutOfMemory, "cannot start ", num_threads_, " threads, only ", started + 1,
         ": ", error.what());
  }
}

ThreadPool::~ThreadPool() {
  stop_workers();
}

void ThreadPool::stop_workers() {
  stop_ = true;
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::execute(int thread_idx) {
  try {
    region_(body_, thread_idx);
  } catch (...) {
    std::lock_guard lock(exception_mutex_);
    if (!exception_) exception_ = std::current_exception();
  }
}

// Every part of every region is claimed once, so that its generation follows the last one claimed.
bool ThreadPool::claim(int thread_idx, uint32_t generation) {
  uint32_t last = generation - 1;
  return claims_[static_cast<size_t>(thread_idx)].generation.compare_exchange_strong(
      last, generation, std::memory_order_acquire, std::memory_order_relaxed);
}

void ThreadPool::take_over(uint32_t generation) {
  for (int i = 0; i < std::min(kPatience, spin_); ++i) {
    if (pending_.load(std::memory_order_acquire) == 0) return;
    pause();
  }
  for (int thread_idx = 1; thread_idx < num_threads_; ++thread_idx) {
    if (!claim(thread_idx, generation)) continue;
    execute(thread_idx);
    pending_.fetch_sub(1, std::memory_order_acq_rel);
  }
}

void ThreadPool::run_region(Region region, void* body) {
  AXK1_CHECK(!running_);
  running_ = true;
  region_ = region;
  body_ = body;
  if (num_threads_ > 1) {
    pending_.store(static_cast<uint32_t>(num_threads_ - 1), std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
  }
  execute(0);
  if (num_threads_ > 1) take_over(generation_.load(std::memory_order_relaxed));
  for (uint32_t left = pending_.load(std::memory_order_acquire); left != 0;) {
    left = wait_while_equal(pending_, left, spin_);
  }
  running_ = false;
  if (exception_) std::rethrow_exception(std::exchange(exception_, nullptr));
}

void ThreadPool::worker(int thread_idx) {
  uint32_t seen = 0;
  while (true) {
    seen = wait_while_equal(generation_, seen, spin_);
    if (stop_) return;
    if (!claim(thread_idx, seen)) continue;
    execute(thread_idx);
    if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) pending_.notify_one();
  }
}

}  // namespace axk1
