#include "chat/template.h"

#include <gtest/gtest.h>

#include <chrono>
#include <iostream>
#include <sstream>
#include <thread>
#include <vector>

#include "io/file.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

json::object object(std::string_view text) {
  return json::parse(text, "test").get_object();
}

std::string render(const std::string& source, std::string_view variables = "{}") {
  return ChatTemplate::from_source(source, "t").render(object(variables));
}

std::vector<json::object> read_lines(const std::string& path) {
  std::vector<json::object> rows;
  std::istringstream in(read_file(path));
  for (std::string line; std::getline(in, line);) rows.push_back(object(line));
  return rows;
}

std::string text(const json::object& row, std::string_view field) {
  return std::string(row.at(field).get_string());
}

void report(const char* name, size_t cases) {
  std::cout << "[ cases ] " << name << ": " << cases << std::endl;
}

// testdata/jinja/cases.jsonl: what Jinja2 itself renders, or that it refuses.
TEST(ChatTemplate, AgreesWithJinja2OnItsLanguage) {
  const auto rows = read_lines(testing::testdata("jinja/cases.jsonl"));
  for (const json::object& row : rows) {
    const std::string source = text(row, "template");
    SCOPED_TRACE(source);
    std::string got;
    bool failed = false;
    try {
      got = ChatTemplate::from_source(source, "t").render(row.at("variables").get_object());
    } catch (const TemplateError& e) {
      failed = true;
      got = e.what();
      EXPECT_GE(e.line(), 1);
      EXPECT_GE(e.column(), 1);
    }
    if (row.contains("text")) {
      EXPECT_EQ(got, text(row, "text"));
    } else {
      EXPECT_TRUE(failed) << "rendered \"" << got << "\", expected " << text(row, "error");
    }
  }
  report("jinja/cases.jsonl", rows.size());
  EXPECT_GT(rows.size(), 400u);
}

TEST(ChatTemplate, RendersTheShippedTemplate) {
  const auto rows = read_lines(testing::testdata("golden/tokenizer/chat_template.jsonl"));
  const ChatTemplate chat =
      ChatTemplate::load(testing::testdata("../models/nano-v0/chat_template.jinja"));
  for (const json::object& row : rows) {
    json::object variables = row;
    for (const char* result : {"text", "ids", "error"}) variables.erase(result);
    if (row.contains("text")) {
      EXPECT_EQ(chat.render(variables), text(row, "text"));
    } else {
      try {
        chat.render(variables);
        ADD_FAILURE() << "no error for " << json::to_text(variables);
      } catch (const TemplateError& e) {
        EXPECT_EQ(e.message(), text(row, "error"));
      }
    }
  }
  report("golden/tokenizer/chat_template.jsonl", rows.size());
  EXPECT_FALSE(rows.empty());
  EXPECT_TRUE(chat.mentions("enable_thinking"));
  EXPECT_TRUE(chat.mentions("messages"));
  EXPECT_FALSE(chat.mentions("bos_token"));
  EXPECT_FALSE(chat.mentions("message"));  // a loop variable of its own
}

// Real templates with their expected texts, collected by another Jinja engine's end-to-end tests.
TEST(ChatTemplate, RendersRealTemplatesAsExpected) {
  const std::string name = "data/templates/hfjs_e2e_dev.json.zst";
  AXK1_SKIP_WITHOUT_SHARED(name);
  const json::object cases = object(testing::read_zst(testing::shared_path(name)));
  for (const auto& [key, value] : cases) {
    const json::object& c = value.get_object();
    SCOPED_TRACE(std::string(key));
    ChatTemplate chat = ChatTemplate::from_source(text(c, "chat_template"), std::string(key));
    chat.set_clock([] {  // when the expected texts with a date were made
      std::tm now{};
      now.tm_year = 125;
      now.tm_mon = 6;
      now.tm_mday = 10;
      return now;
    });
    const json::object& data = c.at("data").get_object();
    std::string expected = text(c, "target");
    if (key == "TEST_CUSTOM_TEMPLATES/MadeAgents/Hammer2.1") {
      // {{ tools | string }}: that engine prints JSON there; Jinja2, which the model was trained
      // with, prints the repr of Python.
      const std::string as_json = render("{{ tools | tojson }}", json::to_text(data));
      const size_t at = expected.find(as_json);
      ASSERT_NE(at, std::string::npos);
      expected.replace(at, as_json.size(), render("{{ tools | string }}", json::to_text(data)));
    }
    EXPECT_EQ(chat.render(data), expected);
  }
  report("hfjs_e2e_dev", cases.size());
}

// Every template parses, and renders typical conversations unless it refuses them by its own
// raise_exception or by touching what they lack.
TEST(ChatTemplate, CompilesAndRendersTheTemplatesOfRealModels) {
  const std::string name = "data/templates/jinja_dev.tar.zst";
  AXK1_SKIP_WITHOUT_SHARED(name);
  const std::string tools =
      R"(, "tools": [{"type": "function", "function": {"name": "get_weather", "description": "d",
          "parameters": {"type": "object", "properties": {"city": {"type": "string",
          "description": "c"}}, "required": ["city"]}}}])";
  const std::vector<std::string> conversations = {
      R"([{"role": "user", "content": "Hello 안녕"}])",
      R"([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
          {"role": "user", "content": "c"}])",
      R"([{"role": "system", "content": "s"}, {"role": "user", "content": "a"}])",
  };
  size_t files = 0, rendered = 0, refused = 0;
  for (const auto& [path, source] : testing::read_tar_zst(testing::shared_path(name))) {
    if (!path.ends_with(".jinja")) continue;
    SCOPED_TRACE(path);
    ++files;
    const ChatTemplate chat = ChatTemplate::from_source(source, path);
    size_t of_this = 0;
    for (const std::string& messages : conversations) {
      for (const std::string& extra : {std::string(), tools}) {
        const json::object variables =
            object(R"({"add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>",
                       "functions": "[]", "datetime": "2025-07-10",
                       "messages": )" +
                   messages + extra + "}");
        try {
          EXPECT_FALSE(chat.render(variables).empty());
          ++of_this;
        } catch (const TemplateError& e) {
          ++refused;
        }
      }
    }
    EXPECT_GT(of_this, 0u);
    rendered += of_this;
  }
  report("jinja_dev templates", files);
  report("jinja_dev renders", rendered);
  report("jinja_dev refused by the template", refused);
  EXPECT_EQ(files, 41u);
}

TEST(ChatTemplate, ErrorsSayWhere) {
  struct Case {
    const char* source;
    int line, column;
    const char* message;
  };
  const Case cases[] = {
      {"a\n{{ x.y }}", 2, 6, "'x' is undefined"},
      {"{{ 'é' ~ (1 + 'a') }}", 1, 13, "unsupported operand type(s) for +: 'int' and 'str'"},
      {"{% for i in [1] %}\n  {{ raise_exception('no') }}\n{% endfor %}", 2, 6, "no"},
      {"{% if x %}\n", 1, 11,
       "Unexpected end of template. Jinja was looking for the following tags: 'elif' or 'else' "
       "or 'endif'."},
      {"x {{ a b }}", 1, 8, "expected token 'end of print statement', got 'b'"},
      {"{% bogus %}", 1, 4, "Encountered unknown tag 'bogus'."},
      {"한글 {# x", 1, 4, "Missing end of comment tag"},
      {"{{ 'x' | nosuch }}", 1, 10, "No filter named 'nosuch'."},
      {"{% macro m(a) %}\n{{ a.b }}{% endmacro %}\n\n{{ m() }}", 2, 6,
       "parameter 'a' was not provided"},
      {"{{ 'a\nb' }}{{ 'x'.index('y') }}", 2, 13, "substring not found"},
      {"\r\n\r\n{{ $ }}", 3, 4, "unexpected char '$' at 5"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.source);
    try {
      render(c.source);
      ADD_FAILURE() << "no error";
    } catch (const TemplateError& e) {
      EXPECT_EQ(e.line(), c.line);
      EXPECT_EQ(e.column(), c.column);
      EXPECT_EQ(e.message(), c.message);
      EXPECT_EQ(std::string(e.what()),
                cat("t: line ", c.line, ", column ", c.column, ": ", c.message));
    }
  }
}

TEST(ChatTemplate, RefusesOtherFilesByName) {
  for (const char* tag : {"include 'x'", "import 'x' as y", "from 'x' import y", "extends 'x'"}) {
    try {
      render(cat("{% ", tag, " %}"));
      ADD_FAILURE() << tag;
    } catch (const TemplateError& e) {
      EXPECT_EQ(e.code(), ErrorCode::kUnsupported);
      EXPECT_NE(e.message().find("is not supported"), std::string::npos) << e.message();
    }
  }
}

// Templates that would run for ever, or take all memory or stack, end with an error.
TEST(ChatTemplate, HostileTemplatesEnd) {
  std::string deep_if, many_parens, many_nots, many_lists, chain = "{{ 1";
  for (int i = 0; i < 5000; ++i) {
    deep_if += "{% if 1 %}";
    many_parens += "(";
    many_nots += "not ";
    many_lists += "[";
    chain += " + 1";
  }
  const std::vector<std::string> sources = {
      "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
      "{% set ns = namespace(s='x') %}{% for i in range(100) %}{% set ns.s = ns.s ~ ns.s %}"
      "{% endfor %}",
      "{% set ns = namespace(l=[1]) %}{% for i in range(100) %}{% set ns.l = ns.l + ns.l %}"
      "{% endfor %}",
      "{% set ns = namespace(l=[]) %}{% for i in range(100000) %}{% set ns.l = [ns.l] %}{% endfor "
      "%}",
      "{% set ns = namespace(g=[]) %}{% for i in range(100000) %}{% set ns.g = ns.g|map('string') "
      "%}"
      "{% endfor %}{{ ns.g|list }}",
      "{% set ns = namespace(g=1) %}{% for i in range(100000) %}"
      "{% set ns.g = [1] | map('default', ns.g) %}{% endfor %}",
      "{% set ns = namespace(g=1) %}{% for i in range(100000) %}"
      "{% set ns.g = [ns] | unique(attribute='g') | batch(2, ns.g) %}{% endfor %}",
      "{% set ns = namespace() %}{% set ns.l = [ns] * 100000 %}"
      "{% set ns.g = ns.l | map(attribute='g') | map('list') %}{{ ns.g | list }}",
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{% macro m(x) %}{% call m(x) %}{{ caller() }}{% endcall %}{% endmacro %}{{ m(1) }}",
      "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
      "{{ 'x' * 1000000000 }}",
      "{{ [0] * 1000000000 }}",
      "{{ 'x'.center(1000000000) }}",
      "{{ '%1000000000d' % 1 }}",
      "{{ '{:1000000000}'.format(1) }}",
      "{{ '\n' * 60000000 | indent(1000) }}",
      "{{ ('ab' * 10000000).replace('', 'xxxxxxxxxx') }}",
      "{% for i in range(100000) %}{{ 'x' * 10000 }}{% endfor %}",
      "{{ range(1000000000) }}",
      "{{ 9223372036854775807 + 1 }}",
      "{{ 2 ** 64 }}",
      "{{ -9223372036854775807 - 2 }}",
      "{{ (-9223372036854775807 - 1) // -1 }}",
      deep_if,
      "{{ " + many_parens,
      "{{ " + many_nots + "1 }}",
      "{{ " + many_lists,
      chain + " }}",
  };
  for (const std::string& source : sources) {
    SCOPED_TRACE(source.substr(0, 120));
    EXPECT_THROW(render(source), TemplateError);
  }
  // Searches of repetitive text take linear time, so this ends although n * m is 10^13.
  EXPECT_EQ(render("{% set a = 'a' * 6000000 %}{% set b = 'a' * 3000000 ~ 'b' %}"
                   "{{ b in a }}{{ a.rfind('b' ~ b) }}{{ a.split(b) | length }}"
                   "{{ a.count(b) }}{{ a.replace(b, '') | length }}"),
            "False-1106000000");
  // A self-reference is allowed; nothing may leak or recurse (the sanitizer build sees to it).
  EXPECT_EQ(
      render("{% set ns = namespace() %}{% set ns.me = ns %}{% set ns.l = [ns] %}"
             "{% for x in [1] %}{{ '' if loop.changed(loop) }}{% set ns.loop = loop %}{% endfor %}"
             "{% for i in range(20000) %}{% for x in [ns] | map(attribute='loop') %}"
             "{% set ns.loop = loop %}{% endfor %}{% endfor %}"
             "{% macro m() %}{{ m is defined }}{% endmacro %}{% set ns.m = m %}{{ ns.m() }}"),
      "True");
  report("hostile templates", sources.size());
}

TEST(ChatTemplate, TakesTemplateAndTokensFromAModelDirectory) {
  const testing::TempDir dir;
  EXPECT_THROW(ChatTemplate::load(dir.path()), Error);
  dir.write("chat_template.json", R"({"chat_template": "legacy"})");
  EXPECT_EQ(ChatTemplate::load(dir.path()).render({}), "legacy");
  dir.write("tokenizer_config.json",
            R"({"chat_template": "{{ bos_token }}|{{ eos_token }}|{{ pad_token }}",
                "bos_token": "<s>", "eos_token": {"content": "</s>", "special": true},
                "pad_token": null, "add_bos_token": true})");
  EXPECT_EQ(ChatTemplate::load(dir.path()).render({}), "<s>|</s>|");
  EXPECT_EQ(ChatTemplate::load(dir.path()).render(object(R"({"bos_token": "B"})")), "B|</s>|");
  dir.write("tokenizer_config.json",
            R"({"chat_template": [{"name": "default", "template": "plain"},
                                  {"name": "tool_use", "template": "tools{{ tools | length }}"}]})");
  EXPECT_EQ(ChatTemplate::load(dir.path()).render({}), "plain");
  EXPECT_EQ(ChatTemplate::load(dir.path()).render(object(R"({"tools": null})")), "plain");
  EXPECT_EQ(ChatTemplate::load(dir.path()).render(object(R"({"tools": [1]})")), "tools1");
  dir.write("chat_template.jinja", "file wins\n");
  EXPECT_EQ(ChatTemplate::load(dir.path()).render({}), "file wins");
  dir.write("chat_template.jinja", "{% if %}");
  EXPECT_THROW(ChatTemplate::load(dir.path()), TemplateError);
  EXPECT_THROW(ChatTemplate::load(dir.path() + "/nothing"), Error);
  const testing::TempDir damaged;
  for (const char* config :
       {"[]", "{", R"({"chat_template": 5})", R"({"chat_template": []})",
        R"({"chat_template": [{"name": "default"}]})", R"({"chat_template": [1]})"}) {
    damaged.write("tokenizer_config.json", config);
    EXPECT_THROW(ChatTemplate::load(damaged.path()), Error) << config;
  }
}

TEST(ChatTemplate, ClockCanBeSet) {
  ChatTemplate chat = ChatTemplate::from_source("{{ strftime_now('%Y-%m-%d %H:%M') }}", "t");
  chat.set_clock([] {
    std::tm now{};
    now.tm_year = 124;
    now.tm_mon = 1;
    now.tm_mday = 29;
    now.tm_hour = 23;
    now.tm_min = 5;
    return now;
  });
  EXPECT_EQ(chat.render({}), "2024-02-29 23:05");
}

TEST(ChatTemplate, InvalidUtf8BecomesReplacementCharacters) {
  json::object variables;
  variables["x"] = "a\xff\xe3\x81";
  EXPECT_EQ(ChatTemplate::from_source("\xff{{ x }}{{ x | length }}", "t").render(variables),
            "\xef\xbf\xbd"
            "a\xef\xbf\xbd\xef\xbf\xbd"
            "3");
}

TEST(ChatTemplate, RendersFromSeveralThreads) {
  const ChatTemplate chat = ChatTemplate::from_source(
      "{% macro m(x) %}[{{ x ~ 'c' }}]{% endmacro %}{% for i in range(n) %}{{ m(i) }}{% endfor %}",
      "t");
  const std::string expected = chat.render(object(R"({"n": 50})"));
  std::vector<std::jthread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) wrong += chat.render(object(R"({"n": 50})")) != expected;
    });
  }
  threads.clear();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace axk1
