// The processes that mpirun started, as a training run sees them.
#pragma once

#include <memory>

#include "train/gradient_sum.h"

namespace axk1 {

// Loads libaxk1_mpi.so from the program's folder, and joins the others.
// Call once. The result must be used by one thread, and go when all processes are done; one that an
// error ends instead leaves without a word to the others, and mpirun then ends them. Throws
// Error(kUnsupported) when the library is not there (this build found no MPI) or MPI cannot start.
std::unique_ptr<GradientSum> join_mpi_ranks();

}  // namespace axk1
