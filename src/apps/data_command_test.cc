#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "data/tokenizer_hash.h"
#include "io/checksum.h"
#include "io/file.h"
#include "io/json.h"
#include "testing/process.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using testing::axk1;
using ::testing::HasSubstr;
using testing::ProcessResult;

// The example of --help, on files of the repository.
TEST(DataCommand, PreparesWhatTheExampleNames) {
  const testing::TempDir dir;
  const std::string out = dir.path() + "/dataset";
  const ProcessResult result =
      axk1({"data", "prepare", testing::testdata("data/prepare.json"), "--out", out});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("korean: 3 of 7 documents (42 %)"));
  EXPECT_THAT(result.out, HasSubstr("  near_duplicate: 1 documents"));
  EXPECT_THAT(result.out, HasSubstr("chat: 2 of 4 documents"));

  const std::string chat = out + "/chat.train.00000.shard";
  const ProcessResult verified = axk1({"data", "verify", chat, "--json"});
  ASSERT_EQ(verified.exit_code, 0) << verified.err;
  const json::value shards = json::parse(verified.out, "output");
  const json::value& shard = shards.at("shards").at(0);
  EXPECT_EQ(shard.at("documents"), 3);
  EXPECT_LT(shard.at("loss_tokens").to_number<int>(), shard.at("tokens").to_number<int>());
  EXPECT_GT(shard.at("loss_tokens").to_number<int>(), 10);
  EXPECT_EQ(std::string_view(shard.at("tokenizer_hash").get_string()),
            checksum_text(tokenizer_hash(testing::testdata("../models/nano-v0"))));

  std::string damaged = read_file(chat);
  damaged[130] = static_cast<char>(damaged[130] ^ 1);
  const ProcessResult refused = axk1({"data", "verify", dir.write("x.shard", damaged)});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("x.shard: the list of ids is damaged"));
  EXPECT_EQ(
      axk1({"data", "prepare", testing::testdata("data/prepare.json"), "--out", out}).exit_code, 1)
      << "it is there already";
}

TEST(DataCommand, GeneratesTasks) {
  const testing::TempDir dir;
  const std::string out = dir.path() + "/tasks.jsonl";
  const ProcessResult result = axk1({"data", "tasks", "--count", "12", "--kinds", "strings,add",
                                     "--languages", "en", "--mode", "think", "--out", out});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("12 conversations of 12 questions"));
  const std::string text = read_file(out);
  EXPECT_EQ(std::ranges::count(text, '\n'), 12);
  const json::value row = json::parse(text.substr(0, text.find('\n')), "line");
  EXPECT_EQ(row.at("task").at("kind"), "add");
  EXPECT_EQ(row.at("task").at("language"), "en");
  EXPECT_FALSE(row.at("messages").at(1).at("reasoning_content").get_string().empty());

  const ProcessResult unknown = axk1({"data", "tasks", "--kinds", "sums", "--out", out});
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_THAT(unknown.err, HasSubstr("found \"sums\", expected one of add, "));
  EXPECT_EQ(read_file(out), text) << "as it was";
}

TEST(DataCommand, Errors) {
  const testing::TempDir dir;
  EXPECT_EQ(axk1({"data"}).exit_code, 2);
  const ProcessResult bad =
      axk1({"data", "prepare", dir.write("c.json", "{\"tokenizer\":\"x\"}"), "--out", dir.path()});
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_THAT(bad.err, HasSubstr("c.json"));
}

}  // namespace
}  // namespace axk1
