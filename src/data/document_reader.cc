#include "data/document_reader.h"

#include <sys/stat.h>
#include <zstd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "io/errno_error.h"

namespace axk1 {
namespace {

constexpr std::string_view kZst = ".zst";

bool is_jsonl(std::string_view path) {
  if (path.ends_with(kZst)) path.remove_suffix(kZst.size());
  return path.ends_with(".jsonl") || path.ends_with(".ndjson");
}

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos;
}

bool begins_with_space(std::string_view line) {
  return line.empty() || std::strchr(" \t\r\n\v\f", line[0]) != nullptr;
}

}  // namespace

// The bytes of one file, decompressed.
class DocumentReader::Source {
 public:
  Source(const std::string& path, size_t max_line_bytes)
      : path_(path),
        max_line_bytes_(max_line_bytes),
        file_(std::fopen(path.c_str(), "rbe")),
        in_(size_t{1} << 17) {
    if (!file_) fail_errno(path, "open");
    if (path.ends_with(kZst)) {
      stream_.reset(ZSTD_createDStream());
      AXK1_CHECK(stream_ != nullptr);
      out_.resize(ZSTD_DStreamOutSize());
    }
  }

  // Appends up to and with the next line end; false at the end of the file.
  bool read_line(std::string& line) {
    while (true) {
      if (at_ == have_.size()) {
        if (!fill()) return !line.empty();
      }
      const std::string_view rest = have_.substr(at_);
      const size_t end = rest.find('\n');
      const size_t count = end == std::string_view::npos ? rest.size() : end + 1;
      if (line.size() + count > max_line_bytes_) {
        fail(ErrorCode::kInvalidInput, path_, ": has a line of more than ", max_line_bytes_,
             " bytes, expected less");
      }
      line.append(rest.substr(0, count));
      at_ += count;
      if (end != std::string_view::npos) return true;
    }
  }

  uint64_t bytes_read() const { return bytes_read_; }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
    void operator()(ZSTD_DStream* stream) const { ZSTD_freeDStream(stream); }
  };

  size_t read_file() {
    const size_t count = std::fread(in_.data(), 1, in_.size(), file_.get());
    if (count == 0 && std::ferror(file_.get())) fail_errno(path_, "read");
    bytes_read_ += count;
    return count;
  }

  // Makes have_ the next bytes; false when there are none.
  bool fill() {
    at_ = 0;
    if (!stream_) {
      have_ = {in_.data(), read_file()};
      return !have_.empty();
    }
    while (true) {
      if (input_.pos == input_.size && !more_out_) {
        const size_t count = read_file();
        if (count == 0) {
          if (frame_open_) {
            fail(ErrorCode::kInvalidInput, path_,
                 ": ends within a Zstandard frame, expected the rest of it");
          }
          have_ = {};
          return false;
        }
        input_ = {in_.data(), count, 0};
      }
      ZSTD_outBuffer output{out_.data(), out_.size(), 0};
      const size_t left = ZSTD_decompressStream(stream_.get(), &output, &input_);
      if (ZSTD_isError(left)) {
        fail(ErrorCode::kInvalidInput, path_,
             ": is not valid Zstandard data: ", ZSTD_getErrorName(left));
      }
      frame_open_ = left != 0;
      more_out_ = output.pos == output.size;
      if (output.pos > 0) {
        have_ = {out_.data(), output.pos};
        return true;
      }
    }
  }

  const std::string& path_;
  size_t max_line_bytes_;
  std::unique_ptr<std::FILE, Close> file_;
  std::unique_ptr<ZSTD_DStream, Close> stream_;
  std::vector<char> in_, out_;
  ZSTD_inBuffer input_{nullptr, 0, 0};
  bool frame_open_ = false, more_out_ = false;
  std::string_view have_;
  size_t at_ = 0;
  uint64_t bytes_read_ = 0;
};

DocumentReader::DocumentReader(std::vector<std::string> paths, TextUnit unit, size_t max_unit_bytes)
    : paths_(std::move(paths)), unit_(unit), max_unit_bytes_(max_unit_bytes) {
  for (const std::string& path : paths_) {
    struct stat status;
    if (::stat(path.c_str(), &status) != 0) fail_errno(path, "open");
    if (S_ISDIR(status.st_mode)) fail(ErrorCode::kIo, path, ": is a directory, expected a file");
    bytes_total_ += static_cast<uint64_t>(status.st_size);
  }
}

DocumentReader::~DocumentReader() = default;

uint64_t DocumentReader::bytes_done() const {
  return bytes_before_ + (source_ ? source_->bytes_read() : 0);
}

std::string DocumentReader::place(const RawDocument& document) const {
  return cat(paths_[document.file_idx], ":", document.line);
}

void DocumentReader::open_next() {
  bytes_before_ = bytes_done();
  source_.reset();
  is_json_ = is_jsonl(paths_[next_file_]);
  source_ = std::make_unique<Source>(paths_[next_file_++], max_unit_bytes_);
  line_ = 0;
}

bool DocumentReader::next_line(std::string& line) {
  if (has_pending_) {
    line.swap(pending_);
    has_pending_ = false;
    return true;
  }
  line.clear();
  if (!source_->read_line(line)) return false;
  ++line_;
  return true;
}

bool DocumentReader::next_in_file(RawDocument& document) {
  std::string line;
  do {
    if (!next_line(line)) return false;
  } while ((is_json_ || unit_ == TextUnit::kParagraphs) && is_blank(line));
  document.line = line_;
  document.is_json = is_json_;
  document.bytes.swap(line);
  if (is_json_) return true;
  while (next_line(line)) {
    const bool cut = unit_ == TextUnit::kLines        ? !begins_with_space(line)
                     : unit_ == TextUnit::kParagraphs ? is_blank(line)
                                                      : false;
    if (cut) {
      pending_.swap(line);
      has_pending_ = true;
      break;
    }
    if (document.bytes.size() + line.size() > max_unit_bytes_) {
      fail(ErrorCode::kInvalidInput, place(document), ": begins a text of more than ",
           max_unit_bytes_, " bytes, expected less");
    }
    document.bytes += line;
  }
  return true;
}

bool DocumentReader::next(RawDocument& document) {
  while (true) {
    if (source_) {
      document.file_idx = next_file_ - 1;
      if (next_in_file(document)) return true;
    }
    if (next_file_ == paths_.size()) return false;
    open_next();
  }
}

std::vector<std::string> texts_of(const RawDocument& document,
                                  const std::vector<std::string>& fields,
                                  const std::string& place) {
  if (!document.is_json) return {document.bytes};
  return texts_of(json::parse(document.bytes, place), fields, place);
}

std::vector<std::string> texts_of(const json::value& object, const std::vector<std::string>& fields,
                                  const std::string& place) {
  const json::ObjectReader reader(object, place);
  std::vector<std::string> texts;
  for (const std::string& field : fields) texts.push_back(reader.get_string(field));
  if (!fields.empty()) return texts;
  if (reader.find("text")) return {reader.get_string("text")};
  const json::value* messages = reader.find("messages");
  if (!messages) {
    std::string names;
    for (const auto& [name, value] : reader.fields()) {
      names += cat(names.empty() ? "" : ", ", printable({name.data(), name.size()}, 40));
    }
    fail(ErrorCode::kInvalidInput, place, ": found the fields ", printable(names),
         "; expected \"text\", \"messages\", or another field by its name");
  }
  if (!messages->is_array()) reader.wrong("messages", *messages, "an array");
  for (const json::value& message : messages->get_array()) {
    const json::ObjectReader fields_of(message, place + ": messages");
    for (const char* name : {"reasoning_content", "content"}) {
      const json::value* content = fields_of.find(name);
      if (content && content->is_string()) texts.emplace_back(content->get_string());
    }
  }
  return texts;
}

}  // namespace axk1
