#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "tensor/buffer.h"
#include "tensor/dtype.h"
#include "tensor/tensor_view.h"

namespace axk1 {
namespace {

TEST(Buffer, IsZeroedAlignedAndOfThatSize) {
  for (const size_t size : {size_t{1}, size_t{63}, size_t{64}, size_t{65}, size_t{4096},
                            (size_t{4} << 20) - 1, size_t{4} << 20, (size_t{5} << 20) + 3}) {
    Buffer buffer(size);
    EXPECT_EQ(buffer.size_bytes(), size);
    const auto address = reinterpret_cast<uintptr_t>(buffer.data());
    const size_t alignment = size >= size_t{4} << 20 ? size_t{2} << 20 : 64;
    EXPECT_EQ(address % alignment, 0u) << size;
    const auto* bytes = buffer.as<unsigned char>();
    size_t nonzero = 0;
    for (size_t i = 0; i < size; ++i) nonzero += bytes[i] != 0;
    EXPECT_EQ(nonzero, 0u) << size;
    buffer.as<unsigned char>()[size - 1] = 1;
  }
}

TEST(Buffer, EmptyOnes) {
  EXPECT_EQ(Buffer().data(), nullptr);
  EXPECT_EQ(Buffer(0).size_bytes(), 0u);
}

TEST(Buffer, Moves) {
  Buffer a(100);
  a.as<int>()[3] = 7;
  const void* where = a.data();
  Buffer b(std::move(a));
  EXPECT_EQ(b.data(), where);
  EXPECT_EQ(a.size_bytes(), 0u);
  Buffer c(8);
  c = std::move(b);
  EXPECT_EQ(c.as<int>()[3], 7);
  EXPECT_EQ(c.size_bytes(), 100u);
}

// Pages of a buffer that memory has been taken for.
size_t resident_pages(Buffer& buffer) {
  std::vector<unsigned char> resident((buffer.size_bytes() + 4095) / 4096);
  EXPECT_EQ(::mincore(buffer.data(), buffer.size_bytes(), resident.data()), 0);
  return static_cast<size_t>(
      std::ranges::count_if(resident, [](unsigned char page) { return page & 1; }));
}

TEST(Buffer, TakesAllItsPagesUnlessUntouched) {
  constexpr size_t kSize = (size_t{130} << 20) + 4097;  // several threads share them
  Buffer buffer(kSize), untouched = Buffer::untouched(kSize);
  EXPECT_EQ(resident_pages(buffer), kSize / 4096 + 1);
  EXPECT_EQ(resident_pages(untouched), 0u);
  EXPECT_EQ(buffer.as<char>()[kSize - 1], 0);
}

TEST(Buffer, SaysWhenMemoryIsNotThere) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "skipped: sanitizers end the process at an allocation this large";
#endif
  for (const size_t size : {SIZE_MAX, SIZE_MAX - 64, SIZE_MAX / 2}) {
    try {
      Buffer buffer(size);
      FAIL() << size;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory);
      EXPECT_NE(std::string(error.what()).find("cannot reserve"), std::string::npos);
    }
  }
}

TEST(DType, BytesAndNames) {
  EXPECT_EQ(dtype_bytes(DType::kF32), 4u);
  EXPECT_EQ(dtype_bytes(DType::kBF16), 2u);
  EXPECT_EQ(dtype_bytes(DType::kF16), 2u);
  EXPECT_EQ(dtype_bytes(DType::kI32), 4u);
  EXPECT_STREQ(dtype_name(DType::kI32), "I32");
  EXPECT_STREQ(dtype_name(DType::kF32), "F32");
  EXPECT_STREQ(dtype_name(DType::kBF16), "BF16");
  EXPECT_STREQ(dtype_name(DType::kF16), "F16");
}

TEST(MatrixView, SlicesRows) {
  const uint16_t numbers[12] = {};
  const MatrixView view{numbers, DType::kBF16, 4, 2, 3};
  EXPECT_TRUE(view);
  EXPECT_FALSE(MatrixView());
  const MatrixView part = view.slice_rows(1, 2);
  EXPECT_EQ(part.data, numbers + 3);
  EXPECT_EQ(part.rows, 2u);
  EXPECT_EQ(part.cols, 2u);
  EXPECT_EQ(part.stride, 3u);
}

}  // namespace
}  // namespace axk1
