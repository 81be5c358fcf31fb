// Everything that a run reads, loaded and split.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "train/data_order.h"
#include "train/run_config.h"
#include "train/source_documents.h"

namespace axk1 {

// Constant once loaded, but movable.
struct RunData {
  struct Source {
    std::string name;
    std::unique_ptr<Documents> documents;
    HeldOutSplit split;
    uint64_t train_tokens = 0;
  };
  std::vector<Source> sources;
  std::unique_ptr<Documents> held_out_files;  // null: none
  uint64_t fingerprint = 0;                   // of all documents
  uint64_t tokenizer_hash = 0;

  DataOrder order(const RunConfig& run) const;

  // Held-out rows: of each source with documents held out, and of the held-out files, the same
  // number of rows from the start, about `max_tokens` tokens in all. Empty without any.
  TrainBatch held_out_rows(size_t row_length, uint64_t max_tokens) const;
};

// `tokenizer` is the run's; vocab_size the model's. Throws Error naming the file or the source.
RunData load_run_data(const RunConfig& run, const Tokenizer& tokenizer, size_t vocab_size);

// Of what decides which token is which position of the run: documents, tokenizer, order and shapes.
uint64_t order_hash(const RunConfig& run, const RunData& data);

}  // namespace axk1
