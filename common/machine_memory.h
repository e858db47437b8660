// How much memory this process may take: of the machine's, what is free or its own already, and no
// more than its control group allows. For a peer that says what work it can hold. Thread-safe.
#pragma once

#include <cstdint>
#include <filesystem>

namespace mentor {

// The smaller of the limits of its control groups (v1 and v2, those above it too) and of
// MemAvailable plus what it holds itself; 0 when nothing can be read. Other files than the kernel's
// in tests.
uint64_t MachineMemoryBytes(const std::filesystem::path& proc = "/proc",
                            const std::filesystem::path& cgroups = "/sys/fs/cgroup");

}  // namespace mentor
