#include "server/history_api.h"

#include <charconv>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/text.h"
#include "base/utf8.h"

namespace axk1 {
namespace {

constexpr std::string_view kFormat = "axk1-conversations";
constexpr int64_t kFormatVersion = 1;
constexpr int64_t kDefaultPage = 60, kMaxPage = 200;
constexpr int64_t kDefaultHits = 50, kMaxHits = 200;
constexpr int64_t kLatestMs = int64_t{1} << 53;  // what a JavaScript number holds exactly

json::value text_or_null(const std::optional<std::string>& text) {
  return text ? json::value(*text) : json::value(nullptr);
}

json::object to_json(const HistoryMessage& message) {
  return {{"id", message.id},
          {"parent_id", text_or_null(message.parent_id)},
          {"role", message.role},
          {"content", message.content},
          {"reasoning_content", message.reasoning_content},
          {"attachments", message.attachments},
          {"model", message.model},
          {"finish_reason", message.finish_reason},
          {"stats", message.stats},
          {"created_ms", message.created_ms}};
}

json::object summary(const HistoryConversation& conversation) {
  return {{"id", conversation.id},
          {"title", conversation.title},
          {"created_ms", conversation.created_ms},
          {"updated_ms", conversation.updated_ms}};
}

json::object to_json(const HistoryConversation& conversation) {
  json::object object = summary(conversation);
  object["system_prompt"] = conversation.system_prompt;
  object["settings"] = conversation.settings;
  object["head"] = text_or_null(conversation.head);
  json::array messages;
  for (const HistoryMessage& message : conversation.messages) messages.push_back(to_json(message));
  object["messages"] = std::move(messages);
  return object;
}

// The string or null in a field that may be missing too.
std::optional<std::string> optional_string(const json::ObjectReader& reader,
                                           std::string_view field) {
  if (!reader.find(field)) return std::nullopt;
  return reader.get_string(field);
}

json::object settings_of(const json::ObjectReader& reader) {
  const json::value* found = reader.find("settings");
  if (!found) return {};
  if (!found->is_object()) reader.wrong("settings", *found, "an object");
  return found->as_object();
}

json::value stats_of(const json::ObjectReader& reader) {
  const json::value* found = reader.find("stats");
  if (!found) return nullptr;
  if (!found->is_object()) reader.wrong("stats", *found, "an object or null");
  return *found;
}

json::array attachments_of(const json::ObjectReader& reader) {
  json::array attachments;
  const json::value* found = reader.find("attachments");
  if (!found) return attachments;
  if (!found->is_array()) reader.wrong("attachments", *found, "an array");
  for (const json::value& one : found->as_array()) {
    const json::ObjectReader attachment(one, reader.source() + ": attachments");
    attachments.push_back(json::object{{"name", attachment.get_string("name")},
                                       {"text", attachment.get_string("text")}});
  }
  return attachments;
}

HistoryMessage message_of(const json::ObjectReader& reader) {
  return {.parent_id = optional_string(reader, "parent_id"),
          .role = reader.get_string("role"),
          .content = reader.string_or("content", ""),
          .reasoning_content = reader.string_or("reasoning_content", ""),
          .attachments = attachments_of(reader),
          .model = reader.string_or("model", ""),
          .finish_reason = reader.string_or("finish_reason", ""),
          .stats = stats_of(reader)};
}

HistoryConversation conversation_of(const json::ObjectReader& reader) {
  return {.title = reader.string_or("title", ""),
          .system_prompt = reader.string_or("system_prompt", ""),
          .settings = settings_of(reader)};
}

std::vector<HistoryConversation> imported_of(const json::value& body) {
  const json::ObjectReader reader(body, "import");
  if (const std::string format = reader.get_string("format"); format != kFormat) {
    reader.wrong("format", reader.get("format"), kFormat);
  }
  reader.get_int("version", kFormatVersion, kFormatVersion);
  const json::value& list = reader.get("conversations");
  if (!list.is_array()) reader.wrong("conversations", list, "an array");
  std::vector<HistoryConversation> conversations;
  for (const json::value& one : list.as_array()) {
    const std::string source = cat("import: conversation ", conversations.size());
    const json::ObjectReader fields(one, source);
    HistoryConversation conversation = conversation_of(fields);
    conversation.head = optional_string(fields, "head");
    conversation.created_ms = fields.get_int("created_ms", 0, kLatestMs);
    conversation.updated_ms = fields.get_int("updated_ms", 0, kLatestMs);
    const json::value& messages = fields.get("messages");
    if (!messages.is_array()) fields.wrong("messages", messages, "an array");
    for (const json::value& item : messages.as_array()) {
      const json::ObjectReader each(item, cat(source, ": message ", conversation.messages.size()));
      HistoryMessage message = message_of(each);
      message.id = each.get_string("id");
      message.created_ms = each.get_int("created_ms", 0, kLatestMs);
      conversation.messages.push_back(std::move(message));
    }
    conversations.push_back(std::move(conversation));
  }
  return conversations;
}

// The decoded value of a query field; throws when it is no percent-encoded UTF-8.
std::string query_field(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const size_t end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    query = end == std::string_view::npos ? "" : query.substr(end + 1);
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos || pair.substr(0, equals) != name) continue;
    std::string value;
    for (size_t at = equals + 1; at < pair.size(); ++at) {
      unsigned byte = 0;
      if (pair[at] != '%') {
        value += pair[at] == '+' ? ' ' : pair[at];
        continue;
      }
      const char* digits = pair.data() + at + 1;
      if (at + 2 >= pair.size() ||
          std::from_chars(digits, digits + 2, byte, 16).ptr != digits + 2) {
        fail(ErrorCode::kInvalidInput, name, ": found ", printable(pair.substr(at)),
             ", expected % and two hexadecimal digits");
      }
      value += static_cast<char>(byte);
      at += 2;
    }
    if (!is_valid_utf8(value)) fail(ErrorCode::kInvalidInput, name, ": is not UTF-8");
    return value;
  }
  return "";
}

size_t count_field(std::string_view query, int64_t absent, int64_t max) {
  const std::string text = query_field(query, "limit");
  if (text.empty()) return static_cast<size_t>(absent);
  int64_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || stop != text.data() + text.size() || value < 1 || value > max) {
    fail(ErrorCode::kInvalidInput, "limit: found \"", printable(text), "\", expected 1 to ", max);
  }
  return static_cast<size_t>(value);
}

HistoryResponse json_response(int status, const json::value& body) {
  return {.status = status, .body = json::to_text(body)};
}

HistoryResponse error_response(int status, std::string_view code, std::string_view message) {
  const std::string_view type = status >= 500 ? "server_error" : "invalid_request_error";
  return json_response(status, json::object{{"error", json::object{{"message", message},
                                                                   {"type", type},
                                                                   {"param", nullptr},
                                                                   {"code", code}}}});
}

HistoryResponse create(History& history, const HistoryRequest& request) {
  const json::value body = json::parse(request.body, "request");
  const json::ObjectReader reader(body, "request");
  if (const auto from = optional_string(reader, "fork_of")) {
    return json_response(
        201, to_json(history.fork(request.tenant, *from, reader.get_string("message_id"),
                                  reader.string_or("title", ""))));
  }
  return json_response(201, to_json(history.create(request.tenant, conversation_of(reader))));
}

HistoryResponse change(History& history, const HistoryRequest& request, std::string_view id) {
  const json::value body = json::parse(request.body, "request");
  const json::ObjectReader reader(body, "request");
  ConversationChange change{.title = optional_string(reader, "title"),
                            .system_prompt = optional_string(reader, "system_prompt")};
  if (reader.find("settings")) change.settings = settings_of(reader);
  if (reader.fields().contains("head")) change.head = optional_string(reader, "head");
  history.change(request.tenant, id, change);
  return {.status = 204};
}

HistoryResponse change_message(History& history, const HistoryRequest& request, std::string_view id,
                               std::string_view message_id) {
  const json::value body = json::parse(request.body, "request");
  const json::ObjectReader reader(body, "request");
  MessageChange change{.content = optional_string(reader, "content"),
                       .reasoning_content = optional_string(reader, "reasoning_content"),
                       .model = optional_string(reader, "model"),
                       .finish_reason = optional_string(reader, "finish_reason")};
  if (reader.fields().contains("stats")) change.stats = stats_of(reader);
  history.change_message(request.tenant, id, message_id, change);
  return {.status = 204};
}

HistoryResponse list(History& history, const HistoryRequest& request) {
  const HistoryPage page =
      history.list(request.tenant, count_field(request.query, kDefaultPage, kMaxPage),
                   query_field(request.query, "after"));
  json::array conversations;
  for (const HistoryConversation& one : page.conversations) conversations.push_back(summary(one));
  return json_response(200, json::object{{"conversations", std::move(conversations)},
                                         {"next", text_or_null(page.next)}});
}

HistoryResponse search(History& history, const HistoryRequest& request) {
  json::array results;
  for (const HistoryHit& hit : history.search(request.tenant, query_field(request.query, "q"),
                                              count_field(request.query, kDefaultHits, kMaxHits))) {
    results.push_back(json::object{{"conversation_id", hit.conversation_id},
                                   {"message_id", text_or_null(hit.message_id)},
                                   {"title", hit.title},
                                   {"snippet", hit.snippet}});
  }
  return json_response(200, json::object{{"results", std::move(results)}});
}

HistoryResponse export_all(History& history, const HistoryRequest& request) {
  json::array conversations;
  for (const HistoryConversation& one : history.export_all(request.tenant)) {
    conversations.push_back(to_json(one));
  }
  HistoryResponse response =
      json_response(200, json::object{{"format", kFormat},
                                      {"version", kFormatVersion},
                                      {"conversations", std::move(conversations)}});
  response.filename = "axk1-conversations.json";
  return response;
}

HistoryResponse import_all(History& history, const HistoryRequest& request) {
  std::vector<HistoryConversation> conversations = imported_of(json::parse(request.body, "import"));
  const size_t count = conversations.size();
  history.import_all(request.tenant, std::move(conversations));
  return json_response(200, json::object{{"imported", count}});
}

HistoryResponse answer(History& history, const HistoryRequest& request) {
  std::vector<std::string_view> parts;  // of the path after "/api/"
  std::string_view rest = request.path;
  if (!rest.starts_with("/api/")) return error_response(404, "not_found", "no such path");
  rest.remove_prefix(5);
  for (size_t slash; (slash = rest.find('/')) != std::string_view::npos;
       rest.remove_prefix(slash + 1)) {
    parts.push_back(rest.substr(0, slash));
  }
  parts.push_back(rest);

  const std::string_view method = request.method;
  const auto is = [&](size_t size, std::string_view name) {
    return parts.size() == size && parts[0] == name;
  };
  bool known = true;
  if (is(1, "conversations")) {
    if (method == "GET") return list(history, request);
    if (method == "POST") return create(history, request);
  } else if (is(2, "conversations")) {
    if (method == "GET") return json_response(200, to_json(history.get(request.tenant, parts[1])));
    if (method == "PATCH") return change(history, request, parts[1]);
    if (method == "DELETE") {
      history.remove(request.tenant, parts[1]);
      return {.status = 204};
    }
  } else if (is(3, "conversations") && parts[2] == "messages") {
    if (method == "POST") {
      const json::value body = json::parse(request.body, "request");
      const json::ObjectReader reader(body, "request");
      return json_response(
          201, to_json(history.add_message(request.tenant, parts[1], message_of(reader))));
    }
  } else if (is(4, "conversations") && parts[2] == "messages") {
    if (method == "PATCH") return change_message(history, request, parts[1], parts[3]);
  } else if (is(1, "search")) {
    if (method == "GET") return search(history, request);
  } else if (is(1, "export")) {
    if (method == "GET") return export_all(history, request);
  } else if (is(1, "import")) {
    if (method == "POST") return import_all(history, request);
  } else {
    known = false;
  }
  if (known) return error_response(405, "method_not_allowed", "this path has no such method");
  return error_response(404, "not_found", "no such path");
}

}  // namespace

HistoryResponse answer_history(History& history, const HistoryRequest& request) {
  try {
    return answer(history, request);
  } catch (const Error& error) {
    switch (error.code()) {
      case ErrorCode::kNotFound:
        return error_response(404, "not_found", error.what());
      case ErrorCode::kOutOfMemory:
        return error_response(413, "too_large", error.what());
      case ErrorCode::kInvalidInput:
      case ErrorCode::kUnsupported:
      case ErrorCode::kUsage:
        return error_response(400, "invalid_request", error.what());
      case ErrorCode::kIo:
        break;
    }
    return error_response(500, "history_failed", "the history could not be read or written");
  }
}

}  // namespace axk1
