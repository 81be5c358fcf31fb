#include "train/server_teacher.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/text.h"
#include "io/checksum.h"

namespace axk1 {
namespace {

constexpr size_t kDocumentsAtOnce =
    32;  // of one request; a server allows 128 unless told otherwise
constexpr std::chrono::seconds kPatience{300};

// The message of an API error, or what there is of another body.
std::string reason_of(const std::string& body) {
  try {
    const json::value answer = json::parse(body, "answer");
    if (const auto* object = answer.if_object()) {
      if (const auto* error = object->if_contains("error"); error && error->is_object()) {
        return json::ObjectReader(*error, "error").string_or("message", "");
      }
    }
  } catch (const Error&) {
  }
  constexpr size_t kMost = 200;
  return printable(body.substr(0, kMost));
}

}  // namespace

ServerTeacher::ServerTeacher(const std::string& url, const ServerTeacherOptions& options)
    : client_(url, {.bearer_token = options.key}), top_(static_cast<size_t>(options.top)) {
  AXK1_CHECK(options.top >= 1);
  const json::value models = ask("/v1/models", nullptr);
  const std::string place = url + ": /v1/models";
  const json::value& data = json::ObjectReader(models, place).get("data");
  if (!data.is_array() || data.get_array().empty()) {
    fail(ErrorCode::kInvalidInput, place, ": field \"data\": expected an array with a model");
  }
  const json::ObjectReader model(data.get_array()[0], place + ": data[0]");
  max_tokens_ = static_cast<size_t>(model.get_int("max_model_len", 1, INT64_MAX));
  const json::ObjectReader meta(model.get("meta"), place + ": data[0].meta");
  vocab_size_ = static_cast<uint64_t>(meta.get_int("n_vocab", 1, INT32_MAX));
  const std::string found = meta.get_string("tokenizer_hash");
  if (const std::string expected = checksum_text(options.tokenizer_hash); found != expected) {
    fail(ErrorCode::kInvalidInput, url, ": serves a model whose tokenizer has hash ",
         printable(found), ", expected the student's ", expected);
  }
}

ServerTeacher::~ServerTeacher() = default;

json::value ServerTeacher::ask(const std::string& target, const std::string* body) {
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  for (;;) {
    const HttpResponse response = body ? client_.post_json(target, *body) : client_.get(target);
    if (response.status == 200) return json::parse(response.body, client_.url() + target);
    const bool busy = response.status == 429 || response.status == 503;
    if (!busy || std::chrono::steady_clock::now() > give_up) {
      fail(ErrorCode::kIo, client_.url(), target, ": answered with status ", response.status, ": ",
           reason_of(response.body));
    }
    std::this_thread::sleep_for(
        std::clamp(response.retry_after, std::chrono::seconds(1), std::chrono::seconds(30)));
  }
}

void ServerTeacher::read(const TrainBatch& batch, uint64_t) {
  const size_t tokens = batch.inputs.size();
  ids_.resize(tokens * top_);
  probabilities_.resize(tokens * top_);
  rows_.assign(tokens, {});
  std::vector<Document> documents;
  for (size_t i = 0; i < tokens; ++i) {
    if (i % batch.row_length == 0 || batch.positions[i] == 0) {
      if (!documents.empty()) documents.back().end = i;
      documents.push_back({i, tokens});
    }
  }
  std::erase_if(documents, [&](const Document& d) {
    return std::all_of(batch.targets.begin() + static_cast<std::ptrdiff_t>(d.begin),
                       batch.targets.begin() + static_cast<std::ptrdiff_t>(d.end),
                       [](int32_t target) { return target < 0; });
  });
  for (size_t d = 0; d < documents.size(); d += kDocumentsAtOnce) {
    send(batch, std::span(documents).subspan(d, std::min(kDocumentsAtOnce, documents.size() - d)));
  }
}

// A score is of a token that is there, so the last target is sent behind the inputs where it fits.
void ServerTeacher::send(const TrainBatch& batch, std::span<const Document> documents) {
  json::array inputs;
  for (const Document& d : documents) {
    json::array ids(batch.inputs.begin() + static_cast<std::ptrdiff_t>(d.begin),
                    batch.inputs.begin() + static_cast<std::ptrdiff_t>(d.end));
    if (ids.size() < max_tokens_) ids.emplace_back(std::max(batch.targets[d.end - 1], 0));
    inputs.emplace_back(std::move(ids));
  }
  const std::string body =
      json::to_text(json::object{{"input", std::move(inputs)}, {"top_logprobs", top_}});
  const std::string target = "/v1/score";
  const json::value answer = ask(target, &body);
  const std::string place = client_.url() + target;
  const json::value& data = json::ObjectReader(answer, place).get("data");
  if (!data.is_array() || data.get_array().size() != documents.size()) {
    fail(ErrorCode::kInvalidInput, place, ": field \"data\": expected an array of ",
         documents.size());
  }
  for (size_t d = 0; d < documents.size(); ++d) {
    take(batch, documents[d], data.get_array()[d], cat(place, ": data[", d, "]"));
  }
}

void ServerTeacher::take(const TrainBatch& batch, const Document& document,
                         const json::value& entry, const std::string& place) {
  const json::ObjectReader reader(entry, place);
  const size_t sent = std::min(document.end - document.begin + 1, max_tokens_);
  const auto rows_of = [&](const char* field) -> const json::array& {
    const json::value& found = reader.get(field);
    if (!found.is_array() || found.get_array().size() != sent) {
      reader.wrong(field, found, cat("an array of ", sent));
    }
    return found.get_array();
  };
  const json::array& all_ids = rows_of("top_ids");
  const json::array& all_logprobs = rows_of("top_logprobs");
  std::vector<int32_t> seen;
  for (size_t i = 0; i + 1 < sent; ++i) {
    const size_t at = document.begin + i;
    if (batch.targets[at] < 0) continue;
    const json::array* ids = all_ids[i + 1].if_array();
    const json::array* logprobs = all_logprobs[i + 1].if_array();
    if (!ids || !logprobs || ids->size() != logprobs->size() || ids->empty() ||
        ids->size() > top_) {
      reader.refuse("top_ids", cat("position ", i + 1, ": expected 1 to ", top_,
                                   " ids and as many logarithms"));
    }
    double sum = 0;
    seen.clear();
    for (size_t c = 0; c < ids->size(); ++c) {
      const json::value &id = (*ids)[c], &logprob = (*logprobs)[c];
      const auto* whole = id.if_int64();
      if (!whole || *whole < 0 || static_cast<uint64_t>(*whole) >= vocab_size_) {
        reader.wrong("top_ids", id, cat("ids of 0 to ", vocab_size_ - 1));
      }
      const double value = logprob.is_number() ? logprob.to_number<double>() : 1;
      if (!(value <= 1e-3)) reader.wrong("top_logprobs", logprob, "logarithms of probabilities");
      ids_[at * top_ + c] = static_cast<int32_t>(*whole);
      seen.push_back(static_cast<int32_t>(*whole));
      const double probability = std::exp(value);
      probabilities_[at * top_ + c] = static_cast<float>(probability);
      sum += probability;
    }
    std::sort(seen.begin(), seen.end());
    if (std::adjacent_find(seen.begin(), seen.end()) != seen.end()) {
      reader.refuse("top_ids", cat("position ", i + 1, ": names a token twice"));
    }
    if (sum > 1.01) {
      reader.refuse("top_logprobs", cat("position ", i + 1, ": probabilities sum to ", sum));
    }
    rows_[at] = {.kind = TeacherRow::Kind::kTop,
                 .ids = {ids_.data() + at * top_, ids->size()},
                 .probabilities = {probabilities_.data() + at * top_, ids->size()},
                 .rest = static_cast<float>(std::max(0.0, 1 - sum))};
  }
}

std::span<const TeacherRow> ServerTeacher::rows(size_t first, size_t count) {
  AXK1_CHECK(first + count <= rows_.size());
  return std::span(rows_).subspan(first, count);
}

}  // namespace axk1
