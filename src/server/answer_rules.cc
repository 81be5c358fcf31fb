#include "server/answer_rules.h"

#include <algorithm>

#include "server/api_error.h"
#include "server/constraint_cache.h"

namespace axk1 {
namespace {

constexpr int64_t kMaxBudget = int64_t{1} << 31;

void read_response_format(const json::ObjectReader& reader, AnswerRules& rules) {
  const json::value* found = reader.find("response_format");
  if (!found) return;
  const json::ObjectReader format(*found, cat(reader.source(), ": response_format"));
  const std::string type = format.get_string("type");
  if (type == "text") return;
  if (type == "json_object") {
    rules.format = AnswerRules::Format::kJsonObject;
    return;
  }
  if (type != "json_schema") {
    reader.wrong("response_format", format.get("type"), "text, json_object or json_schema");
  }
  rules.format = AnswerRules::Format::kJsonSchema;
  const json::ObjectReader wrapper(format.get("json_schema"), cat(format.source(), ".json_schema"));
  rules.schema = wrapper.get("schema");
}

std::string tool_name(const json::value& tool, const std::string& source) {
  const json::ObjectReader outer(tool, source);
  const std::string type = outer.string_or("type", "function");
  if (type != "function") {
    outer.refuse("tools",
                 cat("found a tool of type \"", printable(type), "\", only \"function\" is known"),
                 ErrorCode::kUnsupported);
  }
  const json::ObjectReader function(outer.get("function"), cat(source, ".function"));
  const std::string name = function.get_string("name");
  if (name.empty()) function.refuse("tools", "a function needs a name");
  return name;
}

void read_tool_choice(const json::ObjectReader& reader, const json::value& choice,
                      AnswerRules& rules) {
  constexpr const char* kExpected =
      "none, auto, required or {\"type\": \"function\", \"function\": {\"name\": ...}}";
  if (choice == "none") {
    rules.tool_choice = ToolChoice::kNone;
  } else if (choice == "auto") {
    rules.tool_choice = ToolChoice::kAuto;
  } else if (choice == "required") {
    rules.tool_choice = ToolChoice::kRequired;
  } else if (choice.is_object()) {
    const json::ObjectReader named(choice, cat(reader.source(), ": tool_choice"));
    if (named.string_or("type", "function") != "function") {
      reader.wrong("tool_choice", choice, kExpected);
    }
    const json::ObjectReader function(named.get("function"), cat(named.source(), ".function"));
    rules.tool_choice = ToolChoice::kNamed;
    rules.tool_name = function.get_string("name");
  } else {
    reader.wrong("tool_choice", choice, kExpected);
  }
}

void read_tools(const json::ObjectReader& reader, AnswerRules& rules) {
  if (const json::value* tools = reader.find("tools")) {
    if (!tools->is_array()) reader.wrong("tools", *tools, "an array");
    rules.tools = tools->get_array();
  }
  std::vector<std::string> names;
  for (const json::value& tool : rules.tools) {
    names.push_back(tool_name(tool, cat(reader.source(), ": tools[", names.size(), "]")));
  }
  rules.tool_choice = rules.tools.empty() ? ToolChoice::kNone : ToolChoice::kAuto;
  if (const json::value* choice = reader.find("tool_choice")) {
    read_tool_choice(reader, *choice, rules);
  }
  if (rules.calls_required() && rules.tools.empty()) reader.refuse("tool_choice", "needs tools");
  if (rules.tool_choice == ToolChoice::kNamed &&
      std::find(names.begin(), names.end(), rules.tool_name) == names.end()) {
    reader.refuse("tool_choice", cat("no tool is named \"", printable(rules.tool_name), "\""));
  }
  rules.parallel_calls = reader.bool_or("parallel_tool_calls", true);
}

}  // namespace

void apply_effort(const json::ObjectReader& reader, const std::string& effort, AnswerRules& rules) {
  struct Level {
    const char* name;
    bool thinking;
    size_t budget;  // 0: none
  };
  constexpr Level kLevels[] = {{"none", false, 0},     {"minimal", true, 256}, {"low", true, 1024},
                               {"medium", true, 4096}, {"high", true, 0},      {"xhigh", true, 0},
                               {"max", true, 0}};
  for (const Level& level : kLevels) {
    if (effort != level.name) continue;
    if (!rules.thinking) rules.thinking = level.thinking;
    if (level.budget && !rules.thinking_budget) rules.thinking_budget = level.budget;
    return;
  }
  reader.wrong("reasoning_effort", json::value(effort),
               "none, minimal, low, medium, high, xhigh or max");
}

AnswerRules read_chat_rules(const json::ObjectReader& reader) {
  AnswerRules rules;
  read_response_format(reader, rules);
  read_tools(reader, rules);
  if (const json::value* more = reader.find("chat_template_kwargs"); more && more->is_object()) {
    const json::ObjectReader variables(*more, cat(reader.source(), ": chat_template_kwargs"));
    if (variables.find("enable_thinking")) {
      rules.thinking = variables.bool_or("enable_thinking", false);
    }
  }
  if (reader.find("enable_thinking")) rules.thinking = reader.bool_or("enable_thinking", false);
  if (reader.find("thinking_budget")) {
    rules.thinking_budget = static_cast<size_t>(reader.get_int("thinking_budget", 0, kMaxBudget));
  }
  if (reader.find("reasoning_effort")) {
    apply_effort(reader, reader.get_string("reasoning_effort"), rules);
  }
  return rules;
}

void apply_rules(const AnswerRules& rules, json::object& variables) {
  if (rules.calls_possible()) {
    variables["tools"] = rules.tools;
  } else {
    variables.erase("tools");
  }
  if (rules.thinking) variables["enable_thinking"] = *rules.thinking;
}

namespace {

// A schema that is wrong or asks for what is not computed is the request's fault: `field` names it.
std::shared_ptr<const Grammar> compile(
    const ServedModel& model, const char* field, const std::string& key,
    const std::function<std::shared_ptr<const Grammar>()>& make) {
  model.require_tokenizer();
  try {
    return model.constraints->get(key, make);
  } catch (const Error& error) {
    const bool unsupported = error.code() == ErrorCode::kUnsupported;
    throw ApiError(400, unsupported ? "unsupported_schema" : "invalid_schema",
                   cat(field, ": ", error.what()), {.param = field});
  }
}

std::unique_ptr<TokenConstraint> tool_constraint(const ServedModel& model,
                                                 const AnswerRules& rules) {
  std::vector<ToolSchema> schemas;
  std::string key = "tools";
  for (const json::value& tool : rules.tools) {
    const json::object& function = tool.at("function").as_object();
    const std::string name(function.at("name").as_string());
    if (rules.tool_choice == ToolChoice::kNamed && name != rules.tool_name) continue;
    json::value parameters = json::object{{"type", "object"}};
    if (const json::value* found = function.if_contains("parameters"); found && !found->is_null()) {
      parameters = *found;
    }
    key += cat('\n', name, '\n', json::to_text(parameters));
    schemas.push_back({name, std::move(parameters)});
  }
  const auto grammar =
      compile(model, "tools", key, [&schemas] { return compile_tool_calls(schemas); });
  return make_tool_constraint(model.constraints->vocabulary(), grammar,
                              {.required = rules.calls_required() || rules.calls_or_json(),
                               .parallel = rules.parallel_calls,
                               .style = kPlainJson});
}

std::unique_ptr<TokenConstraint> format_constraint(const ServedModel& model,
                                                   const AnswerRules& rules) {
  const bool any = rules.format == AnswerRules::Format::kJsonObject;
  const auto grammar = compile(
      model, "response_format", any ? "object" : cat("schema\n", json::to_text(rules.schema)),
      [&] { return any ? compile_any_json_object() : compile_json_schema(rules.schema); });
  return make_json_constraint(model.constraints->vocabulary(), grammar, kPlainJson);
}

}  // namespace

std::unique_ptr<TokenConstraint> make_constraint(const ServedModel& model, const AnswerRules& rules,
                                                 bool opens_thinking) {
  std::vector<std::unique_ptr<TokenConstraint>> forms;
  if (rules.calls_possible()) forms.push_back(tool_constraint(model, rules));
  if (rules.format != AnswerRules::Format::kText && !rules.calls_required()) {
    forms.push_back(format_constraint(model, rules));
  }
  std::unique_ptr<TokenConstraint> inner;
  if (forms.size() == 1) inner = std::move(forms[0]);
  if (forms.size() > 1) inner = make_either_constraint(std::move(forms));
  if (!inner && !rules.thinking_budget) return nullptr;
  const bool may_open = !opens_thinking && rules.thinking.value_or(false);
  if (!opens_thinking && !may_open) return inner;
  model.require_tokenizer();
  return make_thinking_constraint(
      model.constraints->vocabulary(),
      {.in_reasoning = opens_thinking, .may_open = may_open, .budget = rules.thinking_budget},
      std::move(inner));
}

}  // namespace axk1
