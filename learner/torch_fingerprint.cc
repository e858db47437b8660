#include "learner/torch_fingerprint.h"

#include <c10/core/GradMode.h>

#include "common/check.h"
#include "common/hash.h"
#include "common/rng.h"
#include "learner/agents/adam.h"
#include "learner/agents/numerics.h"
#include "learner/agents/ppo.h"

namespace mentor::learner {
namespace {

torch::Tensor Normals(int64_t rows, int64_t columns, uint32_t step) {
  std::vector<double> values(static_cast<size_t>(rows * columns));
  RandomStream{.purpose = Purpose::kTest}.Normals(step, values);
  return torch::from_blob(values.data(), {rows, columns}, torch::kFloat64).to(torch::kFloat32);
}

// The weights of two agents in the role ADVANTAGE after an update by autograd.
torch::Tensor Updated(torch::Device device) {
  constexpr int64_t kAgents = 2, kSteps = 64;
  const AgentShape shape{.observation_size = 39, .action_size = 4, .critic = false};
  const std::vector<uint32_t> lifetimes = {0, 1};
  const torch::Tensor theta =
      InitialTheta(shape, /*initial_std=*/1, /*seed=*/0, Phase::kTraining, lifetimes).to(device);
  Segment segment;
  segment.observations =
      Normals(kAgents * kSteps, shape.observation_size, 5).view({kAgents, kSteps, -1}).to(device);
  segment.actions =
      Normals(kAgents * kSteps, shape.action_size, 6).view({kAgents, kSteps, -1}).to(device);
  segment.log_probs =
      -0.5 * segment.actions.square().sum(-1) - 3.6757541;  // Densities of unit normals.
  PpoConfig config;
  config.epochs = 2;
  config.minibatches = 4;
  const absl::StatusOr<UpdateResult> result =
      PpoUpdate(shape, NewAgents(theta), segment, Normals(kAgents, kSteps, 7).to(device), config,
                KeyedOrder(/*seed=*/0, Phase::kTraining, /*iteration=*/0, lifetimes),
                {.engine = PpoEngine::kAutograd});
  MENTOR_CHECK(result.ok());
  return result->agents.theta;
}

std::string Fingerprint(torch::Device device) {
  Sha256 hash;
  if (!device.is_cpu()) hash.Update(DeviceName(device));
  for (const torch::Tensor& result : FingerprintResults(device, !device.is_cpu())) {
    const torch::Tensor dense = result.cpu().contiguous();
    hash.Update({static_cast<const char*>(dense.data_ptr()), dense.nbytes()});
  }
  return ToHex(hash.Finish()).substr(0, 32);
}

}  // namespace

std::string TorchFingerprint(torch::Device device) {
  static const std::string of_cpu = Fingerprint(torch::kCPU);
  return device.is_cpu() ? of_cpu : Fingerprint(device);
}

std::vector<torch::Tensor> FingerprintResults(torch::Device device, bool with_update) {
  const torch::NoGradGuard no_grad;
  const auto normals = [&](int64_t rows, int64_t columns, uint32_t step) {
    return Normals(rows, columns, step).to(device);
  };
  // Shapes of the inner PPO and of the signal network: small and larger matrix products choose
  // different kernels.
  const torch::Tensor hidden = torch::tanh(torch::mm(normals(125, 39, 0), normals(39, 64, 1)));
  const torch::Tensor gates = torch::mm(normals(30, 128, 2), normals(128, 512, 3));
  const torch::Tensor batch =
      torch::bmm(hidden.reshape({5, 25, 64}), normals(320, 64, 4).reshape({5, 64, 64}));
  std::vector<torch::Tensor> results = {hidden, torch::sigmoid(gates), torch::exp(batch.mul(0.01)),
                                        gates.sum(), batch.std()};
  if (with_update) results.push_back(Updated(device));
  return results;
}

}  // namespace mentor::learner
