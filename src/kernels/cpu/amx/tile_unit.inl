// The AMX tile unit. Included inside the anonymous namespace of a source file; includes nothing.
// Written as assembly because g++ 12's intrinsics do not say which memory they read, so that stores
// to a tile's source could be moved behind its load.

struct TileUnit {
  static void configure(const void* config) {
    __asm__ volatile("ldtilecfg (%0)" : : "r"(config) : "memory");
  }
  static void release() { __asm__ volatile("tilerelease" : : : "memory"); }
  template <int kTile>
  static void zero() {
    __asm__ volatile("tilezero %%tmm%c0" : : "i"(kTile));
  }
  template <int kTile>
  static void load(const void* base, size_t stride_bytes) {
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2"
                     :
                     : "r"(base), "r"(stride_bytes), "i"(kTile)
                     : "memory");
  }
  template <int kTile>
  static void store(void* base, size_t stride_bytes) {
    __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)"
                     :
                     : "r"(base), "r"(stride_bytes), "i"(kTile)
                     : "memory");
  }
  template <int kC, int kA, int kB>
  static void dot_bf16() {
    __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kC), "i"(kA), "i"(kB));
  }
  template <int kC, int kA, int kB>
  static void dot_s8_s8() {
    __asm__ volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kC), "i"(kA), "i"(kB));
  }
  template <int kC, int kA, int kB>
  static void dot_s8_u8() {
    __asm__ volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kC), "i"(kA), "i"(kB));
  }
  template <int kC, int kA, int kB>
  static void dot_u8_s8() {
    __asm__ volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kC), "i"(kA), "i"(kB));
  }
};
