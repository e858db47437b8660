// Signal networks and recorded lifetimes from golden files, and small random ones.
#pragma once

#include <absl/strings/str_cat.h>

#include "signals/signal_network.h"
#include "tests/golden.h"
#include "tests/specs.h"

namespace mentor::testing {

struct NetworkSizes {
  int64_t observation_size = 3, action_size = 2;
  int64_t enc1 = 12, enc2 = 4, lstm = 6, heads = 7, critic = 9;
  double initial_std = 0.2;
  bool both = false;  // The network lstm_both.
  int64_t episode_steps = 0;
};

inline v1::SignalSpec LstmSpec(const NetworkSizes& sizes) {
  v1::SignalSpec spec;
  if (sizes.both) spec.set_name("lstm_both");
  SetOption(&spec, "enc1", absl::StrCat(sizes.enc1));
  SetOption(&spec, "enc2", absl::StrCat(sizes.enc2));
  SetOption(&spec, "lstm", absl::StrCat(sizes.lstm));
  SetOption(&spec, "heads", absl::StrCat(sizes.heads));
  SetOption(&spec, "critic", absl::StrCat(sizes.critic));
  SetOption(&spec, "initial_std", absl::StrCat(sizes.initial_std));
  return spec;
}

inline std::unique_ptr<signals::SignalNetwork> MakeLstm(const NetworkSizes& sizes,
                                                        v1::SignalInput input = v1::SUCCESS,
                                                        const kernels::Device& device = {}) {
  Violations violations;
  auto network = signals::MakeSignalNetwork(LstmSpec(sizes),
                                            {.observation_size = sizes.observation_size,
                                             .action_size = sizes.action_size,
                                             .role = v1::REWARD,
                                             .input = input,
                                             .episode_steps = sizes.episode_steps,
                                             .device = device},
                                            &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(network != nullptr);
  return network;
}

inline NetworkSizes GoldenSizes(const Json& json, double initial_std) {
  return {.observation_size = json.at("D"),
          .action_size = json.at("A"),
          .enc1 = json.at("E1"),
          .enc2 = json.at("E2"),
          .lstm = json.at("H"),
          .heads = json.at("M"),
          .critic = json.at("C"),
          .initial_std = initial_std};
}

// Named tensors as one flat [P].
inline torch::Tensor GoldenFlat(const agents::ParamLayout& layout, const Json& named,
                                torch::Dtype dtype) {
  std::vector<torch::Tensor> parts;
  for (const agents::ParamSlice& slice : layout.slices()) {
    const torch::Tensor part = ToTensor(named.at(slice.name), dtype);
    REQUIRE(part.sizes().vec() == slice.shape);
    parts.push_back(part.reshape({-1}));
  }
  return torch::cat(parts);
}

// The recorded inputs of a case.
inline agents::Segment GoldenSegment(const Json& inputs, torch::Dtype dtype) {
  agents::Segment segment;
  segment.observations = ToTensor(inputs.at("obs"), dtype);
  segment.actions = ToTensor(inputs.at("act"), dtype);
  segment.log_probs = ToTensor(inputs.at("logp"), dtype);
  segment.success_signals = ToTensor(inputs.at("success"), dtype);
  segment.prev_done = ToTensor(inputs.at("prev_done"), dtype);
  if (inputs.contains("signal")) {
    segment.signals = ToTensor(inputs.at("signal"), dtype);
    segment.signal_log_probs = ToTensor(inputs.at("signal_logp"), dtype);
  }
  return segment;
}

// Relative to the greatest number of the tensor, for float32
// (tests/data/golden/README.md#tolerances).
inline Tolerance Float32Tolerance(const torch::Tensor& want, double relative) {
  return {.rel = relative, .abs = want.numel() ? relative * want.abs().max().item<double>() : 0};
}

}  // namespace mentor::testing
