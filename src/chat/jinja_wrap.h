// Breaking a paragraph into lines as textwrap.wrap of Python does, without expanding tabs or
// replacing white space.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace axk1::jinja {

struct WrapStyle {
  size_t width = 79;  // code points
  bool break_long_words = true;
  bool break_on_hyphens = true;
};

std::vector<std::string> wrap(std::string_view text, const WrapStyle& style);

}  // namespace axk1::jinja
