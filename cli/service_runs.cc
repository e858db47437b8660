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

struct Running {
  ctl::Client* const client;
  const ctl::Output* const output;
  const ctl::GlobalFlags& connection;
  const std::vector<ServiceRun>& runs;
  const std::function<void(size_t)>& on_folder;
  const std::function<void(size_t, const std::string&)>& on_failure;
  std::set<size_t> left = {};
  std::string noted = {};

  absl::Status Run() {
    for (size_t i = 0; i < runs.size(); ++i) left.insert(i);
    MENTOR_RETURN_IF_ERROR(Submit());
    while (!left.empty()) {
      std::optional<size_t> ended;
      v1::Experiment experiment;
      ctl::ExperimentWatch watch{
          .names = {},
          .progress = true,
          .on_event =
              [&](const v1::WatchExperimentsResponse& event) {
                ended = PlaceOf(event.experiment().name());
                if (!ended || !left.contains(*ended)) return true;
                NoteWait(event.experiment());
                experiment = event.experiment();
                if (event.event() == v1::WatchExperimentsResponse::EVENT_DELETED)
                  experiment.set_state(v1::Experiment::STATE_UNSPECIFIED);
                return !IsFinal(experiment.state()) &&
                       experiment.state() != v1::Experiment::STATE_UNSPECIFIED;
              },
          .on_lost = ctl::NoteLost(output)};
      // Ended runs leave the set, and the next watch begins with the present state of later runs.
      for (const size_t i : left) {
        if (watch.names.size() == kWatchedMax) break;
        watch.names.push_back(NameOf(i));
      }
      MENTOR_RETURN_IF_ERROR(ctl::Watch(client, watch));
      MENTOR_RETURN_IF_ERROR(End(*ended, experiment));
    }
    return absl::OkStatus();
  }

  std::string NameOf(size_t i) const { return ExperimentName(runs[i].id); }
  std::optional<size_t> PlaceOf(const std::string& name) const {
    for (size_t i = 0; i < runs.size(); ++i) {
      if (NameOf(i) == name) return i;
    }
    return std::nullopt;
  }

  // Notes what the service waits for, such as actors or learners; once per change.
  void NoteWait(const v1::Experiment& experiment) {
    const std::string& activity = experiment.activity();
    if (activity == noted || activity.find("wait") == activity.npos) return;
    noted = activity;
    output->Note(absl::StrCat(experiment.name(), ": ", Printable(activity)));
  }

  void Fail(size_t i, const std::string& why) {
    left.erase(i);
    on_failure(i, why);
  }

  // Submits the runs that the service lacks, in their order.
  absl::Status Submit() {
    MENTOR_ASSIGN_OR_RETURN(
        const v1::ListExperimentsResponse known,
        client->CallForAll(&ctl::Stub::ListExperiments, v1::ListExperimentsRequest()));
    std::map<std::string, std::string> specs;
    for (const v1::Experiment& experiment : known.experiments())
      specs[experiment.name()] = SpecHash(experiment.spec());
    int submitted = 0;
    for (size_t i = 0; i < runs.size(); ++i) {
      std::error_code error;
      if (std::filesystem::exists(runs[i].out, error)) {
        left.erase(i);
        on_folder(i);
        continue;
      }
      if (const auto found = specs.find(NameOf(i)); found != specs.end()) {
        if (found->second != SpecHash(runs[i].spec)) {
          Fail(i,
               "the service has an experiment of this name with another spec; delete it, or ask "
               "another service");
        }
        continue;
      }
      v1::CreateExperimentRequest request;
      request.set_experiment_id(runs[i].id);
      request.set_request_id(NewUuid());
      *request.mutable_experiment()->mutable_spec() = runs[i].spec;
      const auto created = client->Call(&ctl::Stub::CreateExperiment, request);
      if (client->interrupted()) return created.status();
      if (!created.ok()) {
        Fail(i, std::string(created.status().message()));
        continue;
      }
      ++submitted;
    }
    if (submitted > 0) output->Note(absl::StrCat("submitted ", submitted, " experiments"));
    return absl::OkStatus();
  }

  absl::Status End(size_t i, const v1::Experiment& experiment) {
    if (experiment.state() != v1::Experiment::STATE_SUCCEEDED) {
      Fail(i, experiment.state() == v1::Experiment::STATE_UNSPECIFIED
                  ? "another user deleted the experiment; repeat the command to submit it again"
                  : absl::StrCat("the experiment is ", StateText(experiment.state()),
                                 experiment.error().message().empty() ? "" : ": ",
                                 experiment.error().message(), "; 'mentorctl logs ", runs[i].id,
                                 "' says more"));
      return absl::OkStatus();
    }
    const int code = FetchRun(connection, runs[i].id, runs[i].out);
    if (client->interrupted()) return absl::CancelledError("interrupted");
    if (code != ctl::kOk) {
      Fail(i, "its folder could not be fetched");
      return absl::OkStatus();
    }
    left.erase(i);
    on_folder(i);
    if (!left.empty())
      output->Note(absl::StrCat(runs.size() - left.size(), " of ", runs.size(), " are here"));
    return absl::OkStatus();
  }
};

}  // namespace

int RunOnService(const ctl::GlobalFlags& connection, const std::vector<ServiceRun>& runs,
                 const std::function<void(size_t)>& on_folder,
                 const std::function<void(size_t, const std::string&)>& on_failure) {
  return TalkToService(
      connection, /*quiet=*/false,
      "interrupted; the experiments continue, and so does the same command",
      [&](ctl::Client* client, const ctl::Output& output) {
        return Running{client, &output, connection, runs, on_folder, on_failure}.Run();
      });
}

}  // namespace mentor
