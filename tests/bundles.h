// Bundles with models, for tests of environment mjcf.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>

#include "common/bundle_finder.h"
#include "envs/environment.h"
#include "tests/paths.h"
#include "tests/specs.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::testing {

// A cart on a rail and a ball that falls: hinges, free bodies, sites, sensors, a mocap body.
inline constexpr char kCartModel[] = R"(
<mujoco>
  <option timestep="0.01"/>
  <worldbody>
    <geom name="floor" type="plane" size="3 3 .1"/>
    <body name="cart" pos="0 0 .3">
      <joint name="rail" type="slide" axis="1 0 0" limited="true" range="-1 1" damping="0.5"/>
      <geom name="cart" type="box" size=".1 .1 .1" mass="1"/>
      <site name="force" pos="0 0 0" size=".2"/>
      <body name="pole" pos="0 0 .1">
        <joint name="hinge" type="hinge" axis="0 1 0" damping="0.1"/>
        <geom name="pole" type="capsule" fromto="0 0 0 0 0 .5" size=".02" mass=".2"/>
        <site name="robot:tip" pos="0 0 .5"/>
      </body>
    </body>
    <body name="ball" pos=".6 0 .5">
      <freejoint name="ball"/>
      <geom name="ball" type="sphere" size=".05" mass=".1"/>
      <site name="touch" size=".06"/>
    </body>
    <body name="hand" mocap="true" pos="0 .5 .5">
      <geom name="hand" type="sphere" size=".02" contype="0" conaffinity="0"/>
    </body>
    <site name="goal" pos=".5 0 .5"/>
  </worldbody>
  <actuator><motor name="push" joint="rail" ctrllimited="true" ctrlrange="-2 4"/></actuator>
  <sensor>
    <touch name="pressed" site="touch"/>
    <framepos name="place" objtype="body" objname="ball"/>
    <jointpos name="along" joint="rail"/>
  </sensor>
  <keyframe><key name="left" qpos="-.5 0 .6 0 .5 1 0 0 0"/></keyframe>
</mujoco>
)";

inline constexpr char kCartTask[] = R"task(
model: "cart.xml"
summary: "Bring the tip to the goal."
frame_skip: 2
episode_steps: 40
quantity { name: "tip" site: "robot:tip" }
observation { qpos: "rail" }
observation { qvel: "rail" }
observation { expression: "tip - target" }
action { actuator { name: "push" } }
parameter { name: "target" low: [0.3, 0, 0.4] high: [0.6, 0, 0.6] site: "goal" }
reset {
  noise { qpos: "rail" low: -0.2 high: 0.2 }
  noise { qvel: "hinge" low: -0.1 high: 0.1 normal: true }
}
reward { name: "near" expression: "exp(-dist(tip, target))" }
reward { name: "effort" expression: "action[0]^2" weight: -0.01 }
success: "dist(tip, target) < 0.1"
)task";

using Files = std::map<std::string, std::string>;  // Text by path.

// A folder of files, for one test case.
class BundleFolder {
 public:
  explicit BundleFolder(const Files& files) {
    for (const auto& [path, text] : files) Write(path, text);
  }
  // The cart, with other text for its task.
  static BundleFolder Cart(const std::string& task = kCartTask) {
    return BundleFolder({{"cart.xml", kCartModel}, {"task.txtpb", task}});
  }

  void Write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories((root() / path).parent_path());
    std::ofstream(root() / path, std::ios::binary) << text;
  }
  std::filesystem::path root() const { return folder_->path() / "bundle"; }

  // The name by which the bundle is found from now on.
  std::string Offer() const {
    const auto manifest = OfferFolder(root());
    INFO(manifest.status().ToString());
    REQUIRE(manifest.ok());
    return BundleName(manifest->digest);
  }
  absl::StatusOr<std::unique_ptr<envs::Environment>> Make() const {
    return envs::MakeEnvironment("mjcf", Options({{"bundle", Offer()}}));
  }
  // Why it is no environment.
  std::string Refusal() const {
    const auto made = Make();
    REQUIRE_FALSE(made.ok());
    CHECK(made.status().code() == absl::StatusCode::kInvalidArgument);
    return std::string(made.status().message());
  }

 private:
  std::unique_ptr<TempFolder> folder_ = std::make_unique<TempFolder>();
};

// Returns the text with its only `from` replaced.
inline std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  INFO(from);
  REQUIRE(at != text.npos);
  return text.replace(at, from.size(), to);
}

// Assembles an example of deploy/bundles. Empty, with the reason, if a wheel that it needs is not
// installed.
class ExampleBundle {
 public:
  explicit ExampleBundle(const std::string& name) : out_(folder_.path() / name) {
    const std::string log = folder_.path() / "log";
    const std::string script = SourcePath("deploy/bundles/assemble.py");
    INFO(script);
    REQUIRE(std::filesystem::exists(script));
    const std::string command = script + " " + name + " " + out_.string() + " > " + log + " 2>&1";
    there_ = std::system(command.c_str()) == 0;
    std::getline(std::ifstream(log), why_);
  }
  bool there() const { return there_; }
  const std::string& why() const { return why_; }
  const std::filesystem::path& folder() const { return out_; }

  std::string Offer() const {
    const auto manifest = OfferFolder(out_);
    INFO(manifest.status().ToString());
    REQUIRE(manifest.ok());
    return BundleName(manifest->digest);
  }

 private:
  TempFolder folder_;
  std::filesystem::path out_;
  bool there_ = false;
  std::string why_;
};

}  // namespace mentor::testing
