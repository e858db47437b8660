#include <string>
#include <vector>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <nlohmann/json.hpp>

#include "cli/local/signal_export.h"
#include "cli/report/words.h"
#include "common/check.h"
#include "common/evaluation_method.h"

namespace mentor {
namespace {

using CardJson = nlohmann::ordered_json;

std::string TextAt(const CardJson& json, const char* name) {
  return json.at(name).get<std::string>();
}

// Returns the benchmark, and its environment if the benchmark has only one.
std::string TasksOf(const CardJson& trained) {
  const std::string environment = TextAt(trained, "environment");
  return absl::StrCat("benchmark `", TextAt(trained, "benchmark"), "`",
                      environment.empty() ? "" : absl::StrCat(", `", environment, "`"));
}

// Returns a text in quotes, as YAML takes it whatever is in it.
std::string YamlText(const std::string& text) {
  return CardJson(text).dump(-1, ' ', /*ensure_ascii=*/false, CardJson::error_handler_t::replace);
}

std::string QuantityWords(report::Quantity quantity) {
  return quantity == report::Quantity::kSuccess ? "success rate" : "shaped return of an episode";
}

// Returns how agents did that these weights taught, in the form of the Hub's "model-index". Empty
// without an evaluation.
std::string HeadResults(const std::string& name, const CardJson& facts,
                        const std::vector<report::MethodResult>& results) {
  const v1::EvaluationMethod method = TextAt(facts.at("weights"), "which") == "best"
                                          ? v1::EVALUATION_METHOD_LEARNED_BEST
                                          : v1::EVALUATION_METHOD_LEARNED;
  const std::string benchmark = TextAt(facts.at("trained"), "benchmark");
  std::string rows;
  const char* metric = "";
  for (const report::MethodResult& result : results) {
    if (result.method != method || !result.environment.empty()) continue;
    const int last = static_cast<int>(result.segments.size()) - 1;
    metric = result.quantity == report::Quantity::kSuccess ? "success_rate" : "mean_reward";
    absl::StrAppend(
        &rows, "  - task:\n      type: reinforcement-learning\n    dataset:\n      type: ",
        YamlText(benchmark), "\n      name: ",
        YamlText(absl::StrCat(benchmark, ", ", report::GoalsOf(result.split, result.has_goals))),
        "\n    metrics:\n    - type: ", metric,
        "\n      value: ", absl::StrFormat("%.4f", result.segments[last].mean), "\n      name: ",
        YamlText(absl::StrCat(QuantityWords(result.quantity), " ",
                              report::PartName(last, result.segments.size()), ", ",
                              report::FormatInterval(result.segments[last]))),
        "\n");
  }
  if (rows.empty()) return rows;
  return absl::StrCat("metrics:\n- ", metric, "\nmodel-index:\n- name: ", YamlText(name),
                      "\n  results:\n", rows);
}

// Returns the head by which the Hugging Face Hub sorts and finds a card
// (https://huggingface.co/docs/hub/model-cards).
std::string CardHead(const std::string& name, const std::string& license, const CardJson& facts,
                     const std::vector<report::MethodResult>& results) {
  const CardJson& trained = facts.at("trained");
  std::string head = "---\nlibrary_name: mentor\n";
  if (!license.empty()) absl::StrAppend(&head, "license: ", YamlText(license), "\n");
  absl::StrAppend(&head,
                  "pipeline_tag: reinforcement-learning\ntags:\n- reinforcement-learning\n"
                  "- meta-learning\n- mentor\n- ",
                  absl::AsciiStrToLower(TextAt(facts, "role")), "\n");
  for (const char* tag : {"benchmark", "environment"}) {
    if (const std::string text = TextAt(trained, tag); !text.empty())
      absl::StrAppend(&head, "- ", YamlText(text), "\n");
  }
  return absl::StrCat(head, HeadResults(name, facts, results), "---\n");
}

std::string RoleOf(const CardJson& facts) {
  const std::string role = TextAt(facts, "role");
  if (role == "LOSS") return "the loss that the agent descends";
  const CardJson& network = facts.at("network");
  if (TextAt(network, "name") == "discriminator")
    return "how well each skill of an agent explains an observation, of which a reward is made";
  if (TextAt(network, "name") == "drift")
    return "the drift that bounds how far an agent's policy moves in an update";
  if (role == "ADVANTAGE") return "the agent's advantage";
  const CardJson& reward = facts.at("reward");
  if (const double task = reward.at("task"); task != 0) {
    return absl::StrFormat(
        "a part of the agent's reward: %g times the task's (%s) plus %g times "
        "the signal",
        task, TextAt(reward, "task_reward"), reward.at("signal").get<double>());
  }
  return "the agent's reward";
}

std::string ColumnsTable(const CardJson& facts) {
  std::string table = "| input | numbers | as |\n|---|---|---|\n";
  for (const CardJson& column : facts.at("columns")) {
    const std::string how = TextAt(column, "how");
    absl::StrAppend(&table, "| `", TextAt(column, "name"), "` | ", column.at("size").get<int64_t>(),
                    " | ", how.empty() ? "as it is" : how, " |\n");
  }
  return table;
}

std::string ResultsTable(const std::vector<report::MethodResult>& results) {
  if (results.empty()) return "It was not evaluated.\n";
  const size_t parts = results[0].segments.size();
  const int last = static_cast<int>(parts) - 1;
  std::string table = absl::StrCat(
      results[0].quantity == report::Quantity::kSuccess ? "Success rate"
                                                        : "Shaped return of an episode",
      ", mean and 95 % interval over goals and lifetimes:\n\n| taught by | goals | lifetimes | ",
      parts > 1 ? absl::StrCat(report::PartName(0, parts), " | ") : "",
      report::PartName(last, parts), " |\n|---|---|---|---|", parts > 1 ? "---|" : "", "\n");
  for (const report::MethodResult& result : results) {
    if (!result.environment.empty()) continue;
    absl::StrAppend(&table, "| ", NameOf(result.method), " | ",
                    report::GoalsOf(result.split, result.has_goals), " | ", result.lifetimes,
                    " | ");
    if (parts > 1) absl::StrAppend(&table, report::FormatInterval(result.segments[0]), " | ");
    absl::StrAppend(&table, report::FormatInterval(result.segments[last]), " |\n");
  }
  return table;
}

std::string Limits(const CardJson& facts) {
  const CardJson& sizes = facts.at("sizes");
  const int64_t observation = sizes.at("observation"), action = sizes.at("action");
  std::vector<std::string> limits = {
      absl::StrFormat("Other sizes: it reads observations of %d numbers and %s, in the order and "
                      "units of the environment that it was trained on.",
                      observation,
                      sizes.at("discrete_actions").get<bool>()
                          ? absl::StrFormat("one of %d actions", action)
                          : absl::StrFormat("actions of %d", action)),
      "Tasks unlike those that it was trained on. The table says how agents did on the goals named "
      "there, and nothing of others.",
      "Agents unlike those that it taught (`agent` in config.json): another algorithm, another "
      "length of life or another learning rate may learn nothing from it. Measure before you rely "
      "on it, against the task's own reward.",
      "Safety: it was never asked to keep a machine or a person from harm."};
  std::string text;
  for (const std::string& limit : limits) absl::StrAppend(&text, "* ", limit, "\n");
  return text;
}

}  // namespace

std::string SignalCard(const std::string& name, const std::string& license,
                       const std::string& facts, const std::vector<report::MethodResult>& results) {
  const CardJson json = CardJson::parse(facts);
  const CardJson& trained = json.at("trained");
  const CardJson& sizes = json.at("sizes");
  const CardJson& weights = json.at("weights");
  const CardJson& steps = trained.at("environment_steps");
  std::string card = CardHead(name, license, json, results);
  absl::StrAppendFormat(
      &card,
      "# %s\n\nA training signal that was meta-learned with Mentor %s: network `%s` (%s), whose "
      "output is %s.\n\n",
      name, TextAt(json, "mentor"), TextAt(json.at("network"), "name"),
      TextAt(json.at("network"), "summary"), RoleOf(json));
  absl::StrAppend(
      &card, "| | |\n|---|---|\n| trained on | ", TasksOf(trained), " |\n| for | ",
      report::Several(trained.at("outer_updates").get<uint64_t>(), "outer update"), " of ",
      report::Several(trained.at("lifetimes_per_update").get<uint64_t>(), "lifetime"),
      steps.is_null()
          ? ""
          : absl::StrCat(", ", report::Grouped(steps.get<uint64_t>()), " environment steps"),
      ", rule `", TextAt(trained, "rule"), "`, seed ", trained.at("seed").get<uint64_t>(),
      " |\n| a lifetime | ", sizes.at("iterations").get<int>(), " inner iterations of ",
      sizes.at("steps_per_iteration").get<int64_t>(), " steps, episodes of at most ",
      sizes.at("episode_steps").get<int64_t>(), " |\n| weights | ",
      report::Grouped(weights.at("parameters").get<uint64_t>()), ", those ",
      TextAt(weights, "which") == "best" ? "with the best score in training"
                                         : "after the last outer update",
      " |\n| result | ", TextAt(trained, "result_hash"), " |\n\n");
  absl::StrAppend(
      &card, "## What it sees\n\n", ColumnsTable(json), "\n## How agents did\n\n",
      ResultsTable(results), "\n## What it is not for\n\n", Limits(json),
      "\n## How to use it\n\n```python\nimport mentor_signal\n\nsignal = "
      "mentor_signal.load(\"",
      name,
      "\")          # verifies the files, and the recorded lifetime with check=True\n"
      "```\n\nor `mentor evaluate DIR` with this folder. config.json holds the spec: the "
      "same spec and seed give the same weights.\n");
  return card;
}

}  // namespace mentor
