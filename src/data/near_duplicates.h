// Texts seen before, exactly or nearly, in memory that depends on their number and not their
// length.
//
// MinHash (Broder 1997): the share of 128 hash functions whose smallest value over a text's
// shingles agrees estimates the Jaccard similarity of two sets of shingles, with a standard error
// of sqrt(s (1 - s) / 128), 0.035 at s = 0.8. Texts are compared when at least one of 16 bands of 8
// values agrees, which texts of similarity s do with probability 1 - (1 - s^8)^16: 0.06 at s = 0.5,
// 0.61 at 0.7, 0.95 at 0.8, 1.00 at 0.9.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace axk1 {

inline constexpr size_t kMinHashes = 128, kMinHashBands = 16;
using MinHashSignature = std::array<uint32_t, kMinHashes>;

// The same on every machine. `hashes` is not empty (data/text_measures.h: shingle_hashes).
MinHashSignature min_hash(std::span<const uint64_t> hashes);
double estimated_similarity(const MinHashSignature& a, const MinHashSignature& b);
// What min-hash comparison finds with probability: 1 - (1 - s^8)^16.
double probability_of_comparison(double similarity);

// Numbers by 64-bit hashes, of which several may be the same. 24 to 48 bytes each. One thread at a
// time.
class HashIndex {
 public:
  void add(uint64_t hash, uint32_t number);
  // Calls body(number) for those of the hash, in the order they came, until it says false.
  template <class Body>
  void find(uint64_t hash, Body body) const {
    if (slots_.empty()) return;
    const size_t mask = slots_.size() - 1;
    for (size_t slot = mix(hash) & mask; slots_[slot].used; slot = (slot + 1) & mask) {
      if (slots_[slot].hash == hash && !body(slots_[slot].number)) return;
    }
  }

 private:
  struct Slot {
    uint64_t hash = 0;
    uint32_t number = 0;
    bool used = false;
  };
  static uint64_t mix(uint64_t hash) { return hash * 0x9e3779b97f4a7c15u >> 20; }
  void place(const Slot& slot);

  std::vector<Slot> slots_;
  size_t size_ = 0;
};

// Texts that are kept, by number. About 1.2 KB each. One thread at a time.
class NearDuplicateIndex {
 public:
  explicit NearDuplicateIndex(double min_similarity) : min_similarity_(min_similarity) {}

  // The number of a text that was added and is at least that similar, by the estimate; else
  // nothing, and the text is added with its number.
  std::optional<uint32_t> find_or_add(const MinHashSignature& signature, uint32_t number);

 private:
  double min_similarity_;
  HashIndex bands_;  // -> index into signatures_
  std::vector<MinHashSignature> signatures_;
  std::vector<uint32_t> numbers_;
};

}  // namespace axk1
