// Native weights files (docs/formats.md, "k1pack"): everything a model needs in one file, stored as
// the kernels read it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "formats/k1pack_index.h"
#include "io/direct_reader.h"
#include "io/file.h"
#include "io/named_files.h"
#include "parallel/thread_pool.h"
#include "tensor/buffer.h"

namespace axk1 {

// Whether a path is to be opened as a k1pack file: it is no directory and is called one, or begins
// as one does. So a damaged file, or one that is missing, is named as what it should be.
bool is_k1pack(const std::string& path);

enum class K1PackLoad {
  kMap,   // pages come from the disk when they are first touched, and may leave again
  kRead,  // all records are read at once, past the page cache, into huge pages
};

// Threads of a pool for reading files: the reads under way at once that let a solid-state disk give
// its full rate.
inline constexpr int kDiskReaders = 8;

// Bytes done of all; any thread may call it, one at a time.
using ByteProgress = std::function<void(uint64_t done, uint64_t total)>;

// An open file, its header and index checked; records are not (verify_k1pack). Owns the bytes;
// movable, spans stay valid. Any thread may read.
class K1PackFile {
 public:
  // Throws Error naming the file, and the record and offset where there is one.
  explicit K1PackFile(const std::string& path, K1PackLoad load = K1PackLoad::kMap,
                      const ByteProgress& progress = {});

  const std::string& path() const { return file_.path(); }
  uint64_t size_bytes() const { return file_.bytes().size(); }
  const K1PackHeader& header() const { return header_; }
  const K1PackIndex& index() const { return index_; }
  std::span<const K1PackRecord> records() const { return index_.records; }

  // Of a tensor of this file; 64-byte aligned.
  std::span<const std::byte> bytes(const K1PackTensor& tensor) const {
    return {records_ + tensor.offset, tensor.size_bytes};
  }
  // The small files inside, their checksums compared. Throws Error naming the member and offset.
  NamedFiles members() const;

 private:
  MappedFile file_;
  K1PackHeader header_;
  K1PackIndex index_;
  Buffer memory_;                       // kRead: trunk and streamed records
  const std::byte* records_ = nullptr;  // byte 0 of the file, as far as tensors are concerned
};

// The small files of a model: of a directory or of a k1pack file.
NamedFiles open_model_files(const std::string& path);

// Reads records [first, last) from the disk and compares checksums: the lowest that does not fit,
// or `last`. A file that ends early counts as one that does not fit.
size_t first_damaged_record(const DirectReader& file, std::span<const K1PackRecord> records,
                            ThreadPool& pool, const ByteProgress& progress = {});

// Compares every checksum of the file with what the disk holds. Throws Error naming the record or
// the member and its offset.
void verify_k1pack(const K1PackFile& file, ThreadPool& pool, const ByteProgress& progress = {});

}  // namespace axk1
