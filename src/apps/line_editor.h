// Editing of a line at the terminal: libedit's wide-character interface, so that syllables of
// several bytes and two columns are one character to the cursor.
#pragma once

#include <memory>
#include <string>

namespace axk1 {

// Reads stdin, writes stdout; both must be terminals, and LC_CTYPE a UTF-8 locale
// (use_utf8_locale). One at a time, one thread. The terminal is in its own mode only within read().
class LineEditor {
 public:
  enum class Outcome { kLine, kInterrupted, kEnd };  // kInterrupted: Ctrl-C; kEnd: Ctrl-D

  // Earlier lines come from `history_file` and go back to it at the end; "" for none. A file that
  // is not there yet is no error.
  explicit LineEditor(const std::string& history_file = "");
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  // One line in UTF-8, without its end. `prompt` is plain text.
  Outcome read(const std::string& prompt, std::string& line);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace axk1
