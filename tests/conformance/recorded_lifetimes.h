// Random lifetimes with signals that a network really gave: what conformance suites of networks and
// rules feed in.
#pragma once

#include "mentor/v1/spec.pb.h"
#include "signals/signal_network.h"
#include "tests/torch_testing.h"

namespace mentor::testing {

inline constexpr int64_t kObservationSize = 3, kActionSize = 2;

// Actions are choices for rules whose example names a benchmark, since the others do not suit them.
inline bool WantsChoices(const v1::ExperimentSpec& spec) {
  return spec.benchmark().name() != "none";
}

inline torch::Tensor RandomNormals(at::IntArrayRef shape, uint64_t seed,
                                   torch::Dtype dtype = torch::kFloat32) {
  return torch::randn(shape, at::detail::createCPUGenerator(seed), torch::dtype(torch::kFloat64))
      .to(dtype);
}

// Observations, actions, outcomes and episode borders of S lifetimes with T steps, without signals.
// Episodes have 10 steps.
inline agents::Segment RandomSegment(int64_t lifetimes, int64_t steps, uint64_t seed) {
  agents::Segment segment;
  segment.observations = RandomNormals({lifetimes, steps, kObservationSize}, seed);
  segment.actions = RandomNormals({lifetimes, steps, kActionSize}, seed + 1);
  segment.log_probs = -RandomNormals({lifetimes, steps}, seed + 2).abs() - 1;
  segment.shaped_rewards = RandomNormals({lifetimes, steps}, seed + 3, torch::kFloat64).abs() + 0.5;
  segment.successes = (RandomNormals({lifetimes, steps}, seed + 4) > 1).to(torch::kFloat32);
  segment.success_signals = segment.successes * 0.7;
  segment.prev_done = torch::zeros({lifetimes, steps});
  for (int64_t t = 10; t < steps; t += 10) segment.prev_done.select(1, t).fill_(1);
  segment.last_done = torch::zeros({lifetimes});
  segment.next_observations = RandomNormals({lifetimes, kObservationSize}, seed + 5);
  segment.values = RandomNormals({lifetimes, steps}, seed + 6);
  segment.last_values = RandomNormals({lifetimes}, seed + 7);
  return segment;
}

// Steps begin .. begin + length of a segment.
inline agents::Segment Piece(const agents::Segment& segment, int64_t begin, int64_t length) {
  agents::Segment piece;
  for (auto member :
       {&agents::Segment::observations, &agents::Segment::actions, &agents::Segment::log_probs,
        &agents::Segment::shaped_rewards, &agents::Segment::successes,
        &agents::Segment::success_signals, &agents::Segment::prev_done, &agents::Segment::values}) {
    piece.*member = (segment.*member).narrow(1, begin, length).contiguous();
  }
  const int64_t end = begin + length;
  if (end == segment.prev_done.size(1)) {
    piece.last_done = segment.last_done;
    piece.next_observations = segment.next_observations;
    piece.last_values = segment.last_values;
  } else {
    piece.last_done = segment.prev_done.select(1, end).clone();
    piece.next_observations = segment.observations.select(1, end).clone();
    piece.last_values = segment.values.select(1, end).clone();
  }
  return piece;
}

// The signals used one step before.
inline torch::Tensor Previous(const torch::Tensor& signals) {
  return torch::cat({torch::zeros({signals.size(0), 1}), signals.narrow(1, 0, signals.size(1) - 1)},
                    1);
}

}  // namespace mentor::testing
