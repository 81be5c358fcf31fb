#include "apps/message_assembler.h"

#include <utility>

namespace axk1 {
namespace {
constexpr std::string_view kBlock = "\"\"\"";
}

bool MessageAssembler::push(std::string_view line) {
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  bool opened_here = false;
  if (!started_) {
    started_ = true;
    if (line.starts_with(kBlock)) {
      in_block_ = opened_here = true;
      line.remove_prefix(kBlock.size());
    }
  }
  if (in_block_) {
    const bool closed = line.ends_with(kBlock);
    if (closed) {
      line.remove_suffix(kBlock.size());
      in_block_ = false;
    }
    text_ += line;
    // The ends of lines next to the marks are not part of the text.
    if (closed && line.empty() && !opened_here && text_.ends_with('\n')) text_.pop_back();
    if (!closed && !(opened_here && line.empty())) text_ += '\n';
    return closed;
  }
  const bool goes_on = line.ends_with('\\');
  if (goes_on) line.remove_suffix(1);
  text_ += line;
  if (goes_on) text_ += '\n';
  return !goes_on;
}

std::string MessageAssembler::take() {
  started_ = in_block_ = false;
  return std::exchange(text_, {});
}

}  // namespace axk1
