#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_spec.h"

namespace axk1 {
namespace {

// A byte-level tokenizer whose entries are exactly these byte strings, with the ids 0, 1, ...
Tokenizer with_entries(const std::vector<std::string>& entries) {
  TokenizerSpec spec;
  spec.source = "test";
  for (size_t id = 0; id < entries.size(); ++id) {
    spec.vocabulary.add(bytes_to_text(entries[id]), static_cast<int64_t>(id), spec.source);
  }
  spec.bpe.bytes = spec.decoder.bytes = true;
  return Tokenizer(std::move(spec));
}

// Every syllable as tokens cut in all four ways; between two ASCII tokens and two of its kind.
TEST(StreamDecoder, HangulSyllablesUnderEveryTokenSplit) {
  const std::vector<std::vector<size_t>> splits = {{1, 1, 1}, {1, 2}, {2, 1}, {3}};
  size_t count = 0;
  for (char32_t first = 0xac00; first <= 0xd7a3; first += 588) {  // one lead consonant at a time
    std::vector<std::string> entries{"a", "b"};
    for (int byte = 0x80; byte < 0x100; ++byte) entries.push_back({static_cast<char>(byte)});
    std::vector<std::string> syllables;
    for (char32_t c = first; c < std::min<char32_t>(first + 588, 0xd7a4); ++c) {
      std::string text;
      append_utf8(text, c);
      syllables.push_back(text);
    }
    Vocabulary known;  // keeps the entries apart
    for (size_t i = 0; i < entries.size(); ++i) {
      known.add(bytes_to_text(entries[i]), static_cast<int64_t>(i), "test");
    }
    auto need = [&](const std::string& bytes) {
      if (const auto id = known.find(bytes_to_text(bytes))) return *id;
      entries.push_back(bytes);
      known.add(bytes_to_text(bytes), static_cast<int64_t>(entries.size() - 1), "test");
      return static_cast<TokenId>(entries.size() - 1);
    };
    std::vector<std::vector<TokenId>> sequences;
    for (const std::string& syllable : syllables) {
      for (const auto& split : splits) {
        std::vector<TokenId> ids;
        size_t at = 0;
        for (size_t length : split) {
          ids.push_back(need(syllable.substr(at, length)));
          at += length;
        }
        sequences.push_back(ids);
      }
    }
    const Tokenizer tokenizer = with_entries(entries);
    for (size_t i = 0; i < sequences.size(); ++i) {
      const std::string& syllable = syllables[i / splits.size()];
      StreamDecoder stream(tokenizer);
      ASSERT_EQ(stream.push(0), "a");
      for (int repeat = 0; repeat < 2; ++repeat) {
        std::string text;
        for (size_t k = 0; k < sequences[i].size(); ++k) {
          const std::string part = stream.push(sequences[i][k]);
          ASSERT_EQ(part.empty(), k + 1 < sequences[i].size()) << syllable;
          text += part;
        }
        ASSERT_EQ(text, syllable);
      }
      ASSERT_EQ(stream.push(1), "b");
      ASSERT_EQ(stream.flush(), "");
      ++count;
    }
  }
  std::printf("[ cases ] Hangul syllables under token splits: %zu\n", count);
  EXPECT_EQ(count, 11172u * 4);
}

TEST(StreamDecoder, InvalidBytesBecomeReplacementCharacters) {
  std::vector<std::string> entries;
  for (int byte = 0; byte < 256; ++byte) entries.push_back({static_cast<char>(byte)});
  const Tokenizer tokenizer = with_entries(entries);
  const std::vector<std::string> texts = {"\xff",
                                          "\xed\x95",
                                          "\xed\x95x",
                                          "\xf0\x9f\x98",
                                          "\xf0\x9f\x98\x80",
                                          "a\x80\x80z",
                                          "\xe0\x80\x80",
                                          "\xed\xa0\x80",
                                          "\xf4\x90\x80\x80",
                                          "\xc3\xc3\xa9",
                                          "\xed\x95\xed\x95\x9c"};
  for (const std::string& text : texts) {
    std::vector<TokenId> ids;
    for (unsigned char byte : text) ids.push_back(byte);
    StreamDecoder stream(tokenizer);
    std::string streamed;
    for (TokenId id : ids) {
      const std::string part = stream.push(id);
      EXPECT_TRUE(is_valid_utf8(part));
      streamed += part;
    }
    streamed += stream.flush();
    EXPECT_EQ(streamed, utf8_lossy(text));
    EXPECT_EQ(tokenizer.decode(ids), utf8_lossy(text));
  }
}

TEST(StreamDecoder, UnknownIdsAndEmptyFlush) {
  const Tokenizer tokenizer = with_entries({"a"});
  StreamDecoder stream(tokenizer);
  EXPECT_EQ(stream.push(-1), "");
  EXPECT_EQ(stream.push(7), "");
  EXPECT_EQ(stream.flush(), "");
  EXPECT_EQ(stream.push(0), "a");
  EXPECT_EQ(tokenizer.decode(std::vector<TokenId>{-5, 0, 1 << 30}), "a");
}

}  // namespace
}  // namespace axk1
