#include "apps/answer_printer.h"

#include <gtest/gtest.h>

#include "apps/progress.h"
#include "apps/terminal.h"

namespace axk1 {
namespace {

std::string print(AnswerStyle style, std::string_view reasoning, std::string_view content,
                  size_t piece) {
  std::string out;
  AnswerPrinter printer(style, [&](std::string_view text) { out += text; });
  for (size_t at = 0; at < reasoning.size(); at += piece) {
    printer.reasoning(reasoning.substr(at, piece));
  }
  for (size_t at = 0; at < content.size(); at += piece) printer.content(content.substr(at, piece));
  printer.finish();
  return out;
}

TEST(AnswerPrinter, PlainMarksReasoning) {
  for (size_t piece : {1u, 2u, 5u, 100u}) {
    EXPECT_EQ(print(AnswerStyle::kPlain, "\n why? \n so.\n\n", "\n\nBecause.\n x", piece),
              "<think>\nwhy? \n so.\n</think>\n\nBecause.\n x\n");
    EXPECT_EQ(print(AnswerStyle::kPlain, "", "hi", piece), "hi\n");
    EXPECT_EQ(print(AnswerStyle::kPlain, "", "hi\n", piece), "hi\n");
    EXPECT_EQ(print(AnswerStyle::kPlain, "cut short", "", piece), "<think>\ncut short\n</think>\n");
    EXPECT_EQ(print(AnswerStyle::kPlain, "\n", "hi", piece), "hi\n");
    EXPECT_EQ(print(AnswerStyle::kPlain, "", "", piece), "\n");
  }
}

TEST(AnswerPrinter, TerminalDimsReasoningAndTakesNoOrders) {
  EXPECT_EQ(print(AnswerStyle::kTerminal, "a\x1b[31mb", "c\x1b]0;title\x07\td", 100),
            "\x1b[2ma[31mb\n\x1b[0m\nc]0;title\td\n");
}

TEST(Terminal, ControlCharactersAreLeftOut) {
  EXPECT_EQ(without_control_characters("가\r\n\t\x7f\xc2\x9b"
                                       "31m나"),
            "가\n\t31m나");
}

TEST(Progress, LineHasShareRateAndTimeLeft) {
  EXPECT_EQ(Progress::line("reading", "tokens", 512, 2048, 2),
            "reading 512/2048 tokens (25 %), 256.0 tokens/s, 6 s left");
  EXPECT_EQ(Progress::line("reading", "tokens", 10, 7210, 1),
            "reading 10/7210 tokens (0 %), 10.0 tokens/s, 12 min 0 s left");
  EXPECT_EQ(Progress::line("reading", "tokens", 1, 36001, 1),
            "reading 1/36001 tokens (0 %), 1.0 tokens/s, 10 h 0 min left");
  EXPECT_EQ(Progress::line("reading", "tokens", 5, 5, 1),
            "reading 5/5 tokens (100 %), 5.0 tokens/s");
  EXPECT_EQ(Progress::line("reading", "tokens", 0, 5, 0), "reading 0/5 tokens (0 %)");
}

}  // namespace
}  // namespace axk1
