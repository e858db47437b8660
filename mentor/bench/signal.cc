// The signal network along lifetimes, and the outer update's epoch (docs/performance.md, `signal`
// and the outer part of `lifetime`).
#include "mentor/bench/bench.h"
#include "mentor/bench/outer_rounds.h"

namespace mentor::bench {
namespace {

absl::StatusOr<Figures> RunSignal(const Settings& settings) {
  const BenchRulesOptions options{.rounds = settings.rounds};
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
  add("signal", BenchSignal(options));
  add("outer_ppo", BenchOuterPpo(options));
  return figures;
}

const RegisterBench register_signal(
    {.name = "signal",
     .summary = "Signal network along a lifetime, and an epoch of the outer PPO",
     .run = RunSignal});

}  // namespace
}  // namespace mentor::bench
