#include "io/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/error.h"
#include "io/atomic_file.h"
#include "io/errno_error.h"

namespace axk1 {
namespace {

class Descriptor {
 public:
  explicit Descriptor(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

uint64_t regular_file_size(const std::string& path, int fd) {
  struct stat status;
  if (::fstat(fd, &status) != 0) fail_errno(path, "stat");
  if (S_ISDIR(status.st_mode)) fail(ErrorCode::kIo, path, ": is a directory, expected a file");
  if (!S_ISREG(status.st_mode)) fail(ErrorCode::kIo, path, ": is not a regular file");
  return static_cast<uint64_t>(status.st_size);
}

}  // namespace

bool file_exists(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0;
}

bool is_directory(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

bool is_regular_file(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

std::string read_file_start(const std::string& path, size_t bytes) {
  Descriptor file(path);
  if (file.get() < 0) fail_errno(path, "open");
  std::string start(bytes, '\0');
  size_t used = 0;
  while (used < bytes) {
    const ssize_t n = ::read(file.get(), start.data() + used, bytes - used);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_errno(path, "read");
    if (n == 0) break;
    used += static_cast<size_t>(n);
  }
  start.resize(used);
  return start;
}

std::string read_file(const std::string& path, uint64_t max_bytes) {
  Descriptor file(path);
  if (file.get() < 0) fail_errno(path, "open");
  struct stat status;
  if (::fstat(file.get(), &status) != 0) fail_errno(path, "stat");
  if (S_ISDIR(status.st_mode)) fail(ErrorCode::kIo, path, ": is a directory, expected a file");
  const uint64_t hint = S_ISREG(status.st_mode) ? static_cast<uint64_t>(status.st_size) : 0;
  if (hint > max_bytes) {
    fail(ErrorCode::kInvalidInput, path, ": has ", hint, " bytes, more than the ", max_bytes,
         " that a file of this kind may have");
  }
  // One more than the size, so that the end shows without growing; pipes have no size.
  std::string bytes(std::max<uint64_t>(hint + 1, 4096), '\0');
  size_t used = 0;
  while (true) {
    if (used == bytes.size()) bytes.resize(bytes.size() * 2);
    const ssize_t n = ::read(file.get(), bytes.data() + used, bytes.size() - used);
    if (n < 0) {
      if (errno == EINTR) continue;
      fail_errno(path, "read");
    }
    if (n == 0) break;
    used += static_cast<size_t>(n);
    if (used > max_bytes) {
      fail(ErrorCode::kInvalidInput, path, ": has more than the ", max_bytes,
           " bytes that a file of this kind may have");
    }
  }
  bytes.resize(used);
  return bytes;
}

void write_file_atomic(const std::string& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write_at(0, std::as_bytes(std::span(bytes)));
  file.commit();
}

MappedFile::MappedFile(const std::string& path) : path_(path) {
  Descriptor file(path);
  if (file.get() < 0) fail_errno(path, "open");
  size_ = regular_file_size(path, file.get());
  if (size_ == 0) return;  // an empty mapping is not allowed
  void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (address == MAP_FAILED) fail_errno(path, "map");
  data_ = static_cast<const std::byte*>(address);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

namespace {

// Whole pages inside the bytes, or around them.
void advise(std::span<const std::byte> bytes, int advice, bool inside) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<uintptr_t>(bytes.data());
  uintptr_t begin = address / page * page, end = address + bytes.size();
  if (inside) {
    begin = (address + page - 1) / page * page;
    end = end / page * page;
  }
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, advice);
}

}  // namespace

void prefetch_mapped(std::span<const std::byte> bytes) {
  advise(bytes, MADV_WILLNEED, /*inside=*/false);
}

void release_mapped(std::span<const std::byte> bytes) {
  advise(bytes, MADV_DONTNEED, /*inside=*/true);
}

}  // namespace axk1
