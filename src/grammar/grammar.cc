#include "grammar/grammar.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/utf8.h"
#include "grammar/json_schema.h"

namespace axk1 {

uint32_t ObjectTable::child(uint32_t trie_node, uint32_t code_point) const {
  const auto& children = trie[trie_node].children;
  const auto at = std::lower_bound(children.begin(), children.end(), std::pair(code_point, 0u));
  return at != children.end() && at->first == code_point ? at->second : UINT32_MAX;
}

NodeId ObjectTable::other_value(std::string_view key) const {
  uint32_t state = 0;
  while (!key.empty()) {
    const Utf8Char c = decode_utf8(key);
    key.remove_prefix(c.length);
    // Ranges cover all characters.
    for (const TextDfa::Range& range : pattern_states[state].ranges) {
      if (c.code_point > range.hi) continue;
      state = range.to;
      break;
    }
  }
  return pattern_values[state];
}

// Numbers the nodes as they are reached, then finds which values are possible at all.
class Grammar::Builder {
 public:
  Builder(Grammar& grammar, NodeStore& nodes) : grammar_(grammar), nodes_(nodes) {}

  void run(NodeId root) {
    new_id(root);
    for (size_t i = 0; i < order_.size(); ++i) add_node(nodes_.get(order_[i]));
    find_depths();
    for (ArrayTable& array : grammar_.arrays_) finish(array);
    for (ObjectTable& object : grammar_.objects_) finish(object);
    if (grammar_.nodes_[0].depth == kNoDepth) {
      throw EmptySchema("schema: no value at all satisfies it");
    }
    if (grammar_.nodes_[0].depth > kMaxJsonDepth) {
      fail(ErrorCode::kInvalidInput, "schema: its values are nested deeper than ", kMaxJsonDepth);
    }
  }

 private:
  static constexpr size_t kMaxTableEntries = 4'000'000;

  NodeId new_id(NodeId old) {
    const auto [at, is_new] = ids_.try_emplace(old, order_.size());
    if (is_new) order_.push_back(old);
    return at->second;
  }

  void add_node(const Node& node) {
    NodeTable table;
    table.null_value = node.null_value;
    table.true_value = node.true_value;
    table.false_value = node.false_value;
    for (const StringRule& rule : node.strings) {
      if (is_empty(rule)) continue;
      table.strings.push_back(static_cast<uint32_t>(grammar_.strings_.size()));
      grammar_.strings_.push_back(string_table(rule));
    }
    for (const NumberRule& rule : node.numbers) {
      if (rule.empty()) continue;
      table.numbers.push_back(static_cast<uint32_t>(grammar_.numbers_.size()));
      grammar_.numbers_.push_back(rule);
    }
    for (const ArrayRule& rule : node.arrays) {
      table.arrays.push_back(static_cast<uint32_t>(grammar_.arrays_.size()));
      ArrayTable array;
      for (NodeId item : rule.prefix) array.prefix.push_back(new_id(item));
      array.rest = new_id(rule.rest);
      array.min = rule.min;
      array.max = rule.max;
      grammar_.arrays_.push_back(std::move(array));
    }
    for (const ObjectRule& rule : node.objects) {
      table.objects.push_back(static_cast<uint32_t>(grammar_.objects_.size()));
      grammar_.objects_.push_back(object_table(rule));
    }
    grammar_.nodes_.push_back(std::move(table));
  }

  static StringTable string_table(const StringRule& rule) {
    StringTable table;
    table.texts = rule.texts;
    table.min = rule.min;
    table.max = rule.max;
    if (rule.texts && rule.max != kNoMax) {
      table.lengths = std::make_shared<LengthTable>(*rule.texts, rule.max);
      table.room = longest_of_shortest(*rule.texts);
    } else if (rule.texts && rule.min > 0) {
      table.longest = longest_lengths(*rule.texts);
    }
    return table;
  }

  ObjectTable object_table(const ObjectRule& rule) {
    ObjectTable table;
    std::set<std::string> names(rule.required.begin(), rule.required.end());
    for (const ObjectPart& part : rule.parts) {
      for (const auto& [key, value] : part.properties) names.insert(key);
    }
    table.names.assign(names.begin(), names.end());
    if (rule.in_order) table.names = rule.order;
    for (const std::string& name : table.names) {
      table.name_values.push_back(new_id(nodes_.value_node(rule, name)));
      table.required.push_back(rule.required.contains(name));
    }
    table.num_required = static_cast<uint32_t>(rule.required.size());
    table.min = rule.min;
    table.max = rule.max;
    table.in_order = rule.in_order;
    add_trie(table);
    add_patterns(table, rule);
    entries_ += table.trie.size() + table.pattern_states.size();
    if (entries_ > kMaxTableEntries) {
      fail(ErrorCode::kInvalidInput, "schema: its property names are too many");
    }
    return table;
  }

  // Names ascend by bytes, and so by code points: those with one beginning lie side by side. (In
  // order, ranges are not used.)
  static void add_trie(ObjectTable& table) {
    table.trie.emplace_back();
    for (uint32_t i = 0; i < table.names.size(); ++i) {
      uint32_t at = 0;
      const auto enter = [&](uint32_t node) {
        ObjectTable::TrieNode& entered = table.trie[node];
        if (entered.last == 0) entered.first = i;
        entered.last = i + 1;
        at = node;
      };
      enter(0);
      for (std::string_view rest = table.names[i]; !rest.empty();) {
        const Utf8Char c = decode_utf8(rest);
        rest.remove_prefix(c.length);
        uint32_t to = table.child(at, c.code_point);
        if (to == UINT32_MAX) {
          to = static_cast<uint32_t>(table.trie.size());
          auto& children = table.trie[at].children;
          const std::pair<uint32_t, uint32_t> link(c.code_point, to);
          children.insert(std::lower_bound(children.begin(), children.end(), link), link);
          table.trie.emplace_back();
        }
        enter(to);
      }
      table.trie[at].name = static_cast<int32_t>(i);
    }
  }

  void add_patterns(ObjectTable& table, const ObjectRule& rule) {
    std::vector<const TextDfa*> patterns;
    for (const ObjectPart& part : rule.parts) {
      for (const auto& [pattern, value] : part.patterns) patterns.push_back(pattern.get());
    }
    if (rule.in_order || patterns.empty()) {
      table.pattern_states.push_back({{{0, kMaxCodePoint, 0}}, true});
      std::vector<NodeId> rests;
      for (const ObjectPart& part : rule.parts) rests.push_back(part.rest);
      const NodeId value = rule.in_order ? kNothingNode : nodes_.intersection(rests);
      table.pattern_values.push_back(new_id(value));
      return;
    }
    SideBySide all = side_by_side(patterns);
    std::map<std::vector<bool>, NodeId> values;
    for (const std::vector<bool>& accepts : all.accepts_by_state) {
      const auto [at, is_new] = values.try_emplace(accepts, 0);
      if (is_new) {
        std::vector<NodeId> nodes;
        size_t i = 0;
        for (const ObjectPart& part : rule.parts) {
          bool matched = false;
          for (const auto& [pattern, value] : part.patterns) {
            if (!accepts[i++]) continue;
            matched = true;
            nodes.push_back(value);
          }
          if (!matched) nodes.push_back(part.rest);
        }
        at->second = new_id(nodes_.intersection(nodes));
      }
      table.pattern_values.push_back(at->second);
    }
    table.pattern_states = std::move(all.states);
  }

  uint32_t depth_of(NodeId id) const { return grammar_.nodes_[id].depth; }
  static uint32_t deeper(uint32_t depth) { return depth == kNoDepth ? kNoDepth : depth + 1; }

  uint32_t depth_of(const ArrayTable& array) const {
    uint32_t depth = 0;
    if (array.min > array.max) return kNoDepth;
    for (uint32_t i = 0; i < array.min; ++i) {
      depth = std::max(depth, depth_of(i < array.prefix.size() ? array.prefix[i] : array.rest));
      if (i >= array.prefix.size()) break;
    }
    return deeper(depth);
  }

  uint32_t depth_of(const ObjectTable& object) const {
    uint32_t depth = 0;
    for (size_t i = 0; i < object.names.size(); ++i) {
      if (object.required[i]) depth = std::max(depth, depth_of(object.name_values[i]));
    }
    if (depth == kNoDepth || object.num_required > object.max || object.min > object.max) {
      return kNoDepth;
    }
    if (object.min > object.num_required) {
      // The keys with the least deep values make up the number.
      std::vector<uint32_t> depths;
      for (size_t i = 0; i < object.names.size(); ++i) {
        if (!object.required[i]) depths.push_back(depth_of(object.name_values[i]));
      }
      const size_t more = object.min - object.num_required;
      const std::vector<uint32_t> others = depths_of_other_keys(object, more);
      depths.insert(depths.end(), others.begin(), others.end());
      if (depths.size() < more) return kNoDepth;
      std::nth_element(depths.begin(), depths.begin() + static_cast<ptrdiff_t>(more) - 1,
                       depths.end());
      depth = std::max(depth, depths[more - 1]);
    }
    return deeper(depth);
  }

  // Of up to `most` keys that are no names. Where there are many, the least deep value counts for
  // all: looser than the truth only where few keys have it and the rest are deeper.
  std::vector<uint32_t> depths_of_other_keys(const ObjectTable& object, size_t most) const {
    std::vector<uint32_t> out;
    const std::shared_ptr<const TextDfa> others = possible_others(object);
    if (!others) return out;
    if (others->num_texts(0) >= TextDfa::kMany) {
      uint32_t best = kNoDepth;
      for (NodeId value : object.pattern_values) best = std::min(best, depth_of(value));
      out.assign(most, best);
      return out;
    }
    for (const std::string& key : others->texts_from(0, most + object.names.size())) {
      const bool is_name =
          std::find(object.names.begin(), object.names.end(), key) != object.names.end();
      if (!is_name && out.size() < most) out.push_back(depth_of(object.other_value(key)));
    }
    return out;
  }

  // As far as depths are known.
  std::shared_ptr<const TextDfa> possible_others(const ObjectTable& object) const {
    std::vector<TextDfa::State> states = object.pattern_states;
    for (size_t s = 0; s < states.size(); ++s) {
      states[s].accepts = depth_of(object.pattern_values[s]) != kNoDepth;
    }
    auto others = std::make_shared<const TextDfa>(std::move(states));
    return others->empty() ? nullptr : others;
  }

  // The least depths: falling from "none" until nothing changes.
  void find_depths() {
    for (NodeTable& node : grammar_.nodes_) {
      const bool scalar = node.null_value || node.true_value || node.false_value ||
                          !node.strings.empty() || !node.numbers.empty();
      node.depth = scalar ? 0 : kNoDepth;
    }
    for (bool changed = true; changed;) {
      changed = false;
      for (NodeTable& node : grammar_.nodes_) {
        if (node.depth == 0) continue;
        uint32_t depth = node.depth;
        for (uint32_t i : node.arrays) depth = std::min(depth, depth_of(grammar_.arrays_[i]));
        for (uint32_t i : node.objects) depth = std::min(depth, depth_of(grammar_.objects_[i]));
        if (depth < node.depth) {
          node.depth = depth;
          changed = true;
        }
      }
    }
  }

  void finish(ArrayTable& array) const {
    array.depth = depth_of(array);
    const auto possible = [&](NodeId id) { return depth_of(id) != kNoDepth; };
    for (uint32_t i = 0; i < array.prefix.size(); ++i) {
      if (!possible(array.prefix[i])) array.max = std::min(array.max, i);
    }
    if (!possible(array.rest)) {
      array.max = std::min(array.max, static_cast<uint32_t>(array.prefix.size()));
    }
  }

  void finish(ObjectTable& object) const {
    object.depth = depth_of(object);
    object.others = possible_others(object);
  }

  Grammar& grammar_;
  NodeStore& nodes_;
  std::map<NodeId, NodeId> ids_;
  std::vector<NodeId> order_;
  size_t entries_ = 0;
};

Grammar::Grammar(NodeStore& nodes, NodeId root) {
  Builder(*this, nodes).run(root);
}

}  // namespace axk1
