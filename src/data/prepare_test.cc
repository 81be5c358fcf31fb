#include "data/prepare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>

#include "base/error.h"
#include "data/token_shard.h"
#include "io/file.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kTokenizer = testing::testdata("../models/nano-v0/tokenizer.json");

std::string message_of(const auto& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// Chat as "U:...\n" and "A:...<|im_end|>\n".
std::string render(const json::object& variables) {
  std::string text;
  for (const json::value& message : variables.at("messages").get_array()) {
    const bool user = message.at("role").get_string() == "user";
    text += user ? "U:" : "A:";
    text += message.at("content").get_string().c_str();
    text += user ? "\n" : "<|im_end|>\n";
  }
  if (variables.at("add_generation_prompt").get_bool()) {
    text += variables.contains("enable_thinking") ? "A:<think>\n" : "A:</think>\n";
  }
  return text;
}

class Prepare : public ::testing::Test {
 protected:
  // `sources` and other fields of the config as JSON.
  json::object prepare(const std::string& sources, const std::string& others = "",
                       int threads = 1) {
    const std::string config =
        cat("{\"tokenizer\":\"", kTokenizer, "\",", others, "\"sources\":[", sources, "]}");
    out_ = cat(dir_.path(), "/out", num_runs_++);
    std::filesystem::create_directories(out_);
    ThreadPool pool(threads);
    return prepare_data(read_prepare_config(json::parse(config, "config"), "config", dir_.path()),
                        out_,
                        {.tokenizer = tokenizer(),
                         .tokenizer_hash = 5,
                         .render = render,
                         .pool = pool,
                         .progress = [](uint64_t, uint64_t) { return true; }});
  }
  static const Tokenizer& tokenizer() {
    static const Tokenizer shared = Tokenizer::load(kTokenizer);
    return shared;
  }
  // The texts of a shard; tokens out of the loss are in brackets.
  std::vector<std::string> texts(const std::string& file) {
    const TokenShard shard = TokenShard::open(out_ + "/" + file);
    shard.verify();
    std::vector<std::string> found;
    for (uint64_t i = 0; i < shard.num_documents(); ++i) {
      const std::vector<TokenId> ids = shard.document(i);
      std::vector<uint8_t> loss(ids.size());
      shard.copy_loss(shard.document_begin(i), loss);
      const auto split = std::ranges::find(loss, 1) - loss.begin();
      EXPECT_EQ(std::ranges::count(loss.begin() + split, loss.end(), 0), 0);
      std::string text;
      if (split > 0) text = "[" + tokenizer().decode({ids.begin(), ids.begin() + split}) + "]";
      found.push_back(text + tokenizer().decode({ids.begin() + split, ids.end()}));
    }
    return found;
  }
  static std::map<std::string, uint64_t> dropped(const json::value& source) {
    std::map<std::string, uint64_t> counts;
    for (const auto& [reason, one] : source.at("dropped").get_object()) {
      counts[std::string(reason)] = one.at("documents").to_number<uint64_t>();
    }
    return counts;
  }

  testing::TempDir dir_;
  std::string out_;
  int num_runs_ = 0;
};

TEST_F(Prepare, EveryReasonIsCountedAndShown) {
  dir_.write("a.jsonl",
             "{\"id\":1,\"text\":\"서울은 한강을 끼고 자리한 도시로, 조선이 도읍을 옮긴 뒤로 줄곧 "
             "나라의 중심이었다. 지금은 천만에 가까운 사람이 산다.\"}\n"
             "{\"id\":2,\"text\":\"서울은  한강을 끼고 자리한 도시로, 조선이 도읍을 옮긴 뒤로 줄곧 "
             "나라의 중심이었다. 지금은 천만에 가까운 사람이 산다.\\n\"}\n"
             "{\"id\":3,\"text\":\"서울은 한강을 끼고 자리한 도시로, 조선이 도읍을 옮긴 뒤로 줄곧 "
             "나라의 중심이었다. 지금은 천만에 가까운 사람이 산다!!! 정말로.\"}\n"
             "{\"id\":4,\"text\":\"짧다\"}\n"
             "{\"id\":5,\"text\":\"하나 둘 셋 넷 the rest of this text is all English, and there "
             "is more of it than of the other\"}\n"
             "{\"id\":6,\"note\":\"no text\"}\n"
             "{\"text\":\n");
  dir_.write("b.txt",
             "caf\xe9\n\nLes enfants jouent dans le jardin pendant que leurs parents "
             "préparent le dîner dans la cuisine de la maison.\n\nSome plain English words "
             "that stand here so that there is something to keep in the end.\n");
  const json::object report = prepare(
      R"({"name":"ko","files":["a.jsonl"],"min_chars":10,"min_hangul":0.5},
         {"name":"en","files":["b.txt"],"unit":"paragraph","max_chars":100,"languages":["en"]},
         {"name":"fr","files":["b.txt"],"unit":"paragraph","languages":["en","ko"]})",
      R"("held_out":0,)");
  const json::array& sources = report.at("sources").get_array();
  EXPECT_EQ(dropped(sources[0]), (std::map<std::string, uint64_t>{{"duplicate", 1},
                                                                  {"near_duplicate", 1},
                                                                  {"too_short", 1},
                                                                  {"hangul", 1},
                                                                  {"unreadable", 2}}));
  EXPECT_EQ(dropped(sources[1]),
            (std::map<std::string, uint64_t>{{"not_utf8", 1}, {"too_long", 1}}));
  EXPECT_EQ(dropped(sources[2]),
            (std::map<std::string, uint64_t>{{"not_utf8", 1}, {"language", 1}, {"duplicate", 1}}));
  const json::value& near = sources[0].at("dropped").at("near_duplicate").at("examples").at(0);
  EXPECT_EQ(near.at("id"), 3);
  EXPECT_THAT(std::string(near.at("document").get_string()), HasSubstr("a.jsonl:3"));
  EXPECT_THAT(std::string(near.at("same_as").get_string()), HasSubstr("a.jsonl:1"));
  const json::value& bad = sources[0].at("dropped").at("unreadable").at("examples").at(0);
  EXPECT_THAT(std::string(bad.at("why").get_string()), HasSubstr("found the fields id, note"));
  EXPECT_EQ(sources[0].at("dropped").at("unreadable").at("bytes"), 35u) << "the two lines";
  EXPECT_EQ(report.at("total").at("documents"), 13);
  EXPECT_EQ(report.at("total").at("kept").at("documents"), 2);
  EXPECT_THAT(texts("ko.train.00000.shard"),
              ElementsAre("서울은 한강을 끼고 자리한 도시로, 조선이 도읍을 옮긴 뒤로 줄곧 나라의 "
                          "중심이었다. 지금은 천만에 가까운 사람이 산다.<|endoftext|>"));
  EXPECT_EQ(json::parse(read_file(out_ + "/report.json"), "report"), json::value(report));
}

TEST_F(Prepare, ConversationsTrainOnAnswersAlone) {
  dir_.write("chat.jsonl", R"({"messages":[{"role":"user","content":"1+1?"},
{"role":"assistant","content":"2","reasoning_content":"easy"},{"role":"user","content":"다시"},
{"role":"assistant","content":"둘"}]})");
  std::string one_line = read_file(dir_.path() + "/chat.jsonl");
  std::erase(one_line, '\n');
  dir_.write("chat.jsonl", one_line + "\n{\"messages\":[{\"role\":\"user\"}]}\n");
  const json::object report =
      prepare(R"({"name":"chat","files":"chat.jsonl","chat":true})", R"("held_out":0,)");
  EXPECT_THAT(texts("chat.train.00000.shard"),
              ElementsAre("[U:1+1?\nA:<think>\n]easy\n</think>\n\n2<|im_end|>",
                          "[U:1+1?\nA:2<|im_end|>\nU:다시\nA:</think>\n]둘<|im_end|>"));
  EXPECT_EQ(report.at("sources").at(0).at("kept").at("documents"), 1);
  const json::value dataset = json::parse(read_file(out_ + "/dataset.json"), "dataset");
  EXPECT_EQ(dataset.at("sources").at(0).at("files"), (json::array{"chat.train.00000.shard"}));
}

// The same documents for any number of threads, in shards of bounded size; and whether a document
// is held out depends on its text alone.
TEST_F(Prepare, ThreadsAndOrderDoNotMatter) {
  std::string forward, backward;
  for (int i = 0; i < 300; ++i) {
    const std::string line = cat("{\"text\":\"", i * 7919 % 1000, "번째 글은 ", i * 31 % 977,
                                 "쪽에 있고 ", i, "번이라 부른다.\"}\n");
    forward += line;
    backward.insert(0, line);
  }
  dir_.write("f.jsonl", forward);
  dir_.write("b.jsonl", backward);
  const std::string others = R"("held_out":0.2,"shard_tokens":2000,"near_duplicate_similarity":0,)";
  const auto run = [&](const char* file, int threads) {
    const json::object report =
        prepare(cat(R"({"name":"s","files":[")", file, R"("]})"), others, threads);
    std::map<std::string, std::string> shards;
    for (const auto& entry : std::filesystem::directory_iterator(out_)) {
      shards[entry.path().filename()] = read_file(entry.path());
    }
    return shards;
  };
  const auto held_out = [&] {
    std::set<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(out_)) {
      const std::string name = entry.path().filename();
      if (!name.starts_with("s.held-out")) continue;
      for (const std::string& text : texts(name)) found.insert(text);
    }
    return found;
  };
  const auto expected = run("f.jsonl", 1);
  const std::set<std::string> texts_held_out = held_out();
  EXPECT_GT(expected.size(), 5u);
  EXPECT_GT(texts_held_out.size(), 35u);
  EXPECT_LT(texts_held_out.size(), 85u);
  EXPECT_EQ(run("f.jsonl", 3), expected);
  run("b.jsonl", 1);
  EXPECT_EQ(held_out(), texts_held_out);
}

TEST_F(Prepare, WhatStopsTheWork) {
  dir_.write("a.jsonl", "{\"text\":\"x\"}\n");
  const std::string source = R"({"name":"a","files":["a.jsonl"]})";
  const auto error = [&](const std::string& sources, const std::string& others = "") {
    return message_of([&] { prepare(sources, others); });
  };
  EXPECT_THAT(error(source, R"("end_token":"<nope>",)"), HasSubstr("has no token \"<nope>\""));
  EXPECT_THAT(error(R"({"name":"a","files":["none.jsonl"]})"), HasSubstr("none.jsonl"));
  EXPECT_THAT(error(source + "," + source), HasSubstr("a second source named \"a\""));
  EXPECT_THAT(error(R"({"name":"a/b","files":["a.jsonl"]})"), HasSubstr("config: sources[0]"));
  EXPECT_THAT(error(R"({"name":"a","files":[]})"), HasSubstr("names no file"));
  EXPECT_THAT(error(R"({"name":"a","files":["a.jsonl"],"min_char":3})"),
              HasSubstr("found the field \"min_char\", expected one of name, files"));
  EXPECT_THAT(error(source, R"("held_out":1.5,)"), HasSubstr("a number from 0 to 1"));
  EXPECT_THAT(error(R"({"name":"a","files":["a.jsonl"],"unit":"page"})"),
              HasSubstr("file, paragraph or line"));
  EXPECT_EQ(error(source), "");
  const std::string first = out_;
  --num_runs_;
  EXPECT_THAT(error(source), HasSubstr(first + ": has a dataset.json already"));
}

}  // namespace
}  // namespace axk1
