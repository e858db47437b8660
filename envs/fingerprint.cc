#include "envs/fingerprint.h"

#include <cmath>
#include <string_view>
#include <vector>

#include <mujoco/mujoco.h>

#include "common/check.h"
#include "common/hash.h"
#include "common/log.h"
#include "envs/environment.h"

namespace mentor::envs {
namespace {

constexpr char kEnvironment[] = "reach-v3";  // All Meta-World scenes share the arm.
constexpr int kSteps = 50;
constexpr int kPoints = 97;

class Digest {
 public:
  void Add(double number) {
    hash_.Update(std::string_view(reinterpret_cast<const char*>(&number), sizeof(number)));
  }
  void Add(std::string_view text) { hash_.Update(text); }
  std::string Finish() { return ToHex(hash_.Finish()); }

 private:
  Sha256 hash_;
};

void AddLibm(Digest* digest) {
  // Volatile, so that the compiler computes nothing in advance.
  for (int i = 0; i < kPoints; ++i) {
    volatile double x = 0.037 * (i - kPoints / 2) + 1e-3;  // From -1.775 to 1.777.
    volatile double unit = x / 2, positive = 1e-3 + x * x;
    for (double value : {std::sin(x), std::cos(x), std::tan(x), std::exp(x), std::log(positive),
                         std::atan(x), std::asin(unit), std::acos(unit), std::tanh(x),
                         std::pow(positive, x), std::atan2(x, positive)}) {
      digest->Add(value);
    }
  }
}

absl::Status AddRollout(Digest* digest) {
  const EnvironmentEntry* entry = FindEnvironment(kEnvironment);
  if (entry == nullptr) return absl::NotFoundError(kEnvironment);
  MENTOR_ASSIGN_OR_RETURN(const auto environment, MakeEnvironment(kEnvironment, {}));
  const RandomStream random{.purpose = Purpose::kTest};
  std::vector<double> observation(environment->info().observation_size);
  MENTOR_RETURN_IF_ERROR(environment->SetTask(DrawTask(*entry, {}, random, 0)));
  MENTOR_RETURN_IF_ERROR(environment->Reset(random, 0, observation));
  std::vector<float> action(environment->info().action_size);
  for (int t = 0; t < kSteps; ++t) {
    // The arm moves down and about: contacts between fingers and table amplify last bits.
    for (size_t i = 0; i < action.size(); ++i)
      action[i] = static_cast<float>(2 * random.Uniform(1 + t, i) - 1);
    action[2] = -0.9f;
    MENTOR_ASSIGN_OR_RETURN(const StepOutcome outcome, environment->Step(action, observation));
    for (double number : observation) digest->Add(number);
    digest->Add(outcome.reward);
  }
  MENTOR_ASSIGN_OR_RETURN(const std::string state, environment->SaveState());
  digest->Add(state);
  return absl::OkStatus();
}

}  // namespace

const std::string& NumericFingerprint() {
  static const std::string fingerprint = [] {
    Digest digest;
    AddLibm(&digest);
    if (const absl::Status status = AddRollout(&digest); !status.ok()) {
      MENTOR_LOG(kWarning,
                 "the environments' models cannot be used: no process that has them will work with "
                 "this one",
                 {{"why", status}});
      digest.Add("no rollout");
    }
    return digest.Finish();
  }();
  return fingerprint;
}

std::string MujocoVersion() {
  return mj_versionString();
}

}  // namespace mentor::envs
