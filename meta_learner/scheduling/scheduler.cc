#include "meta_learner/scheduling/scheduler.h"

#include <algorithm>
#include <tuple>

#include <absl/strings/str_format.h>
#include <absl/time/clock.h>
#include <google/protobuf/util/time_util.h>

#include "common/log.h"
#include "common/status.h"

namespace mentor::meta_learner {
namespace {

using S = v1::Experiment;
using google::protobuf::util::TimeUtil;

// Room to ask for when the experiment has no checkpoint yet whose size is known.
constexpr uint64_t kFirstCheckpointBytes = 4 << 20;
// How far back watchers can resume (docs/architecture.md#transport).
constexpr int64_t kEventsKept = 100'000;
constexpr int64_t kEventsKeptNs = int64_t{7} * 24 * 3600 * 1'000'000'000;
constexpr int kLooksPerCompaction = 60;
// Wait before an experiment with an unreadable row is tried again.
constexpr auto kUnreadableWait = std::chrono::minutes(10);
// How often the database's log is emptied. A lost log loses at most this much time.
constexpr auto kEmptyLogEvery = std::chrono::seconds(5);
// The wait for storage doubles with each error in a row, at most this many times.
constexpr int kStoreDoublingsMax = 5;
// The wait before a retry doubles each time, at most this many times.
constexpr int kRetryDoublingsMax = 6;
// Warnings of an experiment; more are only logged.
constexpr int kWarningsMax = 20;

absl::Status PastDeadlineError(const v1::Experiment& experiment) {
  return MakeError(
      Reason::kDeadlinePassed,
      absl::StrFormat("the deadline %s has passed", TimeUtil::ToString(experiment.deadline())));
}

// True if storage or a database is unavailable. Nothing is wrong with the experiment: it waits
// without a time limit and then continues from its last checkpoint.
bool MayPass(const absl::Status& status) {
  return absl::IsUnavailable(status);
}

// True if this status can result from a stop request.
bool MayBeStopped(const absl::Status& status) {
  return absl::IsCancelled(status) || MayPass(status) || absl::IsResourceExhausted(status);
}

bool MayHelpToRetry(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kDataLoss:
      return false;
    default:
      return true;
  }
}

}  // namespace

Scheduler::Scheduler(Options options, Metrics* metrics)
    : options_(std::move(options)),
      preemptions_(metrics->Counter("mentor_experiment_preemptions_total",
                                    "Experiments that gave their place to a higher class.")),
      retries_(metrics->Counter("mentor_experiment_retries_total",
                                "Failed experiments that were queued again.")),
      failures_(
          metrics->Counter("mentor_experiment_failures_total", "Experiments that became FAILED.")),
      low_turns_(options_.low_share) {
  for (const auto& [priority, name] :
       {std::pair(v1::PRIORITY_LOW, "low"), std::pair(v1::PRIORITY_NORMAL, "normal"),
        std::pair(v1::PRIORITY_HIGH, "high")}) {
    queue_wait_[priority] = &metrics->Histogram("mentor_experiment_queue_wait_seconds",
                                                "From creation to the first run.", QueueBuckets(),
                                                {{"priority", name}});
  }
  for (int i = 0; i < options_.running_max; ++i) threads_.emplace_back([this] { Work(); });
  threads_.emplace_back([this] { Housekeep(); });
}

Scheduler::~Scheduler() {
  Stop();
}

void Scheduler::Wake() {
  const MutexLock lock(mutex_);
  ++wakes_;
  changed_.NotifyAll();
}

void Scheduler::Interrupt(Job* job, Stopped why) {
  Stopped none = Stopped::kNot;
  job->why.compare_exchange_strong(none, why);
  job->cancel = true;
  changed_.NotifyAll();
}

void Scheduler::Look(const v1::Experiment& experiment) {
  {
    const MutexLock lock(mutex_);
    const bool stops =
        experiment.state() == S::STATE_PAUSING || experiment.state() == S::STATE_CANCELLING;
    // A new experiment must not inherit the retry delay of a deleted one with the same name.
    if (stops || !experiment.has_start_time()) not_before_.erase(experiment.name());
    if (const auto found = jobs_.find(experiment.name()); found != jobs_.end()) {
      found->second->priority = experiment.priority();
      if (stops) Interrupt(found->second.get(), Stopped::kByUser);
      options_.board->SetShare(experiment.name(), {.owner = experiment.owner(),
                                                   .priority = experiment.priority(),
                                                   .weight = experiment.weight()});
    }
    ++wakes_;
    changed_.NotifyAll();
  }
  options_.board->Wake();
}

void Scheduler::Stop() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    for (auto& [name, job] : jobs_) job->cancel = true;
    changed_.NotifyAll();
  }
  options_.board->Wake();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

// ---- Choosing the next experiment.

std::map<std::string, int> Scheduler::RunningByOwner() const {
  std::map<std::string, int> running;
  for (const auto& [name, job] : jobs_) ++running[job->owner];
  return running;
}

const QueueHead* Scheduler::Choose(const std::vector<QueueHead>& heads, bool* owed) {
  std::map<std::string, int> running = RunningByOwner();
  std::vector<const QueueHead*> eligible;
  v1::Priority highest = v1::PRIORITY_UNSPECIFIED;
  bool low = false;
  for (const QueueHead& head : heads) {
    if (options_.running_per_owner_max > 0 && running[head.owner] >= options_.running_per_owner_max)
      continue;
    eligible.push_back(&head);
    highest = std::max(highest, head.priority);
    low = low || head.priority == v1::PRIORITY_LOW;
  }
  if (eligible.empty()) return nullptr;
  v1::Priority turn = highest;
  if (low && highest != v1::PRIORITY_LOW && low_turns_.Take()) {
    turn = v1::PRIORITY_LOW;
    *owed = true;
  }
  const QueueHead* best = nullptr;
  for (const QueueHead* head : eligible) {
    if (head->priority != turn) continue;
    if (best == nullptr || std::tuple(running[head->owner], head->number) <
                               std::tuple(running[best->owner], best->number))
      best = head;
  }
  return best;
}

std::set<std::string> Scheduler::NotForNow(Clock::time_point* until) const {
  std::set<std::string> names;
  for (const auto& [name, job] : jobs_) names.insert(name);
  for (const auto& [name, moment] : not_before_) {
    if (moment <= Clock::now()) continue;
    names.insert(name);
    *until = std::min(*until, moment);
  }
  return names;
}

void Scheduler::PreemptFor(const std::vector<QueueHead>& heads) {
  if (static_cast<int>(jobs_.size()) < options_.running_max) return;
  const std::map<std::string, int> running = RunningByOwner();
  // True if ending this job lets a waiting head run. An owner at the limit gains only from the end
  // of one of their own jobs.
  const auto makes_room = [&](const Job& job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return std::any_of(heads.begin(), heads.end(), [&](const QueueHead& head) {
      const auto own = running.find(head.owner);
      const bool at_limit = options_.running_per_owner_max > 0 && own != running.end() &&
                            own->second >= options_.running_per_owner_max;
      return job.priority < head.priority && (!at_limit || job.owner == head.owner);
    });
  };
  // Preempt one job at a time: choose none while another is still stopping. The lowest class goes
  // first. Within a class, prefer jobs of an owner that waits with a higher class, then the job
  // that began last.
  const auto pays = [&](const Job& job) {
    return std::any_of(heads.begin(), heads.end(), [&](const QueueHead& head) {
      return head.owner == job.owner && job.priority < head.priority;
    });
  };
  const auto rank = [&](const Job& job) {
    return std::tuple(-static_cast<int>(job.priority), pays(job), job.since);
  };
  Job* victim = nullptr;
  for (const auto& [name, job] : jobs_) {
    if (job->cancel) return;
    if (job->owed || !makes_room(*job)) continue;
    if (victim == nullptr || rank(*job) > rank(*victim)) victim = job.get();
  }
  if (victim != nullptr) Interrupt(victim, Stopped::kPreempted);
}

std::optional<v1::Experiment> Scheduler::Next(std::shared_ptr<Job>* job) {
  MutexLock lock(mutex_);
  const auto take = [&](const v1::Experiment& experiment) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    *job = jobs_[experiment.name()] = std::make_shared<Job>();
    (*job)->owner = experiment.owner();
    (*job)->priority = experiment.priority();
    (*job)->since = Clock::now();
    left_.erase(experiment.name());
    ++wakes_;  // What other threads have read is out of date now.
    changed_.NotifyAll();
  };
  while (!stopping_) {
    const uint64_t seen = wakes_;
    std::erase_if(not_before_, [](const auto& entry) { return entry.second <= Clock::now(); });
    auto until = Clock::now() + std::chrono::seconds(30);
    const std::set<std::string> except = NotForNow(&until);
    lock.Unlock();
    auto at_work =
        options_.records->InStates({S::STATE_RUNNING, S::STATE_PAUSING, S::STATE_CANCELLING});
    auto heads = options_.records->QueueHeads(except);
    if (!at_work.ok() || !heads.ok()) {
      MENTOR_LOG_EVERY(std::chrono::seconds(10), kError, "the store cannot be read",
                       {{"why", at_work.ok() ? heads.status() : at_work.status()}});
      until = std::min(until, Clock::now() + std::chrono::seconds(1));
    }
    lock.Lock();
    if (stopping_) break;
    // Another thread may have taken or ended an experiment since the read; then look again. On a
    // full disk no experiment can begin or end; this thread is woken when there is room.
    const bool stands = options_.disk->full() || seen != wakes_;
    if (at_work.ok() && !stands) {
      for (v1::Experiment& experiment : *at_work) {
        if (except.contains(experiment.name())) continue;
        if (left_.contains(experiment.name()) && experiment.state() == S::STATE_RUNNING) continue;
        take(experiment);
        return std::move(experiment);
      }
    }
    if (heads.ok() && !stands) {
      bool owed = false;
      if (const QueueHead* head = Choose(*heads, &owed); head != nullptr) {
        v1::Experiment experiment;
        experiment.set_name(head->name);
        experiment.set_owner(head->owner);
        experiment.set_priority(head->priority);
        experiment.set_state(S::STATE_QUEUED);
        take(experiment);
        (*job)->owed = owed;
        return experiment;
      }
    }
    changed_.WaitUntil(lock, until, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return stopping_ || wakes_ != seen;
    });
  }
  return std::nullopt;
}

// ---- Running one experiment.

void Scheduler::Work() {
  std::shared_ptr<Job> job;
  while (std::optional<v1::Experiment> experiment = Next(&job)) {
    const bool ended = RunToEnd(*experiment, *job);
    const MutexLock lock(mutex_);
    // Both under one lock; otherwise Look() could add a share that is never removed.
    options_.board->RemoveShare(experiment->name());
    jobs_.erase(experiment->name());
    if (!ended) left_.insert(experiment->name());
    ++wakes_;
    changed_.NotifyAll();
  }
}

void Scheduler::HoldBack(const std::string& name, std::chrono::milliseconds wait) {
  const MutexLock lock(mutex_);
  not_before_[name] = Clock::now() + wait;
}

bool Scheduler::RunToEnd(const v1::Experiment& waiting, const Job& job) {
  const std::string& name = waiting.name();
  auto experiment = waiting.state() == S::STATE_QUEUED
                        ? options_.records->Transition(name, {S::STATE_QUEUED}, S::STATE_RUNNING)
                        : options_.records->Get(name);
  if (MayPass(experiment.status())) {
    HoldBack(name, options_.store_wait);
    return true;
  }
  // The store cannot read the row of this experiment, so continue with the others.
  if (absl::IsDataLoss(experiment.status())) {
    MENTOR_LOG_EVERY(std::chrono::seconds(60), kError, "an experiment in the queue cannot be read",
                     {{"name", name}, {"why", experiment.status()}});
    HoldBack(name, kUnreadableWait);
    return true;
  }
  // There is no room to begin: the experiment stays queued until there is.
  if (absl::IsResourceExhausted(experiment.status())) {
    const auto queued = options_.records->Get(name);
    options_.disk->Full(queued.ok() ? queued->uid() : "", kFirstCheckpointBytes);
    return true;
  }
  // The experiment was paused, cancelled or deleted meanwhile.
  if (!experiment.ok() || !IsAtWork(experiment->state())) return true;
  if (experiment->state() == S::STATE_PAUSING || experiment->state() == S::STATE_CANCELLING) {
    End(*experiment, job, absl::CancelledError("stopped while no process ran it"));
    return true;
  }
  if (waiting.state() == S::STATE_QUEUED && experiment->retries() == 0 &&
      experiment->preemptions() == 0) {
    queue_wait_.at(experiment->priority())
        ->Observe(std::max(0.0, static_cast<double>(TimeUtil::DurationToMilliseconds(
                                    experiment->start_time() - experiment->create_time())) /
                                    1000));
  }
  if (waiting.state() == S::STATE_QUEUED) {
    MENTOR_LOG(kInfo, "experiment begins",
               {{"experiment", name}, {"event", "admitted"}, {"owner", experiment->owner()}});
  } else {
    MENTOR_LOG(kInfo, "experiment goes on: this meta-learner was started, or has taken over",
               {{"experiment", name}, {"event", "taken_over"}});
  }
  options_.board->SetShare(name, {.owner = experiment->owner(),
                                  .priority = experiment->priority(),
                                  .weight = experiment->weight()});
  const absl::Status status = RunThroughFaults(*experiment, job);
  if (ReasonOf(status) == ReasonName(Reason::kNumericMismatch) && !job.cancel) {
    MENTOR_LOG(kError, "experiment belongs to another kind of machine",
               {{"experiment", name}, {"why", status}});
    options_.records->SetProgress(name, std::string(status.message()), experiment->progress())
        .IgnoreError();
    return false;
  }
  End(*experiment, job, status);
  return true;
}

absl::Status Scheduler::RunThroughFaults(const v1::Experiment& experiment, const Job& job) {
  absl::Status status = options_.run(experiment, job.cancel);
  for (int waits = 0; MayPass(status) && WaitForStorage(experiment, status, waits, job); ++waits) {
    const auto now = options_.records->Get(experiment.name());
    status = now.ok() ? options_.run(*now, job.cancel) : now.status();
  }
  return status;
}

bool Scheduler::WaitForStorage(const v1::Experiment& experiment, const absl::Status& why, int waits,
                               const Job& job) {
  const std::string& name = experiment.name();
  const auto wait = options_.store_wait * (1 << std::min(waits, kStoreDoublingsMax));
  MENTOR_LOG(kWarning, "experiment waits for its storage",
             {{"experiment", name},
              {"event", "waits_for_storage"},
              {"wait_ms", wait.count()},
              {"why", why}});
  const auto now = options_.records->Get(name);
  options_.records
      ->SetProgress(name, absl::StrFormat("waits for storage: %s", why.message()),
                    now.ok() ? now->progress() : experiment.progress())
      .IgnoreError();
  {
    MutexLock lock(mutex_);
    changed_.WaitUntil(lock, Clock::now() + wait, [&] { return job.cancel.load(); });
  }
  if (job.cancel) return false;
  MENTOR_LOG(kInfo, "experiment goes on", {{"experiment", name}, {"event", "storage_is_back"}});
  return true;
}

void Scheduler::SetOutcome(const absl::Status& status, std::optional<Stopped> interrupted,
                           v1::Experiment* now) {
  const auto fail = [&](const absl::Status& why) {
    now->set_state(S::STATE_FAILED);
    *now->mutable_error() = StatusToProto(why);
  };
  if (status.ok()) {
    now->set_state(S::STATE_SUCCEEDED);
  } else if (now->state() == S::STATE_CANCELLING && MayBeStopped(status)) {
    now->set_state(S::STATE_CANCELLED);
  } else if (now->state() == S::STATE_PAUSING && MayBeStopped(status)) {
    now->set_state(S::STATE_PAUSED);
  } else if (interrupted) {
    // Otherwise this process stops: the experiment stays RUNNING and continues after the next
    // start.
    if (*interrupted == Stopped::kPreempted) {
      now->set_state(S::STATE_QUEUED);
      now->set_preemptions(now->preemptions() + 1);
    } else if (*interrupted == Stopped::kDeadline) {
      fail(PastDeadlineError(*now));
    }
  } else if (ReasonOf(status) == ReasonName(Reason::kDiskFull)) {
    now->set_state(S::STATE_PAUSED);
    now->set_pause_reason(S::PAUSE_REASON_DISK_FULL);
  } else if (now->state() == S::STATE_RUNNING && now->retries() < now->retries_max() &&
             MayHelpToRetry(status)) {
    now->set_state(S::STATE_QUEUED);
    now->set_retries(now->retries() + 1);
    *now->mutable_error() = StatusToProto(status);
  } else {
    fail(status);
  }
}

void Scheduler::End(const v1::Experiment& experiment, const Job& job, const absl::Status& status) {
  const std::string& name = experiment.name();
  KeepWarnings();  // They are there when its end is seen.
  const uint64_t served = options_.board->TakeServed(name);
  const bool interrupted = job.cancel && MayBeStopped(status);
  const bool disk_full = ReasonOf(status) == ReasonName(Reason::kDiskFull);
  if (disk_full) {
    const auto rows = options_.results->Checkpoints(experiment.uid());
    const bool known = rows.ok() && !rows->empty();
    options_.disk->Full(experiment.uid(), known ? rows->back().size_bytes : kFirstCheckpointBytes);
  }
  const auto moved = options_.records->Change(name, "", [&](v1::Experiment* now) {
    now->set_served_env_steps(now->served_env_steps() + served);
    SetOutcome(status, interrupted ? std::optional(job.why.load()) : std::nullopt, now);
    return absl::OkStatus();
  });
  if (!moved.ok()) {
    MENTOR_LOG(kError,
               "what became of an experiment could not be written; it goes on from its last "
               "checkpoint",
               {{"experiment", name}, {"why", moved.status()}});
    if (absl::IsResourceExhausted(moved.status()) && !disk_full)
      options_.disk->Full(experiment.uid(), kFirstCheckpointBytes);
    HoldBack(name, options_.store_wait);
    return;
  }
  if (disk_full) may_be_paused_ = true;
  if (status.ok()) {
    MENTOR_LOG(kInfo, "experiment succeeded", {{"experiment", name}, {"event", "succeeded"}});
  } else if (moved->state() == S::STATE_FAILED) {
    failures_.Increment();
    MENTOR_LOG(
        kError, "experiment failed",
        {{"experiment", name}, {"event", "failed"}, {"why", StatusFromProto(moved->error())}});
  } else if (moved->state() == S::STATE_QUEUED && interrupted) {
    preemptions_.Increment();
    MENTOR_LOG(kInfo, "experiment gave its place to a higher class",
               {{"experiment", name}, {"event", "preempted"}});
  } else if (moved->state() == S::STATE_QUEUED) {
    retries_.Increment();
    const auto wait =
        options_.retry_wait * (1 << std::min<uint32_t>(moved->retries() - 1, kRetryDoublingsMax));
    MENTOR_LOG(kWarning, "experiment failed and is tried again",
               {{"experiment", name},
                {"event", "retried"},
                {"retry", moved->retries()},
                {"of", moved->retries_max()},
                {"wait_ms", wait.count()},
                {"why", status}});
    HoldBack(name, wait);
  } else {
    MENTOR_LOG(kInfo, "experiment interrupted",
               {{"experiment", name},
                {"event", "interrupted"},
                {"state", std::string(StateText(moved->state()))}});
  }
}

// ---- Housekeeping.

void Scheduler::Housekeep() {
  MutexLock lock(mutex_);
  int looks = 0;
  auto empty_log = Clock::now() + kEmptyLogEvery;
  while (!stopping_) {
    const uint64_t seen = wakes_;
    // Exclude experiments that a thread has just taken, which may still be QUEUED in the store, and
    // those that wait for a retry. Neither needs the place of another.
    auto next = Clock::now() + options_.look_every;
    const std::set<std::string> except = NotForNow(&next);
    lock.Unlock();
    KeepWarnings();
    EndPastDeadline();
    DeleteExpired();
    options_.disk->Look();
    if (may_be_paused_ || options_.disk->full()) ResumeAfterFullDisk();
    KeepToStorageQuota();
    if (looks++ % kLooksPerCompaction == 0) {
      const absl::Status compacted = options_.records->CompactEvents(kEventsKept, kEventsKeptNs);
      if (!compacted.ok())
        MENTOR_LOG(kWarning, "old changes could not be dropped", {{"why", compacted}});
    }
    if (Clock::now() >= empty_log) {
      empty_log = Clock::now() + kEmptyLogEvery;
      if (const absl::Status emptied = options_.records->EmptyLog(); !emptied.ok()) {
        MENTOR_LOG_EVERY(std::chrono::minutes(1), kWarning,
                         "the database's log could not be emptied", {{"why", emptied}});
      }
    }
    const auto heads = options_.records->QueueHeads(except);
    lock.Lock();
    // The heads are out of date if an experiment was taken since the read.
    if (heads.ok() && !stopping_ && wakes_ == seen) PreemptFor(*heads);
    lock.Unlock();
    options_.board->Wake();
    lock.Lock();
    changed_.WaitUntil(lock, next, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return stopping_ || wakes_ != seen;
    });
  }
}

void Scheduler::KeepWarnings() {
  std::vector<ShardBoard::Warning> warnings = options_.board->TakeWarnings();
  {
    const MutexLock lock(mutex_);
    warnings.insert(warnings.begin(), unwritten_.begin(), unwritten_.end());
    unwritten_.clear();
  }
  for (const ShardBoard::Warning& warning : warnings) {
    const std::string text = warning.Text();
    const auto kept =
        options_.records->Change(warning.experiment, "", [&](v1::Experiment* now) -> absl::Status {
          if (now->uid() != warning.uid) return absl::NotFoundError("it is another one");
          // What is known about a peer may have grown.
          auto& all = *now->mutable_warnings();
          const auto same = std::find_if(all.begin(), all.end(), [&](const std::string& one) {
            return one.starts_with(warning.why);
          });
          if (same != all.end()) {
            *same = text;
          } else if (all.size() < kWarningsMax) {
            now->add_warnings(text);
          }
          return absl::OkStatus();
        });
    if (kept.ok()) {
      MENTOR_LOG(kError, "wrong numbers were found",
                 {{"experiment", warning.experiment}, {"event", "warning"}, {"why", text}});
    } else if (!absl::IsNotFound(kept.status())) {
      const MutexLock lock(mutex_);
      unwritten_.push_back(warning);
    }
  }
}

void Scheduler::EndPastDeadline() {
  const auto late = options_.records->PastDeadline(absl::GetCurrentTimeNanos());
  if (!late.ok()) return;
  for (const v1::Experiment& experiment : *late) {
    {
      const MutexLock lock(mutex_);
      if (const auto found = jobs_.find(experiment.name()); found != jobs_.end()) {
        Interrupt(found->second.get(), Stopped::kDeadline);
        continue;
      }
    }
    if (experiment.state() == S::STATE_CANCELLING || experiment.state() == S::STATE_PAUSING)
      continue;  // A worker thread is about to take it.
    const auto ended = options_.records->Transition(experiment.name(), {experiment.state()},
                                                    S::STATE_FAILED, PastDeadlineError(experiment));
    if (!ended.ok()) continue;  // Its state has changed: the next look sees the new one.
    failures_.Increment();
    MENTOR_LOG(kError, "experiment failed",
               {{"experiment", experiment.name()}, {"why", PastDeadlineError(experiment)}});
  }
}

void Scheduler::DeleteExpired() {
  const auto expired = options_.records->Expired(absl::GetCurrentTimeNanos());
  if (!expired.ok()) return;
  for (const v1::Experiment& experiment : *expired) {
    // Its expiry may have been extended since, or the name may belong to a new experiment.
    const absl::Status deleted =
        options_.records->DeleteIf(experiment.name(), "", [&](const v1::Experiment& now) {
          const bool same =
              now.uid() == experiment.uid() && now.has_expire_time() &&
              TimeUtil::TimestampToNanoseconds(now.expire_time()) <= absl::GetCurrentTimeNanos();
          return same ? absl::OkStatus() : absl::AbortedError("it has changed");
        });
    if (absl::IsAborted(deleted) || absl::IsNotFound(deleted)) continue;
    MENTOR_LOG(kInfo, "experiment has expired and is deleted",
               {{"experiment", experiment.name()}, {"status", deleted}});
  }
}

void Scheduler::ForgetWhoNeedsNoRoom() {
  const auto open =
      options_.records->InStates({S::STATE_QUEUED, S::STATE_RUNNING, S::STATE_PAUSED});
  if (!open.ok()) return;
  std::set<std::string> uids;
  for (const v1::Experiment& experiment : *open) {
    const bool needs_none = experiment.pause_reason() == S::PAUSE_REASON_USER ||
                            experiment.pause_reason() == S::PAUSE_REASON_STORAGE_QUOTA;
    if (!needs_none) uids.insert(experiment.uid());
  }
  options_.disk->WaitOnlyFor(uids);
}

void Scheduler::ResumeAfterFullDisk() {
  if (options_.disk->full()) ForgetWhoNeedsNoRoom();
  if (!options_.disk->TryRecover()) return;
  // Before the read, so that the next look sees experiments that pause from now on.
  may_be_paused_ = false;
  const auto paused = options_.records->InStates({S::STATE_PAUSED});
  if (!paused.ok()) {
    may_be_paused_ = true;
    return;
  }
  for (const v1::Experiment& experiment : *paused) {
    if (experiment.pause_reason() != S::PAUSE_REASON_DISK_FULL) continue;
    const auto resumed =
        options_.records->Transition(experiment.name(), {S::STATE_PAUSED}, S::STATE_QUEUED);
    if (resumed.ok() || absl::IsFailedPrecondition(resumed.status())) continue;
    // The change found no room, or the store is unavailable: the next look tries again.
    may_be_paused_ = true;
    if (absl::IsResourceExhausted(resumed.status()))
      options_.disk->Full(experiment.uid(), kFirstCheckpointBytes);
  }
  Wake();
}

void Scheduler::KeepToStorageQuota() {
  const int64_t bytes_max = options_.storage_per_owner_max;
  if (Clock::now() < next_storage_look_ || (bytes_max == 0 && !may_wait_for_quota_)) return;
  next_storage_look_ = Clock::now() + options_.storage_every;
  std::map<std::string, absl::Status> owners;
  bool may_write = false;
  if (bytes_max > 0) {
    const auto usage = options_.records->Usage();
    if (!usage.ok()) return;  // The next look tries again.
    for (const auto& [owner, own] : *usage) {
      const absl::Status status = CheckStorage(owner, own, bytes_max);
      if (status.ok()) continue;
      owners[owner] = status;
      may_write = may_write || own.queued + own.running > 0;
    }
  }
  if (may_write) PauseOwners(owners);
  const bool has_less = std::any_of(at_quota_.begin(), at_quota_.end(), [&](const auto& before) {
    return !owners.contains(before.first);
  });
  if (has_less || may_wait_for_quota_) may_wait_for_quota_ = !ResumeOthersThan(owners);
  at_quota_ = std::move(owners);
}

void Scheduler::PauseOwners(const std::map<std::string, absl::Status>& owners) {
  const auto open = options_.records->InStates({S::STATE_QUEUED, S::STATE_RUNNING});
  if (!open.ok()) return;
  for (const v1::Experiment& experiment : *open) {
    const auto owner = owners.find(experiment.owner());
    if (owner == owners.end()) continue;
    const auto paused =
        options_.records->Change(experiment.name(), "", [&](v1::Experiment* now) -> absl::Status {
          if (now->uid() != experiment.uid()) return absl::AbortedError("it is another one");
          if (now->state() != S::STATE_QUEUED && now->state() != S::STATE_RUNNING)
            return absl::AbortedError("it has moved");
          now->set_state(now->state() == S::STATE_QUEUED ? S::STATE_PAUSED : S::STATE_PAUSING);
          now->set_pause_reason(S::PAUSE_REASON_STORAGE_QUOTA);
          *now->mutable_error() = StatusToProto(owner->second);
          return absl::OkStatus();
        });
    if (!paused.ok()) continue;  // The next look sees its new state.
    Look(*paused);
    MENTOR_LOG(
        kWarning, "experiment is paused: its owner's storage is at its quota",
        {{"experiment", experiment.name()}, {"event", "storage_quota"}, {"why", owner->second}});
  }
}

bool Scheduler::ResumeOthersThan(const std::map<std::string, absl::Status>& owners) {
  const auto paused = options_.records->InStates({S::STATE_PAUSING, S::STATE_PAUSED});
  if (!paused.ok()) return false;
  bool all = true;
  for (const v1::Experiment& experiment : *paused) {
    if (experiment.pause_reason() != S::PAUSE_REASON_STORAGE_QUOTA ||
        owners.contains(experiment.owner()))
      continue;
    const auto resumed =
        options_.records->Change(experiment.name(), "", [](v1::Experiment* now) -> absl::Status {
          if (now->pause_reason() != S::PAUSE_REASON_STORAGE_QUOTA) return absl::OkStatus();
          if (now->state() != S::STATE_PAUSED)
            return absl::UnavailableError("it is on its way to PAUSED");
          now->set_state(S::STATE_QUEUED);
          return absl::OkStatus();
        });
    all = all && resumed.ok();
    if (!resumed.ok() || resumed->state() != S::STATE_QUEUED) continue;
    MENTOR_LOG(kInfo, "experiment goes on: its owner's storage is below its quota",
               {{"experiment", experiment.name()}, {"event", "below_storage_quota"}});
    Look(*resumed);
  }
  return all;
}

}  // namespace mentor::meta_learner
