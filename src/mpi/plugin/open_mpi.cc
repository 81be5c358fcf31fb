// libaxk1_mpi.so over the MPI that was there when it was built.
#include <mpi.h>

#include <algorithm>
#include <cstring>

#include "mpi/plugin.h"

namespace {

constexpr size_t kAtOnce = size_t{1} << 28;  // MPI counts in int

template <class T>
int sum(T* values, size_t count, MPI_Datatype type) {
  for (size_t done = 0; done < count; done += kAtOnce) {
    const int n = static_cast<int>(std::min(kAtOnce, count - done));
    const int error = MPI_Allreduce(MPI_IN_PLACE, values + done, n, type, MPI_SUM, MPI_COMM_WORLD);
    if (error != MPI_SUCCESS) return error;
  }
  return MPI_SUCCESS;
}

void text_of(int error, char* out, size_t size) {
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  if (MPI_Error_string(error, text, &length) != MPI_SUCCESS) length = 0;
  const size_t n = std::min(static_cast<size_t>(length), size - 1);
  std::memcpy(out, text, n);
  out[n] = '\0';
}

Axk1MpiFunctions functions;

}  // namespace

extern "C" __attribute__((visibility("default"))) const Axk1MpiFunctions* axk1_mpi_start() {
  int level = 0;
  if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &level) != MPI_SUCCESS) return nullptr;
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_rank(MPI_COMM_WORLD, &functions.rank);
  MPI_Comm_size(MPI_COMM_WORLD, &functions.size);
  functions.sum_f32 = [](float* values, size_t count) { return sum(values, count, MPI_FLOAT); };
  functions.sum_f64 = [](double* values, size_t count) { return sum(values, count, MPI_DOUBLE); };
  functions.text = text_of;
  functions.finish = [] { MPI_Finalize(); };
  return &functions;
}
