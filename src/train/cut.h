// First weights of a student, cut from a larger model of the same graph.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "train/param_store.h"

namespace axk1 {

struct CutOptions {
  std::string source;  // a Hugging Face directory or a k1pack file, which may be quantised
  // The source's layer that each layer of the student comes from, ascending. Empty: spread evenly,
  // the first and the last among them.
  std::vector<int64_t> layers;
};

struct CutReport {
  std::vector<int64_t> layers;         // as above
  std::vector<std::string> untouched;  // tensors without a counterpart: they stay as they were
};

// Overwrites the student's weights with rows and columns of the source's: of every width those
// whose weights are largest (Minitron, arXiv 2407.14679, prunes the same widths, by activations),
// in the order that they have there.
//   hidden size       by the squares of the embedding's column and of the rows that the kept layers
//                     add to it, each matrix scaled to the same sum; one choice for the whole model
//   heads             by |o_proj| times |kv_b_proj|'s rows of values, of each layer
//   query and key-value latents   by |norm| times |the column of q_b_proj or kv_b_proj|
//   neurons of an MLP by |gate| |up| |down|
//   routed experts    by |the router's row|, of each group if both have as many
// A layer of multi-token prediction comes from the source's, where both have one. A width that is
// equal stays whole. So a source that is the student with anything of zeros added
// gives back the student.
//
// The source is read tensor by tensor; memory is that of its largest. Throws Error: as
// open_checkpoint; kInvalidInput where the student is larger than the source, or differs in
// vocabulary, the parts of a head, how positions turn them, or the form of queries; or for layers
// that are out of range.
CutReport cut_from(const CutOptions& options, ParamStore& student);

}  // namespace axk1
