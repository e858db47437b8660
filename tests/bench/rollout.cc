// Environment steps a second through a learner and one actor over loopback TLS, beside the same
// units in process without gRPC (docs/performance.md, `rollout`).
#include <atomic>
#include <chrono>
#include <string>
#include <vector>

#include <absl/strings/str_cat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actor/actor.h"
#include "actor/unit_runner.h"
#include "agents/agent_shape.h"
#include "agents/policy_weights.h"
#include "common/check.h"
#include "common/metrics.h"
#include "common/rpc/server.h"
#include "common/spec/spec.h"
#include "common/temporary_folder.h"
#include "envs/benchmark.h"
#include "learner/rollout/rollout_server.h"
#include "tests/bench/bench.h"
#include "tests/bench/workload.h"
#include "shards/unit_plan.h"

namespace mentor::bench {
namespace {

constexpr int kAgents = 8;

// Makes a self-signed certificate for localhost with openssl.
absl::Status MakeCertificate(const std::string& folder) {
  const std::string key = folder + "/key.pem", certificate = folder + "/cert.pem";
  std::vector<std::string> words = {"openssl",
                                    "req",
                                    "-x509",
                                    "-newkey",
                                    "ec",
                                    "-pkeyopt",
                                    "ec_paramgen_curve:prime256v1",
                                    "-nodes",
                                    "-keyout",
                                    key,
                                    "-out",
                                    certificate,
                                    "-days",
                                    "2",
                                    "-subj",
                                    "/CN=localhost",
                                    "-addext",
                                    "subjectAltName=DNS:localhost,IP:127.0.0.1"};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    if (std::freopen("/dev/null", "w", stderr) != nullptr) execvp("openssl", arguments.data());
    _exit(127);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
    return absl::FailedPreconditionError(
        "openssl could not make a certificate; install the package openssl");
  }
  return absl::OkStatus();
}

std::vector<v1::Unit> MakeUnits(const envs::Benchmark& benchmark, const v1::ExperimentSpec& spec,
                                uint64_t shard_number) {
  v1::Shard shard;
  *shard.mutable_spec() = spec;
  shard.mutable_shape()->set_observation_size(
      static_cast<uint32_t>(benchmark.info().observation_size));
  shard.mutable_shape()->set_action_size(static_cast<uint32_t>(benchmark.info().action_size));
  shard.mutable_shape()->set_episode_steps(static_cast<uint32_t>(benchmark.info().episode_steps));
  shard.mutable_shape()->set_independent_episodes(benchmark.info().independent_episodes);
  std::vector<uint32_t> numbers;
  for (uint32_t i = 0; i < kAgents; ++i) {
    v1::Lifetime& lifetime = *shard.add_lifetimes();
    lifetime.set_number(i);
    *lifetime.mutable_task() = benchmark.Tasks(envs::Split::kTrain)[0].tasks[i];
    numbers.push_back(i);
  }
  const learner::AgentShape shape{.observation_size = benchmark.info().observation_size,
                                  .action_size = benchmark.info().action_size,
                                  .hidden_units = 64,
                                  .critic = false};
  const torch::Tensor theta =
      learner::InitialTheta(shape, 1.0, spec.seed(), Phase::kTraining, numbers);
  return learner::PlanUnits(shard, shard_number,
                            {.number = 0,
                             .steps = spec.lifetime().steps_per_iteration(),
                             .policies = learner::ToPolicyWeights(shape, theta)},
                            learner::FirstCursors(kAgents));
}

absl::StatusOr<Figures> RunRollout(const Settings&) {
  MENTOR_ASSIGN_OR_RETURN(const v1::ExperimentSpec spec,
                          LoadSpec("benchmark { name: \"ml1\" environment: \"door-close-v3\" }"));
  Violations violations;
  const auto benchmark = envs::MakeBenchmark(spec.benchmark(), &violations);
  MENTOR_RETURN_IF_ERROR(violations.ToStatus());

  MENTOR_ASSIGN_OR_RETURN(const TemporaryFolder folder, TemporaryFolder::Create("mentor-bench"));
  MENTOR_RETURN_IF_ERROR(MakeCertificate(folder.path()));
  const std::string certificate = folder.path() / "cert.pem", key = folder.path() / "key.pem";

  const auto metrics = Metrics::Create();
  learner::RolloutServer rollout({}, metrics.get());
  MENTOR_ASSIGN_OR_RETURN(
      const auto server,
      rpc::Server::Start({.address = "127.0.0.1:0",
                          .tls = {.certificate = certificate, .key = key, .authority = ""}},
                         {rollout.service()}));
  MENTOR_ASSIGN_OR_RETURN(
      const auto channel,
      rpc::MakeChannel({.address = server->address(),
                        .tls = {.certificate = "", .key = "", .authority = certificate}}));
  actor::Actor actor({.threads = 1, .channel = [&] { return channel; }}, metrics.get());
  actor::UnitRunner direct;

  const std::atomic<bool> cancel = false;
  // The two take turns. The first turns warm up simulators and caches on both sides.
  constexpr uint64_t kTurns = 4;
  double steps = 0, direct_s = 0, remote_s = 0, cpu = 0, policy = 0;
  for (uint64_t turn = 0; turn < kTurns; ++turn) {
    if (turn == 1) steps = direct_s = remote_s = cpu = policy = 0;
    std::vector<v1::Unit> units = MakeUnits(*benchmark, spec, turn + 1);
    auto start = std::chrono::steady_clock::now();
    for (const v1::Unit& unit : units) {
      const v1::Result result = direct.Run(unit);
      if (!result.error().empty()) return absl::InternalError(result.error());
      steps += unit.steps();
      cpu += result.cpu_seconds();
      policy += result.policy_cpu_seconds();
    }
    direct_s += SecondsSince(start);
    start = std::chrono::steady_clock::now();
    MENTOR_RETURN_IF_ERROR(rollout.RunUnits(std::move(units), cancel).status());
    remote_s += SecondsSince(start);
  }
  actor.Stop();
  rollout.Stop();
  server->Shutdown(std::chrono::seconds(5));
  return Figures{
      {"in_process", {steps / direct_s, "steps/s"}},
      {"loopback_tls", {steps / remote_s, "steps/s"}},
      {"loopback_tls_over_in_process", {direct_s / remote_s, "ratio", "must 0.85, goal 0.95"}},
      {"policy_share_of_unit", {policy / cpu, "ratio", "must 0.10, goal 0.05"}}};
}

const RegisterBench register_rollout(
    {.name = "rollout",
     .summary = "Steps a second over loopback TLS against in process, one actor thread",
     .run = RunRollout});

}  // namespace
}  // namespace mentor::bench
