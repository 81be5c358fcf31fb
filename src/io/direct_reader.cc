#include "io/direct_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/check.h"
#include "base/error.h"
#include "io/errno_error.h"

namespace axk1 {

DirectReader::DirectReader(const std::string& path) : path_(path) {
  fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
  direct_ = fd_ >= 0;
  if (fd_ < 0 && errno == EINVAL) fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) fail_errno(path, "open");
  struct stat status;
  if (::fstat(fd_, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(fd_);
    fail(ErrorCode::kIo, path, ": is not a regular file");
  }
  size_ = static_cast<uint64_t>(status.st_size);
}

DirectReader::~DirectReader() {
  ::close(fd_);
}

void DirectReader::read(uint64_t offset, std::span<std::byte> dst) const {
  AXK1_CHECK(offset % kDirectAlignment == 0 && dst.size() % kDirectAlignment == 0);
  AXK1_CHECK(reinterpret_cast<uintptr_t>(dst.data()) % kDirectAlignment == 0);
  while (!dst.empty()) {
    const ssize_t n = ::pread(fd_, dst.data(), dst.size(), static_cast<off_t>(offset));
    if (n < 0) {
      if (errno == EINTR) continue;
      fail_errno(path_, cat("read at offset ", offset).c_str());
    }
    // A direct read is cut off a multiple of the block only at the end of the file.
    const size_t whole = static_cast<size_t>(n) / kDirectAlignment * kDirectAlignment;
    if (whole == 0) {
      fail(ErrorCode::kIo, path_, ": ends at offset ", offset + static_cast<uint64_t>(n),
           ", expected ", dst.size(), " bytes from ", offset);
    }
    dst = dst.subspan(whole);
    offset += whole;
  }
}

}  // namespace axk1
