// What several processes that train one model together tell each other. Each computes some rows of
// every step (train/data_order.h says which) and all take the same optimiser step.
#pragma once

#include <cstddef>
#include <span>

namespace axk1 {

// Every process makes the same calls in the same order. One thread at a time. Throws Error(kIo)
// when another process is gone.
class GradientSum {
 public:
  virtual ~GradientSum() = default;
  virtual size_t rank() const = 0;  // below size()
  virtual size_t size() const = 0;
  // Adds up over all processes, in place; all get the same bits.
  virtual void sum(std::span<float> values) = 0;
  virtual void sum(std::span<double> values) = 0;
};

// A process alone: every sum is what it has.
class OneProcess final : public GradientSum {
 public:
  size_t rank() const override { return 0; }
  size_t size() const override { return 1; }
  void sum(std::span<float>) override {}
  void sum(std::span<double>) override {}
};

// Whether any process says so.
inline bool any_of(GradientSum& ranks, bool mine) {
  double flag[] = {mine ? 1.0 : 0.0};
  ranks.sum(std::span<double>(flag));
  return flag[0] > 0;
}

}  // namespace axk1
