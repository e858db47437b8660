#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>

#include "cli/commands.h"
#include "cli/env_subject.h"
#include "cli/local/relive.h"
#include "common/check.h"
#include "common/evaluation_method.h"
#include "common/lifecycle.h"
#include "common/process/command_line.h"
#include "common/process/flags.h"
#include "common/progress_bar.h"
#include "common/spec/named_bundles.h"
#include "envs/benchmark.h"
#include "envs/describe.h"
#include "envs/render/film.h"
#include "envs/verify.h"
#include "envs/wrapper.h"

namespace mentor {
namespace {

struct RenderFlags {
  std::string name;
  std::string policy;  // If empty: scripted, or random for a bundle.
  std::string task;
  bool goal_visible = false;
  std::string benchmark;
  std::string split = "test";
  int goal = 0;
  uint64_t seed = 1;
  std::vector<std::string> options;
  EnvironmentOptions taken;  // The parsed options.
  std::vector<std::string> wrappers;
  int steps = 0;
  std::string episode = "both";
  std::string teacher = "learned";
  std::string size;
  bool quiet = false;
  SimulatorFlags hosts;
  envs::FilmSettings film;
};

// Returns a task of the benchmark in this environment.
absl::StatusOr<v1::EnvironmentTask> BenchmarkTask(const RenderFlags& flags) {
  v1::BenchmarkSpec spec;
  spec.set_name(flags.benchmark);
  for (const envs::BenchmarkEntry* entry : envs::Benchmarks()) {
    if (entry->name != flags.benchmark || !entry->takes_environment) continue;
    spec.set_environment(flags.name);
    *spec.mutable_option() = flags.taken;
  }
  Violations violations;
  const auto benchmark = envs::MakeBenchmark(spec, &violations);
  MENTOR_RETURN_IF_ERROR(violations.ToStatus());
  const auto split = flags.split == "test" ? envs::Split::kTest : envs::Split::kTrain;
  for (const envs::TaskSet& set : benchmark->Tasks(split)) {
    if (set.tasks.empty()) {
      const v1::EnvironmentTask drawn = set.draw({.seed = flags.seed, .purpose = Purpose::kTasks},
                                                 static_cast<uint32_t>(flags.goal));
      if (drawn.environment() == flags.name) return drawn;
    } else if (set.tasks[0].environment() == flags.name) {
      if (flags.goal < static_cast<int>(set.tasks.size())) return set.tasks[flags.goal];
      return BadFlag("--goal", absl::StrCat(flags.goal),
                     absl::StrCat(flags.benchmark, " has ", set.tasks.size(), " ", flags.split,
                                  " goals of ", flags.name, ", counted from 0"));
    }
  }
  return absl::NotFoundError(absl::StrCat("benchmark ", flags.benchmark, " has no ", flags.split,
                                          " goals of ", flags.name, "; mentor env show ",
                                          flags.benchmark, " lists its environments"));
}

absl::StatusOr<v1::EnvironmentTask> TaskOf(const RenderFlags& flags) {
  v1::EnvironmentTask task;
  task.set_environment(flags.name);
  *task.mutable_options() = flags.taken;
  for (const std::string& wrapper : flags.wrappers) {
    MENTOR_ASSIGN_OR_RETURN(*task.add_wrappers(), ParseWrapper(wrapper));
  }
  task.set_goal_visible(flags.goal_visible);
  if (!flags.task.empty()) {
    for (const auto text : absl::StrSplit(flags.task, ',')) {
      double number = 0;
      if (!absl::SimpleAtod(text, &number))
        return BadFlag("--task", flags.task, "give numbers with commas between them");
      task.add_parameters(number);
    }
    return task;
  }
  if (!flags.benchmark.empty()) {
    MENTOR_ASSIGN_OR_RETURN(const v1::EnvironmentTask chosen, BenchmarkTask(flags));
    *task.mutable_parameters() = chosen.parameters();
    return task;
  }
  // Refuses unknown names and options with the usual messages.
  MENTOR_RETURN_IF_ERROR(envs::MakeEnvironment(flags.name, task.options()).status());
  const envs::EnvironmentEntry& entry = *envs::FindEnvironment(flags.name);
  Violations none;
  const auto options = OptionValues::Parse(entry.options, task.options(), "task.options", &none);
  *task.mutable_parameters() =
      envs::DrawTask(entry, options, {.seed = flags.seed, .purpose = Purpose::kTasks},
                     static_cast<uint32_t>(flags.goal))
          .parameters();
  envs::ExtendTask(task.wrappers(), {.seed = flags.seed, .purpose = Purpose::kTasks},
                   static_cast<uint32_t>(flags.goal), &task);
  return task;
}

absl::Status ParseSize(const std::string& text, envs::FilmSettings* film) {
  if (text.empty()) return absl::OkStatus();
  const std::pair<std::string, std::string> sides = absl::StrSplit(text, absl::MaxSplits('x', 1));
  if (absl::SimpleAtoi(sides.first, &film->width) && film->width > 0 &&
      absl::SimpleAtoi(sides.second, &film->height) && film->height > 0) {
    return absl::OkStatus();
  }
  return BadFlag("--size", text, "give WIDTHxHEIGHT in pixels, for instance 640x480");
}

// Shows a progress bar, and stops the work after SIGINT or SIGTERM.
class Watcher {
 public:
  explicit Watcher(bool quiet) : quiet_(quiet) {}

  envs::Progress Of(const std::string& activity, const std::string& unit) {
    return [this, activity, unit](int done, int total) {
      if (!quiet_) bar_.Show(activity, done, total, unit);
      stopped_ = stopped_ || WaitForStopSignal(std::chrono::milliseconds(0)) != 0;
      return !stopped_;
    };
  }
  void Finish() {
    if (!quiet_) bar_.Finish();
  }
  bool stopped() const { return stopped_; }

 private:
  const bool quiet_;
  bool stopped_ = false;
  ProgressBar bar_;
};

absl::StatusOr<envs::Shot> PlayShot(const RenderFlags& flags, Watcher* watcher) {
  MENTOR_ASSIGN_OR_RETURN(const v1::EnvironmentTask task, TaskOf(flags));
  envs::Shot shot;
  MENTOR_ASSIGN_OR_RETURN(shot.environment, envs::MakeEnvironment(task));
  MENTOR_RETURN_IF_ERROR(envs::CheckFilm(flags.film, *shot.environment));
  const bool scripted = flags.policy == "scripted";
  const envs::Act act = scripted ? envs::ScriptedPolicy(*shot.environment)
                                 : envs::RandomPolicy(shot.environment->info(), flags.seed);
  const RandomStream reset{.seed = flags.seed, .purpose = Purpose::kEnvironmentReset};
  uint32_t number = 0;
  if (flags.episode != "both" && !absl::SimpleAtoi(flags.episode, &number)) {
    return BadFlag("--episode", flags.episode,
                   "without a run, give the number of the episode whose reset is wanted");
  }
  MENTOR_ASSIGN_OR_RETURN(shot.episode,
                          PlayEpisode(*shot.environment, reset, number, act, flags.steps,
                                      watcher->Of("simulating", "steps")));
  shot.title = absl::StrCat(flags.name, ", ", flags.policy, " policy");
  return shot;
}

// Returns the indices of the episodes that --episode selects.
absl::StatusOr<std::vector<size_t>> ChooseEpisodes(const std::string& asked,
                                                   const Lifetime& lifetime) {
  size_t last = 0, end = 0;  // Limited to learning episodes; deterministic episodes follow them.
  while (end < lifetime.episodes.size() && !lifetime.episodes[end].deterministic) {
    if (lifetime.episodes[end].complete) last = end;
    ++end;
  }
  size_t index = 0;
  if (asked == "first") return std::vector<size_t>{0};
  if (asked == "last") return std::vector<size_t>{last};
  if (asked == "both") return std::vector<size_t>{0, last};
  if (asked == "deterministic") {
    if (end < lifetime.episodes.size()) return std::vector<size_t>{end};
    return BadFlag("--episode", asked,
                   "the run's spec sets evaluation.deterministic_episodes to 0");
  }
  if (absl::SimpleAtoi(asked, &index) && index < end) return std::vector<size_t>{index};
  return BadFlag(
      "--episode", asked,
      absl::StrFormat("give first, last, both, deterministic, or a number from 0 to %d", end - 1));
}

absl::StatusOr<std::vector<envs::Shot>> PlayLifetime(const RenderFlags& flags, Watcher* watcher) {
  if (!flags.task.empty() || !flags.benchmark.empty() || !flags.options.empty() ||
      !flags.wrappers.empty() || flags.goal_visible || flags.steps > 0) {
    return BadFlag(
        "--policy", flags.policy,
        "the run's spec sets the environment of its agents: leave out --task, --benchmark, "
        "--option, --wrapper, --goal_visible and --steps; --goal chooses the task");
  }
  // Report unknown names and undrawable scenes before simulating a lifetime.
  MENTOR_ASSIGN_OR_RETURN(const v1::EnvironmentTask drawn, TaskOf(flags));
  MENTOR_ASSIGN_OR_RETURN(const auto trial, envs::MakeEnvironment(drawn));
  MENTOR_RETURN_IF_ERROR(envs::CheckFilm(flags.film, *trial));
  MENTOR_ASSIGN_OR_RETURN(
      const Lifetime lifetime,
      Relive({.run = flags.policy,
              .environment = flags.name,
              .split = flags.split == "test" ? envs::Split::kTest : envs::Split::kTrain,
              .goal = flags.goal,
              .teacher = flags.teacher},
             watcher->Of("living", "steps")));
  for (const v1::Option& option : flags.taken) {
    const auto& own = lifetime.task.options();
    const bool same = std::any_of(own.begin(), own.end(), [&option](const v1::Option& other) {
      return other.name() == option.name() && other.value() == option.value();
    });
    if (option.name() != kBundleOption || same) continue;
    std::fprintf(stderr, "note: the agents of %s live in another bundle, which is drawn\n",
                 flags.policy.c_str());
  }
  MENTOR_ASSIGN_OR_RETURN(const std::vector<size_t> chosen,
                          ChooseEpisodes(flags.episode, lifetime));
  const auto lived_episodes =
      std::count_if(lifetime.episodes.begin(), lifetime.episodes.end(),
                    [](const LivedEpisode& episode) { return !episode.deterministic; });
  std::vector<envs::Shot> shots;
  for (const size_t index : chosen) {
    const LivedEpisode& lived = lifetime.episodes[index];
    envs::Shot& shot = shots.emplace_back();
    MENTOR_ASSIGN_OR_RETURN(shot.environment, envs::MakeEnvironment(lifetime.task));
    MENTOR_ASSIGN_OR_RETURN(shot.episode, PlayAgain(*shot.environment, lifetime, lived,
                                                    watcher->Of("simulating", "steps")));
    shot.title = absl::StrCat(lifetime.name, ", ",
                              lived.deterministic
                                  ? "after the lifetime, deterministic"
                                  : absl::StrFormat("episode %d of %d", index + 1, lived_episodes));
  }
  return shots;
}

absl::Status Render(RenderFlags& flags, Watcher* watcher) {
  MENTOR_RETURN_IF_ERROR(ParseSize(flags.size, &flags.film));
  MENTOR_ASSIGN_OR_RETURN(flags.taken, TakeEnvironment(&flags.name, flags.options));
  MENTOR_RETURN_IF_ERROR(TakeSimulators(flags.hosts, &flags.name, &flags.taken));
  const envs::EnvironmentEntry* entry = envs::FindEnvironment(flags.name);
  if (flags.policy.empty())
    flags.policy = entry != nullptr && entry->brought ? "random" : "scripted";
  std::vector<envs::Shot> shots;
  if (flags.policy == "scripted" || flags.policy == "random") {
    MENTOR_ASSIGN_OR_RETURN(envs::Shot shot, PlayShot(flags, watcher));
    shots.push_back(std::move(shot));
  } else {
    MENTOR_ASSIGN_OR_RETURN(shots, PlayLifetime(flags, watcher));
  }
  MENTOR_RETURN_IF_ERROR(envs::MakeFilm(flags.film, shots, watcher->Of("drawing", "frames")));
  watcher->Finish();
  for (const envs::Shot& shot : shots) {
    std::printf("%s: %d steps, return %.6g, %s\n", shot.title.c_str(),
                static_cast<int>(shot.episode.moments.size()) - 1, shot.episode.reward_sum,
                shot.episode.success ? "success" : "no success");
  }
  std::printf("%s\n", flags.film.out.c_str());
  return absl::OkStatus();
}

int RunRender(RenderFlags& flags) {
  Watcher watcher(flags.quiet);
  const absl::Status status = Render(flags, &watcher);
  watcher.Finish();
  if (status.ok()) return kExitOk;
  if (watcher.stopped()) {
    std::fprintf(stderr, "stopped; nothing was written\n");
    return 130;
  }
  return Fail(status);
}

int RunList(const bool& json) {
  std::printf("%s", envs::DescribeCatalogue(json).c_str());
  return kExitOk;
}

struct ShowFlags {
  std::string name;
  std::vector<std::string> options;
  bool json = false;
};

int RunShow(ShowFlags& flags) {
  const auto options = TakeEnvironment(&flags.name, flags.options);
  if (!options.ok()) return Fail(options.status(), kExitUsage);
  const auto text = envs::Describe(flags.name, flags.json, *options);
  if (!text.ok()) return Fail(text.status(), kExitUsage);
  std::printf("%s", text->c_str());
  return kExitOk;
}

struct VerifyFlags {
  std::string folder;
  std::vector<std::string> tasks;
};

int RunVerify(const VerifyFlags& flags) {
  const auto verified = envs::Verify(flags.folder, flags.tasks);
  if (!verified.ok()) return Fail(verified.status());
  std::printf("%s", verified->text.c_str());
  return verified->passed ? kExitOk : kExitFailed;
}

void AddFilmFlags(CLI::App* render, RenderFlags* flags) {
  render->option_defaults()->group("Film");
  render->add_option("--size", flags->size,
                     "WIDTHxHEIGHT of one picture, without the caption below it; default 480x360, "
                     "320x240 in a GIF and on a sheet");
  render->add_option("--camera", flags->film.camera, "Camera of the scene, or free");
  render
      ->add_option("--fps", flags->film.fps,
                   "Greatest number of frames a second; default 30, GIF 20")
      ->check(NumberIn(0.1, 240));
  render->add_option("--speed", flags->film.speed, "Speed: 1 is real time, 0.5 slow motion")
      ->check(NumberIn(0.01, 100))
      ->capture_default_str();
  render
      ->add_option("--frames", flags->film.frames,
                   "Moments in a .png; 1: the end of the episode alone")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
}

void AddRender(CLI::App* env, Action* action) {
  const auto [render, flags] = AddCommand<RenderFlags>(
      env, action, "render", "Draw an episode: pictures (.png) or a film (.gif, .mp4)", RunRender);
  render->footer(
      "Examples:\n"
      "  mentor env render push-v3 --out push.png                    twelve moments on one sheet\n"
      "  mentor env render Hopper-v5 --policy random --out hopper.gif\n"
      "  mentor env render door-close-v3 --policy runs/door --out door.mp4\n"
      "                          an agent at the start and at the end of its lifetime, side by "
      "side");
  render->add_option("NAME", flags->name, "Environment, or the folder of a bundle")->required();
  render->add_option("--out", flags->film.out, "FILE.png, FILE.gif or FILE.mp4")->required();
  render
      ->add_option("--policy", flags->policy,
                   "scripted, random, or a run: its folder or one of its checkpoints; default for "
                   "a bundle: random")
      ->default_str("scripted");
  AddSimulatorFlags(render, &flags->hosts);
  render->add_flag("--quiet", flags->quiet, "Show no progress");

  render->option_defaults()->group("Task");
  render->add_option("--task", flags->task, "The task's parameters: numbers with commas between");
  render
      ->add_option("--goal", flags->goal,
                   "Number of the task, from 0, among those of --seed, --benchmark or the run")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  render->add_option("--benchmark", flags->benchmark,
                     "Take the task from this benchmark, for instance ml1");
  render->add_option("--split", flags->split, "Goals of a benchmark or run: test or train")
      ->check(OneOf({"test", "train"}))
      ->capture_default_str();
  render->add_option("--seed", flags->seed, "Seed of tasks, resets and random actions")
      ->capture_default_str();
  render->add_flag("--goal_visible", flags->goal_visible, "Observations show the goal");
  render->add_option("--option", flags->options, "NAME=VALUE: a setting of the environment")
      ->allow_extra_args(false);
  render
      ->add_option("--wrapper", flags->wrappers,
                   "NAME or NAME:OPTION=VALUE,...: a change to the environment, innermost first")
      ->allow_extra_args(false);
  render
      ->add_option("--steps", flags->steps,
                   "Stop after this many steps; 0: at the end of the episode")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();

  render->option_defaults()->group("Run");
  render
      ->add_option("--episode", flags->episode,
                   "Episode of a run's lifetime: first, last, both, deterministic or a number. "
                   "Without a run: the number of the reset")
      ->capture_default_str();
  std::vector<std::string> teachers;
  for (const EvaluationMethodInfo& info : EvaluationMethods()) teachers.emplace_back(info.option);
  render
      ->add_option(
          "--teacher", flags->teacher,
          "What taught the agent: learned, best or random (signal network), sparse, shaped, "
          "sparse_and_shaped, potential, rnd, icm or counts (reward)")
      ->check(OneOf(teachers))
      ->capture_default_str();

  AddFilmFlags(render, flags);
}

}  // namespace

void AddEnvCommand(CLI::App* app, Action* action) {
  CLI::App* env = app->add_subcommand("env", "Environments: list, show, check, render, verify");
  env->require_subcommand(1);
  env->footer(
      "Examples:\n"
      "  mentor env list\n"
      "  mentor env show door-close-v3\n"
      "  mentor env check my_robot/\n"
      "  mentor env render door-close-v3 --out door.gif\n"
      "  mentor env facts --simulator gym='python3 -m mentor_env' --option id=CartPole-v1\n"
      "  mentor env verify tests/data/parity");
  const auto [list, json] =
      AddCommand<bool>(env, action, "list", "List environments, benchmarks and wrappers", RunList);
  list->add_flag("--json", *json, "Print JSON");
  const auto [show, shown] = AddCommand<ShowFlags>(
      env, action, "show", "Show spaces, rewards, random draws, tasks, options and source",
      RunShow);
  show->add_option("NAME", shown->name, "Environment, benchmark or wrapper; the folder of a bundle")
      ->required();
  show->add_option("--option", shown->options, "NAME=VALUE: a setting of the environment")
      ->allow_extra_args(false);
  show->add_flag("--json", shown->json, "Print JSON");
  AddEnvCheck(env, action);
  AddFacts(env, action);
  AddRender(env, action);
  const auto [verify, verified] = AddCommand<VerifyFlags>(
      env, action, "verify", "Replay recorded episodes of the Python originals and compare",
      RunVerify);
  verify->add_option("DIR", verified->folder, "Folder with manifest.json")->required();
  verify->add_option("--task", verified->tasks, "Only these tasks");
}

}  // namespace mentor
