// The verbs `get`, `list`, `update`, `pause`, `resume`, `cancel` and `delete`.
#include <algorithm>
#include <deque>
#include <map>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "cli/ctl/commands.h"
#include "cli/ctl/experiment_flags.h"
#include "cli/ctl/experiment_watch.h"
#include "cli/ctl/values.h"
#include "common/check.h"
#include "common/resources/states.h"
#include "common/spec/spec.h"

namespace mentor::ctl {
namespace {

using S = v1::Experiment;

std::string Updates(const v1::Progress& progress) {
  return absl::StrFormat("%d/%d", progress.outer_updates(), progress.outer_updates_total());
}

std::string Title(const v1::Experiment& experiment) {
  return experiment.display_name().empty() ? experiment.spec().display_name()
                                           : experiment.display_name();
}

// ---- get

std::vector<Row> ExperimentRows(const v1::Experiment& experiment, absl::Time now) {
  std::vector<Row> rows = {{"Name", experiment.name()}, {"UID", experiment.uid()}};
  const auto add = [&](const char* title, std::string text, Style style = Style::kPlain) {
    if (!text.empty()) rows.push_back({title, Cell(std::move(text), style)});
  };
  const auto add_time = [&](const char* title, bool has, const google::protobuf::Timestamp& time) {
    if (has) add(title, Ago(FromProto(time), now) + ", " + LocalTime(FromProto(time)));
  };
  const v1::Progress& progress = experiment.progress();
  add("Title", Title(experiment));
  const std::string state = StateText(experiment.state());
  add("State", state, StyleOfState(state));
  add("Activity", experiment.activity());
  const S::PauseReason paused = experiment.pause_reason();
  if (paused == S::PAUSE_REASON_STORAGE_QUOTA) {
    add("Paused", "the checkpoints of its owner have reached the storage limit");
  } else if (paused != S::PAUSE_REASON_UNSPECIFIED) {
    add("Paused", paused == S::PAUSE_REASON_DISK_FULL ? "the disk is full" : "by a user");
  }
  if (paused == S::PAUSE_REASON_STORAGE_QUOTA || experiment.state() == S::STATE_CANCELLING ||
      experiment.state() == S::STATE_CANCELLED) {
    add("Reason", experiment.error().message());
  } else {
    add("Error", experiment.error().message(), Style::kBad);
  }
  for (const std::string& warning : experiment.warnings()) add("Warning", warning, Style::kBad);
  add("Updates", Updates(progress));
  if (progress.evaluation_lifetimes_total() > 0) {
    add("Evaluation", absl::StrFormat("%d/%d lifetimes", progress.evaluation_lifetimes(),
                                      progress.evaluation_lifetimes_total()));
  }
  add("Steps", absl::StrFormat("%d", progress.env_steps()));
  if (experiment.state() == S::STATE_RUNNING) {
    add("Steps/s", Count(progress.env_steps_per_second()));
    if (progress.seconds_left() > 0) add("Left", Span(progress.seconds_left()));
  }
  const v1::BenchmarkSpec& benchmark = experiment.spec().benchmark();
  add("Benchmark",
      benchmark.name() + (benchmark.environment().empty() ? "" : " " + benchmark.environment()));
  add("Rule", experiment.spec().rule().name() + ", " +
                  v1::SignalRole_Name(experiment.spec().signal().role()));
  add("Seed", absl::StrFormat("%d", experiment.spec().seed()));
  add("Owner", experiment.owner());
  add("Priority",
      PriorityText(experiment.priority()) +
          (experiment.weight() > 1 ? absl::StrFormat(", weight %d", experiment.weight()) : ""));
  std::map<std::string, std::string> labels(experiment.labels().begin(), experiment.labels().end());
  add("Labels", absl::StrJoin(labels, ", ", absl::PairFormatter("=")));
  add("From", experiment.source_checkpoint());
  if (experiment.retries_max() > 0) {
    add("Retries", absl::StrFormat("%d of %d", experiment.retries(), experiment.retries_max()));
  }
  if (experiment.preemptions() > 0) {
    add("Preempted", absl::StrFormat("%d times", experiment.preemptions()));
  }
  add_time("Created", true, experiment.create_time());
  add_time("Started", experiment.has_start_time(), experiment.start_time());
  add_time("Ended", experiment.has_end_time(), experiment.end_time());
  add_time("Deadline", experiment.has_deadline(), experiment.deadline());
  add_time("Expires", experiment.has_expire_time(), experiment.expire_time());
  return rows;
}

// Returns the last events of the experiment as rows for people; errors are ignored.
std::vector<Row> LastEvents(Client* client, const std::string& name, absl::Time now) {
  constexpr uint32_t kLinesMax = 200;
  constexpr size_t kShown = 8;
  v1::WatchLogsRequest request;
  request.set_name(name);
  request.set_tail(kLinesMax);
  std::deque<Row> rows;
  client
      ->Stream<v1::WatchLogsRequest, v1::WatchLogsResponse>(
          &Stub::WatchLogs, request,
          [&](const v1::WatchLogsResponse& line) {
            const std::string text = EventText(line);
            if (text.empty()) return true;
            rows.push_back({Ago(FromProto(line.time()), now),
                            Cell(text, line.severity() == "error"     ? Style::kBad
                                       : line.severity() == "warning" ? Style::kWarning
                                                                      : Style::kPlain)});
            if (rows.size() > kShown) rows.pop_front();
            return true;
          },
          absl::Now() + absl::FromChrono(client->timeout()))
      .IgnoreError();
  return {rows.begin(), rows.end()};
}

struct GetFlags {
  Names names;
  bool spec_only = false;
};

absl::StatusOr<int> Get(Session& session, const GetFlags& flags) {
  const Output& output = session.output;
  bool first = true;
  return ForEach(session, flags.names, [&](const std::string& name) -> absl::Status {
    v1::GetExperimentRequest request;
    request.set_name(FullName(name));
    MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment,
                            session.client->Call(&Stub::GetExperiment, request));
    if (flags.spec_only) {
      // The text format has JSON's escapes.
      std::printf("%s", PrintableJson(PrintSpec(experiment.spec())).c_str());
      return absl::OkStatus();
    }
    if (!std::exchange(first, false)) {
      if (output.table()) std::printf("\n");
      if (output.format() == Format::kYaml) std::printf("---\n");
    }
    const absl::Time now = absl::Now();
    std::vector<Row> rows = ExperimentRows(experiment, now);
    if (const std::string learned = output.table() ? Learned(session.client, experiment) : "";
        !learned.empty()) {
      // Show the learned result next to the progress.
      const auto after = std::find_if(rows.begin(), rows.end(),
                                      [](const Row& row) { return row[0].text == "Updates"; });
      rows.insert(after == rows.end() ? after : after + 1, {"Learned", learned});
    }
    output.Object(experiment, experiment.name(), rows);
    if (!output.table()) return absl::OkStatus();
    if (const auto events = LastEvents(session.client, experiment.name(), now); !events.empty()) {
      std::printf("\nEvents     ('mentorctl logs %s' has all)\n",
                  Printable(ShortName(experiment.name())).c_str());
      output.Table(events);
    }
    return absl::OkStatus();
  });
}

// ---- list

struct ListFlags {
  std::string filter, state, order_by;
  std::vector<std::string> labels;
};

// Returns the selection as a filter for the server. INVALID_ARGUMENT names the flag.
absl::StatusOr<std::string> FilterOf(const ListFlags& flags) {
  std::vector<std::string> terms;
  if (!flags.filter.empty()) terms.push_back(flags.filter);
  if (!flags.state.empty()) {
    MENTOR_ASSIGN_OR_RETURN(const auto state, ParseState("--state", flags.state));
    terms.push_back("state=" + StateText(state));
  }
  for (const std::string& text : flags.labels) {
    MENTOR_ASSIGN_OR_RETURN(const auto label, ParseLabel("--label", text));
    std::string quoted;
    for (const char c : label.second) {
      if (c == '"' || c == '\\') quoted += '\\';
      quoted += c;
    }
    terms.push_back(absl::StrCat("labels.", label.first, "=\"", quoted, "\""));
  }
  return absl::StrJoin(terms, " AND ");
}

// Says in a few words what the experiment does, waits for or suffers from.
std::string Now(const v1::Experiment& experiment) {
  constexpr size_t kWidth = 40;
  if (experiment.state() != S::STATE_RUNNING) {
    const std::string trouble = Trouble(experiment);
    return trouble.empty() ? "-" : Clip(trouble, kWidth);
  }
  const std::string waits = WaitedFor(experiment.activity());
  const std::string text = waits.empty() ? experiment.activity() : "waits for " + waits;
  return text.empty() ? "-" : Clip(text, kWidth);
}

Row ListRow(const v1::Experiment& experiment, absl::Time now) {
  const bool running = experiment.state() == S::STATE_RUNNING;
  const v1::Progress& progress = experiment.progress();
  const std::string state = StateText(experiment.state());
  return {ShortName(experiment.name()),
          Cell(state, StyleOfState(state)),
          Updates(progress),
          Now(experiment),
          running ? Count(progress.env_steps_per_second()) : "-",
          running ? Span(progress.seconds_left() > 0 ? progress.seconds_left() : -1) : "-",
          PriorityText(experiment.priority()),
          experiment.owner().empty() ? "-" : experiment.owner(),
          Ago(FromProto(experiment.create_time()), now),
          Title(experiment)};
}

absl::StatusOr<int> List(Session& session, const ListFlags& flags) {
  v1::ListExperimentsRequest request;
  MENTOR_ASSIGN_OR_RETURN(*request.mutable_filter(), FilterOf(flags));
  request.set_order_by(flags.order_by);
  MENTOR_ASSIGN_OR_RETURN(const auto all,
                          session.client->CallForAll(&Stub::ListExperiments, request));
  Listing listing(&session.output,
                  {"NAME", "STATE", "UPDATES", "NOW", "STEPS/S", "LEFT", "PRIORITY", "OWNER",
                   "CREATED", "TITLE"},
                  {"TITLE", "OWNER", "PRIORITY", "CREATED", "STEPS/S", "LEFT"});
  const absl::Time now = absl::Now();
  for (const v1::Experiment& experiment : all.experiments())
    listing.Add(experiment, experiment.name(), ListRow(experiment, now));
  return listing.End();
}

// ---- Changes.

// The server replaces labels and retention as a whole. Read, change and write with the etag, and
// repeat when another client was faster.
struct UpdateFlags {
  Names names;
  ExperimentFlags changes;
};

absl::StatusOr<int> Update(Session& session, const UpdateFlags& flags) {
  return ForEach(session, flags.names, [&](const std::string& name) -> absl::Status {
    v1::GetExperimentRequest get;
    get.set_name(FullName(name));
    absl::Status status;
    for (int attempt = 0; attempt < 10; ++attempt) {
      v1::UpdateExperimentRequest request;
      v1::Experiment& experiment = *request.mutable_experiment();
      MENTOR_ASSIGN_OR_RETURN(experiment, session.client->Call(&Stub::GetExperiment, get));
      experiment.clear_spec();
      MENTOR_ASSIGN_OR_RETURN(const auto fields, Apply(flags.changes, absl::Now(), &experiment));
      if (fields.empty()) {
        return absl::InvalidArgumentError(
            "nothing to change: give --priority, --weight, --label, --title, --deadline, "
            "--retries, --keep_last, --keep_every or --ttl");
      }
      for (const std::string& field : fields) request.mutable_update_mask()->add_paths(field);
      const auto updated = session.client->Call(&Stub::UpdateExperiment, request);
      if (updated.ok()) {
        session.output.Done(*updated, updated->name(),
                            updated->name() + " updated: " + absl::StrJoin(fields, ", "));
        return absl::OkStatus();
      }
      status = updated.status();
      if (!absl::IsAborted(status)) break;
    }
    return status;
  });
}

// Pause, resume and cancel differ only in their request type.
template <typename Request>
int Change(Session& session, const Names& names,
           grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, v1::Experiment*),
           Request request = {}) {
  return ForEach(session, names, [&](const std::string& name) -> absl::Status {
    request.set_name(FullName(name));
    MENTOR_ASSIGN_OR_RETURN(const auto experiment, session.client->Call(method, request));
    session.output.Done(experiment, experiment.name(),
                        experiment.name() + " " + StateText(experiment.state()));
    return absl::OkStatus();
  });
}

absl::StatusOr<int> Pause(Session& session, const Names& names) {
  return Change(session, names, &Stub::PauseExperiment);
}

absl::StatusOr<int> Resume(Session& session, const Names& names) {
  return Change(session, names, &Stub::ResumeExperiment);
}

struct CancelFlags {
  Names names;
  std::string reason;
};

absl::StatusOr<int> Cancel(Session& session, const CancelFlags& flags) {
  v1::CancelExperimentRequest request;
  request.set_reason(flags.reason);
  return Change(session, flags.names, &Stub::CancelExperiment, request);
}

struct DeleteFlags {
  Names names;
  bool force = false;
  bool allow_missing = false;
};

absl::StatusOr<int> Delete(Session& session, const DeleteFlags& flags) {
  return ForEach(session, flags.names, [&](const std::string& name) -> absl::Status {
    // With allow_missing the server would not say whether the experiment existed.
    v1::DeleteExperimentRequest request;
    request.set_name(FullName(name));
    request.set_force(flags.force);
    const auto empty = session.client->Call(&Stub::DeleteExperiment, request, /*at_least=*/{},
                                            /*gone_is_done=*/true);
    const bool missing = flags.allow_missing && absl::IsNotFound(empty.status());
    if (!empty.ok() && !missing) {
      const bool busy = absl::IsFailedPrecondition(empty.status()) && !flags.force;
      return WithHint(empty.status(),
                      busy ? "--force cancels it first, or 'mentorctl cancel' does" : "");
    }
    // No object remains, so programs get its name.
    v1::Experiment gone;
    gone.set_name(request.name());
    session.output.Done(gone, request.name(),
                        request.name() + (missing ? " was not there" : " deleted"));
    return absl::OkStatus();
  });
}

}  // namespace

void AddExperimentVerbs(Commands* commands) {
  const auto [get, shown] = commands->Add<GetFlags>(kExperimentGroup, "get", "Show experiments",
                                                    "mentorctl get first\n"
                                                    "mentorctl get first second --output yaml\n"
                                                    "mentorctl get first --spec > again.txtpb",
                                                    Get);
  AddNames(get, &shown->names);
  get->add_flag("--spec", shown->spec_only,
                "Print only the spec, with every default, as a file that can be submitted again");

  const auto [list, listed] = commands->Add<ListFlags>(
      kExperimentGroup, "list", "List experiments",
      "mentorctl list\n"
      "mentorctl list --state running --label team=a\n"
      "mentorctl list --filter 'rule=black_box AND create_time>2026-01-01T00:00:00Z'\n"
      "mentorctl list --order_by 'create_time desc' --output json",
      List);
  AddOption(list, "--filter", &listed->filter, "FILTER",
            "Only these: conditions joined by AND, each FIELD OP VALUE with one of = != < <= "
            "> >= and : (contains) as OP; fields: name, state, owner, priority, display_name, "
            "rule, benchmark, environment, signal, seed, weight, create_time, update_time, "
            "start_time, end_time, labels.KEY");
  AddOption(list, "--state", &listed->state, "STATE:{" + StateNames(",") + "}",
            "Only experiments in this state");
  Repeatable(AddOption(list, "--label", &listed->labels, "KEY=VALUE",
                       "Only experiments with this label; may be repeated"));
  AddOption(
      list, "--order_by", &listed->order_by, "ORDER",
      "Sort by name, create_time, update_time, state or priority; ' desc' behind it reverses");

  const auto [update, updated] = commands->Add<UpdateFlags>(
      kExperimentGroup, "update", "Change priority, weight, labels, title, retention, deadline",
      "mentorctl update first --priority high --weight 4\n"
      "mentorctl update first --label team=a --label old-\n"
      "mentorctl update first second --deadline 2h --retries 3 --keep_last 10 --ttl 30d",
      Update);
  AddNames(update, &updated->names);
  AddExperimentFlags(update, &updated->changes, /*update=*/true);

  const auto [pause, paused] = commands->Add<Names>(
      kExperimentGroup, "pause", "Pause experiments at their last checkpoint",
      "mentorctl pause first\nmentorctl pause $(mentorctl list --state running --output name)",
      Pause);
  AddNames(pause, paused);

  const auto [resume, resumed] = commands->Add<Names>(
      kExperimentGroup, "resume", "Put paused experiments back into the queue",
      "mentorctl resume first\nmentorctl resume $(mentorctl list --state paused --output name)",
      Resume);
  AddNames(resume, resumed);

  const auto [cancel, cancelled] = commands->Add<CancelFlags>(
      kExperimentGroup, "cancel", "End experiments; their checkpoints stay",
      "mentorctl cancel first\nmentorctl cancel first second --reason 'wrong seed'", Cancel);
  AddNames(cancel, &cancelled->names);
  AddOption(cancel, "--reason", &cancelled->reason, "TEXT",
            "Why the experiment is cancelled, for later readers");

  const auto [remove, removed] = commands->Add<DeleteFlags>(
      kExperimentGroup, "delete", "Remove experiments with all their files",
      "mentorctl delete first\nmentorctl delete first --force\n"
      "mentorctl delete maybe --allow_missing",
      Delete);
  AddNames(remove, &removed->names);
  remove->add_flag("--force", removed->force, "Cancel them first when they have not ended");
  remove->add_flag("--allow_missing", removed->allow_missing,
                   "A missing experiment is not an error");
}

}  // namespace mentor::ctl
