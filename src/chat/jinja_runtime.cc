#include "chat/jinja_runtime.h"

#include "base/utf8.h"
#include "chat/jinja_text.h"

namespace axk1::jinja {

Value Runtime::str(std::string text, bool markup) {
  if (text.size() > Budget::kMaxStringBytes) {
    eval_fail("a string of ", text.size(), " bytes is more than the allowed ",
              Budget::kMaxStringBytes);
  }
  spend(1 + text.size() / 32);
  return Value(Ref<Str>(new Str(&budget_, std::move(text), markup)));
}

Value Runtime::sequence(Type type, Values items) {
  spend(1 + items.size());
  return Value(Ref<List>(new List(type, &budget_, std::move(items))));
}

Value Runtime::group(Value grouper, Value items) {
  return Value(
      Ref<List>(new List(Type::kTuple, &budget_, {std::move(grouper), std::move(items)}, true)));
}

Value Runtime::dict(std::vector<Dict::Item> items) {
  spend(1 + items.size());
  return Value(Ref<Dict>(new Dict(&budget_, std::move(items))));
}

Value Runtime::view(const Value& dict, DictView::Part part) {
  return Value(Ref<DictView>(new DictView(&budget_, Ref<Dict>(&dict.as<Dict>()), part)));
}

Value Runtime::range(int64_t start, int64_t stop, int64_t step) {
  return Value(Ref<Range>(new Range(&budget_, start, stop, step)));
}

Value Runtime::iterator(std::string_view type_name, uint32_t source_depth, Iterator::Next next) {
  return Value(Ref<Iterator>(new Iterator(&budget_, type_name, source_depth, std::move(next))));
}

bool Runtime::advance(Iterator& iterator, Value& out) {
  struct Depth {
    explicit Depth(int& counter) : count(counter) { ++count; }
    ~Depth() { --count; }
    int& count;
  };
  // An iterator can come to run itself, through a namespace that holds it.
  const Depth depth(iterator_depth_);
  if (iterator_depth_ > kMaxIteratorDepth) eval_fail("maximum recursion depth exceeded");
  return iterator.next(out);
}

Value Runtime::undefined(std::string why) {
  return Value(Ref<Undefined>(new Undefined(&budget_, std::move(why))));
}

Value Runtime::undefined_name(std::string_view name) {
  return undefined(cat("'", name, "' is undefined"));
}

Value Runtime::function(std::string_view name, Native code, Value self) {
  return Value(Ref<Function>(new Function(&budget_, name, code, std::move(self))));
}

Value Runtime::make_namespace() {
  spend(4);
  namespaces_.push_back(Ref<Namespace>(new Namespace(&budget_)));
  return Value(namespaces_.back());
}

Value Runtime::from_json(const json::value& v) {
  switch (v.kind()) {
    case boost::json::kind::null:
      return Value::none();
    case boost::json::kind::bool_:
      return Value::boolean(v.get_bool());
    case boost::json::kind::int64:
      return Value::integer(v.get_int64());
    case boost::json::kind::uint64:
      eval_fail("the integer ", v.get_uint64(), " does not fit in 64 bits");
    case boost::json::kind::double_:
      return Value::number(v.get_double());
    case boost::json::kind::string: {
      const std::string_view text(v.get_string());
      return str(is_valid_utf8(text) ? std::string(text) : utf8_lossy(text));
    }
    case boost::json::kind::array: {
      Values items;
      items.reserve(v.get_array().size());
      for (const json::value& item : v.get_array()) items.push_back(from_json(item));
      return list(std::move(items));
    }
    case boost::json::kind::object: {
      std::vector<Dict::Item> items;
      items.reserve(v.get_object().size());
      for (const auto& [key, item] : v.get_object()) {
        const std::string_view name(key);
        Value key_value = str(is_valid_utf8(name) ? std::string(name) : utf8_lossy(name));
        items.emplace_back(std::move(key_value), from_json(item));
      }
      return dict(std::move(items));
    }
  }
  return Value::none();
}

Params::Params(const Args& args, std::string_view function,
               std::initializer_list<std::string_view> names, size_t required)
    : function_(function), values_(names.size()) {
  if (args.positional.size() > names.size()) {
    eval_fail(function, "() takes at most ", names.size(), " arguments (",
              args.positional.size() + args.named.size(), " given)");
  }
  std::copy(args.positional.begin(), args.positional.end(), values_.begin());
  for (const auto& [name, value] : args.named) {
    size_t i = 0;
    while (i < names.size() && names.begin()[i] != name) ++i;
    if (i == names.size()) {
      eval_fail(function, "() got an unexpected keyword argument '", name, "'");
    }
    if (!values_[i].is_missing()) {
      eval_fail(function, "() got multiple values for argument '", name, "'");
    }
    values_[i] = value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (values_[i].is_missing()) {
      eval_fail(function, "() missing required argument '", names.begin()[i], "'");
    }
  }
}

int64_t Params::integer(size_t i, int64_t absent) const {
  const Value& v = values_[i];
  if (v.is_missing() || v.is_none()) return absent;
  if (v.is_undefined()) eval_fail(v.as<Undefined>().message);
  if (!v.is_int()) {
    eval_fail(function_, "(): '", type_name(v), "' object cannot be interpreted as an integer");
  }
  return v.as_int();
}

bool Params::flag(size_t i, bool absent) const {
  return values_[i].is_missing() ? absent : truthy(values_[i]);
}

const std::string& Params::text(size_t i) const {
  const Value& v = values_[i];
  if (v.is_undefined()) eval_fail(v.as<Undefined>().message);
  if (!v.is_string()) {
    eval_fail(function_, "() argument ", i + 1, " must be str, not ", type_name(v));
  }
  return text_of(v);
}

std::optional<std::string_view> Params::optional_text(size_t i) const {
  if (values_[i].is_missing() || values_[i].is_none()) return std::nullopt;
  return text(i);
}

Cursor::Cursor(Runtime& runtime, Value v) : runtime_(runtime), source_(std::move(v)) {
  switch (source_.type()) {
    case Type::kUndefined:
    case Type::kString:
    case Type::kList:
    case Type::kTuple:
    case Type::kDict:
    case Type::kDictView:
    case Type::kRange:
    case Type::kIterator:
      return;
    default:
      eval_fail("'", type_name(source_), "' object is not iterable");
  }
}

bool Cursor::next(Value& out) {
  runtime_.spend(1);
  switch (source_.type()) {
    case Type::kString: {
      const std::string& text = text_of(source_);
      if (at_ >= text.size()) return false;
      const size_t start = at_;
      next_code_point(text, at_);
      out = runtime_.str(text.substr(start, at_ - start));
      return true;
    }
    case Type::kList:
    case Type::kTuple: {
      const Values& items = source_.as<List>().items;
      if (at_ >= items.size()) return false;
      out = items[at_++];
      return true;
    }
    case Type::kDict: {
      const auto& items = source_.as<Dict>().items();
      if (at_ >= items.size()) return false;
      out = items[at_++].first;
      return true;
    }
    case Type::kDictView: {
      const DictView& view = source_.as<DictView>();
      const auto& items = view.dict->items();
      if (at_ >= items.size()) return false;
      const auto& [key, value] = items[at_++];
      switch (view.part) {
        case DictView::Part::kKeys:
          out = key;
          break;
        case DictView::Part::kValues:
          out = value;
          break;
        case DictView::Part::kItems:
          out = runtime_.tuple({key, value});
          break;
      }
      return true;
    }
    case Type::kRange: {
      const Range& range = source_.as<Range>();
      if (static_cast<int64_t>(at_) >= range.length) return false;
      out = Value::integer(range.start + static_cast<int64_t>(at_++) * range.step);
      return true;
    }
    case Type::kIterator:
      return runtime_.advance(source_.as<Iterator>(), out);
    default:
      return false;
  }
}

Values to_vector(Runtime& runtime, const Value& iterable) {
  if (iterable.is_sequence()) {
    runtime.spend(1 + iterable.as<List>().items.size());
    return iterable.as<List>().items;
  }
  Values items;
  Value item;
  for (Cursor cursor(runtime, iterable); cursor.next(item);) {
    items.push_back(std::move(item));
    // Until the vector becomes a value it is not charged; this bounds what it can grow to.
    if (items.size() > (size_t{1} << 20)) eval_fail("a sequence has more than 1048576 items");
  }
  return items;
}

}  // namespace axk1::jinja
