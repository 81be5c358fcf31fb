// What the program finds in libaxk1_mpi.so, which alone links MPI: so the program runs where there
// is none. Plain C types, since the two are linked apart.
#pragma once

#include <cstddef>

extern "C" {

// Sums over all processes, in place; 0, or an error that `text` explains.
struct Axk1MpiFunctions {
  int rank;
  int size;
  int (*sum_f32)(float* values, size_t count);
  int (*sum_f64)(double* values, size_t count);
  void (*text)(int error, char* out, size_t size);
  void (*finish)();  // when all processes are done
};

// Joins the processes that mpirun started. Called once, by the thread that makes all other calls;
// null when MPI cannot start.
using Axk1MpiStart = const Axk1MpiFunctions* (*)();
const Axk1MpiFunctions* axk1_mpi_start();

}  // extern "C"
