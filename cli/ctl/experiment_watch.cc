#include "cli/ctl/experiment_watch.h"

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <optional>
#include <set>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/time/clock.h>

#include "cli/ctl/values.h"
#include "common/check.h"
#include "common/progress_bar.h"
#include "common/resources/states.h"
#include "common/spec/spec.h"
#include "common/status.h"

namespace mentor::ctl {
namespace {

using Event = v1::WatchExperimentsResponse;

// True if a stream that ended with this status is worth retrying.
bool IsPassing(const absl::Status& status) {
  return status.ok() || status.code() == absl::StatusCode::kUnavailable ||
         status.code() == absl::StatusCode::kResourceExhausted;
}

}  // namespace

std::function<void(const absl::Status&)> NoteLost(const Output* output) {
  return [output](const absl::Status& status) {
    output->Note(
        absl::StrCat("lost the server (", std::string(status.message()), "); trying again"));
  };
}

absl::Status Watch(Client* client, const ExperimentWatch& watch) {
  v1::WatchExperimentsRequest request;
  for (const std::string& name : watch.names) request.add_names(name);
  request.set_progress(watch.progress);
  int attempt = 0;
  bool lost = false;
  for (;;) {
    std::set<std::string> seen;  // Names received since the present state was requested.
    bool listing = request.resume_token().empty() && !watch.names.empty();
    bool enough = false;
    absl::Status status = client->Stream<v1::WatchExperimentsRequest, Event>(
        &Stub::WatchExperiments, request,
        [&](const Event& event) {
          attempt = 0;
          lost = false;
          if (event.has_experiment()) seen.insert(event.experiment().name());
          if (listing && event.event() == Event::EVENT_BOOKMARK) {
            listing = false;
            for (const std::string& name : watch.names) {
              if (seen.contains(name)) continue;
              Event gone;
              gone.set_event(Event::EVENT_DELETED);
              gone.mutable_experiment()->set_name(name);
              if (!watch.on_event(gone)) enough = true;
            }
          }
          if (!event.resume_token().empty()) request.set_resume_token(event.resume_token());
          if (!enough && !watch.on_event(event)) enough = true;
          return !enough;
        },
        watch.deadline);
    if (enough) return absl::OkStatus();
    if (absl::IsOutOfRange(status) && !request.resume_token().empty()) {
      request.clear_resume_token();
      continue;
    }
    if (!IsPassing(status)) return status;
    if (status.ok()) status = absl::UnavailableError("the server ended the stream");
    if (!lost && watch.on_lost) watch.on_lost(status);
    lost = true;
    auto pause = RetryAfter(status, attempt, 0.75);
    if (!pause) pause = RetryAfter(absl::UnavailableError(""), attempt, 0.75);
    ++attempt;
    if (!client->Wait(*pause)) return absl::CancelledError("interrupted");
    if (absl::Now() >= watch.deadline) return absl::DeadlineExceededError("the time is over");
  }
}

std::string Learned(Client* client, const v1::Experiment& experiment) {
  constexpr uint32_t kUpdates = 5;
  constexpr int32_t kMetricsAtOnce = 100;
  const uint32_t done = experiment.progress().outer_updates();
  if (done == 0) return "";
  v1::QueryMetricsRequest request;
  request.set_name(experiment.name());
  request.set_step_min(done - std::min(done, kUpdates) + 1);
  request.set_page_size(kMetricsAtOnce);
  const auto answer = client->CallForAll(&Stub::QueryMetrics, request);
  if (!answer.ok()) return "";
  const auto mean_of = [&](const std::string& metric) -> std::optional<double> {
    for (const v1::MetricSeries& series : answer->series()) {
      if (series.metric() != metric || series.mean().empty()) continue;
      return std::accumulate(series.mean().begin(), series.mean().end(), 0.0) / series.mean_size();
    }
    return std::nullopt;
  };
  // The success of the last inner iteration; some rules report a single number.
  auto success = mean_of(
      absl::StrFormat("seg%d", WithDefaults(experiment.spec()).lifetime().iterations() - 1));
  if (!success) success = mean_of("success");
  const auto shaped = mean_of("shaped_return");
  std::vector<std::string> words;
  if (success) words.push_back(absl::StrFormat("success %.0f %%", 100 * *success));
  if (shaped) words.push_back(absl::StrFormat("return %.4g", *shaped));
  if (words.empty()) return "";
  const uint32_t updates = std::min(done, kUpdates);
  return absl::StrFormat(
      "%s (%s)", absl::StrJoin(words, ", "),
      updates == 1 ? "first update" : absl::StrFormat("mean of %d updates", updates));
}

absl::StatusOr<int> Follow(Client* client, const Output& output, const std::string& name) {
  constexpr absl::Duration kLearnedPeriod = absl::Seconds(2);
  ProgressBar bar;
  v1::Experiment last;
  std::string learned;
  uint32_t learned_update = 0;
  absl::Time next_learned = absl::InfinitePast();
  bool deleted = false;
  const auto show = [&] {
    const bool working = last.state() == v1::Experiment::STATE_RUNNING && !last.activity().empty();
    const uint32_t update = last.progress().outer_updates();
    if (update != learned_update && (IsFinal(last.state()) || absl::Now() >= next_learned)) {
      learned = Learned(client, last);
      learned_update = update;
      next_learned = absl::Now() + kLearnedPeriod;
    }
    bar.Show(last.progress(), working ? last.activity() : StateText(last.state()),
             [&](int columns) { return learned.substr(0, columns); });
  };
  const auto on_event = [&](const Event& event) {
    if (!event.has_experiment()) return true;
    deleted = event.event() == Event::EVENT_DELETED;
    if (deleted) return false;
    last = event.experiment();
    if (!output.table()) {
      output.Document(last, last.name());
    } else if (!output.options().quiet) {
      show();
    }
    return !IsFinal(last.state());
  };
  const auto on_lost = [&](const absl::Status& lost) {
    bar.Finish();
    NoteLost (&output)(lost);
  };
  const absl::Status status =
      Watch(client, {.names = {name}, .progress = true, .on_event = on_event, .on_lost = on_lost});
  bar.Finish();
  if (absl::IsCancelled(status)) {
    output.Note(name + " is left as it is; 'mentorctl watch " + ShortName(name) +
                "' shows it again");
    return kInterrupted;
  }
  MENTOR_RETURN_IF_ERROR(status);
  if (deleted) return MakeError(Reason::kNotFound, name + " was deleted");
  if (output.table() && !output.options().quiet) {
    const std::string trouble = Trouble(last);
    std::printf("%s %s%s\n", Printable(name).c_str(), StateText(last.state()).c_str(),
                trouble.empty() ? "" : (": " + Printable(trouble)).c_str());
  }
  return last.state() == v1::Experiment::STATE_SUCCEEDED ? kOk : kOtherState;
}

}  // namespace mentor::ctl
