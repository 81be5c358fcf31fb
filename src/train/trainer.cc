#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <numbers>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "io/checksum.h"
#include "io/file.h"
#include "kernels/registry.h"
#include "model/plan.h"
#include "parallel/thread_pool.h"
#include "parallel/topology.h"
#include "train/distil.h"
#include "train/flops.h"
#include "train/optimizer.h"
#include "train/param_store.h"
#include "train/report.h"
#include "train/run_checkpoint.h"
#include "train/run_data.h"
#include "train/run_parts.h"
#include "train/spike_guard.h"
#include "train/train_model.h"

namespace axk1 {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxSkippedInARow = 20;
double mtp_weight_of(const RunConfig& run, const ParamStore& params) {
  if (params.layout().mtp) return run.mtp_weight.value_or(kMtpWeight);
  if (run.mtp_weight.value_or(0) > 0) {
    fail(ErrorCode::kInvalidInput, run.path, ": mtp_weight: found ", *run.mtp_weight,
         ", but the model has no layer of multi-token prediction; expected "
         "num_nextn_predict_layers 1 in its config, or weights that have one");
  }
  return 0;
}

void check_fit(const RunConfig& run, const ModelConfig& config, const Tokenizer& tokenizer) {
  if (tokenizer.vocab_size() > static_cast<size_t>(config.vocab_size)) {
    fail(ErrorCode::kInvalidInput, run.path, ": the tokenizer has ", tokenizer.vocab_size(),
         " tokens, expected at most the model's vocab_size ", config.vocab_size);
  }
  for (const RunStage& stage : run.stages) {
    if (stage.shape.row_length > static_cast<size_t>(config.max_position_embeddings)) {
      fail(ErrorCode::kInvalidInput, run.path, ": stage \"", printable(stage.name),
           "\": sequence_length ", stage.shape.row_length,
           ", expected at most the model's max_position_embeddings ",
           config.max_position_embeddings);
    }
  }
}

class Run {
 public:
  Run(const RunConfig& run, const TrainerOptions& options);
  TrainResult go();

 private:
  bool writes() const { return ranks_.rank() == 0; }
  void say(const std::string& text) const {
    if (options_.on_message && writes()) options_.on_message(text);
  }
  void resume_from_checkpoint();
  void load(const RunCheckpoint& checkpoint);
  void save();
  void train_step();
  StepStats forward_backward(uint64_t& targets);
  void sum_over_ranks(StepStats& stats);
  void balance(const StepStats& stats);
  StepMetrics measure(const StepStats& stats, double norm, double seconds) const;
  void evaluate(StepMetrics& metrics);
  void write_report();

  const RunConfig& run_;
  const TrainerOptions& options_;
  OneProcess alone_;
  GradientSum& ranks_;
  std::optional<FolderLock> lock_;
  ThreadPool pool_;
  KernelTable kernels_;
  Tokenizer tokenizer_;
  std::unique_ptr<ParamStore> params_;
  double mtp_weight_;  // 0: no multi-token prediction
  TrainModel model_;
  Gradients gradients_;
  std::unique_ptr<Optimizer> optimizer_;
  SpikeGuard spikes_;
  RunData data_;
  DataOrder order_;
  std::unique_ptr<Teacher> teacher_;  // null: the text alone
  Teaching teaching_;
  CheckpointFolder checkpoints_;
  std::optional<MetricsLog> log_;
  std::string run_hash_, data_hash_;
  uint64_t steps_done_ = 0;
  uint64_t saved_at_ = UINT64_MAX;  // steps_done of the newest checkpoint
  double step_flops_ = 0;           // of this process, of the last step
  TrainBatch held_out_;
};

Run::Run(const RunConfig& run, const TrainerOptions& options)
    : run_(run),
      options_(options),
      ranks_(options.ranks ? *options.ranks : alone_),
      pool_(options.num_threads > 0 ? options.num_threads : usable_cpus()),
      kernels_(select_kernels(options.kernels, cpu_features())),
      tokenizer_(Tokenizer::load(run.tokenizer)),
      params_(make_run_params(run, tokenizer_, [this](const std::string& text) { say(text); })),
      mtp_weight_(mtp_weight_of(run, *params_)),
      model_(*params_, kernels_, pool_,
             {.compute = run.bf16 ? DType::kBF16 : DType::kF32, .mtp_weight = mtp_weight_}),
      gradients_(params_->layout()),
      optimizer_(make_run_optimizer(run.optimizer, *params_, kernels_, pool_.num_threads())),
      spikes_({.factor = run.spike.factor, .window = run.spike.window}),
      data_(load_run_data(run, tokenizer_, static_cast<size_t>(params_->config().vocab_size))),
      order_(data_.order(run)),
      checkpoints_(options.out + "/checkpoints") {
  check_fit(run, params_->config(), tokenizer_);
  if (run.distil) {
    teacher_ = make_teacher(run, data_, order_, params_->config(), kernels_, pool_);
    teaching_ = {run.distil->options, teacher_.get()};
  }
  run_hash_ = run_hash(run, params_->config(), data_.tokenizer_hash);
  data_hash_ = checksum_text(data_.fingerprint);
  if (writes()) {
    make_folder(options.out);
    lock_.emplace(options.out);
    if (!options.resume && !checkpoints_.steps().empty()) {
      fail(ErrorCode::kInvalidInput, options.out,
           ": has a run with checkpoints already; --resume goes on with it, another folder begins "
           "a new one");
    }
  }
  if (options.resume) resume_from_checkpoint();
  if (writes()) {
    log_.emplace(options.out + "/metrics.jsonl", steps_done_);
    write_file_atomic(options.out + "/run.json", run.text);
  }
}

void Run::resume_from_checkpoint() {
  const auto checkpoint = checkpoints_.newest([&](const std::string& text) { say(text); });
  if (checkpoint) {
    load(*checkpoint);
    say(cat("going on after step ", steps_done_, " of ", order_.num_steps()));
  } else {
    say(cat(options_.out, ": no checkpoint to go on from; the run begins"));
  }
}

void Run::load(const RunCheckpoint& checkpoint) {
  const json::ObjectReader state(checkpoint.state(), checkpoint.path() + ": state");
  if (state.get_string("run") != run_hash_) {
    fail(ErrorCode::kInvalidInput, run_.path, ": its numbers would not be those of the run in ",
         options_.out, ", which began with other fields, another model or another tokenizer (",
         options_.out, "/run.json is the run file as it was)");
  }
  if (state.get_string("data") != data_hash_) {
    fail(ErrorCode::kInvalidInput, run_.path, ": the documents are not those that the run in ",
         options_.out, " began with");
  }
  const auto count = [&](std::string_view field, uint64_t most) {
    return static_cast<uint64_t>(state.get_int(field, 0, static_cast<int64_t>(most)));
  };
  steps_done_ = count("steps_done", order_.num_steps());
  saved_at_ = steps_done_;
  optimizer_->set_num_steps(count("optimizer_steps", steps_done_));
  const json::ObjectReader spike(state.get("spike"), checkpoint.path() + ": state: spike");
  SpikeGuard::State spikes{
      .skipped = static_cast<uint64_t>(spike.get_int("skipped", 0, INT64_MAX)),
      .in_a_row = static_cast<uint64_t>(spike.get_int("in_a_row", 0, INT64_MAX))};
  const json::value& norms = spike.get("norms");
  if (!norms.is_array()) spike.wrong("norms", norms, "an array");
  for (const json::value& norm : norms.get_array()) {
    if (!norm.is_number()) spike.wrong("norms", norm, "numbers");
    spikes.norms.push_back(norm.to_number<double>());
  }
  spikes_.restore(std::move(spikes));
  read_training_sections(checkpoint, *params_, *optimizer_);
}

void Run::save() {
  if (saved_at_ == steps_done_) return;
  saved_at_ = steps_done_;
  if (writes()) {
    log_->flush_to_disk();
    const SpikeGuard::State spikes = spikes_.state();
    uint64_t tokens = 0;
    for (uint64_t of_source : order_.tokens_read(steps_done_)) tokens += of_source;
    const json::object state{
        {"steps_done", steps_done_},
        {"stage", steps_done_ ? run_.stages[order_.stage_of(steps_done_ - 1)].name : ""},
        {"tokens", tokens},
        {"run", run_hash_},
        {"data", data_hash_},
        {"optimizer_steps", optimizer_->num_steps()},
        {"spike",
         {{"norms", json::array(spikes.norms.begin(), spikes.norms.end())},
          {"skipped", spikes.skipped},
          {"in_a_row", spikes.in_a_row}}},
        {"kernels", kernels_.name}};
    checkpoints_.save(steps_done_, state, training_sections(*params_, *optimizer_),
                      run_.checkpoints.keep);
  }
}

// Of the rows of this process; `targets` become those of all.
StepStats Run::forward_backward(uint64_t& targets) {
  const StageShape& shape = order_.stage(order_.stage_of(steps_done_));
  const size_t first = shape.rows * ranks_.rank() / ranks_.size();
  const size_t end = shape.rows * (ranks_.rank() + 1) / ranks_.size();
  const TrainBatch rows = order_.rows(steps_done_, first, end - first);
  double count[] = {static_cast<double>(num_targets(rows))};
  ranks_.sum(std::span<double>(count));
  targets = static_cast<uint64_t>(count[0]);
  ModelConfig computed = params_->config();
  if (mtp_weight_ == 0) computed.num_nextn_predict_layers = 0;
  step_flops_ = training_flops(computed, rows);
  gradients_.zero();
  StepStats stats;
  if (targets == 0) return stats;
  const uint64_t position = order_.tokens_before(steps_done_) + first * shape.row_length;
  for (size_t row = 0; row < rows.rows; row += run_.micro_batch) {
    const size_t n = std::min(run_.micro_batch, rows.rows - row);
    const TrainBatch part = batch_rows(rows, row, n);
    if (teacher_) teacher_->read(part, position + row * shape.row_length);
    stats.add(model_.forward_backward(part, targets, gradients_, teacher_ ? &teaching_ : nullptr));
  }
  return stats;
}

void Run::sum_over_ranks(StepStats& stats) {
  if (ranks_.size() == 1) return;
  const ModelConfig& config = params_->config();
  stats.moe_layers.resize(mtp_weight_ > 0 ? params_->layout().num_moe_layers()
                                          : static_cast<size_t>(config.num_moe_layers()));
  std::vector<double> all = {stats.loss_sum,
                             static_cast<double>(stats.targets),
                             static_cast<double>(stats.tokens),
                             stats.teacher_loss_sum,
                             stats.mtp_loss_sum,
                             static_cast<double>(stats.mtp_targets)};
  for (MoeLayerStats& layer : stats.moe_layers) {
    layer.tokens_per_expert.resize(static_cast<size_t>(config.n_routed_experts));
    all.push_back(layer.router_entropy_sum);
    all.insert(all.end(), layer.tokens_per_expert.begin(), layer.tokens_per_expert.end());
  }
  ranks_.sum(std::span(all));
  stats.loss_sum = all[0];
  stats.targets = static_cast<uint64_t>(all[1]);
  stats.tokens = static_cast<uint64_t>(all[2]);
  stats.teacher_loss_sum = all[3];
  stats.mtp_loss_sum = all[4];
  stats.mtp_targets = static_cast<uint64_t>(all[5]);
  size_t at = 6;
  for (MoeLayerStats& layer : stats.moe_layers) {
    layer.router_entropy_sum = all[at++];
    for (uint64_t& tokens : layer.tokens_per_expert) tokens = static_cast<uint64_t>(all[at++]);
  }
}

void Run::balance(const StepStats& stats) {
  const std::span<float> biases = params_->mutable_router_biases();
  for (size_t layer = 0; layer < stats.moe_layers.size(); ++layer) {
    const std::vector<uint64_t>& tokens = stats.moe_layers[layer].tokens_per_expert;
    update_router_bias(biases.subspan(layer * tokens.size(), tokens.size()), tokens, run_.balance);
  }
}

StepMetrics Run::measure(const StepStats& stats, double norm, double seconds) const {
  const size_t stage_idx = order_.stage_of(steps_done_);
  const StageShape& shape = order_.stage(stage_idx);
  StepMetrics m;
  m.step = steps_done_ + 1;
  m.stage = run_.stages[stage_idx].name;
  m.loss = stats.targets ? stats.mean_loss() : std::nan("");
  if (teacher_) {
    m.teacher_loss =
        stats.targets ? stats.teacher_loss_sum / static_cast<double>(stats.targets) : std::nan("");
  }
  if (mtp_weight_ > 0) m.mtp_loss = stats.mtp_targets ? stats.mean_mtp_loss() : std::nan("");
  m.learning_rate =
      learning_rate(run_.stages[stage_idx].schedule, steps_done_ - order_.first_step(stage_idx));
  m.grad_norm = norm;
  const auto step_tokens = static_cast<double>(shape.rows * shape.row_length);
  m.tokens_per_second = step_tokens / seconds;
  m.flops_per_second = step_flops_ / seconds;
  if (options_.peak_flops_per_second > 0) {
    m.share_of_peak = m.flops_per_second / options_.peak_flops_per_second;
  }
  note_router(stats, m);
  return m;
}

void Run::train_step() {
  const double start = seconds_now();
  uint64_t targets = 0;
  StepStats stats = forward_backward(targets);
  ranks_.sum(gradients_.values());
  sum_over_ranks(stats);
  const double norm = clip_gradients(pool_, gradients_.values(), run_.optimizer.clip);
  const double loss =
      targets ? stats.mean_loss() + (stats.teacher_loss_sum + mtp_weight_ * stats.mtp_loss_sum) /
                                        static_cast<double>(targets)
              : std::nan("");
  const bool skipped = spikes_.is_spike(loss, norm);
  const size_t stage_idx = order_.stage_of(steps_done_);
  if (!skipped) {
    const double rate =
        learning_rate(run_.stages[stage_idx].schedule, steps_done_ - order_.first_step(stage_idx));
    optimizer_->step(pool_, *params_, gradients_.values(), rate);
    balance(stats);
  }
  StepMetrics metrics = measure(stats, norm, seconds_now() - start);
  metrics.skipped = skipped;
  metrics.skipped_steps = spikes_.skipped();
  ++steps_done_;
  for (uint64_t tokens : order_.tokens_read(steps_done_)) metrics.tokens += tokens;
  const bool last = steps_done_ == order_.num_steps();
  const bool evaluates = last || (run_.eval.every && steps_done_ % run_.eval.every == 0);
  if (evaluates) evaluate(metrics);
  if (writes()) {
    log_->append(metrics);
    if (evaluates) write_report();
  }
  if (options_.on_step) options_.on_step(metrics, order_.num_steps());
  if (spikes_.skipped_in_a_row() >= kMaxSkippedInARow) {
    fail(ErrorCode::kInvalidInput, run_.path, ": step ", steps_done_, ": ",
         spikes_.skipped_in_a_row(), " steps in a row were skipped, the last with loss ",
         metrics.loss, " and a gradient of norm ", norm,
         "; the run has diverged. Its last checkpoint is in ", options_.out, "/checkpoints");
  }
}

void Run::evaluate(StepMetrics& metrics) {
  const size_t length = order_.stage(order_.stage_of(metrics.step - 1)).row_length;
  if (held_out_.row_length != length) held_out_ = data_.held_out_rows(length, run_.eval.tokens);
  if (held_out_.rows == 0) return;
  double sums[] = {0, 0, 0, 0, 0};  // nats, targets, bytes; nats and targets of prediction further
  for (size_t row = 0, part = 0; row < held_out_.rows; row += run_.micro_batch, ++part) {
    if (part % ranks_.size() != ranks_.rank()) continue;
    const TrainBatch batch =
        batch_rows(held_out_, row, std::min(run_.micro_batch, held_out_.rows - row));
    const StepStats stats = model_.evaluate(batch);
    sums[0] += stats.loss_sum;
    sums[1] += static_cast<double>(stats.targets);
    sums[3] += stats.mtp_loss_sum;
    sums[4] += static_cast<double>(stats.mtp_targets);
    for (int32_t target : batch.targets) {
      if (target == TrainBatch::kNoTarget || tokenizer_.is_special(target)) continue;
      sums[2] += static_cast<double>(tokenizer_.token_bytes(target).size());
    }
  }
  ranks_.sum(std::span<double>(sums));
  if (sums[1] > 0) metrics.held_out_loss = sums[0] / sums[1];
  if (sums[4] > 0) metrics.held_out_mtp_loss = sums[3] / sums[4];
  if (sums[2] > 0) metrics.bits_per_byte = sums[0] / std::numbers::ln2 / sums[2];
}

void Run::write_report() {
  const ParameterCounts counts = count_parameters(params_->config());
  const StepMetrics& last = log_->history().back();
  RunReport report;
  report.title = cat("axk1 train: ", fs::path(options_.out).filename().string());
  report.facts = {{"run file", run_.path},
                  {"parameters", cat(with_commas(counts.total()), ", ",
                                     with_commas(counts.active()), " of them active for a token")},
                  {"steps", cat(with_commas(last.step), " of ", with_commas(order_.num_steps()))},
                  {"tokens", with_commas(last.tokens)},
                  {"computed in", run_.bf16 ? "bf16" : "f32"},
                  {"processes, threads", cat(ranks_.size(), ", ", pool_.num_threads())}};
  const std::vector<uint64_t> read = order_.tokens_read(last.step);
  for (size_t s = 0; s < read.size(); ++s) {
    const double epochs = static_cast<double>(read[s]) /
                          static_cast<double>(std::max<uint64_t>(1, data_.sources[s].train_tokens));
    report.facts.push_back(
        {cat("source ", data_.sources[s].name),
         cat(with_commas(read[s]), " tokens read of ", with_commas(data_.sources[s].train_tokens),
             ": ", std::round(epochs * 100) / 100, " epochs")});
  }
  write_file_atomic(options_.out + "/report.html", report_html(report, log_->history()));
}

TrainResult Run::go() {
  TrainResult result{.num_steps = order_.num_steps()};
  while (steps_done_ < order_.num_steps()) {
    train_step();
    const bool stop =
        any_of(ranks_, options_.stop && options_.stop()) && steps_done_ < order_.num_steps();
    const bool due = run_.checkpoints.every && steps_done_ % run_.checkpoints.every == 0;
    if (stop || due) {
      save();
      if (writes() && run_.checkpoints.export_each)
        export_run_model(*params_, run_.tokenizer, options_.out);
    }
    if (stop) {
      if (writes()) write_report();
      break;
    }
  }
  result.steps_done = steps_done_;
  result.finished = steps_done_ == order_.num_steps();
  if (writes() && !log_->history().empty()) result.last = log_->history().back();
  if (result.finished) {
    save();
    if (writes()) export_run_model(*params_, run_.tokenizer, options_.out);
    result.model = options_.out + "/model";
  }
  return result;
}

}  // namespace

TrainResult train_run(const RunConfig& run, const TrainerOptions& options) {
  return Run(run, options).go();
}

}  // namespace axk1
