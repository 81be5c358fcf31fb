// A conversation with a model, apart from any terminal: messages, mode, context, files.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "engine/generate.h"
#include "io/json.h"

namespace axk1 {

struct ChatMessage {
  enum class Role { kUser, kAssistant };
  Role role;
  std::string content;
  std::string reasoning;  // of an answer
};

struct ChatOptions {
  std::string system;
  // The template argument enable_thinking; empty: what the template does by itself.
  std::optional<bool> thinking;
  GenerateOptions generate;
};

struct ChatAnswer {
  std::string reasoning, content;
  FinishReason finish_reason = FinishReason::kStop;
  size_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
  double prefill_seconds = 0, decode_seconds = 0;
};

// Every turn renders the whole conversation with the model's own template and continues from what
// the session has already read of it. The reasoning of past answers goes to the template as
// `reasoning_content`, apart from `content`: whether the model sees it again is the template's
// choice (most leave it out).
//
// When a conversation no longer leaves answer_room() of the context free (or max_tokens, when that
// is less), its oldest exchanges, a user message and its answer each, are left out of what the
// model reads until it does; the system prompt and the newest user message stay. They stay in the
// conversation, and so in saved files. A message that is too long by itself is an error.
//
// Saved as JSON, the shape of an OpenAI request:
//   {"messages": [{"role": "system" | "user" | "assistant", "content": "...",
//                  "reasoning_content": "..."}], "enable_thinking": true}
// `system` may only come first, then user and assistant take turns, the user first.
// `reasoning_content` (of assistant) and `enable_thinking` may be missing.
//
// One thread at a time, which owns the engine's steps.
class ChatSession {
 public:
  // Tokens of a context that are kept free for an answer.
  static size_t answer_room(size_t context_length) { return context_length / 4; }

  // Called with new text of reasoning and content, either may be empty. False stops the answer.
  using OnPiece = std::function<bool(std::string_view reasoning, std::string_view content)>;

  // The engine must have a tokenizer and a chat template; throws Error(kNotFound) when not.
  ChatSession(Engine& engine, ChatOptions options);

  // Answers a user message. A stopped answer stays in the conversation as far as it got. After an
  // Error the conversation is as it was before.
  ChatAnswer send(const std::string& user, const OnPiece& on_piece = {},
                  const Session::Progress& prefill = {});

  // Answers the last user message again, with another seed. Throws Error(kUsage) when there is
  // none.
  ChatAnswer regenerate(const OnPiece& on_piece = {}, const Session::Progress& prefill = {});

  void clear();  // forgets the messages; system prompt and mode stay
  void set_system(std::string system) { options_.system = std::move(system); }
  // Throws Error(kUnsupported) when the template knows no enable_thinking.
  void set_thinking(bool thinking);

  const std::string& system() const { return options_.system; }
  std::optional<bool> thinking() const { return options_.thinking; }
  const std::vector<ChatMessage>& messages() const { return messages_; }
  // Messages from the start that the last prompt left out.
  size_t num_left_out() const { return first_kept_; }

  json::object to_json() const;
  // Replaces conversation, system prompt and mode; when it throws, nothing has changed.
  void restore(const json::value& document, const std::string& source);
  void save(const std::string& path) const;
  void load(const std::string& path);

 private:
  std::string render() const;
  std::vector<TokenId> fit_prompt(std::string& rendered);
  ChatAnswer answer(const OnPiece& on_piece, const Session::Progress& prefill);

  Engine& engine_;
  const Tokenizer& tokenizer_;
  const ChatTemplate& template_;
  ChatOptions options_;
  Session session_;
  std::vector<ChatMessage> messages_;
  size_t first_kept_ = 0;  // a user message
  uint64_t num_answers_ = 0;
};

}  // namespace axk1
