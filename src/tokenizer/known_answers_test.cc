// Every known answer there is: those that the repository carries for its own model, and those of
// other people's vocabularies when ../shared is there.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "io/file.h"
#include "io/json.h"
#include "testing/shared_data.h"
#include "tokenizer/tokenizer.h"

namespace axk1 {
namespace {

using testing::shared_path;
using Ids = std::vector<TokenId>;

void count_cases(const char* name, size_t count) {
  std::printf("[ cases ] %s: %zu\n", name, count);
  EXPECT_GT(count, 0u);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

std::string all_token_bytes(const Tokenizer& tokenizer, const Ids& ids) {
  std::string bytes;
  for (TokenId id : ids) bytes += tokenizer.token_bytes(id);
  return bytes;
}

std::string streamed(const Tokenizer& tokenizer, const Ids& ids, bool skip_special) {
  StreamDecoder stream(tokenizer, skip_special);
  std::string text;
  for (TokenId id : ids) text += stream.push(id);
  return text + stream.flush();
}

TEST(KnownAnswers, ShippedModel) {
  const Tokenizer tokenizer =
      Tokenizer::load(testing::testdata("../models/nano-v0/tokenizer.json"));
  const std::string path = testing::testdata("golden/tokenizer/known_answers.jsonl");
  size_t count = 0;
  for (const std::string& line : lines_of(read_file(path))) {
    const json::value value = json::parse(line, path);
    const json::ObjectReader fields(value, path);
    Ids expected;
    for (const json::value& id : fields.get("ids").get_array()) {
      expected.push_back(static_cast<TokenId>(id.get_int64()));
    }
    const std::string text = fields.get_string("text");
    EXPECT_EQ(tokenizer.encode(text), expected) << text;
    for (bool skip : {false, true}) {
      const std::string decoded = fields.get_string(skip ? "decoded_skip_special" : "decoded");
      EXPECT_EQ(tokenizer.decode(expected, skip), decoded);
      EXPECT_EQ(streamed(tokenizer, expected, skip), decoded);
    }
    ++count;
  }
  count_cases("tokenizer known answers of nano-v0", count);
}

// The samples of llama.cpp's vocabulary tests: `.inp` with separators, `.out` with ids.
size_t check_ggml_samples(const Tokenizer& tokenizer, const std::string& stem) {
  const std::string separator = "\n__ggml_vocab_test__\n";
  const std::string inputs = read_file(shared_path(stem + ".inp"));
  std::vector<std::string> samples;
  for (size_t at = 0;;) {
    const size_t end = inputs.find(separator, at);
    if (end == std::string::npos) break;
    samples.push_back(inputs.substr(at, end - at));
    at = end + separator.size();
  }
  const std::vector<std::string> answers = lines_of(read_file(shared_path(stem + ".out")));
  EXPECT_EQ(samples.size(), answers.size()) << stem;
  const size_t count = std::min(samples.size(), answers.size());
  for (size_t i = 0; i < count; ++i) {
    Ids expected;
    for (const char* at = answers[i].c_str(); *at;) {
      char* end = nullptr;
      const long id = std::strtol(at, &end, 10);
      if (end == at) break;
      expected.push_back(static_cast<TokenId>(id));
      at = end;
    }
    EXPECT_EQ(tokenizer.encode(samples[i], {.parse_special = false}), expected)
        << stem << ": " << samples[i];
    EXPECT_EQ(tokenizer.encode(samples[i]), expected) << stem << ": " << samples[i];
    EXPECT_EQ(tokenizer.decode(expected), samples[i]);
    EXPECT_EQ(all_token_bytes(tokenizer, expected), samples[i]);
  }
  return count;
}

TEST(KnownAnswers, GgufVocabularies) {
  AXK1_SKIP_WITHOUT_SHARED("data/tok");
  const testing::TempDir dir;
  for (const std::string name : {"gpt-2", "deepseek-llm"}) {
    const std::string stem = "data/tok/ggml-vocab-" + name + ".gguf";
    const std::string path =
        dir.write(name + ".gguf", testing::read_zst(shared_path(stem + ".zst")));
    count_cases(stem.c_str(), check_ggml_samples(Tokenizer::load(path), stem));
  }
}

TEST(KnownAnswers, VocabAndMergesOfQwen2) {
  AXK1_SKIP_WITHOUT_SHARED("data/tok/qwen2");
  const testing::TempDir dir;
  for (const std::string name : {"vocab.json", "merges.txt"}) {
    dir.write(name, testing::read_zst(shared_path("data/tok/qwen2/" + name + ".zst")));
  }
  const std::string stem = "data/tok/qwen2/ggml-vocab-qwen2.gguf";
  // Inferred from the vocabulary, and named.
  for (const std::string pattern : {"", "qwen2"}) {
    const size_t count = check_ggml_samples(Tokenizer::load(dir.path(), {pattern}), stem);
    count_cases((stem + " with pattern \"" + pattern + "\"").c_str(), count);
  }
}

// Blocks of three lines: EncodingName, Sample, Encoded.
size_t check_test_plans(const Tokenizer& tokenizer, const std::string& encoding) {
  const std::string path = shared_path("data/tok/openai/TestPlans_r50k_cl100k.txt");
  const std::string text = read_file(path);
  size_t count = 0;
  const std::string head = "EncodingName: " + encoding + "\nSample: ";
  for (size_t at = text.find(head); at != std::string::npos; at = text.find(head, at + 1)) {
    const size_t sample = at + head.size();
    const size_t encoded = text.find("\nEncoded: ", sample);
    const size_t list = encoded + std::string("\nEncoded: ").size();
    const std::string input = text.substr(sample, encoded - sample);
    Ids expected;
    const json::value ids = json::parse(text.substr(list, text.find('\n', list) - list), path);
    for (const json::value& id : ids.get_array()) {
      expected.push_back(static_cast<TokenId>(id.get_int64()));
    }
    EXPECT_EQ(tokenizer.encode(input), expected) << input;
    EXPECT_EQ(tokenizer.decode(expected), input);
    ++count;
  }
  return count;
}

TEST(KnownAnswers, OpenAiEncodings) {
  AXK1_SKIP_WITHOUT_SHARED("data/tok/openai");
  const testing::TempDir dir;
  for (const std::string name : {"encoder.json", "vocab.bpe", "cl100k_base.tiktoken"}) {
    dir.write(name, testing::read_zst(shared_path("data/tok/openai/" + name + ".zst")));
  }
  count_cases("r50k_base", check_test_plans(Tokenizer::load(dir.path()), "r50k_base"));
  const std::string cl100k = dir.path() + "/cl100k_base.tiktoken";
  count_cases("cl100k_base", check_test_plans(Tokenizer::load(cl100k, {"cl100k"}), "cl100k_base"));
  // tiktoken's present spelling of that pattern, in the dialect of fancy-regex.
  const char* const kPossessive =
      R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)";
  count_cases("cl100k_base by its regular expression",
              check_test_plans(Tokenizer::load(cl100k, {kPossessive}), "cl100k_base"));
}

}  // namespace
}  // namespace axk1
