// The header and the index of k1pack files (docs/formats.md, "k1pack"): what they say, how it is
// checked, how it is written. The container knows no model: records hold tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"
#include "tensor/dtype.h"

namespace axk1 {

inline constexpr std::string_view kK1PackMagic = "AXK1PACK";
inline constexpr uint32_t kK1PackVersion = 1;
inline constexpr uint64_t kK1PackPage = 4096;       // header, parts and streamed records
inline constexpr uint64_t kK1PackTensorAlign = 64;  // every tensor
inline constexpr size_t kMaxK1PackRank = 8;         // of plain tensors; quantised ones have 2

struct K1PackTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<uint64_t> shape;
  uint64_t offset = 0;      // bytes from the start of the file
  uint64_t size_bytes = 0;  // follows from dtype and shape

  uint64_t num_elements() const;
};

// Bytes that are read and checked together: tensors one after the other, each on a multiple of
// kK1PackTensorAlign, zeros between and after them.
struct K1PackRecord {
  std::string name;
  uint64_t offset = 0;      // bytes from the start of the file
  uint64_t size_bytes = 0;  // with padding
  uint64_t checksum = 0;    // of all of them
  std::vector<K1PackTensor> tensors;
};

// A small file carried inside, byte for byte.
struct K1PackMember {
  std::string name;
  uint64_t offset = 0;
  uint64_t size_bytes = 0;
  uint64_t checksum = 0;
};

struct K1PackExtent {
  uint64_t offset = 0;
  uint64_t size_bytes = 0;
  uint64_t end() const { return offset + size_bytes; }
};

// The parts of a file, in this order and without a gap: header, trunk, streamed, members, index.
struct K1PackHeader {
  K1PackExtent trunk;     // records that every token reads; multiple of kK1PackPage
  K1PackExtent streamed;  // records that are fetched one by one, each a multiple of kK1PackPage
  K1PackExtent members;
  K1PackExtent index;
  uint64_t index_checksum = 0;

  uint64_t file_bytes() const { return index.end(); }
};

struct K1PackIndex {
  std::vector<K1PackRecord> records;  // by offset; the trunk's first
  std::vector<K1PackMember> members;  // by offset
  json::object metadata;              // what the writer had to say: recipe, source, ...
  size_t num_trunk_records = 0;
};

// The bytes that dtype and shape take; nothing when they overflow, or for a shape that the type
// cannot have.
std::optional<uint64_t> k1pack_tensor_bytes(DType dtype, std::span<const uint64_t> shape);

// `first` is the beginning of a file of file_bytes, at least its first page. Throws Error naming
// `source` when it is no k1pack file, of another version, damaged or cut short.
K1PackHeader parse_k1pack_header(std::span<const std::byte> first, uint64_t file_bytes,
                                 const std::string& source);

// Checks everything against the header: names are unique, sizes fit shapes, tensors lie inside
// their records and records fill their parts. Throws Error naming `source`, the record and its
// offset. `text` is the index part, whose checksum the caller has compared.
K1PackIndex parse_k1pack_index(std::string_view text, const K1PackHeader& header,
                               const std::string& source);

// The other way round: kK1PackPage bytes, and the text of the index part.
std::string k1pack_header_bytes(const K1PackHeader& header);
std::string k1pack_index_text(const K1PackIndex& index);

}  // namespace axk1
