#include "mpi/mpi_ranks.h"

#include <dlfcn.h>

#include <exception>
#include <filesystem>
#include <string>
#include <system_error>

#include "base/error.h"
#include "mpi/plugin.h"

namespace axk1 {
namespace {

class MpiRanks final : public GradientSum {
 public:
  explicit MpiRanks(const Axk1MpiFunctions& mpi)
      : mpi_(mpi), exceptions_(std::uncaught_exceptions()) {}
  ~MpiRanks() override {
    // To finish waits for the others, who wait for this process when an error ends it.
    if (std::uncaught_exceptions() == exceptions_) mpi_.finish();
  }
  MpiRanks(const MpiRanks&) = delete;
  MpiRanks& operator=(const MpiRanks&) = delete;

  size_t rank() const override { return static_cast<size_t>(mpi_.rank); }
  size_t size() const override { return static_cast<size_t>(mpi_.size); }
  void sum(std::span<float> values) override { check(mpi_.sum_f32(values.data(), values.size())); }
  void sum(std::span<double> values) override { check(mpi_.sum_f64(values.data(), values.size())); }

 private:
  void check(int error) const {
    if (error == 0) return;
    char text[512];
    mpi_.text(error, text, sizeof text);
    fail(ErrorCode::kIo, "MPI: process ", mpi_.rank, " of ", mpi_.size, " lost the others: ", text);
  }

  const Axk1MpiFunctions& mpi_;
  int exceptions_;
};

}  // namespace

std::unique_ptr<GradientSum> join_mpi_ranks() {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  constexpr const char* kName = "libaxk1_mpi.so";
  const std::string path = folder / kName;
  if (!fs::exists(path, error)) {
    fail(ErrorCode::kUnsupported, "MPI: found no ", kName, " in ", folder.string(),
         "; it is built beside the program where Open MPI is (Debian: libopenmpi-dev)");
  }
  // RTLD_GLOBAL: MPI loads parts of its own that look for its symbols.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (!library) fail(ErrorCode::kUnsupported, path, ": cannot be loaded: ", dlerror());
  const auto start = reinterpret_cast<Axk1MpiStart>(dlsym(library, "axk1_mpi_start"));
  const Axk1MpiFunctions* mpi = start ? start() : nullptr;
  if (!mpi) fail(ErrorCode::kUnsupported, path, ": MPI cannot start");
  return std::make_unique<MpiRanks>(*mpi);
}

}  // namespace axk1
