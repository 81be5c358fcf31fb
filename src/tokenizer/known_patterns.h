// Pre-tokenizers that files refer to by name, or leave out.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "tokenizer/tokenizer_spec.h"

namespace axk1 {

struct KnownPattern {
  std::string_view name;
  std::span<const std::string_view> splits;  // Isolated, one after the other; Oniguruma's dialect
};

// By the names people use (gpt2, cl100k, o200k, qwen2, ...), or nullptr.
const KnownPattern* find_known_pattern(std::string_view name);
// By the values of tokenizer.ggml.pre in GGUF files, as llama.cpp's llama-vocab.cpp lists them.
const KnownPattern* find_ggml_pre(std::string_view pre);
// All names of find_known_pattern, for messages.
std::string known_pattern_names();

// Splits of a byte-level vocabulary: by a known name, or by `pattern` itself as a regular
// expression in the dialect of tiktoken. Sets pre-tokenizer, decoder and model to byte level.
void use_byte_level(TokenizerSpec& spec, const KnownPattern& known);
void use_byte_level(TokenizerSpec& spec, std::string_view pattern);

}  // namespace axk1
