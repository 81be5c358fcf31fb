#include "grammar/schema_reader.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/error.h"
#include "grammar/formats.h"
#include "grammar/json_schema.h"
#include "grammar/pattern.h"

namespace axk1 {
namespace {

using json::array;
using json::object;

[[noreturn]] void unsupported(std::string_view keyword, std::string_view why) {
  throw UnsupportedSchema(std::string(keyword), cat("schema: ", keyword, ": ", why));
}

[[noreturn]] void wrong(std::string_view keyword, const json::value& found,
                        std::string_view expected) {
  fail(ErrorCode::kInvalidInput, "schema: ", keyword, ": found ",
       printable(json::to_text(found), 60), ", expected ", expected);
}

const json::value* find(const object& schema, std::string_view keyword) {
  return schema.if_contains(keyword);
}

const array& array_of(const json::value& v, std::string_view keyword) {
  if (!v.is_array()) wrong(keyword, v, "an array");
  return v.get_array();
}
const object& object_of(const json::value& v, std::string_view keyword) {
  if (!v.is_object()) wrong(keyword, v, "an object");
  return v.get_object();
}
std::string string_of(const json::value& v, std::string_view keyword) {
  if (!v.is_string()) wrong(keyword, v, "a string");
  return std::string(v.get_string());
}

// A count of characters, items or properties; 2.0 is 2.
std::optional<uint32_t> count_of(const object& schema, std::string_view keyword) {
  const json::value* v = find(schema, keyword);
  if (!v) return std::nullopt;
  constexpr int64_t kMax = 1'000'000'000;
  if (!v->is_number()) wrong(keyword, *v, "a whole number");
  const Decimal d = decimal_of(*v, keyword);
  if (d.mantissa < 0 || d.exponent < 0) wrong(keyword, *v, "a whole number from 0");
  if (compare(d, {kMax, 0}) > 0) return static_cast<uint32_t>(kMax);
  Int128 count = d.mantissa;
  for (int32_t i = 0; i < d.exponent; ++i) count *= 10;
  return static_cast<uint32_t>(count);
}

bool is_true(const object& schema, std::string_view keyword) {
  const json::value* v = find(schema, keyword);
  return v && v->is_bool() && v->get_bool();
}

std::string_view without_fragment(std::string_view uri) {
  return uri.substr(0, uri.find('#'));
}

// Keywords that some draft gives a meaning, and that are not computed.
constexpr std::array<std::string_view, 8> kRefused = {"unevaluatedItems", "unevaluatedProperties",
                                                      "$dynamicRef",      "$recursiveRef",
                                                      "contains",         "extends",
                                                      "disallow",         "divisibleBy"};

// The strings of a rule, as one automaton.
std::shared_ptr<const TextDfa> texts_of(const StringRule& rule) {
  if (rule.min == 0 && rule.max == kNoMax && rule.texts) return rule.texts;
  constexpr uint32_t kMaxLength = 5000;
  if (rule.min > kMaxLength || (rule.max != kNoMax && rule.max > kMaxLength)) {
    unsupported("propertyNames", cat("lengths above ", kMaxLength, " are not supported"));
  }
  const uint32_t last = rule.max == kNoMax ? rule.min : rule.max;
  std::vector<TextDfa::State> states(last + 1);
  for (uint32_t s = 0; s <= last; ++s) {
    states[s].accepts = s >= rule.min;
    const uint32_t to = s < last ? s + 1 : s;
    if (s < last || rule.max == kNoMax) states[s].ranges.push_back({0, kMaxCodePoint, to});
  }
  TextDfa lengths(std::move(states));
  return std::make_shared<TextDfa>(rule.texts ? intersect(lengths, *rule.texts) : lengths);
}

}  // namespace

SchemaReader::SchemaReader(const json::value& document, NodeStore& nodes)
    : document_(&document), nodes_(&nodes) {
  if (!document.is_object()) return;
  const object& schema = document.get_object();
  if (const json::value* uri = find(schema, "$schema")) {
    const std::string name = string_of(*uri, "$schema");
    if (name.find("json-schema.org/") == std::string::npos) {
      unsupported("$schema", cat("found ", printable(name, 80), ", whose keywords are not known"));
    }
    says_annotations_ = name.find("draft/20") != std::string::npos;
    if (name.find("draft-04") != std::string::npos) draft_ = Draft::k4;
    for (const char* draft : {"draft-06", "draft-07"}) {
      if (name.find(draft) != std::string::npos) draft_ = Draft::k6To7;
    }
  }
  const json::value* id = find(schema, draft_ == Draft::k4 ? "id" : "$id");
  if (id && id->is_string()) base_ = without_fragment(id->get_string());
}

NodeId SchemaReader::node_of(const json::value& schema) {
  if (schema.is_bool()) return schema.get_bool() ? kAnyNode : kNothingNode;
  const auto [at, is_new] = known_.try_emplace(&schema, 0);
  if (is_new) at->second = nodes_->add([this, &schema] { return read(schema); });
  return at->second;
}

Node SchemaReader::read(const json::value& schema) {
  if (!schema.is_object()) wrong("a schema", schema, "an object or a boolean");
  return read_object(schema.get_object());
}

void SchemaReader::check_keywords(const Object& schema) const {
  for (std::string_view keyword : kRefused) {
    if (!find(schema, keyword)) continue;
    unsupported(keyword, "is not supported");
  }
  if (!says_annotations_) {  // drafts before 2019-09 let these be checked
    for (const char* keyword : {"contentEncoding", "contentMediaType"}) {
      if (find(schema, keyword)) {
        unsupported(keyword, "is an annotation only where $schema names draft 2019-09 or later");
      }
    }
  }
  if (is_true(schema, "uniqueItems")) {
    const std::optional<uint32_t> max = count_of(schema, "maxItems");
    if (!max || *max > 1) unsupported("uniqueItems", "is not supported");
  }
}

Node SchemaReader::read_object(const Object& schema) {
  const json::value* reference = find(schema, "$ref");
  if (reference && draft_ != Draft::k2019AndLater) {
    return nodes_->get(node_of(resolve(string_of(*reference, "$ref"))));
  }
  check_keywords(schema);
  std::vector<Node> all = read_applicators(schema);
  Node node = read_kinds(schema);
  for (const Node& other : all) node = nodes_->intersect(node, other);
  return node;
}

Node SchemaReader::read_kinds(const Object& schema) {
  std::set<std::string> kinds;
  if (const json::value* type = find(schema, "type")) {
    if (type->is_string()) {
      kinds.insert(std::string(type->get_string()));
    } else {
      for (const json::value& kind : array_of(*type, "type")) {
        kinds.insert(string_of(kind, "type"));
      }
    }
    static const std::set<std::string> known = {"null",   "boolean", "integer", "number",
                                                "string", "array",   "object"};
    for (const std::string& kind : kinds) {
      if (!known.contains(kind)) wrong("type", *type, "names of JSON types");
    }
  } else {
    kinds = {"null", "boolean", "number", "string", "array", "object"};
  }
  Node node;
  node.null_value = kinds.contains("null");
  node.true_value = node.false_value = kinds.contains("boolean");
  // Rules are read even where the type leaves them out: what they ask for may be refused.
  const StringRule strings = read_string(schema);
  const std::vector<ArrayRule> arrays = read_array(schema);
  const ObjectRule objects = read_rule(schema);
  const std::vector<NumberRule> numbers = read_numbers(schema, !kinds.contains("number"));
  if (kinds.contains("string") && !is_empty(strings)) node.strings.push_back(strings);
  if (kinds.contains("integer") || kinds.contains("number")) node.numbers = numbers;
  if (kinds.contains("array")) node.arrays = arrays;
  if (kinds.contains("object") && objects.min <= objects.max) node.objects.push_back(objects);
  return node;
}

StringRule SchemaReader::read_string(const Object& schema) const {
  StringRule rule;
  if (const auto min = count_of(schema, "minLength")) rule.min = *min;
  if (const auto max = count_of(schema, "maxLength")) rule.max = *max;
  const auto also = [&](std::shared_ptr<const TextDfa> texts) {
    rule.texts = rule.texts ? std::make_shared<TextDfa>(intersect(*rule.texts, *texts)) : texts;
  };
  if (const json::value* pattern = find(schema, "pattern")) {
    also(std::make_shared<TextDfa>(compile_pattern(string_of(*pattern, "pattern"))));
  }
  if (const json::value* format = find(schema, "format")) {
    const std::string name = string_of(*format, "format");
    const std::optional<StringRule> strings = string_rule_of_format(name);
    if (!strings) unsupported("format", cat("found \"", printable(name, 60), "\", not known"));
    also(strings->texts);
    rule.max = std::min(rule.max, strings->max);
  }
  if (rule.texts && !rule.texts->empty() && rule.texts->accepts_all(0)) rule.texts = nullptr;
  return rule;
}

std::vector<NumberRule> SchemaReader::read_numbers(const Object& schema, bool integers_only) const {
  NumberRule rule;
  const auto number = [&](std::string_view keyword) -> std::optional<Decimal> {
    const json::value* v = find(schema, keyword);
    if (!v) return std::nullopt;
    return decimal_of(*v, keyword);
  };
  const auto bound = [&](std::string_view plain, std::string_view exclusive, bool lower) {
    std::optional<Decimal> value = number(plain);
    bool open = false;
    const json::value* other = find(schema, exclusive);
    if (other && other->is_bool()) {  // draft 4: a flag
      open = value && other->get_bool();
    } else if (other) {
      const Decimal strict = decimal_of(*other, exclusive);
      const int order = value ? compare(strict, *value) : 0;
      if (!value || (lower ? order >= 0 : order <= 0)) {
        value = strict;
        open = true;
      }
    }
    (lower ? rule.lo : rule.hi) = value;
    (lower ? rule.lo_open : rule.hi_open) = open;
  };
  bound("minimum", "exclusiveMinimum", true);
  bound("maximum", "exclusiveMaximum", false);
  if (const std::optional<Decimal> step = number("multipleOf")) {
    if (step->mantissa <= 0) wrong("multipleOf", *find(schema, "multipleOf"), "more than 0");
    NumberRule steps;
    steps.step = *step;
    const auto both = axk1::intersect(rule, steps);
    if (!both) unsupported("multipleOf", "has too many digits");
    rule = *both;
  }
  if (integers_only) {
    NumberRule integers;
    integers.step = Decimal{1, 0};
    integers.plain = draft_ == Draft::k4;
    const auto both = axk1::intersect(rule, integers);
    if (!both) unsupported("multipleOf", "has too many digits");
    rule = *both;
  }
  if (rule.empty()) return {};
  return {rule};
}

std::vector<ArrayRule> SchemaReader::read_array(const Object& schema) {
  ArrayRule rule;
  if (const auto min = count_of(schema, "minItems")) rule.min = *min;
  if (const auto max = count_of(schema, "maxItems")) rule.max = *max;
  const json::value* prefix = find(schema, "prefixItems");
  const json::value* items = find(schema, "items");
  const json::value* rest = items;
  if (items && items->is_array()) {  // drafts before 2020-12
    if (prefix) wrong("items", *items, "a schema beside prefixItems");
    prefix = items;
    rest = find(schema, "additionalItems");
  }
  if (prefix) {
    for (const json::value& item : array_of(*prefix, "prefixItems")) {
      rule.prefix.push_back(node_of(item));
    }
  }
  if (rest) rule.rest = node_of(*rest);
  if (rule.min > rule.max) return {};
  return {rule};
}

ObjectRule SchemaReader::read_rule(const Object& schema) {
  ObjectRule rule;
  if (const auto min = count_of(schema, "minProperties")) rule.min = *min;
  if (const auto max = count_of(schema, "maxProperties")) rule.max = *max;
  if (const json::value* required = find(schema, "required")) {
    for (const json::value& key : array_of(*required, "required")) {
      rule.required.insert(string_of(key, "required"));
    }
  }
  ObjectPart part;
  if (const json::value* properties = find(schema, "properties")) {
    for (const auto& [key, value] : object_of(*properties, "properties")) {
      part.properties.emplace(key, node_of(value));
    }
  }
  if (const json::value* patterns = find(schema, "patternProperties")) {
    for (const auto& [pattern, value] : object_of(*patterns, "patternProperties")) {
      part.patterns.emplace_back(std::make_shared<TextDfa>(compile_pattern(pattern)),
                                 node_of(value));
    }
  }
  if (const json::value* rest = find(schema, "additionalProperties")) part.rest = node_of(*rest);
  if (!part.properties.empty() || !part.patterns.empty() || part.rest != kAnyNode) {
    rule.parts.push_back(std::move(part));
  }
  if (const json::value* names = find(schema, "propertyNames")) {
    // Keys that the schema does not accept may have no value.
    Node accepted;
    accepted.strings = nodes_->get(node_of(*names)).strings;
    const Node others = nodes_->complement(accepted);
    for (const StringRule& strings : others.strings) {
      ObjectPart names_part;
      names_part.patterns.emplace_back(texts_of(strings), kNothingNode);
      rule.parts.push_back(std::move(names_part));
    }
  }
  return rule;
}

Node SchemaReader::united(const json::array& schemas, std::string_view keyword) {
  if (schemas.empty()) wrong(keyword, json::value(schemas), "at least one schema");
  std::vector<Node> nodes;
  for (const json::value& schema : schemas) nodes.push_back(nodes_->get(node_of(schema)));
  return nodes_->unite(std::move(nodes));
}

// Exactly one: where two overlap, each keeps what the other leaves out.
Node SchemaReader::read_one_of(const json::array& schemas) {
  if (schemas.empty()) wrong("oneOf", json::value(schemas), "at least one schema");
  std::vector<NodeId> ids;
  for (const json::value& schema : schemas) ids.push_back(node_of(schema));
  std::vector<Node> only;
  for (NodeId id : ids) only.push_back(nodes_->get(id));
  for (size_t i = 0; i < ids.size(); ++i) {
    for (size_t j = i + 1; j < ids.size(); ++j) {
      if (ids[i] == ids[j] ||
          !nodes_->surely_empty(nodes_->intersect(nodes_->get(ids[i]), nodes_->get(ids[j])))) {
        only[i] = nodes_->intersect(only[i], nodes_->get(nodes_->complement_of(ids[j])));
        only[j] = nodes_->intersect(only[j], nodes_->get(nodes_->complement_of(ids[i])));
      }
    }
  }
  return nodes_->unite(std::move(only));
}

// Runs `make`, and refuses the keyword where its result would not be exact.
template <class Make>
Node exactly(std::string_view keyword, Make&& make) {
  try {
    return make();
  } catch (const NodeStore::NotExact& inside) {
    unsupported(keyword, cat("together with ", inside.what, " is not supported here"));
  }
}

std::vector<Node> SchemaReader::read_applicators(const Object& schema) {
  std::vector<Node> all;
  if (const json::value* reference = find(schema, "$ref")) {
    all.push_back(nodes_->get(node_of(resolve(string_of(*reference, "$ref")))));
  }
  if (const json::value* constant = find(schema, "const")) all.push_back(value(*constant));
  if (const json::value* list = find(schema, "enum")) {
    all.push_back(values(array_of(*list, "enum")));
  }
  if (const json::value* list = find(schema, "allOf")) {
    for (const json::value& part : array_of(*list, "allOf")) {
      all.push_back(nodes_->get(node_of(part)));
    }
  }
  if (const json::value* list = find(schema, "anyOf")) {
    all.push_back(united(array_of(*list, "anyOf"), "anyOf"));
  }
  if (const json::value* list = find(schema, "oneOf")) {
    all.push_back(exactly("oneOf", [&] { return read_one_of(array_of(*list, "oneOf")); }));
  }
  if (const json::value* inner = find(schema, "not")) {
    all.push_back(
        exactly("not", [&] { return nodes_->get(nodes_->complement_of(node_of(*inner))); }));
  }
  const json::value* condition = find(schema, "if");
  const json::value* then_part = find(schema, "then");
  const json::value* else_part = find(schema, "else");
  if (condition && (then_part || else_part)) {
    all.push_back(exactly("if", [&] {
      const NodeId id = node_of(*condition);
      Node yes = nodes_->get(id);
      Node no = nodes_->get(nodes_->complement_of(id));
      if (then_part) yes = nodes_->intersect(yes, nodes_->get(node_of(*then_part)));
      if (else_part) no = nodes_->intersect(no, nodes_->get(node_of(*else_part)));
      return nodes_->unite({yes, no});
    }));
  }
  read_dependencies(schema, all);
  return all;
}

void SchemaReader::read_dependencies(const Object& schema, std::vector<Node>& all) {
  for (const char* keyword : {"dependentRequired", "dependentSchemas", "dependencies"}) {
    const json::value* list = find(schema, keyword);
    if (!list) continue;
    for (const auto& [key, demand] : object_of(*list, keyword)) {
      Node without = any_value();
      without.objects[0].parts.emplace_back();
      without.objects[0].parts[0].properties.emplace(key, kNothingNode);
      Node with;
      with.objects.emplace_back();
      with.objects[0].required.emplace(key);
      if (demand.is_array() && std::string_view(keyword) != "dependentSchemas") {
        for (const json::value& other : demand.get_array()) {
          with.objects[0].required.insert(string_of(other, keyword));
        }
      } else if (std::string_view(keyword) == "dependentRequired") {
        wrong(keyword, demand, "an array of keys");
      } else {
        with = nodes_->intersect(with, nodes_->get(node_of(demand)));
      }
      all.push_back(nodes_->unite({without, with}));
    }
  }
}

Node SchemaReader::value(const json::value& v) {
  return values(json::array{v});
}

Node SchemaReader::values(const json::array& list) {
  Node node;
  std::vector<std::string> texts;
  for (const json::value& v : list) {
    switch (v.kind()) {
      case boost::json::kind::null:
        node.null_value = true;
        break;
      case boost::json::kind::bool_:
        (v.get_bool() ? node.true_value : node.false_value) = true;
        break;
      case boost::json::kind::string:
        texts.emplace_back(v.get_string());
        break;
      case boost::json::kind::int64:
      case boost::json::kind::uint64:
      case boost::json::kind::double_: {
        NumberRule rule;
        rule.lo = rule.hi = decimal_of(v, "enum");
        node.numbers.push_back(rule);
        break;
      }
      case boost::json::kind::array: {
        ArrayRule rule;
        for (const json::value& item : v.get_array()) {
          rule.prefix.push_back(nodes_->add(value(item)));
        }
        rule.min = rule.max = static_cast<uint32_t>(rule.prefix.size());
        node.arrays.push_back(std::move(rule));
        break;
      }
      case boost::json::kind::object: {
        ObjectRule rule;
        ObjectPart part;
        part.rest = kNothingNode;
        for (const auto& [key, inside] : v.get_object()) {
          part.properties.emplace(key, nodes_->add(value(inside)));
          rule.required.emplace(key);
        }
        rule.parts.push_back(std::move(part));
        node.objects.push_back(std::move(rule));
        break;
      }
    }
  }
  if (!texts.empty()) {
    node.strings.push_back({std::make_shared<TextDfa>(TextDfa::of_texts(texts)), 0, kNoMax});
  }
  return node;
}

}  // namespace axk1
