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
  std::string trouble = {};  // Why what is shown may be old; empty: it is fresh.
  std::vector<v1::Experiment> experiments = {};  // Those that have not ended; any order.
  std::vector<v1::Peer> peers = {};              // Learners, each followed by its actors.
  std::vector<v1::ShardInfo> shards = {};
};

// At most `rows` lines of at most `columns` characters; 0: no limit. What does not fit is counted.
std::vector<std::string> DrawFleet(const FleetPicture& picture, int columns, int rows, bool color);

// What an experiment waits for, in a few words; empty when it is at work.
std::string WaitsFor(const v1::Experiment& experiment, const FleetPicture& picture);

}  // namespace mentor::ctl
