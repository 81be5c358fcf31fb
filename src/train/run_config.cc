#include "train/run_config.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>
#include <utility>

#include "base/error.h"
#include "io/checksum.h"
#include "io/file.h"
#include "net/http_client.h"

namespace axk1 {
namespace {

constexpr int64_t kMaxSteps = int64_t{1} << 40;
constexpr int64_t kMaxTokens = int64_t{1} << 50;
constexpr int64_t kMaxRowLength = 1 << 22;
constexpr int64_t kMaxStepTokens = int64_t{1} << 32;

// The fields of one object; close() refuses those that were not asked for.
class Fields {
 public:
  Fields(const json::value& v, const std::string& place) : reader_(v, place) {}

  const json::value* find(std::string_view field) {
    asked_.emplace(field);
    return reader_.find(field);
  }
  const json::value& get(std::string_view field) {
    asked_.emplace(field);
    return reader_.get(field);
  }
  uint64_t integer(std::string_view field, int64_t absent, int64_t min, int64_t max) {
    asked_.emplace(field);
    return static_cast<uint64_t>(reader_.int_or(field, absent, min, max));
  }
  uint64_t integer(std::string_view field, int64_t min, int64_t max) {
    asked_.emplace(field);
    return static_cast<uint64_t>(reader_.get_int(field, min, max));
  }
  double number(std::string_view field, double absent, double min, double max) {
    const json::value* found = find(field);
    if (!found) return absent;
    const double number = reader_.number_or(field, absent);
    if (!(number >= min && number <= max)) {
      reader_.wrong(field, *found, cat("a number from ", min, " to ", max));
    }
    return number;
  }
  std::string string(std::string_view field) {
    asked_.emplace(field);
    return reader_.get_string(field);
  }
  std::string string_or(std::string_view field, std::string_view absent) {
    asked_.emplace(field);
    return reader_.string_or(field, absent);
  }
  bool boolean(std::string_view field, bool absent) {
    asked_.emplace(field);
    return reader_.bool_or(field, absent);
  }
  // The index of the string among `names`.
  size_t one_of(std::string_view field, std::span<const std::string_view> names, size_t absent) {
    const json::value* found = find(field);
    if (!found) return absent;
    std::string all;
    for (size_t i = 0; i < names.size(); ++i) {
      if (found->is_string() && std::string_view(found->get_string()) == names[i]) return i;
      all += cat(i ? i + 1 == names.size() ? " or " : ", " : "", names[i]);
    }
    reader_.wrong(field, *found, all);
  }

  std::string place(std::string_view field) const { return cat(reader_.source(), ": ", field); }
  [[noreturn]] void wrong(std::string_view field, std::string_view expected) {
    reader_.wrong(field, reader_.get(field), expected);
  }
  [[noreturn]] void refuse(std::string_view field, std::string_view why) {
    reader_.refuse(field, why);
  }
  const std::string& source() const { return reader_.source(); }
  const json::object& all() const { return reader_.fields(); }

  void close() {
    for (const auto& entry : reader_.fields()) {
      if (asked_.contains(std::string(entry.key()))) continue;
      std::string known;
      for (const std::string& name : asked_) known += cat(known.empty() ? "" : ", ", name);
      fail(ErrorCode::kInvalidInput, reader_.source(), ": unknown field \"",
           printable(std::string_view(entry.key())), "\", expected one of ", known);
    }
  }

 private:
  json::ObjectReader reader_;
  std::set<std::string> asked_;
};

const json::array& array_of(const json::value& v, const std::string& place,
                            std::string_view expected) {
  if (!v.is_array() || v.get_array().empty()) {
    fail(ErrorCode::kInvalidInput, place, ": found ", printable(json::to_text(v), 60),
         ", expected ", expected);
  }
  return v.get_array();
}

std::string resolve(const RunConfig& run, std::string_view path) {
  return (std::filesystem::path(run.path).parent_path() / std::string(path)).string();
}

std::vector<std::string> read_paths(const RunConfig& run, const json::value& v,
                                    const std::string& place) {
  constexpr std::string_view kExpected = "a path or an array of paths";
  if (v.is_string()) return {resolve(run, v.get_string())};
  std::vector<std::string> paths;
  for (const json::value& item : array_of(v, place, kExpected)) {
    if (!item.is_string()) {
      fail(ErrorCode::kInvalidInput, place, ": found ", printable(json::to_text(item), 60),
           " in it, expected ", kExpected);
    }
    paths.push_back(resolve(run, item.get_string()));
  }
  return paths;
}

void read_model(RunConfig& run, Fields& top) {
  const json::value& model = top.get("model");
  if (model.is_string()) {
    run.model_path = resolve(run, model.get_string());
  } else if (model.is_object()) {
    run.model_inline = model;
  } else {
    top.wrong("model", "a config.json, a folder with weights, or a config as an object");
  }
  const bool folder = !run.model_path.empty() && is_directory(run.model_path);
  if (top.find("tokenizer") || !folder) {
    run.tokenizer = resolve(run, top.string("tokenizer"));
  } else {
    run.tokenizer = run.model_path;
  }
}

void read_cut(RunConfig& run, Fields& top) {
  const json::value* found = top.find("cut_from");
  if (!found) return;
  if (!run.model_path.empty() && is_directory(run.model_path)) {
    top.refuse("cut_from", "goes with a model that is a config, not with one that has weights");
  }
  Fields fields(*found, top.place("cut_from"));
  run.cut.source = resolve(run, fields.string("model"));
  if (const json::value* layers = fields.find("layers")) {
    const std::string place = fields.place("layers");
    for (const json::value& layer : array_of(*layers, place, "an array of layers")) {
      const int64_t* number = layer.if_int64();
      if (!number) fields.wrong("layers", "an array of whole numbers");
      run.cut.layers.push_back(*number);
    }
  }
  fields.close();
}

void read_sources(RunConfig& run, Fields& top) {
  size_t i = 0;
  for (const json::value& item :
       array_of(top.get("data"), top.place("data"), "an array of sources")) {
    Fields fields(item, cat(top.source(), ": data[", i++, "]"));
    RunSource source;
    source.name = fields.string("name");
    source.files = read_paths(run, fields.get("files"), fields.place("files"));
    source.weight = fields.number("weight", 1, 0, 1e9);
    source.text_field = fields.string_or("text_field", source.text_field);
    fields.close();
    if (std::ranges::find(run.sources, source.name, &RunSource::name) != run.sources.end()) {
      fields.refuse("name", cat("\"", printable(source.name), "\" is the name of two sources"));
    }
    run.sources.push_back(std::move(source));
  }
}

std::vector<double> read_mix(const RunConfig& run, Fields& stage) {
  std::vector<double> weights(run.sources.size());
  const json::value* mix = stage.find("mix");
  if (mix) {
    Fields fields(*mix, stage.place("mix"));
    for (size_t s = 0; s < weights.size(); ++s) {
      weights[s] = fields.number(run.sources[s].name, 0, 0, 1e9);
    }
    fields.close();
  } else {
    for (size_t s = 0; s < weights.size(); ++s) weights[s] = run.sources[s].weight;
  }
  if (*std::ranges::max_element(weights) <= 0) {
    fail(ErrorCode::kInvalidInput, stage.source(), ": every source has weight 0");
  }
  return weights;
}

Schedule read_schedule(Fields& stage, uint64_t steps) {
  Schedule schedule{.steps = steps};
  static constexpr std::string_view kKinds[] = {"wsd", "cosine"};
  static constexpr std::string_view kShapes[] = {"linear", "sqrt", "cosine"};
  Fields fields(stage.get("schedule"), stage.place("schedule"));
  schedule.kind = static_cast<ScheduleKind>(fields.one_of("kind", kKinds, 0));
  schedule.peak = fields.number("peak", -1, 0, 1e3);
  if (schedule.peak < 0) fields.get("peak");  // throws: it is missing
  schedule.min = fields.number("min", schedule.peak / 10, 0, schedule.peak);
  const auto max = static_cast<int64_t>(steps);
  schedule.warmup_steps = fields.integer("warmup_steps", 0, 0, max);
  if (schedule.kind == ScheduleKind::kWsd) {
    const auto left = max - static_cast<int64_t>(schedule.warmup_steps);
    schedule.decay_steps = fields.integer("decay_steps", std::min(max / 5, left), 0, left);
    schedule.decay_shape = static_cast<DecayShape>(fields.one_of("decay", kShapes, 0));
  }
  fields.close();
  return schedule;
}

void read_stages(RunConfig& run, Fields& top) {
  size_t i = 0;
  int64_t all_steps = 0;
  for (const json::value& item :
       array_of(top.get("stages"), top.place("stages"), "an array of stages")) {
    Fields fields(item, cat(top.source(), ": stages[", i++, "]"));
    RunStage stage;
    stage.name = fields.string_or("name", cat("stage ", i));
    stage.shape.row_length = fields.integer("sequence_length", 1, kMaxRowLength);
    const uint64_t step_tokens = fields.integer("batch_tokens", 1, kMaxStepTokens);
    if (step_tokens % stage.shape.row_length != 0) {
      fields.wrong("batch_tokens",
                   cat("a multiple of sequence_length (", stage.shape.row_length, ")"));
    }
    stage.shape.rows = step_tokens / stage.shape.row_length;
    if ((fields.find("steps") != nullptr) == (fields.find("tokens") != nullptr)) {
      fields.refuse("steps", "expected either steps or tokens");
    }
    if (fields.find("steps")) {
      stage.shape.steps = fields.integer("steps", 1, kMaxSteps);
    } else {
      const uint64_t tokens = fields.integer("tokens", 1, kMaxTokens);
      stage.shape.steps = (tokens + step_tokens - 1) / step_tokens;
    }
    stage.schedule = read_schedule(fields, stage.shape.steps);
    stage.shape.weights = read_mix(run, fields);
    fields.close();
    all_steps += static_cast<int64_t>(stage.shape.steps);
    if (all_steps > kMaxSteps) {
      fail(ErrorCode::kInvalidInput, fields.source(), ": the stages have more than 2^40 steps");
    }
    run.stages.push_back(std::move(stage));
  }
}

void read_optimizer(RunConfig& run, Fields& top) {
  const json::value* found = top.find("optimizer");
  if (!found) return;
  static constexpr std::string_view kKinds[] = {"adamw", "muon"};
  Fields fields(*found, top.place("optimizer"));
  RunOptimizer& o = run.optimizer;
  o.kind = static_cast<OptimizerKind>(fields.one_of("kind", kKinds, 0));
  if (const json::value* betas = fields.find("betas")) {
    const auto is_beta = [](const json::value& v) {
      return v.is_number() && v.to_number<double>() >= 0 && v.to_number<double>() < 1;
    };
    if (!betas->is_array() || betas->get_array().size() != 2 ||
        !std::ranges::all_of(betas->get_array(), is_beta)) {
      fields.wrong("betas", "two numbers from 0 up to but not 1");
    }
    o.beta1 = betas->get_array()[0].to_number<double>();
    o.beta2 = betas->get_array()[1].to_number<double>();
  }
  o.eps = fields.number("eps", o.eps, 0, 1);
  o.weight_decay = fields.number("weight_decay", o.weight_decay, 0, 1e3);
  o.clip = fields.number("clip", o.clip, 0, 1e9);
  if (o.kind == OptimizerKind::kMuon) {
    o.momentum = fields.number("momentum", o.momentum, 0, 0.9999);
  }
  fields.close();
}

void read_upkeep(RunConfig& run, Fields& top) {
  if (const json::value* found = top.find("held_out")) {
    Fields fields(*found, top.place("held_out"));
    run.held_out.fraction = fields.number("fraction", 0, 0, 0.5);
    if (const json::value* files = fields.find("files")) {
      run.held_out.files = read_paths(run, *files, fields.place("files"));
    }
    fields.close();
  }
  if (const json::value* found = top.find("checkpoint")) {
    Fields fields(*found, top.place("checkpoint"));
    run.checkpoints.every = fields.integer("every", 0, 0, kMaxSteps);
    run.checkpoints.keep = fields.integer("keep", 2, 1, 1'000'000);
    run.checkpoints.export_each = fields.boolean("export", false);
    fields.close();
  }
  if (const json::value* found = top.find("eval")) {
    Fields fields(*found, top.place("eval"));
    run.eval.every = fields.integer("every", 0, 0, kMaxSteps);
    run.eval.tokens = fields.integer("tokens", 65536, 1, kMaxTokens);
    fields.close();
  }
  if (const json::value* found = top.find("spike")) {
    Fields fields(*found, top.place("spike"));
    run.spike.factor = fields.number("factor", 0, 0, 1e9);
    run.spike.window = fields.integer("window", 64, 1, 100'000);
    fields.close();
  }
}

void read_distil(RunConfig& run, Fields& top) {
  const json::value* found = top.find("distil");
  if (!found) return;
  static constexpr std::string_view kLosses[] = {"forward_kl", "reverse_kl", "jsd", "skew_kl",
                                                 "skew_reverse_kl"};
  Fields fields(*found, top.place("distil"));
  RunDistil& distil = run.distil.emplace();
  if (fields.find("teacher")) {
    distil.teacher = fields.string("teacher");
    if (!is_url(distil.teacher)) distil.teacher = resolve(run, distil.teacher);
  }
  if (fields.find("cache")) distil.cache = resolve(run, fields.string("cache"));
  if (distil.teacher.empty() && distil.cache.empty()) fields.get("teacher");  // throws
  DistilOptions& o = distil.options;
  o.loss = static_cast<DistilLoss>(fields.one_of("loss", kLosses, 0));
  o.alpha = fields.number("alpha", o.alpha, 0, 1);
  if (o.alpha >= 1) fields.wrong("alpha", "less than 1");
  o.temperature = fields.number("temperature", o.temperature, 1e-3, 1e3);
  o.teacher_weight = fields.number("teacher_weight", o.teacher_weight, 0, 1e3);
  o.text_weight = fields.number("text_weight", o.text_weight, 0, 1e3);
  if (is_url(distil.teacher)) {
    distil.top = fields.integer("top", 64, 1, 4096);
    if (fields.find("teacher_key")) {
      distil.teacher_key = resolve(run, fields.string("teacher_key"));
    }
    if (distil.cache.empty() && o.temperature != 1) {
      fields.wrong("temperature", "1, at which a server gives its probabilities");
    }
  }
  if (o.teacher_weight + o.text_weight <= 0) {
    fields.refuse("teacher_weight", "is 0, and text_weight too");
  }
  fields.close();
}

void read_rl(RunConfig& run, Fields& top) {
  Fields fields(top.get("rl"), top.place("rl"));
  RunRl& rl = run.rl.emplace();
  rl.tasks = read_paths(run, fields.get("tasks"), fields.place("tasks"));
  if (fields.find("held_out")) rl.held_out = resolve(run, fields.string("held_out"));
  rl.questions = fields.integer("questions", 16, 1, 1 << 16);
  rl.samples = run.distil ? fields.integer("samples", 1, 1, 1 << 12)
                          : fields.integer("samples", 8, 2, 1 << 12);
  rl.max_tokens = fields.integer("max_tokens", 256, 1, kMaxRowLength);
  rl.updates = fields.integer("updates", 1, 1, static_cast<int64_t>(rl.questions));
  if (const json::value* clip = fields.find("clip")) {
    const auto is_range = [](const json::value& v) {
      return v.is_number() && v.to_number<double>() > 0 && v.to_number<double>() < 1;
    };
    if (!clip->is_array() || clip->get_array().size() != 2 ||
        !std::ranges::all_of(clip->get_array(), is_range)) {
      fields.wrong("clip", "two numbers above 0 and below 1: [low, high]");
    }
    rl.clip_low = clip->get_array()[0].to_number<double>();
    rl.clip_high = clip->get_array()[1].to_number<double>();
  }
  rl.schedule = read_schedule(fields, fields.integer("steps", 1, kMaxSteps));
  fields.close();
  if (!run.distil) return;
  if (!run.distil->cache.empty()) {
    fail(ErrorCode::kInvalidInput, top.place("distil"),
         ": cache: has no answers to what a student draws; expected a teacher alone");
  }
  if (run.distil->options.text_weight > 0) {
    fail(ErrorCode::kInvalidInput, top.place("distil"), ": text_weight: found ",
         run.distil->options.text_weight,
         ", expected 0 beside rl, where the text is the student's own");
  }
}

}  // namespace

RunConfig parse_run_config(std::string_view text, const std::string& path) {
  const json::value document = json::parse(text, path);
  RunConfig run;
  run.path = path;
  run.text = text;
  Fields top(document, path);
  read_model(run, top);
  read_cut(run, top);
  run.document_end = top.string_or("document_end", run.document_end);
  read_distil(run, top);
  if (top.find("rl")) {
    read_rl(run, top);
  } else {
    read_sources(run, top);
    read_stages(run, top);
  }
  read_optimizer(run, top);
  read_upkeep(run, top);
  run.micro_batch = top.integer("micro_batch", 1, 1, 1 << 20);
  run.seed = top.integer("seed", 1, 0, INT64_MAX);
  static constexpr std::string_view kTypes[] = {"f32", "bf16"};
  run.bf16 = top.one_of("dtype", kTypes, 0) == 1;
  run.balance = top.number("balance", run.balance, 0, 1);
  if (top.find("mtp_weight")) run.mtp_weight = top.number("mtp_weight", 0, 0, 100);
  top.close();

  json::object hashed = top.all();
  hashed.erase("checkpoint");
  hashed.erase("eval");
  run.fingerprint = checksum64(json::to_text(hashed));
  return run;
}

RunConfig load_run_config(const std::string& path) {
  constexpr uint64_t kMaxBytes = 16 << 20;
  return parse_run_config(read_file(path, kMaxBytes), path);
}

}  // namespace axk1
