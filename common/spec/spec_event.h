// Describes a run for TensorBoard: its spec as a text and as settings, under the tags of
// mentor-sync. Pure; threads may share.
#pragma once

#include <string>

#include "mentor/v1/spec.pb.h"

namespace mentor {

inline constexpr char kSpecTag[] = "spec";  // Tag of the text.

struct DescribedRun {
  std::string uid;
  double began_s = 0;       // Unix time.
  v1::ExperimentSpec spec;  // Defaults are added to it.
};
// Returns one frame of an event file (event_file.h), at step 0. The settings are for the plugin
// "hparams".
std::string SpecEvent(double wall_time_s, const DescribedRun& run);

}  // namespace mentor
