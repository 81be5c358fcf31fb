#include "server/api_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/error.h"
#include "io/file.h"
#include "server/rate_limits.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::TempDir;

TEST(ApiKeys, SecretsAreFoundAndNotStored) {
  const TempDir dir;
  const std::string path = dir.path() + "/keys.db";
  ApiKeys keys(path, true);
  const ApiKeys::Created one =
      keys.add({.tenant = "team", .name = "n", .limits = {.requests_per_minute = 3}}, 1000);
  const ApiKeys::Created two = keys.add({.tenant = "team"}, 1000);
  EXPECT_NE(one.secret, two.secret);
  EXPECT_EQ(one.secret.size(), 51u);
  const auto found = keys.find(one.secret, 1001);
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->id, one.id);
  EXPECT_EQ(found->tenant, "team");
  EXPECT_EQ(found->limits.requests_per_minute, 3);
  EXPECT_EQ(keys.find(one.secret + "x", 1001), nullptr);
  EXPECT_EQ(keys.find("", 1001), nullptr);
  std::string bytes = read_file(path);
  if (file_exists(path + "-wal")) bytes += read_file(path + "-wal");
  EXPECT_THAT(bytes, HasSubstr(one.id));
  EXPECT_THAT(bytes, Not(HasSubstr(one.secret.substr(8))));
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST(ApiKeys, ExpiredAndRevokedKeysAreNotValid) {
  const TempDir dir;
  ApiKeys keys(dir.path() + "/keys.db", true);
  const auto brief = keys.add({.tenant = "t", .expires_at = 2000}, 1000);
  const auto longer = keys.add({.tenant = "t"}, 1000);
  EXPECT_NE(keys.find(brief.secret, 1999), nullptr);
  EXPECT_EQ(keys.find(brief.secret, 2000), nullptr);
  EXPECT_TRUE(keys.revoke(longer.id, 1500));
  EXPECT_FALSE(keys.revoke(longer.id, 1500));
  EXPECT_FALSE(keys.revoke("key_unknown", 1500));
  EXPECT_EQ(keys.find(longer.secret, 1600), nullptr);
  EXPECT_EQ(keys.list().size(), 2u);
}

TEST(ApiKeys, AnotherProcessesChangesAreSeenAfterRefresh) {
  const TempDir dir;
  const std::string path = dir.path() + "/keys.db";
  ApiKeys serving(path, true), managing(path, false);
  const auto created = managing.add({.tenant = "t"}, 1000);
  EXPECT_EQ(serving.find(created.secret, 1001), nullptr);
  serving.refresh();
  EXPECT_NE(serving.find(created.secret, 1001), nullptr);
  managing.revoke(created.id, 1002);
  serving.refresh();
  EXPECT_EQ(serving.find(created.secret, 1003), nullptr);
}

TEST(ApiKeys, FilesThatAreNone) {
  const TempDir dir;
  EXPECT_THROW(ApiKeys(dir.path() + "/absent.db", false), Error);
  EXPECT_THROW(ApiKeys(dir.path() + "/no/folder.db", true), Error);
  EXPECT_THROW(ApiKeys(dir.write("text.db", std::string(5000, 'x')), false), Error);
  ApiKeys keys(dir.path() + "/keys.db", true);
  EXPECT_THROW(keys.add({.tenant = ""}, 1), Error);
  EXPECT_THROW(keys.add({.tenant = "\xff"}, 1), Error);
}

ApiKey limited(int64_t requests, int64_t tokens, int64_t concurrent) {
  return {.id = "k", .tenant = "t", .limits = {requests, tokens, concurrent}};
}

TEST(RateLimiter, RequestsOfAMinuteComeBackSteadily) {
  RateLimiter limiter;
  const ApiKey key = limited(6, 0, 0);
  for (int i = 0; i < 6; ++i) EXPECT_FALSE(limiter.begin(key, 100)) << i;
  const auto refusal = limiter.begin(key, 100);
  ASSERT_TRUE(refusal);
  EXPECT_STREQ(refusal->what, "requests");
  EXPECT_DOUBLE_EQ(refusal->retry_after_seconds, 10);
  EXPECT_TRUE(limiter.begin(key, 109.9));
  EXPECT_FALSE(limiter.begin(key, 110));
  EXPECT_TRUE(limiter.begin(key, 110));
  // A quiet hour does not add up.
  for (int i = 0; i < 6; ++i) EXPECT_FALSE(limiter.begin(key, 4000)) << i;
  EXPECT_TRUE(limiter.begin(key, 4000));
}

TEST(RateLimiter, AnswersMayOverdrawTokensAndAreWaitedFor) {
  RateLimiter limiter;
  const ApiKey key = limited(0, 60, 0);
  EXPECT_FALSE(limiter.begin(key, 100));
  EXPECT_FALSE(limiter.take_prompt("k", 50, 100));
  const auto refusal = limiter.take_prompt("k", 20, 100);
  ASSERT_TRUE(refusal);
  EXPECT_DOUBLE_EQ(refusal->retry_after_seconds, 10);
  limiter.end("k", 30, 100);  // 20 below nothing
  EXPECT_TRUE(limiter.begin(key, 120));
  EXPECT_FALSE(limiter.begin(key, 121));
  // More than a minute's worth is let through when the bucket is full.
  EXPECT_FALSE(limiter.take_prompt("k", 1000, 500));
  EXPECT_TRUE(limiter.take_prompt("k", 1, 501));
  EXPECT_FALSE(limiter.take_prompt("unknown", 1, 501));
}

TEST(RateLimiter, RequestsAtOnce) {
  RateLimiter limiter;
  const ApiKey key = limited(0, 0, 2);
  EXPECT_FALSE(limiter.begin(key, 1));
  EXPECT_FALSE(limiter.begin(key, 1));
  EXPECT_TRUE(limiter.begin(key, 1));
  limiter.end("k", 0, 1);
  EXPECT_FALSE(limiter.begin(key, 1));
}

TEST(RateLimiter, HeadersOfBothApis) {
  RateLimiter limiter;
  const ApiKey key = limited(60, 6000, 0);
  limiter.begin(key, 100);
  limiter.take_prompt("k", 3000, 100);
  std::string text;
  for (const auto& [name, value] : limiter.openai_headers("k", 100))
    text += name + "=" + value + "\n";
  EXPECT_EQ(text,
            "x-ratelimit-limit-requests=60\nx-ratelimit-remaining-requests=59\n"
            "x-ratelimit-reset-requests=1s\nx-ratelimit-limit-tokens=6000\n"
            "x-ratelimit-remaining-tokens=3000\nx-ratelimit-reset-tokens=30s\n");
  text.clear();
  for (const auto& [name, value] : limiter.anthropic_headers("k", 100, 1'700'000'000)) {
    text += name + "=" + value + "\n";
  }
  EXPECT_THAT(text, HasSubstr("anthropic-ratelimit-tokens-reset=2023-11-14T22:13:50Z\n"));
}

}  // namespace
}  // namespace axk1
