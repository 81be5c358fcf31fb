// The safetensors files of a Hugging Face model directory: model.safetensors, or the shards that
// model.safetensors.index.json names.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "formats/safetensors.h"

namespace axk1 {

// "weight_map" of an index: tensor name -> file name. Refuses file names that are not plain names
// inside the directory. Throws Error(kInvalidInput) naming `source`.
std::map<std::string, std::string> parse_safetensors_index(std::string_view text,
                                                           const std::string& source);

// Opens and checks all files. As in transformers, model.safetensors wins over an index. Every
// tensor of the index is in the file it names, and every tensor of a shard is in the index, so no
// name occurs twice over the files. Throws Error.
std::vector<SafetensorsFile> open_safetensors_dir(const std::string& dir);

}  // namespace axk1
