// GGUF containers, versions 2 and 3, little-endian: metadata and the table of tensors. The layout
// is that of docs/gguf.md in ggml-org/ggml. Every length and count comes from outside and is
// checked against the bytes that are there before anything is allocated.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/file.h"

namespace axk1 {

enum class GgufType : uint32_t {
  kU8 = 0,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64
};

const char* gguf_type_name(GgufType type);

// An array of scalars or strings. Arrays of arrays are refused by the reader. Views the file.
class GgufArray {
 public:
  GgufType type() const { return type_; }
  size_t size() const { return scalars_ ? count_ : strings_.size(); }
  // The elements, for arrays of strings; empty for others.
  std::span<const std::string_view> strings() const { return strings_; }
  // Element i as an integer (bool: 0 or 1) or number; nothing when it is of another kind.
  std::optional<int64_t> integer(size_t i) const;
  std::optional<double> number(size_t i) const;

 private:
  friend class GgufParser;
  GgufType type_ = GgufType::kU8;
  const std::byte* scalars_ = nullptr;  // count_ elements, unaligned
  size_t count_ = 0;
  std::vector<std::string_view> strings_;
};

struct GgufValue {
  GgufType type = GgufType::kU8;
  uint64_t bits = 0;        // scalars: sign-extended integer, or the bits of the double; bool 0/1
  std::string_view string;  // kString
  GgufArray array;          // kArray
};

struct GgufTensorInfo {
  std::string_view name;
  std::vector<uint64_t> dims;  // fastest-varying first, 1 to 4 of them, product below 2^63
  uint32_t ggml_type = 0;
  uint64_t offset = 0;     // from the start of the file
  uint64_t num_bytes = 0;  // 0 when the type is one whose block size we do not know
};

// Elements and bytes of one block of a ggml tensor type; nothing for unknown types.
struct GgmlBlock {
  uint32_t elements, bytes;
  const char* name;
};
std::optional<GgmlBlock> ggml_block(uint32_t ggml_type);

// A parsed file. Owns the mapping, when opened by path; else views bytes that must outlive it.
// Immutable; any thread may read it.
class GgufFile {
 public:
  // Throws Error(kInvalidInput or kUnsupported) naming the file and the place that is wrong.
  static GgufFile open(const std::string& path);
  static GgufFile parse(std::span<const std::byte> bytes, std::string source);

  const std::string& source() const { return source_; }
  uint32_t version() const { return version_; }

  const GgufValue* find(std::string_view key) const;  // nullptr when missing
  // Typed access: nothing when the key is missing; throws when it holds another kind of value.
  std::optional<std::string_view> find_string(std::string_view key) const;
  std::optional<int64_t> find_integer(std::string_view key) const;
  std::optional<bool> find_bool(std::string_view key) const;
  const GgufArray* find_array(std::string_view key) const;

  struct Entry {
    std::string_view key;
    GgufValue value;
  };
  const std::vector<Entry>& metadata() const { return metadata_; }
  const std::vector<GgufTensorInfo>& tensors() const { return tensors_; }
  std::span<const std::byte> tensor_bytes(const GgufTensorInfo& tensor) const {
    return bytes_.subspan(tensor.offset, tensor.num_bytes);
  }

 private:
  friend class GgufParser;
  GgufFile() = default;

  std::optional<MappedFile> file_;
  std::span<const std::byte> bytes_;
  std::string source_;
  uint32_t version_ = 0;
  std::vector<Entry> metadata_;   // in file order
  std::vector<uint32_t> by_key_;  // indices of metadata_, sorted by key
  std::vector<GgufTensorInfo> tensors_;
};

}  // namespace axk1
