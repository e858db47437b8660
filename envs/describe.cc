#include "envs/describe.h"

#include <map>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <nlohmann/json.hpp>

#include "common/check.h"
#include "common/option_page.h"
#include "envs/benchmark.h"
#include "envs/camera.h"
#include "envs/environment.h"
#include "envs/mujoco_environment.h"
#include "envs/wrapper.h"

namespace mentor::envs {
namespace {

using Json = nlohmann::ordered_json;
using OptionList = google::protobuf::RepeatedPtrField<v1::Option>;

// --- Facts ---

// An episode shows whether there is a hand-written policy.
absl::StatusOr<bool> IsScripted(const EnvironmentEntry& entry, const OptionList& given,
                                Environment& environment) {
  Violations none;
  const OptionValues options = OptionValues::Parse(entry.options, given, "", &none);
  MENTOR_RETURN_IF_ERROR(environment.SetTask(DrawTask(entry, options, {}, 0)));
  std::vector<double> observation(environment.info().observation_size);
  MENTOR_RETURN_IF_ERROR(
      environment.Reset({.purpose = Purpose::kEnvironmentReset}, 0, observation));
  std::vector<float> action(environment.info().action_size);
  return environment.ScriptedAction(action);
}

// Facts about an environment that its name alone cannot make.
Json BroughtJson(const EnvironmentEntry& entry) {
  return Json{{"name", entry.name},
              {"suite", entry.suite},
              {"summary", entry.summary},
              {"source", entry.source},
              {"brought", true},
              {"reward", entry.reward_help},
              {"random", entry.random_help},
              {"task", entry.task_help},
              {"options", OptionsJson(entry.options)}};
}

absl::StatusOr<Json> EnvironmentJson(const EnvironmentEntry& entry, const OptionList& options) {
  if (entry.brought && options.empty()) return BroughtJson(entry);
  MENTOR_ASSIGN_OR_RETURN(const std::unique_ptr<Environment> environment,
                          MakeEnvironment(entry.name, options));
  MENTOR_ASSIGN_OR_RETURN(const bool scripted, IsScripted(entry, options, *environment));
  const EnvironmentInfo& info = environment->info();
  const EnvironmentHelp registered = {.observation = entry.observation_help,
                                      .reward = entry.reward_help,
                                      .random = entry.random_help,
                                      .task = entry.task_help,
                                      .source = entry.source};
  const EnvironmentHelp& help = environment->help() == nullptr ? registered : *environment->help();
  Json cameras = Json::array();
  if (auto* scene = dynamic_cast<MuJoCoEnvironment*>(&environment->unwrapped()))
    cameras = CameraNames(*scene->simulation().model());
  return Json{
      {"name", entry.name},
      {"suite", entry.suite},
      {"summary", info.summary.empty() ? entry.summary : info.summary},
      {"source", help.source},
      {"observation", {{"size", info.observation_size}, {"numbers", help.observation}}},
      {"action",
       {{"size", info.action_size},
        {"low", info.action_low},
        {"high", info.action_high},
        {"discrete", info.discrete_actions}}},
      {"episode", {{"steps", info.episode_steps}, {"independent", info.independent_episodes}}},
      {"reward", help.reward},
      {"info", environment->InfoKeys()},
      {"random", help.random},
      {"task", help.task},
      {"scripted_policy", scripted},
      {"cameras", std::move(cameras)},
      {"options", OptionsJson(entry.options)}};
}

// A benchmark that takes an environment is shown with the first one that fits.
std::unique_ptr<Benchmark> Example(const BenchmarkEntry& entry, std::string* environment) {
  v1::BenchmarkSpec spec;
  spec.set_name(entry.name);
  Violations violations;
  if (!entry.takes_environment) return MakeBenchmark(spec, &violations);
  for (const EnvironmentEntry* candidate : CompleteEnvironments()) {
    spec.set_environment(candidate->name);
    if (auto made = MakeBenchmark(spec, &violations)) {
      *environment = candidate->name;
      return made;
    }
  }
  return nullptr;
}

Json SetsJson(const std::vector<TaskSet>& sets) {
  Json list = Json::array();
  for (const TaskSet& set : sets) {
    Json item = {{"name", set.name}};
    if (set.tasks.empty()) {
      item["goals"] = "drawn";
    } else {
      item["environment"] = set.tasks[0].environment();
      item["goals"] = set.tasks.size();
    }
    list.push_back(std::move(item));
  }
  return list;
}

Json BenchmarkJson(const BenchmarkEntry& entry) {
  Json json = {{"name", entry.name},
               {"summary", entry.summary},
               {"takes_environment", entry.takes_environment},
               {"takes_task_sets", entry.takes_task_sets}};
  std::string environment;
  if (const auto made = entry.takes_task_sets ? nullptr : Example(entry, &environment)) {
    if (entry.takes_environment) json["example_environment"] = environment;
    json["observation_size"] = made->info().observation_size;
    json["action_size"] = made->info().action_size;
    json["episode_steps"] = made->info().episode_steps;
    json["train"] = SetsJson(made->Tasks(Split::kTrain));
    json["test"] = SetsJson(made->Tasks(Split::kTest));
  }
  json["options"] = OptionsJson(entry.options);
  return json;
}

Json WrapperJson(const WrapperEntry& entry) {
  return {
      {"name", entry.name}, {"summary", entry.summary}, {"options", OptionsJson(entry.options)}};
}

template <typename Entry>
const Entry* Find(const std::vector<const Entry*>& entries, std::string_view name) {
  for (const Entry* entry : entries) {
    if (entry->name == name) return entry;
  }
  return nullptr;
}

// --- Text ---

// "1 goal", "50 goals"
std::string Count(int count, const std::string& thing) {
  return absl::StrCat(count, " ", thing, count == 1 ? "" : "s");
}

std::string Numbers(const Json& size) {
  return Count(size, "number");
}

std::string EnvironmentText(const Json& e) {
  const auto text = [&](const char* field) { return e[field].get<std::string>(); };
  const auto names = [&](const char* field) {
    return absl::StrJoin(e[field].get<std::vector<std::string>>(), ", ");
  };
  std::string page =
      absl::StrCat(text("name"), ", environment (", text("suite"), "): ", text("summary"), "\n");
  if (!text("source").empty()) AddField("source", text("source"), &page);
  if (e.contains("brought")) {
    if (!text("reward").empty()) AddField("reward", text("reward"), &page);
    if (!text("random").empty()) AddField("random", text("random"), &page);
    AddField("task", text("task"), &page);
    AddOptions(e["options"], &page);
    return page;
  }
  const Json& observation = e["observation"];
  const std::string meaning = observation["numbers"];
  AddField("observation",
           absl::StrCat(Numbers(observation["size"]), meaning.empty() ? "" : ": ", meaning), &page);
  AddField("action",
           absl::StrFormat("%s from %g to %g", Numbers(e["action"]["size"]),
                           e["action"]["low"].get<double>(), e["action"]["high"].get<double>()),
           &page);
  AddField("episode",
           absl::StrFormat("%d steps%s", e["episode"]["steps"].get<int>(),
                           e["episode"]["independent"].get<bool>()
                               ? ", always; units of work may be single episodes"
                               : " at most; an agent's episodes follow one another"),
           &page);
  if (!text("reward").empty()) AddField("reward", text("reward"), &page);
  if (!e["info"].empty()) AddField("info", names("info"), &page);
  if (!text("random").empty()) AddField("random", text("random"), &page);
  AddField("task", text("task"), &page);
  AddField("policies",
           e["scripted_policy"].get<bool>() ? "scripted, random, a run's agents"
                                            : "random, a run's agents; no scripted one",
           &page);
  AddField("cameras", e["cameras"].empty() ? "none: there is no scene to draw" : names("cameras"),
           &page);
  AddOptions(e["options"], &page);
  return page;
}

// "ENVIRONMENT (50 goals), ..."
std::string SetsText(const Json& sets) {
  if (sets.empty()) return "none: the training tasks";
  std::vector<std::string> parts;
  for (const Json& set : sets) {
    parts.push_back(
        absl::StrCat(set["name"].get<std::string>(), " (",
                     set["goals"].is_string() ? "drawn afresh" : Count(set["goals"], "goal"), ")"));
  }
  return absl::StrJoin(parts, ", ");
}

std::string BenchmarkText(const Json& b) {
  std::string page = absl::StrCat(b["name"].get<std::string>(),
                                  ", benchmark: ", b["summary"].get<std::string>(), "\n");
  if (b["takes_environment"]) {
    AddField("environment",
             "benchmark.environment of the spec says which; here as an example " +
                 b.value("example_environment", std::string("none")),
             &page);
  }
  if (b["takes_task_sets"]) AddField("tasks", "benchmark.task_set of the spec lists them", &page);
  if (b.contains("train")) {
    AddField("sizes",
             absl::StrFormat("observation %s, action %s, episode %d steps",
                             Numbers(b["observation_size"]), Numbers(b["action_size"]),
                             b["episode_steps"].get<int>()),
             &page);
    AddField("training", SetsText(b["train"]), &page);
    AddField("test", SetsText(b["test"]), &page);
  }
  AddOptions(b["options"], &page);
  return page;
}

std::string WrapperText(const Json& w) {
  std::string page = absl::StrCat(w["name"].get<std::string>(),
                                  ", wrapper: ", w["summary"].get<std::string>(), "\n");
  AddOptions(w["options"], &page);
  return page;
}

}  // namespace

std::string DescribeCatalogue(bool json) {
  std::map<std::string, std::vector<const EnvironmentEntry*>> suites;
  for (const EnvironmentEntry* entry : Catalogue()) suites[entry->suite].push_back(entry);
  if (json) {
    Json all = {{"catalogue", CatalogueHash()}};
    for (const EnvironmentEntry* entry : Catalogue()) {
      all["environments"].push_back(
          {{"name", entry->name}, {"suite", entry->suite}, {"summary", entry->summary}});
    }
    for (const BenchmarkEntry* entry : Benchmarks())
      all["benchmarks"].push_back({{"name", entry->name}, {"summary", entry->summary}});
    for (const WrapperEntry* entry : Wrappers())
      all["wrappers"].push_back({{"name", entry->name}, {"summary", entry->summary}});
    return all.dump(2) + "\n";
  }
  std::string text;
  for (const auto& [suite, entries] : suites) {
    absl::StrAppend(&text, "Environments: ", suite, "\n");
    for (const EnvironmentEntry* entry : entries) AddListLine(entry->name, entry->summary, &text);
  }
  absl::StrAppend(&text, "Benchmarks\n");
  for (const BenchmarkEntry* entry : Benchmarks()) AddListLine(entry->name, entry->summary, &text);
  absl::StrAppend(&text, "Wrappers\n");
  for (const WrapperEntry* entry : Wrappers()) AddListLine(entry->name, entry->summary, &text);
  absl::StrAppend(&text, "Catalogue ", CatalogueHash(), "\nDetails: mentor env show NAME\n");
  return text;
}

absl::StatusOr<std::string> Describe(
    std::string_view name, bool json,
    const google::protobuf::RepeatedPtrField<v1::Option>& options) {
  Json found;
  const BenchmarkEntry* benchmark = Find(Benchmarks(), name);
  const WrapperEntry* wrapper = Find(Wrappers(), name);
  const EnvironmentEntry* environment = FindEnvironment(name);
  if (environment == nullptr && benchmark == nullptr && wrapper == nullptr) {
    // Refuses in the usual words.
    return MakeEnvironment(name, {}).status();
  }
  if (environment != nullptr) {
    MENTOR_ASSIGN_OR_RETURN(found["environment"], EnvironmentJson(*environment, options));
  }
  if (benchmark != nullptr) found["benchmark"] = BenchmarkJson(*benchmark);
  if (wrapper != nullptr) found["wrapper"] = WrapperJson(*wrapper);
  if (json) return found.dump(2) + "\n";
  std::string page;
  if (found.contains("environment")) page += EnvironmentText(found["environment"]);
  if (found.contains("benchmark")) page += BenchmarkText(found["benchmark"]);
  if (found.contains("wrapper")) page += WrapperText(found["wrapper"]);
  return page;
}

}  // namespace mentor::envs
