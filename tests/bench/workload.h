// Shared by several measurements: the sizes of an ML1 experiment, keyed inputs, clocks, the memory
// of this process, the limits of the machine. Pure functions.
#pragma once

#include <torch/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string_view>

#include "agents/segment.h"
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

// Observations and actions of agents in one iteration that ends an episode.
agents::Segment AgentsSegment(int64_t num_agents, int64_t steps);

// Seconds that the work takes: CPU time of this thread; on a GPU the wall clock.
double SecondsOf(const kernels::Device& device, const std::function<void()>& work);

// A line of /proc/self/status in bytes: "VmRSS:" is the resident memory, "VmHWM:" its highest
// value.
double MemoryBytes(std::string_view field);

// Floating-point operations a second of one thread that runs only fused multiply-adds of floats in
// registers. It uses the vector instructions in use (isa.h), and a multiply-add counts as two. The
// best of some tries.
double FmaPeak();

// Operations of the matrix products that no program can avoid, with the sizes of ML1.

// One optimizer step of one agent, policy and value, on a minibatch
// (methods/ppo/README.md#networks).
double PpoStepFlop();
// The signal network along so many rows, lifetimes times steps; `backward`: with its gradients
// (methods/black_box/README.md#the-network).
double SignalFlop(int64_t rows, bool backward);

}  // namespace mentor::bench
