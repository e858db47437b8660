// The verbs `create`, `apply`, `validate` and `clone`.
#include <chrono>
#include <map>
#include <set>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "cli/ctl/commands.h"
#include "cli/ctl/experiment_file.h"
#include "cli/ctl/experiment_flags.h"
#include "cli/ctl/experiment_watch.h"
#include "cli/ctl/values.h"
#include "common/check.h"
#include "common/spec/differences.h"
#include "common/spec/named_bundles.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "common/uuid.h"

namespace mentor::ctl {
namespace {

struct CreateFlags {
  std::vector<std::string> files;
  std::vector<std::string> overrides;
  std::string id;
  ExperimentFlags experiment;
  bool wait = false;
  bool validate_only = false;
};

// The server first compiles the model of a bundle; this timeout exceeds its limit for that.
constexpr std::chrono::minutes kCompiling{4};

absl::StatusOr<v1::Experiment> Send(Client* client, const v1::CreateExperimentRequest& request) {
  const bool compiles = !BundlesOf(request.experiment().spec()).empty();
  return client->Call(&Stub::CreateExperiment, request,
                      compiles ? kCompiling : std::chrono::minutes(0));
}

// Adds the violations that only the server finds. A spec that is wrong already is sent too, so that
// its author sees every error at once.
void AddViolationsOfServer(Client* client, v1::CreateExperimentRequest request,
                           Violations* violations) {
  request.set_validate_only(true);
  request.clear_request_id();
  std::set<std::string> known;
  for (const Violation& violation : violations->list()) known.insert(violation.field);
  const Violations found = ViolationsOf(Send(client, request).status());
  for (const auto& [field, description] : found.list())
    if (!known.contains(field)) violations->Add(field, description);
}

// Returns text like "; a learner needs at most 0.4 GB for a shard of it, ..."; empty when an older
// server does not report needs.
std::string NeedsOf(const v1::Experiment& experiment) {
  if (!experiment.has_memory_needs()) return "";
  const v1::MemoryNeeds& needs = experiment.memory_needs();
  return absl::StrFormat(
      "; a shard needs at most %.1f GB of a learner and %.1f GB of the meta-learner; on a GPU, "
      "%.1f GB and %.1f GB of its memory",
      1e-9 * static_cast<double>(needs.learner_bytes()),
      1e-9 * static_cast<double>(needs.meta_learner_bytes()),
      1e-9 * static_cast<double>(needs.learner_device_bytes()),
      1e-9 * static_cast<double>(needs.meta_learner_device_bytes()));
}

// Returns the error for a file that cannot be sent.
absl::Status WhatIsWrong(Client* client, const v1::CreateExperimentRequest& request,
                         ExperimentFile* file) {
  if (file->readable) AddViolationsOfServer(client, request, &file->violations);
  return ToStatus(file->violations);
}

absl::StatusOr<v1::CreateExperimentRequest> MakeRequest(Client* client, const CreateFlags& flags,
                                                        const std::string& path) {
  MENTOR_ASSIGN_OR_RETURN(const std::string text, ReadInput(path));
  ExperimentFile file = ParseExperimentFile(path, text, flags.overrides);
  v1::CreateExperimentRequest request;
  *request.mutable_experiment() = file.experiment;
  MENTOR_RETURN_IF_ERROR(
      Apply(flags.experiment, absl::Now(), request.mutable_experiment()).status());
  request.set_experiment_id(flags.id);
  request.set_request_id(NewUuid());
  if (!file.violations.empty()) return WhatIsWrong(client, request, &file);
  return request;
}

// Says what the server finds of a valid spec.
absl::Status CheckFile(Session& session, const CreateFlags& flags, const std::string& path) {
  MENTOR_ASSIGN_OR_RETURN(auto request, MakeRequest(session.client, flags, path));
  request.set_validate_only(true);
  MENTOR_ASSIGN_OR_RETURN(const v1::Experiment answer, Send(session.client, request));
  for (const std::string& warning : answer.warnings()) session.output.Note("warning: " + warning);
  session.output.Done(answer, path, path + " is valid" + NeedsOf(answer));
  return absl::OkStatus();
}

// Shows the new experiment until it ends, if the user waits for it.
absl::StatusOr<int> Begun(Session& session, const v1::Experiment& experiment,
                          const std::string& what, bool wait, const std::string& next = "") {
  if (!wait) {
    session.output.Done(experiment, experiment.name(), what + next);
    return kOk;
  }
  session.output.Note(what);
  return Follow(session.client, session.output, experiment.name());
}

absl::StatusOr<int> Create(Session& session, const CreateFlags& flags) {
  if (flags.validate_only) {
    MENTOR_RETURN_IF_ERROR(CheckFile(session, flags, flags.files[0]));
    return kOk;
  }
  MENTOR_ASSIGN_OR_RETURN(const auto request, MakeRequest(session.client, flags, flags.files[0]));
  MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment, Send(session.client, request));
  return Begun(session, experiment, experiment.name() + " created", flags.wait,
               "; 'mentorctl watch " + ShortName(experiment.name()) + "' shows its progress");
}

absl::StatusOr<int> Validate(Session& session, const CreateFlags& flags) {
  return ForEach(session, flags.files, [&](const std::string& path) {
    absl::Status status = CheckFile(session, flags, path);
    if (!status.ok() && flags.files.size() > 1) session.output.Note(path + ":");
    return status;
  });
}

// ---- apply

absl::Status OtherSpec(const std::string& name, const ExperimentFile& file,
                       const v1::Experiment& experiment) {
  return MakeError(
      Reason::kAlreadyExists,
      absl::StrCat(
          name, " exists with another spec, and a spec never changes: ",
          absl::StrJoin(SpecDifferences(experiment.spec(), file.experiment.spec(), 5), "; ")));
}

absl::Status ApplyOne(Session& session, const ExperimentFile& file, bool validate_only) {
  const std::string name = FullName(file.id);
  const auto done = [&](const v1::Experiment& experiment, const std::string& what) {
    session.output.Done(experiment, name, name + (validate_only ? " would be " : " ") + what);
    return absl::OkStatus();
  };
  v1::GetExperimentRequest get;
  get.set_name(name);
  absl::Status changed;
  for (int attempt = 0; attempt < 10; ++attempt) {
    const auto experiment = session.client->Call(&Stub::GetExperiment, get);
    if (absl::IsNotFound(experiment.status())) {
      v1::CreateExperimentRequest request;
      request.set_experiment_id(file.id);
      *request.mutable_experiment() = file.experiment;
      request.set_request_id(NewUuid());
      request.set_validate_only(validate_only);
      const auto created = Send(session.client, request);
      if (created.ok()) return done(*created, "created");
      // Another client created the experiment in between: look again.
      changed = created.status();
      if (!absl::IsAlreadyExists(changed)) return changed;
      continue;
    }
    MENTOR_RETURN_IF_ERROR(experiment.status());
    if (SpecHash(experiment->spec()) != SpecHash(file.experiment.spec())) {
      return WithHint(OtherSpec(name, file, *experiment),
                      "'mentorctl clone " + file.id +
                          " --set ...' continues from a checkpoint with other settings; another "
                          "--id or file name makes a new experiment");
    }
    const std::vector<std::string> fields = ChangedFields(file, *experiment);
    if (fields.empty()) {
      session.output.Done(*experiment, name, name + " unchanged");
      return absl::OkStatus();
    }
    const std::string what = "updated: " + absl::StrJoin(fields, ", ");
    if (validate_only) return done(*experiment, what);
    v1::UpdateExperimentRequest request;
    *request.mutable_experiment() = file.experiment;
    request.mutable_experiment()->clear_spec();
    request.mutable_experiment()->set_name(name);
    request.mutable_experiment()->set_etag(experiment->etag());
    for (const std::string& field : fields) request.mutable_update_mask()->add_paths(field);
    const auto updated = session.client->Call(&Stub::UpdateExperiment, request);
    if (updated.ok()) return done(*updated, what);
    // Another client changed the experiment in between: look again.
    changed = updated.status();
    if (!absl::IsAborted(changed)) return changed;
  }
  return changed;
}

absl::StatusOr<int> ApplyFiles(Session& session, const CreateFlags& flags) {
  if (!flags.id.empty() && flags.files.size() > 1) {
    return absl::InvalidArgumentError(
        "--id: names one experiment, but there are several files; leave it out");
  }
  // All files are read before anything is changed.
  std::map<std::string, ExperimentFile> files;
  for (const std::string& path : flags.files) {
    MENTOR_ASSIGN_OR_RETURN(const std::string text, ReadInput(path));
    ExperimentFile file = ParseExperimentFile(path, text, flags.overrides);
    if (!flags.id.empty()) file.id = flags.id;
    if (!file.violations.empty()) {
      v1::CreateExperimentRequest request;
      *request.mutable_experiment() = file.experiment;
      session.output.Note(path + ":");
      return WhatIsWrong(session.client, request, &file);
    }
    if (file.id.empty()) {
      return absl::InvalidArgumentError(
          "the standard input has no name: give --id, or the field 'name' of an experiment");
    }
    files[path] = std::move(file);
  }
  return ForEach(session, flags.files, [&](const std::string& path) {
    return ApplyOne(session, files[path], flags.validate_only);
  });
}

// ---- clone

struct CloneFlags {
  std::string source;
  std::string id;
  std::vector<std::string> overrides;
  bool wait = false;
};

absl::StatusOr<int> Clone(Session& session, const CloneFlags& flags) {
  std::string source = ShortName(flags.source);
  if (source.find('/') == std::string::npos) {
    MENTOR_ASSIGN_OR_RETURN(const auto newest, NewestCheckpoint(session.client, FullName(source)));
    source = newest.name();
  }
  MENTOR_ASSIGN_OR_RETURN(const std::string checkpoint, FullCheckpointName(source));
  v1::CloneExperimentRequest request;
  request.set_source_checkpoint(checkpoint);
  request.set_experiment_id(flags.id);
  for (const std::string& text : flags.overrides) request.add_spec_overrides(text);
  request.set_request_id(NewUuid());
  MENTOR_ASSIGN_OR_RETURN(const auto experiment,
                          session.client->Call(&Stub::CloneExperiment, request));
  return Begun(session, experiment, experiment.name() + " begins from " + checkpoint, flags.wait);
}

void AddOverrides(CLI::App* command, std::vector<std::string>* overrides) {
  Repeatable(AddOption(command, "--set", overrides, "PATH=VALUE",
                       "Override a field of the spec, path.to.field=value; may be repeated"));
}

CLI::Option* AddFiles(CLI::App* command, CreateFlags* flags, const std::string& more = "") {
  CLI::Option* files =
      AddOption(command, "-f,--file", &flags->files, "SPEC:FILE",
                "Spec or experiment in protobuf text format or YAML, or the name of a spec that "
                "comes with Mentor" +
                    more)
          ->required();
  AddOverrides(command, &flags->overrides);
  return files;
}

}  // namespace

void AddCreateVerbs(Commands* commands) {
  const auto [create, create_flags] = commands->Add<CreateFlags>(
      kExperimentGroup, "create", "Submit an experiment",
      "mentorctl create -f point_reach\n"
      "mentorctl create -f spec.txtpb --id first --set seed=2 --set rule.outer_updates=10\n"
      "mentorctl create -f spec.txtpb --priority high --label team=a --deadline 2h --wait\n"
      "mentorctl get first --spec | mentorctl create -f - --set seed=3",
      Create);
  AddFiles(create, create_flags, "; - reads the standard input")->expected(1);
  AddOption(create, "--id", &create_flags->id, "ID",
            "Name of the experiment; default: the server chooses one");
  AddExperimentFlags(create, &create_flags->experiment, /*update=*/false);
  create->add_flag("--wait", create_flags->wait, "Watch it until it ends");
  create->add_flag("--validate_only", create_flags->validate_only,
                   "Check everything; create nothing");

  const auto [apply, apply_flags] = commands->Add<CreateFlags>(
      kExperimentGroup, "apply", "Create or update experiments to match files",
      "mentorctl apply -f experiments/first.txtpb\n"
      "mentorctl apply -f experiments/*.txtpb --validate_only\n"
      "mentorctl apply -f spec.txtpb --id first --set seed=2",
      ApplyFiles);
  AddFiles(apply, apply_flags,
           ", each named after its file. Missing ones are created, settings that may change are "
           "updated, a changed spec is refused");
  AddOption(apply, "--id", &apply_flags->id, "ID", "Name of the experiment, if there is one file");
  apply->add_flag("--validate_only", apply_flags->validate_only,
                  "Say what would be done; change nothing");

  const auto [validate, validate_flags] = commands->Add<CreateFlags>(
      kExperimentGroup, "validate", "Check specs without creating anything",
      "mentorctl validate -f experiments/*.txtpb\n"
      "mentorctl validate -f spec.txtpb --set agent.gamma=0.9",
      Validate);
  AddFiles(validate, validate_flags);

  const auto [clone, clone_flags] = commands->Add<CloneFlags>(
      kExperimentGroup, "clone", "Start a new experiment from a checkpoint",
      "mentorctl clone first --id longer --set rule.outer_updates=1000\n"
      "mentorctl clone first/checkpoints/42 --wait",
      Clone);
  AddOption(clone, "checkpoint", &clone_flags->source, "CHECKPOINT",
            "EXPERIMENT/checkpoints/NUMBER, or an experiment, for its newest checkpoint")
      ->required();
  AddOption(clone, "--id", &clone_flags->id, "ID",
            "Name of the new experiment; default: the server chooses one");
  AddOverrides(clone, &clone_flags->overrides);
  clone->add_flag("--wait", clone_flags->wait, "Watch it until it ends");
}

}  // namespace mentor::ctl
