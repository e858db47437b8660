// Experiments that differ in some fields of their spec and in the seed: which there are, how they
// are called, and in which fields those of a group differ. Pure. Errors are INVALID_ARGUMENT, name
// the flag and say what to give.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>

#include "mentor/v1/experiment.pb.h"

namespace mentor::ctl {

// So many experiments are one sweep at most: more are a mistake, or several sweeps.
inline constexpr size_t kSweepMax = 1000;
// The label that experiments of a sweep have: its value is the sweep's name.
inline constexpr char kSweepLabel[] = "sweep";

// A field of the spec and what it is set to, one after the other.
struct GridAxis {
  std::string path;
  std::vector<std::string> values;
};
// "rule.learning_rate=1e-4,3e-4". Where a value has commas of its own, as lists have,
// semicolons stand between the values.
absl::StatusOr<GridAxis> ParseGridAxis(std::string_view text);
// "1-5", "1,2,7", "1-3,10": rising, each once.
absl::StatusOr<std::vector<uint64_t>> ParseSeeds(std::string_view text);

struct SweepPoint {
  std::string id;
  std::vector<std::pair<std::string, std::string>> settings;  // By path.
  uint64_t seed = 0;
  bool has_seed = false;

  std::vector<std::string> Overrides() const;
};
// Every combination, seeds of one setting beside each other. The ids follow from the settings:
// "NAME-1e-4-s3"; those that would be too long or equal end in a digest instead of the values.
absl::StatusOr<std::vector<SweepPoint>> PlanSweep(const std::string& name,
                                                  std::vector<GridAxis> axes,
                                                  const std::vector<uint64_t>& seeds);

// Paths in which specs, as FlatSpec has them, differ, without meta-seed (seed and goal_seed), title
// and checkpoints.
std::vector<std::string> DifferingPaths(
    const std::vector<std::map<std::string, std::string>>& specs);

}  // namespace mentor::ctl
