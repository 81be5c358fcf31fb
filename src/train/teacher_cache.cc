#include "train/teacher_cache.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/bits.h"
#include "base/check.h"
#include "base/error.h"

namespace axk1 {
namespace {

constexpr char kMagic[8] = {'A', 'X', 'K', '1', 'T', 'C', 'H', 'R'};
constexpr uint32_t kVersion = 1;
constexpr uint32_t kMaxCount = 4096;
constexpr uint64_t kMaxVocab = uint64_t{1} << 31;
constexpr size_t kBufferBytes = 1 << 20;
// A probability is stored as 8 bits of exponent and 8 of mantissa, rounded to nearest: off by at
// most 2^-9 of itself, from 1 down to 2^-255.
constexpr int kMantissaBits = 8;

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t kind;
  uint32_t count;
  float temperature;
  uint64_t vocab_size;
  uint64_t num_positions;
  uint64_t teacher_hash;
  uint64_t tokenizer_hash;
  uint64_t order_hash;
  uint64_t records_checksum;
  uint64_t reserved[6];  // zero
  uint64_t checksum;     // of the bytes before
};
static_assert(sizeof(Header) == 128);

uint64_t header_checksum(const Header& header) {
  return checksum64(std::as_bytes(std::span(&header, 1)).first(offsetof(Header, checksum)));
}

unsigned id_bits(uint64_t vocab_size) {
  return static_cast<unsigned>(std::bit_width(std::max<uint64_t>(vocab_size - 1, 1)));
}

uint32_t pack_probability(float p) {
  if (!(p > 0)) return 0;
  int exponent;
  const float mantissa = std::frexp(std::min(p, 1.0f), &exponent);  // [0.5, 1), exponent <= 1
  const auto code =
      static_cast<int>(std::lround((mantissa * 2 - 1) * static_cast<float>(1 << kMantissaBits))) +
      ((exponent + 254) << kMantissaBits);
  return static_cast<uint32_t>(std::clamp(code, 0, 0xFFFF));
}

float unpack_probability(uint32_t code) {
  if (code == 0) return 0;
  const float mantissa = 1 + static_cast<float>(code & ((1 << kMantissaBits) - 1)) /
                                 static_cast<float>(1 << kMantissaBits);
  return std::ldexp(mantissa, static_cast<int>(code >> kMantissaBits) - 255);
}

// Bits of a record, lowest first.
class BitWriter {
 public:
  explicit BitWriter(std::byte* to) : to_(to) {}
  void write(uint32_t value, unsigned bits) {
    for (unsigned i = 0; i < bits; ++i, ++at_) {
      if (value >> i & 1) to_[at_ / 8] |= static_cast<std::byte>(1u << at_ % 8);
    }
  }

 private:
  std::byte* to_;
  size_t at_ = 0;
};

class BitReader {
 public:
  explicit BitReader(std::span<const std::byte> from) : from_(from) {}
  uint32_t read(unsigned bits) {
    uint64_t word = 0;
    const size_t byte = at_ / 8, have = std::min<size_t>(8, from_.size() - byte);
    std::memcpy(&word, from_.data() + byte, have);
    const uint64_t value = word >> at_ % 8 & ((uint64_t{1} << bits) - 1);
    at_ += bits;
    return static_cast<uint32_t>(value);
  }

 private:
  std::span<const std::byte> from_;
  size_t at_ = 0;
};

void check_info(const std::string& source, const TeacherCacheInfo& info) {
  const auto require = [&](bool ok, const char* what, auto found, const char* expected) {
    if (!ok)
      fail(ErrorCode::kInvalidInput, source, ": ", what, " ", found, ", expected ", expected);
  };
  require(info.kind == TeacherCacheKind::kDraws || info.kind == TeacherCacheKind::kTop, "kind",
          static_cast<uint32_t>(info.kind), "1 (draws) or 2 (top)");
  require(info.count >= 1 && info.count <= kMaxCount, "count", info.count, "1 to 4096");
  require(info.vocab_size >= 1 && info.vocab_size <= kMaxVocab, "vocabulary", info.vocab_size,
          "1 to 2147483648 tokens");
  require(info.count <= info.vocab_size || info.kind == TeacherCacheKind::kDraws, "count",
          info.count, "at most the vocabulary");
  require(info.temperature > 0 && std::isfinite(info.temperature), "temperature", info.temperature,
          "more than 0");
}

}  // namespace

// One bit says whether there is a row. Draws are in ascending order; of top the rest comes last.
size_t teacher_cache_record_bytes(const TeacherCacheInfo& info) {
  const unsigned ids = id_bits(info.vocab_size);
  const size_t bits = info.kind == TeacherCacheKind::kDraws ? 1 + size_t{info.count} * ids
                                                            : 17 + size_t{info.count} * (ids + 16);
  return ceil_div(bits, 8);
}

TeacherCacheWriter::TeacherCacheWriter(const std::string& path, const TeacherCacheInfo& info)
    : file_(path),
      info_(info),
      record_bytes_((check_info(path, info), teacher_cache_record_bytes(info))) {
  buffer_.reserve(kBufferBytes);
}

void TeacherCacheWriter::add(std::span<const float> probabilities, Rng& rng) {
  AXK1_CHECK(num_added_ < info_.num_positions);
  AXK1_CHECK(probabilities.empty() || probabilities.size() == info_.vocab_size);
  if (buffer_.size() + record_bytes_ > kBufferBytes) flush();
  buffer_.resize(buffer_.size() + record_bytes_);
  BitWriter bits(buffer_.data() + buffer_.size() - record_bytes_);
  ++num_added_;
  bits.write(!probabilities.empty(), 1);
  if (probabilities.empty()) return;
  const unsigned width = id_bits(info_.vocab_size);
  if (info_.kind == TeacherCacheKind::kDraws) {
    std::vector<double> points(info_.count);
    double total = 0;
    for (float p : probabilities) total += double{p};
    for (double& point : points) point = rng.uniform() * total;
    std::sort(points.begin(), points.end());
    double sum = 0;
    uint32_t id = 0, last = 0;
    for (double point : points) {
      while (id < probabilities.size() && sum + double{probabilities[id]} <= point) {
        sum += double{probabilities[id++]};
      }
      if (id < probabilities.size()) last = id;  // should rounding leave something over
      bits.write(last, width);
    }
    return;
  }
  order_.resize(probabilities.size());
  std::iota(order_.begin(), order_.end(), 0);
  const auto end = order_.begin() + static_cast<std::ptrdiff_t>(info_.count);
  std::partial_sort(order_.begin(), end, order_.end(), [&](uint32_t a, uint32_t b) {
    return probabilities[a] != probabilities[b] ? probabilities[a] > probabilities[b] : a < b;
  });
  double named = 0;
  for (auto it = order_.begin(); it != end; ++it) {
    bits.write(*it, width);
    bits.write(pack_probability(probabilities[*it]), 16);
    named += double{probabilities[*it]};
  }
  bits.write(pack_probability(static_cast<float>(std::max(0.0, 1 - named))), 16);
}

void TeacherCacheWriter::flush() {
  file_.write_at(sizeof(Header) + written_, buffer_);
  checksum_.update(buffer_);
  written_ += buffer_.size();
  buffer_.clear();
}

void TeacherCacheWriter::finish() {
  AXK1_CHECK(num_added_ == info_.num_positions);
  flush();
  Header header{.version = kVersion,
                .kind = static_cast<uint32_t>(info_.kind),
                .count = info_.count,
                .temperature = info_.temperature,
                .vocab_size = info_.vocab_size,
                .num_positions = info_.num_positions,
                .teacher_hash = info_.teacher_hash,
                .tokenizer_hash = info_.tokenizer_hash,
                .order_hash = info_.order_hash,
                .records_checksum = checksum_.digest()};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.checksum = header_checksum(header);
  file_.write_at(0, std::as_bytes(std::span(&header, 1)));
  file_.commit();
}

TeacherCache TeacherCache::open(const std::string& path) {
  MappedFile file(path);
  TeacherCache cache(file.bytes(), path);
  cache.file_ = std::move(file);  // the bytes stay where they are
  return cache;
}

TeacherCache::TeacherCache(std::span<const std::byte> bytes, std::string source)
    : source_(std::move(source)) {
  const auto refuse = [&](const auto&... parts) {
    fail(ErrorCode::kInvalidInput, source_, ": ", parts...);
  };
  Header header;
  if (bytes.size() < sizeof header) {
    refuse("found ", bytes.size(), " bytes, expected a teacher cache of at least ", sizeof header);
  }
  std::memcpy(&header, bytes.data(), sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) {
    refuse("is no teacher cache: begins with \"",
           printable({reinterpret_cast<const char*>(bytes.data()), sizeof kMagic}),
           "\", expected \"AXK1TCHR\"");
  }
  if (header.version != kVersion) {
    fail(ErrorCode::kUnsupported, source_, ": teacher cache of version ", header.version,
         ", expected ", kVersion);
  }
  if (header_checksum(header) != header.checksum) {
    refuse("the header is damaged: found checksum ", checksum_text(header_checksum(header)),
           ", expected ", checksum_text(header.checksum));
  }
  if (std::ranges::any_of(header.reserved, [](uint64_t word) { return word != 0; })) {
    refuse("found fields that version ", kVersion, " does not have");
  }
  info_ = {.kind = static_cast<TeacherCacheKind>(header.kind),
           .count = header.count,
           .vocab_size = header.vocab_size,
           .num_positions = header.num_positions,
           .temperature = header.temperature,
           .teacher_hash = header.teacher_hash,
           .tokenizer_hash = header.tokenizer_hash,
           .order_hash = header.order_hash};
  check_info(source_, info_);
  record_bytes_ = teacher_cache_record_bytes(info_);
  const auto size = checked_mul(header.num_positions, record_bytes_);
  if (!size || *size != bytes.size() - sizeof header) {
    refuse("found ", bytes.size(), " bytes, expected ", sizeof header, " and ", record_bytes_,
           " for each of ", header.num_positions, " positions");
  }
  records_ = bytes.subspan(sizeof header);
  checksum_ = header.records_checksum;
}

void TeacherCache::verify() const {
  if (const uint64_t found = checksum64(records_); found != checksum_) {
    fail(ErrorCode::kInvalidInput, source_, ": the records are damaged: found checksum ",
         checksum_text(found), ", expected ", checksum_text(checksum_));
  }
}

TeacherRow TeacherCache::row(uint64_t position, Memory& memory) const {
  AXK1_CHECK(position < info_.num_positions);
  BitReader bits(records_.subspan(position * record_bytes_, record_bytes_));
  if (!bits.read(1)) return {};
  const unsigned width = id_bits(info_.vocab_size);
  const bool draws = info_.kind == TeacherCacheKind::kDraws;
  memory.ids.clear();
  memory.probabilities.clear();
  for (uint32_t i = 0; i < info_.count; ++i) {
    const uint32_t id = bits.read(width);
    if (id >= info_.vocab_size) {
      fail(ErrorCode::kInvalidInput, source_, ": found token id ", id, " at position ", position,
           ", expected 0 to ", info_.vocab_size - 1);
    }
    if (draws && !memory.ids.empty() && memory.ids.back() == static_cast<int32_t>(id)) {
      memory.probabilities.back() += 1;
      continue;
    }
    memory.ids.push_back(static_cast<int32_t>(id));
    memory.probabilities.push_back(draws ? 1 : unpack_probability(bits.read(16)));
  }
  if (draws) {
    for (float& p : memory.probabilities) p /= static_cast<float>(info_.count);
    return {TeacherRow::Kind::kDraws, memory.ids, memory.probabilities, 0};
  }
  return {TeacherRow::Kind::kTop, memory.ids, memory.probabilities,
          unpack_probability(bits.read(16))};
}

}  // namespace axk1
