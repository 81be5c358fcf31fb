// Which tokens fill which row of which step: a pure function of (documents, stages, seed, step), so
// that a run that goes on after a stop, or several processes that share a step, agree without
// telling each other anything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "train/batch.h"
#include "train/documents.h"

namespace axk1 {

// Rows handed out to sources by weight, one after the other: each goes to the source that is
// furthest behind its share (the first of equals). After any number n of rows a source with share w
// has less than w n + 1 rows and more than w n - (sources - 1).
class RowMix {
 public:
  // Weights not negative, their sum above 0.
  explicit RowMix(std::span<const double> weights);

  struct Row {
    size_t source = 0;
    uint64_t index = 0;  // how many rows the source had before
  };
  Row row(uint64_t row);
  std::vector<uint64_t> counts_before(uint64_t row);  // [sources]

 private:
  struct State {
    uint64_t row = 0;
    std::vector<uint64_t> counts;
  };
  size_t next_source() const;
  void go_to(uint64_t row);

  std::vector<double> shares_;
  State now_;
  std::vector<State> saved_;  // every kSaveEvery rows, as far as rows were asked for
};

// The chosen documents of a source as one endless line of tokens: all of them in an order drawn
// from the seed, then all of them in another order, and so on. One thread at a time.
class TokenStream {
 public:
  // `documents` must outlive it; `chosen` are indices into it.
  TokenStream(const Documents& documents, std::vector<uint32_t> chosen, uint64_t seed);

  uint64_t epoch_tokens() const { return epoch_tokens_; }

  // Tokens [at, at + inputs.size()) of the line. The target of a token is the one that follows it
  // in its document, where that counts; the last token of a document has none. Positions restart
  // with each document, and in a document that began before `at` they start at 0 as well: what lies
  // before is not in this row.
  void read_row(uint64_t at, std::span<int32_t> inputs, std::span<int32_t> targets,
                std::span<int32_t> positions);

 private:
  void go_to_epoch(uint64_t epoch);

  const Documents& documents_;
  std::vector<uint32_t> chosen_;
  uint64_t seed_;
  uint64_t epoch_tokens_ = 0;
  uint64_t epoch_ = UINT64_MAX;   // the one that order_ and starts_ are of
  std::vector<uint32_t> order_;   // of the epoch: documents
  std::vector<uint64_t> starts_;  // [order_]: first token, within the epoch
  std::vector<int32_t> ids_;
  std::vector<uint8_t> counts_;
};

struct StageShape {
  uint64_t steps = 0;
  size_t rows = 0;  // of a step
  size_t row_length = 0;
  std::vector<double> weights;  // [sources]
};

// The rows of a whole run. Stages follow each other; each source's line of tokens goes on from
// stage to stage. One thread at a time.
class DataOrder {
 public:
  struct Source {
    const Documents* documents;  // must outlive the order
    std::vector<uint32_t> chosen;
  };
  // Sources that some stage gives weight must have tokens (checked by the caller).
  DataOrder(std::vector<Source> sources, std::vector<StageShape> stages, uint64_t seed);

  uint64_t num_steps() const;
  size_t stage_of(uint64_t step) const;
  const StageShape& stage(size_t stage_idx) const { return stages_[stage_idx]; }
  uint64_t first_step(size_t stage_idx) const { return first_steps_[stage_idx]; }
  // How many tokens the steps before `step` have, all sources together; step <= num_steps().
  uint64_t tokens_before(uint64_t step) const;

  // Rows [first_row, first_row + num_rows) of a step below num_steps().
  TrainBatch rows(uint64_t step, size_t first_row, size_t num_rows);

  // How many tokens of each source all steps before `step` have read.
  std::vector<uint64_t> tokens_read(uint64_t step);
  uint64_t epoch_tokens(size_t source) const { return streams_[source].epoch_tokens(); }

 private:
  std::vector<StageShape> stages_;
  std::vector<uint64_t> first_steps_;           // [stages + 1]
  std::vector<RowMix> mixes_;                   // [stages]
  std::vector<std::vector<uint64_t>> offsets_;  // [stages][sources]: tokens read before the stage
  std::vector<TokenStream> streams_;            // [sources]
};

// The chosen documents one after the other, in rows of row_length, until they end (the last row is
// filled up with tokens that have no target) or max_rows are full: what held-out loss is measured
// on.
TrainBatch rows_in_order(const Documents& documents, std::span<const uint32_t> chosen,
                         size_t row_length, size_t max_rows);

// The rows [first, first + count) of a batch.
TrainBatch batch_rows(const TrainBatch& batch, size_t first, size_t count);

size_t num_targets(const TrainBatch& batch);

}  // namespace axk1
