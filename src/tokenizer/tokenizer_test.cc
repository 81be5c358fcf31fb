// The parts of tokenizer.json, one by one, on small vocabularies.
#include "tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <thread>

#include "base/error.h"
#include "base/utf8.h"
#include "testing/shared_data.h"
#include "tokenizer/tokenizer_spec.h"

namespace axk1 {
namespace {

using Texts = std::vector<std::string>;

// The vocabulary holds every printable ASCII character, some others and some merges.
Tokenizer make(const std::string& parts, const std::string& added = "[]",
               const std::string& model_extra = "") {
  std::string vocab;
  int id = 0;
  auto entry = [&](const std::string& text) {
    std::string escaped;
    for (char c : text) {
      if (c == '"' || c == '\\') escaped += '\\';
      escaped += c;
    }
    vocab += (id ? ",\"" : "\"") + escaped + "\":" + std::to_string(id);
    ++id;
  };
  for (char c = ' '; c <= '~'; ++c) entry(std::string(1, c));
  for (const char* text : {"é", "\u0301", "가", "\u1100", "\u1161", "▁", "Ġ", "Ã", "©", "ab", "abc",
                           "<0xEA>", "<0xB0>", "<0x80>", "▁a"}) {
    entry(text);
  }
  const std::string json = "{\"version\":\"1.0\",\"added_tokens\":" + added + "," + parts +
                           (parts.empty() ? "" : ",") + "\"model\":{\"type\":\"BPE\",\"vocab\":{" +
                           vocab + "},\"merges\":[\"a b\",[\"ab\",\"c\"],[\"▁\",\"a\"]]" +
                           model_extra + "}}";
  return Tokenizer(read_tokenizer_json(json, "test.json"));
}

// The pieces that the ids stand for; without merges each is one character.
Texts tokens(const Tokenizer& tokenizer, std::string_view text, EncodeOptions options = {}) {
  Texts result;
  for (TokenId id : tokenizer.encode(text, options)) result.emplace_back(tokenizer.token_bytes(id));
  return result;
}

const char* const kFuse = R"("decoder":{"type":"Fuse"})";

std::string joined(const Texts& texts) {
  std::string all;
  for (const std::string& text : texts) all += text;
  return all;
}

TEST(TokenizerJson, Normalizers) {
  auto normalized = [](const std::string& normalizer, std::string_view text) {
    return joined(tokens(make(R"("normalizer":)" + normalizer + "," + kFuse), text));
  };
  EXPECT_EQ(normalized(R"({"type":"NFC"})", "e\u0301 \u1100\u1161"), "é 가");
  EXPECT_EQ(normalized(R"({"type":"NFD"})", "é가"), "e\u0301\u1100\u1161");
  EXPECT_EQ(normalized(R"({"type":"NFKC"})", "ﬁ①"), "fi1");
  EXPECT_EQ(normalized(R"({"type":"NFKD"})", "ﬁé"), "fie\u0301");
  EXPECT_EQ(normalized(R"({"type":"Lowercase"})", "AbC"), "abc");
  EXPECT_EQ(normalized(R"({"type":"Prepend","prepend":"▁"})", "x"), "▁x");
  EXPECT_EQ(normalized(R"({"type":"Prepend","prepend":"▁"})", ""), "");
  EXPECT_EQ(normalized(R"({"type":"Strip","strip_left":true,"strip_right":false})", " \u3000a "),
            "a ");
  EXPECT_EQ(normalized(R"({"type":"Strip","strip_left":false,"strip_right":true})", " a\u00a0\n"),
            " a");
  EXPECT_EQ(normalized(R"({"type":"StripAccents"})", "e\u0301x"), "ex");
  EXPECT_EQ(normalized(R"({"type":"Replace","pattern":{"String":"."},"content":"_"})", "a.b.."),
            "a_b__");
  EXPECT_EQ(normalized(R"({"type":"Replace","pattern":{"Regex":" +"},"content":"$0"})", "a  b"),
            "a$0b");
  EXPECT_EQ(normalized(R"({"type":"Sequence","normalizers":[{"type":"Lowercase"},
                {"type":"Replace","pattern":{"String":"a"},"content":"A"}]})",
                       "aXA"),
            "AxA");
  EXPECT_EQ(normalized(R"({"type":"ByteLevel"})", "é x"), "Ã©Ġx");
}

// The example in the documentation of Split in Hugging Face's tokenizers.
TEST(TokenizerJson, SplitBehaviors) {
  auto pieces = [](const std::string& behavior, bool invert, std::string_view text) {
    PreTokenizer pre =
        read_tokenizer_json(
            R"({"pre_tokenizer":{"type":"Split","pattern":{"String":"-"},"behavior":")" + behavior +
                R"(","invert":)" + (invert ? "true" : "false") +
                R"(},"model":{"type":"BPE","vocab":{},"merges":[]}})",
            "test.json")
            .pre_tokenizer;
    RegexScratch regex;
    PreTokenizerScratch scratch;
    regex.begin(text.size());
    pre.run(text, regex, scratch);
    Texts result;
    for (const Piece piece : scratch.pieces) {
      result.emplace_back(scratch.text.substr(piece.begin, piece.end - piece.begin));
    }
    return result;
  };
  const char* const kText = "the-final--countdown";
  EXPECT_EQ(pieces("Removed", false, kText), (Texts{"the", "final", "countdown"}));
  EXPECT_EQ(pieces("Isolated", false, kText), (Texts{"the", "-", "final", "-", "-", "countdown"}));
  EXPECT_EQ(pieces("MergedWithPrevious", false, kText),
            (Texts{"the-", "final-", "-", "countdown"}));
  EXPECT_EQ(pieces("MergedWithNext", false, kText), (Texts{"the", "-final", "-", "-countdown"}));
  EXPECT_EQ(pieces("Contiguous", false, kText), (Texts{"the", "-", "final", "--", "countdown"}));
  EXPECT_EQ(pieces("Removed", true, kText), (Texts{"-", "-", "-"}));
  EXPECT_EQ(pieces("Isolated", true, "-a-"), (Texts{"-", "a", "-"}));
  EXPECT_EQ(pieces("MergedWithPrevious", true, "-a--b"), (Texts{"-a", "-", "-b"}));
  EXPECT_EQ(pieces("Removed", false, "---"), (Texts{}));
}

TEST(TokenizerJson, PreTokenizers) {
  // Cuts show in where "a b" is not merged: the text is runs of "ab".
  auto cut = [](const std::string& pre, std::string_view text) {
    return tokens(make(R"("pre_tokenizer":)" + pre + "," + kFuse), text);
  };
  EXPECT_EQ(cut(R"({"type":"WhitespaceSplit"})", "abc \u00a0ab"), (Texts{"abc", "ab"}));
  EXPECT_EQ(cut(R"({"type":"Whitespace"})", "abc,,ab"), (Texts{"abc", ",", ",", "ab"}));
  EXPECT_EQ(cut(R"x({"type":"Split","pattern":{"Regex":"(?=c)"
}
, "behavior" : "Isolated"
})x",
                "abc"),
            (Texts{"ab", "c"}));
  EXPECT_EQ(cut(R"({"type":"Sequence","pretokenizers":[{"type":"Punctuation"},
                {"type":"Digits","individual_digits":true}]})",
                "ab1"),
            (Texts{"ab", "1"}));
  // Without a byte-level step the text stays text, behind one it is bytes.
  EXPECT_EQ(
      make(
          R"("pre_tokenizer":{"type":"ByteLevel","add_prefix_space":true},"decoder":{"type":"ByteLevel"})")
          .encode("é"),
      (std::vector<TokenId>{101, 102, 103}));  // Ġ Ã ©
}

const char* const kAdded = R"([
  {"id":200,"content":"<s>","special":true,"normalized":false},
  {"id":201,"content":"<t>","special":false,"normalized":false},
  {"id":202,"content":"<t>x","special":false,"normalized":false},
  {"id":203,"content":"WW","single_word":true,"special":false,"normalized":false},
  {"id":204,"content":"[L]","lstrip":true,"special":true,"normalized":false},
  {"id":205,"content":"[R]","rstrip":true,"special":true,"normalized":false},
  {"id":206,"content":"[N]","special":false,"normalized":true}])";

TEST(TokenizerJson, AddedTokens) {
  const Tokenizer tokenizer =
      make(std::string(R"("normalizer":{"type":"Lowercase"},)") + kFuse, kAdded);
  EXPECT_EQ(tokens(tokenizer, "A<s>B"), (Texts{"a", "<s>", "b"}));
  EXPECT_EQ(tokens(tokenizer, "<s>", {.parse_special = false}), (Texts{"<", "s", ">"}));
  EXPECT_EQ(tokens(tokenizer, "<t>y<t>x", {.parse_special = false}), (Texts{"<t>", "y", "<t>x"}));
  EXPECT_EQ(tokens(tokenizer, "WW xWW WW_"), (Texts{"WW", " ", "x", "w", "w", " ", "w", "w", "_"}));
  EXPECT_EQ(tokens(tokenizer, "a \n[L] b"), (Texts{"a", "[L]", " ", "b"}));
  EXPECT_EQ(tokens(tokenizer, "a [R]\u3000 b"), (Texts{"a", " ", "[R]", "b"}));
  EXPECT_EQ(tokens(tokenizer, "[R] [L]"), (Texts{"[R]", "[L]"}));
  EXPECT_EQ(tokens(tokenizer, "[n][N]"), (Texts{"[N]", "[N]"}));
  EXPECT_TRUE(tokenizer.is_special(200) && !tokenizer.is_special(201));
  EXPECT_EQ(tokenizer.find("<t>x"), 202);
  EXPECT_EQ(tokenizer.find("abc"), 105);
  EXPECT_EQ(tokenizer.find("nothing"), std::nullopt);
  EXPECT_EQ(tokenizer.vocab_size(), 207u);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("a<s>b<t>"), true), "ab<t>");
}

TEST(TokenizerJson, PostProcessors) {
  auto ids = [](const std::string& post) {
    return make(R"("post_processor":)" + post).encode("!", {.add_special = true});
  };
  using Ids = std::vector<TokenId>;
  const std::string bos = R"({"type":"TemplateProcessing","single":[
      {"SpecialToken":{"id":"B","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
      "special_tokens":{"B":{"id":"B","ids":[7,8],"tokens":["x","y"]}}})";
  EXPECT_EQ(ids(bos), (Ids{7, 8, 1}));
  EXPECT_EQ(ids(R"({"type":"Sequence","processors":[{"type":"ByteLevel","trim_offsets":true},)" +
                bos + "]}"),
            (Ids{7, 8, 1}));
  EXPECT_EQ(ids(R"({"type":"RobertaProcessing","sep":["s",5],"cls":["c",4]})"), (Ids{4, 1, 5}));
  EXPECT_EQ(ids(R"({"type":"BertProcessing","sep":["s",5],"cls":["c",4]})"), (Ids{4, 1, 5}));
  EXPECT_EQ(make(R"("post_processor":)" + bos).encode("!"), (Ids{1}));
}

TEST(TokenizerJson, DecodersAndTheirStreams) {
  auto check = [](const std::string& decoder, const std::vector<TokenId>& ids,
                  const std::string& expected, const std::string& model_extra = "") {
    const Tokenizer tokenizer = make(R"("decoder":)" + decoder, "[]", model_extra);
    EXPECT_EQ(tokenizer.decode(ids), expected) << decoder;
    StreamDecoder stream(tokenizer);
    std::string streamed;
    for (TokenId id : ids) streamed += stream.push(id);
    EXPECT_EQ(streamed + stream.flush(), expected) << decoder;
  };
  const TokenId a = 'a' - ' ', b = 'b' - ' ', bar = 100, bar_a = 109;  // ▁, ▁a
  const std::string llama = R"({"type":"Sequence","decoders":[
      {"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},
      {"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]})";
  check(llama, {bar_a, bar, b}, "a b");
  check(llama, {bar, bar, b}, " b");
  check(llama, {106, 107, 108, b}, "가b");  // <0xEA> <0xB0> <0x80>
  check("null", {a, b, a}, "a b a");
  check(R"({"type":"Fuse"})", {a, b}, "ab");
  check(R"({"type":"Strip","content":"a","start":1,"stop":1})", {a, b, a, 105}, "bbc");
  check(
      R"({"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Strip","content":"a","start":1,"stop":2}]})",
      {a, a, b, a, a, a}, "aba");
  check(R"({"type":"ByteLevel"})", {102, 103, 101, a}, "é a");
}

TEST(TokenizerJson, InvalidUtf8ComesBack) {
  const Tokenizer tokenizer = make(R"("normalizer":{"type":"NFC"},"decoder":{"type":"Fuse"})", "[]",
                                   R"(,"byte_fallback":true)");
  EXPECT_EQ(joined(tokens(tokenizer,
                          "a\xff"
                          "b")),
            "ab");  // no entry for byte FF here

  TokenizerSpec spec;
  spec.source = "test";
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    spec.vocabulary.add(bytes_to_text({&c, 1}), byte, "");
  }
  spec.bpe.bytes = spec.decoder.bytes = true;
  spec.normalizer.steps.emplace_back();
  const Tokenizer bytes(std::move(spec));
  std::mt19937 random(3);
  for (int i = 0; i < 200; ++i) {
    std::string text;
    for (size_t length = random() % 200; length > 0; --length) text += static_cast<char>(random());
    if (i % 2) text = "가" + text + "나";
    const std::string back = joined(tokens(bytes, text));
    if (back == text) continue;  // else NFC did its work on a valid part
    EXPECT_EQ(joined(tokens(bytes, back)), back);
  }
}

// A megabyte of one character, and the like: these end, soon, and nothing is lost.
TEST(TokenizerJson, MegabytesOfOneCharacter) {
  const Tokenizer tokenizer =
      Tokenizer::load(testing::testdata("../models/nano-v0/tokenizer.json"));
  constexpr size_t kBytes = 1 << 20;
  auto repeat = [](std::string_view unit) {
    std::string text;
    while (text.size() < kBytes) text += unit;
    return text;
  };
  std::mt19937 random(4);
  std::string noise;
  for (size_t i = 0; i < kBytes; ++i) noise += static_cast<char>(random());
  size_t cases = 0;
  for (const std::string& text :
       {repeat("a"), repeat(" "), repeat("\n"), repeat("中"), repeat("가"), repeat("1"),
        repeat("!"), repeat("😀"), repeat("\n "), repeat("\u0301"), repeat(" ") + "x",
        repeat("\xff"), noise}) {
    const auto ids = tokenizer.encode(text);
    std::string back;
    for (TokenId id : ids) back += tokenizer.token_bytes(id);
    EXPECT_TRUE(text == noise || back == text) << printable(text, 8);
    EXPECT_LT(back.size(), text.size() * 2);
    ++cases;
  }
  std::printf("[ cases ] texts of a megabyte: %zu\n", cases);
}

TEST(TokenizerJson, ManyThreads) {
  const Tokenizer tokenizer =
      make(R"("normalizer":{"type":"NFC"},"decoder":{"type":"Fuse"})", kAdded);
  const auto expected = tokenizer.encode("abc <s> e\u0301 abab");
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        if (tokenizer.encode("abc <s> e\u0301 abab") != expected) ++wrong[static_cast<size_t>(t)];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4));
}

}  // namespace
}  // namespace axk1
