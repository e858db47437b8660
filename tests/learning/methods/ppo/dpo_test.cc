// PPO's agents with the drift of DPO in place of the clip (methods/ppo/README.md#the-drift-of-dpo)
// on Umbrella Length, through the real services in one process. They learn as with the clip, and
// nothing with constants so small that the drift cancels each gain.
#include <string>
#include <vector>

#include "tests/learning/learning.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

double SuccessAtLast(std::vector<std::string> overrides) {
  overrides.emplace_back("lifetime.iterations=16");
  return testing::Run("umbrella_ppo.txtpb", overrides).Successes().at("PPO shaped").back();
}

TEST_CASE("learning: the drift of DPO lets agents learn, unless it cancels what they gain",
          "[learning]") {
  CHECK(SuccessAtLast({"agent.surrogate=DPO"}) > 0.85);
  CHECK(SuccessAtLast({"agent.surrogate=DPO", "agent.dpo_alpha=1e-6", "agent.dpo_beta=1e-6"}) <
        0.65);
}

}  // namespace mentor::TEST_FILE
