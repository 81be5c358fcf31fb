// Tokenizer files that are wrong: each kind of damage is one clear error, found while loading.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "base/error.h"
#include "formats/gguf.h"
#include "io/file.h"
#include "testing/shared_data.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_spec.h"

namespace axk1 {
namespace {

size_t cases = 0;

template <class F>
void expect_error(F load, ErrorCode code, const std::string& part) {
  ++cases;
  try {
    load();
    ADD_FAILURE() << "loaded without an error, expected: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
        << error.what() << "\nexpected: " << part;
  }
}

class Damage : public ::testing::Test {
 protected:
  void SetUp() override { cases = 0; }
  void TearDown() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    std::printf("[ cases ] damage, %s: %zu\n", info->name(), cases);
  }
};

const auto kBad = ErrorCode::kInvalidInput;
const auto kUnsupported = ErrorCode::kUnsupported;

void bad_json(const std::string& json, ErrorCode code, const std::string& part) {
  expect_error([&] { Tokenizer(read_tokenizer_json(json, "t.json")); }, code, part);
}

const std::string kModel =
    R"("model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]})";

TEST_F(Damage, TokenizerJsonModel) {
  auto model = [](const std::string& inside) { return "{\"model\":{" + inside + "}}"; };
  EXPECT_NO_THROW(Tokenizer(read_tokenizer_json("{" + kModel + "}", "t")));
  bad_json("", kBad, "not valid JSON");
  bad_json("{" + kModel, kBad, "not valid JSON");
  bad_json("[]", kBad, "expected an object");
  bad_json("{}", kBad, "\"model\" is missing");
  bad_json(R"({"version":"2.0",)" + kModel + "}", kUnsupported, "version");
  bad_json(model(R"("type":"WordPiece","vocab":{})"), kUnsupported, "WordPiece");
  bad_json(model(R"("type":"Unigram","vocab":[])"), kUnsupported, "Unigram");
  bad_json(model(R"("type":"WordLevel","vocab":{})"), kUnsupported, "WordLevel");
  bad_json(model(R"("type":7)"), kBad, "\"type\"");
  bad_json(model(R"("type":"BPE","merges":[])"), kBad, "\"vocab\" is missing");
  bad_json(model(R"("type":"BPE","vocab":{})"), kBad, "\"merges\" is missing");
  bad_json(model(R"("type":"BPE","vocab":[],"merges":[])"), kBad, "expected an object");
  bad_json(model(R"("type":"BPE","vocab":{},"merges":{})"), kBad, "an array");
  bad_json(model(R"("type":"BPE","vocab":{"a":"x"},"merges":[])"), kBad, "integer id");
  bad_json(model(R"("type":"BPE","vocab":{"a":1.5},"merges":[])"), kBad, "integer id");
  bad_json(model(R"("type":"BPE","vocab":{"a":-1},"merges":[])"), kBad, "has id -1");
  bad_json(model(R"("type":"BPE","vocab":{"a":4194304},"merges":[])"), kBad, "has id 4194304");
  bad_json(model(R"("type":"BPE","vocab":{"a":9223372036854775807},"merges":[])"), kBad, "has id");
  bad_json(model(R"("type":"BPE","vocab":{"a":18446744073709551615},"merges":[])"), kBad, "");
  bad_json(model(R"("type":"BPE","vocab":{"a":0,"b":0},"merges":[])"), kBad, "same id 0");
  bad_json(model(R"("type":"BPE","vocab":{"a":0,"a":1},"merges":[])"), kBad, "twice");
  bad_json(model(R"("type":"BPE","vocab":{"a":0},"merges":["a b"])"), kBad, "\"b\"");
  bad_json(model(R"("type":"BPE","vocab":{"a":0,"b":1},"merges":["a b"])"), kBad, "\"ab\"");
  bad_json(model(R"("type":"BPE","vocab":{"a":0},"merges":["a"])"), kBad, "blank between");
  bad_json(model(R"("type":"BPE","vocab":{"a":0},"merges":["a a a"])"), kBad, "blank between");
  bad_json(model(R"("type":"BPE","vocab":{"a":0},"merges":[["a"]])"), kBad, "pairs");
  bad_json(model(R"("type":"BPE","vocab":{"a":0},"merges":[["a",1]])"), kBad, "a string");
  bad_json(model(R"("type":"BPE","vocab":{"a":0},"merges":[7])"), kBad, "pairs");
  bad_json(model(R"("type":"BPE","dropout":0.1,"vocab":{},"merges":[])"), kUnsupported, "dropout");
  bad_json(model(R"("type":"BPE","unk_token":"?","vocab":{},"merges":[])"), kBad, "unk_token");
}

TEST_F(Damage, TokenizerJsonParts) {
  auto with = [](const std::string& part) { return "{" + part + "," + kModel + "}"; };
  bad_json(with(R"("normalizer":{"type":"Nmt"})"), kUnsupported, "normalizer Nmt");
  bad_json(with(R"("normalizer":{"type":"Precompiled"})"), kUnsupported, "Precompiled");
  bad_json(with(R"("normalizer":{"type":"BertNormalizer"})"), kUnsupported, "BertNormalizer");
  bad_json(with(R"("normalizer":{})"), kBad, "\"type\" is missing");
  bad_json(with(R"("normalizer":{"type":"Sequence"})"), kBad, "\"normalizers\" is missing");
  bad_json(with(R"("normalizer":{"type":"Replace","content":"x"})"), kBad, "\"pattern\"");
  bad_json(with(R"("normalizer":{"type":"Replace","pattern":{"Regex":"("},"content":"x"})"), kBad,
           "closing parenthesis");
  bad_json(with(R"("normalizer":{"type":"Replace","pattern":{},"content":"x"})"), kBad, "Regex");
  bad_json(with(R"("pre_tokenizer":{"type":"Metaspace"})"), kUnsupported, "Metaspace");
  bad_json(with(R"("pre_tokenizer":{"type":"UnicodeScripts"})"), kUnsupported, "UnicodeScripts");
  bad_json(with(R"("pre_tokenizer":{"type":"BertPreTokenizer"})"), kUnsupported, "Bert");
  bad_json(with(R"("pre_tokenizer":{"type":"Split","pattern":{"String":"x"},"behavior":"Up"})"),
           kUnsupported, "Up");
  bad_json(with(R"("pre_tokenizer":{"type":"Split","pattern":{"String":"x"}})"), kUnsupported,
           "behavior");
  bad_json(with(R"("pre_tokenizer":{"type":"ByteLevel","use_regex":1})"), kBad, "use_regex");
  bad_json(with(R"("decoder":{"type":"WordPiece"})"), kUnsupported, "decoder WordPiece");
  bad_json(with(R"("decoder":{"type":"Metaspace"})"), kUnsupported, "decoder Metaspace");
  bad_json(with(R"("decoder":{"type":"Strip","content":"ab","start":0,"stop":0})"), kBad,
           "one character");
  bad_json(with(R"("decoder":{"type":"Strip","content":" ","start":-1,"stop":0})"), kBad, "start");
  bad_json(with(R"("decoder":{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Replace",
      "pattern":{"String":"a"},"content":""}]})"),
           kUnsupported, "Replace behind");
  bad_json(with(R"("post_processor":{"type":"Odd"})"), kUnsupported, "post-processor Odd");
  bad_json(with(R"("post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":
      {"id":"B","type_id":0}}],"special_tokens":{}})"),
           kBad, "\"B\" is missing");
  bad_json(with(R"("post_processor":{"type":"TemplateProcessing","single":[{"Sequence":
      {"id":"B","type_id":0}}],"special_tokens":{}})"),
           kBad, "sequence A");
  bad_json(with(R"("post_processor":{"type":"RobertaProcessing","sep":["x"],"cls":["y",1]})"), kBad,
           "a token and its id");
  std::string nested = R"({"type":"NFC"})";
  for (int i = 0; i < 40; ++i) nested = cat(R"({"type":"Sequence","normalizers":[)", nested, "]}");
  bad_json(with("\"normalizer\":" + nested), kBad, "deeply");
  bad_json(with("\"normalizer\":" + std::string(1000, '[') + std::string(1000, ']')), kBad, "");
}

TEST_F(Damage, TokenizerJsonAddedTokens) {
  auto added = [](const std::string& list) {
    return "{\"added_tokens\":" + list + "," + kModel + "}";
  };
  EXPECT_NO_THROW(Tokenizer(
      read_tokenizer_json(added(R"([{"id":0,"content":"a"},{"id":9,"content":"gap"}])"), "t")));
  bad_json(added("{}"), kBad, "expected an array");
  bad_json(added("[7]"), kBad, "expected an object");
  bad_json(added(R"([{"content":"x"}])"), kBad, "\"id\" is missing");
  bad_json(added(R"([{"id":3}])"), kBad, "\"content\" is missing");
  bad_json(added(R"([{"id":4194304,"content":"x"}])"), kBad, "4194303");
  bad_json(added(R"([{"id":-1,"content":"x"}])"), kBad, "\"id\"");
  bad_json(added(R"([{"id":3,"content":"a"}])"), kBad, "the vocabulary gives it 0");
  bad_json(added(R"([{"id":0,"content":"x"}])"), kBad, "which is that of \"a\"");
  bad_json(added(R"([{"id":5,"content":"x"},{"id":5,"content":"y"}])"), kBad, "disagrees");
  bad_json(added(R"([{"id":5,"content":"x"},{"id":6,"content":"x"}])"), kBad, "disagrees");
}

TEST_F(Damage, VocabAndMerges) {
  auto load = [](const std::string& vocab, const std::string& merges,
                 const std::string& config = "", const std::string& added = "",
                 const std::string& pattern = "") {
    VocabMergesFiles files;
    files.vocab_json = vocab;
    files.merges_txt = merges;
    files.config_json = config;
    files.added_json = added;
    files.source = "dir";
    return Tokenizer(read_vocab_merges(files, pattern));
  };
  const std::string vocab = R"({"a":0,"b":1,"ab":2,"Ġ":3})";
  EXPECT_EQ(load(vocab, "#version: 0.2\na b\n").encode("ab ab"), (std::vector<TokenId>{2, 3, 2}));
  EXPECT_EQ(load(vocab, "a b\r\n\r\n").encode("ab"), (std::vector<TokenId>{2}));
  expect_error([&] { load("{", ""); }, kBad, "dir: vocabulary");
  expect_error([&] { load(vocab, "a c\n"); }, kBad, "\"c\"");
  expect_error([&] { load(vocab, "ab\n"); }, kBad, "blank between");
  expect_error([&] { load(vocab, "a b c\n"); }, kBad, "blank between");
  expect_error([&] { load(vocab, "", "[]"); }, kBad, "tokenizer_config.json");
  expect_error([&] { load(vocab, "", R"({"added_tokens_decoder":{"x":{"content":"<s>"}}})"); },
               kBad, "expected an id");
  expect_error(
      [&] {
        load(vocab, "", R"({"added_tokens_decoder":{"99999999999999999999":{"content":"s"}}})");
      },
      kBad, "expected an id");
  expect_error([&] { load(vocab, "", R"({"added_tokens_decoder":{"":{"content":"s"}}})"); }, kBad,
               "expected an id");
  expect_error([&] { load(vocab, "", R"({"added_tokens_decoder":{"1":{"content":"<s>"}}})"); },
               kBad, "which is that of \"b\"");
  expect_error([&] { load(vocab, "", "", R"({"<s>":"x"})"); }, kBad, "<s>");
  expect_error([&] { load(vocab, "", "", "", "("); }, kBad, "closing parenthesis");
  const Tokenizer qwen = load(
      vocab, "",
      R"({"tokenizer_class":"Qwen2Tokenizer","added_tokens_decoder":{"8":{"content":"<s>","special":true}}})");
  EXPECT_EQ(qwen.find("<s>"), 8);
  EXPECT_TRUE(qwen.is_special(8));
}

std::string tiktoken_bytes() {  // all single bytes, then "ab"
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (int byte = 0; byte < 256; ++byte) {
    text += {kDigits[byte >> 2], kDigits[(byte & 3) << 4], '=', '='};
    text += cat(" ", byte, "\n");
  }
  return text + "YWI= 256\n";
}

TEST_F(Damage, Tiktoken) {
  auto load = [](const std::string& text, const std::string& pattern = "cl100k") {
    return Tokenizer(read_tiktoken(text, "x.tiktoken", pattern));
  };
  const std::string good = tiktoken_bytes();
  EXPECT_EQ(load(good).encode("abc"), (std::vector<TokenId>{256, 'c'}));
  EXPECT_EQ(load(good).find("<|endoftext|>"), 100257);
  EXPECT_EQ(load(good, "gpt2").find("<|endoftext|>"), 50256);
  EXPECT_EQ(load(good, R"(\w+|\W+)").find("<|endoftext|>"), std::nullopt);
  expect_error([&] { load(good, ""); }, ErrorCode::kUsage, "pattern");
  EXPECT_NO_THROW(Tokenizer(read_tiktoken(good, "/a/cl100k_base.tiktoken", "")));
  expect_error([&] { load(""); }, kBad, "no token for byte 0");
  expect_error([&] { load("AA== 0\n"); }, kBad, "no token for byte 1");
  expect_error([&] { load(good + "A 300\n"); }, kBad, "line 258");
  expect_error([&] { load(good + "A=== 300\n"); }, kBad, "not base64");
  expect_error([&] { load(good + "=A== 300\n"); }, kBad, "not base64");
  expect_error([&] { load(good + "QUFB\n"); }, kBad, "expected a rank");
  expect_error([&] { load(good + "QUFB \n"); }, kBad, "expected a rank");
  expect_error([&] { load(good + "QUFB x\n"); }, kBad, "expected a rank");
  expect_error([&] { load(good + "QUFB -1\n"); }, kBad, "expected a rank");
  expect_error([&] { load(good + "QUFB 4194304\n"); }, kBad, "has id 4194304");
  expect_error([&] { load(good + "QUFB 99999999999999999999\n"); }, kBad, "expected a rank");
  expect_error([&] { load(good + "QUFB 256\n"); }, kBad, "same id");
  expect_error([&] { load(good + "YWI= 300\n"); }, kBad, "twice");
}

TEST_F(Damage, Paths) {
  const testing::TempDir dir;
  auto load = [](const std::string& path, const std::string& pattern = "") {
    Tokenizer::load(path, {pattern});
  };
  expect_error([&] { load(dir.path()); }, ErrorCode::kNotFound, "expected tokenizer.json");
  expect_error([&] { load(dir.path() + "/none"); }, ErrorCode::kNotFound, "none");
  expect_error([&] { load(dir.path() + "/none.gguf"); }, ErrorCode::kNotFound, "none.gguf");
  const std::string odd = dir.write("odd.bin", "x");
  expect_error([&] { load(odd); }, kUnsupported, "no kind of tokenizer");
  const std::string json = dir.write("tokenizer.json", "{" + kModel + "}");
  EXPECT_NO_THROW(load(json));
  EXPECT_NO_THROW(load(dir.path()));
  expect_error([&] { load(json, "gpt2"); }, ErrorCode::kUsage, "pattern");
}

// A GGUF file with this metadata.
struct GgufVocabulary {
  std::string model = "gpt2", pre = "gpt-2";
  std::vector<std::string> tokens{"a", "b", "ab", "<s>", "<u>"}, merges{"a b"};
  std::vector<int32_t> types{1, 1, 1, 3, 4};
  int32_t bos = 3;
  bool add_bos = false;

  std::string bytes() const {
    std::string out = "GGUF";
    auto put = [&](auto value) {
      out.append(reinterpret_cast<const char*>(&value), sizeof(value));
    };
    auto text = [&](const std::string& s) {
      put(static_cast<uint64_t>(s.size()));
      out += s;
    };
    auto key = [&](const char* name, GgufType type) {
      text(std::string("tokenizer.ggml.") + name);
      put(static_cast<uint32_t>(type));
    };
    auto strings = [&](const char* name, const std::vector<std::string>& list) {
      key(name, GgufType::kArray);
      put(static_cast<uint32_t>(GgufType::kString));
      put(static_cast<uint64_t>(list.size()));
      for (const std::string& s : list) text(s);
    };
    put(uint32_t{3});
    put(uint64_t{0});
    put(uint64_t{7});
    key("model", GgufType::kString);
    text(model);
    key("pre", GgufType::kString);
    text(pre);
    strings("tokens", tokens);
    strings("merges", merges);
    key("token_type", GgufType::kArray);
    put(static_cast<uint32_t>(GgufType::kI32));
    put(static_cast<uint64_t>(types.size()));
    for (int32_t type : types) put(type);
    key("bos_token_id", GgufType::kI32);
    put(bos);
    key("add_bos_token", GgufType::kBool);
    put(static_cast<uint8_t>(add_bos));
    return out;
  }
  Tokenizer load() const {
    const std::string all = bytes();
    return Tokenizer(
        read_gguf_vocabulary(GgufFile::parse(std::as_bytes(std::span(all)), "t.gguf")));
  }
};

TEST_F(Damage, GgufVocabularies) {
  GgufVocabulary good;
  good.add_bos = true;
  EXPECT_EQ(good.load().encode("ab<s><u>", {true, true}), (std::vector<TokenId>{3, 2, 3, 4}));
  EXPECT_EQ(good.load().encode("<u>", {.parse_special = false}), (std::vector<TokenId>{4}));
  auto damaged = [](auto change, ErrorCode code, const std::string& part) {
    GgufVocabulary file;
    change(file);
    expect_error([&] { file.load(); }, code, part);
  };
  damaged([](auto& f) { f.model = "llama"; }, kUnsupported, "tokenizer model \"llama\"");
  damaged([](auto& f) { f.pre = "odd-pre"; }, kUnsupported, "odd-pre");
  damaged([](auto& f) { f.tokens[1] = "a"; }, kBad, "twice");
  damaged([](auto& f) { f.merges = {"a x"}; }, kBad, "\"x\"");
  damaged([](auto& f) { f.merges = {"b a"}; }, kBad, "\"ba\"");
  damaged([](auto& f) { f.merges = {"ab"}; }, kBad, "blank between");
  damaged([](auto& f) { f.types.pop_back(); }, kBad, "4 entries for 5 tokens");
  damaged([](auto& f) { f.types[0] = 99; }, kBad, "no token type");
  damaged([](auto& f) { f.bos = 5; }, kBad, "no token");
  damaged([](auto& f) { f.bos = -1; }, kBad, "no token");
  const std::string bytes = good.bytes();
  for (size_t length = 0; length < bytes.size(); ++length) {
    const std::string cut(bytes.data(), length);
    expect_error([&] { GgufFile::parse(std::as_bytes(std::span(cut)), "t.gguf"); }, kBad, "");
  }
}

TEST_F(Damage, EveryTruncationOfARealTokenizer) {
  const std::string json = read_file(testing::testdata("../models/nano-v0/tokenizer.json"));
  for (size_t length = 0; length < json.size(); length += json.size() / 60) {
    bad_json(json.substr(0, length), kBad, "not valid JSON");
  }
}

}  // namespace
}  // namespace axk1
