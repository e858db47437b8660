// mg_lirpg, mg_meta_update and mg_gamma_lambda, by both implementations of the differentiated
// update.
#include <functional>

#include "agents/differentiable_update.h"
#include "agents/gae.h"
#include "agents/policy.h"
#include "methods/shared/critic.h"
#include "methods/shared/outer_objective.h"
#include "tests/golden.h"

namespace mentor::methods::TEST_FILE {

using testing::CheckNear;
using testing::GoldenTolerance;
using testing::Json;
using testing::ReadGolden;
using testing::Tolerance;
using testing::ToTensor;
using torch::Tensor;

constexpr agents::UpdateImplementation kBoth[] = {agents::UpdateImplementation::kUnrolled,
                                                  agents::UpdateImplementation::kReplay};

// A case: the settings that both sources share with Mentor's, and the rest.
struct Case {
  agents::AgentShape shape;
  agents::UpdateConfig update;
  OuterConfig outer;
  double c_ex = 1, c_in = 1, gamma = 1, lambda = 1, gamma_out = 1, lambda_out = 1;
  std::string outer_on;
};

Case Read(const Json& json) {
  Case c;
  c.shape = {.observation_size = json.at("D"),
             .action_size = json.at("A"),
             .hidden_units = ToTensor(json.at("params").at("actor.b1")).size(-1),
             .discrete = json.at("discrete")};
  agents::UpdateConfig& update = c.update;
  // A setting that this does not know fails.
  const std::map<std::string, std::function<void(const Json&)>> settings = {
      {"c_ex", [&](const Json& x) { c.c_ex = x; }},
      {"c_in", [&](const Json& x) { c.c_in = x; }},
      {"gamma", [&](const Json& x) { c.gamma = x; }},
      {"lambda", [&](const Json& x) { c.lambda = x; }},
      {"gamma_out", [&](const Json& x) { c.gamma_out = x; }},
      {"lambda_out", [&](const Json& x) { c.lambda_out = x; }},
      {"normalize_advantage", [&](const Json& x) { update.ppo.normalize_advantage = x; }},
      {"normalize_outer_advantage", [&](const Json& x) { c.outer.normalize_advantage = x; }},
      {"std_ddof",
       [&](const Json& x) { update.advantage_ddof = c.outer.advantage_ddof = x.get<int64_t>(); }},
      {"clip_value_loss", [&](const Json& x) { update.ppo.clip_value_loss = x; }},
      {"clip_form", [&](const Json& x) { update.tensorflow_clip = x == "tf"; }},
      {"loss", [&](const Json& x) { update.policy_gradient = x == "a2c"; }},
      {"clip", [&](const Json& x) { update.ppo.clip = c.outer.clip = x.get<double>(); }},
      {"value_coef", [&](const Json& x) { update.ppo.value_coef = x; }},
      {"entropy_coef", [&](const Json& x) { update.ppo.entropy_coef = x; }},
      {"max_grad_norm",
       [&](const Json& x) {
         update.ppo.max_grad_norm =
             x.is_null() ? std::nullopt : std::optional<double>(x.get<double>());
       }},
      {"clip_grad", [&](const Json& x) { update.stop_clip = x == "stop"; }},
      {"lr", [&](const Json& x) { update.ppo.learning_rate = x; }},
      {"opt",
       [&](const Json& x) {
         update.ppo.adam = x == "adam";
         update.rms_prop = x == "rmsprop";
       }},
      {"second_moment", [&](const Json& x) { update.stop_second_moment = x == "stop"; }},
      {"beta1", [&](const Json& x) { update.ppo.adam_beta1 = x; }},
      {"beta2", [&](const Json& x) { update.ppo.adam_beta2 = x; }},
      {"decay", [&](const Json& x) { update.rms_decay = x; }},
      {"opt_eps", [&](const Json& x) { update.ppo.adam_epsilon = x; }},
      {"opt_eps_form", [&](const Json& x) { update.tensorflow_epsilon = x == "hat"; }},
      {"outer",
       [&](const Json& x) {
         c.outer.form = x == "ppo" ? OuterConfig::Form::kClippedRatio : OuterConfig::Form::kRatio;
       }},
      {"outer_on", [&](const Json& x) { c.outer_on = x; }},
  };
  for (const auto& [name, value] : json.at("config").items()) {
    INFO(name);
    REQUIRE(settings.contains(name));
    settings.at(name)(value);
  }
  return c;
}

// Tensors of a layout's names as [S, P]; zeros when the case has none.
Tensor Flat(const agents::ParamLayout& layout, const Json& json, const char* name, int64_t agents) {
  if (!json.contains(name)) return torch::zeros({agents, layout.size()}, torch::kFloat64);
  std::vector<Tensor> parts;
  for (const agents::ParamSlice& slice : layout.slices())
    parts.push_back(ToTensor(json.at(name).at(slice.name)).reshape({agents, slice.size}));
  REQUIRE(json.at(name).size() == layout.slices().size());
  return torch::cat(parts, 1);
}

Tensor Actions(const agents::AgentShape& shape, const Tensor& actions) {
  if (!shape.discrete) return actions;
  return torch::one_hot(actions.to(torch::kInt64), shape.action_size).to(torch::kFloat64);
}

struct Signal {
  std::vector<std::string> names = {"sig.W1", "sig.b1", "sig.W2", "sig.b2", "sig.W3", "sig.b3"};
  std::vector<Tensor> weights;

  explicit Signal(const Json& phi) {
    for (const std::string& name : names)
      weights.push_back(ToTensor(phi.at(name)).requires_grad_(true));
  }
  Tensor operator()(const Tensor& observations, const Tensor& actions) const {
    const auto w = [&](int i) { return weights[i].unsqueeze(0); };
    const Tensor x = torch::cat({observations, actions}, -1).flatten(0, 1).unsqueeze(0);
    return agents::Forward({w(0), w(1), w(2), w(3), w(4), w(5)}, x)
        .tanh()
        .view({observations.size(0), observations.size(1)});
  }
};

OuterRows RowsOf(const Case& c, const Json& segment, const Tensor& rows) {
  const agents::Advantages gae =
      agents::Gae(ToTensor(segment.at("extrinsic")), ToTensor(segment.at("value_ex")),
                  ToTensor(segment.at("prev_done")), ToTensor(segment.at("last_done")),
                  ToTensor(segment.at("last_value_ex")), c.gamma_out, c.lambda_out);
  OuterRows all{ToTensor(segment.at("obs")),
                Actions(c.shape, ToTensor(segment.at("act"))),
                ToTensor(segment.at("logp")),
                gae.advantages,
                {}};
  if (!rows.defined()) return all;
  const auto take = [&](const Tensor& x) {
    std::vector<Tensor> agents;
    for (int64_t s = 0; s < x.size(0); ++s) agents.push_back(x[s].index_select(0, rows[s]));
    return torch::stack(agents);
  };
  return {take(all.observations), take(all.actions), take(all.log_probs), take(all.advantages), {}};
}

void CheckCase(const Json& json, const Tolerance& tolerance) {
  const Case c = Read(json);
  const agents::ParamLayout layout = agents::AgentLayout(c.shape);
  const int64_t agents = json.at("S"), steps = json.at("K");
  const Json &segment = json.at("segment"), &expected = json.at("expected");

  agents::UpdateInputs inputs;
  inputs.agents = {
      Flat(layout, json, "params", agents), Flat(layout, json, "m", agents),
      Flat(layout, json, "v", agents),
      torch::full({agents}, json.at("opt_steps_before").get<int64_t>(), torch::kInt64)};
  inputs.observations = ToTensor(segment.at("obs"));
  inputs.actions = Actions(c.shape, ToTensor(segment.at("act")));
  inputs.log_probs = ToTensor(segment.at("logp"));
  inputs.values = ToTensor(segment.at("value"));
  const Tensor rows = ToTensor(json.at("minibatches"), torch::kInt64);
  for (int64_t k = 0; k < steps; ++k) inputs.minibatches.push_back(rows.select(1, k));

  const Signal signal(json.at("phi"));
  const Tensor r_in = signal(inputs.observations, inputs.actions);
  CheckNear("r_in", r_in.detach(), ToTensor(expected.at("r_in")), tolerance);
  const Tensor prev_done = ToTensor(segment.at("prev_done"));
  inputs.advantages = agents::Gae(c.c_ex * ToTensor(segment.at("extrinsic")) + c.c_in * r_in,
                                  inputs.values, prev_done, ToTensor(segment.at("last_done")),
                                  ToTensor(segment.at("last_value")), c.gamma, c.lambda)
                          .advantages;
  CheckNear("adv_mix", inputs.advantages, ToTensor(expected.at("adv_mix")), tolerance);

  const bool fresh = c.outer_on == "outer_segment", first = c.outer_on == "first_minibatch";
  const Json& outer_segment = fresh ? json.at("outer_segment") : segment;
  const OuterRows outer = RowsOf(c, outer_segment, first ? rows.select(1, 0) : Tensor());
  CheckNear("adv_ex", RowsOf(c, outer_segment, {}).advantages, ToTensor(expected.at("adv_ex")),
            tolerance);
  const agents::AgentLoss outer_loss = [&](const Tensor& theta) {
    return OuterLoss(layout, theta, outer, c.outer);
  };
  const auto check_parameters = [&](const char* name, const Tensor& got) {
    CheckNear(name, got, Flat(layout, expected, name, agents), tolerance);
  };
  const auto check_signal = [&](const char* name, const Tensor& advantages) {
    const Tensor reward = agents::GaeAdjoint(advantages, prev_done, c.gamma, c.lambda) * c.c_in /
                          static_cast<double>(agents);
    const auto grads = torch::autograd::grad({(r_in * reward).sum()}, signal.weights, {}, true);
    for (size_t i = 0; i < grads.size(); ++i) {
      CheckNear(std::string(name) + " " + signal.names[i], grads[i],
                ToTensor(expected.at(name).at(signal.names[i])), tolerance);
    }
  };

  for (agents::UpdateImplementation implementation : kBoth) {
    INFO("implementation " << static_cast<int>(implementation));
    agents::UpdateConfig config = c.update;
    const agents::UpdateGradient got =
        agents::DifferentiateUpdate(c.shape, config, inputs, outer_loss, implementation).value();
    CheckNear("outer_loss_agent", got.outer_loss, ToTensor(expected.at("outer_loss_agent")),
              tolerance);
    CheckNear("outer_loss", got.outer_loss.mean(), ToTensor(expected.at("outer_loss")), tolerance);
    check_parameters("params_after", got.after.agents.theta);
    if (expected.contains("m_after")) check_parameters("m_after", got.after.agents.adam_m);
    if (expected.contains("v_after")) check_parameters("v_after", got.after.agents.adam_v);
    check_parameters("dJ_dtheta", got.theta / static_cast<double>(agents));
    check_signal("dJ_dphi", got.advantages);
    const agents::UpdateTrace& trace = got.after.trace;
    for (const auto& [name, tensor] :
         std::map<std::string, Tensor>{{"loss", trace.loss},
                                       {"policy_loss", trace.policy_loss},
                                       {"value_loss", trace.value_loss},
                                       {"entropy", trace.entropy},
                                       {"grad_norm", trace.grad_norm}}) {
      CheckNear(name, tensor, ToTensor(expected.at("inner").at(name)), tolerance);
    }
    if (expected.contains("dJ_dphi_no_path")) {
      config.first_order = true;
      check_signal("dJ_dphi_no_path",
                   agents::DifferentiateUpdate(c.shape, config, inputs, outer_loss, implementation)
                       ->advantages);
      config.first_order = false;
    }
    if (expected.contains("dJ_dphi_last_step")) {
      config.last_n = 1;
      check_signal("dJ_dphi_last_step",
                   agents::DifferentiateUpdate(c.shape, config, inputs, outer_loss, implementation)
                       ->advantages);
    }
  }

  // The first gradient is what plain descent of length 1 subtracts.
  agents::UpdateConfig descent = c.update;
  descent.rms_prop = descent.ppo.adam = false;
  descent.ppo.learning_rate = 1;
  descent.ppo.max_grad_norm.reset();
  agents::UpdateInputs one = inputs;
  one.minibatches.resize(1);
  check_parameters("first_grad",
                   inputs.agents.theta - agents::RunUpdate(c.shape, descent, one)->agents.theta);
  CheckNear("without a graph", agents::RunUpdate(c.shape, c.update, inputs)->agents.theta,
            Flat(layout, expected, "params_after", agents), tolerance);
}

TEST_CASE("golden: mg_lirpg and mg_meta_update", "[golden]") {
  for (const char* name : {"mg_lirpg", "mg_meta_update"}) {
    const Json file = ReadGolden(name);
    for (const Json& json : file.at("cases")) {
      INFO(name << ", " << json.at("name"));
      CheckCase(json, GoldenTolerance(file));
    }
  }
}

TEST_CASE("golden: mg_gamma_lambda", "[golden]") {
  const Json file = ReadGolden("mg_gamma_lambda");
  const Tolerance tolerance = GoldenTolerance(file);
  for (const Json& json : file.at("cases")) {
    INFO(json.at("name"));
    const Json &settings = json.at("config"), &expected = json.at("expected");
    const agents::AgentShape shape{
        .observation_size = json.at("D"),
        .action_size = json.at("A"),
        .hidden_units = ToTensor(json.at("params").at("actor.b1")).size(-1),
        .discrete = true};
    const agents::ParamLayout layout = agents::AgentLayout(shape);
    const Tensor theta = Flat(layout, json, "params", 1);
    const auto values = [&](const Tensor& parameters, const Tensor& observations) {
      const int64_t size = CriticSize(shape);
      return CriticValues(shape, parameters.narrow(1, layout.size() - size, size), observations);
    };
    // One agent, [1, T].
    const auto read = [&](const char* segment, const char* name) {
      return ToTensor(json.at(segment).at(name)).unsqueeze(0);
    };
    const auto next = [&](const char* segment) { return read(segment, "next_obs").unsqueeze(1); };
    agents::UpdateInputs inputs;
    inputs.agents = agents::NewAgents(theta);
    inputs.observations = read("segment", "obs");
    inputs.actions = Actions(shape, read("segment", "act"));
    const int64_t steps = inputs.observations.size(1);
    inputs.log_probs = torch::zeros({1, steps}, torch::kFloat64);
    inputs.values = values(theta, inputs.observations);
    inputs.minibatches = {torch::arange(steps, torch::kInt64).unsqueeze(0)};
    const Tensor last_value = values(theta, next("segment"));
    CheckNear("value", inputs.values[0], ToTensor(expected.at("value")), tolerance);
    CheckNear("last_value", last_value.squeeze(), ToTensor(expected.at("last_value")), tolerance);

    // The scan, differentiable in gamma and lambda.
    const Tensor gamma =
        torch::full({}, settings.at("gamma").get<double>(), torch::kFloat64).requires_grad_(true);
    const Tensor lambda =
        torch::full({}, settings.at("lambda").get<double>(), torch::kFloat64).requires_grad_(true);
    const Tensor done = torch::cat({read("segment", "prev_done").narrow(1, 1, steps - 1),
                                    read("segment", "last_done").view({1, 1})},
                                   1)[0];
    const Tensor next_values =
        torch::cat({inputs.values.narrow(1, 1, steps - 1), last_value}, 1)[0];
    const Tensor rewards = read("segment", "extrinsic")[0];
    std::vector<Tensor> scan(steps);
    Tensor tail = torch::zeros({}, torch::kFloat64);
    for (int64_t t = steps - 1; t >= 0; --t) {
      const Tensor alive = 1 - done[t];
      tail = rewards[t] + gamma * alive * next_values[t] - inputs.values[0][t] +
             gamma * lambda * alive * tail;
      scan[t] = tail;
    }
    const Tensor advantages = torch::stack(scan).unsqueeze(0);
    inputs.advantages = advantages.detach();
    CheckNear("advantage", inputs.advantages[0], ToTensor(expected.at("advantage")), tolerance);
    CheckNear("by Gae",
              agents::Gae(read("segment", "extrinsic"), inputs.values, read("segment", "prev_done"),
                          read("segment", "last_done"), last_value.squeeze(1), settings.at("gamma"),
                          settings.at("lambda"))
                  .advantages[0],
              inputs.advantages[0], tolerance);
    for (int64_t t = 0; t < steps; ++t) {
      const auto slopes = torch::autograd::grad({advantages[0][t]}, {gamma, lambda}, {}, true,
                                                false, /*allow_unused=*/true);
      const auto want = [&](const char* name) { return ToTensor(expected.at(name))[t]; };
      const auto got = [](const Tensor& x) {
        return x.defined() ? x : torch::zeros({}, torch::kFloat64);
      };
      CheckNear("dA_dgamma", got(slopes[0]), want("dA_dgamma"), tolerance);
      CheckNear("dA_dlambda", got(slopes[1]), want("dA_dlambda"), tolerance);
    }
    CheckNear("lambda_return", (inputs.advantages + inputs.values)[0],
              ToTensor(expected.at("lambda_return")), tolerance);

    agents::UpdateConfig config;
    config.policy_gradient = true;
    config.ppo.adam = false;
    config.ppo.normalize_advantage = false;
    config.ppo.max_grad_norm.reset();
    config.ppo.learning_rate = settings.at("lr");
    config.ppo.value_coef = settings.at("value_coef");
    config.ppo.entropy_coef = settings.at("entropy_coef");

    // Values of the outer segment are those of the updated agents, and constants.
    const Tensor after = agents::RunUpdate(shape, config, inputs)->agents.theta;
    CheckNear("params_after", after, Flat(layout, expected, "params_after", 1), tolerance);
    const Tensor outer_observations = read("outer_segment", "obs");
    const agents::Advantages outer =
        agents::Gae(read("outer_segment", "extrinsic"), values(after, outer_observations),
                    read("outer_segment", "prev_done"), read("outer_segment", "last_done"),
                    values(after, next("outer_segment")).squeeze(1), settings.at("gamma_bar"),
                    settings.at("lambda_bar"));
    const OuterRows rows{outer_observations, Actions(shape, read("outer_segment", "act")),
                         torch::zeros_like(outer.advantages), outer.advantages, outer.returns};
    const OuterConfig objective{.form = OuterConfig::Form::kPolicyGradient,
                                .normalize_advantage = false,
                                .value_coef = settings.at("outer_value_coef")};
    for (agents::UpdateImplementation implementation : kBoth) {
      const agents::UpdateGradient got =
          agents::DifferentiateUpdate(
              shape, config, inputs,
              [&](const Tensor& x) { return OuterLoss(layout, x, rows, objective); },
              implementation)
              .value();
      CheckNear("inner_loss", got.after.trace.loss[0][0], ToTensor(expected.at("inner_loss")),
                tolerance);
      CheckNear("outer_loss", got.outer_loss[0], ToTensor(expected.at("outer_loss")), tolerance);
      const auto grads =
          torch::autograd::grad({(advantages * got.advantages).sum()}, {gamma, lambda}, {}, true);
      for (const auto& [name, x, grad] :
           {std::tuple{"gamma", gamma, grads[0]}, std::tuple{"lambda", lambda, grads[1]}}) {
        CheckNear(name, grad, ToTensor(expected.at(std::string("dJ_d") + name)), tolerance);
        CheckNear(name, grad * x.detach() * (1 - x.detach()),
                  ToTensor(expected.at(std::string("dJ_dlogit_") + name)), tolerance);
      }
    }
  }
}

}  // namespace mentor::methods::TEST_FILE
