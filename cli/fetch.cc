#include "cli/fetch.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "cli/commands.h"
#include "cli/ctl/commands.h"
#include "cli/ctl/download.h"
#include "cli/ctl/experiment_flags.h"
#include "cli/ctl/values.h"
#include "cli/local/run_hash.h"
#include "cli/local/run_metrics.h"
#include "cli/local/run_report.h"
#include "common/bundle.h"
#include "common/check.h"
#include "common/failpoint.h"
#include "common/file.h"
#include "common/printable.h"
#include "common/progress_bar.h"
#include "common/resources/names.h"
#include "common/resources/states.h"
#include "common/rpc/bundle_transfer.h"
#include "common/spec/named_bundles.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "common/uuid.h"
#include "meta_learner/experiment/checked_spec.h"
#include "meta_learner/experiment/evaluation.h"
#include "meta_learner/store/bundle_shelf.h"
#include "meta_learner/store/checkpoint.h"
#include "meta_learner/store/store.h"

namespace mentor {
namespace {

using S = v1::Experiment;
using ctl::Stub;
using meta_learner::State;

// Outer updates per metrics query: responses stay small, and the server merges no points.
constexpr uint32_t kStepsAtOnce = 1000;
constexpr int kMetricsAtOnce = 1000;

struct FetchFlags {
  ctl::GlobalFlags connection;
  std::string name;
  std::string out;
  bool all_checkpoints = false;
  bool replace = false;
  bool quiet = false;
  bool says = true;  // Print what was fetched, and what to do with it.
};

// The data of an experiment, apart from its row in the store.
struct Contents {
  std::vector<std::filesystem::path> checkpoints;
  std::map<std::string, std::filesystem::path> artifacts;    // By path.
  std::map<uint32_t, std::map<std::string, double>> points;  // By outer update and metric.
};

absl::Status CannotWrite(const std::filesystem::path& path, const std::error_code& error) {
  return ctl::OfThisMachine(FileError("cannot write", path, error.value()));
}

class Fetching {
 public:
  Fetching(ctl::Client* client, const FetchFlags& flags) : client_(client), flags_(flags) {}

  absl::Status Run() {
    const std::filesystem::path out =
        flags_.out.empty() ? std::filesystem::path("runs") / ctl::ShortName(flags_.name)
                           : std::filesystem::path(flags_.out);
    const std::filesystem::path parts = out.string() + ".part", lock = parts / "LOCK";
    MENTOR_RETURN_IF_ERROR(ctl::OfThisMachine(MakeFolders(parts)));
    // Two of them would move each other's folders, and evaluations made here might be lost.
    MENTOR_ASSIGN_OR_RETURN(const auto alone, FileLock::Acquire(lock, "mentor fetch"));
    const absl::Status status = FetchInto(out, parts);
    std::error_code error;
    if (status.ok()) {
      std::filesystem::remove_all(parts, error);
    } else if (std::filesystem::directory_iterator rest(parts, error);
               std::distance(begin(rest), end(rest)) == 1) {
      std::filesystem::remove_all(parts, error);  // Nothing to go on with but the lock.
    }
    return status;
  }

 private:
  // Received files stay in `parts` after a lost connection or an exit, so that the next call
  // resumes.
  absl::Status FetchInto(const std::filesystem::path& out, const std::filesystem::path& parts) {
    const std::filesystem::path before = parts / "before";
    std::error_code error;
    // Undo a crash between the two renames at the end.
    if (!std::filesystem::exists(out, error) && std::filesystem::exists(before, error))
      std::filesystem::rename(before, out, error);
    MENTOR_ASSIGN_OR_RETURN(const std::optional<RunFolder> older, FindOlder(out));
    MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment, Get(parts));
    const std::filesystem::path files = parts / experiment.uid(), state = parts / "state";
    MENTOR_RETURN_IF_ERROR(MakeFolders(files / "checkpoints"));
    Contents contents;
    MENTOR_RETURN_IF_ERROR(GetCheckpoints(experiment, files / "checkpoints", &contents));
    MENTOR_RETURN_IF_ERROR(GetArtifacts(experiment, files, &contents));
    MENTOR_RETURN_IF_ERROR(GetPoints(experiment, &contents));
    bar_.Finish();
    std::filesystem::remove_all(state, error);
    MENTOR_RETURN_IF_ERROR(MakeRun(experiment, contents, state));
    if (!BundlesOf(experiment.spec()).empty()) {
      std::filesystem::rename(parts / meta_learner::kBundlesFolder,
                              state / meta_learner::kBundlesFolder, error);
      if (error) return CannotWrite(state / meta_learner::kBundlesFolder, error);
    }
    if (const auto failed = MENTOR_FAILPOINT("fetch.before_rename"))
      return absl::InternalError(*failed);
    if (older) {
      // Keep the evaluations made here; they exist nowhere else.
      MENTOR_ASSIGN_OR_RETURN(const RunFolder fresh, FindRun(state));
      std::filesystem::copy(EvaluationsFolder(older->experiment),
                            EvaluationsFolder(fresh.experiment),
                            std::filesystem::copy_options::recursive, error);
      if (error && error != std::errc::no_such_file_or_directory)
        return CannotWrite(EvaluationsFolder(fresh.experiment), error);
      std::filesystem::remove_all(before, error);
      std::filesystem::rename(out, before, error);
      if (error) return CannotWrite(out, error);
    }
    if (const auto failed = MENTOR_FAILPOINT("fetch.between_renames"))
      return absl::InternalError(*failed);
    std::filesystem::rename(state, out, error);
    if (error) return CannotWrite(out, error);
    if (flags_.says) Say(experiment, contents, out);
    return absl::OkStatus();
  }

  // Returns an older copy of the same experiment; only such a copy may be replaced.
  absl::StatusOr<std::optional<RunFolder>> FindOlder(const std::filesystem::path& out) {
    std::error_code error;
    if (!std::filesystem::exists(out, error)) return std::nullopt;
    if (!flags_.replace) {
      return absl::AlreadyExistsError(
          out.string() + " exists already; --replace writes over it, --out names another folder");
    }
    MENTOR_ASSIGN_OR_RETURN(const RunFolder run, FindRun(out));
    MENTOR_ASSIGN_OR_RETURN(const auto store, meta_learner::OpenStore(run.state));
    if (store->records.Get(ctl::FullName(flags_.name)).ok()) return run;
    return absl::AlreadyExistsError(out.string() +
                                    " holds another run; --out names another folder");
  }

  // Fetches the bundles that the spec names; the spec is useless without them.
  absl::Status GetBundles(const v1::ExperimentSpec& spec, const std::filesystem::path& folder) {
    const auto digests = BundlesOf(spec);
    if (digests.empty()) return absl::OkStatus();
    MENTOR_ASSIGN_OR_RETURN(const std::shared_ptr<meta_learner::BundleShelf> shelf,
                            meta_learner::BundleShelf::Open({.folder = folder}));
    for (const std::string& digest : digests) {
      if (shelf->Find(digest).ok()) continue;
      v1::GetBundleRequest request;
      request.set_name(BundleResource(digest));
      MENTOR_ASSIGN_OR_RETURN(const v1::Bundle bundle,
                              client_->Call(&ctl::BundleStub::GetBundle, request));
      const BundleSource source = [&](uint64_t offset) -> absl::StatusOr<std::string> {
        v1::FetchBundleRequest piece;
        piece.set_name(bundle.name());
        piece.set_offset(offset);
        auto answer = client_->Call(&ctl::BundleStub::FetchBundle, piece);
        MENTOR_RETURN_IF_ERROR(answer.status());
        return std::move(*answer->mutable_data());
      };
      MENTOR_RETURN_IF_ERROR(
          shelf->AddAll(ManifestFromProto(digest, bundle.files()), source, bundle.owner()));
    }
    SetBundleFinder([shelf](const std::string& digest) { return shelf->Find(digest); });
    return absl::OkStatus();
  }

  absl::StatusOr<v1::Experiment> Get(const std::filesystem::path& parts) {
    v1::GetExperimentRequest request;
    request.set_name(ctl::FullName(flags_.name));
    MENTOR_ASSIGN_OR_RETURN(
        const v1::Experiment experiment,
        (client_->Call<v1::GetExperimentRequest, v1::Experiment>(&Stub::GetExperiment, request)));
    MENTOR_RETURN_IF_ERROR(GetBundles(experiment.spec(), parts / meta_learner::kBundlesFolder));
    Violations violations;
    meta_learner::Check(experiment.spec(), &violations);
    if (!violations.empty() || !IsExperimentId(ctl::ShortName(experiment.name())) ||
        !IsUuid(experiment.uid())) {
      return absl::FailedPreconditionError(absl::StrCat(
          "this build does not understand the experiment; use the server's version, which "
          "'mentorctl doctor' shows: ",
          violations.ToStatus().ToString()));
    }
    return experiment;
  }

  absl::Status Fetch(const std::string& name, const std::filesystem::path& path) {
    if (const auto error = MENTOR_FAILPOINT("fetch.file")) return absl::InternalError(*error);
    const std::string shown = ctl::ShortName(name);
    return ctl::Fetch(client_, {.name = name,
                                .path = path,
                                .on_progress =
                                    [&](uint64_t done, uint64_t total) {
                                      if (flags_.quiet || total == 0) return;
                                      bar_.Show(shown, static_cast<int>(done >> 10),
                                                static_cast<int>((total + 1023) >> 10), "KiB");
                                    }})
        .status();
  }

  absl::Status GetCheckpoints(const v1::Experiment& experiment, const std::filesystem::path& folder,
                              Contents* contents) {
    std::vector<v1::Checkpoint> wanted;
    // An average needs more than the newest.
    const size_t averaged = experiment.spec().evaluation().averaged_checkpoints();
    if (flags_.all_checkpoints || averaged > 0) {
      v1::ListCheckpointsRequest request;
      request.set_parent(experiment.name());
      MENTOR_ASSIGN_OR_RETURN(const auto all, client_->CallForAll(&Stub::ListCheckpoints, request));
      wanted.assign(all.checkpoints().begin(), all.checkpoints().end());
      if (!flags_.all_checkpoints && wanted.size() > averaged)
        wanted.erase(wanted.begin(), wanted.end() - static_cast<int64_t>(averaged));
    } else {
      const auto newest = ctl::NewestCheckpoint(client_, experiment.name());
      if (!newest.ok() && !absl::IsNotFound(newest.status())) return newest.status();
      if (newest.ok()) wanted.push_back(*newest);
    }
    const std::string spec_hash = SpecHash(experiment.spec());
    for (const v1::Checkpoint& checkpoint : wanted) {
      const std::filesystem::path path =
          folder / meta_learner::CheckpointFileName(checkpoint.outer_step());
      const auto check = [&] {
        return meta_learner::ReadCheckpointOf(path, {.spec_hash = spec_hash,
                                                     .state_hash = checkpoint.state_hash(),
                                                     .sha256 = checkpoint.sha256()})
            .status();
      };
      if (!check().ok()) {
        MENTOR_RETURN_IF_ERROR(Fetch(checkpoint.name(), path));
        // Fill seals it under another UID, and nothing would show then whose it was.
        if (const absl::Status status = check(); !status.ok()) {
          return absl::DataLossError(
              absl::StrFormat("%s came as another file than the server lists: %s",
                              checkpoint.name(), std::string(status.message())));
        }
      }
      contents->checkpoints.push_back(path);
    }
    return absl::OkStatus();
  }

  absl::Status GetArtifacts(const v1::Experiment& experiment, const std::filesystem::path& folder,
                            Contents* contents) {
    v1::ListArtifactsRequest request;
    request.set_parent(experiment.name());
    MENTOR_ASSIGN_OR_RETURN(const v1::ListArtifactsResponse list,
                            client_->CallForAll(&Stub::ListArtifacts, request));
    for (const v1::Artifact& artifact : list.artifacts()) {
      const auto parsed = ParseArtifactName(artifact.name());
      if (!parsed || parsed->first != experiment.name())
        return absl::InternalError("the server names an artifact '" + artifact.name() + "'");
      const std::filesystem::path path = folder / "artifacts" / parsed->second;
      MENTOR_RETURN_IF_ERROR(MakeFolders(path.parent_path()));
      MENTOR_RETURN_IF_ERROR(Fetch(artifact.name(), path));
      contents->artifacts[parsed->second] = path;
    }
    return absl::OkStatus();
  }

  absl::Status GetPoints(const v1::Experiment& experiment, Contents* contents) {
    const uint32_t last = experiment.progress().outer_updates();
    for (uint32_t begin = 0; begin <= last; begin += kStepsAtOnce) {
      v1::QueryMetricsRequest request;
      request.set_name(experiment.name());
      request.set_step_min(begin);
      request.set_step_max(std::min(last, begin + kStepsAtOnce - 1));
      request.set_max_points(kStepsAtOnce);
      request.set_page_size(kMetricsAtOnce);
      MENTOR_ASSIGN_OR_RETURN(const v1::QueryMetricsResponse answer,
                              client_->CallForAll(&Stub::QueryMetrics, request));
      for (const v1::MetricSeries& series : answer.series()) {
        if (series.steps_size() != series.mean_size())
          return absl::InternalError("the server's answer has points without steps");
        for (int i = 0; i < series.steps_size(); ++i)
          contents->points[series.steps(i)][series.metric()] = series.mean(i);
      }
      if (!flags_.quiet)
        bar_.Show("metrics", static_cast<int>(std::min(last, begin + kStepsAtOnce)),
                  static_cast<int>(last), "updates");
    }
    return absl::OkStatus();
  }

  // Creates a state folder that holds only this experiment.
  absl::Status MakeRun(const v1::Experiment& from, const Contents& contents,
                       const std::filesystem::path& state) {
    MENTOR_ASSIGN_OR_RETURN(const auto store, meta_learner::OpenStore(state));
    std::vector<uint32_t> steps;
    std::vector<meta_learner::CheckpointInfo> infos;
    v1::Experiment settings = from;
    settings.clear_deadline();
    settings.clear_retention();
    MENTOR_ASSIGN_OR_RETURN(
        const v1::Experiment experiment,
        store->records.Create(
            {.experiment = settings,
             .id = ctl::ShortName(from.name()),
             .owner = from.owner(),
             .fill_folder = [&](const std::string& uid, const std::filesystem::path& folder) {
               return Fill(contents, uid, folder, &steps, &infos);
             }}));
    const std::string& name = experiment.name();
    if (from.state() == S::STATE_CANCELLED && from.progress().outer_updates() == 0)
      return store->records.Transition(name, {S::STATE_QUEUED}, S::STATE_CANCELLED).status();
    MENTOR_RETURN_IF_ERROR(
        store->records.Transition(name, {S::STATE_QUEUED}, S::STATE_RUNNING).status());
    MENTOR_RETURN_IF_ERROR(store->files.PrepareFolder(experiment.uid()));
    MENTOR_RETURN_IF_ERROR(store->results.ReconcileCheckpoints(experiment.uid(), steps, infos));
    for (const auto& [step, values] : contents.points)
      MENTOR_RETURN_IF_ERROR(store->results.RecordPoints(experiment.uid(), step, values, {}));
    if (from.state() == S::STATE_CANCELLED)
      MENTOR_RETURN_IF_ERROR(
          store->records.Transition(name, {S::STATE_RUNNING}, S::STATE_CANCELLING).status());
    // An experiment that is still running becomes PAUSED in the copy, because nothing works on the
    // copy.
    const State end = IsFinal(from.state()) ? from.state() : S::STATE_PAUSED;
    MENTOR_RETURN_IF_ERROR(store->records
                               .Change(name, "",
                                       [&](v1::Experiment* here) {
                                         here->set_state(end);
                                         *here->mutable_progress() = from.progress();
                                         if (from.has_error())
                                           *here->mutable_error() = from.error();
                                         return absl::OkStatus();
                                       })
                               .status());
    // A run of this machine has the table, too.
    return RunMetrics::Open({.points =
                                 [&](uint32_t step_min, uint32_t step_max) {
                                   return store->results.Points(experiment.uid(), {}, step_min,
                                                                step_max);
                                 },
                             .csv = state / kMetricsFile})
        .status();
  }

  // True if the artifact lies beside artifacts/ rather than in it; its name does not show that.
  static bool IsBesideArtifacts(const std::string& name) {
    for (const char* file : {"spec.txtpb", "merged.txtpb", "fingerprint", "learner_fingerprint"}) {
      if (name == file) return true;
    }
    return name.starts_with("evaluations/") ||
           (name.starts_with("log.") && name.ends_with(".jsonl"));
  }

  static absl::Status Fill(const Contents& contents, const std::string& uid,
                           const std::filesystem::path& folder, std::vector<uint32_t>* steps,
                           std::vector<meta_learner::CheckpointInfo>* infos) {
    for (const std::filesystem::path& path : contents.checkpoints) {
      MENTOR_ASSIGN_OR_RETURN(meta_learner::Checkpoint checkpoint,
                              meta_learner::ReadCheckpoint(path));
      checkpoint.experiment_uid = uid;
      MENTOR_ASSIGN_OR_RETURN(infos->emplace_back(),
                              meta_learner::WriteCheckpoint(folder / "checkpoints", checkpoint));
      steps->push_back(checkpoint.outer_step);
    }
    for (const auto& [name, path] : contents.artifacts) {
      const std::filesystem::path to =
          (IsBesideArtifacts(name) ? folder : folder / "artifacts") / name;
      MENTOR_RETURN_IF_ERROR(MakeFolders(to.parent_path()));
      std::error_code error;
      std::filesystem::copy_file(path, to, error);
      if (error) return CannotWrite(to, error);
    }
    return absl::OkStatus();
  }

  static void Say(const v1::Experiment& experiment, const Contents& contents,
                  const std::filesystem::path& out) {
    std::set<std::string> metrics;
    for (const auto& [step, values] : contents.points) {
      for (const auto& [metric, value] : values) metrics.insert(metric);
    }
    std::printf("%s: %s, outer update %d of %d; metrics: %zu, checkpoints: %zu, files: %zu\n",
                Printable(experiment.name()).c_str(), StateText(experiment.state()).c_str(),
                experiment.progress().outer_updates(), experiment.progress().outer_updates_total(),
                metrics.size(), contents.checkpoints.size(), contents.artifacts.size());
    std::printf("Run folder   %s\n", out.c_str());
    if (const auto hash = HashRun(out); hash.ok()) {
      WarnOfDamage(*hash);
      std::printf("Hash         %s (after outer update %d)\n", hash->state_hash.c_str(),
                  hash->outer_step);
    }
    std::printf("Next         mentor report %s\n", out.c_str());
  }

  ctl::Client* const client_;
  const FetchFlags& flags_;
  ProgressBar bar_;
};

int RunFetch(const FetchFlags& flags) {
  return TalkToService(
      flags.connection, flags.quiet, "interrupted; run the same command to continue",
      [&](ctl::Client* client, const ctl::Output&) { return Fetching(client, flags).Run(); });
}

}  // namespace

int TalkToService(const ctl::GlobalFlags& connection, bool quiet,
                  const std::string& when_interrupted,
                  const std::function<absl::Status(ctl::Client*, const ctl::Output&)>& talk) {
  const auto settings = ctl::Settings::Resolve(connection, ctl::FromEnvironment);
  if (!settings.ok()) return ctl::Output({}).Fail(settings.status());
  const ctl::Output output({.quiet = quiet, .server = settings->server()});
  for (const std::string& warning : settings->warnings()) output.Note("warning: " + warning);
  auto made = ctl::Connect(*settings, /*verbose=*/false,
                           [&](const std::string& sentence) { output.Note(sentence); });
  if (!made.ok()) return output.Fail(made.status());
  const std::shared_ptr<ctl::Client> client = *std::move(made);
  ctl::InterruptOnSignal(client);
  const absl::Status status = talk(client.get(), output);
  if (status.ok()) return ctl::kOk;
  if (!client->interrupted()) return output.Fail(status);
  output.Note(when_interrupted);
  return ctl::kInterrupted;
}

int FetchRun(const ctl::GlobalFlags& connection, const std::string& experiment,
             const std::filesystem::path& out) {
  return RunFetch(
      {.connection = connection, .name = experiment, .out = out.string(), .says = false});
}

void AddFetchCommand(CLI::App* app, Action* action) {
  const auto [fetch, flags] = AddCommand<FetchFlags>(
      app, action, "fetch",
      "Fetch an experiment of a service as a run folder, for report, evaluate and hash", RunFetch);
  fetch->add_option("EXPERIMENT", flags->name, "Name of the experiment")->required();
  fetch->add_option("--out", flags->out, "Run folder to write; default: runs/EXPERIMENT");
  fetch->add_flag("--all_checkpoints", flags->all_checkpoints,
                  "Fetch every checkpoint; default: the newest");
  fetch->add_flag("--replace", flags->replace,
                  "Write over an older copy; keep what 'mentor evaluate' added to it");
  fetch->add_flag("--quiet", flags->quiet, "Show no progress");
  ctl::AddConnectionFlags(fetch, &flags->connection);
  fetch->footer(
      "Examples:\n"
      "  mentor fetch reach-1                                     into runs/reach-1\n"
      "  mentor fetch reach-1 --context lab --out runs/a          a server of mentorctl's config "
      "file\n"
      "  mentor report runs/reach-1\n"
      "An experiment that is still running can be fetched too; the copy is PAUSED. Server and\n"
      "credentials are found as in mentorctl.");
}

}  // namespace mentor
