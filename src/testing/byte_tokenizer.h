// A tokenizer of bytes, for tests: ids 0 to 255 are the bytes, then come the special tokens of the
// family's chat layout.
#pragma once

#include <string>

#include "io/json.h"

namespace axk1::testing {

inline constexpr int32_t kEndOfText = 256, kImStart = 257, kImEnd = 258;

// The text that stands for a byte in byte-level vocabularies (GPT-2's bytes_to_unicode).
inline std::string byte_level_text(int byte) {
  const auto printable = [](int b) {
    return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);
  };
  int code = byte;
  if (!printable(byte)) {
    code = 256;
    for (int b = 0; b < byte; ++b) code += !printable(b);
  }
  if (code < 128) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 63))};
}

inline std::string byte_tokenizer_json() {
  json::object vocab;
  for (int b = 0; b < 256; ++b) vocab[byte_level_text(b)] = b;
  json::array added;
  int32_t id = 256;
  for (const char* text : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}) {
    added.push_back({{"id", id++},
                     {"content", text},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  const json::object byte_level{{"type", "ByteLevel"},
                                {"add_prefix_space", false},
                                {"trim_offsets", true},
                                {"use_regex", true}};
  return json::to_text(
      json::object{{"version", "1.0"},
                   {"added_tokens", added},
                   {"normalizer", nullptr},
                   {"pre_tokenizer", byte_level},
                   {"post_processor", nullptr},
                   {"decoder", byte_level},
                   {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", json::array()}}}});
}

}  // namespace axk1::testing
