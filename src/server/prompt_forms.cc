#include "server/prompt_forms.h"

#include "server/sampling_fields.h"

namespace axk1 {
namespace {

constexpr const char* kExpected =
    "a string, an array of strings, an array of token ids or an array of arrays of token ids";

std::vector<TokenId> encode(const ServedModel& model, const json::value& text) {
  return model.require_tokenizer().encode(std::string_view(text.get_string()),
                                          {.parse_special = true, .add_special = true});
}

}  // namespace

std::vector<std::vector<TokenId>> read_prompts(const json::ObjectReader& reader,
                                               std::string_view field, const ServedModel& model,
                                               size_t max_prompts) {
  const json::value& found = reader.get(field);
  std::vector<std::vector<TokenId>> prompts;
  if (found.is_string()) {
    prompts.push_back(encode(model, found));
  } else if (found.is_array() && !found.get_array().empty()) {
    const json::array& list = found.get_array();
    if (list.front().is_number()) {
      prompts.push_back(read_token_ids(reader, field, found));
    } else {
      if (list.size() > max_prompts) {
        reader.refuse(field,
                      cat("found ", list.size(), " prompts, at most ", max_prompts, " are taken"));
      }
      for (const json::value& prompt : list) {
        if (!prompt.is_string() && !prompt.is_array()) reader.wrong(field, prompt, kExpected);
        prompts.push_back(prompt.is_string() ? encode(model, prompt)
                                             : read_token_ids(reader, field, prompt));
      }
    }
  } else {
    reader.wrong(field, found, kExpected);
  }
  for (const std::vector<TokenId>& prompt : prompts) {
    if (prompt.empty()) reader.refuse(field, "a prompt needs at least one token");
    check_prompt_length(model, prompt.size());
    for (const TokenId id : prompt) {
      if (static_cast<size_t>(id) >= model.vocab_size) {
        reader.refuse(field,
                      cat("token id ", id, " is outside the vocabulary of ", model.vocab_size));
      }
    }
  }
  return prompts;
}

}  // namespace axk1
