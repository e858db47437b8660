#include "methods/response_gradient/conditioned_policy.h"

#include <cmath>
#include <string>
#include <utility>

#include "agents/orthogonal.h"
#include "common/check.h"
#include "common/exact_math.h"

namespace mentor::learner {
namespace {

using torch::Tensor;

// The printed equation has none (methods/response_gradient/README.md#reading-variance-epsilon).
constexpr double kVarianceEpsilon = 1e-5;

Tensor Normalised(const Tensor& a) {
  const auto units = static_cast<double>(a.size(-1));
  const Tensor centred = a - a.sum(-1, /*keepdim=*/true) / units;
  const Tensor variance = centred.square().sum(-1, /*keepdim=*/true) / units;
  return centred / (variance + kVarianceEpsilon).sqrt();
}

}  // namespace

int64_t ConditioningSize(const SignalNetwork* network) {
  const SignalGradient* gradient = network != nullptr ? network->gradient() : nullptr;
  return gradient != nullptr ? gradient->conditioning_size() : 0;
}

ParamLayout ConditionedLayout(const AgentShape& shape, int64_t eta_size) {
  const int64_t hidden = shape.hidden_units;
  NamedShapes tensors = ThreeLayers("actor", shape.observation_size, hidden, shape.action_size);
  tensors.insert(tensors.end(), {{"cln.Wg", {hidden, eta_size}},
                                 {"cln.bg", {hidden}},
                                 {"cln.Wb", {hidden, eta_size}},
                                 {"cln.bb", {hidden}}});
  if (!shape.discrete) tensors.push_back({"logstd", {shape.action_size}});
  return ParamLayout(std::move(tensors));
}

ParamLayout ValueLayout(const AgentShape& shape) {
  return ParamLayout(ThreeLayers("critic", shape.observation_size, shape.hidden_units, 1));
}

Tensor InitialParameters(const ParamLayout& layout, const AgentShape& shape, double initial_std,
                         double map_std, const RandomStream& stream, uint32_t first_tensor) {
  Tensor parameters = torch::zeros({layout.size()}, torch::kFloat32);
  for (size_t i = 0; i < layout.slices().size(); ++i) {
    const ParamSlice& slice = layout.slices()[i];
    const uint32_t number = first_tensor + static_cast<uint32_t>(i);
    Tensor part = parameters.narrow(0, slice.offset, slice.size);
    if (slice.name == "logstd") {
      part.fill_(exact::Log(initial_std));
    } else if (slice.name == "cln.bg") {
      part.fill_(1);
    } else if (slice.name == "cln.Wg" || slice.name == "cln.Wb") {
      std::vector<double> normals(static_cast<size_t>(slice.size));
      stream.Normals(number, normals);
      float* to = part.mutable_data_ptr<float>();
      for (double normal : normals) *to++ = static_cast<float>(map_std * normal);
    } else if (slice.shape.size() == 2) {
      part.copy_(
          Orthogonal(slice.shape[0], slice.shape[1], InitialGain(shape, slice.name), stream, number)
              .flatten());
    }
  }
  return parameters;
}

ConditionedPolicy SplitConditioned(const ParamLayout& layout, const Tensor& theta) {
  const std::vector<Tensor> p = layout.Split(theta);
  MENTOR_CHECK(p.size() >= 10 && layout.slices()[6].name == "cln.Wg");
  return {.mlp = {p[0], p[1], p[2], p[3], p[4], p[5]},
          .gain_map = p[6],
          .offset_map = p[8],
          .gain_bias = p[7],
          .offset_bias = p[9],
          .log_std = p.size() > 10 ? p[10] : Tensor()};
}

Mlp SplitValue(const ParamLayout& layout, const Tensor& theta) {
  const std::vector<Tensor> p = layout.Split(theta);
  return {p[0], p[1], p[2], p[3], p[4], p[5]};
}

Modulation Fold(const ConditionedPolicy& policy, const Tensor& eta) {
  return {.gain = Affine(eta, policy.gain_map, policy.gain_bias),
          .offset = Affine(eta, policy.offset_map, policy.offset_bias)};
}

Tensor Forward(const ConditionedPolicy& policy, const Modulation& modulation,
               const Tensor& observations) {
  const Mlp& mlp = policy.mlp;
  const Tensor first = Affine(observations, mlp.w1, mlp.b1).tanh();
  const Tensor z = Normalised(Affine(first, mlp.w2, mlp.b2));
  return Affine((modulation.gain * z + modulation.offset).tanh(), mlp.w3, mlp.b3);
}

std::vector<v1::PolicyWeights> ToPolicyWeights(const AgentShape& shape,
                                               const ConditionedPolicy& policy,
                                               const Modulation& modulation) {
  const int64_t agents = modulation.gain.size(0), parts = modulation.gain.size(1);
  std::vector<Tensor> own;  // Each [S, E, ...], in the order of POLICY_NETWORK_LAYER_NORM.
  const Mlp& mlp = policy.mlp;
  for (const Tensor& x : {mlp.w1, mlp.b1, mlp.w2, mlp.b2, mlp.w3, mlp.b3, policy.log_std}) {
    if (x.defined()) own.push_back(x.reshape({agents, 1, -1}).expand({agents, parts, -1}));
  }
  own.push_back(modulation.gain);
  own.push_back(modulation.offset);
  const Tensor rows = torch::cat(own, -1)
                          .detach()
                          .to(torch::kCPU, torch::kFloat32)
                          .reshape({agents * parts, -1})
                          .contiguous();
  std::vector<v1::PolicyWeights> policies(rows.size(0));
  for (int64_t i = 0; i < rows.size(0); ++i) {
    v1::PolicyWeights& weights = policies[i];
    weights.set_network(v1::POLICY_NETWORK_LAYER_NORM);
    weights.set_discrete(shape.discrete);
    weights.set_observation_size(static_cast<uint32_t>(shape.observation_size));
    weights.set_action_size(static_cast<uint32_t>(shape.action_size));
    weights.set_hidden_units(static_cast<uint32_t>(shape.hidden_units));
    weights.set_weights(rows[i].const_data_ptr(),
                        static_cast<size_t>(rows.size(1)) * sizeof(float));
  }
  return policies;
}

}  // namespace mentor::learner
