#include "parallel/topology.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>

namespace axk1 {
namespace {

// The smallest CPU quota of this process's control group (v2) and the groups around it, rounded up
// to whole processors; 0 when there is none. "max 100000" or "150000 100000": microseconds of
// processor time in each period.
int cgroup_quota_cpus() {
  std::ifstream groups("/proc/self/cgroup");
  std::string path;
  for (std::string line; std::getline(groups, line);) {
    if (line.starts_with("0::")) path = line.substr(3);
  }
  int smallest = 0;
  while (true) {
    std::ifstream file("/sys/fs/cgroup" + path + "/cpu.max");
    double quota = 0, period = 0;
    if (file >> quota >> period && quota > 0 && period > 0) {
      const int cpus = std::max(1, static_cast<int>(std::ceil(quota / period)));
      smallest = smallest == 0 ? cpus : std::min(smallest, cpus);
    }
    if (path.empty() || path == "/") return smallest;
    path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
}

// Processors in the affinity mask. The kernel refuses a mask that is too short for the machine.
int affinity_cpus() {
  for (int bits = 1024; bits <= (1 << 20); bits *= 2) {
    cpu_set_t* set = CPU_ALLOC(bits);
    if (!set) break;
    const size_t bytes = CPU_ALLOC_SIZE(bits);
    const bool ok = ::sched_getaffinity(0, bytes, set) == 0;
    const int cpus = ok ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (ok) return cpus;
  }
  return 1;
}

}  // namespace

int usable_cpus() {
  int cpus = affinity_cpus();
  const int quota = cgroup_quota_cpus();
  if (quota > 0) cpus = std::min(cpus, quota);
  return std::max(1, cpus);
}

}  // namespace axk1
