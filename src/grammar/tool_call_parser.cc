#include "grammar/tool_call_parser.h"

#include <optional>
#include <utility>

#include "base/check.h"
#include "base/utf8.h"
#include "grammar/json_cursor.h"
#include "grammar/json_schema.h"

namespace axk1 {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

// The object of one call, byte by byte: checks that it is JSON, and finds name and arguments.
class CallReader {
 public:
  enum class Result { kMore, kDone, kWrong };

  explicit CallReader(const Grammar& any_object) : cursor_(any_object, frame_) {}
  CallReader(const CallReader&) = delete;
  CallReader& operator=(const CallReader&) = delete;

  Result push(char c) {
    if (!cursor_.push(static_cast<uint8_t>(c), keys_)) return Result::kWrong;
    if (in_string_) {
      string_ += c;
      if (in_arguments_) arguments_ += c;
      if (std::exchange(escaped_, false)) return Result::kMore;
      if (c == '\\') escaped_ = true;
      if (c == '"') return end_string();
      return Result::kMore;
    }
    if (is_space(c) && !in_arguments_) return Result::kMore;
    if (expects_value_ && depth_ == 1 && !begin_value(c)) return Result::kWrong;
    if (in_arguments_) arguments_ += c;
    switch (c) {
      case '"':
        in_string_ = true;
        string_ = c;
        break;
      case '{':
      case '[':
        ++depth_;
        break;
      case '}':
      case ']':
        if (--depth_ == 1 && in_arguments_) {
          in_arguments_ = false;
          has_arguments_ = true;
        }
        if (depth_ == 0) return name_ ? Result::kDone : Result::kWrong;
        break;
      case ':':
        expects_value_ = depth_ == 1;
        break;
      default:
        break;
    }
    return Result::kMore;
  }

  const std::optional<std::string>& name() const { return name_; }
  bool has_arguments() const { return has_arguments_; }
  // The arguments read and not yet taken.
  std::string take_arguments() { return std::exchange(arguments_, ""); }

 private:
  // The value of a key of the call itself begins with c.
  bool begin_value(char c) {
    expects_value_ = false;
    if (key_ == "name") return c == '"';
    if (key_ == "arguments") {
      in_arguments_ = true;
      return c == '{';
    }
    return true;
  }

  Result end_string() {
    in_string_ = false;
    if (depth_ != 1) return Result::kMore;
    const std::string text(json::parse(string_, "tool call").get_string());
    if (is_key()) {
      key_ = text;
    } else if (key_ == "name") {
      name_ = text;
    }
    return Result::kMore;
  }
  // The string that has just ended: a key is followed by a colon.
  bool is_key() const { return cursor_.mode() == JsonCursor::Mode::kColon; }

  Frame frame_;
  JsonCursor cursor_;
  TextBuffer keys_;
  int depth_ = 0;
  bool in_string_ = false, escaped_ = false;
  bool expects_value_ = false;  // behind the colon of a key of the call itself
  bool in_arguments_ = false, has_arguments_ = false;
  std::string key_, string_;
  std::optional<std::string> name_;
  std::string arguments_;
};

}  // namespace

struct ToolCallParser::Impl {
  enum class State {
    kContent,
    kCall,     // behind `open`
    kClosing,  // behind the object
  };
  using Kind = ToolCallEvent::Kind;

  explicit Impl(ToolCallParserOptions options_in) : options(std::move(options_in)) {
    AXK1_CHECK(!options.open.empty() && !options.close.empty());
  }

  void run(std::string_view bytes) {
    input.append(bytes);
    // What turns out to be no call is put back in front of the input.
    for (size_t at = 0; at < input.size() || !put_back.empty();) {
      if (!put_back.empty()) {
        input.replace(0, at, std::exchange(put_back, ""));
        at = 0;
      } else {
        push(input[at++]);
      }
    }
    input.clear();
  }

  void push(char c) {
    if (state == State::kContent) {
      push_content(c);
      return;
    }
    call_text += c;
    if (state == State::kCall) {
      const CallReader::Result result = reader->push(c);
      if (result == CallReader::Result::kWrong) {
        no_call(1);
        return;
      }
      stream();
      if (result == CallReader::Result::kDone) state = State::kClosing;
    } else if (matched > 0 || !is_space(c)) {
      if (c != options.close[matched]) {
        no_call(matched + 1);
      } else if (++matched == options.close.size()) {
        end_call(true);
      }
    }
  }

  void push_content(char c) {
    held += c;
    if (held.ends_with(options.open)) {
      held.resize(held.size() - options.open.size());
      size_t end = held.size();
      while (end > 0 && is_space(held[end - 1])) --end;
      space = held.substr(end);
      give_content(end);
      held.clear();
      state = State::kCall;
      call_text.clear();
      matched = 0;
      begun = false;
      reader = std::make_unique<CallReader>(*any_object);
      return;
    }
    // White space, and behind it the beginning of a mark, wait for what follows.
    const std::string_view mark = options.open;
    size_t n = std::min(held.size(), mark.size() - 1);
    while (n > 0 && !held.ends_with(mark.substr(0, n))) --n;
    size_t sure = held.size() - n;
    while (sure > 0 && is_space(held[sure - 1])) --sure;
    give_content(sure);
  }

  // The first n bytes of `held` are content.
  void give_content(size_t n) {
    std::string text = held.substr(0, n);
    held.erase(0, n);
    if (after_call) {
      size_t from = 0;
      while (from < text.size() && is_space(text[from])) ++from;
      text.erase(0, from);
    }
    if (text.empty()) return;
    after_call = false;
    give(Kind::kContent, text, content_tail);
  }

  // Gives out whole characters; the rest waits in `tail`.
  void give(Kind kind, const std::string& text, std::string& tail) {
    tail += text;
    const size_t whole = tail.size() - incomplete_utf8_tail(tail);
    if (whole > 0) add(kind, tail.substr(0, whole));
    tail.erase(0, whole);
  }
  void flush(Kind kind, std::string& tail) {
    if (!tail.empty()) add(kind, std::exchange(tail, ""));
  }
  void add(Kind kind, std::string_view text) {
    const size_t call_idx = kind == Kind::kContent ? 0 : num_calls;
    const std::string valid = utf8_lossy(text);
    if (!events.empty() && events.back().kind == kind) {
      events.back().text += valid;
    } else {
      events.push_back({kind, call_idx, valid, true});
    }
  }

  void begin() {
    begun = true;
    flush(Kind::kContent, content_tail);
    events.push_back({Kind::kBegin, num_calls, *reader->name(), true});
  }

  void stream() {
    if (!options.streamed || !reader->name()) return;
    if (!begun) begin();
    give(Kind::kArguments, reader->take_arguments(), argument_tail);
  }

  void end_call(bool complete) {
    if (!begun) begin();
    if (complete && !reader->has_arguments()) {
      add(Kind::kArguments, "{}");
    } else {
      give(Kind::kArguments, reader->take_arguments(), argument_tail);
    }
    flush(Kind::kArguments, argument_tail);
    events.push_back({Kind::kEnd, num_calls++, "", complete});
    after_call = true;
    state = State::kContent;
  }

  // The last `wrong` bytes of call_text are not those of a call.
  void no_call(size_t wrong) {
    if (begun) {
      end_call(state == State::kClosing);
      put_back = call_text.substr(call_text.size() - wrong);
    } else {
      give(Kind::kContent, space + options.open, content_tail);
      put_back = call_text;
    }
    after_call = false;
    state = State::kContent;
  }

  void finish() {
    while (state != State::kContent) {
      if (state == State::kClosing) {
        end_call(true);
      } else {
        no_call(0);
        run("");
      }
    }
    give_content(held.size());
    flush(Kind::kContent, content_tail);
  }

  ToolCallParserOptions options;
  std::shared_ptr<const Grammar> any_object = compile_any_json_object();
  State state = State::kContent;
  std::vector<ToolCallEvent> events;
  std::string input, put_back;
  std::string held;           // content that is not yet sure
  std::string content_tail;   // bytes of a character that is not complete
  std::string argument_tail;  // the same of arguments
  bool after_call = false;    // no content since the last call
  std::string space;          // in front of the call
  std::string call_text;      // behind `open`
  std::unique_ptr<CallReader> reader;
  bool begun = false;  // kBegin has been given out
  size_t matched = 0;  // bytes of `close`
  size_t num_calls = 0;
};

ToolCallParser::ToolCallParser(ToolCallParserOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}
ToolCallParser::~ToolCallParser() = default;
ToolCallParser::ToolCallParser(ToolCallParser&&) noexcept = default;
ToolCallParser& ToolCallParser::operator=(ToolCallParser&&) noexcept = default;

std::vector<ToolCallEvent> ToolCallParser::push(std::string_view bytes) {
  impl_->run(bytes);
  return std::exchange(impl_->events, {});
}

std::vector<ToolCallEvent> ToolCallParser::finish() {
  impl_->finish();
  return std::exchange(impl_->events, {});
}

size_t ToolCallParser::num_calls() const {
  return impl_->num_calls + (impl_->state != Impl::State::kContent && impl_->begun);
}

}  // namespace axk1
