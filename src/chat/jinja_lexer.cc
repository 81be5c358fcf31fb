#include "chat/jinja_lexer.h"

#include <algorithm>
#include <optional>

#include "base/utf8.h"
#include "chat/jinja_text.h"
#include "chat/jinja_value.h"

namespace axk1::jinja {
namespace {

// \r\n and \r become \n; one newline at the very end is dropped (keep_trailing_newline is off).
std::string normalised(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

bool is_digit_of(char c, int base) {
  if (base == 16) return std::isxdigit(static_cast<unsigned char>(c));
  return c >= '0' && c < '0' + base;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) text_part();
    push(TokenType::kEof, at_, "");
    return std::move(tokens_);
  }

 private:
  char peek(size_t ahead = 0) const {
    return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0';
  }
  bool looking_at(std::string_view text) const {
    return std::string_view(source_).substr(at_, text.size()) == text;
  }

  // Offsets are asked for in rising order, so one pass over the source serves them all.
  Position position(size_t offset) {
    if (offset < counted_) {
      counted_ = 0;
      place_ = {};
    }
    for (; counted_ < offset; ++counted_) {
      if (source_[counted_] == '\n') {
        ++place_.line;
        place_.column = 1;
      } else if ((static_cast<unsigned char>(source_[counted_]) & 0xc0) != 0x80) {
        ++place_.column;
      }
    }
    return place_;
  }

  [[noreturn]] void error(size_t offset, const std::string& message) {
    throw SyntaxError(position(offset), message);
  }

  Token& push(TokenType type, size_t offset, std::string text) {
    Token token;
    token.type = type;
    token.at = position(offset);
    token.text = std::move(text);
    tokens_.push_back(std::move(token));
    return tokens_.back();
  }

  size_t skip_space(size_t offset) const {
    while (offset < source_.size()) {
      size_t next = offset;
      if (!is_space(next_code_point(source_, next))) break;
      offset = next;
    }
    return offset;
  }

  // Text in front of a tag whose first bytes are at `tag`: `sign` is the tag's '-', '+' or 0.
  void push_data(size_t start, size_t tag, char sign, bool variable) {
    std::string_view text = std::string_view(source_).substr(start, tag - start);
    if (sign == '-') {
      text = strip(text, {}, Side::kRight);
    } else if (sign != '+' && !variable) {
      // lstrip_blocks: white space between the start of the line and the tag goes.
      const size_t newline = text.rfind('\n');
      const size_t line = newline == std::string_view::npos ? 0 : newline + 1;
      const bool at_line_start = line > 0 || start == 0 || source_[start - 1] == '\n';
      if (at_line_start && strip(text.substr(line), {}, Side::kLeft).empty()) {
        text = text.substr(0, line);
      }
    }
    if (!text.empty()) push(TokenType::kData, start, std::string(text));
  }

  char sign_at(size_t offset) const {
    const char c = offset < source_.size() ? source_[offset] : '\0';
    return c == '-' || c == '+' ? c : '\0';
  }

  // Template text up to the next tag, and that tag.
  void text_part() {
    const size_t start = at_;
    for (; at_ < source_.size(); ++at_) {
      if (source_[at_] == '{' && (peek(1) == '{' || peek(1) == '%' || peek(1) == '#')) break;
    }
    const size_t tag = at_;
    if (tag == source_.size()) {
      push(TokenType::kData, start, source_.substr(start));
      return;
    }
    const char kind = source_[tag + 1];
    const char sign = sign_at(tag + 2);
    push_data(start, tag, sign, kind == '{');
    if (kind == '%') {
      if (const std::optional<size_t> body = raw_begin(tag)) {
        raw_part(tag, *body);
        return;
      }
    }
    at_ = tag + 2 + (sign ? 1 : 0);
    if (kind == '#') {
      comment_part(tag);
    } else if (kind == '{') {
      push(TokenType::kVariableBegin, tag, "{{");
      code_part(tag, "}}", TokenType::kVariableEnd);
    } else {
      push(TokenType::kBlockBegin, tag, "{%");
      code_part(tag, "%}", TokenType::kBlockEnd);
    }
  }

  // Where the text of a raw block begins, if the tag at `tag` is {% raw %}.
  std::optional<size_t> raw_begin(size_t tag) const {
    size_t i = skip_space(tag + 2 + (sign_at(tag + 2) ? 1 : 0));
    if (source_.compare(i, 3, "raw") != 0) return std::nullopt;
    i = skip_space(i + 3);
    if (source_.compare(i, 2, "%}") == 0) return i + 2;
    if (source_.compare(i, 3, "-%}") == 0) return skip_space(i + 3);
    return std::nullopt;
  }

  void raw_part(size_t tag, size_t body) {
    for (size_t end = source_.find("{%", body); end != std::string::npos;
         end = source_.find("{%", end + 2)) {
      const char sign = sign_at(end + 2);
      size_t i = skip_space(end + 2 + (sign ? 1 : 0));
      if (source_.compare(i, 6, "endraw") != 0) continue;
      i = skip_space(i + 6);
      const size_t after = end_of_tag(i, "%}", true);
      if (after == i) continue;
      push_data(body, end, sign, false);
      at_ = after;
      return;
    }
    error(tag, "Missing end of raw directive");
  }

  void comment_part(size_t tag) {
    const size_t end = source_.find("#}", at_);
    if (end == std::string::npos) error(tag, "Missing end of comment tag");
    const char sign = end > at_ ? source_[end - 1] : '\0';
    at_ = end + 2;
    if (sign == '-') {
      at_ = skip_space(at_);
    } else if (sign != '+' && peek() == '\n') {
      ++at_;
    }
  }

  // The offset behind a tag's end at `i`, with the white space it takes along; `i` when none is
  // there. Block ends take one newline (trim_blocks).
  size_t end_of_tag(size_t i, std::string_view end, bool block) const {
    if (source_.compare(i, 2, end) == 0) {
      i += 2;
      return block && i < source_.size() && source_[i] == '\n' ? i + 1 : i;
    }
    if (i < source_.size() && source_.compare(i + 1, 2, end) == 0) {
      if (source_[i] == '-') return skip_space(i + 3);
      if (source_[i] == '+' && block) return i + 3;
    }
    return i;
  }

  void code_part(size_t tag, std::string_view end, TokenType end_type) {
    std::string open;  // the brackets still to be closed
    while (true) {
      at_ = skip_space(at_);
      if (at_ >= source_.size()) {
        error(tag, cat("the tag opened here is not closed: expected '", end, "'"));
      }
      if (open.empty()) {
        const size_t after = end_of_tag(at_, end, end_type == TokenType::kBlockEnd);
        if (after != at_) {
          push(end_type, at_, std::string(end));
          at_ = after;
          return;
        }
      }
      token(open);
    }
  }

  void token(std::string& open) {
    const char c = peek();
    if (std::isdigit(static_cast<unsigned char>(c))) {
      number();
    } else if (c == '\'' || c == '"') {
      string(c);
    } else {
      size_t end = at_;
      while (end < source_.size()) {
        size_t next = end;
        const char32_t point = next_code_point(source_, next);
        if (!is_word(point) && !is_identifier_part(point)) break;
        end = next;
      }
      if (end > at_) {
        const std::string name = source_.substr(at_, end - at_);
        if (!is_identifier(name)) error(at_, "Invalid character in identifier");
        push(TokenType::kName, at_, name);
        at_ = end;
      } else {
        op(open);
      }
    }
  }

  void op(std::string& open) {
    static constexpr std::string_view kOperators[] = {
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
    for (std::string_view candidate : kOperators) {
      if (!looking_at(candidate)) continue;
      const char c = candidate[0];
      if (c == '(') open += ')';
      if (c == '[') open += ']';
      if (c == '{') open += '}';
      if (c == ')' || c == ']' || c == '}') {
        if (open.empty()) error(at_, cat("unexpected '", c, "'"));
        if (open.back() != c) {
          error(at_, cat("unexpected '", c, "', expected '", open.back(), "'"));
        }
        open.pop_back();
      }
      push(TokenType::kOperator, at_, std::string(candidate));
      at_ += candidate.size();
      return;
    }
    size_t next = at_;
    next_code_point(source_, next);
    error(at_, cat("unexpected char ", quoted(source_.substr(at_, next - at_)), " at ", at_));
  }

  // Digits of `base` from `i` with single underscores between them; the offset behind them.
  size_t digits(size_t i, int base) const {
    size_t end = i;
    while (end < source_.size()) {
      if (is_digit_of(source_[end], base)) {
        ++end;
      } else if (source_[end] == '_' && end > i && end + 1 < source_.size() &&
                 is_digit_of(source_[end + 1], base)) {
        ++end;
      } else {
        break;
      }
    }
    return end;
  }

  void number() {
    const size_t start = at_;
    size_t end = digits(start, 10);
    bool is_float = false;
    if (start == 0 || source_[start - 1] != '.') {  // after a dot it is an index: a.1.2
      size_t fraction = end;
      if (fraction + 1 < source_.size() && source_[fraction] == '.' &&
          is_digit_of(source_[fraction + 1], 10)) {
        fraction = digits(fraction + 1, 10);
        is_float = true;
      }
      size_t exponent = fraction;
      if (exponent < source_.size() && (source_[exponent] == 'e' || source_[exponent] == 'E')) {
        ++exponent;
        if (exponent < source_.size() && (source_[exponent] == '+' || source_[exponent] == '-')) {
          ++exponent;
        }
        const size_t after = digits(exponent, 10);
        if (after > exponent) {
          fraction = after;
          is_float = true;
        }
      }
      if (is_float) end = fraction;
    }
    if (!is_float && source_[start] == '0' && start + 1 < source_.size()) {
      const char mark = static_cast<char>(source_[start + 1] | 0x20);
      const int base = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
      if (base) {
        const size_t first = start + 2 + (source_[std::min(start + 2, source_.size() - 1)] == '_');
        const size_t after = digits(first, base);
        if (after > first) end = after;
      }
    }
    const std::string text = source_.substr(start, end - start);
    Token& token = push(is_float ? TokenType::kFloat : TokenType::kInteger, start, text);
    at_ = end;
    if (is_float) {
      token.number = parse_float(text).value_or(0);
      return;
    }
    try {
      const std::optional<int64_t> value = parse_int(text, 0);
      if (!value) error(start, cat("invalid integer literal ", text));
      token.integer = *value;
    } catch (const EvalError& e) {
      error(start, e.what());
    }
  }

  void string(char quote) {
    const size_t start = at_++;
    std::string value;
    while (true) {
      if (at_ >= source_.size()) {
        error(start, cat("unexpected char ", quoted(std::string(1, quote)), " at ", start,
                         ": the string is not closed"));
      }
      const char c = source_[at_++];
      if (c == quote) break;
      if (c == '\\' && at_ < source_.size()) {
        escape(value);
      } else {
        value += c;
      }
    }
    push(TokenType::kString, start, std::move(value));
  }

  // Python's unicode-escape, from the character behind the backslash.
  void escape(std::string& value) {
    const size_t start = at_ - 1;
    const char c = source_[at_++];
    auto hex = [&](size_t count) {
      char32_t point = 0;
      for (size_t i = 0; i < count; ++i, ++at_) {
        const char digit = peek();
        if (!std::isxdigit(static_cast<unsigned char>(digit))) {
          error(start, cat("truncated \\", c, " escape"));
        }
        point = point * 16 + static_cast<char32_t>(std::isdigit(static_cast<unsigned char>(digit))
                                                       ? digit - '0'
                                                       : (digit | 0x20) - 'a' + 10);
      }
      if (point > 0x10ffff) error(start, "illegal Unicode character");
      return point;
    };
    switch (c) {
      case '\n':
        return;
      case '\\':
      case '\'':
      case '"':
        value += c;
        return;
      case 'a':
        value += '\a';
        return;
      case 'b':
        value += '\b';
        return;
      case 'f':
        value += '\f';
        return;
      case 'n':
        value += '\n';
        return;
      case 'r':
        value += '\r';
        return;
      case 't':
        value += '\t';
        return;
      case 'v':
        value += '\v';
        return;
      case 'x':
        append_utf8(value, hex(2));
        return;
      case 'u': {
        const char32_t high = hex(4);
        // Two surrogates written as two escapes are one character.
        if (high >= 0xd800 && high < 0xdc00 && peek() == '\\' && peek(1) == 'u') {
          const size_t back = at_;
          at_ += 2;
          const char32_t low = hex(4);
          if (low >= 0xdc00 && low < 0xe000) {
            append_utf8(value, 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00));
            return;
          }
          at_ = back;
        }
        append_utf8(value, high);
        return;
      }
      case 'U':
        append_utf8(value, hex(8));
        return;
      case 'N':
        error(start, "\\N{...} escapes are not supported: write \\uXXXX");
      default:
        break;
    }
    if (c >= '0' && c <= '7') {
      char32_t point = static_cast<char32_t>(c - '0');
      for (int i = 0; i < 2 && peek() >= '0' && peek() <= '7'; ++i) {
        point = point * 8 + static_cast<char32_t>(source_[at_++] - '0');
      }
      append_utf8(value, point);
      return;
    }
    value += '\\';  // not an escape: both characters stay
    value += c;
  }

  const std::string source_;
  size_t at_ = 0;
  size_t counted_ = 0;
  Position place_;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) {
  const std::string text =
      is_valid_utf8(source) ? normalised(source) : normalised(utf8_lossy(source));
  return Lexer(text).run();
}

std::string describe(const Token& token) {
  switch (token.type) {
    case TokenType::kData:
      return "template data / text";
    case TokenType::kVariableBegin:
      return "begin of print statement";
    case TokenType::kVariableEnd:
      return "end of print statement";
    case TokenType::kBlockBegin:
      return "begin of statement block";
    case TokenType::kBlockEnd:
      return "end of statement block";
    case TokenType::kString:
      return "string";
    case TokenType::kInteger:
      return "integer";
    case TokenType::kFloat:
      return "float";
    case TokenType::kEof:
      return "end of template";
    case TokenType::kName:
    case TokenType::kOperator:
      break;
  }
  return printable(token.text, 40);
}

}  // namespace axk1::jinja
