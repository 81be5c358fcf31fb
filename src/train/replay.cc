// g++ 12 warns of its own <regex> when it builds for sanitizers.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#include "train/replay.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <regex>

#include "base/error.h"
#include "formats/safetensors_writer.h"
#include "io/file.h"
#include "train/train_model.h"

namespace axk1 {
namespace {

constexpr uint64_t kMaxCaseBytes = uint64_t{1} << 28;

// Settings by name, from fields or from text.
class SettingsReader {
 public:
  SettingsReader(const json::ObjectReader& training) : training_(training) {
    const json::value* optimizer = training.find("optimizer");
    if (!optimizer) return;
    if (optimizer->is_object()) {
      object_ = &optimizer->get_object();
    } else if (optimizer->is_string()) {
      constexpr size_t kLongest = 4096;  // std::regex recurses
      if (optimizer->get_string().size() > kLongest) {
        training.refuse("optimizer", cat("has ", optimizer->get_string().size(),
                                         " bytes, expected at most ", kLongest));
      }
      text_ = optimizer->get_string().c_str();
      std::transform(text_.begin(), text_.end(), text_.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    } else {
      training.wrong("optimizer", *optimizer, "a text or an object");
    }
  }

  // The only optimiser, and nothing that changes what it computes.
  void check_kind() const {
    std::string kind = text_;
    for (const char* field : {"name", "type", "optimizer"}) {
      const json::value* named = object_ ? object_->if_contains(field) : nullptr;
      if (named && named->is_string()) kind = named->get_string().c_str();
    }
    std::transform(kind.begin(), kind.end(), kind.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (!kind.empty() && kind.find("adamw") == std::string::npos) {
      training_.refuse("optimizer", cat("is \"", printable(kind), "\", expected AdamW"),
                       ErrorCode::kUnsupported);
    }
    static const std::regex others("warm-?up|schedule|cosine|linear decay|amsgrad|maximize");
    std::smatch found;
    if (std::regex_search(text_, found, others)) {
      training_.refuse("optimizer",
                       cat("says \"", found.str(), "\", expected a constant AdamW step"),
                       ErrorCode::kUnsupported);
    }
  }

  // Of the first of these fields that is there, or of the text by the pattern, whose groups are the
  // numbers; empty when neither has it.
  std::vector<double> numbers(std::initializer_list<const char*> fields,
                              const char* pattern) const {
    for (const char* field : fields) {
      const json::value* value = training_.find(field);
      if (!value && object_) value = object_->if_contains(field);
      if (!value || value->is_null()) continue;
      std::vector<double> out;
      if (value->is_array()) {
        for (const json::value& item : value->get_array()) out.push_back(number(field, item));
      } else {
        out.push_back(number(field, *value));
      }
      return out;
    }
    constexpr const char* kNumber = R"(([0-9]*\.?[0-9]+(?:e[-+]?[0-9]+)?))";
    std::string with_numbers;
    for (const char* at = pattern; *at; ++at) {
      with_numbers += *at == '#' ? std::string(kNumber) : std::string(1, *at);
    }
    std::smatch found;
    std::vector<double> out;
    if (!std::regex_search(text_, found, std::regex(with_numbers))) return out;
    for (size_t i = 1; i < found.size(); ++i) {
      const std::string digits = found.str(i);
      double value = 0;
      std::from_chars(digits.data(), digits.data() + digits.size(), value);
      out.push_back(value);
    }
    return out;
  }

 private:
  double number(const char* field, const json::value& value) const {
    if (!value.is_number()) training_.wrong(field, value, "a number");
    return value.to_number<double>();
  }

  const json::ObjectReader& training_;
  const json::object* object_ = nullptr;
  std::string text_;  // in lower case
};

ReplaySettings read_settings(const json::ObjectReader& training) {
  const SettingsReader reader(training);
  reader.check_kind();
  ReplaySettings s;
  const auto take = [&](const char* what, const std::vector<double>& found, size_t count,
                        const std::string& otherwise) {
    if (found.size() == count) return true;
    if (!found.empty()) {
      training.refuse("optimizer",
                      cat("gives ", found.size(), " numbers for ", what, ", expected ", count));
    }
    s.notes.push_back(cat(training.source(), ": no ", what, " understood; ", otherwise));
    return false;
  };
  const std::vector<double> lr =
      reader.numbers({"lr", "learning_rate"}, R"(\b(?:lr|learning[ _]rate)\b[ :=]*#)");
  if (lr.size() != 1) {
    training.refuse("optimizer",
                    "gives no one learning rate, expected a text like \"AdamW lr 1e-3 "
                    "betas 0.9/0.95 eps 1e-8\" or a number named lr");
  }
  s.lr = lr[0];
  const std::vector<double> betas = reader.numbers({"betas"}, R"(\bbetas?\b[ :=\(\[]*#[ ,/and]+#)");
  const std::vector<double> beta1 = reader.numbers({"beta1"}, R"(\bbeta_?1\b[ :=]*#)");
  const std::vector<double> beta2 = reader.numbers({"beta2"}, R"(\bbeta_?2\b[ :=]*#)");
  s.adamw = {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01};  // torch's
  if (beta1.size() == 1 && beta2.size() == 1) {
    s.adamw.beta1 = beta1[0];
    s.adamw.beta2 = beta2[0];
  } else if (take("betas", betas, 2, "0.9 and 0.999, as torch has them, were taken")) {
    s.adamw.beta1 = betas[0];
    s.adamw.beta2 = betas[1];
  }
  const std::vector<double> eps = reader.numbers({"eps"}, R"(\beps(?:ilon)?\b[ :=]*#)");
  if (take("eps", eps, 1, "1e-8, as torch has it, was taken")) s.adamw.eps = eps[0];
  const std::vector<double> decay =
      reader.numbers({"weight_decay", "decay"}, R"(\b(?:weight[ _])?decay\b[ :=]*#)");
  if (take("weight decay", decay, 1, "0.01, as torch has it, was taken")) {
    s.adamw.weight_decay = decay[0];
  }
  const std::vector<double> clip = reader.numbers(
      {"clip", "grad_clip", "gradient_clip", "max_norm", "max_grad_norm", "clip_grad_norm"},
      R"((?:clip[a-z_ ]*|max_(?:grad_)?norm)[ :=]*#)");
  if (take("clipping", clip, 1, "gradients were not clipped")) s.max_gradient_norm = clip[0];
  if (!(s.lr >= 0) || !(s.adamw.beta1 >= 0 && s.adamw.beta1 < 1) ||
      !(s.adamw.beta2 >= 0 && s.adamw.beta2 < 1) || !(s.adamw.eps >= 0)) {
    training.refuse("optimizer",
                    cat("gives lr ", s.lr, ", betas ", s.adamw.beta1, " and ", s.adamw.beta2,
                        ", eps ", s.adamw.eps, ", expected none negative and betas below 1"));
  }
  return s;
}

// A batch is a list of rows, or one row. Short rows are filled up with tokens that nobody sees.
TrainBatch read_batch(const json::ObjectReader& training, const json::value& value) {
  const auto is_row = [](const json::value& v) {
    return v.is_array() && !v.get_array().empty() && v.get_array()[0].is_number();
  };
  std::vector<std::vector<int32_t>> rows;
  const auto add_row = [&](const json::value& row) {
    if (!is_row(row)) training.wrong("batches", row, "a row of token ids");
    std::vector<int32_t>& ids = rows.emplace_back();
    for (const json::value& id : row.get_array()) {
      if (!id.is_int64() || id.get_int64() < 0 || id.get_int64() > INT32_MAX) {
        training.wrong("batches", id, "a token id");
      }
      ids.push_back(static_cast<int32_t>(id.get_int64()));
    }
    if (ids.size() < 2) training.refuse("batches", "has a row of one id, expected at least two");
  };
  if (is_row(value)) {
    add_row(value);
  } else if (value.is_array() && !value.get_array().empty()) {
    for (const json::value& row : value.get_array()) add_row(row);
  } else {
    training.wrong("batches", value, "a list of rows of token ids");
  }
  TrainBatch batch{.rows = rows.size()};
  for (const auto& ids : rows) batch.row_length = std::max(batch.row_length, ids.size() - 1);
  for (const auto& ids : rows) {
    for (size_t i = 0; i < batch.row_length; ++i) {
      const bool there = i + 1 < ids.size();
      batch.inputs.push_back(there ? ids[i] : ids.back());
      batch.targets.push_back(there ? ids[i + 1] : TrainBatch::kNoTarget);
      batch.positions.push_back(static_cast<int32_t>(i));
    }
  }
  return batch;
}

void write_arena(const std::string& path, const ParamStore& params, std::span<const float> arena) {
  std::vector<NamedSlice> slices = params.layout().slices(params.names().fused_experts);
  std::vector<TensorSpec> specs;
  for (NamedSlice& slice : slices) {
    const size_t at = slice.name.find("post_mlp_layernorm");
    if (params.names().post_mlp_norm_in_mlp && at != std::string::npos) {
      slice.name.insert(at, "mlp.");
    }
    specs.push_back({slice.name, DType::kF32, slice.shape});
  }
  SafetensorsWriter out(path, specs, {{"format", "pt"}});
  for (const NamedSlice& slice : slices) {
    out.append_f32(slice.name, arena.subspan(slice.offset, slice.size));
  }
  out.finish();
}

}  // namespace

ReplayCase parse_replay_case(const json::value& training, const std::string& source) {
  const json::ObjectReader reader(training, source);
  ReplayCase out{.settings = read_settings(reader)};
  const json::value& batches = reader.get("batches");
  if (!batches.is_array() || batches.get_array().empty()) {
    reader.wrong("batches", batches, "a list of batches");
  }
  for (const json::value& batch : batches.get_array()) {
    out.batches.push_back(read_batch(reader, batch));
  }
  return out;
}

ReplayResult replay_training(const std::string& case_dir, const std::string& out_dir,
                             const KernelTable& kernels, ThreadPool& pool, DType compute) {
  const std::string path = case_dir + "/case.json";
  const json::value document = json::parse(read_file(path, kMaxCaseBytes), path);
  const json::ObjectReader fields(document, path);
  const ReplayCase replay = parse_replay_case(fields.get("training"), path + ": training");
  ParamStore params(case_dir);
  std::error_code error;
  std::filesystem::create_directories(out_dir, error);
  if (error) fail(ErrorCode::kIo, out_dir, ": cannot be made: ", error.message());

  TrainModel model(params, kernels, pool, {.compute = compute});
  AdamW optimizer(params.layout(), replay.settings.adamw);
  Gradients gradients(params.layout());
  ReplayResult result{.notes = replay.settings.notes};
  for (size_t i = 0; i < replay.batches.size(); ++i) {
    const TrainBatch& batch = replay.batches[i];
    const auto targets = static_cast<uint64_t>(std::count_if(
        batch.targets.begin(), batch.targets.end(), [](int32_t t) { return t >= 0; }));
    gradients.zero();
    result.losses.push_back(model.forward_backward(batch, targets, gradients).mean_loss());
    if (i == 0) write_arena(out_dir + "/gradients.safetensors", params, gradients.values());
    result.gradient_norms.push_back(
        clip_gradients(pool, gradients.values(), replay.settings.max_gradient_norm));
    optimizer.step(pool, params, gradients.values(), replay.settings.lr);
  }
  write_arena(out_dir + "/after.safetensors", params, params.values());
  json::array losses(result.losses.begin(), result.losses.end());
  write_file_atomic(out_dir + "/losses.json", json::to_text(losses) + "\n");
  return result;
}

}  // namespace axk1
