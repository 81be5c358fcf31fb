#include "train/source_documents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "data/token_shard.h"
#include "io/file.h"
#include "testing/byte_tokenizer.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using ::testing::HasSubstr;

class SourceDocuments : public ::testing::Test {
 protected:
  SourceDocuments()
      : file_(dir_.write("tokenizer.json", testing::byte_tokenizer_json())),
        tokenizer_(Tokenizer::load(dir_.path())),
        template_(ChatTemplate::load(testing::testdata("../models/nano-v0/chat_template.jinja"))),
        encoding_{.tokenizer = tokenizer_,
                  .chat_template = &template_,
                  .document_end = testing::kEndOfText,
                  .tokenizer_hash = 77,
                  .vocab_size = 260} {}

  // What is trained, and all of a document, as text.
  static std::pair<std::string, std::string> show(const Tokenizer& tokenizer,
                                                  const Documents& documents, size_t i) {
    std::vector<int32_t> ids(documents.length(i)), trained;
    std::vector<uint8_t> counts(ids.size());
    documents.read(i, 0, ids, counts);
    for (size_t t = 0; t < ids.size(); ++t) {
      if (counts[t]) trained.push_back(ids[t]);
    }
    return {tokenizer.decode(trained), tokenizer.decode(ids)};
  }
  std::pair<std::string, std::string> show(const Documents& documents, size_t i) const {
    return show(tokenizer_, documents, i);
  }
  std::unique_ptr<Documents> load(const std::vector<std::string>& files) const {
    return load_documents(files, "text", encoding_);
  }
  std::string error_of(const std::string& name, const std::string& bytes) const {
    try {
      load({dir_.write(name, bytes)});
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  testing::TempDir dir_;
  std::string file_;
  Tokenizer tokenizer_;
  ChatTemplate template_;
  TextEncoding encoding_;
};

TEST_F(SourceDocuments, TextsAndLines) {
  const std::string text = dir_.write("a.txt", "one\n\ntwo<|im_end|>");
  const std::string lines =
      dir_.write("b.jsonl", "{\"text\": \"x\", \"n\": 1}\n\n{\"text\": \"\"}\n{\"text\": \"한\"}");
  const auto documents = load({text, lines});
  ASSERT_EQ(documents->size(), 3u);
  EXPECT_EQ(documents->length(0), std::string("one\n\ntwo<|im_end|>").size() + 1)
      << "special tokens of a text are text";
  EXPECT_EQ(show(*documents, 0).first, "one\n\ntwo<|im_end|><|endoftext|>");
  EXPECT_EQ(show(*documents, 1).first, "x<|endoftext|>");
  EXPECT_EQ(show(*documents, 2).first, "한<|endoftext|>");
  std::vector<int32_t> ids(2);
  std::vector<uint8_t> counts(2);
  documents->read(2, 1, ids, counts);
  EXPECT_EQ(ids[0], 0x95) << "the second byte of 한";
  EXPECT_NE(documents->fingerprint(), load({lines, text})->fingerprint());
  EXPECT_EQ(documents->fingerprint(), load({text, lines})->fingerprint());
}

TEST_F(SourceDocuments, AnAnswerIsTrainedBehindWhatTheModelIsGiven) {
  MemoryDocuments documents;
  add_conversation(json::parse(R"({"messages": [{"role": "system", "content": "S"},
          {"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"},
          {"role": "user", "content": "2+2?"},
          {"role": "assistant", "content": "<4>", "reasoning_content": "2 and 2"}]})",
                               "x")
                       .as_object(),
                   encoding_, documents);
  ASSERT_EQ(documents.size(), 2u);
  EXPECT_EQ(show(documents, 0).first, "2<|im_end|>");
  EXPECT_EQ(show(documents, 0).second,
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\n1+1?<|im_end|>\n"
            "<|im_start|>assistant\n</think>\n\n2<|im_end|>");
  EXPECT_EQ(show(documents, 1).first, "2 and 2\n</think>\n\n<4><|im_end|>");
  EXPECT_THAT(show(documents, 1).second,
              HasSubstr("<|im_start|>assistant\n2<|im_end|>\n<|im_start|>user\n2+2?<|im_end|>\n"
                        "<|im_start|>assistant\n<think>\n2 and 2\n</think>"));
  std::vector<int32_t> ids(documents.length(0));
  std::vector<uint8_t> counts(ids.size());
  documents.read(0, 0, ids, counts);
  EXPECT_EQ(ids.back(), testing::kImEnd);
}

TEST_F(SourceDocuments, AToolCallIsAnAnswer) {
  MemoryDocuments documents;
  add_conversation(json::parse(R"({"tools": [{"name": "now"}], "messages": [
          {"role": "user", "content": "time?"},
          {"role": "assistant", "content": "", "tool_calls": [
             {"function": {"name": "now", "arguments": {"z": 9}}}]}]})",
                               "x")
                       .as_object(),
                   encoding_, documents);
  ASSERT_EQ(documents.size(), 1u);
  EXPECT_THAT(
      show(documents, 0).first,
      HasSubstr(
          "<tool_call>\n{\"name\": \"now\", \"arguments\": {\"z\": 9}}\n</tool_call><|im_end|>"));
  EXPECT_THAT(show(documents, 0).second, HasSubstr("<tools>\n{\"name\": \"now\"}"));
}

TEST_F(SourceDocuments, ShardsAreReadWhereTheyLie) {
  const std::string path = dir_.path() + "/a.shard";
  const auto write = [&](const TokenShardOptions& options) {
    TokenShardWriter writer(path, options);
    writer.add(std::vector<TokenId>{72, 105, 256}, std::vector<uint8_t>{0, 1, 1});
    writer.add(std::vector<TokenId>{33, 256}, std::vector<uint8_t>{1, 1});
    writer.finish();
  };
  write({.vocab_size = 260, .tokenizer_hash = 77, .loss_mask = true});
  const auto documents = load({path});
  ASSERT_EQ(documents->size(), 2u);
  EXPECT_EQ(show(*documents, 0).first, "i<|endoftext|>");
  EXPECT_EQ(show(*documents, 1).second, "!<|endoftext|>");
  write({.vocab_size = 260, .tokenizer_hash = 78, .loss_mask = true});
  EXPECT_THROW(load({path}), Error) << "another tokenizer";
  write({.vocab_size = 261, .tokenizer_hash = 77, .loss_mask = true});
  EXPECT_THROW(load({path}), Error) << "a larger vocabulary";
}

TEST_F(SourceDocuments, ErrorsNameFileAndLine) {
  EXPECT_THAT(error_of("a.jsonl", "{\"text\": \"x\"}\n{\"body\": \"x\"}\n"),
              HasSubstr("a.jsonl:2: field \"text\" is missing"));
  EXPECT_THAT(error_of("b.jsonl", "{\"text\": \"x\"\n"), HasSubstr("b.jsonl:1: "));
  EXPECT_THAT(error_of("c.jsonl", "{\"messages\": [{\"content\": \"x\"}]}"),
              HasSubstr("c.jsonl:1: messages: field \"role\" is missing"));
  EXPECT_THAT(error_of("d.jsonl",
                       "{\"messages\": [{\"role\": \"bot\", \"content\": \"x\"}, {\"role\": "
                       "\"assistant\", \"content\": \"x\"}]}"),
              HasSubstr("unknown role"));
  encoding_.chat_template = nullptr;
  EXPECT_THAT(error_of("e.jsonl", "{\"messages\": []}"), HasSubstr("no chat template"));
  EXPECT_THROW(load({dir_.path() + "/none.txt"}), Error);
}

}  // namespace
}  // namespace axk1
