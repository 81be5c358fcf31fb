#include "train/documents.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "io/checksum.h"

namespace axk1 {

void MemoryDocuments::add(std::span<const int32_t> ids) {
  if (ids.empty()) return;
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  if (!counts_.empty()) counts_.resize(ids_.size(), 1);
  ends_.push_back(ids_.size());
}

void MemoryDocuments::add(std::span<const int32_t> ids, std::span<const uint8_t> counts) {
  AXK1_CHECK(ids.size() == counts.size());
  if (ids.empty()) return;
  if (counts_.empty()) counts_.assign(ids_.size(), 1);
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  counts_.insert(counts_.end(), counts.begin(), counts.end());
  ends_.push_back(ids_.size());
}

void MemoryDocuments::read(size_t document, size_t begin, std::span<int32_t> ids,
                           std::span<uint8_t> counts) const {
  AXK1_CHECK(begin + ids.size() <= length(document) && ids.size() == counts.size());
  const size_t at = begin_of(document) + begin;
  std::copy_n(ids_.begin() + static_cast<ptrdiff_t>(at), ids.size(), ids.begin());
  if (counts_.empty()) {
    std::ranges::fill(counts, uint8_t{1});
  } else {
    std::copy_n(counts_.begin() + static_cast<ptrdiff_t>(at), counts.size(), counts.begin());
  }
}

uint64_t MemoryDocuments::fingerprint() const {
  Checksum64 sum;
  sum.update(std::as_bytes(std::span(ids_)));
  sum.update(std::as_bytes(std::span(counts_)));
  sum.update(std::as_bytes(std::span(ends_)));
  return sum.digest();
}

HeldOutSplit split_held_out(const Documents& documents, double fraction) {
  if (documents.size() > UINT32_MAX) {
    fail(ErrorCode::kUnsupported, "a source of ", documents.size(),
         " documents: found more than 2^32 - 1");
  }
  HeldOutSplit split;
  const double limit = fraction * 0x1p64;
  std::vector<int32_t> ids;
  std::vector<uint8_t> counts;
  for (size_t i = 0; i < documents.size(); ++i) {
    bool held_out = false;
    if (fraction > 0) {
      ids.resize(documents.length(i));
      counts.resize(ids.size());
      documents.read(i, 0, ids, counts);
      held_out = static_cast<double>(checksum64(std::as_bytes(std::span(ids)))) < limit;
    }
    (held_out ? split.held_out : split.train).push_back(static_cast<uint32_t>(i));
  }
  return split;
}

}  // namespace axk1
