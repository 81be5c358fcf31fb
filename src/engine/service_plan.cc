#include "engine/service_plan.h"

#include <algorithm>

#include "base/bits.h"
#include "base/error.h"
#include "engine/block_manager.h"
#include "engine/mtp_drafts.h"
#include "engine/speculation.h"
#include "model/plan.h"

namespace axk1 {
namespace {

// The program itself, a tokenizer of some 160,000 entries, and the buffers of connections.
constexpr uint64_t kProcessBytes = uint64_t{128} << 20;
// Of what is left for the cache, this part stays free: allocators round up, and the kernel keeps
// page tables and socket buffers.
constexpr uint64_t kSpareShare = 32;

uint64_t times(uint64_t a, uint64_t b) {
  return checked_mul(a, b).value_or(UINT64_MAX / 16);  // no machine has that much: refused below
}

std::string line(const char* name, uint64_t bytes, const std::string& what) {
  return cat("\n  ", name, ": ", with_commas(bytes), " bytes (", human_bytes(bytes), ")",
             what.empty() ? "" : ", ", what);
}

}  // namespace

std::string ServicePlan::text() const {
  return cat(line("weights", weights, ""), line("scratch", scratch, "activations of one step"),
             line("process", process, "program, tokenizer, connections"),
             line("logits", logits, cat(logit_rows, " rows")),
             line("tables", tables,
                  cat(max_sequences, " sequences of ", context_tokens, " tokens")),
             line("cache", cache,
                  cat(num_blocks, " blocks of ", block_tokens, " tokens, ", block_bytes,
                      " bytes each")),
             line("sum", total(), ""), line("limit", limit, ""))
      .substr(1);
}

ServicePlan plan_service(const StepModel& model, const ServicePlanOptions& options) {
  const AnswerModel answers = model.answer_model();
  if (options.max_sequences == 0) fail(ErrorCode::kInvalidInput, "max_sequences: found 0");
  if (options.max_sequences > model.max_step_tokens()) {
    fail(ErrorCode::kInvalidInput, "max_sequences: found ", options.max_sequences,
         ", expected at most ", model.max_step_tokens(), ", the rows of one step");
  }
  if (options.context_tokens > answers.context_tokens) {
    fail(ErrorCode::kInvalidInput, "context_tokens: found ", options.context_tokens,
         ", expected at most ", answers.context_tokens, ", the model's context");
  }
  ServicePlan plan;
  plan.limit = options.max_memory ? options.max_memory : machine_memory_bytes();
  plan.max_sequences = options.max_sequences;
  plan.context_tokens = options.context_tokens ? options.context_tokens : answers.context_tokens;
  const ModelMemory memory = model.memory();
  plan.weights = memory.weights;
  plan.scratch = memory.scratch;
  plan.process = kProcessBytes;
  plan.logit_rows = std::max<size_t>(options.max_sequences, 16);
  plan.logits = plan.logit_rows * answers.vocab_size * sizeof(float);
  plan.block_bytes = model.block_bytes();
  plan.block_tokens = kLatentBlockTokens;

  const size_t context_blocks = ceil_div(plan.context_tokens, plan.block_tokens);
  const uint64_t per_sequence = model.new_cache().lent_table_bytes(context_blocks) +
                                context_blocks * sizeof(BlockId) +
                                plan.context_tokens * 2 * sizeof(TokenId) +  // line and answer
                                PromptLookup(plan.context_tokens).bytes() +
                                MtpPending::bytes(model.hidden_size(), options.draft_rows);
  const uint64_t sampling = SamplerMemory::bytes(answers.vocab_size);
  const uint64_t block_table = BlockManager::bytes_per_block(plan.block_tokens);
  const auto set_blocks = [&](uint64_t count) {
    plan.num_blocks = count;
    plan.cache = times(count, plan.block_bytes);
    plan.tables = sampling + times(plan.max_sequences, per_sequence) + times(count, block_table);
  };

  set_blocks(context_blocks);
  const auto refuse = [&](const std::string& why) {
    fail(ErrorCode::kOutOfMemory, why, ":\n", plan.text());
  };
  if (options.kv_memory) {
    const uint64_t count = options.kv_memory / plan.block_bytes;
    if (count < context_blocks) {
      refuse(cat("kv_memory of ", with_commas(options.kv_memory),
                 " bytes does not hold one sequence of ", plan.context_tokens, " tokens"));
    }
    set_blocks(std::min<uint64_t>(count, kNoBlock - 1));
    if (plan.total() > plan.limit) refuse("serving does not fit the memory");
    return plan;
  }
  if (plan.total() > plan.limit) {
    refuse("not even one sequence of full length fits the memory");
  }
  uint64_t left = plan.limit - plan.total();
  left -= left / kSpareShare;
  const uint64_t more = left / (plan.block_bytes + block_table);
  const uint64_t wanted = times(times(2, plan.max_sequences), context_blocks);
  set_blocks(std::min({context_blocks + more, wanted, uint64_t{kNoBlock} - 1}));
  return plan;
}

}  // namespace axk1
