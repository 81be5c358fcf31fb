#include "server/sqlite.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/error.h"

namespace axk1 {
namespace {

constexpr int32_t kMark = 0x74657374;
constexpr std::string_view kCreate = "CREATE TABLE t (a INTEGER, b TEXT)";

class SqliteTest : public ::testing::Test {
 protected:
  SqliteTest() {
    dir_ = std::filesystem::path(::testing::TempDir()) /
           ("sqlite_test." + std::to_string(getpid()) +
            ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directory(dir_);
    path_ = (dir_ / "db").string();
  }
  ~SqliteTest() override { std::filesystem::remove_all(dir_); }

  // The error of opening the file, or "".
  std::string refusal(int version = 1) {
    try {
      SqliteDatabase database(path_, kMark, version, kCreate);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  std::filesystem::path dir_;
  std::string path_;
};

TEST_F(SqliteTest, KeepsRowsOverReopening) {
  const std::string odd("a\0b'; DROP TABLE t; --", 22);
  {
    SqliteDatabase database(path_, kMark, 1, kCreate);
    SqliteStatement(database, "INSERT INTO t VALUES (?1, ?2)")
        .bind(int64_t{1} << 40)
        .bind(std::string_view(odd))
        .run();
    SqliteStatement insert(database, "INSERT INTO t VALUES (?1, ?2)");
    EXPECT_EQ(insert.bind(int64_t{-1}).bind(std::optional<std::string>()).run(), 1);
  }
  SqliteDatabase database(path_, kMark, 1, kCreate);
  SqliteStatement rows(database, "SELECT a, b FROM t ORDER BY rowid");
  ASSERT_TRUE(rows.step());
  EXPECT_EQ(rows.integer(0), int64_t{1} << 40);
  EXPECT_EQ(rows.text(1), odd);
  ASSERT_TRUE(rows.step());
  EXPECT_EQ(rows.optional_text(1), std::nullopt);
  EXPECT_FALSE(rows.step());
}

TEST_F(SqliteTest, WhatIsNotCommittedIsUndone) {
  SqliteDatabase database(path_, kMark, 1, kCreate);
  {
    SqliteTransaction transaction(database);
    database.run("INSERT INTO t VALUES (1, 'x')");
  }
  {
    SqliteTransaction transaction(database);
    database.run("INSERT INTO t VALUES (2, 'y')");
    transaction.commit();
  }
  SqliteStatement rows(database, "SELECT a FROM t");
  ASSERT_TRUE(rows.step());
  EXPECT_EQ(rows.integer(0), 2);
  EXPECT_FALSE(rows.step());
}

TEST_F(SqliteTest, OtherPeoplesFilesAreRefused) {
  { SqliteDatabase other(path_, kMark + 1, 1, kCreate); }
  EXPECT_NE(refusal().find("a database of another program"), std::string::npos);
}

TEST_F(SqliteTest, OtherVersionsAreRefused) {
  EXPECT_EQ(refusal(2), "");
  EXPECT_NE(refusal(1).find("found version 2, expected 1"), std::string::npos);
}

TEST_F(SqliteTest, FilesThatAreNoDatabaseAreRefused) {
  std::ofstream(path_) << std::string(4096, 'x');
  EXPECT_NE(refusal().find("expected an undamaged SQLite database"), std::string::npos);
}

TEST_F(SqliteTest, OnlyTheOwnerReadsNewFiles) {
  SqliteDatabase database(path_, kMark, 1, kCreate);
  database.run("INSERT INTO t VALUES (1, 'x')");
  for (const char* ending : {"", "-wal", "-shm"}) {
    const auto mode = std::filesystem::status(path_ + ending).permissions();
    EXPECT_EQ(mode & std::filesystem::perms(077), std::filesystem::perms::none) << ending;
  }
}

TEST_F(SqliteTest, MissingFoldersAreNamed) {
  path_ = (dir_ / "none" / "db").string();
  EXPECT_NE(refusal().find(path_), std::string::npos);
}

}  // namespace
}  // namespace axk1
