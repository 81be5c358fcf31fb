// What an answer to a generated task is worth.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "chat/template.h"
#include "tasks/verify.h"
#include "tokenizer/tokenizer.h"

namespace axk1 {

struct TaskPrompt {
  std::string text;  // the chat template with add_generation_prompt, in the task's mode
  std::vector<TokenId> ids;
};

// Throws TemplateError.
TaskPrompt task_prompt(const AskedTask& task, const ChatTemplate& chat_template,
                       const Tokenizer& tokenizer);

struct Judgement {
  std::string reasoning, content;
  bool right = false;  // content is the task's answer (is_right_answer)
  // think: there is a reasoning, and it was ended. no_think: there is none.
  bool obeyed = false;

  // The reward of reinforcement learning: 1 for a right answer in the mode that was asked for.
  double reward() const { return right && obeyed ? 1 : 0; }
};

// `text`: all that the model wrote after the prompt, with the tags of thinking and tool calls.
Judgement judge_answer(const AskedTask& task, std::string_view prompt, std::string_view text);

}  // namespace axk1
