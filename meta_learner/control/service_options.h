// Options of the control API: the store, the rest of the meta-learner behind two interfaces, and
// limits. Constant after the service is made, so threads may share them.
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

// What the service asks about specs. Thread-safe.
class SpecReviewer {
 public:
  virtual ~SpecReviewer() = default;
  // Adds violations of what registered parts require. The spec must have legal ranges and all
  // defaults.
  virtual void Check(const v1::ExperimentSpec& spec, Violations* violations) = 0;
  // The same for a spec that continues from a checkpoint of an experiment with spec `source`.
  virtual void CheckCheckpoint(const v1::ExperimentSpec& source, const v1::ExperimentSpec& spec,
                               const Checkpoint& checkpoint, Violations* violations) = 0;
  // Adds violations if no connected learner could hold a shard. The spec must be valid.
  virtual void CheckFleet(const v1::ExperimentSpec& spec, Violations* violations) = 0;
  // Sets memory_needs, warnings and reported_numbers for a valid spec.
  virtual void Describe(const v1::ExperimentSpec& spec, v1::Experiment* experiment) = 0;
};

// What is at work: the queue, the fleet, the disk. Thread-safe.
class Operations {
 public:
  virtual ~Operations() = default;
  // Returns an error while no new work can be accepted, for instance on a full disk.
  virtual absl::Status CheckRoom() = 0;
  // Called when an experiment is new, PAUSING or CANCELLING, or has new settings. See
  // Scheduler::Look.
  virtual void Look(const v1::Experiment& experiment) = 0;
  virtual std::vector<v1::ShardInfo> Shards(const std::string& experiment) = 0;
  virtual std::vector<v1::Peer> Peers() = 0;
  virtual absl::Status Drain(const std::string& peer) = 0;
};

struct ServiceOptions {
  // Must outlive the service. Only `bundles` may be null, and on a standby `specs` and
  // `operations`.
  Store* store = nullptr;
  BundleShelf* bundles = nullptr;  // Bundles that specs may name.
  SpecReviewer* specs = nullptr;
  Operations* operations = nullptr;
  // On a standby: returns the answer to calls that only the leader may answer. The service writes
  // nothing then, not even logs, and leaves metrics of experiments to the leader.
  std::function<absl::Status()> refusal = {};
  // Not empty: every caller may read and nothing more, and other calls are refused with this
  // sentence.
  std::string read_only = {};
  int64_t queued_max = 10'000;
  Quotas per_owner = {};
  rpc::RateLimiter::Options rate = {.calls_per_second = 0};  // For each caller; 0: no limit.
  size_t calls_waiting_max = 1000;
  size_t heavy_calls_waiting_max = 256;  // Waiting calls that make the parts of a spec.
  size_t streams_max = 4096;
  size_t streams_per_caller_max = 16;
};

}  // namespace mentor::meta_learner
