#include "cli/local/run_viewer.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <system_error>
#include <utility>

#include <absl/strings/str_format.h>

#include "cli/local/run_bundles.h"
#include "cli/local/run_report.h"
#include "common/check.h"
#include "common/printable.h"
#include "common/resources/states.h"
#include "common/spec/named_bundles.h"

namespace mentor {
namespace {

constexpr std::chrono::milliseconds kViewerDeadline{1000};
constexpr char kFoldersOnlyShown[] =
    "'mentor web' only shows run folders: 'mentor run' continues one, 'mentor run --from RUN --set "
    "...' begins another one from it";

bool IsRun(const std::filesystem::path& folder) {
  std::error_code error;
  return std::filesystem::exists(folder / "FORMAT", error);
}

std::vector<std::filesystem::path> RunsIn(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> runs;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (IsRun(entry->path())) runs.push_back(entry->path());
  }
  std::sort(runs.begin(), runs.end());
  return runs;
}

void Warn(const absl::Status& status) {
  std::fprintf(stderr, "warning: %s\n",
               PrintableLines({status.message().data(), status.message().size()}).c_str());
}

}  // namespace

// No learner, no actor, nothing at work.
class RunViewer::Nothing final : public meta_learner::Operations {
 public:
  absl::Status CheckRoom() override { return absl::OkStatus(); }
  void Look(const v1::Experiment& /*experiment*/) override {}
  std::vector<v1::ShardInfo> Shards(const std::string& /*experiment*/) override { return {}; }
  std::vector<v1::Peer> Peers() override { return {}; }
  absl::Status Drain(const std::string& /*peer*/) override {
    return absl::FailedPreconditionError(kFoldersOnlyShown);
  }
};

RunViewer::RunViewer(TemporaryFolder folder, std::unique_ptr<meta_learner::Store> store)
    : folder_(std::move(folder)), store_(std::move(store)), runs_(store_.get()) {}

RunViewer::~RunViewer() {
  if (experiments_ != nullptr) experiments_->Stop();
  if (bundles_ != nullptr) bundles_->Stop();
  if (server_ != nullptr) server_->Shutdown(kViewerDeadline);
}

absl::StatusOr<std::unique_ptr<RunViewer>> RunViewer::Open(
    const std::vector<std::filesystem::path>& folders) {
  MENTOR_ASSIGN_OR_RETURN(TemporaryFolder folder, TemporaryFolder::Create("mentor-web"));
  MENTOR_ASSIGN_OR_RETURN(auto store, meta_learner::OpenStore(folder.path() / "state"));
  std::unique_ptr<RunViewer> viewer(new RunViewer(std::move(folder), std::move(store)));
  for (const std::filesystem::path& one : folders) MENTOR_RETURN_IF_ERROR(viewer->Add(one));
  viewer->KeepBundles();
  MENTOR_RETURN_IF_ERROR(viewer->Serve());
  return viewer;
}

absl::Status RunViewer::Add(const std::filesystem::path& folder) {
  const std::vector<std::filesystem::path> within =
      IsRun(folder) ? std::vector<std::filesystem::path>() : RunsIn(folder);
  if (within.empty()) {
    OfferRunBundles(folder);
    return runs_.Add(folder, NameOfFolder(folder));
  }
  for (const std::filesystem::path& run : within) {
    if (const absl::Status added = runs_.Add(run, NameOfFolder(run)); added.ok()) {
      OfferRunBundles(run);
    } else {
      Warn(added);
    }
  }
  return absl::OkStatus();
}

size_t RunViewer::size() const {
  size_t size = 0;
  if (const auto counts = store_->records.CountByState(); counts.ok()) {
    for (const auto& [state, count] : *counts) size += static_cast<size_t>(count);
  }
  return size;
}

void RunViewer::KeepBundles() {
  const auto experiments = store_->records.InStates(AllStates());
  if (!experiments.ok()) return Warn(experiments.status());
  for (const v1::Experiment& experiment : *experiments) {
    const auto kept = KeepRunBundles(experiment.spec(), store_->files.folder());
    if (!kept.ok()) Warn(kept.status());
    if (kept.ok() && *kept != nullptr) shelf_ = *kept;
  }
}

absl::Status RunViewer::Serve() {
  nothing_ = std::make_unique<Nothing>();
  meta_learner::ServiceOptions options{.store = store_.get(),
                                       .bundles = shelf_.get(),
                                       .operations = nothing_.get(),
                                       .read_only = kFoldersOnlyShown};
  std::vector<grpc::Service*> services;
  if (shelf_ != nullptr) {
    bundles_ = std::make_unique<meta_learner::BundleService>(options, shelf_.get());
    services.push_back(bundles_->service());
  }
  experiments_ =
      std::make_unique<meta_learner::ExperimentService>(std::move(options), metrics_.get());
  services.push_back(experiments_->service());
  MENTOR_ASSIGN_OR_RETURN(server_, rpc::Server::Start({.address = "127.0.0.1:0"}, services));
  server_->SetReady(true);
  return absl::OkStatus();
}

}  // namespace mentor
