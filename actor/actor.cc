#include "actor/actor.h"

#include <algorithm>
#include <atomic>
#include <string>
#include <utility>

#include <absl/strings/str_format.h>

#include "actor/unit_runner.h"
#include "common/failpoint.h"
#include "common/history.h"
#include "common/log.h"
#include "common/mutex.h"
#include "common/pause_point.h"
#include "common/protocol.h"
#include "common/resources/names.h"
#include "common/result_hash.h"
#include "common/rpc/keep_open.h"
#include "common/status.h"
#include "envs/environment.h"
#include "envs/fingerprint.h"
#include "envs/host/host_list.h"

namespace mentor::actor {
namespace {

// Limit of experiments whose units the actor holds at once.
constexpr uint32_t kExperimentsMax = 16;
constexpr std::chrono::milliseconds kRefusedWait{60'000};
constexpr std::chrono::milliseconds kSlice{5}, kLookAtTime{1'000};
// A worker beyond the first `threads` frees its simulators after this time without work.
constexpr std::chrono::seconds kSpareAfter{10};

std::string NameOf(const v1::UnitId& id) {
  return history::UnitName(id.shard(), id.iteration(), id.agent(), id.part());
}

std::chrono::nanoseconds Now() {
  return std::chrono::steady_clock::now().time_since_epoch();
}

// Returns how many units an actor requests in total.
uint32_t CreditOf(int threads) {
  const uint32_t ahead = kUnitsAhead * static_cast<uint32_t>(threads);
  return std::min(kCreditMax, ahead * kExperimentsMax);
}

v1::WorkRequest CreditMessage(uint32_t units) {
  v1::WorkRequest message;
  message.mutable_credit()->set_units(units);
  return message;
}

// What an actor that lies would send (a failpoint).
void Falsify(v1::Result* result) {
  if (!result->error().empty()) return;
  MakeWrong(result->mutable_trajectory()->mutable_rewards());
  result->set_result_hash(ResultHash(result->trajectory(), result->final_state()));
}

}  // namespace

struct Actor::Connection {
  std::shared_ptr<WorkStream> stream;
  std::chrono::nanoseconds opened{0};  // By Now(); fixed before others see it.
  // Guarded by the actor's mutex_.
  uint32_t credit = 0;       // Units that the learner may still send.
  std::string learner = {};  // Uid of the learner; fixed before the first unit.
  int running = 0;           // Units at work.
  bool welcomed = false;
  // Set while the actor is leaving for another learner.
  std::optional<std::chrono::steady_clock::time_point> leaving_since = {};
};

// A unit that the actor holds, and its Turn at pause points.
struct Actor::Unit : Turn {
  Unit(Actor* actor, uint64_t number) : actor(actor), number(number) {}

  absl::Status Continue() override {
    return asked.load(std::memory_order_relaxed) ? actor->AtPausePoint(this) : absl::OkStatus();
  }
  void Begin(const char* name) override {
    piece.store(name, std::memory_order_relaxed);
    piece_since.store(Now().count(), std::memory_order_relaxed);
  }

  // Fixed before the unit begins.
  Actor* const actor;
  const uint64_t number;
  v1::Unit unit;
  std::shared_ptr<Connection> connection;
  std::chrono::steady_clock::time_point received;
  // Set by other threads, read at each pause point.
  std::atomic<bool> asked = false;
  // Name and start time of the current piece of work. Time without a turn is added to the start.
  std::atomic<const char*> piece = nullptr;
  std::atomic<int64_t> piece_since = 0;
  // Guarded by the actor's mutex_.
  Worker* worker = nullptr;
  absl::Status end;      // Why the unit must end.
  bool unheard = false;  // True if the result must not be sent.
};

// A worker thread with its own simulations. A simulator lives as long as the thread that started
// it.
struct Actor::Worker {
  std::thread thread;
  UnitRunner runner;  // Used only by `thread`.
  // Guarded by the actor's mutex_.
  CondVar changed;
  std::shared_ptr<Unit> unit;
  std::string experiment;  // Experiment of the last unit.
  std::chrono::steady_clock::time_point idle_since;
  bool spare = false;  // Beyond the actor's first `threads` workers.
  bool warm = false;   // True if it has simulators.
};

struct Actor::Instruments {
  explicit Instruments(Metrics* metrics)
      : env_steps(metrics->Counter("mentor_actor_env_steps_total", "Environment steps.")),
        units_ok(
            metrics->Counter("mentor_actor_units_total", "Units by outcome.", {{"outcome", "ok"}})),
        units_error(metrics->Counter("mentor_actor_units_total", "Units by outcome.",
                                     {{"outcome", "error"}})),
        units_cancelled(metrics->Counter("mentor_actor_units_total", "Units by outcome.",
                                         {{"outcome", "cancelled"}})),
        unit_seconds(
            metrics->Histogram("mentor_actor_unit_seconds", "Wall time of a unit.", UnitBuckets())),
        step_seconds(metrics->Counter("mentor_actor_thread_state_seconds_total",
                                      "Time of worker threads by state.", {{"state", "step"}})),
        policy_seconds(metrics->Counter("mentor_actor_thread_state_seconds_total",
                                        "Time of worker threads by state.", {{"state", "policy"}})),
        encode_seconds(metrics->Counter("mentor_actor_thread_state_seconds_total",
                                        "Time of worker threads by state.", {{"state", "encode"}})),
        idle_seconds(metrics->Counter("mentor_actor_thread_state_seconds_total",
                                      "Time of worker threads by state.", {{"state", "idle"}})),
        class_seconds{{v1::PRIORITY_LOW, &ClassSeconds(metrics, "low")},
                      {v1::PRIORITY_NORMAL, &ClassSeconds(metrics, "normal")},
                      {v1::PRIORITY_HIGH, &ClassSeconds(metrics, "high")}},
        connected(metrics->Gauge("mentor_actor_connected", "1 while the learner gives work.")),
        queue_items(metrics->Gauge("mentor_queue_items", "Items that wait.", {{"queue", "units"}})),
        queue_capacity(metrics->Gauge("mentor_queue_capacity_items", "Items that may wait.",
                                      {{"queue", "units"}})),
        queue_wait(metrics->Histogram("mentor_queue_wait_seconds",
                                      "From arrival to the start of work.", UnitBuckets(),
                                      {{"queue", "units"}})) {}

  static prometheus::Counter& ClassSeconds(Metrics* metrics, const char* name) {
    return metrics->Counter("mentor_actor_class_seconds_total",
                            "Time of units at work by the class of their experiment.",
                            {{"class", name}});
  }

  prometheus::Counter& env_steps;
  prometheus::Counter& units_ok;
  prometheus::Counter& units_error;
  prometheus::Counter& units_cancelled;
  prometheus::Histogram& unit_seconds;
  prometheus::Counter& step_seconds;
  prometheus::Counter& policy_seconds;
  prometheus::Counter& encode_seconds;
  prometheus::Counter& idle_seconds;
  std::map<v1::Priority, prometheus::Counter*> class_seconds;
  prometheus::Gauge& connected;
  prometheus::Gauge& queue_items;
  prometheus::Gauge& queue_capacity;
  prometheus::Histogram& queue_wait;
};

Actor::Actor(Options options, Metrics* metrics)
    : options_(std::move(options)),
      instruments_(std::make_unique<Instruments>(metrics)),
      turns_({.places = options_.threads, .slice = kSlice}),
      idle_since_(std::chrono::steady_clock::now()) {
  instruments_->queue_capacity.Set(CreditOf(options_.threads));
  watch_ = std::thread([this] { WatchTime(); });
  connector_ = std::thread([this] { Connect(); });
  if (options_.learners != nullptr)
    scout_ = std::jthread([this](const std::stop_token& stop) { Look(stop); });
}

Actor::~Actor() {
  Stop();
}

void Actor::Stop() {
  reconnector_.Stop();
  scout_.request_stop();
  std::shared_ptr<Connection> connection;
  bool told_to_leave = false;
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    draining_ = true;
    told_to_leave = told_to_leave_;
    connection = connection_;
    if (connection != nullptr) LeaveLocked(connection);
    changed_.WaitFor(lock, options_.drain_deadline,
                     [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return running_ == 0; });
    stopping_ = true;
    for (const auto& [id, unit] : units_) AbandonLocked(unit.get());
    for (const auto& worker : workers_) worker->changed.NotifyAll();
    changed_.NotifyAll();
  }
  if (connection != nullptr) connection->stream->Close(absl::OkStatus());
  if (options_.interrupt) options_.interrupt();
  connector_.join();
  watch_.join();
  std::vector<std::unique_ptr<Worker>> workers;
  {
    const MutexLock lock(mutex_);
    workers.swap(workers_);
  }
  for (const auto& worker : workers) worker->thread.join();
  scout_ = {};
  if (told_to_leave) MENTOR_LOG(kInfo, "drained");
}

void Actor::LeaveLocked(const std::shared_ptr<Connection>& connection) {
  if (connection->leaving_since) return;
  connection->leaving_since = std::chrono::steady_clock::now();
  v1::WorkRequest leaving;
  leaving.mutable_leaving();
  connection->stream->Send(std::move(leaving));
  // The learner gives the dropped units to other actors.
  instruments_->units_cancelled.Increment(static_cast<double>(DropLocked(connection.get())));
}

size_t Actor::DropLocked(const Connection* connection) {
  const size_t dropped =
      std::erase_if(units_, [&](const auto& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        if (entry.second->connection.get() != connection || entry.second->worker != nullptr)
          return false;
        turns_.Remove(entry.first, Now());
        return true;
      });
  instruments_->queue_items.Set(static_cast<double>(turns_.waiting()));
  return dropped;
}

void Actor::Look(const std::stop_token& stop) {
  uint64_t units_before = 0;
  while (!StopRequestedWithin(stop, options_.look_every)) {
    std::shared_ptr<Connection> connection;
    bool idle = false, overdue = false;
    {
      const MutexLock lock(mutex_);
      connection = connection_;
      if (connection == nullptr || !connection->welcomed || draining_) continue;
      idle = running_ == 0 && std::exchange(units_before, received_) == received_;
      overdue =
          connection->leaving_since &&
          std::chrono::steady_clock::now() - *connection->leaving_since >= options_.drain_deadline;
      if (connection->leaving_since && !overdue) continue;
    }
    if (!overdue) {
      if (!options_.learners->Look(idle, stop)) continue;
      const MutexLock lock(mutex_);
      if (draining_) return;
      LeaveLocked(connection);
      if (connection->running > 0) continue;
    }
    connection->stream->Close(absl::OkStatus());
  }
}

void Actor::Connect() {
  rpc::KeepOpen<v1::RolloutService, v1::WorkRequest, v1::WorkResponse>(
      &reconnector_,
      {.server = "learner",
       .flag = "--learner",
       .address =
           [this] {
             return options_.learners != nullptr ? options_.learners->address() : "this address";
           },
       .channel =
           [this] {
             return options_.learners != nullptr ? options_.learners->channel()
                                                 : options_.channel();
           },
       .on_ended =
           [this](const absl::Status& status) {
             if (options_.learners != nullptr) options_.learners->Ended(status);
           },
       .refused_wait = kRefusedWait,
       .wait = options_.learners != nullptr ? std::function([this] { return WaitForLearner(); })
                                            : nullptr,
       .hello =
           [this] {
             v1::WorkRequest message;
             v1::Hello& hello = *message.mutable_hello();
             hello = NewHello();
             hello.set_peer_uid(options_.uid);
             hello.set_threads(static_cast<uint32_t>(options_.threads));
             hello.set_catalogue_hash(envs::CatalogueHash());
             hello.set_numeric_fingerprint(envs::NumericFingerprint());
             for (const std::string& host : envs::SimulatorNames()) hello.add_hosts(host);
             return message;
           },
       .on_open = [this](std::shared_ptr<WorkStream> stream) { return Open(std::move(stream)); }},
      [](auto* stub, auto* context, auto* reactor) { stub->Work(context, reactor); });
}

bool Actor::WaitForLearner() {
  while (!reconnector_.stopped()) {
    const std::chrono::milliseconds wait = options_.learners->Next();
    if (wait.count() == 0) return true;
    reconnector_.WaitFor(wait);
  }
  return false;
}

std::optional<Actor::WorkStream::Handlers> Actor::Open(std::shared_ptr<WorkStream> stream) {
  auto connection = std::make_shared<Connection>();
  connection->stream = std::move(stream);
  connection->opened = Now();
  const MutexLock lock(mutex_);
  if (draining_) return std::nullopt;
  connection_ = connection;
  return WorkStream::Handlers{
      .on_message = [this, connection](
                        v1::WorkResponse message) { OnMessage(connection, std::move(message)); },
      .on_closed =
          [this, connection](const absl::Status&) {
            const MutexLock lock(mutex_);
            instruments_->connected.Set(0);
            connection_ = nullptr;
            // The learner gives units of a lost stream again; running ones end without sending a
            // result.
            DropLocked(connection.get());
            for (const auto& [id, unit] : units_) {
              if (unit->connection == connection) AbandonLocked(unit.get());
            }
          }};
}

void Actor::OnMessage(const std::shared_ptr<Connection>& connection, v1::WorkResponse message) {
  switch (message.message_case()) {
    case v1::WorkResponse::kWelcome: {
      reconnector_.Connected();
      instruments_->connected.Set(1);
      const std::string address =
          options_.learners != nullptr ? options_.learners->Connected() : "";
      MENTOR_LOG(kInfo, "connected to a learner",
                 {{"learner", LearnerName(message.welcome().server_uid())}, {"address", address}});
      const uint32_t units = CreditOf(options_.threads);
      {
        const MutexLock lock(mutex_);
        connection->credit += units;
        connection->learner = message.welcome().server_uid();
        connection->welcomed = true;
      }
      connection->stream->Send(CreditMessage(units));
      return;
    }
    case v1::WorkResponse::kUnit:
      return Take(connection, std::move(*message.mutable_unit()));
    case v1::WorkResponse::kCancelUnit:
      return Cancel(connection, message.cancel_unit().id());
    case v1::WorkResponse::kDrain: {
      const MutexLock lock(mutex_);
      told_to_leave_ = true;
    }
      if (options_.on_drain) options_.on_drain();
      return;
    default:
      return;  // A message of a newer version.
  }
}

void Actor::Take(const std::shared_ptr<Connection>& connection, v1::Unit given) {
  MENTOR_FAILPOINT("actor.unit.received");
  MutexLock lock(mutex_);
  // Sent before the learner knew that this actor leaves: the learner gives the unit to another one.
  if (connection->leaving_since) return;
  if (connection->credit == 0) {
    lock.Unlock();
    connection->stream->Close(
        MakeError(Reason::kCreditExceeded, "the learner sent more units than it was asked for"));
    return;
  }
  --connection->credit;
  MENTOR_HISTORY("received", {{"unit", NameOf(given.id())},
                              {"attempt", given.attempt()},
                              {"server", connection->learner}});
  const Turns::Id id = ++received_;
  auto unit = std::make_shared<Unit>(this, id);
  unit->unit = std::move(given);
  unit->connection = connection;
  unit->received = std::chrono::steady_clock::now();
  turns_.Add(id, unit->unit.share());
  units_.emplace(id, std::move(unit));
  FillPlacesLocked();
}

void Actor::Cancel(const std::shared_ptr<Connection>& connection, const v1::UnitId& id) {
  v1::WorkRequest answer;
  {
    const MutexLock lock(mutex_);
    const auto found = std::find_if(units_.begin(), units_.end(), [&](const auto& entry) {
      const v1::UnitId& other = entry.second->unit.id();
      return entry.second->connection == connection && other.shard() == id.shard() &&
             other.iteration() == id.iteration() && other.agent() == id.agent() &&
             other.part() == id.part();
    });
    if (found == units_.end()) return;  // The unit is done, and its result is on the way.
    if (found->second->worker != nullptr) {
      EndLocked(found->second.get(), absl::CancelledError("cancelled"));
      return;  // The unit's worker answers.
    }
    answer.mutable_result()->set_attempt(found->second->unit.attempt());
    turns_.Remove(found->first, Now());
    units_.erase(found);
    ++connection->credit;
    instruments_->units_cancelled.Increment();
    instruments_->queue_items.Set(static_cast<double>(turns_.waiting()));
  }
  // Every unit is answered, so that both sides agree on the outstanding units.
  *answer.mutable_result()->mutable_id() = id;
  answer.mutable_result()->set_error("cancelled");
  connection->stream->Send(std::move(answer));
  connection->stream->Send(CreditMessage(1));
}

void Actor::CountIdleLocked() {
  const auto now = std::chrono::steady_clock::now();
  const double seconds =
      std::chrono::duration<double>(now - std::exchange(idle_since_, now)).count();
  instruments_->idle_seconds.Increment(seconds * std::max(0, options_.threads - turns_.working()));
}

void Actor::FillPlacesLocked() {
  if (stopping_) return;
  CountIdleLocked();
  for (const Turns::Id id : turns_.TakePlaces(Now())) units_.at(id)->asked = true;
  for (const Turns::Id id : turns_.FillPlaces(Now())) {
    Unit* const unit = units_.at(id).get();
    if (unit->worker == nullptr) {
      BeginLocked(unit);
    } else {
      unit->worker->changed.NotifyAll();
    }
  }
  instruments_->queue_items.Set(static_cast<double>(turns_.waiting()));
  if (turns_.contended() && !watches_closely_) changed_.NotifyAll();
}

void Actor::BeginLocked(Unit* unit) {
  // Prefers a worker with simulators of this experiment. Otherwise takes the first idle worker, so
  // that later workers can free their simulators.
  const std::string& experiment = unit->unit.share().experiment();
  Worker* chosen = nullptr;
  for (const auto& worker : workers_) {
    if (worker->unit != nullptr) continue;
    if (chosen == nullptr) chosen = worker.get();
    if (worker->warm && worker->experiment == experiment) {
      chosen = worker.get();
      break;
    }
  }
  if (chosen == nullptr) {
    chosen = workers_.emplace_back(std::make_unique<Worker>()).get();
    chosen->spare = workers_.size() > static_cast<size_t>(options_.threads);
    chosen->thread = std::thread([this, chosen] { Work(chosen); });
  }
  unit->worker = chosen;
  chosen->unit = units_.at(unit->number);
  chosen->experiment = experiment;
  chosen->warm = true;
  ++running_;
  ++unit->connection->running;
  chosen->changed.NotifyAll();
}

void Actor::EndLocked(Unit* unit, absl::Status why) {
  if (unit->end.ok()) unit->end = std::move(why);
  unit->asked = true;
  if (unit->worker != nullptr) unit->worker->changed.NotifyAll();
}

void Actor::AbandonLocked(Unit* unit) {
  unit->unheard = true;
  EndLocked(unit, absl::CancelledError("cancelled"));
}

absl::Status Actor::AtPausePoint(Unit* unit) {
  MutexLock lock(mutex_);
  unit->asked = false;
  if (!unit->end.ok()) return unit->end;
  CountIdleLocked();
  if (turns_.GoesOn(unit->number, Now())) return absl::OkStatus();
  const auto since = Now();
  FillPlacesLocked();
  while (unit->end.ok() && !turns_.Computes(unit->number)) unit->worker->changed.Wait(lock);
  unit->piece_since.fetch_add((Now() - since).count(), std::memory_order_relaxed);
  return unit->end;
}

void Actor::LeaveUnwelcomeLocked(std::chrono::nanoseconds now) {
  if (connection_ == nullptr || connection_->welcomed ||
      now - connection_->opened < options_.welcome_deadline)
    return;
  connection_->stream->Close(absl::UnavailableError(
      absl::StrFormat("the learner did not answer hello within %g s",
                      std::chrono::duration<double>(options_.welcome_deadline).count())));
}

void Actor::WatchTime() {
  MutexLock lock(mutex_);
  std::chrono::nanoseconds looked{0};
  while (!stopping_) {
    watches_closely_ = turns_.contended();
    changed_.WaitFor(lock, watches_closely_ ? kSlice : kLookAtTime);
    if (stopping_) return;
    if (watches_closely_) {
      FillPlacesLocked();
    } else {
      CountIdleLocked();
    }
    const auto now = Now();
    if (now - looked < kLookAtTime) continue;
    looked = now;
    LeaveUnwelcomeLocked(now);
    for (const auto& [id, unit] : units_) {
      const char* const piece = unit->piece.load(std::memory_order_relaxed);
      const std::chrono::nanoseconds since{unit->piece_since.load(std::memory_order_relaxed)};
      if (piece == nullptr || !turns_.Computes(id) || now - since < options_.piece_deadline)
        continue;
      EndLocked(unit.get(),
                absl::AbortedError(absl::StrFormat(
                    "%s took more than %g s of computing; make it quicker, or start actors with "
                    "a longer --environment_timeout_s",
                    piece, std::chrono::duration<double>(options_.piece_deadline).count())));
    }
  }
}

void Actor::Work(Worker* worker) {
  MutexLock lock(mutex_);
  worker->idle_since = std::chrono::steady_clock::now();
  while (true) {
    while (!stopping_ && worker->unit == nullptr) {
      worker->changed.WaitFor(lock, kLookAtTime);
      if (worker->unit != nullptr || !worker->spare || !worker->warm ||
          std::chrono::steady_clock::now() - worker->idle_since < kSpareAfter)
        continue;
      worker->warm = false;
      lock.Unlock();
      worker->runner.Forget();
      lock.Lock();
    }
    if (worker->unit == nullptr) return;
    const std::shared_ptr<Unit> unit = worker->unit;
    lock.Unlock();
    Run(worker, unit);
    lock.Lock();
    CountIdleLocked();
    turns_.Remove(unit->number, Now());
    units_.erase(unit->number);
    --running_;
    worker->unit = nullptr;
    worker->idle_since = std::chrono::steady_clock::now();
    if (running_ == 0) changed_.NotifyAll();
    if (--unit->connection->running == 0 && unit->connection->leaving_since && !draining_) {
      lock.Unlock();
      unit->connection->stream->Close(absl::OkStatus());
      lock.Lock();
    }
    FillPlacesLocked();
  }
}

void Actor::Run(Worker* worker, const std::shared_ptr<Unit>& unit) {
  const auto start = std::chrono::steady_clock::now();
  instruments_->queue_wait.Observe(std::chrono::duration<double>(start - unit->received).count());
  v1::WorkRequest message;
  v1::Result& result = *message.mutable_result();
  {
    const TurnScope scope(unit.get());
    result = worker->runner.Run(unit->unit);
  }
  instruments_->unit_seconds.Observe(
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  MENTOR_FAILPOINT("actor.result.before_send");
  if (MENTOR_FAILPOINT("actor.result.wrong")) Falsify(&result);
  bool cancelled;
  {
    const MutexLock guard(mutex_);
    ++unit->connection->credit;
    cancelled = absl::IsCancelled(unit->end);
    result.set_work_seconds(
        std::chrono::duration<double>(turns_.TimeAtWork(unit->number, Now())).count());
    if (unit->unheard) return;
  }
  instruments_->class_seconds.at(ToShare(unit->unit.share()).priority)
      ->Increment(result.work_seconds());
  if (result.error().empty()) {
    instruments_->units_ok.Increment();
    instruments_->env_steps.Increment(unit->unit.steps());
    instruments_->policy_seconds.Increment(result.policy_cpu_seconds());
    instruments_->encode_seconds.Increment(worker->runner.encode_seconds());
    instruments_->step_seconds.Increment(std::max(
        0.0, result.cpu_seconds() - result.policy_cpu_seconds() - worker->runner.encode_seconds()));
  } else if (cancelled) {
    instruments_->units_cancelled.Increment();
  } else {
    instruments_->units_error.Increment();
    MENTOR_LOG_EVERY(std::chrono::seconds(10), kWarning, "a unit failed",
                     {{"experiment", unit->unit.share().experiment()}, {"why", result.error()}});
  }
  MENTOR_HISTORY("sent", {{"unit", NameOf(result.id())},
                          {"attempt", result.attempt()},
                          {"server", unit->connection->learner},
                          {"hash", history::Digest(result.result_hash())},
                          {"error", result.error()}});
  unit->connection->stream->Send(std::move(message));
  unit->connection->stream->Send(CreditMessage(1));
  MENTOR_FAILPOINT("actor.result.after_send");
}

}  // namespace mentor::actor
