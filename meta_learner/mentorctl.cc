// mentorctl: the user's command line for a meta-learner. It holds nothing: everything is asked from
// the server.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <absl/strings/str_format.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/time_util.h>
#include <unistd.h>

#include "common/check.h"
#include "common/file.h"
#include "common/flags.h"
#include "common/lifecycle.h"
#include "common/progress_bar.h"
#include "common/protocol.h"
#include "common/rpc/channel.h"
#include "common/rpc/status.h"
#include "common/spec.h"
#include "common/status.h"
#include "common/uuid.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "mentor/v1/experiment_service.grpc.pb.h"

namespace mentor {
namespace {

using S = v1::Experiment;

// Part of the interface: scripts rely on them.
enum CtlExit : int {
  kCtlOk = 0,
  kCtlFailed = 1,
  kCtlUsage = 2,  // Also a request that the server finds invalid.
  kCtlNotFound = 3,
  kCtlCredentials = 4,
  kCtlConflict = 5,  // Exists already, or the state does not allow it.
  kCtlUnavailable = 6,
  kCtlOtherState = 7,  // The wait is over, but the experiment did not succeed.
  kCtlInterrupted = 130,
};

constexpr char kFooter[] = R"(Examples:
  mentorctl create -f deploy/experiments/smoke.txtpb --set seed=2 --wait
  mentorctl list
  mentorctl watch exp-abcdefghij
  mentorctl get exp-abcdefghij --output json
  mentorctl cancel exp-abcdefghij

Exit codes: 0 done, 1 failed, 2 usage or invalid request, 3 not found, 4 credentials, 5 conflict or
wrong state, 6 unavailable or too late, 7 the awaited experiment did not succeed,
130 interrupted.)";

struct Flags {
  std::string server = "127.0.0.1:50052";
  std::string output = "table";
  double timeout_s = 10;
  rpc::TlsFiles tls;

  bool json() const { return output == "json"; }
};

bool IsFinalState(S::State state) {
  return state == S::STATE_SUCCEEDED || state == S::STATE_FAILED || state == S::STATE_CANCELLED;
}

std::string StateName(S::State state) {
  constexpr std::string_view kPrefix = "STATE_";
  const std::string& name = v1::Experiment_State_Name(state);
  return name.starts_with(kPrefix) ? name.substr(kPrefix.size())
                                   : absl::StrFormat("STATE %d", state);
}

std::string FullName(const std::string& name) {
  return name.starts_with("experiments/") ? name : "experiments/" + name;
}

std::string ShortName(const std::string& name) {
  return name.starts_with("experiments/") ? name.substr(std::string_view("experiments/").size())
                                          : name;
}

// ---- Errors.

int ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kCtlOk;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return kCtlUsage;
    case absl::StatusCode::kNotFound:
      return kCtlNotFound;
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return kCtlCredentials;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAborted:
      return kCtlConflict;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
      return kCtlUnavailable;
    default:
      return kCtlFailed;
  }
}

std::string HintOf(const absl::Status& status, const Flags& flags) {
  switch (ExitCodeOf(status)) {
    case kCtlNotFound:
      return ReasonOf(status) == ReasonName(Reason::kNotFound)
                 ? "'mentorctl list' shows what there is"
                 : "";
    case kCtlCredentials:
      return "--tls_ca, --tls_cert and --tls_key say who you are";
    case kCtlUnavailable:
      return ReasonOf(status).empty() ? "is mentor-meta-learner running at " + flags.server +
                                            "? --server or MENTOR_SERVER names another one"
                                      : "";
    default:
      return "";
  }
}

// Field paths of a spec as its author wrote them, not as the request holds them.
std::string SpecField(std::string field) {
  constexpr std::string_view kPrefix = "experiment.spec.";
  return field.starts_with(kPrefix) ? field.substr(kPrefix.size()) : field;
}

std::optional<google::rpc::BadRequest> BadRequestOf(const absl::Status& status) {
  google::rpc::BadRequest details;
  const auto payload = status.GetPayload("type.googleapis.com/google.rpc.BadRequest");
  if (!payload || !details.ParseFromString(std::string(*payload)) ||
      details.field_violations().empty()) {
    return std::nullopt;
  }
  return details;
}

void PrintJson(const google::protobuf::Message& message, std::FILE* out) {
  std::string text;
  if (google::protobuf::util::MessageToJsonString(message, &text).ok())
    std::fprintf(out, "%s\n", text.c_str());
}

// "error: REASON: sentence" and a hint; with --output json a google.rpc.Status.
int Fail(const absl::Status& status, const Flags& flags) {
  if (flags.json()) {
    google::rpc::Status json;
    json.set_code(static_cast<int>(status.code()));
    json.set_message(std::string(status.message()));
    status.ForEachPayload([&](absl::string_view url, const absl::Cord& bytes) {
      google::protobuf::Any& any = *json.add_details();
      any.set_type_url(std::string(url));
      any.set_value(std::string(bytes));
    });
    PrintJson(json, stderr);
    return ExitCodeOf(status);
  }
  const std::string reason =
      ReasonOf(status).empty() ? absl::StatusCodeToString(status.code()) : ReasonOf(status);
  if (const auto bad = BadRequestOf(status)) {
    std::fprintf(stderr, "error: %s: the request has %d wrong fields\n", reason.c_str(),
                 bad->field_violations_size());
    for (const auto& violation : bad->field_violations()) {
      std::fprintf(stderr, "  %s: %s\n", SpecField(violation.field()).c_str(),
                   violation.description().c_str());
    }
  } else {
    std::fprintf(stderr, "error: %s: %s\n", reason.c_str(), std::string(status.message()).c_str());
  }
  if (const std::string hint = HintOf(status, flags); !hint.empty())
    std::fprintf(stderr, "hint: %s\n", hint.c_str());
  return ExitCodeOf(status);
}

// ---- The server.

// Calls with retries and deadlines. Used by one thread; Interrupt comes from another.
class Client {
 public:
  explicit Client(const Flags& flags)
      : flags_(flags), reconnector_(rpc::Backoff{.longest = std::chrono::milliseconds(2000)}) {}

  absl::Status Connect() {
    MENTOR_ASSIGN_OR_RETURN(const auto channel,
                            rpc::MakeChannel({.address = flags_.server, .tls = flags_.tls}));
    stub_ = v1::ExperimentService::NewStub(channel);
    return absl::OkStatus();
  }

  bool interrupted() {
    const std::lock_guard lock(mutex_);
    return interrupted_;
  }
  // Everything under way ends soon, and nothing new begins.
  void Interrupt() {
    const std::lock_guard lock(mutex_);
    interrupted_ = true;
    if (context_ != nullptr) context_->TryCancel();
    reconnector_.Stop();
  }

  // All methods may be repeated: creation has its request_id.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::ExperimentService::Stub::*method)(
                                    grpc::ClientContext*, const Request&, Response*),
                                const Request& request) {
    const auto deadline = Deadline();
    absl::Status status;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      if (attempt > 0 && !reconnector_.Wait()) break;
      grpc::ClientContext context;
      context.set_deadline(deadline);
      if (!Begin(&context)) break;
      Response response;
      status = rpc::FromGrpc((stub_.get()->*method)(&context, request, &response));
      End();
      if (status.ok()) return response;
      if (status.code() != absl::StatusCode::kUnavailable ||
          std::chrono::system_clock::now() >= deadline)
        return status;
    }
    return status.ok() ? absl::CancelledError("interrupted") : status;
  }

  // Calls on_change for each state of the experiment, until the final one; connects again when the
  // server goes away.
  absl::StatusOr<v1::Experiment> Watch(const std::string& name,
                                       const std::function<void(const v1::Experiment&)>& on_change,
                                       const std::function<void(const absl::Status&)>& on_lost) {
    while (reconnector_.Wait()) {
      grpc::ClientContext context;
      if (!Begin(&context)) break;
      v1::WatchExperimentRequest request;
      request.set_name(name);
      const auto reader = stub_->WatchExperiment(&context, request);
      v1::WatchExperimentResponse response;
      while (reader->Read(&response)) {
        reconnector_.Connected();
        on_change(response.experiment());
      }
      const absl::Status status = rpc::FromGrpc(reader->Finish());
      End();
      if (status.ok() && IsFinalState(response.experiment().state())) return response.experiment();
      const bool passing = status.ok() || status.code() == absl::StatusCode::kUnavailable ||
                           status.code() == absl::StatusCode::kResourceExhausted;
      if (!passing) return status;
      on_lost(status.ok() ? absl::UnavailableError("the server ended the stream") : status);
    }
    return absl::CancelledError("interrupted");
  }

 private:
  static constexpr int kAttempts = 5;

  std::chrono::system_clock::time_point Deadline() const {
    return std::chrono::system_clock::now() + std::chrono::milliseconds(static_cast<int64_t>(
                                                  std::min(flags_.timeout_s, 86400.0) * 1000));
  }
  // False once interrupted.
  bool Begin(grpc::ClientContext* context) {
    const std::lock_guard lock(mutex_);
    if (!interrupted_) context_ = context;
    return !interrupted_;
  }
  void End() {
    const std::lock_guard lock(mutex_);
    context_ = nullptr;
  }

  // Fixed after Connect.
  const Flags flags_;
  std::unique_ptr<v1::ExperimentService::Stub> stub_;
  rpc::Reconnector reconnector_;
  // Guarded by mutex_.
  std::mutex mutex_;
  bool interrupted_ = false;
  grpc::ClientContext* context_ = nullptr;  // Of the call under way.
};

// ---- Tables.

std::string Ago(const google::protobuf::Timestamp& time) {
  using google::protobuf::util::TimeUtil;
  const int64_t seconds =
      std::max<int64_t>(0, TimeUtil::DurationToSeconds(TimeUtil::GetCurrentTime() - time));
  if (seconds < 120) return absl::StrFormat("%ds ago", seconds);
  if (seconds < 7200) return absl::StrFormat("%dm ago", seconds / 60);
  if (seconds < 172800) return absl::StrFormat("%dh ago", seconds / 3600);
  return absl::StrFormat("%dd ago", seconds / 86400);
}

std::string Updates(const v1::Progress& progress) {
  return absl::StrFormat("%d/%d", progress.outer_updates(), progress.outer_updates_total());
}

void PrintTable(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i] + std::string(i + 1 < row.size() ? widths[i] - row[i].size() + 2 : 0, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    std::printf("%s\n", line.c_str());
  }
}

void PrintExperiment(const v1::Experiment& experiment) {
  std::vector<std::vector<std::string>> rows = {{"Name", experiment.name()},
                                                {"UID", experiment.uid()}};
  const v1::Progress& progress = experiment.progress();
  if (!experiment.spec().display_name().empty())
    rows.push_back({"Title", experiment.spec().display_name()});
  rows.push_back({"State", StateName(experiment.state())});
  if (!experiment.activity().empty()) rows.push_back({"Activity", experiment.activity()});
  if (!experiment.error().empty()) rows.push_back({"Error", experiment.error()});
  rows.push_back({"Updates", Updates(progress)});
  if (progress.evaluation_lifetimes_total() > 0) {
    rows.push_back(
        {"Evaluation", absl::StrFormat("%d/%d lifetimes", progress.evaluation_lifetimes(),
                                       progress.evaluation_lifetimes_total())});
  }
  rows.push_back({"Steps", absl::StrFormat("%d", progress.env_steps())});
  const v1::BenchmarkSpec& benchmark = experiment.spec().benchmark();
  rows.push_back(
      {"Benchmark",
       benchmark.name() + (benchmark.environment().empty() ? "" : " " + benchmark.environment())});
  rows.push_back({"Rule", experiment.spec().rule().name() + ", " +
                              v1::SignalRole_Name(experiment.spec().signal().role())});
  rows.push_back({"Seed", absl::StrFormat("%d", experiment.spec().seed())});
  rows.push_back({"Created", Ago(experiment.create_time())});
  if (experiment.has_start_time()) rows.push_back({"Started", Ago(experiment.start_time())});
  if (experiment.has_end_time()) rows.push_back({"Ended", Ago(experiment.end_time())});
  PrintTable(rows);
}

void Print(const v1::Experiment& experiment, const Flags& flags) {
  if (flags.json()) {
    PrintJson(experiment, stdout);
  } else {
    PrintExperiment(experiment);
  }
}

// ---- Verbs.

int Follow(Client* client, const std::string& name, const Flags& flags) {
  ProgressBar bar;
  bool lost = false;
  const auto end = client->Watch(
      name,
      [&](const v1::Experiment& experiment) {
        lost = false;
        if (flags.json()) {
          PrintJson(experiment, stdout);
          std::fflush(stdout);
        } else {
          const bool working = !experiment.activity().empty();
          bar.Show(experiment.progress(),
                   working ? experiment.activity() : StateName(experiment.state()));
        }
      },
      [&](const absl::Status& status) {
        if (lost) return;  // Once for each time the server is away.
        lost = true;
        bar.Finish();
        std::fprintf(stderr, "lost the server (%s); trying again\n",
                     std::string(status.message()).c_str());
      });
  bar.Finish();
  if (absl::IsCancelled(end.status())) {
    std::fprintf(stderr, "%s goes on; 'mentorctl watch %s' shows it again\n", name.c_str(),
                 ShortName(name).c_str());
    return kCtlInterrupted;
  }
  if (!end.ok()) return Fail(end.status(), flags);
  if (!flags.json()) {
    std::printf("%s %s%s\n", name.c_str(), StateName(end->state()).c_str(),
                end->error().empty() ? "" : (": " + end->error()).c_str());
  }
  return end->state() == S::STATE_SUCCEEDED ? kCtlOk : kCtlOtherState;
}

struct CreateFlags {
  std::string file;
  std::vector<std::string> overrides;
  std::string id;
  bool wait = false;
  bool validate_only = false;
};

// What the server finds in a spec that is wrong already, so that its author hears everything at
// once.
void AddViolationsOfServer(Client* client, v1::CreateExperimentRequest request,
                           Violations* violations) {
  request.set_validate_only(true);
  const auto answer = client->Call(&v1::ExperimentService::Stub::CreateExperiment, request);
  const auto bad = BadRequestOf(answer.status());
  if (!bad) return;
  for (const auto& found : bad->field_violations()) {
    const std::string field = SpecField(found.field());
    const bool known =
        std::any_of(violations->list().begin(), violations->list().end(),
                    [&](const Violation& violation) { return violation.field == field; });
    if (!known) violations->Add(field, found.description());
  }
}

std::string ReadStandardInput() {
  std::string text(kSpecBytesMax + 1, '\0');  // One more than is legal, so that too much is seen.
  text.resize(std::fread(text.data(), 1, text.size(), stdin));
  return text;
}

int Create(Client* client, const CreateFlags& create, const Flags& flags) {
  const auto text =
      create.file == "-" ? ReadStandardInput() : ReadFile(create.file, kSpecBytesMax + 1);
  // The user's file is part of the usage, whatever is wrong with it.
  if (!text.ok()) {
    Fail(text.status(), flags);
    return kCtlUsage;
  }
  v1::CreateExperimentRequest request;
  request.set_experiment_id(create.id);
  request.set_request_id(NewUuid());
  request.set_validate_only(create.validate_only);
  Violations violations;
  *request.mutable_experiment()->mutable_spec() = ParseSpec(*text, create.overrides, &violations);
  if (!violations.empty()) {
    const bool read = std::none_of(
        violations.list().begin(), violations.list().end(), [](const Violation& violation) {
          return violation.field.starts_with("line ") || violation.field == "spec";
        });
    if (read) AddViolationsOfServer(client, request, &violations);
    return Fail(ToStatus(violations), flags);
  }
  const auto experiment = client->Call(&v1::ExperimentService::Stub::CreateExperiment, request);
  if (!experiment.ok()) return Fail(experiment.status(), flags);
  if (create.validate_only) {
    if (flags.json()) {
      PrintJson(*experiment, stdout);
    } else {
      std::printf("%s is valid\n", create.file.c_str());
    }
    return kCtlOk;
  }
  if (!create.wait) {
    if (flags.json()) {
      PrintJson(*experiment, stdout);
    } else {
      std::printf("%s created; 'mentorctl watch %s' shows its progress\n",
                  experiment->name().c_str(), ShortName(experiment->name()).c_str());
    }
    return kCtlOk;
  }
  std::fprintf(stderr, "%s created\n", experiment->name().c_str());
  return Follow(client, experiment->name(), flags);
}

int Get(Client* client, const std::string& name, bool spec_only, const Flags& flags) {
  v1::GetExperimentRequest request;
  request.set_name(FullName(name));
  const auto experiment = client->Call(&v1::ExperimentService::Stub::GetExperiment, request);
  if (!experiment.ok()) return Fail(experiment.status(), flags);
  if (spec_only) {
    std::printf("%s", PrintSpec(experiment->spec()).c_str());
  } else {
    Print(*experiment, flags);
  }
  return kCtlOk;
}

int List(Client* client, const Flags& flags) {
  std::vector<std::vector<std::string>> rows = {
      {"NAME", "STATE", "UPDATES", "STEPS/S", "CREATED", "TITLE"}};
  v1::ListExperimentsRequest request;
  request.set_page_size(200);
  do {
    const auto page = client->Call(&v1::ExperimentService::Stub::ListExperiments, request);
    if (!page.ok()) return Fail(page.status(), flags);
    for (const v1::Experiment& experiment : page->experiments()) {
      if (flags.json()) {
        PrintJson(experiment, stdout);
        continue;
      }
      const double rate = experiment.progress().env_steps_per_second();
      rows.push_back({ShortName(experiment.name()), StateName(experiment.state()),
                      Updates(experiment.progress()),
                      experiment.state() == S::STATE_RUNNING ? absl::StrFormat("%.0f", rate) : "-",
                      Ago(experiment.create_time()), experiment.spec().display_name()});
    }
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  if (!flags.json()) PrintTable(rows);
  return kCtlOk;
}

int Cancel(Client* client, const std::string& name, const Flags& flags) {
  v1::CancelExperimentRequest request;
  request.set_name(FullName(name));
  const auto experiment = client->Call(&v1::ExperimentService::Stub::CancelExperiment, request);
  if (!experiment.ok()) return Fail(experiment.status(), flags);
  if (flags.json()) {
    PrintJson(*experiment, stdout);
  } else {
    std::printf("%s %s\n", experiment->name().c_str(), StateName(experiment->state()).c_str());
  }
  return kCtlOk;
}

// Ctrl-C ends what the client waits for; a second one ends the process.
void InterruptOnSignal(const std::shared_ptr<Client>& client) {
  std::thread([client] {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    int signal = 0;
    sigwait(&set, &signal);
    client->Interrupt();
    sigwait(&set, &signal);
    _exit(128 + signal);
  }).detach();
}

int Main(int argc, char** argv) {
  CLI::App app("Submits, watches and cancels experiments on a mentor-meta-learner.");
  app.footer(kFooter);
  app.set_version_flag("--version", std::string(kBuildVersion));
  app.require_subcommand(1);
  app.fallthrough();
  Flags flags;
  app.add_option("--server", flags.server, "HOST:PORT of the meta-learner")
      ->envname("MENTOR_SERVER")
      ->capture_default_str();
  app.add_option("--output", flags.output, "table for people; json for programs, one object a line")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  app.add_option("--timeout", flags.timeout_s,
                 "Seconds that a call may take; waiting for an experiment has no limit")
      ->check(CLI::Range(0.001, 86400.0))
      ->capture_default_str();
  AddTlsFlags(&app, &flags.tls);

  std::function<int(Client*)> verb;
  CreateFlags create;
  std::string name;
  bool spec_only = false;

  CLI::App* command = app.add_subcommand("create", "Submit an experiment");
  command
      ->add_option("-f,--file", create.file,
                   "Spec in protobuf text format; - reads the standard input")
      ->required();
  command
      ->add_option("--set", create.overrides,
                   "Override a field: path.to.field=value; may be repeated")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--id", create.id, "Name to give it; the server makes one otherwise");
  command->add_flag("--wait", create.wait, "Watch it until it ends");
  command->add_flag("--validate_only", create.validate_only, "Check everything, create nothing");
  command->callback([&] { verb = [&](Client* client) { return Create(client, create, flags); }; });

  command = app.add_subcommand("get", "Show one experiment");
  command->add_option("name", name, "Name, with or without experiments/")->required();
  command->add_flag("--spec", spec_only,
                    "Its spec alone, every default written out, as a file to submit again");
  command->callback(
      [&] { verb = [&](Client* client) { return Get(client, name, spec_only, flags); }; });

  command = app.add_subcommand("list", "Show all experiments");
  command->callback([&] { verb = [&](Client* client) { return List(client, flags); }; });

  command = app.add_subcommand(
      "watch", "Follow an experiment until it ends; it goes on when this is interrupted");
  command->add_option("name", name, "Name, with or without experiments/")->required();
  command->callback(
      [&] { verb = [&](Client* client) { return Follow(client, FullName(name), flags); }; });

  command = app.add_subcommand("cancel", "End an experiment; its checkpoints stay");
  command->add_option("name", name, "Name, with or without experiments/")->required();
  command->callback([&] { verb = [&](Client* client) { return Cancel(client, name, flags); }; });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kCtlOk : kCtlUsage;
  }
  const auto client = std::make_shared<Client>(flags);
  if (const absl::Status status = client->Connect(); !status.ok()) return Fail(status, flags);
  InterruptOnSignal(client);
  const int code = verb(client.get());
  return client->interrupted() && code != kCtlOk ? kCtlInterrupted : code;
}

}  // namespace
}  // namespace mentor

int main(int argc, char** argv) {
  mentor::BlockStopSignals();
  return mentor::Main(argc, argv);
}
