#include "train/data_order.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "base/rng.h"

namespace axk1 {
namespace {

constexpr uint64_t kSaveEvery = 4096;

// One seed of several numbers: each step is a bijection of `seed` for a fixed `number`.
uint64_t mix_seed(uint64_t seed, uint64_t number) {
  return Rng(seed ^ (number + 1) * 0x9e3779b97f4a7c15).next();
}

// Uniform below `bound` (Lemire 2019, without the rejection: the bias is below bound / 2^64).
uint64_t below(Rng& random, uint64_t bound) {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(random.next()) * bound >> 64);
}

// n tokens of a document from `begin` on as row entries.
void put_document(const Documents& documents, size_t document, size_t begin, size_t n,
                  std::span<int32_t> inputs, std::span<int32_t> targets,
                  std::span<int32_t> positions, std::vector<int32_t>& ids,
                  std::vector<uint8_t>& counts) {
  const size_t with_next = std::min(n + 1, documents.length(document) - begin);
  ids.resize(with_next);
  counts.resize(with_next);
  documents.read(document, begin, ids, counts);
  for (size_t i = 0; i < n; ++i) {
    inputs[i] = ids[i];
    targets[i] = i + 1 < with_next && counts[i + 1] ? ids[i + 1] : TrainBatch::kNoTarget;
    positions[i] = static_cast<int32_t>(i);
  }
}

TrainBatch empty_batch(size_t rows, size_t row_length) {
  TrainBatch batch{.rows = rows, .row_length = row_length};
  batch.inputs.assign(rows * row_length, 0);
  batch.targets.assign(rows * row_length, TrainBatch::kNoTarget);
  batch.positions.assign(rows * row_length, 0);
  return batch;
}

}  // namespace

RowMix::RowMix(std::span<const double> weights) : shares_(weights.begin(), weights.end()) {
  const double sum = std::accumulate(shares_.begin(), shares_.end(), 0.0);
  AXK1_CHECK(sum > 0);
  for (double& share : shares_) share /= sum;
  now_.counts.assign(shares_.size(), 0);
  saved_.push_back(now_);
}

size_t RowMix::next_source() const {
  size_t best = 0;
  double most = -1;
  for (size_t s = 0; s < shares_.size(); ++s) {
    if (shares_[s] == 0) continue;
    const double behind =
        shares_[s] * static_cast<double>(now_.row + 1) - static_cast<double>(now_.counts[s]);
    if (behind > most) {
      most = behind;
      best = s;
    }
  }
  AXK1_CHECK(shares_[best] > 0);
  return best;
}

void RowMix::go_to(uint64_t row) {
  const State& nearest = saved_[std::min<uint64_t>(row / kSaveEvery, saved_.size() - 1)];
  if (row < now_.row || nearest.row > now_.row) now_ = nearest;
  while (now_.row < row) {
    ++now_.counts[next_source()];
    ++now_.row;
    if (now_.row == saved_.size() * kSaveEvery) saved_.push_back(now_);
  }
}

RowMix::Row RowMix::row(uint64_t row) {
  go_to(row);
  const size_t source = next_source();
  return {source, now_.counts[source]};
}

std::vector<uint64_t> RowMix::counts_before(uint64_t row) {
  go_to(row);
  return now_.counts;
}

TokenStream::TokenStream(const Documents& documents, std::vector<uint32_t> chosen, uint64_t seed)
    : documents_(documents), chosen_(std::move(chosen)), seed_(seed) {
  for (uint32_t document : chosen_) epoch_tokens_ += documents_.length(document);
}

void TokenStream::go_to_epoch(uint64_t epoch) {
  if (epoch == epoch_) return;
  epoch_ = epoch;
  order_ = chosen_;
  Rng random(mix_seed(seed_, epoch));
  for (size_t i = order_.size(); i > 1; --i) {  // Fisher and Yates
    std::swap(order_[i - 1], order_[below(random, i)]);
  }
  starts_.resize(order_.size());
  uint64_t at = 0;
  for (size_t i = 0; i < order_.size(); ++i) {
    starts_[i] = at;
    at += documents_.length(order_[i]);
  }
}

void TokenStream::read_row(uint64_t at, std::span<int32_t> inputs, std::span<int32_t> targets,
                           std::span<int32_t> positions) {
  AXK1_CHECK(epoch_tokens_ > 0);
  for (size_t done = 0; done < inputs.size();) {
    const uint64_t token = at + done;
    go_to_epoch(token / epoch_tokens_);
    const uint64_t within = token % epoch_tokens_;
    const auto after = std::ranges::upper_bound(starts_, within);
    const size_t i = static_cast<size_t>(after - starts_.begin()) - 1;
    const size_t begin = within - starts_[i];
    const size_t n = std::min(inputs.size() - done, documents_.length(order_[i]) - begin);
    put_document(documents_, order_[i], begin, n, inputs.subspan(done, n), targets.subspan(done, n),
                 positions.subspan(done, n), ids_, counts_);
    done += n;
  }
}

DataOrder::DataOrder(std::vector<Source> sources, std::vector<StageShape> stages, uint64_t seed)
    : stages_(std::move(stages)) {
  for (size_t s = 0; s < sources.size(); ++s) {
    streams_.emplace_back(*sources[s].documents, std::move(sources[s].chosen), mix_seed(seed, s));
  }
  std::vector<uint64_t> offset(streams_.size(), 0);
  first_steps_.push_back(0);
  for (const StageShape& stage : stages_) {
    AXK1_CHECK(stage.weights.size() == streams_.size());
    RowMix& mix = mixes_.emplace_back(stage.weights);
    offsets_.push_back(offset);
    first_steps_.push_back(first_steps_.back() + stage.steps);
    if (mixes_.size() == stages_.size()) break;  // what follows the last is never asked for
    const std::vector<uint64_t> rows = mix.counts_before(stage.steps * stage.rows);
    for (size_t s = 0; s < rows.size(); ++s) offset[s] += rows[s] * stage.row_length;
  }
}

uint64_t DataOrder::num_steps() const {
  return first_steps_.back();
}

size_t DataOrder::stage_of(uint64_t step) const {
  AXK1_CHECK(step < num_steps());
  const auto after = std::ranges::upper_bound(first_steps_, step);
  return static_cast<size_t>(after - first_steps_.begin()) - 1;
}

uint64_t DataOrder::tokens_before(uint64_t step) const {
  uint64_t tokens = 0;
  for (size_t i = 0; i < stages_.size() && first_steps_[i] < step; ++i) {
    const uint64_t steps = std::min(step, first_steps_[i + 1]) - first_steps_[i];
    tokens += steps * stages_[i].rows * stages_[i].row_length;
  }
  return tokens;
}

TrainBatch DataOrder::rows(uint64_t step, size_t first_row, size_t num_rows) {
  const size_t stage_idx = stage_of(step);
  const StageShape& shape = stages_[stage_idx];
  AXK1_CHECK(first_row + num_rows <= shape.rows);
  const size_t length = shape.row_length;
  TrainBatch batch = empty_batch(num_rows, length);
  const uint64_t first = (step - first_steps_[stage_idx]) * shape.rows + first_row;
  for (size_t r = 0; r < num_rows; ++r) {
    const RowMix::Row row = mixes_[stage_idx].row(first + r);
    const uint64_t at = offsets_[stage_idx][row.source] + row.index * length;
    const auto part = [&](std::vector<int32_t>& all) {
      return std::span(all).subspan(r * length, length);
    };
    streams_[row.source].read_row(at, part(batch.inputs), part(batch.targets),
                                  part(batch.positions));
  }
  return batch;
}

std::vector<uint64_t> DataOrder::tokens_read(uint64_t step) {
  const size_t stage_idx = step == num_steps() ? stages_.size() - 1 : stage_of(step);
  const StageShape& shape = stages_[stage_idx];
  const uint64_t rows = (step - first_steps_[stage_idx]) * shape.rows;
  std::vector<uint64_t> tokens = mixes_[stage_idx].counts_before(rows);
  for (size_t s = 0; s < tokens.size(); ++s) {
    tokens[s] = offsets_[stage_idx][s] + tokens[s] * shape.row_length;
  }
  return tokens;
}

TrainBatch rows_in_order(const Documents& documents, std::span<const uint32_t> chosen,
                         size_t row_length, size_t max_rows) {
  uint64_t tokens = 0;
  for (uint32_t document : chosen) tokens += documents.length(document);
  const size_t rows = std::min<uint64_t>(max_rows, (tokens + row_length - 1) / row_length);
  TrainBatch batch = empty_batch(rows, row_length);
  std::vector<int32_t> ids;
  std::vector<uint8_t> counts;
  size_t at = 0;
  for (uint32_t document : chosen) {
    for (size_t begin = 0, length = documents.length(document); begin < length;) {
      if (at == rows * row_length) return batch;
      const size_t n = std::min(length - begin, row_length - at % row_length);
      put_document(documents, document, begin, n, std::span(batch.inputs).subspan(at, n),
                   std::span(batch.targets).subspan(at, n),
                   std::span(batch.positions).subspan(at, n), ids, counts);
      begin += n;
      at += n;
    }
  }
  return batch;
}

TrainBatch batch_rows(const TrainBatch& batch, size_t first, size_t count) {
  AXK1_CHECK(first + count <= batch.rows);
  TrainBatch part{.rows = count, .row_length = batch.row_length};
  const auto cut = [&](const std::vector<int32_t>& all, std::vector<int32_t>& out) {
    const auto begin = all.begin() + static_cast<ptrdiff_t>(first * batch.row_length);
    out.assign(begin, begin + static_cast<ptrdiff_t>(count * batch.row_length));
  };
  cut(batch.inputs, part.inputs);
  cut(batch.targets, part.targets);
  cut(batch.positions, part.positions);
  return part;
}

size_t num_targets(const TrainBatch& batch) {
  return batch.targets.size() -
         static_cast<size_t>(std::ranges::count(batch.targets, TrainBatch::kNoTarget));
}

}  // namespace axk1
