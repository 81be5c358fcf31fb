// axk1 inspect: what a model is made of, how large it is, and what running it needs.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "apps/commands.h"
#include "apps/progress.h"
#include "base/error.h"
#include "formats/k1pack.h"
#include "io/file.h"
#include "io/json.h"
#include "model/checkpoint.h"
#include "model/config.h"
#include "model/plan.h"
#include "parallel/topology.h"
#include "quant/recipe.h"

namespace axk1 {
namespace {

struct InspectOptions {
  std::string model;
  bool json = false;
  int64_t context = 0;  // 0: max_position_embeddings
  std::string dtype;    // f32, bf16 or empty
  bool verify = false;
};

// The tensors of one class in a checkpoint, without those of multi-token prediction.
struct StoredClass {
  uint64_t tensors = 0, parameters = 0, bytes = 0;
  std::set<std::string> types;
};

// Everything the command prints, gathered first so that text and JSON say the same.
struct Inspection {
  ModelConfig config;
  ParameterCounts counts;
  std::optional<CheckpointSummary> checkpoint;  // of a model with weights
  std::map<TensorClass, StoredClass> stored;    // likewise
  std::optional<json::object> metadata;         // of a k1pack file
  const char* verified = nullptr;               // what was: "checksums" or "structure"
  DType compute_dtype = DType::kBF16;
  uint64_t weight_bytes = 0;  // in the files, or what they would take at the config's dtype
  uint64_t context_tokens = 0;
  MemoryPlan memory;
  uint64_t machine_bytes = 0;
};

// The counts must be those of the tensors. A checkpoint need not carry the norms that are not
// applied; those it lacks are not counted.
void check_counts(const std::string& model, uint64_t stored, ParameterCounts& counts) {
  const uint64_t expected = counts.total();
  const uint64_t lacking = expected - stored;
  if (stored > expected || lacking > counts.unapplied_norms) {
    fail(ErrorCode::kInvalidInput, model, ": the tensors hold ", stored, " parameters, expected ",
         expected, " from the config");
  }
  counts.norms -= lacking;
  counts.unapplied_norms -= lacking;
}

bool has_weights(const std::string& path) {
  return is_k1pack(path) || file_exists(path + "/model.safetensors") ||
         file_exists(path + "/model.safetensors.index.json");
}

std::map<TensorClass, StoredClass> classes_of(const Checkpoint& checkpoint) {
  std::map<TensorClass, StoredClass> classes;
  for (const CheckpointTensor& tensor : checkpoint.tensors) {
    if (tensor.layer >= checkpoint.config.num_hidden_layers) continue;  // counted apart
    StoredClass& stored = classes[tensor_class_of(tensor.name, tensor.shape)];
    uint64_t parameters = 1;
    for (uint64_t extent : tensor.shape) parameters *= extent;
    ++stored.tensors;
    stored.parameters += parameters;
    stored.bytes += tensor.bytes.size();
    stored.types.insert(dtype_name(tensor.dtype));
  }
  return classes;
}

// Throws naming what is damaged.
void verify(const Checkpoint& checkpoint) {
  std::unique_ptr<Progress> line;
  constexpr uint64_t kMegabyte = 1'000'000;
  ThreadPool pool(std::max(kDiskReaders, usable_cpus()));
  for (const K1PackFile& pack : checkpoint.packs) {
    verify_k1pack(pack, pool, [&](uint64_t done, uint64_t total) {
      if (!line) line = std::make_unique<Progress>("verifying", "MB", total / kMegabyte);
      line->update(done / kMegabyte);
    });
  }
}

Inspection inspect(const InspectOptions& options) {
  Inspection found;
  const bool weights = has_weights(options.model);
  if (options.verify && !weights) {
    fail(ErrorCode::kUsage, options.model, ": has no weights to verify");
  }
  if (weights) {
    const Checkpoint checkpoint = open_checkpoint(options.model);
    found.config = checkpoint.config;
    found.counts = count_parameters(found.config);
    found.checkpoint = checkpoint.summary;
    found.compute_dtype = checkpoint.compute_dtype();
    found.weight_bytes = checkpoint.summary.weight_bytes;
    found.stored = classes_of(checkpoint);
    check_counts(options.model, checkpoint.summary.parameters, found.counts);
    if (!checkpoint.packs.empty()) found.metadata = checkpoint.packs[0].index().metadata;
    if (options.verify) {
      verify(checkpoint);
      found.verified = checkpoint.packs.empty() ? "structure" : "checksums";
    }
  } else {
    found.config = load_model_config(options.model);
    found.counts = count_parameters(found.config);
    found.compute_dtype = found.config.dtype == DType::kBF16 ? DType::kBF16 : DType::kF32;
    found.weight_bytes = found.counts.total() * dtype_bytes(found.config.dtype);
  }
  if (!options.dtype.empty()) {
    found.compute_dtype = options.dtype == "f32" ? DType::kF32 : DType::kBF16;
  }
  found.context_tokens = static_cast<uint64_t>(
      options.context > 0 ? options.context : found.config.max_position_embeddings);
  PlanOptions plan;
  plan.context_tokens = found.context_tokens;
  plan.chunk_tokens = std::min(plan.chunk_tokens, found.context_tokens);
  // Computing in bf16 makes bf16 copies of wider weights; otherwise they stay as they are stored.
  plan.weight_bytes = found.compute_dtype == DType::kBF16
                          ? std::min(found.weight_bytes, 2 * found.counts.total())
                          : found.weight_bytes;
  plan.cache_dtype = default_cache_dtype(found.compute_dtype);
  found.memory = plan_memory(found.config, plan);
  found.machine_bytes = machine_memory_bytes();
  return found;
}

struct Part {
  const char* name;
  uint64_t parameters;
};

std::vector<Part> parts(const ParameterCounts& n) {
  return {{"embedding", n.embedding},
          {"attention", n.attention},
          {"norms", n.norms},
          {"dense_mlp", n.dense_mlp},
          {"router", n.router},
          {"shared_experts", n.shared_experts},
          {"routed_experts", n.routed_experts},
          {"lm_head", n.lm_head}};
}

// How many tokens of context fit beside weights and scratch; 0 when those do not fit.
uint64_t context_that_fits(const Inspection& found) {
  const uint64_t fixed = found.memory.weights + found.memory.scratch;
  if (found.machine_bytes <= fixed) return 0;
  return (found.machine_bytes - fixed) /
         kv_bytes_per_token(found.config, default_cache_dtype(found.compute_dtype));
}

double bits_per_weight(uint64_t bytes, uint64_t parameters) {
  return parameters ? 8 * static_cast<double>(bytes) / static_cast<double>(parameters) : 0;
}

std::string types_text(const StoredClass& stored) {
  std::string text;
  for (const std::string& type : stored.types) text += cat(text.empty() ? "" : ", ", type);
  return text;
}

json::object stored_json(const Inspection& found) {
  json::object out;
  for (const auto& [tensor_class, stored] : found.stored) {
    out[tensor_class_name(tensor_class)] = {
        {"type", types_text(stored)},
        {"tensors", stored.tensors},
        {"parameters", stored.parameters},
        {"bytes", stored.bytes},
        {"bits_per_weight", bits_per_weight(stored.bytes, stored.parameters)}};
  }
  return out;
}

json::object to_json(const Inspection& found) {
  const ModelConfig& c = found.config;
  json::object by_part;
  for (const Part& part : parts(found.counts)) by_part[part.name] = part.parameters;
  json::object out = {
      {"model_type", c.model_type},
      {"parameters_total", found.counts.total()},
      {"parameters_active", found.counts.active()},
      {"parameters_read_per_token", found.counts.read_per_token()},
      {"parameters", by_part},
      {"dtype", dtype_name(c.dtype)},
      {"compute_dtype", dtype_name(found.compute_dtype)},
      {"weight_bytes", found.weight_bytes},
      {"kv_bytes_per_token", kv_bytes_per_token(c, default_cache_dtype(found.compute_dtype))},
      {"num_hidden_layers", c.num_hidden_layers},
      {"num_moe_layers", c.num_moe_layers()},
      {"vocab_size", c.vocab_size},
      {"hidden_size", c.hidden_size},
      {"num_attention_heads", c.num_attention_heads},
      {"q_lora_rank", c.q_lora_rank > 0 ? json::value(c.q_lora_rank) : json::value(nullptr)},
      {"kv_lora_rank", c.kv_lora_rank},
      {"n_routed_experts", c.n_routed_experts},
      {"n_shared_experts", c.n_shared_experts},
      {"num_experts_per_tok", c.num_experts_per_tok},
      {"n_group", c.n_group},
      {"topk_group", c.topk_group},
      {"max_position_embeddings", c.max_position_embeddings},
      {"rope_type", c.rope_parameters.rope_type},
      {"softmax_scale", c.softmax_scale()},
      {"rope_attention_scaling", c.rope_attention_scaling()},
      {"memory",
       {{"context_tokens", found.context_tokens},
        {"weights", found.memory.weights},
        {"kv_cache", found.memory.kv_cache},
        {"scratch_estimate", found.memory.scratch},
        {"total", found.memory.total()},
        {"machine", found.machine_bytes},
        {"context_that_fits", context_that_fits(found)}}},
  };
  if (found.checkpoint) {
    const CheckpointSummary& s = *found.checkpoint;
    out["checkpoint"] = {{"files", s.num_files},
                         {"tensors", s.num_tensors},
                         {"parameters", s.parameters},
                         {"expert_layout", s.fused_experts ? "fused" : "per expert"},
                         {"router_bias", s.has_router_bias},
                         {"mtp_tensors", s.num_mtp_tensors},
                         {"mtp_parameters", s.mtp_parameters},
                         {"mtp_bytes", s.mtp_bytes},
                         {"unused_tensors", s.num_unused_tensors},
                         {"records", s.num_records}};
    out["bits_per_weight"] = bits_per_weight(found.weight_bytes, s.parameters);
    out["stored"] = stored_json(found);
    out["container"] = found.metadata ? "k1pack" : "safetensors";
    if (found.metadata) out["metadata"] = *found.metadata;
    if (found.verified) {
      out["verified"] = true;
      out["verified_what"] = found.verified;
    }
  }
  return out;
}

void print_line(const char* name, const std::string& text) {
  std::printf("%-22s %s\n", name, text.c_str());
}

std::string share(uint64_t part, uint64_t whole) {
  char text[16];
  std::snprintf(text, sizeof text, "%5.1f %%",
                100.0 * static_cast<double>(part) / static_cast<double>(whole));
  return text;
}

void print_architecture(const ModelConfig& c) {
  print_line("model type", c.model_type);
  const int64_t moe = c.num_moe_layers();
  print_line("layers", cat(c.num_hidden_layers, " (", c.num_hidden_layers - moe, " dense, ", moe,
                           " mixture of experts)"));
  print_line("hidden / vocabulary",
             cat(c.hidden_size, " / ", with_commas(static_cast<uint64_t>(c.vocab_size))));
  print_line("attention",
             cat("MLA, ", c.num_attention_heads, " heads of ", c.qk_nope_head_dim, "+",
                 c.qk_rope_head_dim, " (value ", c.v_head_dim, "), latent ", c.kv_lora_rank, ", ",
                 c.q_lora_rank > 0 ? cat("query rank ", c.q_lora_rank) : "full-rank queries"));
  if (moe < c.num_hidden_layers) print_line("dense MLP", cat(c.intermediate_size));
  if (moe > 0) {
    print_line("experts", cat(c.n_routed_experts, " routed of ", c.moe_intermediate_size, ", top ",
                              c.num_experts_per_tok, ", ", c.n_shared_experts, " shared"));
    print_line("router",
               cat("sigmoid, ", c.topk_group, " of ", c.n_group, " groups, scale ",
                   c.routed_scaling_factor, c.has_post_mlp_norm ? ", norm after the block" : ""));
  }
  const RopeParameters& r = c.rope_parameters;
  print_line("positions", cat(with_commas(static_cast<uint64_t>(c.max_position_embeddings)),
                              ", rope ", r.rope_type, " theta ", r.rope_theta,
                              r.rope_type == "yarn" ? cat(", factor ", r.factor, " from ",
                                                          r.original_max_position_embeddings)
                                                    : std::string()));
  print_line("softmax / cos,sin",
             cat("scale ", c.softmax_scale(), " / factor ", c.rope_attention_scaling()));
}

void print_stored(const Inspection& found) {
  std::printf("%-22s %19s  %5s  %s\n", "stored as", "bytes", "bits", "type");
  for (const auto& [tensor_class, stored] : found.stored) {
    std::printf("  %-20s %19s  %5.2f  %s\n", tensor_class_name(tensor_class),
                with_commas(stored.bytes).c_str(), bits_per_weight(stored.bytes, stored.parameters),
                types_text(stored).c_str());
  }
  std::printf("%-22s %19s  %5.2f\n\n", "weights", with_commas(found.weight_bytes).c_str(),
              bits_per_weight(found.weight_bytes, found.checkpoint->parameters));
}

void print_text(const Inspection& found) {
  print_architecture(found.config);
  const uint64_t total = found.counts.total();
  std::printf("\n%-22s %19s\n", "parameters", with_commas(total).c_str());
  for (const Part& part : parts(found.counts)) {
    if (part.parameters == 0) continue;
    std::printf("  %-20s %19s  %s\n", part.name, with_commas(part.parameters).c_str(),
                share(part.parameters, total).c_str());
  }
  std::printf("%-22s %19s\n", "active per token", with_commas(found.counts.active()).c_str());
  std::printf("%-22s %19s\n\n", "read per token",
              with_commas(found.counts.read_per_token()).c_str());

  if (found.checkpoint) {
    print_stored(found);
  } else {
    print_line("weights",
               cat(with_commas(found.weight_bytes), " bytes (", human_bytes(found.weight_bytes),
                   "), ", dtype_name(found.config.dtype)));
  }
  print_line(
      "cache per token",
      cat(with_commas(kv_bytes_per_token(found.config, default_cache_dtype(found.compute_dtype))),
          " bytes, ", dtype_name(found.compute_dtype)));
  if (found.checkpoint) {
    const CheckpointSummary& s = *found.checkpoint;
    print_line("checkpoint", cat(s.num_tensors, " tensors in ", s.num_files,
                                 s.num_files == 1 ? " file" : " files",
                                 found.config.num_moe_layers() == 0 ? ""
                                 : s.fused_experts                  ? ", experts fused"
                                                   : ", one tensor for each expert",
                                 s.has_router_bias ? ", router bias" : "",
                                 s.num_records ? cat(", ", s.num_records, " records") : ""));
    if (s.num_mtp_tensors > 0) {
      print_line("drafts", cat("besides, a layer of multi-token prediction: ", s.num_mtp_tensors,
                               " tensors, ", with_commas(s.mtp_parameters), " parameters, ",
                               human_bytes(s.mtp_bytes)));
    }
  }
  if (found.verified) {
    print_line("verified", found.metadata ? "every checksum fits"
                                          : "names, types and shapes; the files have no checksums");
  }
  std::printf("\nmemory at %s tokens of context\n", with_commas(found.context_tokens).c_str());
  print_line("  weights", human_bytes(found.memory.weights));
  print_line("  cache", human_bytes(found.memory.kv_cache));
  print_line("  scratch (estimate)", human_bytes(found.memory.scratch));
  print_line("  total", human_bytes(found.memory.total()));
  if (found.machine_bytes == 0) return;
  const uint64_t fits = context_that_fits(found);
  print_line("  this machine", cat(human_bytes(found.machine_bytes),
                                   found.memory.total() <= found.machine_bytes ? ": fits"
                                   : fits > 0 ? cat(": fits with a context of ", with_commas(fits))
                                              : std::string(": too small for the weights")));
}

}  // namespace

void add_inspect_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("inspect", "Print what a model is made of");
  auto options = std::make_shared<InspectOptions>();
  command
      ->add_option("MODEL", options->model,
                   "Model directory or k1pack file, or a config.json without weights")
      ->required();
  command->add_flag("--json", options->json, "Print one JSON object");
  command->add_flag("--verify", options->verify,
                    "Compare every checksum of a k1pack file; of a directory, which has none, only "
                    "the structure is checked");
  command
      ->add_option("--context", options->context,
                   "Tokens of context to plan memory for (default: all that the model takes)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
  command->add_option("--dtype", options->dtype, "Compute type to plan for (default: the model's)")
      ->check(CLI::IsMember({"f32", "bf16"}));
  command->footer("Example:\n  axk1 inspect models/nano-v1 --context 1024");
  command->callback([options] {
    const Inspection found = inspect(*options);
    if (options->json) {
      std::printf("%s\n", json::to_text(to_json(found)).c_str());
    } else {
      print_text(found);
    }
  });
}

}  // namespace axk1
