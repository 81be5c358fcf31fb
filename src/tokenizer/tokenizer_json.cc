// Reader of tokenizer.json, the format of Hugging Face's tokenizers (version "1.0"). The schema is
// that of the serde implementations in its Rust sources.
#include "base/error.h"
#include "base/utf8.h"
#include "io/json.h"
#include "tokenizer/known_patterns.h"
#include "tokenizer/merge_list.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_spec.h"

namespace axk1 {
namespace {

using json::ObjectReader;

constexpr int kMaxDepth = 16;  // of Sequences in each other

[[noreturn]] void refuse(const ObjectReader& fields, std::string_view what) {
  fail(ErrorCode::kUnsupported, fields.source(), ": ", what, " is not supported");
}

const json::array& get_array(const ObjectReader& fields, std::string_view name) {
  const json::value& value = fields.get(name);
  if (!value.is_array()) fields.wrong(name, value, "an array");
  return value.get_array();
}

std::string as_string(const ObjectReader& fields, std::string_view name, const json::value& value) {
  if (!value.is_string()) fields.wrong(name, value, "a string");
  return std::string(value.get_string());
}

// {"String": "..."} or {"Regex": "..."}.
Regex read_pattern(const ObjectReader& fields) {
  const ObjectReader pattern(fields.get("pattern"), fields.source() + ": pattern");
  if (pattern.find("String")) return Regex::literal(pattern.get_string("String"));
  return Regex(pattern.get_string("Regex"), RegexDialect::kOniguruma);
}

// Calls each(fields) for the object, or in order for what its Sequences hold under `list`.
template <class F>
void for_each_component(const json::value& value, const std::string& source, std::string_view list,
                        F each, int depth = 0) {
  if (value.is_null()) return;
  if (depth > kMaxDepth) fail(ErrorCode::kInvalidInput, source, ": Sequences nested too deeply");
  const ObjectReader fields(value, source);
  if (fields.get_string("type") != "Sequence") {
    each(fields);
    return;
  }
  for (const json::value& inner : get_array(fields, list)) {
    for_each_component(inner, source, list, each, depth + 1);
  }
}

void read_normalizer(const json::value& value, const std::string& source, Normalizer& normalizer) {
  for_each_component(value, source, "normalizers", [&](const ObjectReader& fields) {
    using Kind = NormalizerStep::Kind;
    const std::string type = fields.get_string("type");
    NormalizerStep step;
    if (type == "NFC") {
      step.form = NormalForm::kNfc;
    } else if (type == "NFD") {
      step.form = NormalForm::kNfd;
    } else if (type == "NFKC") {
      step.form = NormalForm::kNfkc;
    } else if (type == "NFKD") {
      step.form = NormalForm::kNfkd;
    } else if (type == "Lowercase") {
      step.kind = Kind::kLowercase;
    } else if (type == "Replace") {
      step.kind = Kind::kReplace;
      step.pattern = read_pattern(fields);
      step.text = fields.get_string("content");
    } else if (type == "Prepend") {
      step.kind = Kind::kPrepend;
      step.text = fields.get_string("prepend");
    } else if (type == "Strip") {
      step.kind = Kind::kStrip;
      step.left = fields.bool_or("strip_left", true);
      step.right = fields.bool_or("strip_right", true);
    } else if (type == "StripAccents") {
      step.kind = Kind::kStripAccents;
    } else if (type == "ByteLevel") {
      step.kind = Kind::kBytes;
    } else {
      refuse(fields, cat("normalizer ", printable(type)));
    }
    normalizer.steps.push_back(std::move(step));
  });
}

SplitBehavior read_behavior(const ObjectReader& fields, std::string_view absent) {
  const std::string name = fields.string_or("behavior", absent);
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  refuse(fields, cat("behavior \"", printable(name), "\""));
}

void read_pre_tokenizer(const json::value& value, const std::string& source, PreTokenizer& pre) {
  using Kind = PreTokenizerStep::Kind;
  auto add = [&](Kind kind) -> PreTokenizerStep& {
    pre.steps.emplace_back();
    pre.steps.back().kind = kind;
    return pre.steps.back();
  };
  for_each_component(value, source, "pretokenizers", [&](const ObjectReader& fields) {
    const std::string type = fields.get_string("type");
    if (type == "Split") {
      PreTokenizerStep& step = add(Kind::kSplit);
      step.pattern = read_pattern(fields);
      step.behavior = read_behavior(fields, "");
      step.invert = fields.bool_or("invert", false);
    } else if (type == "ByteLevel") {
      if (fields.bool_or("add_prefix_space", true)) add(Kind::kPrefixSpace);
      if (fields.bool_or("use_regex", true)) {
        add(Kind::kSplit)
            .pattern.emplace(find_known_pattern("gpt2")->splits[0], RegexDialect::kOniguruma);
      }
      add(Kind::kBytes);
    } else if (type == "Digits") {
      add(Kind::kDigits).behavior = fields.bool_or("individual_digits", false)
                                        ? SplitBehavior::kIsolated
                                        : SplitBehavior::kContiguous;
    } else if (type == "Punctuation") {
      add(Kind::kPunctuation).behavior = read_behavior(fields, "Isolated");
    } else if (type == "Whitespace") {
      PreTokenizerStep& step = add(Kind::kSplit);
      step.pattern.emplace(R"(\w+|[^\w\s]+)", RegexDialect::kRust);
      step.behavior = SplitBehavior::kRemoved;
      step.invert = true;
    } else if (type == "WhitespaceSplit") {
      add(Kind::kWhitespaceSplit).behavior = SplitBehavior::kRemoved;
    } else {
      refuse(fields, cat("pre-tokenizer ", printable(type)));
    }
  });
  if (!pre.steps.empty() && pre.steps.back().kind == Kind::kBytes) {
    pre.steps.pop_back();
    pre.bytes_last = true;
  }
}

StripRule read_strip(const ObjectReader& fields) {
  const std::string content = fields.get_string("content");
  if (content.empty() || decode_utf8(content).length != content.size()) {
    fields.wrong("content", fields.get("content"), "one character");
  }
  constexpr int64_t kMax = 1 << 20;
  return {decode_utf8(content).code_point, static_cast<size_t>(fields.get_int("start", 0, kMax)),
          static_cast<size_t>(fields.get_int("stop", 0, kMax))};
}

void read_decoder(const json::value& value, const std::string& source, DecoderRules& rules) {
  if (value.is_null()) {
    rules.spaces_between = true;
    return;
  }
  bool joined = false, stripped = false;
  for_each_component(value, source, "decoders", [&](const ObjectReader& fields) {
    const std::string type = fields.get_string("type");
    const std::string behind = "decoder " + printable(type) + " behind another that joins bytes";
    if (type == "ByteLevel" || type == "ByteFallback") {
      if (joined || rules.byte_fallback) refuse(fields, behind);
      (type == "ByteLevel" ? rules.bytes : rules.byte_fallback) = true;
      joined = type == "ByteLevel";  // its result is one text
    } else if (type == "Fuse") {
      joined = true;
    } else if (type == "Replace") {
      if (joined || rules.byte_fallback) refuse(fields, behind);
      DecoderStep step;
      step.pattern = read_pattern(fields);
      step.text = fields.get_string("content");
      rules.per_token.push_back(std::move(step));
    } else if (type == "Strip") {
      if (joined ? stripped : rules.byte_fallback) refuse(fields, behind);
      if (joined) {
        rules.whole = read_strip(fields);
        stripped = true;
      } else {
        rules.per_token.emplace_back().strip = read_strip(fields);
      }
    } else {
      refuse(fields, cat("decoder ", printable(type)));
    }
  });
}

void read_added_tokens(const json::value& list, const std::string& source, TokenizerSpec& spec) {
  if (!list.is_array()) {
    fail(ErrorCode::kInvalidInput, source, ": found ", json::kind_name(list),
         ", expected an array");
  }
  for (const json::value& value : list.get_array()) {
    const ObjectReader fields(value, source);
    AddedToken token;
    token.id = static_cast<TokenId>(fields.get_int("id", 0, kMaxTokenId));
    token.content = fields.get_string("content");
    token.single_word = fields.bool_or("single_word", false);
    token.lstrip = fields.bool_or("lstrip", false);
    token.rstrip = fields.bool_or("rstrip", false);
    token.special = fields.bool_or("special", false);
    token.normalized = fields.bool_or("normalized", !token.special);
    spec.added.push_back(std::move(token));
  }
}

void read_model(const json::value& value, const std::string& source, TokenizerSpec& spec) {
  const ObjectReader fields(value, source);
  // Files of the first versions name no type; theirs is told by what it holds.
  const std::string type = fields.string_or("type", fields.find("merges") ? "BPE" : "unnamed");
  if (type != "BPE") refuse(fields, cat("model ", printable(type)));
  if (fields.number_or("dropout", 0) != 0) refuse(fields, "dropout");
  spec.bpe.prefix = fields.string_or("continuing_subword_prefix", "");
  spec.bpe.suffix = fields.string_or("end_of_word_suffix", "");
  spec.bpe.fuse_unk = fields.bool_or("fuse_unk", false);
  spec.bpe.byte_fallback = fields.bool_or("byte_fallback", false);
  spec.bpe.ignore_merges = fields.bool_or("ignore_merges", false);
  spec.bpe.bytes = spec.pre_tokenizer.bytes_last;
  read_json_vocabulary(fields.get("vocab"), source + ": vocab", spec.vocabulary);

  MergeBuilder merges(spec.vocabulary, source + ": merges", spec.bpe.prefix.size());
  for (const json::value& merge : get_array(fields, "merges")) {
    if (merge.is_string()) {
      merges.add(std::string_view(merge.get_string()), 0);
      continue;
    }
    if (!merge.is_array() || merge.get_array().size() != 2) {
      fields.wrong("merges", merge, "pairs of tokens");
    }
    const json::array& pair = merge.get_array();
    merges.add(as_string(fields, "merges", pair[0]), as_string(fields, "merges", pair[1]));
  }
  spec.merges = merges.take();

  if (const json::value* unk = fields.find("unk_token")) {
    const std::string text = as_string(fields, "unk_token", *unk);
    spec.bpe.unk = spec.vocabulary.find(text);
    // A byte-level model never meets an unknown character, and its files name any token here.
    if (!spec.bpe.unk && !spec.bpe.bytes) {
      fail(ErrorCode::kInvalidInput, source, ": unk_token \"", printable(text),
           "\" is not in the vocabulary");
    }
  }
}

PostTemplate around_sequence(std::vector<TokenId> before, std::vector<TokenId> behind) {
  return {{false, std::move(before)}, {true, {}}, {false, std::move(behind)}};
}

// ["[CLS]", 101]: only the id counts.
TokenId read_token_pair(const ObjectReader& fields, std::string_view name) {
  const json::array& pair = get_array(fields, name);
  if (pair.size() != 2 || !pair[1].is_int64() || pair[1].get_int64() < 0 ||
      pair[1].get_int64() > kMaxTokenId) {
    fields.wrong(name, fields.get(name), "a token and its id");
  }
  return static_cast<TokenId>(pair[1].get_int64());
}

PostTemplate read_template(const ObjectReader& fields) {
  PostTemplate result;
  for (const json::value& item : get_array(fields, "single")) {
    const ObjectReader piece(item, fields.source() + ": single");
    if (const json::value* sequence = piece.find("Sequence")) {
      const ObjectReader inner(*sequence, piece.source());
      if (inner.get_string("id") != "A") piece.wrong("Sequence", *sequence, "sequence A");
      result.push_back({true, {}});
      continue;
    }
    const ObjectReader special(piece.get("SpecialToken"), piece.source());
    const std::string name = special.get_string("id");
    const ObjectReader table(fields.get("special_tokens"), fields.source() + ": special_tokens");
    const ObjectReader entry(table.get(name), table.source());
    PostTemplateItem tokens;
    for (const json::value& id : get_array(entry, "ids")) {
      if (!id.is_int64() || id.get_int64() < 0 || id.get_int64() > kMaxTokenId) {
        entry.wrong("ids", id, "an id");
      }
      tokens.ids.push_back(static_cast<TokenId>(id.get_int64()));
    }
    result.push_back(std::move(tokens));
  }
  return result;
}

void read_post_processor(const json::value& value, const std::string& source,
                         std::vector<PostTemplate>& post) {
  for_each_component(value, source, "processors", [&](const ObjectReader& fields) {
    const std::string type = fields.get_string("type");
    if (type == "TemplateProcessing") {
      post.push_back(read_template(fields));
    } else if (type == "BertProcessing" || type == "RobertaProcessing") {
      post.push_back(
          around_sequence({read_token_pair(fields, "cls")}, {read_token_pair(fields, "sep")}));
    } else if (type != "ByteLevel") {  // which only moves offsets
      refuse(fields, cat("post-processor ", printable(type)));
    }
  });
}

}  // namespace

TokenizerSpec read_tokenizer_json(std::string_view json_text, const std::string& source) {
  const json::value root = json::parse(json_text, source);
  const ObjectReader fields(root, source);
  const std::string version = fields.string_or("version", "1.0");
  if (version != "1.0") refuse(fields, cat("version \"", printable(version), "\""));

  TokenizerSpec spec;
  spec.source = source;
  const json::value null;
  auto part = [&](std::string_view name) -> const json::value& {
    const json::value* found = fields.find(name);
    return found ? *found : null;
  };
  read_normalizer(part("normalizer"), source + ": normalizer", spec.normalizer);
  read_pre_tokenizer(part("pre_tokenizer"), source + ": pre_tokenizer", spec.pre_tokenizer);
  read_decoder(part("decoder"), source + ": decoder", spec.decoder);
  read_model(fields.get("model"), source + ": model", spec);
  if (fields.find("added_tokens")) {
    read_added_tokens(part("added_tokens"), source + ": added_tokens", spec);
  }
  read_post_processor(part("post_processor"), source + ": post_processor", spec.post);
  return spec;
}

}  // namespace axk1
