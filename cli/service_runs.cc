#include "cli/service_runs.h"

#include <algorithm>
#include <map>
#include <set>
#include <system_error>
#include <utility>

#include <absl/strings/str_cat.h>

#include "cli/ctl/client.h"
#include "cli/ctl/commands.h"
#include "cli/ctl/experiment_watch.h"
#include "cli/ctl/output.h"
#include "cli/fetch.h"
#include "common/check.h"
#include "common/printable.h"
#include "common/resources/names.h"
#include "common/resources/states.h"
#include "common/spec/spec.h"
#include "common/uuid.h"

namespace mentor {
namespace {

// A watch takes no more names (experiment_service.proto).
constexpr size_t kWatchedMax = 100;

class Running {
 public:
  Running(ctl::Client* client, const ctl::Output* output, const ctl::GlobalFlags& connection,
          const std::vector<ServiceRun>& runs, const std::function<void(size_t)>& on_folder,
          const std::function<void(size_t, const std::string&)>& on_failure)
      : client_(client),
        output_(output),
        connection_(connection),
        runs_(runs),
        on_folder_(on_folder),
        on_failure_(on_failure) {
    for (size_t i = 0; i < runs_.size(); ++i) left_.insert(i);
  }

  absl::Status Run() {
    MENTOR_RETURN_IF_ERROR(Submit());
    while (!left_.empty()) {
      std::optional<size_t> ended;
      v1::Experiment experiment;
      ctl::ExperimentWatch watch{
          .names = {},
          .progress = true,
          .on_event =
              [&](const v1::WatchExperimentsResponse& event) {
                ended = PlaceOf(event.experiment().name());
                if (!ended || !left_.contains(*ended)) return true;
                NoteWait(event.experiment());
                experiment = event.experiment();
                if (event.event() == v1::WatchExperimentsResponse::EVENT_DELETED)
                  experiment.set_state(v1::Experiment::STATE_UNSPECIFIED);
                return !IsFinal(experiment.state()) &&
                       experiment.state() != v1::Experiment::STATE_UNSPECIFIED;
              },
          .on_lost = ctl::NoteLost(output_)};
      // Ended runs leave the set, and the next watch begins with the present state of later runs.
      for (const size_t i : left_) {
        if (watch.names.size() == kWatchedMax) break;
        watch.names.push_back(NameOf(i));
      }
      MENTOR_RETURN_IF_ERROR(ctl::Watch(client_, watch));
      MENTOR_RETURN_IF_ERROR(End(*ended, experiment));
    }
    return absl::OkStatus();
  }

 private:
  std::string NameOf(size_t i) const { return ExperimentName(runs_[i].id); }
  std::optional<size_t> PlaceOf(const std::string& name) const {
    for (size_t i = 0; i < runs_.size(); ++i) {
      if (NameOf(i) == name) return i;
    }
    return std::nullopt;
  }

  // Notes what the service waits for, such as actors or learners; once per change.
  void NoteWait(const v1::Experiment& experiment) {
    const std::string& activity = experiment.activity();
    if (activity == noted_ || activity.find("wait") == activity.npos) return;
    noted_ = activity;
    output_->Note(absl::StrCat(experiment.name(), ": ", Printable(activity)));
  }

  void Fail(size_t i, const std::string& why) {
    left_.erase(i);
    on_failure_(i, why);
  }

  // Submits the runs that the service lacks, in their order.
  absl::Status Submit() {
    MENTOR_ASSIGN_OR_RETURN(
        const v1::ListExperimentsResponse known,
        client_->CallForAll(&ctl::Stub::ListExperiments, v1::ListExperimentsRequest()));
    std::map<std::string, std::string> specs;
    for (const v1::Experiment& experiment : known.experiments())
      specs[experiment.name()] = SpecHash(experiment.spec());
    int submitted = 0;
    for (size_t i = 0; i < runs_.size(); ++i) {
      std::error_code error;
      if (std::filesystem::exists(runs_[i].out, error)) {
        left_.erase(i);
        on_folder_(i);
        continue;
      }
      if (const auto found = specs.find(NameOf(i)); found != specs.end()) {
        if (found->second != SpecHash(runs_[i].spec)) {
          Fail(i,
               "the service has an experiment of this name with another spec; delete it, or ask "
               "another service");
        }
        continue;
      }
      v1::CreateExperimentRequest request;
      request.set_experiment_id(runs_[i].id);
      request.set_request_id(NewUuid());
      *request.mutable_experiment()->mutable_spec() = runs_[i].spec;
      const auto created = client_->Call(&ctl::Stub::CreateExperiment, request);
      if (client_->interrupted()) return created.status();
      if (!created.ok()) {
        Fail(i, std::string(created.status().message()));
        continue;
      }
      ++submitted;
    }
    if (submitted > 0) output_->Note(absl::StrCat("submitted ", submitted, " experiments"));
    return absl::OkStatus();
  }

  absl::Status End(size_t i, const v1::Experiment& experiment) {
    if (experiment.state() != v1::Experiment::STATE_SUCCEEDED) {
      Fail(i, experiment.state() == v1::Experiment::STATE_UNSPECIFIED
                  ? "another user deleted the experiment; repeat the command to submit it again"
                  : absl::StrCat("the experiment is ", StateText(experiment.state()),
                                 experiment.error().message().empty() ? "" : ": ",
                                 experiment.error().message(), "; 'mentorctl logs ", runs_[i].id,
                                 "' says more"));
      return absl::OkStatus();
    }
    const int code = FetchRun(connection_, runs_[i].id, runs_[i].out);
    if (client_->interrupted()) return absl::CancelledError("interrupted");
    if (code != ctl::kOk) {
      Fail(i, "its folder could not be fetched");
      return absl::OkStatus();
    }
    left_.erase(i);
    on_folder_(i);
    if (!left_.empty())
      output_->Note(absl::StrCat(runs_.size() - left_.size(), " of ", runs_.size(), " are here"));
    return absl::OkStatus();
  }

  ctl::Client* const client_;
  const ctl::Output* const output_;
  const ctl::GlobalFlags& connection_;
  const std::vector<ServiceRun>& runs_;
  const std::function<void(size_t)>& on_folder_;
  const std::function<void(size_t, const std::string&)>& on_failure_;
  std::set<size_t> left_;
  std::string noted_;
};

}  // namespace

int RunOnService(const ctl::GlobalFlags& connection, const std::vector<ServiceRun>& runs,
                 const std::function<void(size_t)>& on_folder,
                 const std::function<void(size_t, const std::string&)>& on_failure) {
  return TalkToService(
      connection, /*quiet=*/false,
      "interrupted; the experiments continue, and so does the same command",
      [&](ctl::Client* client, const ctl::Output& output) {
        return Running(client, &output, connection, runs, on_folder, on_failure).Run();
      });
}

}  // namespace mentor
