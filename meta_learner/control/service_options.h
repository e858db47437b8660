// What the control API is given: the store, what it asks and tells the rest of the meta-learner,
// and its limits. Not for what belongs to one call. Set before the service is made, and constant
// from then on, so threads share it; the hooks may be called from several threads at a time.
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

// What an owner may have at once; 0: no limit.
struct Quotas {
  int64_t queued = 0;  // Paused ones count as queued ones, here and for all owners together.
  int64_t checkpoint_bytes = 0;
  uint64_t bundle_bytes = 0;
};

struct ServiceOptions {
  ExperimentStore* store = nullptr;
  // What specs may name; null: nothing.
  BundleShelf* bundles = nullptr;
  // Adds violations of what registered parts demand. The spec has legal ranges and every default.
  std::function<void(const v1::ExperimentSpec& spec, Violations* violations)> check_spec = {};
  // The same for a spec that goes on from a checkpoint of another one.
  std::function<void(const v1::ExperimentSpec& source, const v1::ExperimentSpec& spec,
                     const Checkpoint& checkpoint, Violations* violations)>
      check_checkpoint = {};
  // Adds violations of what no learner that is connected could hold. The spec is a valid one.
  std::function<void(const v1::ExperimentSpec& spec, Violations* violations)> check_fleet = {};
  // What a valid spec needs.
  std::function<v1::MemoryNeeds(const v1::ExperimentSpec& spec)> memory_needs = {};
  // What in a valid spec is hardly meant, "FIELD: why".
  std::function<std::vector<std::string>(const v1::ExperimentSpec& spec)> spec_warnings = {};
  // Names of the numbers that an experiment with a valid spec may report.
  std::function<std::vector<std::string>(const v1::ExperimentSpec& spec)> reported_numbers = {};
  // An error while nothing new can be taken, for instance on a full disk.
  std::function<absl::Status()> check_room = {};
  // This experiment is new, PAUSING or CANCELLING, or its settings changed: what runs it looks
  // soon.
  std::function<void(const v1::Experiment& experiment)> look = {};
  std::function<std::vector<v1::ShardInfo>(const std::string& experiment)> shards = {};
  std::function<std::vector<v1::Peer>()> peers = {};
  std::function<absl::Status(const std::string& peer)> drain = {};
  // Asked before whatever needs the one that leads: changes, streams, the fleet. Its error is the
  // answer.
  std::function<absl::Status()> leads = {};
  // For who stands by: nothing is written, logs included, and metrics of experiments are left to
  // the leader.
  bool read_only = false;
  int64_t queued_max = 10'000;
  Quotas per_owner = {};
  rpc::RateLimiter::Options rate = {.calls_per_second = 0};  // For each caller; 0: no limit.
  size_t calls_waiting_max = 1000;
  size_t heavy_calls_waiting_max = 256;  // Of those that make the parts of a spec.
  size_t streams_max = 4096;
  size_t streams_per_caller_max = 16;
};

}  // namespace mentor::meta_learner
