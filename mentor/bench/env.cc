// Environments against the bare simulator (goals.md, rows `env`).
#include "common/check.h"
#include "envs/bench.h"
#include "mentor/bench/bench.h"

namespace mentor::bench {
namespace {

absl::StatusOr<Figures> Run(const Settings& settings) {
  MENTOR_ASSIGN_OR_RETURN(const envs::EnvironmentBench bench,
                          envs::BenchEnvironments({.rounds = settings.rounds}));
  Figures figures;
  for (const envs::SceneBench& scene : bench.scenes) {
    figures["step/" + scene.environment] = {scene.step_ratio, "ratio", ""};
    figures["with_resets/" + scene.environment] = {scene.with_resets_ratio, "ratio", ""};
    figures["step_us/" + scene.environment] = {scene.step_us, "us", ""};
    figures["bare_us/" + scene.environment] = {scene.bare_us, "us", ""};
    figures["reset_us/" + scene.environment] = {scene.reset_us, "us", ""};
    figures["first_reset_us/" + scene.environment] = {scene.first_reset_us, "us", ""};
  }
  figures["step"] = {bench.step_ratio, "ratio", "must 0.80, goal 0.90"};
  figures["with_resets"] = {bench.with_resets_ratio, "ratio", "must 0.80, goal 0.89"};
  figures["two_threads"] = {bench.two_threads_ratio, "ratio", "must 1.85, goal 1.95"};
  figures["two_threads_by_cpu_time"] = {bench.two_threads_cpu_ratio, "ratio", ""};
  return figures;
}

const RegisterBench registration(
    {.name = "env",
     .summary = "Environment step against five bare mj_step, resets, two threads",
     .run = Run});

}  // namespace
}  // namespace mentor::bench
