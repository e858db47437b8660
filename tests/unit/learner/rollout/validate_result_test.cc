// What a learner checks of a result, by its unit alone: every tensor, flag, state and time.
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "common/failed_step.h"
#include "common/result_hash.h"
#include "learner/rollout/rollout_server.h"
#include "tests/testing.h"
#include "tests/text.h"
#include "tests/units.h"

namespace mentor::learner::TEST_FILE {

using mentor::testing::Contains;
using T = v1::Tensor;

T Zeros(T::DType dtype, const std::vector<int64_t>& shape) {
  T tensor;
  tensor.set_dtype(dtype);
  size_t bytes = dtype == T::DTYPE_FLOAT64 ? 8 : dtype == T::DTYPE_FLOAT32 ? 4 : 1;
  for (const int64_t size : shape) {
    tensor.add_shape(size);
    bytes *= static_cast<size_t>(size);
  }
  tensor.set_data(std::string(bytes, '\0'));
  return tensor;
}

// Two steps of three observations and an action, and a result that fits.
struct Pair {
  Pair() {
    unit.set_steps(2);
    unit.mutable_policy()->set_observation_size(3);
    unit.mutable_policy()->set_action_size(1);
    *t->mutable_observations() = Zeros(T::DTYPE_FLOAT32, {2, 3});
    *t->mutable_actions() = Zeros(T::DTYPE_FLOAT32, {2, 1});
    *t->mutable_log_probs() = Zeros(T::DTYPE_FLOAT32, {2});
    *t->mutable_rewards() = Zeros(T::DTYPE_FLOAT64, {2});
    *t->mutable_successes() = Zeros(T::DTYPE_UINT8, {2});
    *t->mutable_terminations() = Zeros(T::DTYPE_UINT8, {2});
    *t->mutable_truncations() = Zeros(T::DTYPE_UINT8, {2});
    *t->mutable_next_observation() = Zeros(T::DTYPE_FLOAT32, {3});
  }
  // What is wrong; empty: nothing.
  std::string Wrong() {
    result.set_result_hash(ResultHash(*t, result.final_state()));
    return std::string(ValidateResult(unit, result).message());
  }
  void SetFlags(T* flags, char first, char last) { flags->set_data(std::string{first, last}); }

  v1::Unit unit;
  v1::Result result;
  v1::Trajectory* t = result.mutable_trajectory();
};

TEST_CASE("result: each tensor has its type, shape and length", "[unit]") {
  CHECK(Pair().Wrong().empty());
  for (const auto& [name, part] : mentor::testing::TrajectoryParts()) {
    INFO(name);
    const std::string begin = std::string(name) + ": ";
    Pair shorter, longer, other_shape, more_axes, other_type;
    part(shorter.t)->mutable_data()->pop_back();
    CHECK(shorter.Wrong().starts_with(begin));
    part(longer.t)->mutable_data()->push_back('\0');
    CHECK(longer.Wrong().starts_with(begin));
    part(other_shape.t)->set_shape(0, 4);
    CHECK(other_shape.Wrong().starts_with(begin + "shape [4"));
    part(more_axes.t)->add_shape(1);
    CHECK(more_axes.Wrong().starts_with(begin + "shape ["));
    part(other_type.t)->set_dtype(T::DTYPE_INT64);
    CHECK(other_type.Wrong().starts_with(begin + "type DTYPE_INT64, expected "));
  }
  // Shapes of up to eight axes are shown.
  Pair pair;
  for (int axes = 2; axes <= 8; ++axes) pair.t->mutable_rewards()->add_shape(1);
  CHECK(pair.Wrong() == "rewards: shape [2, 1, 1, 1, 1, 1, 1, 1], expected [2]");
  pair.t->mutable_rewards()->add_shape(1);
  CHECK(pair.Wrong() == "rewards: 9 axes");
}

TEST_CASE("result: flags are 0 or 1, and 2 where a failed step ended the episode", "[unit]") {
  for (const bool last : {false, true}) {
    INFO(last);
    const auto wrong = [&](T* (v1::Trajectory::*part)(), char flag) {
      Pair pair;
      pair.SetFlags((pair.t->*part)(), last ? 0 : flag, last ? flag : 0);
      return pair.Wrong();
    };
    for (const auto part :
         {&v1::Trajectory::mutable_successes, &v1::Trajectory::mutable_truncations}) {
      CHECK(wrong(part, 1).empty());
      CHECK(Contains(wrong(part, 2), ": a flag is not 0 to 1"));
      CHECK(Contains(wrong(part, -1), ": a flag is not 0 to 1"));
    }
    CHECK(wrong(&v1::Trajectory::mutable_terminations, kTaskEnded).empty());
    CHECK(wrong(&v1::Trajectory::mutable_terminations, kStepFailed).empty());
    CHECK(wrong(&v1::Trajectory::mutable_terminations, 3) == "terminations: a flag is not 0 to 2");
  }
  Pair both;
  both.SetFlags(both.t->mutable_terminations(), 0, kStepFailed);
  both.SetFlags(both.t->mutable_truncations(), 0, 1);
  CHECK(both.Wrong() == "truncations: step 1 terminated, so no limit cut it short");
}

TEST_CASE("result: each end has its last observation where the unit asks", "[unit]") {
  Pair pair;
  pair.unit.set_return_final_observations(true);
  CHECK(Contains(pair.Wrong(), "final_observations: type"));
  *pair.t->mutable_final_observations() = Zeros(T::DTYPE_FLOAT32, {0, 3});
  CHECK(pair.Wrong().empty());
  pair.SetFlags(pair.t->mutable_terminations(), kStepFailed, 0);
  CHECK(pair.Wrong() == "final_observations: shape [0, 3], expected [1, 3]");
  pair.SetFlags(pair.t->mutable_truncations(), 0, 1);
  CHECK(pair.Wrong() == "final_observations: shape [0, 3], expected [2, 3]");
  *pair.t->mutable_final_observations() = Zeros(T::DTYPE_FLOAT32, {2, 3});
  CHECK(pair.Wrong().empty());
  pair.unit.set_return_final_observations(false);
  CHECK(pair.Wrong() == "final_observations: the unit did not ask for them");
}

TEST_CASE("result: a unit that goes on leaves its state, which is bounded", "[unit]") {
  Pair pair;
  pair.result.set_final_state("x");
  CHECK(pair.Wrong() == "final_state: the unit did not ask for it");
  pair.unit.set_return_state(true);
  CHECK(pair.Wrong().empty());
  constexpr size_t kMost = 4 << 20;
  pair.result.set_final_state(std::string(kMost, 'x'));
  CHECK(pair.Wrong().empty());
  pair.result.set_final_state(std::string(kMost + 1, 'x'));
  CHECK(pair.Wrong() == "final_state: 4194305 bytes, at most 4194304 are allowed");
  // None is left only where an episode ends with the unit.
  pair.result.clear_final_state();
  CHECK(pair.Wrong() == "final_state: is missing");
  pair.SetFlags(pair.t->mutable_terminations(), 1, 0);
  CHECK(pair.Wrong() == "final_state: is missing");
  for (const char flag : {kTaskEnded, kStepFailed}) {
    pair.SetFlags(pair.t->mutable_terminations(), 0, flag);
    CHECK(pair.Wrong().empty());
  }
  pair.SetFlags(pair.t->mutable_terminations(), 0, 0);
  pair.SetFlags(pair.t->mutable_truncations(), 0, 1);
  CHECK(pair.Wrong().empty());
}

TEST_CASE("result: times are of this life", "[unit]") {
  for (const auto set : {&v1::Result::set_cpu_seconds, &v1::Result::set_policy_cpu_seconds,
                         &v1::Result::set_work_seconds}) {
    const auto wrong = [&](double seconds) {
      Pair pair;
      (pair.result.*set)(seconds);
      return pair.Wrong();
    };
    CHECK(wrong(0).empty());
    CHECK(wrong(999'999'999).empty());
    for (const double seconds : {1e9, -1e-9, std::numeric_limits<double>::quiet_NaN()})
      CHECK(wrong(seconds) == "cpu_seconds or work_seconds: not a time");
  }
}

TEST_CASE("result: the hash is that of the trajectory and the final state", "[unit]") {
  Pair pair;
  pair.unit.set_return_state(true);
  pair.result.set_final_state("x");
  REQUIRE(pair.Wrong().empty());
  pair.result.set_final_state("y");
  CHECK(Contains(ValidateResult(pair.unit, pair.result), "result_hash: is not that of"));
  pair.result.set_final_state("x");
  REQUIRE(ValidateResult(pair.unit, pair.result).ok());
  (*pair.t->mutable_rewards()->mutable_data())[15] = 1;
  CHECK(Contains(ValidateResult(pair.unit, pair.result), "result_hash: is not that of"));
}

}  // namespace mentor::learner::TEST_FILE
