#include "grammar/mask_cache.h"

#include <algorithm>

namespace axk1 {

DfaMasks::Words DfaMasks::find(const Key& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = sets_.find(key);
  return found == sets_.end() ? nullptr : found->second;
}

void DfaMasks::put(const Key& key, Words words) {
  const std::lock_guard lock(mutex_);
  if (sets_.size() < kMaxSets) sets_.emplace(key, std::move(words));
}

size_t DfaMasks::size() const {
  const std::lock_guard lock(mutex_);
  return sets_.size();
}

std::shared_ptr<DfaMasks> DfaMaskCache::of(const std::shared_ptr<const TextDfa>& dfa) const {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return entry.dfa == dfa || entry.dfa->states() == dfa->states();
  });
  if (found != entries_.end()) {
    entries_.splice(entries_.begin(), entries_, found);
    return entries_.front().masks;
  }
  size_t sets = 0, kept = 0;
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    sets += entry->masks->size();
    entry = sets > kMaxSets || ++kept >= kMaxEntries ? entries_.erase(entry) : std::next(entry);
  }
  entries_.push_front({dfa, std::make_shared<DfaMasks>()});
  return entries_.front().masks;
}

}  // namespace axk1
