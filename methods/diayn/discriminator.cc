#include "methods/diayn/discriminator.h"

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "signals/plain_layers.h"

namespace mentor::methods {

using torch::Tensor;

Discriminator::Discriminator(int64_t observation_size, int64_t hidden_units, int64_t num_skills)
    : num_skills_(num_skills),
      layout_(agents::ThreeLayers("skills", observation_size, hidden_units, num_skills)) {}

Tensor Discriminator::InitialWeights(uint64_t seed) const {
  return signals::OrthogonalWeights(layout_, seed, [](const std::string& name) {
    return name == "skills.W3" ? 1.0 : std::sqrt(2.0);
  });
}

Tensor Discriminator::LogSkills(const Tensor& weights, const Tensor& observations) const {
  const std::vector<Tensor> w = layout_.Split(weights);
  const Tensor first = torch::linear(observations.to(weights.options()), w[0], w[1]).tanh();
  const Tensor second = torch::linear(first, w[2], w[3]).tanh();
  return torch::linear(second, w[4], w[5]).log_softmax(-1);
}

std::shared_ptr<const Discriminator> AsDiscriminator(
    const std::shared_ptr<const signals::SignalNetwork>& network) {
  return std::dynamic_pointer_cast<const Discriminator>(network);
}

namespace diayn_discriminator {

struct Config {
  int64_t skills, hidden;
};

const auto kOptions = Bind<Config>(
    {{&Config::skills, "skills", "6", 2, 1000, "Skills of an agent."},
     {&Config::hidden, "hidden", "32", 1, signals::kUnitsMax, "Units of each hidden layer."}});

const signals::RegisterSignal kDiscriminator({
    .name = "discriminator",
    .summary = "Tells an agent's skills apart by the observations that they lead to (Eysenbach et "
               "al.: DIAYN); for rule diayn",
    .options = kOptions.table(),
    .make = [](const signals::SignalContext& context,
               const OptionValues& options) -> std::unique_ptr<signals::SignalNetwork> {
      const auto [skills, hidden] = kOptions.Read(options);
      return std::make_unique<Discriminator>(context.observation_size, hidden, skills);
    },
    .check =
        [](const signals::SignalContext& context, const OptionValues&, Violations* violations) {
          if (context.role == v1::ADVANTAGE)
            violations->Add("signal.role",
                            "is ADVANTAGE; how well a skill can be told from the others is a "
                            "reward: set REWARD");
        },
    .columns =
        [](const signals::SignalContext& context, const OptionValues&) {
          return std::vector<signals::SignalColumn>{{.name = "observations",
                                                     .size = context.observation_size,
                                                     .how = "each as the step reached it"}};
        },
});

}  // namespace diayn_discriminator
}  // namespace mentor::methods
