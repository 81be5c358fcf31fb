#include "train/teacher_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>

#include "base/error.h"

namespace axk1 {
namespace {

using ::testing::HasSubstr;

class TeacherCacheTest : public ::testing::Test {
 protected:
  TeacherCacheTest()
      : path_(::testing::TempDir() + "teacher_cache_test_" +
              ::testing::UnitTest::GetInstance()->current_test_info()->name()) {}
  ~TeacherCacheTest() override { std::filesystem::remove(path_); }

  std::vector<float> distribution(size_t vocab) {
    std::vector<float> p(vocab);
    double sum = 0;
    for (float& x : p) sum += double{x = static_cast<float>(std::exp(3 * rng_.normal()))};
    for (float& x : p) x = static_cast<float>(double{x} / sum);
    return p;
  }

  std::string path_;
  Rng rng_{1};
};

TEST_F(TeacherCacheTest, BytesOfAPosition) {
  TeacherCacheInfo info{.kind = TeacherCacheKind::kDraws, .count = 12, .vocab_size = 163840};
  EXPECT_EQ(teacher_cache_record_bytes(info), 28u);  // (1 + 12 * 18) / 8
  info.kind = TeacherCacheKind::kTop;
  info.count = 64;
  EXPECT_EQ(teacher_cache_record_bytes(info), 275u);  // (1 + 64 * (18 + 16) + 16) / 8
}

// Stored probabilities are off by 2^-9 of themselves at most.
TEST_F(TeacherCacheTest, TopKeepsTheMostLikelyAndWhatIsLeft) {
  for (size_t vocab : {1u, 2u, 5u, 300u, 70000u}) {
    const uint32_t count = static_cast<uint32_t>(std::min<size_t>(vocab, 20));
    TeacherCacheWriter writer(
        path_,
        {.kind = TeacherCacheKind::kTop, .count = count, .vocab_size = vocab, .num_positions = 3});
    const auto first = distribution(vocab), last = distribution(vocab);
    writer.add(first, rng_);
    writer.add({}, rng_);
    writer.add(last, rng_);
    writer.finish();
    const TeacherCache cache = TeacherCache::open(path_);
    cache.verify();
    TeacherCache::Memory memory;
    EXPECT_EQ(cache.row(1, memory).kind, TeacherRow::Kind::kNothing);
    for (uint64_t position : {0u, 2u}) {
      const auto& p = position ? last : first;
      const TeacherRow row = cache.row(position, memory);
      ASSERT_EQ(row.kind, TeacherRow::Kind::kTop);
      ASSERT_EQ(row.ids.size(), count);
      double named = 0;
      float least = 1;
      for (size_t i = 0; i < count; ++i) {
        const float exact = p[static_cast<size_t>(row.ids[i])];
        EXPECT_NEAR(row.probabilities[i], exact, exact / 512);
        named += double{exact};
        least = std::min(least, exact);
      }
      EXPECT_NEAR(row.rest, 1 - named, std::max(1e-6, (1 - named) / 512));
      size_t heavier = 0;
      for (float x : p) heavier += x > least;
      EXPECT_LT(heavier, count);
    }
  }
}

// Each draw is of a token with its probability: a count of n draws has a variance of n p (1 - p).
TEST_F(TeacherCacheTest, DrawsFollowTheDistribution) {
  constexpr uint64_t kPositions = 3000, kDraws = 12;
  const std::vector<float> p = {0.5f, 0, 0.2f, 0.25f, 0.05f};
  TeacherCacheWriter writer(path_, {.kind = TeacherCacheKind::kDraws,
                                    .count = kDraws,
                                    .vocab_size = p.size(),
                                    .num_positions = kPositions});
  for (uint64_t i = 0; i < kPositions; ++i) writer.add(p, rng_);
  writer.finish();
  const TeacherCache cache = TeacherCache::open(path_);
  TeacherCache::Memory memory;
  std::vector<double> counts(p.size());
  for (uint64_t i = 0; i < kPositions; ++i) {
    const TeacherRow row = cache.row(i, memory);
    ASSERT_EQ(row.kind, TeacherRow::Kind::kDraws);
    float sum = 0;
    for (size_t c = 0; c < row.ids.size(); ++c) {
      sum += row.probabilities[c];
      counts[static_cast<size_t>(row.ids[c])] += double{row.probabilities[c]} * kDraws;
    }
    EXPECT_NEAR(sum, 1, 1e-6);
  }
  const double n = kPositions * kDraws;
  for (size_t i = 0; i < p.size(); ++i) {
    const double expected = n * double{p[i]};
    EXPECT_NEAR(counts[i], expected, 5 * std::sqrt(expected * (1 - double{p[i]})) + 1e-3) << i;
  }
}

std::string error_of(std::span<const std::byte> bytes, bool verify) {
  try {
    const TeacherCache cache(bytes, "cache");
    if (verify) cache.verify();
    TeacherCache::Memory memory;
    for (uint64_t i = 0; i < cache.info().num_positions; ++i) cache.row(i, memory);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST_F(TeacherCacheTest, DamageIsFound) {
  TeacherCacheWriter writer(
      path_, {.kind = TeacherCacheKind::kDraws, .count = 3, .vocab_size = 10, .num_positions = 4});
  for (int i = 0; i < 4; ++i) writer.add(distribution(10), rng_);
  writer.finish();
  const std::string text = read_file(path_);
  const auto bytes = std::as_bytes(std::span(text));
  EXPECT_EQ(error_of(bytes, true), "");
  size_t found = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::vector<std::byte> damaged(bytes.begin(), bytes.end());
    damaged[i] ^= std::byte{1 << 6};
    const std::string error = error_of(damaged, true);
    EXPECT_THAT(error, HasSubstr("cache: ")) << "byte " << i;
    found += !error.empty();
    error_of(damaged, false);  // must not read what is not there
  }
  for (size_t size : {size_t{0}, size_t{7}, size_t{127}, bytes.size() - 1}) {
    EXPECT_THAT(error_of(bytes.first(size), true), HasSubstr("expected")) << size;
  }
  printf("[ cases ] damaged teacher caches: %zu\n", found + 4);
}

TEST_F(TeacherCacheTest, InfoOutOfRangeIsNamed) {
  const auto refuse = [&](const TeacherCacheInfo& info, const char* what) {
    try {
      TeacherCacheWriter writer(path_, info);
      ADD_FAILURE() << what;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(what));
    }
  };
  refuse({.count = 0, .vocab_size = 10}, "count");
  refuse({.count = 5000, .vocab_size = 10}, "count");
  refuse({.kind = TeacherCacheKind::kTop, .count = 11, .vocab_size = 10}, "count");
  refuse({.vocab_size = 0}, "vocabulary");
  refuse({.vocab_size = 10, .temperature = 0}, "temperature");
  EXPECT_FALSE(std::filesystem::exists(path_));
}

}  // namespace
}  // namespace axk1
