#include "data/tokenizer_hash.h"

#include <initializer_list>

#include "base/error.h"
#include "formats/k1pack.h"
#include "io/checksum.h"
#include "io/file.h"

namespace axk1 {
namespace {

constexpr uint64_t kMaxFileBytes = uint64_t{1} << 31;

}  // namespace

uint64_t tokenizer_hash(const NamedFiles& files) {
  Checksum64 sum;
  bool found = false;
  const auto add = [&](const char* name) {
    if (!files.contains(name)) return;
    const std::string bytes = files.read(name, kMaxFileBytes);
    sum.update(std::as_bytes(std::span(bytes)));
    found = true;
  };
  add("tokenizer.json");
  if (!found) {
    for (const char* name : {"vocab.json", "encoder.json", "merges.txt", "vocab.bpe",
                             "added_tokens.json", "tokenizer_config.json"}) {
      add(name);
    }
  }
  if (!found) fail(ErrorCode::kNotFound, files.path(), ": has no tokenizer");
  return sum.digest();
}

uint64_t tokenizer_hash(const std::string& path) {
  if (is_directory(path) || is_k1pack(path)) return tokenizer_hash(open_model_files(path));
  return checksum64(MappedFile(path).bytes());
}

}  // namespace axk1
