// The functions a template can call by name.
#include "base/utf8.h"
#include "chat/jinja_builtins.h"
#include "chat/jinja_ops.h"
#include "chat/jinja_print.h"

namespace axk1::jinja {
namespace {

constexpr int64_t kMaxRange = 100'000;  // MAX_RANGE of Jinja2's sandbox

Value range(Runtime& rt, const Value&, const Args& args) {
  const Params p(args, "range", {"start", "stop", "step"}, 1);
  const int64_t step = p.integer(2, 1);
  if (step == 0) eval_fail("range() arg 3 must not be zero");
  const bool one = args.positional.size() == 1;
  for (size_t i = 0; i < 3; ++i) {
    if (!p.has(i)) continue;
    require_defined(p[i]);
    if (!p[i].is_int()) {
      eval_fail("'", type_name(p[i]), "' object cannot be interpreted as an integer");
    }
  }
  const int64_t start = one ? 0 : p.integer(0, 0);
  const int64_t stop = p.integer(one ? 0 : 1, 0);
  Value v = rt.range(start, stop, step);
  const int64_t length = v.as<Range>().length;
  if (length > kMaxRange || length < 0) {
    eval_fail("Range too big. The sandbox blocks ranges larger than MAX_RANGE (", kMaxRange, ").");
  }
  return v;
}

// The pairs of a mapping or of a sequence of pairs, followed by the named arguments.
std::vector<Dict::Item> pairs(Runtime& rt, const Args& args, const char* function) {
  if (args.positional.size() > 1) {
    eval_fail(function, " expected at most 1 argument, got ", args.positional.size());
  }
  std::vector<Dict::Item> items;
  if (!args.positional.empty()) {
    const Value& from = args.positional[0];
    require_defined(from);
    if (from.is(Type::kDict)) {
      items = from.as<Dict>().items();
    } else {
      for (const Value& item : to_vector(rt, from)) {
        const Values pair = to_vector(rt, item);
        if (pair.size() != 2) {
          eval_fail("dictionary update sequence element has length ", pair.size(),
                    "; 2 is required");
        }
        items.emplace_back(pair[0], pair[1]);
      }
    }
  }
  for (const auto& [name, value] : args.named) items.emplace_back(rt.str(name), value);
  return items;
}

Value dict(Runtime& rt, const Value&, const Args& args) {
  return rt.dict(pairs(rt, args, "dict"));
}

Value make_namespace(Runtime& rt, const Value&, const Args& args) {
  Value ns = rt.make_namespace();
  for (const auto& [key, value] : pairs(rt, args, "namespace")) {
    ns.as<Namespace>().set(to_str(rt, key), value);
  }
  return ns;
}

Value cycler(Runtime& rt, const Value&, const Args& args) {
  if (!args.named.empty()) eval_fail("cycler() takes no keyword arguments");
  if (args.positional.empty()) eval_fail("at least one item has to be provided");
  return Value(Ref<Cycler>(new Cycler(rt.budget(), args.positional)));
}

Value joiner(Runtime& rt, const Value&, const Args& args) {
  const Params p(args, "joiner", {"sep"});
  return Value(Ref<Joiner>(new Joiner(rt.budget(), p.has(0) ? p[0] : rt.str(", "))));
}

Value raise_exception(Runtime& rt, const Value&, const Args& args) {
  const Params p(args, "raise_exception", {"message"}, 1);
  throw EvalError(to_str(rt, p[0]));
}

Value strftime_now(Runtime& rt, const Value&, const Args& args) {
  const Params p(args, "strftime_now", {"format"}, 1);
  const std::string format = p.text(0);
  if (format.size() > 1000) eval_fail("strftime_now: the format is too long");
  if (format.empty() || format.find('\0') != std::string::npos) return rt.str("");
  const std::tm now = rt.now();
  // strftime gives 0 both for no room and for nothing to write: a final mark tells them apart.
  std::string out(format.size() * 64 + 256, '\0');
  out.resize(std::strftime(out.data(), out.size(), (format + "|").c_str(), &now));
  if (out.empty()) eval_fail("strftime_now: cannot write this format");
  out.pop_back();
  return rt.str(utf8_lossy(out));
}

constexpr Filter kGlobals[] = {
    {"cycler", cycler},
    {"dict", dict},
    {"joiner", joiner},
    {"namespace", make_namespace},
    {"raise_exception", raise_exception},
    {"range", range},
    {"strftime_now", strftime_now},
};

}  // namespace

Native find_global(std::string_view name) {
  for (const Filter& global : kGlobals) {
    if (global.name == name) return global.apply;
  }
  return nullptr;
}

}  // namespace axk1::jinja
