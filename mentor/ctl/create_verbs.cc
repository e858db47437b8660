// The verbs `create`, `apply`, `validate` and `clone`.
#include <algorithm>
#include <chrono>
#include <set>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/spec/bundles.h"
#include "common/spec/differences.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "common/uuid.h"
#include "google/rpc/error_details.pb.h"
#include "mentor/ctl/commands.h"
#include "mentor/ctl/experiment_file.h"
#include "mentor/ctl/experiment_flags.h"
#include "mentor/ctl/experiment_watch.h"
#include "mentor/ctl/values.h"

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
  const auto answer = Send(client, request);
  google::rpc::BadRequest bad;
  const auto payload = answer.status().GetPayload("type.googleapis.com/google.rpc.BadRequest");
  if (!payload || !bad.ParseFromString(std::string(*payload))) return;
  std::set<std::string> known;
  for (const Violation& violation : violations->list()) known.insert(violation.field);
  for (const auto& found : bad.field_violations()) {
    std::string field = found.field();
    if (field.starts_with("experiment.spec.")) {
      field = field.substr(std::string_view("experiment.spec.").size());
    }
    if (!known.contains(field)) violations->Add(field, found.description());
  }
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

// Prints the server's warnings about a valid spec.
void NoteWarnings(const Output& output, const v1::Experiment& experiment) {
  for (const std::string& warning : experiment.warnings()) output.Note("warning: " + warning);
}

// Returns the error for a file that cannot be sent.
absl::Status WhatIsWrong(Client* client, const v1::CreateExperimentRequest& request,
                         ExperimentFile* file) {
  if (file->readable) AddViolationsOfServer(client, request, &file->violations);
  return ToStatus(file->violations);
}

absl::StatusOr<v1::CreateExperimentRequest> MakeRequest(Client* client, const CreateFlags& flags,
                                                        const std::string& path) {
  auto text = ReadInput(path);
  if (!text.ok()) return text.status();
  ExperimentFile file = ParseExperimentFile(path, *text, flags.overrides);
  v1::CreateExperimentRequest request;
  *request.mutable_experiment() = file.experiment;
  const auto fields = Apply(flags.experiment, absl::Now(), request.mutable_experiment());
  if (!fields.ok()) return fields.status();
  request.set_experiment_id(flags.id);
  request.set_request_id(NewUuid());
  if (!file.violations.empty()) return WhatIsWrong(client, request, &file);
  return request;
}

int Create(Session& session, const CreateFlags& flags) {
  const Output& output = session.output;
  auto request = MakeRequest(session.client, flags, flags.files[0]);
  if (!request.ok()) return output.Fail(request.status());
  request->set_validate_only(flags.validate_only);
  const auto experiment = Send(session.client, *request);
  if (!experiment.ok()) return output.Fail(experiment.status());
  const std::string& name = experiment->name();
  if (flags.validate_only) {
    NoteWarnings(output, *experiment);
    output.Done(*experiment, flags.files[0], flags.files[0] + " is valid" + NeedsOf(*experiment));
    return kOk;
  }
  if (!flags.wait) {
    output.Done(*experiment, name,
                name + " created; 'mentorctl watch " + ShortName(name) + "' shows its progress");
    return kOk;
  }
  output.Note(name + " created");
  return Follow(session.client, output, name);
}

int Validate(Session& session, const CreateFlags& flags) {
  int code = kOk;
  for (const std::string& path : flags.files) {
    auto request = MakeRequest(session.client, flags, path);
    if (request.ok()) {
      request->set_validate_only(true);
      const auto answer = Send(session.client, *request);
      if (answer.ok()) {
        NoteWarnings(session.output, *answer);
        session.output.Done(*answer, path, path + " is valid" + NeedsOf(*answer));
        continue;
      }
      request = answer.status();
    }
    if (flags.files.size() > 1) session.output.Note(path + ":");
    const int failed = session.output.Fail(request.status());
    if (code == kOk) code = failed;
    if (absl::IsCancelled(request.status())) break;
  }
  return code;
}

// ---- apply

absl::Status OtherSpec(const std::string& name, const ExperimentFile& file,
                       const v1::Experiment& experiment) {
  return MakeError(
      absl::StatusCode::kAlreadyExists, Reason::kAlreadyExists,
      absl::StrCat(
          name, " exists with another spec, and a spec never changes: ",
          absl::StrJoin(SpecDifferences(experiment.spec(), file.experiment.spec(), 5), "; ")));
}

int ApplyOne(Session& session, const ExperimentFile& file, bool validate_only) {
  const Output& output = session.output;
  const std::string name = FullName(file.id);
  const std::string would = validate_only ? " would be " : " ";
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
      // Another client created the experiment in between: look again.
      changed = created.status();
      if (absl::IsAlreadyExists(changed)) continue;
      if (!created.ok()) return output.Fail(created.status());
      output.Done(*created, name, name + would + "created");
      return kOk;
    }
    if (!experiment.ok()) return output.Fail(experiment.status());
    if (SpecHash(experiment->spec()) != SpecHash(file.experiment.spec())) {
      return output.Fail(OtherSpec(name, file, *experiment),
                         "'mentorctl clone " + file.id +
                             " --set ...' continues from a checkpoint with other settings; another "
                             "--id or file name makes a new experiment");
    }
    const std::vector<std::string> fields = ChangedFields(file, *experiment);
    if (fields.empty()) {
      output.Done(*experiment, name, name + " unchanged");
      return kOk;
    }
    const std::string sentence = name + would + "updated: " + absl::StrJoin(fields, ", ");
    if (validate_only) {
      output.Done(*experiment, name, sentence);
      return kOk;
    }
    v1::UpdateExperimentRequest request;
    *request.mutable_experiment() = file.experiment;
    request.mutable_experiment()->clear_spec();
    request.mutable_experiment()->set_name(name);
    request.mutable_experiment()->set_etag(experiment->etag());
    for (const std::string& field : fields) request.mutable_update_mask()->add_paths(field);
    const auto updated = session.client->Call(&Stub::UpdateExperiment, request);
    // Another client changed the experiment in between: look again.
    changed = updated.status();
    if (absl::IsAborted(changed)) continue;
    if (!updated.ok()) return output.Fail(updated.status());
    output.Done(*updated, name, sentence);
    return kOk;
  }
  return output.Fail(changed);
}

int ApplyFiles(Session& session, const CreateFlags& flags) {
  const Output& output = session.output;
  if (!flags.id.empty() && flags.files.size() > 1) {
    return output.Fail(absl::InvalidArgumentError(
        "--id: names one experiment, but there are several files; leave it out"));
  }
  // All files are read before anything is changed.
  std::vector<ExperimentFile> files;
  for (const std::string& path : flags.files) {
    auto text = ReadInput(path);
    if (!text.ok()) return output.Fail(text.status());
    ExperimentFile file = ParseExperimentFile(path, *text, flags.overrides);
    if (!flags.id.empty()) file.id = flags.id;
    if (!file.violations.empty()) {
      v1::CreateExperimentRequest request;
      *request.mutable_experiment() = file.experiment;
      output.Note(path + ":");
      return output.Fail(WhatIsWrong(session.client, request, &file));
    }
    if (file.id.empty()) {
      return output.Fail(absl::InvalidArgumentError(
          "the standard input has no name: give --id, or the field 'name' of an experiment"));
    }
    files.push_back(std::move(file));
  }
  int code = kOk;
  for (const ExperimentFile& file : files) {
    const int failed = ApplyOne(session, file, flags.validate_only);
    if (code == kOk) code = failed;
    if (session.client->interrupted()) break;
  }
  return code;
}

// ---- clone

struct CloneFlags {
  std::string source;
  std::string id;
  std::vector<std::string> overrides;
  bool wait = false;
};

int Clone(Session& session, const CloneFlags& flags) {
  const Output& output = session.output;
  std::string source = ShortName(flags.source);
  if (source.find('/') == std::string::npos) {
    const auto newest = NewestCheckpoint(session.client, FullName(source));
    if (!newest.ok()) return output.Fail(newest.status());
    source = newest->name();
  }
  const auto checkpoint = FullCheckpointName(source);
  if (!checkpoint.ok()) return output.Fail(checkpoint.status());
  v1::CloneExperimentRequest request;
  request.set_source_checkpoint(*checkpoint);
  request.set_experiment_id(flags.id);
  for (const std::string& text : flags.overrides) request.add_spec_overrides(text);
  request.set_request_id(NewUuid());
  const auto experiment = session.client->Call(&Stub::CloneExperiment, request);
  if (!experiment.ok()) return output.Fail(experiment.status());
  const std::string& name = experiment->name();
  if (flags.wait) {
    output.Note(name + " begins from " + *checkpoint);
    return Follow(session.client, output, name);
  }
  output.Done(*experiment, name, name + " begins from " + *checkpoint);
  return kOk;
}

CLI::Option* AddFiles(CLI::App* command, std::vector<std::string>* files, const std::string& help) {
  return command->add_option("-f,--file", *files, help)->type_name("SPEC:FILE")->required();
}

void AddOverrides(CLI::App* command, std::vector<std::string>* overrides) {
  Repeatable(command->add_option("--set", *overrides,
                                 "Override a field of the spec, path.to.field=value; may be "
                                 "repeated"))
      ->type_name("PATH=VALUE");
}

}  // namespace

void AddCreateVerbs(Commands* commands) {
  {
    const auto flags = std::make_shared<CreateFlags>();
    CLI::App* command = commands->Add(
        kExperimentGroup, "create", "Submit an experiment",
        "mentorctl create -f point_reach\n"
        "mentorctl create -f spec.txtpb --id first --set seed=2 --set rule.outer_updates=10\n"
        "mentorctl create -f spec.txtpb --priority high --label team=a --deadline 2h --wait\n"
        "mentorctl get first --spec | mentorctl create -f - --set seed=3",
        [flags](Session& session) { return Create(session, *flags); });
    AddFiles(command, &flags->files,
             "Spec or experiment in protobuf text format, or the name of a spec that comes with "
             "Mentor; - reads the standard input")
        ->expected(1);
    AddOverrides(command, &flags->overrides);
    command
        ->add_option("--id", flags->id, "Name of the experiment; default: the server chooses one")
        ->type_name("ID");
    AddExperimentFlags(command, &flags->experiment, /*update=*/false);
    command->add_flag("--wait", flags->wait, "Watch it until it ends");
    command->add_flag("--validate_only", flags->validate_only, "Check everything; create nothing");
  }
  {
    const auto flags = std::make_shared<CreateFlags>();
    CLI::App* command =
        commands->Add(kExperimentGroup, "apply", "Create or update experiments to match files",
                      "mentorctl apply -f experiments/first.txtpb\n"
                      "mentorctl apply -f experiments/*.txtpb --validate_only\n"
                      "mentorctl apply -f spec.txtpb --id first --set seed=2",
                      [flags](Session& session) { return ApplyFiles(session, *flags); });
    AddFiles(
        command, &flags->files,
        "Specs or experiments in protobuf text format or YAML, or names of specs that come with "
        "Mentor, each named after its file. Missing ones "
        "are created, settings that may change are updated, a changed spec is refused");
    AddOverrides(command, &flags->overrides);
    command->add_option("--id", flags->id, "Name of the experiment, if there is one file")
        ->type_name("ID");
    command->add_flag("--validate_only", flags->validate_only,
                      "Say what would be done; change nothing");
  }
  {
    const auto flags = std::make_shared<CreateFlags>();
    CLI::App* command =
        commands->Add(kExperimentGroup, "validate", "Check specs without creating anything",
                      "mentorctl validate -f experiments/*.txtpb\n"
                      "mentorctl validate -f spec.txtpb --set agent.gamma=0.9",
                      [flags](Session& session) { return Validate(session, *flags); });
    AddFiles(
        command, &flags->files,
        "Specs or experiments in protobuf text format or YAML, or names of specs that come with "
        "Mentor");
    AddOverrides(command, &flags->overrides);
  }
  {
    const auto flags = std::make_shared<CloneFlags>();
    CLI::App* command =
        commands->Add(kExperimentGroup, "clone", "Start a new experiment from a checkpoint",
                      "mentorctl clone first --id longer --set rule.outer_updates=1000\n"
                      "mentorctl clone first/checkpoints/42 --wait",
                      [flags](Session& session) { return Clone(session, *flags); });
    command
        ->add_option("checkpoint", flags->source,
                     "EXPERIMENT/checkpoints/NUMBER, or an experiment, for its newest checkpoint")
        ->type_name("CHECKPOINT")
        ->required();
    command
        ->add_option("--id", flags->id,
                     "Name of the new experiment; default: the server chooses one")
        ->type_name("ID");
    AddOverrides(command, &flags->overrides);
    command->add_flag("--wait", flags->wait, "Watch it until it ends");
  }
}

}  // namespace mentor::ctl
