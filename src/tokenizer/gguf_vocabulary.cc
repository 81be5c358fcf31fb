// Reader of the vocabularies in GGUF files (keys tokenizer.ggml.*, as llama.cpp's llama-vocab.cpp
// reads them).
#include "base/error.h"
#include "formats/gguf.h"
#include "tokenizer/known_patterns.h"
#include "tokenizer/merge_list.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_spec.h"

namespace axk1 {
namespace {

// llama_token_type of llama.h.
enum class GgmlTokenType : int64_t {
  kNormal = 1,
  kUnknown,
  kControl,
  kUserDefined,
  kUnused,
  kByte
};

const GgufArray& need_strings(const GgufFile& file, std::string_view key) {
  const GgufArray* array = file.find_array(key);
  if (!array) fail(ErrorCode::kInvalidInput, file.source(), ": metadata \"", key, "\" is missing");
  if (array->type() != GgufType::kString) {
    fail(ErrorCode::kInvalidInput, file.source(), ": metadata \"", key, "\" is an array of ",
         gguf_type_name(array->type()), ", expected strings");
  }
  return *array;
}

std::optional<TokenId> find_token_id(const GgufFile& file, std::string_view key,
                                     const Vocabulary& vocabulary) {
  const auto id = file.find_integer(key);
  if (!id) return std::nullopt;
  if (*id < 0 || *id > kMaxTokenId || !vocabulary.has(static_cast<TokenId>(*id))) {
    fail(ErrorCode::kInvalidInput, file.source(), ": metadata \"", key, "\" is ", *id,
         ", which is no token");
  }
  return static_cast<TokenId>(*id);
}

// Tokens that are looked for in the text, by their types.
void read_token_types(const GgufFile& file, TokenizerSpec& spec) {
  constexpr std::string_view kKey = "tokenizer.ggml.token_type";
  const GgufArray* types = file.find_array(kKey);
  if (!types) return;
  if (types->size() != spec.vocabulary.size()) {
    fail(ErrorCode::kInvalidInput, file.source(), ": metadata \"", kKey, "\" has ", types->size(),
         " entries for ", spec.vocabulary.size(), " tokens");
  }
  for (size_t id = 0; id < types->size(); ++id) {
    const auto type = types->integer(id);
    if (!type || *type < 0 || *type > static_cast<int64_t>(GgmlTokenType::kByte)) {
      fail(ErrorCode::kInvalidInput, file.source(), ": metadata \"", kKey, "\": entry ", id,
           " is no token type");
    }
    const auto kind = static_cast<GgmlTokenType>(*type);
    if (kind != GgmlTokenType::kControl && kind != GgmlTokenType::kUserDefined) continue;
    AddedToken token;
    token.id = static_cast<TokenId>(id);
    token.content = spec.vocabulary.text(token.id);
    token.special = kind == GgmlTokenType::kControl;
    spec.added.push_back(std::move(token));
  }
}

}  // namespace

TokenizerSpec read_gguf_vocabulary(const GgufFile& file) {
  TokenizerSpec spec;
  spec.source = file.source();
  const auto model = file.find_string("tokenizer.ggml.model");
  if (!model) {
    fail(ErrorCode::kInvalidInput, file.source(),
         ": holds no vocabulary (metadata \"tokenizer.ggml.model\" is missing)");
  }
  if (*model != "gpt2") {
    fail(ErrorCode::kUnsupported, file.source(), ": tokenizer model \"", printable(*model),
         "\" is not supported, expected \"gpt2\" (byte-level BPE)");
  }
  const std::string_view pre = file.find_string("tokenizer.ggml.pre").value_or("default");
  const KnownPattern* known = find_ggml_pre(pre);
  if (!known) {
    fail(ErrorCode::kUnsupported, file.source(), ": pre-tokenizer \"", printable(pre),
         "\" (tokenizer.ggml.pre) is not supported");
  }
  use_byte_level(spec, *known);
  // llama.cpp, by these names: Llama 3 and its like take whole entries first and begin with bos.
  const bool like_llama3 = pre == "llama3" || pre == "llama-v3" || pre == "llama-bpe" ||
                           pre == "falcon3" || pre == "falcon-h1" || pre == "pixtral" ||
                           pre == "midm-2.0" || pre == "lfm2";
  spec.bpe.ignore_merges = like_llama3 || pre == "tekken";

  const std::string source = file.source() + ": tokenizer.ggml.tokens";
  const GgufArray& tokens = need_strings(file, "tokenizer.ggml.tokens");
  for (size_t id = 0; id < tokens.size(); ++id) {
    spec.vocabulary.add(tokens.strings()[id], static_cast<int64_t>(id), source);
  }
  MergeBuilder merges(spec.vocabulary, file.source() + ": tokenizer.ggml.merges");
  for (std::string_view merge : need_strings(file, "tokenizer.ggml.merges").strings()) {
    merges.add(merge, 1);
  }
  spec.merges = merges.take();
  read_token_types(file, spec);
  spec.added_literally = true;

  PostTemplate around;
  const auto bos = find_token_id(file, "tokenizer.ggml.bos_token_id", spec.vocabulary);
  const auto eos = find_token_id(file, "tokenizer.ggml.eos_token_id", spec.vocabulary);
  const bool add_bos =
      file.find_bool("tokenizer.ggml.add_bos_token").value_or(like_llama3 || pre == "tekken");
  if (bos && add_bos) around.push_back({false, {*bos}});
  around.push_back({true, {}});
  if (eos && file.find_bool("tokenizer.ggml.add_eos_token").value_or(false)) {
    around.push_back({false, {*eos}});
  }
  spec.post.push_back(std::move(around));
  return spec;
}

}  // namespace axk1
