// An actor: worker threads that run units, and a stream to the learner that sends them. Keeps no
// state except the units it holds. Reconnects if its learner goes away, and can change to another
// learner if it knows several. Units of several experiments take turns (common/turns.h). A unit
// that is cancelled, or whose environment takes too long, ends at its next pause point.
// Thread-safe.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <grpcpp/channel.h>

#include "actor/learner_list.h"
#include "common/metrics.h"
#include "common/mutex.h"
#include "common/rpc/channel.h"
#include "common/rpc/stream.h"
#include "common/turns.h"
#include "common/uuid.h"
#include "mentor/v1/rollout_service.grpc.pb.h"

namespace mentor::actor {

class Actor {
 public:
  struct Options {
    int threads = 1;  // Number of units that run at once.
    // Identity at all learners, across reconnections.
    std::string uid = NewUuid();
    // Returns a channel to the only learner; called for each connection.
    std::function<std::shared_ptr<grpc::Channel>()> channel = {};
    // Several learners, in place of `channel`; created with `uid`. Must outlive the actor.
    LearnerList* learners = nullptr;
    // Interval at which an actor without work asks other learners for work. It must be well below
    // the five seconds after which a shard leaves a learner without actors. Else units of such
    // shards come in each interval, and the actor never asks.
    std::chrono::milliseconds look_every{2'000};
    // Time limit for running units when the actor leaves a learner or ends. Units that run longer
    // are cut, and other actors run them again.
    std::chrono::milliseconds drain_deadline{5'000};
    // A learner that does not answer hello within this time is left for another.
    std::chrono::milliseconds welcome_deadline{10'000};
    // A reset or a step with more computing time than this is an error of its unit.
    std::chrono::milliseconds piece_deadline{60'000};
    // Called by Stop after the limit for running units: must end whatever they wait for.
    std::function<void()> interrupt = {};
    // Called when the learner asks the actor to end; the owner then calls Stop. From any thread.
    std::function<void()> on_drain = {};
  };
  // Begins to connect. `metrics` must outlive the actor.
  Actor(Options options, Metrics* metrics);
  ~Actor();

  // Tells the learner, finishes running units and ends; waiting units go to other actors.
  void Stop();

 private:
  using WorkStream = rpc::Stream<v1::WorkRequest, v1::WorkResponse>;
  struct Connection;
  struct Unit;
  struct Worker;
  struct Instruments;

  void Connect();
  // Waits until the next attempt at one of several learners is due. Returns false after Stop.
  bool WaitForLearner();
  // Returns nullopt when the actor is ending.
  std::optional<WorkStream::Handlers> Open(std::shared_ptr<WorkStream> stream);
  void OnMessage(const std::shared_ptr<Connection>& connection, v1::WorkResponse message);
  void Take(const std::shared_ptr<Connection>& connection, v1::Unit given);
  void Cancel(const std::shared_ptr<Connection>& connection, const v1::UnitId& id);
  void Work(Worker* worker);
  void Run(Worker* worker, const std::shared_ptr<Unit>& unit) ABSL_LOCKS_EXCLUDED(mutex_);
  // Asks units for their places when a time slice is over, and ends units that take too long.
  void WatchTime();
  // Ends the stream to a learner that did not answer hello in time.
  void LeaveUnwelcomeLocked(std::chrono::nanoseconds now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Waits for the unit's turn if the unit was asked to stop. An error: why the unit must end.
  absl::Status AtPausePoint(Unit* unit);
  // Asks units that lost their places to stop, and lets units begin or continue.
  void FillPlacesLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void BeginLocked(Unit* unit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Makes the unit end at its next pause point.
  void EndLocked(Unit* unit, absl::Status why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The same, without sending a result.
  void AbandonLocked(Unit* unit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Drops the units of a connection that have not begun. Returns their number.
  size_t DropLocked(const Connection* connection) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Must be called before any change of the number of running units.
  void CountIdleLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Moves to learners that have work.
  void Look(const std::stop_token& stop);
  // Tells the learner, and drops its units that have not begun.
  void LeaveLocked(const std::shared_ptr<Connection>& connection)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Fixed after construction.
  const Options options_;
  const std::unique_ptr<Instruments> instruments_;
  rpc::Reconnector reconnector_;
  // Guarded by mutex_.
  Mutex mutex_;
  CondVar changed_;  // Changes of running_, stopping_ and what WatchTime waits for.
  Turns turns_ ABSL_GUARDED_BY(mutex_);
  // All units of this actor.
  std::map<Turns::Id, std::shared_ptr<Unit>> units_ ABSL_GUARDED_BY(mutex_);
  int running_ ABSL_GUARDED_BY(mutex_) = 0;        // Units that have begun.
  uint64_t received_ ABSL_GUARDED_BY(mutex_) = 0;  // Units received so far; numbers them.
  std::chrono::steady_clock::time_point idle_since_ ABSL_GUARDED_BY(mutex_);
  bool watches_closely_ ABSL_GUARDED_BY(mutex_) = false;  // WatchTime runs each time slice.
  std::shared_ptr<Connection> connection_ ABSL_GUARDED_BY(mutex_);
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool told_to_leave_ ABSL_GUARDED_BY(mutex_) = false;  // Set by a Drain of the learner.
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  // Last members, so that they stop first.
  std::thread connector_;
  std::vector<std::unique_ptr<Worker>> workers_ ABSL_GUARDED_BY(mutex_);
  std::thread watch_;
  std::jthread scout_;
};

}  // namespace mentor::actor
