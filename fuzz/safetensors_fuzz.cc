// deps: formats
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "formats/safetensors.h"
#include "formats/safetensors_dir.h"

// As a file, and as an index of shards. What is accepted must lie inside the bytes.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto header =
        axk1::parse_safetensors({reinterpret_cast<const std::byte*>(data), size}, "x");
    for (const axk1::TensorInfo& tensor : header.tensors) {
      if (header.data_start + tensor.offset + tensor.size_bytes > size) std::abort();
    }
  } catch (const axk1::Error&) {
  }
  try {
    for (const auto& [tensor, file] :
         axk1::parse_safetensors_index({reinterpret_cast<const char*>(data), size}, "x")) {
      if (file.find('/') != std::string::npos) std::abort();
    }
  } catch (const axk1::Error&) {
  }
  return 0;
}
