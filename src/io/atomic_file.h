// A file that appears under its name only when it is complete.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace axk1 {

// Writes a new file beside path, piece by piece, in any order; commit() flushes it to the disk and
// renames it. Without commit() the destructor removes it and `path` stays as it was. Refuses a path
// that is there and is not a regular file (a device would be replaced). Several may write the same
// path at once: the last commit stays. One thread at a time.
// Failures are Error(kIo or kNotFound) naming the file.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write_at(uint64_t offset, std::span<const std::byte> bytes);
  void commit();  // once; nothing may be written afterwards

  const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::string temporary_;
  int fd_ = -1;
};

}  // namespace axk1
