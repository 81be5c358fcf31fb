#include "formats/k1pack_index.h"

#include <cstring>
#include <limits>
#include <unordered_set>

#include "base/bits.h"
#include "base/error.h"
#include "io/checksum.h"
#include "tensor/packed.h"

namespace axk1 {
namespace {

constexpr DType kDTypes[] = {DType::kF32, DType::kBF16, DType::kF16, DType::kI32,
                             DType::kQ8,  DType::kQ4,   DType::kQ3};
constexpr uint64_t kMaxSize = std::numeric_limits<int64_t>::max();
constexpr size_t kChecksumAt = kK1PackPage - sizeof(uint64_t);

uint64_t read_u64(std::span<const std::byte> bytes, size_t at) {
  uint64_t value = 0;
  for (size_t i = 8; i-- > 0;) value = value << 8 | std::to_integer<uint64_t>(bytes[at + i]);
  return value;
}

void put(std::string& bytes, size_t at, uint64_t value, size_t size) {
  for (size_t i = 0; i < size; ++i) bytes[at + i] = static_cast<char>(value >> (8 * i) & 0xff);
}

// Where the fields of the header stand, in the order of the file.
constexpr size_t kVersionAt = 8, kHeaderBytesAt = 12, kFileBytesAt = 16, kExtentsAt = 24,
                 kIndexChecksumAt = 88;

class IndexReader {
 public:
  IndexReader(const K1PackHeader& header, const std::string& source)
      : header_(header), source_(source) {}

  K1PackIndex read(const json::value& document) {
    const json::ObjectReader reader(document, source_ + ": index");
    known_keys(reader, {"trunk", "streamed", "members", "metadata"});
    records(reader, "trunk", header_.trunk, kK1PackTensorAlign);
    index_.num_trunk_records = index_.records.size();
    records(reader, "streamed", header_.streamed, kK1PackPage);
    members(reader);
    const json::value& metadata = reader.get("metadata");
    if (!metadata.is_object()) reader.wrong("metadata", metadata, "an object");
    index_.metadata = metadata.get_object();
    return std::move(index_);
  }

 private:
  static void known_keys(const json::ObjectReader& reader,
                         std::initializer_list<std::string_view> names) {
    for (const auto& [key, value] : reader.fields()) {
      if (std::find(names.begin(), names.end(), std::string_view(key)) == names.end()) {
        fail(ErrorCode::kInvalidInput, reader.source(), ": unknown field \"", printable(key), "\"");
      }
    }
  }

  static uint64_t size(const json::ObjectReader& reader, std::string_view field) {
    return static_cast<uint64_t>(reader.get_int(field, 0, static_cast<int64_t>(kMaxSize)));
  }

  static uint64_t checksum(const json::ObjectReader& reader) {
    const auto value = parse_checksum(reader.get_string("checksum"));
    if (!value) reader.wrong("checksum", reader.get("checksum"), "16 hexadecimal digits");
    return *value;
  }

  static const json::array& list(const json::ObjectReader& reader, std::string_view field) {
    const json::value& found = reader.get(field);
    if (!found.is_array()) reader.wrong(field, found, "an array");
    return found.get_array();
  }

  // The name must be new: a reader that finds one of two would depend on chance.
  std::string unique_name(const json::ObjectReader& reader, std::unordered_set<std::string>& seen) {
    std::string name = reader.get_string("name");
    if (name.empty() || !seen.insert(name).second) {
      fail(ErrorCode::kInvalidInput, reader.source(), ": the name \"", printable(name),
           name.empty() ? "\" is empty" : "\" occurs twice");
    }
    return name;
  }

  // What comes next must begin where the last ended, so that no byte is left unchecked.
  void expect_offset(const std::string& what, uint64_t offset, uint64_t expected,
                     uint64_t size_bytes, uint64_t end) const {
    if (offset != expected) {
      fail(ErrorCode::kInvalidInput, source_, ": ", what, " begins at offset ", offset,
           ", expected ", expected);
    }
    if (size_bytes > end - offset) {
      fail(ErrorCode::kInvalidInput, source_, ": ", what, " at offset ", offset, " has ",
           size_bytes, " bytes, but its part of the file ends at ", end);
    }
  }

  void records(const json::ObjectReader& reader, std::string_view field, const K1PackExtent& extent,
               uint64_t alignment) {
    const json::array& found = list(reader, field);
    uint64_t next = extent.offset;
    for (size_t i = 0; i < found.size(); ++i) {
      const json::ObjectReader entry(found[i], cat(reader.source(), ": ", field, " record ", i));
      known_keys(entry, {"name", "offset", "bytes", "checksum", "tensors"});
      K1PackRecord record;
      record.name = unique_name(entry, record_names_);
      record.offset = size(entry, "offset");
      record.size_bytes = size(entry, "bytes");
      record.checksum = checksum(entry);
      const std::string what = cat("record \"", printable(record.name), "\"");
      expect_offset(what, record.offset, next, record.size_bytes, extent.end());
      if (record.size_bytes % alignment != 0) {
        fail(ErrorCode::kInvalidInput, source_, ": ", what, " at offset ", record.offset, " has ",
             record.size_bytes, " bytes, expected a multiple of ", alignment);
      }
      tensors(entry, what, record);
      next += record.size_bytes;
      index_.records.push_back(std::move(record));
    }
    expect_end(field, next, extent);
  }

  void expect_end(std::string_view part, uint64_t end, const K1PackExtent& extent) const {
    if (end == extent.end()) return;
    fail(ErrorCode::kInvalidInput, source_, ": what the index lists for the ", part,
         " part ends at offset ", end, ", the header says ", extent.end());
  }

  void tensors(const json::ObjectReader& entry, const std::string& what, K1PackRecord& record) {
    uint64_t next = record.offset;
    for (const json::value& item : list(entry, "tensors")) {
      const json::ObjectReader reader(item, cat(entry.source(), ": tensor"));
      known_keys(reader, {"name", "dtype", "shape", "offset"});
      K1PackTensor tensor;
      tensor.name = unique_name(reader, tensor_names_);
      tensor.dtype = dtype(reader);
      for (const json::value& extent : list(reader, "shape")) {
        if (!extent.is_int64() || extent.get_int64() < 0) {
          reader.wrong("shape", extent, "extents that are not negative");
        }
        tensor.shape.push_back(static_cast<uint64_t>(extent.get_int64()));
        if (tensor.shape.size() > kMaxK1PackRank) {
          fail(ErrorCode::kInvalidInput, reader.source(), " \"", printable(tensor.name),
               "\": has more than ", kMaxK1PackRank, " dimensions");
        }
      }
      const auto bytes = k1pack_tensor_bytes(tensor.dtype, tensor.shape);
      if (!bytes) {
        fail(ErrorCode::kInvalidInput, reader.source(), " \"", printable(tensor.name),
             "\": its shape is none that type ", dtype_name(tensor.dtype), " can have");
      }
      tensor.size_bytes = *bytes;
      tensor.offset = size(reader, "offset");
      const uint64_t end = record.offset + record.size_bytes;
      const uint64_t expected = round_up(next, kK1PackTensorAlign);
      if (tensor.offset != expected || tensor.offset > end ||
          tensor.size_bytes > end - tensor.offset) {
        fail(ErrorCode::kInvalidInput, source_, ": ", what, " at offset ", record.offset,
             ": tensor \"", printable(tensor.name), "\" of ", tensor.size_bytes, " bytes lies at ",
             tensor.offset, ", expected at ", expected, " and to end by the record's end at ", end);
      }
      next = tensor.offset + tensor.size_bytes;
      record.tensors.push_back(std::move(tensor));
    }
  }

  static DType dtype(const json::ObjectReader& reader) {
    const std::string name = reader.get_string("dtype");
    for (DType candidate : kDTypes) {
      if (name == dtype_name(candidate)) return candidate;
    }
    reader.wrong("dtype", reader.get("dtype"), "F32, BF16, F16, I32, Q8, Q4 or Q3");
  }

  void members(const json::ObjectReader& reader) {
    std::unordered_set<std::string> names;
    uint64_t next = header_.members.offset;
    for (const json::value& item : list(reader, "members")) {
      const json::ObjectReader entry(item, cat(reader.source(), ": member"));
      known_keys(entry, {"name", "offset", "bytes", "checksum"});
      K1PackMember member;
      member.name = unique_name(entry, names);
      if (!is_plain_path(member.name)) {
        entry.wrong("name", entry.get("name"), "a relative path without \"..\"");
      }
      member.offset = size(entry, "offset");
      member.size_bytes = size(entry, "bytes");
      member.checksum = checksum(entry);
      expect_offset(cat("member \"", member.name, "\""), member.offset, next, member.size_bytes,
                    header_.members.end());
      next += member.size_bytes;
      index_.members.push_back(std::move(member));
    }
    expect_end("members", next, header_.members);
  }

  // Members are written out under their names when a file is unpacked.
  static bool is_plain_path(std::string_view path) {
    while (true) {
      const size_t slash = path.find('/');
      const std::string_view part = path.substr(0, slash);
      if (part.empty() || part == "." || part == "..") return false;
      for (char c : part) {
        if (static_cast<unsigned char>(c) < 0x20 || c == '\\' || c == 0x7f) return false;
      }
      if (slash == std::string_view::npos) return true;
      path.remove_prefix(slash + 1);
    }
  }

  const K1PackHeader& header_;
  const std::string& source_;
  K1PackIndex index_;
  std::unordered_set<std::string> record_names_, tensor_names_;
};

json::array records_json(std::span<const K1PackRecord> records) {
  json::array out;
  for (const K1PackRecord& record : records) {
    json::array tensors;
    for (const K1PackTensor& tensor : record.tensors) {
      tensors.push_back({{"name", tensor.name},
                         {"dtype", dtype_name(tensor.dtype)},
                         {"shape", json::array(tensor.shape.begin(), tensor.shape.end())},
                         {"offset", tensor.offset}});
    }
    out.push_back({{"name", record.name},
                   {"offset", record.offset},
                   {"bytes", record.size_bytes},
                   {"checksum", checksum_text(record.checksum)},
                   {"tensors", std::move(tensors)}});
  }
  return out;
}

}  // namespace

uint64_t K1PackTensor::num_elements() const {
  uint64_t count = 1;
  for (uint64_t extent : shape) count *= extent;
  return count;
}

std::optional<uint64_t> k1pack_tensor_bytes(DType dtype, std::span<const uint64_t> shape) {
  std::optional<uint64_t> elements = 1;
  for (uint64_t extent : shape) {
    if (elements) elements = checked_mul(*elements, extent);
  }
  // Quantised panels pad rows to 16 and columns to 32 at most, and take up to 2 bytes an element
  // with their scales; so this leaves room for any rounding.
  constexpr uint64_t kMostElements = kMaxSize >> 12;
  if (!elements || *elements > kMostElements) return std::nullopt;
  if (!is_quantized(dtype)) return *elements * dtype_bytes(dtype);
  if (shape.size() != 2) return std::nullopt;
  if (shape[0] > kMostElements || shape[1] > kMostElements || *elements == 0) return std::nullopt;
  return matrix_bytes(dtype, shape[0], shape[1]);
}

K1PackHeader parse_k1pack_header(std::span<const std::byte> first, uint64_t file_bytes,
                                 const std::string& source) {
  if (first.size() < kK1PackMagic.size() ||
      std::memcmp(first.data(), kK1PackMagic.data(), kK1PackMagic.size()) != 0) {
    fail(ErrorCode::kInvalidInput, source, ": is no k1pack file: expected it to begin with \"",
         kK1PackMagic, "\"");
  }
  if (first.size() < kK1PackPage) {
    fail(ErrorCode::kInvalidInput, source, ": is cut short: has ", file_bytes,
         " bytes, expected a header of ", kK1PackPage);
  }
  first = first.first(kK1PackPage);
  const auto version = static_cast<uint32_t>(read_u64(first, kVersionAt));
  if (version != kK1PackVersion) {
    fail(ErrorCode::kUnsupported, source, ": is of version ", version, " of the format, expected ",
         kK1PackVersion);
  }
  if (checksum64(first.first(kChecksumAt)) != read_u64(first, kChecksumAt)) {
    fail(ErrorCode::kInvalidInput, source,
         ": the header at offset 0 is damaged: its checksum does not fit");
  }
  const uint64_t expected_bytes = read_u64(first, kFileBytesAt);
  if (file_bytes != expected_bytes) {
    fail(ErrorCode::kInvalidInput, source, file_bytes < expected_bytes ? ": is cut short" : "",
         ": has ", file_bytes, " bytes, expected ", expected_bytes, " by its header");
  }
  K1PackHeader header;
  uint64_t next = kK1PackPage;
  size_t at = kExtentsAt;
  for (K1PackExtent* part : {&header.trunk, &header.streamed, &header.members, &header.index}) {
    part->offset = read_u64(first, at);
    part->size_bytes = read_u64(first, at + 8);
    at += 16;
    if (part->offset != next || part->size_bytes > file_bytes - next) {
      fail(ErrorCode::kInvalidInput, source, ": the header says that a part of ", part->size_bytes,
           " bytes begins at offset ", part->offset, ", expected at ", next, " and to end by ",
           file_bytes);
    }
    next += part->size_bytes;
  }
  header.index_checksum = read_u64(first, kIndexChecksumAt);
  if (next != file_bytes || header.streamed.offset % kK1PackPage != 0 ||
      header.members.offset % kK1PackPage != 0) {
    fail(ErrorCode::kInvalidInput, source,
         ": the parts that the header names do not fill the file in whole pages");
  }
  return header;
}

K1PackIndex parse_k1pack_index(std::string_view text, const K1PackHeader& header,
                               const std::string& source) {
  return IndexReader(header, source).read(json::parse(text, source + ": index"));
}

std::string k1pack_header_bytes(const K1PackHeader& header) {
  std::string bytes(kK1PackPage, '\0');
  bytes.replace(0, kK1PackMagic.size(), kK1PackMagic);
  put(bytes, kVersionAt, kK1PackVersion, 4);
  put(bytes, kHeaderBytesAt, kK1PackPage, 4);
  put(bytes, kFileBytesAt, header.file_bytes(), 8);
  size_t at = kExtentsAt;
  for (const K1PackExtent* part :
       {&header.trunk, &header.streamed, &header.members, &header.index}) {
    put(bytes, at, part->offset, 8);
    put(bytes, at + 8, part->size_bytes, 8);
    at += 16;
  }
  put(bytes, kIndexChecksumAt, header.index_checksum, 8);
  put(bytes, kChecksumAt, checksum64(std::string_view(bytes).substr(0, kChecksumAt)), 8);
  return bytes;
}

std::string k1pack_index_text(const K1PackIndex& index) {
  const std::span<const K1PackRecord> records = index.records;
  json::array members;
  for (const K1PackMember& member : index.members) {
    members.push_back({{"name", member.name},
                       {"offset", member.offset},
                       {"bytes", member.size_bytes},
                       {"checksum", checksum_text(member.checksum)}});
  }
  return json::to_text(
      json::object{{"metadata", index.metadata},
                   {"members", std::move(members)},
                   {"trunk", records_json(records.first(index.num_trunk_records))},
                   {"streamed", records_json(records.subspan(index.num_trunk_records))}});
}

}  // namespace axk1
