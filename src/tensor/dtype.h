// Element types of tensors, by the names of safetensors files.
#pragma once

#include <cstddef>
#include <cstdint>

namespace axk1 {

// kI32 holds indices (of experts, in recorded outputs), never weights.
enum class DType : uint8_t { kF32, kBF16, kF16, kI32 };

constexpr size_t dtype_bytes(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kI32 ? 4 : 2;
}

constexpr const char* dtype_name(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "F32";
    case DType::kBF16:
      return "BF16";
    case DType::kF16:
      return "F16";
    case DType::kI32:
      return "I32";
  }
  return "?";
}

}  // namespace axk1
