#include "data/prepare.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "data/near_duplicates.h"
#include "data/shard_set.h"
#include "data/text_measures.h"
#include "io/checksum.h"
#include "io/file.h"

namespace axk1 {
namespace {

constexpr size_t kBatchBytes = 8 << 20, kBatchDocuments = 8192;
constexpr size_t kMaxExamples = 10;  // in the report, for each reason

// Why a document is not used, in the order in which it is asked.
enum Reason {
  kKept,
  kUnreadable,
  kNotUtf8,
  kTooShort,
  kTooLong,
  kHangul,
  kLanguage,
  kDuplicate,
  kNearDuplicate,
  kNumReasons
};
constexpr std::array<const char*, kNumReasons> kReasonNames = {
    "kept",   "unreadable", "not_utf8",  "too_short",     "too_long",
    "hangul", "language",   "duplicate", "near_duplicate"};

struct Encoded {
  std::vector<TokenId> ids;
  std::vector<uint8_t> loss;
};

struct Item {
  RawDocument raw;
  uint64_t raw_bytes = 0;
  std::string place;
  Reason reason = kKept;
  std::string why;  // of what is unreadable
  json::value row;  // of JSON
  std::string text;
  std::vector<ChatTurn> turns;  // of a conversation
  uint64_t hash = 0;
  std::optional<MinHashSignature> signature;
  std::optional<uint32_t> same_as;  // a kept document
  bool held_out = false;
  std::vector<Encoded> encoded;
};

struct Tally {
  uint64_t documents = 0, bytes = 0;
  json::array examples;
};

class Preparer {
 public:
  Preparer(const PrepareConfig& config, const std::string& out_dir, const PrepareTools& tools)
      : config_(config), tools_(tools), near_(config.near_duplicate_similarity), out_dir_(out_dir) {
    if (file_exists(out_dir + "/dataset.json")) {
      fail(ErrorCode::kInvalidInput, out_dir,
           ": has a dataset.json already; expected a folder "
           "without one");
    }
    const auto end = tools.tokenizer.find(config.end_token);
    if (!end) {
      fail(ErrorCode::kNotFound, config.tokenizer, ": has no token \"", printable(config.end_token),
           "\", the end_token of texts");
    }
    end_token_ = *end;
    for (const PrepareSource& source : config.sources) {
      if (source.chat && !tools.render) {
        fail(ErrorCode::kNotFound, config.tokenizer,
             ": has no chat template, which the conversations of source \"", source.name,
             "\" need");
      }
      // Looks for the files of all sources before any work is done.
      bytes_total_ += DocumentReader(source.files, source.unit).bytes_total();
    }
  }

  json::object run() {
    json::array sources, run_sources;
    json::array held_out_files;
    std::array<Tally, kNumReasons> total;
    uint64_t bytes_before = 0;
    for (const PrepareSource& source : config_.sources) {
      tallies_ = {};
      const ShardOptions options{.dir = out_dir_,
                                 .max_tokens = config_.shard_tokens,
                                 .shard = {.vocab_size = tools_.tokenizer.vocab_size(),
                                           .tokenizer_hash = tools_.tokenizer_hash,
                                           .loss_mask = source.chat}};
      ShardSet train(source.name + ".train", options), held_out(source.name + ".held-out", options);
      DocumentReader reader(source.files, source.unit);
      while (next_batch(reader)) {
        if (!tools_.progress(bytes_before + reader.bytes_done(), bytes_total_)) {
          fail(ErrorCode::kInvalidInput, "interrupted");
        }
        tools_.pool.parallel_tasks(batch_.size(),
                                   [&](size_t i, int) { examine(source, batch_[i]); });
        for (Item& item : batch_) find_duplicate(item);
        tools_.pool.parallel_tasks(batch_.size(),
                                   [&](size_t i, int) { encode(source, batch_[i]); });
        for (Item& item : batch_) {
          count(item);
          for (const Encoded& one : item.encoded) {
            (item.held_out ? held_out : train).add(one.ids, one.loss);
          }
        }
      }
      bytes_before += reader.bytes_total();
      train.finish();
      held_out.finish();
      json::object report = source_report(source);
      report["train"] = train.summary();
      report["held_out"] = held_out.summary();
      sources.push_back(std::move(report));
      run_sources.push_back(
          json::object{{"name", source.name}, {"weight", source.weight}, {"files", train.files()}});
      for (const json::value& file : held_out.files()) held_out_files.push_back(file);
      for (size_t r = 0; r < kNumReasons; ++r) {
        total[r].documents += tallies_[r].documents;
        total[r].bytes += tallies_[r].bytes;
      }
    }
    tallies_ = total;
    json::object report{{"format", "axk1-data-report-1"},
                        {"tokenizer", config_.tokenizer},
                        {"tokenizer_hash", checksum_text(tools_.tokenizer_hash)},
                        {"held_out", config_.held_out},
                        {"near_duplicates", near_report()},
                        {"total", tally_report(false)},
                        {"sources", std::move(sources)}};
    const json::object dataset{{"format", "axk1-dataset-1"},
                               {"tokenizer_hash", checksum_text(tools_.tokenizer_hash)},
                               {"vocab_size", tools_.tokenizer.vocab_size()},
                               {"sources", std::move(run_sources)},
                               {"held_out", json::object{{"files", std::move(held_out_files)}}}};
    write_file_atomic(out_dir_ + "/report.json", json::to_text(report) + "\n");
    write_file_atomic(out_dir_ + "/dataset.json", json::to_text(dataset) + "\n");
    return report;
  }

 private:
  bool next_batch(DocumentReader& reader) {
    batch_.clear();
    size_t bytes = 0;
    RawDocument raw;
    while (bytes < kBatchBytes && batch_.size() < kBatchDocuments && reader.next(raw)) {
      bytes += raw.bytes.size();
      batch_.emplace_back();
      batch_.back().raw_bytes = raw.bytes.size();
      batch_.back().place = reader.place(raw);
      batch_.back().raw = std::move(raw);
    }
    return !batch_.empty();
  }

  // Any thread: reads the text, filters it, and works out what it is compared by.
  void examine(const PrepareSource& source, Item& item) const {
    try {
      item.text = text_of(source, item);
      if (source.chat) item.turns = chat_turns(item.row.get_object(), tools_.render);
    } catch (const Error& error) {
      item.reason = kUnreadable;
      item.why = error.what();
      return;
    }
    item.reason = filter(source, item.text);
    if (item.reason != kKept) return;
    const std::string normalised = normalise_for_comparison(item.text);
    item.hash = checksum64(normalised);
    item.held_out = Rng(item.hash).uniform() < config_.held_out;
    if (config_.near_duplicate_similarity > 0) {
      const std::vector<uint64_t> shingles = shingle_hashes(normalised);
      if (!shingles.empty()) item.signature = min_hash(shingles);
    }
  }

  static std::string text_of(const PrepareSource& source, Item& item) {
    if (!item.raw.is_json) {
      if (source.chat) fail(ErrorCode::kInvalidInput, item.place, ": a text, expected JSON lines");
      return std::move(item.raw.bytes);
    }
    item.row = json::parse(item.raw.bytes, item.place);
    item.raw.bytes = {};
    if (source.chat) {
      if (!item.row.is_object()) {
        fail(ErrorCode::kInvalidInput, item.place, ": found ", json::kind_name(item.row),
             ", expected an object");
      }
      return chat_text(item.row.get_object());
    }
    std::string text;
    for (const std::string& part : texts_of(item.row, source.fields, item.place)) {
      if (!text.empty()) text += '\n';
      text += part;
    }
    return text;
  }

  static Reason filter(const PrepareSource& source, const std::string& text) {
    if (!is_valid_utf8(text)) return kNotUtf8;
    const uint64_t chars = count_characters(text);
    if (chars < source.min_chars) return kTooShort;
    if (chars > source.max_chars) return kTooLong;
    if (source.min_hangul > 0 || source.max_hangul < 1) {
      const double share = hangul_share(text);
      if (share < source.min_hangul || share > source.max_hangul) return kHangul;
    }
    if (!source.languages.empty()) {
      const std::string language = detect_language(text);
      if (!language.empty() &&
          std::ranges::find(source.languages, language) == source.languages.end()) {
        return kLanguage;
      }
    }
    return kKept;
  }

  // In the order of the documents: of those that are alike the first stays.
  void find_duplicate(Item& item) {
    if (item.reason != kKept) return;
    const auto number = static_cast<uint32_t>(places_.size());
    if (config_.drop_duplicates) {
      exact_.find(item.hash, [&](uint32_t kept) {
        item.same_as = kept;
        return false;
      });
      if (item.same_as) item.reason = kDuplicate;
    }
    if (item.reason == kKept && item.signature) {
      item.same_as = near_.find_or_add(*item.signature, number);
      if (item.same_as) item.reason = kNearDuplicate;
    }
    if (item.reason != kKept) return;
    if (number == UINT32_MAX) fail(ErrorCode::kUnsupported, "more than 4,294,967,295 documents");
    exact_.add(item.hash, number);
    places_.push_back(item.place);
  }

  // Any thread.
  void encode(const PrepareSource& source, Item& item) const {
    if (item.reason != kKept) return;
    const Tokenizer& tokenizer = tools_.tokenizer;
    if (!source.chat) {
      Encoded& one = item.encoded.emplace_back();
      one.ids = tokenizer.encode(item.text, {.parse_special = false});
      one.ids.push_back(end_token_);
      return;
    }
    for (const ChatTurn& turn : item.turns) {
      Encoded& one = item.encoded.emplace_back();
      one.ids = tokenizer.encode(turn.prompt);
      one.loss.assign(one.ids.size(), 0);
      const std::vector<TokenId> answer = tokenizer.encode(turn.answer);
      one.ids.insert(one.ids.end(), answer.begin(), answer.end());
      one.loss.resize(one.ids.size(), 1);
    }
  }

  void count(const Item& item) {
    Tally& tally = tallies_[item.reason];
    ++tally.documents;
    tally.bytes += item.reason == kUnreadable ? item.raw_bytes : item.text.size();
    if (item.reason == kKept || tally.examples.size() == kMaxExamples) return;
    json::object example{{"document", item.place}};
    if (item.row.is_object()) {
      if (const json::value* id = item.row.get_object().if_contains("id")) example["id"] = *id;
    }
    if (item.same_as) example["same_as"] = places_[*item.same_as];
    if (!item.why.empty()) example["why"] = utf8_lossy(item.why);
    tally.examples.push_back(std::move(example));
  }

  json::object tally_report(bool examples) const {
    json::object dropped;
    uint64_t documents = 0, bytes = 0;
    for (size_t r = 0; r < kNumReasons; ++r) {
      documents += tallies_[r].documents;
      bytes += tallies_[r].bytes;
      if (r == kKept || (examples && tallies_[r].documents == 0)) continue;
      json::object one{{"documents", tallies_[r].documents}, {"bytes", tallies_[r].bytes}};
      if (examples) one["examples"] = tallies_[r].examples;
      dropped[kReasonNames[r]] = std::move(one);
    }
    return {{"documents", documents},
            {"bytes", bytes},
            {"kept", json::object{{"documents", tallies_[kKept].documents},
                                  {"bytes", tallies_[kKept].bytes}}},
            {"dropped", std::move(dropped)}};
  }

  json::object source_report(const PrepareSource& source) const {
    json::object report{{"name", source.name}, {"weight", source.weight}};
    json::array files;
    for (const std::string& path : source.files) files.emplace_back(path);
    report["files"] = std::move(files);
    for (auto& [name, value] : tally_report(true)) report[name] = std::move(value);
    return report;
  }

  json::value near_report() const {
    if (config_.near_duplicate_similarity == 0) return nullptr;
    json::array curve;
    for (int tenths = 5; tenths <= 10; ++tenths) {
      const double s = tenths / 10.0;
      curve.push_back(json::object{{"similarity", s}, {"compared", probability_of_comparison(s)}});
    }
    return json::object{{"min_similarity", config_.near_duplicate_similarity},
                        {"shingle_units", kShingleUnits},
                        {"hashes", kMinHashes},
                        {"bands", kMinHashBands},
                        {"curve", std::move(curve)}};
  }

  const PrepareConfig& config_;
  const PrepareTools& tools_;
  HashIndex exact_;
  NearDuplicateIndex near_;
  std::vector<std::string> places_;  // of kept documents
  std::string out_dir_;
  TokenId end_token_ = 0;
  uint64_t bytes_total_ = 0;
  std::vector<Item> batch_;
  std::array<Tally, kNumReasons> tallies_;
};

}  // namespace

json::object prepare_data(const PrepareConfig& config, const std::string& out_dir,
                          const PrepareTools& tools) {
  return Preparer(config, out_dir, tools).run();
}

}  // namespace axk1
