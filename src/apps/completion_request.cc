#include "apps/completion_request.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/error.h"
#include "base/utf8.h"
#include "chat/think.h"

namespace axk1 {
namespace {

constexpr int64_t kMaxTokens = int64_t{1} << 31;
constexpr size_t kMaxStops = 64;
constexpr int64_t kMaxLogprobs = 1 << 20;

// Fields that would change the answer, and the only value (besides null) that asks for nothing.
struct NeutralField {
  const char* name;
  const char* neutral;  // JSON
};
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

float get_float(const json::ObjectReader& reader, const char* field, float absent) {
  return static_cast<float>(reader.number_or(field, double{absent}));
}

TokenId token_id(const json::ObjectReader& reader, const char* field, const json::value& v) {
  if (!v.is_int64() || v.get_int64() < 0 || v.get_int64() > std::numeric_limits<TokenId>::max()) {
    reader.wrong(field, v, "token ids (integers from 0)");
  }
  return static_cast<TokenId>(v.get_int64());
}

std::vector<TokenId> token_ids(const json::ObjectReader& reader, const char* field,
                               const json::value& v) {
  if (!v.is_array()) reader.wrong(field, v, "an array of token ids");
  std::vector<TokenId> ids;
  ids.reserve(v.get_array().size());
  for (const json::value& id : v.get_array()) ids.push_back(token_id(reader, field, id));
  return ids;
}

std::vector<std::string> stop_texts(const json::ObjectReader& reader, const json::value& v) {
  std::vector<std::string> stops;
  const auto take = [&](const json::value& text) {
    if (!text.is_string()) reader.wrong("stop", text, "a string or an array of strings");
    if (text.get_string().empty()) {
      fail(ErrorCode::kInvalidInput, reader.source(), ": stop: an empty text would stop at once");
    }
    stops.emplace_back(text.get_string());
  };
  if (v.is_array()) {
    if (v.get_array().size() > kMaxStops) reader.wrong("stop", v, "at most 64 strings");
    for (const json::value& text : v.get_array()) take(text);
  } else {
    take(v);
  }
  return stops;
}

std::vector<std::pair<TokenId, float>> logit_bias(const json::ObjectReader& reader,
                                                  const json::value& v) {
  constexpr const char* kExpected = "an object of token id -> number from -100 to 100";
  if (!v.is_object()) reader.wrong("logit_bias", v, kExpected);
  std::vector<std::pair<TokenId, float>> biases;
  for (const auto& entry : v.get_object()) {
    const std::string_view key = entry.key();
    TokenId id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0) {
      fail(ErrorCode::kInvalidInput, reader.source(), ": logit_bias: found the key \"",
           printable(key), "\", expected ", kExpected);
    }
    if (!entry.value().is_number()) reader.wrong("logit_bias", entry.value(), kExpected);
    const double bias = entry.value().to_number<double>();
    if (!(bias >= -100 && bias <= 100)) reader.wrong("logit_bias", entry.value(), kExpected);
    biases.emplace_back(id, static_cast<float>(bias));
  }
  return biases;
}

void refuse_what_is_not_computed(const json::ObjectReader& reader) {
  for (const NeutralField& field : kNotComputed) {
    const json::value* found = reader.find(field.name);
    if (!found || *found == boost::json::parse(field.neutral)) continue;
    fail(ErrorCode::kUnsupported, reader.source(), ": ", field.name, ": not computed here",
         field.neutral == std::string_view("null") ? "" : cat(" but for ", field.neutral));
  }
}

// Parts of text as one text, the way servers with text-only templates do.
json::value plain_content(const json::ObjectReader& message, const json::value& content) {
  if (!content.is_array()) return content;
  std::string text;
  for (const json::value& entry : content.get_array()) {
    const json::ObjectReader part(entry, cat(message.source(), ".content"));
    if (const std::string type = part.get_string("type"); type != "text") {
      fail(ErrorCode::kUnsupported, part.source(), ": found a part of type \"", printable(type),
           "\", only \"text\" is read");
    }
    if (!text.empty()) text += '\n';
    text += part.get_string("text");
  }
  return json::value(text);
}

json::object template_variables(const json::ObjectReader& reader, const json::value& messages) {
  if (!messages.is_array() || messages.get_array().empty()) {
    reader.wrong("messages", messages, "an array of at least one message");
  }
  json::object variables;
  variables["add_generation_prompt"] = true;
  if (const json::value* more = reader.find("chat_template_kwargs")) {
    if (!more->is_object()) reader.wrong("chat_template_kwargs", *more, "an object");
    for (const auto& entry : more->get_object()) variables[entry.key()] = entry.value();
  }
  json::array list;
  for (const json::value& entry : messages.get_array()) {
    const json::ObjectReader message(entry, cat(reader.source(), ": messages[", list.size(), "]"));
    message.get_string("role");
    json::object copy = message.fields();
    if (const json::value* content = message.find("content")) {
      if (!content->is_string() && !content->is_array()) {
        message.wrong("content", *content, "a string or an array of text parts");
      }
      copy["content"] = plain_content(message, *content);
    }
    list.push_back(std::move(copy));
  }
  variables["messages"] = std::move(list);
  if (const json::value* tools = reader.find("tools")) {
    if (!tools->is_array()) reader.wrong("tools", *tools, "an array");
    variables["tools"] = *tools;
  }
  if (reader.find("enable_thinking")) {
    variables["enable_thinking"] = reader.bool_or("enable_thinking", false);
  }
  return variables;
}

json::object token_json(const Tokenizer* tokenizer, const TokenLogprob& token) {
  json::object out;
  out["id"] = token.id;
  if (tokenizer) {
    const std::string_view bytes = tokenizer->token_bytes(token.id);
    out["token"] = utf8_lossy(bytes);
    json::array list;
    for (const char byte : bytes) list.push_back(int64_t{static_cast<unsigned char>(byte)});
    out["bytes"] = std::move(list);
  }
  // JSON has no infinity, which a token that was biased in from probability 0 would have.
  out["logprob"] = std::max(double{token.logprob}, -9999.0);
  return out;
}

json::object logprobs_json(const Engine& engine, const GenerateResult& result) {
  json::array content;
  for (const StepLogprobs& step : result.logprobs) {
    json::object token = token_json(engine.tokenizer(), step.chosen);
    json::array top;
    for (const TokenLogprob& other : step.top) top.push_back(token_json(engine.tokenizer(), other));
    token["top_logprobs"] = std::move(top);
    content.push_back(std::move(token));
  }
  json::object out;
  out["content"] = std::move(content);
  return out;
}

}  // namespace

CompletionRequest parse_completion_request(const json::value& request, const std::string& source,
                                           const GenerateOptions& defaults) {
  const json::ObjectReader reader(request, source);
  refuse_what_is_not_computed(reader);

  CompletionRequest out;
  out.generate = defaults;
  const json::value* prompt = reader.find("prompt");
  const json::value* prompt_ids = reader.find("prompt_ids");
  const json::value* messages = reader.find("messages");
  if ((prompt != nullptr) + (prompt_ids != nullptr) + (messages != nullptr) != 1) {
    fail(ErrorCode::kInvalidInput, source,
         ": expected exactly one of prompt, prompt_ids and messages");
  }
  if (prompt) out.prompt = reader.get_string("prompt");
  if (prompt_ids) out.prompt_ids = token_ids(reader, "prompt_ids", *prompt_ids);
  if (messages) out.template_variables = template_variables(reader, *messages);

  GenerateOptions& generate = out.generate;
  SamplingOptions& sampling = generate.sampling;
  sampling.temperature = get_float(reader, "temperature", sampling.temperature);
  sampling.top_p = get_float(reader, "top_p", sampling.top_p);
  sampling.min_p = get_float(reader, "min_p", sampling.min_p);
  sampling.presence_penalty = get_float(reader, "presence_penalty", sampling.presence_penalty);
  sampling.frequency_penalty = get_float(reader, "frequency_penalty", sampling.frequency_penalty);
  sampling.repetition_penalty =
      get_float(reader, "repetition_penalty", sampling.repetition_penalty);
  // vLLM's -1 for "all" is taken too.
  const int64_t top_k = reader.int_or("top_k", sampling.top_k, -1, INT32_MAX);
  sampling.top_k = static_cast<int32_t>(std::max(top_k, int64_t{0}));
  if (reader.find("seed")) {
    sampling.seed = static_cast<uint64_t>(reader.get_int("seed", INT64_MIN, INT64_MAX));
  }
  if (const json::value* bias = reader.find("logit_bias")) {
    sampling.logit_bias = logit_bias(reader, *bias);
  }
  const char* max_field =
      reader.find("max_completion_tokens") ? "max_completion_tokens" : "max_tokens";
  if (reader.find(max_field)) {
    generate.max_tokens = static_cast<size_t>(reader.get_int(max_field, 1, kMaxTokens));
  }
  if (const json::value* stop = reader.find("stop")) generate.stop = stop_texts(reader, *stop);
  if (const json::value* ids = reader.find("stop_token_ids")) {
    generate.stop_ids = token_ids(reader, "stop_token_ids", *ids);
  }
  generate.ignore_eos = reader.bool_or("ignore_eos", generate.ignore_eos);

  const json::value* logprobs = reader.find("logprobs");
  if (logprobs && logprobs->is_bool()) {
    generate.top_logprobs = logprobs->get_bool() ? 0 : -1;
  } else if (logprobs) {
    generate.top_logprobs = static_cast<int>(reader.get_int("logprobs", 0, kMaxLogprobs));
  }
  if (reader.find("top_logprobs")) {
    const int64_t count = reader.get_int("top_logprobs", 0, kMaxLogprobs);
    if (generate.top_logprobs < 0) {
      if (count > 0) fail(ErrorCode::kInvalidInput, source, ": top_logprobs needs logprobs: true");
    } else {
      generate.top_logprobs = static_cast<int>(count);
    }
  }
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
  if (request.generate.top_logprobs >= 0) out["logprobs"] = logprobs_json(engine, result);
  return out;
}

}  // namespace axk1
