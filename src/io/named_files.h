// The small files of a model by name ("config.json", "tokenizer.json", ...): those of a directory,
// or those that one file carries inside.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace axk1 {

// Copies are independent; any thread may read.
class NamedFiles {
 public:
  explicit NamedFiles(std::string directory);
  // `path` names the file that carried them, for messages.
  NamedFiles(std::string path, std::map<std::string, std::string> contents);

  const std::string& path() const { return path_; }
  bool contains(const std::string& name) const;
  // Throws Error(kNotFound) naming the place, kInvalidInput above max_bytes, kIo.
  std::string read(const std::string& name, uint64_t max_bytes) const;
  // What messages call the file: its path, or "PATH: NAME".
  std::string place(const std::string& name) const;

 private:
  std::string path_;
  bool in_memory_ = false;
  std::map<std::string, std::string> contents_;
};

}  // namespace axk1
