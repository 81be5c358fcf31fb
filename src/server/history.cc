#include "server/history.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/text.h"

namespace axk1 {
namespace {

constexpr int32_t kApplicationId = 0x61786b31;  // "axk1"
constexpr int kVersion = 1;

// `bytes` is what the limits count: the texts of a conversation with those of its messages.
constexpr std::string_view kCreate = R"(
CREATE TABLE conversations (
  id TEXT PRIMARY KEY NOT NULL,
  tenant TEXT NOT NULL,
  title TEXT NOT NULL,
  system_prompt TEXT NOT NULL,
  settings TEXT NOT NULL,
  head TEXT,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX conversations_by_change ON conversations (tenant, updated_ms, id, bytes);
CREATE TABLE messages (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  conversation_id TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
  parent_id TEXT,
  role TEXT NOT NULL,
  content TEXT NOT NULL,
  reasoning TEXT NOT NULL,
  attachments TEXT NOT NULL,
  model TEXT NOT NULL,
  finish_reason TEXT NOT NULL,
  stats TEXT NOT NULL,
  created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX messages_by_conversation ON messages (conversation_id, seq);
)";

constexpr size_t kSnippetBefore = 90, kSnippetAfter = 210;  // bytes; a syllable has 3

int64_t system_ms() {
  using std::chrono::milliseconds;
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<milliseconds>(since).count();
}

// 128 random bits: nobody guesses another tenant's ids, though they would not help.
std::string new_id() {
  unsigned char bytes[16];
  if (getentropy(bytes, sizeof bytes) != 0) fail(ErrorCode::kIo, "getentropy: no random bytes");
  std::string id;
  for (const unsigned char byte : bytes) {
    id += "0123456789abcdef"[byte >> 4];
    id += "0123456789abcdef"[byte & 15];
  }
  return id;
}

size_t text_bytes(const HistoryConversation& conversation) {
  return conversation.title.size() + conversation.system_prompt.size() +
         json::to_text(conversation.settings).size();
}

size_t text_bytes(const HistoryMessage& message) {
  return message.content.size() + message.reasoning_content.size() +
         json::to_text(message.attachments).size() + json::to_text(message.stats).size() +
         message.model.size() + message.finish_reason.size();
}

// Text as a LIKE pattern that stands for itself, anywhere.
std::string containing(std::string_view text) {
  std::string pattern = "%";
  for (const char c : text) {
    if (c == '%' || c == '_' || c == '\\') pattern += '\\';
    pattern += c;
  }
  return pattern + "%";
}

std::string ascii_lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  }
  return lower;
}

bool continues_character(char c) {
  return (static_cast<unsigned char>(c) & 0xc0) == 0x80;
}

// Whole characters around the first place where `text` contains `query`.
std::string snippet_of(const std::string& text, std::string_view query) {
  const size_t found = ascii_lower(text).find(ascii_lower(query));
  const size_t at = found == std::string::npos ? 0 : found;
  size_t begin = at > kSnippetBefore ? at - kSnippetBefore : 0;
  size_t end = std::min(text.size(), at + query.size() + kSnippetAfter);
  while (begin < at && continues_character(text[begin])) ++begin;
  while (end < text.size() && continues_character(text[end])) ++end;
  return cat(begin > 0 ? "…" : "", text.substr(begin, end - begin), end < text.size() ? "…" : "");
}

// JSON that this file wrote. Another kind means that the file was damaged, or written by others.
json::value stored(const std::string& text, boost::json::kind kind) {
  json::value value;
  try {
    value = json::parse(text, "history");
  } catch (const Error& error) {
    fail(ErrorCode::kIo, error.what());
  }
  if (value.kind() != kind && !value.is_null()) {
    fail(ErrorCode::kIo, "history: found ", json::kind_name(value), " in a stored field");
  }
  return value;
}
json::object stored_object(const std::string& text) {
  json::value value = stored(text, boost::json::kind::object);
  return value.is_object() ? std::move(value.as_object()) : json::object();
}
json::array stored_array(const std::string& text) {
  json::value value = stored(text, boost::json::kind::array);
  return value.is_array() ? std::move(value.as_array()) : json::array();
}

HistoryMessage read_message(const SqliteStatement& row) {
  return {.id = row.text(0),
          .parent_id = row.optional_text(1),
          .role = row.text(2),
          .content = row.text(3),
          .reasoning_content = row.text(4),
          .attachments = stored_array(row.text(5)),
          .model = row.text(6),
          .finish_reason = row.text(7),
          .stats = stored(row.text(8), boost::json::kind::object),
          .created_ms = row.integer(9)};
}

}  // namespace

History::History(const std::string& path, const HistoryLimits& limits, Clock clock)
    : limits_(limits),
      clock_(clock ? std::move(clock) : Clock(system_ms)),
      database_(path, kApplicationId, kVersion, kCreate) {}

HistoryPage History::list(std::string_view tenant, size_t limit, std::string_view after) {
  // A cursor is "UPDATED_MS:ID" of the last conversation that was seen.
  int64_t before_ms = INT64_MAX;
  std::string_view before_id = "";
  if (!after.empty()) {
    const char* end = after.data() + after.size();
    const auto [stop, error] = std::from_chars(after.data(), end, before_ms);
    if (error != std::errc() || stop == end || *stop != ':') {
      fail(ErrorCode::kInvalidInput, "after: found \"", printable(after),
           "\", expected what `next` said");
    }
    before_id = after.substr(static_cast<size_t>(stop + 1 - after.data()));
  }
  const std::lock_guard lock(mutex_);
  SqliteStatement rows(database_,
                       "SELECT id, title, created_ms, updated_ms FROM conversations "
                       "WHERE tenant = ?1 AND (updated_ms, id) < (?2, ?3) "
                       "ORDER BY updated_ms DESC, id DESC LIMIT ?4");
  rows.bind(tenant).bind(before_ms).bind(before_id).bind(static_cast<int64_t>(limit) + 1);
  HistoryPage page;
  while (rows.step()) {
    if (page.conversations.size() == limit) {
      const HistoryConversation& last = page.conversations.back();
      page.next = cat(last.updated_ms, ':', last.id);
      break;
    }
    page.conversations.push_back({.id = rows.text(0),
                                  .title = rows.text(1),
                                  .created_ms = rows.integer(2),
                                  .updated_ms = rows.integer(3)});
  }
  return page;
}

HistoryConversation History::get(std::string_view tenant, std::string_view id) {
  const std::lock_guard lock(mutex_);
  check_owner(tenant, id);
  return read(id);
}

HistoryConversation History::create(std::string_view tenant, const HistoryConversation& first) {
  HistoryConversation made{.id = new_id(),
                           .title = first.title,
                           .system_prompt = first.system_prompt,
                           .settings = first.settings};
  check_fields(made);
  const std::lock_guard lock(mutex_);
  made.created_ms = made.updated_ms = clock_();
  SqliteTransaction transaction(database_);
  insert(tenant, made);
  transaction.commit();
  return made;
}

HistoryConversation History::fork(std::string_view tenant, std::string_view id,
                                  std::string_view message_id, std::string_view title) {
  const std::lock_guard lock(mutex_);
  SqliteTransaction transaction(database_);
  check_owner(tenant, id);
  const HistoryConversation from = read(id);

  // Parents stand before children, so one pass from the end finds the path.
  std::vector<HistoryMessage> path;
  std::optional<std::string> wanted(message_id);
  for (auto message = from.messages.rbegin(); message != from.messages.rend(); ++message) {
    if (message->id != wanted) continue;
    path.push_back(*message);
    wanted = message->parent_id;
    if (!wanted) break;
  }
  if (path.empty()) fail(ErrorCode::kNotFound, "message ", printable(message_id), " is not there");
  std::ranges::reverse(path);

  HistoryConversation made{.id = new_id(),
                           .title = std::string(title),
                           .system_prompt = from.system_prompt,
                           .settings = from.settings};
  check_fields(made);
  made.created_ms = made.updated_ms = clock_();
  for (HistoryMessage& message : path) {
    message.id = new_id();
    message.parent_id = std::exchange(made.head, message.id);
  }
  made.messages = std::move(path);
  insert(tenant, made);
  transaction.commit();
  return made;
}

void History::change(std::string_view tenant, std::string_view id,
                     const ConversationChange& change) {
  const std::lock_guard lock(mutex_);
  SqliteTransaction transaction(database_);
  check_owner(tenant, id);
  HistoryConversation now;
  {
    SqliteStatement row(database_,
                        "SELECT title, system_prompt, settings, head FROM conversations "
                        "WHERE id = ?1");
    row.bind(id).step();
    now.title = row.text(0);
    now.system_prompt = row.text(1);
    now.settings = stored_object(row.text(2));
    now.head = row.optional_text(3);
  }
  const size_t before = text_bytes(now);
  if (change.title) now.title = *change.title;
  if (change.system_prompt) now.system_prompt = *change.system_prompt;
  if (change.settings) now.settings = *change.settings;
  if (change.head) {
    now.head = *change.head;
    SqliteStatement known(database_,
                          "SELECT 1 FROM messages WHERE id = ?1 AND conversation_id = ?2");
    if (now.head && !known.bind(std::string_view(*now.head)).bind(id).step()) {
      fail(ErrorCode::kInvalidInput, "head: found ", printable(*now.head),
           ", expected a message of this conversation");
    }
  }
  check_fields(now);
  const size_t after = text_bytes(now);
  if (after > before) check_room(tenant, after - before);
  SqliteStatement(database_,
                  "UPDATE conversations SET title = ?1, system_prompt = ?2, settings = ?3, "
                  "head = ?4, bytes = bytes + ?5 WHERE id = ?6")
      .bind(std::string_view(now.title))
      .bind(std::string_view(now.system_prompt))
      .bind(std::string_view(json::to_text(now.settings)))
      .bind(now.head)
      .bind(static_cast<int64_t>(after) - static_cast<int64_t>(before))
      .bind(id)
      .run();
  transaction.commit();
}

void History::remove(std::string_view tenant, std::string_view id) {
  const std::lock_guard lock(mutex_);
  SqliteTransaction transaction(database_);
  check_owner(tenant, id);
  SqliteStatement(database_, "DELETE FROM conversations WHERE id = ?1").bind(id).run();
  transaction.commit();
}

HistoryMessage History::add_message(std::string_view tenant, std::string_view id,
                                    HistoryMessage message) {
  check_message(message);
  const std::lock_guard lock(mutex_);
  SqliteTransaction transaction(database_);
  check_owner(tenant, id);
  {
    SqliteStatement count(database_, "SELECT count(*) FROM messages WHERE conversation_id = ?1");
    count.bind(id).step();
    check_size("messages of the conversation", static_cast<size_t>(count.integer(0)) + 1,
               limits_.messages);
  }
  if (message.parent_id) {
    SqliteStatement known(database_,
                          "SELECT 1 FROM messages WHERE id = ?1 AND conversation_id = ?2");
    if (!known.bind(std::string_view(*message.parent_id)).bind(id).step()) {
      fail(ErrorCode::kInvalidInput, "parent_id: found ", printable(*message.parent_id),
           ", expected a message of this conversation, or null");
    }
  }
  const size_t bytes = text_bytes(message);
  check_room(tenant, bytes);
  message.id = new_id();
  message.created_ms = clock_();
  insert_message(id, message);
  SqliteStatement(database_,
                  "UPDATE conversations SET head = ?1, updated_ms = max(updated_ms, ?2), "
                  "bytes = bytes + ?3 WHERE id = ?4")
      .bind(std::string_view(message.id))
      .bind(message.created_ms)
      .bind(static_cast<int64_t>(bytes))
      .bind(id)
      .run();
  transaction.commit();
  return message;
}

void History::change_message(std::string_view tenant, std::string_view id,
                             std::string_view message_id, const MessageChange& change) {
  const std::lock_guard lock(mutex_);
  SqliteTransaction transaction(database_);
  check_owner(tenant, id);
  HistoryMessage now;
  {
    SqliteStatement row(database_,
                        "SELECT id, parent_id, role, content, reasoning, attachments, model, "
                        "finish_reason, stats, created_ms FROM messages "
                        "WHERE id = ?1 AND conversation_id = ?2");
    if (!row.bind(message_id).bind(id).step()) {
      fail(ErrorCode::kNotFound, "message ", printable(message_id), " is not there");
    }
    now = read_message(row);
  }
  const size_t before = text_bytes(now);
  if (change.content) now.content = *change.content;
  if (change.reasoning_content) now.reasoning_content = *change.reasoning_content;
  if (change.model) now.model = *change.model;
  if (change.finish_reason) now.finish_reason = *change.finish_reason;
  if (change.stats) now.stats = *change.stats;
  check_message(now);
  const size_t after = text_bytes(now);
  if (after > before) check_room(tenant, after - before);
  SqliteStatement(database_,
                  "UPDATE messages SET content = ?1, reasoning = ?2, model = ?3, "
                  "finish_reason = ?4, stats = ?5 WHERE id = ?6")
      .bind(std::string_view(now.content))
      .bind(std::string_view(now.reasoning_content))
      .bind(std::string_view(now.model))
      .bind(std::string_view(now.finish_reason))
      .bind(std::string_view(json::to_text(now.stats)))
      .bind(message_id)
      .run();
  SqliteStatement(database_, "UPDATE conversations SET bytes = bytes + ?1 WHERE id = ?2")
      .bind(static_cast<int64_t>(after) - static_cast<int64_t>(before))
      .bind(id)
      .run();
  transaction.commit();
}

std::vector<HistoryHit> History::search(std::string_view tenant, std::string_view query,
                                        size_t limit) {
  if (query.empty()) return {};
  check_size("the query", query.size(), limits_.title_bytes);
  const std::lock_guard lock(mutex_);
  // FTS5's trigrams find no word of two syllables, which most Korean words are; a scan finds all.
  SqliteStatement rows(
      database_,
      "SELECT c.id, c.title, NULL, '', c.updated_ms AS at, 0 AS seq FROM conversations c "
      "WHERE c.tenant = ?1 AND c.title LIKE ?2 ESCAPE '\\' "
      "UNION ALL "
      "SELECT c.id, c.title, m.id, m.content, c.updated_ms, m.seq FROM conversations c "
      "JOIN messages m ON m.conversation_id = c.id "
      "WHERE c.tenant = ?1 AND m.content LIKE ?2 ESCAPE '\\' "
      "ORDER BY at DESC, 1, seq LIMIT ?3");
  rows.bind(tenant).bind(std::string_view(containing(query))).bind(static_cast<int64_t>(limit));
  std::vector<HistoryHit> hits;
  while (rows.step()) {
    HistoryHit hit{.conversation_id = rows.text(0),
                   .title = rows.text(1),
                   .message_id = rows.optional_text(2)};
    if (hit.message_id) hit.snippet = snippet_of(rows.text(3), query);
    hits.push_back(std::move(hit));
  }
  return hits;
}

std::vector<HistoryConversation> History::export_all(std::string_view tenant) {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> ids;
  {
    SqliteStatement rows(database_,
                         "SELECT id FROM conversations WHERE tenant = ?1 ORDER BY updated_ms, id");
    rows.bind(tenant);
    while (rows.step()) ids.push_back(rows.text(0));
  }
  std::vector<HistoryConversation> conversations;
  for (const std::string& id : ids) conversations.push_back(read(id));
  return conversations;
}

void History::import_all(std::string_view tenant, std::vector<HistoryConversation> conversations) {
  for (size_t idx = 0; idx < conversations.size(); ++idx) {
    HistoryConversation& conversation = conversations[idx];
    check_fields(conversation);
    check_size("messages of the conversation", conversation.messages.size(), limits_.messages);
    conversation.id = new_id();
    std::unordered_map<std::string, std::string> ids;  // old -> new
    const auto renamed = [&](const std::string& id, std::string_view field) {
      const auto found = ids.find(id);
      if (found == ids.end()) {
        fail(ErrorCode::kInvalidInput, "conversation ", idx, ": ", field, ": found ", printable(id),
             ", expected the id of a message before it");
      }
      return found->second;
    };
    for (HistoryMessage& message : conversation.messages) {
      check_message(message);
      if (message.parent_id) message.parent_id = renamed(*message.parent_id, "parent_id");
      const std::string made = new_id();
      if (!ids.emplace(message.id, made).second) {
        fail(ErrorCode::kInvalidInput, "conversation ", idx, ": id ", printable(message.id),
             " is there twice");
      }
      message.id = made;
    }
    if (conversation.head) conversation.head = renamed(*conversation.head, "head");
  }
  const std::lock_guard lock(mutex_);
  SqliteTransaction transaction(database_);
  for (const HistoryConversation& conversation : conversations) insert(tenant, conversation);
  transaction.commit();
}

// Another tenant's conversation is answered like one that does not exist.
void History::check_owner(std::string_view tenant, std::string_view id) {
  SqliteStatement row(database_, "SELECT 1 FROM conversations WHERE id = ?1 AND tenant = ?2");
  if (!row.bind(id).bind(tenant).step()) {
    fail(ErrorCode::kNotFound, "conversation ", printable(id), " is not there");
  }
}

void History::check_room(std::string_view tenant, size_t more_bytes) {
  SqliteStatement sum(database_,
                      "SELECT coalesce(sum(bytes), 0) FROM conversations WHERE tenant = ?1");
  sum.bind(tenant).step();
  check_size("bytes of all conversations", static_cast<size_t>(sum.integer(0)) + more_bytes,
             limits_.tenant_bytes);
}

HistoryConversation History::read(std::string_view id) {
  HistoryConversation conversation;
  SqliteStatement row(database_,
                      "SELECT id, title, system_prompt, settings, head, created_ms, updated_ms "
                      "FROM conversations WHERE id = ?1");
  row.bind(id).step();
  conversation.id = row.text(0);
  conversation.title = row.text(1);
  conversation.system_prompt = row.text(2);
  conversation.settings = stored_object(row.text(3));
  conversation.head = row.optional_text(4);
  conversation.created_ms = row.integer(5);
  conversation.updated_ms = row.integer(6);
  SqliteStatement rows(database_,
                       "SELECT id, parent_id, role, content, reasoning, attachments, model, "
                       "finish_reason, stats, created_ms FROM messages "
                       "WHERE conversation_id = ?1 ORDER BY seq");
  rows.bind(id);
  while (rows.step()) conversation.messages.push_back(read_message(rows));
  return conversation;
}

void History::insert(std::string_view tenant, const HistoryConversation& conversation) {
  {
    SqliteStatement count(database_, "SELECT count(*) FROM conversations WHERE tenant = ?1");
    count.bind(tenant).step();
    check_size("conversations", static_cast<size_t>(count.integer(0)) + 1, limits_.conversations);
  }
  size_t bytes = text_bytes(conversation);
  for (const HistoryMessage& message : conversation.messages) bytes += text_bytes(message);
  check_room(tenant, bytes);
  SqliteStatement(database_,
                  "INSERT INTO conversations VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")
      .bind(std::string_view(conversation.id))
      .bind(tenant)
      .bind(std::string_view(conversation.title))
      .bind(std::string_view(conversation.system_prompt))
      .bind(std::string_view(json::to_text(conversation.settings)))
      .bind(conversation.head)
      .bind(conversation.created_ms)
      .bind(conversation.updated_ms)
      .bind(static_cast<int64_t>(bytes))
      .run();
  for (const HistoryMessage& message : conversation.messages) {
    insert_message(conversation.id, message);
  }
}

void History::insert_message(std::string_view id, const HistoryMessage& message) {
  SqliteStatement(database_,
                  "INSERT INTO messages (id, conversation_id, parent_id, role, content, reasoning, "
                  "attachments, model, finish_reason, stats, created_ms) "
                  "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")
      .bind(std::string_view(message.id))
      .bind(id)
      .bind(message.parent_id)
      .bind(std::string_view(message.role))
      .bind(std::string_view(message.content))
      .bind(std::string_view(message.reasoning_content))
      .bind(std::string_view(json::to_text(message.attachments)))
      .bind(std::string_view(message.model))
      .bind(std::string_view(message.finish_reason))
      .bind(std::string_view(json::to_text(message.stats)))
      .bind(message.created_ms)
      .run();
}

void History::check_fields(const HistoryConversation& conversation) const {
  check_size("bytes of the title", conversation.title.size(), limits_.title_bytes);
  check_size("bytes of the system prompt", conversation.system_prompt.size(), limits_.prompt_bytes);
  check_size("bytes of the settings", json::to_text(conversation.settings).size(),
             limits_.settings_bytes);
}

void History::check_message(const HistoryMessage& message) const {
  if (message.role != "user" && message.role != "assistant") {
    fail(ErrorCode::kInvalidInput, "role: found \"", printable(message.role),
         "\", expected user or assistant");
  }
  check_size("bytes of the message", text_bytes(message), limits_.message_bytes);
  check_size("bytes of the model's name", message.model.size(), limits_.title_bytes);
  check_size("bytes of finish_reason", message.finish_reason.size(), limits_.title_bytes);
  check_size("bytes of stats", json::to_text(message.stats).size(), limits_.settings_bytes);
}

void History::check_size(std::string_view what, size_t found, size_t limit) const {
  if (found > limit) {
    fail(ErrorCode::kOutOfMemory, what, ": found ", found, ", expected at most ", limit);
  }
}

}  // namespace axk1
