// The agents of model-free and neural episodic control (methods/episodic_control/README.md). For
// the inner loop "episodic_control", and for tests that plant mistakes.
#pragma once

#include <cstdint>
#include <memory>

#include "common/episodic_lookup.h"
#include "common/options.h"
#include "methods/base/inner_loop.h"
#include "methods/episodic_control/episodic_table.h"

namespace mentor::methods {

struct EpisodicConfig {
  bool nec = false;  // Otherwise MFEC.
  int64_t actions = 0;
  KeyNetwork network = {};
  v1::EpisodicSizes sizes = {};  // Without epsilon.
  int64_t capacity = 0;          // Rows of each action's table.
  double gamma = 1;
  // The new value of a row that is written again.
  EpisodicTable<float>::Rewrite rewrite = {};
  // Falls linearly over so many iterations.
  double epsilon_start = 0, epsilon_end = 0;
  int64_t epsilon_iterations = 1;
  // NEC only.
  int64_t n = 0;       // Steps of a target.
  int64_t replay = 0;  // Steps that are kept for training.
  int64_t batch = 0, gradient_steps = 0;
  double learning_rate = 0;  // 0: the encoder stays as it is.
  bool refresh_keys = true;
  bool bootstraps = false;  // A value follows episodes that a limit of steps cut.

  bool trains() const { return nec && gradient_steps > 0 && learning_rate > 0; }
  double EpsilonAt(int64_t iteration) const;
};

// The options must be within their ranges.
EpisodicConfig ReadEpisodicControl(const OptionValues& options, const v1::Shard& shard);

std::unique_ptr<InnerLoop> MakeEpisodicControl(InnerLoopContext context, EpisodicConfig config);

}  // namespace mentor::methods
