#include "server/served_model.h"

#include <algorithm>

#include "chat/think.h"
#include "server/api_error.h"

namespace axk1 {

const Tokenizer& ServedModel::require_tokenizer() const {
  if (!tokenizer) {
    throw ApiError(400, "no_tokenizer",
                   "this model has no tokenizer: /v1/completions and /v1/score take token ids");
  }
  return *tokenizer;
}

const ChatTemplate& ServedModel::require_chat_template() const {
  require_tokenizer();
  if (!chat_template) {
    throw ApiError(400, "no_chat_template", "this model has no chat template: use /v1/completions");
  }
  return *chat_template;
}

void check_model_name(const json::ObjectReader& reader, const ServedModel& model) {
  if (!reader.find("model")) return;
  const std::string name = reader.get_string("model");
  if (std::find(model.names.begin(), model.names.end(), name) != model.names.end()) return;
  throw ApiError(404, "model_not_found",
                 cat("The model \"", printable(name), "\" does not exist here; this server has \"",
                     model.names.front(), "\""),
                 {.param = "model"});
}

std::string render_text(const ServedModel& model, const json::object& variables) {
  try {
    return model.require_chat_template().render(variables);
  } catch (const TemplateError& error) {
    // Most often the template's own raise_exception about the order of roles.
    throw ApiError(400, "template_error", cat("the chat template refused: ", error.message()),
                   {.param = "messages"});
  }
}

RenderedPrompt render_prompt(const ServedModel& model, const json::object& variables,
                             const BegunAnswer& begun) {
  std::string text = render_text(model, variables);
  RenderedPrompt out;
  out.opens_thinking = prompt_opens_thinking(text);
  if (out.opens_thinking) {
    text += begun.reasoning;
    if (!begun.text.empty()) {
      text += cat('\n', ThinkTags().close, "\n\n");
      out.opens_thinking = false;
    }
  }
  text += begun.text;
  out.ids = model.require_tokenizer().encode(text, {.parse_special = true});
  return out;
}

void check_prompt_length(const ServedModel& model, size_t num_tokens) {
  if (num_tokens < model.context_length) return;
  throw ApiError(400, "context_length_exceeded",
                 cat("This model's maximum context length is ", model.context_length,
                     " tokens; the prompt has ", num_tokens));
}

}  // namespace axk1
