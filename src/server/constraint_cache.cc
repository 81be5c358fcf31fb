#include "server/constraint_cache.h"

#include <algorithm>

namespace axk1 {

std::shared_ptr<const Grammar> ConstraintCache::get(
    const std::string& key, const std::function<std::shared_ptr<const Grammar>()>& compile) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(entries_.begin(), entries_.end(),
                                    [&](const Entry& entry) { return entry.key == key; });
    if (found != entries_.end()) {
      entries_.splice(entries_.begin(), entries_, found);
      return found->grammar;
    }
  }
  std::shared_ptr<const Grammar> grammar = compile();
  const std::lock_guard lock(mutex_);
  entries_.push_front({key, grammar});
  if (entries_.size() > max_grammars_) entries_.pop_back();
  return grammar;
}

}  // namespace axk1
