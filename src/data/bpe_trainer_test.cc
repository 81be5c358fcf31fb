#include "data/bpe_trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "base/error.h"
#include "base/utf8.h"

namespace axk1 {
namespace {

// The definition, as plainly as it can be written: every round counts all pairs anew.
TrainedBpe train_naively(const std::map<std::string, uint64_t>& pieces,
                         const BpeTrainOptions& options) {
  TrainedBpe out;
  std::vector<std::pair<char32_t, char>> bytes;
  for (int b = 0; b < 256; ++b) {
    bytes.emplace_back(byte_to_char(static_cast<unsigned char>(b)), static_cast<char>(b));
  }
  std::ranges::sort(bytes);
  for (const auto& [c, byte] : bytes) out.tokens.emplace_back(1, byte);
  const auto id_of = [&](const std::string& token) {
    return static_cast<TokenId>(std::ranges::find(out.tokens, token) - out.tokens.begin());
  };
  std::vector<std::pair<std::vector<TokenId>, uint64_t>> words;
  for (const auto& [piece, count] : pieces) {
    words.emplace_back();
    words.back().second = count;
    for (char c : piece) words.back().first.push_back(id_of(std::string(1, c)));
  }
  while (out.tokens.size() < options.vocab_size) {
    std::map<std::pair<TokenId, TokenId>, uint64_t> counts;
    for (const auto& [ids, count] : words) {
      for (size_t i = 0; i + 1 < ids.size(); ++i) counts[{ids[i], ids[i + 1]}] += count;
    }
    std::pair<TokenId, TokenId> best;
    uint64_t best_count = 0;
    std::string best_text;
    for (const auto& [pair, count] : counts) {  // in the order of ids
      const std::string text = out.tokens[static_cast<size_t>(pair.first)] +
                               out.tokens[static_cast<size_t>(pair.second)];
      if (options.max_token_bytes > 0 && text.size() > options.max_token_bytes) continue;
      if (count >= options.min_count && count > best_count) {
        best = pair;
        best_count = count;
        best_text = text;
      }
    }
    if (best_count == 0) break;
    const TokenId result = id_of(best_text);
    if (static_cast<size_t>(result) == out.tokens.size()) out.tokens.push_back(best_text);
    out.merges.push_back({best.first, best.second, result, best_count});
    for (auto& [ids, count] : words) {
      std::vector<TokenId> joined;
      for (size_t i = 0; i < ids.size();) {
        const bool here = i + 1 < ids.size() && ids[i] == best.first && ids[i + 1] == best.second;
        joined.push_back(here ? result : ids[i]);
        i += here ? 2 : 1;
      }
      ids = joined;
    }
  }
  return out;
}

TrainedBpe train(const std::vector<std::pair<std::string, uint64_t>>& pieces,
                 const BpeTrainOptions& options) {
  PieceCounts counts;
  for (const auto& [piece, count] : pieces) counts.add(piece, count);
  return train_bpe(counts, options, [](size_t) { return true; });
}

// Both, merge by merge; returns the number of merges.
size_t compare(const std::map<std::string, uint64_t>& pieces, const BpeTrainOptions& options) {
  const TrainedBpe expected = train_naively(pieces, options);
  const TrainedBpe found = train({pieces.rbegin(), pieces.rend()}, options);
  EXPECT_EQ(found.tokens, expected.tokens);
  EXPECT_EQ(found.merges.size(), expected.merges.size());
  for (size_t i = 0; i < std::min(found.merges.size(), expected.merges.size()); ++i) {
    const TrainedMerge &a = found.merges[i], &b = expected.merges[i];
    if (a.left == b.left && a.right == b.right && a.result == b.result && a.count == b.count) {
      continue;
    }
    ADD_FAILURE() << "merge " << i << ": found " << a.left << " " << a.right << " " << a.result
                  << " with " << a.count << ", expected " << b.left << " " << b.right << " "
                  << b.result << " with " << b.count;
    break;
  }
  return expected.merges.size();
}

// Few letters, so that counts tie and places overlap.
TEST(BpeTrainer, AsTheDefinitionOnRandomPieces) {
  size_t merges = 0;
  for (unsigned seed = 0; seed < 150; ++seed) {
    std::mt19937 random(seed);
    const unsigned letters = 1 + seed % 4, longest = 2 + seed % 23;
    std::map<std::string, uint64_t> pieces;
    const size_t num_pieces = 1 + random() % 25;
    for (size_t i = 0; i < num_pieces; ++i) {
      std::string piece;
      for (size_t n = 1 + random() % longest; n > 0; --n) {
        piece += static_cast<char>('a' + random() % letters);
      }
      pieces[piece] += 1 + random() % 3;
    }
    const BpeTrainOptions options{.vocab_size = 256 + random() % 60,
                                  .min_count = random() % 4,
                                  .max_token_bytes = seed % 3 ? 0 : 2 + random() % 6};
    merges += compare(pieces, options);
    if (HasFailure()) FAIL() << "seed " << seed;
  }
  EXPECT_GT(merges, 1500u);
}

TEST(BpeTrainer, AsTheDefinitionOnKorean) {
  // Endings and stems as in Korean, some syllables at random.
  const char* const stems[] = {"하",   "되",   "가",   "먹",   "보",
                               "사람", "나라", "학교", "법률", "대한민국"};
  const char* const endings[] = {"다",   "는",     "을",   "를", "에서",
                                 "으로", "습니다", "었다", "",   "의"};
  std::mt19937 random(7);
  std::map<std::string, uint64_t> pieces;
  for (int i = 0; i < 300; ++i) {
    std::string piece = random() % 2 ? " " : "";
    piece += stems[random() % 10];
    if (random() % 3 == 0) append_utf8(piece, static_cast<char32_t>(0xac00 + random() % 500));
    piece += endings[random() % 10];
    pieces[piece] += 1 + random() % 20;
  }
  EXPECT_GT(compare(pieces, {.vocab_size = 256 + 250}), 240u);
}

TEST(BpeTrainer, TiesTakeTheLowerIds) {
  // Four pairs, twice each: "xy" has lower ids than "zw", and "xa" lower than both.
  const TrainedBpe bpe = train({{"zw", 2}, {"xy", 2}, {"xa", 2}, {"yx", 2}}, {.vocab_size = 258});
  ASSERT_EQ(bpe.merges.size(), 2u);
  EXPECT_EQ(bpe.tokens[256], "xa");
  EXPECT_EQ(bpe.tokens[257], "xy");
}

TEST(BpeTrainer, PlacesThatOverlap) {
  const TrainedBpe bpe = train({{"aaaaa", 4}}, {.vocab_size = 300});
  ASSERT_GE(bpe.merges.size(), 2u);
  EXPECT_EQ(bpe.merges[0].count, 16u);  // four places in each
  EXPECT_EQ(bpe.tokens[256], "aa");
  EXPECT_EQ(bpe.merges[1].count, 4u);  // aa aa a
  EXPECT_EQ(bpe.tokens[257], "aaa") << "aa+a: 'a' has the lower id, but is on the right";
}

TEST(BpeTrainer, BytesComeInTheOrderOfTheirCharacters) {
  const TrainedBpe bpe = train({}, {.vocab_size = 256});
  ASSERT_EQ(bpe.tokens.size(), 256u);
  EXPECT_EQ(bpe.tokens[0], "!");
  EXPECT_EQ(bpe.tokens[220], " ");
  EXPECT_TRUE(bpe.merges.empty());
}

TEST(BpeTrainer, EndsWhereTheTextHasNoMorePairs) {
  const TrainedBpe bpe = train({{"ab", 5}, {"cd", 1}}, {.vocab_size = 1000});
  EXPECT_EQ(bpe.tokens.size(), 257u);
}

TEST(BpeTrainer, Interrupted) {
  PieceCounts counts;
  counts.add("ab", 2);
  EXPECT_THROW(train_bpe(counts, {.vocab_size = 300}, [](size_t) { return false; }), Error);
}

}  // namespace
}  // namespace axk1
