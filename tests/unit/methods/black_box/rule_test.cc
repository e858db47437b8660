#include <atomic>
#include <cstdlib>
#include <functional>
#include <thread>

#include <absl/strings/str_cat.h>

#include "common/fair_queue.h"
#include "methods/base/outer_rule.h"
#include "tests/golden/signal_fixture.h"
#include "tests/normals.h"
#include "tests/pools.h"
#include "tests/specs.h"

namespace mentor::methods::TEST_FILE {

using agents::Segment;
using Catch::Contains;
using testing::NetworkSizes;
using torch::Tensor;

constexpr int64_t kLifetimes = 11, kSteps = 20, kIterations = 3, kAll = kSteps * kIterations;
const NetworkSizes kSizes{.observation_size = 3,
                          .action_size = 2,
                          .enc1 = 12,
                          .enc2 = 4,
                          .lstm = 9,
                          .heads = 7,
                          .critic = 10};

v1::ExperimentSpec Spec(const std::map<std::string, std::string>& options = {}) {
  std::map<std::string, std::string> all = {
      {"k", "8"}, {"epochs", "3"}, {"learning_rate", "3e-3"}, {"target_kl", "0"}};
  for (const auto& [name, value] : options) all[name] = value;
  v1::ExperimentSpec spec = testing::SpecOfRule(
      "black_box", {.lifetimes = kLifetimes, .iterations = kIterations, .steps = kSteps}, all);
  *spec.mutable_signal() = testing::LstmSpec(kSizes);
  return spec;
}

std::shared_ptr<const signals::SignalNetwork> Network() {
  return testing::MakeLstm(kSizes);
}

std::unique_ptr<OuterRule> MakeRule(const v1::ExperimentSpec& spec, int num_threads = 2) {
  Violations violations;
  auto rule = MakeOuterRule(
      {.spec = spec, .network = Network(), .pool = testing::Pool(num_threads)}, &violations);
  INFO(std::string(violations.ToStatus().message()));
  REQUIRE(rule != nullptr);
  return rule;
}

std::string Refusal(const v1::ExperimentSpec& spec) {
  Violations violations;
  const auto rule = MakeOuterRule({.spec = spec, .network = Network()}, &violations);
  CHECK(rule == nullptr);
  return std::string(violations.ToStatus().message());
}

Tensor Normals(uint32_t number, at::IntArrayRef shape, uint32_t round) {
  return testing::Normals({.seed = 3, .lifetime = round}, number, shape);
}

// Lifetimes as a learner would have recorded them with these weights.
LifetimeBatch Collect(const Tensor& weights, uint32_t round = 0) {
  LifetimeBatch batch;
  for (int64_t l = 0; l < kLifetimes; ++l)
    batch.environments.push_back(l % 3 == 0 ? "door" : "window");
  batch.steps_per_iteration = kSteps;
  Segment& steps = batch.steps;
  steps.observations = Normals(0, {kLifetimes, kAll, kSizes.observation_size}, round);
  steps.actions = Normals(1, {kLifetimes, kAll, kSizes.action_size}, round);
  steps.log_probs = Normals(2, {kLifetimes, kAll}, round) - 2;
  steps.shaped_rewards = Normals(3, {kLifetimes, kAll}, round).abs().to(torch::kFloat64);
  steps.successes = Normals(4, {kLifetimes, kAll}, round).gt(1.5).to(torch::kFloat32);
  steps.success_signals = 0.5 * steps.successes;
  steps.prev_done = torch::zeros({kLifetimes, kAll});
  for (int64_t t = 5; t < kAll; t += 5) steps.prev_done.select(1, t).fill_(1);
  const auto network = Network();
  auto state = network->signals()->InitialState(kLifetimes, torch::kFloat32);
  const auto outputs =
      network->signals()->Run(weights, steps, Normals(5, {kLifetimes, kAll}, round), &state);
  steps.signals = outputs.signals;
  steps.signal_log_probs = outputs.log_probs;
  steps.signal_values = outputs.values;
  return batch;
}

// Every tensor of both, bit by bit.
bool Same(const TensorMap& a, const TensorMap& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [name, tensor] : a) {
    const auto other = b.find(name);
    if (other == b.end() || tensor.scalar_type() != other->second.scalar_type() ||
        !tensor.equal(other->second))
      return false;
  }
  return true;
}

RuleReport MustUpdate(OuterRule* rule, const LifetimeBatch& batch, uint32_t outer_step = 0) {
  const auto report = rule->Update(batch, outer_step);
  INFO(std::string(report.status().message()));
  REQUIRE(report.ok());
  return *report;
}

// A refused update leaves the state as it was; returns the message.
std::string MustRefuse(const LifetimeBatch& batch, absl::StatusCode code,
                       const std::map<std::string, std::string>& options = {}) {
  const auto rule = MakeRule(Spec(options));
  const TensorMap before = rule->Save();
  const auto report = rule->Update(batch, 0);
  CHECK(report.status().code() == code);
  CHECK(Same(before, rule->Save()));
  return std::string(report.status().message());
}

TEST_CASE("black_box: an annealed learning rate falls in a line to a tenth") {
  v1::ExperimentSpec spec =
      Spec({{"epochs", "1"}, {"num_minibatches", "1"}, {"adam_epsilon", "1e-30"}});
  spec.mutable_rule()->set_outer_updates(10);
  // The first step of Adam moves each weight by the learning rate.
  const auto moved = [&](const std::string& anneal, uint32_t outer_step) {
    v1::ExperimentSpec own = spec;
    v1::Option& option = *own.mutable_rule()->add_option();
    option.set_name("anneal");
    option.set_value(anneal);
    const auto rule = MakeRule(own);
    const Tensor before = rule->meta_parameters().clone();
    MustUpdate(rule.get(), Collect(before), outer_step);
    return (rule->meta_parameters() - before).norm().item<double>();
  };
  const double whole = moved("0", 7);
  CHECK(moved("0", 0) == Approx(whole));
  CHECK(moved("1", 0) == moved("0", 0));
  CHECK(moved("1", 5) / whole == Approx(0.55).epsilon(1e-3));
  CHECK(moved("0.5", 5) / whole == Approx(0.1).epsilon(1e-3));
  CHECK(moved("0.5", 9) / whole == Approx(0.1).epsilon(1e-3));
  CHECK_THAT(Refusal(Spec({{"anneal", "100"}})), Contains("rule.option.anneal"));
}

TEST_CASE("black_box: the gradient's variance is measured on request and changes nothing") {
  const auto quiet = MakeRule(Spec()), measured = MakeRule(Spec({{"gradient_variance", "true"}}));
  const LifetimeBatch batch = Collect(quiet->meta_parameters());
  CHECK(MustUpdate(quiet.get(), batch).count("outer_grad_variance") == 0);
  const RuleReport report = MustUpdate(measured.get(), batch);
  CHECK(Same(quiet->Save(), measured->Save()));
  CHECK(report.at("outer_grad_variance") > 0);
  CHECK(report.at("outer_grad_norm") > 0);

  // Lifetimes that do not differ have gradients that do not.
  LifetimeBatch same = Collect(MakeRule(Spec())->meta_parameters());
  const Tensor first = torch::zeros({kLifetimes}, torch::kInt64);
  for (auto member :
       {&Segment::observations, &Segment::actions, &Segment::log_probs, &Segment::shaped_rewards,
        &Segment::successes, &Segment::success_signals, &Segment::prev_done, &Segment::signals,
        &Segment::signal_log_probs, &Segment::signal_values}) {
    same.steps.*member = (same.steps.*member).index_select(0, first);
  }
  same.environments.assign(kLifetimes, "door");
  const RuleReport alike = MustUpdate(MakeRule(Spec({{"gradient_variance", "true"}})).get(), same);
  CHECK(alike.at("outer_grad_norm") > 0.001);
  CHECK(alike.at("outer_grad_noise") < 1e-8);
}

TEST_CASE("black box: an update trains from the weights that acted") {
  const auto rule = MakeRule(Spec());
  const Tensor before = rule->meta_parameters();
  CHECK(before.equal(Network()->InitialWeights(5)));
  const RuleReport report = MustUpdate(rule.get(), Collect(before));
  CHECK(report.at("rho_error") == 0);
  CHECK(report.at("epochs") == 3);
  CHECK(report.at("optimizer_steps") == 3 * (2 * kSteps / 8));
  CHECK(report.at("kl") > 0);
  CHECK(report.at("reward_mean/door") > 0.5);
  CHECK(report.at("reward_mean/window") > 0.5);
  for (const char* name :
       {"loss", "pg_loss", "value_loss", "entropy", "clip_fraction", "grad_norm"}) {
    INFO(name);
    CHECK(std::isfinite(report.at(name)));
  }
  CHECK_FALSE(rule->meta_parameters().equal(before));
  CHECK(rule->meta_parameters().isfinite().all().item<bool>());
  // Weights handed out earlier stay as they were.
  CHECK(before.equal(Network()->InitialWeights(5)));
}

TEST_CASE("black box: the number of threads changes no bit") {
  TensorMap first;
  RuleReport first_report;
  for (const int threads : {1, 2, 3}) {
    const auto rule = MakeRule(Spec(), threads);
    for (uint32_t step = 0; step < 2; ++step) {
      const RuleReport report =
          MustUpdate(rule.get(), Collect(rule->meta_parameters(), step), step);
      if (threads == 1 && step == 1) first_report = report;
      if (threads > 1 && step == 1) CHECK(report == first_report);
    }
    if (threads == 1) first = rule->Save();
    CHECK(Same(first, rule->Save()));
  }
}

// Updates of one experiment, always the same one, until all have made enough.
struct Updates {
  int done = 0;
  bool same = true;
};
Updates UpdateUntil(std::atomic<int>* left, agents::WorkerPool* pool, const v1::WorkShare& share,
                    OuterRule* rule, const LifetimeBatch& batch, const TensorMap& after) {
  Updates updates;
  const TensorMap before = rule->Save();
  while (--*left >= 0) {
    const agents::CallerScope caller(/*interrupt=*/nullptr, &share);
    const agents::PlaceScope place(pool);
    updates.same = updates.same && rule->Load(before).ok() && rule->Update(batch, 0).ok() &&
                   Same(after, rule->Save());
    ++updates.done;
  }
  return updates;
}

TEST_CASE("black box: owners have equal parts of the pool, and each experiment its own bits") {
  constexpr int kOfAda = 3, kUpdates = 240;
  const auto rule = MakeRule(Spec(), 1);
  const LifetimeBatch batch = Collect(rule->meta_parameters());
  MustUpdate(rule.get(), batch);
  const TensorMap after = rule->Save();
  for (const int threads : {1, 4}) {
    std::atomic<int> left = kUpdates;
    std::vector<std::unique_ptr<OuterRule>> rules;
    std::vector<Updates> updates(kOfAda + 1);
    for (int i = 0; i <= kOfAda; ++i) rules.push_back(MakeRule(Spec(), threads));
    {
      std::vector<std::jthread> experiments;
      for (int i = 0; i <= kOfAda; ++i) {
        experiments.emplace_back([&, i] {
          const v1::WorkShare share =
              ToProto(absl::StrCat("experiments/", i), {.owner = i < kOfAda ? "ada" : "bob"});
          updates[i] =
              UpdateUntil(&left, testing::Pool(threads), share, rules[i].get(), batch, after);
        });
      }
    }
    int done = 0;
    for (const Updates& of_one : updates) {
      CHECK(of_one.same);
      done += of_one.done;
    }
    CHECK(done == kUpdates);
    // Without turns it would be a quarter. Among updates this short bob makes more than half: a
    // thread's waking counts as its time, and his threads wake less often than ada's.
    INFO("bob's updates: " << updates[kOfAda].done);
    if (threads == 1) {
      CHECK(updates[kOfAda].done > kUpdates * 3 / 8);
      CHECK(updates[kOfAda].done < kUpdates * 7 / 8);
    }
  }
}

TEST_CASE("black box: a rule that was saved and loaded goes on with the same bits") {
  const auto rule = MakeRule(Spec());
  MustUpdate(rule.get(), Collect(rule->meta_parameters(), 0), 0);
  const auto resumed = MakeRule(Spec());
  REQUIRE(resumed->Load(rule->Save()).ok());
  CHECK(Same(rule->Save(), resumed->Save()));
  const LifetimeBatch batch = Collect(rule->meta_parameters(), 1);
  MustUpdate(rule.get(), batch, 1);
  MustUpdate(resumed.get(), batch, 1);
  CHECK(Same(rule->Save(), resumed->Save()));

  // Each part of the state matters.
  for (const char* part : {"adam.m", "adam.v", "adam.step", "normaliser/door"}) {
    INFO(part);
    const auto source = MakeRule(Spec());
    MustUpdate(source.get(), Collect(source->meta_parameters(), 0), 0);
    TensorMap state = source->Save();
    state[part] = state.at(part) + 1;
    const auto other = MakeRule(Spec());
    REQUIRE(other->Load(state).ok());
    MustUpdate(other.get(), batch, 1);
    CHECK_FALSE(other->meta_parameters().equal(rule->meta_parameters()));
  }
}

TEST_CASE("black box: a state that does not fit is refused and changes nothing") {
  const auto rule = MakeRule(Spec());
  MustUpdate(rule.get(), Collect(rule->meta_parameters()));
  const TensorMap good = rule->Save();
  const auto refuse = [&](const std::function<void(TensorMap*)>& spoil) {
    TensorMap state = good;
    spoil(&state);
    const absl::Status status = rule->Load(state);
    CHECK_FALSE(status.ok());
    CHECK(Same(good, rule->Save()));
    return std::string(status.message());
  };
  CHECK_THAT(refuse([](TensorMap* state) { state->erase("adam.v"); }), Contains("adam.v"));
  CHECK_THAT(refuse([](TensorMap* state) { (*state)["weights"] = torch::zeros({3}); }),
             Contains("weights"));
  CHECK_THAT(
      refuse([](TensorMap* state) { (*state)["adam.step"] = torch::zeros({}, torch::kFloat32); }),
      Contains("adam.step"));
  CHECK_THAT(refuse([](TensorMap* state) {
               Tensor weights = state->at("weights").clone();
               weights[7] = std::nanf("");
               (*state)["weights"] = weights;
             }),
             Contains("weights") && Contains("finite"));
  CHECK_THAT(refuse([](TensorMap* state) {
               (*state)["normaliser/door"] = torch::zeros({2}, torch::kFloat64);
             }),
             Contains("normaliser/door"));
}

TEST_CASE("black box: specs whose values do not fit together are refused with the remedy") {
  CHECK_THAT(Refusal(Spec({{"k", "21"}})),
             Contains("rule.option.k") && Contains("21") && Contains("at most 20"));
  CHECK_THAT(Refusal(Spec({{"epochs", "9"}})),
             Contains("rule.option.epochs") && Contains("9") && Contains("k = 8"));
  CHECK_THAT(Refusal(Spec({{"num_minibatches", "4"}})), Contains("rule.option.num_minibatches") &&
                                                            Contains("5 pieces") &&
                                                            Contains("at most 3"));
  CHECK_THAT(Refusal(Spec({{"starting_n", "2200"}, {"skip_rate", "300"}})),
             Contains("rule.option.starting_n") && Contains("2200") && Contains("step 0") &&
                 Contains("below 60"));
  CHECK_THAT(Refusal(Spec({{"objective", "sparse"}})), Contains("objective") && Contains("sparse"));
  CHECK_THAT(Refusal(Spec({{"gamma", "1.5"}})), Contains("gamma") && Contains("1.5"));
  CHECK_THAT(Refusal(Spec({{"colour", "red"}})), Contains("colour"));
  v1::ExperimentSpec spec = Spec();
  spec.mutable_lifetime()->set_iterations(1);
  CHECK_THAT(Refusal(spec), Contains("lifetime.iterations") && Contains("at least 2"));
  spec = Spec();
  spec.mutable_rule()->set_name("white_box");
  CHECK_THAT(Refusal(spec),
             Contains("rule.name") && Contains("white_box") && Contains("black_box"));
  Violations violations;
  CHECK(MakeOuterRule({.spec = Spec(), .network = nullptr}, &violations) == nullptr);
  CHECK_THAT(std::string(violations.ToStatus().message()), Contains("signal"));
}

TEST_CASE("black box: all violations are reported at once") {
  const std::string message = Refusal(Spec({{"k", "30"}, {"epochs", "99"}, {"starting_n", "59"}}));
  CHECK_THAT(message, Contains("rule.option.k") && Contains("rule.option.epochs") &&
                          Contains("rule.option.starting_n"));
}

TEST_CASE("black box: the paper's numbers are the defaults and fit its lifetimes") {
  v1::ExperimentSpec spec;
  *spec.mutable_signal() = testing::LstmSpec(kSizes);
  MakeRule(spec);
  // methods/black_box/README.md, with role "reward"; 0 is 1.1 and 0.15 segments: 2200 and 300.
  const std::map<std::string, std::string> paper = {{"learning_rate", "5e-5"},
                                                    {"adam_beta1", "0.9"},
                                                    {"adam_beta2", "0.999"},
                                                    {"adam_epsilon", "1e-5"},
                                                    {"clip", "0.2"},
                                                    {"entropy_coef", "0.003"},
                                                    {"value_coef", "0.5"},
                                                    {"max_grad_norm", "0.5"},
                                                    {"target_kl", "0.01"},
                                                    {"epochs", "12"},
                                                    {"k", "400"},
                                                    {"num_minibatches", "0"},
                                                    {"target_mean", "1e-4"},
                                                    {"estimator", "skipping"},
                                                    {"gamma", "0.9"},
                                                    {"lambda", "0.85"},
                                                    {"starting_n", "0"},
                                                    {"num_n_step_estimates", "6"},
                                                    {"skip_rate", "0"},
                                                    {"objective", "shaped"},
                                                    {"zero_prev_at_cut", "false"}};
  const auto& rules = OuterRules();
  const auto rule = std::find_if(rules.begin(), rules.end(),
                                 [](const RuleEntry* entry) { return entry->name == "black_box"; });
  REQUIRE(rule != rules.end());
  std::map<std::string, std::string> defaults;
  for (const OptionInfo& option : (*rule)->options) {
    if (paper.contains(option.name)) defaults[option.name] = option.default_value;
  }
  CHECK(defaults == paper);
}

TEST_CASE("black box: a number that is not finite is refused by name, lifetime and step") {
  const LifetimeBatch good = Collect(Network()->InitialWeights(5));
  const std::pair<const char*, Tensor Segment::*> tensors[] = {
      {"observations", &Segment::observations},
      {"actions", &Segment::actions},
      {"log_probs", &Segment::log_probs},
      {"shaped_rewards", &Segment::shaped_rewards},
      {"success_signals", &Segment::success_signals},
      {"signals", &Segment::signals},
      {"signal_log_probs", &Segment::signal_log_probs},
      {"signal_values", &Segment::signal_values}};
  for (const auto& [name, member] : tensors) {
    for (const float value : {std::nanf(""), INFINITY}) {
      INFO(name);
      LifetimeBatch bad = good;
      bad.steps.*member = (good.steps.*member).clone();
      (bad.steps.*member)[4][13] = value;
      CHECK_THAT(MustRefuse(bad, absl::StatusCode::kInvalidArgument),
                 Contains(name) && Contains("lifetime 4") && Contains("step 13"));
    }
  }
  LifetimeBatch sharp = good;
  sharp.steps.log_probs = good.steps.log_probs.clone();
  sharp.steps.log_probs[2][7] = 100;  // e^100 is no float.
  CHECK_THAT(MustRefuse(sharp, absl::StatusCode::kInvalidArgument),
             Contains("density") && Contains("lifetime 2") && Contains("step 7"));
}

TEST_CASE("black box: batches of another shape are refused") {
  const LifetimeBatch good = Collect(Network()->InitialWeights(5));
  LifetimeBatch bad = good;
  bad.steps.signals = good.steps.signals.narrow(1, 0, kAll - 1);
  CHECK_THAT(MustRefuse(bad, absl::StatusCode::kInvalidArgument),
             Contains("signals") && Contains("[11, 60]"));
  bad = good;
  bad.steps.signal_values = Tensor();
  CHECK_THAT(MustRefuse(bad, absl::StatusCode::kInvalidArgument), Contains("signal_values"));
  bad = good;
  bad.environments.pop_back();
  CHECK_THAT(MustRefuse(bad, absl::StatusCode::kInvalidArgument), Contains("10") && Contains("11"));
  bad = good;
  bad.steps.prev_done = good.steps.prev_done.clone();
  bad.steps.prev_done[0][0] = 1;
  CHECK_THAT(MustRefuse(bad, absl::StatusCode::kInvalidArgument), Contains("prev_done"));
}

TEST_CASE("black box: inputs that are not those of acting are refused with the number") {
  LifetimeBatch shifted = Collect(Network()->InitialWeights(5));
  shifted.steps.signals = torch::roll(shifted.steps.signals, 1, 1);
  CHECK_THAT(MustRefuse(shifted, absl::StatusCode::kFailedPrecondition),
             Contains("max |rho - 1| is"));
  // Weights of another update.
  const LifetimeBatch other = Collect(Network()->InitialWeights(6));
  CHECK_THAT(MustRefuse(other, absl::StatusCode::kFailedPrecondition),
             Contains("max |rho - 1| is"));
}

TEST_CASE("black box: negative shaped rewards teach, and what they need is part of the state") {
  LifetimeBatch batch = Collect(Network()->InitialWeights(5));
  CHECK_FALSE(MustUpdate(MakeRule(Spec()).get(), batch).contains("reward_rms/door"));
  batch.steps.shaped_rewards = batch.steps.shaped_rewards - 5;
  const auto rule = MakeRule(Spec()), resumed = MakeRule(Spec());
  const RuleReport report = MustUpdate(rule.get(), batch);
  CHECK(report.at("reward_mean/door") < -4);
  CHECK(report.at("reward_rms/door") > 4);
  CHECK(report.at("advantage_std") > 0);
  REQUIRE(resumed->Load(rule->Save()).ok());
  const LifetimeBatch next = Collect(rule->meta_parameters(), 1);
  CHECK(MustUpdate(resumed.get(), next, 1) == MustUpdate(rule.get(), next, 1));
  CHECK(Same(resumed->Save(), rule->Save()));

  const auto success = MakeRule(Spec({{"objective", "success"}}));
  CHECK_FALSE(MustUpdate(success.get(), batch).contains("reward_mean/door"));
}

TEST_CASE("black box: of the last segment only rewards matter") {
  const LifetimeBatch batch = Collect(Network()->InitialWeights(5));
  const auto updated = [&](const std::function<void(Segment*)>& change) {
    LifetimeBatch changed = batch;
    change(&changed.steps);
    const auto rule = MakeRule(Spec());
    MustUpdate(rule.get(), changed);
    return rule->meta_parameters();
  };
  const auto replace = [&](Tensor Segment::*member, double value) {
    return [=](Segment* steps) {
      steps->*member = (steps->*member).clone();
      (steps->*member).narrow(1, 2 * kSteps, kSteps).fill_(value);
    };
  };
  const Tensor want = updated([](Segment*) {});
  for (auto member : {&Segment::observations, &Segment::actions, &Segment::log_probs,
                      &Segment::success_signals, &Segment::signals, &Segment::signal_log_probs}) {
    CHECK(updated(replace(member, 3)).equal(want));
  }
  CHECK_FALSE(updated(replace(&Segment::shaped_rewards, 3)).equal(want));
}

TEST_CASE("black box: the normaliser remembers every lifetime") {
  const auto rule = MakeRule(Spec({{"learning_rate", "0"}}));
  const Tensor weights = rule->meta_parameters();
  double sum = 0;
  for (uint32_t step = 0; step < 3; ++step) {
    LifetimeBatch batch = Collect(weights, step);
    batch.environments.assign(kLifetimes, "door");
    sum += batch.steps.shaped_rewards.mean().item<double>();
    const RuleReport report = MustUpdate(rule.get(), batch, step);
    CHECK(testing::Near(report.at("reward_mean/door"), sum / (step + 1), {.rel = 1e-12}));
  }
  CHECK(rule->meta_parameters().equal(weights));
}

TEST_CASE("black box: options reach the update") {
  const LifetimeBatch batch = Collect(Network()->InitialWeights(5));
  const auto run = [&](const std::map<std::string, std::string>& options, RuleReport* report) {
    const auto rule = MakeRule(Spec(options));
    *report = MustUpdate(rule.get(), batch);
    return rule->meta_parameters();
  };
  RuleReport base_report, report;
  const Tensor base = run({}, &base_report);
  CHECK(run({}, &report).equal(base));
  const std::pair<const char*, const char*> changes[] = {{"learning_rate", "1e-3"},
                                                         {"adam_beta1", "0.8"},
                                                         {"adam_beta2", "0.9"},
                                                         {"adam_epsilon", "1e-3"},
                                                         {"entropy_coef", "0.1"},
                                                         {"value_coef", "5"},
                                                         {"clip", "0.01"},
                                                         {"max_grad_norm", "0.01"},
                                                         {"epochs", "2"},
                                                         {"k", "5"},
                                                         {"num_minibatches", "2"},
                                                         {"zero_prev_at_cut", "true"},
                                                         {"objective", "success"},
                                                         {"target_mean", "1"},
                                                         {"estimator", "bootstrapping"},
                                                         {"gamma", "0.5"},
                                                         {"lambda", "0.1"},
                                                         {"starting_n", "23"},
                                                         {"num_n_step_estimates", "5"},
                                                         {"skip_rate", "4"}};
  for (const auto& [name, value] : changes) {
    INFO(name);
    CHECK_FALSE(run({{name, value}}, &report).equal(base));
  }
  run({{"num_minibatches", "2"}}, &report);
  CHECK(report.at("optimizer_steps") == 6);
  run({{"target_kl", "1e-9"}}, &report);
  CHECK(report.at("epochs") == 1);
}

}  // namespace mentor::methods::TEST_FILE
