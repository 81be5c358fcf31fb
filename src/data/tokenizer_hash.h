// Which tokenizer made the ids of a file.
#pragma once

#include <cstdint>
#include <string>

#include "io/named_files.h"

namespace axk1 {

// XXH3-64 of the files that decide the ids: tokenizer.json, or else the vocabulary and the merges
// of the directory one after the other; of a single file (tokenizer.json, .tiktoken, .gguf) its
// bytes. So a directory and its tokenizer.json have the same. Throws Error(kNotFound, kIo).
uint64_t tokenizer_hash(const NamedFiles& files);
uint64_t tokenizer_hash(const std::string& path);

}  // namespace axk1
