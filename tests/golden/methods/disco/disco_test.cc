// What the published program of DiscoRL computes (tests/data/golden/disco.json), and mistakes that
// must show.
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <functional>

#include "common/file.h"
#include "methods/disco/agent.h"
#include "methods/disco/network.h"
#include "methods/shared/binned_value.h"
#include "methods/shared/weights_file.h"
#include "tests/golden.h"

namespace mentor::methods::TEST_FILE {

using mentor::testing::CheckNear;
using mentor::testing::GoldenTolerance;
using mentor::testing::Json;
using mentor::testing::ReadGolden;
using mentor::testing::Tolerance;
using mentor::testing::ToTensor;
using torch::Tensor;

Tensor Wave(int64_t k, at::IntArrayRef shape) {
  Tensor x = torch::empty(shape, torch::kFloat64);
  double* const to = x.mutable_data_ptr<double>();
  for (int64_t i = 0; i < x.numel(); ++i)
    to[i] = std::sin(0.7 * static_cast<double>(k) + 1.3 * static_cast<double>(i));
  return x;
}

Tensor Products(const Tensor& x) {
  return torch::stack({x.sum(), (x * Wave(8, x.sizes())).sum(), (x * Wave(9, x.sizes())).sum()});
}

void CheckShortened(const std::string& what, const Tensor& got, const Json& want,
                    Tolerance tolerance) {
  const Tensor first = ToTensor(want.at("first"));
  CheckNear(what, got.narrow(-1, 0, first.size(-1)), first, tolerance);
  CheckNear(what + ", mean", (got * Wave(7, {got.size(-1)})).mean(-1), ToTensor(want.at("mean")),
            tolerance);
}

struct Case {
  DiscoSizes sizes;
  int64_t t, b, a;
  Tensor weights;
};

Case CaseOf(const Json& json) {
  const auto network = json.at("network").get<std::vector<int64_t>>();
  const auto sizes = json.at("sizes").get<std::vector<int64_t>>();
  Case made{.sizes = {network[0], network[1], network[2]},
            .t = sizes[0],
            .b = sizes[1],
            .a = sizes[2],
            .weights = {}};
  if (!json.contains("scale")) return made;
  const agents::ParamLayout layout = DiscoLayout(made.sizes);
  made.weights = torch::empty({layout.size()}, torch::kFloat64);
  int64_t j = 0;
  for (const agents::ParamSlice& slice : layout.slices()) {
    layout.Part(slice.name, made.weights)
        .copy_(json.at("scale").get<double>() * Wave(100 + j++, {slice.size}));
  }
  return made;
}

DiscoHeads Heads(const Case& of, int64_t n, int64_t first) {
  const int64_t t = of.t + 1, b = of.b, a = of.a, y = of.sizes.prediction;
  DiscoHeads heads;
  heads.logits = 1.5 * Wave(first, {t, b, a});
  heads.y = Wave(first + 1, {t, b, y});
  heads.z = 2 * Wave(first + 2, {t, b, a, y});
  heads.aux = Wave(first + 3, {t, b, a, a});
  heads.q = Wave(first + 4, {t, b, a, kValueBins});
  for (int64_t i = 0; i < a; ++i) {
    const auto bin =
        300 + static_cast<int64_t>(std::floor(7 * std::sin(static_cast<double>(n + i))));
    heads.q.select(2, i).select(2, bin).add_(8);
  }
  return heads;
}

DiscoRollouts RoundOf(const Case& of, int64_t n, const Json& json) {
  return {.own = Heads(of, n, 1000 * n + 1),
          .target = Heads(of, n, 1000 * n + 11),
          .behaviour = 1.5 * Wave(1000 * n + 21, {of.t + 1, of.b, of.a}),
          .actions = ToTensor(json.at("actions"), torch::kInt64).narrow(0, 0, of.t),
          .rewards = Wave(1000 * n + 31, {of.t, of.b}),
          .terminal = ToTensor(json.at("terminal"))};
}

// The greatest difference from what the file expects of targets and memory, over all rounds.
double Off(const Json& json, const Case& of,
           const std::function<void(DiscoRollouts*, DiscoMemory*, Case*)>& mistake) {
  DiscoMemory memory = NewDiscoMemory(of.sizes, torch::kFloat64);
  double worst = 0;
  for (size_t n = 0; n < json.at("rounds").size(); ++n) {
    const Json& round = json.at("rounds")[n];
    DiscoRollouts rollouts = RoundOf(of, static_cast<int64_t>(n), round);
    Case wrong = of;
    mistake(&rollouts, &memory, &wrong);
    const DiscoTargets got = Teach(wrong.sizes, wrong.weights, rollouts, &memory);
    const Json& want = round.at("expected");
    for (const auto& [name, x] : {std::pair<const char*, Tensor>{"pi", got.pi},
                                  {"q_target", got.q},
                                  {"adv", got.advantages}})
      worst = std::max(worst, (x - ToTensor(want.at(name))).abs().max().item<double>());
  }
  return worst;
}

void CheckCase(const Json& json, const Case& of, Tolerance tolerance) {
  DiscoMemory memory = NewDiscoMemory(of.sizes, of.weights.scalar_type());
  for (size_t n = 0; n < json.at("rounds").size(); ++n) {
    INFO(json.at("name") << ", round " << n);
    const Json& round = json.at("rounds")[n];
    const Json& want = round.at("expected");
    DiscoRollouts rollouts = RoundOf(of, static_cast<int64_t>(n), round);
    const DiscoTargets targets = Teach(of.sizes, of.weights, rollouts, &memory);
    CheckNear("pi", targets.pi, ToTensor(want.at("pi")), tolerance);
    CheckShortened("y", targets.y, want.at("y"), tolerance);
    CheckShortened("z", targets.z, want.at("z"), tolerance);
    CheckNear("q", targets.q, ToTensor(want.at("q_target")), tolerance);
    CheckNear("advantages", targets.advantages, ToTensor(want.at("adv")), tolerance);
    CheckNear("hidden", memory.hidden, ToTensor(want.at("memory").at("hidden")), tolerance);
    CheckNear("cell", memory.cell, ToTensor(want.at("memory").at("cell")), tolerance);
    CheckNear("average", memory.average, ToTensor(want.at("average")), tolerance);

    const c10::AutoGradMode gradients(true);
    DiscoHeads& own = rollouts.own;
    std::vector<Tensor> heads;
    for (Tensor* head : {&own.aux, &own.logits, &own.q, &own.y, &own.z})
      heads.push_back(head->requires_grad_(true));
    const DiscoLoss loss = LossOf(rollouts, targets);
    CheckNear("loss", loss.rule.detach(), ToTensor(want.at("loss")), tolerance);
    CheckNear("value loss", loss.value.detach(), ToTensor(want.at("value_loss")), tolerance);
    const Tensor mask = ToTensor(round.at("mask"));
    const Tensor mean = ((loss.rule + loss.value) * mask).sum() / (mask.sum() + 1e-8);
    const std::vector<Tensor> got = torch::autograd::grad({mean}, heads);
    size_t i = 0;
    for (const char* name : {"aux_pi", "logits", "q", "y", "z"}) {
      CHECK(got[i].abs().max().item<double>() > 1e-6);
      CheckNear(std::string("gradient of ") + name, Products(got[i++]),
                ToTensor(want.at("gradients").at(name)), tolerance);
    }
  }
}

TEST_CASE("golden: disco: targets, memory, losses and gradients of the published program",
          "[golden]") {
  const Json file = ReadGolden("disco");
  int cases = 0;
  for (const Json& json : file.at("cases")) {
    if (!json.contains("scale")) continue;
    CheckCase(json, CaseOf(json), GoldenTolerance(file));
    ++cases;
  }
  CHECK(cases == 2);
}

TEST_CASE("golden: disco: mistakes show in the targets", "[golden]") {
  const Json json = ReadGolden("disco").at("cases")[0];
  const Case of = CaseOf(json);
  using Rollouts = DiscoRollouts*;
  using Memory = DiscoMemory*;
  CHECK(Off(json, of, [](Rollouts, Memory, Case*) {}) < 1e-9);
  const auto shows = [&](const char* what, const auto& mistake) {
    INFO(what);
    CHECK(Off(json, of, mistake) > 1e-3);
  };
  shows("the agent's own heads in place of the target network's",
        [](Rollouts r, Memory, Case*) { r->target = r->own; });
  shows("no ends of episodes", [](Rollouts r, Memory, Case*) { r->terminal.zero_(); });
  shows("on-policy", [](Rollouts r, Memory, Case*) { r->behaviour = r->own.logits; });
  shows("the memory of a life forgotten", [&](Rollouts, Memory m, Case*) {
    m->hidden.zero_();
    m->cell.zero_();
  });
  shows("averages begin anew",
        [&](Rollouts, Memory m, Case* c) { m->average = NewDiscoMemory(c->sizes).average; });
  shows("rewards a step late",
        [](Rollouts r, Memory, Case*) { r->rewards = r->rewards.roll(1, 0); });
  shows("y and z share a network", [](Rollouts, Memory, Case* c) {
    const agents::ParamLayout layout = DiscoLayout(c->sizes);
    c->weights = c->weights.clone();
    layout.Part("lstm/mlp_1/~/linear_0/w", c->weights)
        .copy_(layout.Part("lstm/mlp/~/linear_0/w", c->weights));
  });
  shows("actions in another order",
        [](Rollouts r, Memory, Case* c) { r->actions = (r->actions + 1).remainder(c->a); });
}

TEST_CASE("golden: disco: float32 is near", "[golden]") {
  const Json json = ReadGolden("disco").at("cases")[1];
  const Case of = CaseOf(json);
  DiscoRollouts rollouts = RoundOf(of, 0, json.at("rounds")[0]);
  const auto narrow = [](DiscoHeads* heads) {
    for (Tensor* x : {&heads->logits, &heads->y, &heads->z, &heads->aux, &heads->q})
      *x = x->to(torch::kFloat32);
  };
  narrow(&rollouts.own);
  narrow(&rollouts.target);
  for (Tensor* x : {&rollouts.behaviour, &rollouts.rewards, &rollouts.terminal})
    *x = x->to(torch::kFloat32);
  DiscoMemory memory = NewDiscoMemory(of.sizes);
  const DiscoTargets got = Teach(of.sizes, of.weights.to(torch::kFloat32), rollouts, &memory);
  const Json& want = json.at("rounds")[0].at("expected");
  CHECK(got.pi.scalar_type() == torch::kFloat32);
  CheckNear("pi", got.pi, ToTensor(want.at("pi")), {.rel = 0, .abs = 1e-5});
  CheckNear("q", got.q, ToTensor(want.at("q_target")), {.rel = 1e-5, .abs = 1e-5});
  CheckNear("hidden", memory.hidden, ToTensor(want.at("memory").at("hidden")),
            {.rel = 0, .abs = 1e-5});
}

TEST_CASE("golden: disco: heads of the published agent's model", "[golden]") {
  const Json file = ReadGolden("disco"), json = file.at("cases")[3];
  REQUIRE(json.at("name") == "heads");
  const auto sizes = json.at("sizes").get<std::vector<int64_t>>();
  // The policy's last hidden layer is its input's tanh twice, as in the file.
  const DiscoAgent agent{.policy = {.observation_size = sizes[0],
                                    .action_size = sizes[3],
                                    .hidden_units = sizes[0],
                                    .critic = false,
                                    .discrete = true},
                         .prediction = sizes[4],
                         .cells = sizes[1],
                         .units = sizes[2]};
  const agents::ParamLayout layout = DiscoAgentLayout(agent);
  Tensor theta = torch::zeros({layout.size()}, torch::kFloat64);
  const auto set = [&](const std::string& name, const Tensor& x) {
    layout.Part(name, theta).copy_(x.flatten());
  };
  for (const char* name : {"actor.W1", "actor.W2"}) set(name, torch::eye(sizes[0]));
  const auto given = [&](const std::string& name) { return ToTensor(json.at("weights").at(name)); };
  const auto take = [&](const std::string& own, const std::string& name) {
    set(own + ".W", given(name + "/w").t().contiguous());
    set(own + ".b", given(name + "/b"));
  };
  take("root", "linear");
  take("model", "action_cond/linear");
  take("z.hidden", "mlp/~/linear_0");
  take("z", "mlp/~/linear_1");
  take("aux.hidden", "mlp_1/~/linear_0");
  take("aux", "mlp_1/~/linear_1");
  take("q.hidden", "mlp_2/~/linear_0");
  const int64_t number = json.at("q_number")[0];
  set("q.b", 0.5 * Wave(100 + number, {kValueBins}));
  set("q.W", (0.5 * Wave(101 + number, {sizes[2], kValueBins})).t().contiguous());
  const DiscoHeads got = HeadsOf(agent, theta, Wave(51, {1, 2, sizes[0]}));
  const Json& want = json.at("expected");
  const Tolerance tolerance = GoldenTolerance(file);
  CheckShortened("z", got.z[0], want.at("z"), tolerance);
  CheckShortened("aux", got.aux[0], want.at("aux_pi"), tolerance);
  CheckShortened("q", got.q[0], want.at("q"), tolerance);
}

TEST_CASE("golden: disco: the published weights teach as in the published program", "[golden]") {
  const char* const folder = std::getenv("MENTOR_DISCO_103");
  if (folder == nullptr) {
    WARN("not tried: MENTOR_DISCO_103 names no folder with the published weights");
    return;
  }
  const Json file = ReadGolden("disco"), json = file.at("cases")[2];
  Case of = CaseOf(json);
  const auto bytes = ReadFile(std::filesystem::path(folder) / kWeightsFile, 64 << 20).value();
  const auto weights = ParseWeights(DiscoLayout(of.sizes), bytes);
  INFO(weights.status().ToString());
  REQUIRE(weights.ok());
  of.weights = weights->to(torch::kFloat64);
  CheckCase(json, of, GoldenTolerance(file));
}

}  // namespace mentor::methods::TEST_FILE
