// The median of samples.
#pragma once

#include <algorithm>
#include <vector>

namespace axk1 {

// Of an even number, the mean of the middle two; 0 of none.
inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  if (n == 0) return 0;
  return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

}  // namespace axk1
