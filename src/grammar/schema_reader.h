// JSON schemas to nodes: draft 2020-12, and the spellings of drafts 4, 6, 7 and 2019-09.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/schema_node.h"
#include "io/json.h"

namespace axk1 {

// Reads the schemas of one document. `document` and `nodes` must outlive it, and it the working out
// of the nodes. Nodes throw UnsupportedSchema and Error(kInvalidInput) when they are worked out.
class SchemaReader {
 public:
  SchemaReader(const json::value& document, NodeStore& nodes);

  NodeId root() { return node_of(*document_); }

 private:
  enum class Draft { k4, k6To7, k2019AndLater };
  using Object = json::object;

  NodeId node_of(const json::value& schema);
  Node read(const json::value& schema);
  Node read_object(const Object& schema);
  void check_keywords(const Object& schema) const;
  Node read_kinds(const Object& schema);
  StringRule read_string(const Object& schema) const;
  std::vector<NumberRule> read_numbers(const Object& schema, bool integers_only) const;
  std::vector<ArrayRule> read_array(const Object& schema);
  ObjectRule read_rule(const Object& schema);
  std::vector<Node> read_applicators(const Object& schema);
  Node read_one_of(const json::array& schemas);
  void read_dependencies(const Object& schema, std::vector<Node>& all);
  Node values(const json::array& list);
  Node value(const json::value& v);
  Node united(const json::array& schemas, std::string_view keyword);
  const json::value& resolve(std::string_view reference);
  const json::value& resolve_anchor(std::string_view name, std::string_view reference);

  const json::value* document_;
  NodeStore* nodes_;
  Draft draft_ = Draft::k2019AndLater;
  bool says_annotations_ = false;                     // $schema names 2019-09 or later
  std::string base_;                                  // the document's own URI, without a fragment
  bool checked_uris_ = false, has_own_uris_ = false;  // schemas inside have URIs of their own
  std::map<const json::value*, NodeId> known_;
};

}  // namespace axk1
