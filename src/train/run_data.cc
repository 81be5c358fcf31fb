#include "train/run_data.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <string>

#include "base/error.h"
#include "chat/template.h"
#include "data/tokenizer_hash.h"
#include "io/checksum.h"
#include "io/named_files.h"

namespace axk1 {
namespace {

void append(TrainBatch& all, const TrainBatch& more) {
  all.rows += more.rows;
  all.inputs.insert(all.inputs.end(), more.inputs.begin(), more.inputs.end());
  all.targets.insert(all.targets.end(), more.targets.begin(), more.targets.end());
  all.positions.insert(all.positions.end(), more.positions.begin(), more.positions.end());
}

TokenId document_end_of(const RunConfig& run, const Tokenizer& tokenizer) {
  const std::optional<TokenId> id = tokenizer.find(run.document_end);
  if (!id) {
    fail(ErrorCode::kInvalidInput, run.path, ": document_end: the tokenizer in ", run.tokenizer,
         " has no token \"", printable(run.document_end), "\"");
  }
  return *id;
}

}  // namespace

RunData load_run_data(const RunConfig& run, const Tokenizer& tokenizer, size_t vocab_size) {
  const NamedFiles files(run.tokenizer);
  std::optional<ChatTemplate> chat_template;
  if (ChatTemplate::is_in(files)) chat_template = ChatTemplate::load(files);
  const TextEncoding encoding{.tokenizer = tokenizer,
                              .chat_template = chat_template ? &*chat_template : nullptr,
                              .document_end = document_end_of(run, tokenizer),
                              .tokenizer_hash = tokenizer_hash(run.tokenizer),
                              .vocab_size = vocab_size};
  RunData data{.tokenizer_hash = encoding.tokenizer_hash};
  std::vector<uint64_t> fingerprints;
  for (size_t s = 0; s < run.sources.size(); ++s) {
    const RunSource& source = run.sources[s];
    RunData::Source& loaded = data.sources.emplace_back();
    loaded.name = source.name;
    loaded.documents = load_documents(source.files, source.text_field, encoding);
    loaded.split = split_held_out(*loaded.documents, run.held_out.fraction);
    for (uint32_t document : loaded.split.train) {
      loaded.train_tokens += loaded.documents->length(document);
    }
    const bool wanted = std::ranges::any_of(
        run.stages, [&](const RunStage& stage) { return stage.shape.weights[s] > 0; });
    if (wanted && loaded.train_tokens == 0) {
      fail(ErrorCode::kInvalidInput, run.path, ": source \"", printable(source.name),
           "\": found no documents to train on in ", source.files.size(), " files");
    }
    fingerprints.push_back(loaded.documents->fingerprint());
  }
  if (!run.held_out.files.empty()) {
    data.held_out_files = load_documents(run.held_out.files, "text", encoding);
    fingerprints.push_back(data.held_out_files->fingerprint());
  }
  data.fingerprint = checksum64(std::as_bytes(std::span(fingerprints)));
  return data;
}

uint64_t order_hash(const RunConfig& run, const RunData& data) {
  std::string text = cat(checksum_text(data.fingerprint), ' ', checksum_text(data.tokenizer_hash),
                         ' ', run.seed, ' ', run.held_out.fraction);
  for (const RunStage& stage : run.stages) {
    const StageShape& shape = stage.shape;
    text += cat('\n', shape.steps, ' ', shape.rows, ' ', shape.row_length);
    for (double weight : shape.weights) text += cat(' ', weight);
  }
  return checksum64(text);
}

DataOrder RunData::order(const RunConfig& run) const {
  std::vector<DataOrder::Source> chosen;
  for (const Source& source : sources) {
    chosen.push_back({source.documents.get(), source.split.train});
  }
  std::vector<StageShape> stages;
  for (const RunStage& stage : run.stages) stages.push_back(stage.shape);
  return DataOrder(std::move(chosen), std::move(stages), run.seed);
}

TrainBatch RunData::held_out_rows(size_t row_length, uint64_t max_tokens) const {
  std::vector<std::pair<const Documents*, std::vector<uint32_t>>> parts;
  for (const Source& source : sources) {
    if (!source.split.held_out.empty()) {
      parts.push_back({source.documents.get(), source.split.held_out});
    }
  }
  if (held_out_files) {
    parts.push_back({held_out_files.get(), std::vector<uint32_t>(held_out_files->size())});
    std::iota(parts.back().second.begin(), parts.back().second.end(), 0u);
  }
  TrainBatch all{.rows = 0, .row_length = row_length};
  if (parts.empty()) return all;
  const uint64_t rows = std::max<uint64_t>(max_tokens / row_length / parts.size(), 1);
  for (const auto& [documents, chosen] : parts) {
    append(all, rows_in_order(*documents, chosen, row_length, rows));
  }
  return all;
}

}  // namespace axk1
