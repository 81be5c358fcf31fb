// Where the parts of quantised panels and activation rows are, for the kernels. Included inside the
// anonymous namespace of an instruction set's source file, so that no code of tensor/packed.h,
// whose layout this is, gets compiled with its flags.

constexpr size_t kPanel = kPanelRows;
constexpr size_t kBlock = kBlockCols;
constexpr size_t kGroup = kGroupCols;
constexpr size_t kQuads = kGroup / 4;  // of a group

inline size_t up(size_t a, size_t multiple) {
  return (a + multiple - 1) / multiple * multiple;
}

// A row of activations.
struct Activations {
  const int8_t* q;
  const float* d;
  const int32_t* bias8;
  const int32_t* bias4;
};
inline Activations activations(const QuantMatmulArgs& a, size_t i) {
  const auto* q = static_cast<const int8_t*>(a.x) + i * a.x_stride;
  const size_t blocks = up(a.k, kBlock) / kBlock;
  const auto* d = reinterpret_cast<const float*>(q + up(a.k, 64));
  const auto* bias8 = reinterpret_cast<const int32_t*>(d + blocks);
  return {q, d, bias8, bias8 + blocks};
}

// Sizes of one type.
template <size_t kScales, size_t kCodes>
struct GroupSizes {
  static constexpr size_t kScaleBytes = kScales;  // of one group
  static constexpr size_t kCodeBytes = kCodes;
};
using Q8Sizes = GroupSizes<0, 512>;
using Q4Sizes = GroupSizes<16, 256>;
using Q3Sizes = GroupSizes<8, 192>;
static_assert(group_bytes(DType::kQ8) == 512 && group_bytes(DType::kQ4) == 16 + 256 &&
              group_bytes(DType::kQ3) == 8 + 192);

// The panels of a product and what is in them.
template <class Sizes>
struct Panels {
  size_t header_bytes, panel_bytes, blocks, groups;
  const uint8_t* data;

  explicit Panels(const QuantMatmulArgs& a)
      : blocks(up(a.k, kBlock) / kBlock),
        groups(up(a.k, kGroup) / kGroup),
        data(static_cast<const uint8_t*>(a.w)) {
    header_bytes = up(blocks * kPanel * sizeof(uint16_t), 64);
    panel_bytes = up(header_bytes + groups * (Sizes::kScaleBytes + Sizes::kCodeBytes), 64);
  }
  const uint8_t* panel(size_t p) const { return data + p * panel_bytes; }
  size_t block_groups(size_t b) const {
    const size_t left = groups - b * (kBlock / kGroup);
    return left < kBlock / kGroup ? left : kBlock / kGroup;
  }
};
