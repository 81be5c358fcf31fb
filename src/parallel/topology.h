// What processors this process may use.
#pragma once

namespace axk1 {

// Processors in the affinity mask, but no more than the cgroup's CPU quota rounded up; at least 1.
int usable_cpus();

}  // namespace axk1
