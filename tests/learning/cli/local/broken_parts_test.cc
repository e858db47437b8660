#include "tests/learning/broken_parts.h"

#include <memory>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/registry.h"
#include "methods/base/outer_rule.h"
#include "methods/shared/meta_advantage.h"
#include "methods/shared/outer_ppo.h"
#include "methods/shared/reward_normaliser.h"
#include "signals/signal_network.h"
#include "tests/torch_testing.h"
#include "tests/wrapped_rule.h"

namespace mentor::testing::TEST_FILE {

using agents::Segment;
using torch::Tensor;
using Members = std::vector<Tensor Segment::*>;

const Members kAction = {&Segment::actions};
const Members kInputs = {&Segment::observations, &Segment::actions, &Segment::log_probs,
                         &Segment::success_signals, &Segment::prev_done};

// x [S, T, ...] one step later, beginning with first [S, 1, ...].
Tensor Late(const Tensor& x, const Tensor& first) {
  return torch::cat({first, x.narrow(1, 0, x.size(1) - 1)}, 1);
}

class LateNetwork final : public signals::SignalNetwork,
                          public signals::SignalSource,
                          public signals::SignalDensity {
 public:
  LateNetwork(std::unique_ptr<SignalNetwork> inner, Members members)
      : inner_(std::move(inner)), members_(std::move(members)) {}

  const SignalSource* signals() const override { return this; }
  const SignalDensity* density() const override { return this; }
  const agents::ParamLayout& layout() const override { return inner_->layout(); }
  Tensor InitialWeights(uint64_t seed) const override { return inner_->InitialWeights(seed); }
  signals::SignalState InitialState(int64_t n, torch::Dtype dtype) const override {
    return inner_->signals()->InitialState(n, dtype);
  }

  // The last inputs of a segment are kept behind the network's own state.
  signals::SignalOutputs Run(const Tensor& weights, const Segment& segment, const Tensor& noise,
                             signals::SignalState* state) const override {
    const size_t own = inner_->signals()->InitialState(1, torch::kFloat32).recurrent.size();
    std::vector<Tensor> kept(state->recurrent.begin() + static_cast<int64_t>(own),
                             state->recurrent.end());
    state->recurrent.resize(own);
    Segment late = segment;
    std::vector<Tensor> last;
    for (size_t i = 0; i < members_.size(); ++i) {
      const Tensor& x = segment.*members_[i];
      late.*members_[i] = Late(x, kept.empty() ? torch::zeros_like(x.narrow(1, 0, 1)) : kept[i]);
      last.push_back(x.narrow(1, x.size(1) - 1, 1).clone());
    }
    signals::SignalOutputs outputs = inner_->signals()->Run(weights, late, noise, state);
    state->recurrent.insert(state->recurrent.end(), last.begin(), last.end());
    return outputs;
  }
  // Training data are made late by the rule, over the whole lifetime.
  Tensor Features(const Segment& segment, const Tensor& previous) const override {
    return inner_->density()->Features(segment, previous);
  }
  signals::SignalEvaluation Evaluate(const Tensor& weights, const Tensor& features,
                                     const Tensor& signals,
                                     const std::vector<Tensor>& recurrent) const override {
    return inner_->density()->Evaluate(weights, features, signals, recurrent);
  }

 private:
  const std::unique_ptr<SignalNetwork> inner_;
  const Members members_;
};

// Forgets at every start of an episode, in acting and in training alike: its memory, and its last
// output, which is a memory too. All lifetimes of a batch begin their episodes at the same steps.
class ForgetfulNetwork final : public signals::SignalNetwork,
                               public signals::SignalSource,
                               public signals::SignalDensity {
 public:
  ForgetfulNetwork(std::unique_ptr<SignalNetwork> inner, int64_t done_feature)
      : inner_(std::move(inner)), done_feature_(done_feature) {}

  const SignalSource* signals() const override { return this; }
  const SignalDensity* density() const override { return this; }
  const agents::ParamLayout& layout() const override { return inner_->layout(); }
  Tensor InitialWeights(uint64_t seed) const override { return inner_->InitialWeights(seed); }
  signals::SignalState InitialState(int64_t n, torch::Dtype dtype) const override {
    return inner_->signals()->InitialState(n, dtype);
  }

  signals::SignalOutputs Run(const Tensor& weights, const Segment& segment, const Tensor& noise,
                             signals::SignalState* state) const override {
    std::vector<Tensor> parts[3];
    for (const auto& [begin, end] : Episodes(segment.prev_done)) {
      if (segment.prev_done[0][begin].item<float>() != 0) {
        Forget(&state->recurrent);
        state->previous = torch::zeros_like(state->previous);
      }
      Segment episode;
      for (auto member : kInputs) episode.*member = (segment.*member).narrow(1, begin, end - begin);
      episode.shaped_rewards = segment.shaped_rewards.narrow(1, begin, end - begin);
      const auto part = inner_->signals()->Run(
          weights, episode, noise.defined() ? noise.narrow(1, begin, end - begin) : noise, state);
      parts[0].push_back(part.signals);
      if (!noise.defined()) continue;
      parts[1].push_back(part.log_probs);
      parts[2].push_back(part.values);
    }
    const auto join = [](const std::vector<Tensor>& x) {
      return x.empty() ? Tensor() : torch::cat(x, 1);
    };
    return {join(parts[0]), join(parts[1]), join(parts[2])};
  }

  Tensor Features(const Segment& segment, const Tensor& previous) const override {
    return inner_->density()->Features(segment, previous * (1 - segment.prev_done));
  }

  signals::SignalEvaluation Evaluate(const Tensor& weights, const Tensor& features,
                                     const Tensor& signals,
                                     const std::vector<Tensor>& recurrent) const override {
    std::vector<Tensor> parts[3], state = recurrent;
    const Tensor starts = features.select(2, done_feature_);
    for (const auto& [begin, end] : Episodes(starts)) {
      if (starts[0][begin].item<float>() != 0) Forget(&state);
      const auto part = inner_->density()->Evaluate(weights, features.narrow(1, begin, end - begin),
                                                    signals.narrow(1, begin, end - begin), state);
      parts[0].push_back(part.log_probs);
      parts[1].push_back(part.log_stds);
      parts[2].push_back(part.values);
      state = part.final_recurrent;
    }
    return {torch::cat(parts[0], 1), torch::cat(parts[1], 1), torch::cat(parts[2], 1), state};
  }

 private:
  static void Forget(std::vector<Tensor>* recurrent) {
    for (Tensor& tensor : *recurrent) tensor = torch::zeros_like(tensor);
  }
  // First and last step of the episodes, or parts of them, of starts [N, t].
  static std::vector<std::pair<int64_t, int64_t>> Episodes(const Tensor& starts) {
    std::vector<std::pair<int64_t, int64_t>> episodes;
    int64_t begin = 0;
    for (int64_t t = 1; t <= starts.size(1); ++t) {
      if (t < starts.size(1) && starts[0][t].item<float>() == 0) continue;
      episodes.emplace_back(begin, t);
      begin = t;
    }
    return episodes;
  }

  const std::unique_ptr<SignalNetwork> inner_;
  const int64_t done_feature_;
};

// The real rule, fed with late inputs.
class LateRule final : public WrappedRule {
 public:
  LateRule(std::unique_ptr<OuterRule> inner, Members late)
      : WrappedRule(std::move(inner)), late_(std::move(late)) {}

  methods::LifetimeBatch Changed(const methods::LifetimeBatch& batch,
                                 uint32_t /*outer_step*/) const override {
    methods::LifetimeBatch changed = batch;
    for (Tensor Segment::*member : late_) {
      Tensor& x = changed.steps.*member;
      x = Late(x, torch::zeros_like(x.narrow(1, 0, 1)));
    }
    return changed;
  }

 private:
  const Members late_;
};

// The real rule, fed with other outcomes.
class OtherOutcomesRule final : public WrappedRule {
 public:
  using Change = Tensor (*)(const Tensor& shaped_rewards);
  OtherOutcomesRule(std::unique_ptr<OuterRule> inner, Change change)
      : WrappedRule(std::move(inner)), change_(change) {}

  methods::LifetimeBatch Changed(const methods::LifetimeBatch& batch,
                                 uint32_t /*outer_step*/) const override {
    methods::LifetimeBatch changed = batch;
    changed.steps.shaped_rewards = change_(batch.steps.shaped_rewards);
    return changed;
  }

 private:
  const Change change_;
};

// Each lifetime has the outcomes of the one three places before it.
Tensor OfAnotherLifetime(const Tensor& rewards) {
  return rewards.roll(3, 0);
}

// The second lifetime of a pair, whose sign is -, counts as if it were +.
Tensor OfOneSign(const Tensor& rewards) {
  Tensor turned = rewards.clone();
  turned.slice(0, 1, turned.size(0), 2).neg_();
  return turned;
}

// The rule's own pieces put together with another standardisation.
class OwnScaleRule final : public methods::OuterRule {
 public:
  explicit OwnScaleRule(const methods::RuleContext& context)
      : network_(context.network),
        seed_(context.spec.seed()),
        steps_(context.spec.lifetime().steps_per_iteration()),
        trained_(steps_ * (context.spec.lifetime().iterations() - 1)),
        epochs_(OptionInteger(context.options.text("epochs"))),
        target_mean_(OptionNumber(context.options.text("target_mean"))),
        weights_(context.network->InitialWeights(seed_)) {
    const OptionValues& options = context.options;
    ppo_.adam.learning_rate = OptionNumber(options.text("learning_rate"));
    ppo_.loss.entropy_coef = OptionNumber(options.text("entropy_coef"));
    ppo_.k = OptionInteger(options.text("k"));
    advantage_ = {.steps_per_iteration = steps_,
                  .gamma = OptionNumber(options.text("gamma")),
                  .lambda = OptionNumber(options.text("lambda")),
                  .starting_n = OptionInteger(options.text("starting_n")),
                  .num_estimates = OptionInteger(options.text("num_n_step_estimates")),
                  .skip_rate = OptionInteger(options.text("skip_rate"))};
    adam_ = {torch::zeros_like(weights_), torch::zeros_like(weights_), 0};
  }

  methods::RuleNeeds needs() const override { return {}; }
  Tensor meta_parameters() const override { return weights_; }
  // Enough to read the learned weights, not to resume.
  void State(methods::StateFields* fields) override { fields->Add("weights", &weights_); }

  absl::StatusOr<methods::RuleReport> DoUpdate(const methods::LifetimeBatch& batch,
                                               uint32_t outer_step) override {
    const int64_t lifetimes = batch.steps.log_probs.size(0), length = batch.steps.log_probs.size(1);
    for (int64_t l = 0; l < lifetimes; ++l)
      normaliser_.Add(batch.environments[l], batch.steps.shaped_rewards[l]);
    Tensor advantages = torch::empty({lifetimes, trained_}, torch::kFloat64),
           returns = torch::empty_like(advantages);
    for (int64_t l = 0; l < lifetimes; ++l) {
      const auto rewards =
          normaliser_.Normalise(batch.environments[l], batch.steps.shaped_rewards[l], target_mean_)
              .contiguous();
      const auto values = batch.steps.signal_values[l].to(torch::kFloat64).contiguous();
      const auto prev_done = batch.steps.prev_done[l].to(torch::kUInt8).contiguous();
      const size_t n = static_cast<size_t>(length);
      const auto estimate = methods::EstimateMetaAdvantages(
          advantage_, {rewards.const_data_ptr<double>(), n}, {values.const_data_ptr<double>(), n},
          {prev_done.const_data_ptr<uint8_t>(), n});
      for (int64_t t = 0; t < trained_; ++t) {
        advantages[l][t] = estimate.advantages[t];
        returns[l][t] = estimate.returns[t];
      }
      advantages[l].copy_(methods::StandardiseAdvantages(advantages[l]));
    }
    agents::Segment steps;
    for (auto member : {&Segment::observations, &Segment::actions, &Segment::log_probs,
                        &Segment::shaped_rewards, &Segment::success_signals, &Segment::prev_done,
                        &Segment::signals, &Segment::signal_log_probs}) {
      steps.*member = (batch.steps.*member).narrow(1, 0, trained_);
    }
    const auto ppo_batch =
        methods::MakeOuterPpoBatch(*network_->density(), std::move(steps), advantages, returns);
    const auto displacements = methods::DrawDisplacements(
        {.seed = seed_, .purpose = Purpose::kDisplacements, .lifetime = outer_step}, ppo_.k,
        epochs_);
    MENTOR_RETURN_IF_ERROR(
        methods::RunOuterPpo(*network_, ppo_, ppo_batch, displacements, weights_, &adam_, nullptr)
            .status());
    return methods::RuleReport{};
  }

 private:
  const std::shared_ptr<const signals::SignalNetwork> network_;
  const uint64_t seed_;
  const int64_t steps_, trained_, epochs_;
  const double target_mean_;
  methods::OuterPpoConfig ppo_;
  methods::MetaAdvantageConfig advantage_;
  methods::RewardNormaliser normaliser_;
  Tensor weights_;
  methods::AdamState adam_;
};

void RegisterLateNetwork(const char* name, const Members& members) {
  const signals::SignalEntry* lstm = Registry<signals::SignalEntry>::Instance().Find("lstm");
  signals::RegisterSignal(
      {.name = name,
       .summary = "broken on purpose",
       .options = lstm->options,
       .make = [lstm, members](const signals::SignalContext& context, const OptionValues& options) {
         return std::make_unique<LateNetwork>(lstm->make(context, options), members);
       }});
}

void RegisterLateRule(const char* name, const Members& late) {
  const methods::RuleEntry* rule = Registry<methods::RuleEntry>::Instance().Find("black_box");
  methods::RegisterRule({.name = name,
                         .summary = "broken on purpose",
                         .options = rule->options,
                         .metrics = rule->metrics,
                         .check = rule->check,
                         .make = [rule, late](const methods::RuleContext& context) {
                           return std::make_unique<LateRule>(rule->make(context), late);
                         }});
}

void RegisterOtherOutcomes(const char* real, const char* name, OtherOutcomesRule::Change change) {
  const auto* rule = Registry<methods::RuleEntry>::Instance().Find(real);
  methods::RuleEntry broken = *rule;
  broken.name = name;
  broken.make = [rule, change](const methods::RuleContext& context) {
    return std::make_unique<OtherOutcomesRule>(rule->make(context), change);
  };
  methods::RegisterRule(std::move(broken));
}

}  // namespace mentor::testing::TEST_FILE

namespace mentor::testing {

void RegisterBrokenParts() {
  static const bool once = [] {
    TEST_FILE::RegisterLateNetwork("lstm_late_action", TEST_FILE::kAction);
    TEST_FILE::RegisterLateNetwork("lstm_late_inputs", TEST_FILE::kInputs);
    const auto* lstm = Registry<signals::SignalEntry>::Instance().Find("lstm");
    signals::RegisterSignal(
        {.name = "lstm_forgetful",
         .summary = "broken on purpose",
         .options = lstm->options,
         .make = [lstm](const signals::SignalContext& context, const OptionValues& options) {
           // methods/black_box/README.md#inputs: after observation, action, density and success
           // signal.
           return std::make_unique<TEST_FILE::ForgetfulNetwork>(
               lstm->make(context, options), context.observation_size + context.action_size + 2);
         }});
    TEST_FILE::RegisterOtherOutcomes("epg", "epg_shuffled", TEST_FILE::OfAnotherLifetime);
    TEST_FILE::RegisterOtherOutcomes("epg", "epg_one_sign", TEST_FILE::OfOneSign);
    TEST_FILE::RegisterOtherOutcomes("lpo", "lpo_shuffled", TEST_FILE::OfAnotherLifetime);
    TEST_FILE::RegisterLateRule("black_box_late_action", TEST_FILE::kAction);
    TEST_FILE::RegisterLateRule("black_box_late_inputs", TEST_FILE::kInputs);
    const auto* rule = Registry<methods::RuleEntry>::Instance().Find("black_box");
    methods::RegisterRule({.name = "black_box_own_scale",
                           .summary = "broken on purpose",
                           .options = rule->options,
                           .metrics = rule->metrics,
                           .check = rule->check,
                           .make = methods::MadeRule<TEST_FILE::OwnScaleRule>});
    RegisterBrokenLatents();
    RegisterBrokenSkills();
    return true;
  }();
  static_cast<void>(once);
}

}  // namespace mentor::testing
