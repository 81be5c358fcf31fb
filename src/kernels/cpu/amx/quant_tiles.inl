// Products with quantised weights on tiles of 16 rows of 64 bytes. Templates over the unit,
// TileUnit or TileModel. Included inside the anonymous namespace of a source file, after
// tile_config.inl, simd/quant_vnni.inl and expand_vbmi.inl; includes nothing.
//
// A tile product is c[16, 16] += a[16, 64] b[64, 16], where a row of b holds four consecutive k of
// each of its columns: a quad of a panel. So a block of a panel as bytes is four tiles b: signed
// ones, but for kQ8 the unsigned ones that are stored, whose offset the biases take back. Rows of x
// are copied into tiles first, a chunk of blocks at a time that stays in L2: tile loads from rows
// that lie apart take longer than the products.
//
// A pair of tiles of up to 32 rows goes against a pair of panels, block after block: a tile has as
// many rows as there are, and weights beyond k are zero. The tiles hold the integers of one block.
// While they work on a block, AVX-512 scales and adds up those of the block before it, and with the
// first pair of rows also makes the bytes of the block that comes next.

constexpr size_t kTileBytes = kTileRows * kRowBytes;
constexpr size_t kBlockSteps = kBlock / kRowBytes;
static_assert(kTileRows == kPanel && kBlockBytes == kBlockSteps * kTileBytes);

constexpr size_t kPairRows = 2 * kTileRows;
constexpr size_t kMaxChunk = 32;  // blocks; of two panels, expanded, 256 KiB
constexpr size_t kMaxPairs = 4;
constexpr size_t kPackedBlocks = kMaxPairs * kMaxChunk;  // 1 MiB

// One block of 32 rows of x, and what its integers are worth.
struct alignas(64) PackedBlock {
  int8_t x[kBlockSteps][2][kTileRows][kRowBytes];
  float d[2][kTileRows];
  int32_t bias8[2][kTileRows];
};

// Elements of one tile of rows by two panels.
template <class T>
struct alignas(64) TilePair {
  T at[2][kTileRows][kPanel];  // [panel][row of x][row of w]
};

// One block of two panels times one or two tiles of rows: its integers, to be scaled and added.
template <bool kBias>
struct ScaledBlock {
  size_t rows[2] = {0, 0};  // of each tile; 0: nothing to add
  const TilePair<int32_t>* products = nullptr;
  TilePair<float>* sums = nullptr;
  const PackedBlock* x = nullptr;
  __m512 d_w[2];

  // A share of the rows; steps 0 to kBlockSteps - 1 are all of them.
  [[gnu::always_inline]] inline void add(size_t step) const {
    constexpr size_t kRows = kTileRows / kBlockSteps;
    for (size_t t = 0; t < 2; ++t) {
      const size_t first = step * kRows;
      if (rows[t] >= first + kRows) {
        add_rows<kRows>(t, first);
      } else {
        for (size_t row = first; row < rows[t]; ++row) add_rows<1>(t, row);
      }
    }
  }
  template <size_t kRows>
  [[gnu::always_inline]] inline void add_rows(size_t t, size_t first) const {
    const __m512 d_w0 = d_w[0], d_w1 = d_w[1];
    const float* d = x->d[t] + first;
    const int32_t* bias = x->bias8[t] + first;
    const auto* product = products[t].at[0] + first;
    auto* sum = sums[t].at[0] + first;
#pragma GCC unroll 4
    for (size_t row = 0; row < kRows; ++row) {
      add_row(product[row], bias[row], d_w0, d[row], sum[row]);
      add_row(product[kTileRows + row], bias[row], d_w1, d[row], sum[kTileRows + row]);
    }
  }
  [[gnu::always_inline]] static inline void add_row(const int32_t* product, int32_t bias,
                                                    __m512 scale_w, float scale_x, float* sum) {
    __m512i whole = load(product);
    if constexpr (kBias) whole = _mm512_add_epi32(whole, _mm512_set1_epi32(bias));
    _mm512_store_ps(sum, add_scaled(_mm512_load_ps(sum), whole, scale_w, scale_x));
  }
};

// A product with any number of rows of x; 1.4 MB of stack.
template <class Type, class Unit>
class TileProduct {
 public:
  TileProduct(Unit& unit, const QuantMatmulArgs& args) : unit_(unit), a_(args), w_(args) {}

  void run() {
    constexpr size_t kMaxRows = kMaxPairs * kPairRows;
    const size_t parts = up(a_.m, kMaxRows) / kMaxRows;
    for (size_t part = 0; part < parts; ++part) {
      first_ = a_.m * part / parts;
      rows_ = a_.m * (part + 1) / parts - first_;
      pairs_ = up(rows_, kPairRows) / kPairRows;
      const size_t chunks = up(w_.blocks, kMaxChunk) / kMaxChunk;
      for (size_t chunk = 0; chunk < chunks; ++chunk) {
        begin_ = w_.blocks * chunk / chunks;
        end_ = w_.blocks * (chunk + 1) / chunks;
        pack();
        for (size_t j = 0; j < a_.n; j += 2 * kPanel) panels(j);
        finish_sums();
      }
    }
    unit_.release();
  }

 private:
  static constexpr bool kSigned = Type::kSubScales;

  // Rows of one of the two tiles of a pair.
  size_t tile_rows(size_t pair, size_t t) const {
    const size_t first = pair * kPairRows + t * kTileRows;
    return rows_ <= first ? 0 : rows_ - first < kTileRows ? rows_ - first : kTileRows;
  }

  void pack() {
    for (size_t pair = 0; pair < pairs_; ++pair) {
      PackedBlock* to = packed_ + pair * (end_ - begin_);
      for (size_t t = 0; t < 2; ++t) {
        for (size_t row = 0; row < tile_rows(pair, t); ++row) {
          const Activations x = activations(a_, first_ + pair * kPairRows + t * kTileRows + row);
          for (size_t b = begin_; b < end_; ++b) {
            PackedBlock& block = to[b - begin_];
            const size_t steps = block_steps(b);
#pragma GCC unroll 4
            for (size_t step = 0; step < kBlockSteps; ++step) {
              if (step >= steps) break;
              _mm512_store_si512(block.x[step][t][row], load(x.q + b * kBlock + step * kRowBytes));
            }
            block.d[t][row] = x.d[b];
            block.bias8[t][row] = x.bias8[b];
          }
        }
      }
    }
  }
  size_t block_steps(size_t b) const {
    return up(w_.block_groups(b) * kGroup, kRowBytes) / kRowBytes;
  }

  // All rows by two panels, of which the last may be alone: it is then computed twice, and stored
  // once.
  void panels(size_t j) {
    panel_[0] = w_.panel(j / kPanel);
    panel_[1] = panel_[0] + (j + kPanel < a_.n ? w_.panel_bytes : 0);
    ring_ = pairs_ == 1 ? 1 : kMaxChunk - 1;
    for (size_t pair = 0; pair < pairs_; ++pair) {
      configure(pair);
      const bool two = tile_rows_[1] != 0;
      if (pair == 0) {
        two ? blocks<true, true>(pair, j) : blocks<false, true>(pair, j);
      } else {
        two ? blocks<true, false>(pair, j) : blocks<false, false>(pair, j);
      }
    }
  }

  // Tiles 0 to 3 are sums, 4 and 5 of x, 6 and 7 of w.
  void configure(size_t pair) {
    const size_t rows[2] = {tile_rows(pair, 0), tile_rows(pair, 1)};
    if (rows[0] == tile_rows_[0] && rows[1] == tile_rows_[1]) return;
    TileConfig config;
    config.rows[0] = config.rows[1] = config.rows[4] = static_cast<uint8_t>(rows[0]);
    if (rows[1]) config.rows[2] = config.rows[3] = config.rows[5] = static_cast<uint8_t>(rows[1]);
    unit_.configure(&config);
    tile_rows_[0] = rows[0];
    tile_rows_[1] = rows[1];
  }

  // y += a pair of tiles times the blocks of two panels.
  template <bool kTwo, bool kFirst>
  void blocks(size_t pair, size_t j) {
    const PackedBlock* x = packed_ + pair * (end_ - begin_);
    if (kFirst) {
      for (size_t step = 0; step < kBlockSteps; ++step) prepare(begin_, step);
    }
    for (size_t b = begin_; b < end_; ++b, ++x) {
      const size_t steps = block_steps(b);
      const uint8_t* w0 = tiles(0, b);
      const uint8_t* w1 = tiles(1, b);
      unit_.template zero<0>();
      unit_.template zero<1>();
      if (kTwo) unit_.template zero<2>();
      if (kTwo) unit_.template zero<3>();
#pragma GCC unroll 4
      for (size_t step = 0; step < kBlockSteps; ++step) {
        if (step < steps) {
          unit_.template load<4>(x->x[step][0], kRowBytes);
          unit_.template load<6>(w0 + step * kTileBytes, kRowBytes);
          dot<0, 4, 6>();
          unit_.template load<7>(w1 + step * kTileBytes, kRowBytes);
          dot<1, 4, 7>();
          if (kTwo) {
            unit_.template load<5>(x->x[step][1], kRowBytes);
            dot<2, 5, 6>();
            dot<3, 5, 7>();
          }
        }
        if (kFirst && b + 1 < end_) prepare(b + 1, step);
        previous_.add(step);
      }
      unit_.template store<0>(products_[0].at[0], kRowBytes);
      unit_.template store<1>(products_[0].at[1], kRowBytes);
      if (kTwo) unit_.template store<2>(products_[1].at[0], kRowBytes);
      if (kTwo) unit_.template store<3>(products_[1].at[1], kRowBytes);
      if (b == begin_) {  // now the sums before these are complete
        store_sums();
        load_sums(pair, j);
      }
      previous_.rows[0] = tile_rows_[0];
      previous_.rows[1] = tile_rows_[1];
      previous_.products = products_;
      previous_.sums = sums_;
      previous_.x = x;
      previous_.d_w[0] = scales(panel_[0], b);
      previous_.d_w[1] = scales(panel_[1], b);
    }
  }

  // sums_ become those of a pair of tiles, from y on.
  void load_sums(size_t pair, size_t j) {
    y_ = a_.y + (first_ + pair * kPairRows) * a_.y_stride + j;
    cols_ = a_.n - j;
    for (size_t t = 0; t < 2; ++t) {
      rows_of_y_[t] = tile_rows_[t];
      for (size_t row = 0; row < tile_rows_[t]; ++row) {
        const float* y = y_ + (t * kTileRows + row) * a_.y_stride;
        for (size_t p = 0; p < 2; ++p) {
          float* sum = sums_[t].at[p][row];
          if (begin_ == 0) {
            _mm512_store_ps(sum, _mm512_setzero_ps());
          } else {
            _mm512_store_ps(sum, _mm512_maskz_loadu_ps(lanes(p), y + p * kPanel));
          }
        }
      }
    }
  }
  void store_sums() {
    for (size_t t = 0; t < 2; ++t) {
      for (size_t row = 0; row < rows_of_y_[t]; ++row) {
        float* y = y_ + (t * kTileRows + row) * a_.y_stride;
        for (size_t p = 0; p < 2; ++p) {
          _mm512_mask_storeu_ps(y + p * kPanel, lanes(p), _mm512_load_ps(sums_[t].at[p][row]));
        }
      }
    }
  }
  __mmask16 lanes(size_t p) const {
    const size_t left = cols_ < p * kPanel ? 0 : cols_ - p * kPanel;
    return static_cast<__mmask16>(left >= kPanel ? 0xffff : (1u << left) - 1);
  }
  void finish_sums() {
    for (size_t step = 0; step < kBlockSteps; ++step) previous_.add(step);
    store_sums();
    previous_.rows[0] = previous_.rows[1] = rows_of_y_[0] = rows_of_y_[1] = 0;
  }

  template <int kC, int kA, int kB>
  void dot() {
    if constexpr (kSigned) {
      unit_.template dot_s8_s8<kC, kA, kB>();
    } else {
      unit_.template dot_s8_u8<kC, kA, kB>();
    }
  }

  const uint8_t* stored(size_t p, size_t b) const {
    return panel_[p] + w_.header_bytes +
           b * (kBlock / kGroup) * (Type::kScaleBytes + Type::kCodeBytes);
  }
  bool in_place(size_t b) const {
    return !kSigned && w_.block_groups(b) * kGroup % kRowBytes == 0;
  }
  // Block b of a panel as whole tiles of bytes.
  const uint8_t* tiles(size_t p, size_t b) const {
    return in_place(b) ? stored(p, b) : expanded_[p][(b - begin_) & ring_];
  }

  // Makes one step of both panels' tiles, and asks for what comes later.
  [[gnu::always_inline]] inline void prepare(size_t b, size_t step) {
    const size_t groups = w_.block_groups(b);
    const size_t first = step * kStepGroups;
    if (first >= groups) return;
#pragma GCC unroll 2
    for (size_t p = 0; p < 2; ++p) {
      const uint8_t* block = stored(p, b);
      const uint8_t* codes = block + groups * Type::kScaleBytes + first * Type::kCodeBytes;
      // Behind a panel's end comes the one after the next.
      const bool over = codes + kAheadBytes >= panel_[p] + w_.panel_bytes;
      const size_t ahead = kAheadBytes + (over ? w_.panel_bytes : 0);
      if (step == 0) fetch_ahead_bytes(block, groups * Type::kScaleBytes, ahead);
      fetch_ahead<kStepGroups * Type::kCodeBytes>(codes, ahead);
      if (in_place(b)) continue;
      expand_step(Type(), block + first * Type::kScaleBytes, codes, first + 1 == groups,
                  expanded_[p][(b - begin_) & ring_] + step * kTileBytes);
    }
  }

  Unit& unit_;
  const QuantMatmulArgs& a_;
  const Panels<Type> w_;
  size_t first_, rows_, pairs_;  // of x, in use
  size_t begin_, end_;           // blocks, in use
  size_t tile_rows_[2] = {0, 0};
  const uint8_t* panel_[2];
  size_t ring_;  // expanded blocks are kept, or the last two of them
  ScaledBlock<!kSigned> previous_;
  TilePair<int32_t> products_[2];
  TilePair<float> sums_[2];
  float* y_ = nullptr;  // of sums_
  size_t cols_, rows_of_y_[2] = {0, 0};
  PackedBlock packed_[kPackedBlocks];
  alignas(64) uint8_t expanded_[2][kMaxChunk][kBlockBytes];
};
