// Element types of tensors, by the names of safetensors and k1pack files.
#pragma once

#include <cstddef>
#include <cstdint>

namespace axk1 {

// kI32 holds indices (of experts, in recorded outputs), never weights. kQ8, kQ4 and kQ3 are
// quantised matrices in panels (tensor/packed.h), whose elements have no address of their own.
enum class DType : uint8_t { kF32, kBF16, kF16, kI32, kQ8, kQ4, kQ3 };

constexpr bool is_quantized(DType dtype) {
  return dtype == DType::kQ8 || dtype == DType::kQ4 || dtype == DType::kQ3;
}

// Of one element; 0 for quantised types: matrix_bytes() of tensor/packed.h.
constexpr size_t dtype_bytes(DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kI32:
      return 4;
    case DType::kBF16:
    case DType::kF16:
      return 2;
    default:
      return 0;
  }
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
    case DType::kQ8:
      return "Q8";
    case DType::kQ4:
      return "Q4";
    case DType::kQ3:
      return "Q3";
  }
  return "?";
}

}  // namespace axk1
