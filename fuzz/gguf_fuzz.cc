// deps: tokenizer formats io
// A GGUF file: the container, and the vocabulary if it has one.
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/error.h"
#include "formats/gguf.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_spec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto file = axk1::GgufFile::parse(std::as_bytes(std::span(data, size)), "fuzz");
    unsigned sum = 0;  // every byte that a tensor claims is there to read
    for (const auto& tensor : file.tensors()) {
      for (const std::byte b : file.tensor_bytes(tensor)) sum += static_cast<unsigned>(b);
    }
    volatile unsigned sink = sum;
    (void)sink;
    const axk1::Tokenizer tokenizer(axk1::read_gguf_vocabulary(file));
    tokenizer.encode("Hello, 세계 <s> \n\n 123");
  } catch (const axk1::Error&) {
  }
  return 0;
}
