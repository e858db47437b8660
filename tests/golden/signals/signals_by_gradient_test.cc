// The signal networks of the meta-gradient rules against golden numbers: attention as a function
// and by its gradient, gamma and lambda by their advantages and slopes.
#include <torch/csrc/autograd/autograd.h>

#include "signals/attention/attention_layers.h"
#include "signals/plain_layers.h"
#include "tests/golden/signal_fixture.h"

namespace mentor::testing::TEST_FILE {

using signals::AttentionSizes;
using signals::Episodes;
using torch::Tensor;

AttentionSizes SizesOf(const Json& test) {
  AttentionSizes sizes{.inputs = test.at("D").get<int64_t>() + test.at("A").get<int64_t>() + 1,
                       .encoder_hidden = test.at("encoder_hidden"),
                       .width = test.at("d"),
                       .heads = test.at("heads"),
                       .blocks = {},
                       .head_hidden = std::nullopt,
                       .residual_mlp = false,
                       .bounded = false};
  for (const Json& layer : test.at("layers")) {
    const bool attends = layer.at("type") == "attention";
    sizes.blocks.push_back({.attends = attends, .hidden = {}});
    if (!attends) sizes.blocks.back().hidden = layer.at("hidden").get<std::vector<int64_t>>();
  }
  if (!test.at("head_hidden").is_null())
    sizes.head_hidden = test.at("head_hidden").get<std::vector<int64_t>>();
  return sizes;
}

TEST_CASE("golden: attention signal network") {
  const Json file = ReadGolden("mg_attention");
  for (const Json& test : file.at("cases")) {
    INFO(test.at("name").get<std::string>());
    const AttentionSizes sizes = SizesOf(test);
    const agents::ParamLayout layout = sizes.Layout();
    const Tensor flat = GoldenFlat(layout, test.at("params"), torch::kFloat64).requires_grad_(true);

    // Mentor's segments have no padding: steps that are not valid are left out.
    const Tensor rows = ToTensor(test.at("valid")).nonzero().squeeze(-1);
    const auto valid = [&](const Tensor& x) { return x.index_select(0, rows); };
    const Tensor act = ToTensor(test.at("act"));
    const bool discrete = test.at("discrete");
    const Tensor actions =
        discrete
            ? torch::one_hot(act.to(torch::kInt64), test.at("A").get<int64_t>()).to(torch::kFloat64)
            : act;
    const Tensor x = valid(torch::cat(
        {ToTensor(test.at("obs")), actions, ToTensor(test.at("extrinsic")).unsqueeze(-1)}, 1));
    const Tensor episode = valid(ToTensor(test.at("episode")));
    const int64_t steps = rows.numel();
    Tensor prev_done = torch::zeros({1, steps});
    prev_done[0].narrow(0, 1, steps - 1).copy_(episode.diff().ne(0));
    const Episodes episodes(prev_done);

    const signals::AttentionOutputs outputs =
        RunAttention(sizes, layout.Split(flat), x.unsqueeze(0), episodes);
    const Json& expected = test.at("expected");
    const auto check = [&](const char* name, const Tensor& got) {
      CheckNear(name, got, valid(ToTensor(expected.at(name))), GoldenTolerance(file));
    };
    check("embedding", outputs.embedding[0].detach());
    check("features", outputs.features[0].detach());
    check("r_in", outputs.signals[0].detach());

    // Maps as they are stored: one for all steps.
    std::vector<Tensor> maps;
    for (const Tensor& map : outputs.maps) {
      Tensor whole = torch::zeros({sizes.heads, steps, steps}, torch::kFloat64);
      for (size_t e = 0; e < episodes.places.size(); ++e) {
        const auto& [lifetime, first, length] = episodes.places[e];
        whole.narrow(1, first, length)
            .narrow(2, first, length)
            .copy_(map[static_cast<int64_t>(e)].narrow(1, 0, length).narrow(2, 0, length));
      }
      maps.push_back(whole);
    }
    CheckNear("attention", torch::stack(maps),
              ToTensor(expected.at("attention")).index_select(2, rows).index_select(3, rows),
              GoldenTolerance(file));

    const Tensor g = (valid(ToTensor(test.at("weight_c"))) * outputs.signals[0]).sum();
    CheckNear("G", g.detach(), ToTensor(expected.at("G")), GoldenTolerance(file));
    const Tensor gradient = torch::autograd::grad({g}, {flat})[0];
    CheckNear("dG_dparams", gradient,
              GoldenFlat(layout, expected.at("dG_dparams"), torch::kFloat64),
              GoldenTolerance(file));
    if (test.at("name") == "degenerate_d1") {
      // The published configuration: nothing but the offset of LayerNorm ever moves.
      Tensor moved = gradient.abs();
      const agents::ParamSlice& offset = layout.slices()[layout.IndexOf("blk.0.ln.b")];
      moved.narrow(0, offset.offset, offset.size).zero_();
      CHECK(moved.max().item<double>() < 1e-12);
    }
  }
}

TEST_CASE("golden: density of attention's signals") {
  const Json file = ReadGolden("attention_density");
  for (const Json& test : file.at("cases")) {
    INFO(test.at("name").get<std::string>());
    const AttentionSizes sizes{.encoder_hidden = {},
                               .blocks = {},
                               .head_hidden = {},
                               .density = true,
                               .initial_std = test.at("initial_std")};
    const Tensor mean = ToTensor(test.at("head_mean")), values = mean + 3;
    signals::AttentionOutputs outputs;
    ReadHead(sizes, torch::stack({mean, ToTensor(test.at("head_log_std")), values}, -1), &outputs);
    const Tensor signals = outputs.signals + outputs.log_stds.exp() * ToTensor(test.at("noise"));
    const auto check = [&](const char* name, const Tensor& got) {
      CheckNear(name, got, ToTensor(test.at("expected").at(name)), GoldenTolerance(file));
    };
    check("mean", outputs.signals);
    check("log_std", outputs.log_stds);
    check("signal", signals);
    check("log_prob", signals::LogDensity(signals, outputs.signals, outputs.log_stds));
    CHECK(torch::equal(outputs.values, values));
  }
}

TEST_CASE("golden: advantages under gamma and lambda, and their slopes") {
  const Json file = ReadGolden("mg_gamma_lambda");
  for (const Json& test : file.at("cases")) {
    INFO(test.at("name").get<std::string>());
    const Json& inputs = test.at("segment");
    const Json& expected = test.at("expected");
    const int64_t steps = test.at("T");
    agents::Segment segment;
    const auto row = [&](const Json& json) { return ToTensor(json).reshape({1, -1}); };
    segment.observations = ToTensor(inputs.at("obs")).unsqueeze(0);
    segment.shaped_rewards = row(inputs.at("extrinsic"));
    segment.success_signals = torch::zeros_like(segment.shaped_rewards);
    segment.prev_done = row(inputs.at("prev_done"));
    segment.last_done = ToTensor(inputs.at("last_done")).reshape({1});
    segment.values = row(expected.at("value"));
    segment.last_values = ToTensor(expected.at("last_value")).reshape({1});

    v1::SignalSpec spec;
    spec.set_name("discount");
    spec.set_role(v1::ADVANTAGE);
    spec.set_input(v1::SHAPED);
    Violations violations;
    const auto network = signals::MakeSignalNetwork(spec,
                                                    {.observation_size = test.at("D"),
                                                     .action_size = test.at("A"),
                                                     .role = v1::ADVANTAGE,
                                                     .input = v1::SHAPED},
                                                    &violations);
    REQUIRE(network != nullptr);
    const double gamma = test.at("config").at("gamma"), lambda = test.at("config").at("lambda");
    const Tensor logits =
        torch::tensor({std::log(gamma / (1 - gamma)), std::log(lambda / (1 - lambda))},
                      torch::kFloat64)
            .requires_grad_(true);
    signals::SignalState state = network->signals()->InitialState(1, torch::kFloat64);
    const Tensor advantage = network->gradient()->Signals(logits, segment, &state);
    const auto check = [&](const char* name, const Tensor& got) {
      CheckNear(name, got, ToTensor(expected.at(name)), GoldenTolerance(file));
    };
    check("advantage", advantage[0].detach());
    check("lambda_return", (advantage + segment.values)[0].detach());
    std::vector<Tensor> by_gamma, by_lambda;
    for (int64_t t = 0; t < steps; ++t) {
      const Tensor slope =
          torch::autograd::grad({advantage[0][t]}, {logits}, {}, /*retain_graph=*/true)[0];
      by_gamma.push_back(slope[0] / (gamma * (1 - gamma)));
      by_lambda.push_back(slope[1] / (lambda * (1 - lambda)));
    }
    check("dA_dgamma", torch::stack(by_gamma));
    check("dA_dlambda", torch::stack(by_lambda));
  }
}

}  // namespace mentor::testing::TEST_FILE
