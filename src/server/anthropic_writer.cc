#include "server/anthropic_writer.h"

#include "server/sse.h"

namespace axk1 {
namespace {

class AnthropicWriter : public AnswerWriter {
 public:
  AnthropicWriter(const RequestScope& scope, AnthropicForm form)
      : model_(*scope.model), unique_(scope.id), form_(std::move(form)), splitter_(form_.answer) {}

  void begin(std::string& out) override {
    json::object start = message();
    start["stop_reason"] = nullptr;
    event("message_start", {{"message", std::move(start)}}, out);
    ping(out);
  }

  void push(size_t, CompletionDelta&& delta, std::string& out) override {
    usage_ = delta.usage;
    ids_.insert(ids_.end(), delta.ids.begin(), delta.ids.end());
    for (AnswerPart& part : splitter_.push(delta.text)) take(std::move(part), out);
    if (!delta.last()) return;
    finish_reason_ = *delta.finish_reason;
    for (AnswerPart& part : splitter_.finish()) take(std::move(part), out);
    close_block(out);
    find_stop();
  }

  void end(std::string& out) override {
    json::object delta;
    delta["stop_reason"] = stop_reason();
    delta["stop_sequence"] = stop_sequence();
    event("message_delta", {{"delta", std::move(delta)}, {"usage", usage()}}, out);
    event("message_stop", {}, out);
  }

  void fail(const ApiError& error, std::string& out) override {
    append_event(out, "error", anthropic_error(error, ""));
  }

  void ping(std::string& out) override { event("ping", {}, out); }

  json::object whole() override { return message(); }

 private:
  using Kind = AnswerPart::Kind;

  void event(std::string_view type, json::object fields, std::string& out) {
    if (!form_.stream) return;
    json::object data;
    data["type"] = type;
    for (auto& entry : fields) data[entry.key()] = std::move(entry.value());
    append_event(out, type, data);
  }

  json::object message() const {
    json::object out;
    out["id"] = cat("msg_", unique_);
    out["type"] = "message";
    out["role"] = "assistant";
    out["model"] = model_.names.front();
    out["content"] = content_;
    out["stop_reason"] = stop_reason();
    out["stop_sequence"] = stop_sequence();
    out["usage"] = usage();
    return out;
  }

  // As Anthropic counts: what came from the cache is not among input_tokens.
  json::object usage() const {
    json::object out;
    out["input_tokens"] = form_.prompt_tokens - usage_.cached_tokens;
    out["cache_creation_input_tokens"] = 0;
    out["cache_read_input_tokens"] = usage_.cached_tokens;
    out["output_tokens"] = usage_.completion_tokens;
    return out;
  }

  const char* stop_reason() const {
    if (finish_reason_ == FinishReason::kLength) return "max_tokens";
    if (splitter_.called()) return "tool_use";
    return stop_ ? "stop_sequence" : "end_turn";
  }
  json::value stop_sequence() const {
    if (!stop_ || finish_reason_ == FinishReason::kLength || splitter_.called()) return nullptr;
    return json::value(*stop_);
  }

  // The text does not hold the stop that ended it; the tokens do.
  void find_stop() {
    if (finish_reason_ != FinishReason::kStop || form_.stops.empty() || !model_.tokenizer) return;
    const std::string text = model_.tokenizer->decode(ids_);
    size_t first = std::string::npos;
    for (const std::string& stop : form_.stops) {
      const size_t found = text.find(stop);
      if (found >= first) continue;
      first = found;
      stop_ = stop;
    }
  }

  void take(AnswerPart&& part, std::string& out) {
    const bool more_arguments = part.kind == Kind::kToolArguments;
    if (!open_ || (part.kind != kind_ && !more_arguments) || part.kind == Kind::kToolCall) {
      close_block(out);
      open_block(part, out);
    }
    if (part.text.empty()) return;
    text_ += part.text;
    json::object delta;
    if (kind_ == Kind::kContent) {
      delta["type"] = "text_delta";
      delta["text"] = part.text;
    } else if (kind_ == Kind::kReasoning) {
      delta["type"] = "thinking_delta";
      delta["thinking"] = part.text;
    } else {
      delta["type"] = "input_json_delta";
      delta["partial_json"] = part.text;
    }
    event("content_block_delta", {{"index", content_.size()}, {"delta", std::move(delta)}}, out);
  }

  void open_block(const AnswerPart& part, std::string& out) {
    open_ = true;
    kind_ = part.kind;
    name_ = part.name;
    text_.clear();
    event("content_block_start", {{"index", content_.size()}, {"content_block", block()}}, out);
  }

  void close_block(std::string& out) {
    if (!open_) return;
    open_ = false;
    event("content_block_stop", {{"index", content_.size()}}, out);
    content_.push_back(block());
  }

  json::object block() const {
    json::object out;
    if (kind_ == Kind::kContent) {
      out["type"] = "text";
      out["text"] = text_;
    } else if (kind_ == Kind::kReasoning) {
      out["type"] = "thinking";
      out["thinking"] = text_;
      out["signature"] = "";
    } else {
      out["type"] = "tool_use";
      out["id"] = cat("toolu_", unique_, "_", content_.size());
      out["name"] = name_;
      out["input"] = arguments();
    }
    return out;
  }

  // Arguments that were cut off, or have only begun, are no JSON.
  json::value arguments() const {
    try {
      json::value parsed = json::parse(text_, "arguments");
      if (parsed.is_object()) return parsed;
    } catch (const Error&) {
    }
    return json::object();
  }

  const ServedModel& model_;
  std::string unique_;
  AnthropicForm form_;
  AnswerSplitter splitter_;
  CompletionUsage usage_;
  std::vector<TokenId> ids_;
  FinishReason finish_reason_ = FinishReason::kStop;
  std::optional<std::string> stop_;
  json::array content_;

  bool open_ = false;
  Kind kind_ = Kind::kContent;
  std::string text_, name_;
};

}  // namespace

std::unique_ptr<AnswerWriter> make_anthropic_writer(const RequestScope& scope, AnthropicForm form) {
  return std::make_unique<AnthropicWriter>(scope, std::move(form));
}

}  // namespace axk1
