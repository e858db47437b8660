#include "common/spec/yaml.h"

#include <string>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>

#include "common/file.h"
#include "common/spec/spec.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::TEST_FILE {

using mentor::testing::Contains;

constexpr char kYaml[] = R"(# A comment.
display_name: "no"
seed: 0x10
benchmark:
  name: point_reach
  dt: 0.1
  wrapper:
    - name: sparse_reward
    - {name: reward_delay, steps: 3}
agent: {gamma: +0.9, normalize_advantage: true}
signal:
  role: "ADVANTAGE"
rule:
  learning_rate: 1e-4
  option:
    - name: k
      value: 5
evaluation:
  baseline: [PPO_SPARSE, PPO_SHAPED]
checkpoint:
)";

constexpr char kText[] = R"(
  display_name: "no" seed: 16
  benchmark { name: "point_reach" dt: 0.1
              wrapper { name: "sparse_reward" } wrapper { name: "reward_delay" steps: 3 } }
  agent { gamma: 0.9 normalize_advantage: true }
  signal { role: ADVANTAGE }
  rule { learning_rate: 1e-4 option { name: "k" value: "5" } }
  evaluation { baseline: [PPO_SPARSE, PPO_SHAPED] }
  checkpoint {}
)";

v1::ExperimentSpec Read(std::string_view text, const std::string& name, Violations* violations) {
  return ParseSpec(text, {}, violations, nullptr, name);
}

// All violations, a line each.
std::string Refusals(std::string_view yaml) {
  Violations violations;
  Read(yaml, "a.yaml", &violations);
  std::string lines;
  for (const Violation& one : violations.list())
    absl::StrAppend(&lines, one.field, ": ", one.description, "\n");
  return lines;
}

TEST_CASE("yaml: a document is the spec that text format says") {
  Violations violations;
  const auto yaml = Read(kYaml, "a.yaml", &violations), text = Read(kText, "a.txtpb", &violations);
  REQUIRE(violations.empty());
  CHECK(PrintSpec(yaml) == PrintSpec(text));
  CHECK(SpecHash(Read(absl::StrCat("\xef\xbb\xbf", kYaml), "a.yml", &violations)) ==
        SpecHash(text));
  const std::string windows = absl::StrReplaceAll(kYaml, {{"\n", "\r\n"}});
  CHECK(SpecHash(Read(windows, "a.yaml", &violations)) == SpecHash(text));
  CHECK(violations.empty());
}

TEST_CASE("yaml: errors name the line, and have the words of text format") {
  CHECK(Contains(Refusals("seed: 1\nagent:\n  # nothing\n  gama: 1\n"),
                 "line 4: AgentSpec has no field 'gama'; did you mean 'gamma'?"));
  CHECK(Contains(Refusals("agent:\n  normalize_advantage: no\n"), "line 2: "));
  CHECK(
      Contains(Refusals("seed: 2020-01-01\n"), "line 1: seed is \"2020-01-01\"; give an integer"));
  CHECK(Contains(Refusals("agent: 5\n"), "line 1: 'agent' is a group of fields"));
  CHECK(Contains(Refusals("seed: [1]\n"), "line 1: 'seed' takes one value and has a list"));
  CHECK(Contains(Refusals("seed:\n"), "line 1: 'seed' has no value"));
  CHECK(Contains(Refusals("seed: {a: 1}\n"), "line 1: 'seed' takes one value and has fields"));
  CHECK(Contains(Refusals("seed: 1_000\n"), "line 1: has '1_000', which is no number"));
  CHECK(Contains(Refusals("agent: {gamma: -1_0}\n"), "line 1: has '-1_0', which is no number"));
  for (const char* number : {".inf", "-.Inf", ".nan"})
    CHECK_FALSE(Contains(Refusals(absl::StrCat("agent: {gamma: ", number, "}\n")), "no value"));
  CHECK(
      Contains(Refusals("benchmark: {name: point_reach}\nagent: {gamma: 7}"), "agent.gamma: is 7"));
}

TEST_CASE("yaml: what is legal YAML and no spec is refused") {
  CHECK(Contains(Refusals("seed: 1\nseed: 2\n"), "line 2: 'seed' is set twice, first in line 1"));
  CHECK(Contains(Refusals("seed: 1\n---\nseed: 2\n"), "line 3: a second document begins here"));
  CHECK(Contains(Refusals("seed: 010\n"), "line 1: has '010'"));
  CHECK(Contains(Refusals("seed: !mine 1\n"), "line 1: has the tag '!mine'"));
  CHECK(Contains(Refusals("seed: !!int 1\n"), "line 1: has the tag"));
  CHECK(Contains(Refusals("display_name: !!binary aGVsbG8=\n"), "line 1: has the tag"));
  CHECK(Contains(Refusals("<<: {seed: 1}\n"), "line 1: '<<' merges nothing"));
  CHECK(Contains(Refusals("- seed\n"), "line 1: is no map of fields"));
  CHECK(Contains(Refusals("? [a]\n: b\n"), "line 1: this key is no name of a field"));
  CHECK(Contains(Refusals("a b: 1\n"), "line 1: 'a b' is no name of a field"));
  CHECK(Contains(Refusals("agent:\n\tgamma: 1\n"), "YAML takes no tabs there"));
  CHECK(Contains(Refusals("seed: *x\n"), "line 1: is not YAML"));
  CHECK(Contains(Refusals("\xff\xfe"), "spec: is UTF-16"));
  for (const char* empty : {"", "# nothing\n", "---\n", "null\n"})
    CHECK(Refusals(empty) == "benchmark: is missing; set it\n");
}

TEST_CASE("yaml: aliases are written out, and their cost is bounded") {
  Violations violations;
  const auto spec = Read(
      "benchmark:\n  name: point_reach\n  wrapper:\n    - &w {name: sparse_reward}\n    - *w\n",
      "a.yaml", &violations);
  CHECK(violations.empty());
  CHECK(spec.benchmark().wrapper_size() == 2);
  CHECK(Contains(Refusals("agent: &a\n  x: *a\n"), "nested deeper than"));
  std::string laughs = "a: &a [x, x, x, x, x, x, x, x, x, x]\n";
  for (char name = 'b'; name <= 'k'; ++name) {
    absl::StrAppend(&laughs, std::string(1, name), ": &", std::string(1, name), "\n");
    for (int i = 0; i < 10; ++i) {
      const std::string of(1, static_cast<char>(name - 1));
      absl::StrAppend(&laughs, "  ", of, i, ": *", of, "\n");
    }
  }
  CHECK(Contains(Refusals(laughs), "written out, with its aliases, the document has more than"));
  const std::string deep(100'000, '[');
  CHECK(Contains(Refusals(deep), "is not YAML"));
  std::string many = "agent: [";
  for (int i = 0; i < 200'000; ++i) many += "1,";
  CHECK(Contains(Refusals(many + "1]\n"), "line 1: the document has more than 200000 values"));
}

TEST_CASE("yaml: a base may be YAML, and have a spec in text format as its own base") {
  const testing::TempFolder folder;
  const auto write = [&](const char* name, std::string_view text) {
    REQUIRE(WriteFileAtomically(folder.path() / name, text).ok());
  };
  write("first.txtpb", "benchmark { name: 'point_reach' } seed: 1 agent { gamma: 0.5 }");
  write("second.yaml", "base: first\nseed: 2\n");
  write("third.yml", "base: second.yaml\nclear: [agent.gamma]\ndisplay_name: third\n");
  const auto spec = LoadSpecFile(folder.path() / "third.yml");
  INFO(spec.status());
  REQUIRE(spec.ok());
  CHECK(spec->seed() == 2);
  CHECK(spec->display_name() == "third");
  CHECK_FALSE(spec->agent().has_gamma());
}

}  // namespace mentor::TEST_FILE
