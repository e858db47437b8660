// Checks what a learner reports about its actors. Reports are shown to people, and actors can be
// drained by name, so the texts keep to the bounds of a Hello. A learner's own Hello is checked in
// common/protocol.h. Pure functions.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <absl/time/time.h>

#include "mentor/v1/experiment.pb.h"
#include "mentor/v1/shard_service.pb.h"

namespace mentor::meta_learner {

// Most actors of one learner.
inline constexpr int kActorsMax = 10'000;

struct ActorReports {
  std::vector<v1::Peer> actors;
  size_t left_out = 0;
  std::string why;  // Error of the first actor left out.
};

// Returns the actors with a unique name actors/UID and plain texts. Numbers and times that make no
// sense at `now` are clamped or dropped. Counts the other actors in left_out.
ActorReports CheckedActors(const v1::FleetReport& fleet, absl::Time now);

}  // namespace mentor::meta_learner
