#include "chat/jinja_value.h"

#include <cmath>

#include "chat/jinja_text.h"

namespace axk1::jinja {
namespace {

constexpr size_t kSmallDict = 8;  // searched from the front, without an index

uint32_t depth_of(const Values& values) {
  uint32_t depth = 0;
  for (const Value& v : values) depth = std::max(depth, v.depth());
  return depth + 1;
}

uint32_t depth_of(const std::vector<Dict::Item>& items) {
  uint32_t depth = 0;
  for (const auto& [key, value] : items) depth = std::max({depth, key.depth(), value.depth()});
  return depth + 1;
}

int64_t range_length(int64_t start, int64_t stop, int64_t step) {
  if (step > 0 ? start >= stop : start <= stop) return 0;
  const uint64_t span = step > 0 ? static_cast<uint64_t>(stop) - static_cast<uint64_t>(start)
                                 : static_cast<uint64_t>(start) - static_cast<uint64_t>(stop);
  const uint64_t stride = step > 0 ? static_cast<uint64_t>(step) : 0 - static_cast<uint64_t>(step);
  return static_cast<int64_t>((span - 1) / stride + 1);
}

}  // namespace

Object::Object(Type t, Budget* budget, size_t bytes, uint32_t d)
    : type(t), depth(d), budget_(nullptr), bytes_(bytes) {
  if (d > kMaxDepth) eval_fail("values are nested too deeply (more than ", kMaxDepth, " levels)");
  if (budget) {
    budget->hold(bytes);
    budget_ = budget;
  }
}

Object::~Object() {
  if (budget_) budget_->release(bytes_);
}

Str::Str(Budget* budget, std::string utf8, bool is_markup)
    : Object(Type::kString, budget, sizeof(*this) + utf8.size()),
      text(std::move(utf8)),
      length(count_code_points(text)),
      markup(is_markup) {}

List::List(Type t, Budget* budget, Values values, bool is_group)
    : Object(t, budget, sizeof(*this) + values.size() * sizeof(Value), depth_of(values)),
      items(std::move(values)),
      group(is_group) {}

Cycler::Cycler(Budget* budget, Values values)
    : Object(Type::kCycler, budget, sizeof(*this) + values.size() * sizeof(Value),
             depth_of(values)),
      items(std::move(values)) {}

Range::Range(Budget* budget, int64_t first, int64_t end, int64_t by)
    : Object(Type::kRange, budget, sizeof(*this)),
      start(first),
      stop(end),
      step(by),
      length(range_length(first, end, by)) {}

Dict::Dict(Budget* budget, std::vector<Item> pairs)
    : Object(Type::kDict, budget, sizeof(*this) + pairs.size() * (2 * sizeof(Value) + 32),
             depth_of(pairs)) {
  items_.reserve(pairs.size());
  for (Item& pair : pairs) {
    const size_t hash = hash_of(pair.first);
    const size_t at = position(pair.first, hash);
    if (at < items_.size()) {
      items_[at].second = std::move(pair.second);
      continue;
    }
    items_.push_back(std::move(pair));
    if (items_.size() > kSmallDict) {
      if (index_.empty()) {
        for (size_t i = 0; i + 1 < items_.size(); ++i) index_.emplace(hash_of(items_[i].first), i);
      }
      index_.emplace(hash, items_.size() - 1);
    }
  }
}

size_t Dict::position(const Value& key, size_t hash) const {
  if (index_.empty()) {
    for (size_t i = 0; i < items_.size(); ++i) {
      if (equal(items_[i].first, key)) return i;
    }
    return items_.size();
  }
  const auto [begin, end] = index_.equal_range(hash);
  for (auto it = begin; it != end; ++it) {
    if (equal(items_[it->second].first, key)) return it->second;
  }
  return items_.size();
}

const Value* Dict::find(const Value& key) const {
  const size_t at = position(key, hash_of(key));
  return at < items_.size() ? &items_[at].second : nullptr;
}

const Value* Dict::find(std::string_view key) const {
  if (index_.empty()) {
    for (const auto& [k, v] : items_) {
      if (k.is_string() && text_of(k) == key) return &v;
    }
    return nullptr;
  }
  const auto [begin, end] = index_.equal_range(std::hash<std::string_view>()(key));
  for (auto it = begin; it != end; ++it) {
    const auto& [k, v] = items_[it->second];
    if (k.is_string() && text_of(k) == key) return &v;
  }
  return nullptr;
}

Value* Namespace::find(std::string_view name) {
  for (auto& [key, value] : attributes) {
    if (key == name) return &value;
  }
  return nullptr;
}

void Namespace::set(std::string_view name, Value value) {
  if (Value* there = find(name)) {
    *there = std::move(value);
  } else {
    if (attributes.size() >= 10'000) eval_fail("a namespace has too many attributes");
    attributes.emplace_back(std::string(name), std::move(value));
  }
}

std::string_view type_name(const Value& v) {
  switch (v.type()) {
    case Type::kMissing:
      return "missing";
    case Type::kUndefined:
      return "Undefined";
    case Type::kNone:
      return "NoneType";
    case Type::kBool:
      return "bool";
    case Type::kInt:
      return "int";
    case Type::kFloat:
      return "float";
    case Type::kString:
      return v.as<Str>().markup ? "Markup" : "str";
    case Type::kList:
      return "list";
    case Type::kTuple:
      return v.as<List>().group ? "_GroupTuple" : "tuple";
    case Type::kDict:
      return "dict";
    case Type::kDictView:
      switch (v.as<DictView>().part) {
        case DictView::Part::kKeys:
          return "dict_keys";
        case DictView::Part::kValues:
          return "dict_values";
        case DictView::Part::kItems:
          return "dict_items";
      }
      return "dict_items";
    case Type::kRange:
      return "range";
    case Type::kIterator:
      return v.as<Iterator>().type_name;
    case Type::kNamespace:
      return "Namespace";
    case Type::kFunction:
      return "function";
    case Type::kMacro:
      return "Macro";
    case Type::kLoop:
      return "LoopContext";
    case Type::kCycler:
      return "Cycler";
    case Type::kJoiner:
      return "Joiner";
  }
  return "object";
}

bool truthy(const Value& v) {
  switch (v.type()) {
    case Type::kMissing:
    case Type::kUndefined:
    case Type::kNone:
      return false;
    case Type::kBool:
    case Type::kInt:
      return v.as_int() != 0;
    case Type::kFloat:
      return v.as_float() != 0;
    case Type::kString:
      return v.as<Str>().length != 0;
    case Type::kList:
    case Type::kTuple:
      return !v.as<List>().items.empty();
    case Type::kDict:
      return !v.as<Dict>().items().empty();
    case Type::kDictView:
      return !v.as<DictView>().dict->items().empty();
    case Type::kRange:
      return v.as<Range>().length != 0;
    default:
      return true;
  }
}

bool equal(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    if (a.is_int() && b.is_int()) return a.as_int() == b.as_int();
    // 64 bits of mantissa hold both kinds exactly.
    const long double x = a.is_int() ? static_cast<long double>(a.as_int()) : a.as_float();
    const long double y = b.is_int() ? static_cast<long double>(b.as_int()) : b.as_float();
    return x == y;
  }
  if (a.type() != b.type()) return false;
  switch (a.type()) {
    case Type::kMissing:
    case Type::kUndefined:
    case Type::kNone:
      return true;
    case Type::kString:
      return text_of(a) == text_of(b);
    case Type::kList:
    case Type::kTuple: {
      const Values& x = a.as<List>().items;
      const Values& y = b.as<List>().items;
      if (x.size() != y.size()) return false;
      for (size_t i = 0; i < x.size(); ++i) {
        if (!equal(x[i], y[i])) return false;
      }
      return true;
    }
    case Type::kDict: {
      const Dict& x = a.as<Dict>();
      const Dict& y = b.as<Dict>();
      if (x.items().size() != y.items().size()) return false;
      for (const auto& [key, value] : x.items()) {
        const Value* other = y.find(key);
        if (!other || !equal(value, *other)) return false;
      }
      return true;
    }
    case Type::kRange: {
      const Range& x = a.as<Range>();
      const Range& y = b.as<Range>();
      return x.length == y.length && (x.length == 0 || x.start == y.start) &&
             (x.length <= 1 || x.step == y.step);
    }
    default:
      return a.object() == b.object();
  }
}

size_t hash_of(const Value& v) {
  switch (v.type()) {
    case Type::kBool:
    case Type::kInt:
      return std::hash<int64_t>()(v.as_int());
    case Type::kFloat: {
      const double d = v.as_float();  // an integral float is the same key as the integer
      if (std::trunc(d) == d && std::abs(d) < 9.2e18) {
        return std::hash<int64_t>()(static_cast<int64_t>(d));
      }
      return std::hash<double>()(d);
    }
    case Type::kString:
      return std::hash<std::string_view>()(text_of(v));
    case Type::kTuple: {
      size_t hash = 0x345678;
      for (const Value& item : v.as<List>().items) hash = hash * 1000003 ^ hash_of(item);
      return hash;
    }
    case Type::kList:
    case Type::kDict:
    case Type::kDictView:
      eval_fail("unhashable type: '", type_name(v), "'");
    case Type::kNone:
    case Type::kUndefined:
      return static_cast<size_t>(v.type());
    default:
      return std::hash<const Object*>()(v.object());
  }
}

}  // namespace axk1::jinja
