#include "data/shard_set.h"

#include <utility>

#include "base/text.h"

namespace axk1 {

ShardSet::ShardSet(std::string name, const ShardOptions& options)
    : name_(std::move(name)), options_(options) {}

void ShardSet::add(std::span<const TokenId> ids, std::span<const uint8_t> loss) {
  if (ids.empty()) return;
  if (writer_ && writer_->num_tokens() + ids.size() > options_.max_tokens) finish();
  if (!writer_) {
    std::string number = cat(files_.size());
    if (number.size() < 5) number.insert(0, 5 - number.size(), '0');
    const std::string file = cat(name_, ".", number, ".shard");
    writer_ = std::make_unique<TokenShardWriter>(cat(options_.dir, "/", file), options_.shard);
    files_.emplace_back(file);
  }
  writer_->add(ids, loss);
  ++documents_;
  tokens_ += ids.size();
}

void ShardSet::finish() {
  if (writer_) writer_->finish();
  writer_.reset();
}

json::object ShardSet::summary() const {
  return {{"documents", documents_}, {"tokens", tokens_}, {"files", files_}};
}

}  // namespace axk1
