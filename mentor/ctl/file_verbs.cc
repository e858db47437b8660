// The verbs `checkpoints`, `download` and `artifacts`.
#include <filesystem>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>

#include "common/progress_bar.h"
#include "common/resources/names.h"
#include "common/status.h"
#include "mentor/ctl/commands.h"
#include "mentor/ctl/download.h"
#include "mentor/ctl/experiment_flags.h"
#include "mentor/ctl/experiment_watch.h"
#include "mentor/ctl/values.h"

namespace mentor::ctl {
namespace {

struct CheckpointFlags {
  std::string name;
  std::vector<std::string> pin, unpin;
};

int Pin(Session& session, const std::string& experiment, const std::vector<std::string>& numbers,
        bool pinned) {
  return ForEach(session, numbers, [&](const std::string& number) -> int {
    const auto name = FullCheckpointName(
        absl::StrContains(number, '/') ? number : ShortName(experiment) + "/checkpoints/" + number);
    if (!name.ok()) return session.output.Fail(name.status());
    v1::UpdateCheckpointRequest request;
    request.mutable_checkpoint()->set_name(*name);
    request.mutable_checkpoint()->set_pinned(pinned);
    request.mutable_update_mask()->add_paths("pinned");
    const auto checkpoint = session.client->Call(&Stub::UpdateCheckpoint, request);
    if (!checkpoint.ok()) return session.output.Fail(checkpoint.status());
    session.output.Done(*checkpoint, *name, *name + (pinned ? " pinned" : " unpinned"));
    return kOk;
  });
}

int Checkpoints(Session& session, const CheckpointFlags& flags) {
  const Output& output = session.output;
  if (!flags.pin.empty() || !flags.unpin.empty()) {
    const int code = Pin(session, flags.name, flags.pin, true);
    const int other = Pin(session, flags.name, flags.unpin, false);
    return code == kOk ? other : code;
  }
  v1::ListCheckpointsRequest request;
  request.set_parent(FullName(flags.name));
  Listing listing(&output, {"CHECKPOINT", "UPDATE", "SIZE", "CREATED", "PINNED", "STATE HASH"});
  const absl::Time now = absl::Now();
  const absl::Status status =
      ListAll(session.client, request, [&](const v1::ListCheckpointsResponse& page) {
        for (const v1::Checkpoint& checkpoint : page.checkpoints()) {
          listing.Add(
              checkpoint, checkpoint.name(),
              {ShortName(checkpoint.name()), absl::StrCat(checkpoint.outer_step()),
               Bytes(checkpoint.size_bytes()), Ago(FromProto(checkpoint.create_time()), now),
               checkpoint.pinned() ? "yes" : "-", checkpoint.state_hash().substr(0, 16)});
        }
        return true;
      });
  if (!status.ok()) return output.Fail(status);
  listing.End();
  return kOk;
}

int Artifacts(Session& session, const std::string& name) {
  v1::ListArtifactsRequest request;
  request.set_parent(FullName(name));
  const auto answer = session.client->CallForAll(&Stub::ListArtifacts, request);
  if (!answer.ok()) return session.output.Fail(answer.status());
  Listing listing(&session.output, {"ARTIFACT", "TYPE", "SIZE", "UPDATED"});
  const absl::Time now = absl::Now();
  for (const v1::Artifact& artifact : answer->artifacts()) {
    listing.Add(artifact, artifact.name(),
                {ShortName(artifact.name()), artifact.media_type(), Bytes(artifact.size_bytes()),
                 Ago(FromProto(artifact.update_time()), now)});
  }
  listing.End();
  return kOk;
}

struct DownloadFlags {
  std::string name;
  std::string out;
  bool force = false;
};

// Returns the full name of the file to download. An experiment's name selects its newest
// checkpoint.
absl::StatusOr<std::string> Resolve(Client* client, const std::string& given) {
  const std::string name = ShortName(given);
  if (!absl::StrContains(name, '/')) {
    const auto newest = NewestCheckpoint(client, FullName(name));
    if (!newest.ok()) return newest.status();
    return newest->name();
  }
  if (CollectionOf(FullName(name)) == kArtifacts) return FullName(name);
  return FullCheckpointName(name);
}

int DownloadFile(Session& session, const DownloadFlags& flags) {
  const Output& output = session.output;
  const auto name = Resolve(session.client, flags.name);
  if (!name.ok()) {
    return output.Fail(name.status(), absl::IsInvalidArgument(name.status())
                                          ? "artifacts are EXPERIMENT/artifacts/PATH, as "
                                            "'artifacts' shows them"
                                          : "");
  }
  const bool checkpoint = CollectionOf(*name) == kCheckpoints;
  // A checkpoint becomes "first-00000042.ckpt"; an artifact keeps its own name.
  const std::vector<std::string> parts = absl::StrSplit(*name, '/');
  const std::string own = checkpoint ? parts[1] + "-" + LastPart(*name) + ".ckpt" : LastPart(*name);
  std::filesystem::path path = flags.out.empty() ? own : flags.out;
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) path /= own;
  if (!flags.force && std::filesystem::exists(path, ignored)) {
    return output.Fail(absl::AlreadyExistsError(path.string() + " already exists"),
                       "--force overwrites it; --out names another file");
  }
  ProgressBar bar;
  const auto on_lost = NoteLost(&output);
  const bool shown = output.table() && !output.options().quiet;
  const auto done = Fetch(
      session.client,
      {.name = *name,
       .path = path,
       .on_progress =
           [&](uint64_t bytes, uint64_t total) {
             if (shown && total > 0) {
               bar.Show("download", static_cast<int>(bytes >> 10),
                        static_cast<int>((total + 1023) >> 10), "KiB");
             }
           },
       .on_lost =
           [&](const absl::Status& status) {
             bar.Finish();
             on_lost(status);
           },
       .on_resume =
           [&](uint64_t offset) {
             output.Note(absl::StrFormat("continues at byte %d of %s.part", offset, path.string()));
           }});
  bar.Finish();
  if (absl::IsCancelled(done.status())) {
    const std::string part = path.string() + ".part";
    output.Note(std::filesystem::exists(part, ignored) ? "the same command continues from " + part
                                                       : "interrupted before a byte had come");
    return kInterrupted;
  }
  if (!done.ok()) return output.Fail(done.status());
  v1::Artifact file;
  file.set_name(*name);
  file.set_size_bytes(done->size_bytes);
  output.Done(
      file, *name,
      absl::StrFormat("%s: %d bytes, sha256 %s", path.string(), done->size_bytes, done->sha256));
  return kOk;
}

}  // namespace

void AddFileVerbs(Commands* commands) {
  {
    const auto flags = std::make_shared<CheckpointFlags>();
    CLI::App* command = commands->Add(
        kResultGroup, "checkpoints", "List the checkpoints of an experiment, or pin some of them",
        "mentorctl checkpoints first\n"
        "mentorctl checkpoints first --pin 42 --pin 43\n"
        "mentorctl checkpoints first --unpin 42",
        [=](Session& session) { return Checkpoints(session, *flags); });
    AddName(command, &flags->name);
    Repeatable(
        command->add_option("--pin", flags->pin,
                            "Keep this checkpoint whatever the retention says; may be repeated"))
        ->type_name("NUMBER");
    Repeatable(command->add_option("--unpin", flags->unpin,
                                   "Leave this checkpoint to the retention again; may be repeated"))
        ->type_name("NUMBER");
  }
  {
    const auto name = std::make_shared<std::string>();
    CLI::App* command =
        commands->Add(kResultGroup, "artifacts", "List the files that an experiment has produced",
                      "mentorctl artifacts first\nmentorctl artifacts first --output name",
                      [=](Session& session) { return Artifacts(session, *name); });
    AddName(command, name.get());
  }
  {
    const auto flags = std::make_shared<DownloadFlags>();
    CLI::App* command = commands->Add(
        kResultGroup, "download",
        "Download a checkpoint or an artifact; an interrupted download resumes",
        "mentorctl download first                              # its newest checkpoint\n"
        "mentorctl download first/checkpoints/42 --out best.ckpt\n"
        "mentorctl download first/artifacts/merged.txtpb",
        [=](Session& session) { return DownloadFile(session, *flags); });
    command
        ->add_option("name", flags->name,
                     "EXPERIMENT/checkpoints/NUMBER, EXPERIMENT/artifacts/PATH, or an experiment "
                     "for its newest checkpoint")
        ->type_name("CHECKPOINT")
        ->required();
    command
        ->add_option("--out", flags->out,
                     "File or folder to write; default: its own name in this folder")
        ->type_name("FILE");
    command->add_flag("--force", flags->force, "Overwrite an existing file");
  }
}

}  // namespace mentor::ctl
