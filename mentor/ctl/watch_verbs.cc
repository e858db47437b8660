// The verbs `watch`, `wait` and `logs`.
#include <map>
#include <set>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>

#include "common/resources/states.h"
#include "common/status.h"
#include "mentor/ctl/commands.h"
#include "mentor/ctl/experiment_flags.h"
#include "mentor/ctl/experiment_watch.h"
#include "mentor/ctl/values.h"

namespace mentor::ctl {
namespace {

using Event = v1::WatchExperimentsResponse;

absl::Status Gone(const std::string& name) {
  return MakeError(absl::StatusCode::kNotFound, Reason::kNotFound, name + " was deleted");
}

// Fails at once for an experiment that does not exist, instead of waiting for it.
absl::Status CheckThere(Client* client, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    v1::GetExperimentRequest request;
    request.set_name(name);
    if (const auto found = client->Call(&Stub::GetExperiment, request); !found.ok()) {
      return found.status();
    }
  }
  return absl::OkStatus();
}

// Prints a line for each change of state or activity, until all experiments have ended.
int WatchSeveral(Session& session, const std::vector<std::string>& names) {
  const Output& output = session.output;
  std::map<std::string, std::string> shown;
  std::set<std::string> open(names.begin(), names.end());
  bool succeeded = true;
  const absl::Status status =
      Watch(session.client,
            {.names = names,
             .progress = !output.table(),
             .on_event =
                 [&](const Event& event) {
                   if (!event.has_experiment()) return true;
                   const v1::Experiment& experiment = event.experiment();
                   const bool gone = event.event() == Event::EVENT_DELETED;
                   if (output.table()) {
                     const std::string trouble = Trouble(experiment);
                     std::string line = experiment.name() + " " +
                                        (gone ? "DELETED" : StateText(experiment.state()));
                     if (experiment.state() == v1::Experiment::STATE_RUNNING && !gone) {
                       absl::StrAppend(&line, " ", experiment.activity());
                     }
                     if (!trouble.empty()) absl::StrAppend(&line, ": ", trouble);
                     if (shown[experiment.name()] != line && !output.options().quiet) {
                       std::printf("%s\n", Printable(line).c_str());
                     }
                     shown[experiment.name()] = line;
                   } else {
                     if (output.format() == Format::kYaml) std::printf("---\n");
                     output.Object(experiment, experiment.name(), {});
                   }
                   std::fflush(stdout);
                   if (gone || IsFinal(experiment.state())) {
                     succeeded &= !gone && experiment.state() == v1::Experiment::STATE_SUCCEEDED;
                     open.erase(experiment.name());
                   }
                   return !open.empty();
                 },
             .on_lost = NoteLost(&output)});
  if (absl::IsCancelled(status)) {
    output.Note(absl::StrJoin(open, ", ") + " go on; 'mentorctl watch' shows them again");
    return kInterrupted;
  }
  if (!status.ok()) return output.Fail(status);
  return succeeded ? kOk : kOtherState;
}

int WatchNames(Session& session, const std::vector<std::string>& given) {
  std::vector<std::string> names;
  for (const std::string& name : given) names.push_back(FullName(name));
  if (const absl::Status status = CheckThere(session.client, names); !status.ok()) {
    return session.output.Fail(status);
  }
  return names.size() == 1 ? Follow(session.client, session.output, names[0])
                           : WatchSeveral(session, names);
}

// ---- wait

struct WaitFlags {
  std::vector<std::string> names;
  std::string states = "SUCCEEDED";
  std::string within;
};

int Wait(Session& session, const WaitFlags& flags) {
  const Output& output = session.output;
  std::set<std::string> wanted;
  for (const absl::string_view text : absl::StrSplit(flags.states, ',')) {
    const std::string word(text);
    if (absl::AsciiStrToUpper(word) == "DELETED") {
      wanted.insert("DELETED");
      continue;
    }
    const auto state = ParseState("--for", word);
    if (!state.ok()) return output.Fail(state.status());
    wanted.insert(StateText(*state));
  }
  absl::Time end = absl::InfiniteFuture();
  if (!flags.within.empty()) {
    const auto span = ParseSpan("--within", flags.within);
    if (!span.ok()) return output.Fail(span.status());
    end = absl::Now() + *span;
  }
  std::set<std::string> open;
  for (const std::string& name : flags.names) open.insert(FullName(name));
  const std::vector<std::string> names(open.begin(), open.end());
  if (!wanted.contains("DELETED")) {
    if (const absl::Status status = CheckThere(session.client, names); !status.ok()) {
      return output.Fail(status);
    }
  }
  std::vector<std::string> others;
  bool missing = false;
  const absl::Status status = Watch(
      session.client,
      {.names = names,
       .deadline = end,
       .on_event =
           [&](const Event& event) {
             if (!event.has_experiment()) return true;
             const v1::Experiment& experiment = event.experiment();
             if (!open.contains(experiment.name())) return true;
             const bool gone = event.event() == Event::EVENT_DELETED;
             const std::string state = gone ? "DELETED" : StateText(experiment.state());
             const bool reached = wanted.contains(state);
             const bool over = gone || (IsFinal(experiment.state()) && !wanted.contains("DELETED"));
             if (!reached && !over) return true;
             output.Done(experiment, experiment.name(), experiment.name() + " " + state);
             std::fflush(stdout);
             open.erase(experiment.name());
             if (!reached) others.push_back(experiment.name() + " is " + state);
             missing |= gone && !reached;
             return !open.empty();
           },
       .on_lost = NoteLost(&output)});
  if (absl::IsDeadlineExceeded(status)) {
    return output.Fail(
        absl::DeadlineExceededError(absl::StrCat(absl::StrJoin(open, ", "), ": not ", flags.states,
                                                 " within ", flags.within)),
        "the experiment continues; wait again or longer");
  }
  if (absl::IsCancelled(status)) {
    output.Note(absl::StrJoin(open, ", ") + " is left as it is");
    return kInterrupted;
  }
  // All requested experiments are deleted already.
  if (absl::IsNotFound(status) && wanted.contains("DELETED")) return kOk;
  if (!status.ok()) return output.Fail(status);
  if (others.empty()) return kOk;
  if (missing) output.Fail(Gone(absl::StrJoin(others, ", ")));
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
  if (!output.table()) {
    if (output.format() == Format::kYaml) std::printf("---\n");
    output.Object(line, line.message(), {});
  } else {
    std::map<std::string, std::string> fields(line.fields().begin(), line.fields().end());
    std::string text = line.message();
    for (const auto& [key, value] : fields) absl::StrAppend(&text, " ", key, "=", value);
    const std::string severity =
        line.severity() +
        std::string(line.severity().size() < 7 ? 7 - line.severity().size() : 0, ' ');
    std::printf(
        "%s %s %s\n", LocalTime(FromProto(line.time())).c_str(),
        Styled(Printable(severity), StyleOfSeverity(line.severity()), output.options().color)
            .c_str(),
        Printable(text).c_str());
  }
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

int Logs(Session& session, const LogFlags& flags) {
  const Output& output = session.output;
  v1::WatchLogsRequest request;
  request.set_name(FullName(flags.name));
  request.set_tail(flags.tail);
  request.set_follow(flags.follow);
  LogPosition place;
  bool lost = false;
  const auto on_lost = NoteLost(&output);
  const absl::Time give_up = absl::Now() + absl::FromChrono(session.client->timeout());
  for (int attempt = 0;; ++attempt) {
    place.Begin();
    const absl::Status status = session.client->Stream<v1::WatchLogsRequest, v1::WatchLogsResponse>(
        &Stub::WatchLogs, request, [&](const v1::WatchLogsResponse& line) {
          attempt = 0;
          lost = false;
          if (place.IsNew(line)) PrintLog(output, line);
          return true;
        });
    if (status.ok()) return kOk;  // With --follow: the experiment has ended.
    if (absl::IsCancelled(status)) return kInterrupted;
    const auto pause = RetryAfter(status, attempt, 0.75);
    if (!pause || (!flags.follow && absl::Now() > give_up)) return output.Fail(status);
    if (flags.follow && !lost) on_lost(status);
    lost = true;
    // More lines may have arrived meanwhile than --tail allows.
    if (place.shown()) request.set_tail(0);
    if (!session.client->Wait(*pause)) return kInterrupted;
  }
}

}  // namespace

void AddWatchVerbs(Commands* commands) {
  {
    const auto names = std::make_shared<std::vector<std::string>>();
    CLI::App* command = commands->Add(
        kExperimentGroup, "watch", "Follow experiments until they end",
        "mentorctl watch first             # Ctrl-C ends the watch, not the experiment\n"
        "mentorctl watch first second\n"
        "mentorctl watch first --output json",
        [=](Session& session) { return WatchNames(session, *names); });
    AddNames(command, names.get())->required();
  }
  {
    const auto flags = std::make_shared<WaitFlags>();
    CLI::App* command = commands->Add(
        kExperimentGroup, "wait", "Wait until experiments are in a state",
        "mentorctl wait first                            # exit code 0: SUCCEEDED, 7: another end\n"
        "mentorctl wait first --for=RUNNING --within 10m\n"
        "mentorctl wait first second --for=SUCCEEDED,CANCELLED\n"
        "mentorctl wait first --for=DELETED",
        [=](Session& session) { return Wait(session, *flags); });
    AddNames(command, &flags->names)->required();
    command
        ->add_option(
            "--for", flags->states,
            "States to wait for, separated by commas; also DELETED. The wait ends too when "
            "an experiment ends in another state")
        ->type_name("STATE:{" + StateNames(",") + ",DELETED}")
        ->capture_default_str();
    command->add_option("--within", flags->within, "Longest time to wait, for instance 2h")
        ->type_name("SPAN");
  }
  {
    const auto flags = std::make_shared<LogFlags>();
    CLI::App* command = commands->Add(kExperimentGroup, "logs", "Show the log of an experiment",
                                      "mentorctl logs first --tail 20\n"
                                      "mentorctl logs first --follow\n"
                                      "mentorctl logs first --output json",
                                      [=](Session& session) { return Logs(session, *flags); });
    AddName(command, &flags->name);
    command->add_option("--tail", flags->tail, "Print only this many of the last lines")
        ->type_name("NUMBER");
    command->add_flag("-f,--follow", flags->follow,
                      "Keep running and print new lines until the experiment ends");
  }
}

}  // namespace mentor::ctl
