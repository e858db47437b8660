// What a learner says of its actors, as far as it is believed: they are shown to people and can be
// drained by name, so they keep to the bounds of a Hello. Not for the learners themselves, whose
// Hello is checked (common/protocol.h). Pure functions.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <absl/time/time.h>

#include "mentor/v1/experiment.pb.h"
#include "mentor/v1/shard_service.pb.h"

namespace mentor::meta_learner {

// Actors at one learner.
inline constexpr int kActorsMax = 10'000;

struct ActorReports {
  std::vector<v1::Peer> actors;
  size_t left_out = 0;
  std::string why;  // Of the first one that was left out.
};

// Actors with the names actors/UID, each once, plain texts, and numbers and times that make sense
// at `now`; the others are left out.
ActorReports CheckedActors(const v1::FleetReport& fleet, absl::Time now);

}  // namespace mentor::meta_learner
