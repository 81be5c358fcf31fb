// The config.json of a ModelConfig, for models that are made here.
#pragma once

#include "io/json.h"
#include "model/config.h"

namespace axk1 {

// parse_model_config reads it back to the same config (but for group_score and lora_norm_eps, which
// no config.json says).
json::object model_config_json(const ModelConfig& config);

}  // namespace axk1
