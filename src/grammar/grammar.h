// A compiled schema: tables that a matcher runs on.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/schema_node.h"

namespace axk1 {

// Values may nest so deep, as io/json.h reads them.
inline constexpr uint32_t kMaxJsonDepth = 256;

struct StringTable {
  std::shared_ptr<const TextDfa> texts;  // null: all
  uint32_t min = 0, max = kNoMax;
  std::shared_ptr<const LengthTable> lengths;  // with texts and max
  std::vector<uint32_t> longest;               // by state, with texts and min but no max
  uint32_t room =
      0;  // with lengths: where so many code points are left, min apart, all is possible

  // Whether a string of `length` code points so far, in `state`, can still become one of the rule.
  bool possible(uint32_t state, uint32_t length) const {
    if (length > max) return false;
    if (!texts) return true;
    const uint32_t least = min > length ? min - length : 0;
    if (lengths) return lengths->possible(state, least, max - length);
    return least == 0 || longest[state] >= least;
  }
  bool accepts(uint32_t state, uint32_t length) const {
    return length >= min && length <= max && (!texts || texts->accepts(state));
  }
};

struct ArrayTable {
  std::vector<NodeId> prefix;
  NodeId rest = kNothingNode;
  uint32_t min = 0, max = kNoMax;  // max: no item behind it is possible
  uint32_t depth = 1;              // levels that the least deep value needs

  NodeId item(uint32_t i) const {
    if (i >= max) return kNothingNode;
    return i < prefix.size() ? prefix[i] : rest;
  }
};

// Keys of an object. Names are those of properties and required, ascending.
struct ObjectTable {
  struct TrieNode {
    std::vector<std::pair<uint32_t, uint32_t>> children;  // code point, node; ascending
    int32_t name = -1;                                    // that ends here
    uint32_t first = 0, last = 0;                         // names that begin so: [first, last)
  };
  std::vector<std::string> names;
  std::vector<NodeId> name_values;  // kNothingNode where no value is possible
  std::vector<bool> required;       // by name
  std::vector<TrieNode> trie;       // 0: the root

  // Keys that are no names and may have a value; null when there are none. (Names may be among
  // them.)
  std::shared_ptr<const TextDfa> others;
  // Which value: by the state in which these automata of patterns end.
  std::vector<TextDfa::State> pattern_states;
  std::vector<NodeId> pattern_values;

  uint32_t num_required = 0;
  uint32_t min = 0, max = kNoMax;
  bool in_order = false;
  uint32_t depth = 1;

  uint32_t child(uint32_t trie_node, uint32_t code_point) const;  // UINT32_MAX when there is none
  NodeId other_value(std::string_view key) const;
};

struct NodeTable {
  bool null_value = false, true_value = false, false_value = false;
  std::vector<uint32_t> strings, numbers, arrays, objects;  // rules of the grammar
  uint32_t depth = 0;  // levels that the least deep value needs; UINT32_MAX when there is no value
};

class Grammar {
 public:
  static constexpr uint32_t kNoDepth = UINT32_MAX;

  // Takes what `root` reaches. Throws EmptySchema (json_schema.h) when it accepts nothing.
  Grammar(NodeStore& nodes, NodeId root);

  NodeId root() const { return 0; }
  const NodeTable& node(NodeId id) const { return nodes_[id]; }
  const StringTable& string(uint32_t i) const { return strings_[i]; }
  const NumberRule& number(uint32_t i) const { return numbers_[i]; }
  const ArrayTable& array(uint32_t i) const { return arrays_[i]; }
  const ObjectTable& object(uint32_t i) const { return objects_[i]; }
  size_t num_nodes() const { return nodes_.size(); }

 private:
  class Builder;

  std::vector<NodeTable> nodes_;
  std::vector<StringTable> strings_;
  std::vector<NumberRule> numbers_;
  std::vector<ArrayTable> arrays_;
  std::vector<ObjectTable> objects_;
};

}  // namespace axk1
