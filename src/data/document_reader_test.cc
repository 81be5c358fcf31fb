#include "data/document_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include "base/error.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Documents : public ::testing::Test {
 protected:
  std::vector<std::string> read(const std::vector<std::string>& paths,
                                TextUnit unit = TextUnit::kLines) {
    DocumentReader reader(paths, unit);
    std::vector<std::string> found;
    places_.clear();
    RawDocument document;
    while (reader.next(document)) {
      found.push_back(document.bytes);
      places_.push_back(reader.place(document).substr(dir_.path().size() + 1));
    }
    EXPECT_EQ(reader.bytes_done(), reader.bytes_total());
    return found;
  }
  std::string error_of(const std::vector<std::string>& paths) {
    try {
      read(paths);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  static std::string compressed(const std::string& text) {
    std::string out(ZSTD_compressBound(text.size()), '\0');
    out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
    return out;
  }

  testing::TempDir dir_;
  std::vector<std::string> places_;
};

TEST_F(Documents, TextIsCutWhereALineBegins) {
  const std::string path = dir_.write("a.txt", "one\ntwo\n\n  three\nfour");
  EXPECT_THAT(read({path}), ElementsAre("one\n", "two\n\n  three\n", "four"));
  EXPECT_THAT(places_, ElementsAre("a.txt:1", "a.txt:2", "a.txt:5"));
  EXPECT_THAT(read({path}, TextUnit::kParagraphs), ElementsAre("one\ntwo\n", "  three\nfour"));
  EXPECT_THAT(places_, ElementsAre("a.txt:1", "a.txt:4"));
  EXPECT_THAT(read({path}, TextUnit::kFile), ElementsAre("one\ntwo\n\n  three\nfour"));
  const std::string blank = dir_.write("blank.txt", "\n\n");
  EXPECT_THAT(read({blank}), ElementsAre("\n\n"));
  EXPECT_THAT(read({blank}, TextUnit::kParagraphs), ElementsAre());
}

TEST_F(Documents, LinesOfJsonAndSeveralFiles) {
  const std::string a = dir_.write("a.jsonl", "{\"text\":1}\n\n  {\"text\":2}\n");
  const std::string b = dir_.write("b.txt", "");
  const std::string c = dir_.write("c.jsonl", "{}");
  EXPECT_THAT(read({a, b, c}), ElementsAre("{\"text\":1}\n", "  {\"text\":2}\n", "{}"));
  EXPECT_THAT(places_, ElementsAre("a.jsonl:1", "a.jsonl:3", "c.jsonl:1"));
}

TEST_F(Documents, Zstandard) {
  std::string text;
  std::vector<std::string> lines;
  for (int i = 0; i < 20000; ++i) {
    lines.push_back(cat("{\"text\":\"", i * 7919, "\"}\n"));
    text += lines.back();
  }
  const size_t half = text.size() / 2;
  const std::string frames = compressed(text.substr(0, half)) + compressed(text.substr(half));
  EXPECT_EQ(read({dir_.write("a.jsonl.zst", frames)}), lines);
  EXPECT_THAT(error_of({dir_.write("b.jsonl.zst", frames.substr(0, frames.size() - 9))}),
              HasSubstr("b.jsonl.zst: ends within a Zstandard frame"));
  EXPECT_THAT(error_of({dir_.write("c.txt.zst", "not compressed")}),
              HasSubstr("c.txt.zst: is not valid Zstandard data"));
}

TEST_F(Documents, FilesThatCannotBeRead) {
  EXPECT_THAT(error_of({dir_.path() + "/none.txt"}), HasSubstr("none.txt: cannot open"));
  EXPECT_THAT(error_of({dir_.path()}), HasSubstr("is a directory, expected a file"));
}

TEST_F(Documents, BeyondTheLimit) {
  const auto error = [&](const std::string& name, const std::string& text) {
    try {
      DocumentReader reader({dir_.write(name, text)}, TextUnit::kFile, 1000);
      RawDocument document;
      while (reader.next(document)) continue;
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_EQ(error("a.jsonl.zst", compressed(std::string(1000, 'x'))), "");
  EXPECT_THAT(error("a.jsonl.zst", compressed(std::string(1001, 'x'))),
              HasSubstr("a.jsonl.zst: has a line of more than 1000 bytes"));
  EXPECT_THAT(error("b.txt", std::string(600, 'x') + "\n" + std::string(600, 'y')),
              HasSubstr("b.txt:1: begins a text of more than 1000 bytes"));
}

TEST(TextsOf, FieldsAndMessages) {
  const auto texts = [](std::string bytes, const std::vector<std::string>& fields = {}) {
    return texts_of({.bytes = std::move(bytes), .is_json = true}, fields, "a.jsonl:7");
  };
  const auto error = [&](std::string bytes, const std::vector<std::string>& fields = {}) {
    try {
      texts(std::move(bytes), fields);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_THAT(texts(R"({"id":3,"text":"가\n"})"), ElementsAre("가\n"));
  EXPECT_THAT(texts(R"({"q":"1","a":"2","text":"3"})", {"q", "a"}), ElementsAre("1", "2"));
  EXPECT_THAT(texts(R"({"messages":[{"role":"user","content":"x"},
                       {"role":"assistant","reasoning_content":"r","content":null}]})"),
              ElementsAre("x", "r"));
  EXPECT_THAT(error(R"({"text":5})"), HasSubstr("a.jsonl:7"));
  EXPECT_THAT(error(R"({"q":"1","b":2})"), HasSubstr("a.jsonl:7: found the fields q, b; expected"));
  EXPECT_THAT(error(R"({"q":"1"})", {"a"}), HasSubstr("\"a\""));
  EXPECT_THAT(error("{\"text\":"), HasSubstr("a.jsonl:7"));
  EXPECT_THAT(error("[1]"), HasSubstr("a.jsonl:7"));
}

}  // namespace
}  // namespace axk1
