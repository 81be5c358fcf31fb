// Token shards of a bounded size, one after the other: DIR/NAME.00000.shard, ...
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "data/token_shard.h"
#include "io/json.h"

namespace axk1 {

struct ShardOptions {
  std::string dir;
  uint64_t max_tokens = 0;  // a document goes to the next shard when this one would have more
  TokenShardOptions shard;
};

// One thread at a time.
class ShardSet {
 public:
  ShardSet(std::string name, const ShardOptions& options);
  // As TokenShardWriter::add; ids that are empty are passed over.
  void add(std::span<const TokenId> ids, std::span<const uint8_t> loss);
  void finish();

  const json::array& files() const { return files_; }  // of finished shards, without the folder
  json::object summary() const;                        // documents, tokens, files

 private:
  std::string name_;
  ShardOptions options_;
  std::unique_ptr<TokenShardWriter> writer_;
  json::array files_;
  uint64_t documents_ = 0, tokens_ = 0;
};

}  // namespace axk1
