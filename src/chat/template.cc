#include "chat/template.h"

#include "chat/jinja_interpreter.h"
#include "chat/jinja_parser.h"
#include "chat/jinja_scope.h"
#include "formats/k1pack.h"
#include "io/file.h"

namespace axk1 {
namespace {

constexpr uint64_t kMaxTemplateBytes = uint64_t{4} << 20;
constexpr uint64_t kMaxConfigBytes = uint64_t{64} << 20;  // added tokens can make it large

std::tm local_now() {
  const std::time_t now = std::time(nullptr);
  std::tm out{};
  localtime_r(&now, &out);
  return out;
}

// The special tokens: every "x_token" that is a string or an object with "content".
json::object special_tokens(const json::object& config) {
  json::object out;
  for (const auto& [key, value] : config) {
    if (!std::string_view(key).ends_with("_token")) continue;
    if (value.is_string()) {
      out[key] = value;
    } else if (const json::object* token = value.if_object()) {
      const json::value* content = token->if_contains("content");
      if (content && content->is_string()) out[key] = *content;
    }
  }
  return out;
}

struct Sources {
  std::string name;
  std::string main, with_tools;  // with_tools is empty when there is none
};

// A chat_template field: a string, a list of {name, template}, or an object name -> template.
Sources read_field(const json::value& field, const std::string& source) {
  Sources out;
  out.name = source;
  if (field.is_string()) {
    out.main = std::string(field.get_string());
    return out;
  }
  auto add = [&](std::string_view name, std::string text) {
    if (name == "default") out.main = std::move(text);
    if (name == "tool_use") out.with_tools = std::move(text);
  };
  if (const json::array* list = field.if_array()) {
    for (const json::value& entry : *list) {
      const json::ObjectReader reader(entry, source + ": chat_template entry");
      add(reader.get_string("name"), reader.get_string("template"));
    }
  } else if (const json::object* named = field.if_object()) {
    for (const auto& [name, text] : *named) {
      if (text.is_string()) add(name, std::string(text.get_string()));
    }
  } else {
    fail(ErrorCode::kInvalidInput, source, ": field \"chat_template\": found ",
         json::kind_name(field), ", expected a string or a list of {name, template}");
  }
  if (out.main.empty()) out.main = out.with_tools;
  if (out.main.empty()) {
    fail(ErrorCode::kInvalidInput, source,
         ": field \"chat_template\" has no template named "
         "\"default\"");
  }
  return out;
}

constexpr const char* kJinjaFile = "chat_template.jinja";
constexpr const char* kLegacyFile = "chat_template.json";
constexpr const char* kToolsFile = "additional_chat_templates/tool_use.jinja";
constexpr const char* kConfigFile = "tokenizer_config.json";

// tokenizer_config.json, or an empty object.
json::value read_config(const NamedFiles& files) {
  if (!files.contains(kConfigFile)) return json::object();
  const std::string place = files.place(kConfigFile);
  json::value config = json::parse(files.read(kConfigFile, kMaxConfigBytes), place);
  if (!config.is_object()) {
    fail(ErrorCode::kInvalidInput, place, ": found ", json::kind_name(config),
         ", expected an object");
  }
  return config;
}

const json::value* field_of(const json::value& config) {
  const json::value* field = config.get_object().if_contains("chat_template");
  return field && !field->is_null() ? field : nullptr;
}

Sources read_sources(const NamedFiles& files, const json::value& config) {
  if (files.contains(kJinjaFile)) {
    Sources out{files.place(kJinjaFile), files.read(kJinjaFile, kMaxTemplateBytes), ""};
    if (files.contains(kToolsFile)) out.with_tools = files.read(kToolsFile, kMaxTemplateBytes);
    return out;
  }
  if (const json::value* field = field_of(config)) {
    return read_field(*field, files.place(kConfigFile));
  }
  if (files.contains(kLegacyFile)) {
    const std::string legacy = files.place(kLegacyFile);
    const json::value v = json::parse(files.read(kLegacyFile, kMaxConfigBytes), legacy);
    return read_field(json::ObjectReader(v, legacy).get("chat_template"), legacy);
  }
  fail(ErrorCode::kNotFound, files.path(),
       ": no chat template: expected chat_template.jinja, or \"chat_template\" in "
       "tokenizer_config.json");
}

}  // namespace

struct ChatTemplate::Compiled {
  std::string name;
  jinja::Template tree;
};

std::shared_ptr<const ChatTemplate::Compiled> ChatTemplate::compile(const std::string& source,
                                                                    std::string name) {
  auto compiled = std::make_shared<Compiled>();
  compiled->name = std::move(name);
  if (source.size() > kMaxTemplateBytes) {
    fail(ErrorCode::kInvalidInput, compiled->name, ": a template of ", source.size(),
         " bytes is more than the allowed ", kMaxTemplateBytes);
  }
  try {
    compiled->tree = jinja::parse(source);
    jinja::resolve_scopes(compiled->tree);
  } catch (const jinja::SyntaxError& e) {
    throw TemplateError(e.code, compiled->name, e.what(), static_cast<int>(e.at.line),
                        static_cast<int>(e.at.column));
  }
  return compiled;
}

ChatTemplate ChatTemplate::from_source(std::string source, std::string name) {
  ChatTemplate out;
  out.template_ = compile(source, std::move(name));
  return out;
}

ChatTemplate ChatTemplate::load(const std::string& path) {
  if (is_directory(path) || is_k1pack(path)) return load(open_model_files(path));
  return from_source(read_file(path, kMaxTemplateBytes), path);
}

ChatTemplate ChatTemplate::load(const NamedFiles& files) {
  const json::value config = read_config(files);
  const Sources sources = read_sources(files, config);
  ChatTemplate out = from_source(sources.main, sources.name);
  if (!sources.with_tools.empty()) {
    out.with_tools_ = compile(sources.with_tools, sources.name + " (tool_use)");
  }
  out.defaults_ = special_tokens(config.get_object());
  return out;
}

bool ChatTemplate::is_in(const NamedFiles& files) {
  return files.contains(kJinjaFile) || files.contains(kLegacyFile) ||
         field_of(read_config(files)) != nullptr;
}

std::string ChatTemplate::render(const json::object& variables) const {
  const json::value* tools = variables.if_contains("tools");
  const Compiled& used = with_tools_ && tools && !tools->is_null() ? *with_tools_ : *template_;
  try {
    return jinja::render(used.tree, variables, defaults_, now_ ? now_ : local_now);
  } catch (const jinja::RenderError& e) {
    throw TemplateError(ErrorCode::kInvalidInput, used.name, e.what(), static_cast<int>(e.at.line),
                        static_cast<int>(e.at.column));
  }
}

bool ChatTemplate::mentions(std::string_view variable) const {
  const std::string name(variable);
  return template_->tree.free_names.contains(name) ||
         (with_tools_ && with_tools_->tree.free_names.contains(name));
}

}  // namespace axk1
