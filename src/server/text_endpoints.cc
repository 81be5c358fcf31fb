#include "server/text_endpoints.h"

#include <algorithm>
#include <ctime>

#include "server/answer_rules.h"
#include "server/api_error.h"
#include "server/chat_messages.h"
#include "server/sampling_fields.h"
#include "server/token_json.h"

namespace axk1 {
namespace {

json::object chat_variables(const json::ObjectReader& reader) {
  json::object variables = read_chat_variables(reader);
  normalise_messages(variables);
  apply_rules(read_chat_rules(reader), variables);
  if (reader.find("add_generation_prompt")) {
    variables["add_generation_prompt"] = reader.bool_or("add_generation_prompt", true);
  }
  return variables;
}

std::string utc_time(int64_t seconds) {
  const std::time_t time = seconds;
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts));
}

json::object entry(const ServedModel& model, const std::string& name) {
  json::object out;
  out["id"] = name;
  out["object"] = "model";
  out["created"] = model.created;
  out["owned_by"] = "axk1";
  out["root"] = model.names.front();
  out["max_model_len"] = model.context_length;
  out["type"] = "model";
  out["display_name"] = name;
  out["created_at"] = utc_time(model.created);
  json::object meta{{"n_vocab", model.vocab_size}};
  if (!model.tokenizer_hash.empty()) meta["tokenizer_hash"] = model.tokenizer_hash;
  out["meta"] = std::move(meta);
  return out;
}

}  // namespace

json::object tokenize(const json::value& body, const ServedModel& model) {
  const json::ObjectReader reader(body, "request");
  check_model_name(reader, model);
  const Tokenizer& tokenizer = model.require_tokenizer();
  std::vector<TokenId> ids;
  if (reader.find("messages")) {
    ids = render_prompt(model, chat_variables(reader)).ids;
  } else {
    const char* field = reader.find("content") ? "content" : "prompt";
    const char* special = reader.find("add_special") ? "add_special" : "add_special_tokens";
    ids = tokenizer.encode(reader.get_string(field),
                           {.parse_special = reader.bool_or("parse_special", true),
                            .add_special = reader.bool_or(special, false)});
  }
  json::object out;
  out["count"] = ids.size();
  out["max_model_len"] = model.context_length;
  json::array list, texts;
  for (const TokenId id : ids) list.push_back(id);
  out["tokens"] = std::move(list);
  if (reader.bool_or("return_token_strs", false) || reader.bool_or("with_pieces", false)) {
    for (const TokenId id : ids) texts.push_back(json::value(token_text(tokenizer, id)));
    out["token_strs"] = std::move(texts);
  }
  return out;
}

json::object detokenize(const json::value& body, const ServedModel& model) {
  const json::ObjectReader reader(body, "request");
  check_model_name(reader, model);
  const std::string text =
      model.require_tokenizer().decode(read_token_ids(reader, "tokens", reader.get("tokens")));
  json::object out;
  out["prompt"] = text;
  out["content"] = text;
  return out;
}

json::object apply_template(const json::value& body, const ServedModel& model) {
  const json::ObjectReader reader(body, "request");
  check_model_name(reader, model);
  json::object out;
  out["prompt"] = render_text(model, chat_variables(reader));
  return out;
}

json::object models_json(const ServedModel& model) {
  json::object out;
  out["object"] = "list";
  json::array data;
  for (const std::string& name : model.names) data.push_back(entry(model, name));
  out["data"] = std::move(data);
  out["has_more"] = false;
  out["first_id"] = model.names.front();
  out["last_id"] = model.names.back();
  return out;
}

json::object model_json(const ServedModel& model, std::string_view name) {
  if (std::find(model.names.begin(), model.names.end(), name) == model.names.end()) {
    throw ApiError(404, "model_not_found",
                   cat("The model \"", printable(name), "\" does not exist here"),
                   {.param = "model"});
  }
  return entry(model, std::string(name));
}

}  // namespace axk1
