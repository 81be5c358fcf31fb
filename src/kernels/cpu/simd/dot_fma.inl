// The product classes of matmul_nt for fused multiply-add of floats. Included inside the anonymous
// namespace of an instruction set's source file, after its vectors; includes nothing.

template <class XType, class WType>
struct FmaDot;

// What does not depend on the types in memory.
struct FmaArithmetic {
  using X = Vec;
  using W = Vec;
  using Acc = Vec;
  static constexpr size_t kStep = kLanes;
  static constexpr size_t kBlockK = 640;  // a multiple of kStep; attention's 576 fits uncut
  static Vec zero() { return broadcast(0.0f); }
  static Vec mul_add(Vec acc, Vec x, Vec w) { return fma(x, w, acc); }
  static Sums sums(Vec a, Vec b, Vec c, Vec d) { return sums_of(a, b, c, d); }
};

template <class XType, class WType>
struct FmaDot : FmaArithmetic {
  using XStorage = typename XType::Storage;
  using WStorage = typename WType::Storage;
  static Vec load_x(const XStorage* p) { return XType::load(p); }
  static Vec load_x(const XStorage* p, size_t n) { return XType::load(p, n); }
  static Vec load_w(const WStorage* p) { return WType::load(p); }
  static Vec load_w(const WStorage* p, size_t n) { return WType::load(p, n); }
  static constexpr bool kLoadsPairs = sizeof(WStorage) == 2;
  static void load_w_pair(const WStorage* p, Vec& first, Vec& second) {
    WType::load_pair(p, first, second);
  }

  // Widening is exact, so products over widened copies are the same to the last bit.
  using Wide = FmaDot<F32, F32>;
  // Of w, and of x where that is 16 bits too: the same type.
  static void widen(const uint16_t* src, float* dst, size_t n) {
    for_vectors(n, [&](size_t at, size_t count) {
      store_some(dst + at, count ? WType::load(src + at, count) : WType::load(src + at), count);
    });
  }
};
