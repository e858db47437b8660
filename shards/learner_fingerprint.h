// The fingerprint of a learner's arithmetic. Learners with equal fingerprints make the same bits,
// whatever their devices, so an experiment may continue with any of them.
#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "kernels/device.h"

namespace mentor::shards {

// kArithmetic for the CPU, since FixNumerics proves it, and for a device whose kernels make the
// CPU's bits, as sound ones do. Otherwise a hash of what the device's kernels compute, as long.
std::string LearnerFingerprint(const kernels::Device& device = {});

// Computes the fingerprint of a device, which then carries it. RESOURCE_EXHAUSTED DEVICE_FULL when
// the device has no room. Call FixNumerics before.
absl::Status ProveDevice(kernels::Device* device);

// FAILED_PRECONDITION NUMERIC_MISMATCH if the device does not make the CPU's bits. For a
// meta-learner: experiments keep to learners of one kind, and nothing keeps them to outer updates
// of that kind.
absl::Status CheckBits(const kernels::Device& device);

// Results of the kernels of the inner PPO and of the LSTM signal network.
absl::StatusOr<std::vector<torch::Tensor>> KernelResults(const kernels::Device& device);

}  // namespace mentor::shards
