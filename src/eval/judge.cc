#include "eval/judge.h"

#include "chat/think.h"

namespace axk1 {

TaskPrompt task_prompt(const AskedTask& task, const ChatTemplate& chat_template,
                       const Tokenizer& tokenizer) {
  json::object variables{{"messages", task.messages},
                         {"add_generation_prompt", true},
                         {"enable_thinking", task.mode == TaskMode::kThink}};
  if (!task.tools.empty()) variables["tools"] = task.tools;
  TaskPrompt prompt{.text = chat_template.render(variables), .ids = {}};
  prompt.ids = tokenizer.encode(prompt.text, {.parse_special = true});
  return prompt;
}

Judgement judge_answer(const AskedTask& task, std::string_view prompt, std::string_view text) {
  const bool opened = prompt_opens_thinking(prompt);
  ThinkSplitter splitter(opened);
  const ThinkSplitter::Piece first = splitter.push(text);
  const bool unfinished = splitter.in_reasoning();
  const ThinkSplitter::Piece rest = splitter.finish();
  Judgement out;
  out.reasoning = first.reasoning + rest.reasoning;
  out.content = first.content + rest.content;
  out.right = is_right_answer(*task.kind, task.answer, out.content);
  out.obeyed = task.mode == TaskMode::kThink ? !out.reasoning.empty() && !unfinished
                                             : out.reasoning.empty() && !unfinished;
  return out;
}

}  // namespace axk1
