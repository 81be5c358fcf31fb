#include "io/file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "io/atomic_file.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using testing::TempDir;

struct Failure {
  ErrorCode code;
  std::string message;
};

Failure failure_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return {error.code(), error.what()};
  }
  ADD_FAILURE() << "no Error";
  return {ErrorCode::kUsage, ""};
}

size_t files_in(const std::string& dir) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) count += entry.exists();
  return count;
}

std::string text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

TEST(ReadFile, WholeContent) {
  TempDir dir;
  EXPECT_EQ(read_file(dir.write("empty", "")), "");
  std::string bytes;
  for (int i = 0; i < 100000; ++i) bytes.push_back(static_cast<char>(i * 7));
  EXPECT_EQ(read_file(dir.write("bytes", bytes)), bytes);
}

TEST(ReadFile, NamesWhatIsWrong) {
  TempDir dir;
  const std::string missing = dir.path() + "/none";
  Failure f = failure_of([&] { read_file(missing); });
  EXPECT_EQ(f.code, ErrorCode::kNotFound);
  EXPECT_EQ(f.message, missing + ": cannot open: No such file or directory");
  f = failure_of([&] { read_file(dir.path()); });
  EXPECT_EQ(f.code, ErrorCode::kIo);
  EXPECT_EQ(f.message, dir.path() + ": is a directory, expected a file");
  const std::string file = dir.write("f", "x");
  f = failure_of([&] { read_file(file + "/below"); });
  EXPECT_EQ(f.code, ErrorCode::kIo);
}

TEST(ReadFile, RefusesMoreThanAllowed) {
  TempDir dir;
  const std::string path = dir.write("f", std::string(100, 'x'));
  EXPECT_EQ(read_file(path, 100).size(), 100u);
  const Failure f = failure_of([&] { read_file(path, 99); });
  EXPECT_EQ(f.code, ErrorCode::kInvalidInput);
  EXPECT_EQ(f.message,
            path + ": has 100 bytes, more than the 99 that a file of this kind may have");
  // A device has no size to look at first.
  EXPECT_EQ(failure_of([] { read_file("/dev/zero", 100000); }).code, ErrorCode::kInvalidInput);
}

TEST(ReadFile, PipesAreReadToTheirEnd) {
  TempDir dir;
  const std::string path = dir.path() + "/pipe";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const std::string bytes(300000, 'y');  // more than a pipe holds
  std::thread writer([&] {
    FILE* pipe = std::fopen(path.c_str(), "w");
    for (size_t at = 0; at < bytes.size(); at += 999) {
      std::fwrite(bytes.data() + at, 1, std::min<size_t>(999, bytes.size() - at), pipe);
      if (at % 9990 == 0) std::fflush(pipe);  // short reads on the other side
    }
    std::fclose(pipe);
  });
  const std::string got = read_file(path);
  writer.join();
  EXPECT_EQ(got, bytes);
}

TEST(WriteFile, ReplacesAndLeavesNothingBehind) {
  TempDir dir;
  const std::string path = dir.path() + "/f";
  write_file_atomic(path, "one");
  EXPECT_EQ(read_file(path), "one");
  write_file_atomic(path, "");
  EXPECT_EQ(read_file(path), "");
  const std::string large(3 << 20, 'z');
  write_file_atomic(path, large);
  EXPECT_EQ(read_file(path), large);
  EXPECT_EQ(files_in(dir.path()), 1u);
}

TEST(WriteFile, ObeysTheUmask) {
  TempDir dir;
  const mode_t before = ::umask(077);
  write_file_atomic(dir.path() + "/f", "secret");
  ::umask(before);
  struct stat status;
  ASSERT_EQ(::stat((dir.path() + "/f").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

// A disk that is full, by the limit on a process's file size: the same path through the code.
TEST(WriteFile, KeepsTheOldFileWhenTheDiskIsFull) {
  TempDir dir;
  const std::string path = dir.write("f", "old");
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{8192, before.rlim_max};
  auto* handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const Failure f = failure_of([&] { write_file_atomic(path, std::string(100000, 'n')); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(f.code, ErrorCode::kIo);
  EXPECT_NE(f.message.find("cannot write: File too large"), std::string::npos) << f.message;
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(files_in(dir.path()), 1u);
}

TEST(WriteFile, RefusesPlacesItCannotWrite) {
  TempDir dir;
  const std::string file = dir.write("f", "x");
  EXPECT_EQ(failure_of([&] { write_file_atomic(file + "/below", "y"); }).code, ErrorCode::kIo);
  EXPECT_EQ(failure_of([&] { write_file_atomic(dir.path() + "/none/f", "y"); }).code,
            ErrorCode::kNotFound);
  Failure f = failure_of([&] { write_file_atomic(dir.path(), "y"); });
  EXPECT_EQ(f.message, dir.path() + ": is not a regular file, and would be replaced by one");
  f = failure_of([] { write_file_atomic("/dev/full", "y"); });
  EXPECT_EQ(f.code, ErrorCode::kIo);
  EXPECT_EQ(f.message, "/dev/full: is not a regular file, and would be replaced by one");
  EXPECT_EQ(files_in(dir.path()), 1u);
}

TEST(WriteFile, RefusesAReadOnlyFolder) {
  if (::geteuid() == 0) GTEST_SKIP() << "skipped: root may write to any folder";
  TempDir dir;
  ASSERT_EQ(::chmod(dir.path().c_str(), 0555), 0);
  const Failure f = failure_of([&] { write_file_atomic(dir.path() + "/f", "y"); });
  ::chmod(dir.path().c_str(), 0755);
  EXPECT_EQ(f.code, ErrorCode::kIo);
  EXPECT_NE(f.message.find("Permission denied"), std::string::npos) << f.message;
}

TEST(WriteFile, TwoWritersNeverMix) {
  TempDir dir;
  const std::string path = dir.path() + "/f";
  const std::string a(200000, 'a'), b(200000, 'b');
  auto writer = [&](const std::string& bytes) {
    for (int i = 0; i < 20; ++i) write_file_atomic(path, bytes);
  };
  std::thread first(writer, a), second(writer, b);
  first.join();
  second.join();
  const std::string got = read_file(path);
  EXPECT_TRUE(got == a || got == b);
  EXPECT_EQ(files_in(dir.path()), 1u);
}

TEST(AtomicFile, TakesPiecesInAnyOrderAndVanishesWithoutCommit) {
  TempDir dir;
  const std::string path = dir.write("f", "old");
  auto bytes = [](std::string_view text) { return std::as_bytes(std::span(text)); };
  {
    AtomicFile file(path);
    file.write_at(3, bytes("def"));
    EXPECT_EQ(read_file(path), "old");
  }
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(files_in(dir.path()), 1u);
  AtomicFile file(path);
  file.write_at(3, bytes("def"));
  file.write_at(0, bytes("abc"));
  file.commit();
  EXPECT_EQ(read_file(path), "abcdef");
  EXPECT_EQ(files_in(dir.path()), 1u);
}

TEST(MappedFile, ShowsTheBytes) {
  TempDir dir;
  const MappedFile file(dir.write("f", "abc"));
  EXPECT_EQ(text_of(file), "abc");
  EXPECT_EQ(file.path(), dir.path() + "/f");
  EXPECT_TRUE(MappedFile(dir.write("empty", "")).bytes().empty());
}

TEST(MappedFile, Moves) {
  TempDir dir;
  MappedFile a(dir.write("a", "aaa")), b(dir.write("b", "bb"));
  MappedFile c(std::move(a));
  EXPECT_EQ(text_of(c), "aaa");
  c = std::move(b);
  EXPECT_EQ(text_of(c), "bb");
  std::vector<MappedFile> files;
  for (int i = 0; i < 10; ++i) files.emplace_back(dir.write("v", std::string(5000, 'v')));
  EXPECT_EQ(text_of(files[0]).size(), 5000u);
}

TEST(MappedFile, StaysReadableAfterTheNameIsGone) {
  TempDir dir;
  const std::string path = dir.write("f", std::string(100000, 'x'));
  const MappedFile file(path);
  std::filesystem::remove(path);
  EXPECT_EQ(text_of(file), std::string(100000, 'x'));
}

TEST(MappedFile, RefusesWhatIsNotAFile) {
  TempDir dir;
  EXPECT_EQ(failure_of([&] { MappedFile(dir.path() + "/none"); }).code, ErrorCode::kNotFound);
  Failure f = failure_of([&] { MappedFile file(dir.path()); });
  EXPECT_EQ(f.message, dir.path() + ": is a directory, expected a file");
  f = failure_of([] { MappedFile file("/dev/null"); });
  EXPECT_EQ(f.message, "/dev/null: is not a regular file");
}

// A mapping that the kernel refuses, by the limit on a process's address space.
TEST(MappedFile, SaysWhenTheMappingFails) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "skipped: sanitizers need the address space that this test takes away";
#endif
  TempDir dir;
  const std::string path = dir.write("f", "");
  ASSERT_EQ(::truncate(path.c_str(), int64_t{1} << 40), 0);  // sparse
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_AS, &before), 0);
  const rlimit small{uint64_t{1} << 36, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_AS, &small), 0);
  const Failure f = failure_of([&] { MappedFile file(path); });
  ::setrlimit(RLIMIT_AS, &before);
  EXPECT_EQ(f.code, ErrorCode::kIo);
  EXPECT_EQ(f.message, path + ": cannot map: Cannot allocate memory");
}

TEST(FileQueries, ExistsAndDirectory) {
  TempDir dir;
  const std::string file = dir.write("f", "x");
  EXPECT_TRUE(file_exists(file));
  EXPECT_TRUE(file_exists(dir.path()));
  EXPECT_FALSE(file_exists(dir.path() + "/none"));
  EXPECT_TRUE(is_directory(dir.path()));
  EXPECT_FALSE(is_directory(file));
  EXPECT_FALSE(is_directory(dir.path() + "/none"));
}

}  // namespace
}  // namespace axk1
