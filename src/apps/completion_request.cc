#include "apps/completion_request.h"

#include "base/error.h"
#include "chat/think.h"
#include "server/chat_messages.h"
#include "server/sampling_fields.h"
#include "server/token_json.h"

namespace axk1 {
namespace {

// What a server computes and a line of a file does not, and what neither does.
constexpr NeutralField kNotComputed[] = {
    {"response_format", R"({"type":"text"})"},
    {"guided_json", "null"},
    {"guided_regex", "null"},
    {"guided_choice", "null"},
    {"guided_grammar", "null"},
    {"structured_outputs", "null"},
    {"tool_choice", R"("auto")"},
    {"functions", "null"},
    {"function_call", "null"},
    {"n", "1"},
    {"best_of", "1"},
    {"use_beam_search", "false"},
    {"stream", "false"},
    {"echo", "false"},
    {"suffix", "null"},
    {"prompt_logprobs", "null"},
    {"min_tokens", "0"},
    {"bad_words", "[]"},
    {"allowed_token_ids", "null"},
    {"continue_final_message", "false"},
    {"prediction", "null"},
    {"audio", "null"},
};

}  // namespace

CompletionRequest parse_completion_request(const json::value& request, const std::string& source,
                                           const GenerateOptions& defaults) {
  const json::ObjectReader reader(request, source);
  refuse_unless_neutral(reader, kNotComputed);

  CompletionRequest out;
  out.generate = read_generate_options(reader, defaults);
  const json::value* prompt = reader.find("prompt");
  const json::value* prompt_ids = reader.find("prompt_ids");
  const json::value* messages = reader.find("messages");
  if ((prompt != nullptr) + (prompt_ids != nullptr) + (messages != nullptr) != 1) {
    fail(ErrorCode::kInvalidInput, source,
         ": expected exactly one of prompt, prompt_ids and messages");
  }
  if (prompt) out.prompt = reader.get_string("prompt");
  if (prompt_ids) out.prompt_ids = read_token_ids(reader, "prompt_ids", *prompt_ids);
  if (messages) out.template_variables = read_chat_variables(reader);

  return out;
}

std::vector<TokenId> prompt_tokens(const Engine& engine, const CompletionRequest& request,
                                   std::string* rendered) {
  rendered->clear();
  if (request.prompt_ids) return *request.prompt_ids;
  const Tokenizer& tokenizer = engine.require_tokenizer();
  if (request.prompt) {
    return tokenizer.encode(*request.prompt, {.parse_special = true, .add_special = true});
  }
  *rendered = engine.require_chat_template().render(*request.template_variables);
  return tokenizer.encode(*rendered, {.parse_special = true});
}

json::object complete(Engine& engine, const CompletionRequest& request) {
  std::string rendered;
  const std::vector<TokenId> prompt = prompt_tokens(engine, request, &rendered);
  Session session(engine);
  const GenerateResult result = generate(session, prompt, request.generate);

  std::string text = result.text;
  std::string reasoning;
  if (request.template_variables) {
    ThinkSplitter splitter(prompt_opens_thinking(rendered));
    auto parts = splitter.push(result.text);
    const auto rest = splitter.finish();
    reasoning = parts.reasoning + rest.reasoning;
    text = parts.content + rest.content;
  }
  json::array ids;
  for (TokenId id : result.ids) ids.push_back(id);
  json::object usage;
  usage["prompt_tokens"] = result.prompt_tokens;
  usage["completion_tokens"] = result.ids.size();
  usage["total_tokens"] = result.prompt_tokens + result.ids.size();

  json::object out;
  out["text"] = text;
  out["reasoning"] = reasoning;
  out["ids"] = std::move(ids);
  out["finish_reason"] = finish_reason_name(result.finish_reason);
  out["usage"] = std::move(usage);
  out["seed"] = static_cast<int64_t>(request.generate.sampling.seed);
  if (request.generate.top_logprobs >= 0) {
    out["logprobs"] = json::object{{"content", steps_json(engine.tokenizer(), result.logprobs)}};
  }
  return out;
}

}  // namespace axk1
