#include "tensor/buffer.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "base/bits.h"
#include "base/error.h"

namespace axk1 {

Buffer::Buffer(size_t size_bytes) {
  reserve(size_bytes);
  if (data_) std::memset(data_, 0, size_);
}

Buffer Buffer::untouched(size_t size_bytes) {
  Buffer buffer;
  buffer.reserve(size_bytes);
  return buffer;
}

void Buffer::reserve(size_t size_bytes) {
  if (size_bytes == 0) return;
  constexpr size_t kHugePage = size_t{2} << 20;
  const bool large = size_bytes >= 2 * kHugePage;
  const size_t alignment = large ? kHugePage : 64;
  if (size_bytes > SIZE_MAX - alignment) {
    fail(ErrorCode::kOutOfMemory, "cannot reserve ", size_bytes, " bytes");
  }
  const size_t rounded = round_up(size_bytes, alignment);
  data_ = std::aligned_alloc(alignment, rounded);
  if (!data_) fail(ErrorCode::kOutOfMemory, "cannot reserve ", human_bytes(size_bytes));
  if (large) ::madvise(data_, rounded, MADV_HUGEPAGE);  // advice: refusal costs only speed
  size_ = size_bytes;
}

Buffer::~Buffer() {
  std::free(data_);
}

}  // namespace axk1
