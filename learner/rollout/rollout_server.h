// The learner's side of the border to actors: RolloutService on streams, the checks of everything
// that arrives, and a blocking call that turns units into results. Owned by the learner's main.
// Thread-safe.
//
//   RolloutServer rollout({}, metrics.get());
//   auto server = rpc::Server::Start(options, {rollout.service()});
//   // From any thread, for several shards at once:
//   auto results = rollout.RunUnits(units, cancel);
//   rollout.Stop();  // Before server->Shutdown.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/metrics.h"
#include "common/mutex.h"
#include "common/rpc/bundle_transfer.h"
#include "common/rpc/stream.h"
#include "learner/rollout/unit_dispatcher.h"
#include "mentor/v1/experiment.pb.h"
#include "mentor/v1/rollout_service.grpc.pb.h"

namespace mentor::learner {

// Checks everything about a result that its unit determines: sizes, types, finite numbers, flags,
// hash. INVALID_ARGUMENT names the field. Pure; a fuzz target.
absl::Status ValidateResult(const v1::Unit& unit, const v1::Result& result);

class RolloutServer : public v1::RolloutService::CallbackService {
 public:
  struct Options {
    // Values that actors must report. Empty: what the first actor reports.
    std::string catalogue_hash = {};
    std::string numeric_fingerprint = {};
    rpc::StreamOptions stream = {};
    UnitDispatcher::Options dispatcher = {};  // `now` may be empty: the monotonic clock.
  };
  RolloutServer(Options options, Metrics* metrics);
  ~RolloutServer() override;

  grpc::Service* service() { return this; }
  // The name by which actors know it; the learner reports the same to the meta-learner.
  const std::string& uid() const { return server_uid_; }

  // Simulates units of one shard (equal id.shard) and returns their results in the same order.
  // Blocks until then; without actors, forever. CANCELLED when Cancel is called for the shard, or
  // *cancel was true at the start. UNAVAILABLE after Stop. ABORTED when an actor was found out
  // whose results the shard used: it must begin again. Otherwise the message of a unit that failed
  // wherever it was tried.
  absl::StatusOr<std::vector<v1::Result>> RunUnits(std::vector<v1::Unit> units,
                                                   const std::atomic<bool>& cancel);
  // Ends RunUnits of this shard, if it runs, and tells actors to drop its units. Set the flag
  // `cancel` first.
  void Cancel(uint64_t shard);

  // Call after the last RunUnits of a shard, before its results are used. Waits for the checks of
  // its units, as long as an actor can make them. Errors as those of RunUnits.
  absl::Status AwaitChecks(uint64_t shard, const std::atomic<bool>& cancel);
  // Call when the shard has ended, in whatever way.
  void ForgetChecks(uint64_t shard);
  // ABORTED when the shard used results of an actor that was found out, also after its end.
  absl::Status StillGood(uint64_t shard) const;
  // What was found out since the last call, for shards that have ended.
  std::vector<UnitDispatcher::FoundOut> TakeFoundOut();
  // Calls back when something was found out, and when an actor came, leaves or is gone; from any
  // thread and without locks. Null: nobody.
  void OnChange(std::function<void()> callback);

  // Sets the values that actors must report from now on; empty: unchanged. Ends actors that differ.
  void Expect(const std::string& catalogue_hash, const std::string& numeric_fingerprint);
  // Environment steps of this shard's results so far, over all its RunUnits. For progress bars.
  uint64_t StepsDone(uint64_t shard) const;

  // Units without room at any actor that an actor with these simulators could run.
  uint64_t UnitsWaiting(const std::set<std::string>& env_hosts = {}) const;
  // A simulator that units of the shard need and no actor offers; empty: none.
  std::string MissingHost(uint64_t shard) const;
  // Connected actors, and those of them that answer.
  int actors() const;
  int answering_actors() const;
  // All connected actors; rates are over the time since the last call, at least a second.
  std::vector<v1::Peer> Peers();
  // "actors/{uid}" finishes its units and leaves. False when no actor has that name.
  bool Drain(const std::string& name);
  // The catalogue and the fingerprint of this fleet; empty before the first actor, unless
  // configured.
  std::string catalogue_hash() const;
  std::string numeric_fingerprint() const;

  // Ends every stream with UNAVAILABLE DRAINING and every RunUnits; refuses new ones. Idempotent.
  void Stop();

 private:
  struct Session;
  using WorkStream = rpc::ServerStream<v1::WorkResponse, v1::WorkRequest>;

  grpc::ServerBidiReactor<v1::WorkRequest, v1::WorkResponse>* Work(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* GetLoad(grpc::CallbackServerContext* context,
                                    const v1::GetLoadRequest* request,
                                    v1::GetLoadResponse* response) override;
  grpc::ServerUnaryReactor* FetchBundle(grpc::CallbackServerContext* context,
                                        const v1::FetchBundleRequest* request,
                                        v1::FetchBundleResponse* response) override {
    return bundles_.Fetch(context, request, response);
  }
  void OnMessage(const std::shared_ptr<Session>& session, v1::WorkRequest message);
  void OnClosed(const std::shared_ptr<Session>& session, const absl::Status& status);
  void OnHello(const std::shared_ptr<Session>& session, const v1::Hello& hello);
  void OnResult(const std::shared_ptr<Session>& session, v1::Result result);
  // Ends a stream that broke a rule, and counts it.
  void Reject(const std::shared_ptr<Session>& session, const std::string& reason,
              const absl::Status& status);
  // Sends the dispatcher's assignments.
  void Dispatch() ABSL_LOCKS_EXCLUDED(mutex_);
  void SetGauges() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Wakes shards that wait for checks, and tells who listens. Call after the dispatcher was used.
  void TellOfChanges() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status CheckFleet(const v1::Hello& hello) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WatchLag();

  struct Instruments;

  // Fixed after construction.
  const Options options_;
  const std::unique_ptr<Instruments> instruments_;
  const std::string server_uid_;

  // Guarded by mutex_.
  mutable Mutex mutex_;
  CondVar changed_;      // A shard is finished or cancelled, or Stop.
  CondVar lag_changed_;  // Units went out, or Stop.
  UnitDispatcher dispatcher_ ABSL_GUARDED_BY(mutex_);
  std::map<ActorId, std::shared_ptr<Session>> sessions_
      ABSL_GUARDED_BY(mutex_);                            // Open streams, welcomed or not.
  std::set<uint64_t> cancelled_ ABSL_GUARDED_BY(mutex_);  // Shards whose RunUnits must end.
  std::set<uint64_t> running_ ABSL_GUARDED_BY(mutex_);    // Shards with a RunUnits.
  std::map<uint64_t, uint64_t> steps_done_ ABSL_GUARDED_BY(mutex_);  // By shard; the newest ones.
  std::string catalogue_hash_ ABSL_GUARDED_BY(mutex_);
  std::string numeric_fingerprint_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_actor_ ABSL_GUARDED_BY(mutex_) = 1;
  // Time of the last Peers.
  std::chrono::steady_clock::time_point peers_since_ ABSL_GUARDED_BY(mutex_);
  bool watch_is_idle_ ABSL_GUARDED_BY(mutex_) =
      false;  // True if no unit was out when the lag watch fell asleep.
  uint64_t checks_told_ ABSL_GUARDED_BY(mutex_) = 0;
  bool actors_changed_ ABSL_GUARDED_BY(mutex_) = false;  // Since the last callback.
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  // Held during the callback, so that none is under way once it is replaced. Before mutex_.
  Mutex listener_mutex_;
  std::function<void()> on_change_ ABSL_GUARDED_BY(listener_mutex_);

  rpc::BundleServer bundles_;
  // Last, so that it stops first.
  std::thread lag_watch_;
};

}  // namespace mentor::learner
