// A teacher behind HTTP: the score endpoint of a running `axk1 serve` (docs/server.md).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/json.h"
#include "net/http_client.h"
#include "train/teacher.h"

namespace axk1 {

struct ServerTeacherOptions {
  std::string key;              // an API key, or empty
  int64_t top = 64;             // most likely tokens asked for at each position, at least 1
  uint64_t tokenizer_hash = 0;  // that the served model must have (data/tokenizer_hash.h)
};

// Its rows are kTop, at temperature 1; the last token of a document as long as the server's context
// has none. A server that is busy is asked again for some minutes.
class ServerTeacher final : public Teacher {
 public:
  // Asks the server for its model. Throws Error: one that cannot be reached, is not ready or
  // refuses (kIo), that serves a model with another tokenizer (kInvalidInput).
  ServerTeacher(const std::string& url, const ServerTeacherOptions& options);
  ~ServerTeacher() override;

  // Throws also Error(kInvalidInput) for an answer that is not one.
  void read(const TrainBatch& batch, uint64_t first_position) override;
  std::span<const TeacherRow> rows(size_t first, size_t count) override;
  uint64_t vocab_size() const override { return vocab_size_; }

 private:
  struct Document {
    size_t begin, end;  // tokens of the batch
  };
  json::value ask(const std::string& target, const std::string* body);
  void send(const TrainBatch& batch, std::span<const Document> documents);
  void take(const TrainBatch& batch, const Document& document, const json::value& entry,
            const std::string& place);

  HttpClient client_;
  size_t top_;
  uint64_t vocab_size_ = 0;
  size_t max_tokens_ = 0;  // of a text
  // Of the batch: [tokens, top], of each as many as its row says.
  std::vector<int32_t> ids_;
  std::vector<float> probabilities_;
  std::vector<TeacherRow> rows_;
};

}  // namespace axk1
