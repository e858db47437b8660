// What a spec needs of this machine's memory, in words: before a run, and before the doctor's
// measurements.
#pragma once

#include <string>

#include <absl/status/status.h>

#include "kernels/device.h"
#include "meta_learner/experiment/spec_memory.h"

namespace mentor {

// `threads` of learner and meta-learner.
std::string MemorySentence(const meta_learner::SpecMemory& memory, int threads);
// RESOURCE_EXHAUSTED where the device has less. No other learner could take the shard, and the
// bound is exact for a device.
absl::Status CheckDeviceMemory(const meta_learner::SpecMemory& memory,
                               const learner::Device& device);
// A sentence on standard error where the machine has less.
void WarnOfMemory(const meta_learner::SpecMemory& memory, const learner::Device& device,
                  int threads);

}  // namespace mentor
