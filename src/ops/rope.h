// Rotary position embedding (Su et al. 2021), as transformers' modeling_deepseek_v3.py applies it
// (apply_rotary_pos_emb and apply_rotary_pos_emb_interleave).
#pragma once

#include <cstddef>
#include <span>

namespace axk1 {

// cos and sin of position * inv_freq[i], times `scaling`, in f32 as transformers computes them.
// inv_freq [half]; cos, sin [half].
void rope_angles(size_t position, std::span<const float> inv_freq, float scaling, float* cos,
                 float* sin);

// Rotates x [2 * half] in place. With `interleave` the pairs are (x0,x1), (x2,x3), ...; without,
// (x0,x[half]), (x1,x[half+1]), ... Either way the result holds [all first halves | all second
// halves] of the pairs, the order of transformers; queries and keys only need the same one.
void rope(float* x, size_t half, const float* cos, const float* sin, bool interleave);

}  // namespace axk1
