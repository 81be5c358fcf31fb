// Everything that may constrain an answer, made from compiled grammars (json_schema.h) and a
// vocabulary (grammar_vocabulary.h): JSON by a schema, tool calls, and what comes after thinking.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "grammar/grammar_vocabulary.h"
#include "grammar/json_schema.h"
#include "grammar/token_constraint.h"

namespace axk1 {

// How freely JSON is written. A model that is held to a schema it would not follow by itself drifts
// into what is valid but has no end: white space, and every letter as an escape.
struct JsonStyle {
  // After so many tokens that bring only white space the next one has to bring more.
  size_t max_blank_tokens = SIZE_MAX;
  bool unicode_escapes = true;  // \uXXXX; where nothing else can come they may, whatever this says
};
inline constexpr JsonStyle kAnyJson;
inline constexpr JsonStyle kPlainJson{2, false};  // a line break and its indentation

// The answer is one JSON value that the grammar accepts, with white space around and inside it;
// then it ends. End tokens are allowed exactly where the value is complete.
std::unique_ptr<TokenConstraint> make_json_constraint(
    std::shared_ptr<const GrammarVocabulary> vocabulary, std::shared_ptr<const Grammar> grammar,
    const JsonStyle& style = kAnyJson);

// How the answer to a request with tools must look. Marks are texts: whether the vocabulary has
// them as one token or they take several is all the same.
struct ToolConstraintOptions {
  bool required = false;  // the answer is calls and nothing else, at least one
  bool parallel = true;   // more than one call may come
  std::string open = "<tool_call>";
  std::string close = "</tool_call>";
  JsonStyle style = kAnyJson;
};

// `calls` is compile_tool_calls() of the tools that may be called: all of them for tool_choice
// "auto" and "required", the named one alone for a named choice (with required = true).
// Free text until `open`; then one JSON object that `calls` accepts, then `close`. After that:
// further calls or free text (not required), further calls or the end (required), or only the end
// (not parallel).
std::unique_ptr<TokenConstraint> make_tool_constraint(
    std::shared_ptr<const GrammarVocabulary> vocabulary, std::shared_ptr<const Grammar> calls,
    const ToolConstraintOptions& options);

// The answer has one of the forms (at least one), whichever its tokens turn out to be.
std::unique_ptr<TokenConstraint> make_either_constraint(
    std::vector<std::unique_ptr<TokenConstraint>> forms);

// The answer's reasoning, before the part that `inner` constrains.
struct ThinkingOptions {
  // The prompt ended inside the reasoning (prompt_opens_thinking). Without it the answer may still
  // begin with `open`, after white space, if `may_open`; else inner counts from the first token.
  bool in_reasoning = false;
  bool may_open = false;
  // After so many tokens of reasoning only `close` may come.
  std::optional<size_t> budget;
  std::string open = "<think>";
  std::string close = "</think>";
};

// Free text up to and with `close`, then `inner`; the answer does not end before that unless inner
// is null. A null inner leaves the answer free (for a budget alone).
std::unique_ptr<TokenConstraint> make_thinking_constraint(
    std::shared_ptr<const GrammarVocabulary> vocabulary, const ThinkingOptions& options,
    std::unique_ptr<TokenConstraint> inner);

}  // namespace axk1
