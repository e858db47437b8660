// gae, policy_forward, ppo_minibatch, ppo_drift and ppo_update. In float64 with the tolerance of
// the file. In float32 with 1e-5 (forward), 1e-4 (gradients) and 1e-3 (whole updates) of each
// tensor's greatest element.
#include "agents/ppo.h"

#include <numeric>
#include <set>

#include "agents/adam.h"
#include "agents/agent_shape.h"
#include "agents/gae.h"
#include "agents/policy.h"
#include "agents/ppo_kernels.h"
#include "agents/ppo_loss.h"
#include "tests/golden.h"

namespace mentor::agents::TEST_FILE {

using testing::CheckNear;
using testing::GoldenTolerance;
using testing::Json;
using testing::ReadGolden;
using testing::Tolerance;
using testing::ToTensor;

constexpr double kForward = 1e-5, kGradient = 1e-4, kUpdate = 1e-3;
// Tolerance of approx_kl: the rounding of the policy's means to float32 causes up to 4.3e-6 of the
// value, by the processor, even with exact arithmetic on them.
constexpr double kKl = 5e-6;

// Compares the expected values of one case. At the end it finds values that were never compared.
class Expected {
 public:
  Expected(const Json& file, const Json& expected, torch::Dtype dtype)
      : expected_(expected), file_(GoldenTolerance(file)), dtype_(dtype) {}

  void Check(const std::string& name, const torch::Tensor& got, double float_tolerance) {
    Compare(name, got, ToTensor(expected_.at(name)), float_tolerance);
    seen_.insert(name);
  }
  // A tensor for each parameter: theta [S, P] or the like.
  void CheckParameters(const std::string& name, const ParamLayout& layout, const torch::Tensor& got,
                       double float_tolerance) {
    REQUIRE(expected_.at(name).size() == layout.slices().size());
    const std::vector<torch::Tensor> parts = layout.Split(got);
    for (size_t i = 0; i < parts.size(); ++i) {
      const std::string& parameter = layout.slices()[i].name;
      Compare(name + " " + parameter, parts[i], ToTensor(expected_.at(name).at(parameter)),
              float_tolerance);
    }
    seen_.insert(name);
  }
  void Seen(const std::string& name) { seen_.insert(name); }
  void CheckAllSeen() const {
    for (const auto& [name, value] : expected_.items()) {
      INFO("expected value " << name);
      CHECK(seen_.count(name) == 1);
    }
  }

 private:
  void Compare(const std::string& name, const torch::Tensor& got, const torch::Tensor& want,
               double float_tolerance) {
    Tolerance tolerance = file_;
    if (dtype_ == torch::kFloat32) {
      tolerance = {.rel = float_tolerance,
                   .abs = float_tolerance * want.abs().max().item<double>() + 1e-12};
    }
    CheckNear(name, got, want.reshape_as(got), tolerance);
  }

  const Json& expected_;
  const Tolerance file_;
  const torch::Dtype dtype_;
  std::set<std::string> seen_;
};

// Every key of "config" has its effect; a key that this does not know fails.
PpoConfig ConfigOf(const Json& json) {
  PpoConfig config;
  bool clip_grad = true;
  for (const auto& [key, value] : json.items()) {
    if (key == "clip")
      config.clip = value;
    else if (key == "drift")
      config.drift = {.alpha = value.at("alpha"), .beta = value.at("beta")};
    else if (key == "normalize_advantage")
      config.normalize_advantage = value;
    else if (key == "adv_eps")
      config.advantage_epsilon = value;
    else if (key == "entropy_coef")
      config.entropy_coef = value;
    else if (key == "value_coef")
      config.value_coef = value;
    else if (key == "clip_value_loss")
      config.clip_value_loss = value;
    else if (key == "clip_grad")
      clip_grad = value;
    else if (key == "max_grad_norm")
      config.max_grad_norm = value.is_null() ? std::nullopt : std::optional<double>(value);
    else if (key == "lr")
      config.learning_rate = value;
    else if (key == "beta1")
      config.adam_beta1 = value;
    else if (key == "beta2")
      config.adam_beta2 = value;
    else if (key == "adam_eps")
      config.adam_epsilon = value;
    else if (key == "minibatches")
      config.minibatches = value;
    else if (key == "epochs")
      config.epochs = value;
    else if (key == "gamma")
      config.gamma = value;
    else if (key == "lambda")
      config.gae_lambda = value;
    else if (key == "target_kl")
      config.target_kl = value.is_null() ? std::nullopt : std::optional<double>(value);
    else if (key != "critic")
      FAIL("unknown key of config: " << key);
  }
  if (!clip_grad) config.max_grad_norm.reset();
  return config;
}

AgentShape ShapeOf(const Json& json) {
  return {.observation_size = json.at("D"),
          .action_size = json.at("A"),
          .hidden_units = json.at("H"),
          .critic = json.at("params").contains("critic.W1")};
}

// Named tensors [S, ...] as theta [S, P].
torch::Tensor Flat(const ParamLayout& layout, const Json& tensors, torch::Dtype dtype) {
  std::vector<torch::Tensor> parts;
  for (const ParamSlice& slice : layout.slices())
    parts.push_back(ToTensor(tensors.at(slice.name), dtype).flatten(1));
  REQUIRE(tensors.size() == layout.slices().size());
  return torch::cat(parts, 1);
}

torch::Tensor Optional(const Json& json, const char* name, torch::Dtype dtype) {
  return json.contains(name) ? ToTensor(json.at(name), dtype) : torch::Tensor();
}

TEST_CASE("golden: gae", "[golden]") {
  const Json file = ReadGolden("gae");
  for (const Json& json : file.at("cases")) {
    for (torch::Dtype dtype : {torch::kFloat64, torch::kFloat32}) {
      INFO(json.at("name") << " " << dtype);
      const Advantages got =
          Gae(ToTensor(json.at("rewards"), dtype), ToTensor(json.at("values"), dtype),
              ToTensor(json.at("prev_done"), dtype), ToTensor(json.at("last_done"), dtype),
              ToTensor(json.at("last_value"), dtype), json.at("gamma"), json.at("lambda"),
              {Optional(json, "truncated", dtype), Optional(json, "final_values", dtype)});
      Expected expected(file, json, dtype);
      expected.Check("advantages", got.advantages, kForward);
      expected.Check("returns", got.returns, kForward);
    }
  }
}

TEST_CASE("golden: policy_forward", "[golden]") {
  const Json file = ReadGolden("policy_forward");
  for (const Json& json : file.at("cases")) {
    for (torch::Dtype dtype : {torch::kFloat64, torch::kFloat32}) {
      INFO(json.at("name") << " " << dtype);
      const ParamLayout layout = AgentLayout(ShapeOf(json));
      const torch::Tensor theta = Flat(layout, json.at("params"), dtype);
      const AgentNetworks networks = SplitAgents(layout, theta);
      const torch::Tensor observations = ToTensor(json.at("obs"), dtype);
      const torch::Tensor mean = Forward(networks.policy, observations),
                          std = networks.log_std.exp();
      const torch::Tensor action = mean + std.unsqueeze(1) * ToTensor(json.at("noise"), dtype);
      Expected expected(file, json.at("expected"), dtype);
      expected.Check("mean", mean, kForward);
      expected.Check("std", std, kForward);
      expected.Check("action", action, kForward);
      expected.Check("env_action", action.clamp(-1, 1), kForward);
      expected.Check("deterministic_env_action", mean.clamp(-1, 1), kForward);
      expected.Check("logp", LogProb(mean, networks.log_std, action), kForward);
      expected.Check("entropy", Entropy(mean, networks.log_std), kForward);
      if (networks.value.w1.defined()) {
        expected.Check("value", Forward(networks.value, observations).squeeze(-1), kForward);
      }
      expected.CheckAllSeen();
    }
  }
}

void CheckMinibatchOfLibTorch(const std::string& name) {
  const Json file = ReadGolden(name);
  for (const Json& json : file.at("cases")) {
    for (torch::Dtype dtype : {torch::kFloat64, torch::kFloat32}) {
      INFO(json.at("name") << " " << dtype);
      const PpoConfig config = ConfigOf(json.at("config"));
      const AgentShape shape = ShapeOf(json);
      REQUIRE(shape.critic == json.at("config").at("critic").get<bool>());
      const ParamLayout layout = AgentLayout(shape);
      const torch::Tensor theta = Flat(layout, json.at("params"), dtype).requires_grad_(true);
      const Json& b = json.at("batch");
      const Minibatch batch{ToTensor(b.at("obs"), dtype),      ToTensor(b.at("act"), dtype),
                            ToTensor(b.at("logp_old"), dtype), ToTensor(b.at("adv"), dtype),
                            Optional(b, "ret", dtype),         Optional(b, "value_old", dtype)};
      const LossTerms terms = PpoLoss(layout, theta, batch, config);
      const torch::Tensor grad = torch::autograd::grad({terms.loss.sum()}, {theta})[0];
      const torch::Tensor norm = GradNorm(grad);

      Expected expected(file, json.at("expected"), dtype);
      expected.Check("mean", terms.mean, kForward);
      expected.Check("logp", terms.log_probs, kForward);
      expected.Check("ratio", terms.ratio, kForward);
      expected.Check("adv_used", terms.advantages, kForward);
      expected.Check("entropy", terms.entropy, kForward);
      expected.Check("pg_loss", terms.policy_loss, kForward);
      expected.Check("approx_kl", terms.approx_kl, kKl);
      expected.Check("clip_fraction", terms.clip_fraction, kForward);
      expected.Check("loss", terms.loss, kForward);
      expected.Check("grad_norm", norm, kGradient);
      // The scale is recorded whether or not clip_grad applies it.
      PpoConfig clipping = config;
      const Json limit = json.at("config").value("max_grad_norm", Json());
      if (limit.is_number()) clipping.max_grad_norm = limit.get<double>();
      expected.Check("clip_scale", ClipScale(norm, clipping), kGradient);
      if (shape.critic) {
        expected.Check("value", terms.values, kForward);
        expected.Check("v_loss", terms.value_loss, kForward);
      }
      expected.CheckParameters("grad", layout, grad, kGradient);

      const AgentBatch before{
          theta.detach(), Flat(layout, json.at("adam_m"), dtype),
          Flat(layout, json.at("adam_v"), dtype),
          torch::full({theta.size(0)}, json.at("adam_steps_before").get<int64_t>(), torch::kInt64)};
      const AgentBatch after =
          OptimizerStep(before, grad * ClipScale(norm, config).unsqueeze(1), config);
      expected.CheckParameters("params_after", layout, after.theta, kGradient);
      expected.CheckParameters("adam_m_after", layout, after.adam_m, kGradient);
      expected.CheckParameters("adam_v_after", layout, after.adam_v, kGradient);
      expected.CheckAllSeen();
    }
  }
}

TEST_CASE("golden: ppo_minibatch and ppo_drift through LibTorch", "[golden]") {
  CheckMinibatchOfLibTorch("ppo_minibatch");
  CheckMinibatchOfLibTorch("ppo_drift");
}

TEST_CASE("golden: ppo_drift is none of the losses that lack a part of it", "[golden]") {
  const Json file = ReadGolden("ppo_drift");
  for (const Json& json : file.at("cases")) {
    INFO(json.at("name"));
    const ParamLayout layout = AgentLayout(ShapeOf(json));
    const torch::Tensor theta = Flat(layout, json.at("params"), torch::kFloat64);
    const Json& b = json.at("batch");
    const Minibatch batch{ToTensor(b.at("obs")),
                          ToTensor(b.at("act")),
                          ToTensor(b.at("logp_old")),
                          ToTensor(b.at("adv")),
                          Optional(b, "ret", torch::kFloat64),
                          Optional(b, "value_old", torch::kFloat64)};
    const torch::Tensor want = ToTensor(json.at("expected").at("pg_loss"));
    const auto error = [&](const PpoConfig& config) {
      return (PpoLoss(layout, theta, batch, config).policy_loss - want).abs().max().item<double>();
    };
    const PpoConfig right = ConfigOf(json.at("config"));
    CHECK(error(right) < 1e-10);
    PpoConfig clip = right, swapped = right, no_drift = right;
    clip.drift.reset();
    std::swap(swapped.drift->alpha, swapped.drift->beta);
    no_drift.drift = {.alpha = 1e9, .beta = 1e9};
    for (const PpoConfig& wrong : {clip, swapped, no_drift}) CHECK(error(wrong) > 1e-6);
  }
}

TEST_CASE("golden: approx_kl of a policy that hardly moved keeps its digits in float32",
          "[golden]") {
  const Json file = ReadGolden("ppo_minibatch");
  const Json& json = file.at("cases")[0];
  const PpoConfig config = ConfigOf(json.at("config"));
  const ParamLayout layout = AgentLayout(ShapeOf(json));
  const Json& b = json.at("batch");
  // Inputs that float32 holds exactly, to measure arithmetic alone.
  const auto exact = [](const torch::Tensor& x) {
    return x.to(torch::kFloat32).to(torch::kFloat64);
  };
  const torch::Tensor theta = exact(Flat(layout, json.at("params"), torch::kFloat64));
  Minibatch batch{exact(ToTensor(b.at("obs"))),      exact(ToTensor(b.at("act"))),
                  exact(ToTensor(b.at("logp_old"))), exact(ToTensor(b.at("adv"))),
                  exact(ToTensor(b.at("ret"))),      exact(ToTensor(b.at("value_old")))};
  const torch::Tensor log_probs = PpoLoss(layout, theta, batch, config).log_probs;
  const torch::Tensor signs = 2 * torch::arange(log_probs.size(1)).remainder(2) - 1;
  batch.log_probs = exact(log_probs - 5e-4 * signs);
  const torch::Tensor x = log_probs - batch.log_probs;
  // e^x - 1 - x without a difference.
  const torch::Tensor want = (x.pow(2) / 2 + x.pow(3) / 6 + x.pow(4) / 24).mean(1);

  for (torch::Tensor* input : {&batch.observations, &batch.actions, &batch.log_probs,
                               &batch.advantages, &batch.returns, &batch.values})
    *input = input->to(torch::kFloat32);
  const LossTerms terms = PpoLoss(layout, theta.to(torch::kFloat32), batch, config);
  const auto error = [&](const torch::Tensor& kl) {
    return ((kl.to(torch::kFloat64) - want).abs() / want).max().item<double>();
  };
  CHECK(terms.approx_kl.scalar_type() == torch::kFloat32);
  CHECK(error(terms.approx_kl) < 5e-3);
  // The difference of two numbers near 5e-4 has no such digits.
  CHECK(error(((terms.ratio - 1) - (terms.log_probs - batch.log_probs)).mean(1)) > 1e-2);
}

template <typename T>
void CheckMinibatchOfKernels(const std::string& name, torch::Dtype dtype) {
  const Json file = ReadGolden(name);
  for (const Json& json : file.at("cases")) {
    INFO(json.at("name") << " " << dtype);
    const PpoConfig config = ConfigOf(json.at("config"));
    const AgentShape shape = ShapeOf(json);
    const ParamLayout layout = AgentLayout(shape);
    const Json& b = json.at("batch");
    const torch::Tensor observations = ToTensor(b.at("obs"), dtype),
                        actions = ToTensor(b.at("act"), dtype),
                        log_probs = ToTensor(b.at("logp_old"), dtype),
                        advantages = ToTensor(b.at("adv"), dtype);
    const torch::Tensor returns = Optional(b, "ret", dtype),
                        values = Optional(b, "value_old", dtype);
    AgentBatch agents = NewAgents(Flat(layout, json.at("params"), dtype));
    agents.adam_m = Flat(layout, json.at("adam_m"), dtype);
    agents.adam_v = Flat(layout, json.at("adam_v"), dtype);
    const int64_t num_agents = agents.theta.size(0), count = advantages.size(1);
    torch::Tensor grad = torch::full_like(agents.theta, 7);
    torch::Tensor terms = torch::zeros({7, num_agents}, torch::kFloat64);
    std::vector<int64_t> rows(count);
    std::iota(rows.begin(), rows.end(), 0);
    for (int64_t s = 0; s < num_agents; ++s) {
      const AgentRows<T> data{observations[s].data_ptr<T>(),
                              actions[s].data_ptr<T>(),
                              log_probs[s].data_ptr<T>(),
                              advantages[s].data_ptr<T>(),
                              shape.critic ? returns[s].data_ptr<T>() : nullptr,
                              shape.critic ? values[s].data_ptr<T>() : nullptr};
      PpoKernels<T> kernels(
          {shape.observation_size, shape.action_size, shape.hidden_units, shape.critic}, config,
          count);
      const MinibatchLoss loss =
          kernels.LossAndGradient(agents.theta[s].data_ptr<T>(), data, rows, grad[s].data_ptr<T>());
      const std::span<const T> g(grad[s].data_ptr<T>(), layout.size());
      const double norm = std::sqrt(kernels::SquaredNorm<T>(g));
      const double scale =
          config.max_grad_norm ? std::min(1.0, *config.max_grad_norm / (norm + 1e-6)) : 1.0;
      kernels::AdamStepInPlace<T>(config.Adam(), json.at("adam_steps_before").get<int64_t>() + 1,
                                  scale, g, agents.theta[s].data_ptr<T>(),
                                  agents.adam_m[s].data_ptr<T>(), agents.adam_v[s].data_ptr<T>());
      int64_t i = 0;
      for (double term : {loss.loss, loss.policy_loss, loss.value_loss, loss.entropy,
                          loss.approx_kl, loss.clip_fraction, norm}) {
        terms[i++][s] = term;
      }
    }
    Expected expected(file, json.at("expected"), dtype);
    expected.Check("loss", terms[0], kForward);
    expected.Check("pg_loss", terms[1], kForward);
    if (shape.critic) expected.Check("v_loss", terms[2], kForward);
    expected.Check("entropy", terms[3], kForward);
    expected.Check("approx_kl", terms[4], kKl);
    expected.Check("clip_fraction", terms[5], kForward);
    expected.Check("grad_norm", terms[6], kGradient);
    expected.CheckParameters("grad", layout, grad, kGradient);
    expected.CheckParameters("params_after", layout, agents.theta, kGradient);
    expected.CheckParameters("adam_m_after", layout, agents.adam_m, kGradient);
    expected.CheckParameters("adam_v_after", layout, agents.adam_v, kGradient);
  }
}

TEST_CASE("golden: ppo_minibatch and ppo_drift through the kernels", "[golden]") {
  for (const char* name : {"ppo_minibatch", "ppo_drift"}) {
    CheckMinibatchOfKernels<double>(name, torch::kFloat64);
    CheckMinibatchOfKernels<float>(name, torch::kFloat32);
  }
}

TEST_CASE("golden: ppo_update", "[golden]") {
  const Json file = ReadGolden("ppo_update");
  for (const Json& json : file.at("cases")) {
    for (torch::Dtype dtype : {torch::kFloat64, torch::kFloat32}) {
      for (PpoEngine engine : {PpoEngine::kAutograd, PpoEngine::kKernels}) {
        INFO(json.at("name") << " " << dtype
                             << (engine == PpoEngine::kKernels ? " kernels" : " autograd"));
        PpoConfig config = ConfigOf(json.at("config"));
        config.epochs = json.at("epochs");
        config.minibatches = json.at("minibatches");
        const AgentShape shape = ShapeOf(json);
        REQUIRE(shape.critic == json.at("config").at("critic").get<bool>());
        const ParamLayout layout = AgentLayout(shape);
        const int64_t steps = json.at("T");
        REQUIRE(steps / config.minibatches == json.at("minibatch_size").get<int64_t>());

        const torch::Tensor theta = Flat(layout, json.at("params"), dtype);
        const AgentNetworks networks = SplitAgents(layout, theta);
        Segment segment;
        segment.observations = ToTensor(json.at("obs"), dtype);
        segment.actions = ToTensor(json.at("act"), dtype);
        segment.prev_done = ToTensor(json.at("prev_done"), dtype);
        segment.last_done = Optional(json, "last_done", dtype);
        segment.next_observations = Optional(json, "next_obs", dtype);
        const torch::Tensor mean = Forward(networks.policy, segment.observations);
        segment.log_probs = LogProb(mean, networks.log_std, segment.actions);
        const torch::Tensor signal =
            ToTensor(json.at(shape.critic ? "rewards" : "signal_as_advantage"), dtype);
        const torch::Tensor perms = ToTensor(json.at("perms")).to(torch::kInt64);
        const MinibatchOrder order = [&](int64_t agent, int64_t epoch, std::span<int64_t> out) {
          const torch::Tensor perm = perms[agent][epoch].contiguous();
          std::copy_n(perm.data_ptr<int64_t>(), out.size(), out.begin());
        };

        // The stored action is the mean plus the noise.
        Expected expected(file, json.at("expected"), dtype);
        CheckNear("actions",
                  mean + networks.log_std.exp().unsqueeze(1) * ToTensor(json.at("noise"), dtype),
                  segment.actions, {.rel = 1e-5, .abs = 1e-5});
        expected.Check("logp_old", segment.log_probs, kForward);
        const auto result =
            PpoUpdate(shape, NewAgents(theta), segment, signal, config, order, {.engine = engine});
        REQUIRE(result.ok());
        CHECK(result->nonfinite == 0);
        if (shape.critic) {
          expected.Check("values", result->values, kForward);
          expected.Check("last_value", result->last_values, kForward);
          expected.Check("advantages", result->advantages, kForward);
          expected.Check("returns", result->returns, kForward);
        }
        const int64_t optimizer_steps = json.at("expected").at("optimizer_steps");
        expected.Seen("optimizer_steps");
        for (const AgentReport& report : result->reports)
          CHECK(report.optimizer_steps == optimizer_steps);
        CHECK(result->agents.adam_steps.eq(optimizer_steps).all().item<bool>());
        const torch::Tensor trace =
            torch::stack({result->trace.select(2, kLoss), result->trace.select(2, kGradNorm),
                          result->trace.select(2, kApproxKl)},
                         2);
        expected.Check("trace", trace, kUpdate);
        expected.CheckParameters("params_after", layout, result->agents.theta, kUpdate);
        expected.CheckParameters("adam_m_after", layout, result->agents.adam_m, kUpdate);
        expected.CheckParameters("adam_v_after", layout, result->agents.adam_v, kUpdate);
        expected.CheckAllSeen();
      }
    }
  }
}

}  // namespace mentor::agents::TEST_FILE
