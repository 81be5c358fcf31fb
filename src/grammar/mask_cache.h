// Sets of tokens kept by the state they belong to.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>
#include <vector>

namespace axk1 {

// Thread-safe. Belongs to one grammar; entries to one vocabulary each.
class MaskCache {
 public:
  struct Key {
    const void* vocabulary;
    uint32_t rule, state, length;
    bool operator<(const Key& other) const {
      return std::tie(vocabulary, rule, state, length) <
             std::tie(other.vocabulary, other.rule, other.state, other.length);
    }
  };
  using Words = std::shared_ptr<const std::vector<uint32_t>>;

  // Null when there is none.
  Words find(const Key& key) const {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(key);
    return found == entries_.end() ? nullptr : found->second;
  }
  void put(const Key& key, Words words) {
    constexpr size_t kMaxEntries = 1000;  // of 20 KB at 163,840 tokens
    const std::lock_guard lock(mutex_);
    if (entries_.size() < kMaxEntries) entries_.emplace(key, std::move(words));
  }

 private:
  mutable std::mutex mutex_;
  std::map<Key, Words> entries_;
};

}  // namespace axk1
