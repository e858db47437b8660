#include "envs/verify.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <span>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <nlohmann/json.hpp>

#include "common/check.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/status.h"
#include "envs/mujoco_environment.h"

namespace mentor::envs {
namespace {

using RecordJson = nlohmann::json;

static_assert(std::endian::native == std::endian::little);
constexpr double kStateTolerance = 1e-12;
constexpr double kObservationTolerance = 1e-12;
constexpr double kRewardTolerance = 1e-10;
constexpr double kInfoTolerance = 1e-10;
constexpr uint64_t kEpisodesBytesMax = uint64_t{1} << 30;

// The thrown message without the JSON library's code in front: "[json.exception.type_error.304] ".
std::string WordsOf(const std::exception& thrown) {
  const std::string text = thrown.what();
  const size_t end = text.starts_with("[json.exception.") ? text.find("] ") : text.npos;
  return end == text.npos ? text : text.substr(end + 2);
}

// Greatest absolute difference; infinite where a number is NaN or the lengths differ.
double Difference(std::span<const double> got, std::span<const double> want) {
  if (got.size() != want.size()) return std::numeric_limits<double>::infinity();
  double greatest = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double difference = std::abs(got[i] - want[i]);
    if (!(difference <= greatest))
      greatest = std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference;
  }
  return greatest;
}

void Raise(double* greatest, double value) {
  *greatest = std::max(*greatest, value);
}

// One recorded episode: named fields in the numbers of a file.
class Recording {
 public:
  Recording(const RecordJson& episode, std::span<const double> numbers)
      : episode_(episode), numbers_(numbers) {}

  bool Has(const char* name) const { return episode_.at("fields").contains(name); }

  // The field as rows of a matrix; a vector has one row. Throws RecordJson::exception or
  // std::out_of_range.
  struct Field {
    std::span<const double> numbers;
    size_t rows = 0, columns = 0;
    std::span<const double> Row(size_t i) const { return numbers.subspan(i * columns, columns); }
  };
  Field Get(const char* name) const {
    const RecordJson& field = episode_.at("fields").at(name);
    const uint64_t offset = field.at("offset").get<uint64_t>();
    const auto shape = field.at("shape").get<std::vector<uint64_t>>();
    uint64_t size = 1;
    for (uint64_t length : shape) {
      if (length > numbers_.size())
        throw std::out_of_range(absl::StrCat("field ", name, " is longer than the file"));
      size *= length;
      if (size > numbers_.size())
        throw std::out_of_range(absl::StrCat("field ", name, " is longer than the file"));
    }
    if (offset > numbers_.size() || size > numbers_.size() - offset) {
      throw std::out_of_range(absl::StrCat("field ", name, " reaches beyond the end of the file"));
    }
    if (shape.empty() || shape.size() > 2)
      throw std::out_of_range(absl::StrCat("field ", name, " has a strange shape"));
    return {numbers_.subspan(offset, size), shape.size() == 2 ? shape[0] : 1, shape.back()};
  }
  // A field with one number, or one row of `columns`, for each step.
  Field PerStep(const char* name, size_t steps, size_t columns) const {
    Field field = Get(name);
    if (field.numbers.size() != steps * columns) {
      throw std::out_of_range(absl::StrCat("field ", name, " has ", field.numbers.size(),
                                           " numbers, expected ", steps, " x ", columns));
    }
    field.rows = steps;
    field.columns = columns;
    return field;
  }

 private:
  const RecordJson& episode_;
  const std::span<const double> numbers_;
};

// Steps through the recorded actions in an environment at the recording's beginning.
absl::Status Replay(const Recording& recording, size_t steps, size_t check_every,
                    MuJoCoEnvironment& environment, TaskVerification* result) {
  const EnvironmentInfo& info = environment.info();
  const auto actions = recording.PerStep("action", steps, info.action_size);
  const auto observations = recording.PerStep("obs", steps, info.observation_size);
  const auto rewards = recording.PerStep("reward", steps, 1);
  const auto terminated = recording.PerStep("terminated", steps, 1);
  const auto truncated = recording.PerStep("truncated", steps, 1);
  const auto infos = recording.PerStep("info", steps, environment.InfoKeys().size());
  const auto checks = recording.Get("check");
  const size_t success =
      std::find(environment.InfoKeys().begin(), environment.InfoKeys().end(), "success") -
      environment.InfoKeys().begin();

  std::vector<float> action(info.action_size);
  std::vector<double> observation(info.observation_size);
  for (size_t t = 0; t < steps; ++t) {
    for (size_t i = 0; i < action.size(); ++i) action[i] = static_cast<float>(actions.Row(t)[i]);
    const absl::StatusOr<StepOutcome> outcome = environment.Step(action, observation);
    if (!outcome.ok()) return WithPrefix(absl::StrCat("step ", t + 1, ": "), outcome.status());
    Raise(&result->observation, Difference(observation, observations.Row(t)));
    Raise(&result->reward, Difference(std::array{outcome->reward}, rewards.Row(t)));
    Raise(&result->info, Difference(environment.Info(), infos.Row(t)));
    if (outcome->terminated != (terminated.Row(t)[0] != 0) ||
        outcome->truncated != (truncated.Row(t)[0] != 0) ||
        (success < infos.columns && outcome->success != (infos.Row(t)[success] != 0))) {
      ++result->flags;
    }
    if (check_every > 0 && (t + 1) % check_every == 0 && (t + 1) / check_every <= checks.rows) {
      Raise(&result->state, Difference(environment.PositionsAndVelocities(),
                                       checks.Row((t + 1) / check_every - 1)));
    }
    ++result->steps;
  }
  return absl::OkStatus();
}

// Brings the environment to the start of a recording by its own reset: to the task's vector, or,
// where a reset is noise, to the recorded positions and velocities.
absl::Status Begin(const Recording& recording, const RecordJson& json,
                   MuJoCoEnvironment& environment, std::span<double> observation) {
  v1::EnvironmentTask task;
  task.set_environment(environment.info().name);
  if (!recording.Has("rand_vec")) {
    MENTOR_RETURN_IF_ERROR(environment.SetTask(task));
    return environment.ResetTo(recording.Get("init_qpos").numbers,
                               recording.Get("init_qvel").numbers, observation);
  }
  for (double number : recording.Get("rand_vec").numbers) task.add_parameters(number);
  task.set_goal_visible(!json.value("partially_observable", true));
  MENTOR_RETURN_IF_ERROR(environment.SetTask(task));
  if (json.value("noise", false)) {
    return environment.ResetTo(recording.Get("init_qpos").numbers,
                               recording.Get("init_qvel").numbers, observation);
  }
  return environment.Reset({.purpose = Purpose::kEnvironmentReset}, 0, observation);
}

// Both replays of one episode. The second restores the recorded simulator state in data that has
// moved elsewhere.
absl::Status ReplayEpisode(const RecordJson& json, std::span<const double> numbers,
                           size_t check_every, MuJoCoEnvironment& environment,
                           TaskVerification* result) {
  const Recording recording(json, numbers);
  const size_t steps = json.at("steps").get<size_t>();
  std::vector<double> observation(environment.info().observation_size);
  MENTOR_RETURN_IF_ERROR(Begin(recording, json, environment, observation));
  const auto init_state = recording.Get("init_state");
  Raise(&result->state, Difference(environment.SimulatorState(), init_state.numbers));
  std::vector<double> positions(recording.Get("init_qpos").numbers.begin(),
                                recording.Get("init_qpos").numbers.end());
  const auto velocities = recording.Get("init_qvel").numbers;
  positions.insert(positions.end(), velocities.begin(), velocities.end());
  Raise(&result->state, Difference(environment.PositionsAndVelocities(), positions));
  Raise(&result->observation, Difference(observation, recording.Get("init_obs").numbers));
  MENTOR_ASSIGN_OR_RETURN(const std::string start, environment.SaveState());
  MENTOR_RETURN_IF_ERROR(Replay(recording, steps, check_every, environment, result));

  MENTOR_RETURN_IF_ERROR(environment.RestoreState(start, observation));
  MENTOR_RETURN_IF_ERROR(environment.SetSimulatorState(init_state.numbers));
  return Replay(recording, steps, check_every, environment, result);
}

absl::Status VerifyTask(const std::filesystem::path& folder, const RecordJson& json,
                        size_t check_every, Environment& made, TaskVerification* result) {
  const std::string name = json.at("file").get<std::string>();
  if (std::filesystem::path(name).filename() != name) {
    return absl::InvalidArgumentError(absl::StrCat("file name '", name, "' leaves the folder"));
  }
  MENTOR_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(folder / name, kEpisodesBytesMax));
  if (const uint64_t expected = json.at("bytes").get<uint64_t>(); bytes.size() != expected) {
    return absl::DataLossError(absl::StrCat(name, " has ", bytes.size(),
                                            " bytes, the manifest says ", expected,
                                            ": it is cut short or of another set; copy it again"));
  }
  if (const std::string digest = Sha256Hex(bytes); digest != json.at("sha256").get<std::string>()) {
    return absl::DataLossError(absl::StrCat(name, " has SHA-256 ", digest, ", the manifest says ",
                                            json.at("sha256").get<std::string>(),
                                            ": it is corrupt; copy it again"));
  }
  if (bytes.size() % sizeof(double) != 0)
    return absl::DataLossError(
        absl::StrCat(name, " has a length that is not a multiple of 8, the size of a float64"));
  std::vector<double> numbers(bytes.size() / sizeof(double));
  std::memcpy(numbers.data(), bytes.data(), bytes.size());

  auto* environment = dynamic_cast<MuJoCoEnvironment*>(&made);
  if (environment == nullptr) return absl::UnimplementedError("is not a MuJoCo environment");
  if (json.at("info_keys").get<std::vector<std::string>>() != environment->InfoKeys()) {
    return absl::InvalidArgumentError(absl::StrCat("info_keys of the manifest are not ours: ",
                                                   absl::StrJoin(environment->InfoKeys(), ", ")));
  }
  for (const RecordJson& episode : json.at("episodes")) {
    const absl::Status status = ReplayEpisode(episode, numbers, check_every, *environment, result);
    if (!status.ok()) return WithPrefix(absl::StrCat("episode ", result->episodes, ": "), status);
    ++result->episodes;
  }
  if (result->steps == 0) return absl::InvalidArgumentError("has no recorded steps");
  return absl::OkStatus();
}

std::string Table(const Verification& verification) {
  std::string text = absl::StrFormat("%-32s %8s %7s %12s %12s %12s %12s %6s\n", "task", "episodes",
                                     "steps", "state", "observation", "reward", "info", "flags");
  int failed = 0;
  for (const TaskVerification& task : verification.tasks) {
    absl::StrAppend(
        &text, absl::StrFormat("%-32s %8d %7d %12.3g %12.3g %12.3g %12.3g %6d  %s\n", task.task,
                               task.episodes, task.steps, task.state, task.observation, task.reward,
                               task.info, task.flags, task.passed ? "ok" : "FAILED"));
    if (!task.error.empty()) absl::StrAppend(&text, "    ", task.error, "\n");
    failed += !task.passed;
  }
  if (!verification.skipped.empty()) {
    absl::StrAppend(&text, "skipped, no such environment here: ",
                    absl::StrJoin(verification.skipped, ", "), "\n");
  }
  absl::StrAppend(&text, "greatest absolute errors; tolerance: ", kStateTolerance,
                  " (state, observation), ", kRewardTolerance, " (reward, info), flags equal\n");
  if (verification.tasks.empty()) {
    absl::StrAppend(&text, "nothing was verified\n");
  } else {
    absl::StrAppend(&text, verification.tasks.size() - failed, " of ", verification.tasks.size(),
                    " tasks agree\n");
  }
  return text;
}

}  // namespace

absl::StatusOr<Verification> Verify(const std::string& folder,
                                    const std::vector<std::string>& only_tasks) {
  return Verify(folder, only_tasks,
                [](const std::string& task) -> absl::StatusOr<std::unique_ptr<Environment>> {
                  if (FindEnvironment(task) == nullptr) return nullptr;
                  return MakeEnvironment(task, {});
                });
}

absl::StatusOr<Verification> Verify(const std::string& folder,
                                    const std::vector<std::string>& only_tasks,
                                    const RecordedEnvironment& make) {
  const std::filesystem::path path = std::filesystem::path(folder) / "manifest.json";
  MENTOR_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kEpisodesBytesMax));
  Verification verification;
  try {
    const RecordJson manifest = RecordJson::parse(text);
    if (manifest.at("format") != 1) {
      return absl::InvalidArgumentError(absl::StrCat(path.string(), ": format is not 1"));
    }
    const size_t check_every = manifest.at("check_every").get<size_t>();
    std::vector<std::string> missing = only_tasks;
    for (const RecordJson& json : manifest.at("tasks")) {
      TaskVerification task{.task = json.at("task").get<std::string>()};
      if (!only_tasks.empty()) {
        if (std::find(only_tasks.begin(), only_tasks.end(), task.task) == only_tasks.end())
          continue;
        std::erase(missing, task.task);
      }
      const absl::StatusOr<std::unique_ptr<Environment>> made = make(task.task);
      if (made.ok() && *made == nullptr) {
        verification.skipped.push_back(task.task);
        continue;
      }
      try {
        task.error =
            std::string(made.ok() ? VerifyTask(folder, json, check_every, **made, &task).message()
                                  : made.status().message());
      } catch (const std::exception&
                   wrong) {  // From the JSON library, or a field that does not fit its file.
        task.error = WordsOf(wrong);
      }
      task.passed = task.error.empty() && task.state <= kStateTolerance &&
                    task.observation <= kObservationTolerance && task.reward <= kRewardTolerance &&
                    task.info <= kInfoTolerance && task.flags == 0;
      verification.tasks.push_back(std::move(task));
    }
    if (!missing.empty()) {
      return absl::NotFoundError(
          absl::StrCat(path.string(), " has no task ", absl::StrJoin(missing, ", ")));
    }
  } catch (const RecordJson::exception& wrong) {
    return absl::InvalidArgumentError(absl::StrCat(path.string(), ": ", WordsOf(wrong)));
  }
  verification.passed = !verification.tasks.empty();
  for (const TaskVerification& task : verification.tasks)
    verification.passed = verification.passed && task.passed;
  verification.text = Table(verification);
  return verification;
}

}  // namespace mentor::envs
