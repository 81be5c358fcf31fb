#include "train/data_order.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>

#include "base/rng.h"

namespace axk1 {
namespace {

// Document d of source s: ids s * 1'000'000 + d * 1000 + position, so that a token says where it is
// from. Lengths 1 to max_length.
MemoryDocuments make_documents(int source, size_t count, size_t max_length, uint64_t seed) {
  MemoryDocuments documents;
  Rng random(seed);
  for (size_t d = 0; d < count; ++d) {
    std::vector<int32_t> ids(1 + random.next() % max_length);
    for (size_t i = 0; i < ids.size(); ++i) {
      ids[i] = static_cast<int32_t>(static_cast<size_t>(source) * 1'000'000 + d * 1000 + i);
    }
    documents.add(ids);
  }
  return documents;
}

std::vector<uint32_t> all_of(const Documents& documents) {
  std::vector<uint32_t> all(documents.size());
  std::iota(all.begin(), all.end(), 0u);
  return all;
}

bool same(const TrainBatch& a, const TrainBatch& b) {
  return a.rows == b.rows && a.row_length == b.row_length && a.inputs == b.inputs &&
         a.targets == b.targets && a.positions == b.positions;
}

struct TwoStageOrder {
  MemoryDocuments a = make_documents(0, 40, 60, 1), b = make_documents(1, 7, 300, 2);
  DataOrder make(uint64_t seed = 5) const {
    return DataOrder({{&a, all_of(a)}, {&b, all_of(b)}},
                     {{.steps = 30, .rows = 5, .row_length = 32, .weights = {3, 1}},
                      {.steps = 20, .rows = 3, .row_length = 128, .weights = {0.2, 0.8}}},
                     seed);
  }
};

TEST(DataOrder, AnyStepAloneIsTheStepInSequence) {
  const TwoStageOrder documents;
  DataOrder in_sequence = documents.make();
  std::vector<TrainBatch> expected;
  for (uint64_t step = 0; step < in_sequence.num_steps(); ++step) {
    const size_t stage = in_sequence.stage_of(step);
    EXPECT_EQ(stage, step < 30 ? 0u : 1u);
    expected.push_back(in_sequence.rows(step, 0, in_sequence.stage(stage).rows));
  }
  ASSERT_EQ(expected.size(), 50u);
  DataOrder random_access = documents.make();
  Rng random(9);
  for (int i = 0; i < 100; ++i) {
    const uint64_t step = random.next() % 50;
    const size_t rows = expected[step].rows;
    const size_t first = random.next() % rows, count = random.next() % (rows - first) + 1;
    EXPECT_TRUE(
        same(random_access.rows(step, first, count), batch_rows(expected[step], first, count)))
        << "step " << step << " row " << first;
  }
  DataOrder resumed = documents.make();
  for (uint64_t step = 41; step < 50; ++step) {
    EXPECT_TRUE(same(resumed.rows(step, 0, 3), expected[step])) << step;
  }
  DataOrder other = documents.make(6);
  EXPECT_FALSE(same(other.rows(0, 0, 5), expected[0])) << "another seed, another order";
}

TEST(DataOrder, EveryEpochReadsEveryTokenOnce) {
  const MemoryDocuments documents = make_documents(0, 50, 70, 3);
  TokenStream stream(documents, all_of(documents), 11);
  const uint64_t tokens = stream.epoch_tokens();
  std::vector<int32_t> inputs(tokens), targets(tokens), positions(tokens);
  std::vector<std::vector<int32_t>> orders;
  for (uint64_t epoch = 0; epoch < 3; ++epoch) {
    stream.read_row(epoch * tokens, inputs, targets, positions);
    std::map<int32_t, int> seen;
    for (int32_t id : inputs) ++seen[id];
    EXPECT_EQ(seen.size(), tokens);
    orders.push_back(inputs);
  }
  EXPECT_NE(orders[0], orders[1]);
  EXPECT_NE(orders[1], orders[2]);
}

// Derived token by token from what the ids say.
TEST(DataOrder, RowsKeepDocumentsApart) {
  const TwoStageOrder documents;
  DataOrder order = documents.make();
  size_t without_target = 0, cut = 0;
  for (uint64_t step = 0; step < order.num_steps(); ++step) {
    const TrainBatch batch = order.rows(step, 0, order.stage(order.stage_of(step)).rows);
    for (size_t i = 0; i < batch.inputs.size(); ++i) {
      const int32_t id = batch.inputs[i];
      const size_t column = i % batch.row_length;
      const auto& source = id / 1'000'000 ? documents.b : documents.a;
      const size_t length = source.length(static_cast<size_t>(id) % 1'000'000 / 1000);
      const bool last = static_cast<size_t>(id) % 1000 + 1 == length;
      EXPECT_EQ(batch.targets[i], last ? TrainBatch::kNoTarget : id + 1);
      without_target += last;
      const bool goes_on = column > 0 && batch.inputs[i - 1] + 1 == id;
      EXPECT_EQ(batch.positions[i], goes_on ? batch.positions[i - 1] + 1 : 0);
      if (!goes_on && id % 1000 != 0) {
        EXPECT_EQ(column, 0u) << "a document that is cut goes on only at the start of a row";
        ++cut;
      }
    }
    EXPECT_EQ(num_targets(batch),
              batch.targets.size() -
                  static_cast<size_t>(std::count(batch.targets.begin(), batch.targets.end(), -1)));
  }
  EXPECT_GT(without_target, 50u);
  EXPECT_GT(cut, 20u);
}

TEST(DataOrder, SourcesGoOnFromStageToStage) {
  const TwoStageOrder documents;
  DataOrder order = documents.make();
  const auto at_30 = order.tokens_read(30), at_end = order.tokens_read(50);
  EXPECT_EQ(at_30[0] + at_30[1], 30u * 5 * 32);
  EXPECT_EQ(at_end[0] + at_end[1], 30u * 5 * 32 + 20u * 3 * 128);
  // What source b reads over the run is its line from the start, without gap or overlap.
  std::vector<int32_t> read;
  for (uint64_t step = 0; step < 50; ++step) {
    const TrainBatch batch = order.rows(step, 0, order.stage(order.stage_of(step)).rows);
    for (int32_t id : batch.inputs) {
      if (id >= 1'000'000) read.push_back(id);
    }
  }
  ASSERT_EQ(read.size(), at_end[1]);
  const uint64_t epoch = order.epoch_tokens(1);
  for (uint64_t e = 0; e + 1 <= read.size() / epoch; ++e) {
    std::map<int32_t, int> seen;
    for (uint64_t i = 0; i < epoch; ++i) ++seen[read[e * epoch + i]];
    EXPECT_EQ(seen.size(), epoch) << "epoch " << e;
  }
}

TEST(DataOrder, MaskedTokensAreNoTargets) {
  MemoryDocuments documents;
  documents.add(std::vector<int32_t>{1, 2, 3});
  documents.add(std::vector<int32_t>{10, 11, 12, 13}, std::vector<uint8_t>{0, 0, 1, 1});
  documents.add(std::vector<int32_t>{20});
  documents.add(std::vector<int32_t>{});
  const TrainBatch batch = rows_in_order(documents, all_of(documents), 5, 10);
  EXPECT_EQ(batch.rows, 2u);
  EXPECT_EQ(batch.inputs, (std::vector<int32_t>{1, 2, 3, 10, 11, 12, 13, 20, 0, 0}));
  EXPECT_EQ(batch.targets, (std::vector<int32_t>{2, 3, -1, -1, 12, 13, -1, -1, -1, -1}));
  EXPECT_EQ(batch.positions, (std::vector<int32_t>{0, 1, 2, 0, 1, 0, 1, 0, 0, 0}));
  EXPECT_EQ(rows_in_order(documents, all_of(documents), 5, 1).inputs.size(), 5u);
}

TEST(RowMix, KeepsWithinItsBound) {
  Rng random(4);
  for (int round = 0; round < 20; ++round) {
    std::vector<double> weights(2 + random.next() % 6);
    for (double& weight : weights) weight = random.uniform() * random.uniform();
    weights[0] = round % 3 ? weights[0] : 0;
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    RowMix mix(weights);
    std::vector<uint64_t> counts(weights.size());
    for (uint64_t row = 0; row < 9000; ++row) {
      const RowMix::Row next = mix.row(row);
      ASSERT_EQ(next.index, counts[next.source]);
      ++counts[next.source];
      for (size_t s = 0; s < weights.size(); ++s) {
        const double share = weights[s] / sum * static_cast<double>(row + 1);
        ASSERT_LT(static_cast<double>(counts[s]), share + 1);
        ASSERT_GT(static_cast<double>(counts[s]), share - static_cast<double>(weights.size() - 1));
      }
    }
    EXPECT_EQ(counts[0] == 0, weights[0] == 0);
    RowMix again(weights);
    EXPECT_EQ(again.counts_before(9000), counts);
    EXPECT_EQ(again.row(17).index, RowMix(weights).row(17).index) << "back to the start";
  }
}

TEST(HeldOut, IsChosenByContent) {
  MemoryDocuments documents = make_documents(0, 2000, 20, 8);
  const HeldOutSplit split = split_held_out(documents, 0.1);
  EXPECT_EQ(split.train.size() + split.held_out.size(), 2000u);
  // 2000 draws with p = 0.1: standard deviation sqrt(180) = 13.4; six of them.
  EXPECT_NEAR(static_cast<double>(split.held_out.size()), 200, 81);
  EXPECT_TRUE(split_held_out(documents, 0).held_out.empty());
  MemoryDocuments twice;
  std::vector<int32_t> ids(20);
  std::vector<uint8_t> counts(20);
  for (int copy = 0; copy < 2; ++copy) {
    for (size_t d = 0; d < 100; ++d) {
      ids.resize(documents.length(d));
      counts.resize(ids.size());
      documents.read(d, 0, ids, counts);
      twice.add(ids);
    }
  }
  const HeldOutSplit doubled = split_held_out(twice, 0.3);
  ASSERT_GT(doubled.held_out.size(), 10u);
  ASSERT_EQ(doubled.held_out.size() % 2, 0u);
  for (size_t i = 0; i < doubled.held_out.size() / 2; ++i) {
    EXPECT_EQ(doubled.held_out[i] + 100, doubled.held_out[i + doubled.held_out.size() / 2]);
  }
}

}  // namespace
}  // namespace axk1
