// The signal network along lifetimes, and the outer update's epoch (goals.md, row `signal` and the
// outer part of `lifetime`).
#include "mentor/bench/bench.h"
#include "meta_learner/rules/bench.h"

namespace mentor::bench {
namespace {

absl::StatusOr<Figures> Run(const Settings& settings) {
  const meta_learner::BenchRulesOptions options{.rounds = settings.rounds};
  Figures figures;
  const auto add = [&](const std::string& part, const std::map<std::string, double>& numbers) {
    for (const auto& [name, value] : numbers) {
      const char* unit = name.ends_with("_us")  ? "us"
                         : name.ends_with("_s") ? "s"
                         : name == "gflop"      ? "GFLOP"
                                                : "ratio";
      figures[part + "/" + name] = {value, unit, ""};
    }
  };
  add("signal", meta_learner::BenchSignal(options));
  add("outer_ppo", meta_learner::BenchOuterPpo(options));
  return figures;
}

const RegisterBench registration(
    {.name = "signal",
     .summary = "Signal network along a lifetime, and an epoch of the outer PPO",
     .run = Run});

}  // namespace
}  // namespace mentor::bench
