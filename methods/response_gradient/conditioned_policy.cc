#include "methods/response_gradient/conditioned_policy.h"

#include <cmath>
#include <string>
#include <utility>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "common/exact_math.h"

namespace mentor::methods {
namespace {

using torch::Tensor;

// The printed equation has none (methods/response_gradient/README.md#reading-variance-epsilon).
constexpr double kVarianceEpsilon = 1e-5;
// What the names of the maps' tensors begin with.
constexpr char kLayerNorm[] = "cln.", kFilm[] = "film.";

Tensor Normalised(const Tensor& a) {
  const auto units = static_cast<double>(a.size(-1));
  const Tensor centred = a - a.sum(-1, /*keepdim=*/true) / units;
  const Tensor variance = centred.square().sum(-1, /*keepdim=*/true) / units;
  return centred / (variance + kVarianceEpsilon).sqrt();
}

}  // namespace

int64_t ConditioningSize(const signals::SignalNetwork* network) {
  const signals::SignalGradient* gradient = network != nullptr ? network->gradient() : nullptr;
  return gradient != nullptr ? gradient->conditioning_size() : 0;
}

agents::ParamLayout ConditionedLayout(const agents::AgentShape& shape, int64_t eta_size,
                                      const Conditioning& conditioning) {
  const int64_t hidden = shape.hidden_units;
  const std::string prefix = conditioning.film ? kFilm : kLayerNorm;
  const int64_t inputs = conditioning.layers > 0 ? conditioning.units : eta_size;
  agents::NamedShapes tensors =
      agents::ThreeLayers("actor", shape.observation_size, hidden, shape.action_size);
  tensors.insert(tensors.end(), {{prefix + "Wg", {hidden, inputs}},
                                 {prefix + "bg", {hidden}},
                                 {prefix + "Wb", {hidden, inputs}},
                                 {prefix + "bb", {hidden}}});
  for (const char* map : {"g.", "o."}) {
    for (int64_t i = 1; i <= conditioning.layers; ++i) {
      tensors.push_back({absl::StrCat(prefix, map, "W", i),
                         {conditioning.units, i == 1 ? eta_size : conditioning.units}});
      tensors.push_back({absl::StrCat(prefix, map, "b", i), {conditioning.units}});
    }
  }
  if (!shape.discrete) tensors.push_back({"logstd", {shape.action_size}});
  return agents::ParamLayout(std::move(tensors));
}

agents::ParamLayout ValueLayout(const agents::AgentShape& shape) {
  return agents::ParamLayout(
      agents::ThreeLayers("critic", shape.observation_size, shape.hidden_units, 1));
}

Tensor InitialParameters(const agents::ParamLayout& layout, const agents::AgentShape& shape,
                         double initial_std, double map_std, const RandomStream& stream,
                         uint32_t first_tensor) {
  Tensor parameters = torch::zeros({layout.size()}, torch::kFloat32);
  for (size_t i = 0; i < layout.slices().size(); ++i) {
    const agents::ParamSlice& slice = layout.slices()[i];
    const uint32_t number = first_tensor + static_cast<uint32_t>(i);
    Tensor part = parameters.narrow(0, slice.offset, slice.size);
    if (slice.name == "logstd") {
      part.fill_(exact::Log(initial_std));
    } else if (absl::EndsWith(slice.name, ".bg")) {
      part.fill_(1);
    } else if (absl::EndsWith(slice.name, ".Wg") || absl::EndsWith(slice.name, ".Wb")) {
      part.copy_(map_std * agents::Normals(stream, number, {slice.size}));
    } else if (slice.shape.size() == 2) {
      part.copy_(agents::Orthogonal(slice.shape[0], slice.shape[1],
                                    agents::InitialGain(shape, slice.name), stream, number)
                     .flatten());
    }
  }
  return parameters;
}

ConditionedPolicy SplitConditioned(const agents::ParamLayout& layout, const Tensor& theta) {
  const std::vector<Tensor> p = layout.Split(theta);
  MENTOR_CHECK(p.size() >= 10 && absl::EndsWith(layout.slices()[6].name, ".Wg"));
  ConditionedPolicy policy{.mlp = {p[0], p[1], p[2], p[3], p[4], p[5]},
                           .film = absl::StartsWith(layout.slices()[6].name, kFilm),
                           .gain_map = p[6],
                           .offset_map = p[8],
                           .gain_bias = p[7],
                           .offset_bias = p[9]};
  size_t end = p.size();
  if (layout.slices().back().name == "logstd") policy.log_std = p[--end];
  const auto first = p.begin() + 10, last = p.begin() + static_cast<ptrdiff_t>(end);
  policy.gain_hidden = {first, first + (last - first) / 2};
  policy.offset_hidden = {first + (last - first) / 2, last};
  return policy;
}

agents::Mlp SplitValue(const agents::ParamLayout& layout, const Tensor& theta) {
  const std::vector<Tensor> p = layout.Split(theta);
  return {p[0], p[1], p[2], p[3], p[4], p[5]};
}

Modulation Fold(const ConditionedPolicy& policy, const Tensor& eta) {
  const auto hidden = [&](const std::vector<Tensor>& layers) {
    Tensor x = eta;
    for (size_t i = 0; i < layers.size(); i += 2)
      x = agents::Affine(x, layers[i], layers[i + 1]).tanh();
    return x;
  };
  return {.gain = agents::Affine(hidden(policy.gain_hidden), policy.gain_map, policy.gain_bias),
          .offset =
              agents::Affine(hidden(policy.offset_hidden), policy.offset_map, policy.offset_bias)};
}

Tensor Forward(const ConditionedPolicy& policy, const Modulation& modulation,
               const Tensor& observations) {
  const agents::Mlp& mlp = policy.mlp;
  const Tensor first = agents::Affine(observations, mlp.w1, mlp.b1).tanh();
  const Tensor second = agents::Affine(first, mlp.w2, mlp.b2),
               z = policy.film ? second : Normalised(second);
  return agents::Affine((modulation.gain * z + modulation.offset).tanh(), mlp.w3, mlp.b3);
}

std::vector<v1::PolicyWeights> ToPolicyWeights(const agents::AgentShape& shape,
                                               const ConditionedPolicy& policy,
                                               const Modulation& modulation) {
  const int64_t agents = modulation.gain.size(0), parts = modulation.gain.size(1);
  std::vector<Tensor> own;  // Each [S, E, ...], in the order of the network's kind.
  const auto each = [&](const Tensor& x) {
    return x.reshape({agents, 1, -1}).expand({agents, parts, -1});
  };
  const agents::Mlp& mlp = policy.mlp;
  own = {each(mlp.w1), each(mlp.b1)};
  if (policy.film) {
    own.push_back((modulation.gain.unsqueeze(-1) * mlp.w2.unsqueeze(1)).flatten(2));
    own.push_back(modulation.gain * mlp.b2.unsqueeze(1) + modulation.offset);
  } else {
    own.insert(own.end(), {each(mlp.w2), each(mlp.b2)});
  }
  own.insert(own.end(), {each(mlp.w3), each(mlp.b3)});
  if (policy.log_std.defined()) own.push_back(each(policy.log_std));
  if (!policy.film) own.insert(own.end(), {modulation.gain, modulation.offset});
  return ToPolicyWeights(shape,
                         policy.film ? v1::POLICY_NETWORK_MLP : v1::POLICY_NETWORK_LAYER_NORM,
                         torch::cat(own, -1).reshape({agents * parts, -1}));
}

}  // namespace mentor::methods
