// What a schema accepts, by kinds of values: the form in which schemas are combined and compiled.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "grammar/decimal.h"
#include "grammar/text_dfa.h"

namespace axk1 {

using NodeId = uint32_t;
inline constexpr NodeId kAnyNode = 0;      // every value
inline constexpr NodeId kNothingNode = 1;  // none
inline constexpr uint32_t kNoMax = UINT32_MAX;

struct StringRule {
  std::shared_ptr<const TextDfa> texts;  // null: all
  uint32_t min = 0, max = kNoMax;        // code points

  bool any() const { return !texts && min == 0 && max == kNoMax; }
};

struct ArrayRule {
  std::vector<NodeId> prefix;
  NodeId rest = kAnyNode;  // items behind the prefix
  uint32_t min = 0, max = kNoMax;

  bool any() const { return prefix.empty() && rest == kAnyNode && min == 0 && max == kNoMax; }
  NodeId item(size_t i) const { return i < prefix.size() ? prefix[i] : rest; }
};

// One schema's properties, patternProperties and additionalProperties.
struct ObjectPart {
  std::map<std::string, NodeId> properties;
  std::vector<std::pair<std::shared_ptr<const TextDfa>, NodeId>> patterns;
  NodeId rest = kAnyNode;
};

// A value must be accepted by every part.
struct ObjectRule {
  std::vector<ObjectPart> parts;
  std::set<std::string> required;
  uint32_t min = 0, max = kNoMax;
  bool in_order = false;  // exactly the required keys, in the order of `order`
  std::vector<std::string> order;

  bool any() const { return parts.empty() && required.empty() && min == 0 && max == kNoMax; }
};

// A value is accepted when one rule of its kind accepts it.
struct Node {
  bool null_value = false, true_value = false, false_value = false;
  std::vector<StringRule> strings;
  std::vector<NumberRule> numbers;
  std::vector<ArrayRule> arrays;
  std::vector<ObjectRule> objects;
};

Node any_value();

// The nodes of one compilation. Nodes are worked out when first asked for, so that schemas may
// refer to themselves inside properties and items.
class NodeStore {
 public:
  // Thrown when a node needs itself to be worked out: it applies itself to the same value.
  struct NeedsItself {};
  // Thrown when a result is not a union of rules. `what` is for messages.
  struct NotExact {
    std::string what;
  };

  NodeStore();

  NodeId add(std::function<Node()> make);  // throws Error(kInvalidInput) when there are too many
  NodeId add(Node node);
  const Node& get(NodeId id);  // stays valid

  // Of the values of all / some / none of the nodes.
  NodeId intersection(std::vector<NodeId> nodes);
  NodeId complement_of(NodeId node);
  Node intersect(const Node& a, const Node& b);
  Node unite(std::vector<Node> nodes);
  Node complement(const Node& a);  // throws NotExact

  // True only when no value is accepted; may say false where that is hard to see.
  bool surely_empty(NodeId id);
  bool surely_empty(const Node& node);

  // The node of the values that key may have.
  NodeId value_node(const ObjectRule& rule, const std::string& key);

 private:
  enum class State { kWaiting, kRunning, kReady };
  struct Entry {
    State state = State::kWaiting;
    std::function<Node()> make;
    Node node;
  };

  void check_size(const Node& node);
  bool surely_empty(const ArrayRule& rule);
  bool surely_empty(const ObjectRule& rule);
  std::vector<ArrayRule> complement(const ArrayRule& rule);
  std::vector<ObjectRule> complement(const ObjectRule& rule);

  std::deque<Entry> entries_;
  std::map<NodeId, std::vector<NodeId>> members_;  // of intersections
  std::map<std::vector<NodeId>, NodeId> intersections_;
  std::map<NodeId, NodeId> complements_;
  std::set<NodeId> asked_empty_;
  size_t work_ = 0, empty_work_ = 0;
};

// Whether no text is accepted.
bool is_empty(const StringRule& rule);

}  // namespace axk1
