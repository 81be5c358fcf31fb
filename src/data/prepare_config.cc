#include "data/prepare_config.h"

#include <algorithm>
#include <initializer_list>
#include <set>

#include "base/error.h"

namespace axk1 {
namespace {

using json::ObjectReader;

void refuse_unknown(const ObjectReader& fields, std::initializer_list<std::string_view> known) {
  for (const auto& [name, value] : fields.fields()) {
    const std::string_view key(name.data(), name.size());
    if (std::ranges::find(known, key) != known.end()) continue;
    std::string names;
    for (std::string_view one : known) names += cat(names.empty() ? "" : ", ", one);
    fail(ErrorCode::kInvalidInput, fields.source(), ": found the field \"", printable(key, 40),
         "\", expected one of ", names);
  }
}

double get_share(const ObjectReader& fields, std::string_view name, double absent) {
  const double value = fields.number_or(name, absent);
  if (!(value >= 0 && value <= 1)) fields.wrong(name, *fields.find(name), "a number from 0 to 1");
  return value;
}

// One may stand without brackets.
std::vector<std::string> get_strings(const ObjectReader& fields, std::string_view name) {
  std::vector<std::string> texts;
  const json::value* list = fields.find(name);
  if (!list) return texts;
  if (list->is_string()) return {std::string(list->get_string())};
  if (!list->is_array()) fields.wrong(name, *list, "a string or an array of strings");
  for (const json::value& value : list->get_array()) {
    if (!value.is_string()) fields.wrong(name, value, "a string");
    texts.emplace_back(value.get_string());
  }
  return texts;
}

std::string in_folder(const std::string& path, const std::string& folder) {
  return path.starts_with('/') || folder.empty() ? path : cat(folder, "/", path);
}

bool is_plain_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
}

PrepareSource read_source(const json::value& value, const std::string& place,
                          const std::string& folder) {
  const ObjectReader fields(value, place);
  refuse_unknown(fields, {"name", "files", "weight", "chat", "fields", "unit", "min_chars",
                          "max_chars", "languages", "min_hangul", "max_hangul"});
  PrepareSource source;
  source.name = fields.get_string("name");
  if (!is_plain_name(source.name)) {
    fields.wrong("name", fields.get("name"), "letters, digits, '-' and '_'");
  }
  for (const std::string& path : get_strings(fields, "files")) {
    source.files.push_back(in_folder(path, folder));
  }
  if (source.files.empty()) fields.refuse("files", "names no file");
  source.weight = fields.number_or("weight", 1);
  if (!(source.weight > 0 && source.weight < 1e9)) {
    fields.wrong("weight", fields.get("weight"), "a number above 0");
  }
  source.chat = fields.bool_or("chat", false);
  source.fields = get_strings(fields, "fields");
  if (source.chat && !source.fields.empty()) fields.refuse("fields", "has no meaning with chat");
  const std::string unit = fields.string_or("unit", "file");
  if (unit == "paragraph") {
    source.unit = TextUnit::kParagraphs;
  } else if (unit == "line") {
    source.unit = TextUnit::kLines;
  } else if (unit != "file") {
    fields.wrong("unit", fields.get("unit"), "file, paragraph or line");
  }
  constexpr int64_t kMost = int64_t{1} << 40;
  source.min_chars = static_cast<uint64_t>(fields.int_or("min_chars", 1, 1, kMost));
  source.max_chars = static_cast<uint64_t>(fields.int_or("max_chars", kMost, 1, kMost));
  source.languages = get_strings(fields, "languages");
  source.min_hangul = get_share(fields, "min_hangul", 0);
  source.max_hangul = get_share(fields, "max_hangul", 1);
  return source;
}

}  // namespace

PrepareConfig read_prepare_config(const json::value& value, const std::string& source,
                                  const std::string& folder) {
  const ObjectReader fields(value, source);
  refuse_unknown(fields, {"tokenizer", "end_token", "held_out", "shard_tokens", "drop_duplicates",
                          "near_duplicate_similarity", "sources"});
  PrepareConfig config;
  config.tokenizer = in_folder(fields.get_string("tokenizer"), folder);
  config.end_token = fields.string_or("end_token", config.end_token);
  config.held_out = get_share(fields, "held_out", config.held_out);
  config.shard_tokens = static_cast<uint64_t>(fields.int_or(
      "shard_tokens", static_cast<int64_t>(config.shard_tokens), 1, int64_t{1} << 36));
  config.drop_duplicates = fields.bool_or("drop_duplicates", true);
  config.near_duplicate_similarity =
      get_share(fields, "near_duplicate_similarity", config.near_duplicate_similarity);
  const json::value& sources = fields.get("sources");
  if (!sources.is_array() || sources.get_array().empty()) {
    fields.wrong("sources", sources, "an array of one or more");
  }
  std::set<std::string> names;
  for (const json::value& one : sources.get_array()) {
    const std::string place = cat(source, ": sources[", config.sources.size(), "]");
    config.sources.push_back(read_source(one, place, folder));
    if (!names.insert(config.sources.back().name).second) {
      fail(ErrorCode::kInvalidInput, place, ": a second source named \"",
           config.sources.back().name, "\"");
    }
  }
  return config;
}

}  // namespace axk1
