#include "train/cut.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <string_view>
#include <unordered_map>

#include "base/check.h"
#include "base/error.h"
#include "model/checkpoint.h"
#include "model/widen.h"

namespace axk1 {
namespace {

using Indices = std::vector<size_t>;

size_t z(int64_t value) {
  return static_cast<size_t>(value);
}

Indices all_of(size_t count) {
  Indices indices(count);
  std::iota(indices.begin(), indices.end(), size_t{0});
  return indices;
}

// The `count` largest, in ascending order; the lower index first among equals.
Indices largest(const std::vector<double>& importance, size_t count) {
  Indices order = all_of(importance.size());
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return importance[a] > importance[b]; });
  order.resize(count);
  std::sort(order.begin(), order.end());
  return order;
}

// Blocks of `size` neighbours, one for each index.
Indices blocks(const Indices& indices, size_t size) {
  Indices out;
  for (size_t i : indices) {
    for (size_t j = 0; j < size; ++j) out.push_back(i * size + j);
  }
  return out;
}

// Also of the layer of multi-token prediction, which comes after the others.
bool is_moe(const ModelConfig& config, size_t layer) {
  return layer < config.is_moe_layer.size() ? config.is_moe_layer[layer]
                                            : config.mtp_layer_is_moe();
}

void append(Indices& to, const Indices& indices, size_t shift) {
  for (size_t i : indices) to.push_back(i + shift);
}

// A matrix of the source in f32; a vector is one row.
struct Values {
  std::vector<float> values;
  size_t rows = 0, cols = 0;

  double square(size_t row, size_t col) const {
    const double x = static_cast<double>(values[row * cols + col]);
    return x * x;
  }
  std::vector<double> squares_of_rows() const {
    std::vector<double> sums(rows);
    for (size_t r = 0; r < rows; ++r) {
      for (size_t c = 0; c < cols; ++c) sums[r] += square(r, c);
    }
    return sums;
  }
  std::vector<double> squares_of_cols() const {
    std::vector<double> sums(cols);
    for (size_t r = 0; r < rows; ++r) {
      for (size_t c = 0; c < cols; ++c) sums[c] += square(r, c);
    }
    return sums;
  }
};

class Cut {
 public:
  Cut(const CutOptions& options, ParamStore& student);
  CutReport run();

 private:
  // What of a layer's widths is kept.
  struct LayerChoice {
    Indices heads, queries, latents, experts;
  };

  void check_widths() const;
  void choose_layers(const std::vector<int64_t>& wanted);
  const CheckpointTensor* find(const std::string& name) const;
  Values read(const std::string& name) const;
  Indices choose_hidden() const;
  LayerChoice choose_layer(const std::string& prefix, bool moe) const;
  Indices choose_experts(const std::string& prefix) const;
  Indices choose_latents(const std::string& norm, const std::string& matrix, size_t kept) const;
  // prefix: of an MLP of the source.
  Indices choose_neurons(const std::string& prefix, size_t kept) const;
  void cut_layer(size_t layer, size_t source_layer);
  void cut_mtp();
  void cut_mlp(const std::string& to, const std::string& from, size_t kept);
  void copy(const std::string& to, const std::string& from, const Indices& rows,
            const Indices& cols);

  const std::string& path_;
  Checkpoint source_;
  std::unordered_map<std::string_view, const CheckpointTensor*> tensors_;
  ParamStore& student_;
  const ModelConfig& s_;                    // of the student
  const ModelConfig& t_;                    // of the source
  std::map<std::string, NamedSlice> open_;  // of the student, still to be written
  CutReport report_;
  Indices hidden_;
};

Cut::Cut(const CutOptions& options, ParamStore& student)
    : path_(options.source),
      source_(open_checkpoint(options.source)),
      student_(student),
      s_(student.config()),
      t_(source_.config) {
  for (const CheckpointTensor& tensor : source_.tensors) tensors_.emplace(tensor.name, &tensor);
  for (NamedSlice& slice : student.layout().slices(false)) open_.emplace(slice.name, slice);
  check_widths();
  choose_layers(options.layers);
}

void Cut::check_widths() const {
  const auto equal = [&](const char* field, int64_t of_student, int64_t of_source) {
    if (of_student == of_source) return;
    fail(ErrorCode::kInvalidInput, path_, ": ", field, " is ", of_source,
         ", expected the student's ", of_student, ": it cannot be cut");
  };
  const auto at_most = [&](const char* field, int64_t of_student, int64_t of_source) {
    if (of_student <= of_source) return;
    fail(ErrorCode::kInvalidInput, path_, ": ", field, " is ", of_source,
         ", expected at least the student's ", of_student);
  };
  equal("vocab_size", s_.vocab_size, t_.vocab_size);
  equal("qk_nope_head_dim", s_.qk_nope_head_dim, t_.qk_nope_head_dim);
  equal("qk_rope_head_dim", s_.qk_rope_head_dim, t_.qk_rope_head_dim);
  equal("v_head_dim", s_.v_head_dim, t_.v_head_dim);
  if ((s_.q_lora_rank > 0) != (t_.q_lora_rank > 0)) {
    fail(ErrorCode::kInvalidInput, path_, ": q_lora_rank is ", t_.q_lora_rank,
         " and the student's ", s_.q_lora_rank, ", expected both or neither to be 0");
  }
  if (s_.rope_inv_freq() != t_.rope_inv_freq() || s_.rope_interleave != t_.rope_interleave ||
      s_.rope_attention_scaling() != t_.rope_attention_scaling()) {
    fail(ErrorCode::kInvalidInput, path_,
         ": rope_parameters and rope_interleave turn positions otherwise than the student's, "
         "expected the same: it cannot be cut");
  }
  at_most("num_hidden_layers", s_.num_hidden_layers, t_.num_hidden_layers);
  at_most("hidden_size", s_.hidden_size, t_.hidden_size);
  at_most("num_attention_heads", s_.num_attention_heads, t_.num_attention_heads);
  at_most("q_lora_rank", s_.q_lora_rank, t_.q_lora_rank);
  at_most("kv_lora_rank", s_.kv_lora_rank, t_.kv_lora_rank);
}

void Cut::choose_layers(const std::vector<int64_t>& wanted) {
  const int64_t kept = s_.num_hidden_layers, all = t_.num_hidden_layers;
  report_.layers = wanted;
  if (wanted.empty()) {
    for (int64_t i = 0; i < kept; ++i) {
      report_.layers.push_back(kept == 1 ? 0 : (i * (all - 1) + (kept - 1) / 2) / (kept - 1));
    }
    return;
  }
  if (std::ssize(wanted) != kept) {
    fail(ErrorCode::kInvalidInput, "cut from ", path_, ": ", wanted.size(),
         " layers are named, expected the student's ", kept);
  }
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i] < 0 || wanted[i] >= all || (i > 0 && wanted[i] <= wanted[i - 1])) {
      fail(ErrorCode::kInvalidInput, "cut from ", path_, ": layer ", wanted[i],
           ", expected ascending ones of 0 to ", all - 1);
    }
  }
}

const CheckpointTensor* Cut::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : found->second;
}

Values Cut::read(const std::string& name) const {
  const CheckpointTensor* tensor = find(name);
  AXK1_CHECK(tensor != nullptr);  // open_checkpoint has found every tensor of the config
  Values out;
  out.rows = tensor->shape.size() == 2 ? tensor->shape[0] : 1;
  out.cols = tensor->shape.back();
  out.values.resize(out.rows * out.cols);
  widen_rows(tensor->dtype, tensor->bytes.data(), out.rows, out.cols, out.values.data());
  return out;
}

Indices Cut::choose_hidden() const {
  const size_t width = z(t_.hidden_size);
  if (s_.hidden_size == t_.hidden_size) return all_of(width);
  std::vector<double> importance(width);
  const auto count = [&](const std::vector<double>& squares) {
    const double sum = std::accumulate(squares.begin(), squares.end(), 0.0);
    for (size_t i = 0; sum > 0 && i < width; ++i) importance[i] += squares[i] / sum;
  };
  count(read("model.embed_tokens.weight").squares_of_cols());
  for (int64_t layer : report_.layers) {
    const std::string prefix = cat("model.layers.", layer, ".");
    count(read(prefix + "self_attn.o_proj.weight").squares_of_rows());
    if (!t_.is_moe_layer[z(layer)]) {
      count(read(prefix + "mlp.down_proj.weight").squares_of_rows());
      continue;
    }
    std::vector<double> rows(width);
    const auto add = [&](const std::string& mlp) {
      const std::vector<double> more = read(mlp + "down_proj.weight").squares_of_rows();
      for (size_t i = 0; i < width; ++i) rows[i] += more[i];
    };
    for (size_t e = 0; e < z(t_.n_routed_experts); ++e) add(cat(prefix, "mlp.experts.", e, "."));
    if (t_.n_shared_experts > 0) add(prefix + "mlp.shared_experts.");
    count(rows);
  }
  return largest(importance, z(s_.hidden_size));
}

Indices Cut::choose_latents(const std::string& norm, const std::string& matrix, size_t kept) const {
  const Values scales = read(norm);
  if (kept == scales.cols) return all_of(kept);
  std::vector<double> importance = read(matrix).squares_of_cols();
  for (size_t i = 0; i < importance.size(); ++i) importance[i] *= scales.square(0, i);
  return largest(importance, kept);
}

Cut::LayerChoice Cut::choose_layer(const std::string& prefix, bool moe) const {
  LayerChoice choice;
  const std::string attention = prefix + "self_attn.";
  const size_t heads = z(t_.num_attention_heads), v = z(t_.v_head_dim);
  if (s_.num_attention_heads == t_.num_attention_heads) {
    choice.heads = all_of(heads);
  } else {
    const std::vector<double> out = read(attention + "o_proj.weight").squares_of_cols();
    const std::vector<double> in = read(attention + "kv_b_proj.weight").squares_of_rows();
    std::vector<double> importance(heads);
    const size_t nope = z(t_.qk_nope_head_dim);
    for (size_t h = 0; h < heads; ++h) {
      double o = 0, kv = 0;
      for (size_t i = 0; i < v; ++i) {
        o += out[h * v + i];
        kv += in[h * (nope + v) + nope + i];
      }
      importance[h] = o * kv;
    }
    choice.heads = largest(importance, z(s_.num_attention_heads));
  }
  if (t_.q_lora_rank > 0) {
    choice.queries = choose_latents(attention + "q_a_layernorm.weight",
                                    attention + "q_b_proj.weight", z(s_.q_lora_rank));
  }
  choice.latents = choose_latents(attention + "kv_a_layernorm.weight",
                                  attention + "kv_b_proj.weight", z(s_.kv_lora_rank));
  if (moe) choice.experts = choose_experts(prefix);
  return choice;
}

Indices Cut::choose_experts(const std::string& prefix) const {
  const size_t all = z(t_.n_routed_experts), kept = z(s_.n_routed_experts);
  if (kept > all) {
    fail(ErrorCode::kInvalidInput, path_, ": n_routed_experts is ", all,
         ", expected at least the student's ", kept);
  }
  if (kept == all) return all_of(all);
  const std::vector<double> importance = read(prefix + "mlp.gate.weight").squares_of_rows();
  const size_t groups = s_.n_group == t_.n_group ? z(std::max<int64_t>(t_.n_group, 1)) : 1;
  Indices chosen;
  for (size_t g = 0; g < groups; ++g) {
    const size_t size = all / groups;
    const auto from = importance.begin() + static_cast<std::ptrdiff_t>(g * size);
    append(chosen, largest({from, from + static_cast<std::ptrdiff_t>(size)}, kept / groups),
           g * size);
  }
  return chosen;
}

Indices Cut::choose_neurons(const std::string& prefix, size_t kept) const {
  const Values gate = read(prefix + "gate_proj.weight");
  if (kept > gate.rows) {
    fail(ErrorCode::kInvalidInput, path_, ": ", prefix, "gate_proj.weight has ", gate.rows,
         " rows, expected at least the student's ", kept);
  }
  if (kept == gate.rows) return all_of(kept);
  std::vector<double> importance = gate.squares_of_rows();
  const std::vector<double> up = read(prefix + "up_proj.weight").squares_of_rows();
  const std::vector<double> down = read(prefix + "down_proj.weight").squares_of_cols();
  for (size_t i = 0; i < importance.size(); ++i) importance[i] *= up[i] * down[i];
  return largest(importance, kept);
}

// rows and cols: of the source; of a vector the columns alone.
void Cut::copy(const std::string& to, const std::string& from, const Indices& rows,
               const Indices& cols) {
  const auto slice = open_.find(to);
  if (slice == open_.end()) return;  // the student does not have it
  if (find(from) == nullptr) return;
  const Values source = read(from);
  AXK1_CHECK(rows.size() * cols.size() == slice->second.size);
  float* values = student_.mutable_values().data() + slice->second.offset;
  for (size_t r : rows) {
    for (size_t c : cols) *values++ = source.values[r * source.cols + c];
  }
  open_.erase(slice);
}

void Cut::cut_mlp(const std::string& to, const std::string& from, size_t kept) {
  const Indices neurons = choose_neurons(from, kept);
  copy(to + "gate_proj.weight", from + "gate_proj.weight", neurons, hidden_);
  copy(to + "up_proj.weight", from + "up_proj.weight", neurons, hidden_);
  copy(to + "down_proj.weight", from + "down_proj.weight", hidden_, neurons);
}

void Cut::cut_layer(size_t layer, size_t source_layer) {
  const std::string to = cat("model.layers.", layer, ".");
  const std::string from = cat("model.layers.", source_layer, ".");
  const bool source_moe = is_moe(t_, source_layer), student_moe = is_moe(s_, layer);
  const bool moe = source_moe && student_moe;
  const LayerChoice choice = choose_layer(from, moe);
  const Indices one = {0};
  const auto norm = [&](const char* name, const Indices& kept) {
    copy(to + name, from + name, one, kept);
  };
  const auto matrix = [&](const char* name, const Indices& rows, const Indices& cols) {
    copy(to + name, from + name, rows, cols);
  };
  norm("input_layernorm.weight", hidden_);
  norm("post_attention_layernorm.weight", hidden_);
  const Indices queries = blocks(choice.heads, z(t_.qk_head_dim()));
  if (t_.q_lora_rank > 0) {
    matrix("self_attn.q_a_proj.weight", choice.queries, hidden_);
    norm("self_attn.q_a_layernorm.weight", choice.queries);
    matrix("self_attn.q_b_proj.weight", queries, choice.queries);
  } else {
    matrix("self_attn.q_proj.weight", queries, hidden_);
  }
  Indices key_rows = choice.latents;
  append(key_rows, all_of(z(t_.qk_rope_head_dim)), z(t_.kv_lora_rank));
  matrix("self_attn.kv_a_proj_with_mqa.weight", key_rows, hidden_);
  norm("self_attn.kv_a_layernorm.weight", choice.latents);
  matrix("self_attn.kv_b_proj.weight", blocks(choice.heads, z(t_.qk_nope_head_dim + t_.v_head_dim)),
         choice.latents);
  matrix("self_attn.o_proj.weight", hidden_, blocks(choice.heads, z(t_.v_head_dim)));
  if (moe) {
    norm("post_mlp_layernorm.weight", hidden_);
    matrix("mlp.gate.weight", choice.experts, hidden_);
    for (size_t e = 0; e < choice.experts.size(); ++e) {
      cut_mlp(cat(to, "mlp.experts.", e, "."), cat(from, "mlp.experts.", choice.experts[e], "."),
              z(s_.moe_intermediate_size));
    }
    if (s_.n_shared_experts > 0 && t_.n_shared_experts > 0) {
      cut_mlp(to + "mlp.shared_experts.", from + "mlp.shared_experts.",
              z(s_.n_shared_experts * s_.moe_intermediate_size));
    }
    const std::string bias = from + "mlp.gate.e_score_correction_bias";
    if (find(bias)) {
      const Values values = read(bias);
      const size_t experts = choice.experts.size();
      const auto biases = student_.mutable_router_biases().subspan(
          student_.layout().layers[layer].moe_idx * experts, experts);
      for (size_t e = 0; e < experts; ++e) biases[e] = values.values[choice.experts[e]];
    }
  } else if (!source_moe && !student_moe) {
    cut_mlp(to + "mlp.", from + "mlp.", z(s_.intermediate_size));
  }
}

void Cut::cut_mtp() {
  const size_t layer = z(s_.num_hidden_layers), source_layer = z(t_.num_hidden_layers);
  const std::string to = cat("model.layers.", layer, ".");
  const std::string from = cat("model.layers.", source_layer, ".");
  if (!student_.layout().mtp || !find(from + "eh_proj.weight")) return;
  for (const char* norm : {"enorm.weight", "hnorm.weight", "shared_head.norm.weight"}) {
    copy(to + norm, from + norm, {0}, hidden_);
  }
  Indices both = hidden_;
  append(both, hidden_, z(t_.hidden_size));
  copy(to + "eh_proj.weight", from + "eh_proj.weight", hidden_, both);
  cut_layer(layer, source_layer);
}

CutReport Cut::run() {
  hidden_ = choose_hidden();
  const Indices words = all_of(z(t_.vocab_size));
  copy("model.embed_tokens.weight", "model.embed_tokens.weight", words, hidden_);
  copy("model.norm.weight", "model.norm.weight", {0}, hidden_);
  copy("lm_head.weight", t_.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight",
       words, hidden_);
  for (size_t i = 0; i < report_.layers.size(); ++i) cut_layer(i, z(report_.layers[i]));
  cut_mtp();
  for (const auto& [name, slice] : open_) report_.untouched.push_back(name);
  return std::move(report_);
}

}  // namespace

CutReport cut_from(const CutOptions& options, ParamStore& student) {
  return Cut(options, student).run();
}

}  // namespace axk1
