#include "train/run_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

struct Sample {
  std::string weights = std::string(1000, 'w'), state = std::string(77, 's'), none;
  std::vector<CheckpointSection> sections() const {
    return {
        {"weights", bytes_of(weights)}, {"none", bytes_of(none)}, {"optimizer", bytes_of(state)}};
  }
};

// So that the fuzz target starts behind the checksums.
TEST(RunCheckpoint, TheCorpusOfTheFuzzTargetIsWhole) {
  const std::string bytes =
      read_file(testing::testdata("../fuzz/corpus/run_checkpoint/two-sections"));
  const RunCheckpoint checkpoint(bytes_of(bytes), "two-sections");
  EXPECT_EQ(checkpoint.state().at("steps_done").as_int64(), 3);
  EXPECT_EQ(checkpoint.section("weights", 8).size(), 8u);
}

TEST(RunCheckpoint, GivesBackWhatWasWritten) {
  const testing::TempDir dir;
  const std::string path = dir.path() + "/x.ckpt";
  const Sample sample;
  write_run_checkpoint(path, {{"step", 12}}, sample.sections());
  const RunCheckpoint checkpoint(path);
  EXPECT_EQ(checkpoint.state().at("step").as_int64(), 12);
  EXPECT_EQ(text_of(checkpoint.section("weights", 1000)), sample.weights);
  EXPECT_EQ(text_of(checkpoint.section("optimizer", 77)), sample.state);
  EXPECT_EQ(checkpoint.section("none", 0).size(), 0u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(checkpoint.section("optimizer", 77).data()) % 64, 0u);
  EXPECT_TRUE(checkpoint.contains("none"));
  EXPECT_FALSE(checkpoint.contains("other"));
  EXPECT_THROW(checkpoint.section("other", 0), Error);
  EXPECT_THROW(checkpoint.section("weights", 999), Error);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
}

TEST(RunCheckpoint, EveryDamagedByteAndEveryCutIsFound) {
  const testing::TempDir dir;
  const std::string path = dir.path() + "/x.ckpt";
  const Sample sample;
  write_run_checkpoint(path, {{"step", 12}}, sample.sections());
  const std::string good = read_file(path);
  for (size_t i = 0; i < good.size(); i += 1 + (i > 150) * 22) {
    std::string damaged = good;
    damaged[i] ^= 0x10;
    EXPECT_THROW(RunCheckpoint(dir.write("d", damaged)), Error) << "byte " << i;
    EXPECT_THROW(RunCheckpoint(dir.write("d", good.substr(0, i))), Error) << "cut at " << i;
  }
  EXPECT_THROW(RunCheckpoint(dir.write("d", good + '\0')), Error);
  EXPECT_NO_THROW(RunCheckpoint(dir.write("d", good)));
}

TEST(CheckpointFolder, KeepsTheLastAndFallsBack) {
  const testing::TempDir dir;
  const CheckpointFolder folder(dir.path() + "/checkpoints");
  std::vector<std::string> warnings;
  const auto warn = [&](const std::string& text) { warnings.push_back(text); };
  EXPECT_FALSE(folder.newest(warn));
  const Sample sample;
  for (uint64_t step : {5, 10, 15, 20}) {
    folder.save(step, {{"step", step}}, sample.sections(), 3);
  }
  EXPECT_THAT(folder.steps(), ElementsAre(10, 15, 20));
  EXPECT_EQ(folder.newest(warn)->state().at("step").as_int64(), 20);
  EXPECT_TRUE(warnings.empty());

  // Truncated, as by a disk that lost its cache; and damaged in a section.
  std::filesystem::resize_file(folder.file(20), 900);
  std::string damaged = read_file(folder.file(15));
  damaged[damaged.size() - 5] ^= 1;
  write_file_atomic(folder.file(15), damaged);
  EXPECT_EQ(folder.newest(warn)->state().at("step").as_int64(), 10);
  ASSERT_EQ(warnings.size(), 2u);
  EXPECT_THAT(warnings[0], HasSubstr("step-0000000020.ckpt: ends within section \"weights\""));
  EXPECT_THAT(
      warnings[1],
      HasSubstr(
          "the checksum of section \"optimizer\" is wrong; the checkpoint before it is taken"));

  write_file_atomic(folder.file(10), "x");
  EXPECT_FALSE(folder.newest(warn));
  EXPECT_THAT(warnings.back(), HasSubstr("there is none before it"));
  write_file_atomic(folder.file(25) + ".tmp-1-0", "left behind");
  write_file_atomic(dir.path() + "/checkpoints/notes.txt", "kept");
  folder.save(30, {}, sample.sections(), 1);
  EXPECT_THAT(folder.steps(), ElementsAre(30));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path() + "/checkpoints"), {}), 2);
}

}  // namespace
}  // namespace axk1
