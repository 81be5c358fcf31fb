#include "apps/line_editor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <wchar.h>

#include <clocale>

#include "apps/terminal.h"
#include "base/utf8.h"
#include "io/file.h"
#include "testing/process.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using ::testing::HasSubstr;

// Reads lines until Ctrl-D and says what it got.
int echo_lines(const char* locale, const std::string& history_file = "") {
  setenv("LC_ALL", locale, 1);
  setenv("HOME", "/nonexistent", 1);
  use_utf8_locale();
  LineEditor editor(history_file);
  std::string line;
  while (true) {
    switch (editor.read("> ", line)) {
      case LineEditor::Outcome::kLine:
        print_out("got[" + line + "]\n");
        break;
      case LineEditor::Outcome::kInterrupted:
        print_out("interrupted\n");
        break;
      case LineEditor::Outcome::kEnd:
        print_out("end\n");
        return 7;
    }
  }
}

// What one row of a terminal shows after this output: enough of ECMA-48 for what libedit sends.
// Each column holds a character, or nothing behind one of two columns.
std::string row_after(std::string_view output) {
  std::vector<std::string> columns;
  size_t at = 0;
  const auto grow = [&](size_t n) {
    if (columns.size() < n) columns.resize(n, " ");
  };
  while (!output.empty()) {
    const char c = output[0];
    if (c == '\b') {
      if (at) --at;
    } else if (c == '\r') {
      at = 0;
    } else if (c == '\n') {
      columns.clear();
    } else if (c == '\x1b' && output.size() > 1 && output[1] == '[') {
      size_t end = 2;
      while (end < output.size() && !isalpha(output[end]) && output[end] != '@') ++end;
      const size_t n = std::max(1, atoi(std::string(output.substr(2, end - 2)).c_str()));
      grow(at);
      const auto here = [&] { return columns.begin() + static_cast<int>(at); };
      switch (output[end]) {
        case 'K':
          columns.resize(at);
          break;
        case 'G':
          at = n - 1;
          break;
        case 'C':
          at += n;
          break;
        case 'D':
          at -= std::min(at, n);
          break;
        case 'P':
          columns.erase(here(), here() + static_cast<int>(std::min(n, columns.size() - at)));
          break;
        case '@':
          columns.insert(here(), n, " ");
          break;
        case 'J':
          columns.resize(at);
          break;
        default:
          break;
      }
      output.remove_prefix(end + 1);
      continue;
    } else if (static_cast<unsigned char>(c) >= 0x20) {
      const Utf8Char ch = decode_utf8(output);
      const size_t width =
          static_cast<size_t>(std::max(1, wcwidth(static_cast<wchar_t>(ch.code_point))));
      grow(at + width);
      columns[at] = std::string(output.substr(0, ch.length));
      if (width == 2) columns[at + 1] = "";
      at += width;
      output.remove_prefix(ch.length);
      continue;
    }
    output.remove_prefix(1);
  }
  std::string row;
  for (const std::string& column : columns) row += column;
  while (row.ends_with(' ')) row.pop_back();
  return row;
}

// What is on the row of the last prompt when Enter is pressed, given all output up to there.
std::string last_row(const std::string& shown) {
  const size_t end = shown.rfind("got[");
  const size_t row_end = shown.rfind('\n', end);
  const size_t start = shown.rfind('\n', row_end - 1) + 1;  // npos + 1 is 0
  return row_after(std::string_view(shown).substr(start, row_end - start));
}

class LineEditorTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { setlocale(LC_CTYPE, "C.UTF-8"); }

  // Types the keys and Enter at a prompt, and expects that line as the result and on the screen.
  void expect_line(testing::Terminal& terminal, std::string_view keys, const std::string& line) {
    for (char key : keys) {
      terminal.type({&key, 1});
      usleep(500);  // the bytes of a character arrive one by one
    }
    terminal.type("\r");
    EXPECT_TRUE(terminal.wait_to_show("got[" + line + "]")) << terminal.shown();
    EXPECT_EQ(last_row(terminal.shown()), line.empty() ? ">" : "> " + line);
    EXPECT_TRUE(terminal.wait_to_show("> ")) << terminal.shown();
    ++num_lines_;
  }

  int num_lines_ = 0;
};

const std::string kBackspace = "\x7f", kLeft = "\x1b[D", kRight = "\x1b[C", kUp = "\x1b[A";

TEST_F(LineEditorTest, HangulOfTwoColumnsIsOneCharacter) {
  for (const char* locale : {"C.UTF-8", "C", "ko_KR.EUC-KR"}) {
    testing::Terminal terminal([&] { return echo_lines(locale); });
    ASSERT_TRUE(terminal.wait_to_show("> ")) << terminal.shown();
    expect_line(terminal, "안녕", "안녕");
    expect_line(terminal, "가나" + kBackspace + "다", "가다");
    expect_line(terminal, "가" + kBackspace, "");
    expect_line(terminal, "가a나b" + kBackspace + kBackspace + kBackspace, "가");
    expect_line(terminal, "가나다" + kLeft + kLeft + "X", "가X나다");
    expect_line(terminal, "가나다" + kLeft + kBackspace, "가다");
    expect_line(terminal, "가나다\x01마\x05끝", "마가나다끝");  // Ctrl-A, Ctrl-E
    expect_line(terminal, "나라 말" + kLeft + kLeft + kRight + "싸", "나라 싸말");
    expect_line(terminal, "가나다\x01\x04", "나다");    // Ctrl-D within a line deletes
    expect_line(terminal, "하나 둘\x17셋", "하나 셋");  // Ctrl-W deletes a word
    expect_line(terminal, "😀a" + kBackspace + kBackspace + "é", "é");
    expect_line(terminal, kUp + kUp + "!", "하나 셋!");
    terminal.type("\x04");
    EXPECT_TRUE(terminal.wait_to_show("end"));
    EXPECT_EQ(terminal.wait_for_exit(), 7);
  }
  printf("[ cases ] edited lines: %d\n", num_lines_);
}

TEST_F(LineEditorTest, LinesLongerThanTheScreen) {
  testing::Terminal terminal([&] { return echo_lines("C.UTF-8"); });
  ASSERT_TRUE(terminal.wait_to_show("> "));
  std::string line;
  for (int i = 0; i < 100; ++i) line += "가나다라마";
  terminal.type(line + "바" + kBackspace + "\r");
  EXPECT_TRUE(terminal.wait_to_show("got[" + line + "]"));
}

TEST_F(LineEditorTest, CtrlCDropsTheLine) {
  testing::Terminal terminal([&] { return echo_lines("C.UTF-8"); });
  ASSERT_TRUE(terminal.wait_to_show("> "));
  terminal.type("버릴 말\x03");
  EXPECT_TRUE(terminal.wait_to_show("^C"));
  EXPECT_TRUE(terminal.wait_to_show("interrupted"));
  EXPECT_TRUE(terminal.wait_to_show("> "));
  expect_line(terminal, "새 말", "새 말");
  for (int i = 0; i < 2; ++i) {
    terminal.type("\x03");
    EXPECT_TRUE(terminal.wait_to_show("interrupted"));
    EXPECT_TRUE(terminal.wait_to_show("> "));
  }
  terminal.type("\x04");
  EXPECT_EQ(terminal.wait_for_exit(), 7);
}

TEST_F(LineEditorTest, HistoryFile) {
  const testing::TempDir dir;
  const std::string file = dir.path() + "/history";
  {
    testing::Terminal terminal([&] { return echo_lines("C.UTF-8", file); });
    ASSERT_TRUE(terminal.wait_to_show("> "));
    expect_line(terminal, "첫째 줄", "첫째 줄");
    expect_line(terminal, "둘째", "둘째");
    terminal.type("\x04");
    EXPECT_EQ(terminal.wait_for_exit(), 7);
  }
  testing::Terminal terminal([&] { return echo_lines("C.UTF-8", file); });
  ASSERT_TRUE(terminal.wait_to_show("> "));
  expect_line(terminal, kUp + kUp, "첫째 줄");
}

}  // namespace
}  // namespace axk1
