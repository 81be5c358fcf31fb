#include "io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/check.h"
#include "base/error.h"
#include "io/errno_error.h"

namespace axk1 {

AtomicFile::AtomicFile(const std::string& path) : path_(path) {
  struct stat status;
  if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    fail(ErrorCode::kIo, path, ": is not a regular file, and would be replaced by one");
  }
  const std::string stem = cat(path, ".tmp-", static_cast<int64_t>(::getpid()), "-");
  for (int attempt = 0;; ++attempt) {  // O_EXCL: another thread may be writing the same file
    temporary_ = cat(stem, attempt);
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ >= 0) return;
    if (errno != EEXIST || attempt == 1000) fail_errno(temporary_, "create");
  }
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::write_at(uint64_t offset, std::span<const std::byte> bytes) {
  AXK1_CHECK(fd_ >= 0);
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0) {
      if (errno == EINTR) continue;
      fail_errno(temporary_, "write");
    }
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
}

void AtomicFile::commit() {
  AXK1_CHECK(fd_ >= 0);
  if (::fsync(fd_) != 0) fail_errno(temporary_, "flush");
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    fail_errno(path_, "rename the finished file to this name");
  }
  ::close(fd_);
  fd_ = -1;
}

}  // namespace axk1
