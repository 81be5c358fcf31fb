// deps: grammar io
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/utf8.h"
#include "grammar/constraints.h"

namespace {

std::shared_ptr<const axk1::GrammarVocabulary> bytes_and_some_more() {
  std::vector<std::string> tokens;
  for (int b = 0; b < 256; ++b) tokens.emplace_back(1, static_cast<char>(b));
  for (const char* text : {"{\"", "\": ", "\", \"", "\"}", "\\u00", "\xed\x95", "12", ".5", "ab"}) {
    tokens.emplace_back(text);
  }
  tokens.emplace_back();
  const auto end = static_cast<axk1::TokenId>(tokens.size() - 1);
  return std::make_shared<const axk1::GrammarVocabulary>(std::move(tokens),
                                                         std::vector<axk1::TokenId>{end});
}

}  // namespace

// The first line is a schema, the rest chooses tokens from the masks. Any schema is compiled or
// refused with an Error; every mask has a token, which push takes; what ends is JSON.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 2048) return 0;
  static const auto vocabulary = bytes_and_some_more();
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t line = std::min(input.find('\n'), input.size());
  try {
    const auto grammar =
        axk1::compile_json_schema(axk1::json::parse(input.substr(0, line), "fuzz"));
    const auto constraint = axk1::make_json_constraint(vocabulary, grammar);
    const axk1::TokenId end = vocabulary->end_ids()[0];
    std::vector<uint32_t> words(axk1::token_mask_words(vocabulary->vocab_size()));
    for (size_t at = line + 1; at < input.size(); ++at) {
      constraint->allowed(words);
      std::vector<axk1::TokenId> choice;
      for (size_t i = 0; i < vocabulary->vocab_size(); ++i) {
        if (words[i / 32] >> (i % 32) & 1) choice.push_back(static_cast<axk1::TokenId>(i));
      }
      AXK1_CHECK(!choice.empty());
      const axk1::TokenId id = choice[static_cast<uint8_t>(input[at]) % choice.size()];
      AXK1_CHECK(constraint->clone()->push(id));
      AXK1_CHECK(constraint->push(id));
      if (id == end) break;
    }
  } catch (const axk1::Error& error) {
    AXK1_CHECK(axk1::is_valid_utf8(error.what()));
  }
  return 0;
}
