#include "apps/history_option.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/error.h"

namespace axk1 {
namespace {

TEST(HistoryOption, DefaultFileFollowsTheBaseDirectories) {
  EXPECT_EQ(default_history_file("/data", "/home/x"), "/data/axk1/history.sqlite");
  EXPECT_EQ(default_history_file(nullptr, "/home/x"), "/home/x/.local/share/axk1/history.sqlite");
  EXPECT_EQ(default_history_file("", "/home/x"), "/home/x/.local/share/axk1/history.sqlite");
  EXPECT_EQ(default_history_file("relative", "/h"), "/h/.local/share/axk1/history.sqlite");
  EXPECT_EQ(default_history_file(nullptr, nullptr), "");
  EXPECT_EQ(default_history_file(nullptr, ""), "");
}

TEST(HistoryOption, DefaultThatFailsWarnsAndANamedFileThatFailsIsAnError) {
  const auto dir = std::filesystem::path(::testing::TempDir()) /
                   ("history_option_test." + std::to_string(getpid()));
  std::filesystem::create_directory(dir);
  setenv("XDG_DATA_HOME", dir.c_str(), 1);
  std::string warning;
  EXPECT_EQ(open_history({.none = true}, warning), nullptr);
  EXPECT_NE(open_history({}, warning), nullptr);
  EXPECT_EQ(warning, "");
  EXPECT_EQ(std::filesystem::status(dir / "axk1").permissions(), std::filesystem::perms::owner_all);

  const std::string file = (dir / "axk1" / "history.sqlite").string();
  std::ofstream(file) << std::string(4096, 'x');
  EXPECT_EQ(open_history({}, warning), nullptr);
  EXPECT_NE(warning.find(file), std::string::npos);
  EXPECT_THROW(open_history({.file = file}, warning), Error);
  unsetenv("XDG_DATA_HOME");
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace axk1
