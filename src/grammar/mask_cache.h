// Sets of tokens that stay inside a string, by the state of the automaton that the string must
// satisfy.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>
#include <vector>

#include "grammar/text_dfa.h"

namespace axk1 {

using MaskWords = std::vector<uint32_t>;

// Of one automaton. Thread-safe.
class DfaMasks {
 public:
  struct Key {
    uint32_t state;
    uint32_t least, most;  // code points that must and may still come
    bool operator<(const Key& other) const {
      return std::tie(state, least, most) < std::tie(other.state, other.least, other.most);
    }
  };
  using Words = std::shared_ptr<const MaskWords>;

  Words find(const Key& key) const;  // null when there is none
  void put(const Key& key, Words words);
  size_t size() const;

 private:
  static constexpr size_t kMaxSets = 1000;  // of 20 KB at 163,840 tokens

  mutable std::mutex mutex_;
  std::map<Key, Words> sets_;
};

// Of all automata: equal ones, of whatever schemas, share their sets. Those not used for long go
// when there are too many. Thread-safe.
class DfaMaskCache {
 public:
  std::shared_ptr<DfaMasks> of(const std::shared_ptr<const TextDfa>& dfa) const;

 private:
  struct Entry {
    std::shared_ptr<const TextDfa> dfa;
    std::shared_ptr<DfaMasks> masks;
  };
  static constexpr size_t kMaxSets = 4000, kMaxEntries = 2000;

  mutable std::mutex mutex_;
  mutable std::list<Entry> entries_;  // the last used first
};

}  // namespace axk1
