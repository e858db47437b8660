#include "methods/shared/outer_ppo.h"

#include <limits>

#include "agents/worker_pool.h"
#include "tests/golden/signal_fixture.h"

namespace mentor::methods::TEST_FILE {

using namespace mentor::testing;
using torch::Tensor;

struct Case {
  std::unique_ptr<signals::SignalNetwork> network;
  OuterPpoConfig config;
  OuterPpoBatch batch;
  Tensor weights;
  int64_t lifetimes;
};

Case ReadCase(const Json& test, torch::Dtype dtype) {
  const Json& config = test.at("config");
  Case c;
  c.network = MakeLstm(GoldenSizes(test, config.at("initial_std")));
  c.config = {.adam = {.learning_rate = config.at("lr"),
                       .beta1 = config.at("beta1"),
                       .beta2 = config.at("beta2"),
                       .epsilon = config.at("adam_eps")},
              .loss = {.clip = config.at("clip"),
                       .entropy_coef = config.at("entropy_coef"),
                       .value_coef = config.at("value_coef")},
              .max_grad_norm = config.at("max_grad_norm"),
              .target_kl = 0,
              .k = config.at("k"),
              .num_minibatches = config.value("num_minibatches", 0),
              .rho_error_max = std::numeric_limits<double>::infinity()};
  if (!config.at("target_kl").is_null()) c.config.target_kl = config.at("target_kl").get<double>();
  const int64_t n = config.at("n");
  agents::Segment steps = GoldenSegment(test.at("inputs"), dtype);
  for (auto member :
       {&agents::Segment::observations, &agents::Segment::actions, &agents::Segment::log_probs,
        &agents::Segment::success_signals, &agents::Segment::prev_done, &agents::Segment::signals,
        &agents::Segment::signal_log_probs}) {
    steps.*member = (steps.*member).narrow(1, 0, n);
  }
  const Tensor advantages = ToTensor(test.at("inputs").at("meta_adv_raw"), dtype).narrow(1, 0, n);
  const Tensor returns = ToTensor(test.at("inputs").at("meta_ret"), dtype).narrow(1, 0, n);
  c.batch = MakeOuterPpoBatch(*c.network->density(), steps, StandardiseAdvantages(advantages),
                              returns, config.at("zero_prev_at_cut"));
  c.weights = GoldenFlat(c.network->layout(), test.at("weights"), dtype);
  c.lifetimes = test.at("S");
  return c;
}

// Statistics of a piece.
void CheckReport(const PieceReport& got, const Json& want, Tolerance tolerance) {
  INFO("piece " << want.at("begin") << " to " << want.at("end"));
  CHECK(got.piece.begin == want.at("begin").get<int64_t>());
  CHECK(got.piece.end == want.at("end").get<int64_t>());
  const std::pair<const char*, double> numbers[] = {{"pg_loss", got.pg_loss},
                                                    {"entropy", got.entropy},
                                                    {"v_loss", got.value_loss},
                                                    {"approx_kl", got.kl},
                                                    {"clip_fraction", got.clip_fraction},
                                                    {"loss", got.loss},
                                                    {"grad_norm", got.grad_norm}};
  for (const auto& [name, value] : numbers) {
    INFO(name << ": got " << value << ", want " << want.at(name));
    CHECK(Near(value, want.at(name), tolerance));
  }
}

// A tensor of [P] beside named ones, slice by slice.
void CheckFlat(const Json& file, const agents::ParamLayout& layout, const std::string& what,
               const Tensor& got, const Json& want, std::optional<double> float32) {
  const auto parts = layout.Split(got);
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string& name = layout.slices()[i].name;
    const Tensor expected = ToTensor(want.at(name));
    CheckNear(what + " of " + name, parts[i], expected,
              float32 ? Float32Tolerance(expected, *float32) : GoldenTolerance(file));
  }
}

void CheckFixedWeights(const Json& file, const Json& test, torch::Dtype dtype) {
  const bool exact = dtype == torch::kFloat64;
  const Case c = ReadCase(test, dtype);
  const Json& expected = test.at("expected");
  CheckNear("standardised advantages", c.batch.advantages,
            ToTensor(expected.at("meta_adv_normalised")),
            exact ? GoldenTolerance(file) : Tolerance{.rel = 1e-5, .abs = 1e-5});
  auto recurrent = c.network->signals()->InitialState(c.lifetimes, dtype).recurrent;
  const auto pieces =
      SplitIntoPieces(c.batch.advantages.size(1), c.config.k, test.at("displacement"));
  REQUIRE(pieces.size() == expected.at("pieces").size());
  for (size_t i = 0; i < pieces.size(); ++i) {
    const Json& want = expected.at("pieces")[i];
    const Tensor h = ToTensor(want.at("h_in")), state = ToTensor(want.at("c_in"));
    CheckNear("entering h", recurrent[0], h,
              exact ? GoldenTolerance(file) : Float32Tolerance(h, 1e-5));
    CheckNear("entering c", recurrent[1], state,
              exact ? GoldenTolerance(file) : Float32Tolerance(state, 1e-5));
    auto got =
        EvaluatePiece(*c.network, c.config, c.batch, pieces[i], c.weights, recurrent, nullptr);
    REQUIRE(got.ok());
    CheckReport(got->report, want,
                exact ? GoldenTolerance(file) : Tolerance{.rel = 1e-4, .abs = 1e-5});
    CheckFlat(file, c.network->layout(), "gradient", got->gradient, want.at("grad"),
              exact ? std::nullopt : std::optional(1e-4));
    recurrent = got->final_recurrent;
  }
}

void CheckUpdate(const Json& file, const Json& test, torch::Dtype dtype) {
  const bool exact = dtype == torch::kFloat64;
  Case c = ReadCase(test, dtype);
  const Json& expected = test.at("expected");
  const auto displacements = test.at("displacements").at("data").get<std::vector<int64_t>>();
  AdamState adam{torch::zeros_like(c.weights), torch::zeros_like(c.weights), 0};
  agents::WorkerPool pool(2);
  const auto result =
      RunOuterPpo(*c.network, c.config, c.batch, displacements, c.weights, &adam, &pool);
  REQUIRE(result.ok());
  CHECK(static_cast<int64_t>(result->epochs.size()) == expected.at("epochs_run").get<int64_t>());
  CHECK(result->optimizer_steps == expected.at("optimizer_steps").get<int64_t>());
  CHECK(adam.step == result->optimizer_steps);
  REQUIRE(result->epochs.size() == expected.at("pieces").size());
  for (size_t e = 0; e < result->epochs.size(); ++e) {
    REQUIRE(result->epochs[e].size() == expected.at("pieces")[e].size());
    for (size_t i = 0; i < result->epochs[e].size(); ++i) {
      CheckReport(result->epochs[e][i], expected.at("pieces")[e][i],
                  exact ? GoldenTolerance(file) : Tolerance{.rel = 1e-3, .abs = 1e-4});
    }
  }
  const auto float32 = exact ? std::nullopt : std::optional(1e-3);
  CheckFlat(file, c.network->layout(), "weights", c.weights, expected.at("weights_after"), float32);
  CheckFlat(file, c.network->layout(), "Adam's m", adam.m, expected.at("adam_m_after"), float32);
  CheckFlat(file, c.network->layout(), "Adam's v", adam.v, expected.at("adam_v_after"), float32);
}

void CheckAll(torch::Dtype dtype) {
  const Json file = ReadGolden("outer_ppo");
  for (const Json& test : file.at("cases")) {
    INFO(test.at("name").get<std::string>());
    if (test.contains("displacements")) {
      CheckUpdate(file, test, dtype);
    } else {
      CheckFixedWeights(file, test, dtype);
    }
  }
}

TEST_CASE("golden: outer PPO in float64") {
  CheckAll(torch::kFloat64);
}
TEST_CASE("golden: outer PPO in float32") {
  CheckAll(torch::kFloat32);
}

}  // namespace mentor::methods::TEST_FILE
