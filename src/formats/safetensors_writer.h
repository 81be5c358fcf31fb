// Writes safetensors files (docs/formats.md) whose tensors need not be in memory at once.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/safetensors.h"
#include "io/atomic_file.h"
#include "tensor/dtype.h"

namespace axk1 {

struct TensorSpec {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<uint64_t> shape;
};

// All tensors are declared first; then each receives its bytes, row-major and little-endian, in as
// many pieces as the caller likes, tensors in any order. finish() puts the file under its name;
// without it nothing appears there. Data begin at a multiple of 64 bytes, and every tensor at a
// multiple of its element size. One thread at a time. Throws Error(kIo, kNotFound), and
// kInvalidInput for a name that occurs twice.
class SafetensorsWriter {
 public:
  SafetensorsWriter(const std::string& path, std::span<const TensorSpec> tensors,
                    const std::map<std::string, std::string>& metadata = {});

  void append(std::string_view name, std::span<const std::byte> bytes);
  void append_f32(std::string_view name, std::span<const float> values) {
    append(name, std::as_bytes(values));
  }
  void finish();  // every tensor must have received all of its bytes

 private:
  struct Slot {
    uint64_t next = 0;  // byte of the file
    uint64_t end = 0;
  };
  AtomicFile file_;
  std::map<std::string, Slot, std::less<>> slots_;
};

}  // namespace axk1
