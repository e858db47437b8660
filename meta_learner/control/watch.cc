#include <atomic>
#include <chrono>
#include <cmath>
#include <deque>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include <absl/strings/numbers.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>

#include "common/check.h"
#include "common/failpoint.h"
#include "common/hash.h"
#include "common/history.h"
#include "common/status.h"
#include "meta_learner/control/methods.h"
#include "meta_learner/store/paging.h"

namespace mentor::meta_learner {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kBookmarkEvery = std::chrono::seconds(10);
constexpr int kEventsAtOnce = 16;
// A watch that was up to date and falls this many changes behind is ended; it may resume.
constexpr int64_t kLagMax = 1000;
constexpr int kNamesMax = 100;
constexpr int kPointsAtOnce = 100;  // Points of each metric.

std::string HashOfNames(const std::vector<std::string>& names) {
  const std::set<std::string> sorted(names.begin(), names.end());
  return Sha256Hex(absl::StrJoin(sorted, "\n")).substr(0, 16);
}

// Returns the revision.
absl::StatusOr<int64_t> ReadResumeToken(const Records& records, std::string_view token,
                                        const std::vector<std::string>& names) {
  int64_t revision = 0;
  if (const auto text = ReadToken(token, 1000)) {
    const std::vector<std::string> parts = absl::StrSplit(*text, ' ');
    if (parts.size() == 3 && absl::SimpleAtoi(parts[1], &revision) && revision >= 0) {
      if (parts[0] != records.store_uid()) {
        return MakeError(Reason::kWatchCompacted,
                         "the resume_token belongs to another store: list again, the answer has a "
                         "new token");
      }
      if (parts[2] == HashOfNames(names)) return revision;
    }
  }
  return BadField("resume_token",
                  "is not one of this server's for these names; leave it out to begin anew");
}

class ExperimentWatch {
 public:
  ExperimentWatch(Records* records, const v1::WatchExperimentsRequest& request,
                  std::optional<int64_t> revision, prometheus::Histogram* lag_events)
      : records_(records),
        names_(request.names().begin(), request.names().end()),
        selected_(names_.begin(), names_.end()),
        progress_(request.progress()),
        lag_events_(lag_events),
        revision_(revision.value_or(0)),
        listed_(revision.has_value()) {}

  absl::StatusOr<Produced> Next(v1::WatchExperimentsResponse* response) {
    MENTOR_RETURN_IF_ERROR(failpoint::Error(MENTOR_FAILPOINT("api.watch.send")));
    MENTOR_ASSIGN_OR_RETURN(const bool any, Say(response));
    if (!any) return Produced::kNothing;
    last_message_ = Clock::now();
    return Produced::kMessage;
  }

 private:
  absl::StatusOr<bool> Say(v1::WatchExperimentsResponse* response) {
    if (rows_.empty() && !listed_) MENTOR_RETURN_IF_ERROR(ReadRows());
    if (!std::exchange(said_, true)) {
      MENTOR_HISTORY(
          "watches",
          {{"watch", number_}, {"revision", revision_}, {"names", absl::StrJoin(names_, " ")}});
    }
    if (!rows_.empty()) {
      // No token: a watcher that breaks off before the first bookmark must begin again.
      response->set_event(v1::WatchExperimentsResponse::EVENT_CREATED);
      *response->mutable_experiment() = std::move(rows_.front());
      rows_.pop_front();
      return true;
    }
    if (bookmark_due_ && revision_ >= listed_at_) return Bookmark(response);
    MENTOR_ASSIGN_OR_RETURN(const bool changed, SayChange(response));
    if (changed) return true;
    caught_up_ = true;
    if (bookmark_due_ || Clock::now() - last_message_ >= kBookmarkEvery) return Bookmark(response);
    if (progress_) return SayProgress(response);
    return false;
  }

  // The rows of the present state are read in pieces, since a slow watcher could keep the whole
  // store in memory. Rows of later pieces may be newer than the first piece: the watch says the
  // changes since the first piece, without those that a row already shows (IsShown).
  absl::Status ReadRows() {
    MENTOR_ASSIGN_OR_RETURN(Records::Snapshot piece, records_->ReadSnapshot(selected_, after_));
    if (after_.empty()) revision_ = piece.revision;
    if (piece.revision == listed_at_) pieces_.erase(after_);
    pieces_[piece.last] = listed_at_ = piece.revision;
    after_ = piece.last;
    listed_ = bookmark_due_ = after_.empty();
    std::move(piece.experiments.begin(), piece.experiments.end(), std::back_inserter(rows_));
    return absl::OkStatus();
  }

  // True if the rows that were sent first were read after this change.
  bool IsShown(const StoreEvent& event) const {
    if (event.revision > listed_at_) return false;
    const auto piece = pieces_.lower_bound(event.experiment.name());
    return event.revision <= (piece == pieces_.end() ? listed_at_ : piece->second);
  }

  bool Bookmark(v1::WatchExperimentsResponse* response) {
    bookmark_due_ = false;
    response->set_event(v1::WatchExperimentsResponse::EVENT_BOOKMARK);
    response->set_resume_token(MakeResumeToken(*records_, revision_, names_));
    return true;
  }

  absl::StatusOr<bool> SayChange(v1::WatchExperimentsResponse* response) {
    while (true) {
      if (events_.empty()) {
        MENTOR_ASSIGN_OR_RETURN(std::vector<StoreEvent> events,
                                records_->Events(revision_, kEventsAtOnce));
        if (events.empty()) return false;
        if (caught_up_) MENTOR_RETURN_IF_ERROR(CheckLag());
        std::move(events.begin(), events.end(), std::back_inserter(events_));
      }
      StoreEvent event = std::move(events_.front());
      events_.pop_front();
      revision_ = event.revision;
      if (!selected_.empty() && !selected_.contains(event.experiment.name())) continue;
      MENTOR_HISTORY(
          "saw",
          {{"watch", number_}, {"revision", revision_}, {"experiment", event.experiment.name()}});
      if (IsShown(event)) continue;
      response->set_event(static_cast<v1::WatchExperimentsResponse::Event>(event.kind));
      *response->mutable_experiment() = std::move(event.experiment);
      if (!bookmark_due_) response->set_resume_token(MakeResumeToken(*records_, revision_, names_));
      return true;
    }
  }

  absl::Status CheckLag() {
    MENTOR_ASSIGN_OR_RETURN(const int64_t newest, records_->Revision());
    const int64_t lag = newest - revision_;
    lag_events_->Observe(static_cast<double>(lag));
    if (lag <= kLagMax) return absl::OkStatus();
    return WithRetryDelay(
        MakeError(Reason::kQueueFull,
                  absl::StrFormat("the watch is %d changes behind; resume it with the last token, "
                                  "and read faster",
                                  lag)),
        std::chrono::seconds(1));
  }

  // Sends one experiment at work (RUNNING, PAUSING or CANCELLING) whose live state has changed
  // since it was last sent. Reads only that one's row.
  absl::StatusOr<bool> SayProgress(v1::WatchExperimentsResponse* response) {
    const std::vector<v1::Experiment> at_work = records_->AtWork();
    std::map<std::string, std::string> sent;
    std::string news;
    for (const v1::Experiment& experiment : at_work) {
      if (!selected_.empty() && !selected_.contains(experiment.name())) continue;
      if (experiment.activity().empty()) continue;  // No activity was reported yet.
      std::string live = LiveOf(experiment);
      const auto before = sent_.find(experiment.name());
      if (news.empty() && (before == sent_.end() || before->second != live)) {
        news = experiment.name();
      } else if (before != sent_.end()) {
        live = before->second;
      } else {
        continue;
      }
      sent[experiment.name()] = std::move(live);
    }
    sent_ = std::move(sent);
    if (news.empty()) return false;
    absl::StatusOr<v1::Experiment> experiment = records_->Get(news);
    if (absl::IsNotFound(experiment.status())) return false;
    MENTOR_RETURN_IF_ERROR(experiment.status());
    if (!IsAtWork(experiment->state())) return false;  // Its end is a change, which follows.
    sent_[news] = LiveOf(*experiment);
    response->set_event(v1::WatchExperimentsResponse::EVENT_PROGRESS);
    *response->mutable_experiment() = *std::move(experiment);
    return true;
  }

  static std::string LiveOf(const v1::Experiment& experiment) {
    return experiment.activity() + experiment.progress().SerializeAsString();
  }

  Records* const records_;
  const std::vector<std::string> names_;
  const std::set<std::string> selected_;  // Empty: all.
  const bool progress_;
  prometheus::Histogram* const lag_events_;
  int64_t revision_;  // Changes up to here were said.
  // The present state, which comes first.
  bool listed_;            // All rows were read.
  std::string after_;      // The last piece's end, while !listed_.
  int64_t listed_at_ = 0;  // The store's revision at the newest piece.
  // The same by the last name of each piece; pieces of one revision are one.
  std::map<std::string, int64_t> pieces_;
  std::deque<v1::Experiment> rows_;
  bool bookmark_due_ = false;
  static inline std::atomic<uint64_t> watches_ = 0;
  const uint64_t number_ = ++watches_;  // For histories.
  bool said_ = false;                   // The start was written to the history.
  bool caught_up_ = false;
  std::deque<StoreEvent> events_;
  std::map<std::string, std::string> sent_;  // Live state by name.
  Clock::time_point last_message_ = Clock::now();
};

}  // namespace

std::string MakeResumeToken(const Records& records, int64_t revision,
                            const std::vector<std::string>& names) {
  return MakeToken(absl::StrFormat("%s %d %s", records.store_uid(), revision, HashOfNames(names)));
}

absl::StatusOr<PullStream<v1::WatchExperimentsResponse>::Produce> WatchExperiments(
    Records* records, const v1::WatchExperimentsRequest& request,
    prometheus::Histogram* lag_events) {
  const std::vector<std::string> names(request.names().begin(), request.names().end());
  if (request.names_size() > kNamesMax) {
    return BadField("names", absl::StrFormat("are %d, at most %d are allowed; leave them out to "
                                             "watch all",
                                             request.names_size(), kNamesMax));
  }
  std::optional<int64_t> revision;
  if (!request.resume_token().empty()) {
    MENTOR_ASSIGN_OR_RETURN(revision, ReadResumeToken(*records, request.resume_token(), names));
  } else {
    for (const std::string& name : names) MENTOR_RETURN_IF_ERROR(records->Get(name).status());
  }
  auto watch = std::make_shared<ExperimentWatch>(records, request, revision, lag_events);
  return [watch](v1::WatchExperimentsResponse* response) { return watch->Next(response); };
}

absl::StatusOr<PullStream<v1::WatchMetricsResponse>::Produce> WatchMetrics(
    Records* records, Results* results, const v1::WatchMetricsRequest& request) {
  if (request.after_step() == UINT32_MAX) {
    return BadField("after_step", absl::StrFormat("is %d, the last possible one; give at most %d",
                                                  UINT32_MAX, UINT32_MAX - 1));
  }
  struct State {
    uint32_t from;               // Step to read from.
    std::set<std::string> sent;  // Metrics of that step that were sent.
    std::map<uint32_t, v1::WatchMetricsResponse> ready;
    bool ended = false;
    bool checked = false;
  };
  auto state =
      std::make_shared<State>(State{.from = request.after_step() + 1, .sent = {}, .ready = {}});
  const std::set<std::string> metrics(request.metrics().begin(), request.metrics().end());
  return [records, results, state, metrics, names = request.metrics(),
          name = request.name()](v1::WatchMetricsResponse* response) -> absl::StatusOr<Produced> {
    if (state->ready.empty() && !state->ended) {
      // Read the state before the points, so that the points of the end are included.
      MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment, records->Get(name));
      if (!std::exchange(state->checked, true)) {
        MENTOR_RETURN_IF_ERROR(CheckMetricNames(results, experiment, names));
      }
      // A part of the steps, since a slow reader could keep all of them in memory.
      MENTOR_ASSIGN_OR_RETURN(
          const auto points,
          results->Points(experiment.uid(), metrics, state->from, UINT32_MAX, kPointsAtOnce));
      for (const auto& [metric, series] : points) {
        for (const auto& [step, value] : series) {
          // A step may get more points later, for instance from an evaluation.
          if (!std::isfinite(value) || (step == state->from && state->sent.contains(metric)))
            continue;
          (*state->ready[step].mutable_values())[metric] = value;
        }
      }
      state->ended = state->ready.empty() && IsFinal(experiment.state());
    }
    if (state->ready.empty()) return state->ended ? Produced::kEnd : Produced::kNothing;
    auto first = state->ready.extract(state->ready.begin());
    if (first.key() != state->from) state->sent.clear();
    state->from = first.key();
    for (const auto& [metric, value] : first.mapped().values()) state->sent.insert(metric);
    *response = std::move(first.mapped());
    response->set_step(first.key());
    return Produced::kMessage;
  };
}

}  // namespace mentor::meta_learner
