// Rows of the compressed cache (kernels/latent_kernels.h): their size, and numbers to and from
// them.
#pragma once

#include "kernels/kernel_table.h"

namespace axk1 {

// "f32", "bf16", "int8".
const char* cache_dtype_name(CacheDType dtype);

// What a model that computes in this type keeps unless told otherwise: bf16 or f32.
inline CacheDType default_cache_dtype(DType compute) {
  return compute == DType::kBF16 ? CacheDType::kBF16 : CacheDType::kF32;
}

// Which numbers a row has: `lora` of the latent, then `rope` of the shared key.
struct LatentShape {
  size_t lora = 0;
  size_t rope = 0;
  size_t dim() const { return lora + rope; }
};

// Bytes from one row to the next; a multiple of 4.
size_t latent_row_bytes(CacheDType dtype, const LatentShape& shape);

// Writes a whole row, padding included. x [lora + rope]. In int8 each part is rounded to multiples
// of its amax / 127; a part that is not finite becomes NaN.
void write_latent_row(const KernelTable& kernels, CacheDType dtype, const LatentShape& shape,
                      const float* x, void* row);

// What a row means: x [lora + rope].
void read_latent_row(const KernelTable& kernels, CacheDType dtype, const LatentShape& shape,
                     const void* row, float* x);

}  // namespace axk1
