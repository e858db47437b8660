// The published update rule of DiscoRL as a teacher (methods/disco/README.md): its weights come
// from a file and stay as they are, so outer updates only let agents live.
#include <torch/types.h>

#include <limits>
#include <string>
#include <vector>

#include "methods/base/outer_rule.h"
#include "methods/disco/loop.h"
#include "methods/shared/weights_file.h"

namespace mentor::methods::disco_rule {
namespace {

const auto kOptions = Bind<std::string>(
    {{kItself, OptionalBundleOption(
                   "bundle",
                   "The rule's weights, sha256:HEX of a folder with weights.safetensors, which "
                   "`python3 -m mentor_signal.npz` makes of disco_103.npz (--bundle DIR fills it "
                   "in). Default: random ones, which teach nothing.")}});

class DiscoRule : public OuterRule {
 public:
  explicit DiscoRule(const RuleContext& context)
      : OuterRule(context),
        weights_(context.Initial(LayoutOf(context).size(), [&] { return First(context); })) {}

  RuleNeeds needs() const override {
    return {.network = RuleNeeds::Network::kNone, .segments = false, .meta_learns = false};
  }
  torch::Tensor meta_parameters() const override { return weights_; }
  std::vector<std::string> Warnings() const override {
    if (!kOptions.Read(context_.options).empty()) return {};
    return {
        "rule.option.bundle: is not given, so the rule's weights are random and teach nothing; "
        "give the folder of the published ones by --bundle (docs/rules.md#disco)"};
  }
  void State(StateFields* fields) override { fields->Add("weights", &weights_); }

  static agents::ParamLayout LayoutOf(const RuleContext& context) {
    return DiscoLayout(ReadDiscoConfig(context.options).network);
  }

 private:
  static torch::Tensor First(const RuleContext& context) {
    const std::string& bundle = kOptions.Read(context.options);
    if (bundle.empty())
      return RandomDisco(ReadDiscoConfig(context.options).network, context.spec.seed());
    // The check has read it just before. Learners refuse numbers that are not finite.
    return ReadWeights(LayoutOf(context), bundle)
        .value_or(torch::full({LayoutOf(context).size()}, std::numeric_limits<float>::quiet_NaN()));
  }

  torch::Tensor weights_;  // [Q]
};

const RegisterRule kDisco({
    .name = "disco",
    .summary = "Agents that the published rule of DiscoRL teaches; nothing is meta-learned (Oh et "
               "al. 2025)",
    .inner_loop = "disco",
    .options = kOptions.table(),
    .example =
        "benchmark { name: 'single' environment: 'catch' } lifetime { iterations: 4 "
        "steps_per_iteration: 28 } agent { hidden_units: 16 minibatches: 4 } rule { option { name: "
        "'prediction' value: '8' } option { name: 'hidden' value: '8' } option { name: "
        "'memory' value: '4' } option { name: 'cells' value: '8' } option { name: 'units' "
        "value: '8' } option { name: 'rollout' value: '7' } option { name: 'replay' value: "
        "'64' } option { name: 'batch' value: '4' } }",
    .check =
        [](const RuleContext& context, Violations* violations) {
          const std::string& bundle = kOptions.Read(context.options);
          if (bundle.empty()) return;
          const auto weights = ReadWeights(DiscoRule::LayoutOf(context), bundle);
          if (!weights.ok())
            violations->Add("rule.option.bundle", std::string(weights.status().message()));
        },
    .make = MadeRule<DiscoRule>,
});

}  // namespace
}  // namespace mentor::methods::disco_rule
