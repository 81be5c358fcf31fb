#include "train/metrics.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "io/errno_error.h"
#include "io/file.h"

namespace axk1 {
namespace {

// Fields that a step may have or not.
constexpr std::pair<const char*, std::optional<double> StepMetrics::*> kOptional[] = {
    {"teacher_loss", &StepMetrics::teacher_loss},
    {"mtp_loss", &StepMetrics::mtp_loss},
    {"held_out_loss", &StepMetrics::held_out_loss},
    {"bits_per_byte", &StepMetrics::bits_per_byte},
    {"held_out_mtp_loss", &StepMetrics::held_out_mtp_loss}};

// JSON has no NaN and no infinity.
json::value finite_or_null(double value) {
  return std::isfinite(value) ? json::value(value) : json::value(nullptr);
}

// The names and places of all but the last of RlMetrics.
struct RlField {
  const char* name;
  double RlMetrics::*value;
};
constexpr RlField kRlFields[] = {{"reward", &RlMetrics::reward},
                                 {"accuracy", &RlMetrics::accuracy},
                                 {"mode_obedience", &RlMetrics::mode_obedience},
                                 {"ratio", &RlMetrics::ratio},
                                 {"clip_fraction", &RlMetrics::clip_fraction},
                                 {"entropy", &RlMetrics::entropy},
                                 {"answer_tokens", &RlMetrics::answer_tokens},
                                 {"cut", &RlMetrics::cut},
                                 {"equal_groups", &RlMetrics::equal_groups}};

double number_of(const json::ObjectReader& reader, std::string_view field) {
  reader.get(field);
  return reader.number_or(field, std::nan(""));
}

}  // namespace

json::object StepMetrics::to_json() const {
  json::object out{{"step", step},
                   {"stage", stage},
                   {"loss", finite_or_null(loss)},
                   {"learning_rate", learning_rate},
                   {"grad_norm", finite_or_null(grad_norm)},
                   {"tokens", tokens},
                   {"tokens_per_second", finite_or_null(tokens_per_second)},
                   {"flops_per_second", finite_or_null(flops_per_second)},
                   {"share_of_peak", finite_or_null(share_of_peak)},
                   {"max_vio", finite_or_null(max_vio)},
                   {"dead_experts", dead_experts},
                   {"router_entropy", finite_or_null(router_entropy)},
                   {"skipped", skipped},
                   {"skipped_steps", skipped_steps}};
  for (const auto& [field, member] : kOptional) {
    if (const auto& value = this->*member) out[field] = finite_or_null(*value);
  }
  if (rl) {
    for (const RlField& f : kRlFields) out[f.name] = finite_or_null((*rl).*f.value);
    if (rl->held_out_reward) out["held_out_reward"] = finite_or_null(*rl->held_out_reward);
  }
  return out;
}

StepMetrics StepMetrics::from_json(const json::value& v, const std::string& source) {
  const json::ObjectReader reader(v, source);
  StepMetrics m;
  const auto count = [&](std::string_view field) {
    return static_cast<uint64_t>(reader.get_int(field, 0, INT64_MAX));
  };
  m.step = count("step");
  m.stage = reader.get_string("stage");
  m.loss = number_of(reader, "loss");
  m.learning_rate = number_of(reader, "learning_rate");
  m.grad_norm = number_of(reader, "grad_norm");
  m.tokens = count("tokens");
  m.tokens_per_second = number_of(reader, "tokens_per_second");
  m.flops_per_second = number_of(reader, "flops_per_second");
  m.share_of_peak = number_of(reader, "share_of_peak");
  m.max_vio = number_of(reader, "max_vio");
  m.dead_experts = count("dead_experts");
  m.router_entropy = number_of(reader, "router_entropy");
  reader.get("skipped");
  m.skipped = reader.bool_or("skipped", false);
  m.skipped_steps = count("skipped_steps");
  for (const auto& [field, member] : kOptional) {
    if (reader.fields().contains(field)) m.*member = number_of(reader, field);
  }
  if (reader.fields().contains("reward")) {
    RlMetrics& rl = m.rl.emplace();
    for (const RlField& f : kRlFields) rl.*f.value = number_of(reader, f.name);
    if (reader.fields().contains("held_out_reward")) {
      rl.held_out_reward = number_of(reader, "held_out_reward");
    }
  }
  return m;
}

MetricsLog::MetricsLog(const std::string& path, uint64_t last_step) : path_(path) {
  if (file_exists(path)) {
    const std::string text = read_file(path, uint64_t{1} << 40);
    size_t kept = 0, line = 0;
    for (size_t at = 0; at < text.size();) {
      const size_t end = text.find('\n', at);
      if (end == std::string::npos) break;
      const std::string source = cat(path, ": line ", ++line);
      const auto bytes = std::string_view(text).substr(at, end - at);
      StepMetrics metrics = StepMetrics::from_json(json::parse(bytes, source), source);
      if (metrics.step > last_step) break;
      if (!history_.empty() && metrics.step <= history_.back().step) {
        fail(ErrorCode::kInvalidInput, source, ": step ", metrics.step, " after step ",
             history_.back().step);
      }
      history_.push_back(std::move(metrics));
      at = kept = end + 1;
    }
    if (kept < text.size()) write_file_atomic(path, std::string_view(text).substr(0, kept));
  }
  fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd_ < 0) fail_errno(path, "open");
}

MetricsLog::~MetricsLog() {
  ::close(fd_);
}

void MetricsLog::append(const StepMetrics& metrics) {
  const std::string line = json::to_text(metrics.to_json()) + "\n";
  for (std::string_view rest = line; !rest.empty();) {
    const ssize_t n = ::write(fd_, rest.data(), rest.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      fail_errno(path_, "write");
    }
    rest.remove_prefix(static_cast<size_t>(n));
  }
  history_.push_back(metrics);
}

void MetricsLog::flush_to_disk() {
  if (::fsync(fd_) != 0) fail_errno(path_, "flush");
}

}  // namespace axk1
