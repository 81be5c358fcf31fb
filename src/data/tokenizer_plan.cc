#include "data/tokenizer_plan.h"

#include <algorithm>
#include <initializer_list>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "tokenizer/known_patterns.h"
#include "tokenizer/tokenizer.h"

namespace axk1 {
namespace {

json::object added_token(const PlannedToken& token) {
  return {{"content", token.content}, {"single_word", false}, {"lstrip", false},
          {"rstrip", false},          {"normalized", false},  {"special", token.special}};
}

json::object byte_level(bool trim_offsets) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", trim_offsets},
          {"use_regex", false}};
}

json::object split(std::string_view pattern) {
  return {{"type", "Split"},
          {"pattern", json::object{{"Regex", pattern}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}

// A model as tokenizer.json has it: the bytes as entries, then what was learned.
json::object model_of(const TrainedBpe& bpe) {
  json::object vocab;
  vocab.reserve(bpe.tokens.size());
  std::vector<std::string> texts;
  for (size_t id = 0; id < bpe.tokens.size(); ++id) {
    texts.push_back(bytes_to_text(bpe.tokens[id]));
    vocab.emplace(texts.back(), id);
  }
  json::array merges;
  merges.reserve(bpe.merges.size());
  for (const TrainedMerge& merge : bpe.merges) {
    merges.push_back(json::array{json::value(texts[static_cast<size_t>(merge.left)]),
                                 json::value(texts[static_cast<size_t>(merge.right)])});
  }
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", nullptr},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"ignore_merges", false},
          {"vocab", std::move(vocab)},
          {"merges", std::move(merges)}};
}

}  // namespace

std::vector<PlannedToken> default_added_tokens() {
  return {{"<|endoftext|>", true},     {"<|pad|>", true},        {"<|im_start|>", true},
          {"<|im_end|>", true},        {"<think>", false},       {"</think>", false},
          {"<tool_call>", false},      {"</tool_call>", false},  {"<tool_response>", false},
          {"</tool_response>", false}, {"<|fim_prefix|>", true}, {"<|fim_middle|>", true},
          {"<|fim_suffix|>", true}};
}

TokenizerPlan TokenizerPlan::make(std::string_view pattern, bool nfc,
                                  std::vector<PlannedToken> added) {
  TokenizerPlan plan;
  plan.parts_["normalizer"] =
      nfc ? json::value(json::object{{"type", "NFC"}}) : json::value(nullptr);
  plan.parts_["decoder"] = byte_level(true);
  plan.parts_["post_processor"] = byte_level(false);
  plan.set_pattern(pattern);
  plan.set_added_tokens(std::move(added));
  return plan;
}

TokenizerPlan TokenizerPlan::like(std::string_view tokenizer_json, const std::string& source) {
  const json::value root = json::parse(tokenizer_json, source);
  const json::ObjectReader fields(root, source);
  TokenizerPlan plan;
  for (const char* name : {"normalizer", "pre_tokenizer", "post_processor", "decoder"}) {
    const json::value* found = fields.find(name);
    plan.parts_[name] = found ? *found : json::value(nullptr);
  }
  if (const json::value* added = fields.find("added_tokens")) {
    if (!added->is_array()) fields.wrong("added_tokens", *added, "an array");
    std::vector<std::pair<int64_t, json::object>> tokens;
    for (const json::value& value : added->get_array()) {
      const json::ObjectReader token(value, source + ": added_tokens");
      json::object copy = token.fields();
      copy.erase("id");
      token.get_string("content");
      tokens.emplace_back(token.get_int("id", 0, kMaxTokenId), std::move(copy));
    }
    std::ranges::stable_sort(tokens, {}, &std::pair<int64_t, json::object>::first);
    for (auto& [id, token] : tokens) plan.added_.push_back(std::move(token));
  }
  const TokenizerSpec spec = plan.counting_spec();
  if (!spec.pre_tokenizer.bytes_last || !spec.decoder.bytes) {
    fail(
        ErrorCode::kUnsupported, source,
        ": is no byte-level tokenizer; expected a ByteLevel pre-tokenizer, the last of them, and a "
        "ByteLevel decoder");
  }
  plan.post_processor(0);  // refuses what it cannot carry over
  return plan;
}

void TokenizerPlan::set_added_tokens(std::vector<PlannedToken> added) {
  added_.clear();
  for (const PlannedToken& token : added) {
    const bool empty = token.content.empty();
    const bool twice = std::ranges::count(added, token.content, &PlannedToken::content) > 1;
    if (empty || twice) {
      fail(ErrorCode::kUsage, "special token \"", printable(token.content),
           "\": ", empty ? "is empty" : "is named twice");
    }
    added_.push_back(added_token(token));
  }
}

void TokenizerPlan::set_pattern(std::string_view pattern) {
  json::array steps;
  if (const KnownPattern* known = find_known_pattern(pattern)) {
    for (std::string_view one : known->splits) steps.push_back(split(one));
  } else {
    steps.push_back(split(pattern));
  }
  steps.push_back(byte_level(true));
  parts_["pre_tokenizer"] = json::object{{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
}

TokenizerSpec TokenizerPlan::counting_spec() const {
  json::object root = parts_;
  root["post_processor"] = nullptr;
  root["model"] =
      json::object{{"type", "BPE"}, {"vocab", json::object()}, {"merges", json::array()}};
  TokenizerSpec spec = read_tokenizer_json(json::to_text(root), "tokenizer");
  spec.pre_tokenizer.join_class_runs();
  return spec;
}

// The ids that a template puts around a text are those of the new vocabulary.
json::value TokenizerPlan::post_processor(size_t first_added_id) const {
  json::value post = parts_.at("post_processor");
  if (post.is_null() || !post.is_object()) return post;
  const json::ObjectReader fields(post, "post_processor");
  const std::string type = fields.get_string("type");
  if (type == "ByteLevel") return post;
  if (type != "TemplateProcessing") {
    fail(ErrorCode::kUnsupported, "post_processor: found ", printable(type),
         ", expected ByteLevel or TemplateProcessing");
  }
  json::value* table = post.get_object().if_contains("special_tokens");
  if (!table || !table->is_object()) return post;
  for (auto& [name, value] : table->get_object()) {
    const json::ObjectReader entry(value, "post_processor: special_tokens");
    const json::value& tokens = entry.get("tokens");
    if (!tokens.is_array()) entry.wrong("tokens", tokens, "an array");
    json::array ids;
    for (const json::value& token : tokens.get_array()) {
      const auto found = std::ranges::find_if(
          added_, [&](const json::value& added) { return added.at("content") == token; });
      if (found == added_.end()) entry.wrong("tokens", token, "an added token");
      ids.push_back(first_added_id + static_cast<size_t>(found - added_.begin()));
    }
    value.get_object()["ids"] = std::move(ids);
  }
  return post;
}

std::string TokenizerPlan::tokenizer_json(const TrainedBpe& bpe) const {
  const std::unordered_set<std::string_view> learned(bpe.tokens.begin(), bpe.tokens.end());
  json::array added;
  for (size_t i = 0; i < added_.size(); ++i) {
    const json::object& planned = added_[i].get_object();
    const std::string_view content = planned.at("content").get_string();
    const auto bytes = text_to_bytes(content);
    if (bytes && learned.contains(*bytes)) {
      fail(ErrorCode::kInvalidInput, "special token \"", printable(content),
           "\" was also learned from the text; another name, or another pattern, would keep them "
           "apart");
    }
    json::object token{{"id", bpe.tokens.size() + i}};
    for (const auto& [name, value] : planned) token[name] = value;
    added.push_back(std::move(token));
  }
  const json::object root{{"version", "1.0"},
                          {"truncation", nullptr},
                          {"padding", nullptr},
                          {"added_tokens", std::move(added)},
                          {"normalizer", parts_.at("normalizer")},
                          {"pre_tokenizer", parts_.at("pre_tokenizer")},
                          {"post_processor", post_processor(bpe.tokens.size())},
                          {"decoder", parts_.at("decoder")},
                          {"model", model_of(bpe)}};
  return json::to_text(root) + "\n";
}

std::string TokenizerPlan::tokenizer_config() const {
  json::object config{{"tokenizer_class", "PreTrainedTokenizerFast"},
                      {"clean_up_tokenization_spaces", false}};
  const auto name = [&](const char* field, std::initializer_list<std::string_view> usual) {
    for (std::string_view content : usual) {
      for (const json::value& token : added_) {
        if (token.at("content").get_string() != content) continue;
        config[field] = content;
        return;
      }
    }
  };
  name("bos_token", {"<|endoftext|>", "<s>"});
  name("eos_token", {"<|im_end|>", "<|endoftext|>", "</s>"});
  name("pad_token", {"<|pad|>", "<pad>"});
  return json::to_text(config) + "\n";
}

}  // namespace axk1
