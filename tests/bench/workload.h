// Shared by several measurements: the sizes of an ML1 experiment, keyed inputs, clocks, the memory
// of this process.
#pragma once

#include <torch/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string_view>

#include "kernels/device.h"

namespace mentor::bench {

// Meta-World's observation and action.
inline constexpr int64_t kObservation = 39, kAction = 4;
// The agents' hidden units, the steps of an inner iteration, and those of a minibatch, a sixteenth.
inline constexpr int64_t kHidden = 64, kSteps = 2000, kMinibatches = 16;
inline constexpr int64_t kBatch = kSteps / kMinibatches;
// An outer update: its lifetimes, their inner iterations, the steps of a piece of the outer PPO.
inline constexpr int64_t kLifetimes = 30, kIterations = 3, kPiece = 400;
// The last iteration is not trained on.
inline constexpr int64_t kTrainedSteps = (kIterations - 1) * kSteps;

// Normal numbers in float32, keyed, so that every run measures the same work.
torch::Tensor NormalTensor(torch::IntArrayRef shape, uint32_t number);

double SecondsSince(std::chrono::steady_clock::time_point start);
// Seconds that the work takes: CPU time of this thread; on a GPU the wall clock.
double SecondsOf(const learner::Device& device, const std::function<void()>& work);

// A line of /proc/self/status in bytes: "VmRSS:" is the resident memory, "VmHWM:" its highest
// value.
double MemoryBytes(std::string_view field);

}  // namespace mentor::bench
