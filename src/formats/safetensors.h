// Files of named tensors in the safetensors format (docs/formats.md): 8 bytes little-endian header
// length, a JSON header, then the data of the tensors without gaps.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "io/file.h"
#include "tensor/dtype.h"

namespace axk1 {

inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;  // the limit of the reference
inline constexpr size_t kMaxSafetensorsRank = 8;

struct TensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<uint64_t> shape;  // row-major; empty for a scalar
  uint64_t offset = 0;          // bytes from the start of the data part
  uint64_t size_bytes = 0;      // elements * dtype_bytes(dtype)

  uint64_t num_elements() const { return size_bytes / dtype_bytes(dtype); }
};

// "[2, 3]"
std::string shape_text(std::span<const uint64_t> shape);

// What the header of a file says, checked against the file's length: every tensor has a known
// type, its bytes fit its shape, and the tensors cover the data part without gap or overlap.
struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;              // by offset
  std::map<std::string, std::string> metadata;  // __metadata__
  uint64_t data_start = 0;                      // bytes from the start of the file
};

// `bytes` is the whole file. Throws Error naming `source` and the tensor.
SafetensorsHeader parse_safetensors(std::span<const std::byte> bytes, const std::string& source);

// A mapped file. Movable; spans stay valid while the object that owns the mapping lives. Any thread
// may read.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::string& path);

  const std::string& path() const { return file_.path(); }
  uint64_t size_bytes() const { return file_.bytes().size(); }
  const SafetensorsHeader& header() const { return header_; }
  const std::vector<TensorInfo>& tensors() const { return header_.tensors; }
  const TensorInfo* find(std::string_view name) const;  // nullptr when absent

  // The bytes of a tensor of this file. Aligned for its type only where the writer padded the
  // header (the format does not demand it).
  std::span<const std::byte> bytes(const TensorInfo& tensor) const;

  // The values widened to f32. Not for kI32.
  std::vector<float> read_f32(const TensorInfo& tensor) const;

 private:
  MappedFile file_;
  SafetensorsHeader header_;
  std::vector<uint32_t> by_name_;  // indices into header_.tensors, sorted by name
};

}  // namespace axk1
