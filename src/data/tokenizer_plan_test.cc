// A tokenizer from texts to files, as the command makes it.
#include "data/tokenizer_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "io/file.h"
#include "testing/shared_data.h"
#include "tokenizer/tokenizer.h"

namespace axk1 {
namespace {

using ::testing::HasSubstr;

constexpr BpeTrainOptions kOptions{.vocab_size = 320};

class Trained : public ::testing::Test {
 protected:
  CountedText count(const TokenizerPlan& plan, const std::vector<std::string>& files,
                    int threads = 1) {
    DocumentReader reader(files, TextUnit::kLines);
    ThreadPool pool(threads);
    return count_pieces(reader, {}, plan.counting_spec(), pool,
                        [](uint64_t, uint64_t) { return true; });
  }
  std::string train(const TokenizerPlan& plan, const std::vector<std::string>& files,
                    int threads = 1) {
    return plan.tokenizer_json(
        train_bpe(count(plan, files, threads).pieces, kOptions, [](size_t) { return true; }));
  }
  // Korean and English lines of some length, more than one batch of a thread.
  std::string corpus() {
    std::string text;
    for (int i = 0; text.size() < 600000; ++i) {
      text += cat("제", i % 97, "조 (목적) 이 법은 ", i % 13, "번의 나라와 사람을 위한 것이다.\n");
      if (i % 5 == 0) text += cat("  The people's law no. ", i % 31, " doesn't say so:\n\n");
    }
    return text;
  }

  testing::TempDir dir_;
};

TEST_F(Trained, LoadsAndReadsBackWhatItWasTrainedOn) {
  const TokenizerPlan plan = TokenizerPlan::make("qwen2", true, default_added_tokens());
  const std::string text = corpus().substr(0, 30000);
  const std::string json = train(plan, {dir_.write("a.txt", text)});
  const Tokenizer tokenizer = Tokenizer::load(dir_.write("tokenizer.json", json));
  EXPECT_EQ(tokenizer.vocab_size(), 320 + default_added_tokens().size());
  EXPECT_EQ(tokenizer.find("<|endoftext|>"), 320);
  EXPECT_TRUE(tokenizer.is_special(320));
  EXPECT_FALSE(tokenizer.is_special(324));  // <think>
  const std::vector<TokenId> ids = tokenizer.encode(text);
  EXPECT_LT(ids.size() * 3, text.size());
  EXPECT_EQ(tokenizer.decode(ids), text);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("새로운 글자 \x7f 🙂")),
            "새로운 글자 \x7f 🙂");
}

// Same texts, same bytes.
TEST_F(Trained, ThreadsAndFilesDoNotMatter) {
  const std::string text = corpus();
  const size_t cut = text.find("\n제", text.size() / 3) + 1;
  const std::string whole = dir_.write("whole.txt", text);
  const std::string first = dir_.write("first.txt", text.substr(0, cut));
  const std::string second = dir_.write("second.txt", text.substr(cut));
  const TokenizerPlan plan = TokenizerPlan::make("deepseek-v3", true, {});
  EXPECT_TRUE(train(plan, {second, first}, 2) == train(plan, {whole}));
}

TEST_F(Trained, LikeTheShippedModel) {
  const std::string model = testing::testdata("../models/nano-v0/tokenizer.json");
  const TokenizerPlan plan = TokenizerPlan::like(read_file(model), model);
  EXPECT_EQ(plan.num_added(), 64u);
  const std::string json = train(plan, {dir_.write("a.txt", corpus().substr(0, 20000))});
  const Tokenizer tokenizer = Tokenizer::load(dir_.write("tokenizer.json", json));
  const Tokenizer shipped = Tokenizer::load(model);
  for (const char* token : {"<|endoftext|>", "<|im_end|>", "<think>", "<|reserved_47|>"}) {
    ASSERT_TRUE(tokenizer.find(token)) << token;
    EXPECT_EQ(*tokenizer.find(token) - 320, *shipped.find(token) - 16320) << token;
    EXPECT_EQ(tokenizer.is_special(*tokenizer.find(token)),
              shipped.is_special(*shipped.find(token)));
  }
  EXPECT_EQ(tokenizer.encode("\u1112\u1161\u11ab"), tokenizer.encode("한"));  // NFC
}

TEST_F(Trained, PostProcessorsKeepTheirTokensUnderNewIds) {
  const std::string json =
      R"({"version":"1.0","added_tokens":[{"id":7,"content":"<s>","special":true},
      {"id":5,"content":"<pad>","special":true}],"normalizer":null,
    "pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"use_regex":true},
    "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},
      {"Sequence":{"id":"A","type_id":0}}],"pair":[],
      "special_tokens":{"<s>":{"id":"<s>","ids":[7],"tokens":["<s>"]}}},
    "decoder":{"type":"ByteLevel"},"model":{"type":"BPE","vocab":{},"merges":[]}})";
  const TokenizerPlan plan = TokenizerPlan::like(json, "x");
  const std::string trained = train(plan, {dir_.write("a.txt", corpus().substr(0, 20000))});
  const Tokenizer tokenizer(read_tokenizer_json(trained, "y"));
  EXPECT_EQ(tokenizer.find("<pad>"), 320);
  EXPECT_EQ(tokenizer.encode("이", {.add_special = true}).front(), 321);
}

TEST_F(Trained, WhatIsNotByteLevelIsRefused) {
  const auto error = [](const std::string& json) {
    try {
      TokenizerPlan::like(json, "some.json");
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_THAT(error(R"({"pre_tokenizer":{"type":"Whitespace"},"decoder":{"type":"Fuse"}})"),
              HasSubstr("some.json: is no byte-level tokenizer"));
  EXPECT_THAT(error(R"({"pre_tokenizer":{"type":"Other"}})"), HasSubstr("Other"));
  EXPECT_THROW(TokenizerPlan::make("qwen2", true, {{"<a>", true}, {"<a>", true}}), Error);
  EXPECT_THROW(TokenizerPlan::make("(", true, {}).counting_spec(), Error);
}

TEST_F(Trained, ASpecialTokenThatTheTextTeaches) {
  const TokenizerPlan plan = TokenizerPlan::make("qwen2", true, {{"aaaa", true}});
  const std::string path = dir_.write("a.txt", "aaaa aaaa\naaaa\naaaa");
  EXPECT_THROW(train(plan, {path}), Error);
}

TEST_F(Trained, InvalidBytesAreLeftOutAndLongPiecesCut) {
  const TokenizerPlan plan = TokenizerPlan::make("qwen2", false, {});
  const CountedText text = count(plan, {dir_.write("a.txt",
                                                   "ab\xff\xfe"
                                                   "cd" +
                                                       std::string(2500, 'x') + "\n")});
  EXPECT_EQ(text.invalid_bytes, 2u);
  EXPECT_EQ(text.bytes, 2507u);
  std::map<std::string, uint64_t> pieces;
  for (size_t i = 0; i < text.pieces.size(); ++i) {
    pieces[std::string(text.pieces.piece(i))] = text.pieces.count(i);
  }
  EXPECT_EQ(pieces, (std::map<std::string, uint64_t>{{"ab", 1},
                                                     {"cd" + std::string(1022, 'x'), 1},
                                                     {std::string(1024, 'x'), 1},
                                                     {std::string(454, 'x'), 1},
                                                     {"\n", 1}}));
}

}  // namespace
}  // namespace axk1
