#include "formats/safetensors_dir.h"

#include "io/file.h"
#include "io/json.h"

namespace axk1 {
namespace {

constexpr size_t kMaxShards = 10'000;  // the largest releases have a few hundred

bool is_plain_file_name(std::string_view name) {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

}  // namespace

std::map<std::string, std::string> parse_safetensors_index(std::string_view text,
                                                           const std::string& source) {
  const json::value index = json::parse(text, source);
  const json::ObjectReader reader(index, source);
  const json::value& entries = reader.get("weight_map");
  if (!entries.is_object()) reader.wrong("weight_map", entries, "an object of file names");
  std::map<std::string, std::string> weight_map;
  for (const auto& [tensor, file] : entries.get_object()) {
    if (!file.is_string() || !is_plain_file_name(file.get_string())) {
      fail(ErrorCode::kInvalidInput, source, ": tensor \"", printable(tensor), "\": found file ",
           printable(json::to_text(file)),
           ", expected the plain name of a file in the same directory");
    }
    weight_map.emplace(std::string(tensor), std::string(file.get_string()));
  }
  if (weight_map.empty()) {
    fail(ErrorCode::kInvalidInput, source, ": \"weight_map\" names no tensor");
  }
  return weight_map;
}

std::vector<SafetensorsFile> open_safetensors_dir(const std::string& dir) {
  std::vector<SafetensorsFile> files;
  const std::string single = dir + "/model.safetensors";
  if (file_exists(single)) {
    files.emplace_back(single);
    return files;
  }
  const std::string index_path = dir + "/model.safetensors.index.json";
  if (!file_exists(index_path)) {
    fail(ErrorCode::kNotFound, dir,
         ": holds neither model.safetensors nor model.safetensors.index.json");
  }
  const auto weight_map =
      parse_safetensors_index(read_file(index_path, kMaxSafetensorsHeaderBytes), index_path);
  std::map<std::string, std::string> first_tensor;  // of each shard, for messages
  for (const auto& [tensor, file] : weight_map) first_tensor.emplace(file, tensor);
  if (first_tensor.size() > kMaxShards) {
    fail(ErrorCode::kInvalidInput, index_path, ": names ", first_tensor.size(),
         " files, expected at most ", kMaxShards);
  }
  std::map<std::string_view, size_t> file_idx;
  for (const auto& [file, tensor] : first_tensor) {
    const std::string path = dir + "/" + file;
    if (!file_exists(path)) {
      fail(ErrorCode::kNotFound, path, ": is missing; ", index_path,
           " says that it holds tensor \"", printable(tensor), "\"");
    }
    file_idx.emplace(file, files.size());
    files.emplace_back(path);
  }
  for (const auto& [tensor, file] : weight_map) {
    const SafetensorsFile& shard = files[file_idx[file]];
    if (shard.find(tensor)) continue;
    std::string elsewhere;
    for (const SafetensorsFile& other : files) {
      if (other.find(tensor)) elsewhere = cat("; it is in ", other.path());
    }
    fail(ErrorCode::kInvalidInput, shard.path(), ": does not hold tensor \"", printable(tensor),
         "\", which ", index_path, " puts there", elsewhere);
  }
  for (const SafetensorsFile& shard : files) {
    for (const TensorInfo& tensor : shard.tensors()) {
      const auto entry = weight_map.find(tensor.name);
      if (entry == weight_map.end()) {
        fail(ErrorCode::kInvalidInput, shard.path(), ": tensor \"", printable(tensor.name),
             "\" is not in ", index_path);
      }
      const std::string& owner = files[file_idx[entry->second]].path();
      if (owner != shard.path()) {
        fail(ErrorCode::kInvalidInput, shard.path(), ": tensor \"", printable(tensor.name),
             "\" occurs twice: ", owner, " holds it too");
      }
    }
  }
  return files;
}

}  // namespace axk1
