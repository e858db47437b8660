#include <cstdio>
#include <optional>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "common/option_page.h"
#include "common/options.h"
#include "common/process/flags.h"
#include "common/registry.h"
#include "meta_learner/curricula/curriculum.h"
#include "meta_learner/experiment/parts.h"
#include "methods/base/inner_loop.h"
#include "methods/base/outer_rule.h"
#include "signals/signal_network.h"

namespace mentor {
namespace {

using Json = nlohmann::ordered_json;

struct PartFlags {
  std::string name;
  bool json = false;
};

// Returns the needs of the rule with this signal network on a small benchmark; nullopt when the two
// do not fit together.
std::optional<methods::RuleNeeds> NeedsWith(const methods::RuleEntry& entry,
                                            const v1::SignalSpec& signal) {
  v1::ExperimentSpec spec;
  spec.mutable_benchmark()->set_name("point_reach");
  spec.mutable_rule()->set_lifetimes_per_update(30);
  spec.mutable_rule()->set_shard_lifetimes(30);
  methods::AddExample(entry, &spec);
  // Keep the example's settings when they are for this network.
  if (spec.signal().name() != signal.name()) spec.clear_signal();
  spec.mutable_signal()->MergeFrom(signal);
  spec.mutable_evaluation()->set_lifetimes_per_goal(0);
  Violations violations;
  const auto parts = meta_learner::LookAtParts(spec, &violations);
  if (parts.rule == nullptr || !violations.empty()) return std::nullopt;
  return parts.rule->needs();
}

// Adds the needs of the rule, and the signal networks and roles that fit. A network may fit only
// with one of its flags inverted.
void AddNeeds(const methods::RuleEntry& entry, Json* rule) {
  (*rule)["signals"] = Json::array();
  for (const signals::SignalEntry* network : signals::SignalNetworks()) {
    for (const v1::SignalRole role : {v1::REWARD, v1::ADVANTAGE, v1::LOSS}) {
      v1::SignalSpec signal;
      signal.set_name(network->name);
      signal.set_role(role);
      Json found = {{"name", network->name}, {"role", v1::SignalRole_Name(role)}};
      auto fits = NeedsWith(entry, signal);
      for (const OptionInfo& option : network->options) {
        if (fits) break;
        if (option.kind != OptionInfo::Kind::kFlag) continue;
        const std::string turned = option.default_value == "true" ? "false" : "true";
        v1::SignalSpec other = signal;
        other.add_option()->set_name(option.name);
        other.mutable_option(0)->set_value(turned);
        fits = NeedsWith(entry, other);
        if (fits) found["option"] = absl::StrCat(option.name, ": ", turned);
      }
      if (!fits) continue;
      const methods::RuleNeeds& needs = *fits;
      using Network = methods::RuleNeeds::Network;
      (*rule)["needs"] = {{"signal_network", needs.signal_network()},
                          {"signal_density", needs.network == Network::kDensity},
                          {"signal_gradient", needs.network == Network::kGradient},
                          {"decisions_inside_lifetime", needs.decisions_inside_lifetime},
                          {"second_order", needs.second_order},
                          {"conditioned_policy", needs.conditions()},
                          {"all_steps", needs.segments}};
      if (!needs.signal_network()) return;
      (*rule)["signals"].push_back(std::move(found));
    }
  }
}

Json MetricsJson(const MetricTable& metrics) {
  Json list = Json::array();
  for (const MetricInfo& metric : metrics)
    list.push_back({{"name", metric.name}, {"unit", metric.unit}, {"help", metric.help}});
  return list;
}

Json RuleJson(const methods::RuleEntry& entry) {
  const methods::InnerLoopEntry& loop = methods::LoopOf(entry);
  Json rule = {
      {"name", entry.name},
      {"summary", entry.summary},
      {"inner_loop",
       {{"name", loop.name}, {"summary", loop.summary}, {"collections", loop.collections}}}};
  AddNeeds(entry, &rule);
  rule["example"] = entry.example;
  rule["options"] = OptionsJson(entry.options);
  rule["inner_loop_options"] = OptionsJson(loop.options);
  rule["metrics"] = MetricsJson(entry.metrics);
  rule["inner_loop_metrics"] = MetricsJson(loop.metrics);
  return rule;
}

// Adds the metrics of all `lists` under one heading.
void AddMetrics(const Json& part, std::initializer_list<const char*> lists, std::string* page) {
  std::string head = "metrics";
  for (const char* list : lists) {
    for (const Json& metric : part[list]) {
      const std::string unit = metric["unit"];
      AddField(head,
               absl::StrCat(metric["name"].get<std::string>(), unit == "1" ? "" : ", in " + unit,
                            ": ", metric["help"].get<std::string>()),
               page);
      head.clear();
    }
  }
}

std::string RuleText(const Json& rule) {
  std::string page = absl::StrCat(rule["name"].get<std::string>(),
                                  ", outer rule: ", rule["summary"].get<std::string>(), "\n");
  const Json& loop = rule["inner_loop"];
  const int collections = loop["collections"];
  AddField("inner loop",
           absl::StrCat(loop["name"].get<std::string>(), ": ", loop["summary"].get<std::string>(),
                        collections > 1 ? absl::StrCat("; collects ", collections,
                                                       " times in each inner iteration")
                                        : ""),
           &page);
  if (rule.contains("needs")) {
    const Json& needs = rule["needs"];
    std::vector<std::string> words;
    if (needs["decisions_inside_lifetime"]) {
      words.emplace_back("an outer update after each inner iteration, while the agents live on");
    } else {
      words.emplace_back("an outer update after whole lifetimes");
    }
    if (needs["signal_density"]) words.emplace_back("signals with a density");
    if (needs["signal_gradient"]) words.emplace_back("a differentiable signal network");
    if (needs["second_order"]) words.emplace_back("derivatives through the agents' updates");
    if (needs["conditioned_policy"]) words.emplace_back("policies that see meta-parameters");
    if (needs["all_steps"]) words.emplace_back("all steps at the meta-learner");
    AddField("needs", absl::StrJoin(words, "; "), &page);
    std::vector<std::string> signals;
    for (const Json& signal : rule["signals"]) {
      signals.push_back(absl::StrCat(
          signal["name"].get<std::string>(), " (", signal["role"].get<std::string>(),
          signal.contains("option") ? ", " + signal["option"].get<std::string>() : "", ")"));
    }
    AddField("signals",
             needs["signal_network"] ? absl::StrJoin(signals, ", ")
                                     : "none: it does not learn a signal network",
             &page);
  }
  AddField("in a spec",
           absl::StrCat("rule { name: \"", rule["name"].get<std::string>(),
                        "\" option { name: \"...\" value: \"...\" } }, or --set rule.NAME=VALUE"),
           &page);
  if (const std::string example = rule["example"]; !example.empty())
    AddField("together with", example, &page);
  AddOptions(rule["options"], &page);
  if (!rule["inner_loop_options"].empty()) {
    AddField("", "settings of the inner loop, written in the same way:", &page);
    AddOptions(rule["inner_loop_options"], &page);
  }
  AddMetrics(rule, {"metrics", "inner_loop_metrics"}, &page);
  return page;
}

// Describes a network with one observation and one action.
Json SignalJson(const signals::SignalEntry& entry) {
  Json json = {{"name", entry.name}, {"summary", entry.summary}};
  Violations none;
  const OptionValues options = OptionValues::Parse(entry.options, {}, "", &none);
  const auto network =
      entry.make({.observation_size = 4, .action_size = 2, .episode_steps = 10}, options);
  json["density"] = network->density() != nullptr;
  json["differentiable"] = network->gradient() != nullptr;
  json["loss"] = network->loss() != nullptr;
  json["options"] = OptionsJson(entry.options);
  return json;
}

std::string SignalText(const Json& signal) {
  std::string page = absl::StrCat(signal["name"].get<std::string>(),
                                  ", signal network: ", signal["summary"].get<std::string>(), "\n");
  std::vector<std::string> can;
  if (signal["density"]) can.emplace_back("be sampled (black-box rules)");
  if (signal["differentiable"]) can.emplace_back("be differentiated (rules by gradient)");
  AddField("its signals",
           signal["loss"] ? "are none: its output is a loss that agents descend (role LOSS)"
           : can.empty()  ? "can be neither sampled nor differentiated"
                          : "can " + absl::StrJoin(can, "; can "),
           &page);
  AddField("in a spec",
           absl::StrCat("signal { name: \"", signal["name"].get<std::string>(),
                        signal["loss"] ? "\" role: LOSS" : "\"",
                        " option { name: \"...\" value: \"...\" } }, or --set signal.NAME=VALUE"),
           &page);
  AddOptions(signal["options"], &page);
  return page;
}

Json CurriculumJson(const meta_learner::CurriculumEntry& entry) {
  return {{"name", entry.name},
          {"summary", entry.summary},
          {"example", entry.example},
          {"options", OptionsJson(entry.options)},
          {"metrics", MetricsJson(entry.metrics)}};
}

std::string CurriculumText(const Json& curriculum) {
  const std::string name = curriculum["name"];
  std::string page =
      absl::StrCat(name, ", curriculum: ", curriculum["summary"].get<std::string>(), "\n");
  AddField("in a spec",
           absl::StrCat("curriculum { name: \"", name,
                        "\" option { name: \"...\" value: \"...\" } }, or --set "
                        "curriculum.NAME=VALUE"),
           &page);
  AddField("together with", curriculum["example"], &page);
  AddOptions(curriculum["options"], &page);
  AddMetrics(curriculum, {"metrics"}, &page);
  return page;
}

template <typename Entry>
std::string List(const std::vector<const Entry*>& entries, const std::string& title,
                 const std::string& kind, bool json) {
  Json all = Json::array();
  std::string text = title + "\n";
  for (const Entry* entry : entries) {
    all.push_back({{"name", entry->name}, {"summary", entry->summary}});
    AddListLine(entry->name, entry->summary, &text);
  }
  return json ? all.dump(2) + "\n" : text + "Details: mentor " + kind + " show NAME\n";
}

template <typename Entry>
absl::StatusOr<std::string> Show(const char* kind, const std::string& name, bool json,
                                 Json (*describe)(const Entry&), std::string (*page)(const Json&)) {
  const auto& registry = Registry<Entry>::Instance();
  const Entry* entry = registry.Find(name);
  if (entry == nullptr) return absl::NotFoundError(registry.Unknown(kind, name));
  const Json found = describe(*entry);
  return json ? found.dump(2) + "\n" : page(found);
}

}  // namespace

std::string DescribeParts(const std::string& kind, bool json) {
  if (kind == "rule") return List(methods::OuterRules(), "Outer rules", kind, json);
  if (kind == "curriculum") return List(meta_learner::Curricula(), "Curricula", kind, json);
  return List(signals::SignalNetworks(), "Signal networks", kind, json);
}

absl::StatusOr<std::string> DescribePart(const std::string& kind, const std::string& name,
                                         bool json) {
  if (kind == "rule") return Show("outer rule", name, json, RuleJson, RuleText);
  if (kind == "curriculum") return Show("curriculum", name, json, CurriculumJson, CurriculumText);
  return Show("signal network", name, json, SignalJson, SignalText);
}

void AddRuleCommands(CLI::App* app, Action* action) {
  struct Kind {
    const char *name, *title, *example, *shown;
  };
  for (const Kind& of : {Kind{"rule", "Outer rules", "meta_gradient", "its inner loop"},
                         Kind{"signal", "Signal networks", "lstm", "what it can do"},
                         Kind{"curriculum", "Curricula", "adr", "what it goes with"}}) {
    const std::string kind = of.name;
    CLI::App* command = app->add_subcommand(kind, absl::StrCat(of.title, ": list, show"));
    command->require_subcommand(1);
    command->footer(
        absl::StrCat("Examples:\n  mentor ", kind, " list\n  mentor ", kind, " show ", of.example));
    const auto [list, json] =
        AddCommand<bool>(command, action, "list", "List them, one a line", [kind](bool json) {
          std::printf("%s", DescribeParts(kind, json).c_str());
          return kExitOk;
        });
    list->add_flag("--json", *json, "Print JSON");
    const auto [show, flags] = AddCommand<PartFlags>(
        command, action, "show", absl::StrCat("Show ", of.shown, " and all settings"),
        [kind](const PartFlags& flags) -> int {
          const auto text = DescribePart(kind, flags.name, flags.json);
          if (!text.ok()) return Fail(text.status(), kExitUsage);
          std::printf("%s", text->c_str());
          return kExitOk;
        });
    show->add_option("NAME", flags->name, "Name, as 'list' shows it")->required();
    show->add_flag("--json", flags->json, "Print JSON");
  }
}

}  // namespace mentor
