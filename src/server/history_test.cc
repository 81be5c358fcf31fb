#include "server/history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "base/rng.h"

namespace axk1 {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class HistoryTest : public ::testing::Test {
 protected:
  static HistoryLimits small() {
    return {.conversations = 3,
            .messages = 4,
            .tenant_bytes = 4000,
            .message_bytes = 1500,
            .prompt_bytes = 100,
            .settings_bytes = 50,
            .title_bytes = 40};
  }

  History history_{":memory:", {}, [this] { return ++now_; }};
  int64_t now_ = 1000;
};

HistoryMessage said(std::string role, std::string content,
                    std::optional<std::string> parent = std::nullopt) {
  return {.parent_id = std::move(parent), .role = std::move(role), .content = std::move(content)};
}

ErrorCode code_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "expected an error";
  return ErrorCode::kUsage;
}

std::vector<std::string> titles(const HistoryPage& page) {
  std::vector<std::string> found;
  for (const auto& one : page.conversations) found.push_back(one.title);
  return found;
}

TEST_F(HistoryTest, KeepsATreeOfMessages) {
  const auto made = history_.create(
      "t", {.title = "제목", .system_prompt = "s", .settings = {{"temperature", 0.5}}});
  const auto question = history_.add_message("t", made.id, said("user", "질문"));
  HistoryMessage answer = said("assistant", "답", question.id);
  answer.reasoning_content = "생각";
  answer.attachments = {json::object{{"name", "a.txt"}, {"text", "x\ny"}}};
  answer.stats = json::object{{"completion_tokens", 3}};
  const auto first = history_.add_message("t", made.id, answer);
  const auto second = history_.add_message("t", made.id, said("assistant", "다른 답", question.id));

  const auto read = history_.get("t", made.id);
  EXPECT_EQ(read.title, "제목");
  EXPECT_EQ(read.system_prompt, "s");
  EXPECT_EQ(json::to_text(read.settings), R"({"temperature":5E-1})");
  EXPECT_EQ(read.head, second.id);
  ASSERT_EQ(read.messages.size(), 3u);
  EXPECT_EQ(read.messages[0].parent_id, std::nullopt);
  EXPECT_EQ(read.messages[1].parent_id, question.id);
  EXPECT_EQ(read.messages[1].content, "답");
  EXPECT_EQ(read.messages[1].reasoning_content, "생각");
  EXPECT_EQ(json::to_text(read.messages[1].attachments), R"([{"name":"a.txt","text":"x\ny"}])");
  EXPECT_EQ(json::to_text(read.messages[1].stats), R"({"completion_tokens":3})");
  EXPECT_EQ(read.messages[2].content, "다른 답");
  EXPECT_EQ(read.updated_ms, second.created_ms);

  history_.change("t", made.id, {.head = std::optional(first.id)});
  EXPECT_EQ(history_.get("t", made.id).head, first.id);
  history_.change("t", made.id, {.head = std::optional<std::string>()});
  EXPECT_EQ(history_.get("t", made.id).head, std::nullopt);
}

TEST_F(HistoryTest, ChangesOnlyWhatIsNamed) {
  const auto made = history_.create("t", {.title = "a", .system_prompt = "b"});
  const auto message = history_.add_message("t", made.id, said("assistant", "c"));
  history_.change("t", made.id, {.title = "d"});
  history_.change_message("t", made.id, message.id, {.finish_reason = "stop"});
  const auto read = history_.get("t", made.id);
  EXPECT_EQ(read.title, "d");
  EXPECT_EQ(read.system_prompt, "b");
  EXPECT_EQ(read.messages[0].content, "c");
  EXPECT_EQ(read.messages[0].finish_reason, "stop");
  EXPECT_EQ(read.updated_ms, message.created_ms);  // a changed title is no new message
}

TEST_F(HistoryTest, ListsNewestChangeFirstPageByPage) {
  std::vector<std::string> ids;
  for (const char* title : {"1", "2", "3", "4", "5"}) {
    ids.push_back(history_.create("t", {.title = title}).id);
  }
  history_.add_message("t", ids[1], said("user", "x"));
  auto page = history_.list("t", 2, "");
  EXPECT_THAT(titles(page), ElementsAre("2", "5"));
  page = history_.list("t", 2, page.next.value());
  EXPECT_THAT(titles(page), ElementsAre("4", "3"));
  page = history_.list("t", 2, page.next.value());
  EXPECT_THAT(titles(page), ElementsAre("1"));
  EXPECT_EQ(page.next, std::nullopt);
  for (const char* cursor : {"x", ":", "5", "99999999999999999999:a"}) {
    EXPECT_EQ(code_of([&] { history_.list("t", 2, cursor); }), ErrorCode::kInvalidInput) << cursor;
  }
}

TEST_F(HistoryTest, PagesLoseNothingWhenChangesFallTogether) {
  now_ = 5;
  History still(":memory:", {}, [] { return int64_t{7}; });
  for (int i = 0; i < 7; ++i) still.create("t", {.title = std::to_string(i)});
  std::vector<std::string> seen;
  std::string after;
  do {
    const auto page = still.list("t", 3, after);
    for (const auto& title : titles(page)) seen.push_back(title);
    after = page.next.value_or("");
  } while (!after.empty());
  EXPECT_THAT(seen, ::testing::UnorderedElementsAre("0", "1", "2", "3", "4", "5", "6"));
}

TEST_F(HistoryTest, TenantsDoNotMeet) {
  const auto mine = history_.create("a", {.title = "비밀"});
  const auto message = history_.add_message("a", mine.id, said("user", "비밀 이야기"));
  const auto theirs = history_.create("b", {.title = "b"});
  EXPECT_THAT(titles(history_.list("b", 9, "")), ElementsAre("b"));
  EXPECT_THAT(history_.search("b", "비밀", 9), IsEmpty());
  EXPECT_EQ(history_.export_all("b").size(), 1u);
  const std::vector<std::function<void()>> attempts = {
      [&] { history_.get("b", mine.id); },
      [&] { history_.change("b", mine.id, {.title = "x"}); },
      [&] { history_.remove("b", mine.id); },
      [&] { history_.add_message("b", mine.id, said("user", "x")); },
      [&] { history_.change_message("b", mine.id, message.id, {.content = "x"}); },
      [&] { history_.change_message("b", theirs.id, message.id, {.content = "x"}); },
      [&] { history_.fork("b", mine.id, message.id, "x"); },
      [&] { history_.fork("b", theirs.id, message.id, "x"); },
  };
  for (size_t i = 0; i < attempts.size(); ++i) {
    EXPECT_EQ(code_of(attempts[i]), ErrorCode::kNotFound) << i;
  }
  EXPECT_EQ(history_.get("a", mine.id).messages[0].content, "비밀 이야기");
}

TEST_F(HistoryTest, MessagesOfOtherConversationsAreNoParentsAndNoHeads) {
  const auto one = history_.create("t", {});
  const auto other = history_.create("t", {});
  const auto message = history_.add_message("t", one.id, said("user", "x"));
  EXPECT_EQ(code_of([&] { history_.add_message("t", other.id, said("user", "y", message.id)); }),
            ErrorCode::kInvalidInput);
  EXPECT_EQ(code_of([&] { history_.change("t", other.id, {.head = std::optional(message.id)}); }),
            ErrorCode::kInvalidInput);
  EXPECT_EQ(code_of([&] { history_.add_message("t", other.id, said("system", "y")); }),
            ErrorCode::kInvalidInput);
  EXPECT_THAT(history_.get("t", other.id).messages, IsEmpty());
}

TEST_F(HistoryTest, ForkCopiesThePath) {
  const auto made = history_.create("t", {.title = "a", .system_prompt = "p"});
  const auto q = history_.add_message("t", made.id, said("user", "q"));
  const auto a = history_.add_message("t", made.id, said("assistant", "a", q.id));
  history_.add_message("t", made.id, said("assistant", "b", q.id));
  history_.add_message("t", made.id, said("user", "q2", a.id));
  const auto fork = history_.fork("t", made.id, a.id, "f");
  EXPECT_EQ(fork.title, "f");
  EXPECT_EQ(fork.system_prompt, "p");
  const auto read = history_.get("t", fork.id);
  ASSERT_EQ(read.messages.size(), 2u);
  EXPECT_EQ(read.messages[0].content, "q");
  EXPECT_EQ(read.messages[1].content, "a");
  EXPECT_EQ(read.messages[1].parent_id, read.messages[0].id);
  EXPECT_EQ(read.head, read.messages[1].id);
  EXPECT_NE(read.messages[0].id, q.id);
  history_.remove("t", made.id);
  EXPECT_EQ(history_.get("t", fork.id).messages.size(), 2u);
}

TEST_F(HistoryTest, RemovingTakesTheMessagesAlong) {
  const auto made = history_.create("t", {});
  history_.add_message("t", made.id, said("user", "사라질 말"));
  history_.remove("t", made.id);
  EXPECT_EQ(code_of([&] { history_.get("t", made.id); }), ErrorCode::kNotFound);
  EXPECT_THAT(history_.search("t", "사라질", 9), IsEmpty());
}

TEST_F(HistoryTest, SearchFindsShortKoreanWordsAndTakesTextLiterally) {
  const auto made = history_.create("t", {.title = "서울 나들이"});
  const auto m =
      history_.add_message("t", made.id, said("user", "대한민국의 수도는 Seoul, 100% 맞다"));
  history_.add_message("t", made.id, said("assistant", R"(a_b c\d)"));
  const auto ids = [&](std::string_view query) {
    std::vector<std::string> found;
    for (const auto& hit : history_.search("t", query, 9)) {
      found.push_back(hit.message_id.value_or("title"));
    }
    return found;
  };
  EXPECT_THAT(ids("수도"), ElementsAre(m.id));
  EXPECT_THAT(ids("서울"), ElementsAre("title"));
  EXPECT_THAT(ids("도"), ElementsAre(m.id));
  EXPECT_THAT(ids("seoul"), ElementsAre(m.id));
  EXPECT_THAT(ids("100%"), ElementsAre(m.id));
  EXPECT_THAT(ids("%").size(), 1u);
  EXPECT_THAT(ids("a_b").size(), 1u);
  EXPECT_THAT(ids("axb"), IsEmpty());
  EXPECT_THAT(ids(R"(c\d)").size(), 1u);
  EXPECT_THAT(ids("_________"), IsEmpty());
  EXPECT_THAT(ids(""), IsEmpty());
}

TEST_F(HistoryTest, SnippetsAreWholeCharactersAroundTheMatch) {
  const auto made = history_.create("t", {});
  std::string text;
  for (int i = 0; i < 200; ++i) text += "가";
  history_.add_message("t", made.id, said("user", "x" + text + "서울" + text));
  const auto hits = history_.search("t", "서울", 9);
  ASSERT_EQ(hits.size(), 1u);
  EXPECT_TRUE(hits[0].snippet.starts_with("…가"));
  EXPECT_TRUE(hits[0].snippet.ends_with("가…"));
  EXPECT_NE(hits[0].snippet.find("가서울가"), std::string::npos);
  EXPECT_LT(hits[0].snippet.size(), 330u);
}

TEST_F(HistoryTest, ExportAndImportKeepEverythingButIds) {
  const auto made = history_.create("t", {.title = "a", .settings = {{"top_k", 3}}});
  const auto q = history_.add_message("t", made.id, said("user", "q"));
  history_.add_message("t", made.id, said("assistant", "a1", q.id));
  history_.add_message("t", made.id, said("assistant", "a2", q.id));
  const auto exported = history_.export_all("t");
  history_.import_all("other", exported);
  const auto imported = history_.export_all("other");
  ASSERT_EQ(imported.size(), 1u);
  EXPECT_NE(imported[0].id, made.id);
  EXPECT_EQ(imported[0].title, "a");
  EXPECT_EQ(imported[0].created_ms, exported[0].created_ms);
  EXPECT_EQ(imported[0].updated_ms, exported[0].updated_ms);
  ASSERT_EQ(imported[0].messages.size(), 3u);
  EXPECT_EQ(imported[0].messages[2].content, "a2");
  EXPECT_EQ(imported[0].messages[2].parent_id, imported[0].messages[0].id);
  EXPECT_EQ(imported[0].head, imported[0].messages[2].id);
}

TEST_F(HistoryTest, ImportIsAllOrNothing) {
  HistoryConversation good{.title = "good"};
  good.messages = {said("user", "q")};
  good.messages[0].id = "1";
  const auto broken = [&](auto damage) {
    HistoryConversation bad = good;
    damage(bad);
    EXPECT_EQ(code_of([&] { history_.import_all("t", {good, bad}); }), ErrorCode::kInvalidInput);
  };
  broken([](auto& c) { c.head = "2"; });
  broken([](auto& c) { c.messages[0].parent_id = "1"; });
  broken([](auto& c) { c.messages[0].role = "tool"; });
  broken([](auto& c) { c.messages.push_back(c.messages[0]); });
  EXPECT_THAT(history_.list("t", 9, "").conversations, IsEmpty());
  history_.import_all("t", {good});
  EXPECT_EQ(history_.list("t", 9, "").conversations.size(), 1u);
}

TEST_F(HistoryTest, LimitsHold) {
  History history(":memory:", small());
  const auto refused = [&](const std::function<void()>& call) {
    EXPECT_EQ(code_of(call), ErrorCode::kOutOfMemory);
  };
  refused([&] { history.create("t", {.title = std::string(41, 'x')}); });
  refused([&] { history.create("t", {.system_prompt = std::string(101, 'x')}); });
  refused([&] { history.create("t", {.settings = {{"x", std::string(50, 'x')}}}); });
  const auto one = history.create("t", {});
  refused([&] { history.change("t", one.id, {.title = std::string(41, 'x')}); });
  refused([&] { history.add_message("t", one.id, said("user", std::string(1501, 'x'))); });
  const auto big = history.add_message("t", one.id, said("user", std::string(1400, 'x')));
  refused(
      [&] { history.change_message("t", one.id, big.id, {.content = std::string(1501, 'x')}); });
  history.add_message("t", one.id, said("user", std::string(1400, 'x')));
  refused([&] { history.add_message("t", one.id, said("user", std::string(1400, 'x'))); });
  refused([&] { history.fork("t", one.id, big.id, std::string(41, 'x')); });
  // What is taken away makes room.
  history.change_message("t", one.id, big.id, {.content = "x"});
  history.add_message("t", one.id, said("user", std::string(1400, 'x')));
  history.add_message("t", one.id, said("user", "x"));
  refused([&] { history.add_message("t", one.id, said("user", "x")); });  // 5 messages
  history.create("t", {});
  history.create("t", {});
  refused([&] { history.create("t", {}); });
  history.create("other", {});
  history.remove("t", one.id);
  history.create("t", {});
}

class HistoryFileTest : public ::testing::Test {
 protected:
  HistoryFileTest() {
    dir_ = std::filesystem::path(::testing::TempDir()) /
           ("history_test." + std::to_string(getpid()) +
            ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directory(dir_);
    path_ = (dir_ / "history.sqlite").string();
  }
  ~HistoryFileTest() override { std::filesystem::remove_all(dir_); }

  std::filesystem::path dir_;
  std::string path_;
};

TEST_F(HistoryFileTest, StaysWhenTheServerEnds) {
  std::string id;
  {
    History history(path_);
    id = history.create("t", {.title = "남을 것"}).id;
    history.add_message("t", id, said("user", "말"));
  }
  EXPECT_EQ(History(path_).get("t", id).messages[0].content, "말");
}

// Whatever bytes are in the file: an error or an answer, never a crash.
TEST_F(HistoryFileTest, DamagedFilesAreErrors) {
  std::string id;
  {
    History history(path_);
    id = history.create("t", {.title = "a"}).id;
    for (int i = 0; i < 40; ++i) {
      history.add_message("t", id, said("user", std::string(300, 'x')));
    }
  }
  std::string whole;
  {
    std::ifstream file(path_, std::ios::binary);
    whole.assign(std::istreambuf_iterator<char>(file), {});
  }
  ASSERT_GT(whole.size(), 8192u);
  Rng random(1);
  size_t refused = 0;
  for (int round = 0; round < 60; ++round) {
    std::string damaged = whole;
    if (round % 3 == 0) damaged.resize(random.next() % whole.size());
    for (int i = 0; i < 200 && !damaged.empty(); ++i) {
      damaged[random.next() % damaged.size()] = static_cast<char>(random.next());
    }
    std::ofstream(path_, std::ios::binary) << damaged;
    try {
      History history(path_);
      history.list("t", 10, "");
      history.search("t", "x", 10);
      history.get("t", id);
      history.add_message("t", id, said("user", "y"));
    } catch (const Error& error) {
      ++refused;
    }
    std::filesystem::remove(path_ + "-wal");
    std::filesystem::remove(path_ + "-shm");
  }
  EXPECT_GT(refused, 40u);
}

TEST_F(HistoryFileTest, ThreadsAndProcessesTakeTurns) {
  History one(path_), two(path_);  // as two processes would have it
  const std::string id = one.create("t", {}).id;
  const auto write = [&](History& history) {
    for (int i = 0; i < 20; ++i) {
      history.add_message("t", id, said("user", "말"));
      history.search("t", "말", 5);
      history.list("t", 5, "");
    }
  };
  {
    std::vector<std::jthread> threads;
    for (History* history : {&one, &one, &two, &two}) {
      threads.emplace_back([&write, history] { write(*history); });
    }
  }
  EXPECT_EQ(two.get("t", id).messages.size(), 80u);
}

}  // namespace
}  // namespace axk1
