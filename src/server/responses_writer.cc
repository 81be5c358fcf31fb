#include "server/responses_writer.h"

#include "server/sse.h"
#include "server/token_json.h"

namespace axk1 {
namespace {

class ResponsesWriter : public AnswerWriter {
 public:
  ResponsesWriter(const RequestScope& scope, ResponsesForm form)
      : model_(*scope.model),
        unique_(scope.id),
        created_(scope.now),
        form_(std::move(form)),
        splitter_(form_.answer) {}

  void begin(std::string& out) override {
    event("response.created", {{"response", response("in_progress")}}, out);
    event("response.in_progress", {{"response", response("in_progress")}}, out);
  }

  void push(size_t, CompletionDelta&& delta, std::string& out) override {
    usage_ = delta.usage;
    if (splitter_.in_reasoning()) reasoning_tokens_ += delta.ids.size();
    for (StepLogprobs& step : delta.logprobs) logprobs_.push_back(std::move(step));
    for (AnswerPart& part : splitter_.push(delta.text)) take(std::move(part), out);
    if (!delta.last()) return;
    finish_reason_ = *delta.finish_reason;
    for (AnswerPart& part : splitter_.finish()) take(std::move(part), out);
    close_item(out);
  }

  void end(std::string& out) override {
    const char* status = final_status();
    event(cat("response.", status), {{"response", response(status)}}, out);
  }

  void fail(const ApiError& error, std::string& out) override {
    json::object failed = response("failed");
    failed["error"] = json::object{{"code", "server_error"}, {"message", error.what()}};
    event("response.failed", {{"response", std::move(failed)}}, out);
  }

  void ping(std::string& out) override { append_comment(out, "ping"); }

  json::object whole() override { return response(final_status()); }

 private:
  using Kind = AnswerPart::Kind;

  void event(std::string_view type, json::object fields, std::string& out) {
    if (!form_.stream) return;
    json::object data;
    data["type"] = type;
    data["sequence_number"] = sequence_++;
    for (auto& entry : fields) data[entry.key()] = std::move(entry.value());
    append_event(out, type, data);
  }

  const char* final_status() const {
    return finish_reason_ == FinishReason::kLength ? "incomplete" : "completed";
  }

  json::object response(std::string_view status) const {
    json::object out;
    out["id"] = cat("resp_", unique_);
    out["object"] = "response";
    out["created_at"] = created_;
    out["status"] = status;
    out["background"] = false;
    out["error"] = nullptr;
    out["incomplete_details"] = nullptr;
    if (status == "incomplete") {
      out["incomplete_details"] = json::object{{"reason", "max_output_tokens"}};
    }
    out["model"] = model_.names.front();
    out["output"] = output_;
    for (const auto& entry : form_.echo) out[entry.key()] = entry.value();
    out["usage"] = nullptr;
    if (status != "in_progress") out["usage"] = usage();
    return out;
  }

  json::object usage() const {
    json::object out;
    out["input_tokens"] = form_.prompt_tokens;
    out["input_tokens_details"] =
        json::object{{"cached_tokens", usage_.cached_tokens}, {"cache_write_tokens", 0}};
    out["output_tokens"] = usage_.completion_tokens;
    out["output_tokens_details"] = json::object{{"reasoning_tokens", reasoning_tokens_}};
    out["total_tokens"] = form_.prompt_tokens + usage_.completion_tokens;
    return out;
  }

  // The item that grows is output_[index_]; text_ is its text so far.
  void take(AnswerPart&& part, std::string& out) {
    const bool more_arguments = part.kind == Kind::kToolArguments;
    if (!open_ || (part.kind != kind_ && !more_arguments) || part.kind == Kind::kToolCall) {
      close_item(out);
      open_item(part, out);
    }
    if (part.text.empty()) return;
    text_ += part.text;
    json::object fields = place();
    if (kind_ == Kind::kToolCall) {
      fields["delta"] = part.text;
      event("response.function_call_arguments.delta", std::move(fields), out);
      return;
    }
    fields["content_index"] = 0;
    fields["delta"] = part.text;
    if (kind_ == Kind::kContent) fields["logprobs"] = new_logprobs();
    event(kind_ == Kind::kContent ? "response.output_text.delta" : "response.reasoning_text.delta",
          std::move(fields), out);
  }

  void open_item(const AnswerPart& part, std::string& out) {
    open_ = true;
    kind_ = part.kind;
    text_.clear();
    name_ = part.name;
    item_logprobs_.clear();
    output_.push_back(item("in_progress"));
    event("response.output_item.added",
          {{"output_index", output_.size() - 1}, {"item", output_.back()}}, out);
    if (kind_ == Kind::kToolCall) return;
    json::object fields = place();
    fields["content_index"] = 0;
    fields["part"] = content_part();
    event("response.content_part.added", std::move(fields), out);
  }

  void close_item(std::string& out) {
    if (!open_) return;
    open_ = false;
    const bool cut = finish_reason_ == FinishReason::kLength;
    if (kind_ == Kind::kToolCall) {
      json::object fields = place();
      fields["name"] = name_;
      fields["arguments"] = text_;
      event("response.function_call_arguments.done", std::move(fields), out);
    } else {
      if (kind_ == Kind::kContent) new_logprobs();  // of what ended the text
      json::object fields = place();
      fields["content_index"] = 0;
      fields["text"] = text_;
      if (kind_ == Kind::kContent) fields["logprobs"] = item_logprobs_;
      event(kind_ == Kind::kContent ? "response.output_text.done" : "response.reasoning_text.done",
            std::move(fields), out);
      json::object done = place();
      done["content_index"] = 0;
      done["part"] = content_part();
      event("response.content_part.done", std::move(done), out);
    }
    output_.back() = item(cut ? "incomplete" : "completed");
    event("response.output_item.done",
          {{"output_index", output_.size() - 1}, {"item", output_.back()}}, out);
  }

  json::object place() const {
    return {{"item_id", output_.back().at("id")}, {"output_index", output_.size() - 1}};
  }

  json::object content_part() const {
    json::object part;
    if (kind_ == Kind::kReasoning) {
      part["type"] = "reasoning_text";
      part["text"] = text_;
      return part;
    }
    part["type"] = "output_text";
    part["text"] = text_;
    part["annotations"] = json::array();
    part["logprobs"] = item_logprobs_;
    return part;
  }

  json::object item(const char* status) const {
    const bool begun = std::string_view(status) != "in_progress";
    const size_t index = output_.size() - (begun ? 1 : 0);
    json::object out;
    switch (kind_) {
      case Kind::kReasoning:
        out["id"] = cat("rs_", unique_, "_", index);
        out["type"] = "reasoning";
        out["summary"] = json::array();
        out["content"] = begun ? json::array{content_part()} : json::array();
        break;
      case Kind::kContent:
        out["id"] = cat("msg_", unique_, "_", index);
        out["type"] = "message";
        out["role"] = "assistant";
        out["content"] = begun ? json::array{content_part()} : json::array();
        break;
      case Kind::kToolCall:
      case Kind::kToolArguments:
        out["id"] = cat("fc_", unique_, "_", index);
        out["type"] = "function_call";
        out["call_id"] = cat("call_", unique_, "_", index);
        out["name"] = name_;
        out["arguments"] = text_;
        break;
    }
    out["status"] = status;
    return out;
  }

  json::array new_logprobs() {
    if (!form_.logprobs) return {};
    json::array fresh = steps_json(model_.tokenizer, logprobs_);
    logprobs_.clear();
    for (const json::value& entry : fresh) item_logprobs_.push_back(entry);
    return fresh;
  }

  const ServedModel& model_;
  std::string unique_;
  int64_t created_;
  ResponsesForm form_;
  AnswerSplitter splitter_;
  CompletionUsage usage_;
  size_t reasoning_tokens_ = 0;
  FinishReason finish_reason_ = FinishReason::kStop;
  std::vector<StepLogprobs> logprobs_;  // not yet written
  json::array output_;
  int64_t sequence_ = 0;

  bool open_ = false;
  Kind kind_ = Kind::kContent;
  std::string text_, name_;
  json::array item_logprobs_;
};

}  // namespace

std::unique_ptr<AnswerWriter> make_responses_writer(const RequestScope& scope, ResponsesForm form) {
  return std::make_unique<ResponsesWriter>(scope, std::move(form));
}

}  // namespace axk1
