// This machine's part in a command: actors, threads and a device, and what a spec needs of its
// memory.
#pragma once

#include <algorithm>
#include <string>
#include <thread>

#include <absl/status/statusor.h>

#include "kernels/flags/device_flags.h"
#include "meta_learner/experiment/spec_memory.h"

namespace mentor {

struct MachineFlags {
  int actors = 1;
  // Each actor, the learner and the meta-learner have as many.
  int threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  kernels::DeviceFlags device = {};
};
// Adds --actors, --threads and --device.
void AddMachineFlags(CLI::App* command, MachineFlags* flags);

std::string MemorySentence(const meta_learner::SpecMemory& memory, int threads);
// Opens the device and proves its arithmetic. All errors are those of a flag. With `memory`:
// RESOURCE_EXHAUSTED where the device has less, and a sentence on standard error where the machine
// has less. The bound is exact for a device, and no other learner could take the shard.
absl::StatusOr<kernels::Device> OpenProved(const MachineFlags& flags,
                                           const meta_learner::SpecMemory* memory = nullptr);

}  // namespace mentor
