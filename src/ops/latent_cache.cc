#include "ops/latent_cache.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/bits.h"
#include "base/check.h"

namespace axk1 {
namespace {

// Bytes of one part, padded with zeros to a multiple of 4, and their sum. Returns the scale.
float quantise(const float* x, size_t n, int8_t* bytes, int32_t* sum) {
  float amax = 0, not_finite = 0;
  for (size_t i = 0; i < n; ++i) {
    amax = std::max(amax, std::abs(x[i]));
    not_finite += x[i] * 0;
  }
  const float scale = amax / 127 + not_finite;
  // Below this the inverse may overflow, and a part is as good as zero.
  const float inverse = scale > 0x1p-100f ? 1 / scale : 0;
  *sum = 0;
  for (size_t i = 0; i < n; ++i) {
    bytes[i] = static_cast<int8_t>(std::lrintf(x[i] * inverse));
    *sum += bytes[i];
  }
  std::fill(bytes + n, bytes + round_up(n, 4), int8_t{0});
  return scale;
}

}  // namespace

const char* cache_dtype_name(CacheDType dtype) {
  switch (dtype) {
    case CacheDType::kF32:
      return "f32";
    case CacheDType::kBF16:
      return "bf16";
    case CacheDType::kI8:
      return "int8";
  }
  return "?";
}

size_t latent_row_bytes(CacheDType dtype, const LatentShape& shape) {
  switch (dtype) {
    case CacheDType::kF32:
      return shape.dim() * sizeof(float);
    case CacheDType::kBF16:
      return round_up(shape.dim() * sizeof(uint16_t), 4);
    case CacheDType::kI8:
      return sizeof(Int8LatentHeader) + round_up(shape.lora, 4) + round_up(shape.rope, 4);
  }
  AXK1_CHECK(false);
}

void write_latent_row(const KernelTable& kernels, CacheDType dtype, const LatentShape& shape,
                      const float* x, void* row) {
  switch (dtype) {
    case CacheDType::kF32:
      std::memcpy(row, x, shape.dim() * sizeof(float));
      break;
    case CacheDType::kBF16: {
      auto* numbers = static_cast<uint16_t*>(row);
      kernels.f32_to_bf16(x, numbers, shape.dim());
      if (shape.dim() % 2) numbers[shape.dim()] = 0;
      break;
    }
    case CacheDType::kI8: {
      Int8LatentHeader header;
      auto* bytes = static_cast<int8_t*>(row) + sizeof(header);
      header.lora_scale = quantise(x, shape.lora, bytes, &header.lora_sum);
      header.rope_scale =
          quantise(x + shape.lora, shape.rope, bytes + round_up(shape.lora, 4), &header.rope_sum);
      std::memcpy(row, &header, sizeof(header));
      break;
    }
  }
}

void read_latent_row(const KernelTable& kernels, CacheDType dtype, const LatentShape& shape,
                     const void* row, float* x) {
  switch (dtype) {
    case CacheDType::kF32:
      std::memcpy(x, row, shape.dim() * sizeof(float));
      break;
    case CacheDType::kBF16:
      kernels.bf16_to_f32(static_cast<const uint16_t*>(row), x, shape.dim());
      break;
    case CacheDType::kI8: {
      Int8LatentHeader header;
      std::memcpy(&header, row, sizeof(header));
      const auto* bytes = static_cast<const int8_t*>(row) + sizeof(header);
      for (size_t i = 0; i < shape.lora; ++i) x[i] = header.lora_scale * bytes[i];
      const int8_t* rope = bytes + round_up(shape.lora, 4);
      for (size_t i = 0; i < shape.rope; ++i) x[shape.lora + i] = header.rope_scale * rope[i];
      break;
    }
  }
}

}  // namespace axk1
