#include "server/anthropic_messages.h"

#include "server/anthropic_writer.h"
#include "server/chat_inputs.h"
#include "server/chat_messages.h"
#include "server/sampling_fields.h"

namespace axk1 {
namespace {

constexpr NeutralField kNotComputed[] = {
    {"container", "null"},
    {"mcp_servers", "[]"},
    {"context_management", "null"},
    {"output_format", "null"},
};

// What the blocks of one message become: messages of the chat form.
class MessageReader {
 public:
  explicit MessageReader(json::array& messages) : messages_(messages) {}

  void add(const json::ObjectReader& message) {
    const std::string role = message.get_string("role");
    if (role != "user" && role != "assistant") {
      message.wrong("role", message.get("role"), "user or assistant");
    }
    const json::value& content = message.get("content");
    if (content.is_string()) {
      messages_.push_back(json::object{{"role", role}, {"content", content}});
      return;
    }
    if (!content.is_array()) message.wrong("content", content, "a string or an array of blocks");
    text_.clear();
    calls_.clear();
    any_text_ = false;
    size_t index = 0;
    for (const json::value& entry : content.get_array()) {
      add_block(json::ObjectReader(entry, cat(message.source(), ".content[", index++, "]")), role);
    }
    if (!any_text_ && calls_.empty()) return;  // only results of tools, or past thinking
    json::object out{{"role", role}, {"content", text_}};
    if (!calls_.empty()) out["tool_calls"] = std::move(calls_);
    messages_.push_back(std::move(out));
  }

 private:
  void add_block(const json::ObjectReader& block, const std::string& role) {
    const std::string type = block.get_string("type");
    if (type == "text") {
      if (any_text_) text_ += '\n';
      text_ += block.get_string("text");
      any_text_ = true;
    } else if (type == "tool_use" && role == "assistant") {
      calls_.push_back(json::object{
          {"id", block.get_string("id")},
          {"type", "function"},
          {"function", json::object{{"name", block.get_string("name")},
                                    {"arguments", json::to_text(block.get("input"))}}}});
    } else if (type == "tool_result" && role == "user") {
      add_result(block);
    } else if (!((type == "thinking" || type == "redacted_thinking") && role == "assistant")) {
      block.refuse("messages",
                   cat("found a block of type \"", printable(type), "\" from the ", role,
                       ", only text, tool_use, tool_result and thinking are read"),
                   ErrorCode::kUnsupported);
    }
  }

  void add_result(const json::ObjectReader& block) {
    json::value content = "";
    if (const json::value* found = block.find("content")) {
      if (!found->is_string() && !found->is_array()) {
        block.wrong("content", *found, "a string or an array of text blocks");
      }
      content = plain_content(*found, block.source(), {"text"});
    }
    messages_.push_back(json::object{{"role", "tool"},
                                     {"tool_call_id", block.get_string("tool_use_id")},
                                     {"content", std::move(content)}});
  }

  json::array& messages_;
  std::string text_;
  json::array calls_;
  bool any_text_ = false;
};

json::object read_variables(const json::ObjectReader& reader) {
  json::array messages;
  if (const json::value* system = reader.find("system")) {
    if (!system->is_string() && !system->is_array()) {
      reader.wrong("system", *system, "a string or an array of text blocks");
    }
    messages.push_back(
        json::object{{"role", "system"}, {"content", plain_content(*system, "system", {"text"})}});
  }
  const json::value& list = reader.get("messages");
  if (!list.is_array() || list.get_array().empty()) {
    reader.wrong("messages", list, "an array of at least one message");
  }
  MessageReader read(messages);
  size_t index = 0;
  for (const json::value& entry : list.get_array()) {
    read.add(json::ObjectReader(entry, cat(reader.source(), ": messages[", index++, "]")));
  }
  if (messages.empty() || messages.back().at("role") == "assistant") {
    reader.refuse("messages", "the last message must be the user's: answers cannot be prefilled",
                  ErrorCode::kUnsupported);
  }
  json::object variables{{"add_generation_prompt", true}, {"messages", std::move(messages)}};
  normalise_messages(variables);
  return variables;
}

json::object chat_tool(const json::ObjectReader& tool) {
  if (const std::string type = tool.string_or("type", "custom"); type != "custom") {
    tool.refuse("tools",
                cat("found a tool of type \"", printable(type),
                    "\", only tools of the client's own are known"),
                ErrorCode::kUnsupported);
  }
  json::object function{{"name", tool.get_string("name")}};
  if (const json::value* text = tool.find("description")) function["description"] = *text;
  function["parameters"] = tool.get("input_schema");
  return {{"type", "function"}, {"function", std::move(function)}};
}

void add_tool_choice(const json::ObjectReader& reader, json::object& chat) {
  const json::value* found = reader.find("tool_choice");
  if (!found) return;
  const json::ObjectReader choice(*found, cat(reader.source(), ": tool_choice"));
  const std::string type = choice.get_string("type");
  if (type == "auto" || type == "none") {
    chat["tool_choice"] = type;
  } else if (type == "any") {
    chat["tool_choice"] = "required";
  } else if (type == "tool") {
    chat["tool_choice"] = json::object{
        {"type", "function"}, {"function", json::object{{"name", choice.get_string("name")}}}};
  } else {
    reader.wrong("tool_choice", *found, "an object of type auto, any, tool or none");
  }
  if (choice.bool_or("disable_parallel_tool_use", false)) chat["parallel_tool_calls"] = false;
}

void add_thinking(const json::ObjectReader& reader, json::object& chat) {
  const json::value* found = reader.find("thinking");
  if (!found) return;
  const json::ObjectReader thinking(*found, cat(reader.source(), ": thinking"));
  const std::string type = thinking.get_string("type");
  if (type != "enabled" && type != "disabled" && type != "adaptive") {
    reader.wrong("thinking", *found, "an object of type enabled, disabled or adaptive");
  }
  chat["enable_thinking"] = type != "disabled";
  if (type == "enabled") {
    if (const json::value* budget = thinking.find("budget_tokens")) {
      chat["thinking_budget"] = *budget;
    }
  }
}

AnswerRules read_rules(const json::ObjectReader& reader) {
  json::object chat;
  if (const json::value* tools = reader.find("tools")) {
    if (!tools->is_array()) reader.wrong("tools", *tools, "an array");
    json::array list;
    for (const json::value& entry : tools->get_array()) {
      list.push_back(
          chat_tool(json::ObjectReader(entry, cat(reader.source(), ": tools[", list.size(), "]"))));
    }
    chat["tools"] = std::move(list);
  }
  add_tool_choice(reader, chat);
  add_thinking(reader, chat);
  if (const json::value* config = reader.find("output_config")) {
    const json::ObjectReader output(*config, cat(reader.source(), ": output_config"));
    if (const json::value* found = output.find("format")) {
      const json::ObjectReader format(*found, cat(output.source(), ".format"));
      if (format.get_string("type") != "json_schema") {
        output.wrong("format", *found, "an object of type json_schema");
      }
      chat["response_format"] = json::object{
          {"type", "json_schema"}, {"json_schema", json::object{{"schema", format.get("schema")}}}};
    }
  }
  const json::value as_chat = std::move(chat);
  return read_chat_rules(json::ObjectReader(as_chat, reader.source()));
}

}  // namespace

PreparedRequest prepare_messages(const json::value& body, const RequestScope& scope) {
  const json::ObjectReader reader(body, "request");
  check_model_name(reader, *scope.model);
  refuse_unless_neutral(reader, kNotComputed);
  reader.get_int("max_tokens", 1, int64_t{1} << 31);
  const AnswerRules rules = read_rules(reader);
  GenerateOptions generate = read_generate_options(reader, default_options(scope));
  if (const json::value* stops = reader.find("stop_sequences")) {
    if (!stops->is_array()) reader.wrong("stop_sequences", *stops, "an array of strings");
    generate.stop = read_stop_texts(reader, "stop_sequences", *stops);
  }
  ChatInputs inputs = make_chat_inputs(scope, rules, read_variables(reader), generate, 1);
  PreparedRequest out;
  out.inputs = std::move(inputs.inputs);
  out.stream = reader.bool_or("stream", false);
  out.prompt_tokens = inputs.prompt_tokens;
  out.writer = make_anthropic_writer(scope, {.answer = inputs.form,
                                             .stream = out.stream,
                                             .stops = generate.stop,
                                             .prompt_tokens = inputs.prompt_tokens});
  return out;
}

json::object count_message_tokens(const json::value& body, const ServedModel& model) {
  const json::ObjectReader reader(body, "request");
  check_model_name(reader, model);
  json::object variables = read_variables(reader);
  apply_rules(read_rules(reader), variables);
  json::object out;
  out["input_tokens"] = render_prompt(model, variables).ids.size();
  return out;
}

}  // namespace axk1
