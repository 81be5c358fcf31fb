// Element types of tensors, by the names of safetensors files.
#pragma once

#include <cstddef>
#include <cstdint>

namespace axk1 {

enum class DType : uint8_t { kF32, kBF16, kF16 };

constexpr size_t dtype_bytes(DType dtype) {
  return dtype == DType::kF32 ? 4 : 2;
}

constexpr const char* dtype_name(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "F32";
    case DType::kBF16:
      return "BF16";
    case DType::kF16:
      return "F16";
  }
  return "?";
}

}  // namespace axk1
