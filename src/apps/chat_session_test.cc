#include "apps/chat_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "io/file.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kHello = "안녕하세요! 무엇을 도와드릴까요?";

Engine& nano() {
  static Engine engine(testing::testdata("../models/nano-v0"),
                       {.num_threads = 1, .dtype = DType::kF32});
  return engine;
}

ChatOptions greedy() {
  ChatOptions options;
  options.generate.sampling.temperature = 0;
  return options;
}

std::string error_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

// What the model answers to this conversation when nothing of it was read before.
std::string fresh_answer(const json::object& document) {
  json::object variables = document;
  variables["add_generation_prompt"] = true;
  const std::vector<TokenId> prompt =
      nano().require_tokenizer().encode(nano().require_chat_template().render(variables));
  Session session(nano());
  return generate(session, prompt, greedy().generate).text;
}

TEST(ChatSession, AnswersInBothModes) {
  ChatSession chat(nano(), greedy());
  EXPECT_EQ(chat.send("안녕").content, kHello);
  chat.clear();
  chat.set_thinking(true);
  std::string reasoning, content;
  const ChatAnswer answer = chat.send("안녕", [&](std::string_view r, std::string_view c) {
    EXPECT_TRUE(r.empty() || content.empty()) << "reasoning after content";
    reasoning += r;
    content += c;
    return true;
  });
  EXPECT_EQ(answer.reasoning, "아는 사실을 말한다.");
  EXPECT_EQ(answer.content, kHello);
  EXPECT_EQ(reasoning, answer.reasoning);
  EXPECT_EQ(content, answer.content);
  EXPECT_EQ(answer.finish_reason, FinishReason::kStop);
}

TEST(ChatSession, LaterTurnsKeepWhatWasReadAndDropPastReasoning) {
  ChatOptions options = greedy();
  options.thinking = true;
  ChatSession chat(nano(), options);
  EXPECT_EQ(chat.send("안녕").cached_tokens, 0u);
  const ChatAnswer second = chat.send("너는 누구야?");
  EXPECT_GE(second.cached_tokens, 8u);
  json::object document = chat.to_json();
  document["messages"].as_array().pop_back();
  EXPECT_EQ(second.reasoning + "\n</think>\n\n" + second.content, fresh_answer(document));
  // The template leaves the reasoning of the first answer out: the same without it.
  document["messages"].as_array()[1].as_object().erase("reasoning_content");
  EXPECT_EQ(second.reasoning + "\n</think>\n\n" + second.content, fresh_answer(document));
}

TEST(ChatSession, SystemPromptReachesTheModel) {
  ChatSession chat(nano(), greedy());
  const size_t without = chat.send("안녕").prompt_tokens;
  chat.clear();
  chat.set_system("짧게 답해라.");
  EXPECT_GT(chat.send("안녕").prompt_tokens, without);
  EXPECT_EQ(json::to_text(chat.to_json().at("messages").as_array()[0]),
            R"({"role":"system","content":"짧게 답해라."})");
}

TEST(ChatSession, RegenerateReplacesTheLastAnswerWithAnotherSeed) {
  ChatOptions options;
  options.generate.sampling.temperature = 2;
  options.generate.max_tokens = 20;
  ChatSession chat(nano(), options);
  EXPECT_THAT(error_of([&] { chat.regenerate(); }), HasSubstr("no message"));
  const std::string first = chat.send("너는 누구야?").content;
  const std::string second = chat.regenerate().content;
  EXPECT_NE(first, second);
  ASSERT_EQ(chat.messages().size(), 2u);
  EXPECT_EQ(chat.messages()[1].content, second);
  // The same seeds from the start give the same texts.
  ChatSession again(nano(), options);
  EXPECT_EQ(again.send("너는 누구야?").content, first);
  EXPECT_EQ(again.regenerate().content, second);
}

TEST(ChatSession, StoppedAnswersStayAsFarAsTheyGot) {
  ChatSession chat(nano(), greedy());
  std::string seen;
  const ChatAnswer answer = chat.send("너는 누구야?", [&](std::string_view, std::string_view text) {
    seen += text;
    return seen.size() < 20;
  });
  EXPECT_EQ(answer.finish_reason, FinishReason::kCancelled);
  ASSERT_EQ(chat.messages().size(), 2u);
  EXPECT_EQ(chat.messages()[1].content, seen);
  EXPECT_EQ(chat.send("안녕").finish_reason, FinishReason::kStop);
}

TEST(ChatSession, SavedConversationsGoOnWhereTheyWere) {
  const testing::TempDir dir;
  const std::string path = dir.path() + "/대화.json";
  ChatOptions options = greedy();
  options.system = "너는 \"nano\"다.\n";
  options.thinking = true;
  ChatSession chat(nano(), options);
  chat.send("안녕");
  chat.save(path);
  ChatSession other(nano(), greedy());
  other.send("지워질 말");
  other.load(path);
  EXPECT_EQ(other.to_json(), chat.to_json());
  EXPECT_EQ(other.system(), options.system);
  EXPECT_EQ(other.thinking(), true);
  EXPECT_EQ(other.send("너는 누구야?").content, chat.send("너는 누구야?").content);
}

TEST(ChatSession, AFileThatEndsWithAQuestionIsAnsweredByRegenerate) {
  ChatSession chat(nano(), greedy());
  chat.restore(json::parse(R"({"messages": [{"role": "user", "content": "안녕"}]})", "f"), "f");
  EXPECT_THAT(error_of([&] { chat.send("또"); }), HasSubstr("/regenerate"));
  EXPECT_EQ(chat.regenerate().content, kHello);
  EXPECT_EQ(chat.messages().size(), 2u);
}

TEST(ChatSession, WrongFilesAreRefusedAndChangeNothing) {
  const testing::TempDir dir;
  ChatOptions options = greedy();
  options.system = "kept";
  ChatSession chat(nano(), options);
  chat.send("안녕");
  const json::object before = chat.to_json();
  const std::pair<const char*, const char*> cases[] = {
      {"", "chat.json"},
      {"not json", "chat.json"},
      {"[]", "object"},
      {"{}", "messages"},
      {R"({"messages": {}})", "messages"},
      {R"({"messages": ["x"]})", "messages[0]"},
      {R"({"messages": [{"role": "user"}]})", "content"},
      {R"({"messages": [{"content": "x"}]})", "role"},
      {R"({"messages": [{"role": "user", "content": 5}]})", "content"},
      {R"({"messages": [{"role": "robot", "content": "x"}]})", "robot"},
      {R"({"messages": [{"role": "assistant", "content": "x"}]})", "messages[0]"},
      {R"({"messages": [{"role": "user", "content": "x"}, {"role": "user", "content": "y"}]})",
       "messages[1]"},
      {R"({"messages": [{"role": "user", "content": "x"}, {"role": "system", "content": "y"}]})",
       "messages[1]"},
      {R"({"messages": [], "enable_thinking": "yes"})", "enable_thinking"},
      {R"({"messages": [], "messages": []})", "messages"},
  };
  size_t count = 0;
  for (const auto& [text, part] : cases) {
    const std::string path = dir.write("chat.json", text);
    EXPECT_THAT(error_of([&] { chat.load(path); }), HasSubstr(part)) << text;
    EXPECT_EQ(chat.to_json(), before);
    ++count;
  }
  EXPECT_THAT(error_of([&] { chat.load(dir.path() + "/absent.json"); }), HasSubstr("absent.json"));
  EXPECT_THAT(error_of([&] { chat.save(dir.path() + "/no/such/folder.json"); }),
              HasSubstr("folder.json"));
  printf("[ cases ] wrong conversation files: %zu\n", count);
}

TEST(ChatSession, TheOldestExchangesMakeRoom) {
  ChatOptions options = greedy();
  options.system = "시스템";
  options.generate.max_tokens = 4;
  ChatSession chat(nano(), options);
  const size_t context = nano().context_length();
  std::string text;
  for (int i = 0; i < 120; ++i) text += "바다와 산 ";
  size_t turns = 0;
  while (chat.num_left_out() == 0) {
    ASSERT_LT(++turns, 40u);
    const ChatAnswer answer = chat.send(text + std::to_string(turns));
    EXPECT_LE(answer.prompt_tokens + 4, context);
  }
  EXPECT_GT(turns, 2u);
  EXPECT_EQ(chat.num_left_out() % 2, 0u);
  EXPECT_EQ(chat.messages().size(), 2 * turns);  // nothing is lost
  EXPECT_EQ(chat.to_json().at("messages").as_array().size(), 2 * turns + 1);
  // What was read is the system prompt and the newest messages.
  json::object document = chat.to_json();
  json::array& messages = document["messages"].as_array();
  messages.pop_back();
  messages.erase(messages.begin() + 1,
                 messages.begin() + 1 + static_cast<std::ptrdiff_t>(chat.num_left_out()));
  document["add_generation_prompt"] = true;
  const auto ids =
      nano().require_tokenizer().encode(nano().require_chat_template().render(document));
  ChatSession fresh(nano(), options);
  json::object shorter = document;
  shorter.erase("add_generation_prompt");
  fresh.restore(shorter, "shorter");
  const ChatAnswer again = fresh.regenerate();
  EXPECT_EQ(again.prompt_tokens, ids.size());
  EXPECT_EQ(again.content, chat.messages().back().content);
}

TEST(ChatSession, AMessageTooLongByItselfIsAnErrorAndForgotten) {
  ChatSession chat(nano(), greedy());
  chat.send("안녕");
  const json::object before = chat.to_json();
  std::string text;
  for (size_t i = 0; i < nano().context_length(); ++i) text += "가나 ";
  EXPECT_THAT(error_of([&] { chat.send(text); }), HasSubstr("does not fit"));
  EXPECT_EQ(chat.to_json(), before);
  EXPECT_EQ(chat.num_left_out(), 0u);
  EXPECT_FALSE(chat.send("너는 누구야?").content.empty());
}

TEST(ChatSession, TemplatesWithoutThinkingOrNoTemplate) {
  namespace fs = std::filesystem;
  const testing::TempDir dir;
  const fs::path model = testing::testdata("../models/nano-v0");
  for (const char* name : {"config.json", "model.safetensors", "tokenizer.json"}) {
    fs::create_symlink(fs::absolute(model / name), fs::path(dir.path()) / name);
  }
  {
    Engine engine(dir.path(), {.num_threads = 1});
    EXPECT_THAT(error_of([&] { ChatSession chat(engine, greedy()); }), HasSubstr("chat template"));
  }
  dir.write("chat_template.jinja",
            "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]");
  Engine engine(dir.path(), {.num_threads = 1});
  ChatSession chat(engine, greedy());
  EXPECT_THAT(error_of([&] { chat.set_thinking(true); }), HasSubstr("enable_thinking"));
  ChatOptions thinking = greedy();
  thinking.thinking = true;
  EXPECT_THAT(error_of([&] { ChatSession other(engine, thinking); }), HasSubstr("enable_thinking"));
}

}  // namespace
}  // namespace axk1
