#include "meta_learner/meta_learner.h"

#include <atomic>
#include <chrono>
#include <filesystem>
#include <system_error>
#include <utility>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/file.h"
#include "common/log.h"
#include "common/machine_memory.h"
#include "common/protocol.h"
#include "envs/environment.h"
#include "envs/fingerprint.h"
#include "meta_learner/control/spec_checks.h"
#include "meta_learner/experiment/arithmetic.h"
#include "meta_learner/experiment/checked_spec.h"
#include "shards/learner_fingerprint.h"

namespace mentor::meta_learner {
namespace {

void CheckFleet(const ShardBoard& board, const SpecMemory& memory, Violations* violations) {
  const MemoryShortage shortage = board.ShortageOf(memory.smallest);
  if (shortage.needed == 0) return;
  const bool fewer_help = board.ShortageOf(memory.one_lifetime).needed == 0;
  violations->Add(
      fewer_help ? "rule.shard_lifetimes" : "agent.hidden_units",
      absl::StrFormat(
          "a shard needs %s of a learner%s, and the largest one that is connected has %s; make "
          "shards%s smaller, or start a learner with more memory",
          Gigabytes(shortage.needed), shortage.of_device ? "'s device" : "",
          Gigabytes(shortage.most), fewer_help ? "" : " and networks"));
}

// Adds a violation if the outer update does not fit on the meta-learner's own device.
void CheckDevice(const kernels::Device& device, const SpecMemory& memory, Violations* violations) {
  if (device.kind == kernels::DeviceKind::kCpu || device.monitor == nullptr) return;
  const uint64_t most = device.monitor->memory_bytes();
  if (most == 0 || memory.meta_learner_device_bytes <= most) return;
  violations->Add(
      "rule.lifetimes_per_update",
      absl::StrFormat("the outer update needs %s of the meta-learner's device, which has %s for "
                      "it; take fewer lifetimes or shorter pieces (rule.option.k), or give it "
                      "another --device or --device_memory_gb",
                      Gigabytes(memory.meta_learner_device_bytes), Gigabytes(most)));
}

// Checks specs against the parts, the memory of fleet, device and machine, and the arithmetic.
class Specs final : public SpecReviewer {
 public:
  Specs(const ShardBoard* board, const kernels::Device& device) : board_(*board), device_(device) {}
  void Check(const v1::ExperimentSpec& spec, Violations* violations) override {
    facts_.Get(spec, violations);
  }
  void CheckCheckpoint(const v1::ExperimentSpec& source, const v1::ExperimentSpec& spec,
                       const Checkpoint& checkpoint, Violations* violations) override {
    meta_learner::CheckCheckpoint(source, spec, checkpoint, violations);
  }
  void CheckFleet(const v1::ExperimentSpec& spec, Violations* violations) override {
    Violations none;
    const auto facts = facts_.Get(spec, &none);
    if (!facts) return;
    meta_learner::CheckFleet(board_, facts->memory, violations);
    CheckDevice(device_, facts->memory, violations);
    CheckMachine(facts->memory, MachineMemoryBytes(), violations);
  }
  void Describe(const v1::ExperimentSpec& spec, v1::Experiment* experiment) override {
    Violations none;
    const auto facts = facts_.Get(spec, &none);
    if (!facts) return;
    v1::MemoryNeeds& needs = *experiment->mutable_memory_needs();
    const SpecMemory& memory = facts->memory;
    needs.set_learner_bytes(shards::kLearnerProcessBytes +
                            memory.largest.With(kUsualLearnerThreads));
    needs.set_meta_learner_bytes(memory.meta_learner_bytes);
    needs.set_learner_device_bytes(memory.largest.device_bytes);
    needs.set_meta_learner_device_bytes(memory.meta_learner_device_bytes);
    *experiment->mutable_warnings() = {facts->warnings.begin(), facts->warnings.end()};
    *experiment->mutable_reported_numbers() = {facts->reported_numbers.begin(),
                                               facts->reported_numbers.end()};
  }

 private:
  const ShardBoard& board_;
  const kernels::Device device_;
  SpecCache<SpecFacts> facts_{CheckParts};
};

// File with the reason of a device failure, written before the process ends. The next process
// reports it.
constexpr char kDeviceLost[] = "device_lost";

}  // namespace

MetaLearner::MetaLearner(const Options& options, Metrics* metrics)
    : store_(options.store),
      shelf_(options.bundles),
      device_(options.device),
      board_(WithReports({.retries = options.retries,
                          .check_every = options.check_every,
                          .fairness = {.low_share = options.scheduling.low_share}},
                         metrics)),
      shards_({.catalogue_hash = envs::CatalogueHash(),
               .actor_fingerprint = envs::NumericFingerprint(),
               .learner_fingerprint = shards::LearnerFingerprint(),
               .ingest_threads = options.num_threads},
              &board_, metrics) {
  if (options.store == nullptr) {
    MENTOR_CHECK(!options.control.has_value());
    return;
  }
  WatchDevice(metrics);
  if (options.control)
    logs_ = std::make_unique<ExperimentLogs>(&options.store->records, &options.store->files);
  disk_ = std::make_unique<DiskGuard>(options.store->files.folder(), options.disk_reserve_bytes,
                                      metrics);
  runner_ = std::make_unique<ExperimentRunner>(
      ExperimentRunner::Options{.store = options.store,
                                .board = &board_,
                                .build = std::string(kBuildVersion),
                                .fingerprint = ExperimentFingerprint(),
                                .num_threads = options.num_threads,
                                .device = options.device,
                                .metrics = metrics});
  Scheduler::Options scheduling = options.scheduling;
  scheduling.records = &options.store->records;
  scheduling.results = &options.store->results;
  scheduling.board = &board_;
  scheduling.disk = disk_.get();
  if (options.control)
    scheduling.storage_per_owner_max = options.control->per_owner.checkpoint_bytes;
  scheduling.run = [this](const v1::Experiment& experiment, const std::atomic<bool>& cancel) {
    return runner_->Run(experiment, cancel);
  };
  scheduler_ = std::make_unique<Scheduler>(std::move(scheduling), metrics);
  if (!options.control) return;
  specs_ = std::make_unique<Specs>(&board_, device_);
  ExperimentService::Options control = *options.control;
  control.store = options.store;
  control.bundles = options.bundles;
  control.specs = specs_.get();
  control.operations = this;
  if (options.bundles != nullptr)
    bundles_ = std::make_unique<BundleService>(control, options.bundles);
  experiments_ = std::make_unique<ExperimentService>(std::move(control), metrics);
}

void MetaLearner::WatchDevice(Metrics* metrics) {
  prometheus::Gauge& last = DeviceLostGauge(metrics, "meta_learner");
  const std::filesystem::path file = store_->files.folder() / kDeviceLost;
  std::error_code error;
  if (const auto written = std::filesystem::last_write_time(file, error); !error) {
    const auto since_1970 = std::chrono::file_clock::to_sys(written).time_since_epoch();
    last.Set(std::chrono::duration<double>(since_1970).count());
  }
  if (device_.monitor == nullptr) return;
  device_lost_ = device_.monitor->OnLost([file](const absl::Status& why) {
    const absl::Status status = WriteFileAtomically(file, std::string(why.message()) + "\n");
    if (!status.ok()) MENTOR_LOG(kError, "cannot write " + file.string(), {{"why", status}});
  });
}

MetaLearner::~MetaLearner() {
  Stop();
}

std::vector<std::string> MetaLearner::ServiceNames() {
  return {"mentor.v1.ExperimentService", "mentor.v1.ShardService"};
}

std::vector<grpc::Service*> MetaLearner::services() {
  std::vector<grpc::Service*> services = user_services();
  services.push_back(learner_service());
  return services;
}

std::vector<grpc::Service*> MetaLearner::user_services() {
  std::vector<grpc::Service*> services;
  if (experiments_ != nullptr) services.push_back(experiments_->service());
  if (bundles_ != nullptr) services.push_back(bundles_->service());
  return services;
}

void MetaLearner::StopExperiments() {
  if (shelf_ != nullptr) shelf_->Stop();
  if (scheduler_ != nullptr) scheduler_->Stop();
  if (experiments_ != nullptr) experiments_->Stop();
  if (bundles_ != nullptr) bundles_->Stop();
}

void MetaLearner::Stop() {
  StopExperiments();
  shards_.Stop();
}

}  // namespace mentor::meta_learner
