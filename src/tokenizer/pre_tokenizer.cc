#include "tokenizer/pre_tokenizer.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"
#include "tokenizer/unicode.h"
#include "tokenizer/vocabulary.h"

namespace axk1 {
namespace {

using Kind = PreTokenizerStep::Kind;
using Span = PreTokenizerScratch::Span;

// No real tokenizer has more; each costs some milliseconds when it is loaded.
constexpr size_t kMaxJoinedSteps = 32;

bool delimits(Kind kind, char32_t c) {
  switch (kind) {
    case Kind::kDigits:
      return is_numeric(c);
    case Kind::kPunctuation:
      return is_punctuation(c);
    default:
      return is_whitespace(c);
  }
}

// The spans of text[piece], in order and without gaps, told apart by matching.
void find_spans(const PreTokenizerStep& step, std::string_view text, Piece piece,
                RegexScratch& regex, std::vector<Span>& spans) {
  spans.clear();
  const std::string_view inside = text.substr(piece.begin, piece.end - piece.begin);
  size_t done = 0;
  auto add = [&](size_t begin, size_t end) {
    if (done < begin) spans.push_back({piece.begin + done, piece.begin + begin, step.invert});
    spans.push_back({piece.begin + begin, piece.begin + end, !step.invert});
    done = end;
  };
  if (step.kind == Kind::kSplit) {
    RegexScan scan(*step.pattern, inside, regex);
    while (const auto match = scan.next()) add(match->begin, match->end);
  } else {
    for (size_t at = 0; at < inside.size();) {
      const Utf8Char c = decode_utf8(inside.substr(at));
      if (delimits(step.kind, c.code_point)) add(at, at + c.length);
      at += c.length;
    }
  }
  if (done < inside.size()) spans.push_back({piece.begin + done, piece.end, step.invert});
}

// The rules of SplitDelimiterBehavior in tokenizers/src/tokenizer/normalizer.rs.
void apply_behavior(SplitBehavior behavior, const std::vector<Span>& spans,
                    std::vector<Piece>& pieces) {
  const size_t first = pieces.size();
  auto extends = [&](bool merge) { return merge && pieces.size() > first; };
  bool previous = false;
  switch (behavior) {
    case SplitBehavior::kIsolated:
      for (const Span& span : spans) pieces.push_back({span.begin, span.end});
      break;
    case SplitBehavior::kRemoved:
      for (const Span& span : spans) {
        if (!span.match) pieces.push_back({span.begin, span.end});
      }
      break;
    case SplitBehavior::kContiguous:
    case SplitBehavior::kMergedWithPrevious:
      for (const Span& span : spans) {
        const bool merge = behavior == SplitBehavior::kContiguous ? span.match == previous
                                                                  : span.match && !previous;
        if (extends(merge)) {
          pieces.back().end = span.end;
        } else {
          pieces.push_back({span.begin, span.end});
        }
        previous = span.match;
      }
      break;
    case SplitBehavior::kMergedWithNext:
      for (size_t i = spans.size(); i-- > 0;) {
        if (extends(spans[i].match && !previous)) {
          pieces.back().begin = spans[i].begin;
        } else {
          pieces.push_back({spans[i].begin, spans[i].end});
        }
        previous = spans[i].match;
      }
      std::reverse(pieces.begin() + static_cast<ptrdiff_t>(first), pieces.end());
      break;
  }
}

// The common case of find_spans and apply_behavior in one.
void split_isolated(const Regex& pattern, std::string_view text, Piece piece, RegexScratch& regex,
                    std::vector<Piece>& pieces) {
  RegexScan scan(pattern, text.substr(piece.begin, piece.end - piece.begin), regex);
  size_t done = piece.begin;
  auto add = [&](size_t end) {
    if (done < end) pieces.push_back({done, end});
    done = end;
  };
  while (const auto match = scan.next()) {
    add(piece.begin + match->begin);
    add(piece.begin + match->end);
  }
  add(piece.end);
}

void rewrite(Kind kind, PreTokenizerScratch& scratch) {
  std::string& out = scratch.text.data() == scratch.rewritten[0].data() ? scratch.rewritten[1]
                                                                        : scratch.rewritten[0];
  out.clear();
  for (Piece& piece : scratch.pieces) {
    const std::string_view inside = scratch.text.substr(piece.begin, piece.end - piece.begin);
    piece.begin = out.size();
    if (kind == Kind::kBytes) {
      out += bytes_to_text(inside);
    } else {
      if (!inside.starts_with(' ')) out += ' ';
      out += inside;
    }
    piece.end = out.size();
  }
  scratch.text = out;
}

}  // namespace

void PreTokenizer::join_class_runs() {
  std::vector<PreTokenizerStep> joined;
  size_t num_simple = 0;
  std::vector<ClassRunShape> shapes;  // of the row of steps that is being looked at
  const auto end_row = [&] {
    if (shapes.empty()) return;
    PreTokenizerStep step{.kind = Kind::kClassRuns};
    step.class_runs = std::make_shared<const ClassRuns>(shapes);
    joined.push_back(std::move(step));
    shapes.clear();
  };
  for (PreTokenizerStep& step : steps) {
    const bool simple = step.kind == Kind::kSplit && step.pattern->class_run() &&
                        step.behavior == SplitBehavior::kIsolated && num_simple++ < kMaxJoinedSteps;
    if (!simple) {
      end_row();
      joined.push_back(std::move(step));
      continue;
    }
    shapes.push_back(*step.pattern->class_run());
    if (shapes.size() > ClassRuns::kMaxRuns ||
        ClassRuns::num_classes(shapes) > ClassRuns::kMaxClasses) {
      ClassRunShape last = std::move(shapes.back());
      shapes.pop_back();
      end_row();
      shapes.push_back(std::move(last));
    }
  }
  end_row();
  steps = std::move(joined);
}

void PreTokenizer::run(std::string_view text, RegexScratch& regex,
                       PreTokenizerScratch& scratch) const {
  scratch.text = text;
  scratch.pieces.clear();
  if (!text.empty()) scratch.pieces.push_back({0, text.size()});
  for (const PreTokenizerStep& step : steps) {
    if (step.kind == Kind::kPrefixSpace || step.kind == Kind::kBytes) {
      rewrite(step.kind, scratch);
      continue;
    }
    std::swap(scratch.previous, scratch.pieces);
    scratch.pieces.clear();
    if (step.kind == Kind::kClassRuns) {
      for (const Piece piece : scratch.previous) {
        step.class_runs->cut(scratch.text, piece, scratch.classes, scratch.pieces);
      }
      continue;
    }
    if (step.kind == Kind::kSplit && step.behavior == SplitBehavior::kIsolated) {
      for (const Piece piece : scratch.previous) {
        split_isolated(*step.pattern, scratch.text, piece, regex, scratch.pieces);
      }
      continue;
    }
    for (const Piece piece : scratch.previous) {
      find_spans(step, scratch.text, piece, regex, scratch.spans);
      apply_behavior(step.behavior, scratch.spans, scratch.pieces);
    }
    std::erase_if(scratch.pieces, [](Piece piece) { return piece.begin == piece.end; });
  }
}

}  // namespace axk1
