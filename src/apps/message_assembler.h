// A message that may take several lines: a line that ends with a backslash goes on in the next one,
// and a line that begins with """ opens a block up to a line that ends with """.
#pragma once

#include <string>
#include <string_view>

namespace axk1 {

class MessageAssembler {
 public:
  // Takes a line without its end. True when the message is complete.
  bool push(std::string_view line);

  bool empty() const { return !started_; }  // no line since the last take()

  // The message, complete or not; starts the next one.
  std::string take();

 private:
  std::string text_;
  bool started_ = false;
  bool in_block_ = false;
};

}  // namespace axk1
