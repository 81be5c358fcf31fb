// Public suites of schemas, against the masks: no text is accepted that is not valid. What is
// refused or rejected too much is counted and printed.
#include <gtest/gtest.h>

#include <cstdio>
#include <map>

#include "grammar/grammar_test_util.h"
#include "testing/shared_data.h"

namespace axk1 {
namespace {

const char* const kSuite = "data/json/JSON-Schema-Test-Suite_2020-12_draft7.tar.zst";
const char* const kBench = "data/json/jsonschemabench_dev.tar.zst";

void print(const char* what, const std::map<std::string, size_t>& counts) {
  for (const auto& [name, count] : counts) {
    std::printf("[ suite    ] %s %s: %zu\n", what, name.c_str(), count);
  }
}

TEST(KnownSuites, JsonSchemaTestSuiteSlow) {
  AXK1_SKIP_WITHOUT_SHARED(kSuite);
  const auto vocabulary = byte_vocabulary();
  std::map<std::string, size_t> refused, too_strict;
  size_t num_right = 0, num_errors = 0;
  for (const auto& [name, text] : testing::read_tar_zst(testing::shared_path(kSuite))) {
    if (name.find("tests/draft") == std::string::npos || !name.ends_with(".json")) continue;
    const json::value groups = json::parse(text, name);
    for (const json::value& group : groups.as_array()) {
      const json::value& schema = group.at("schema");
      const json::array& tests = group.at("tests").as_array();
      std::shared_ptr<const Grammar> grammar;
      bool empty = false;
      try {
        grammar = compile_json_schema(schema);
      } catch (const UnsupportedSchema& error) {
        refused[error.keyword()] += tests.size();
        continue;
      } catch (const EmptySchema&) {
        empty = true;
      } catch (const Error&) {
        num_errors += tests.size();
        continue;
      }
      for (const json::value& test : tests) {
        const bool valid = test.at("valid").as_bool();
        const std::string value = json::to_text(test.at("data"));
        const bool accepted = !empty && accepts(vocabulary, grammar, value);
        if (accepted == valid) ++num_right;
        EXPECT_FALSE(accepted && !valid)
            << name << ": " << group.at("description") << ": " << test.at("description");
        if (valid && !accepted) ++too_strict[name.substr(name.find("draft"))];
      }
    }
  }
  print("refused", refused);
  print("rejected though valid", too_strict);
  std::printf("[ suite    ] right %zu, errors %zu\n", num_right, num_errors);
  EXPECT_GT(num_right, 2500u);
  EXPECT_LE(num_errors, 10u);
}

TEST(KnownSuites, JsonSchemaBenchCompilesSlow) {
  AXK1_SKIP_WITHOUT_SHARED(kBench);
  std::map<std::string, size_t> refused;
  size_t num_compiled = 0, num_errors = 0;
  for (const auto& [name, text] : testing::read_tar_zst(testing::shared_path(kBench))) {
    if (!name.ends_with(".json")) continue;
    try {
      compile_json_schema(json::parse(text, name));
      ++num_compiled;
    } catch (const UnsupportedSchema& error) {
      ++refused[error.keyword()];
    } catch (const Error&) {
      ++num_errors;
    }
  }
  print("refused", refused);
  std::printf("[ suite    ] compiled %zu, errors %zu\n", num_compiled, num_errors);
  EXPECT_GT(num_compiled, 1000u);
}

}  // namespace
}  // namespace axk1
