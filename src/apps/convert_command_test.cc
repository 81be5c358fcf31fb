// axk1 convert and inspect --verify as people use them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "base/error.h"
#include "base/rng.h"
#include "formats/k1pack.h"
#include "io/file.h"
#include "io/json.h"
#include "testing/process.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using testing::axk1;
using ::testing::HasSubstr;
using testing::ProcessResult;
using testing::TempDir;

const std::string kModel = testing::testdata("../models/nano-v0");

// Killed without warning after a while, again and again, until it gets to the end.
TEST(ConvertCommand, SurvivesBeingKilledAtAnyMoment) {
  const TempDir dir;
  const std::string good = dir.path() + "/good.k1pack", out = dir.path() + "/out.k1pack";
  const auto start = std::chrono::steady_clock::now();
  ASSERT_EQ(axk1({"convert", kModel, good, "--format", "q4", "--threads", "1"}).exit_code, 0);
  const std::chrono::duration<double> whole = std::chrono::steady_clock::now() - start;
  Rng random(11);
  size_t kills = 0, resumed = 0;
  for (int round = 0; round < 3; ++round) {
    std::filesystem::remove(out);
    for (bool done = false; !done;) {
      const pid_t pid = fork();
      if (pid == 0) {
        const int null = open("/dev/null", O_WRONLY);
        dup2(null, 2);
        testing::execute({testing::program_path("axk1"), "convert", kModel, out, "--format", "q4",
                          "--threads", "1"});
      }
      std::this_thread::sleep_for(whole * (0.1 + 0.5 * random.uniform()));
      kill(pid, SIGKILL);
      const int code = testing::wait_for(pid);
      done = code == 0;
      kills += !done;
      EXPECT_TRUE(done || code == 128 + SIGKILL) << code;
      // A kill may fall between the renaming and the end of the program.
      if (file_exists(out)) done = true;
      resumed += file_exists(out + ".part.journal") && read_file(out + ".part.journal").size() > 24;
    }
    EXPECT_TRUE(read_file(out) == read_file(good)) << "round " << round;
  }
  EXPECT_GT(kills, 0u);
  EXPECT_GT(resumed, 0u);
  std::printf("[ cases ] conversions killed: %zu, with records to go on from: %zu\n", kills,
              resumed);
}

TEST(ConvertCommand, VerifyNamesTheDamagedRecord) {
  const TempDir dir;
  const std::string path = dir.path() + "/m.k1pack";
  ASSERT_EQ(axk1({"convert", kModel, path, "--format", "bf16"}).exit_code, 0);
  const ProcessResult good = axk1({"inspect", path, "--verify", "--json"});
  ASSERT_EQ(good.exit_code, 0) << good.err;
  const json::object shown = json::parse(good.out, "stdout").as_object();
  EXPECT_TRUE(shown.at("verified").as_bool());
  EXPECT_EQ(shown.at("container").as_string(), "k1pack");
  EXPECT_EQ(shown.at("stored").at("routed").at("type").as_string(), "BF16");
  EXPECT_NEAR(shown.at("bits_per_weight").to_number<double>(), 16, 0.5);
  EXPECT_EQ(shown.at("checkpoint").at("records").to_number<size_t>(),
            K1PackFile(path).records().size());

  std::string bytes = read_file(path);
  const K1PackFile file(path);
  const K1PackRecord record = file.records()[file.records().size() / 2];
  bytes[record.offset + record.size_bytes / 2] ^= 1;
  const std::string damaged = dir.write("damaged.k1pack", bytes);
  const ProcessResult bad = axk1({"inspect", damaged, "--verify", "--json"});
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_EQ(bad.out, "");
  EXPECT_THAT(bad.err, HasSubstr(cat("damaged.k1pack: record \"", record.name, "\" at offset ",
                                     record.offset)));
  EXPECT_EQ(axk1({"inspect", damaged}).exit_code, 0) << "structure alone is right";

  const ProcessResult directory = axk1({"inspect", kModel, "--verify", "--json"});
  EXPECT_EQ(json::parse(directory.out, "stdout").at("verified_what").as_string(), "structure");
}

TEST(ConvertCommand, APackRunsAsTheDirectoryDoes) {
  const TempDir dir;
  const std::string path = dir.path() + "/m.k1pack", hf = dir.path() + "/hf";
  ASSERT_EQ(axk1({"convert", kModel, path, "--format", "keep"}).exit_code, 0);
  ASSERT_EQ(axk1({"convert", path, hf, "--to", "safetensors"}).exit_code, 0);
  const std::string request =
      R"({"messages": [{"role": "user", "content": "안녕"}], "temperature": 0, "max_tokens": 12, "seed": 1})";
  const ProcessResult expected = axk1({"run", kModel, "--jsonl"}, request);
  ASSERT_EQ(expected.exit_code, 0) << expected.err;
  EXPECT_EQ(axk1({"run", path, "--jsonl"}, request).out, expected.out);
  EXPECT_EQ(axk1({"run", path, "--jsonl", "--load", "read"}, request).out, expected.out);
  EXPECT_EQ(axk1({"run", hf, "--jsonl"}, request).out, expected.out);
  const ProcessResult ids = axk1({"tokenize", path, "--jsonl"}, "\"안녕\"\n");
  EXPECT_EQ(ids.out, axk1({"tokenize", kModel, "--jsonl"}, "\"안녕\"\n").out);
  EXPECT_EQ(axk1({"run", kModel, "--jsonl", "--load", "read"}, request).exit_code, 1);
}

TEST(ConvertCommand, WrongUsage) {
  const TempDir dir;
  const std::string out = dir.path() + "/out.k1pack";
  for (const std::vector<std::string>& args : std::vector<std::vector<std::string>>{
           {"convert", kModel},
           {"convert", kModel, out, "--format", "q5"},
           {"convert", kModel, out, "--format", "q4", "--recipe", "x"},
           {"convert", kModel, out, "--to", "gguf"},
           {"convert", kModel, out, "--to", "safetensors", "--format", "q4"},
           {"convert", "--shape", "axk1", "--dense-layers", "0", "--moe-layers", "0", out},
           {"inspect", kModel + "/config.json", "--verify"}}) {
    EXPECT_EQ(axk1(args).exit_code, 2) << args.back();
  }
  EXPECT_EQ(axk1({"convert", dir.path() + "/none", out}).exit_code, 1);
  EXPECT_EQ(axk1({"convert", kModel, dir.path() + "/no/such/out"}).exit_code, 1);
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

}  // namespace
}  // namespace axk1
