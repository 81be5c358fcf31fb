// The chat page's conversations, kept in one SQLite file. A conversation is a tree of messages;
// `head` is the last message of the branch that is shown. Every call names a tenant, and sees and
// changes that tenant's conversations only.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"
#include "server/sqlite.h"

namespace axk1 {

struct HistoryMessage {
  std::string id;
  std::optional<std::string> parent_id;
  std::string role;  // "user" or "assistant"
  std::string content, reasoning_content;
  json::array attachments;  // of {"name", "text"}
  std::string model, finish_reason;
  json::value stats;  // an object or null
  int64_t created_ms = 0;
};

struct HistoryConversation {
  std::string id, title, system_prompt;
  json::object settings;
  std::optional<std::string> head;
  int64_t created_ms = 0, updated_ms = 0;  // since 1970; a new message updates
  std::vector<HistoryMessage> messages;    // in the order of their creation
};

// What is to be changed; empty: stays.
struct ConversationChange {
  std::optional<std::string> title, system_prompt;
  std::optional<json::object> settings;
  std::optional<std::optional<std::string>> head;
};
struct MessageChange {
  std::optional<std::string> content, reasoning_content, model, finish_reason;
  std::optional<json::value> stats;
};

struct HistoryHit {
  std::string conversation_id, title;
  std::optional<std::string> message_id;  // empty: the title
  std::string snippet;                    // of the message, around the first match
};

struct HistoryPage {
  std::vector<HistoryConversation> conversations;  // without messages
  std::optional<std::string> next;                 // `after` of the rest
};

struct HistoryLimits {
  size_t conversations = 10'000;      // of a tenant
  size_t messages = 4'000;            // of a conversation
  size_t tenant_bytes = 256u << 20;   // texts of a tenant
  size_t message_bytes = 4u << 20;    // texts of a message, with attachments
  size_t prompt_bytes = 256u << 10;   // system prompt
  size_t settings_bytes = 16u << 10;  // settings, and stats of a message, as JSON
  size_t title_bytes = 800;           // title, and other short texts
};

// Any thread: calls take turns, and block on the disk; not for the I/O thread. Several processes
// may use one file. Errors: kNotFound for a conversation or message that this tenant does not have,
// kInvalidInput for what is wrong in itself or a damaged file, kOutOfMemory for what goes beyond
// the limits, kIo for the disk.
class History {
 public:
  using Clock = std::function<int64_t()>;  // milliseconds since 1970

  // Opens or creates the file. No clock: the system's.
  explicit History(const std::string& path, const HistoryLimits& limits = {}, Clock clock = {});

  // Newest change first. `after`: HistoryPage::next, or "" for the beginning.
  HistoryPage list(std::string_view tenant, size_t limit, std::string_view after);
  HistoryConversation get(std::string_view tenant, std::string_view id);

  // Title, system prompt and settings; the rest is made.
  HistoryConversation create(std::string_view tenant, const HistoryConversation& first);
  // A new conversation with a copy of the path from the root to the message.
  HistoryConversation fork(std::string_view tenant, std::string_view id,
                           std::string_view message_id, std::string_view title);
  void change(std::string_view tenant, std::string_view id, const ConversationChange& change);
  void remove(std::string_view tenant, std::string_view id);

  // id and created_ms are made. The message becomes the head.
  HistoryMessage add_message(std::string_view tenant, std::string_view id, HistoryMessage message);
  void change_message(std::string_view tenant, std::string_view id, std::string_view message_id,
                      const MessageChange& change);

  // Titles and messages that contain `query` (Latin letters in either case), newest conversations
  // first. An empty query finds nothing.
  std::vector<HistoryHit> search(std::string_view tenant, std::string_view query, size_t limit);

  std::vector<HistoryConversation> export_all(std::string_view tenant);
  // Adds them all, with new ids, or none. Parents stand before their children.
  void import_all(std::string_view tenant, std::vector<HistoryConversation> conversations);

 private:
  void check_owner(std::string_view tenant, std::string_view id);
  void check_room(std::string_view tenant, size_t more_bytes);
  HistoryConversation read(std::string_view id);
  void insert(std::string_view tenant, const HistoryConversation& conversation);
  void insert_message(std::string_view id, const HistoryMessage& message);
  void check_fields(const HistoryConversation& conversation) const;
  void check_message(const HistoryMessage& message) const;
  void check_size(std::string_view what, size_t found, size_t limit) const;

  HistoryLimits limits_;
  Clock clock_;
  std::mutex mutex_;
  SqliteDatabase database_;
};

}  // namespace axk1
