// Test data: what the repository carries under testdata/, and the larger suites that tests use when
// a folder `shared` lies beside the checkout (and skip by name when not).
#pragma once

#include <map>
#include <string>

namespace axk1::testing {

// Path of a file or folder under testdata/.
std::string testdata(const std::string& name);

// Path of a file or folder under ../shared, or "" when there is none.
std::string shared_path(const std::string& name);

// The whole content of a .zst file.
std::string read_zst(const std::string& path);

// The regular files of a .tar.zst archive: member name -> content.
std::map<std::string, std::string> read_tar_zst(const std::string& path);

// A fresh folder that is removed with everything in it at the end of scope.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }
  // Writes a file of that name and returns its path.
  std::string write(const std::string& name, const std::string& bytes) const;

 private:
  std::string path_;
};

}  // namespace axk1::testing

// Skips the running test, by the words that reports look for.
#define AXK1_SKIP_WITHOUT_SHARED(name) \
  if (::axk1::testing::shared_path(name).empty()) GTEST_SKIP() << "skipped: no ../shared/" << (name)
