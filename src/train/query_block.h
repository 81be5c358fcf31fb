// How attention of training is cut: some queries of a row, and the keys that any of them sees.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/bits.h"
#include "train/graph_ops.h"

namespace axk1 {

// Queries [first, first + count) of a row of the batch; the keys that they see are within [begin,
// end).
struct QueryBlock {
  size_t token;  // of the first query, in the batch
  size_t first, count;
  size_t begin, end;
  size_t stride;             // end - begin, filled up to whole panels
  const int32_t* positions;  // of the row

  size_t num_keys() const { return end - begin; }
  // Keys that query i of the block sees, counted from `begin`.
  size_t sees_from(size_t i) const {
    return first + i - static_cast<size_t>(positions[first + i]) - begin;
  }
  size_t sees_to(size_t i) const { return first + i + 1 - begin; }
};

// At most `most` queries; `begin` is a multiple of `panel`.
inline QueryBlock query_block(const AttentionShape& a, size_t row, size_t first, size_t most,
                              size_t panel = 1) {
  QueryBlock b;
  b.token = row * a.row_length + first;
  b.first = first;
  b.count = std::min(most, a.row_length - first);
  b.positions = a.positions + row * a.row_length;
  b.begin = first;
  for (size_t i = first; i < first + b.count; ++i) {
    b.begin = std::min(b.begin, i - static_cast<size_t>(b.positions[i]));
  }
  b.begin = b.begin / panel * panel;
  b.end = first + b.count;
  b.stride = round_up(b.num_keys(), panel);
  return b;
}

}  // namespace axk1
