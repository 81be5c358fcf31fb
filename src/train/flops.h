// How much arithmetic training is.
#pragma once

#include "model/config.h"
#include "train/batch.h"

namespace axk1 {

// Multiplications and additions of forward and backward over the batch: three times those of the
// forward pass, in which a token multiplies every weight that it uses once (the embedding is a
// look-up) and attends to itself and positions[i] tokens before it. A layer of multi-token
// prediction that the config names counts likewise, with the head once more. Norms, rotations and
// the softmax are not counted.
double training_flops(const ModelConfig& config, const TrainBatch& batch);

}  // namespace axk1
