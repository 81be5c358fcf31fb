// Files, whole or mapped. Every failure is an Error(kIo or kNotFound) that names the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace axk1 {

bool file_exists(const std::string& path);
bool is_directory(const std::string& path);
bool is_regular_file(const std::string& path);

// The whole file. Refuses more than max_bytes before reading anything.
std::string read_file(const std::string& path, uint64_t max_bytes = uint64_t{1} << 31);

// The first `bytes` of a file, or all of it when it is shorter.
std::string read_file_start(const std::string& path, size_t bytes);

// The whole file through an AtomicFile: path holds the old bytes or the new ones, never a part.
void write_file_atomic(const std::string& path, std::string_view bytes);

// A file mapped read-only. Owns the mapping; movable. Any thread may read the bytes.
// The file must not be truncated by others while it is mapped (the kernel would raise SIGBUS).
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Advice about bytes of a MappedFile, so that a pass over more than fits in memory stays small:
// that they are wanted soon, or that their pages may go. The bytes stay valid.
void prefetch_mapped(std::span<const std::byte> bytes);
void release_mapped(std::span<const std::byte> bytes);

}  // namespace axk1
