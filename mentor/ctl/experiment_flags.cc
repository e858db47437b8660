#include "mentor/ctl/experiment_flags.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "common/check.h"
#include "common/resources/states.h"
#include "common/status.h"
#include "mentor/ctl/values.h"

namespace mentor::ctl {

void AddExperimentFlags(CLI::App* command, ExperimentFlags* flags, bool update) {
  command->add_option("--priority", flags->priority, "Class in the queue: low, normal or high")
      ->type_name("PRIORITY:{low,normal,high}");
  command
      ->add_option("--weight", flags->weight,
                   "Share of the fleet among the owner's experiments of a class, 1 to 100")
      ->type_name("NUMBER")
      ->check(CLI::Range(1, 100));
  Repeatable(command->add_option("--label", flags->labels,
                                 update ? "Set a label, or remove one with KEY-; may be repeated"
                                        : "A label for filters; may be repeated"))
      ->type_name("KEY=VALUE");
  command->add_option("--title", flags->title, "Title for people")->type_name("TEXT");
  command
      ->add_option("--deadline", flags->deadline,
                   "Time at which the experiment fails if it has not ended: a span such as 30m, "
                   "2h, 7d, or a time such as 2026-03-01T08:00:00Z" +
                       std::string(update ? "; 'none' removes it" : ""))
      ->type_name("WHEN");
  command
      ->add_option("--retries", flags->retries,
                   "How often to requeue it after a failure; it resumes from its last checkpoint")
      ->type_name("NUMBER");
  command->add_option("--keep_last", flags->keep_last, "How many of the newest checkpoints to keep")
      ->type_name("NUMBER");
  command
      ->add_option("--keep_every", flags->keep_every,
                   "Keep the checkpoints of every Nth outer update too")
      ->type_name("NUMBER");
  command
      ->add_option("--ttl", flags->ttl,
                   "How long after the experiment's end to delete it, for instance 30d" +
                       std::string(update ? "; 'none' keeps it" : ""))
      ->type_name("SPAN");
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

std::string InQuotes(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

absl::StatusOr<std::string> FilterOf(const Selection& flags) {
  std::vector<std::string> terms;
  if (!flags.filter.empty()) terms.push_back(flags.filter);
  if (!flags.state.empty()) {
    const auto state = ParseState("--state", flags.state);
    if (!state.ok()) return state.status();
    terms.push_back("state=" + StateText(*state));
  }
  for (const std::string& text : flags.labels) {
    const auto label = ParseLabel("--label", text);
    if (!label.ok()) return label.status();
    terms.push_back("labels." + label->first + "=" + InQuotes(label->second));
  }
  return absl::StrJoin(terms, " AND ");
}

void AddSelection(CLI::App* command, Selection* selection) {
  command
      ->add_option(
          "--filter", selection->filter,
          "Only these: conditions joined by AND, each FIELD OP VALUE with one of = != < <= "
          "> >= and : (contains) as OP; fields: name, state, owner, priority, display_name, "
          "rule, benchmark, environment, signal, seed, weight, create_time, update_time, "
          "start_time, end_time, labels.KEY")
      ->type_name("FILTER");
  command->add_option("--state", selection->state, "Only experiments in this state")
      ->type_name("STATE:{" + StateNames(",") + "}");
  Repeatable(command->add_option("--label", selection->labels,
                                 "Only experiments with this label; may be repeated"))
      ->type_name("KEY=VALUE");
}

namespace {

template <typename Request, typename Response>
absl::Status AllPages(Client* client,
                      grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                      Request request, const std::function<bool(const Response&)>& on_page) {
  if (request.page_size() == 0) request.set_page_size(500);
  do {
    MENTOR_ASSIGN_OR_RETURN(const Response page, client->Call(method, request));
    if (!on_page(page)) break;
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return absl::OkStatus();
}

}  // namespace

absl::Status ListAll(Client* client, v1::ListExperimentsRequest request,
                     const std::function<bool(const v1::ListExperimentsResponse&)>& on_page) {
  return AllPages(client, &Stub::ListExperiments, std::move(request), on_page);
}

absl::Status ListAll(Client* client, v1::ListCheckpointsRequest request,
                     const std::function<bool(const v1::ListCheckpointsResponse&)>& on_page) {
  return AllPages(client, &Stub::ListCheckpoints, std::move(request), on_page);
}

absl::StatusOr<v1::Checkpoint> NewestCheckpoint(Client* client, const std::string& experiment) {
  v1::ListCheckpointsRequest request;
  request.set_parent(experiment);
  v1::Checkpoint newest;
  MENTOR_RETURN_IF_ERROR(ListAll(client, request, [&](const v1::ListCheckpointsResponse& page) {
    for (const v1::Checkpoint& checkpoint : page.checkpoints()) {
      if (newest.name().empty() || checkpoint.outer_step() >= newest.outer_step()) {
        newest = checkpoint;
      }
    }
    return true;
  }));
  if (newest.name().empty()) {
    return MakeError(absl::StatusCode::kNotFound, Reason::kNotFound,
                     "there is no checkpoint of " + experiment + " yet");
  }
  return newest;
}

int ForEach(Session& session, const std::vector<std::string>& names,
            const std::function<int(const std::string& name)>& action) {
  int code = kOk;
  for (const std::string& name : names) {
    const int one = action(name);
    if (code == kOk) code = one;
    if (session.client->interrupted()) break;
  }
  return code;
}

CLI::Option* AddNames(CLI::App* command, std::vector<std::string>* names) {
  return command->add_option("names", *names, "Names of experiments, with or without experiments/")
      ->type_name("EXPERIMENT");
}

CLI::Option* AddName(CLI::App* command, std::string* name) {
  return command->add_option("name", *name, "Name of the experiment, with or without experiments/")
      ->type_name("EXPERIMENT")
      ->required();
}

}  // namespace mentor::ctl
