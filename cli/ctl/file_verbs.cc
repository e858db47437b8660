// The verbs `checkpoints`, `download` and `artifacts`.
#include <filesystem>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>

#include "cli/ctl/commands.h"
#include "cli/ctl/download.h"
#include "cli/ctl/experiment_flags.h"
#include "cli/ctl/experiment_watch.h"
#include "cli/ctl/values.h"
#include "common/check.h"
#include "common/progress_bar.h"
#include "common/resources/names.h"

namespace mentor::ctl {
namespace {

struct CheckpointFlags {
  std::string name;
  std::vector<std::string> pin, unpin;
};

int Pin(Session& session, const std::string& experiment, const Names& numbers, bool pinned) {
  return ForEach(session, numbers, [&](const std::string& number) -> absl::Status {
    MENTOR_ASSIGN_OR_RETURN(
        const std::string name,
        FullCheckpointName(absl::StrContains(number, '/')
                               ? number
                               : ShortName(experiment) + "/checkpoints/" + number));
    v1::UpdateCheckpointRequest request;
    request.mutable_checkpoint()->set_name(name);
    request.mutable_checkpoint()->set_pinned(pinned);
    request.mutable_update_mask()->add_paths("pinned");
    MENTOR_ASSIGN_OR_RETURN(const auto checkpoint,
                            session.client->Call(&Stub::UpdateCheckpoint, request));
    session.output.Done(checkpoint, name, name + (pinned ? " pinned" : " unpinned"));
    return absl::OkStatus();
  });
}

absl::StatusOr<int> Checkpoints(Session& session, const CheckpointFlags& flags) {
  if (!flags.pin.empty() || !flags.unpin.empty()) {
    const int code = Pin(session, flags.name, flags.pin, true);
    const int other = Pin(session, flags.name, flags.unpin, false);
    return code == kOk ? other : code;
  }
  v1::ListCheckpointsRequest request;
  request.set_parent(FullName(flags.name));
  MENTOR_ASSIGN_OR_RETURN(const auto answer,
                          session.client->CallForAll(&Stub::ListCheckpoints, request));
  Listing listing(&session.output,
                  {"CHECKPOINT", "UPDATE", "SIZE", "CREATED", "PINNED", "STATE HASH"});
  const absl::Time now = absl::Now();
  for (const v1::Checkpoint& checkpoint : answer.checkpoints()) {
    listing.Add(checkpoint, checkpoint.name(),
                {ShortName(checkpoint.name()), absl::StrCat(checkpoint.outer_step()),
                 Bytes(checkpoint.size_bytes()), Ago(FromProto(checkpoint.create_time()), now),
                 checkpoint.pinned() ? "yes" : "-", checkpoint.state_hash().substr(0, 16)});
  }
  return listing.End();
}

absl::StatusOr<int> Artifacts(Session& session, const std::string& name) {
  v1::ListArtifactsRequest request;
  request.set_parent(FullName(name));
  MENTOR_ASSIGN_OR_RETURN(const auto answer,
                          session.client->CallForAll(&Stub::ListArtifacts, request));
  Listing listing(&session.output, {"ARTIFACT", "TYPE", "SIZE", "UPDATED"});
  const absl::Time now = absl::Now();
  for (const v1::Artifact& artifact : answer.artifacts()) {
    listing.Add(artifact, artifact.name(),
                {ShortName(artifact.name()), artifact.media_type(), Bytes(artifact.size_bytes()),
                 Ago(FromProto(artifact.update_time()), now)});
  }
  return listing.End();
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
    MENTOR_ASSIGN_OR_RETURN(const auto newest, NewestCheckpoint(client, FullName(name)));
    return newest.name();
  }
  if (CollectionOf(FullName(name)) == kArtifacts) return FullName(name);
  const auto checkpoint = FullCheckpointName(name);
  if (checkpoint.ok()) return checkpoint;
  return WithHint(checkpoint.status(),
                  "artifacts are EXPERIMENT/artifacts/PATH, as 'artifacts' shows them");
}

absl::StatusOr<int> DownloadFile(Session& session, const DownloadFlags& flags) {
  const Output& output = session.output;
  MENTOR_ASSIGN_OR_RETURN(const std::string name, Resolve(session.client, flags.name));
  const bool checkpoint = CollectionOf(name) == kCheckpoints;
  // A checkpoint becomes "first-00000042.ckpt"; an artifact keeps its own name.
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  const std::string own = checkpoint ? parts[1] + "-" + LastPart(name) + ".ckpt" : LastPart(name);
  std::filesystem::path path = flags.out.empty() ? own : flags.out;
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) path /= own;
  if (!flags.force && std::filesystem::exists(path, ignored)) {
    return WithHint(absl::AlreadyExistsError(path.string() + " already exists"),
                    "--force overwrites it; --out names another file");
  }
  ProgressBar bar;
  const auto on_lost = NoteLost(&output);
  const bool shown = output.table() && !output.options().quiet;
  const auto done = Fetch(
      session.client,
      {.name = name,
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
  MENTOR_RETURN_IF_ERROR(done.status());
  v1::Artifact file;
  file.set_name(name);
  file.set_size_bytes(done->size_bytes);
  output.Done(
      file, name,
      absl::StrFormat("%s: %d bytes, sha256 %s", path.string(), done->size_bytes, done->sha256));
  return kOk;
}

}  // namespace

void AddFileVerbs(Commands* commands) {
  const auto [checkpoints, checkpoints_flags] = commands->Add<CheckpointFlags>(
      kResultGroup, "checkpoints", "List the checkpoints of an experiment, or pin some of them",
      "mentorctl checkpoints first\n"
      "mentorctl checkpoints first --pin 42 --pin 43\n"
      "mentorctl checkpoints first --unpin 42",
      Checkpoints);
  AddName(checkpoints, &checkpoints_flags->name);
  Repeatable(AddOption(checkpoints, "--pin", &checkpoints_flags->pin, "NUMBER",
                       "Keep this checkpoint whatever the retention says; may be repeated"));
  Repeatable(AddOption(checkpoints, "--unpin", &checkpoints_flags->unpin, "NUMBER",
                       "Leave this checkpoint to the retention again; may be repeated"));

  const auto [artifacts, artifacts_name] = commands->Add<std::string>(
      kResultGroup, "artifacts", "List the files that an experiment has produced",
      "mentorctl artifacts first\nmentorctl artifacts first --output name", Artifacts);
  AddName(artifacts, artifacts_name);

  const auto [download, download_flags] = commands->Add<DownloadFlags>(
      kResultGroup, "download",
      "Download a checkpoint or an artifact; an interrupted download resumes",
      "mentorctl download first                              # its newest checkpoint\n"
      "mentorctl download first/checkpoints/42 --out best.ckpt\n"
      "mentorctl download first/artifacts/merged.txtpb",
      DownloadFile);
  AddOption(download, "name", &download_flags->name, "CHECKPOINT",
            "EXPERIMENT/checkpoints/NUMBER, EXPERIMENT/artifacts/PATH, or an experiment for its "
            "newest checkpoint")
      ->required();
  AddOption(download, "--out", &download_flags->out, "FILE",
            "File or folder to write; default: its own name in this folder");
  download->add_flag("--force", download_flags->force, "Overwrite an existing file");
}

}  // namespace mentor::ctl
