#include "io/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

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

[[noreturn]] void fail_errno(const std::string& path, const char* what) {
  const int error = errno;
  fail(error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo, path, ": cannot ", what, ": ",
       std::strerror(error));
}

// A new file beside `target`, removed at the end of scope unless kept.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& target) {
    const std::string stem = cat(target, ".tmp-", static_cast<int64_t>(::getpid()), "-");
    for (int attempt = 0;; ++attempt) {  // O_EXCL: another thread may be writing the same target
      path_ = cat(stem, attempt);
      fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
      if (fd_ >= 0) return;
      if (errno != EEXIST || attempt == 1000) fail_errno(path_, "create");
    }
  }
  ~TemporaryFile() {
    ::close(fd_);
    if (!kept_) ::unlink(path_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  int descriptor() const { return fd_; }
  const std::string& path() const { return path_; }
  void keep() { kept_ = true; }

 private:
  std::string path_;
  int fd_ = -1;
  bool kept_ = false;
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
  struct stat status;
  if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    fail(ErrorCode::kIo, path, ": is not a regular file, and would be replaced by one");
  }
  TemporaryFile file(path);
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::write(file.descriptor(), bytes.data() + done, bytes.size() - done);
    if (n < 0) {
      if (errno == EINTR) continue;
      fail_errno(file.path(), "write");
    }
    done += static_cast<size_t>(n);
  }
  if (::fsync(file.descriptor()) != 0) fail_errno(file.path(), "flush");
  if (::rename(file.path().c_str(), path.c_str()) != 0) {
    fail_errno(path, "rename the finished file to this name");
  }
  file.keep();
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

}  // namespace axk1
