// The errors of a bundle's task, all at once, and the behaviour of its parts.
#include <algorithm>
#include <cmath>
#include <set>

#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>
#include <google/protobuf/text_format.h>

#include "common/pause_point.h"
#include "envs/benchmark.h"
#include "envs/mujoco_environment.h"
#include "tests/bundles.h"
#include "tests/environments.h"
#include "tests/text.h"

namespace mentor::envs::TEST_FILE {

using mentor::testing::Act;
using mentor::testing::BundleFolder;
using mentor::testing::Contains;
using mentor::testing::Files;
using mentor::testing::kCartModel;
using mentor::testing::kCartTask;
using mentor::testing::Near;
using mentor::testing::Options;
using mentor::testing::Replaced;
using mentor::testing::Task;

// The environment of the cart with this change to its task.
std::unique_ptr<Environment> Make(const std::string& task) {
  auto made = BundleFolder::Cart(task).Make();
  INFO(made.status().ToString());
  REQUIRE(made.ok());
  return *std::move(made);
}

std::string RefusalOf(const std::string& task) {
  return BundleFolder::Cart(task).Refusal();
}

const std::vector<double> kTarget = {0.5, 0, 0.5};

std::vector<double> ResetOf(Environment& environment, uint32_t episode = 0,
                            const std::vector<double>& parameters = kTarget) {
  std::vector<double> observation(environment.info().observation_size);
  REQUIRE(environment.SetTask(Task("mjcf", parameters)).ok());
  const absl::Status status =
      environment.Reset({.purpose = Purpose::kEnvironmentReset}, episode, observation);
  INFO(status.ToString());
  REQUIRE(status.ok());
  return observation;
}

mjData* Data(Environment& environment) {
  return dynamic_cast<MuJoCoEnvironment&>(environment).simulation().data();
}
const mjModel* Model(Environment& environment) {
  return dynamic_cast<MuJoCoEnvironment&>(environment).simulation().model();
}

TEST_CASE("mjcf: a bundle is an environment with the sizes that its task says", "[unit]") {
  const auto environment = Make(kCartTask);
  const EnvironmentInfo& info = environment->info();
  CHECK(info.name == "mjcf");
  CHECK(info.summary == "Bring the tip to the goal.");
  CHECK(info.observation_size == 5);
  CHECK(info.action_size == 1);
  CHECK(info.episode_steps == 40);
  CHECK(info.independent_episodes);
  CHECK(environment->InfoKeys() == std::vector<std::string>{"near", "effort"});

  std::vector<double> seen = ResetOf(*environment);
  CHECK(std::abs(seen[0]) <= 0.2);
  CHECK(seen[0] != 0);
  mjData* d = Data(*environment);
  CHECK(seen[0] == d->qpos[0]);
  const int tip = mj_name2id(Model(*environment), mjOBJ_SITE, "robot:tip");
  for (int i = 0; i < 3; ++i) CHECK(seen[2 + i] == d->site_xpos[3 * tip + i] - kTarget[i]);
  // The parameter is where it is written.
  const int goal = mj_name2id(Model(*environment), mjOBJ_SITE, "goal");
  for (int i = 0; i < 3; ++i) CHECK(d->site_xpos[3 * goal + i] == kTarget[i]);

  const StepOutcome outcome = Act(*environment, {0.5f}, &seen);
  CHECK(d->ctrl[0] == -2 + 0.75 * 6);  // 0.5 of [-1, 1] is 2.5 of [-2, 4].
  CHECK(Near(d->time, 0.02, {.abs = 1e-12}));
  double distance = 0;
  for (int i = 0; i < 3; ++i) distance += std::pow(d->site_xpos[3 * tip + i] - kTarget[i], 2);
  distance = std::sqrt(distance);
  CHECK(environment->Info() == std::vector<double>{std::exp(-distance), 0.25});
  CHECK(outcome.reward == std::exp(-distance) + -0.01 * 0.25);
  CHECK(outcome.success == (distance < 0.1));
}

TEST_CASE("mjcf: everything that is wrong with a task is said at once", "[unit]") {
  const std::string all = RefusalOf(R"task(
    model: "cart.xml"
    frame_skip: 0
    keyframe: "right"
    quantity { name: "a tip" site: "tipp" }
    quantity { name: "time" body: "ball" joint: "ball" }
    value { name: "v" expression: "norm(hinge - 3" }
    value { name: "v" expression: "rail.w" } value { expression: "1" }
    observation { qpos: "raill" }
    observation { }
    observation { expression: "hinge + ball" low: 0 }
    observation { expression: "cart" }
    observation { parameter: "gaol" }
    action { low: 1 high: 1 actuator { name: "pusch" } mocap { body: "ball" scale: [1, 2] } }
    parameter { name: "goal" low: [0, 1] high: [1, 0] site: "goal" joint: "rail" }
    parameter { name: "light" low: 0 high: 1 mass: "cart" }
    parameter { name: "long" low: [0, 0] high: [1, 1] joint: "hinge" }
    parameter_condition: "time > 1"
    reset {
      noise { qpos: "rail" low: [0, 0] high: [1, 1] }
      noise { low: 0 high: 1 }
      control: [1, 2]
      condition: "tip"
    }
    hold { joint: "ball" }
    reward { name: "r" expression: "dist(tip, gaol)" }
    reward { name: "s" expression: "goal" }
    success: "1 +"
    terminated: "nothing > 0"
    unknown: 1
  )task");
  const std::vector<std::string> lines = absl::StrSplit(all, '\n');
  const auto says = [&lines](const std::string& field, const std::string& what) {
    return std::any_of(lines.begin(), lines.end(), [&](const std::string& line) {
      return line.starts_with(field + ": ") && Contains(line, what);
    });
  };
  INFO(all);
  CHECK(says("line 30, column 5", "MjcfTask has no field 'unknown'"));
  CHECK(says("frame_skip", "is 0; give an integer from 1 to 1000"));
  CHECK(says("episode_steps", "is missing"));
  CHECK(says("keyframe", "known: left"));
  CHECK(says("quantity[0].name", "is 'a tip'; give a word of letters, digits and '_'"));
  CHECK(says("quantity[0].site", "known: goal, force, robot:tip, touch"));
  CHECK(says("quantity[1].name", "which has a meaning already"));
  CHECK(says("quantity[1]", "has body and joint; give one of them"));
  CHECK(says("value[0].expression", "column 15: ')' is missing"));
  CHECK(says("value[1].name", "which is there already"));
  CHECK_FALSE(says("value[2].name", "is ''"));  // Its absence is said elsewhere.
  CHECK(says("value[1].expression", "column 1: joint 'rail' has no component 'w'; there are q, v"));
  CHECK(says("observation[0].qpos", "did you mean 'rail'"));
  CHECK(says("observation[1]", "says nothing; give one of"));
  CHECK(says("observation[2].high", "has 0 numbers, low has 1"));
  CHECK(says("observation[3].expression", "'cart' is a body and a geom; say which one"));
  CHECK(says("observation[4].parameter", "did you mean 'goal'?"));
  CHECK(says("action.low", "is 1, high is 1; give low < high"));
  CHECK(says("action.actuator[0].name", "did you mean 'push'?"));
  CHECK(says("action.mocap.body", "which has no mocap=\"true\""));
  CHECK(says("action.mocap.scale", "has 2 numbers; give 1 or 3"));
  CHECK(says("parameter[0]", "has site and joint; give one of them"));
  CHECK(says("parameter[0].low[1]", "is 1, greater than high[1], 0"));
  CHECK(says("parameter[1].low", "is 0; give numbers above 0"));
  CHECK(says("parameter[2].joint", "has 1 positions, but low has 2 numbers"));
  CHECK(says("parameter_condition", "names what is no parameter"));
  CHECK(says("reset.noise[0].low", "has 2 numbers, but there are 1 components"));
  CHECK(says("reset.noise[1]", "says nothing; give one of qpos, qvel, body"));
  CHECK(says("reset.control", "has 2 numbers, the model 1 actuators"));
  CHECK(says("reset.condition", "unknown name 'tip'"));
  CHECK(says("hold[0].joint", "which is no hinge or slide joint"));
  CHECK(says("reward[0].expression", "unknown name 'tip'"));
  CHECK(says("reward[1].expression", "is a vector of 2 components; give a number"));
  CHECK(says("success", "ends where a number or a name must follow"));
  CHECK(says("terminated", "unknown name 'nothing'"));
}

TEST_CASE("mjcf: a text that cannot be read to its end says nothing of what it lacks", "[unit]") {
  const std::string broken = RefusalOf(Replaced(kCartTask, "frame_skip: 2", "frame_skip: two"));
  CHECK(Contains(broken, "line 4, column 13: frame_skip is two; give an integer from 1 to 1000"));
  CHECK_FALSE(Contains(broken, "is missing"));
  // A valid task with the traces of editors.
  CHECK(Make("\xef\xbb\xbf" + std::string(kCartTask) + "# na\xc3\xafve\n"));
  std::string other_ends;
  for (const char c : std::string(kCartTask)) other_ends += c == '\n' ? "\r\n" : std::string(1, c);
  CHECK(Make(other_ends)->info().observation_size == 5);
}

TEST_CASE("mjcf: counts beyond their bounds and half bounds are refused like all else", "[unit]") {
  const auto refusal = [](const std::string& from, const std::string& to) {
    return RefusalOf(Replaced(kCartTask, from, to));
  };
  CHECK(Contains(refusal("{ qpos: \"rail\" }", "{ qpos: \"rail\" low: -1 }"),
                 "observation[0].high: has 0 numbers, low has 1; give as many"));
  CHECK(Contains(refusal("{ qpos: \"rail\" }", "{ zeros: 4000000000 }"),
                 "observation[0].zeros: is 4000000000; give an integer from 1 to 1000"));
  CHECK(Contains(refusal("action {", "action { ignored: 2000000000"),
                 "action.ignored: is 2000000000"));
  CHECK(Contains(refusal("name: \"push\"", "name: \"push\" number: 2000000000"),
                 "action.actuator[0].number: is 2000000000"));
  CHECK(Contains(refusal("name: \"push\"", "index: 4294967295"),
                 "action.actuator[0].index: is 4294967295"));
  CHECK(Contains(refusal("low: -0.1 high: 0.1 normal", "low: 0.1 high: -0.1 normal"),
                 "reset.noise[1].high[0]: is -0.1, a standard deviation"));
  std::string zeros;
  for (int i = 0; i < 11; ++i) zeros += "observation { zeros: 1000 }\n";
  CHECK(Contains(RefusalOf(kCartTask + zeros), "observation: has more than 10000 numbers"));
}

TEST_CASE("mjcf: what a bundle lacks is said", "[unit]") {
  CHECK(Contains(BundleFolder(Files{{"cart.xml", kCartModel}}).Refusal(), "has no task.txtpb"));
  CHECK(
      Contains(RefusalOf(Replaced(kCartTask, "cart.xml", "kart.xml")),
               "model: is 'kart.xml', but the bundle has no such file; did you mean 'cart.xml'?"));
  CHECK(Contains(RefusalOf("model: \"cart.xml\" episode_steps: 3"), "observation: is missing"));
  const auto other =
      MakeEnvironment("mjcf", Options({{"bundle", "sha256:" + std::string(64, '0')}}));
  CHECK_FALSE(other.ok());
  CHECK_FALSE(MakeEnvironment("mjcf", {}).ok());
  CHECK(Contains(MakeEnvironment("mjcf", Options({{"bundle", "cart"}})).status(), "bundle"));
}

TEST_CASE("mjcf: tasks are drawn from their ranges and meet the condition", "[unit]") {
  const auto folder = BundleFolder::Cart(std::string(kCartTask) +
                                         "parameter_condition: \"target.x + target.z < 0.9\"");
  const auto options = Options({{"bundle", folder.Offer()}});
  const EnvironmentEntry& entry = *FindEnvironment("mjcf");
  Violations none;
  const OptionValues values = OptionValues::Parse(entry.options, options, "", &none);
  REQUIRE(none.empty());
  const auto environment = MakeEnvironment("mjcf", options).value();
  std::set<double> different;
  for (uint32_t i = 0; i < 100; ++i) {
    const v1::EnvironmentTask task =
        DrawTask(entry, values, {.seed = 3, .purpose = Purpose::kTasks}, i);
    REQUIRE(task.parameters_size() == 3);
    CHECK((task.parameters(0) >= 0.3 && task.parameters(0) <= 0.6));
    CHECK(task.parameters(1) == 0);
    CHECK(task.parameters(0) + task.parameters(2) < 0.9);
    CHECK(environment->SetTask(task).ok());
    different.insert(task.parameters(0));
  }
  CHECK(different.size() > 90);
  CHECK(Contains(environment->SetTask(Task("mjcf", {0.6, 0, 0.6})), "parameter_condition"));
  CHECK(Contains(environment->SetTask(Task("mjcf", {0.2, 0, 0.5})),
                 "task.parameters[0] (target) is 0.2; give a number from 0.3 to 0.6"));
  CHECK(Contains(RefusalOf(std::string(kCartTask) + "parameter_condition: \"target.x > 1\""),
                 "parameter_condition: is met by none of 10000 draws"));
}

// Returns the error of a set of tasks from a bundle, with a limit on the time for draws.
std::string DrawnComplaint(const std::string& bundle, const std::string& set, double cpu_seconds) {
  v1::BenchmarkSpec spec;
  spec.set_name("custom");
  REQUIRE(google::protobuf::TextFormat::ParseFromString(set, spec.add_task_set()));
  spec.mutable_task_set(0)->set_environment("mjcf");
  *spec.mutable_task_set(0)->mutable_option() = Options({{"bundle", bundle}});
  BoundedTurn turn({.cpu_seconds = cpu_seconds, .remedy = "give fewer"});
  const TurnScope scope(&turn);
  Violations violations;
  CHECK(MakeBenchmark(spec, &violations) == nullptr);
  REQUIRE(violations.list().size() == 1);
  return violations.list()[0].field + ": " + violations.list()[0].description;
}

// The cart with a fourth number in its tasks, u from 0 to 1, that meets a condition.
BundleFolder CartWithCondition(const std::string& condition) {
  return BundleFolder::Cart(std::string(kCartTask) +
                            "parameter { name: \"u\" low: 0 high: 1 }\nparameter_condition: \"" +
                            condition + "\"");
}

TEST_CASE("mjcf: a list of tasks that are hard to draw ends in its time", "[unit]") {
  const auto folder = CartWithCondition("u < 0.002");
  const std::string bundle = folder.Offer();
  REQUIRE(MakeEnvironment("mjcf", Options({{"bundle", bundle}})).ok());  // Compiled before.
  CHECK(DrawnComplaint(bundle, "goals: 10000", /*cpu_seconds=*/0.2) ==
        "benchmark.task_set[0].goals: takes more than 0.2 s of processor time; give fewer");
}

TEST_CASE("mjcf: a condition that accepts the probes of ranges alone is found out", "[unit]") {
  std::string condition = "u <= 0 || u >= 1";
  const auto accept = [&](double u) {
    condition += absl::StrFormat(" || abs(u - %.17g) < 1e-12", u);
  };
  // The draws with which a bundle and a set of tasks are checked, and ten of the thousand probes.
  accept(RandomStream{.purpose = Purpose::kTasks}.Uniform(0, 3));
  accept(RandomStream{}.Uniform(0, 3));
  const RandomStream probes{.purpose = Purpose::kTasks, .lifetime = ~uint32_t{0}};
  for (uint32_t i = 0; i < 1000; i += 100) accept(probes.Uniform(i, 3));
  const auto folder = CartWithCondition(condition);
  CHECK(DrawnComplaint(folder.Offer(),
                       "goals: 5 range { low: 0.3 high: 0.6 } range { low: 0 high: 0 } "
                       "range { low: 0.4 high: 0.6 } range { low: 0 high: 1 }",
                       /*cpu_seconds=*/0) ==
        "benchmark.task_set[0].range: all of 10000 tasks drawn from it for goal 0 are refused; "
        "give ranges of which less is refused");
}

TEST_CASE("mjcf: a hidden goal is shown by the task alone", "[unit]") {
  const std::string hidden =
      Replaced(kCartTask, "site: \"goal\" }", "site: \"goal\" goal_hidden: true }");
  CHECK(Contains(RefusalOf(hidden),
                 "observation[2].expression: depends on a parameter with "
                 "goal_hidden"));
  const std::string shown =
      Replaced(hidden, "expression: \"tip - target\"", "parameter: \"target\"");
  const auto environment = Make(shown);
  CHECK(ResetOf(*environment)[2] == 0);
  REQUIRE(environment->SetTask(Task("mjcf", kTarget, /*goal_visible=*/true)).ok());
  std::vector<double> seen(environment->info().observation_size);
  REQUIRE(environment->Reset({}, 0, seen).ok());
  CHECK(std::vector<double>(seen.begin() + 2, seen.end()) == kTarget);
  CHECK(Contains(Make(kCartTask)->SetTask(Task("mjcf", kTarget, true)), "hides no parameter"));
  // Not by detours.
  CHECK(Contains(RefusalOf(Replaced(shown, "parameter: \"target\"", "position: \"goal\"")),
                 "observation[2]: shows where parameter 'target' is written"));
  CHECK(Contains(RefusalOf(Replaced(shown, "parameter: \"target\"", "expression: \"way\"") +
                           "value { name: \"way\" expression: \"tip - target\" }"),
                 "observation[2].expression: depends on a parameter with goal_hidden"));
  CHECK(Contains(RefusalOf(Replaced(shown, "parameter: \"target\"", "expression: \"tip - goal\"")),
                 "observation[2].expression: depends on a parameter with goal_hidden"));
  const std::string held = Replaced(shown, "site: \"goal\"", "mocap: \"hand\"") +
                           "quantity { name: \"held\" body: \"hand\" }";
  CHECK(Contains(RefusalOf(Replaced(held, "{ parameter: \"target\"", "{ position: \"held\"")),
                 "observation[2]: shows where parameter 'target' is written"));
}

TEST_CASE("mjcf: ranges and actions that run over are refused", "[unit]") {
  CHECK(
      Contains(RefusalOf(Replaced(kCartTask, "reset {",
                                  "parameter { name: \"wide\" low: -1e308 high: 1e308 }\nreset {")),
               "parameter[1].low[0]: is -1e+308, too far below high[0], 1e+308"));
  CHECK(Contains(RefusalOf(Replaced(kCartTask, "action {", "action { high: 1e300")),
                 "action.high: is 1e+300; give a number within 1e+30"));
  CHECK(Contains(RefusalOf(Replaced(kCartTask, "name: \"push\"", "name: \"push\" gain: 1e308")),
                 "action.actuator[0].gain: is 1e+308; give a number within 1e+30"));
}

TEST_CASE("mjcf: two parameters for one place are refused", "[unit]") {
  const std::string twice = Replaced(kCartTask, "reset {",
                                     "parameter { name: \"m\" low: 1 high: 2 mass: \"cart\" }\n"
                                     "parameter { name: \"n\" low: 1 high: 2 mass: \"cart\" }\n"
                                     "reset {");
  CHECK(Contains(RefusalOf(twice),
                 "parameter[2].mass: is 'cart', where parameter 'm' is written already"));
}

TEST_CASE("mjcf: many expressions are a program, and too many are refused", "[unit]") {
  const auto shows = [](int count, const std::string& expression) {
    std::string all;
    for (int i = 0; i < count; ++i) all += "observation { expression: \"" + expression + "\" }\n";
    return kCartTask + all;
  };
  const auto environment = Make(shows(2000, "2 * rail + 0 * hinge"));
  const std::vector<double> seen = ResetOf(*environment);
  REQUIRE(seen.size() > 2000);
  CHECK(seen.back() == 2 * seen[0]);
  std::string vector = "rail";
  for (int i = 0; i < 200; ++i) vector += ", rail";
  const std::string value = "value { name: \"v\" expression: \"[" + vector + "]\" }";
  CHECK(Contains(RefusalOf(shows(8, "v * norm(v)") + value), "longer than 1000000 bytes"));
}

TEST_CASE("mjcf: files that changed since they were verified make no environment", "[unit]") {
  const auto folder = BundleFolder::Cart(std::string(kCartTask) + "# Changed soon.\n");
  const std::string name = folder.Offer();
  std::ofstream(folder.root() / "task.txtpb", std::ios::app) << "terminated: \"rail > 0\"\n";
  const auto made = MakeEnvironment("mjcf", Options({{"bundle", name}}));
  CHECK(absl::IsUnavailable(made.status()));
  CHECK(Contains(made.status(), "was changed while it was read"));
}

TEST_CASE("mjcf: parameters are written to the model's fields, and nowhere else", "[unit]") {
  const auto environment =
      Make(Replaced(kCartTask, "reset {",
                    "parameter { name: \"m\" low: 0.5 high: 2 mass: \"cart\" }\n"
                    "parameter { name: \"f\" low: 0.1 high: 2 friction: \"floor\" }\n"
                    "parameter { name: \"s\" low: 0.01 high: 0.1 size: \"ball\" }\n"
                    "parameter { name: \"d\" low: 0.1 high: 1 damping: \"rail\" }\n"
                    "parameter { name: \"b\" low: [-1, 0] high: [1, 0] body: \"cart\" }\n"
                    "parameter { name: \"j\" low: [0, 0, 1] high: [1, 1, 2] joint: \"ball\" }\n"
                    "parameter { name: \"h\" low: [0, 0, 0] high: [1, 1, 1] mocap: \"hand\" }\n"
                    "reset {"));
  const std::vector<double> nominal = {0.5, 0,    0.5, 1, 1, 0.05, 0.5, 0,
                                       0,   0.25, 0.5, 1, 0, 0.5,  0.5};
  const std::vector<double> other = {0.5, 0, 0.5, 2, 0.5, 0.1, 1, 0.25, 0, 0.75, 0.25, 2, 1, 1, 1};
  ResetOf(*environment, 0, nominal);
  const mjModel* m = Model(*environment);
  mjData* d = Data(*environment);
  const int cart = mj_name2id(m, mjOBJ_BODY, "cart"), ball = mj_name2id(m, mjOBJ_GEOM, "ball"),
            floor = mj_name2id(m, mjOBJ_GEOM, "floor");
  const double inertia = m->body_inertia[3 * cart], torsion = m->geom_friction[3 * floor + 1],
               bound = m->geom_rbound[ball];
  CHECK(m->body_mass[cart] == 1);
  ResetOf(*environment, 0, other);
  CHECK(m->body_mass[cart] == 2);
  CHECK(m->body_inertia[3 * cart] == 2 * inertia);
  CHECK(m->geom_friction[3 * floor] == 0.5);
  CHECK(m->geom_friction[3 * floor + 1] == 0.5 * torsion);
  CHECK(m->geom_size[3 * ball] == 0.1);
  CHECK(Near(m->geom_rbound[ball], 2 * bound, {.abs = 1e-12}));
  CHECK(m->dof_damping[0] == 1);
  CHECK(m->body_pos[3 * cart] == 0.25);
  CHECK(m->body_pos[3 * cart + 2] == 0.3);  // The model's own value.
  CHECK(std::vector<double>(d->qpos + 2, d->qpos + 5) == std::vector<double>{0.75, 0.25, 2});
  CHECK(std::vector<double>(d->mocap_pos, d->mocap_pos + 3) == std::vector<double>{1, 1, 1});
  // Back again without a trace.
  ResetOf(*environment, 0, nominal);
  CHECK(m->body_mass[cart] == 1);
  CHECK(m->geom_size[3 * ball] == 0.05);
  CHECK(m->dof_damping[0] == 0.5);
  CHECK(m->body_pos[3 * cart] == 0);
}

TEST_CASE("mjcf: noise is drawn by the key until the condition is met", "[unit]") {
  const auto environment = Make(Replaced(kCartTask, "reset {",
                                         "reset { condition: \"rail > 0.1\" noise { body: \"ball\" "
                                         "low: [0, -0.1, 0] high: [0, 0.1, 0] }"));
  std::set<double> rails;
  const int ball = mj_name2id(Model(*environment), mjOBJ_BODY, "ball");
  for (uint32_t episode = 0; episode < 50; ++episode) {
    const std::vector<double> seen = ResetOf(*environment, episode);
    CHECK(seen[0] > 0.1);
    CHECK(seen[0] <= 0.2);
    rails.insert(seen[0]);
    CHECK(std::abs(Model(*environment)->body_pos[3 * ball + 1]) <= 0.1);
    CHECK(Model(*environment)->body_pos[3 * ball] == 0.6);
  }
  CHECK(rails.size() == 50);
  CHECK(ResetOf(*environment, 7) == ResetOf(*environment, 7));

  const auto never = Make(Replaced(kCartTask, "reset {", "reset { condition: \"rail > 0.3\""));
  REQUIRE(never->SetTask(Task("mjcf", kTarget)).ok());
  std::vector<double> seen(never->info().observation_size);
  const absl::Status status = never->Reset({}, 0, seen);
  CHECK(status.code() == absl::StatusCode::kFailedPrecondition);
  CHECK(Contains(status, "met by none of 100 draws"));
}

TEST_CASE("mjcf: episodes begin at a keyframe, settled, and after it what is written then",
          "[unit]") {
  const auto keyed = Make(Replaced(kCartTask, "frame_skip: 2", "frame_skip: 2 keyframe: \"left\""));
  CHECK(std::abs(ResetOf(*keyed)[0] + 0.5) <= 0.2);

  // The ball falls while it settles; the cart is put somewhere afterwards.
  const auto settled = Make(
      Replaced(Replaced(kCartTask, "reset {", "reset { settle_steps: 300 control: 1"),
               "noise { qpos: \"rail\" low: -0.2 high: 0.2 }",
               "noise { qpos: \"rail\" low: 0.3 high: 0.3 replace: true after_settling: true }"));
  CHECK(ResetOf(*settled)[0] == 0.3);
  const mjData* d = Data(*settled);
  CHECK(Near(d->time, 3.0, {.abs = 1e-12}));
  CHECK(d->qpos[4] < 0.06);  // On the floor.
  CHECK(d->ctrl[0] == 1);
}

TEST_CASE("mjcf: what settles without chance is remembered for its own task alone", "[unit]") {
  const auto environment = Make(
      Replaced(Replaced(Replaced(kCartTask, "reset {",
                                 "parameter { name: \"j\" low: [0, 0, 1] high: [1, 1, 2] joint: "
                                 "\"ball\" }\nreset { settle_steps: 20"),
                        "noise { qpos: \"rail\" low: -0.2 high: 0.2 }", ""),
               "noise { qvel: \"hinge\" low: -0.1 high: 0.1 normal: true }", ""));
  const mjData* d = Data(*environment);
  const auto ball = [&](double x, double z) {
    ResetOf(*environment, 0, {0.5, 0, 0.5, x, 0.5, z});
    return std::vector<double>(d->qpos + 2, d->qpos + 5);
  };
  const std::vector<double> one = ball(0.25, 1), other = ball(0.75, 2);
  CHECK(one[0] == 0.25);
  CHECK(Near(one[2], 0.79, {.abs = 0.01}));  // 0.2 s of fall.
  CHECK(other[0] == 0.75);
  CHECK(Near(other[2], 1.79, {.abs = 0.01}));
  CHECK(ball(0.25, 1) == one);
}

TEST_CASE("mjcf: a task without an expression for success is known to have none", "[unit]") {
  const auto with = BundleFolder::Cart();
  const auto without =
      BundleFolder::Cart(Replaced(kCartTask, "success: \"dist(tip, target) < 0.1\"", ""));
  const auto may_succeed = [](const std::string& bundle) {
    v1::EnvironmentTask task;
    task.set_environment("mjcf");
    *task.mutable_options() = Options({{"bundle", bundle}});
    return MaySucceed(task);
  };
  CHECK(may_succeed(with.Offer()));
  CHECK_FALSE(may_succeed(without.Offer()));
  CHECK(may_succeed("sha256:" + std::string(64, '0')));  // Unknown.
}

TEST_CASE("mjcf: a step says what went wrong in which expression", "[unit]") {
  const auto environment = Make(Replaced(kCartTask, "action[0]^2", "1 / (action[0] - 0.5)"));
  std::vector<double> seen = ResetOf(*environment);
  Act(*environment, {0.25f}, &seen);
  const auto outcome = environment->Step(std::vector<float>{0.5f}, seen);
  CHECK(outcome.status().code() == absl::StatusCode::kOutOfRange);
  CHECK(Contains(outcome.status(), "reward 'effort'"));
  CHECK(Contains(outcome.status(), "division by zero"));
  CHECK(Contains(outcome.status(), "step 2"));
  // The episode is over then, and the next one is good.
  CHECK(environment->Step(std::vector<float>{0.25f}, seen).status().code() ==
        absl::StatusCode::kFailedPrecondition);
  ResetOf(*environment);
  Act(*environment, {0.25f}, &seen);
}

TEST_CASE("mjcf: values remember the reset, observations the step before", "[unit]") {
  const auto environment = Make(Replaced(
      kCartTask, "observation { qvel: \"rail\" }",
      "observation { expression: \"rail - start\" } observation { qpos: \"rail\" previous: "
      "true } observation { expression: \"step\" } observation { sensor: \"along\" }"
      "value { name: \"start\" expression: \"rail\" at: RESET }"));
  std::vector<double> seen = ResetOf(*environment);
  const double start = seen[0];
  CHECK(seen[1] == 0);
  CHECK(seen[2] == start);
  double before = start;
  for (int t = 1; t <= 5; ++t) {
    Act(*environment, {1.0f}, &seen);
    CHECK(seen[1] == seen[0] - start);
    CHECK(seen[2] == before);
    CHECK(seen[3] == t);
    CHECK(seen[4] == seen[0]);
    before = seen[0];
  }
  CHECK(before > start);
}

TEST_CASE("mjcf: contacts, forces, speeds and orientations are MuJoCo's", "[unit]") {
  const auto environment = Make(Replaced(
      kCartTask, "observation { qvel: \"rail\" }",
      "observation { expression: \"contact(ball, floor)\" } observation { expression: "
      "\"force(pressed)\" } observation { expression: \"[tip.vx, tip.vy, tip.vz]\" } observation { "
      "orientation: \"pole\" } observation { expression: \"push.ctrl\" } observation { expression: "
      "\"pole.r11\" } quantity { name: \"pole\" body: \"pole\" }"));
  std::vector<double> seen = ResetOf(*environment);
  const mjModel* m = Model(*environment);
  const mjData* d = Data(*environment);
  CHECK(seen[1] == 0);
  CHECK(seen[2] == 0);
  for (int t = 0; t < 39; ++t) Act(*environment, {0.3f}, &seen);
  CHECK(seen[1] == 1);
  CHECK(seen[2] > 0.5);  // 0.1 kg.
  mjtNum velocity[6];
  const int tip = mj_name2id(m, mjOBJ_SITE, "robot:tip"), pole = mj_name2id(m, mjOBJ_BODY, "pole");
  mj_objectVelocity(m, d, mjOBJ_SITE, tip, velocity, 0);
  for (int i = 0; i < 3; ++i) CHECK(seen[3 + i] == velocity[3 + i]);
  CHECK(std::abs(seen[3]) > 1e-3);
  for (int i = 0; i < 4; ++i)
    CHECK(Near(std::abs(seen[6 + i]), std::abs(d->xquat[4 * pole + (i + 1) % 4]), {.abs = 1e-12}));
  CHECK(seen[10] == d->ctrl[0]);
  CHECK(seen[11] == d->xmat[9 * pole]);
}

TEST_CASE("mjcf: a mocap body moves within its box, gains and shared numbers set actuators",
          "[unit]") {
  const auto environment = Make(Replaced(
      kCartTask, "action { actuator { name: \"push\" } }",
      "action { mocap { body: \"hand\" scale: [0.1, 0.1, 1] low: [-1, 0, 0] high: [0.15, 1, "
      "1] start: [0, 0.5, 0.5] } actuator { name: \"push\" gain: -3 number: 0 } ignored: 2 "
      "}"));
  CHECK(environment->info().action_size == 5);
  std::vector<double> seen = ResetOf(*environment);
  const mjData* d = Data(*environment);
  for (int t = 0; t < 3; ++t) Act(*environment, {1.5f, -0.5f, 0.0f, 9.0f, 9.0f}, &seen);
  CHECK(d->mocap_pos[0] == 0.15);  // 0.3, clipped; actions count up to 1.
  CHECK(Near(d->mocap_pos[1], 0.35, {.abs = 1e-12}));
  CHECK(d->mocap_pos[2] == 0.5);
  CHECK(d->ctrl[0] == -4.5);  // MuJoCo clamps it.
  for (int t = 0; t < 5; ++t) Act(*environment, {0.0f, -1.0f, -1.0f, 0.0f, 0.0f}, &seen);
  CHECK(d->mocap_pos[1] == 0);
  CHECK(d->mocap_pos[2] == 0);
}

TEST_CASE("mjcf: an observation that is too long is told once", "[unit]") {
  std::string many = kCartTask;
  for (int i = 0; i < 4000; ++i) many += "observation { position: \"goal\" }\n";
  const std::string refusal = RefusalOf(many);
  const size_t first = refusal.find("observation: has more than 10000 numbers; give less");
  REQUIRE(first != refusal.npos);
  CHECK(refusal.find("has more than 10000", first + 40) == refusal.npos);
}

}  // namespace mentor::envs::TEST_FILE
