#include "apps/chat_session.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/utf8.h"
#include "chat/think.h"
#include "io/file.h"

namespace axk1 {
namespace {

constexpr uint64_t kMaxChatFileBytes = 64 << 20;

json::object message_object(std::string_view role, std::string_view content) {
  json::object object;
  object["role"] = role;
  object["content"] = content;
  return object;
}

const char* role_name(ChatMessage::Role role) {
  return role == ChatMessage::Role::kUser ? "user" : "assistant";
}

}  // namespace

ChatSession::ChatSession(Engine& engine, ChatOptions options)
    : engine_(engine),
      tokenizer_(engine.require_tokenizer()),
      template_(engine.require_chat_template()),
      options_(std::move(options)),
      session_(engine) {
  if (options_.thinking) set_thinking(*options_.thinking);
}

void ChatSession::set_thinking(bool thinking) {
  if (!template_.mentions("enable_thinking")) {
    fail(ErrorCode::kUnsupported, engine_.name(),
         ": its chat template has no thinking mode to choose (no enable_thinking)");
  }
  options_.thinking = thinking;
}

void ChatSession::clear() {
  messages_.clear();
  first_kept_ = 0;
}

std::string ChatSession::render() const {
  json::array messages;
  if (!options_.system.empty()) messages.push_back(message_object("system", options_.system));
  for (size_t i = first_kept_; i < messages_.size(); ++i) {
    const ChatMessage& message = messages_[i];
    json::object object = message_object(role_name(message.role), message.content);
    if (!message.reasoning.empty()) object["reasoning_content"] = message.reasoning;
    messages.push_back(std::move(object));
  }
  json::object variables;
  variables["messages"] = std::move(messages);
  variables["add_generation_prompt"] = true;
  if (options_.thinking) variables["enable_thinking"] = *options_.thinking;
  return template_.render(variables);
}

std::vector<TokenId> ChatSession::fit_prompt(std::string& rendered) {
  const size_t context = engine_.context_length();
  size_t room = answer_room(context);
  if (options_.generate.max_tokens) room = std::min(room, options_.generate.max_tokens);
  while (true) {
    rendered = render();
    std::vector<TokenId> ids = tokenizer_.encode(rendered, {.parse_special = true});
    if (ids.size() + room <= context) return ids;
    if (first_kept_ + 1 < messages_.size()) {
      first_kept_ += 2;
    } else if (ids.size() < context) {
      return ids;
    } else {
      fail(ErrorCode::kInvalidInput, "the message does not fit: it makes a prompt of ", ids.size(),
           " tokens, and the context of ", engine_.name(), " holds ", context);
    }
  }
}

ChatAnswer ChatSession::answer(const OnPiece& on_piece, const Session::Progress& prefill) {
  std::string rendered;
  const std::vector<TokenId> prompt = fit_prompt(rendered);
  GenerateOptions generate_options = options_.generate;
  generate_options.sampling.seed += num_answers_++;

  ThinkSplitter splitter(prompt_opens_thinking(rendered));
  ChatAnswer answer;
  const auto take = [&](const auto& parts) {
    answer.reasoning += parts.reasoning;
    answer.content += parts.content;
    const bool nothing = parts.reasoning.empty() && parts.content.empty();
    return nothing || !on_piece || on_piece(parts.reasoning, parts.content);
  };
  const GenerateResult result = generate(
      session_, prompt, generate_options,
      [&](std::string_view text) { return take(splitter.push(text)); }, prefill);
  take(splitter.finish());

  answer.finish_reason = result.finish_reason;
  answer.prompt_tokens = result.prompt_tokens;
  answer.cached_tokens = result.cached_tokens;
  answer.completion_tokens = result.ids.size();
  answer.prefill_seconds = result.prefill_seconds;
  answer.decode_seconds = result.decode_seconds;
  messages_.push_back({ChatMessage::Role::kAssistant, answer.content, answer.reasoning});
  return answer;
}

ChatAnswer ChatSession::send(const std::string& user, const OnPiece& on_piece,
                             const Session::Progress& prefill) {
  const size_t num_messages = messages_.size();
  const size_t first_kept = first_kept_;
  // A conversation read from a file may end with a message that nobody has answered.
  if (!messages_.empty() && messages_.back().role == ChatMessage::Role::kUser) {
    fail(ErrorCode::kUsage, "the last message has no answer yet: /regenerate answers it");
  }
  messages_.push_back({ChatMessage::Role::kUser, utf8_lossy(user), {}});
  try {
    return answer(on_piece, prefill);
  } catch (...) {
    messages_.resize(num_messages);
    first_kept_ = first_kept;
    throw;
  }
}

ChatAnswer ChatSession::regenerate(const OnPiece& on_piece, const Session::Progress& prefill) {
  if (messages_.empty()) fail(ErrorCode::kUsage, "there is no message to answer yet");
  const std::vector<ChatMessage> before = messages_;
  const size_t first_kept = first_kept_;
  if (messages_.back().role == ChatMessage::Role::kAssistant) messages_.pop_back();
  AXK1_CHECK(!messages_.empty());
  try {
    return answer(on_piece, prefill);
  } catch (...) {
    messages_ = before;
    first_kept_ = first_kept;
    throw;
  }
}

json::object ChatSession::to_json() const {
  json::array messages;
  if (!options_.system.empty()) messages.push_back(message_object("system", options_.system));
  for (const ChatMessage& message : messages_) {
    json::object object = message_object(role_name(message.role), message.content);
    if (!message.reasoning.empty()) object["reasoning_content"] = message.reasoning;
    messages.push_back(std::move(object));
  }
  json::object document;
  document["messages"] = std::move(messages);
  if (options_.thinking) document["enable_thinking"] = *options_.thinking;
  return document;
}

void ChatSession::restore(const json::value& document, const std::string& source) {
  const json::ObjectReader reader(document, source);
  const json::value& list = reader.get("messages");
  if (!list.is_array()) reader.wrong("messages", list, "an array");
  std::string system;
  std::vector<ChatMessage> messages;
  size_t idx = 0;
  for (const json::value& entry : list.get_array()) {
    const json::ObjectReader message(entry, cat(source, ": messages[", idx, "]"));
    const std::string role = message.get_string("role");
    std::string content = message.get_string("content");
    const bool users_turn = messages.size() % 2 == 0;
    if (role == "system" && idx == 0) {
      system = std::move(content);
    } else if (role == "user" && users_turn) {
      messages.push_back({ChatMessage::Role::kUser, std::move(content), {}});
    } else if (role == "assistant" && !users_turn) {
      messages.push_back({ChatMessage::Role::kAssistant, std::move(content),
                          message.string_or("reasoning_content", "")});
    } else {
      fail(ErrorCode::kInvalidInput, message.source(), ".role: found \"", printable(role),
           "\", expected \"", users_turn ? "user" : "assistant", "\"",
           idx == 0 ? " or \"system\"" : "");
    }
    ++idx;
  }
  std::optional<bool> thinking;
  if (reader.find("enable_thinking")) thinking = reader.bool_or("enable_thinking", false);
  if (thinking) set_thinking(*thinking);
  options_.thinking = thinking;
  options_.system = std::move(system);
  messages_ = std::move(messages);
  first_kept_ = 0;
}

void ChatSession::save(const std::string& path) const {
  write_file_atomic(path, json::to_text(to_json()) + "\n");
}

void ChatSession::load(const std::string& path) {
  restore(json::parse(read_file(path, kMaxChatFileBytes), path), path);
}

}  // namespace axk1
