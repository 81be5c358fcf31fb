#include "tokenizer/merge_list.h"

#include "base/error.h"

namespace axk1 {

void read_json_vocabulary(const json::value& table, const std::string& source,
                          Vocabulary& vocabulary) {
  const json::ObjectReader entries(table, source);
  for (const auto& [text, id] : entries.fields()) {
    if (!id.is_int64()) {
      fail(ErrorCode::kInvalidInput, source, ": token \"", printable(std::string_view(text)),
           "\": found ", json::kind_name(id), ", expected an integer id");
    }
    vocabulary.add(std::string_view(text), id.get_int64(), source);
  }
}

TokenId MergeBuilder::need(std::string_view text) const {
  const auto id = vocabulary_.find(text);
  if (!id) {
    fail(ErrorCode::kInvalidInput, source_, ": merge ", merges_.size(), " names \"",
         printable(text), "\", which the vocabulary does not have");
  }
  return *id;
}

void MergeBuilder::add(std::string_view left, std::string_view right) {
  const TokenId left_id = need(left), right_id = need(right);
  const std::string merged = cat(left, right.substr(std::min(prefix_bytes_, right.size())));
  merges_.push_back({left_id, right_id, need(merged), static_cast<uint32_t>(merges_.size())});
}

void MergeBuilder::add(std::string_view line, size_t from) {
  const size_t blank = line.find(' ', from);
  if (blank == std::string_view::npos || line.find(' ', blank + 1) != std::string_view::npos) {
    fail(ErrorCode::kInvalidInput, source_, ": merge ", merges_.size(), " is \"", printable(line),
         "\", expected two tokens with a blank between");
  }
  add(line.substr(0, blank), line.substr(blank + 1));
}

}  // namespace axk1
