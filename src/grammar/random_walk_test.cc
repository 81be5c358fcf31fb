// Whatever a model chooses from the masks, the answer is valid and never stuck.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <sstream>

#include "base/rng.h"
#include "grammar/grammar_test_util.h"
#include "grammar/plain_validator.h"
#include "io/file.h"
#include "testing/shared_data.h"
#include "tokenizer/tokenizer.h"

namespace axk1 {
namespace {

struct Walk {
  std::string text;
  bool ended = false;
  bool stuck = false;  // only the end was left, where no value is complete
};

// Random tokens; after `patience` tokens, those that bring an end nearer.
Walk walk(const std::shared_ptr<const GrammarVocabulary>& vocabulary,
          const std::shared_ptr<const Grammar>& grammar,
          const std::function<std::string(TokenId)>& bytes_of, size_t patience, Rng& rng) {
  const std::unique_ptr<TokenConstraint> constraint = make_json_constraint(vocabulary, grammar);
  const TokenId end = vocabulary->end_ids()[0];
  std::vector<uint32_t> words(token_mask_words(vocabulary->vocab_size()));
  Walk out;
  for (size_t step = 0; step < patience + 600; ++step) {
    constraint->allowed(words);
    std::vector<TokenId> choice;
    for (size_t i = 0; i < vocabulary->vocab_size(); ++i) {
      if (words[i / 32] >> (i % 32) & 1) choice.push_back(static_cast<TokenId>(i));
    }
    if (choice.empty()) {
      out.stuck = true;
      return out;
    }
    TokenId next = choice[rng.next() % choice.size()];
    const bool may_end = words[static_cast<size_t>(end) / 32] >> (end % 32) & 1;
    if (may_end && (step > patience || rng.next() % 4 == 0)) next = end;
    if (!may_end) {
      // White space and digits would go on for long.
      for (int tries = 0;
           tries < 3 &&
           std::string_view(" \n\t\r0123456789").find(bytes_of(next)[0]) != std::string_view::npos;
           ++tries) {
        next = choice[rng.next() % choice.size()];
      }
      if (step > patience) {
        for (const char* closing : {"\"", "}", "]", ":", "0", "1", "n", "f", "a", ","}) {
          const auto found = std::find_if(choice.begin(), choice.end(),
                                          [&](TokenId id) { return bytes_of(id) == closing; });
          if (found == choice.end()) continue;
          next = *found;
          break;
        }
      }
    }
    EXPECT_TRUE(constraint->push(next));
    if (next == end) {
      out.ended = true;
      return out;
    }
    out.text += bytes_of(next);
  }
  return out;
}

class Walker {
 public:
  Walker(std::shared_ptr<const GrammarVocabulary> vocabulary,
         std::function<std::string(TokenId)> bytes_of)
      : vocabulary_(std::move(vocabulary)), bytes_of_(std::move(bytes_of)) {}

  void check(const json::value& schema, int rounds, Rng& rng) {
    std::shared_ptr<const Grammar> grammar;
    try {
      grammar = compile_json_schema(schema);
    } catch (const Error&) {
      return;
    }
    const testing::PlainValidator validator(schema);
    for (int round = 0; round < rounds; ++round) {
      const Walk w = walk(vocabulary_, grammar, bytes_of_, 30, rng);
      EXPECT_FALSE(w.stuck) << json::to_text(schema) << "\n" << w.text;
      ++num_walks_;
      if (!w.ended) continue;
      ++num_ended_;
      // Doubles, which the validator computes with, cannot tell such numbers apart.
      if (testing::found_by_pcre2("[eE][+-]?[0-9]{3}", w.text)) continue;
      const json::value value = json::parse(w.text, "walk");
      EXPECT_TRUE(validator.valid(value)) << json::to_text(schema) << "\n" << w.text;
    }
  }
  size_t num_walks() const { return num_walks_; }
  size_t num_ended() const { return num_ended_; }

 private:
  std::shared_ptr<const GrammarVocabulary> vocabulary_;
  std::function<std::string(TokenId)> bytes_of_;
  size_t num_walks_ = 0, num_ended_ = 0;
};

std::vector<json::value> schemas_of_cases() {
  std::vector<json::value> schemas;
  const std::string path = testing::testdata("json_schema/cases.jsonl");
  std::istringstream lines(read_file(path));
  for (std::string line; std::getline(lines, line);) {
    schemas.push_back(json::parse(line, path).at("schema"));
  }
  return schemas;
}

Walker byte_walker() {
  return Walker(byte_vocabulary(),
                [](TokenId id) { return std::string(1, static_cast<char>(id)); });
}

TEST(RandomWalk, BytesMakeValidValues) {
  Rng rng(1);
  Walker walker = byte_walker();
  for (const json::value& schema : schemas_of_cases()) walker.check(schema, 8, rng);
  EXPECT_GT(walker.num_ended(), walker.num_walks() * 8 / 10);
}

TEST(RandomWalk, TokensMakeValidValuesSlow) {
  const Tokenizer tokenizer = Tokenizer::load(testing::testdata("../models/nano-v0"));
  const auto end = static_cast<TokenId>(tokenizer.find("<|im_end|>").value());
  Walker walker(std::make_shared<const GrammarVocabulary>(tokenizer, std::vector<TokenId>{end}),
                [&](TokenId id) { return std::string(tokenizer.token_bytes(id)); });
  Rng rng(2);
  for (const json::value& schema : schemas_of_cases()) walker.check(schema, 1, rng);
  EXPECT_GT(walker.num_ended(), walker.num_walks() * 8 / 10);
}

TEST(RandomWalk, RealSchemasSlow) {
  AXK1_SKIP_WITHOUT_SHARED("data/json/jsonschemabench_dev.tar.zst");
  Rng rng(3);
  Walker walker = byte_walker();
  size_t i = 0;
  for (const auto& [name, text] :
       testing::read_tar_zst(testing::shared_path("data/json/jsonschemabench_dev.tar.zst"))) {
    if (!name.ends_with(".json") || i++ % 4 != 0) continue;
    walker.check(json::parse(text, name), 2, rng);
  }
  EXPECT_GT(walker.num_walks(), 400u);
  EXPECT_GT(walker.num_ended(), walker.num_walks() * 4 / 10);
}

}  // namespace
}  // namespace axk1
