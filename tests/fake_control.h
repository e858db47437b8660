// The rest of the meta-learner, as the control API sees it: every spec is good, there is room, and
// nothing is running. Tests override what they need.
#pragma once

#include <string>
#include <vector>

#include "meta_learner/control/service_options.h"

namespace mentor::testing {

class FakeSpecs : public meta_learner::SpecReviewer {
 public:
  void Check(const v1::ExperimentSpec& /*spec*/, Violations* /*violations*/) override {}
  void CheckCheckpoint(const v1::ExperimentSpec& /*source*/, const v1::ExperimentSpec& /*spec*/,
                       const meta_learner::Checkpoint& /*checkpoint*/,
                       Violations* /*violations*/) override {}
  void CheckFleet(const v1::ExperimentSpec& /*spec*/, Violations* /*violations*/) override {}
  void Describe(const v1::ExperimentSpec& /*spec*/, v1::Experiment* /*experiment*/) override {}
};

class FakeOperations : public meta_learner::Operations {
 public:
  absl::Status CheckRoom() override { return absl::OkStatus(); }
  void Look(const v1::Experiment& /*experiment*/) override {}
  std::vector<v1::ShardInfo> Shards(const std::string& /*experiment*/) override { return {}; }
  std::vector<v1::Peer> Peers() override { return {}; }
  absl::Status Drain(const std::string& peer) override { return absl::NotFoundError(peer); }
};

}  // namespace mentor::testing
