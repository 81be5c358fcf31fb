// Chat templates: a Jinja template that turns messages into the text a model continues, run as
// Hugging Face transformers runs it (Jinja2's ImmutableSandboxedEnvironment with trim_blocks,
// lstrip_blocks and loop controls; tojson, raise_exception, strftime_now and the generation tag of
// transformers).
#pragma once

#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "io/json.h"
#include "io/named_files.h"

namespace axk1 {

// A template that is wrong, or that failed while it was rendered. what() names the template, line
// and column; message() is the reason alone.
class TemplateError : public Error {
 public:
  TemplateError(ErrorCode code, const std::string& name, const std::string& message, int line,
                int column)
      : Error(code, cat(name, ": line ", line, ", column ", column, ": ", message)),
        message_(message),
        line_(line),
        column_(column) {}
  const std::string& message() const { return message_; }
  int line() const { return line_; }      // 1-based
  int column() const { return column_; }  // 1-based, in characters

 private:
  std::string message_;
  int line_;
  int column_;
};

// A compiled template. Copies are cheap and share it. Any number of threads may render at once.
class ChatTemplate {
 public:
  // A model directory, a k1pack file or a .jinja file. Among a model's files chat_template.jinja
  // wins over the chat_template of tokenizer_config.json (a string, or a list of {name, template}),
  // which wins over chat_template.json; where templates are named, "default" is used, and
  // "tool_use" when tools are given. The special tokens of tokenizer_config.json (bos_token,
  // eos_token, ...) become variables. Throws Error, or TemplateError for a template that does not
  // parse.
  static ChatTemplate load(const std::string& path);
  static ChatTemplate load(const NamedFiles& files);
  static bool is_in(const NamedFiles& files);  // whether load would find one

  // `name` is what errors call the template.
  static ChatTemplate from_source(std::string source, std::string name);

  // The text for these variables (messages, tools, add_generation_prompt, enable_thinking, ...).
  // Throws TemplateError. Work, memory and output (64 MiB) are bounded.
  std::string render(const json::object& variables) const;

  // Whether the template reads this variable of render().
  bool mentions(std::string_view variable) const;

  // What strftime_now takes for now; the local time unless set.
  void set_clock(std::function<std::tm()> now) { now_ = std::move(now); }

 private:
  struct Compiled;
  static std::shared_ptr<const Compiled> compile(const std::string& source, std::string name);

  std::shared_ptr<const Compiled> template_;
  std::shared_ptr<const Compiled> with_tools_;  // null: the same
  json::object defaults_;
  std::function<std::tm()> now_;
};

}  // namespace axk1
