// deps: quant
#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/error.h"
#include "quant/importance.h"

// What is accepted gives finite values for every name that the file could be asked for.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int fd = memfd_create("importance", 0);
  if (fd < 0 || write(fd, data, size) != static_cast<ssize_t>(size)) std::abort();
  try {
    const axk1::Importance importance =
        axk1::Importance::load("/proc/self/fd/" + std::to_string(fd));
    for (const char* name : {"a.weight", "a.up_proj.weight", "model.embed_tokens.weight",
                             "model.layers.1.mlp.experts.0.gate_proj.weight",
                             "model.layers.1.mlp.experts.1.up_proj.weight"}) {
      importance.num_rows(name);
      for (const float value : importance.find(name)) {
        if (!std::isfinite(value) || value < 0) std::abort();
      }
    }
  } catch (const axk1::Error&) {
  }
  close(fd);
  return 0;
}
