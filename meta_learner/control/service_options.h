// Options of the control API: the store, hooks into the rest of the meta-learner, and limits.
// Constant after the service is made, so threads may share them. The hooks may be called from
// several threads at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include "common/rpc/rate_limit.h"
#include "common/violations.h"
#include "mentor/v1/experiment.pb.h"
#include "mentor/v1/spec.pb.h"
#include "meta_learner/store/bundle_shelf.h"
#include "meta_learner/store/checkpoint.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

// Limits of one owner; 0: no limit.
struct Quotas {
  int64_t queued = 0;  // Queued and paused experiments; queued_max counts the same way.
  int64_t checkpoint_bytes = 0;
  uint64_t bundle_bytes = 0;
};

struct ServiceOptions {
  ExperimentStore* store = nullptr;
  // Bundles that specs may name; null: none.
  BundleShelf* bundles = nullptr;
  // Adds violations of what registered parts require. The spec must have legal ranges and all
  // defaults.
  std::function<void(const v1::ExperimentSpec& spec, Violations* violations)> check_spec = {};
  // The same for a spec that continues from a checkpoint of an experiment with spec `source`.
  std::function<void(const v1::ExperimentSpec& source, const v1::ExperimentSpec& spec,
                     const Checkpoint& checkpoint, Violations* violations)>
      check_checkpoint = {};
  // Adds violations if no connected learner could hold a shard. The spec must be valid.
  std::function<void(const v1::ExperimentSpec& spec, Violations* violations)> check_fleet = {};
  // Returns the memory that a valid spec needs.
  std::function<v1::MemoryNeeds(const v1::ExperimentSpec& spec)> memory_needs = {};
  // Returns what in a valid spec is probably a mistake, as "FIELD: why".
  std::function<std::vector<std::string>(const v1::ExperimentSpec& spec)> spec_warnings = {};
  // Returns the names of the numbers that an experiment with a valid spec may report.
  std::function<std::vector<std::string>(const v1::ExperimentSpec& spec)> reported_numbers = {};
  // Returns an error while no new work can be accepted, for instance on a full disk.
  std::function<absl::Status()> check_room = {};
  // Called when an experiment is new, PAUSING or CANCELLING, or has new settings. See
  // Scheduler::Look.
  std::function<void(const v1::Experiment& experiment)> look = {};
  std::function<std::vector<v1::ShardInfo>(const std::string& experiment)> shards = {};
  std::function<std::vector<v1::Peer>()> peers = {};
  std::function<absl::Status(const std::string& peer)> drain = {};
  // Called before whatever needs the leader: changes, streams, the fleet. Its error is the answer.
  std::function<absl::Status()> leads = {};
  // For a standby: writes nothing, not even logs, and leaves metrics of experiments to the leader.
  bool read_only = false;
  int64_t queued_max = 10'000;
  Quotas per_owner = {};
  rpc::RateLimiter::Options rate = {.calls_per_second = 0};  // For each caller; 0: no limit.
  size_t calls_waiting_max = 1000;
  size_t heavy_calls_waiting_max = 256;  // Waiting calls that make the parts of a spec.
  size_t streams_max = 4096;
  size_t streams_per_caller_max = 16;
};

}  // namespace mentor::meta_learner
