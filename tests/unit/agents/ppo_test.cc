#include "agents/ppo.h"

#include <numeric>

#include "agents/gae.h"
#include "common/rng.h"
#include "mentor/v1/spec.pb.h"
#include "tests/normals.h"
#include "tests/torch_testing.h"

namespace mentor::agents::TEST_FILE {

constexpr uint64_t kSeed = 21;
constexpr int64_t kSteps = 60;

torch::Tensor Normals(torch::IntArrayRef shape, uint32_t agent, uint32_t step) {
  return testing::Normals({.seed = kSeed, .lifetime = agent}, step, shape);
}

// Agents with these lifetime numbers, each with a segment of its own numbers.
struct Case {
  AgentShape shape;
  std::vector<uint32_t> lifetimes;
  PpoConfig config;
  AgentBatch agents;
  Segment segment;
  torch::Tensor signal;
  PpoOptions options;

  explicit Case(std::vector<uint32_t> numbers, bool critic = true,
                const AgentShape& sizes = {.observation_size = 7,
                                           .action_size = 3,
                                           .hidden_units = 16})
      : shape(sizes), lifetimes(std::move(numbers)) {
    shape.critic = critic;
    config.epochs = 3;
    config.minibatches = 4;
    config.learning_rate = 3e-3;
    agents = NewAgents(InitialTheta(shape, 1, kSeed, Phase::kTraining, lifetimes));
    const auto stack = [&](torch::IntArrayRef size, uint32_t step) {
      std::vector<torch::Tensor> parts;
      for (uint32_t lifetime : lifetimes) parts.push_back(Normals(size, lifetime, step));
      return torch::stack(parts);
    };
    segment.observations = stack({kSteps, shape.observation_size}, 0);
    // New policies act about zero with unit variance, so these ratios are near one. Plain
    // arithmetic: the bits of the input do not depend on a library either.
    segment.actions = stack({kSteps, shape.action_size}, 1);
    segment.log_probs = torch::empty({static_cast<int64_t>(lifetimes.size()), kSteps});
    const float* action = segment.actions.const_data_ptr<float>();
    for (int64_t i = 0; i < segment.log_probs.numel(); ++i) {
      double log_prob = -0.9189385 * static_cast<double>(shape.action_size);
      for (int64_t j = 0; j < shape.action_size; ++j, ++action) log_prob -= 0.5 * *action * *action;
      segment.log_probs.data_ptr<float>()[i] = static_cast<float>(log_prob);
    }
    segment.prev_done = torch::zeros({static_cast<int64_t>(lifetimes.size()), kSteps});
    segment.prev_done.select(1, 20).fill_(1);
    segment.last_done = torch::zeros({static_cast<int64_t>(lifetimes.size())});
    segment.next_observations = stack({shape.observation_size}, 2);
    signal = stack({kSteps}, 3);
  }

  absl::StatusOr<UpdateResult> Run() const {
    return PpoUpdate(shape, agents, segment, signal, config,
                     KeyedOrder(kSeed, Phase::kTraining, 0, lifetimes), options);
  }
  UpdateResult Update() const {
    absl::StatusOr<UpdateResult> result = Run();
    INFO(result.status().ToString());
    REQUIRE(result.ok());
    return *std::move(result);
  }
};

// Episodes that a limit cut short after step 19, and for odd lifetimes also after step 40. The
// first ends with the observation of step 5, the second with that of step 7.
Case Truncated(std::vector<uint32_t> lifetimes) {
  Case c(std::move(lifetimes));
  c.config.bootstrap_on_truncation = true;
  const auto agents = static_cast<int64_t>(c.lifetimes.size());
  c.segment.truncated = torch::zeros({agents, kSteps});
  c.segment.final_observations = torch::zeros({agents, 3, c.shape.observation_size});
  for (int64_t s = 0; s < agents; ++s) {
    c.segment.truncated[s][19] = 1;
    c.segment.final_observations[s][0] = c.segment.observations[s][5];
    if (c.lifetimes[static_cast<size_t>(s)] % 2 == 0) continue;
    c.segment.truncated[s][40] = c.segment.prev_done[s][41] = 1;
    c.segment.final_observations[s][1] = c.segment.observations[s][7];
  }
  return c;
}

bool Same(const AgentBatch& a, const AgentBatch& b) {
  return a.theta.equal(b.theta) && a.adam_m.equal(b.adam_m) && a.adam_v.equal(b.adam_v) &&
         a.adam_steps.equal(b.adam_steps);
}

AgentBatch Rows(const AgentBatch& agents, int64_t first, int64_t count) {
  return {agents.theta.narrow(0, first, count), agents.adam_m.narrow(0, first, count),
          agents.adam_v.narrow(0, first, count), agents.adam_steps.narrow(0, first, count)};
}

double Distance(const torch::Tensor& a, const torch::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

// FNV-1a over the bytes.
uint64_t Fingerprint(const torch::Tensor& x) {
  const torch::Tensor bytes = x.contiguous().view(torch::kUInt8).flatten();
  uint64_t hash = 0xcbf29ce484222325;
  for (int64_t i = 0; i < bytes.numel(); ++i)
    hash = (hash ^ bytes.const_data_ptr<uint8_t>()[i]) * 0x100000001b3;
  return hash;
}

TEST_CASE("ppo: the same bits on any number of threads", "[unit]") {
  Case c({0, 1, 2, 3, 4});
  const UpdateResult alone = c.Update();
  CHECK(Distance(alone.agents.theta, c.agents.theta) > 1e-3);
  for (int threads : {1, 2, 3}) {
    WorkerPool pool(threads);
    c.options.pool = &pool;
    const UpdateResult result = c.Update();
    CHECK(Same(result.agents, alone.agents));
    CHECK(result.trace.equal(alone.trace));
  }
}

TEST_CASE("ppo: an agent's bits do not depend on its neighbours", "[unit]") {
  for (bool critic : {true, false}) {
    const UpdateResult together = Case({4, 8, 15, 16}, critic).Update();
    const UpdateResult pair = Case({15, 8}, critic).Update();
    CHECK(Same(Rows(together.agents, 2, 1), Rows(pair.agents, 0, 1)));
    CHECK(Same(Rows(together.agents, 1, 1), Rows(pair.agents, 1, 1)));
    CHECK_FALSE(together.agents.theta[1].equal(together.agents.theta[2]));
  }
}

TEST_CASE("ppo: the same bits on every machine", "[unit]") {
  // Recorded values. Another value means that a compiler, a library or a CPU changes results, or
  // that the arithmetic was changed on purpose.
  const UpdateResult result = Case({1, 2}).Update();
  CHECK(Fingerprint(Case({1, 2}).agents.theta) == 0x8a5730ec625541fa);
  CHECK(Fingerprint(result.agents.theta) == 0x9bf319f9438233c6);
  CHECK(Fingerprint(result.agents.adam_v) == 0x126bea01615900a1);
}

TEST_CASE("ppo: kernels and LibTorch agree over a whole update", "[unit]") {
  for (const auto& [critic, drift] :
       {std::pair(true, false), std::pair(false, false), std::pair(true, true)}) {
    Case c({0, 1, 2}, critic);
    if (drift) c.config.drift.emplace();
    c.agents = NewAgents(c.agents.theta.to(torch::kFloat64));
    c.config.entropy_coef = 0.01;
    c.config.clip_value_loss = true;
    c.config.minibatches = 7;  // 8 steps each, and one of 4.
    c.options.engine = PpoEngine::kKernels;
    const UpdateResult kernels = c.Update();
    c.options.engine = PpoEngine::kAutograd;
    const UpdateResult autograd = c.Update();
    CHECK(kernels.reports[0].optimizer_steps == 3 * 8);
    CHECK(Distance(kernels.agents.theta, autograd.agents.theta) < 1e-10);
    CHECK(Distance(kernels.agents.adam_m, autograd.agents.adam_m) < 1e-10);
    CHECK(Distance(kernels.agents.adam_v, autograd.agents.adam_v) < 1e-10);
    CHECK(kernels.agents.adam_steps.equal(autograd.agents.adam_steps));
    CHECK(Distance(kernels.trace, autograd.trace) < 1e-9);
    CHECK(Distance(kernels.agents.theta, c.agents.theta) > 1e-3);
  }
}

// The same bits, or both NaN.
bool SameBits(const torch::Tensor& a, const torch::Tensor& b) {
  if (!a.defined() || !b.defined()) return a.defined() == b.defined();
  const torch::Tensor both_nan = a.isnan().logical_and(b.isnan());
  const auto bits = [&](const torch::Tensor& x) {
    return x.masked_fill(both_nan, 0).contiguous().view(torch::kUInt8);
  };
  return a.dtype() == b.dtype() && a.sizes() == b.sizes() && bits(a).equal(bits(b));
}

TEST_CASE("ppo: the emulated kernels of a device have the bits of the CPU's", "[unit]") {
  WorkerPool pool(2);
  for (int kind = 0; kind < 10; ++kind) {
    INFO("kind " << kind);
    Case c = kind == 1   ? Case({0, 1, 2}, /*critic=*/false)
             : kind == 2 ? Truncated({4, 7, 8})
                         : Case({0, 1, 2});
    c.config.minibatches = 7;  // 8 steps each, and one of 4.
    c.config.entropy_coef = 0.01;
    c.config.clip_value_loss = kind % 2 == 0;
    if (kind == 3) c.agents = NewAgents(c.agents.theta.to(torch::kFloat64));
    if (kind == 4) c.config.normalize_advantage = false;
    if (kind == 5) c.config.max_grad_norm.reset();
    if (kind == 6) c.config.target_kl = 0.01;
    if (kind == 7) c.agents.theta[1][5] = std::numeric_limits<float>::quiet_NaN();
    if (kind >= 8) {
      // Kernels whose sizes are known when compiling, or within bounds; after an earlier update.
      c = Case({0, 1, 2}, true,
               {.observation_size = kind == 8 ? 39 : 11, .action_size = 4, .hidden_units = 64});
      c.agents = c.Update().agents;
    }
    c.options.engine = PpoEngine::kKernels;
    const UpdateResult kernels = c.Update();
    c.options = {.engine = PpoEngine::kEmulated, .pool = &pool};
    const UpdateResult emulated = c.Update();
    CHECK(SameBits(kernels.agents.theta, emulated.agents.theta));
    CHECK(SameBits(kernels.agents.adam_m, emulated.agents.adam_m));
    CHECK(SameBits(kernels.agents.adam_v, emulated.agents.adam_v));
    CHECK(kernels.agents.adam_steps.equal(emulated.agents.adam_steps));
    CHECK(SameBits(kernels.trace, emulated.trace));
    CHECK(SameBits(kernels.values, emulated.values));
    CHECK(SameBits(kernels.last_values, emulated.last_values));
    CHECK(SameBits(kernels.final_values, emulated.final_values));
    CHECK(SameBits(kernels.advantages, emulated.advantages));
    CHECK(SameBits(kernels.returns, emulated.returns));
    CHECK(kernels.nonfinite == (kind == 7 ? 1 : 0));
    CHECK(emulated.nonfinite == kernels.nonfinite);
  }
}

TEST_CASE("ppo: a loss of the policy takes the place of the clip's, by LibTorch alone", "[unit]") {
  Case plain({4, 9});
  plain.config.learning_rate = 3e-2;  // Ratios are clipped.
  plain.options.engine = PpoEngine::kAutograd;
  const double clip = plain.config.clip;
  Case other = plain;
  other.options.engine = PpoEngine::kDefault;
  other.options.policy_loss = [&](const torch::Tensor& log_ratio, const torch::Tensor& advantages) {
    const torch::Tensor ratio = log_ratio.exp();
    return torch::maximum(-advantages * ratio, -advantages * ratio.clamp(1 - clip, 1 + clip));
  };
  CHECK(torch::equal(other.Update().agents.theta, plain.Update().agents.theta));
  other.options.policy_loss = [](const torch::Tensor& log_ratio, const torch::Tensor& advantages) {
    return -advantages * log_ratio.exp();
  };
  CHECK_FALSE(torch::equal(other.Update().agents.theta, plain.Update().agents.theta));
  for (PpoEngine engine : {PpoEngine::kKernels, PpoEngine::kEmulated}) {
    other.options.engine = engine;
    CHECK(other.Run().status().code() == absl::StatusCode::kInvalidArgument);
  }
}

TEST_CASE("ppo: a second update carries Adam's state on", "[unit]") {
  Case c({0, 1});
  const UpdateResult first = c.Update();
  CHECK(first.agents.adam_steps.eq(3 * 4).all().item<bool>());
  c.agents = first.agents;
  const UpdateResult carried = c.Update();
  CHECK(carried.agents.adam_steps.eq(2 * 3 * 4).all().item<bool>());
  // A stateless learner would get this wrong.
  c.agents = NewAgents(first.agents.theta);
  CHECK(Distance(c.Update().agents.theta, carried.agents.theta) > 1e-3);
  // The caller's tensors are left alone.
  CHECK(first.agents.adam_steps.eq(3 * 4).all().item<bool>());
}

TEST_CASE("ppo: an agent with something not finite stays as it was, the others learn", "[unit]") {
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              infinity = std::numeric_limits<float>::infinity();
  const UpdateResult clean = Case({0, 1, 2}).Update();
  for (PpoEngine engine : {PpoEngine::kKernels, PpoEngine::kEmulated, PpoEngine::kAutograd}) {
    for (int kind = 0; kind < 4; ++kind) {
      INFO("kind " << kind);
      Case c({0, 1, 2});
      c.options.engine = engine;
      c.signal = c.signal.clone();
      if (kind == 0) c.segment.observations[1][33][2] = nan;
      if (kind == 1) c.signal[1][59] = infinity;
      if (kind == 2) c.segment.log_probs[1][7] = -1000;  // The ratio overflows.
      if (kind == 3) c.agents.theta[1][0] = nan;
      const UpdateResult result = c.Update();
      CHECK(result.nonfinite == 1);
      CHECK(result.reports[1].nonfinite);
      CHECK_FALSE(result.reports[0].nonfinite);
      if (kind != 3) CHECK(Same(Rows(result.agents, 1, 1), Rows(c.agents, 1, 1)));
      if (engine != PpoEngine::kAutograd) {
        CHECK(Same(Rows(result.agents, 0, 1), Rows(clean.agents, 0, 1)));
        CHECK(Same(Rows(result.agents, 2, 1), Rows(clean.agents, 2, 1)));
      } else {
        CHECK(result.agents.theta[0].isfinite().all().item<bool>());
        CHECK(Distance(result.agents.theta[2], clean.agents.theta[2]) < 1e-4);
      }
    }
  }
}

TEST_CASE("ppo: a truncated episode goes on with the value of its last observation", "[unit]") {
  for (PpoEngine engine : {PpoEngine::kKernels, PpoEngine::kEmulated, PpoEngine::kAutograd}) {
    Case c = Truncated({4, 7, 8});
    c.options.engine = engine;
    const UpdateResult result = c.Update();
    torch::Tensor want = torch::zeros({3, kSteps});
    for (int64_t s = 0; s < 3; ++s) want[s][19] = result.values[s][5];
    want[1][40] = result.values[1][7];
    CHECK(torch::allclose(result.final_values, want, 1e-5, 1e-6));
    const Advantages advantages =
        Gae(c.signal, result.values, c.segment.prev_done, c.segment.last_done, result.last_values,
            c.config.gamma, c.config.gae_lambda, {c.segment.truncated, result.final_values});
    CHECK(result.advantages.equal(advantages.advantages.to(torch::kFloat32)));
    // Counted as ends, they teach something else.
    Case ends = c;
    ends.config.bootstrap_on_truncation = false;
    CHECK(Distance(ends.Update().agents.theta, result.agents.theta) > 1e-4);
  }
  Case wide = Truncated({4, 7, 8});
  wide.agents = NewAgents(wide.agents.theta.to(torch::kFloat64));
  wide.options.engine = PpoEngine::kKernels;
  const UpdateResult kernels = wide.Update();
  wide.options.engine = PpoEngine::kAutograd;
  CHECK(Distance(kernels.agents.theta, wide.Update().agents.theta) < 1e-10);
}

TEST_CASE("ppo: an agent's bits do not depend on its neighbours' truncations", "[unit]") {
  const UpdateResult together = Truncated({4, 7, 8}).Update();
  for (const auto& [row, lifetime] : {std::pair{0, 4u}, {1, 7u}, {2, 8u}}) {
    Case alone = Truncated({lifetime});
    CHECK(Same(Rows(together.agents, row, 1), alone.Update().agents));
    // The room for episodes does not matter, either.
    const torch::Tensor room = torch::full({1, 5, alone.shape.observation_size}, 3.0F);
    alone.segment.final_observations = torch::cat({alone.segment.final_observations, room}, 1);
    CHECK(Same(Rows(together.agents, row, 1), alone.Update().agents));
  }
}

TEST_CASE("ppo: the target KL stops each agent after an epoch of its own", "[unit]") {
  Case c({0, 1, 2, 3});
  c.config.epochs = 12;
  const UpdateResult free = c.Update();
  // Last minibatch of each epoch: a limit between the agents' greatest values stops some of them.
  const torch::Tensor kl = free.trace.select(2, kApproxKl).view({4, 12, 4}).select(2, 3);
  const torch::Tensor greatest = std::get<0>(kl.max(1));
  c.config.target_kl = 0.5 * (greatest.min() + greatest.max()).item<double>();
  for (PpoEngine engine : {PpoEngine::kKernels, PpoEngine::kEmulated, PpoEngine::kAutograd}) {
    c.options.engine = engine;
    const UpdateResult stopped = c.Update();
    int early = 0;
    for (int64_t s = 0; s < 4; ++s) {
      int64_t epochs = 0;
      while (epochs < 12 && !(kl[s][epochs].item<double>() > *c.config.target_kl)) ++epochs;
      const int64_t want = 4 * std::min<int64_t>(12, epochs + 1);
      CHECK(stopped.reports[s].optimizer_steps == want);
      CHECK(stopped.agents.adam_steps[s].item<int64_t>() == want);
      early += want < 4 * 12;
      // The completed part equals that of the run without the limit.
      CHECK(Distance(stopped.trace[s].narrow(0, 0, want), free.trace[s].narrow(0, 0, want)) < 1e-3);
    }
    CHECK(early > 0);
    CHECK(early < 4);
  }
}

TEST_CASE("ppo: reports are means of the trace", "[unit]") {
  const UpdateResult result = Case({0, 1}).Update();
  const torch::Tensor means = result.trace.mean(at::OptionalIntArrayRef(1), false);
  for (int64_t s = 0; s < 2; ++s) {
    const AgentReport& report = result.reports[s];
    CHECK(report.optimizer_steps == 12);
    CHECK(testing::Near(report.loss, means[s][kLoss].item<double>(), {.rel = 1e-12}));
    CHECK(testing::Near(report.value_loss, means[s][kValueLoss].item<double>(), {.rel = 1e-12}));
    CHECK(testing::Near(report.grad_norm, means[s][kGradNorm].item<double>(), {.rel = 1e-12}));
    CHECK(testing::Near(report.clip_fraction, means[s][kClipFraction].item<double>(),
                        {.rel = 1e-12}));
  }
}

TEST_CASE("ppo: wrong input is refused with the tensor's name", "[unit]") {
  const auto refused = [](const Case& c, const std::string& what) {
    const absl::StatusOr<UpdateResult> result = c.Run();
    REQUIRE_FALSE(result.ok());
    INFO(result.status().ToString());
    CHECK(result.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK(std::string(result.status().message()).find(what) != std::string::npos);
  };
  Case shape({0, 1});
  shape.segment.actions = shape.segment.actions.narrow(2, 0, 2);
  refused(shape, "actions: shape [2, 60, 2], expected [2, 60, 3]");
  Case missing({0, 1});
  missing.segment.last_done = torch::Tensor();
  refused(missing, "last_done: missing");
  Case uncut({0, 1});
  uncut.config.bootstrap_on_truncation = true;
  refused(uncut, "truncated: missing");
  uncut.segment.truncated = torch::zeros({2, kSteps});
  uncut.segment.truncated[1][3] = 1;
  refused(uncut, "final_observations: missing");
  uncut.segment.final_observations = torch::zeros({2, 0, 7});
  refused(uncut, "final_observations: shape [2, 0, 7], expected [2, 1, 7]");
  Case layout({0, 1});
  layout.shape.critic = false;
  refused(layout, "theta: shape");
  Case many({0, 1});
  many.config.minibatches = 61;
  refused(many, "agent.minibatches: 61 minibatches of 60 steps");
  Case single({0, 1});
  single.config.minibatches = 20;  // 3 steps each: fine. 60 = 59 + 1:
  CHECK(single.Run().ok());
  single.config.minibatches = 60;
  refused(single, "minibatch of one step");
  Case wrong_type({0, 1});
  wrong_type.agents.theta = wrong_type.agents.theta.to(torch::kFloat16);
  refused(wrong_type, "theta: dtype");
}

TEST_CASE("ppo: minibatches of one step", "[unit]") {
  CHECK(CheckMinibatches(16, true, 2000).ok());
  CHECK(CheckMinibatches(4, true, 22).ok());
  CHECK_FALSE(CheckMinibatches(4, true, 21).ok());  // 5 + 5 + 5 + 5 + 1
  CHECK(CheckMinibatches(4, false, 21).ok());
  CHECK_FALSE(CheckMinibatches(12, true, 22).ok());  // 22 of 1
  CHECK_FALSE(CheckMinibatches(0, false, 22).ok());
}

TEST_CASE("ppo: constants of a spec, and annealing over the updates of a lifetime", "[unit]") {
  v1::AgentSpec spec;
  const PpoConfig defaults = PpoConfigFromSpec(spec, 1, 2);
  CHECK(defaults.epochs == 64);
  CHECK(defaults.minibatches == 16);
  CHECK(defaults.learning_rate == 3e-4);
  CHECK(defaults.max_grad_norm == 0.5);
  CHECK_FALSE(defaults.target_kl.has_value());
  CHECK_FALSE(defaults.drift.has_value());
  CHECK(PpoConfigFromSpec(spec, 2, 2).learning_rate == 3e-4);
  spec.set_anneal_learning_rate(true);
  CHECK_FALSE(PpoConfigFromSpec(spec, 1, 4).bootstrap_on_truncation);
  spec.set_target_kl(0.02);
  spec.set_bootstrap_on_truncation(true);
  CHECK(PpoConfigFromSpec(spec, 1, 4).bootstrap_on_truncation);
  CHECK(PpoConfigFromSpec(spec, 1, 4).learning_rate == 3e-4);
  CHECK(testing::Near(PpoConfigFromSpec(spec, 4, 4).learning_rate, 0.25 * 3e-4, {.rel = 1e-15}));
  CHECK(PpoConfigFromSpec(spec, 1, 4).target_kl == 0.02);
  spec.set_surrogate(v1::CLIP);
  CHECK_FALSE(PpoConfigFromSpec(spec, 1, 4).drift.has_value());
  spec.set_surrogate(v1::DPO);
  REQUIRE(PpoConfigFromSpec(spec, 1, 4).drift.has_value());
  CHECK(PpoConfigFromSpec(spec, 1, 4).drift->alpha == 2);
  CHECK(PpoConfigFromSpec(spec, 1, 4).drift->beta == 0.6);
  spec.set_dpo_alpha(3);
  spec.set_dpo_beta(0.5);
  CHECK(PpoConfigFromSpec(spec, 1, 4).drift->alpha == 3);
  CHECK(PpoConfigFromSpec(spec, 1, 4).drift->beta == 0.5);
}

}  // namespace mentor::agents::TEST_FILE
