// The memory that this process may use: free memory of the machine plus its own, up to the limit of
// its control group. Peers report it to say how much work they can hold. Thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>

namespace mentor {

// Returns the smaller of two limits. One is the limit of its control groups (v1 and v2, with their
// ancestors), the other is MemAvailable plus the process's own memory. Returns 0 if nothing can be
// read. Tests pass other folders than the kernel's.
uint64_t MachineMemoryBytes(const std::filesystem::path& proc = "/proc",
                            const std::filesystem::path& cgroups = "/sys/fs/cgroup");

// The greatest memory of this process so far.
double PeakMemoryBytes();

}  // namespace mentor
