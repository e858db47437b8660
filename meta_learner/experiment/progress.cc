#include "meta_learner/experiment/progress.h"

#include <algorithm>
#include <utility>

#include "common/log.h"

namespace mentor::meta_learner {
namespace {

// The least time between two looks, and the least span of a rate.
constexpr double kLookSeconds = 0.5;
constexpr double kRateSeconds = 5;

}  // namespace

ProgressReporter::ProgressReporter(Options options)
    : options_(std::move(options)),
      outer_updates_total_(options_.outer_updates_total),
      evaluation_start_(options_.now()),
      looks_({{.time = evaluation_start_}}),
      last_look_(evaluation_start_) {}

void ProgressReporter::SetTrained(uint32_t outer_updates, uint64_t env_steps, double seconds) {
  outer_updates_ = outer_updates;
  env_steps_ = env_steps;
  seconds_per_update_ = seconds;
  waits_ = false;
  // The earlier steps were not made in this time.
  if (seconds == 0) looks_ = {{.time = options_.now(), .steps = env_steps}};
}

void ProgressReporter::BeginEvaluation(uint32_t lifetimes_total) {
  evaluation_total_ = lifetimes_total;
  evaluation_start_ = options_.now();
}

v1::Progress ProgressReporter::Now(const RunProgress& shards) {
  v1::Progress progress;
  progress.set_outer_updates(outer_updates_);
  progress.set_outer_updates_total(outer_updates_total_);
  progress.set_evaluation_lifetimes(evaluated_.done);
  progress.set_evaluation_lifetimes_total(evaluation_total_);
  progress.set_env_steps(env_steps_ + shards.env_steps);
  progress.set_env_steps_per_second(Rate(env_steps_ + evaluated_.env_steps + shards.env_steps));
  progress.set_seconds_left(waits_ ? -1 : SecondsLeft());
  return progress;
}

double ProgressReporter::Rate(uint64_t env_steps) {
  const Clock::time_point now = options_.now();
  if (waits_) {
    // Without workers, the last numbers are old.
    looks_ = {{.time = now, .steps = env_steps}};
    last_look_ = now;
    return rate_ = 0;
  }
  if (SecondsSince(last_look_) < kLookSeconds) return rate_;
  last_look_ = now;
  // Rounds end between two looks, and steps come in bursts, so the window grows until it holds
  // some. A shard that begins again does not count its repeated steps.
  if (env_steps > looks_.back().steps) looks_.push_back({.time = now, .steps = env_steps});
  while (looks_.size() > 2 && SecondsSince(looks_[1].time) >= kRateSeconds) looks_.pop_front();
  const uint64_t steps = looks_.back().steps - looks_.front().steps;
  return rate_ = static_cast<double>(steps) / SecondsSince(looks_.front().time);
}

double ProgressReporter::SecondsSince(Clock::time_point start) const {
  return std::chrono::duration<double>(options_.now() - start).count();
}

double ProgressReporter::SecondsLeft() const {
  if (const uint32_t left = outer_updates_total_ - outer_updates_; left > 0) {
    if (seconds_per_update_ <= 0) return -1;
    const double updates_of_evaluation =
        static_cast<double>(evaluation_steps_) * outer_updates_ / std::max<uint64_t>(1, env_steps_);
    return (left + updates_of_evaluation) * seconds_per_update_;
  }
  const uint32_t fresh = evaluated_.done - evaluated_.skipped;
  if (evaluation_total_ == 0 || fresh == 0) return -1;
  return SecondsSince(evaluation_start_) / fresh * (evaluation_total_ - evaluated_.done);
}

void ProgressReporter::Report(const std::string& activity, const RunProgress& shards) {
  const absl::Status status =
      options_.records->SetProgress(options_.experiment, activity, Now(shards));
  if (!status.ok()) {
    MENTOR_LOG(kWarning, "progress could not be kept",
               {{"experiment", options_.experiment}, {"why", status}});
  }
}

void ProgressReporter::ReportWork(const std::string& activity, const RunProgress& shards) {
  const std::string waiting = WaitingFor(shards);
  waits_ = !waiting.empty();
  Report(activity + waiting, shards);
}

}  // namespace mentor::meta_learner
