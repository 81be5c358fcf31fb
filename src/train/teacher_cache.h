// A teacher's answers for every token of a training run, in one file: docs/formats.md, "Teacher
// caches". A student learns from it without the teacher, again and again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/rng.h"
#include "io/atomic_file.h"
#include "io/checksum.h"
#include "io/file.h"
#include "train/distil_loss.h"

namespace axk1 {

enum class TeacherCacheKind : uint32_t {
  kDraws = 1,  // tokens drawn from the teacher's distribution, with repetition: unbiased
  kTop = 2,    // the most likely tokens with their probabilities, and what is left
};

// What a cache was made for. One that was made for something else is refused.
struct TeacherCacheInfo {
  TeacherCacheKind kind = TeacherCacheKind::kDraws;
  uint32_t count = 12;      // draws, or tokens, of each position; 1 to 4096
  uint64_t vocab_size = 0;  // at least 1
  uint64_t num_positions = 0;
  float temperature = 1;        // of the distribution that was drawn from or cut
  uint64_t teacher_hash = 0;    // of its weights
  uint64_t tokenizer_hash = 0;  // data/tokenizer_hash.h
  uint64_t order_hash = 0;      // of the run file and its documents: which token is which position
};

// Bytes of a position. Ids take as many bits as the vocabulary needs, probabilities 16.
size_t teacher_cache_record_bytes(const TeacherCacheInfo& info);

// Writes positions in order; the file appears under its name with finish(). One thread at a time.
// Throws Error(kIo, kNotFound) naming the file.
class TeacherCacheWriter {
 public:
  // Throws Error(kInvalidInput) for an info that is out of range.
  TeacherCacheWriter(const std::string& path, const TeacherCacheInfo& info);

  // The next position. probabilities [vocab_size], which sum to 1; `rng` makes the draws. Empty:
  // the run wants nothing of the teacher there.
  void add(std::span<const float> probabilities, Rng& rng);
  void finish();  // after num_positions positions

 private:
  void flush();

  AtomicFile file_;
  TeacherCacheInfo info_;
  size_t record_bytes_;
  uint64_t num_added_ = 0, written_ = 0;
  std::vector<std::byte> buffer_;
  std::vector<uint32_t> order_;
  Checksum64 checksum_;
};

// A cache, mapped. Opening checks header and size, verify() the rest; reading checks every id, so
// that no damage gives one out of range. Errors are Error(kInvalidInput) naming the file, what was
// found and what was expected. Immutable; any thread may read.
class TeacherCache {
 public:
  // Throws also Error(kIo, kNotFound).
  static TeacherCache open(const std::string& path);
  // A file's bytes, which must outlive it; `source` is named in messages.
  TeacherCache(std::span<const std::byte> bytes, std::string source);

  const TeacherCacheInfo& info() const { return info_; }
  void verify() const;

  // A position's row; its spans are of `memory`.
  struct Memory {
    std::vector<int32_t> ids;
    std::vector<float> probabilities;
  };
  TeacherRow row(uint64_t position, Memory& memory) const;

 private:
  std::optional<MappedFile> file_;
  std::string source_;
  TeacherCacheInfo info_;
  size_t record_bytes_ = 0;
  std::span<const std::byte> records_;
  uint64_t checksum_ = 0;
};

}  // namespace axk1
