// Texts filtered, freed of duplicates, split and turned into token shards. docs/data.md, "Preparing
// data".
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "data/chat_turns.h"
#include "data/prepare_config.h"
#include "io/json.h"
#include "parallel/thread_pool.h"
#include "tokenizer/tokenizer.h"

namespace axk1 {

// Refers to what it names.
struct PrepareTools {
  const Tokenizer& tokenizer;
  uint64_t tokenizer_hash = 0;
  ChatRenderer render;  // empty: sources of conversations are refused. Called on any thread.
  ThreadPool& pool;
  // Bytes of files as on the disk; false stops the work.
  std::function<bool(uint64_t bytes_done, uint64_t bytes_total)> progress;
};

// Writes shards, dataset.json and report.json to the folder, which must be there and hold no
// dataset.json; returns the report. The result is the same for any number of threads. In memory: a
// batch of documents, and for each kept one about 60 bytes and, with near duplicates, 1.2 KB.
// A document that cannot be used is dropped and counted in the report; what is wrong with a file is
// an Error.
json::object prepare_data(const PrepareConfig& config, const std::string& out_dir,
                          const PrepareTools& tools);

}  // namespace axk1
