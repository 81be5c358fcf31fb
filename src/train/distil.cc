#include "train/distil.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "io/checksum.h"
#include "io/file.h"
#include "kernels/registry.h"
#include "net/http_client.h"
#include "parallel/topology.h"
#include "train/server_teacher.h"
#include "train/teachers.h"

namespace axk1 {
namespace {

size_t micro_batch_tokens(const RunConfig& run) {
  size_t longest = 0;
  for (const RunStage& stage : run.stages) {
    longest =
        std::max(longest, std::min(run.micro_batch, stage.shape.rows) * stage.shape.row_length);
  }
  return longest;
}

// Draws must not depend on how positions were batched.
uint64_t seed_of(uint64_t seed, uint64_t position) {
  return seed * 0x9E3779B97F4A7C15 + position;
}

void check_cache(const RunConfig& run, const RunData& data, const DataOrder& order,
                 const TeacherCacheInfo& info) {
  const RunDistil& distil = *run.distil;
  const auto same = [&](const char* what, uint64_t found, uint64_t expected) {
    if (found == expected) return;
    fail(ErrorCode::kInvalidInput, distil.cache, ": was made for ", what, " ", checksum_text(found),
         ", expected ", checksum_text(expected), " as ", run.path, " has it");
  };
  same("a tokenizer with hash", info.tokenizer_hash, data.tokenizer_hash);
  same("documents and an order with hash", info.order_hash, order_hash(run, data));
  if (!distil.teacher.empty() && !is_url(distil.teacher)) {
    same("a teacher with hash", info.teacher_hash, teacher_hash(distil.teacher));
  }
  if (const uint64_t tokens = order.tokens_before(order.num_steps());
      info.num_positions != tokens) {
    fail(ErrorCode::kInvalidInput, distil.cache, ": has ", info.num_positions,
         " positions, expected ", tokens);
  }
  if (info.temperature != static_cast<float>(distil.options.temperature)) {
    fail(ErrorCode::kInvalidInput, distil.cache, ": was made at temperature ", info.temperature,
         ", expected ", distil.options.temperature);
  }
  if (info.kind == TeacherCacheKind::kDraws && distil.options.loss != DistilLoss::kForwardKl) {
    fail(ErrorCode::kUnsupported, distil.cache,
         ": holds draws, whose cross-entropy alone is unbiased: expected the loss forward_kl");
  }
}

void check_vocabulary(const std::string& name, const Teacher& teacher, const ModelConfig& student) {
  if (teacher.vocab_size() == static_cast<uint64_t>(student.vocab_size)) return;
  fail(ErrorCode::kInvalidInput, name, ": the teacher has a vocabulary of ", teacher.vocab_size(),
       " tokens, expected the student's ", student.vocab_size);
}

}  // namespace

std::unique_ptr<Teacher> make_live_teacher(const RunDistil& distil, uint64_t tokenizer_hash,
                                           size_t max_tokens, const ModelConfig& student,
                                           const KernelTable& kernels, ThreadPool& pool) {
  std::unique_ptr<Teacher> teacher;
  if (is_url(distil.teacher)) {
    ServerTeacherOptions options{.top = distil.top, .tokenizer_hash = tokenizer_hash};
    if (!distil.teacher_key.empty()) options.key = trimmed(read_file(distil.teacher_key));
    teacher = std::make_unique<ServerTeacher>(distil.teacher, options);
  } else {
    teacher = std::make_unique<ModelTeacher>(distil.teacher, kernels, pool, max_tokens,
                                             distil.options.temperature);
  }
  check_vocabulary(distil.teacher, *teacher, student);
  return teacher;
}

std::unique_ptr<Teacher> make_teacher(const RunConfig& run, const RunData& data,
                                      const DataOrder& order, const ModelConfig& student,
                                      const KernelTable& kernels, ThreadPool& pool) {
  const RunDistil& distil = *run.distil;
  if (distil.cache.empty()) {
    return make_live_teacher(distil, data.tokenizer_hash, micro_batch_tokens(run), student, kernels,
                             pool);
  }
  TeacherCache cache = TeacherCache::open(distil.cache);
  check_cache(run, data, order, cache.info());
  cache.verify();
  auto teacher = std::make_unique<CacheTeacher>(std::move(cache));
  check_vocabulary(distil.cache, *teacher, student);
  return teacher;
}

bool write_teacher_cache(const RunConfig& run, const std::string& path,
                         const WriteCacheOptions& options) {
  if (!run.distil || run.distil->teacher.empty()) {
    fail(ErrorCode::kInvalidInput, run.path, ": distil: names no teacher to write a cache of");
  }
  if (is_url(run.distil->teacher)) {
    fail(ErrorCode::kUnsupported, run.distil->teacher,
         ": a cache is written of a model that is read, which is faster than asking a server");
  }
  const KernelTable kernels = select_kernels(options.kernels, cpu_features());
  ThreadPool pool(options.num_threads > 0 ? options.num_threads : usable_cpus());
  const Tokenizer tokenizer = Tokenizer::load(run.tokenizer);
  ModelTeacher teacher(run.distil->teacher, kernels, pool, micro_batch_tokens(run),
                       run.distil->options.temperature);
  const RunData data = load_run_data(run, tokenizer, teacher.vocab_size());
  DataOrder order = data.order(run);
  const TeacherCacheInfo info{.kind = options.kind,
                              .count = options.count,
                              .vocab_size = teacher.vocab_size(),
                              .num_positions = order.tokens_before(order.num_steps()),
                              .temperature = static_cast<float>(run.distil->options.temperature),
                              .teacher_hash = teacher_hash(run.distil->teacher),
                              .tokenizer_hash = data.tokenizer_hash,
                              .order_hash = order_hash(run, data)};
  TeacherCacheWriter writer(path, info);
  uint64_t position = 0;
  for (uint64_t step = 0; step < order.num_steps(); ++step) {
    const StageShape& shape = order.stage(order.stage_of(step));
    for (size_t row = 0; row < shape.rows; row += run.micro_batch) {
      const TrainBatch batch = order.rows(step, row, std::min(run.micro_batch, shape.rows - row));
      teacher.read(batch, position);
      constexpr size_t kRowsAtOnce = 64;
      for (size_t first = 0; first < batch.inputs.size(); first += kRowsAtOnce) {
        const size_t count = std::min(kRowsAtOnce, batch.inputs.size() - first);
        for (const TeacherRow& taught : teacher.rows(first, count)) {
          Rng rng(seed_of(run.seed, position++));
          writer.add(taught.probabilities, rng);
        }
      }
      if (options.progress && !options.progress(position, info.num_positions)) return false;
    }
  }
  writer.finish();
  return true;
}

}  // namespace axk1
