#include "server/openai_chat.h"

#include "server/answer_parts.h"
#include "server/answer_rules.h"
#include "server/chat_inputs.h"
#include "server/chat_messages.h"
#include "server/openai_common.h"
#include "server/sampling_fields.h"
#include "server/token_json.h"

namespace axk1 {
namespace {

constexpr NeutralField kNotComputed[] = {
    {"functions", "null"},
    {"function_call", "null"},
    {"guided_regex", "null"},
    {"guided_choice", "null"},
    {"guided_grammar", "null"},
    {"guided_json", "null"},
    {"structured_outputs", "null"},
    {"grammar", "null"},
    {"best_of", "1"},
    {"use_beam_search", "false"},
    {"echo", "false"},
    {"prompt_logprobs", "null"},
    {"min_tokens", "0"},
    {"bad_words", "[]"},
    {"allowed_token_ids", "null"},
    {"modalities", R"(["text"])"},
    {"prediction", "null"},
    {"audio", "null"},
    {"web_search_options", "null"},
    {"moderation", "null"},
    {"mirostat", "0"},
    {"typical_p", "1"},
    {"length_penalty", "1"},
};

struct ChatChoice {
  explicit ChatChoice(const AnswerForm& form) : splitter(form) {}
  AnswerSplitter splitter;
  std::string reasoning, content;
  std::vector<AnswerPart> calls;       // text: the arguments so far
  std::vector<StepLogprobs> logprobs;  // not yet written
  json::array ids;                     // with return_token_ids
  FinishReason finish_reason = FinishReason::kStop;
  CompletionUsage usage;
  size_t reasoning_tokens = 0;
};

struct ChatForm {
  AnswerForm answer;
  StreamFields stream;
  bool logprobs = false;
  size_t prompt_tokens = 0;
};

class ChatWriter : public CompletionWriter {
 public:
  ChatWriter(const RequestScope& scope, const ChatForm& form, size_t num_choices)
      : CompletionWriter(scope, "chatcmpl-", "chat.completion.chunk", form.stream), form_(form) {
    for (size_t i = 0; i < num_choices; ++i) choices_.emplace_back(form.answer);
  }

  void begin(std::string& out) override {
    for (size_t i = 0; i < choices_.size(); ++i) {
      write_delta(i, {{"role", "assistant"}, {"content", ""}}, nullptr, out);
    }
  }

  void push(size_t index, CompletionDelta&& delta, std::string& out) override {
    ChatChoice& choice = choices_[index];
    choice.usage = delta.usage;
    if (choice.splitter.in_reasoning()) choice.reasoning_tokens += delta.ids.size();
    for (StepLogprobs& step : delta.logprobs) choice.logprobs.push_back(std::move(step));
    take(index, choice.splitter.push(delta.text), out);
    if (!delta.last()) return;
    choice.finish_reason = *delta.finish_reason;
    take(index, choice.splitter.finish(), out);
    if (stream_.stream) write_delta(index, {}, finish_reason(choice), out);
  }

  json::object whole() override {
    json::object out = head("chat.completion");
    json::array list;
    for (size_t i = 0; i < choices_.size(); ++i) list.push_back(choice_json(i));
    out["choices"] = std::move(list);
    out["usage"] = usage_json(totals());
    return out;
  }

 private:
  static const char* finish_reason(const ChatChoice& choice) {
    if (choice.finish_reason == FinishReason::kLength) return "length";
    return choice.splitter.called() ? "tool_calls" : "stop";
  }

  std::string call_id(size_t choice, size_t call) const {
    return cat("call_", id_.substr(id_.find('-') + 1), "_", choice, "_", call);
  }

  // Keeps the parts for whole(), or writes them.
  void take(size_t index, std::vector<AnswerPart>&& parts, std::string& out) {
    using Kind = AnswerPart::Kind;
    ChatChoice& choice = choices_[index];
    for (AnswerPart& part : parts) {
      if (stream_.stream) {
        write_part(index, part, out);
      } else if (part.kind == Kind::kReasoning) {
        choice.reasoning += part.text;
      } else if (part.kind == Kind::kContent) {
        choice.content += part.text;
      } else if (part.kind == Kind::kToolCall) {
        choice.calls.push_back(std::move(part));
      } else {
        choice.calls[part.call_idx].text += part.text;
      }
    }
  }

  void write_part(size_t index, const AnswerPart& part, std::string& out) {
    json::object delta;
    switch (part.kind) {
      case AnswerPart::Kind::kReasoning:
        delta["reasoning_content"] = part.text;
        break;
      case AnswerPart::Kind::kContent:
        delta["content"] = part.text;
        break;
      case AnswerPart::Kind::kToolCall:
        delta["tool_calls"] = json::array{
            json::object{{"index", part.call_idx},
                         {"id", call_id(index, part.call_idx)},
                         {"type", "function"},
                         {"function", json::object{{"name", part.name}, {"arguments", ""}}}}};
        break;
      case AnswerPart::Kind::kToolArguments:
        delta["tool_calls"] = json::array{json::object{
            {"index", part.call_idx}, {"function", json::object{{"arguments", part.text}}}}};
        break;
    }
    write_delta(index, std::move(delta), nullptr, out);
  }

  void write_delta(size_t index, json::object delta, const char* finish, std::string& out) {
    ChatChoice& choice = choices_[index];
    json::object entry;
    entry["index"] = index;
    entry["delta"] = std::move(delta);
    entry["logprobs"] = nullptr;
    if (!choice.logprobs.empty()) entry["logprobs"] = take_logprobs(choice);
    entry["finish_reason"] = nullptr;
    if (finish) entry["finish_reason"] = finish;
    append_chunk(std::move(entry), out);
  }

  json::object take_logprobs(ChatChoice& choice) {
    json::object out{{"content", steps_json(model_.tokenizer, choice.logprobs)},
                     {"refusal", nullptr}};
    choice.logprobs.clear();
    return out;
  }

  json::object choice_json(size_t index) {
    ChatChoice& choice = choices_[index];
    json::object message;
    message["role"] = "assistant";
    message["content"] = nullptr;
    if (!choice.content.empty() || choice.calls.empty()) message["content"] = choice.content;
    message["refusal"] = nullptr;
    if (!choice.reasoning.empty()) message["reasoning_content"] = choice.reasoning;
    if (!choice.calls.empty()) {
      json::array calls;
      for (const AnswerPart& call : choice.calls) {
        calls.push_back(json::object{
            {"id", call_id(index, call.call_idx)},
            {"type", "function"},
            {"function", json::object{{"name", call.name}, {"arguments", call.text}}}});
      }
      message["tool_calls"] = std::move(calls);
    }
    json::object out;
    out["index"] = index;
    out["message"] = std::move(message);
    out["logprobs"] = nullptr;
    if (form_.logprobs) out["logprobs"] = take_logprobs(choice);
    out["finish_reason"] = finish_reason(choice);
    return out;
  }

  UsageTotals totals() const override {
    UsageTotals totals{.prompt_tokens = form_.prompt_tokens};
    totals.cached_tokens = choices_.front().usage.cached_tokens;
    for (const ChatChoice& choice : choices_) {
      totals.completion_tokens += choice.usage.completion_tokens;
      totals.reasoning_tokens += choice.reasoning_tokens;
      totals.draft_tokens += choice.usage.draft_tokens;
      totals.accepted_tokens += choice.usage.accepted_tokens;
    }
    return totals;
  }

  ChatForm form_;
  std::vector<ChatChoice> choices_;
};

// continue_final_message with add_generation_prompt false, as in vLLM: takes the last message out
// of `variables`, to be gone on with.
BegunAnswer take_begun_answer(const json::ObjectReader& reader, const AnswerRules& rules,
                              json::object& variables) {
  const bool goes_on = reader.bool_or("continue_final_message", false);
  if (reader.bool_or("add_generation_prompt", !goes_on) == goes_on) {
    reader.refuse("add_generation_prompt", "expected the opposite of continue_final_message",
                  ErrorCode::kUnsupported);
  }
  if (!goes_on) return {};
  if (rules.format != AnswerRules::Format::kText || rules.calls_possible()) {
    reader.refuse("continue_final_message", "not together with response_format or tools",
                  ErrorCode::kUnsupported);
  }
  json::array& messages = variables.at("messages").as_array();
  const json::ObjectReader last(messages.back(), cat(reader.source(), ": the last message"));
  if (last.get_string("role") != "assistant" || last.find("tool_calls")) {
    reader.refuse("continue_final_message",
                  "expected the last message to be an assistant's, without tool calls");
  }
  BegunAnswer begun{.reasoning = last.string_or("reasoning_content", ""),
                    .text = last.string_or("content", "")};
  messages.pop_back();
  return begun;
}

}  // namespace

PreparedRequest prepare_chat(const json::value& body, const RequestScope& scope) {
  const json::ObjectReader reader(body, "request");
  check_model_name(reader, *scope.model);
  refuse_unless_neutral(reader, kNotComputed);
  const AnswerRules rules = read_chat_rules(reader);
  json::object variables = read_chat_variables(reader);
  normalise_messages(variables);
  const BegunAnswer begun = take_begun_answer(reader, rules, variables);

  PreparedRequest out;
  const GenerateOptions generate = read_generate_options(
      reader, default_options(scope), {.max_logprobs = scope.limits.max_logprobs});
  const StreamFields stream = read_stream_fields(reader);
  const size_t n = static_cast<size_t>(reader.int_or("n", 1, 1, scope.limits.max_choices));
  ChatInputs chat = make_chat_inputs(scope, rules, std::move(variables), generate, n, begun);
  out.inputs = std::move(chat.inputs);
  out.stream = stream.stream;
  out.prompt_tokens = chat.prompt_tokens;
  const ChatForm form{.answer = chat.form,
                      .stream = stream,
                      .logprobs = generate.top_logprobs >= 0,
                      .prompt_tokens = chat.prompt_tokens};
  out.writer = std::make_unique<ChatWriter>(scope, form, n);
  return out;
}

}  // namespace axk1
