// The state of a training run in a file: docs/formats.md, "Training checkpoints".
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/file.h"
#include "io/json.h"

namespace axk1 {

struct CheckpointSection {
  std::string name;
  std::span<const std::byte> bytes;
};

// The file appears under its name when it is whole and on the disk. Throws Error(kIo, kNotFound).
void write_run_checkpoint(const std::string& path, const json::object& state,
                          std::span<const CheckpointSection> sections);

// A checkpoint, mapped; construction checks the structure and every checksum. Throws Error that
// names the file and what is wrong with it. Any thread may read.
class RunCheckpoint {
 public:
  explicit RunCheckpoint(const std::string& path);
  // A file's bytes, which must outlive it; `path` is named in messages.
  RunCheckpoint(std::span<const std::byte> bytes, std::string path);

  const std::string& path() const { return path_; }
  const json::value& state() const { return state_; }  // an object
  bool contains(std::string_view name) const;
  // Throws Error(kInvalidInput) when there is none, or one of another size.
  std::span<const std::byte> section(std::string_view name, size_t bytes) const;

 private:
  void read(std::span<const std::byte> bytes);

  std::optional<MappedFile> file_;
  std::string path_;
  json::value state_;
  std::vector<CheckpointSection> sections_;
};

// The checkpoints of a run: files step-NNNNNNNNNN.ckpt in one folder, the number being the steps
// that are done.
class CheckpointFolder {
 public:
  explicit CheckpointFolder(std::string path) : path_(std::move(path)) {}

  std::string file(uint64_t steps_done) const;
  std::vector<uint64_t> steps() const;  // ascending; empty without folder

  // The newest checkpoint that is whole, or nothing. `warn` is told of each newer one that is not.
  std::optional<RunCheckpoint> newest(const std::function<void(const std::string&)>& warn) const;
  // Makes the folder, writes, and removes all but the newest `keep`, and what writers that were
  // killed left behind.
  void save(uint64_t steps_done, const json::object& state,
            std::span<const CheckpointSection> sections, size_t keep) const;

 private:
  std::string path_;
};

}  // namespace axk1
