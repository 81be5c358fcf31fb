// Filters on sequences and dicts.
#include <algorithm>
#include <memory>
#include <unordered_map>

#include "chat/jinja_builtins.h"
#include "chat/jinja_ops.h"
#include "chat/jinja_print.h"
#include "chat/jinja_text.h"

namespace axk1::jinja {
namespace {

// Strings in lower case, everything else as it is.
Value ignore_case(Runtime& rt, const Value& v) {
  return v.is_string() ? rt.str(lower(text_of(v))) : v;
}

// What a value is compared by: an attribute of it, in lower case when case does not matter.
struct Key {
  Value path = Value::none();
  Value absent = Value::none();
  bool case_sensitive = false;

  Value of(Runtime& rt, const Value& item) const {
    Value v = attribute_path(rt, item, path, absent);
    return case_sensitive ? v : ignore_case(rt, v);
  }
};

Value or_none(const Params& p, size_t i) {
  return p.has(i) ? p[i] : Value::none();
}

Value length(Runtime& rt, const Value& value, const Args& args) {
  Params(args, "len", {});
  return Value::integer(static_cast<int64_t>(length_of(rt, value)));
}

Value first(Runtime& rt, const Value& value, const Args& args) {
  Params(args, "first", {});
  Value item;
  Cursor cursor(rt, value);
  return cursor.next(item) ? item : rt.undefined("No first item, sequence was empty.");
}

Value last(Runtime& rt, const Value& value, const Args& args) {
  Params(args, "last", {});
  if (value.is(Type::kIterator)) {
    eval_fail("'", type_name(value), "' object is not reversible");
  }
  if (value.is_sequence() || value.is_string() || value.is(Type::kRange)) {
    if (length_of(rt, value) == 0) return rt.undefined("No last item, sequence was empty.");
    return get_item(rt, value, Value::integer(-1));
  }
  const Values items = to_vector(rt, value);
  return items.empty() ? rt.undefined("No last item, sequence was empty.") : items.back();
}

Value list(Runtime& rt, const Value& value, const Args& args) {
  Params(args, "list", {});
  return rt.list(to_vector(rt, value));
}

// An iterator over values that are known already.
Value over(Runtime& rt, std::string_view type_name, Values items) {
  const Value all = rt.list(std::move(items));
  return rt.iterator(type_name, all.depth(), [all, at = size_t{0}](Value& out) mutable {
    if (at >= all.as<List>().items.size()) return false;
    out = all.as<List>().items[at++];
    return true;
  });
}

Value reverse(Runtime& rt, const Value& value, const Args& args) {
  Params(args, "reverse", {});
  if (value.is_string()) return rt.str(reversed(text_of(value)));
  Values items = to_vector(rt, value);
  std::reverse(items.begin(), items.end());
  if (value.is(Type::kIterator)) return rt.list(std::move(items));
  return over(rt, "list_reverseiterator", std::move(items));  // as reversed() of Python
}

Value join(Runtime& rt, const Value& value, const Args& args) {
  const Params p(args, "join", {"d", "attribute"});
  const std::string separator = p.has(0) ? to_str(rt, p[0]) : "";
  std::string out;
  bool is_first = true;
  Value item;
  for (Cursor cursor(rt, value); cursor.next(item);) {
    if (!is_first) out += separator;
    is_first = false;
    if (p.has(1) && !p[1].is_none()) {
      append_str(rt, out, attribute_path(rt, item, p[1], Value::none()));
    } else {
      append_str(rt, out, item);
    }
  }
  return rt.str(std::move(out));
}

Value sort(Runtime& rt, const Value& value, const Args& args) {
  const Params p(args, "sort", {"reverse", "case_sensitive", "attribute"});
  // "a,b.c" names several attributes to sort by, in this order.
  std::vector<Key> parts;
  if (p.has(2) && p[2].is_string()) {
    for (std::string_view part : split(text_of(p[2]), ",", -1)) {
      parts.push_back({rt.str(part), Value::none(), p.flag(1, false)});
    }
  } else {
    parts.push_back({or_none(p, 2), Value::none(), p.flag(1, false)});
  }
  Values items = to_vector(rt, value);
  Values keys;
  for (const Value& item : items) {
    Values key;
    for (const Key& part : parts) key.push_back(part.of(rt, item));
    keys.push_back(rt.list(std::move(key)));
  }
  sort_by(rt, items, keys, p.flag(0, false));
  return rt.list(std::move(items));
}

Value dictsort(Runtime& rt, const Value& value, const Args& args) {
  const Params p(args, "dictsort", {"case_sensitive", "by", "reverse"});
  require_defined(value);
  if (!value.is(Type::kDict)) eval_fail("dictsort: found ", type_name(value), ", expected a dict");
  const std::string by = p.has(1) ? p.text(1) : "key";
  if (by != "key" && by != "value") {
    eval_fail("You can only sort by either \"key\" or \"value\"");
  }
  Values items, keys;
  for (const auto& [key, v] : value.as<Dict>().items()) {
    items.push_back(rt.tuple({key, v}));
    const Value& sorted_by = by == "key" ? key : v;
    keys.push_back(p.flag(0, false) ? sorted_by : ignore_case(rt, sorted_by));
  }
  sort_by(rt, items, keys, p.flag(2, false));
  return rt.list(std::move(items));
}

Value items(Runtime& rt, const Value& value, const Args& args) {
  Params(args, "items", {});
  if (!value.is_undefined() && !value.is(Type::kDict)) {
    eval_fail("Can only get item pairs from a mapping.");
  }
  return rt.iterator("generator", value.depth(), [&rt, value, at = size_t{0}](Value& out) mutable {
    if (value.is_undefined() || at >= value.as<Dict>().items().size()) return false;
    const auto& [key, v] = value.as<Dict>().items()[at++];
    out = rt.tuple({key, v});
    return true;
  });
}

template <bool kMax>
Value extreme(Runtime& rt, const Value& value, const Args& args) {
  const Params p(args, kMax ? "max" : "min", {"case_sensitive", "attribute"});
  const Key by{or_none(p, 1), Value::none(), p.flag(0, false)};
  Value item, best, best_key;
  for (Cursor cursor(rt, value); cursor.next(item);) {
    Value key = by.of(rt, item);
    if (best_key.is_missing() || (kMax ? less(best_key, key) : less(key, best_key))) {
      best = item;
      best_key = key;
    }
  }
  return best.is_missing() ? rt.undefined("No aggregated item, sequence was empty.") : best;
}

Value sum(Runtime& rt, const Value& value, const Args& args) {
  const Params p(args, "sum", {"attribute", "start"});
  Value total = p.has(1) ? p[1] : Value::integer(0);
  if (total.is_string()) eval_fail("sum() can't sum strings [use ''.join(seq) instead]");
  Value item;
  for (Cursor cursor(rt, value); cursor.next(item);) {
    if (p.has(0) && !p[0].is_none()) item = attribute_path(rt, item, p[0], Value::none());
    total = binary(rt, BinaryOp::kAdd, total, item);
  }
  return total;
}

Value unique(Runtime& rt, const Value& value, const Args& args) {
  const Params p(args, "unique", {"case_sensitive", "attribute"});
  const Key by{or_none(p, 1), Value::none(), p.flag(0, false)};
  std::unordered_multimap<size_t, Value> seen;
  Values first_ones;
  Value item;
  for (Cursor cursor(rt, value); cursor.next(item);) {
    const Value key = by.of(rt, item);
    const size_t hash = hash_of(key);
    const auto [begin, end] = seen.equal_range(hash);
    const bool known = std::any_of(begin, end, [&](const auto& e) { return equal(e.second, key); });
    if (known) continue;
    seen.emplace(hash, key);
    first_ones.push_back(item);
  }
  return over(rt, "generator", std::move(first_ones));
}

Value groupby(Runtime& rt, const Value& value, const Args& args) {
  const Params p(args, "groupby", {"attribute", "default", "case_sensitive"}, 1);
  const Key by{p[0], or_none(p, 1), p.flag(2, false)};
  Values all = to_vector(rt, value);
  Values keys;
  for (const Value& item : all) keys.push_back(by.of(rt, item));
  sort_by(rt, all, keys, false);
  Values groups, members;
  Value current;
  auto close = [&] {
    if (members.empty()) return;
    // The name of the group has the case of its first member.
    Value name = attribute_path(rt, members[0], by.path, by.absent);
    groups.push_back(rt.group(std::move(name), rt.list(std::move(members))));
    members.clear();
  };
  for (const Value& item : all) {
    Value key = by.of(rt, item);
    if (!members.empty() && !equal(key, current)) close();
    if (members.empty()) current = key;
    members.push_back(item);
  }
  close();
  return rt.list(std::move(groups));
}

Value batch(Runtime& rt, const Value& value, const Args& args) {
  const Params p(args, "batch", {"linecount", "fill_with"}, 1);
  const int64_t count = p.integer(0, 0);
  const Value fill = or_none(p, 1);
  auto cursor = std::make_shared<Cursor>(rt, value);
  return rt.iterator("generator", std::max(value.depth(), fill.depth()) + 1,
                     [&rt, cursor, count, fill, done = false](Value& out) mutable {
                       if (done) return false;
                       Values row;
                       Value item;
                       while (cursor->next(item)) {
                         row.push_back(std::move(item));
                         if (static_cast<int64_t>(row.size()) == count) break;
                       }
                       if (static_cast<int64_t>(row.size()) != count) done = true;
                       if (row.empty()) return false;
                       if (!fill.is_none() && count > 0) {
                         if (count > (int64_t{1} << 20)) eval_fail("batch: the rows are too long");
                         while (static_cast<int64_t>(row.size()) < count) row.push_back(fill);
                       }
                       out = rt.list(std::move(row));
                       return true;
                     });
}

Value slice(Runtime& rt, const Value& value, const Args& args) {
  const Params p(args, "slice", {"slices", "fill_with"}, 1);
  const int64_t slices = p.integer(0, 0);
  if (slices < 0) return over(rt, "generator", {});
  if (slices == 0) eval_fail("integer division or modulo by zero");
  if (slices > 100'000) eval_fail("slice: too many slices");
  const Values all = to_vector(rt, value);
  const Value fill = or_none(p, 1);
  const int64_t length = static_cast<int64_t>(all.size());
  const int64_t each = length / slices, extra = length % slices;
  Values parts;
  for (int64_t number = 0; number < slices; ++number) {
    const int64_t start = number * each + std::min(number, extra);
    const int64_t end = start + each + (number < extra ? 1 : 0);
    Values part(all.begin() + start, all.begin() + end);
    if (!fill.is_none() && number >= extra) part.push_back(fill);
    parts.push_back(rt.list(std::move(part)));
  }
  return over(rt, "generator", std::move(parts));
}

constexpr Filter kFilters[] = {
    {"batch", batch},     {"count", length}, {"dictsort", dictsort}, {"first", first},
    {"groupby", groupby}, {"items", items},  {"join", join},         {"last", last},
    {"length", length},   {"list", list},    {"max", extreme<true>}, {"min", extreme<false>},
    {"reverse", reverse}, {"slice", slice},  {"sort", sort},         {"sum", sum},
    {"unique", unique},
};

}  // namespace

std::span<const Filter> sequence_filters() {
  return kFilters;
}

Value attribute_path(Runtime& rt, const Value& item, const Value& path, const Value& absent) {
  if (path.is_none() || path.is_missing()) return item;
  auto step = [&](const Value& from, const Value& part) {
    Value v = get_item(rt, from, part);
    return v.is_undefined() && !absent.is_none() ? absent : v;
  };
  if (!path.is_string()) return step(item, path);
  Value v = item;
  for (std::string_view part : split(text_of(path), ".", -1)) {
    const bool number = !part.empty() && std::all_of(part.begin(), part.end(),
                                                     [](char c) { return c >= '0' && c <= '9'; });
    const std::optional<int64_t> index = number ? parse_int(part, 10) : std::nullopt;
    v = step(v, index ? Value::integer(*index) : rt.str(part));
  }
  return v;
}

}  // namespace axk1::jinja
