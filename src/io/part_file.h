// A large file that is written over hours: it survives its writer, and appears under its name when
// it is complete.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace axk1 {

// PATH.part and, beside it, PATH.part.journal, in which the owner notes what is done. Both stay
// when the owner fails or is killed, unless the journal is empty; commit() flushes the file,
// renames it to PATH and removes the journal. One owner at a time, over all processes (a lock); one
// thread at a time. Failures are Error(kIo or kNotFound) naming the file.
class PartFile {
 public:
  // Opens what is there or makes both. Refuses a PATH that is there and is no regular file.
  explicit PartFile(const std::string& path);
  ~PartFile();
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  const std::string& part_path() const { return part_; }
  std::string read_journal() const;
  // Adds a note. A kill may leave a part of it at the end of the journal.
  void append_journal(std::string_view note);
  // Keeps the first `bytes` of the journal.
  void cut_journal(uint64_t bytes);

  // Drops what is there and makes a file of that many bytes, with its disk space reserved where the
  // file system can: a full disk shows at the start.
  void start_anew(uint64_t size_bytes);
  void write_at(uint64_t offset, std::span<const std::byte> bytes);
  void commit();  // once; nothing may be written afterwards

 private:
  std::string path_, part_, journal_;
  int part_fd_ = -1, journal_fd_ = -1;
  uint64_t journal_bytes_ = 0;
};

}  // namespace axk1
