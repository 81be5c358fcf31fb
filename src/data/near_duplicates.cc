#include "data/near_duplicates.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/rng.h"
#include "io/checksum.h"

namespace axk1 {
namespace {

constexpr size_t kRows = kMinHashes / kMinHashBands;
// Texts of one band that are looked at: a boilerplate shared by very many must not take for ever.
constexpr size_t kMaxCandidates = 64;

struct HashFunctions {
  std::array<uint64_t, kMinHashes> factor, offset;
};

// x -> (factor x + offset) mod 2^64, of which the upper half counts (Dietzfelbinger 1996).
const HashFunctions& hash_functions() {
  static const HashFunctions functions = [] {
    HashFunctions f;
    Rng rng(0x6d696e68617368);  // any: "minhash"
    for (size_t i = 0; i < kMinHashes; ++i) {
      f.factor[i] = rng.next() | 1;
      f.offset[i] = rng.next();
    }
    return f;
  }();
  return functions;
}

}  // namespace

MinHashSignature min_hash(std::span<const uint64_t> hashes) {
  AXK1_CHECK(!hashes.empty());
  const HashFunctions& f = hash_functions();
  std::array<uint64_t, kMinHashes> least;
  least.fill(UINT64_MAX);
  for (uint64_t hash : hashes) {
    for (size_t i = 0; i < kMinHashes; ++i) {
      least[i] = std::min(least[i], f.factor[i] * hash + f.offset[i]);
    }
  }
  MinHashSignature signature;
  for (size_t i = 0; i < kMinHashes; ++i) signature[i] = static_cast<uint32_t>(least[i] >> 32);
  return signature;
}

double estimated_similarity(const MinHashSignature& a, const MinHashSignature& b) {
  size_t same = 0;
  for (size_t i = 0; i < kMinHashes; ++i) same += a[i] == b[i];
  return static_cast<double>(same) / kMinHashes;
}

double probability_of_comparison(double similarity) {
  return 1 - std::pow(1 - std::pow(similarity, double{kRows}), double{kMinHashBands});
}

void HashIndex::place(const Slot& entry) {
  const size_t mask = slots_.size() - 1;
  size_t slot = mix(entry.hash) & mask;
  while (slots_[slot].used) slot = (slot + 1) & mask;
  slots_[slot] = entry;
}

void HashIndex::add(uint64_t hash, uint32_t number) {
  if (size_ * 3 >= slots_.size() * 2) {
    std::vector<Slot> old(std::max<size_t>(1024, slots_.size() * 2));
    old.swap(slots_);
    // From behind an empty slot on, so that numbers of one hash keep their order.
    const auto first = std::ranges::find(old, false, &Slot::used);
    for (size_t i = 0, from = static_cast<size_t>(first - old.begin()); i < old.size(); ++i) {
      const Slot& entry = old[(from + i) % old.size()];
      if (entry.used) place(entry);
    }
  }
  place({hash, number, true});
  ++size_;
}

std::optional<uint32_t> NearDuplicateIndex::find_or_add(const MinHashSignature& signature,
                                                        uint32_t number) {
  std::array<uint64_t, kMinHashBands> hashes;
  std::optional<uint32_t> found;
  for (size_t band = 0; band < kMinHashBands; ++band) {
    const auto rows = std::span(signature).subspan(band * kRows, kRows);
    hashes[band] = checksum64(std::as_bytes(rows)) + band;
    size_t looked_at = 0;
    bands_.find(hashes[band], [&](uint32_t i) {
      if (estimated_similarity(signatures_[i], signature) >= min_similarity_) {
        found = std::min(found.value_or(numbers_[i]), numbers_[i]);
        return false;
      }
      return ++looked_at < kMaxCandidates;
    });
  }
  if (found) return found;
  for (uint64_t hash : hashes) bands_.add(hash, static_cast<uint32_t>(signatures_.size()));
  signatures_.push_back(signature);
  numbers_.push_back(number);
  return std::nullopt;
}

}  // namespace axk1
