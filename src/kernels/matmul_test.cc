// Matrix products of every table against ref, and against themselves for row invariance.
#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "kernels/kernel_test_util.h"

namespace axk1 {
namespace {

using testing::Elements;
using testing::expect_close;
using testing::kInf;
using testing::kNan;
using testing::kUnitRoundoff;
using testing::matrix;

struct Types {
  const char* name;
  DType x, w;
};
constexpr Types kTypes[kNumMatmulTypes] = {{"f32 f32", DType::kF32, DType::kF32},
                                           {"f32 bf16", DType::kF32, DType::kBF16},
                                           {"f32 f16", DType::kF32, DType::kF16},
                                           {"bf16 bf16", DType::kBF16, DType::kBF16}};

enum class Form { kNT, kNN };

struct Shape {
  size_t m, n, k;
  size_t x_gap = 0, w_gap = 0, y_gap = 0;  // stride beyond the row's length
};

std::string describe(const Shape& s, Form form, const Types& types) {
  return cat(form == Form::kNT ? "matmul_nt " : "matmul_nn ", types.name, " m=", s.m, " n=", s.n,
             " k=", s.k, " gaps ", s.x_gap, " ", s.w_gap, " ", s.y_gap);
}

// A product with its operands; y starts as `start` with a mark between its rows.
class Product {
 public:
  template <class Value>
  Product(const Shape& shape, Form form, const Types& types, Value&& value)
      : shape_(shape),
        form_(form),
        x_stride_(shape.k + shape.x_gap),
        w_stride_((form == Form::kNT ? shape.k : shape.n) + shape.w_gap),
        y_stride_(shape.n + shape.y_gap),
        x_(types.x, matrix(shape.m, shape.k, x_stride_, value)),
        w_(types.w, form == Form::kNT ? matrix(shape.n, shape.k, w_stride_, value)
                                      : matrix(shape.k, shape.n, w_stride_, value)),
        start_(matrix(shape.m, shape.n, y_stride_, value)) {
    for (float& v : start_) v = std::isnan(v) ? kMark : v;
  }

  // Rows [i, i + m) and columns [j, j + n), the rest of y as it was.
  std::vector<float> run(MatmulKernel kernel, size_t i, size_t m, size_t j, size_t n) const {
    std::vector<float> y = start_;
    const size_t w_at = form_ == Form::kNT ? j * w_stride_ : j;
    kernel({x_.at(i * x_stride_), x_stride_, w_.at(w_at), w_stride_, y.data() + i * y_stride_ + j,
            y_stride_, m, n, shape_.k});
    return y;
  }
  std::vector<float> run(MatmulKernel kernel) const {
    return run(kernel, 0, shape_.m, 0, shape_.n);
  }

  // Sum of |x w| (and |y| before, for nn) of the element at that place of y.
  double magnitude(size_t at) const {
    const size_t i = at / y_stride_, j = at % y_stride_;
    if (j >= shape_.n) return 0;
    double sum = form_ == Form::kNN ? std::abs(start_[at]) : 0;
    for (size_t p = 0; p < shape_.k; ++p) sum += std::abs(double{x(i, p)} * w(j, p));
    return sum;
  }
  size_t y_stride() const { return y_stride_; }

 private:
  static constexpr float kMark = -12345;
  float x(size_t i, size_t p) const { return x_.value(i * x_stride_ + p); }
  float w(size_t j, size_t p) const {
    return w_.value(form_ == Form::kNT ? j * w_stride_ + p : p * w_stride_ + j);
  }

  Shape shape_;
  Form form_;
  size_t x_stride_, w_stride_, y_stride_;
  Elements x_, w_;
  std::vector<float> start_;
};

MatmulKernel entry(const KernelTable& table, Form form, size_t type) {
  return form == Form::kNT ? table.matmul_nt[type] : table.matmul_nn[type];
}

// Roundings on the way of one product into its sum, at most: one for each step of the longest chain
// (k steps in order for nn and for tiles; k / 8 on the narrowest vectors else; vdpbf16ps rounds
// twice for 32 products), the tree over the lanes, and the one of ref's result.
double roundings(const KernelTable& table, Form form, size_t k) {
  const bool in_order = form == Form::kNN || (table.needs & (kCpuAmxBf16 | kCpuAmxInt8));
  return (in_order ? static_cast<double>(k) : std::ceil(k / 8.0)) + 8;
}

class MatmulTest : public testing::KernelTest {
 protected:
  // body(form, type index) for each entry of the table.
  template <class Body>
  void for_entries(Body&& body) {
    for (Form form : {Form::kNT, Form::kNN}) {
      for (size_t type = 0; type < kNumMatmulTypes; ++type) {
        if (entry(table(), form, type)) body(form, type);
      }
    }
  }

  template <class Value>
  void compare(const Shape& shape, Form form, size_t type, Value&& value) {
    const Product product(shape, form, kTypes[type], value);
    const double u = roundings(table(), form, shape.k) * kUnitRoundoff;
    // Flushed or rounded denormals: at most two a product, each below the smallest normal number
    // (times the other factor, at most 2 in these tests).
    const double tiny = 4.0 * static_cast<double>(shape.k + 1) * 0x1p-126;
    expect_close(
        product.run(entry(table(), form, type)),
        product.run(entry(testing::reference(), form, type)),
        [&](size_t i) { return u * product.magnitude(i) + tiny; },
        describe(shape, form, kTypes[type]));
    count_case();
  }
};

TEST_P(MatmulTest, AgreesWithRef) {
  std::mt19937 rng(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  const auto value = [&] { return uniform(rng); };
  for_entries([&](Form form, size_t type) {
    for (size_t m : {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 33}) {
      for (size_t n : {0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33}) {
        for (size_t k : {0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 65}) {
          compare({m, n, k}, form, type, value);
        }
      }
      compare({m, 5, 100, 3, 7, 2}, form, type, value);
    }
    // Sizes of models: cut along k, more than one block of rows, attention's rows of 576.
    for (const Shape& shape : {Shape{1, 130, 256},
                               {2, 67, 512},
                               {33, 67, 512},
                               {8, 64, 576},
                               {64, 64, 576, 0, 64, 0},
                               {8, 512, 64, 0, 64, 8},
                               {1, 512, 128},
                               {49, 33, 641},
                               {97, 5, 1025, 3, 1, 2},
                               {5, 9, 1536},
                               {1, 7, 7168},
                               {7, 5, 7168},
                               {13, 9, 7168, 8, 8, 8},
                               {2, 3, 18432}}) {
      compare(shape, form, type, value);
    }
  });
}

// Products of small integers sum without rounding in any order, so one lost or doubled element
// shows.
TEST_P(MatmulTest, IntegersAreExact) {
  std::mt19937 rng(2);
  std::uniform_int_distribution<int> small(-8, 8);
  for_entries([&](Form form, size_t type) {
    for (const Shape& shape : {Shape{1, 9, 7168},
                               {3, 5, 1536},
                               {4, 33, 1024},
                               {6, 35, 640},
                               {33, 34, 1100, 1, 1, 1},
                               {50, 37, 2050},
                               {17, 40, 96}}) {
      const Product product(shape, form, kTypes[type],
                            [&] { return static_cast<float>(small(rng)); });
      EXPECT_EQ(product.run(entry(table(), form, type)),
                product.run(entry(testing::reference(), form, type)))
          << describe(shape, form, kTypes[type]);
      count_case();
    }
  });
}

TEST_P(MatmulTest, RowsDoNotDependOnTheBatch) {
  std::mt19937 rng(3);
  std::uniform_real_distribution<float> uniform(-1, 1);
  for_entries([&](Form form, size_t type) {
    for (size_t k : {1, 31, 64, 130, 576, 1024, 1100, 2600}) {
      const Shape shape{61, 43, k, 1, 2, 3};
      const Product product(shape, form, kTypes[type], [&] { return uniform(rng); });
      const MatmulKernel kernel = entry(table(), form, type);
      const std::vector<float> whole = product.run(kernel);
      const auto expect_same = [&](size_t i, size_t m, size_t j, size_t n) {
        const std::vector<float> part = product.run(kernel, i, m, j, n);
        for (size_t r = i; r < i + m; ++r) {
          ASSERT_EQ(std::memcmp(&part[r * product.y_stride() + j],
                                &whole[r * product.y_stride() + j], n * sizeof(float)),
                    0)
              << describe(shape, form, kTypes[type]) << ": row " << r << " differs in rows [" << i
              << ", " << i + m << ") columns [" << j << ", " << j + n << ")";
        }
        count_case();
      };
      for (size_t i = 0; i < shape.m; i += 5) expect_same(i, 1, 0, shape.n);
      for (size_t m = 2; m <= 14; ++m) expect_same(m, m, 0, shape.n);
      expect_same(10, 50, 0, shape.n);
      for (size_t j = 0; j < shape.n; j += 3)
        expect_same(7, 1 + j, j, std::min(shape.n - j, 1 + j));
    }
  });
}

TEST_P(MatmulTest, SpecialValues) {
  std::mt19937 rng(4);
  // Infinity, NaN and zero only now and then, so that finite sums remain too.
  const float special[] = {kInf, -kInf, kNan, 0.0f, -0.0f};
  for_entries([&](Form form, size_t type) {
    for (const Shape& shape : {Shape{9, 21, 50}, {1, 33, 40}, {50, 6, 70}}) {
      compare(shape, form, type, [&] {
        const uint32_t r = rng();
        return r % 100 == 0 ? special[r / 100 % 5] : static_cast<float>(r % 17) - 8;
      });
    }
  });
}

TEST_P(MatmulTest, Denormals) {
  std::mt19937 rng(5);
  std::uniform_real_distribution<float> uniform(-1, 1);
  for_entries([&](Form form, size_t type) {
    for (const Shape& shape : {Shape{9, 21, 50}, {1, 33, 40}}) {
      size_t i = 0;
      compare(shape, form, type, [&] {
        const int exponents[] = {-140, -127, -120, -60, 0};
        return std::ldexp(uniform(rng), exponents[i++ % 5]);
      });
    }
  });
}

INSTANTIATE_TEST_SUITE_P(All, MatmulTest,
                         ::testing::ValuesIn(all_kernel_tables().begin(),
                                             all_kernel_tables().end()),
                         testing::kernel_test_name);

}  // namespace
}  // namespace axk1
