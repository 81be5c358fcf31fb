// Included inside the anonymous namespace of a source file; includes nothing.

constexpr size_t kTileRows = 16;
constexpr size_t kRowBytes = 64;

inline size_t min_of(size_t a, size_t b) {
  return a < b ? a : b;
}

// What LDTILECFG reads: palette 1, eight tiles of 16 rows of 64 bytes.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
