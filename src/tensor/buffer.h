// Memory that the engine computes in.
#pragma once

#include <cstddef>
#include <utility>

#include "tensor/dtype.h"

namespace axk1 {

// Owns `size` bytes, 64-byte aligned and zeroed; large ones are 2-MiB aligned and ask for huge
// pages. Movable. Throws Error(kOutOfMemory).
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t size_bytes);
  // The same, not zeroed: for bytes that are all written before they are read. The memory is taken
  // page by page as it is first written, by whichever thread does that.
  static Buffer untouched(size_t size_bytes);
  ~Buffer();
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  size_t size_bytes() const { return size_; }
  void* data() { return data_; }
  const void* data() const { return data_; }
  template <class T>
  T* as() {
    return static_cast<T*>(data_);
  }
  template <class T>
  const T* as() const {
    return static_cast<const T*>(data_);
  }

 private:
  void reserve(size_t size_bytes);

  void* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace axk1
