#include "methods/base/state.h"

#include "tests/text.h"
#include "tests/torch_testing.h"

namespace mentor::methods::TEST_FILE {

TEST_CASE("state: what a checkpoint cannot hold is refused, and changes nothing") {
  int64_t steps = 3;
  torch::Tensor weights = torch::ones({2});
  StateFields fields("the rule");
  fields.Add("steps", &steps);
  fields.Add("weights", &weights);
  const TensorMap saved = fields.Save(/*copies=*/true);
  const auto load = [&](const char* name, const torch::Tensor& value) {
    TensorMap state = saved;
    state[name] = value;
    const absl::Status status = fields.Load(state);
    CHECK(steps == 3);
    CHECK(torch::equal(weights, saved.at("weights")));
    return std::string(status.message());
  };
  CHECK(testing::Contains(load("steps", torch::full({}, -1, torch::kInt64)),
                          "'steps' in the state of the rule is negative"));
  CHECK_FALSE(load("steps", torch::ones({})).empty());
  CHECK_FALSE(load("weights", torch::ones({3})).empty());
  CHECK_FALSE(load("weights", torch::full({2}, INFINITY)).empty());
}

}  // namespace mentor::methods::TEST_FILE
