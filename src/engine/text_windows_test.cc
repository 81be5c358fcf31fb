#include "engine/text_windows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "testing/shared_data.h"

namespace axk1 {
namespace {

TEST(TextWindows, PredictEveryTokenOnce) {
  size_t cases = 0;
  for (size_t length = 0; length <= 23; ++length) {
    for (size_t context = 1; context <= 9; ++context) {
      for (size_t stride = 1; stride <= context; ++stride) {
        size_t next = 1;
        for (const TextWindow& w : text_windows(length, context, stride)) {
          EXPECT_EQ(w.first_target, next);
          next += w.num_targets;
          const size_t num_inputs = next - 1 - w.first_input;
          EXPECT_LT(w.first_input, w.first_target);
          EXPECT_LE(num_inputs, context);
          EXPECT_TRUE(num_inputs == context || w.first_input == 0);
          EXPECT_LE(w.num_targets, stride);
        }
        EXPECT_EQ(next, std::max(length, size_t{1}));
        ++cases;
      }
    }
  }
  printf("[ cases ] text windows: %zu\n", cases);
}

// Two engines in lock-step, with chunks of different size, see what a session sees.
TEST(PredictText, ShowsEveryEnginesLogitsInOrder) {
  const std::string model = testing::testdata("../models/nano-v0");
  Engine a(model, {.num_threads = 1, .dtype = DType::kF32, .prefill_tokens = 5});
  Engine b(model, {.num_threads = 2, .dtype = DType::kF32, .prefill_tokens = 3});
  Engine* const engines[] = {&a, &b};
  const TextTokens tokens = tokens_of_text(a, "한국의 수도는 서울이다. The sea is wide.", true);
  const std::vector<TextWindow> windows = text_windows(tokens.ids.size(), 8, 5);
  size_t next = 1;
  std::vector<float> seen[2];
  EXPECT_TRUE(predict_text(engines, tokens.ids, windows,
                           [&](size_t first, size_t rows, std::span<const float* const> logits) {
                             EXPECT_EQ(first, next);
                             next += rows;
                             for (size_t e = 0; e < 2; ++e) {
                               seen[e].insert(seen[e].end(), logits[e],
                                              logits[e] + rows * a.vocab_size());
                             }
                             return true;
                           }));
  EXPECT_EQ(next, tokens.ids.size());
  EXPECT_EQ(seen[0], seen[1]);
  size_t rows = 0;
  for (const TextWindow& w : windows) {
    Session session(a);
    for (size_t i = w.first_input; i < w.input_end(); ++i) {
      session.append(tokens.ids[i]);
      if (i + 1 < w.first_target) continue;
      const float* row = seen[0].data() + rows++ * a.vocab_size();
      ASSERT_TRUE(std::equal(session.logits().begin(), session.logits().end(), row,
                             [](float x, float y) { return std::abs(x - y) < 1e-3f; }));
    }
  }
  printf("[ cases ] predicted rows of two engines: %zu\n", rows);
}

TEST(PredictText, StopsWhenTold) {
  Engine engine(testing::testdata("../models/nano-v0"), {.num_threads = 1, .prefill_tokens = 2});
  Engine* const self = &engine;
  const TextTokens tokens = tokens_of_text(engine, "한국의 수도는 서울이다.", true);
  size_t calls = 0;
  EXPECT_FALSE(
      predict_text({&self, 1}, tokens.ids, text_windows(tokens.ids.size(), 64, 64),
                   [&](size_t, size_t, std::span<const float* const>) { return ++calls < 2; }));
  EXPECT_EQ(calls, 2u);
}

}  // namespace
}  // namespace axk1
