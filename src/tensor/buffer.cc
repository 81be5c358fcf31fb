#include "tensor/buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

#include "base/bits.h"
#include "base/error.h"

namespace axk1 {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kPage = 4096;

// From this size on memory is mapped for the buffer alone, else it is the heap's.
constexpr size_t kMapped = 2 * kHugePage;

// Zeros, aligned to huge pages, which no page of memory is taken for yet. Null when there is no
// room.
void* map_zeros(size_t bytes) {
  const size_t reserved = bytes + kHugePage;  // a mapping begins anywhere
  void* all = ::mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) return nullptr;
  char* const begin = static_cast<char*>(all);
  const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(begin) % kHugePage) % kHugePage;
  if (before) ::munmap(begin, before);
  if (before < kHugePage) ::munmap(begin + before + bytes, kHugePage - before);
  ::madvise(begin + before, bytes, MADV_HUGEPAGE);  // advice: refusal costs only speed
  return begin + before;
}

// Takes every page. The kernel clears a page in the thread that touches it first, at a few GB/s:
// several threads take a large cache in a fraction of the time, and from all NUMA nodes.
void touch(char* data, size_t bytes) {
  constexpr size_t kPart = size_t{64} << 20;
  std::atomic<size_t> next{0};
  const auto take_parts = [&] {
    for (size_t at; (at = next.fetch_add(kPart)) < bytes;) {
      const size_t end = std::min(bytes, at + kPart);
      for (size_t i = at; i < end; i += kPage) *static_cast<volatile char*>(data + i) = 0;
    }
  };
  const size_t wanted =
      std::min<size_t>(ceil_div(bytes, kPart), std::max(1u, std::thread::hardware_concurrency()));
  std::vector<std::jthread> helpers;
  try {
    while (helpers.size() + 1 < wanted) helpers.emplace_back(take_parts);
  } catch (const std::system_error&) {
    // No more threads to be had: those that there are do it.
  }
  take_parts();
}

}  // namespace

Buffer::Buffer(size_t size_bytes) {
  reserve(size_bytes);
  if (size_ >= kMapped) {
    touch(static_cast<char*>(data_), size_);
  } else if (data_) {
    std::memset(data_, 0, size_);
  }
}

Buffer Buffer::untouched(size_t size_bytes) {
  Buffer buffer;
  buffer.reserve(size_bytes);
  return buffer;
}

void Buffer::reserve(size_t size_bytes) {
  if (size_bytes == 0) return;
  const bool mapped = size_bytes >= kMapped;
  const size_t alignment = mapped ? kHugePage : 64;
  if (size_bytes > SIZE_MAX - 2 * alignment) {
    fail(ErrorCode::kOutOfMemory, "cannot reserve ", size_bytes, " bytes");
  }
  const size_t rounded = round_up(size_bytes, alignment);
  data_ = mapped ? map_zeros(rounded) : std::aligned_alloc(alignment, rounded);
  if (!data_) fail(ErrorCode::kOutOfMemory, "cannot reserve ", human_bytes(size_bytes));
  size_ = size_bytes;
}

Buffer::~Buffer() {
  if (size_ >= kMapped) {
    ::munmap(data_, round_up(size_, kHugePage));
  } else {
    std::free(data_);
  }
}

}  // namespace axk1
