// Environments through Python (docs/performance.md, `vector`): steps a second of
// gymnasium.make_vec, beside a loop in C++ over the same environments. Its peer in
// deploy/bench/vector steps EnvPool's.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>

#include "common/check.h"
#include "envs/environment.h"
#include "tests/bench/bench.h"
#include "tests/bench/environment_rounds.h"
#include "tests/bench/rounds.h"

namespace mentor::bench {
namespace {

constexpr auto kVectorWarmUp = std::chrono::milliseconds(300);
constexpr auto kVectorSeconds = std::chrono::seconds(1);
constexpr auto kPythonDeadline = std::chrono::duration<double>(600);

std::string vector_command = "python3 -m mentor.environments.speed";
std::vector<std::string> vector_environments = {"push-v3", "door-close-v3", "Hopper-v5",
                                                "HalfCheetah-v5", "Ant-v5"};
std::vector<int> vector_sizes = {1, 8, 64};
int vector_threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));

// An environment that a thread of the loop steps with uniform actions.
class Stepped {
 public:
  static absl::StatusOr<Stepped> Make(const envs::EnvironmentEntry& entry, uint32_t number) {
    MENTOR_ASSIGN_OR_RETURN(std::unique_ptr<envs::Environment> environment,
                            envs::MakeEnvironment(entry.name, {}));
    Violations none;
    const OptionValues options = OptionValues::Parse(entry.options, {}, "", &none);
    const RandomStream tasks{.seed = 2, .purpose = Purpose::kTasks};
    MENTOR_RETURN_IF_ERROR(environment->SetTask(envs::DrawTask(entry, options, tasks, number)));
    return Stepped(std::move(environment), number);
  }

  absl::Status Step() {
    if (ended_) {
      const RandomStream resets{
          .seed = 3, .purpose = Purpose::kEnvironmentReset, .lifetime = number_};
      MENTOR_RETURN_IF_ERROR(environment_->Reset(resets, episode_++, observation_));
    }
    const envs::EnvironmentInfo& info = environment_->info();
    const RandomStream random{.seed = 1, .purpose = Purpose::kTest, .lifetime = number_};
    for (int i = 0; i < info.action_size; ++i) {
      action_[i] = static_cast<float>(info.action_low + (info.action_high - info.action_low) *
                                                            random.Uniform(step_, i));
    }
    ++step_;
    MENTOR_ASSIGN_OR_RETURN(const envs::StepOutcome outcome,
                            environment_->Step(action_, observation_));
    ended_ = outcome.terminated || outcome.truncated;
    return absl::OkStatus();
  }

 private:
  Stepped(std::unique_ptr<envs::Environment> environment, uint32_t number)
      : environment_(std::move(environment)),
        number_(number),
        action_(environment_->info().action_size),
        observation_(environment_->info().observation_size) {}

  std::unique_ptr<envs::Environment> environment_;
  uint32_t number_;
  std::vector<float> action_;
  std::vector<double> observation_;
  uint32_t step_ = 0, episode_ = 0;
  bool ended_ = true;
};

// Steps a second of `size` environments that `threads` threads share, by the wall clock. Threads
// never wait for each other.
absl::StatusOr<double> LoopStepsPerSecond(const envs::EnvironmentEntry& entry, int size,
                                          int threads) {
  std::vector<Stepped> stepped;
  for (int i = 0; i < size; ++i) {
    MENTOR_ASSIGN_OR_RETURN(Stepped one, Stepped::Make(entry, i));
    stepped.push_back(std::move(one));
  }
  const int workers = std::min(size, threads);
  const auto begin = std::chrono::steady_clock::now() + kVectorWarmUp;
  const auto end = begin + kVectorSeconds;
  std::atomic<uint64_t> steps = 0;
  std::vector<absl::Status> statuses(workers);
  std::vector<std::jthread> running;
  for (int worker = 0; worker < workers; ++worker) {
    running.emplace_back([&, worker] {
      uint64_t counted = 0;
      auto now = begin;
      for (int i = worker; now < end && statuses[worker].ok();) {
        statuses[worker] = stepped[i].Step();
        i = i + workers < size ? i + workers : worker;
        now = std::chrono::steady_clock::now();
        if (now >= begin && now < end) ++counted;
      }
      steps += counted;
    });
  }
  running.clear();
  for (const absl::Status& status : statuses) MENTOR_RETURN_IF_ERROR(status);
  return static_cast<double>(steps) / static_cast<double>(kVectorSeconds.count());
}

absl::StatusOr<Figures> RunVector(const Settings&) {
  std::vector<std::string> command = absl::StrSplit(vector_command, ' ', absl::SkipWhitespace());
  command.push_back("--environments=" + absl::StrJoin(vector_environments, ","));
  command.push_back("--sizes=" + absl::StrJoin(vector_sizes, ","));
  command.push_back(absl::StrCat("--threads=", vector_threads));
  MENTOR_ASSIGN_OR_RETURN(RoundReport python, RunCommand(command, kPythonDeadline));
  Figures figures = std::move(python.figures);
  for (const std::string& name : vector_environments) {
    const envs::EnvironmentEntry* entry = envs::FindEnvironment(name);
    if (entry == nullptr) {
      return absl::NotFoundError(absl::StrCat("--vector_environments: no environment '", name,
                                              "'; 'mentor env list' shows them"));
    }
    for (const int size : vector_sizes) {
      const std::string key = absl::StrCat(name, "/", size);
      MENTOR_ASSIGN_OR_RETURN(const double loop, LoopStepsPerSecond(*entry, size, vector_threads));
      figures["loop_steps_per_s/" + key] = {loop, "steps/s"};
      figures["of_loop/" + key] = {figures["steps_per_s/" + key].value / loop, "ratio",
                                   size >= 64 ? "must 0.85, goal 0.95" : ""};
    }
    // Bare MuJoCo has one thread and no resets.
    MENTOR_ASSIGN_OR_RETURN(const EnvironmentBench bare, BenchEnvironments({name}));
    const auto one = figures.find("steps_per_s/" + name + "/1");
    if (one != figures.end() && !bare.scenes.empty()) {
      figures["of_bare/" + name + "/1"] = {one->second.value * bare.scenes[0].bare_us * 1e-6,
                                           "ratio"};
    }
  }
  return figures;
}

const RegisterBench register_vector(
    {.name = "vector",
     .summary = "Environments through Python, with 1, 8 and 64 at once, against a loop in C++",
     .run = RunVector,
     .add_flags = [](CLI::App* command) {
       command
           ->add_option("--vector_command", vector_command,
                        "What measures in Python, with the module mentor")
           ->capture_default_str();
       command
           ->add_option("--vector_environments", vector_environments,
                        "Names of environments, with commas between them")
           ->delimiter(',')
           ->capture_default_str();
       command
           ->add_option("--vector_sizes", vector_sizes,
                        "Numbers of environments at once, with commas between them")
           ->delimiter(',')
           ->check(CLI::Range(1, 4096))
           ->capture_default_str();
       command
           ->add_option("--vector_threads", vector_threads,
                        "Threads that step them; the peers take all cores")
           ->check(CLI::Range(1, 1024))
           ->capture_default_str();
     }});

}  // namespace
}  // namespace mentor::bench
