#include "rl/rl_run.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <numeric>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/rng.h"
#include "data/tokenizer_hash.h"
#include "eval/task_eval.h"
#include "io/checksum.h"
#include "io/file.h"
#include "kernels/registry.h"
#include "model/plan.h"
#include "parallel/topology.h"
#include "rl/gspo.h"
#include "rl/packing.h"
#include "rl/policy_engine.h"
#include "train/distil.h"
#include "train/flops.h"
#include "train/report.h"
#include "train/run_parts.h"
#include "train/train_model.h"

namespace axk1 {
namespace {

struct Question {
  AskedTask task;
  TaskPrompt prompt;
};

// One answer to one question.
struct Rollout {
  const Question* question = nullptr;
  std::vector<TokenId> answer;
  double entropy_sum = 0;  // -log π of the tokens drawn, as the engine computes it
  Judgement judgement;
  bool cut = false;
  double advantage = 0;
};

class RlRun {
 public:
  RlRun(const RunConfig& run, const TrainerOptions& options);
  TrainResult go();

 private:
  using Rollouts = std::vector<Rollout>;  // group after group
  using Logprobs = std::vector<std::vector<double>>;

  void say(const std::string& text) const {
    if (options_.on_message) options_.on_message(text);
  }
  void resume();
  void save();
  std::vector<size_t> questions_of(uint64_t step) const;
  PolicyEngineOptions engine_options() const;
  Rollouts roll_out(CompletionService& service) const;
  double held_out_reward(CompletionService& service) const;
  PackedAnswers pack(std::span<Rollout* const> rollouts) const;
  Logprobs logprobs(const PackedAnswers& packed);
  void update(std::span<Rollout* const> trained, size_t num_answers, const Logprobs* known,
              const Logprobs& old, StepMetrics& metrics, StepStats& stats);
  size_t reinforce(std::span<const std::vector<Rollout*>> parts, std::span<const size_t> drawn,
                   StepMetrics& metrics, StepStats& stats);
  void imitate(std::span<Rollout* const> part, StepMetrics& metrics, StepStats& stats);
  double flops_of(const TrainBatch& batch) const;
  void move(const StepStats& moved, StepMetrics& metrics, StepStats& stats);
  void train_step();
  void write_report();

  const RunConfig& run_;
  const RunRl& rl_;
  const TrainerOptions& options_;
  ThreadPool pool_;
  KernelTable kernels_;
  Tokenizer tokenizer_;
  ChatTemplate chat_template_;
  std::unique_ptr<ParamStore> params_;
  TrainModel model_;
  Gradients gradients_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Teacher> teacher_;  // null: the reward teaches
  Teaching teaching_;
  std::vector<Question> questions_;
  std::vector<AskedTask> held_out_;
  size_t longest_prompt_ = 0;
  CheckpointFolder checkpoints_;
  std::optional<FolderLock> lock_;
  std::optional<MetricsLog> log_;
  std::string run_hash_, data_hash_;
  uint64_t steps_done_ = 0;
  uint64_t tokens_ = 0;  // of all answers so far
  uint64_t saved_at_ = UINT64_MAX;
  double flops_ = 0;  // of the step
};

std::vector<AskedTask> load_all_tasks(std::span<const std::string> paths) {
  std::vector<AskedTask> all;
  for (const std::string& path : paths) {
    for (AskedTask& task : load_tasks(path)) {
      if (task.held_out) {
        fail(ErrorCode::kInvalidInput, path,
             ": has tasks that are held out (task.held_out), "
             "expected none among those to train on");
      }
      all.push_back(std::move(task));
    }
  }
  return all;
}

uint64_t hash_of_files(std::span<const std::string> paths) {
  std::vector<uint64_t> all;
  for (const std::string& path : paths) all.push_back(checksum64(read_file(path)));
  return checksum64(std::as_bytes(std::span(all)));
}

RlRun::RlRun(const RunConfig& run, const TrainerOptions& options)
    : run_(run),
      rl_(*run.rl),
      options_(options),
      pool_(options.num_threads > 0 ? options.num_threads : usable_cpus()),
      kernels_(select_kernels(options.kernels, cpu_features())),
      tokenizer_(Tokenizer::load(run.tokenizer)),
      chat_template_(ChatTemplate::load(run.tokenizer)),
      params_(make_run_params(run, tokenizer_, [this](const std::string& text) { say(text); })),
      model_(*params_, kernels_, pool_,
             {.compute = run.bf16 ? DType::kBF16 : DType::kF32, .mtp_weight = 0}),
      gradients_(params_->layout()),
      optimizer_(make_run_optimizer(run.optimizer, *params_, kernels_, pool_.num_threads())),
      checkpoints_(options.out + "/checkpoints") {
  AXK1_CHECK(!options.ranks);
  const ModelConfig& config = params_->config();
  if (tokenizer_.vocab_size() > static_cast<size_t>(config.vocab_size)) {
    fail(ErrorCode::kInvalidInput, run.path, ": the tokenizer has ", tokenizer_.vocab_size(),
         " tokens, expected at most the model's vocab_size ", config.vocab_size);
  }
  if (run.mtp_weight.value_or(0) > 0) {
    fail(ErrorCode::kInvalidInput, run.path, ": mtp_weight: found ", *run.mtp_weight,
         ", expected none beside rl, which leaves the layer of multi-token prediction as it is");
  }
  if (config.eos_token_ids.empty()) {
    fail(ErrorCode::kInvalidInput, run.path,
         ": the model has no eos_token_id, so that its answers would not end");
  }
  for (AskedTask& task : load_all_tasks(rl_.tasks)) {
    TaskPrompt prompt = task_prompt(task, chat_template_, tokenizer_);
    longest_prompt_ = std::max(longest_prompt_, prompt.ids.size());
    questions_.push_back({std::move(task), std::move(prompt)});
  }
  if (!rl_.held_out.empty()) {
    held_out_ = load_tasks(rl_.held_out);
    for (const AskedTask& task : held_out_) {
      longest_prompt_ =
          std::max(longest_prompt_, task_prompt(task, chat_template_, tokenizer_).ids.size());
    }
  }
  if (longest_prompt_ + rl_.max_tokens > static_cast<size_t>(config.max_position_embeddings)) {
    fail(ErrorCode::kInvalidInput, run.path, ": the longest prompt has ", longest_prompt_,
         " tokens, with rl.max_tokens ", rl_.max_tokens,
         " more than the model's max_position_embeddings ", config.max_position_embeddings);
  }
  const uint64_t tokenizer = tokenizer_hash(run.tokenizer);
  if (run.distil) {
    const size_t row = longest_prompt_ + rl_.max_tokens;
    teacher_ =
        make_live_teacher(*run.distil, tokenizer, run.micro_batch * row, config, kernels_, pool_);
    teaching_ = {run.distil->options, teacher_.get()};
  }
  run_hash_ = run_hash(run, config, tokenizer);
  data_hash_ = checksum_text(hash_of_files(rl_.tasks));
  make_folder(options.out);
  lock_.emplace(options.out);
  if (!options.resume && !checkpoints_.steps().empty()) {
    fail(ErrorCode::kInvalidInput, options.out,
         ": has a run with checkpoints already; --resume goes on with it, another folder begins a "
         "new one");
  }
  if (options.resume) resume();
  log_.emplace(options.out + "/metrics.jsonl", steps_done_);
  write_file_atomic(options.out + "/run.json", run.text);
}

void RlRun::resume() {
  const auto checkpoint = checkpoints_.newest([&](const std::string& text) { say(text); });
  if (!checkpoint) return say(cat(options_.out, ": no checkpoint to go on from; the run begins"));
  const json::ObjectReader state(checkpoint->state(), checkpoint->path() + ": state");
  if (state.get_string("run") != run_hash_ || state.get_string("data") != data_hash_) {
    fail(ErrorCode::kInvalidInput, run_.path, ": its numbers would not be those of the run in ",
         options_.out, ", which began with other fields, tasks, another model or tokenizer (",
         options_.out, "/run.json is the run file as it was)");
  }
  const auto most = static_cast<int64_t>(rl_.schedule.steps);
  steps_done_ = static_cast<uint64_t>(state.get_int("steps_done", 0, most));
  saved_at_ = steps_done_;
  tokens_ = static_cast<uint64_t>(state.get_int("tokens", 0, INT64_MAX));
  optimizer_->set_num_steps(static_cast<uint64_t>(state.get_int("optimizer_steps", 0, INT64_MAX)));
  read_training_sections(*checkpoint, *params_, *optimizer_);
  say(cat("going on after step ", steps_done_, " of ", rl_.schedule.steps));
}

void RlRun::save() {
  if (saved_at_ == steps_done_) return;
  saved_at_ = steps_done_;
  log_->flush_to_disk();
  const json::object state{
      {"steps_done", steps_done_}, {"stage", "rl"},
      {"tokens", tokens_},         {"run", run_hash_},
      {"data", data_hash_},        {"optimizer_steps", optimizer_->num_steps()},
      {"kernels", kernels_.name}};
  checkpoints_.save(steps_done_, state, training_sections(*params_, *optimizer_),
                    run_.checkpoints.keep);
}

// Each time through the questions they come in another order.
std::vector<size_t> RlRun::questions_of(uint64_t step) const {
  std::vector<size_t> order(questions_.size()), chosen;
  uint64_t shuffled = UINT64_MAX;  // the time through that `order` is of
  for (uint64_t i = step * rl_.questions; i < (step + 1) * rl_.questions; ++i) {
    if (const uint64_t time = i / order.size(); time != shuffled) {
      shuffled = time;
      std::iota(order.begin(), order.end(), size_t{0});
      Rng rng(checksum64(cat(run_.seed, " order ", time)));
      for (size_t k = order.size(); k > 1; --k) std::swap(order[k - 1], order[rng.next() % k]);
    }
    chosen.push_back(order[i % order.size()]);
  }
  return chosen;
}

PolicyEngineOptions RlRun::engine_options() const {
  constexpr size_t kMostTogether = 64;
  return {.num_threads = pool_.num_threads(),
          .kernels = options_.kernels,
          .max_sequences = std::min(kMostTogether, rl_.questions * rl_.samples),
          .context_tokens = longest_prompt_ + rl_.max_tokens};
}

// From the model's own distribution, without temperature or cuts: eq. 7 compares whole ones.
RlRun::Rollouts RlRun::roll_out(CompletionService& service) const {
  Rollouts rollouts;
  std::vector<CompletionInput> inputs;
  for (size_t index : questions_of(steps_done_)) {
    const Question& question = questions_[index];
    for (size_t s = 0; s < rl_.samples; ++s) {
      CompletionInput& input = inputs.emplace_back();
      input.prompt = question.prompt.ids;
      input.generate.max_tokens = rl_.max_tokens;
      input.generate.top_logprobs = 0;
      input.generate.sampling.seed =
          checksum64(cat(run_.seed, " answer ", steps_done_, " ", rollouts.size()));
      rollouts.emplace_back().question = &question;
    }
  }
  std::vector<CompletedAnswer> answers = complete_all(service, std::move(inputs));
  for (size_t i = 0; i < rollouts.size(); ++i) {
    Rollout& r = rollouts[i];
    r.answer = std::move(answers[i].ids);
    for (float logprob : answers[i].logprobs) r.entropy_sum -= double{logprob};
    r.judgement = judge_answer(r.question->task, r.question->prompt.text, answers[i].text);
    r.cut = answers[i].finish_reason == FinishReason::kLength;
  }
  for (size_t first = 0; first < rollouts.size(); first += rl_.samples) {
    std::vector<double> rewards;
    for (size_t s = 0; s < rl_.samples; ++s) {
      rewards.push_back(rollouts[first + s].judgement.reward());
    }
    const std::vector<double> advantages = group_advantages(rewards);
    for (size_t s = 0; s < rl_.samples; ++s) rollouts[first + s].advantage = advantages[s];
  }
  return rollouts;
}

double RlRun::held_out_reward(CompletionService& service) const {
  const auto outcomes =
      answer_tasks(held_out_, service, chat_template_, tokenizer_, {.max_tokens = rl_.max_tokens});
  double sum = 0;
  for (const TaskOutcome& outcome : outcomes) sum += outcome.judgement.reward();
  return sum / static_cast<double>(outcomes.size());
}

PackedAnswers RlRun::pack(std::span<Rollout* const> rollouts) const {
  std::vector<PromptAndAnswer> sequences;
  for (const Rollout* r : rollouts) sequences.push_back({r->question->prompt.ids, r->answer});
  return pack_answers(sequences, run_.micro_batch);
}

// Of every token of the answers, by the trainer's own forward pass.
RlRun::Logprobs RlRun::logprobs(const PackedAnswers& packed) {
  std::vector<std::vector<float>> losses(packed.batches.size());
  for (size_t b = 0; b < losses.size(); ++b) model_.evaluate(packed.batches[b], losses[b]);
  Logprobs out;
  for (const PackedAnswers::Place& place : packed.places) {
    std::vector<double>& answer = out.emplace_back();
    for (size_t t = 0; t < place.count; ++t) {
      answer.push_back(-double{losses[place.batch][place.first + t]});
    }
  }
  return out;
}

// One move of the weights by the answers of `trained`, of num_answers that were drawn. `known`:
// their log-probabilities under the weights as they are; null: to be computed.
void RlRun::update(std::span<Rollout* const> trained, size_t num_answers, const Logprobs* known,
                   const Logprobs& old, StepMetrics& metrics, StepStats& stats) {
  PackedAnswers packed = pack(trained);
  const Logprobs computed = known ? Logprobs() : logprobs(packed);
  const Logprobs& now = known ? *known : computed;
  const GspoOptions options{.clip_low = rl_.clip_low, .clip_high = rl_.clip_high};
  for (size_t i = 0; i < trained.size(); ++i) {
    const GspoTerm term = gspo_term(trained[i]->advantage, now[i], old[i], options);
    metrics.loss -= term.objective;
    metrics.rl->ratio += term.ratio;
    metrics.rl->clip_fraction += term.clipped;
    // The loss is minus the objective, and a cross-entropy is minus log π.
    const PackedAnswers::Place& place = packed.places[i];
    std::fill_n(packed.batches[place.batch].weights.begin() + static_cast<ptrdiff_t>(place.first),
                place.count, static_cast<float>(term.slope));
  }
  gradients_.zero();
  StepStats moved;
  for (const TrainBatch& batch : packed.batches) {
    moved.add(model_.forward_backward(batch, num_answers, gradients_));
    flops_ += flops_of(batch);
  }
  move(moved, metrics, stats);
}

// A layer of multi-token prediction is not computed.
double RlRun::flops_of(const TrainBatch& batch) const {
  ModelConfig config = params_->config();
  config.num_nextn_predict_layers = 0;
  return training_flops(config, batch);
}

// One move by what the teacher says at every token of the answers, right or wrong: the loss is its
// mean over them.
void RlRun::imitate(std::span<Rollout* const> part, StepMetrics& metrics, StepStats& stats) {
  PackedAnswers packed = pack(part);
  uint64_t tokens = 0;
  for (const Rollout* r : part) tokens += r->answer.size();
  gradients_.zero();
  StepStats moved;
  for (TrainBatch& batch : packed.batches) {
    batch.weights.clear();  // every token counts alike
    teacher_->read(batch, 0);
    moved.add(model_.forward_backward(batch, tokens, gradients_, &teaching_));
    flops_ += flops_of(batch);
  }
  move(moved, metrics, stats);
}

void RlRun::move(const StepStats& moved, StepMetrics& metrics, StepStats& stats) {
  const double norm = clip_gradients(pool_, gradients_.values(), run_.optimizer.clip);
  if (!std::isfinite(norm)) {
    fail(ErrorCode::kInvalidInput, run_.path, ": step ", steps_done_ + 1,
         ": the gradient is not finite; the run has diverged. Its last checkpoint is in ",
         options_.out, "/checkpoints");
  }
  metrics.grad_norm += norm / static_cast<double>(rl_.updates);
  optimizer_->step(pool_, *params_, gradients_.values(), metrics.learning_rate);
  const std::span<float> biases = params_->mutable_router_biases();
  for (size_t layer = 0; layer < moved.moe_layers.size(); ++layer) {
    const std::vector<uint64_t>& tokens = moved.moe_layers[layer].tokens_per_expert;
    update_router_bias(biases.subspan(layer * tokens.size(), tokens.size()), tokens, run_.balance);
  }
  stats.add(moved);
}

// Moves the weights by each part; returns how many answers that took.
size_t RlRun::reinforce(std::span<const std::vector<Rollout*>> parts, std::span<const size_t> drawn,
                        StepMetrics& metrics, StepStats& stats) {
  // The first part is trained on by the weights that drew it: its ratios are 1, whatever the
  // log-probabilities, and no forward pass is needed to know them.
  std::vector<Logprobs> old;
  bool is_first = true;
  for (const auto& part : parts) {
    if (is_first) {
      Logprobs& zeros = old.emplace_back();
      for (const Rollout* r : part) zeros.emplace_back(r->answer.size());
      is_first = part.empty();
    } else {
      old.push_back(logprobs(pack(part)));
    }
  }
  bool moved = false;
  size_t trained = 0;
  for (size_t u = 0; u < parts.size(); ++u) {
    if (parts[u].empty()) continue;
    update(parts[u], drawn[u], moved ? nullptr : &old[u], old[u], metrics, stats);
    moved = true;
    trained += parts[u].size();
  }
  return trained;
}

void RlRun::train_step() {
  const double start = seconds_now();
  StepMetrics metrics;
  metrics.step = steps_done_ + 1;
  metrics.stage = "rl";
  metrics.learning_rate = learning_rate(rl_.schedule, steps_done_);
  RlMetrics& rl = metrics.rl.emplace();
  Rollouts rollouts;
  {
    PolicyEngine engine(*params_, tokenizer_, engine_options());
    rollouts = roll_out(engine.service());
  }
  const auto n = static_cast<double>(rollouts.size());
  double entropy = 0;
  uint64_t tokens = 0;
  for (const Rollout& r : rollouts) {
    rl.reward += r.judgement.reward() / n;
    rl.accuracy += r.judgement.right / n;
    rl.mode_obedience += r.judgement.obeyed / n;
    rl.cut += r.cut / n;
    entropy += r.entropy_sum;
    tokens += r.answer.size();
  }
  rl.entropy = entropy / static_cast<double>(std::max<uint64_t>(tokens, 1));
  rl.answer_tokens = static_cast<double>(tokens) / n;
  for (size_t first = 0; first < rollouts.size(); first += rl_.samples) {
    const auto group = std::span(rollouts).subspan(first, rl_.samples);
    const bool equal =
        std::ranges::all_of(group, [](const Rollout& r) { return r.advantage == 0; });
    rl.equal_groups += equal / static_cast<double>(rl_.questions);
  }

  // The parts of the step, each of whole groups. Answers without advantage have no gradient.
  flops_ = 0;
  StepStats stats;
  std::vector<std::vector<Rollout*>> parts(rl_.updates);
  std::vector<size_t> drawn(rl_.updates);
  for (size_t i = 0; i < rollouts.size(); ++i) {
    const size_t part = i / rl_.samples * rl_.updates / rl_.questions;
    ++drawn[part];
    if (teacher_ || rollouts[i].advantage != 0) parts[part].push_back(&rollouts[i]);
  }
  size_t trained = 0;
  if (teacher_) {
    for (const auto& part : parts) imitate(part, metrics, stats);
  } else {
    trained = reinforce(parts, drawn, metrics, stats);
  }
  metrics.loss /= n;
  if (teacher_) {
    metrics.loss = stats.teacher_loss_sum / static_cast<double>(stats.targets);
    metrics.teacher_loss = metrics.loss;
  }
  if (trained) {
    rl.ratio /= static_cast<double>(trained);
    rl.clip_fraction /= static_cast<double>(trained);
  } else {
    rl.ratio = 1;
  }
  note_router(stats, metrics);
  tokens_ += tokens;
  ++steps_done_;
  const double seconds = seconds_now() - start;
  metrics.tokens = tokens_;
  metrics.tokens_per_second = static_cast<double>(tokens) / seconds;
  metrics.flops_per_second = flops_ / seconds;
  if (options_.peak_flops_per_second > 0) {
    metrics.share_of_peak = metrics.flops_per_second / options_.peak_flops_per_second;
  }
  const bool last = steps_done_ == rl_.schedule.steps;
  const bool evaluates = last || (run_.eval.every && steps_done_ % run_.eval.every == 0);
  if (evaluates && !held_out_.empty()) {
    PolicyEngine engine(*params_, tokenizer_, engine_options());
    rl.held_out_reward = held_out_reward(engine.service());
  }
  log_->append(metrics);
  if (evaluates) write_report();
  if (options_.on_step) options_.on_step(metrics, rl_.schedule.steps);
}

void RlRun::write_report() {
  const ParameterCounts counts = count_parameters(params_->config());
  RunReport report;
  report.title = cat("axk1 rl: ", std::filesystem::path(options_.out).filename().string());
  report.facts = {{"run file", run_.path},
                  {"parameters", cat(with_commas(counts.total()), ", ",
                                     with_commas(counts.active()), " of them active for a token")},
                  {"steps", cat(with_commas(steps_done_), " of ", with_commas(rl_.schedule.steps))},
                  {"questions and answers of a step", cat(rl_.questions, ", ", rl_.samples)},
                  {"tokens of answers", with_commas(tokens_)},
                  {"computed in", run_.bf16 ? "bf16" : "f32"}};
  write_file_atomic(options_.out + "/report.html", report_html(report, log_->history()));
}

TrainResult RlRun::go() {
  TrainResult result{.num_steps = rl_.schedule.steps};
  while (steps_done_ < rl_.schedule.steps) {
    train_step();
    const bool stop = options_.stop && options_.stop() && steps_done_ < rl_.schedule.steps;
    if (stop || (run_.checkpoints.every && steps_done_ % run_.checkpoints.every == 0)) {
      save();
      if (run_.checkpoints.export_each) export_run_model(*params_, run_.tokenizer, options_.out);
    }
    if (stop) {
      write_report();
      break;
    }
  }
  result.steps_done = steps_done_;
  result.finished = steps_done_ == rl_.schedule.steps;
  if (!log_->history().empty()) result.last = log_->history().back();
  if (result.finished) {
    save();
    export_run_model(*params_, run_.tokenizer, options_.out);
    result.model = options_.out + "/model";
  }
  return result;
}

}  // namespace

TrainResult rl_run(const RunConfig& run, const TrainerOptions& options) {
  return RlRun(run, options).go();
}

}  // namespace axk1
