// Sweeps: experiments that differ in some fields of their spec and in the seed. Plans the
// experiments and their ids, and finds the fields in which they differ. Pure. Errors are
// INVALID_ARGUMENT, name the flag and give a remedy.
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

// Limit on the size of a sweep: more experiments are a mistake, or several sweeps.
inline constexpr size_t kSweepMax = 1000;
// Label of the experiments of a sweep; its value is the sweep's name.
inline constexpr char kSweepLabel[] = "sweep";

// A field of the spec and its values in the sweep.
struct GridAxis {
  std::string path;
  std::vector<std::string> values;
};
// Parses "rule.learning_rate=1e-4,3e-4". Semicolons separate values that contain commas, such as
// lists.
absl::StatusOr<GridAxis> ParseGridAxis(std::string_view text);
// Parses "1-5", "1,2,7" or "1-3,10". Returns the seeds in ascending order without duplicates.
absl::StatusOr<std::vector<uint64_t>> ParseSeeds(std::string_view text);

struct SweepPoint {
  std::string id;
  std::vector<std::pair<std::string, std::string>> settings;  // By path.
  uint64_t seed = 0;
  bool has_seed = false;

  std::vector<std::string> Overrides() const;
};
// Returns every combination; seeds of one setting are adjacent. Ids follow from the settings:
// "NAME-1e-4-s3". Ids that would be too long or equal end in a digest instead of the values.
absl::StatusOr<std::vector<SweepPoint>> PlanSweep(const std::string& name,
                                                  std::vector<GridAxis> axes,
                                                  const std::vector<uint64_t>& seeds);

// Returns the paths in which the specs (as FlatSpec returns them) differ. The meta-seed (seed and
// goal_seed), title and checkpoints are not compared.
std::vector<std::string> DifferingPaths(
    const std::vector<std::map<std::string, std::string>>& specs);

}  // namespace mentor::ctl
