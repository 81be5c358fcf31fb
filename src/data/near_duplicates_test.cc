#include "data/near_duplicates.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "data/text_measures.h"

namespace axk1 {
namespace {

// Two sets of hashes with a Jaccard similarity of about `s`: common, and each its own.
struct TwoSets {
  std::vector<uint64_t> a, b;
  double similarity;
};

TwoSets make_sets(Rng& rng, double s) {
  constexpr size_t kUnion = 200;
  TwoSets sets;
  const auto common = static_cast<size_t>(std::lround(s * kUnion));
  for (size_t i = 0; i < kUnion; ++i) {
    const uint64_t hash = rng.next();
    if (i < common || i % 2 == 0) sets.a.push_back(hash);
    if (i < common || i % 2 == 1) sets.b.push_back(hash);
  }
  sets.similarity = static_cast<double>(common) / kUnion;
  return sets;
}

TEST(MinHash, EstimatesSimilarity) {
  Rng rng(1);
  for (double s : {0.0, 0.3, 0.5, 0.8, 1.0}) {
    constexpr int kPairs = 60;
    double sum = 0;
    for (int i = 0; i < kPairs; ++i) {
      const TwoSets sets = make_sets(rng, s);
      const double estimate = estimated_similarity(min_hash(sets.a), min_hash(sets.b));
      const double sigma = std::sqrt(s * (1 - s) / kMinHashes);
      EXPECT_NEAR(estimate, sets.similarity, 5 * sigma + 1e-9) << s;
      sum += estimate;
    }
    EXPECT_NEAR(sum / kPairs, s, 4 * std::sqrt(s * (1 - s) / kMinHashes / kPairs) + 1e-9);
  }
}

// The stated curve, within four standard deviations of a binomial count.
TEST(NearDuplicateIndex, ComparesWithTheStatedProbability) {
  EXPECT_NEAR(probability_of_comparison(0.7), 0.61, 0.005);
  EXPECT_NEAR(probability_of_comparison(0.8), 0.947, 0.0005);
  Rng rng(2);
  for (double s : {0.5, 0.7, 0.8}) {
    constexpr int kPairs = 300;
    int found = 0;
    for (int i = 0; i < kPairs; ++i) {
      const TwoSets sets = make_sets(rng, s);
      NearDuplicateIndex index(0);  // whatever is compared is similar enough
      index.find_or_add(min_hash(sets.a), 0);
      found += index.find_or_add(min_hash(sets.b), 1).has_value();
    }
    const double p = probability_of_comparison(s);
    EXPECT_NEAR(found, kPairs * p, 4 * std::sqrt(kPairs * p * (1 - p))) << s;
  }
}

TEST(NearDuplicateIndex, NamesTheKeptTextAndKeepsOthers) {
  Rng rng(3);
  NearDuplicateIndex index(0.8);
  std::vector<TwoSets> sets;
  for (uint32_t i = 0; i < 2000; ++i) {  // the tables grow some times
    sets.push_back(make_sets(rng, 0.98));
    ASSERT_EQ(index.find_or_add(min_hash(sets.back().a), i * 3), std::nullopt) << i;
  }
  for (uint32_t i = 0; i < 2000; i += 7) {
    EXPECT_EQ(index.find_or_add(min_hash(sets[i].b), 9999), i * 3) << i;
  }
  EXPECT_EQ(index.find_or_add(min_hash(make_sets(rng, 0.5).a), 9999), std::nullopt);
}

TEST(HashIndex, NumbersOfOneHashInOrder) {
  HashIndex index;
  for (uint32_t i = 0; i < 5000; ++i) index.add(i % 1000 * 0x100000001u, i);
  for (uint32_t h = 0; h < 1000; h += 17) {
    std::vector<uint32_t> found;
    index.find(h * 0x100000001u, [&](uint32_t number) {
      found.push_back(number);
      return true;
    });
    EXPECT_EQ(found, (std::vector<uint32_t>{h, h + 1000, h + 2000, h + 3000, h + 4000}));
  }
}

size_t num_shingles(std::string_view text) {
  return shingle_hashes(normalise_for_comparison(text)).size();
}

TEST(TextMeasures, ShinglesCountSyllablesAndWords) {
  EXPECT_EQ(num_shingles("대한민국의 수도는"), 4u);  // eight syllables
  EXPECT_EQ(num_shingles("one two three four five six"), 2u);
  EXPECT_EQ(num_shingles("one, two"), 1u);
  EXPECT_EQ(num_shingles("서울 2024년에는 GPT가"), 4u);  // 서 울 2024 년 에 는 gpt 가
  EXPECT_EQ(num_shingles(" ... "), 0u);
  EXPECT_EQ(shingle_hashes(normalise_for_comparison("가 나\n다 라 마!")),
            shingle_hashes(normalise_for_comparison("가나다라마")));
}

TEST(TextMeasures, TextsAsTheyAreCompared) {
  EXPECT_EQ(normalise_for_comparison("  Ab\n\t c \u1112\u1161\u11ab\u3000"), "ab c 한");
  EXPECT_EQ(count_characters("a가🙂"), 3u);
  EXPECT_DOUBLE_EQ(hangul_share("가나 ab 12!"), 0.5);
  EXPECT_DOUBLE_EQ(hangul_share("12"), 0.0);
}

TEST(TextMeasures, Language) {
  EXPECT_EQ(detect_language("서울은 한강을 끼고 자리한 도시로, 조선이 도읍을 옮긴 뒤로 줄곧 나라의 "
                            "중심이었다. 지금은 천만에 가까운 사람이 산다."),
            "ko");
  EXPECT_EQ(detect_language("The quick brown fox jumps over the lazy dog, and then it sleeps in "
                            "the shade of the old oak tree until evening."),
            "en");
  EXPECT_EQ(detect_language("12"), "");
}

}  // namespace
}  // namespace axk1
