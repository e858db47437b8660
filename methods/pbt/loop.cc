// Agents of a population (Jaderberg et al. 2017; methods/pbt/README.md): PPO on the task's own
// reward, with separate hyperparameters for each agent. The meta-parameters are the members'
// hyperparameters, row by row. An agent's member is its lifetime's number modulo the population's
// size. The outer rule decides which members copy which.
#include <torch/types.h>

#include <cmath>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "agents/ppo.h"
#include "common/check.h"
#include "methods/base/inner_loop.h"
#include "methods/base/loop_parts.h"
#include "methods/pbt/rule.h"

namespace mentor::methods {

using torch::Tensor;

double Hyperparameter::At(double place) const {
  if (!log_scale) return low + place * (high - low);
  return std::exp(std::log(low) + place * (std::log(high) - std::log(low)));
}

double Hyperparameter::PlaceOf(double value) const {
  if (high == low) return 0;
  if (!log_scale) return (value - low) / (high - low);
  return (std::log(value) - std::log(low)) / (std::log(high) - std::log(low));
}

const std::vector<Hyperparameter>& TunableHyperparameters() {
  static const std::vector<Hyperparameter> all = {
      {"learning_rate", true, 1e-5, 0.1, &agents::PpoConfig::learning_rate, true},
      {"entropy", true, 1e-5, 0.1, &agents::PpoConfig::entropy_coef, true},
      {"clip", false, 0.05, 0.5, &agents::PpoConfig::clip},
      {"gamma", false, 0.8, 0.999, &agents::PpoConfig::gamma},
      {"lambda", false, 0.8, 1, &agents::PpoConfig::gae_lambda}};
  return all;
}

namespace pbt_loop {

struct Config {
  std::vector<Hyperparameter> hyperparameters = TunableHyperparameters();
  v1::RewardSource reward;
};

// tune_NAME, NAME_low and NAME_high for each.
BoundOptions<Config> Options() {
  std::vector<BoundOption<Config>> options;
  for (size_t i = 0; i < TunableHyperparameters().size(); ++i) {
    const Hyperparameter& x = TunableHyperparameters()[i];
    const auto at = [i](Config& config) -> Hyperparameter& { return config.hyperparameters[i]; };
    // A logarithmic scale has no 0, and multiplication cannot leave it.
    const double least = x.log_scale ? 1e-12 : 0, most = x.log_scale ? 10 : 1;
    options.push_back({In(at, &Hyperparameter::tuned), "tune_" + x.name, x.tuned,
                       absl::StrCat("Members have a ", x.name, " of their own.")});
    options.push_back({In(at, &Hyperparameter::low), x.name + "_low", absl::StrCat(x.low), least,
                       most, absl::StrCat("Least ", x.name, ".")});
    options.push_back({In(at, &Hyperparameter::high), x.name + "_high", absl::StrCat(x.high), least,
                       most, absl::StrCat("Greatest ", x.name, ".")});
  }
  options.push_back(
      {&Config::reward,
       "reward",
       {{"shaped", v1::REWARD_SOURCE_SHAPED}, {"success", v1::REWARD_SOURCE_SPARSE}},
       "What agents learn from: the raw shaped reward or the sparse success signal."});
  return options;
}

const auto kOptions = Options();

}  // namespace pbt_loop

std::vector<Hyperparameter> TunedHyperparameters(const OptionValues& options) {
  std::vector<Hyperparameter> tuned = pbt_loop::kOptions.Read(options).hyperparameters;
  std::erase_if(tuned, [](const Hyperparameter& x) { return !x.tuned; });
  return tuned;
}

void CheckHyperparameters(const OptionValues& options, Violations* violations) {
  const std::vector<Hyperparameter> tuned = TunedHyperparameters(options);
  for (const Hyperparameter& x : tuned) {
    if (x.low <= x.high) continue;
    violations->Add(
        absl::StrCat("rule.option.", x.name, "_low"),
        absl::StrFormat("is %g, above %s_high %g; give at most that", x.low, x.name, x.high));
  }
  if (tuned.empty()) {
    violations->Add("rule.option.tune_learning_rate",
                    "is false, and so are all other tune_ options, so all members are alike; set "
                    "one of them to true");
  }
}

namespace pbt_loop {

class Population : public LearningLoop {
 public:
  explicit Population(const InnerLoopContext& context)
      : LearningLoop(context, ShapeWithCritic(context)),
        reward_(kOptions.Read(context.options).reward),
        tuned_(TunedHyperparameters(context.options)) {}

  absl::StatusOr<agents::Segment> Iterate(uint32_t iteration, const Collect& collect,
                                          LoopReport* report) override {
    return CollectAndLearn(collect, report, [&](const agents::Segment& segment) {
      return LearnsAfter(iteration) ? Update(iteration, segment, report) : absl::OkStatus();
    });
  }

 private:
  // Agents update one by one, because PpoConfig has one number for all agents. An agent's bits are
  // the same alone and in company.
  absl::Status Update(uint32_t iteration, const agents::Segment& segment, LoopReport* report) {
    const agents::Segment seen = normaliser_.Normalise(segment);
    const Tensor rewards = BaselineRewards(segment, reward_);
    const std::vector<uint32_t> noise = context_.noise_numbers();
    std::vector<agents::AgentBatch> updated(noise.size());
    std::vector<int64_t> nonfinite(noise.size());
    MENTOR_RETURN_IF_ERROR(
        agents::ParallelFor(context_.pool, context_.num_agents(), [&](int64_t s) -> absl::Status {
          MENTOR_ASSIGN_OR_RETURN(
              agents::UpdateResult result,
              agents::PpoUpdate(
                  shape_, agents::SomeAgents(agents_, s, 1), OneOf(seen, s),
                  rewards.narrow(0, s, 1), ConfigOf(s, iteration),
                  agents::KeyedOrder(spec().seed(), static_cast<Phase>(context_.shard->phase()),
                                     iteration, {noise[s]})));
          updated[s] = std::move(result.agents);
          nonfinite[s] = result.nonfinite;
          return absl::OkStatus();
        }));
    for (const int64_t one : nonfinite) report->nonfinite_updates += static_cast<uint64_t>(one);
    agents_ = agents::JoinAgents(updated);
    return absl::OkStatus();
  }

  agents::PpoConfig ConfigOf(int64_t agent, uint32_t iteration) const {
    const uint32_t members = spec().rule().lifetimes_per_update();
    const int64_t member = context_.lifetime_numbers()[agent] % members;
    const auto num_tuned = static_cast<int64_t>(tuned_.size());
    const float* own = context_.meta_parameters.const_data_ptr<float>() + member * num_tuned;
    // The learning rate comes first, since it may be annealed.
    v1::AgentSpec settings = spec().agent();
    const auto is_rate = [](const Hyperparameter& x) {
      return x.member == &agents::PpoConfig::learning_rate;
    };
    for (size_t j = 0; j < tuned_.size(); ++j) {
      if (is_rate(tuned_[j])) settings.set_learning_rate(static_cast<double>(own[j]));
    }
    agents::PpoConfig config =
        agents::PpoConfigFromSpec(settings, /*update=*/iteration + 1,
                                  /*num_updates=*/spec().lifetime().iterations() - 1);
    for (size_t j = 0; j < tuned_.size(); ++j) {
      if (!is_rate(tuned_[j])) config.*tuned_[j].member = static_cast<double>(own[j]);
    }
    return config;
  }

  static agents::Segment OneOf(const agents::Segment& all, int64_t agent) {
    agents::Segment one;
    for (const agents::SegmentField& field : agents::SegmentFields()) {
      const Tensor& x = all.*field.member;
      if (x.defined()) one.*field.member = x.narrow(0, agent, 1);
    }
    return one;
  }

  const v1::RewardSource reward_;
  const std::vector<Hyperparameter> tuned_;
};

const RegisterInnerLoop kPopulation({
    .name = "population",
    .summary = "PPO on the task's reward, each agent with hyperparameters of its own",
    .options = kOptions.table(),
    .surrogate = true,
    .check =
        [](const InnerLoopContext& context, Violations* violations) {
          CheckHyperparameters(context.options, violations);
          for (const Hyperparameter& x : TunedHyperparameters(context.options)) {
            if (x.member == &agents::PpoConfig::clip &&
                context.spec().agent().surrogate() == v1::DPO)
              violations->Add("rule.option.tune_clip",
                              "is true; agent.surrogate DPO has no clip to tune: set it to false");
          }
          const int64_t numbers = int64_t{context.spec().rule().lifetimes_per_update()} *
                                  std::ssize(TunedHyperparameters(context.options));
          CheckMetaParameters(context, numbers, "the population", violations);
        },
    .make = MadeLoop<Population>,
    .sizes = [](const InnerLoopContext& context, int64_t) { return SizesOfPpoAgents(context); },
});

}  // namespace pbt_loop
}  // namespace mentor::methods
