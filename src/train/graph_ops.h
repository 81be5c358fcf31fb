// What the graph of training is computed with. Two classes have these members: ReferenceOps<T>
// (train/reference_ops.h), plain loops in float or double, and FastOps (train/fast_ops.h).
//
// All arrays are row-major and of the class's Scalar. Rows are tokens, n of them, unless said
// otherwise. What has a parameter takes it by its place in the arena; gradients of parameters are
// added to, and gradients of activations are written unless `accumulate`.
#pragma once

#include <cstddef>
#include <cstdint>

#include "train/param_layout.h"

namespace axk1 {

// Rows [first_row, first_row + num_rows) of an activation, and the matrix that multiplies them. The
// groups of one product have matrices of one shape.
struct RowGroup {
  MatrixParam w;
  size_t first_row = 0, num_rows = 0;
};

// Expanded MLA over rows of packed documents.
struct AttentionShape {
  size_t num_heads = 0, nope = 0, rope = 0, v = 0;
  double scale = 1;  // of q.k before the softmax
  size_t rows = 0, row_length = 0;
  const int32_t* positions = nullptr;  // [rows, row_length]; see TrainBatch

  size_t qk() const { return nope + rope; }
  size_t num_tokens() const { return rows * row_length; }
};

// [tokens, ..] each. k of a head is its part of kv beside the shared k_rope.
template <class T>
struct AttentionInput {
  const T* q;       // [heads * (nope + rope)], rotated
  const T* kv;      // [heads * (nope + v)]
  const T* k_rope;  // [rope], rotated
};
template <class T>
struct AttentionGradient {
  T* q;
  T* kv;
  T* k_rope;
};

// A rotation of x [n, num_heads] pieces of 2 * half numbers.
struct RopeShape {
  size_t num_heads = 1;
  size_t row_stride = 0, head_stride = 0;
  size_t half = 0;
  bool interleave = true;  // as ops/rope.h
};

}  // namespace axk1
