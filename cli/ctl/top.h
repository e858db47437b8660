// One picture of a fleet and its experiments, as lines of text. Pure.
#pragma once

#include <string>
#include <vector>

#include <absl/time/time.h>

#include "mentor/v1/experiment.pb.h"

namespace mentor::ctl {

struct FleetPicture {
  std::string server;
  absl::Time now;
  std::string trouble = {};  // Why the contents may be out of date; empty when they are fresh.
  std::vector<v1::Experiment> experiments = {};  // Experiments that have not ended, in any order.
  std::vector<v1::Peer> peers = {};              // Learners, each followed by its actors.
  std::vector<v1::ShardInfo> shards = {};
};

// Returns at most `rows` lines of at most `columns` characters; 0: no limit. Omitted rows are
// counted.
std::vector<std::string> DrawFleet(const FleetPicture& picture, int columns, int rows, bool color);

// Returns in a few words what an experiment waits for; empty while it is working.
std::string WaitsFor(const v1::Experiment& experiment, const FleetPicture& picture);

}  // namespace mentor::ctl
