#include "meta_learner/scheduler.h"

#include <chrono>
#include <optional>

#include "common/log.h"
#include "common/status.h"

namespace mentor::meta_learner {
namespace {

// How often an experiment that met a full disk looks for room.
constexpr int kDiskFullRetrySeconds = 10;

using S = v1::Experiment;

}  // namespace

Scheduler::Scheduler(ExperimentRunner::Options options, int running_max)
    : options_(options), runner_(options) {
  for (int i = 0; i < running_max; ++i) threads_.emplace_back([this] { Work(); });
}

Scheduler::~Scheduler() {
  Stop();
}

void Scheduler::Wake() {
  const std::lock_guard lock(mutex_);
  ++wakes_;
  changed_.notify_all();
}

void Scheduler::Cancel(const std::string& name) {
  const std::lock_guard lock(mutex_);
  if (const auto job = jobs_.find(name); job != jobs_.end()) job->second->cancel = true;
  ++wakes_;
  changed_.notify_all();
  options_.broker->Wake();
}

void Scheduler::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (auto& [name, job] : jobs_) job->cancel = true;
    changed_.notify_all();
  }
  options_.broker->Wake();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

std::optional<v1::Experiment> Scheduler::Next(std::shared_ptr<Job>* job) {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const uint64_t seen = wakes_;
    lock.unlock();
    auto waiting =
        options_.store->InStates({S::STATE_RUNNING, S::STATE_CANCELLING, S::STATE_QUEUED});
    if (!waiting.ok())
      MENTOR_LOG(kError, "the store cannot be read",
                 {{"error", std::string(waiting.status().message())}});
    lock.lock();
    if (waiting.ok() && !stopping_) {
      for (v1::Experiment& experiment : *waiting) {
        if (jobs_.contains(experiment.name())) continue;
        if (left_.contains(experiment.name()) && experiment.state() != S::STATE_CANCELLING)
          continue;
        *job = jobs_[experiment.name()] = std::make_shared<Job>();
        return std::move(experiment);
      }
    }
    changed_.wait_for(lock, std::chrono::seconds(30), [&] { return stopping_ || wakes_ != seen; });
  }
  return std::nullopt;
}

void Scheduler::Work() {
  std::shared_ptr<Job> job;
  while (std::optional<v1::Experiment> experiment = Next(&job)) {
    const bool ended = RunToEnd(*experiment, *job);
    const std::lock_guard lock(mutex_);
    jobs_.erase(experiment->name());
    if (!ended) left_.insert(experiment->name());
  }
}

bool Scheduler::WaitSeconds(int seconds, const Job& job) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, std::chrono::seconds(seconds),
                            [&] { return stopping_ || job.cancel.load(); });
}

bool Scheduler::RunToEnd(const v1::Experiment& queued, const Job& job) {
  const std::string& name = queued.name();
  const auto finish = [&](const std::set<State>& from, State to, std::string_view error) {
    const auto moved = options_.store->Transition(name, from, to, error);
    if (!moved.ok()) {
      MENTOR_LOG(kError,
                 "an experiment's end could not be written; it is tried again after the next start",
                 {{"experiment", name}, {"error", std::string(moved.status().message())}});
    }
  };
  if (queued.state() == S::STATE_CANCELLING) {
    finish({S::STATE_CANCELLING}, S::STATE_CANCELLED, "");
    return true;
  }
  auto experiment = queued.state() == S::STATE_RUNNING
                        ? options_.store->Get(name)
                        : options_.store->Transition(name, {S::STATE_QUEUED}, S::STATE_RUNNING);
  if (!experiment.ok()) return true;  // Cancelled in the meantime.
  MENTOR_LOG(kInfo, "experiment begins", {{"experiment", name}});
  absl::Status status;
  do {
    status = runner_.Run(*experiment, job.cancel);
    if (status.code() == absl::StatusCode::kResourceExhausted && !job.cancel) {
      MENTOR_LOG(kError, "no room for a checkpoint; trying again from the last one",
                 {{"experiment", name}, {"error", std::string(status.message())}});
      options_.store
          ->SetProgress(name, "waiting for disk space: " + std::string(status.message()),
                        experiment->progress())
          .IgnoreError();
    }
  } while (status.code() == absl::StatusCode::kResourceExhausted &&
           WaitSeconds(kDiskFullRetrySeconds, job));

  if (ReasonOf(status) == ReasonName(Reason::kNumericMismatch) && !job.cancel) {
    MENTOR_LOG(kError, "experiment belongs to another kind of machine",
               {{"experiment", name}, {"why", status}});
    options_.store->SetProgress(name, std::string(status.message()), experiment->progress())
        .IgnoreError();
    return false;
  }
  if (status.ok()) {
    MENTOR_LOG(kInfo, "experiment succeeded", {{"experiment", name}});
    finish({S::STATE_RUNNING, S::STATE_CANCELLING}, S::STATE_SUCCEEDED, "");
    return true;
  }
  if (job.cancel) {
    // Cancelled by a user, or this process stops: then it stays RUNNING.
    const auto now = options_.store->Get(name);
    if (now.ok() && now->state() == S::STATE_CANCELLING)
      finish({S::STATE_CANCELLING}, S::STATE_CANCELLED, "");
    return true;
  }
  MENTOR_LOG(kError, "experiment failed",
             {{"experiment", name}, {"error", std::string(status.message())}});
  finish({S::STATE_RUNNING, S::STATE_CANCELLING}, S::STATE_FAILED, std::string(status.message()));
  return true;
}

}  // namespace mentor::meta_learner
