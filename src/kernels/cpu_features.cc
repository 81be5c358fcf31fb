#include <cstdint>
#include <string>

#include "kernels/registry.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace axk1 {
namespace {

struct FeatureName {
  uint32_t bit;
  const char* name;
};
constexpr FeatureName kFeatureNames[] = {
    {kCpuAvx2, "avx2"},
    {kCpuAvx512, "avx512"},
    {kCpuAvx512Bf16, "avx512_bf16"},
    {kCpuAvx512Vnni, "avx512_vnni"},
    {kCpuAvx512Vbmi, "avx512_vbmi"},
    {kCpuAmxBf16, "amx_bf16"},
    {kCpuAmxInt8, "amx_int8"},
};

#if defined(__x86_64__) && defined(__linux__)

// State components that the operating system saves (Intel SDM volume 1, section 13.3).
uint64_t enabled_xstate() {
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

// Linux grants the 8 KiB of tile data only to processes that ask (Documentation/arch/x86/xstate).
bool request_tile_state() {
  constexpr long kArchReqXcompPerm = 0x1023;
  constexpr long kXfeatureXtiledata = 18;
  return ::syscall(SYS_arch_prctl, kArchReqXcompPerm, kXfeatureXtiledata) == 0;
}

uint32_t detect() {
  struct {
    uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
  } basic, extended, extended1;
  const auto bit = [](uint32_t reg, int position) { return (reg >> position & 1) != 0; };
  if (!__get_cpuid(1, &basic.eax, &basic.ebx, &basic.ecx, &basic.edx)) return 0;
  if (!bit(basic.ecx, 27)) return 0;  // OSXSAVE: without it xgetbv faults
  if (!__get_cpuid_count(7, 0, &extended.eax, &extended.ebx, &extended.ecx, &extended.edx)) {
    return 0;
  }
  if (extended.eax >= 1) {  // highest subleaf
    __get_cpuid_count(7, 1, &extended1.eax, &extended1.ebx, &extended1.ecx, &extended1.edx);
  }

  const uint64_t xstate = enabled_xstate();
  constexpr uint64_t kAvxState = 0x6;       // SSE and AVX registers
  constexpr uint64_t kAvx512State = 0xe6;   // and mask registers, upper halves, zmm16..31
  constexpr uint64_t kTileState = 0x60000;  // tile configuration and data

  uint32_t features = 0;
  const bool avx2 = (xstate & kAvxState) == kAvxState && bit(basic.ecx, 28) && bit(basic.ecx, 12) &&
                    bit(basic.ecx, 29) && bit(extended.ebx, 5);
  if (avx2) features |= kCpuAvx2;
  const bool avx512 = avx2 && (xstate & kAvx512State) == kAvx512State && bit(extended.ebx, 16) &&
                      bit(extended.ebx, 17) && bit(extended.ebx, 30) && bit(extended.ebx, 31);
  if (avx512) {
    features |= kCpuAvx512;
    if (bit(extended1.eax, 5)) features |= kCpuAvx512Bf16;
    if (bit(extended.ecx, 11)) features |= kCpuAvx512Vnni;
    if (bit(extended.ecx, 1)) features |= kCpuAvx512Vbmi;
  }
  if ((xstate & kTileState) == kTileState && bit(extended.edx, 24) && request_tile_state()) {
    if (bit(extended.edx, 22)) features |= kCpuAmxBf16;
    if (bit(extended.edx, 25)) features |= kCpuAmxInt8;
  }
  return features;
}

#else
uint32_t detect() {
  return 0;
}
#endif

}  // namespace

uint32_t cpu_features() {
  static const uint32_t features = detect();
  return features;
}

std::string cpu_feature_names(uint32_t features) {
  std::string names;
  for (const auto& [bit, name] : kFeatureNames) {
    if (!(features & bit)) continue;
    if (!names.empty()) names += ' ';
    names += name;
  }
  return names;
}

}  // namespace axk1
