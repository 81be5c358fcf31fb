// Texts out of files, one after the other, in memory that does not depend on their size: plain text
// and JSON lines, either compressed with Zstandard or not.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"

namespace axk1 {

// Where a text file is cut. A file whose name ends in .jsonl, or .jsonl.zst, has one JSON object in
// each line instead.
enum class TextUnit {
  kLines,       // behind every line that one follows which does not begin with white space
  kParagraphs,  // at blank lines
  kFile,        // nowhere
};

// A line of JSON, or a unit of text, as it is in the file.
struct RawDocument {
  std::string bytes;
  size_t file_idx = 0;
  uint64_t line = 0;  // where it begins, from 1
  bool is_json = false;
};

// One thread at a time. Errors name the file: Error(kIo, kNotFound), kInvalidInput for damaged
// compression and for a unit of more than max_unit_bytes.
class DocumentReader {
 public:
  // Looks whether all files are there.
  DocumentReader(std::vector<std::string> paths, TextUnit unit,
                 size_t max_unit_bytes = size_t{64} << 20);
  ~DocumentReader();
  DocumentReader(const DocumentReader&) = delete;
  DocumentReader& operator=(const DocumentReader&) = delete;

  // The next one that is not empty; false behind the last.
  bool next(RawDocument& document);

  // For progress: bytes of the files as they are on the disk.
  uint64_t bytes_total() const { return bytes_total_; }
  uint64_t bytes_done() const;

  const std::string& path(size_t file_idx) const { return paths_[file_idx]; }
  std::string place(const RawDocument& document) const;  // "FILE:LINE"

 private:
  class Source;
  bool next_line(std::string& line);
  bool next_in_file(RawDocument& document);
  void open_next();

  std::vector<std::string> paths_;
  TextUnit unit_;
  size_t max_unit_bytes_;
  size_t next_file_ = 0;
  std::unique_ptr<Source> source_;  // of file next_file_ - 1
  bool is_json_ = false;
  uint64_t line_ = 0;  // lines read so far
  bool has_pending_ = false;
  std::string pending_;  // a line that begins the next unit
  uint64_t bytes_total_ = 0, bytes_before_ = 0;
};

// The texts of a document: of a JSON object those of `fields`, each by itself; without fields
// `text`, or else what the `messages` say. Throws Error(kInvalidInput), beginning with `place`, for
// JSON that is wrong or has none of these. An object may hold other fields.
std::vector<std::string> texts_of(const RawDocument& document,
                                  const std::vector<std::string>& fields, const std::string& place);
// The same of the parsed object.
std::vector<std::string> texts_of(const json::value& object, const std::vector<std::string>& fields,
                                  const std::string& place);

}  // namespace axk1
