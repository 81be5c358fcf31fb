// What every op computes with. Ops check shapes, own the parallel loop, and call the kernel table.
#pragma once

#include "kernels/kernel_table.h"
#include "parallel/thread_pool.h"

namespace axk1 {

// Both outlive the context. One op at a time may run on a pool.
struct OpContext {
  const KernelTable& kernels;
  ThreadPool& pool;
};

}  // namespace axk1
