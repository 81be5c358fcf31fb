#include "server/openai_completions.h"

#include "base/utf8.h"
#include "server/chat_inputs.h"
#include "server/openai_common.h"
#include "server/prompt_forms.h"
#include "server/sampling_fields.h"
#include "server/token_json.h"

namespace axk1 {
namespace {

constexpr size_t kDefaultMaxTokens = 16;  // of the OpenAI API

constexpr NeutralField kNotComputed[] = {
    {"suffix", "null"},         {"guided_regex", "null"},     {"guided_choice", "null"},
    {"guided_grammar", "null"}, {"guided_json", "null"},      {"structured_outputs", "null"},
    {"grammar", "null"},        {"use_beam_search", "false"}, {"prompt_logprobs", "null"},
    {"min_tokens", "0"},        {"bad_words", "[]"},          {"allowed_token_ids", "null"},
    {"mirostat", "0"},          {"typical_p", "1"},           {"length_penalty", "1"},
};

// The name of a token in the legacy logprobs object, whose maps need names that differ: bytes that
// are no text are spelled as the OpenAI API spells them.
std::string token_name(const Tokenizer* tokenizer, TokenId id) {
  if (!tokenizer) return cat("token_id:", id);
  const std::string_view bytes = tokenizer->token_bytes(id);
  if (is_valid_utf8(bytes)) return std::string(bytes);
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out = "bytes:";
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += cat("\\x", kDigits[byte >> 4], kDigits[byte & 15]);
  }
  return out;
}

size_t characters(std::string_view bytes) {
  size_t count = 0;
  for (const char c : bytes) count += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return count;
}

// The legacy logprobs object, grown step by step.
class LogprobColumns {
 public:
  explicit LogprobColumns(const Tokenizer* tokenizer) : tokenizer_(tokenizer) {}

  bool empty() const { return tokens_.empty(); }

  // The first token of a prompt has no probability.
  void add_first(TokenId id) {
    add_name(id);
    logprobs_.push_back(nullptr);
    top_.push_back(nullptr);
  }
  void add(const StepLogprobs& step) {
    add_name(step.chosen.id);
    logprobs_.push_back(finite_logprob(step.chosen.logprob));
    json::object top;
    for (const TokenLogprob& other : step.top) {
      top[token_name(tokenizer_, other.id)] = finite_logprob(other.logprob);
    }
    top_.push_back(std::move(top));
  }
  // What was added since the call before; offsets go on.
  json::object take() {
    json::object out;
    out["tokens"] = std::exchange(tokens_, {});
    out["token_logprobs"] = std::exchange(logprobs_, {});
    out["top_logprobs"] = std::exchange(top_, {});
    out["text_offset"] = std::exchange(offsets_, {});
    return out;
  }

 private:
  void add_name(TokenId id) {
    tokens_.push_back(json::value(token_name(tokenizer_, id)));
    offsets_.push_back(offset_);
    if (tokenizer_) offset_ += characters(tokenizer_->token_bytes(id));
  }

  const Tokenizer* tokenizer_;
  json::array tokens_, logprobs_, top_, offsets_;
  size_t offset_ = 0;
};

struct TextChoice {
  explicit TextChoice(const Tokenizer* tokenizer) : logprobs(tokenizer) {}
  std::vector<TokenId> prompt;  // with echo
  std::string text;             // not yet written
  json::array ids;
  LogprobColumns logprobs;
  FinishReason finish_reason = FinishReason::kStop;
  CompletionUsage usage;
  bool begun = false;
};

struct TextForm {
  StreamFields stream;
  bool echo = false;
  bool logprobs = false;
  bool hide_answer = false;  // max_tokens 0
  bool token_ids = false;
  size_t choices_per_prompt = 1;
  size_t prompt_tokens = 0;
};

class TextWriter : public CompletionWriter {
 public:
  TextWriter(const RequestScope& scope, const TextForm& form,
             const std::vector<CompletionInput>& inputs)
      : CompletionWriter(scope, "cmpl-", "text_completion", form.stream), form_(form) {
    for (const CompletionInput& input : inputs) {
      choices_.emplace_back(model_.tokenizer);
      if (form.echo) choices_.back().prompt = input.prompt;
    }
  }

  void begin(std::string&) override {}

  void push(size_t index, CompletionDelta&& delta, std::string& out) override {
    TextChoice& choice = choices_[index];
    choice.usage = delta.usage;
    if (!choice.begun) begin_choice(choice, delta);
    if (!form_.hide_answer) {
      choice.text += delta.text;
      for (const TokenId id : delta.ids) choice.ids.push_back(id);
      for (const StepLogprobs& step : delta.logprobs) choice.logprobs.add(step);
    }
    if (delta.last()) choice.finish_reason = *delta.finish_reason;
    const bool ids = form_.token_ids && !choice.ids.empty();
    if (stream_.stream && (!choice.text.empty() || ids || delta.last())) {
      write(index, delta.last(), out);
    }
  }

  json::object whole() override {
    json::array list;
    for (size_t i = 0; i < choices_.size(); ++i) list.push_back(choice_json(i, true));
    json::object out = head("text_completion");
    out["choices"] = std::move(list);
    out["usage"] = usage_json(totals());
    return out;
  }

 private:
  void begin_choice(TextChoice& choice, const CompletionDelta& delta) {
    choice.begun = true;
    if (!form_.echo) return;
    if (model_.tokenizer) choice.text = model_.tokenizer->decode(choice.prompt);
    for (const TokenId id : choice.prompt) choice.ids.push_back(id);
    if (!form_.logprobs) return;
    choice.logprobs.add_first(choice.prompt.front());
    for (const StepLogprobs& step : delta.prompt_logprobs) choice.logprobs.add(step);
  }

  json::object choice_json(size_t index, bool last) {
    TextChoice& choice = choices_[index];
    json::object out;
    out["index"] = index;
    out["text"] = std::exchange(choice.text, "");
    out["logprobs"] = nullptr;
    if (form_.logprobs && !choice.logprobs.empty()) out["logprobs"] = choice.logprobs.take();
    out["finish_reason"] = nullptr;
    if (last) out["finish_reason"] = finish_reason_name(choice.finish_reason);
    if (form_.token_ids) out["token_ids"] = std::exchange(choice.ids, {});
    return out;
  }

  void write(size_t index, bool last, std::string& out) {
    append_chunk(choice_json(index, last), out);
  }

  UsageTotals totals() const override {
    UsageTotals totals{.prompt_tokens = form_.prompt_tokens};
    for (size_t i = 0; i < choices_.size(); ++i) {
      const CompletionUsage& usage = choices_[i].usage;
      if (i % form_.choices_per_prompt == 0) totals.cached_tokens += usage.cached_tokens;
      totals.completion_tokens += form_.hide_answer ? 0 : usage.completion_tokens;
      totals.draft_tokens += usage.draft_tokens;
      totals.accepted_tokens += usage.accepted_tokens;
    }
    return totals;
  }

  TextForm form_;
  std::vector<TextChoice> choices_;
};

class ScoreWriter : public AnswerWriter {
 public:
  ScoreWriter(const RequestScope& scope, const std::vector<CompletionInput>& inputs, bool top)
      : model_(*scope.model), id_(cat("score-", scope.id)), created_(scope.now), top_(top) {
    for (const CompletionInput& input : inputs) entries_.push_back({.ids = input.prompt});
  }

  void begin(std::string&) override {}
  void push(size_t index, CompletionDelta&& delta, std::string&) override {
    for (StepLogprobs& step : delta.prompt_logprobs) {
      entries_[index].steps.push_back(std::move(step));
    }
    entries_[index].cached_tokens = delta.usage.cached_tokens;
  }
  void end(std::string&) override {}
  void fail(const ApiError&, std::string&) override {}
  void ping(std::string&) override {}

  json::object whole() override {
    json::array data;
    UsageTotals totals;
    for (const Entry& entry : entries_) {
      totals.prompt_tokens += entry.ids.size();
      totals.cached_tokens += entry.cached_tokens;
      data.push_back(entry_json(entry, data.size()));
    }
    json::object out;
    out["id"] = id_;
    out["object"] = "list";
    out["created"] = created_;
    out["model"] = model_.names.front();
    out["data"] = std::move(data);
    out["usage"] = usage_json(totals);
    return out;
  }

 private:
  struct Entry {
    std::vector<TokenId> ids;
    std::vector<StepLogprobs> steps = {};  // [ids - 1]
    size_t cached_tokens = 0;
  };

  json::object entry_json(const Entry& entry, size_t index) const {
    json::array ids, tokens, logprobs{nullptr}, top_ids{nullptr}, top_logprobs{nullptr};
    for (const TokenId id : entry.ids) {
      ids.push_back(id);
      if (model_.tokenizer) tokens.push_back(json::value(token_text(*model_.tokenizer, id)));
    }
    double sum = 0;
    for (const StepLogprobs& step : entry.steps) {
      sum += finite_logprob(step.chosen.logprob);
      logprobs.push_back(finite_logprob(step.chosen.logprob));
      json::array step_ids, step_logprobs;
      for (const TokenLogprob& other : step.top) {
        step_ids.push_back(other.id);
        step_logprobs.push_back(finite_logprob(other.logprob));
      }
      top_ids.push_back(std::move(step_ids));
      top_logprobs.push_back(std::move(step_logprobs));
    }
    json::object out;
    out["object"] = "score";
    out["index"] = index;
    out["token_ids"] = std::move(ids);
    if (model_.tokenizer) out["tokens"] = std::move(tokens);
    out["token_logprobs"] = std::move(logprobs);
    if (top_) {
      out["top_ids"] = std::move(top_ids);
      out["top_logprobs"] = std::move(top_logprobs);
    }
    out["sum_logprob"] = sum;
    return out;
  }

  const ServedModel& model_;
  std::string id_;
  int64_t created_;
  bool top_;
  std::vector<Entry> entries_;
};

}  // namespace

PreparedRequest prepare_completions(const json::value& body, const RequestScope& scope) {
  const ServedModel& model = *scope.model;
  const json::ObjectReader reader(body, "request");
  check_model_name(reader, model);
  refuse_unless_neutral(reader, kNotComputed);
  AnswerRules rules;
  if (reader.find("response_format")) rules = read_chat_rules(reader);

  TextForm form;
  form.stream = read_stream_fields(reader);
  form.echo = reader.bool_or("echo", false);
  const int64_t n = reader.int_or("n", 1, 1, scope.limits.max_choices);
  if (reader.int_or("best_of", n, 1, scope.limits.max_choices) != n) {
    reader.refuse("best_of", "not computed here but for the value of n", ErrorCode::kUnsupported);
  }
  form.choices_per_prompt = static_cast<size_t>(n);
  GenerateOptions defaults = default_options(scope);
  defaults.max_tokens = kDefaultMaxTokens;
  GenerateOptions generate = read_generate_options(
      reader, defaults,
      {.min_max_tokens = form.echo ? 0 : 1, .max_logprobs = scope.limits.max_logprobs});
  form.hide_answer = generate.max_tokens == 0;
  if (form.hide_answer) generate.max_tokens = 1;
  form.logprobs = generate.top_logprobs >= 0;
  form.token_ids = reader.bool_or("return_token_ids", model.tokenizer == nullptr);

  PreparedRequest out;
  const size_t most = static_cast<size_t>(scope.limits.max_choices);
  for (std::vector<TokenId>& prompt : read_prompts(reader, "prompt", model, most)) {
    form.prompt_tokens += prompt.size();
    for (int64_t i = 0; i < n; ++i) {
      CompletionInput input{.prompt = prompt, .generate = generate, .tenant = scope.tenant};
      input.generate.sampling.seed += static_cast<uint64_t>(i);
      if (form.echo && form.logprobs) input.prompt_logprobs = generate.top_logprobs;
      input.constraint = make_constraint(model, rules, false);
      out.inputs.push_back(std::move(input));
      if (out.inputs.size() > most) {
        reader.refuse("n", cat("more than ", most, " answers in one request"));
      }
    }
  }
  out.stream = form.stream.stream;
  out.prompt_tokens = form.prompt_tokens;
  out.writer = std::make_unique<TextWriter>(scope, form, out.inputs);
  return out;
}

PreparedRequest prepare_score(const json::value& body, const RequestScope& scope) {
  const json::ObjectReader reader(body, "request");
  check_model_name(reader, *scope.model);
  constexpr NeutralField kNoStream[] = {{"stream", "false"}};
  refuse_unless_neutral(reader, kNoStream);
  const int64_t top = reader.int_or("top_logprobs", 0, 0, scope.limits.max_logprobs);
  PreparedRequest out;
  for (std::vector<TokenId>& ids :
       read_prompts(reader, "input", *scope.model, static_cast<size_t>(scope.limits.max_choices))) {
    out.prompt_tokens += ids.size();
    CompletionInput input{.prompt = std::move(ids), .tenant = scope.tenant};
    // The service has no completion without a token: it is computed, and dropped.
    input.generate.max_tokens = 1;
    input.generate.sampling.temperature = 0;
    input.prompt_logprobs = static_cast<int>(top);
    out.inputs.push_back(std::move(input));
  }
  out.writer = std::make_unique<ScoreWriter>(scope, out.inputs, top > 0);
  return out;
}

}  // namespace axk1
