#include "train/spike_guard.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace axk1 {

double SpikeGuard::median() const {
  if (norms_.empty()) return 0;
  std::vector<double> sorted = norms_;
  const auto middle = sorted.begin() + static_cast<ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return *middle;
}

bool SpikeGuard::is_spike(double loss, double gradient_norm) {
  const bool known = options_.factor > 0 && norms_.size() >= (options_.window + 1) / 2;
  if (!std::isfinite(loss) || !std::isfinite(gradient_norm) ||
      (known && gradient_norm > options_.factor * median())) {
    ++skipped_;
    ++in_a_row_;
    return true;
  }
  in_a_row_ = 0;
  if (norms_.size() == options_.window) norms_.erase(norms_.begin());
  norms_.push_back(gradient_norm);
  return false;
}

void SpikeGuard::restore(State state) {
  norms_ = std::move(state.norms);
  if (norms_.size() > options_.window) {
    norms_.erase(norms_.begin(), norms_.end() - static_cast<ptrdiff_t>(options_.window));
  }
  skipped_ = state.skipped;
  in_a_row_ = state.in_a_row;
}

}  // namespace axk1
