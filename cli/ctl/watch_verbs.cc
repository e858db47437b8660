// The verbs `watch`, `wait` and `logs`.
#include <map>
#include <set>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>

#include "cli/ctl/commands.h"
#include "cli/ctl/experiment_flags.h"
#include "cli/ctl/experiment_watch.h"
#include "cli/ctl/values.h"
#include "common/check.h"
#include "common/resources/states.h"
#include "common/status.h"

namespace mentor::ctl {
namespace {

using Event = v1::WatchExperimentsResponse;

// Fails at once for an experiment that does not exist, instead of waiting for it.
absl::Status CheckThere(Client* client, const Names& names) {
  for (const std::string& name : names) {
    v1::GetExperimentRequest request;
    request.set_name(name);
    MENTOR_RETURN_IF_ERROR(client->Call(&Stub::GetExperiment, request).status());
  }
  return absl::OkStatus();
}

Names FullNames(const Names& given) {
  Names names;
  for (const std::string& name : given) names.push_back(FullName(name));
  return names;
}

// Returns the state of an event's experiment; DELETED has no value of its own.
std::string StateOf(const Event& event) {
  return event.event() == Event::EVENT_DELETED ? "DELETED" : StateText(event.experiment().state());
}

// Prints a line for each change of state or activity, until all experiments have ended. Without
// names it shows every experiment, and has no end.
absl::StatusOr<int> WatchSeveral(Session& session, const Names& names) {
  const Output& output = session.output;
  std::map<std::string, std::string> shown;
  std::set<std::string> open(names.begin(), names.end());
  bool succeeded = true;
  const auto on_event = [&](const Event& event) {
    if (!event.has_experiment()) return true;
    const v1::Experiment& experiment = event.experiment();
    const std::string state = StateOf(event);
    if (output.table()) {
      const std::string trouble = Trouble(experiment);
      std::string line = experiment.name() + " " + state;
      if (state == "RUNNING") absl::StrAppend(&line, " ", experiment.activity());
      if (!trouble.empty()) absl::StrAppend(&line, ": ", trouble);
      if (shown[experiment.name()] != line && !output.options().quiet) {
        std::printf("%s\n", Printable(line).c_str());
        std::fflush(stdout);
      }
      shown[experiment.name()] = line;
    } else if (names.empty()) {
      output.Document(event, experiment.name());  // It tells deleted experiments from others.
    } else {
      output.Document(experiment, experiment.name());
    }
    if (state == "DELETED" || IsFinal(experiment.state())) {
      succeeded &= state == "SUCCEEDED";
      open.erase(experiment.name());
    }
    return names.empty() || !open.empty();
  };
  const absl::Status status = Watch(session.client, {.names = names,
                                                     .progress = !output.table() && !names.empty(),
                                                     .on_event = on_event,
                                                     .on_lost = NoteLost(&output)});
  if (absl::IsCancelled(status)) {
    if (!open.empty())
      output.Note(absl::StrJoin(open, ", ") + " go on; 'mentorctl watch' shows them again");
    return kInterrupted;
  }
  MENTOR_RETURN_IF_ERROR(status);
  return succeeded ? kOk : kOtherState;
}

absl::StatusOr<int> WatchNames(Session& session, const Names& given) {
  const Names names = FullNames(given);
  MENTOR_RETURN_IF_ERROR(CheckThere(session.client, names));
  if (names.size() != 1) return WatchSeveral(session, names);
  return Follow(session.client, session.output, names[0]);
}

// ---- wait

struct WaitFlags {
  Names names;
  std::string states = "SUCCEEDED";
  std::string within;
};

absl::StatusOr<int> Wait(Session& session, const WaitFlags& flags) {
  const Output& output = session.output;
  std::set<std::string> wanted;
  for (const absl::string_view text : absl::StrSplit(flags.states, ',')) {
    const std::string word(text);
    if (absl::AsciiStrToUpper(word) == "DELETED") {
      wanted.insert("DELETED");
      continue;
    }
    MENTOR_ASSIGN_OR_RETURN(const auto state, ParseState("--for", word));
    wanted.insert(StateText(state));
  }
  absl::Time end = absl::InfiniteFuture();
  if (!flags.within.empty()) {
    MENTOR_ASSIGN_OR_RETURN(const auto span, ParseSpan("--within", flags.within));
    end = absl::Now() + span;
  }
  const Names names = FullNames(flags.names);
  std::set<std::string> open(names.begin(), names.end());
  const bool until_deleted = wanted.contains("DELETED");
  if (!until_deleted) MENTOR_RETURN_IF_ERROR(CheckThere(session.client, names));
  std::vector<std::string> others;
  bool missing = false;
  const auto on_event = [&](const Event& event) {
    const v1::Experiment& experiment = event.experiment();
    if (!event.has_experiment() || !open.contains(experiment.name())) return true;
    const std::string state = StateOf(event);
    const bool reached = wanted.contains(state), gone = state == "DELETED";
    if (!reached && !gone && (until_deleted || !IsFinal(experiment.state()))) return true;
    output.Done(experiment, experiment.name(), experiment.name() + " " + state);
    std::fflush(stdout);
    open.erase(experiment.name());
    if (!reached) others.push_back(experiment.name() + " is " + state);
    missing |= gone && !reached;
    return !open.empty();
  };
  const absl::Status status = Watch(session.client, {.names = {open.begin(), open.end()},
                                                     .deadline = end,
                                                     .on_event = on_event,
                                                     .on_lost = NoteLost(&output)});
  if (absl::IsDeadlineExceeded(status)) {
    return WithHint(
        absl::DeadlineExceededError(absl::StrCat(absl::StrJoin(open, ", "), ": not ", flags.states,
                                                 " within ", flags.within)),
        "the experiment continues; wait again or longer");
  }
  if (absl::IsCancelled(status)) {
    output.Note(absl::StrJoin(open, ", ") + " is left as it is");
    return kInterrupted;
  }
  // All requested experiments are deleted already.
  if (absl::IsNotFound(status) && until_deleted) return kOk;
  MENTOR_RETURN_IF_ERROR(status);
  if (others.empty()) return kOk;
  if (missing) {
    output.Fail(MakeError(Reason::kNotFound, absl::StrJoin(others, ", ") + " was deleted"));
  }
  output.Note("ended in another state than " + flags.states + ": " + absl::StrJoin(others, ", "));
  return kOtherState;
}

// ---- logs

struct LogFlags {
  std::string name;
  uint32_t tail = 0;
  bool follow = false;
};

Style StyleOfSeverity(const std::string& severity) {
  if (severity == "error") return Style::kBad;
  return severity == "warning" ? Style::kWarning : Style::kDim;
}

void PrintLog(const Output& output, const v1::WatchLogsResponse& line) {
  if (!output.table()) return output.Document(line, line.message());
  std::map<std::string, std::string> fields(line.fields().begin(), line.fields().end());
  std::string text = line.message();
  for (const auto& [key, value] : fields) absl::StrAppend(&text, " ", key, "=", value);
  const std::string severity = Printable(absl::StrFormat("%-7s", line.severity()));
  std::printf("%s %s %s\n", LocalTime(FromProto(line.time())).c_str(),
              Styled(severity, StyleOfSeverity(line.severity()), output.options().color).c_str(),
              Printable(text).c_str());
  std::fflush(stdout);
}

// Finds the end of a broken log stream in a new one. Lines have a time and a text, and several
// lines may have the same.
class LogPosition {
 public:
  // A new stream begins.
  void Begin() {
    skipping_ = first_ = last_ != absl::InfinitePast();
    equal_ = 0;
  }
  // True for a line that was not shown yet.
  bool IsNew(const v1::WatchLogsResponse& line) {
    const absl::Time time = FromProto(line.time());
    const std::string text = line.SerializeAsString();
    if (skipping_) {
      if (std::exchange(first_, false) && time > last_) {
        std::fprintf(stderr,
                     "warning: lines between %s and %s may be missing: the log was rotated while "
                     "the connection was lost\n",
                     LocalTime(last_).c_str(), LocalTime(time).c_str());
      }
      if (time < last_) return false;
      if (time == last_) {
        // Skip up to the last shown line; --tail may have cut the lines before it.
        if (text == last_text_ && ++equal_ == last_equal_) skipping_ = false;
        return false;
      }
      skipping_ = false;
    }
    last_equal_ = time == last_ && text == last_text_ ? last_equal_ + 1 : 1;
    last_ = time;
    last_text_ = text;
    return true;
  }
  bool shown() const { return last_ != absl::InfinitePast(); }

 private:
  absl::Time last_ = absl::InfinitePast();
  std::string last_text_;
  int last_equal_ = 0;  // Consecutive shown lines equal to the last one.
  bool skipping_ = false;
  // True until the new stream's first line, which is the oldest line that the server still has.
  bool first_ = false;
  int equal_ = 0;  // The same count in the new stream.
};

absl::StatusOr<int> Logs(Session& session, const LogFlags& flags) {
  v1::WatchLogsRequest request;
  request.set_name(FullName(flags.name));
  request.set_tail(flags.tail);
  request.set_follow(flags.follow);
  LogPosition place;
  bool lost = false;
  const auto on_lost = NoteLost(&session.output);
  const absl::Time give_up = absl::Now() + absl::FromChrono(session.client->timeout());
  for (int attempt = 0;; ++attempt) {
    place.Begin();
    const absl::Status status = session.client->Stream<v1::WatchLogsRequest, v1::WatchLogsResponse>(
        &Stub::WatchLogs, request, [&](const v1::WatchLogsResponse& line) {
          attempt = 0;
          lost = false;
          if (place.IsNew(line)) PrintLog(session.output, line);
          return true;
        });
    if (status.ok()) return kOk;  // With --follow: the experiment has ended.
    if (absl::IsCancelled(status)) return kInterrupted;
    const auto pause = RetryAfter(status, attempt, 0.75);
    if (!pause || (!flags.follow && absl::Now() > give_up)) return status;
    if (flags.follow && !lost) on_lost(status);
    lost = true;
    // More lines may have arrived meanwhile than --tail allows.
    if (place.shown()) request.set_tail(0);
    if (!session.client->Wait(*pause)) return kInterrupted;
  }
}

}  // namespace

void AddWatchVerbs(Commands* commands) {
  const auto [watch, watch_names] = commands->Add<Names>(
      kExperimentGroup, "watch", "Follow experiments until they end",
      "mentorctl watch first             # Ctrl-C ends the watch, not the experiment\n"
      "mentorctl watch first second\n"
      "mentorctl watch                   # every change of every experiment\n"
      "mentorctl watch first --output json",
      WatchNames);
  AddNames(watch, watch_names)->required(false);

  const auto [wait, wait_flags] = commands->Add<WaitFlags>(
      kExperimentGroup, "wait", "Wait until experiments are in a state",
      "mentorctl wait first                            # exit code 0: SUCCEEDED, 7: another end\n"
      "mentorctl wait first --for=RUNNING --within 10m\n"
      "mentorctl wait first second --for=SUCCEEDED,CANCELLED\n"
      "mentorctl wait first --for=DELETED",
      Wait);
  AddNames(wait, &wait_flags->names);
  AddOption(wait, "--for", &wait_flags->states, "STATE:{" + StateNames(",") + ",DELETED}",
            "States to wait for, separated by commas; also DELETED. The wait ends too when "
            "an experiment ends in another state")
      ->capture_default_str();
  AddOption(wait, "--within", &wait_flags->within, "SPAN", "Longest time to wait, for instance 2h");

  const auto [logs, logs_flags] =
      commands->Add<LogFlags>(kExperimentGroup, "logs", "Show the log of an experiment",
                              "mentorctl logs first --tail 20\n"
                              "mentorctl logs first --follow\n"
                              "mentorctl logs first --output json",
                              Logs);
  AddName(logs, &logs_flags->name);
  AddOption(logs, "--tail", &logs_flags->tail, "NUMBER", "Print only this many of the last lines");
  logs->add_flag("-f,--follow", logs_flags->follow,
                 "Keep running and print new lines until the experiment ends");
}

}  // namespace mentor::ctl
