// The prefix cache in a file, so that a server that starts again need not read long conversations
// again. docs/formats.md, "Prefix cache files".
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "engine/block_manager.h"

namespace axk1 {

struct PrefixFileLayout {
  uint64_t fingerprint = 0;  // of model and cache type: StepModel::fingerprint()
  size_t block_bytes = 0;
};

// Memory of a block: [block_bytes].
using BlockMemory = std::function<std::byte*(BlockId)>;

// Writes every published block; returns how many. Throws Error(kIo, kNotFound).
size_t save_prefix_file(const std::string& path, const BlockManager& blocks,
                        const PrefixFileLayout& layout, const BlockMemory& memory);

struct LoadedPrefixes {
  size_t blocks = 0;
  std::string message;  // why nothing, or not all, was taken
};

// Puts the file's blocks where blocks are free. The whole file is checked before anything is taken:
// a file that is absent, damaged, or of another model changes nothing, and the message says what is
// wrong with it.
LoadedPrefixes load_prefix_file(const std::string& path, BlockManager& blocks,
                                const PrefixFileLayout& layout, const BlockMemory& memory);

// The same of a file's bytes; `source` is named in messages.
LoadedPrefixes read_prefixes(std::span<const std::byte> bytes, const std::string& source,
                             BlockManager& blocks, const PrefixFileLayout& layout,
                             const BlockMemory& memory);

}  // namespace axk1
