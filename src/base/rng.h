// Random numbers that are the same on every machine.
#pragma once

#include <cstdint>

namespace axk1 {

// xoshiro256** 1.0 (Blackman and Vigna, 2018), seeded through SplitMix64. Not for secrets.
class Rng {
 public:
  explicit Rng(uint64_t seed);
  uint64_t next();
  double uniform();  // [0, 1), 53 bits
  double normal();   // mean 0, variance 1

 private:
  uint64_t state_[4];
};

}  // namespace axk1
