#include "data/piece_counts.h"

#include <algorithm>
#include <mutex>

#include "base/error.h"
#include "base/utf8.h"
#include "io/checksum.h"
#include "tokenizer/unicode.h"

namespace axk1 {
namespace {

// Bytes that a thread takes from the reader at once.
constexpr size_t kBatchBytes = 256 << 10;

// What one thread cuts texts with.
class Cutter {
 public:
  Cutter(const TokenizerSpec& spec, CountedText& out) : spec_(spec), out_(out) {}

  void add(std::string_view text) {
    out_.bytes += text.size();
    while (!text.empty()) {
      const size_t valid = valid_utf8_prefix(text);
      if (valid > 0) add_valid(text.substr(0, valid));
      text.remove_prefix(valid);
      while (!text.empty()) {
        const Utf8Char c = decode_utf8(text);
        if (c.valid) break;
        out_.invalid_bytes += c.length;
        text.remove_prefix(c.length);
      }
    }
  }

 private:
  void add_valid(std::string_view text) {
    regex_.begin(text.size());
    if (!spec_.normalizer.empty()) text = spec_.normalizer.apply(text, regex_, normalized_);
    spec_.pre_tokenizer.run(text, regex_, pre_);
    for (const Piece piece : pre_.pieces) {
      for (size_t at = piece.begin; at < piece.end; at += kMaxPieceBytes) {
        out_.pieces.add(pre_.text.substr(at, std::min(kMaxPieceBytes, piece.end - at)), 1);
      }
    }
  }

  const TokenizerSpec& spec_;
  CountedText& out_;
  RegexScratch regex_;
  PreTokenizerScratch pre_;
  std::string normalized_;
};

}  // namespace

void PieceCounts::grow() {
  slots_.assign(std::max<size_t>(slots_.size() * 2, 1024), 0);
  const size_t mask = slots_.size() - 1;
  for (size_t i = 0; i < entries_.size(); ++i) {
    size_t slot = entries_[i].hash & mask;
    while (slots_[slot] != 0) slot = (slot + 1) & mask;
    slots_[slot] = static_cast<uint32_t>(i + 1);
  }
}

void PieceCounts::add(std::string_view piece, uint64_t count) {
  add_hashed(piece, checksum64(piece), count);
}

void PieceCounts::add_hashed(std::string_view piece, uint64_t hash, uint64_t count) {
  if (entries_.size() * 2 >= slots_.size()) grow();
  const size_t mask = slots_.size() - 1;
  size_t slot = hash & mask;
  for (; slots_[slot] != 0; slot = (slot + 1) & mask) {
    const size_t i = slots_[slot] - 1;
    if (entries_[i].hash == hash && this->piece(i) == piece) {
      entries_[i].count += count;
      return;
    }
  }
  if (entries_.size() >= UINT32_MAX - 1) {
    fail(ErrorCode::kOutOfMemory, "more than 4,294,967,294 different pieces of text");
  }
  entries_.push_back({hash, texts_.size(), count, static_cast<uint32_t>(piece.size())});
  texts_ += piece;
  slots_[slot] = static_cast<uint32_t>(entries_.size());
}

PieceCounts join_counts(std::vector<PieceCounts>&& parts, ThreadPool& pool) {
  // Every thread joins the pieces whose hashes are its own, then those are put one after the other.
  const auto threads = static_cast<size_t>(pool.num_threads());
  if (parts.size() == 1) return std::move(parts[0]);
  std::vector<PieceCounts> joined(threads);
  pool.run([&](int thread_idx) {
    const auto own = static_cast<size_t>(thread_idx);
    for (const PieceCounts& part : parts) {
      for (size_t i = 0; i < part.size(); ++i) {
        const uint64_t hash = part.entries_[i].hash;
        if ((hash >> 32) % threads == own) {
          joined[own].add_hashed(part.piece(i), hash, part.count(i));
        }
      }
    }
  });
  parts.clear();
  PieceCounts all;
  for (PieceCounts& part : joined) {
    const uint64_t shift = all.texts_.size();
    all.texts_ += part.texts_;
    for (PieceCounts::Entry entry : part.entries_) {
      entry.begin += shift;
      all.entries_.push_back(entry);
    }
    part = {};
  }
  size_t slots = 1024;
  while (slots < all.entries_.size() * 2) slots *= 2;
  all.slots_.assign(slots / 2, 0);
  all.grow();
  return all;
}

CountedText count_pieces(DocumentReader& reader, const std::vector<std::string>& fields,
                         const TokenizerSpec& spec, ThreadPool& pool,
                         const CountProgress& progress) {
  std::mutex mutex;  // guards what follows
  bool stop = false, interrupted = false;
  uint64_t text_bytes = 0;

  std::vector<CountedText> parts(static_cast<size_t>(pool.num_threads()));
  pool.run([&](int thread_idx) {
    CountedText& out = parts[static_cast<size_t>(thread_idx)];
    Cutter cutter(spec, out);
    std::vector<RawDocument> batch;
    try {
      while (true) {
        {
          const std::lock_guard lock(mutex);
          if (!stop && !progress(reader.bytes_done(), text_bytes)) stop = interrupted = true;
          if (stop) return;
          batch.clear();
          size_t bytes = 0;
          RawDocument document;
          while (bytes < kBatchBytes && reader.next(document)) {
            bytes += document.bytes.size();
            batch.push_back(std::move(document));
          }
        }
        if (batch.empty()) return;
        const uint64_t before = out.bytes;
        for (const RawDocument& document : batch) {
          for (const std::string& text : texts_of(document, fields, reader.place(document))) {
            cutter.add(text);
          }
          ++out.documents;
        }
        const std::lock_guard lock(mutex);
        text_bytes += out.bytes - before;
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      stop = true;
      throw;
    }
  });
  if (interrupted) fail(ErrorCode::kInvalidInput, "interrupted");

  CountedText all;
  std::vector<PieceCounts> counts;
  for (CountedText& part : parts) {
    all.documents += part.documents;
    all.bytes += part.bytes;
    all.invalid_bytes += part.invalid_bytes;
    counts.push_back(std::move(part.pieces));
  }
  all.pieces = join_counts(std::move(counts), pool);
  return all;
}

}  // namespace axk1
