// Compiled grammars of recent requests: clients send the same schema again and again.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>

#include "grammar/constraints.h"

namespace axk1 {

// Any thread.
class ConstraintCache {
 public:
  ConstraintCache(std::shared_ptr<const GrammarVocabulary> vocabulary, size_t max_grammars = 64)
      : vocabulary_(std::move(vocabulary)), max_grammars_(max_grammars) {}

  const std::shared_ptr<const GrammarVocabulary>& vocabulary() const { return vocabulary_; }

  // The grammar kept under `key`, or what `compile` gives, which is then kept; the one used least
  // recently makes room. Compiles outside the lock, so two threads may compile the same.
  std::shared_ptr<const Grammar> get(
      const std::string& key, const std::function<std::shared_ptr<const Grammar>()>& compile);

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<const Grammar> grammar;
  };
  std::shared_ptr<const GrammarVocabulary> vocabulary_;
  size_t max_grammars_;
  std::mutex mutex_;
  std::list<Entry> entries_;  // used last first
};

}  // namespace axk1
