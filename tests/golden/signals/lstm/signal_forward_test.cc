#include "common/exact_math.h"
#include "kernels/lstm_layers.h"
#include "signals/lstm/lstm_plain.h"
#include "tests/golden/signal_fixture.h"

namespace mentor::testing::TEST_FILE {

using kernels::LstmSizes;
using torch::Tensor;

LstmSizes CoreSizes(const NetworkSizes& sizes) {
  return {.features = sizes.observation_size + sizes.action_size + LstmSizes().side,
          .enc1 = sizes.enc1,
          .enc2 = sizes.enc2,
          .hidden = sizes.lstm,
          .heads = sizes.heads,
          .critic = sizes.critic};
}

// The previous signals [S, L].
Tensor Shifted(const Tensor& signals) {
  return torch::cat(
      {torch::zeros_like(signals.narrow(1, 0, 1)), signals.narrow(1, 0, signals.size(1) - 1)}, 1);
}

// z of all steps, from the acting path's layers.
template <typename T>
Tensor RnnInput(const LstmSizes& sizes, const Tensor& flat, const Tensor& features) {
  const kernels::LstmForwardWeights<T> weights(sizes, flat.data_ptr<T>());
  const Tensor x = features.reshape({-1, sizes.features}).contiguous().clone();
  const Tensor previous = x.select(1, sizes.features - 1).clone();
  x.select(1, sizes.features - 1).zero_();
  const int64_t rows = x.size(0);
  Tensor enc1 = torch::empty({rows, sizes.enc1}, x.options());
  Tensor code1 = torch::empty({rows, sizes.code1()}, x.options());
  Tensor joint = torch::zeros({rows, sizes.joint()}, x.options());
  kernels::Multiply(x.data_ptr<T>(), sizes.features, rows, weights.enc1, weights.enc1_b.data(),
                    enc1.data_ptr<T>(), sizes.enc1);
  for (int64_t r = 0; r < rows; ++r) {
    kernels::FinishFirstEncoder(weights, enc1.data_ptr<T>() + r * sizes.enc1,
                                x.data_ptr<T>() + (r + 1) * sizes.features - LstmSizes().side,
                                previous[r].item<T>(), code1.data_ptr<T>() + r * sizes.code1());
  }
  kernels::SecondEncoder(weights, code1.data_ptr<T>(), rows, joint.data_ptr<T>());
  return joint.narrow(1, 0, sizes.code2())
      .reshape({features.size(0), features.size(1), sizes.code2()});
}

// Mean and standard deviation of all steps from hidden states [S, L, H].
template <typename T>
std::pair<Tensor, Tensor> Policy(const LstmSizes& sizes, double initial_std, const Tensor& flat,
                                 const Tensor& h) {
  const kernels::LstmForwardWeights<T> weights(sizes, flat.data_ptr<T>());
  const int64_t rows = h.size(0) * h.size(1);
  const Tensor states = h.contiguous();
  Tensor first = torch::empty({rows, 2 * sizes.heads}, h.options());
  Tensor second = torch::empty({rows, sizes.heads}, h.options());
  Tensor slope = torch::empty({rows}, h.options()), s = torch::empty({rows}, h.options());
  kernels::PolicyHeads(weights, states.data_ptr<T>(), sizes.hidden, rows, first.data_ptr<T>(),
                       2 * sizes.heads, second.data_ptr<T>(), slope.data_ptr<T>(), s.data_ptr<T>());
  Tensor mean = torch::empty({rows}, h.options()), std = torch::empty({rows}, h.options());
  for (int64_t r = 0; r < rows; ++r) {
    const kernels::SignalDistribution distribution(slope[r].item<T>(), s[r].item<T>(),
                                                   exact::Log(initial_std));
    mean[r] = distribution.mean;
    std[r] = distribution.std;
  }
  const auto shape = h.sizes().slice(0, 2);
  return {mean.reshape(shape), std.reshape(shape)};
}

template <typename T>
void CheckCase(const Json& file, const Json& test, torch::Dtype dtype) {
  INFO(test.at("name").get<std::string>()
       << " in " << (dtype == torch::kFloat64 ? "float64" : "float32"));
  const auto check = [&](const std::string& what, const Tensor& got, const Tensor& want) {
    CheckNear(what, got, want,
              dtype == torch::kFloat64 ? GoldenTolerance(file) : Float32Tolerance(want, 1e-5));
  };
  const NetworkSizes sizes = GoldenSizes(test, test.at("initial_std"));
  const auto network = MakeLstm(sizes);
  const Tensor flat = GoldenFlat(network->layout(), test.at("weights"), dtype);
  const agents::Segment segment = GoldenSegment(test.at("inputs"), dtype);
  const Json& expected = test.at("expected");
  const auto want = [&](const char* name) { return ToTensor(expected.at(name)); };
  const int64_t lifetimes = test.at("S"), steps = test.at("L");
  const bool stochastic = test.at("stochastic");
  const Tensor noise = stochastic ? ToTensor(test.at("noise"), dtype) : Tensor();

  // Acting.
  signals::SignalState state = network->signals()->InitialState(lifetimes, dtype);
  const signals::SignalOutputs outputs = network->signals()->Run(flat, segment, noise, &state);
  check("signal", outputs.signals, want("signal"));
  check("previous signal of the state", state.previous, want("signal").select(1, steps - 1));
  check("final h", state.recurrent[0], want("h").select(1, steps - 1));
  check("final c", state.recurrent[1], want("c").select(1, steps - 1));
  CHECK(outputs.log_probs.defined() == stochastic);
  CHECK(outputs.values.defined() == stochastic);
  if (stochastic) {
    check("density while acting", outputs.log_probs, want("signal_logp"));
    check("value while acting", outputs.values, want("value"));
  }

  // Inputs and layers.
  const Tensor signals = want("signal").to(dtype);
  const Tensor features = network->density()->Features(segment, Shifted(signals));
  check("features", features, want("features"));
  const LstmSizes core = CoreSizes(sizes);
  check("rnn_input", RnnInput<T>(core, flat, features), want("rnn_input"));
  const auto [mean, std] = Policy<T>(core, sizes.initial_std, flat, want("h").to(dtype));
  check("mean", mean, want("mean"));
  check("std", std, want("std"));

  // Training: pieces of one step show h and c of every step.
  auto recurrent = network->signals()->InitialState(lifetimes, dtype).recurrent;
  std::vector<Tensor> h, c;
  for (int64_t t = 0; t < steps; ++t) {
    recurrent = network->density()
                    ->Evaluate(flat, features.narrow(1, t, 1), signals.narrow(1, t, 1), recurrent)
                    .final_recurrent;
    h.push_back(recurrent[0]);
    c.push_back(recurrent[1]);
  }
  check("h", torch::stack(h, 1), want("h"));
  check("c", torch::stack(c, 1), want("c"));
  const auto initial = network->signals()->InitialState(lifetimes, dtype).recurrent;
  const auto evaluation = network->density()->Evaluate(flat, features, signals, initial);
  const double entropy_offset = 0.5 + exact::kHalfLogTwoPi;
  check("density while training", evaluation.log_probs, want("signal_logp"));
  check("value while training", evaluation.values, want("value"));
  check("entropy", evaluation.log_stds + entropy_offset, want("entropy"));

  // The second implementation.
  const signals::LstmPlain plain{core, network->layout(), sizes.initial_std};
  state = network->signals()->InitialState(lifetimes, dtype);
  Tensor zero_previous = features.clone();
  zero_previous.select(2, core.features - 1).zero_();
  check("plain signal", plain.Run(flat, zero_previous, noise, &state).signals, want("signal"));
  const auto plain_evaluation = plain.Evaluate(flat, features, signals, initial);
  check("plain density", plain_evaluation.log_probs, want("signal_logp"));
  check("plain value", plain_evaluation.values, want("value"));
}

TEST_CASE("golden: signal network, acting and training") {
  const Json file = ReadGolden("signal_forward");
  for (const Json& test : file.at("cases")) {
    CheckCase<double>(file, test, torch::kFloat64);
    CheckCase<float>(file, test, torch::kFloat32);
  }
}

}  // namespace mentor::testing::TEST_FILE
