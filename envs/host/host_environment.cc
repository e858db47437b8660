#include "envs/host/host_environment.h"

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/check.h"
#include "common/hash.h"
#include "common/hosts.h"
#include "envs/environment.h"
#include "envs/host/host_facts.h"
#include "envs/host/host_list.h"
#include "envs/host/host_process.h"
#include "envs/host/shared_arrays.h"

namespace mentor::envs {
namespace {

constexpr char kHostSummary[] =
    "An environment in another process, in any language: a simulator that actors offer.";
constexpr uint32_t kHostProtocol = 1;
// state := magic steps:u32 digest:32 bytes of the simulator
// The digest covers everything else, and facts and task. A state that is cut, altered or of another
// environment is refused before the simulator sees it.
constexpr std::string_view kHostStateMagic = "MENHST01";
constexpr size_t kHostStateDigestBytes = 32;
constexpr size_t kHostStateHeaderBytes =
    kHostStateMagic.size() + sizeof(uint32_t) + kHostStateDigestBytes;
constexpr size_t kHostStateBytesMax = (4 << 20) - 1024;

absl::StatusOr<SimulatorCommand> CommandOf(const std::string& name) {
  if (auto host = FindSimulator(name)) return *std::move(host);
  const std::vector<std::string> names = SimulatorNames();
  return absl::FailedPreconditionError(
      absl::StrCat("simulator '", name, "' is not offered here",
                   names.empty() ? "" : absl::StrCat(" (", absl::StrJoin(names, ", "), ")"),
                   "; give --simulator ", name, "='COMMAND'"));
}

// A simulator that has made its environment.
struct OpenSimulator {
  std::unique_ptr<SimulatorProcess> process;
  v1::EnvironmentFacts facts;
};

absl::StatusOr<OpenSimulator> OpenTheSimulator(const std::string& name,
                                               const std::map<std::string, std::string>& options) {
  MENTOR_ASSIGN_OR_RETURN(const SimulatorCommand command, CommandOf(name));
  OpenSimulator open;
  MENTOR_ASSIGN_OR_RETURN(open.process, SimulatorProcess::Start(command));
  v1::HostRequest question;
  question.mutable_open()->set_protocol_version(kHostProtocol);
  for (const auto& [option, value] : options) {
    v1::HostOption* added = question.mutable_open()->add_options();
    added->set_name(option);
    added->set_value(value);
  }
  MENTOR_ASSIGN_OR_RETURN(v1::HostReply reply, open.process->Ask(question));
  if (!reply.has_facts()) return open.process->End("answered 'open' without facts");
  open.facts = std::move(*reply.mutable_facts());
  if (const absl::Status status = CheckFacts(open.facts); !status.ok())
    return open.process->End(absl::StrCat("states facts that cannot be: ", status.message()));
  return open;
}

class SimulatorEnvironment : public Environment {
 public:
  SimulatorEnvironment(std::string host, std::map<std::string, std::string> options,
                       v1::EnvironmentFacts facts)
      : host_(std::move(host)),
        options_(std::move(options)),
        facts_(std::move(facts)),
        info_(InfoOf(facts_)) {
    v1::HostRequest step;
    step.mutable_step();
    step_frame_ = HostFrame(step);
  }

  const EnvironmentInfo& info() const override { return info_; }

  absl::Status SetTask(const v1::EnvironmentTask& task) override {
    MENTOR_RETURN_IF_ERROR(CheckTaskName(task, info_));
    if (task.parameters_size() != facts_.parameters_size()) {
      return absl::InvalidArgumentError(
          absl::StrFormat("task.parameters: has %d numbers, tasks of %s have %d",
                          task.parameters_size(), facts_.name(), facts_.parameters_size()));
    }
    v1::SetHostTask wanted;
    for (int i = 0; i < task.parameters_size(); ++i) {
      const v1::TaskRange& range = facts_.parameters(i);
      const double number = task.parameters(i);
      if (!(range.low() <= number && number <= range.high())) {
        return absl::InvalidArgumentError(
            absl::StrFormat("task.parameters[%d]: is %g; %s takes %g to %g", i, number,
                            facts_.name(), range.low(), range.high()));
      }
      wanted.add_parameters(number);
    }
    wanted.set_goal_visible(task.goal_visible());
    task_ = std::move(wanted);
    task_is_told_ = false;
    steps_ = -1;
    return absl::OkStatus();
  }

  absl::Status Reset(const RandomStream& random, uint32_t episode,
                     std::span<double> observation) override {
    MENTOR_RETURN_IF_ERROR(CheckObservation(info_, observation));
    MENTOR_RETURN_IF_ERROR(Prepare("Reset"));
    // 128 bits of the key, little-endian.
    const auto words = random.Block(episode, /*draw=*/0);
    v1::HostRequest question;
    question.mutable_reset()->set_seed(words.data(), sizeof(words));
    MENTOR_RETURN_IF_ERROR(AskForObservation(question, "reset", observation));
    Begin(0);
    return absl::OkStatus();
  }

  absl::StatusOr<StepOutcome> Step(std::span<const float> action,
                                   std::span<double> observation) override {
    MENTOR_RETURN_IF_ERROR(CheckObservation(info_, observation));
    MENTOR_RETURN_IF_ERROR(CheckStep(info_, steps_, action, ended_));
    clipped_.resize(action.size());
    ClipAction(info_, action, clipped_);
    arrays_->Spoil();
    arrays_->SetAction(clipped_);
    steps_before_ = std::exchange(steps_, -1);  // Until everything succeeds.
    MENTOR_RETURN_IF_ERROR(Ended(process_->Do(step_frame_, "step")));
    const auto outcome = arrays_->ReadOutcome();
    absl::Status answer = arrays_->ReadObservation(observation);
    if (answer.ok()) answer = outcome.status();
    if (absl::IsOutOfRange(answer)) {  // The simulator goes on with the next reset.
      return absl::OutOfRangeError(absl::StrFormat("simulator %s: step %d of the episode: %s",
                                                   host_, steps_before_ + 1, answer.message()));
    }
    MENTOR_RETURN_IF_ERROR(Believe(answer, "step"));
    steps_ = steps_before_ + 1;
    const bool is_last = steps_ == info_.episode_steps;
    ended_ = outcome->terminated || outcome->truncated || is_last;
    if (ended_ && !is_last && info_.independent_episodes) {
      return Believe(absl::InvalidArgumentError(absl::StrFormat(
                         "the episode ended with step %d, but its facts say that all have %d "
                         "(independent_episodes)",
                         steps_, info_.episode_steps)),
                     "step");
    }
    return StepOutcome{.reward = outcome->reward,
                       .success = outcome->success,
                       .terminated = outcome->terminated,
                       .truncated = outcome->truncated || is_last};
  }

  absl::StatusOr<std::string> SaveState() const override {
    MENTOR_CHECK(steps_ >= 0);
    if (!info_.saves_state)
      return absl::FailedPreconditionError(absl::StrCat(facts_.name(), " saves no states"));
    v1::HostRequest question;
    question.mutable_save();
    auto reply = process_->Ask(question);
    absl::Status status = reply.status();
    if (status.ok() && (!reply->has_state() || reply->state().state().empty() ||
                        reply->state().state().size() > kHostStateBytesMax)) {
      status = process_->End(
          absl::StrFormat("answered 'save' with no state of 1 to %d bytes", kHostStateBytesMax));
    }
    if (!status.ok()) {
      process_.reset();
      steps_ = -1;
      return status;
    }
    std::string state(kHostStateMagic);
    const uint32_t steps = static_cast<uint32_t>(steps_);
    state.append(reinterpret_cast<const char*>(&steps), sizeof(steps));
    state += StateDigest(steps, reply->state().state());
    return state += reply->state().state();
  }

  absl::Status RestoreState(std::string_view state, std::span<double> observation) override {
    MENTOR_RETURN_IF_ERROR(CheckObservation(info_, observation));
    if (!info_.saves_state) {
      return absl::FailedPreconditionError(
          absl::StrCat(facts_.name(), " saves no states, so none can be restored"));
    }
    if (!task_)
      return absl::FailedPreconditionError(
          absl::StrCat("simulator ", host_, ": RestoreState before SetTask"));
    uint32_t steps = 0;
    if (!state.starts_with(kHostStateMagic) || state.size() <= kHostStateHeaderBytes ||
        state.size() > kHostStateHeaderBytes + kHostStateBytesMax) {
      return absl::InvalidArgumentError(
          absl::StrCat("state of ", state.size(), " bytes: is not one of a simulator"));
    }
    std::memcpy(&steps, state.data() + kHostStateMagic.size(), sizeof(steps));
    const std::string_view bytes = state.substr(kHostStateHeaderBytes);
    if (state.substr(kHostStateHeaderBytes - kHostStateDigestBytes, kHostStateDigestBytes) !=
        StateDigest(steps, bytes)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "state of ", state.size(), " bytes: is damaged, or of another environment or task"));
    }
    if (steps >= static_cast<uint32_t>(info_.episode_steps)) {
      return absl::InvalidArgumentError(
          absl::StrFormat("state: is of step %d; episodes have %d", steps, info_.episode_steps));
    }
    MENTOR_RETURN_IF_ERROR(Prepare("RestoreState"));
    v1::HostRequest question;
    question.mutable_restore()->set_state(std::string(bytes));
    MENTOR_RETURN_IF_ERROR(AskForObservation(question, "restore", observation));
    Begin(static_cast<int>(steps));
    return absl::OkStatus();
  }

 private:
  void Begin(int steps) {
    steps_ = steps;
    ended_ = false;
  }

  // Makes the simulator run and tells it the task.
  absl::Status Prepare(const char* caller) {
    if (!task_)
      return absl::FailedPreconditionError(
          absl::StrCat("simulator ", host_, ": ", caller, " before SetTask"));
    steps_ = -1;
    if (process_ == nullptr) {
      MENTOR_ASSIGN_OR_RETURN(OpenSimulator open, OpenTheSimulator(host_, options_));
      if (const std::string differences = DifferencesOfFacts(open.facts, facts_);
          !differences.empty()) {
        return absl::FailedPreconditionError(absl::StrCat(
            "simulator ", host_, " is another one than the spec's: ", differences,
            "; run the same versions on all actors, or take the facts that mentor env facts "
            "prints now"));
      }
      process_ = std::move(open.process);
      MENTOR_ASSIGN_OR_RETURN(arrays_, SharedArrays::Make(facts_));
      v1::HostRequest question;
      *question.mutable_attach() = arrays_->layout();
      MENTOR_RETURN_IF_ERROR(Ended(process_->Do(question, arrays_->descriptor())));
      task_is_told_ = false;
    }
    if (task_is_told_) return absl::OkStatus();
    v1::HostRequest question;
    *question.mutable_set_task() = *task_;
    MENTOR_RETURN_IF_ERROR(Ended(process_->Do(question)));
    task_is_told_ = true;
    return absl::OkStatus();
  }

  absl::Status AskForObservation(const v1::HostRequest& question, const char* name,
                                 std::span<double> observation) {
    arrays_->Spoil();
    MENTOR_RETURN_IF_ERROR(Ended(process_->Do(question)));
    return Believe(arrays_->ReadObservation(observation), name);
  }

  // After an error the process has ended, unless it only refused.
  absl::Status Ended(absl::Status status) {
    if (!status.ok() && !absl::IsInvalidArgument(status)) process_.reset();
    return status;
  }
  // Ends a simulator that answered nonsense.
  absl::Status Believe(const absl::Status& status, const char* name) {
    if (status.ok()) return status;
    steps_ = -1;
    const absl::Status error =
        process_->End(absl::StrCat("answered '", name, "' with nonsense: ", status.message()));
    process_.reset();
    return error;
  }

  std::string StateDigest(uint32_t steps, std::string_view bytes) const {
    Sha256 hash;
    hash.Update(absl::StrCat(FactsText(facts_), "\n", steps, "\n"));
    for (const double number : task_->parameters()) hash.Update(absl::StrFormat("%a ", number));
    hash.Update(task_->goal_visible() ? "visible\n" : "\n");
    hash.Update(bytes);
    return hash.Finish();
  }

  // Fixed after construction.
  const std::string host_;
  const std::map<std::string, std::string> options_;
  const v1::EnvironmentFacts facts_;
  const EnvironmentInfo info_;
  std::string step_frame_;

  std::optional<v1::SetHostTask> task_;
  bool task_is_told_ = false;  // To the process.
  mutable int steps_ = -1;     // -1: no episode.
  int steps_before_ = -1;
  bool ended_ = false;
  std::vector<float> clipped_;
  // Mutable, because saving asks the process and may end it.
  mutable std::unique_ptr<SimulatorProcess> process_;
  std::unique_ptr<SharedArrays> arrays_;
};

std::string ComplaintAboutFacts(const std::string& text) {
  if (text.empty()) return "";
  const absl::Status status = ParseFacts(text).status();
  return status.ok()
             ? ""
             : absl::StrCat("is wrong: ", status.message(), "; take what mentor env facts prints");
}

struct HostConfig {
  std::string host, facts;  // No facts: ask the simulator.
};

const auto kHostOptions = Bind<HostConfig>(
    {{&HostConfig::host,
      RequiredTextOption(std::string(kHostOption), kHostNameBytesMax,
                         "The name of the simulator, as actors offer it: --simulator NAME=COMMAND.",
                         [](const std::string& name) {
                           return IsHostName(name)
                                      ? std::string()
                                      : absl::StrCat(
                                            "is '", name,
                                            "'; a name has small letters, digits, '-' and '_'");
                         })},
     {&HostConfig::facts, TextOption(std::string(kFactsOption), "", kFactsBytesMax,
                                     "What the simulator's environment is like: mentor run asks "
                                     "it, mentor env facts prints it.",
                                     ComplaintAboutFacts)},
     BoundOption<HostConfig>(OtherOptions("goes to the simulator as it is."))});

// The facts that the options state.
absl::StatusOr<v1::EnvironmentFacts> StatedFacts(const OptionValues& options) {
  const std::string facts = kHostOptions.Read(options).facts;
  if (!facts.empty()) return ParseFacts(facts);
  return AskFacts(options);
}

std::vector<double> DrawHostParameters(const OptionValues& options, const RandomStream& random,
                                       uint32_t index) {
  std::vector<double> task;
  const auto facts = StatedFacts(options);
  if (!facts.ok()) return task;  // Making the environment says why.
  for (int i = 0; i < facts->parameters_size(); ++i) {
    const v1::TaskRange& range = facts->parameters(i);
    task.push_back(range.low() +
                   (range.high() - range.low()) * random.Uniform(index, static_cast<uint32_t>(i)));
  }
  return task;
}

// Asks for an environment's facts and adds them to its options, if they lack them. Returns true if
// it did.
absl::StatusOr<bool> LearnInto(google::protobuf::RepeatedPtrField<v1::Option>* options) {
  Violations violations;
  const OptionValues values =
      OptionValues::Parse(kHostOptions.table(), *options, "option", &violations);
  const HostConfig config = kHostOptions.Read(values);
  // The check of the spec reports what is wrong.
  if (!violations.empty() || !config.facts.empty() || !FindSimulator(config.host)) return false;
  MENTOR_ASSIGN_OR_RETURN(const v1::EnvironmentFacts facts, AskFacts(values));
  v1::Option* option = options->Add();
  option->set_name(std::string(kFactsOption));
  option->set_value(FactsText(facts));
  return true;
}

const RegisterEnvironment kRegisterHost({
    .name = std::string(kHostEnvironment),
    .summary = kHostSummary,
    .options = kHostOptions.table(),
    .make = [](const OptionValues& options) -> absl::StatusOr<std::unique_ptr<Environment>> {
      MENTOR_ASSIGN_OR_RETURN(v1::EnvironmentFacts facts, StatedFacts(options));
      return std::make_unique<SimulatorEnvironment>(kHostOptions.Read(options).host,
                                                    options.others(), std::move(facts));
    },
    .draw_parameters = DrawHostParameters,
    .task_help =
        "parameters: as many numbers as the simulator's facts have ranges; drawn uniformly "
        "from them",
    .observation_help = "the simulator's",
    .reward_help = "the simulator's",
    .random_help =
        "each reset gives the simulator a seed of 128 bits, from which all chance of the "
        "episode must come",
    .source = "docs/own_environments.md",
    .suite = "Brought along",
    .gives_success =
        [](const OptionValues& options) {
          const std::string text = kHostOptions.Read(options).facts;
          const auto facts = ParseFacts(text);
          return text.empty() || !facts.ok() || facts->has_success();
        },
    .brought = true,
});

}  // namespace

absl::StatusOr<v1::EnvironmentFacts> AskFacts(const OptionValues& options) {
  const std::string name = kHostOptions.Read(options).host;
  if (!FindSimulator(name)) {
    return absl::FailedPreconditionError(
        absl::StrCat("the option facts is missing, and no simulator '", name,
                     "' is offered here to ask; write what mentor env facts --simulator ", name,
                     "=COMMAND prints into the spec, or give --simulator ", name, "=COMMAND"));
  }
  MENTOR_ASSIGN_OR_RETURN(OpenSimulator open, OpenTheSimulator(name, options.others()));
  return std::move(open.facts);
}

absl::StatusOr<bool> LearnFacts(v1::BenchmarkSpec* benchmark) {
  std::vector<google::protobuf::RepeatedPtrField<v1::Option>*> hosted;
  if (benchmark->environment() == kHostEnvironment) hosted.push_back(benchmark->mutable_option());
  for (v1::TaskSetSpec& set : *benchmark->mutable_task_set()) {
    if (set.environment() == kHostEnvironment) hosted.push_back(set.mutable_option());
  }
  bool any = false;
  for (auto* options : hosted) {
    MENTOR_ASSIGN_OR_RETURN(const bool learned, LearnInto(options));
    any |= learned;
  }
  return any;
}

}  // namespace mentor::envs
