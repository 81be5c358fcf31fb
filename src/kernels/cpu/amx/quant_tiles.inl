// Products with quantised weights on tiles of 16 rows of 64 bytes. Templates over the unit,
// TileUnit or TileModel. Included inside the anonymous namespace of a source file, after
// tile_config.inl and simd/quant_vnni.inl; includes nothing.
//
// A tile product is c[16, 16] += a[16, 64] b[64, 16], where a row of b holds four consecutive k of
// each of its columns: a quad of a panel. So rows of x are read as they lie, and a block of a panel
// as unsigned bytes is four tiles b; for kQ8 it is stored that way.
//
// Every tile is whole, so that one configuration serves all: the last rows of x are multiplied
// together with the rows before them, and weights beyond k are zero.
//
// The tiles hold the integers of one block. While they work on a block, AVX-512 scales and adds up
// those of the block before it.

constexpr size_t kTileBytes = kTileRows * kRowBytes;
constexpr size_t kBlockSteps = kBlock / kRowBytes;
static_assert(kTileRows == kPanel && kBlockBytes == kBlockSteps * kTileBytes);

// 4 blocks of two panels fill 32 KiB of L1. Against them go the same columns of 512 rows of x, 512
// KiB of L2, which stay there for a strip of 256 rows of w, whose sums take as much again.
constexpr size_t kChunkBlocks = 4;
constexpr size_t kRowTiles = 32;
constexpr size_t kStripPanels = 16;

// Elements of one tile of rows by two panels.
template <class T>
struct alignas(64) TilePair {
  T at[2][kTileRows][kPanel];  // [panel][row of x][row of w]
};

// One block of two panels times one or two tiles of rows: its integers, to be scaled and added.
struct ScaledBlock {
  size_t tiles = 0;  // 0: nothing to add
  const TilePair<int32_t>* products = nullptr;
  TilePair<float>* sums = nullptr;
  const float* d_x[2];  // of the first row of each tile
  const int32_t* bias8[2];
  size_t x_stride;  // elements of the above
  __m512 d_w[2];

  // A share of the rows; steps 0 to kBlockSteps - 1 are all of them.
  [[gnu::always_inline]] inline void add(size_t step) const {
    constexpr size_t kRows = kTileRows / kBlockSteps, kPanelSums = kTileRows * kPanel;
    const __m512 d_w0 = d_w[0], d_w1 = d_w[1];
    const size_t stride = x_stride;
    for (size_t t = 0; t < tiles; ++t) {
      const float* d = d_x[t] + step * kRows * stride;
      const int32_t* bias = bias8[t] + step * kRows * stride;
      const int32_t* product = products[t].at[0][step * kRows];
      float* sum = sums[t].at[0][step * kRows];
#pragma GCC unroll 4
      for (size_t row = 0; row < kRows; ++row) {
        add_row(product, *bias, d_w0, *d, sum);
        add_row(product + kPanelSums, *bias, d_w1, *d, sum + kPanelSums);
        product += kPanel, sum += kPanel, d += stride, bias += stride;
      }
    }
  }
  [[gnu::always_inline]] static inline void add_row(const int32_t* product, int32_t bias,
                                                    __m512 scale_w, float scale_x, float* sum) {
    const __m512i whole = _mm512_add_epi32(load(product), _mm512_set1_epi32(bias));
    _mm512_store_ps(sum, add_scaled(_mm512_load_ps(sum), whole, scale_w, scale_x));
  }
};

// Where the operands of a block lie.
struct TileOperands {
  const int8_t* x[2];  // first row of each tile
  size_t x_stride;     // bytes
  const uint8_t* w[2];
  size_t steps;
};

// The integers of one block, stored at products when those of the previous one have been taken from
// there. Tiles 0 to 3 are sums, 4 and 5 of x, 6 and 7 of w.
template <bool kTwoTiles, class Unit>
void multiply_block(Unit& unit, const TileOperands& t, const ScaledBlock& previous,
                    TilePair<int32_t>* products) {
  unit.template zero<0>();
  unit.template zero<1>();
  if (kTwoTiles) unit.template zero<2>();
  if (kTwoTiles) unit.template zero<3>();
  for (size_t step = 0; step < kBlockSteps; ++step) {
    if (step < t.steps) {
      unit.template load<4>(t.x[0] + step * kRowBytes, t.x_stride);
      unit.template load<6>(t.w[0] + step * kTileBytes, kRowBytes);
      unit.template dot_s8_u8<0, 4, 6>();
      unit.template load<7>(t.w[1] + step * kTileBytes, kRowBytes);
      unit.template dot_s8_u8<1, 4, 7>();
      if (kTwoTiles) {
        unit.template load<5>(t.x[1] + step * kRowBytes, t.x_stride);
        unit.template dot_s8_u8<2, 5, 6>();
        unit.template dot_s8_u8<3, 5, 7>();
      }
    }
    previous.add(step);
  }
  unit.template store<0>(products[0].at[0], kRowBytes);
  unit.template store<1>(products[0].at[1], kRowBytes);
  if (kTwoTiles) unit.template store<2>(products[1].at[0], kRowBytes);
  if (kTwoTiles) unit.template store<3>(products[1].at[1], kRowBytes);
}

// A product with at least kTileRows rows of x; 0.6 MB of stack.
template <class Type, class Unit>
class TileProduct {
 public:
  TileProduct(Unit& unit, const QuantMatmulArgs& args) : unit_(unit), a_(args), w_(args) {}

  void run() {
    constexpr size_t kMaxRows = kRowTiles * kTileRows, kCols = kStripPanels * kPanel;
    const TileConfig config;
    unit_.configure(&config);
    const size_t parts = up(a_.m, kMaxRows) / kMaxRows;
    for (size_t part = 0; part < parts; ++part) {
      first_ = a_.m * part / parts;
      rows_ = a_.m * (part + 1) / parts - first_;
      for (size_t j = 0; j < a_.n; j += kCols) strip(j, a_.n - j < kCols ? a_.n - j : kCols);
    }
    unit_.release();
  }

 private:
  // The first row of a tile, from first_: the last tile shares rows with the one before it.
  size_t tile_row(size_t tile) const {
    return (tile + 1) * kTileRows <= rows_ ? tile * kTileRows : rows_ - kTileRows;
  }

  // rows_ of x by cols rows of w from j on.
  void strip(size_t j, size_t cols) {
    const size_t pairs = up(cols, 2 * kPanel) / (2 * kPanel);
    const size_t tiles = up(rows_, kTileRows) / kTileRows;
    for (size_t pair = 0; pair < pairs; ++pair) {
      __builtin_memset(sums_[pair], 0, tiles * sizeof(sums_[pair][0]));
    }
    for (size_t chunk = 0; chunk < w_.blocks; chunk += kChunkBlocks) {
      const size_t left = w_.blocks - chunk;
      for (size_t pair = 0; pair < pairs; ++pair) {
        // The last panel may be alone: it is computed twice, and stored once.
        const uint8_t* first = w_.panel(j / kPanel + 2 * pair);
        const bool alone = 2 * pair * kPanel + kPanel >= cols;
        add_chunk({first, alone ? first : first + w_.panel_bytes}, chunk,
                  left < kChunkBlocks ? left : kChunkBlocks, tiles, sums_[pair]);
      }
    }
    flush();
    for (size_t tile = 0; tile < tiles; ++tile) {
      for (size_t row = 0; row < kTileRows; ++row) {
        float* y = a_.y + (first_ + tile_row(tile) + row) * a_.y_stride + j;
        for (size_t c = 0; c < cols; c += kPanel) {
          const size_t panel = c / kPanel;
          store_row(y + c, _mm512_load_ps(sums_[panel / 2][tile].at[panel % 2][row]), cols - c);
        }
      }
    }
  }

  struct PanelPair {
    const uint8_t* panel[2];
  };

  // sums += all tiles of rows times `count` blocks of two panels.
  void add_chunk(const PanelPair& w, size_t first_block, size_t count, size_t tiles,
                 TilePair<float>* sums) {
    const uint8_t* blocks[2][kChunkBlocks];
    for (size_t p = 0; p < 2; ++p) {
      for (size_t b = 0; b < count; ++b) {
        blocks[p][b] = w_tiles(w.panel[p], first_block + b, expanded_[p][b]);
      }
    }
    for (size_t tile = 0; tile < tiles; tile += 2) {
      const bool two = tile + 1 < tiles;
      const size_t row[2] = {first_ + tile_row(tile), first_ + tile_row(tile + two)};
      const Activations x[2] = {activations(a_, row[0]), activations(a_, row[1])};
      for (size_t i = 0; i < count; ++i) {
        const size_t b = first_block + i;
        const TileOperands operands{
            .x = {x[0].q + b * kBlock, x[1].q + b * kBlock},
            .x_stride = a_.x_stride,
            .w = {blocks[0][i], blocks[1][i]},
            .steps = up(w_.block_groups(b) * kGroup, kRowBytes) / kRowBytes,
        };
        const auto multiply = two ? multiply_block<true, Unit> : multiply_block<false, Unit>;
        multiply(unit_, operands, previous_, products_);
        previous_ = {.tiles = two ? size_t{2} : size_t{1},
                     .products = products_,
                     .sums = sums + tile,
                     .d_x = {x[0].d + b, x[1].d + b},
                     .bias8 = {x[0].bias8 + b, x[1].bias8 + b},
                     .x_stride = a_.x_stride / sizeof(float),
                     .d_w = {scales(w.panel[0], b), scales(w.panel[1], b)}};
      }
    }
  }

  // A block of a panel as whole tiles of unsigned bytes: where it lies, or written to `to`.
  const uint8_t* w_tiles(const uint8_t* panel, size_t block, uint8_t* to) const {
    const size_t groups = w_.block_groups(block);
    const bool whole = groups * kGroup % kRowBytes == 0;
    const uint8_t* stored = panel + w_.header_bytes +
                            block * (kBlock / kGroup) * (Type::kScaleBytes + Type::kCodeBytes);
    if constexpr (Type::kSubScales) {
      expand<Type>(stored, groups, to);
    } else {
      if (whole) return stored;
      __builtin_memcpy(to, stored, groups * kGroup * kPanel);
    }
    if (!whole) __builtin_memset(to + groups * kGroup * kPanel, 0, kGroup * kPanel);
    return to;
  }

  // Adds what is left of the block before the end.
  void flush() {
    for (size_t step = 0; step < kBlockSteps; ++step) previous_.add(step);
    previous_.tiles = 0;
  }

  Unit& unit_;
  const QuantMatmulArgs& a_;
  const Panels<Type> w_;
  size_t first_ = 0, rows_ = 0;  // of x, in use
  ScaledBlock previous_;
  TilePair<int32_t> products_[2];
  TilePair<float> sums_[kStripPanels / 2][kRowTiles];
  alignas(64) uint8_t expanded_[2][kChunkBlocks][kBlockBytes];
};
