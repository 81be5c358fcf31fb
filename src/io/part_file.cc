#include "io/part_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>

#include "base/check.h"
#include "base/error.h"
#include "io/errno_error.h"
#include "io/file.h"

namespace axk1 {
namespace {

int open_to_write(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) fail_errno(path, "create");
  return fd;
}

void write_all(int fd, const std::string& path, uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0) {
      if (errno == EINTR) continue;
      fail_errno(path, cat("write at offset ", offset).c_str());
    }
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
}

// So that the new name itself outlasts a loss of power.
void flush_directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string dir = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int fd = ::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail_errno(dir, "open");
  const bool flushed = ::fsync(fd) == 0 || errno == EINVAL;  // some file systems have no such thing
  ::close(fd);
  if (!flushed) fail_errno(dir, "flush");
}

}  // namespace

PartFile::PartFile(const std::string& path)
    : path_(path), part_(path + ".part"), journal_(path + ".part.journal") {
  if (file_exists(path) && !is_regular_file(path)) {
    fail(ErrorCode::kIo, path, ": is not a regular file, and would be replaced by one");
  }
  part_fd_ = open_to_write(part_);
  try {
    if (::flock(part_fd_, LOCK_EX | LOCK_NB) != 0) {
      fail(ErrorCode::kIo, part_, ": is being written by another process");
    }
    journal_fd_ = open_to_write(journal_);
    journal_bytes_ = read_journal().size();
  } catch (...) {
    if (journal_fd_ >= 0) ::close(journal_fd_);
    ::close(part_fd_);
    throw;
  }
}

PartFile::~PartFile() {
  if (part_fd_ < 0) return;
  if (journal_bytes_ == 0) {
    ::unlink(journal_.c_str());
    ::unlink(part_.c_str());
  }
  ::close(journal_fd_);
  ::close(part_fd_);
}

std::string PartFile::read_journal() const {
  return read_file(journal_);
}

void PartFile::append_journal(std::string_view note) {
  write_all(journal_fd_, journal_, journal_bytes_, std::as_bytes(std::span(note)));
  journal_bytes_ += note.size();
}

void PartFile::cut_journal(uint64_t bytes) {
  if (::ftruncate(journal_fd_, static_cast<off_t>(bytes)) != 0) fail_errno(journal_, "shorten");
  journal_bytes_ = bytes;
}

void PartFile::start_anew(uint64_t size_bytes) {
  cut_journal(0);
  if (::ftruncate(part_fd_, 0) != 0) fail_errno(part_, "shorten");
  const auto size = static_cast<off_t>(size_bytes);
  if (size_bytes == 0 || ::fallocate(part_fd_, 0, 0, size) == 0) return;
  if (errno == EOPNOTSUPP || errno == ENOSYS) {
    if (::ftruncate(part_fd_, size) != 0) fail_errno(part_, "lengthen");
    return;
  }
  const int reason = errno;
  struct statvfs disk;
  const bool known = ::statvfs(part_.c_str(), &disk) == 0;
  const std::string what = cat(
      "reserve ", human_bytes(size_bytes), " on the disk",
      known ? cat(" (", human_bytes(uint64_t{disk.f_bavail} * disk.f_frsize), " are free)") : "");
  errno = reason;
  fail_errno(part_, what.c_str());
}

void PartFile::write_at(uint64_t offset, std::span<const std::byte> bytes) {
  AXK1_CHECK(part_fd_ >= 0);
  write_all(part_fd_, part_, offset, bytes);
}

void PartFile::commit() {
  AXK1_CHECK(part_fd_ >= 0);
  if (::fsync(part_fd_) != 0) fail_errno(part_, "flush");
  if (::rename(part_.c_str(), path_.c_str()) != 0) {
    fail_errno(path_, "rename the finished file to this name");
  }
  ::unlink(journal_.c_str());
  flush_directory_of(path_);
  ::close(journal_fd_);
  ::close(part_fd_);
  part_fd_ = journal_fd_ = -1;
}

}  // namespace axk1
