#include "grammar/grammar.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/utf8.h"
#include "grammar/json_schema.h"
#include "grammar/mask_cache.h"

namespace axk1 {

uint32_t ObjectTable::child(uint32_t trie_node, uint32_t code_point) const {
  const auto& children = trie[trie_node].children;
  const auto at = std::lower_bound(children.begin(), children.end(), std::pair(code_point, 0u));
  return at != children.end() && at->first == code_point ? at->second : UINT32_MAX;
}

uint32_t ObjectTable::next_key_state(uint32_t state, uint32_t code_point) const {
  for (const TextDfa::Range& range : key_states[state].ranges) {
    if (code_point <= range.hi) return range.to;
  }
  return 0;
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
    StringTable table{rule.texts, rule.min, rule.max, nullptr, {}};
    if (rule.texts && rule.max != kNoMax) {
      table.lengths = std::make_shared<LengthTable>(*rule.texts, rule.max);
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
    add_key_states(table, rule);
    entries_ += table.trie.size() + table.key_states.size();
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

  void add_key_states(ObjectTable& table, const ObjectRule& rule) {
    std::vector<const TextDfa*> patterns;
    for (const ObjectPart& part : rule.parts) {
      for (const auto& [pattern, value] : part.patterns) patterns.push_back(pattern.get());
    }
    if (rule.in_order || patterns.empty()) {
      table.key_states.push_back({{{0, kMaxCodePoint, 0}}, true});
      std::vector<NodeId> rests;
      for (const ObjectPart& part : rule.parts) rests.push_back(part.rest);
      const NodeId value = rule.in_order ? kNothingNode : nodes_.intersection(rests);
      table.key_values.push_back(new_id(value));
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
      table.key_values.push_back(at->second);
    }
    table.key_states = std::move(all.states);
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

  // Of up to `most` keys that are no names. With an infinite automaton the least deep value counts
  // for all: looser than the truth only where few keys have it and the rest are deeper.
  std::vector<uint32_t> depths_of_other_keys(const ObjectTable& object, size_t most) const {
    std::vector<uint32_t> out;
    uint32_t best = kNoDepth;
    for (NodeId value : object.key_values) best = std::min(best, depth_of(value));
    if (best == kNoDepth) return out;
    const ObjectTable checked = with_live_keys(object);
    if (checked.key_infinite[0]) {
      out.assign(most, best);
      return out;
    }
    for (uint32_t value : finite_key_values(checked, most)) out.push_back(depth_of(value));
    return out;
  }

  static std::vector<NodeId> finite_key_values(const ObjectTable& object, size_t most) {
    std::vector<NodeId> out;
    std::vector<std::pair<uint32_t, uint32_t>> level{{0, 0}};  // key state, trie node
    while (!level.empty() && out.size() < most) {
      std::vector<std::pair<uint32_t, uint32_t>> deeper;
      for (const auto& [state, node] : level) {
        const bool is_name = node != UINT32_MAX && object.trie[node].name >= 0;
        if (object.key_states[state].accepts && !is_name) out.push_back(object.key_values[state]);
        for (const TextDfa::Range& range : object.key_states[state].ranges) {
          if (!object.key_live[range.to]) continue;
          for (uint32_t c = range.lo; c <= range.hi && deeper.size() <= most; ++c) {
            deeper.emplace_back(range.to, node == UINT32_MAX ? node : object.child(node, c));
          }
        }
      }
      level = std::move(deeper);
    }
    return out;
  }

  // With `accepts` of key states set to whether a value is possible, and live and infinite found.
  ObjectTable with_live_keys(ObjectTable object) const {
    const size_t n = object.key_states.size();
    for (size_t s = 0; s < n; ++s) {
      object.key_states[s].accepts = depth_of(object.key_values[s]) != kNoDepth;
    }
    object.key_live.assign(n, false);
    object.key_infinite.assign(n, false);
    std::vector<std::vector<uint32_t>> sources(n);
    std::vector<uint32_t> work;
    for (uint32_t s = 0; s < n; ++s) {
      for (const TextDfa::Range& range : object.key_states[s].ranges) {
        sources[range.to].push_back(s);
      }
      if (object.key_states[s].accepts) {
        object.key_live[s] = true;
        work.push_back(s);
      }
    }
    for (; !work.empty();) {
      const uint32_t s = work.back();
      work.pop_back();
      for (uint32_t from : sources[s]) {
        if (object.key_live[from]) continue;
        object.key_live[from] = true;
        work.push_back(from);
      }
    }
    // Live states that are left when those leading to no other live state are taken away, again and
    // again, have a loop before them.
    std::vector<size_t> targets(n);
    for (uint32_t s = 0; s < n; ++s) {
      if (!object.key_live[s]) continue;
      object.key_infinite[s] = true;
      for (const TextDfa::Range& range : object.key_states[s].ranges) {
        targets[s] += object.key_live[range.to];
      }
      if (targets[s] == 0) work.push_back(s);
    }
    while (!work.empty()) {
      const uint32_t s = work.back();
      work.pop_back();
      object.key_infinite[s] = false;
      for (uint32_t from : sources[s]) {
        if (object.key_live[from] && --targets[from] == 0) work.push_back(from);
      }
    }
    return object;
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
    object = with_live_keys(std::move(object));
  }

  Grammar& grammar_;
  NodeStore& nodes_;
  std::map<NodeId, NodeId> ids_;
  std::vector<NodeId> order_;
  size_t entries_ = 0;
};

Grammar::Grammar(NodeStore& nodes, NodeId root) : masks_(std::make_unique<MaskCache>()) {
  Builder(*this, nodes).run(root);
}

Grammar::~Grammar() = default;

}  // namespace axk1
