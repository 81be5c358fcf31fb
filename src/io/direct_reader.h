// Reads of large files past the page cache: straight from the disk into the caller's memory, so
// that a model is not held twice and every read says what the disk holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace axk1 {

// What offset, length and address of a direct read must be a multiple of.
inline constexpr size_t kDirectAlignment = 4096;

// Owns the open file. Any number of threads may read at once. Where the file system has no direct
// reads (tmpfs), ordinary ones take their place. Throws Error(kIo, kNotFound) naming the file.
class DirectReader {
 public:
  explicit DirectReader(const std::string& path);
  ~DirectReader();
  DirectReader(const DirectReader&) = delete;
  DirectReader& operator=(const DirectReader&) = delete;

  const std::string& path() const { return path_; }
  uint64_t size_bytes() const { return size_; }
  bool is_direct() const { return direct_; }

  // Fills dst from `offset`, both multiples of kDirectAlignment. A file that ends before is an
  // error that names the offset.
  void read(uint64_t offset, std::span<std::byte> dst) const;

 private:
  std::string path_;
  int fd_ = -1;
  uint64_t size_ = 0;
  bool direct_ = false;
};

}  // namespace axk1
