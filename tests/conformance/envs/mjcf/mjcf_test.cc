// The conformance suite over bundles: small ones that use every part of a task, and the examples.
#include "tests/bundles.h"
#include "tests/conformance/envs/wrapper_variants.h"

namespace mentor::envs::testing::TEST_FILE {

using mentor::testing::BundleFolder;
using mentor::testing::ExampleBundle;
using mentor::testing::kCartTask;
using mentor::testing::Replaced;

Variant Of(const std::string& bundle, const std::vector<v1::WrapperSpec>& wrappers = {}) {
  return {FindEnvironment("mjcf"), mentor::testing::Options({{"bundle", bundle}}),
          WrapperList(wrappers.begin(), wrappers.end())};
}

// Every part that keeps a state: settling, noise before and after, late observations, remembered
// values, a mocap body that follows, an early end, physics, a held joint.
std::string RichTask() {
  std::string task = Replaced(
      kCartTask, "action { actuator { name: \"push\" } }",
      "action { mocap { body: \"hand\" scale: 0.05 follow: \"ball\" orientation: [1, 0, 0, 0] } "
      "actuator { name: \"push\" gain: 2 relative: true } ignored: 1 }");
  task = Replaced(task, "reset {",
                  "parameter { name: \"m\" low: 0.5 high: 2 mass: \"cart\" }\n"
                  "parameter { name: \"r\" low: 0.03 high: 0.08 size: \"ball\" }\n"
                  "reset { settle_steps: 20 condition: \"abs(rail) > 0.02\" noise { body: \"ball\" "
                  "low: -0.05 high: 0.05 } noise { qpos: \"ball\" low: 0 high: 0.1 after_settling: "
                  "true }");
  return task +
         "value { name: \"start\" expression: \"ball\" at: RESET }"
         "observation { expression: \"ball - start\" }"
         "observation { position: \"tip\" previous: true low: -1 high: 1 }"
         "observation { orientation: \"pole_body\" }"
         "observation { expression: \"[ball_body.vx, ball_body.wz, contact(ball, floor), "
         "force(pressed)]\" }"
         "quantity { name: \"pole_body\" body: \"pole\" } quantity { name: \"ball\" joint: "
         "\"ball\" }"
         "quantity { name: \"ball_body\" body: \"ball\" }"
         "terminated: \"abs(rail) > 0.95 || time > 0.7\"";
}

void CheckAll(const Variant& variant) {
  const Subject subject = variant.AsSubject();
  Kept(variant, CheckShapes(subject));
  Kept(variant, CheckSameBits(subject));
  Kept(variant, CheckSavedStates(subject));
  Kept(variant, CheckBadCalls(subject));
  const auto stranger = BundleFolder::Cart(Replaced(kCartTask, "frame_skip: 2", "frame_skip: 3"));
  Kept(variant, CheckBadStates(subject, {Of(stranger.Offer(),
                                            std::vector<v1::WrapperSpec>(variant.wrappers.begin(),
                                                                         variant.wrappers.end()))
                                             .AsSubject()}));
  Kept(variant, CheckManySteps(subject, 1000).complaints);
}

TEST_CASE("mjcf: bundles keep the promises of every environment", "[conformance]") {
  const auto plain = BundleFolder::Cart();
  CheckAll(Of(plain.Offer()));
  const auto rich = BundleFolder::Cart(RichTask());
  const Variant variant = Of(rich.Offer());
  CHECK_FALSE(variant.Make()->info().independent_episodes);
  CheckAll(variant);
  // Numbers of the simulator's last step, as in Gymnasium.
  const auto late = BundleFolder::Cart(Replaced(kCartTask, "frame_skip: 2", "forward: false"));
  CheckAll(Of(late.Offer()));
}

TEST_CASE("mjcf: bundles in wrappers keep them, too", "[conformance]") {
  const auto folder = BundleFolder::Cart(RichTask());
  const std::string bundle = folder.Offer();
  int wrapped = 0;
  for (const WrapperEntry* entry : Wrappers()) {
    for (const v1::WrapperSpec& wrapper : Examples(*entry)) {
      const Variant variant = Of(bundle, {wrapper});
      if (!variant.AsSubject().make().ok()) continue;
      CheckAll(variant);
      ++wrapped;
    }
  }
  CHECK(wrapped >= 8);
}

TEST_CASE("mjcf: the examples keep them", "[conformance]") {
  for (const char* name : {"reacher", "inverted_pendulum", "reach", "fetch_reach", "fetch_push"}) {
    const ExampleBundle example(name);
    if (!example.there()) {
      WARN("skipped: " << example.why());
      continue;
    }
    const Variant variant = Of(example.Offer());
    Kept(variant, CheckShapes(variant.AsSubject()));
    Kept(variant, CheckSameBits(variant.AsSubject()));
    Kept(variant, CheckSavedStates(variant.AsSubject()));
    Kept(variant, CheckBadCalls(variant.AsSubject()));
    Kept(variant, CheckBadStates(variant.AsSubject(), {}));
  }
}

}  // namespace mentor::envs::testing::TEST_FILE
