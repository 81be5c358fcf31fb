// A fixed set of threads that runs one parallel region at a time.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace axk1 {

// The caller takes part as thread 0; the others wait, first spinning for some microseconds (a
// decode step enters a region every few of them), then asleep. Regions do not nest, and only one
// thread at a time may start one: the pool belongs to whoever runs the model.
//
// Nothing here allocates. A task that throws does not stop the others; the first exception is
// thrown again on the caller.
class ThreadPool {
 public:
  explicit ThreadPool(int num_threads);  // including the caller, at least 1
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return num_threads_; }

  // body(thread_idx) once on every thread; returns when all are done.
  template <class Body>
  void run(Body&& body) {
    run_region(
        [](void* b, int thread_idx) {
          (*static_cast<std::remove_reference_t<Body>*>(b))(thread_idx);
        },
        &body);
  }

  // body(begin, end) over [0, count) cut into num_threads equal runs, each a multiple of `grain`
  // but the last. The cut depends only on count, grain and num_threads.
  template <class Body>
  void parallel_for(size_t count, size_t grain, Body&& body) {
    const size_t units = (count + grain - 1) / grain;
    if (units <= 1 || num_threads_ == 1) {
      if (count) body(size_t{0}, count);
      return;
    }
    run([&](int thread_idx) {
      const size_t begin = units * thread_idx / num_threads_ * grain;
      size_t end = units * (thread_idx + 1) / num_threads_ * grain;
      if (end > count) end = count;
      if (begin < end) body(begin, end);
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
  void worker(int thread_idx);

  const int num_threads_;
  int spin_;  // polls before sleeping; 0 when there are more threads than processors
  Region region_ = nullptr;
  void* body_ = nullptr;
  std::exception_ptr exception_;
  std::mutex exception_mutex_;
  // Each on its own cache line: the caller writes generation_, workers write pending_.
  alignas(64) std::atomic<uint32_t> generation_{0};
  alignas(64) std::atomic<uint32_t> pending_{0};
  alignas(64) std::atomic<size_t> next_task_{0};
  alignas(64) bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace axk1
