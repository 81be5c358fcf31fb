#include "chat/think.h"

#include <gtest/gtest.h>

#include <iostream>
#include <random>
#include <vector>

namespace axk1 {
namespace {

struct Case {
  bool in_reasoning;  // what the prompt ended with
  const char* text;
  const char* reasoning;
  const char* content;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {true, "step\n</think>\n\nanswer", "step", "answer"},
      {true, "\nstep one\n\nstep two\n\n</think>answer\n", "step one\n\nstep two", "answer\n"},
      {true, "<think>\nagain</think>x", "again", "x"},
      {true, "never closed\n", "never closed", ""},
      {true, "", "", ""},
      {true, "</think>\n\nno thought", "", "no thought"},
      {true, "\n\n</think>", "", ""},
      {true, "a</thin", "a</thin", ""},
      {true, "a < b </ c </thinker></think>d", "a < b </ c </thinker>", "d"},
      {true, "a</think>b</think>c<think>d", "a", "b</think>c<think>d"},
      {true, "생각\n</think>\n답 😀", "생각", "답 😀"},
      {true, " indented\n", " indented", ""},
      {false, "plain answer", "", "plain answer"},
      {false, "\n\n plain", "", "\n\n plain"},
      {false, "", "", ""},
      {false, "  ", "", "  "},
      {false, "<think>\nr\n</think>\n\na", "r", "a"},
      {false, "\n <think>r</think>a", "r", "a"},
      {false, "</think>\n\nanswer", "", "answer"},
      {false, "\n</think>answer", "", "answer"},
      {false, "see <think>x</think>", "", "see <think>x</think>"},
      {false, "<thi", "", "<thi"},
      {false, "<b>bold</b>", "", "<b>bold</b>"},
      {false, "<think>", "", ""},
  };
  return all;
}

ThinkSplitter::Piece split(const Case& c, const std::vector<size_t>& cuts) {
  ThinkSplitter splitter(c.in_reasoning);
  ThinkSplitter::Piece all;
  auto add = [&](const ThinkSplitter::Piece& piece) {
    all.reasoning += piece.reasoning;
    all.content += piece.content;
  };
  const std::string_view text = c.text;
  size_t at = 0;
  for (size_t cut : cuts) {
    add(splitter.push(text.substr(at, cut - at)));
    at = cut;
  }
  add(splitter.push(text.substr(at)));
  add(splitter.finish());
  return all;
}

TEST(ThinkSplitter, SplitsTheSameWhateverThePieces) {
  std::mt19937 random(7);
  size_t runs = 0;
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.text);
    const size_t size = std::string_view(c.text).size();
    std::vector<std::vector<size_t>> all_cuts = {{}};
    for (size_t i = 0; i <= size; ++i) all_cuts.push_back({i});
    std::vector<size_t> every;
    for (size_t i = 1; i < size; ++i) every.push_back(i);
    all_cuts.push_back(every);
    for (int i = 0; i < 20; ++i) {
      std::vector<size_t> some;
      for (size_t at : every) {
        if (random() % 3 == 0) some.push_back(at);
      }
      all_cuts.push_back(some);
    }
    for (const auto& cuts : all_cuts) {
      const ThinkSplitter::Piece got = split(c, cuts);
      EXPECT_EQ(got.reasoning, c.reasoning);
      EXPECT_EQ(got.content, c.content);
      ++runs;
    }
  }
  std::cout << "[ cases ] think texts: " << cases().size() << "\n[ cases ] think splits: " << runs
            << std::endl;
}

TEST(ThinkSplitter, GivesTextAsSoonAsItIsCertain) {
  ThinkSplitter splitter(true);
  EXPECT_EQ(splitter.push("hello").reasoning, "hello");
  EXPECT_EQ(splitter.push(" world\n").reasoning, " world");
  EXPECT_EQ(splitter.push("more</").reasoning, "\nmore");
  EXPECT_TRUE(splitter.in_reasoning());
  const ThinkSplitter::Piece piece = splitter.push("think>\nanswer");
  EXPECT_EQ(piece.reasoning, "");
  EXPECT_EQ(piece.content, "answer");
  EXPECT_FALSE(splitter.in_reasoning());
  EXPECT_EQ(splitter.push("!\n").content, "!\n");
}

TEST(ThinkSplitter, TagsCanBeChosen) {
  ThinkSplitter splitter(false, {"<|think|>", "<|/think|>"});
  ThinkSplitter::Piece piece = splitter.push("<|think|>r<|/think|>a");
  EXPECT_EQ(piece.reasoning, "r");
  EXPECT_EQ(piece.content, "a");
}

TEST(PromptOpensThinking, LooksAtTheEndOfThePrompt) {
  EXPECT_TRUE(prompt_opens_thinking("<|im_start|>assistant\n<think>\n"));
  EXPECT_TRUE(prompt_opens_thinking("<think>"));
  EXPECT_FALSE(prompt_opens_thinking("<|im_start|>assistant\n</think>\n\n"));
  EXPECT_FALSE(prompt_opens_thinking("<think>\n\n</think>\n\n"));
  EXPECT_FALSE(prompt_opens_thinking("what is <think> in text"));
  EXPECT_FALSE(prompt_opens_thinking(""));
  EXPECT_TRUE(prompt_opens_thinking("x<|think|>", {"<|think|>", "</think>"}));
}

}  // namespace
}  // namespace axk1
