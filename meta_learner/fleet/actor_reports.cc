#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>

#include <absl/strings/match.h>
#include <absl/strings/str_format.h>
#include <absl/strings/strip.h>
#include <google/protobuf/util/time_util.h>

#include "common/check.h"
#include "common/hosts.h"
#include "common/protocol.h"
#include "common/resources/names.h"
#include "common/status.h"
#include "meta_learner/fleet/shard_service.h"

namespace mentor::meta_learner {
namespace {

using google::protobuf::util::TimeUtil;

// Most experiments for which an actor's share of time is shown.
constexpr int kTimesMax = 16;

absl::Status Wrong(const std::string& why) {
  return MakeError(Reason::kProtocolViolation, why);
}

absl::Status CheckActor(const v1::Peer& actor) {
  MENTOR_RETURN_IF_ERROR(
      CheckPlain("actor.name", actor.name(), 1, kActorsPrefix.size() + kPeerUidBytesMax));
  absl::string_view uid = actor.name();
  if (!absl::ConsumePrefix(&uid, absl::string_view(kActorsPrefix.data(), kActorsPrefix.size())) ||
      uid.empty() || absl::StrContains(uid, '/'))
    return Wrong(absl::StrFormat("actor.name: is '%s'; actors/UID is expected", actor.name()));
  MENTOR_RETURN_IF_ERROR(CheckPlain("actor.host", actor.host(), 0, kPeerTextBytesMax));
  MENTOR_RETURN_IF_ERROR(CheckPlain("actor.build", actor.build(), 0, kPeerTextBytesMax));
  MENTOR_RETURN_IF_ERROR(
      CheckPlain("actor.catalogue_hash", actor.catalogue_hash(), 0, kPeerTextBytesMax));
  MENTOR_RETURN_IF_ERROR(CheckSimulatorNames("actor.hosts", actor.hosts()));
  if (actor.threads() > kPeerThreadsMax) {
    return Wrong(absl::StrFormat("actor.threads: is %d; at most %d are allowed", actor.threads(),
                                 kPeerThreadsMax));
  }
  return absl::OkStatus();
}

bool Within(int64_t seconds, int32_t nanos, int64_t seconds_max) {
  return seconds >= 0 && seconds <= seconds_max && nanos >= 0 && nanos < 1'000'000'000;
}

// Copies only the fields that apply to an actor, and bounds them.
v1::Peer Believed(const v1::Peer& said, absl::Time now) {
  v1::Peer actor;
  actor.set_name(said.name());
  actor.set_host(said.host());
  actor.set_build(said.build());
  actor.set_threads(said.threads());
  actor.set_work(said.work());
  actor.set_draining(said.draining());
  actor.set_catalogue_hash(said.catalogue_hash());
  *actor.mutable_hosts() = said.hosts();
  actor.set_units(said.units());
  actor.set_quarantined(said.quarantined());
  actor.set_strikes(said.strikes());
  for (const v1::ExperimentTime& time : said.time()) {
    if (actor.time_size() >= kTimesMax ||
        !CheckPlain("actor.time", time.experiment(), 0, kPeerTextBytesMax).ok() ||
        !(time.share() >= 0 && time.share() <= 1))
      break;
    *actor.add_time() = time;
  }
  if (std::isfinite(said.env_steps_per_second()))
    actor.set_env_steps_per_second(std::max(0.0, said.env_steps_per_second()));
  const auto& trip = said.round_trip();
  if (said.has_round_trip() && Within(trip.seconds(), trip.nanos(), TimeUtil::kDurationMaxSeconds))
    *actor.mutable_round_trip() = trip;
  // Another machine's clock wrote this time.
  const auto latest = TimeUtil::NanosecondsToTimestamp(absl::ToUnixNanos(now));
  const auto& since = said.connect_time();
  *actor.mutable_connect_time() =
      since.seconds() > 0 && Within(since.seconds(), since.nanos(), latest.seconds()) ? since
                                                                                      : latest;
  return actor;
}

}  // namespace

ActorReports CheckedActors(const v1::FleetReport& fleet, absl::Time now) {
  ActorReports reports;
  std::set<std::string> names;
  for (const v1::Peer& actor : fleet.actors()) {
    absl::Status status = CheckActor(actor);
    if (status.ok() && reports.actors.size() == static_cast<size_t>(kActorsMax)) {
      status = Wrong(absl::StrFormat("the fleet has %d actors; at most %d are allowed",
                                     fleet.actors_size(), kActorsMax));
    }
    if (status.ok() && !names.insert(actor.name()).second)
      status = Wrong(absl::StrFormat("'%s' stands there twice", actor.name()));
    if (status.ok()) {
      reports.actors.push_back(Believed(actor, now));
    } else if (reports.left_out++ == 0) {
      reports.why = std::string(status.message());
    }
  }
  return reports;
}

}  // namespace mentor::meta_learner
