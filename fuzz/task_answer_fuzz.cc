// deps: tasks io
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "io/json.h"
#include "tasks/hangul_number.h"
#include "tasks/verify.h"

// What a model answers, judged for every kind of task; a number in Hangul reads back; and a line of
// a file of tasks.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const axk1::TaskKind& kind : axk1::task_kinds()) {
    const axk1::Task task = axk1::make_task(kind, axk1::TaskLanguage::kKorean, size);
    const bool right = axk1::is_right_answer(kind, task.answer, text);
    // White space around it changes nothing.
    AXK1_CHECK(axk1::is_right_answer(kind, task.answer, axk1::cat("\n ", text, " ")) == right);
  }
  if (const auto number = axk1::parse_hangul_number(text)) {
    AXK1_CHECK(axk1::parse_hangul_number(axk1::hangul_number(*number)) == number);
  }
  try {
    const axk1::AskedTask asked = axk1::read_task(axk1::json::parse(text, "line"), "line");
    axk1::is_right_answer(*asked.kind, asked.answer, text);
  } catch (const axk1::Error&) {
  }
  return 0;
}
