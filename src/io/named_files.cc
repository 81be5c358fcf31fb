#include "io/named_files.h"

#include <utility>

#include "base/error.h"
#include "io/file.h"

namespace axk1 {

NamedFiles::NamedFiles(std::string directory) : path_(std::move(directory)) {}

NamedFiles::NamedFiles(std::string path, std::map<std::string, std::string> contents)
    : path_(std::move(path)), in_memory_(true), contents_(std::move(contents)) {}

bool NamedFiles::contains(const std::string& name) const {
  return in_memory_ ? contents_.contains(name) : file_exists(place(name));
}

std::string NamedFiles::read(const std::string& name, uint64_t max_bytes) const {
  if (!in_memory_) return read_file(place(name), max_bytes);
  const auto at = contents_.find(name);
  if (at == contents_.end()) fail(ErrorCode::kNotFound, path_, ": has no ", name, " inside");
  if (at->second.size() > max_bytes) {
    fail(ErrorCode::kInvalidInput, place(name), ": has ", at->second.size(),
         " bytes, more than the ", max_bytes, " that a file of this kind may have");
  }
  return at->second;
}

std::string NamedFiles::place(const std::string& name) const {
  return in_memory_ ? cat(path_, ": ", name) : cat(path_, "/", name);
}

}  // namespace axk1
