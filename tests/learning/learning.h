// Shared by the learning tests: a ready spec run through the real services in one process, its
// results, and rules that are broken on purpose.
#pragma once

#include <torch/types.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mentor/v1/evaluation.pb.h"
#include "mentor/v1/spec.pb.h"
#include "signals/signal_network.h"

namespace mentor::testing {

// experiments/FILE with overrides, checked. Every registered rule has a twin NAME_flipped,
// whose steps go the other way.
v1::ExperimentSpec ReadySpec(const std::string& file, const std::vector<std::string>& overrides);

struct Learned {
  std::vector<v1::EvaluationShard> evaluation;
  std::map<std::string, std::vector<double>> metrics;  // One number for each outer update, by name.
  std::string hash;
  torch::Tensor meta_parameters;                          // [Q]: after the last outer update
  std::shared_ptr<const signals::SignalNetwork> network;  // Null: the rule has none.

  // Means of an episode by inner iteration, on unseen goals, by method.
  std::map<std::string, std::vector<double>> Successes() const;
  std::map<std::string, std::vector<double>> Returns() const;
  // Mean of a metric over the last `count` outer updates.
  double Last(const std::string& metric, size_t count) const;
};

// Runs the experiment with this many actors and threads.
Learned Run(const v1::ExperimentSpec& spec, int workers = 2);
Learned Run(const std::string& file, const std::vector<std::string>& overrides);

// Any number of actors and threads gives the same bits.
void CheckSameBits(const std::string& file, const std::vector<std::string>& overrides);

}  // namespace mentor::testing
