#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <new>

#include "envs/metaworld/metaworld_environment.h"
#include "envs/metaworld/reward_functions.h"
#include "envs/metaworld/world.h"
#include "envs/mujoco_environment.h"
#include "tests/environments.h"
#include "tests/testing.h"

namespace {
thread_local long allocations = 0;
}  // namespace

// Counts what this binary allocates, for the test that a step allocates nothing.
void* operator new(size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}

namespace mentor::envs::metaworld {
namespace {

using mentor::testing::Near;
using mentor::testing::Task;

std::unique_ptr<MetaWorldEnvironment> Make(const std::string& name) {
  auto made = MakeEnvironment(name, {}).value();
  return std::unique_ptr<MetaWorldEnvironment>(static_cast<MetaWorldEnvironment*>(made.release()));
}

const std::initializer_list<double> kPushV = {0, 0.65, 0.02, 0.05, 0.85, 0.015};

TEST_CASE("metaworld: tolerance functions", "[unit]") {
  CHECK(T(0.05, 0.05, 1) == 1);
  CHECK(T(0, 0.05, 0) == 1);
  CHECK(T(0.06, 0.05, 0) == 0);
  CHECK(Near(T(1.05, 0.05, 1), 0.1, {.rel = 1e-14}));  // The value at the margin.
  CHECK(Near(G(1.05, 0.05, 1), 0.1, {.rel = 1e-14}));
  CHECK(Near(T(0.55, 0.05, 1), 1 / (1.5 * 1.5 + 1), {.rel = 1e-14}));
  CHECK(Near(G(0.55, 0.05, 1), std::pow(0.1, 0.25), {.rel = 1e-14}));
  CHECK(Near(T2(-0.5, 0.5, 2, 1), 0.1, {.rel = 1e-14}));  // Below the lower bound.
  CHECK(std::isnan(T(0, 1, -1e-9)));                      // Even inside.
  CHECK(H(0, 0) == 0);
  CHECK(H(1, 0.3) == 0.3);
  CHECK(Near(H(0.5, 0.5), 1.0 / 3, {.rel = 1e-15}));
  CHECK(std::isnan(H(0.5, std::nan(""))));
  CHECK(RectangularPrism({2, 0, 0}, {0, 0, 0}, {1, 1, 1}) == 1);
  CHECK(Near(RectangularPrism({0.5, 0.25, 0.5}, {0, 1, 0}, {1, 0, 1}), 0.5 * 0.75 * 0.5,
             {.rel = 1e-15}));
}

TEST_CASE("metaworld: R is the orientation, with the sign of its branch", "[unit]") {
  auto model = LoadScene("sawyer_xyz/sawyer_push_v3.xml");
  REQUIRE(model.ok());
  Names names(model->get());
  World world(*model, names);
  const BodyId body = names.Body("obj");
  REQUIRE(names.missing().empty());
  const RandomStream random{.seed = 3};
  int branches[4] = {};
  for (uint32_t i = 0; i < 200; ++i) {
    double q[4], m[9];
    random.Normals(i, q);
    mju_normalize4(q);
    mju_quat2Mat(m, q);
    std::copy_n(m, 9, world.sim().data()->xmat + 9 * body.value);
    const Quat got = world.R(body);
    // The component that the branch solves for is positive.
    const double choices[4] = {m[0], m[4], m[8], m[0] + m[4] + m[8]};
    const int branch = static_cast<int>(std::max_element(choices, choices + 4) - choices);
    ++branches[branch];
    const double want[4] = {q[1], q[2], q[3], q[0]};
    const double sign = want[branch] > 0 ? 1 : -1;
    for (int k = 0; k < 4; ++k) CHECK(Near(got[k], sign * want[k], {.abs = 1e-14}));
  }
  for (int count : branches) CHECK(count > 10);
}

TEST_CASE("metaworld: names that a model lacks are reported", "[unit]") {
  auto model = LoadScene("sawyer_xyz/sawyer_push_v3.xml");
  REQUIRE(model.ok());
  Names names(model->get());
  names.Body("hand");
  names.Site("nowhere");
  names.Geom("nothing");
  CHECK(names.missing() == std::vector<std::string>{"site nowhere", "geom nothing"});
}

TEST_CASE("metaworld: task vectors are checked", "[unit]") {
  const auto push = Make("push-v3");
  const auto message = [&](std::initializer_list<double> v) {
    const absl::Status status = push->SetTask(Task("push-v3", v));
    CHECK((status.ok() || status.code() == absl::StatusCode::kInvalidArgument));
    return std::string(status.message());
  };
  CHECK(message(kPushV).empty());
  CHECK(message({0, 0.65, 0.02}).find("has 3 numbers; give the rand_vec, 6 numbers") !=
        std::string::npos);
  // Start and goal too close.
  CHECK(message({0, 0.7, 0.02, 0, 0.8, 0.015}).find("n(v[0:2] - v[3:5]) < 0.15") !=
        std::string::npos);
  // Outside the box, in each number and at either side, also where the box has no width.
  const RandVecBox& box = FindTask("push-v3")->facts.rand_vec;
  for (int i = 0; i < box.size; ++i) {
    for (const double outside :
         {box.low[i] - 1e-6, box.high[i] + 1e-6, std::numeric_limits<double>::quiet_NaN()}) {
      v1::EnvironmentTask task = Task("push-v3", kPushV);
      task.set_parameters(i, outside);
      const absl::Status status = push->SetTask(task);
      CHECK(status.code() == absl::StatusCode::kInvalidArgument);
      const std::string text(status.message());
      CHECK(text.find("task.parameters[" + std::to_string(i) + "] of push-v3 is ") !=
            std::string::npos);
      CHECK(text.find("; give a number from ") != std::string::npos);
    }
  }
  // The bounds themselves are inside.
  CHECK(message({-0.1, 0.6, 0.02, -0.1, 0.8, 0.01}).empty());
  CHECK(message({0.1, 0.7, 0.02, 0.1, 0.9, 0.02}).empty());
}

TEST_CASE("metaworld: the goal is seen only where the task says so", "[unit]") {
  const auto push = Make("push-v3");
  std::vector<double> observation(39);
  const std::vector<float> still(4);
  REQUIRE(push->SetTask(Task("push-v3", kPushV)).ok());
  REQUIRE(push->Reset({}, 0, observation).ok());
  CHECK(std::vector<double>(observation.end() - 3, observation.end()) ==
        std::vector<double>{0, 0, 0});
  CHECK(std::equal(observation.begin(), observation.begin() + 18,
                   observation.begin() + 18));  // previous := current
  REQUIRE(push->Step(still, observation).ok());
  CHECK(std::vector<double>(observation.end() - 3, observation.end()) ==
        std::vector<double>{0, 0, 0});

  REQUIRE(push->SetTask(Task("push-v3", kPushV, /*goal_visible=*/true)).ok());
  REQUIRE(push->Reset({}, 0, observation).ok());
  CHECK(observation[36] == 0.05);
  CHECK(observation[37] == 0.85);

  // The reward uses it in either case.
  REQUIRE(push->Step(still, observation).ok());
  const double distance = std::hypot(observation[4] - 0.05, observation[5] - 0.85);
  CHECK(Near(push->Info()[5], distance, {.abs = 1e-6}));  // obj_to_target
}

TEST_CASE("metaworld: an episode is truncated at step 500 and ends there", "[unit]") {
  const auto button = Make("button-press-v3");
  REQUIRE(button->SetTask(Task("button-press-v3", {0, 0.87, 0.115})).ok());
  std::vector<double> observation(39);
  REQUIRE(button->Reset({}, 0, observation).ok());
  const std::vector<float> action = {0.1f, -0.2f, 0.05f, 1};
  for (int t = 1; t <= 500; ++t) {
    const auto outcome = button->Step(action, observation);
    REQUIRE(outcome.ok());
    REQUIRE(outcome->truncated == (t == 500));
    REQUIRE_FALSE(outcome->terminated);
  }
  CHECK(button->Step(action, observation).status().code() == absl::StatusCode::kFailedPrecondition);
}

TEST_CASE("metaworld: a remembered reset is the computed one", "[unit]") {
  for (const char* name : {"reach-v3", "door-close-v3"}) {
    SettledResets::Instance().Clear();
    const EnvironmentEntry& entry = *FindEnvironment(name);
    const RandomStream random{.seed = 4, .purpose = Purpose::kTasks};
    const auto environment = Make(name);
    std::vector<double> observation(39);
    std::vector<std::string> computed;
    for (int pass = 0; pass < 3; ++pass) {
      if (pass == 2)
        SettledResets::Instance().Clear();  // Computed again, after other goals in the same data.
      for (uint32_t goal = 0; goal < 3; ++goal) {
        REQUIRE(
            environment->SetTask(DrawTask(entry, {}, random, pass == 2 ? 2 - goal : goal)).ok());
        REQUIRE(environment->Reset({}, 0, observation).ok());
        const std::string state = *environment->SaveState();
        if (pass == 0) computed.push_back(state);
        CHECK(state == computed[pass == 2 ? 2 - goal : goal]);
        REQUIRE(environment->Step(std::array{1.f, -1.f, -1.f, 1.f}, observation).ok());
      }
    }
    CHECK(SettledResets::Instance().size() >= 3);
  }
}

TEST_CASE("metaworld: settled resets are bounded, the one used longest ago goes first", "[unit]") {
  SettledResets resets(/*entries_max=*/2);
  resets.Add("a", "1");
  resets.Add("b", "2");
  CHECK(*resets.Find("a") == "1");  // Now b is the older one.
  resets.Add("c", "3");
  CHECK(resets.size() == 2);
  CHECK(resets.Find("b") == nullptr);
  CHECK(*resets.Find("a") == "1");
  resets.Add("a", "other");  // The first one stays.
  CHECK(*resets.Find("a") == "1");
}

TEST_CASE(
    "metaworld: an unstable simulator ends the episode with an error, a reset begins a new one",
    "[unit]") {
  const auto push = Make("push-v3");
  REQUIRE(push->SetTask(Task("push-v3", kPushV)).ok());
  std::vector<double> observation(39);
  const std::vector<float> action = {0.5f, 0.5f, -1, 1};
  REQUIRE(push->Reset({}, 0, observation).ok());
  REQUIRE(push->Step(action, observation).ok());
  const std::string want = *push->SaveState();
  for (double speed : {1e12, 1e300}) {
    push->simulation().data()->qvel[3] = speed;
    push->simulation().Touch();
    const auto outcome = push->Step(action, observation);
    CHECK(outcome.status().code() == absl::StatusCode::kOutOfRange);
    CHECK(push->Step(action, observation).status().code() == absl::StatusCode::kFailedPrecondition);
    REQUIRE(push->Reset({}, 0, observation).ok());
    REQUIRE(push->Step(action, observation).ok());
    CHECK(*push->SaveState() == want);
  }
}

TEST_CASE("metaworld: a step allocates nothing", "[unit]") {
  for (const char* name : {"reach-v3", "push-v3", "door-close-v3", "button-press-v3"}) {
    INFO(name);
    const auto environment = Make(name);
    const RandomStream random{.seed = 4, .purpose = Purpose::kTasks};
    REQUIRE(environment->SetTask(DrawTask(*FindEnvironment(name), {}, random, 0)).ok());
    std::vector<double> observation(39);
    REQUIRE(environment->Reset({}, 0, observation).ok());
    const std::array<float, 4> action = {0.2f, 0.5f, -0.6f, 0.7f};
    REQUIRE(environment->Step(action, observation).ok());
    const long before = allocations;
    bool ok = true;
    for (int t = 0; t < 100; ++t) ok = environment->Step(action, observation).ok() && ok;
    const long made = allocations - before;
    CHECK(made == 0);
    CHECK(ok);
  }
  const long before = allocations;
  const std::vector<double> numbers(static_cast<size_t>(before));
  const long made = allocations - before;
  CHECK(made == 1);  // The counter counts.
}

}  // namespace
}  // namespace mentor::envs::metaworld
