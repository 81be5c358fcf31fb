// A fixed set of threads that runs one parallel region at a time.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

#include "base/bits.h"

namespace axk1 {

// The caller takes part as thread 0; the others wait, first spinning for some microseconds (a
// decode step enters a region every few of them), then asleep. A part that its thread has not begun
// soon after the caller has done its own is done by the caller too: so a processor that other
// programs keep busy, or a thread that takes long to wake, costs time but never a scheduler's turn
// for every region. Regions do not nest, and only one thread at a time may start one: the pool
// belongs to whoever runs the model.
//
// Nothing here allocates after construction. A body that throws does not stop the other threads;
// the first exception is thrown again on the caller when all are done, and the pool can be used
// again. Which of the tasks not yet begun still run is then unspecified.
class ThreadPool {
 public:
  // num_threads includes the caller; less than 1 means 1. Throws Error(kOutOfMemory) when the
  // system has no thread left.
  explicit ThreadPool(int num_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return num_threads_; }

  // body(thread_idx) once for every thread_idx; returns when all are done. Part 0 is the caller's;
  // the others are done by their own threads, or by the caller after its own.
  template <class Body>
  void run(Body&& body) {
    run_region(
        [](void* b, int thread_idx) {
          (*static_cast<std::remove_reference_t<Body>*>(b))(thread_idx);
        },
        &body);
  }

  // body(begin, end) over [0, count) cut into num_threads equal runs, each a multiple of `grain`
  // but the last; runs that are empty are not called. The cut depends only on count, grain (at
  // least 1) and num_threads.
  template <class Body>
  void parallel_for(size_t count, size_t grain, Body&& body) {
    const size_t units = ceil_div(count, grain);
    if (units <= 1 || num_threads_ == 1) {
      if (count) body(size_t{0}, count);
      return;
    }
    run([&](int thread_idx) {
      const size_t thread = static_cast<size_t>(thread_idx), threads = size_t(num_threads_);
      const size_t begin = units * thread / threads * grain;
      const size_t end = std::min(count, units * (thread + 1) / threads * grain);
      if (begin < end) body(begin, end);
    });
  }

  // body(begin, end) over parts [0, num_threads * kPartsPerThread): every thread most of its own
  // run of parts at once, then the rest of it `chunk` parts at a time, and then what is left of the
  // others' rests. For long loops over memory, of which no two processors read at the same speed.
  // A chunk should take some microseconds; with 0, or one beyond kSharedParts, nothing is shared.
  static constexpr size_t kPartsPerThread = 64;
  static constexpr size_t kSharedParts = 12;  // of these
  template <class Body>
  void parallel_parts(size_t chunk, Body&& body) {
    const auto threads = static_cast<size_t>(num_threads_);
    if (threads == 1 || chunk == 0 || chunk > kSharedParts) {
      run([&](int thread_idx) {
        const size_t first = static_cast<size_t>(thread_idx) * kPartsPerThread;
        body(first, first + kPartsPerThread);
      });
      return;
    }
    for (Claim& claim : claims_) claim.shared.store(0, std::memory_order_relaxed);
    run([&](int thread_idx) {
      const auto own = static_cast<size_t>(thread_idx);
      body(own * kPartsPerThread, (own + 1) * kPartsPerThread - kSharedParts);
      for (size_t i = 0; i < threads; ++i) {
        const size_t of = (own + i) % threads;
        const size_t end = (of + 1) * kPartsPerThread;
        std::atomic<size_t>& next = claims_[of].shared;
        while (next.load(std::memory_order_relaxed) < kSharedParts) {
          const size_t taken = next.fetch_add(chunk, std::memory_order_relaxed);
          if (taken >= kSharedParts) break;
          const size_t first = end - kSharedParts + taken;
          body(first, std::min(end, first + chunk));
        }
      }
    });
  }

  // body(task_idx, thread_idx) for each task in [0, count), handed out one at a time: for tasks of
  // uneven length.
  template <class Body>
  void parallel_tasks(size_t count, Body&& body) {
    if (count <= 1 || num_threads_ == 1) {
      for (size_t i = 0; i < count; ++i) body(i, 0);
      return;
    }
    next_task_.store(0, std::memory_order_relaxed);
    run([&](int thread_idx) {
      while (true) {
        const size_t i = next_task_.fetch_add(1, std::memory_order_relaxed);
        if (i >= count) return;
        body(i, thread_idx);
      }
    });
  }

 private:
  using Region = void (*)(void* body, int thread_idx);
  void run_region(Region region, void* body);
  void execute(int thread_idx);
  bool claim(int thread_idx, uint32_t generation);
  void take_over(uint32_t generation);
  void worker(int thread_idx);
  void stop_workers();

  const int num_threads_;
  const int spin_;  // polls before sleeping; 0 when there are more threads than processors
  Region region_ = nullptr;
  void* body_ = nullptr;
  bool running_ = false;  // a region is under way; only the caller's thread looks at it
  std::exception_ptr exception_;
  std::mutex exception_mutex_;
  // Each on its own line, written by its thread alone unless another does its work.
  struct alignas(64) Claim {
    std::atomic<uint32_t> generation{0};  // the last region whose part was begun
    std::atomic<size_t> shared{0};        // of parallel_parts: how many shared parts were begun
  };
  std::vector<Claim> claims_;  // [num_threads]
  // Each on its own cache line: the caller writes generation_, workers write pending_.
  alignas(64) std::atomic<uint32_t> generation_{0};
  alignas(64) std::atomic<uint32_t> pending_{0};
  alignas(64) std::atomic<size_t> next_task_{0};
  alignas(64) std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

}  // namespace axk1
