#include "grammar/schema_node.h"

#include <algorithm>
#include <iterator>

#include "base/error.h"

namespace axk1 {
namespace {

constexpr size_t kMaxNodes = 50000;
constexpr size_t kMaxRules = 500;       // of one kind in one node
constexpr size_t kMaxWork = 2'000'000;  // pairs of rules
constexpr size_t kMaxEmptyDepth = 60, kMaxEmptyWork = 200'000;

StringRule intersect_rules(const StringRule& a, const StringRule& b) {
  StringRule out;
  out.min = std::max(a.min, b.min);
  out.max = std::min(a.max, b.max);
  if (a.texts && b.texts && a.texts != b.texts) {
    out.texts = std::make_shared<TextDfa>(intersect(*a.texts, *b.texts));
  } else {
    out.texts = a.texts ? a.texts : b.texts;
  }
  return out;
}

std::vector<StringRule> complement_rule(const StringRule& rule) {
  std::vector<StringRule> out;
  if (rule.texts) {
    out.push_back({std::make_shared<TextDfa>(complement(*rule.texts)), 0, kNoMax});
  }
  if (rule.min > 0) out.push_back({nullptr, 0, rule.min - 1});
  if (rule.max != kNoMax) out.push_back({nullptr, rule.max + 1, kNoMax});
  return out;
}

std::vector<NumberRule> complement_rule(const NumberRule& rule) {
  std::vector<NumberRule> out;
  if (rule.plain) throw NodeStore::NotExact{"type"};
  if (rule.lo) {
    NumberRule below;
    below.hi = rule.lo;
    below.hi_open = !rule.lo_open;
    out.push_back(below);
  }
  if (rule.hi) {
    NumberRule above;
    above.lo = rule.hi;
    above.lo_open = !rule.hi_open;
    out.push_back(above);
  }
  if (rule.no_integers) {
    NumberRule integers;
    integers.step = Decimal{1, 0};
    out.push_back(integers);
  }
  if (rule.step) {
    if (compare(*rule.step, Decimal{1, 0}) != 0) throw NodeStore::NotExact{"multipleOf"};
    NumberRule others;
    others.no_integers = true;
    out.push_back(others);
  }
  return out;
}

}  // namespace

bool is_empty(const StringRule& rule) {
  if (rule.min > rule.max) return true;
  if (!rule.texts) return false;
  if (rule.texts->empty()) return true;
  if (rule.max != kNoMax)
    return !LengthTable(*rule.texts, rule.max).possible(0, rule.min, rule.max);
  return rule.min > 0 && longest_lengths(*rule.texts)[0] < rule.min;
}

Node any_value() {
  Node node;
  node.null_value = node.true_value = node.false_value = true;
  node.strings.emplace_back();
  node.numbers.emplace_back();
  node.arrays.emplace_back();
  node.objects.emplace_back();
  return node;
}

NodeStore::NodeStore() {
  add(any_value());
  add(Node());
}

NodeId NodeStore::add(std::function<Node()> make) {
  if (entries_.size() >= kMaxNodes) {
    fail(ErrorCode::kInvalidInput, "schema: it has, or its combinations make, more than ",
         kMaxNodes, " parts");
  }
  entries_.push_back({State::kWaiting, std::move(make), {}});
  return static_cast<NodeId>(entries_.size() - 1);
}

NodeId NodeStore::add(Node node) {
  const NodeId id = add(std::function<Node()>());
  check_size(node);
  entries_[id].node = std::move(node);
  entries_[id].state = State::kReady;
  return id;
}

const Node& NodeStore::get(NodeId id) {
  Entry& entry = entries_[id];
  if (entry.state == State::kRunning) throw NeedsItself{};
  if (entry.state == State::kWaiting) {
    entry.state = State::kRunning;
    try {
      entry.node = entry.make();
      check_size(entry.node);
    } catch (...) {
      entry.state = State::kWaiting;
      throw;
    }
    entry.state = State::kReady;
    entry.make = nullptr;
  }
  return entry.node;
}

void NodeStore::check_size(const Node& node) {
  for (size_t size :
       {node.strings.size(), node.numbers.size(), node.arrays.size(), node.objects.size()}) {
    if (size > kMaxRules) {
      fail(ErrorCode::kInvalidInput, "schema: more than ", kMaxRules,
           " alternatives of one kind in one place");
    }
  }
}

NodeId NodeStore::intersection(std::vector<NodeId> nodes) {
  std::vector<NodeId> atoms;
  for (NodeId node : nodes) {
    const auto found = members_.find(node);
    if (found == members_.end()) {
      if (node != kAnyNode) atoms.push_back(node);
    } else {
      atoms.insert(atoms.end(), found->second.begin(), found->second.end());
    }
  }
  std::sort(atoms.begin(), atoms.end());
  atoms.erase(std::unique(atoms.begin(), atoms.end()), atoms.end());
  if (atoms.empty()) return kAnyNode;
  if (atoms[0] == kNothingNode) return kNothingNode;
  if (atoms.size() == 1) return atoms[0];
  const auto [at, is_new] = intersections_.try_emplace(atoms, 0);
  if (is_new) {
    at->second = add([this, atoms] {
      Node node = get(atoms[0]);
      for (size_t i = 1; i < atoms.size(); ++i) node = intersect(node, get(atoms[i]));
      return node;
    });
    members_[at->second] = atoms;
  }
  return at->second;
}

NodeId NodeStore::complement_of(NodeId node) {
  if (node == kAnyNode) return kNothingNode;
  if (node == kNothingNode) return kAnyNode;
  const auto [at, is_new] = complements_.try_emplace(node, 0);
  if (is_new) {
    at->second = add([this, node] { return complement(get(node)); });
    complements_[at->second] = node;
  }
  return complements_[node];
}

Node NodeStore::intersect(const Node& a, const Node& b) {
  Node out;
  out.null_value = a.null_value && b.null_value;
  out.true_value = a.true_value && b.true_value;
  out.false_value = a.false_value && b.false_value;
  const auto pairs = [&](const auto& xs, const auto& ys, auto& result, auto&& both) {
    work_ += xs.size() * ys.size();
    if (work_ > kMaxWork) fail(ErrorCode::kInvalidInput, "schema: its combinations are too many");
    for (const auto& x : xs) {
      for (const auto& y : ys) {
        if (x.any()) {
          result.push_back(y);
        } else if (y.any()) {
          result.push_back(x);
        } else {
          both(x, y);
        }
      }
    }
  };
  pairs(a.strings, b.strings, out.strings, [&](const StringRule& x, const StringRule& y) {
    StringRule rule = intersect_rules(x, y);
    if (!is_empty(rule)) out.strings.push_back(std::move(rule));
  });
  pairs(a.numbers, b.numbers, out.numbers, [&](const NumberRule& x, const NumberRule& y) {
    const std::optional<NumberRule> rule = axk1::intersect(x, y);
    if (!rule) throw NotExact{"multipleOf"};
    if (!rule->empty()) out.numbers.push_back(*rule);
  });
  pairs(a.arrays, b.arrays, out.arrays, [&](const ArrayRule& x, const ArrayRule& y) {
    ArrayRule rule;
    rule.min = std::max(x.min, y.min);
    rule.max = std::min(x.max, y.max);
    for (size_t i = 0; i < std::max(x.prefix.size(), y.prefix.size()); ++i) {
      rule.prefix.push_back(intersection({x.item(i), y.item(i)}));
    }
    rule.rest = intersection({x.rest, y.rest});
    if (rule.min <= rule.max) out.arrays.push_back(std::move(rule));
  });
  pairs(a.objects, b.objects, out.objects, [&](const ObjectRule& x, const ObjectRule& y) {
    ObjectRule rule = x;
    rule.parts.insert(rule.parts.end(), y.parts.begin(), y.parts.end());
    rule.required.insert(y.required.begin(), y.required.end());
    rule.min = std::max(x.min, y.min);
    rule.max = std::min(x.max, y.max);
    if (rule.min <= rule.max && rule.required.size() <= rule.max) {
      out.objects.push_back(std::move(rule));
    }
  });
  check_size(out);
  return out;
}

Node NodeStore::unite(std::vector<Node> nodes) {
  Node out;
  const auto join = [](auto& to, auto& from) {
    for (auto& rule : from) {
      if (!to.empty() && to.front().any()) return;
      if (rule.any()) to.clear();
      to.push_back(std::move(rule));
    }
  };
  for (Node& node : nodes) {
    out.null_value |= node.null_value;
    out.true_value |= node.true_value;
    out.false_value |= node.false_value;
    join(out.strings, node.strings);
    join(out.numbers, node.numbers);
    join(out.arrays, node.arrays);
    join(out.objects, node.objects);
  }
  check_size(out);
  return out;
}

std::vector<ArrayRule> NodeStore::complement(const ArrayRule& rule) {
  std::vector<ArrayRule> out;
  if (rule.min > 0) out.push_back({{}, kAnyNode, 0, rule.min - 1});
  if (rule.max != kNoMax) out.push_back({{}, kAnyNode, rule.max + 1, kNoMax});
  for (size_t i = 0; i < rule.prefix.size() && i < rule.max; ++i) {
    if (rule.prefix[i] == kAnyNode) continue;
    ArrayRule wrong;
    wrong.prefix.assign(i, kAnyNode);
    wrong.prefix.push_back(complement_of(rule.prefix[i]));
    wrong.min = static_cast<uint32_t>(i) + 1;
    out.push_back(std::move(wrong));
  }
  if (rule.rest != kAnyNode && rule.prefix.size() < rule.max) {
    // "Some item behind the prefix is wrong": one rule for each place, where the places are few.
    constexpr uint32_t kMaxPlaces = 16;
    const auto first = static_cast<uint32_t>(rule.prefix.size());
    if (surely_empty(rule.rest)) {
      out.push_back({{}, kAnyNode, first + 1, kNoMax});
    } else if (rule.max != kNoMax && rule.max - first <= kMaxPlaces) {
      for (uint32_t i = first; i < rule.max; ++i) {
        ArrayRule wrong;
        wrong.prefix.assign(i, kAnyNode);
        wrong.prefix.push_back(complement_of(rule.rest));
        wrong.min = i + 1;
        out.push_back(std::move(wrong));
      }
    } else {
      throw NotExact{"items"};
    }
  }
  return out;
}

std::vector<ObjectRule> NodeStore::complement(const ObjectRule& rule) {
  std::vector<ObjectRule> out;
  if (rule.in_order) throw NotExact{"properties"};
  if (rule.min > 0) {
    ObjectRule fewer;
    fewer.max = rule.min - 1;
    out.push_back(fewer);
  }
  if (rule.max != kNoMax) {
    ObjectRule more;
    more.min = rule.max + 1;
    out.push_back(more);
  }
  for (const std::string& key : rule.required) {
    ObjectRule missing;
    missing.parts.emplace_back();
    missing.parts[0].properties[key] = kNothingNode;
    out.push_back(std::move(missing));
  }
  for (const ObjectPart& part : rule.parts) {
    if (!part.patterns.empty()) throw NotExact{"patternProperties"};
    for (const auto& [key, node] : part.properties) {
      if (node == kAnyNode) continue;
      ObjectRule wrong;
      wrong.required.insert(key);
      wrong.parts.emplace_back();
      wrong.parts[0].properties[key] = complement_of(node);
      out.push_back(std::move(wrong));
    }
    if (part.rest == kAnyNode) continue;
    // "Some other key": with no value allowed there, a matter of counting, when no key is named.
    if (!part.properties.empty() || !surely_empty(part.rest)) {
      throw NotExact{"additionalProperties"};
    }
    ObjectRule more;
    more.min = 1;
    out.push_back(more);
  }
  return out;
}

Node NodeStore::complement(const Node& a) {
  Node out = any_value();
  out.null_value = !a.null_value;
  out.true_value = !a.true_value;
  out.false_value = !a.false_value;
  // None of the rules: step by step, each step a union of what the rule leaves out.
  for (const StringRule& rule : a.strings) {
    Node step;
    step.strings = complement_rule(rule);
    out.strings = intersect(out, step).strings;
  }
  for (const NumberRule& rule : a.numbers) {
    Node step;
    step.numbers = complement_rule(rule);
    out.numbers = intersect(out, step).numbers;
  }
  for (const ArrayRule& rule : a.arrays) {
    Node step;
    step.arrays = complement(rule);
    out.arrays = intersect(out, step).arrays;
  }
  for (const ObjectRule& rule : a.objects) {
    Node step;
    step.objects = complement(rule);
    out.objects = intersect(out, step).objects;
  }
  return out;
}

NodeId NodeStore::value_node(const ObjectRule& rule, const std::string& key) {
  std::vector<NodeId> nodes;
  for (const ObjectPart& part : rule.parts) {
    bool matched = false;
    const auto found = part.properties.find(key);
    if (found != part.properties.end()) {
      nodes.push_back(found->second);
      matched = true;
    }
    for (const auto& [pattern, node] : part.patterns) {
      if (!pattern->accepts_text(key)) continue;
      nodes.push_back(node);
      matched = true;
    }
    if (!matched) nodes.push_back(part.rest);
  }
  return intersection(std::move(nodes));
}

bool NodeStore::surely_empty(const ArrayRule& rule) {
  for (size_t i = 0; i < rule.min && i <= rule.prefix.size(); ++i) {
    if (surely_empty(rule.item(i))) return true;
  }
  return rule.min > rule.max;
}

bool NodeStore::surely_empty(const ObjectRule& rule) {
  if (rule.min > rule.max || rule.required.size() > rule.max) return true;
  return std::any_of(rule.required.begin(), rule.required.end(),
                     [&](const std::string& key) { return surely_empty(value_node(rule, key)); });
}

bool NodeStore::surely_empty(const Node& node) {
  if (node.null_value || node.true_value || node.false_value) return false;
  const auto all_empty = [](const auto& rules, auto&& empty) {
    return std::all_of(rules.begin(), rules.end(), empty);
  };
  return all_empty(node.strings, [](const StringRule& rule) { return is_empty(rule); }) &&
         all_empty(node.numbers, [](const NumberRule& rule) { return rule.empty(); }) &&
         all_empty(node.arrays, [&](const ArrayRule& rule) { return surely_empty(rule); }) &&
         all_empty(node.objects, [&](const ObjectRule& rule) { return surely_empty(rule); });
}

bool NodeStore::surely_empty(NodeId id) {
  if (id == kNothingNode) return true;
  if (id == kAnyNode || asked_empty_.size() >= kMaxEmptyDepth || ++empty_work_ > kMaxEmptyWork) {
    return false;
  }
  if (!asked_empty_.insert(id).second) return false;
  bool empty = false;
  try {
    empty = surely_empty(get(id));
  } catch (const NeedsItself&) {
  } catch (const NotExact&) {
  } catch (...) {
    asked_empty_.erase(id);
    throw;
  }
  asked_empty_.erase(id);
  return empty;
}

}  // namespace axk1
