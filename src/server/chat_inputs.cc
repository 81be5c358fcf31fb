#include "server/chat_inputs.h"

namespace axk1 {

GenerateOptions default_options(const RequestScope& scope) {
  GenerateOptions options = scope.model->defaults;
  options.sampling.seed = scope.seed;
  return options;
}

ChatInputs make_chat_inputs(const RequestScope& scope, const AnswerRules& rules,
                            json::object variables, const GenerateOptions& generate,
                            size_t num_choices, const BegunAnswer& begun) {
  const ServedModel& model = *scope.model;
  apply_rules(rules, variables);
  const RenderedPrompt prompt = render_prompt(model, variables, begun);
  check_prompt_length(model, prompt.ids.size());
  ChatInputs out;
  for (size_t i = 0; i < num_choices; ++i) {
    CompletionInput input{.prompt = prompt.ids, .generate = generate, .tenant = scope.tenant};
    input.generate.sampling.seed += i;
    input.constraint = make_constraint(model, rules, prompt.opens_thinking);
    out.inputs.push_back(std::move(input));
  }
  out.form = {.opens_thinking = prompt.opens_thinking,
              .tools = rules.calls_possible(),
              .calls_or_json = rules.calls_or_json()};
  out.prompt_tokens = prompt.ids.size();
  return out;
}

}  // namespace axk1
