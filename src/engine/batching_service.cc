#include "engine/batching_service.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

#include "base/bits.h"
#include "base/check.h"
#include "base/error.h"
#include "engine/mtp_drafts.h"
#include "engine/prefix_file.h"
#include "engine/scheduler.h"
#include "engine/speculation.h"
#include "tensor/buffer.h"

namespace axk1 {
namespace {

// What a running request computes with; as many as may run.
struct Slot {
  KvCache cache;
  PromptLookup lookup;
  MtpPending pending;
  std::vector<void*> lent;
};

struct Request : ScheduledSequence {
  Request(const AnswerModel& model, CompletionInput&& input, OnDelta&& deltas,
          std::shared_ptr<SamplerMemory> memory)
      : answer(model, input.generate, input.prompt.size(), std::move(input.constraint),
               std::move(memory)),
        on_delta(std::move(deltas)),
        num_prompt_logprobs(input.prompt_logprobs) {
    tenant = std::move(input.tenant);
    priority = input.priority;
    tokens = std::move(input.prompt);
    num_prompt = tokens.size();
    use_prefixes = num_prompt_logprobs < 0;  // every row of the prompt is wanted
    usage.prompt_tokens = num_prompt;
  }

  bool wants_prompt_logprobs() const {
    return num_prompt_logprobs >= 0 && prompt_logprobs.size() + 1 < num_prompt;
  }

  uint64_t id = 0;
  Answer answer;
  OnDelta on_delta;
  int num_prompt_logprobs;
  std::vector<StepLogprobs> prompt_logprobs;
  CompletionUsage usage;
  DraftGate gate;  // of prompt lookup
  MtpGate mtp_gate;
  bool drafts_are_mtp = false;
  Slot* slot = nullptr;
  size_t num_delivered = 0;  // answer tokens in deltas
};

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class Service final : public BatchingService {
 public:
  Service(std::unique_ptr<StepModel> model, const ServiceOptions& options);
  ~Service() override;

  SubmitResult submit(CompletionInput input, OnDelta on_delta) override;
  void cancel(uint64_t id) override;
  void drain() override;
  bool idle() const override;
  ServiceStats stats() const override;
  const ServicePlan& plan() const override { return plan_; }
  size_t save_prefixes(const std::string& path) override;
  Loaded load_prefixes(const std::string& path) override;

 private:
  std::byte* block_memory(BlockId id) { return pool_.as<std::byte>() + id * plan_.block_bytes; }
  PrefixFileLayout prefix_layout() const { return {fingerprint_, plan_.block_bytes}; }

  void work();
  void take_on();
  void step();
  void propose_drafts(bool learn);
  size_t choose_drafts(Request& request, const std::optional<MtpGate::Costs>& costs);
  void sync_slots();
  void sync_cache(Request& request);
  void take_rows(const Scheduler::Item& item, size_t first_row, size_t num_rows);
  std::span<const float> row(size_t index);
  void deliver(Request& request);
  void fail_request(Request& request, const std::string& message);
  void finish(Request& request, CompletionDelta&& last);
  void publish_stats();

  const std::unique_ptr<StepModel> model_;
  const ServiceOptions options_;
  const AnswerModel answer_model_;
  const ServicePlan plan_;
  const uint64_t fingerprint_;
  const std::shared_ptr<SamplerMemory> sampler_memory_;

  // Of the service's thread, and of whoever else holds engine_mutex_.
  std::mutex engine_mutex_;
  Buffer pool_;
  BlockManager blocks_;
  Scheduler scheduler_;
  StepCost step_cost_;
  std::optional<MtpDrafts> mtp_;  // where the model has that
  MtpRates mtp_rates_;            // of all requests: what a new one begins with
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<Slot*> free_slots_;
  std::vector<Request*> slotted_;
  std::unordered_map<uint64_t, std::unique_ptr<Request>> requests_;
  std::vector<SequenceInput> batch_;
  std::vector<std::vector<TokenId>> draft_rows_;  // a token and its drafts, where there are any
  // Of a step's items: whose they are, where its rows begin and at which position.
  struct Computed {
    uint64_t request_id;
    size_t first_row, position;
  };
  std::vector<Computed> computed_;
  std::vector<MtpDrafts::Line> mtp_lines_;
  std::vector<std::unique_ptr<Request>> taken_;
  std::vector<uint64_t> cancelled_;
  std::span<const float> slice_;  // logits of rows slice_first_ ..
  size_t slice_first_ = 0, slice_rows_ = 0, wanted_rows_ = 0;
  ServiceStats counters_;  // what only grows, but for what blocks_ and scheduler_ count
  double last_completion_ = 0;

  mutable std::mutex mutex_;  // of what follows
  std::condition_variable wake_;
  std::vector<std::unique_ptr<Request>> inbox_;
  std::vector<uint64_t> cancels_;
  ServiceStats stats_;
  size_t num_live_ = 0;  // taken on, last delta not delivered
  double seconds_per_completion_ = 1;
  uint64_t num_ids_ = 0;
  bool draining_ = false, stopping_ = false;

  std::thread thread_;  // last: everything else is there when it starts
};

ServicePlanOptions plan_options(const ServiceOptions& options) {
  return {.max_sequences = options.max_sequences,
          .context_tokens = options.context_tokens,
          .max_memory = options.max_memory,
          .draft_rows = options.drafts ? options.draft_tokens + 1 : 0,
          .kv_memory = options.kv_memory};
}

ServiceOptions with_defaults(ServiceOptions options, const StepModel& model) {
  if (!options.now) options.now = steady_seconds;
  if (options.prefill_tokens == 0) options.prefill_tokens = model.max_step_tokens();
  if (!(options.aging_seconds > 0)) {
    fail(ErrorCode::kInvalidInput, "aging_seconds: found ", options.aging_seconds,
         ", expected more than 0");
  }
  return options;
}

AnswerModel with_context(AnswerModel model, size_t context_tokens) {
  model.context_tokens = context_tokens;
  return model;
}

Service::Service(std::unique_ptr<StepModel> model, const ServiceOptions& options)
    : model_(std::move(model)),
      options_(with_defaults(options, *model_)),
      answer_model_(with_context(
          model_->answer_model(),
          options.context_tokens ? options.context_tokens : model_->answer_model().context_tokens)),
      plan_(plan_service(*model_, plan_options(options))),
      fingerprint_(model_->fingerprint()),
      sampler_memory_(
          std::make_shared<SamplerMemory>(answer_model_.vocab_size, answer_model_.kernels)),
      pool_(plan_.cache),
      blocks_(plan_.num_blocks, plan_.block_tokens),
      scheduler_(blocks_, {.max_running = options_.max_sequences,
                           .step_tokens = model_->max_step_tokens(),
                           .prefill_tokens = options_.prefill_tokens,
                           .prefix_cache = options_.prefix_cache,
                           .aging_seconds = options_.aging_seconds}) {
  model_->reserve_logits(plan_.logit_rows);
  const size_t context_blocks = ceil_div(plan_.context_tokens, plan_.block_tokens);
  for (size_t i = 0; i < options_.max_sequences; ++i) {
    slots_.push_back(
        std::make_unique<Slot>(Slot{model_->new_cache(),
                                    PromptLookup(plan_.context_tokens),
                                    MtpPending(model_->hidden_size(), options_.draft_tokens + 1),
                                    {}}));
    slots_.back()->cache.reserve_lent(context_blocks + 1);
    slots_.back()->lent.reserve(context_blocks + 1);
    free_slots_.push_back(slots_.back().get());
  }
  slotted_.reserve(options_.max_sequences);
  batch_.reserve(options_.max_sequences);
  computed_.reserve(options_.max_sequences);
  mtp_lines_.reserve(options_.max_sequences);
  if (options_.drafts && options_.draft_tokens > 0 && model_->has_mtp()) {
    mtp_.emplace(*model_, options_.max_sequences, options_.draft_tokens + 1, options_.now);
  }
  draft_rows_.resize(options_.max_sequences);
  publish_stats();
  thread_ = std::thread([this] { work(); });
}

Service::~Service() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = draining_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

SubmitResult Service::submit(CompletionInput input, OnDelta on_delta) {
  if (input.prompt.empty()) fail(ErrorCode::kInvalidInput, "the prompt is empty");
  if (input.prompt.size() > answer_model_.context_tokens) {
    fail(ErrorCode::kInvalidInput, input.prompt.size(), " tokens do not fit the context of ",
         answer_model_.context_tokens);
  }
  for (TokenId id : input.prompt) {
    if (id < 0 || static_cast<size_t>(id) >= answer_model_.vocab_size) {
      fail(ErrorCode::kInvalidInput, "token id ", id, " is outside the vocabulary of ",
           answer_model_.vocab_size);
    }
  }
  check_generate_options(input.generate, answer_model_);

  auto request = std::make_unique<Request>(answer_model_, std::move(input), std::move(on_delta),
                                           sampler_memory_);
  SubmitResult result;
  {
    const std::lock_guard lock(mutex_);
    if (draining_) {
      result.refusal = Refusal::kDraining;
      return result;
    }
    if (num_live_ >= options_.max_sequences + options_.max_queue) {
      result.refusal = Refusal::kQueueFull;
      result.retry_after_seconds = std::clamp(seconds_per_completion_, 1.0, 60.0);
      return result;
    }
    ++num_live_;
    result.id = request->id = ++num_ids_;
    inbox_.push_back(std::move(request));
  }
  wake_.notify_one();
  return result;
}

void Service::cancel(uint64_t id) {
  {
    const std::lock_guard lock(mutex_);
    cancels_.push_back(id);
  }
  wake_.notify_one();
}

void Service::drain() {
  const std::lock_guard lock(mutex_);
  draining_ = true;
}

bool Service::idle() const {
  const std::lock_guard lock(mutex_);
  return num_live_ == 0;
}

ServiceStats Service::stats() const {
  const std::lock_guard lock(mutex_);
  ServiceStats stats = stats_;
  stats.waiting += inbox_.size();
  return stats;
}

size_t Service::save_prefixes(const std::string& path) {
  const std::lock_guard lock(engine_mutex_);
  return save_prefix_file(path, blocks_, prefix_layout(),
                          [&](BlockId id) { return block_memory(id); });
}

BatchingService::Loaded Service::load_prefixes(const std::string& path) {
  const std::lock_guard lock(engine_mutex_);
  LoadedPrefixes loaded;
  if (options_.prefix_cache) {
    loaded = load_prefix_file(path, blocks_, prefix_layout(),
                              [&](BlockId id) { return block_memory(id); });
  } else {
    loaded.message = cat(path, ": not read, the prefix cache is off");
  }
  publish_stats();
  return {loaded.blocks, std::move(loaded.message)};
}

void Service::work() {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] {
        return stopping_ || !inbox_.empty() || !cancels_.empty() || !requests_.empty();
      });
      taken_.swap(inbox_);
      cancelled_.swap(cancels_);
      if (stopping_) break;
    }
    const std::lock_guard lock(engine_mutex_);
    take_on();
    step();
    publish_stats();
  }
  const std::lock_guard lock(engine_mutex_);
  take_on();
  while (!requests_.empty()) {
    Request& request = *requests_.begin()->second;
    request.answer.cancel();
    deliver(request);
  }
}

void Service::take_on() {
  const double now = options_.now();
  for (std::unique_ptr<Request>& request : taken_) {
    request->mtp_gate = MtpGate(mtp_rates_);
    scheduler_.submit(*request, now);
    requests_.emplace(request->id, std::move(request));
  }
  taken_.clear();
  for (uint64_t id : cancelled_) {
    const auto it = requests_.find(id);
    if (it == requests_.end()) continue;
    it->second->answer.cancel();
    deliver(*it->second);
  }
  cancelled_.clear();
}

void Service::step() {
  const double start = options_.now();
  const std::span<const Scheduler::Item> items = scheduler_.schedule(start);
  sync_slots();
  if (items.empty()) return;

  batch_.clear();
  computed_.clear();
  size_t num_rows = 0, num_decoding = 0, num_logits = 0;
  wanted_rows_ = 0;
  for (const Scheduler::Item& item : items) {
    Request& request = static_cast<Request&>(*item.sequence);
    sync_cache(request);
    std::span<const TokenId> tokens =
        std::span(request.tokens).subspan(request.num_computed, item.num_tokens);
    if (item.num_drafts) {
      std::vector<TokenId>& row = draft_rows_[batch_.size()];
      row.assign(tokens.begin(), tokens.end());
      row.insert(row.end(), request.drafts.begin(),
                 request.drafts.begin() + static_cast<std::ptrdiff_t>(item.num_drafts));
      tokens = row;
    }
    const bool all = item.num_drafts || request.wants_prompt_logprobs();
    batch_.push_back({.tokens = tokens,
                      .cache = &request.slot->cache,
                      .all_logits = all,
                      .all_hidden = mtp_.has_value()});
    computed_.push_back({request.id, num_rows, request.num_computed});
    num_rows += tokens.size();
    num_logits += all ? tokens.size() : 1;
    if (item.wants_logits || all) wanted_rows_ = num_logits;
    num_decoding += item.wants_logits && item.num_tokens == 1;
  }
  slice_rows_ = 0;
  try {
    model_->run(batch_);
  } catch (const std::exception& error) {
    for (const Scheduler::Item& item : items) {
      fail_request(static_cast<Request&>(*item.sequence), error.what());
    }
    return;
  }
  ++counters_.steps;
  size_t first_row = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    const size_t rows = batch_[i].all_logits ? batch_[i].tokens.size() : 1;
    take_rows(items[i], first_row, rows);
    first_row += rows;
  }
  const bool only_decodes = num_decoding == items.size();
  if (only_decodes) step_cost_.record(num_rows, options_.now() - start);
  propose_drafts(only_decodes);
}

// For the next step. Only sequences that decode get drafts; those of others would be for the wrong
// place. What was computed of a sequence that goes on is read by the layer of multi-token
// prediction, whether or not it is to guess.
void Service::propose_drafts(bool learn) {
  if (!options_.drafts || options_.draft_tokens == 0) return;
  std::optional<MtpGate::Costs> costs;
  if (mtp_) costs = MtpGate::costs(step_cost_, mtp_->cost(), slotted_.size());
  for (Request* request : slotted_) request->drafts.clear();
  mtp_lines_.clear();
  for (const Computed& computed : computed_) {
    const auto it = requests_.find(computed.request_id);
    if (it == requests_.end()) continue;
    Request& request = *it->second;
    const size_t num_guesses = choose_drafts(request, costs);
    if (!mtp_) continue;
    sync_cache(request);  // blocks may have been exchanged for equal ones
    mtp_lines_.push_back({.first_row = computed.first_row,
                          .position = computed.position,
                          .num_rows = request.num_computed - computed.position,
                          .tokens = request.tokens,
                          .cache = &request.slot->cache,
                          .pending = &request.slot->pending,
                          .num_wanted = num_guesses,
                          .guesses = num_guesses ? &request.drafts : nullptr});
  }
  if (!mtp_) return;
  try {
    mtp_->run(mtp_lines_, learn);
  } catch (const std::exception& error) {
    for (const Computed& computed : computed_) {
      const auto it = requests_.find(computed.request_id);
      if (it != requests_.end()) fail_request(*it->second, error.what());
    }
  }
}

// Fills the drafts by prompt lookup; or says how many guesses of multi-token prediction promise
// more.
size_t Service::choose_drafts(Request& request, const std::optional<MtpGate::Costs>& costs) {
  request.drafts_are_mtp = false;
  if (request.tokens.size() - request.num_computed != 1) return 0;
  const size_t answered = request.answer.ids().size();
  const size_t left = request.answer.max_tokens() - answered;
  if (left < 2) return 0;
  const size_t most = std::min(options_.draft_tokens, left - 1);
  const bool always = options_.always_draft;
  if (options_.lookup &&
      (always || request.gate.open(answered, step_cost_.row_share(slotted_.size())))) {
    request.slot->lookup.propose(request.tokens, most, request.drafts);
  }
  size_t num_guesses = 0;
  if (mtp_) {
    num_guesses =
        always ? std::min(most, kMaxMtpGuesses) : request.mtp_gate.guesses(answered, costs, most);
  }
  if (num_guesses == 0) return 0;
  const double found = request.gate.rate() * static_cast<double>(request.drafts.size());
  if (found >= request.mtp_gate.rates().expected(num_guesses)) return 0;
  request.drafts.clear();
  request.drafts_are_mtp = true;
  return num_guesses;
}

// Slots of those that were admitted, from those that lost their place.
void Service::sync_slots() {
  std::erase_if(slotted_, [&](Request* request) {
    if (request->is_running) return false;
    free_slots_.push_back(std::exchange(request->slot, nullptr));
    return true;
  });
}

void Service::sync_cache(Request& request) {
  if (!request.slot) {
    AXK1_CHECK(!free_slots_.empty());
    request.slot = free_slots_.back();
    free_slots_.pop_back();
    slotted_.push_back(&request);
    request.slot->lookup.clear();
    request.slot->pending.clear();
    request.num_stable = 0;
  }
  Slot& slot = *request.slot;
  if (request.num_stable < request.blocks.size()) {
    slot.lent.clear();
    for (size_t i = request.num_stable; i < request.blocks.size(); ++i) {
      slot.lent.push_back(block_memory(request.blocks[i]));
    }
    if (request.num_stable == 0) slot.cache.truncate(0);
    slot.cache.lend(request.num_stable, slot.lent);
    request.num_stable = request.blocks.size();
  }
  if (slot.cache.length() > request.num_computed) slot.cache.truncate(request.num_computed);
  slot.cache.advance(request.num_computed - slot.cache.length());
}

std::span<const float> Service::row(size_t index) {
  const size_t vocab = answer_model_.vocab_size;
  if (index < slice_first_ || index >= slice_first_ + slice_rows_) {
    slice_first_ = index;
    slice_rows_ = std::min(plan_.logit_rows, wanted_rows_ - index);
    slice_ = model_->logits(slice_first_, slice_rows_);
  }
  return slice_.subspan((index - slice_first_) * vocab, vocab);
}

// What the step computed of one item: logit rows first_row .. first_row + num_rows.
void Service::take_rows(const Scheduler::Item& item, size_t first_row, size_t num_rows) {
  Request& request = static_cast<Request&>(*item.sequence);
  Answer& answer = request.answer;
  try {
    if (request.wants_prompt_logprobs()) {
      const auto top = static_cast<size_t>(request.num_prompt_logprobs);
      for (size_t i = 0; i < item.num_tokens && request.wants_prompt_logprobs(); ++i) {
        // A request that was interrupted reads the beginning again.
        if (request.num_computed + i != request.prompt_logprobs.size()) continue;
        const std::span<const float> logits = row(first_row + i);
        const TokenId next = request.tokens[request.num_computed + i + 1];
        request.prompt_logprobs.push_back(
            {{next, logprob_of(logits, next)}, top_logprobs(logits, top)});
      }
    }
    size_t num_computed = item.num_tokens;
    if (item.wants_logits && !answer.ended()) {
      const auto prompt = [&] { return std::span(request.tokens).first(request.num_prompt); };
      const size_t last_row = first_row + num_rows - 1 - item.num_drafts;
      for (size_t i = 0; i <= item.num_drafts; ++i) {
        const TokenId id = answer.choose(row(last_row + i), prompt());
        request.tokens.push_back(id);
        if (answer.ended() || i == item.num_drafts || id != request.drafts[i]) break;
        ++num_computed;  // the next row was computed for just this token
      }
    }
    const size_t accepted = num_computed - item.num_tokens;
    if (item.num_drafts) {
      if (request.drafts_are_mtp) {
        request.mtp_gate.record(item.num_drafts, accepted);
        mtp_rates_.record(item.num_drafts, accepted, 1.0 / 64);
        counters_.mtp_draft_tokens += item.num_drafts;
        counters_.mtp_accepted_tokens += accepted;
      } else {
        request.gate.record(item.num_drafts, accepted);
      }
      request.usage.draft_tokens += item.num_drafts;
      request.usage.accepted_tokens += accepted;
      counters_.draft_tokens += item.num_drafts;
      counters_.accepted_tokens += accepted;
    }
    if (!answer.ended()) AXK1_CHECK(request.num_computed + num_computed < request.tokens.size());
    scheduler_.computed(request, num_computed);
    request.usage.cached_tokens = request.num_cached;
    if (item.wants_logits) deliver(request);
  } catch (const std::exception& error) {
    fail_request(request, error.what());
  } catch (...) {
    fail_request(request, "the completion failed");
  }
}

// What is new since the last delta; takes leave of a request that has ended.
void Service::deliver(Request& request) {
  Answer& answer = request.answer;
  CompletionDelta delta;
  delta.text = answer.take_text();
  const auto& ids = answer.ids();
  delta.ids.assign(ids.begin() + static_cast<std::ptrdiff_t>(request.num_delivered), ids.end());
  delta.logprobs = std::exchange(answer.logprobs(), {});
  request.usage.completion_tokens = ids.size();
  delta.usage = request.usage;
  if (request.num_delivered == 0 && !request.wants_prompt_logprobs()) {
    delta.prompt_logprobs = std::exchange(request.prompt_logprobs, {});
    request.num_prompt_logprobs = -1;
  }
  counters_.completion_tokens += delta.ids.size();
  request.num_delivered = ids.size();
  if (answer.ended()) {
    delta.finish_reason = answer.finish_reason();
    finish(request, std::move(delta));
    return;
  }
  request.on_delta(std::move(delta));
}

void Service::fail_request(Request& request, const std::string& message) {
  CompletionDelta delta;
  delta.error = message.empty() ? "the completion failed" : message;
  delta.usage = request.usage;
  finish(request, std::move(delta));
}

void Service::finish(Request& request, CompletionDelta&& last) {
  scheduler_.remove(request);
  if (request.slot) {
    free_slots_.push_back(request.slot);
    std::erase(slotted_, &request);
  }
  counters_.prompt_tokens += request.num_prompt;
  counters_.cached_tokens += request.num_cached;
  if (!last.error.empty()) {
    ++counters_.failed;
  } else if (*last.finish_reason == FinishReason::kCancelled) {
    ++counters_.cancelled;
  } else {
    ++counters_.completed;
  }
  const double now = options_.now();
  const double interval = last_completion_ > 0 ? now - last_completion_ : 1;
  last_completion_ = now;
  const auto node = requests_.extract(request.id);
  publish_stats();
  try {
    request.on_delta(std::move(last));
  } catch (...) {
    // Nobody is left to tell.
  }
  const std::lock_guard lock(mutex_);
  --num_live_;
  seconds_per_completion_ += (interval - seconds_per_completion_) / 8;
}

void Service::publish_stats() {
  const BlockManager::Counts blocks = blocks_.counts();
  const Scheduler::Counts requests = scheduler_.counts();
  ServiceStats stats = counters_;
  stats.running = requests.running;
  stats.waiting = requests.waiting;
  stats.preemptions = requests.preemptions;
  stats.kv_blocks = blocks_.num_blocks();
  stats.kv_blocks_used = blocks.held;
  stats.kv_blocks_cached = blocks.cached;
  stats.prefix_queries_tokens = blocks.queried_tokens;
  stats.prefix_evicted_blocks = blocks.evicted_blocks;
  const std::lock_guard lock(mutex_);
  stats_ = stats;
}

}  // namespace

std::unique_ptr<BatchingService> make_batching_service(std::unique_ptr<StepModel> model,
                                                       const ServiceOptions& options) {
  return std::make_unique<Service>(std::move(model), options);
}

std::unique_ptr<BatchingService> make_batching_service(Engine& engine,
                                                       const ServiceOptions& options) {
  return make_batching_service(options.null_model
                                   ? make_null_model(engine)
                                   : make_engine_model(engine, options.drafts && options.mtp),
                               options);
}

}  // namespace axk1
