#include "formats/k1pack.h"

#include <atomic>
#include <cstring>
#include <mutex>
#include <vector>

#include "base/bits.h"
#include "base/error.h"
#include "io/checksum.h"

namespace axk1 {
namespace {

// Of one read: large enough for any disk's full rate, small enough to stay in a second-level cache
// between the read and its checksum.
constexpr uint64_t kReadBytes = uint64_t{1} << 20;
// Of one read into memory where it stays.
constexpr uint64_t kLoadBytes = uint64_t{8} << 20;
// Adds up what threads report, and hands it on one at a time.
class SharedProgress {
 public:
  SharedProgress(const ByteProgress& report, uint64_t total) : report_(report), total_(total) {}
  void add(uint64_t bytes) {
    if (!report_) return;
    const std::lock_guard lock(mutex_);
    done_ += bytes;
    report_(done_, total_);
  }

 private:
  const ByteProgress& report_;
  uint64_t total_, done_ = 0;
  std::mutex mutex_;
};

// The first address inside that a direct read may go to.
std::byte* first_page(Buffer& buffer) {
  return reinterpret_cast<std::byte*>(
      round_up(reinterpret_cast<uintptr_t>(buffer.data()), kDirectAlignment));
}

std::string place(const K1PackRecord& record) {
  return cat("record \"", printable(record.name), "\" at offset ", record.offset);
}

}  // namespace

bool is_k1pack(const std::string& path) {
  if (is_directory(path)) return false;
  if (path.ends_with(".k1pack")) return true;
  if (!is_regular_file(path)) return false;
  return read_file_start(path, kK1PackMagic.size()) == kK1PackMagic;
}

K1PackFile::K1PackFile(const std::string& path, K1PackLoad load, const ByteProgress& progress)
    : file_(path) {
  const std::span<const std::byte> bytes = file_.bytes();
  header_ = parse_k1pack_header(bytes, bytes.size(), path);
  const auto index = bytes.subspan(header_.index.offset, header_.index.size_bytes);
  if (checksum64(index) != header_.index_checksum) {
    fail(ErrorCode::kInvalidInput, path, ": the index at offset ", header_.index.offset,
         " is damaged: its checksum does not fit");
  }
  index_ = parse_k1pack_index({reinterpret_cast<const char*>(index.data()), index.size()}, header_,
                              path);
  records_ = bytes.data();
  if (load == K1PackLoad::kMap) return;

  const uint64_t first = header_.trunk.offset, total = header_.streamed.end() - first;
  memory_ = Buffer::untouched(total + kDirectAlignment);
  std::byte* to = first_page(memory_);
  const DirectReader reader(path);
  SharedProgress done(progress, total);
  ThreadPool pool(kDiskReaders);
  pool.parallel_tasks(ceil_div(total, kLoadBytes), [&](size_t i, int) {
    const uint64_t at = i * kLoadBytes, size = std::min(kLoadBytes, total - at);
    reader.read(first + at, {to + at, size});
    done.add(size);
  });
  records_ = to - first;
}

NamedFiles K1PackFile::members() const {
  std::map<std::string, std::string> contents;
  for (const K1PackMember& member : index_.members) {
    const auto bytes = file_.bytes().subspan(member.offset, member.size_bytes);
    if (checksum64(bytes) != member.checksum) {
      fail(ErrorCode::kInvalidInput, path(), ": member \"", member.name, "\" at offset ",
           member.offset, " is damaged: its checksum does not fit");
    }
    contents[member.name].assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  return NamedFiles(path(), std::move(contents));
}

NamedFiles open_model_files(const std::string& path) {
  return is_k1pack(path) ? K1PackFile(path).members() : NamedFiles(path);
}

size_t first_damaged_record(const DirectReader& file, std::span<const K1PackRecord> records,
                            ThreadPool& pool, const ByteProgress& progress) {
  uint64_t total = 0;
  for (const K1PackRecord& record : records) total += record.size_bytes;
  SharedProgress done(progress, total);
  std::atomic<size_t> damaged = records.size();
  std::vector<Buffer> buffers(static_cast<size_t>(pool.num_threads()));
  pool.parallel_tasks(records.size(), [&](size_t i, int thread_idx) {
    if (i > damaged.load(std::memory_order_relaxed)) return;
    Buffer& buffer = buffers[static_cast<size_t>(thread_idx)];
    // A record of the trunk begins and ends inside pages: whole pages are read.
    if (buffer.size_bytes() == 0) buffer = Buffer(kReadBytes + 3 * kDirectAlignment);
    std::byte* page = first_page(buffer);
    const K1PackRecord& record = records[i];
    Checksum64 checksum;
    bool fits = record.offset + record.size_bytes <= file.size_bytes();
    for (uint64_t at = 0; fits && at < record.size_bytes; at += kReadBytes) {
      const uint64_t size = std::min(kReadBytes, record.size_bytes - at);
      const uint64_t begin = record.offset + at, skip = begin % kDirectAlignment;
      const uint64_t pages = round_up(skip + size, kDirectAlignment);
      fits = begin - skip + pages <= file.size_bytes();
      if (!fits) break;
      file.read(begin - skip, {page, pages});
      checksum.update({page + skip, size});
      done.add(size);
    }
    if (fits && checksum.digest() == record.checksum) return;
    size_t lowest = damaged.load();
    while (i < lowest && !damaged.compare_exchange_weak(lowest, i)) {
    }
  });
  return damaged;
}

void verify_k1pack(const K1PackFile& file, ThreadPool& pool, const ByteProgress& progress) {
  file.members();
  const DirectReader reader(file.path());
  const size_t damaged = first_damaged_record(reader, file.records(), pool, progress);
  if (damaged == file.records().size()) return;
  const K1PackRecord& record = file.records()[damaged];
  fail(ErrorCode::kInvalidInput, file.path(), ": ", place(record), " (", record.size_bytes,
       " bytes) is damaged: its checksum does not fit");
}

}  // namespace axk1
