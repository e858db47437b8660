// Counts of hashed observations (bonuses/README.md#counts): SimHash maps an observation to the
// signs of random projections, and the bonus falls with the root of how often a code was reached.
#include <algorithm>
#include <cmath>
#include <map>

#include "bonuses/bonus.h"
#include "bonuses/bonus_options.h"

namespace mentor::bonuses::counts {
namespace {

struct Config {
  Settings settings;
  int64_t bits = 32;
};

const auto kOptions = Bind<Config>(
    {{&Config::settings,
      SettingOptions({.weight = "0.01", .task_weight = "1", .scale = "none", .normalise = false})},
     {&Config::bits, "bits", "32", 1, 64,
      "Bits of a code. More bits tell more observations apart."}});

class Counts : public Bonus {
 public:
  Counts(const StepSizes& sizes, const Config& config, RandomStream stream)
      : Bonus(sizes, config.settings), projections_(config.bits * sizes.observation) {
    stream.purpose = Purpose::kBonusWeights;
    stream.iteration = 0;
    stream.Normals(/*step=*/0, projections_);
  }

 private:
  void Count(const Steps& seen) override {
    for (int64_t t = 0; t < seen.count(); ++t) {
      if (seen.known[t]) ++counts_[CodeOf(seen, t)];
    }
  }

  void Raw(const Steps& seen, std::span<double> out) const override {
    for (int64_t t = 0; t < seen.count(); ++t) {
      const auto found = counts_.find(CodeOf(seen, t));
      out[t] = found == counts_.end() ? 1 : 1 / std::sqrt(static_cast<double>(found->second));
    }
  }

  // Returns the code of the observation after step t: the signs of its projections.
  uint64_t CodeOf(const Steps& seen, int64_t t) const {
    const int64_t size = sizes_.observation;
    const double* observation = seen.next_observations.data() + t * size;
    uint64_t code = 0;
    for (size_t row = 0; row < projections_.size(); row += size) {
      double sum = 0;
      for (int64_t i = 0; i < size; ++i) sum += projections_[row + i] * observation[i];
      code = code << 1 | (sum >= 0 ? 1 : 0);
    }
    return code;
  }

  // The projections, then codes := number of codes, then (upper half, lower half, count) of each,
  // by code.
  void Pass(Numbers* numbers) override {
    numbers->Pass(projections_);
    auto codes = static_cast<int64_t>(counts_.size());
    numbers->Pass(&codes);
    auto next = counts_.begin();
    std::map<uint64_t, int64_t> taken;
    for (int64_t i = 0; i < codes && numbers->ok(); ++i) {
      int64_t upper = 0, lower = 0, count = 0;
      if (numbers->saves()) {
        upper = static_cast<int64_t>(next->first >> 32);
        lower = static_cast<int64_t>(next->first & 0xffffffff);
        count = (next++)->second;
      }
      for (int64_t* number : {&upper, &lower, &count}) numbers->Pass(number);
      if (upper >> 32 != 0 || lower >> 32 != 0 || count < 1) return numbers->Fail();
      taken[static_cast<uint64_t>(upper) << 32 | static_cast<uint64_t>(lower)] = count;
    }
    if (!numbers->saves()) counts_ = std::move(taken);
  }

  std::vector<double> projections_;  // [bits, D]
  std::map<uint64_t, int64_t> counts_;
};

const RegisterBonus kCounts({
    .name = "counts",
    .summary = "1 / sqrt(visits) of an observation's hash code (SimHash, Tang et al. 2017)",
    .options = kOptions.table(),
    .make = [](const StepSizes& sizes, const OptionValues& options,
               const RandomStream& stream) -> std::unique_ptr<Bonus> {
      return std::make_unique<Counts>(sizes, kOptions.Read(options), stream);
    },
    .sizes = [](const StepSizes& sizes, const OptionValues& options, int64_t steps,
                int64_t lifetime_steps) -> BonusSizes {
      // A node of the map takes six numbers of eight bytes beside the saved ones.
      return {
          .state = 9 * lifetime_steps + (kOptions.Read(options).bits + 2) * sizes.observation + 9,
          .scratch = 2 * steps};
    },
});

}  // namespace
}  // namespace mentor::bonuses::counts
