// Environments against the bare simulator (docs/performance.md, `env`).
#include <CLI/CLI.hpp>
#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "tests/bench/bench.h"
#include "tests/bench/environment_rounds.h"

namespace mentor::bench {
namespace {

std::vector<std::string> environments;

absl::StatusOr<Figures> RunEnv(const Settings&) {
  MENTOR_ASSIGN_OR_RETURN(const EnvironmentBench bench, BenchEnvironments(environments));
  Figures figures;
  for (const SceneBench& scene : bench.scenes) {
    const std::string& name = scene.environment;
    figures["step/" + name] = {scene.step_ratio, "ratio"};
    figures["with_resets/" + name] = {scene.with_resets_ratio, "ratio"};
    figures["step_us/" + name] = {scene.step_us, "us"};
    figures["bare_us/" + name] = {scene.bare_us, "us"};
    figures["total_us/" + name] = {scene.total_us, "us"};
    figures["reset_us/" + name] = {scene.reset_us, "us"};
    figures["first_reset_us/" + name] = {scene.first_reset_us, "us"};
  }
  for (const SuiteBench& suite : bench.suites) {
    const bool gymnasium = suite.suite.starts_with("Gymnasium");
    const auto name = [&suite](const char* figure) {
      return absl::StrCat(suite.suite, " (", suite.scenes, "): ", figure);
    };
    figures[name("step")] = {suite.step_ratio, "ratio",
                             gymnasium ? "must 0.90, goal 0.95" : "must 0.80, goal 0.90"};
    figures[name("with resets")] = {suite.with_resets_ratio, "ratio",
                                    gymnasium ? "" : "must 0.80, goal 0.89"};
    // The ratio of two such means is the mean of ratios. A peer with as many environments reports
    // its own mean.
    figures[name("total")] = {suite.total_us, "us"};
    figures[name("two threads")] = {suite.two_threads_ratio, "ratio", "must 1.85, goal 1.95"};
    figures[name("two threads by CPU time")] = {suite.two_threads_cpu_ratio, "ratio"};
  }
  return figures;
}

const RegisterBench register_env(
    {.name = "env",
     .summary = "Environment steps against bare mj_step; resets; two threads",
     .run = RunEnv,
     .add_flags = [](CLI::App* command) {
       command
           ->add_option("--environments", environments,
                        "Only these, with commas between them; default: all on MuJoCo")
           ->delimiter(',');
     }});

}  // namespace
}  // namespace mentor::bench
