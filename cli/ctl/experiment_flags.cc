#include "cli/ctl/experiment_flags.h"

#include <algorithm>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "cli/ctl/values.h"
#include "common/check.h"
#include "common/status.h"

namespace mentor::ctl {

void AddExperimentFlags(CLI::App* command, ExperimentFlags* flags, bool update) {
  AddOption(command, "--priority", &flags->priority, "PRIORITY:{low,normal,high}",
            "Class in the queue: low, normal or high");
  AddOption(command, "--weight", &flags->weight, "NUMBER",
            "Share of the fleet among the owner's experiments of a class, 1 to 100")
      ->check(CLI::Range(1, 100));
  Repeatable(AddOption(command, "--label", &flags->labels, "KEY=VALUE",
                       update ? "Set a label, or remove one with KEY-; may be repeated"
                              : "A label for filters; may be repeated"));
  AddOption(command, "--title", &flags->title, "TEXT", "Title for people");
  AddOption(command, "--deadline", &flags->deadline, "WHEN",
            "Time at which the experiment fails if it has not ended: a span such as 30m, 2h, 7d, "
            "or a time such as 2026-03-01T08:00:00Z" +
                std::string(update ? "; 'none' removes it" : ""));
  AddOption(command, "--retries", &flags->retries, "NUMBER",
            "How often to requeue it after a failure; it resumes from its last checkpoint");
  AddOption(command, "--keep_last", &flags->keep_last, "NUMBER",
            "How many of the newest checkpoints to keep");
  AddOption(command, "--keep_every", &flags->keep_every, "NUMBER",
            "Keep the checkpoints of every Nth outer update too");
  AddOption(command, "--ttl", &flags->ttl, "SPAN",
            "How long after the experiment's end to delete it, for instance 30d" +
                std::string(update ? "; 'none' keeps it" : ""));
}

absl::StatusOr<std::vector<std::string>> Apply(const ExperimentFlags& flags, absl::Time now,
                                               v1::Experiment* experiment) {
  std::vector<std::string> fields;
  if (!flags.priority.empty()) {
    MENTOR_ASSIGN_OR_RETURN(const v1::Priority priority,
                            ParsePriority("--priority", flags.priority));
    experiment->set_priority(priority);
    fields.push_back("priority");
  }
  if (flags.weight) {
    experiment->set_weight(*flags.weight);
    fields.push_back("weight");
  }
  if (!flags.title.empty()) {
    experiment->set_display_name(flags.title);
    fields.push_back("display_name");
  }
  if (!flags.labels.empty()) fields.push_back("labels");
  for (const std::string& text : flags.labels) {
    if (text.size() > 1 && text.ends_with('-') && text.find('=') == text.npos) {
      experiment->mutable_labels()->erase(text.substr(0, text.size() - 1));
      continue;
    }
    MENTOR_ASSIGN_OR_RETURN(const auto label, ParseLabel("--label", text));
    (*experiment->mutable_labels())[label.first] = label.second;
  }
  if (!flags.deadline.empty()) {
    fields.push_back("deadline");
    if (flags.deadline == "none") {
      experiment->clear_deadline();
    } else {
      MENTOR_ASSIGN_OR_RETURN(const absl::Time deadline,
                              ParseWhen("--deadline", flags.deadline, now));
      *experiment->mutable_deadline() = ToProto(deadline);
    }
  }
  if (flags.retries) {
    experiment->set_retries_max(*flags.retries);
    fields.push_back("retries_max");
  }
  if (flags.keep_last || flags.keep_every || !flags.ttl.empty()) {
    fields.push_back("retention");
    v1::Retention& retention = *experiment->mutable_retention();
    if (flags.keep_last) retention.set_keep_last(*flags.keep_last);
    if (flags.keep_every) retention.set_keep_every(*flags.keep_every);
    if (flags.ttl == "none") {
      retention.clear_ttl();
    } else if (!flags.ttl.empty()) {
      MENTOR_ASSIGN_OR_RETURN(const absl::Duration ttl, ParseSpan("--ttl", flags.ttl));
      *retention.mutable_ttl() = ToProto(ttl);
    }
  }
  return fields;
}

absl::StatusOr<v1::Checkpoint> NewestCheckpoint(Client* client, const std::string& experiment) {
  v1::ListCheckpointsRequest request;
  request.set_parent(experiment);
  MENTOR_ASSIGN_OR_RETURN(const auto all, client->CallForAll(&Stub::ListCheckpoints, request));
  const auto newest = std::max_element(
      all.checkpoints().begin(), all.checkpoints().end(),
      [](const auto& a, const auto& b) { return a.outer_step() < b.outer_step(); });
  if (newest == all.checkpoints().end()) {
    return MakeError(Reason::kNotFound, "there is no checkpoint of " + experiment + " yet");
  }
  return *newest;
}

absl::StatusOr<std::vector<v1::Experiment>> OpenExperiments(Client* client) {
  v1::ListExperimentsRequest request;
  request.set_filter("state!=SUCCEEDED AND state!=FAILED AND state!=CANCELLED");
  MENTOR_ASSIGN_OR_RETURN(const auto all, client->CallForAll(&Stub::ListExperiments, request));
  return std::vector<v1::Experiment>(all.experiments().begin(), all.experiments().end());
}

int ForEach(Session& session, const Names& names,
            const std::function<absl::Status(const std::string& name)>& action) {
  int code = kOk;
  for (const std::string& name : names) {
    const absl::Status status = action(name);
    const int one = status.ok() ? kOk : session.output.Fail(status);
    if (code == kOk) code = one;
    if (session.client->interrupted()) break;
  }
  return code;
}

absl::StatusOr<std::string> OnlyOne(const Names& found, const std::string& what,
                                    const std::string& given, const std::string& part) {
  if (found.size() == 1) return found[0];
  if (found.empty()) {
    return MakeError(Reason::kNotFound, absl::StrCat("there is no ", what, " ", given));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      what, " '", given, "' could be ", absl::StrJoin(found, " or "), ": give more of ", part));
}

CLI::Option* AddNames(CLI::App* command, Names* names) {
  return AddOption(command, "names", names, "EXPERIMENT",
                   "Names of experiments, with or without experiments/")
      ->required();
}

void AddName(CLI::App* command, std::string* name) {
  AddOption(command, "name", name, "EXPERIMENT",
            "Name of the experiment, with or without experiments/")
      ->required();
}

}  // namespace mentor::ctl
