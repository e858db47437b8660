// The verbs `get`, `list`, `update`, `pause`, `resume`, `cancel` and `delete`.
#include <algorithm>
#include <deque>
#include <map>
#include <optional>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <google/protobuf/empty.pb.h>

#include "common/resources/states.h"
#include "common/spec/spec.h"
#include "mentor/ctl/commands.h"
#include "mentor/ctl/experiment_flags.h"
#include "mentor/ctl/experiment_watch.h"
#include "mentor/ctl/values.h"

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

int Get(Session& session, const std::vector<std::string>& names, bool spec_only) {
  bool first = true;
  return ForEach(session, names, [&](const std::string& name) {
    v1::GetExperimentRequest request;
    request.set_name(FullName(name));
    const auto experiment = session.client->Call(&Stub::GetExperiment, request);
    if (!experiment.ok()) return session.output.Fail(experiment.status());
    if (spec_only) {
      // The text format has JSON's escapes.
      std::printf("%s", PrintableJson(PrintSpec(experiment->spec())).c_str());
      return static_cast<int>(kOk);
    }
    if (names.size() > 1 && !first) {
      if (session.output.table()) std::printf("\n");
      if (session.output.format() == Format::kYaml) std::printf("---\n");
    }
    first = false;
    const absl::Time now = absl::Now();
    std::vector<Row> rows = ExperimentRows(*experiment, now);
    if (const std::string learned =
            session.output.table() ? Learned(session.client, *experiment) : "";
        !learned.empty()) {
      // Show the learned result next to the progress.
      const auto after = std::find_if(rows.begin(), rows.end(),
                                      [](const Row& row) { return row[0].text == "Updates"; });
      rows.insert(after == rows.end() ? after : after + 1, {"Learned", learned});
    }
    session.output.Object(*experiment, experiment->name(), rows);
    if (!session.output.table()) return static_cast<int>(kOk);
    if (const auto events = LastEvents(session.client, experiment->name(), now); !events.empty()) {
      std::printf("\nEvents     ('mentorctl logs %s' has all)\n",
                  Printable(ShortName(experiment->name())).c_str());
      session.output.Table(events);
    }
    return static_cast<int>(kOk);
  });
}

// ---- list

struct ListFlags {
  Selection selection;
  std::string order_by;
  bool watch = false;
};

const Row kListHeader = {"NAME", "STATE",    "UPDATES", "NOW",     "STEPS/S",
                         "LEFT", "PRIORITY", "OWNER",   "CREATED", "TITLE"};
// Columns to drop in a narrow terminal, in this order.
const std::vector<std::string> kListExpendable = {"TITLE",   "OWNER",   "PRIORITY",
                                                  "CREATED", "STEPS/S", "LEFT"};

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

// Prints changes one per line. Only the server can evaluate the filter, so each changed experiment
// is listed again with the filter.
int WatchList(Session& session, const std::string& filter, const std::string& token,
              std::map<std::string, std::string> shown) {
  using Event = v1::WatchExperimentsResponse;
  const Output& output = session.output;
  absl::Status failed;
  const auto show = [&](const Event& event) {
    const v1::Experiment& experiment = event.experiment();
    if (output.table()) {
      Row row = ListRow(experiment, absl::Now());
      if (event.event() == Event::EVENT_DELETED) row[1] = "DELETED";
      // Pad to the header's width, so that successive lines mostly align.
      const int columns = output.options().columns;
      const auto rows = WithRoom({kListHeader, row}, columns, kListExpendable);
      std::printf("%s\n", TableLines(rows, columns, output.options().color)[1].c_str());
    } else if (output.format() == Format::kYaml) {
      std::printf("---\n%s", JsonToYaml(ToJson(event)).c_str());
    } else {
      output.Object(event, experiment.name(), {});
    }
    std::fflush(stdout);
  };
  // Returns the event with the current state if the filter selects the experiment, else nothing.
  const auto select = [&](Event event) -> absl::StatusOr<std::optional<Event>> {
    if (filter.empty()) return event;
    v1::ListExperimentsRequest request;
    request.set_filter(filter + " AND name=" + InQuotes(event.experiment().name()));
    const auto page = session.client->Call(&Stub::ListExperiments, request);
    if (!page.ok()) return page.status();
    if (page->experiments().empty()) return std::nullopt;
    *event.mutable_experiment() = page->experiments(0);
    return event;
  };
  const auto on_event = [&](const Event& event) {
    if (!event.has_experiment() || event.event() == Event::EVENT_PROGRESS) return true;
    const std::string& name = event.experiment().name();
    const auto before = shown.find(name);
    // After an expired token the present state arrives again.
    if (before != shown.end() && before->second == event.experiment().etag()) return true;
    absl::StatusOr<std::optional<Event>> selected = std::nullopt;
    if (event.event() != Event::EVENT_DELETED) selected = select(event);
    if (!selected.ok()) {
      failed = selected.status();
      return false;
    }
    if (!*selected) {
      // The experiment is deleted or no longer selected: print its final state.
      if (shown.erase(name) > 0) show(event);
      return true;
    }
    const std::string& etag = (*selected)->experiment().etag();
    if (shown[name] != etag) show(**selected);
    shown[name] = etag;
    return true;
  };
  const absl::Status status = Watch(
      session.client,
      {.names = {}, .resume_token = token, .on_event = on_event, .on_lost = NoteLost(&output)});
  if (!failed.ok()) return output.Fail(failed);
  if (absl::IsCancelled(status)) return kInterrupted;
  return output.Fail(status);
}

int List(Session& session, const ListFlags& flags) {
  const Output& output = session.output;
  const auto filter = FilterOf(flags.selection);
  if (!filter.ok()) return output.Fail(filter.status());
  v1::ListExperimentsRequest request;
  request.set_filter(*filter);
  request.set_order_by(flags.order_by);
  Listing listing(&output, kListHeader, kListExpendable);
  std::map<std::string, std::string> shown;
  std::string token;
  const absl::Time now = absl::Now();
  const absl::Status status =
      ListAll(session.client, request, [&](const v1::ListExperimentsResponse& page) {
        // Changes between two pages arrive through the watch.
        if (token.empty()) token = page.resume_token();
        for (const v1::Experiment& experiment : page.experiments()) {
          shown[experiment.name()] = experiment.etag();
          if (flags.watch && !output.table()) {
            v1::WatchExperimentsResponse event;
            event.set_event(v1::WatchExperimentsResponse::EVENT_CREATED);
            *event.mutable_experiment() = experiment;
            listing.Add(event, experiment.name(), {});
          } else {
            listing.Add(experiment, experiment.name(), ListRow(experiment, now));
          }
        }
        return true;
      });
  if (!status.ok()) return output.Fail(status);
  if (!flags.watch || output.table()) listing.End();
  if (!flags.watch) return kOk;
  std::fflush(stdout);
  return WatchList(session, *filter, token, std::move(shown));
}

// ---- Changes.

// The server replaces labels and retention as a whole. Read, change and write with the etag, and
// repeat when another client was faster.
int Update(Session& session, const std::vector<std::string>& names, const ExperimentFlags& flags) {
  const Output& output = session.output;
  return ForEach(session, names, [&](const std::string& name) -> int {
    v1::GetExperimentRequest get;
    get.set_name(FullName(name));
    absl::Status status;
    for (int attempt = 0; attempt < 10; ++attempt) {
      const auto current = session.client->Call(&Stub::GetExperiment, get);
      if (!current.ok()) return output.Fail(current.status());
      v1::UpdateExperimentRequest request;
      *request.mutable_experiment() = *current;
      request.mutable_experiment()->clear_spec();
      const auto fields = Apply(flags, absl::Now(), request.mutable_experiment());
      if (!fields.ok()) return output.Fail(fields.status());
      if (fields->empty()) {
        return output.Fail(
            absl::InvalidArgumentError("nothing to change: give --priority, --weight, --label, "
                                       "--title, --deadline, --retries, "
                                       "--keep_last, --keep_every or --ttl"));
      }
      for (const std::string& field : *fields) request.mutable_update_mask()->add_paths(field);
      const auto updated = session.client->Call(&Stub::UpdateExperiment, request);
      if (updated.ok()) {
        output.Done(*updated, updated->name(),
                    updated->name() + " updated: " + absl::StrJoin(*fields, ", "));
        return kOk;
      }
      status = updated.status();
      if (!absl::IsAborted(status)) break;
    }
    return output.Fail(status);
  });
}

// Pause, resume and cancel differ only in their request type.
template <typename Request>
int Change(Session& session, const std::vector<std::string>& names,
           grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, v1::Experiment*),
           Request request) {
  return ForEach(session, names, [&](const std::string& name) {
    request.set_name(FullName(name));
    const auto experiment = session.client->Call(method, request);
    if (!experiment.ok()) return session.output.Fail(experiment.status());
    session.output.Done(*experiment, experiment->name(),
                        experiment->name() + " " + StateText(experiment->state()));
    return static_cast<int>(kOk);
  });
}

int Delete(Session& session, const std::vector<std::string>& names,
           const v1::DeleteExperimentRequest& flags) {
  return ForEach(session, names, [&](const std::string& name) {
    v1::DeleteExperimentRequest request = flags;
    request.set_name(FullName(name));
    // With allow_missing the server would not say whether the experiment existed.
    request.set_allow_missing(false);
    const auto empty = session.client->Call(&Stub::DeleteExperiment, request, /*at_least=*/{},
                                            /*gone_is_done=*/true);
    const bool missing = flags.allow_missing() && absl::IsNotFound(empty.status());
    if (!empty.ok() && !missing) {
      const bool busy = absl::IsFailedPrecondition(empty.status()) && !flags.force();
      return session.output.Fail(
          empty.status(), busy ? "--force cancels it first, or 'mentorctl cancel' does" : "");
    }
    // No object remains, so programs get its name.
    v1::Experiment gone;
    gone.set_name(request.name());
    session.output.Done(gone, request.name(),
                        request.name() + (missing ? " was not there" : " deleted"));
    return static_cast<int>(kOk);
  });
}

}  // namespace

void AddExperimentVerbs(Commands* commands) {
  using Names = std::vector<std::string>;
  {
    const auto names = std::make_shared<Names>();
    const auto spec_only = std::make_shared<bool>(false);
    CLI::App* command =
        commands->Add(kExperimentGroup, "get", "Show experiments",
                      "mentorctl get first\n"
                      "mentorctl get first second --output yaml\n"
                      "mentorctl get first --spec > again.txtpb",
                      [=](Session& session) { return Get(session, *names, *spec_only); });
    AddNames(command, names.get())->required();
    command->add_flag(
        "--spec", *spec_only,
        "Print only the spec, with every default, as a file that can be submitted again");
  }
  {
    const auto flags = std::make_shared<ListFlags>();
    CLI::App* command = commands->Add(
        kExperimentGroup, "list", "List experiments",
        "mentorctl list\n"
        "mentorctl list --state running --label team=a\n"
        "mentorctl list --filter 'rule=black_box AND create_time>2026-01-01T00:00:00Z'\n"
        "mentorctl list --order_by 'create_time desc' --output json\n"
        "mentorctl list --watch",
        [=](Session& session) { return List(session, *flags); });
    AddSelection(command, &flags->selection);
    command
        ->add_option(
            "--order_by", flags->order_by,
            "Sort by name, create_time, update_time, state or priority; ' desc' behind it reverses")
        ->type_name("ORDER");
    command->add_flag("-w,--watch", flags->watch, "Keep running and print a line for each change");
  }
  {
    const auto names = std::make_shared<Names>();
    const auto flags = std::make_shared<ExperimentFlags>();
    CLI::App* command = commands->Add(
        kExperimentGroup, "update", "Change priority, weight, labels, title, retention, deadline",
        "mentorctl update first --priority high --weight 4\n"
        "mentorctl update first --label team=a --label old-\n"
        "mentorctl update first second --deadline 2h --retries 3 --keep_last 10 --ttl 30d",
        [=](Session& session) { return Update(session, *names, *flags); });
    AddNames(command, names.get())->required();
    AddExperimentFlags(command, flags.get(), /*update=*/true);
  }
  {
    const auto names = std::make_shared<Names>();
    CLI::App* command = commands->Add(
        kExperimentGroup, "pause", "Pause experiments at their last checkpoint",
        "mentorctl pause first\nmentorctl pause $(mentorctl list --state running --output name)",
        [=](Session& session) {
          return Change(session, *names, &Stub::PauseExperiment, v1::PauseExperimentRequest());
        });
    AddNames(command, names.get())->required();
  }
  {
    const auto names = std::make_shared<Names>();
    CLI::App* command = commands->Add(
        kExperimentGroup, "resume", "Put paused experiments back into the queue",
        "mentorctl resume first\nmentorctl resume $(mentorctl list --state paused --output name)",
        [=](Session& session) {
          return Change(session, *names, &Stub::ResumeExperiment, v1::ResumeExperimentRequest());
        });
    AddNames(command, names.get())->required();
  }
  {
    const auto names = std::make_shared<Names>();
    const auto reason = std::make_shared<std::string>();
    CLI::App* command =
        commands->Add(kExperimentGroup, "cancel", "End experiments; their checkpoints stay",
                      "mentorctl cancel first\nmentorctl cancel first second --reason 'wrong seed'",
                      [=](Session& session) {
                        v1::CancelExperimentRequest request;
                        request.set_reason(*reason);
                        return Change(session, *names, &Stub::CancelExperiment, request);
                      });
    AddNames(command, names.get())->required();
    command->add_option("--reason", *reason, "Why the experiment is cancelled, for later readers")
        ->type_name("TEXT");
  }
  {
    const auto names = std::make_shared<Names>();
    const auto force = std::make_shared<bool>(false);
    const auto missing = std::make_shared<bool>(false);
    CLI::App* command =
        commands->Add(kExperimentGroup, "delete", "Remove experiments with all their files",
                      "mentorctl delete first\nmentorctl delete first --force\n"
                      "mentorctl delete maybe --allow_missing",
                      [=](Session& session) {
                        v1::DeleteExperimentRequest request;
                        request.set_force(*force);
                        request.set_allow_missing(*missing);
                        return Delete(session, *names, request);
                      });
    AddNames(command, names.get())->required();
    command->add_flag("--force", *force, "Cancel them first when they have not ended");
    command->add_flag("--allow_missing", *missing, "A missing experiment is not an error");
  }
}

}  // namespace mentor::ctl
