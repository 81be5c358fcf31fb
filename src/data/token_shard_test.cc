#include "data/token_shard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "base/error.h"
#include "data/tokenizer_hash.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using ::testing::HasSubstr;
using Document = std::vector<TokenId>;

constexpr size_t kHeaderBytes = 128, kNumTokensAt = 40, kNumDocumentsAt = 48;

std::string message_of(const auto& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

class Shard : public ::testing::Test {
 protected:
  // Three documents, five tokens with ids below 1,000; the mask leaves out the first token of each.
  std::string write_small(bool mask, uint64_t vocab_size = 1000) {
    TokenShardWriter writer(path_, {vocab_size, 77, mask});
    for (const Document& ids : documents_) {
      std::vector<uint8_t> loss(mask ? ids.size() : 0, 1);
      if (mask) loss[0] = 0;
      writer.add(ids, loss);
    }
    EXPECT_EQ(writer.num_tokens(), 5u);
    EXPECT_EQ(writer.num_documents(), 3u);
    writer.finish();
    return read_file(path_);
  }
  static void fix_header(std::string& bytes) {
    const uint64_t sum = checksum64(std::string_view(bytes).substr(0, kHeaderBytes - 8));
    std::memcpy(bytes.data() + kHeaderBytes - 8, &sum, sizeof sum);
  }
  std::string refusal(const std::string& bytes) {
    return message_of([&] {
      const TokenShard shard(std::as_bytes(std::span(bytes)), "some.shard");
      shard.verify();
    });
  }

  testing::TempDir dir_;
  std::string path_ = dir_.path() + "/a.shard";
  std::vector<Document> documents_ = {{1, 999}, {0}, {3, 4}};
};

TEST_F(Shard, ComesBackAsItWas) {
  for (const uint64_t vocab_size : {uint64_t{1000}, uint64_t{70000}}) {
    for (const bool mask : {false, true}) {
      write_small(mask, vocab_size);
      const TokenShard shard = TokenShard::open(path_);
      shard.verify();
      EXPECT_EQ(shard.vocab_size(), vocab_size);
      EXPECT_EQ(shard.tokenizer_hash(), 77u);
      EXPECT_EQ(shard.has_loss_mask(), mask);
      ASSERT_EQ(shard.num_documents(), 3u);
      ASSERT_EQ(shard.num_tokens(), 5u);
      for (size_t i = 0; i < 3; ++i) EXPECT_EQ(shard.document(i), documents_[i]);
      Document across(3);
      shard.copy_ids(1, across);
      EXPECT_EQ(across, (Document{999, 0, 3}));
      std::vector<uint8_t> loss(5);
      shard.copy_loss(0, loss);
      EXPECT_EQ(loss, mask ? (std::vector<uint8_t>{0, 1, 0, 0, 1})
                           : (std::vector<uint8_t>{1, 1, 1, 1, 1}));
    }
  }
}

TEST_F(Shard, MoreThanABuffer) {
  std::mt19937 random(1);
  TokenShardWriter writer(path_, {.vocab_size = 1 << 20, .loss_mask = true});
  Document all;
  std::vector<uint8_t> all_loss;
  std::vector<uint64_t> ends;
  while (all.size() < 600000) {  // 2.4 MB of ids
    Document ids(1 + random() % 5000);
    std::vector<uint8_t> loss(ids.size());
    for (TokenId& id : ids) id = static_cast<TokenId>(random() % (1 << 20));
    for (uint8_t& bit : loss) bit = random() % 2;
    writer.add(ids, loss);
    all.insert(all.end(), ids.begin(), ids.end());
    all_loss.insert(all_loss.end(), loss.begin(), loss.end());
    ends.push_back(all.size());
  }
  writer.finish();
  const TokenShard shard = TokenShard::open(path_);
  shard.verify();
  Document found(all.size());
  std::vector<uint8_t> found_loss(all.size());
  shard.copy_ids(0, found);
  shard.copy_loss(0, found_loss);
  EXPECT_TRUE(found == all);
  EXPECT_TRUE(found_loss == all_loss);
  ASSERT_EQ(shard.num_documents(), ends.size());
  for (size_t i = 0; i < ends.size(); ++i) EXPECT_EQ(shard.document_end(i), ends[i]);
}

TEST_F(Shard, NoDocuments) {
  TokenShardWriter(path_, {.vocab_size = 10, .loss_mask = true}).finish();
  const TokenShard shard = TokenShard::open(path_);
  shard.verify();
  EXPECT_EQ(shard.num_documents(), 0u);
  EXPECT_EQ(shard.num_tokens(), 0u);
}

TEST_F(Shard, WithoutFinishNothingAppears) {
  {
    TokenShardWriter writer(path_, {.vocab_size = 10});
    writer.add(Document{1});
  }
  EXPECT_FALSE(file_exists(path_));
}

TEST_F(Shard, IdsOutOfRange) {
  TokenShardWriter writer(path_, {.vocab_size = 10});
  EXPECT_THAT(message_of([&] { writer.add(Document{1, 10}); }), HasSubstr("found token id 10"));
  EXPECT_THAT(message_of([&] { writer.add(Document{-1}); }), HasSubstr("found token id -1"));
  EXPECT_EQ(writer.num_tokens(), 0u);
  EXPECT_THAT(message_of([&] { TokenShardWriter(path_, {.vocab_size = 1 << 23}); }),
              HasSubstr("a vocabulary of 8388608 tokens"));
}

TEST_F(Shard, EveryTruncationIsRefused) {
  const std::string bytes = write_small(true);
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_THAT(refusal(bytes.substr(0, n)), HasSubstr(cat("some.shard: found ", n, " bytes")));
  }
  EXPECT_THAT(refusal(bytes + "x"), HasSubstr(cat("found ", bytes.size() + 1, " bytes")));
}

TEST_F(Shard, EveryFlippedBitIsRefused) {
  const std::string bytes = write_small(true);
  for (size_t i = 0; i < bytes.size() * 8; ++i) {
    std::string damaged = bytes;
    damaged[i / 8] = static_cast<char>(damaged[i / 8] ^ 1 << i % 8);
    EXPECT_THAT(refusal(damaged), HasSubstr("some.shard: ")) << "bit " << i;
  }
}

// Counts and ends that lie, with checksums that fit.
TEST_F(Shard, LyingCounts) {
  const std::string good = write_small(false);
  const auto with = [&](size_t at, uint64_t value) {
    std::string bytes = good;
    std::memcpy(bytes.data() + at, &value, sizeof value);
    const size_t ends_at = bytes.size() - 3 * 8;
    const uint64_t ends_sum = checksum64(std::string_view(bytes).substr(ends_at));
    std::memcpy(bytes.data() + 64, &ends_sum, sizeof ends_sum);
    fix_header(bytes);
    return refusal(bytes);
  };
  const size_t ends_at = good.size() - 3 * 8;
  EXPECT_EQ(with(kNumTokensAt, 5), "");
  EXPECT_THAT(with(kNumTokensAt, 6), HasSubstr("documents end at token 5, expected 6"));
  EXPECT_THAT(with(kNumTokensAt, 90), HasSubstr("expected 336 with 90 tokens in 3 documents"));
  EXPECT_THAT(with(kNumTokensAt, UINT64_MAX), HasSubstr("more than a file can have"));
  EXPECT_THAT(with(kNumTokensAt, uint64_t{1} << 63), HasSubstr("more than a file can have"));
  EXPECT_THAT(with(kNumDocumentsAt, uint64_t{1} << 61), HasSubstr("more than a file can have"));
  EXPECT_THAT(with(ends_at + 8, 2), HasSubstr("document 1 is tokens 2 to 2 of 5"));
  EXPECT_THAT(with(ends_at + 8, 100), HasSubstr("document 1 is tokens 2 to 100 of 5"));
  EXPECT_THAT(with(24, 998),
              HasSubstr("found token id 999 among tokens 0 to 5, expected 0 to 997"));
}

TEST_F(Shard, DamagedIdsAreNeverOutOfRange) {
  std::string bytes = write_small(false);
  bytes[kHeaderBytes + 3] = '\x7f';
  const TokenShard shard(std::as_bytes(std::span(bytes)), "some.shard");
  EXPECT_THAT(message_of([&] { shard.document(0); }),
              HasSubstr("some.shard: found token id 32743 among tokens 0 to 2, expected 0 to 999"));
  EXPECT_EQ(shard.document(2), documents_[2]);
}

TEST_F(Shard, AnotherFormat) {
  EXPECT_THAT(refusal(std::string(200, 'x')), HasSubstr("begins with \"xxxxxxxx\""));
  EXPECT_THAT(message_of([&] { TokenShard::open(dir_.path() + "/none"); }), HasSubstr("none"));
  std::string later = write_small(false);
  later[8] = 2;
  EXPECT_THAT(refusal(later), HasSubstr("version 2, expected 1"));
}

TEST(TokenizerHash, OfDirectoryAndFileAlike) {
  const testing::TempDir dir;
  EXPECT_THAT(message_of([&] { tokenizer_hash(dir.path()); }), HasSubstr("has no tokenizer"));
  dir.write("vocab.json", "{}");
  dir.write("merges.txt", "a");
  const uint64_t merges = tokenizer_hash(dir.path());
  dir.write("merges.txt", "b");
  EXPECT_NE(tokenizer_hash(dir.path()), merges);
  dir.write("tokenizer.json", "{ }");
  EXPECT_EQ(tokenizer_hash(dir.path()), tokenizer_hash(dir.path() + "/tokenizer.json"));
}

}  // namespace
}  // namespace axk1
