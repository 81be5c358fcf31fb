#include "server/openai_responses.h"

#include "server/chat_inputs.h"
#include "server/chat_messages.h"
#include "server/openai_common.h"
#include "server/responses_writer.h"
#include "server/sampling_fields.h"

namespace axk1 {
namespace {

constexpr NeutralField kNotComputed[] = {
    {"previous_response_id", "null"}, {"conversation", "null"},
    {"background", "false"},          {"prompt", "null"},
    {"truncation", R"("disabled")"},  {"context_management", "null"},
    {"moderation", "null"},
};

// The chat form of a conversation in items: instructions, messages, calls and their results.
class ItemReader {
 public:
  explicit ItemReader(std::string source) : source_(std::move(source)) {}

  void add_system(const std::string& text) {
    messages_.push_back(json::object{{"role", "system"}, {"content", text}});
  }

  void add(const json::value& entry) {
    const json::ObjectReader item(entry, cat(source_, ": input[", index_++, "]"));
    const std::string type = item.string_or("type", "message");
    if (type == "message") {
      add_message(item);
    } else if (type == "function_call") {
      add_call(item);
    } else if (type == "function_call_output") {
      add_output(item);
    } else if (type != "reasoning") {  // past reasoning is not shown to the model again
      item.refuse("input",
                  cat("found an item of type \"", printable(type),
                      "\", only message, function_call, function_call_output and "
                      "reasoning are read"),
                  ErrorCode::kUnsupported);
    }
  }

  json::array take() { return std::move(messages_); }

 private:
  void add_message(const json::ObjectReader& item) {
    const json::value& content = item.get("content");
    if (!content.is_string() && !content.is_array()) {
      item.wrong("content", content, "a string or an array of text parts");
    }
    json::object message;
    message["role"] = item.get_string("role");
    message["content"] =
        plain_content(content, item.source(), {"input_text", "output_text", "text"});
    messages_.push_back(std::move(message));
  }

  // Calls follow the assistant's words, when there were any, in one message.
  void add_call(const json::ObjectReader& item) {
    if (messages_.empty() || messages_.back().at("role") != "assistant") {
      messages_.push_back(json::object{{"role", "assistant"}, {"content", ""}});
    }
    json::object& message = messages_.back().get_object();
    if (!message.contains("tool_calls")) message["tool_calls"] = json::array();
    message["tool_calls"].as_array().push_back(
        json::object{{"id", item.get_string("call_id")},
                     {"type", "function"},
                     {"function", json::object{{"name", item.get_string("name")},
                                               {"arguments", item.get_string("arguments")}}}});
  }

  void add_output(const json::ObjectReader& item) {
    const json::value& output = item.get("output");
    if (!output.is_string() && !output.is_array()) {
      item.wrong("output", output, "a string or an array of text parts");
    }
    json::object message;
    message["role"] = "tool";
    message["tool_call_id"] = item.get_string("call_id");
    message["content"] = plain_content(output, item.source(), {"input_text", "output_text"});
    messages_.push_back(std::move(message));
  }

  std::string source_;
  size_t index_ = 0;
  json::array messages_;
};

json::array read_items(const json::ObjectReader& reader) {
  ItemReader items(reader.source());
  if (reader.find("instructions")) items.add_system(reader.get_string("instructions"));
  const json::value& input = reader.get("input");
  if (input.is_string()) {
    items.add(json::object{{"role", "user"}, {"content", input}});
  } else if (input.is_array() && !input.get_array().empty()) {
    for (const json::value& entry : input.get_array()) items.add(entry);
  } else {
    reader.wrong("input", input, "a string or an array of at least one item");
  }
  return items.take();
}

// The fields of this API whose meaning the chat API has under other names, in its form.
json::object chat_form(const json::ObjectReader& reader) {
  json::object chat;
  if (const json::value* tools = reader.find("tools")) {
    if (!tools->is_array()) reader.wrong("tools", *tools, "an array");
    json::array list;
    for (const json::value& entry : tools->get_array()) {
      const json::ObjectReader tool(entry, cat(reader.source(), ": tools[", list.size(), "]"));
      if (const std::string type = tool.get_string("type"); type != "function") {
        tool.refuse(
            "tools",
            cat("found a tool of type \"", printable(type), "\", only \"function\" is known"),
            ErrorCode::kUnsupported);
      }
      json::object function{{"name", tool.get_string("name")}};
      for (const char* field : {"description", "parameters", "strict"}) {
        if (const json::value* found = tool.find(field)) function[field] = *found;
      }
      list.push_back(json::object{{"type", "function"}, {"function", std::move(function)}});
    }
    chat["tools"] = std::move(list);
  }
  if (const json::value* choice = reader.find("tool_choice")) {
    chat["tool_choice"] = *choice;
    if (choice->is_object()) {
      const json::ObjectReader named(*choice, cat(reader.source(), ": tool_choice"));
      if (named.get_string("type") != "function") {
        reader.wrong("tool_choice", *choice, "none, auto, required or a function");
      }
      chat["tool_choice"] = json::object{
          {"type", "function"}, {"function", json::object{{"name", named.get_string("name")}}}};
    }
  }
  for (const char* field :
       {"parallel_tool_calls", "chat_template_kwargs", "enable_thinking", "thinking_budget"}) {
    if (const json::value* found = reader.find(field)) chat[field] = *found;
  }
  if (const json::value* text = reader.find("text")) {
    const json::ObjectReader config(*text, cat(reader.source(), ": text"));
    if (const json::value* found = config.find("format")) {
      const json::ObjectReader format(*found, cat(config.source(), ".format"));
      chat["response_format"] = *found;
      if (format.get_string("type") == "json_schema") {
        chat["response_format"] =
            json::object{{"type", "json_schema"},
                         {"json_schema", json::object{{"schema", format.get("schema")}}}};
      }
    }
  }
  if (const json::value* reasoning = reader.find("reasoning")) {
    const json::ObjectReader config(*reasoning, cat(reader.source(), ": reasoning"));
    if (const json::value* effort = config.find("effort")) chat["reasoning_effort"] = *effort;
  }
  return chat;
}

bool wants_logprobs(const json::ObjectReader& reader) {
  const json::value* include = reader.find("include");
  if (!include) return false;
  if (!include->is_array()) reader.wrong("include", *include, "an array");
  for (const json::value& entry : include->get_array()) {
    if (entry == "message.output_text.logprobs") return true;
  }
  return false;
}

GenerateOptions read_options(const json::ObjectReader& reader, const RequestScope& scope) {
  json::object fields = reader.fields();
  if (const json::value* most = reader.find("max_output_tokens")) fields["max_tokens"] = *most;
  fields["logprobs"] = wants_logprobs(reader) || reader.int_or("top_logprobs", 0, 0, 1 << 20) > 0;
  const json::value as_chat = std::move(fields);
  return read_generate_options(json::ObjectReader(as_chat, reader.source()), default_options(scope),
                               {.max_logprobs = scope.limits.max_logprobs});
}

// What the answer repeats of the request.
json::object echo_of(const json::ObjectReader& reader, const GenerateOptions& generate) {
  json::object echo;
  const auto copy = [&](const char* field, json::value absent) {
    const json::value* found = reader.find(field);
    echo[field] = found ? *found : std::move(absent);
  };
  copy("instructions", nullptr);
  copy("max_output_tokens", nullptr);
  copy("metadata", json::object());
  copy("parallel_tool_calls", true);
  copy("reasoning", json::object{{"effort", nullptr}, {"summary", nullptr}});
  copy("text", json::object{{"format", json::object{{"type", "text"}}}});
  copy("tool_choice", "auto");
  copy("tools", json::array());
  copy("user", nullptr);
  echo["previous_response_id"] = nullptr;
  echo["store"] = false;
  echo["temperature"] = double{generate.sampling.temperature};
  echo["top_p"] = double{generate.sampling.top_p};
  echo["top_logprobs"] = std::max(generate.top_logprobs, 0);
  echo["truncation"] = "disabled";
  echo["service_tier"] = "default";
  return echo;
}

}  // namespace

PreparedRequest prepare_responses(const json::value& body, const RequestScope& scope) {
  const json::ObjectReader reader(body, "request");
  check_model_name(reader, *scope.model);
  refuse_unless_neutral(reader, kNotComputed);
  const json::value chat = chat_form(reader);
  const AnswerRules rules = read_chat_rules(json::ObjectReader(chat, "request"));
  const GenerateOptions generate = read_options(reader, scope);
  json::object variables;
  if (const json::value* more = reader.find("chat_template_kwargs"); more && more->is_object()) {
    variables = more->get_object();
  }
  variables["add_generation_prompt"] = true;
  variables["messages"] = read_items(reader);
  normalise_messages(variables);

  ChatInputs inputs = make_chat_inputs(scope, rules, std::move(variables), generate, 1);
  PreparedRequest out;
  out.inputs = std::move(inputs.inputs);
  out.stream = reader.bool_or("stream", false);
  out.prompt_tokens = inputs.prompt_tokens;
  out.writer = make_responses_writer(scope, {.answer = inputs.form,
                                             .stream = out.stream,
                                             .logprobs = generate.top_logprobs >= 0,
                                             .prompt_tokens = inputs.prompt_tokens,
                                             .echo = echo_of(reader, generate)});
  return out;
}

}  // namespace axk1
