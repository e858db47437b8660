#include "common/spec/spec.h"

#include <filesystem>
#include <limits>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>
#include <google/protobuf/util/message_differencer.h>

#include "common/rng.h"
#include "common/spec/canonical.h"
#include "common/spec/differences.h"
#include "common/status.h"
#include "tests/paths.h"
#include "tests/testing.h"

namespace mentor::TEST_FILE {

constexpr char kSmall[] = "benchmark { name: 'point_reach' }";

// "field: description" of every violation.
std::vector<std::string> Complaints(std::string_view text,
                                    const std::vector<std::string>& overrides = {}) {
  Violations violations;
  ParseSpec(text, overrides, &violations);
  std::vector<std::string> lines;
  for (const Violation& violation : violations.list())
    lines.push_back(violation.field + ": " + violation.description);
  return lines;
}

std::string TheOnly(const std::vector<std::string>& lines) {
  REQUIRE(lines.size() == 1);
  return lines[0];
}

v1::ExperimentSpec Load(std::string_view text, const std::vector<std::string>& overrides = {}) {
  auto spec = LoadSpec(text, overrides);
  INFO(spec.status().ToString());
  REQUIRE(spec.ok());
  return *std::move(spec);
}

bool Same(const v1::ExperimentSpec& a, const v1::ExperimentSpec& b) {
  return google::protobuf::util::MessageDifferencer::Equals(a, b);
}

TEST_CASE("spec: defaults are legal, written out by WithDefaults, and survive printing", "[unit]") {
  const v1::ExperimentSpec merged = WithDefaults(Load(kSmall));
  CHECK(merged.agent().has_epochs());
  CHECK(merged.agent().epochs() == 64);
  CHECK(merged.agent().adam_epsilon() == 1e-5);
  CHECK(merged.signal().role() == v1::REWARD);
  CHECK(merged.has_seed());
  CHECK_FALSE(merged.agent().has_target_kl());  // No default: unset means never.
  CHECK_FALSE(merged.benchmark().has_environment());
  CHECK(Same(WithDefaults(merged), merged));
  CHECK(Same(Load(PrintSpec(merged)), merged));
  Violations violations;
  CheckSpec(merged, &violations);
  CHECK(violations.empty());
}

TEST_CASE("spec: errors of syntax carry line and column", "[unit]") {
  CHECK(TheOnly(Complaints("seed: 1\nseed: 2"))
            .rfind("line 2, column 5: Non-repeated field \"seed\"", 0) == 0);
  // Only the parser can know that this is not a value.
  CHECK(
      Complaints("agent { epochs: 'open }").at(1) ==
      "line 1, column 24: a text in quotes does not end on its line; close it with the quote that "
      "it begins with");
  CHECK(TheOnly(Complaints(std::string("seed: 1\0", 8))) ==
        "spec: has a zero byte at offset 7; give a text file");
  CHECK(TheOnly(Complaints(std::string("\xff\xfes\0", 4))) ==
        "spec: is UTF-16; save the file as UTF-8");
  CHECK(TheOnly(Complaints("display_name: \"open\nseed: 1\n"))
            .find("line 1, column 20: a text in quotes does not end on its line") == 0);
}

TEST_CASE("spec: an unknown field is named where it stands, the first ones of many", "[unit]") {
  CHECK(Complaints("seed: 1\nagnet # the agent\n\n  { epochs: 1 }\n")
            .at(0)
            .find("line 2, column 1: ExperimentSpec has no field 'agnet'") == 0);
  for (const char* form : {"%s", "rule { %s }"}) {
    std::string fields;
    for (int i = 0; i < 500; ++i) absl::StrAppend(&fields, "\nf", i, ": 1");
    const auto lines = Complaints(absl::StrReplaceAll(form, {{"%s", fields}}));
    INFO(form);
    REQUIRE(lines.size() > 100);
    CHECK(lines[0].find("line 2, column 1: ") == 0);
    CHECK(lines[0].find("has no field 'f0'") != std::string::npos);
    CHECK(lines[99].find("has no field 'f99'") != std::string::npos);
    CHECK(lines[100] == "spec: and 400 more; mend these first");
  }
}

TEST_CASE("spec: values that do not fit are said by field, what was found, and what may be given",
          "[unit]") {
  const auto lines = Complaints(
      "benchmark { name: point_reach }\n"
      "agent { epochs: x gamma: 'a' clip: 99999999999 minibatches: 99999999999 }\n"
      "lifetime {\n\titerations: -3 steps_per_iteration: 1.5 }\n"
      "agent { normalize_advantage: yes }\n"
      "signal { role: PUNISHMENT }\n"
      "evaluation { baseline: [PPO_SPARSE, PPO] }\n"
      "agnet: 3\n");
  const std::vector<std::string> expected = {
      "line 1, column 19: benchmark.name is point_reach; give a text in quotes",
      "line 2, column 17: agent.epochs is x; give an integer from 1 to 10000; the default is 64",
      "line 2, column 26: agent.gamma is 'a'; give a finite number from 0 to 1; the default is "
      "0.99",
      "line 2, column 61: agent.minibatches is 99999999999; give an integer from 1 to "
      "100000; the default is 16",
      "line 4, column 21: lifetime.iterations is -3; give an integer from 1 to 1000; the default "
      "is 3",
      "line 4, column 45: lifetime.steps_per_iteration is 1.5; give an integer from 2 to 1000000; "
      "the default is 2000",
      "line 5, column 30: agent.normalize_advantage is yes; give true or false; the default is "
      "true",
      "line 6, column 16: signal.role is PUNISHMENT; give one of REWARD, ADVANTAGE, LOSS; the "
      "default is REWARD",
      "line 7, column 37: evaluation.baseline is PPO; give one of PPO_SPARSE, PPO_SHAPED, "
      "PPO_SPARSE_AND_SHAPED, RANDOM_SIGNAL, PPO_POTENTIAL, PPO_RND, PPO_ICM, PPO_COUNTS (did you "
      "mean 'PPO_ICM' or 'PPO_RND'?)",
  };
  CHECK(lines == expected);
}

TEST_CASE("spec: habits of other formats are named with what to write", "[unit]") {
  const std::string form =
      "; write fields as name: value and groups as name { ... }, in protobuf's text format";
  CHECK(TheOnly(Complaints("{\"seed\": 1}")) == "line 1, column 1: is JSON" + form);
  CHECK(TheOnly(Complaints("seed: 1 agent {\n  \"epochs\": 3 }")) ==
        "line 2, column 3: the name of a field has no quotes, but here is \"epochs\"" + form);
  CHECK(
      TheOnly(Complaints("seed: 1\nbenchmark:\n  name: 'x'\n")) ==
      "line 2, column 1: benchmark is a group of fields; write benchmark { ... }, not as in YAML");
  CHECK(TheOnly(Complaints("benchmark {\n  - name: 'x'\n}")) ==
        "line 2, column 3: no field begins with '-', as in YAML; a list has its name once for each "
        "entry" +
            form);
  CHECK(TheOnly(Complaints("seed: 1 // the seed\n")) ==
        "line 1, column 9: a comment begins with #, not with a slash; write # ...");
  CHECK(TheOnly(Complaints("seed = 1")) ==
        "line 1, column 6: after 'seed' comes a colon, no '='; write seed: ...");
  CHECK(TheOnly(Complaints("seed { 1 }")) ==
        "line 1, column 6: seed is no group of fields; write seed: and its value");
  CHECK(TheOnly(Complaints("agent { epochs: }")) ==
        "line 1, column 17: agent.epochs has no value; give an integer from 1 to 10000");
}

TEST_CASE("spec: a group without its end is named, and nothing is said of what follows", "[unit]") {
  CHECK(TheOnly(Complaints("seed: 1\n  agent { epochs: 3")) ==
        "line 2, column 3: the group 'agent' begins here and does not end; add a } after its "
        "fields");
  CHECK(TheOnly(Complaints("benchmark { name: 'x' }\n"
                           "rule {\n  option { name: 'a' value: '1' }\n\n"
                           "evaluation { baseline: PPO_SPARSE }\nagent { epochs: 1 }\n")) ==
        "line 5, column 1: 'evaluation' stands within the group 'rule' of line 2, which does not "
        "end before it; add a }");
  CHECK(TheOnly(Complaints("agent { epochs: 3 } }")) ==
        "line 1, column 21: this } ends no group; remove it, or write the { that it belongs to");
  // All groups end: the field alone is wrong.
  CHECK(TheOnly(Complaints("benchmark { name: 'x' } rule { seed: 1 }"))
            .find("line 1, column 32: RuleSpec has no field 'seed'; ") == 0);
}

TEST_CASE("spec: options need no quotes, and stand among the fields as in --set", "[unit]") {
  const v1::ExperimentSpec spec = Load(
      "benchmark { name: 'a' option { name: 'radius' value: 1e-3 } option { name: 'low' value: -1 }"
      " wrapper { name: 'w' scale: 2 } }\n"
      "rule {\n\tlearning_rate: 3e-4 # as in a paper\n k:\n400, fast: true; text: 'a' 'b' }");
  const auto& benchmark = spec.benchmark();
  REQUIRE(benchmark.option_size() == 2);
  CHECK(benchmark.option(0).value() == "1e-3");
  CHECK(benchmark.option(1).value() == "-1");
  CHECK(benchmark.wrapper(0).option(0).name() == "scale");
  CHECK(benchmark.wrapper(0).option(0).value() == "2");
  REQUIRE(spec.rule().option_size() == 4);
  CHECK(spec.rule().option(0).name() == "learning_rate");
  CHECK(spec.rule().option(0).value() == "3e-4");
  CHECK(spec.rule().option(1).value() == "400");
  CHECK(spec.rule().option(2).value() == "true");
  CHECK(spec.rule().option(3).value() == "ab");
  // Places refer to the text as written.
  CHECK(
      Complaints("benchmark { name: 'x' }\n"
                 "rule { k: 3 option { name: 'a' value: 1 }\tagnet: [3] } agnet: 1") ==
      std::vector<std::string>{
          "line 2, column 49: RuleSpec has no field 'agnet'; known: name, outer_updates, "
          "lifetimes_per_update, shard_lifetimes, option, patience; an option is written option { "
          "name: \"agnet\" value: \"...\" }",
          "line 2, column 62: ExperimentSpec has no field 'agnet'; did you mean 'agent'?"});
}

TEST_CASE("spec: every unknown field is reported with its place and the likely name", "[unit]") {
  const auto lines = Complaints(
      "benchmark { name: 'x' }\n"
      "rule { outer_update: 3 }\n"
      "agnet { epochs: 1 }\n"
      "agent { zzzzzzzz { a: 1 b: [1, 2] } epochs: 0 }\n");
  REQUIRE(lines.size() == 4);
  CHECK(lines[0] ==
        "line 2, column 8: RuleSpec has no field 'outer_update'; did you mean 'outer_updates'? An "
        "option is written option { name: \"outer_update\" value: \"...\" }");
  CHECK(lines[1].find(
            "line 3, column 1: ExperimentSpec has no field 'agnet'; did you mean 'agent'?") == 0);
  CHECK(lines[2].find(
            "line 4, column 9: AgentSpec has no field 'zzzzzzzz'; known: hidden_units, epochs, ") ==
        0);
  CHECK(lines[3] ==
        "agent.epochs: is 0; give an integer from 1 to 10000; the default is 64");  // Read on to
                                                                                    // the end.
}

TEST_CASE("spec: all violations at once, each with field, value, bound and remedy", "[unit]") {
  const auto lines = Complaints(R"(
    benchmark { option { name: "radius" } }
    lifetime { iterations: 1 steps_per_iteration: 20 }
    agent { minibatches: 16 gamma: 1.5 clip: 0 learning_rate: nan max_grad_norm: inf adam_beta1: 1 }
    signal { name: "" role: SIGNAL_ROLE_UNSPECIFIED }
    rule { lifetimes_per_update: 10 shard_lifetimes: 4 }
    evaluation { baseline: [PPO_SPARSE, PPO_SHAPED, PPO_SPARSE] })");
  const std::vector<std::string> expected = {
      "benchmark.name: is missing; set it",
      "benchmark.option[0].value: is missing; set it",
      "agent.gamma: is 1.5; give a finite number from 0 to 1; the default is 0.99",
      "agent.clip: is 0; give a finite number above 0, of at most 10; the default is 0.2",
      "agent.max_grad_norm: is inf; give a finite number above 0; the default is 0.5",
      "agent.learning_rate: is nan; give a finite number from 0 to 10; the default is 0.0003",
      "agent.adam_beta1: is 1; give a finite number of at least 0, below 1; the default is 0.9",
      "signal.name: is missing; set it; the default is lstm",
      "signal.role: is SIGNAL_ROLE_UNSPECIFIED; give one of REWARD, ADVANTAGE, LOSS; the default "
      "is "
      "REWARD",
      "evaluation.baseline[2]: is PPO_SPARSE, which is there already; remove one",
      "agent.minibatches: is 16, which leaves 1 of lifetime.steps_per_iteration = 20 steps in a "
      "minibatch; give at most "
      "10, so that a minibatch has 2 steps or more",
      "rule.shard_lifetimes: is 4, which does not divide rule.lifetimes_per_update = 10; give a "
      "divisor of it",
  };
  CHECK(lines == expected);
}

TEST_CASE("spec: lists of groups and of numbers", "[unit]") {
  const std::string text = R"(
    benchmark {
      name: "custom"
      wrapper { name: "first" }
      wrapper { name: "second" option { name: "size" value: "1" } }
      task_set { environment: "a" task { parameters: [1, 2.5] } task { parameters: 3 } }
      task_set { environment: "b" range { low: -1 high: 1 } }
    })";
  // Entries go by number, numbers of a list by commas.
  const v1::ExperimentSpec spec =
      Load(text, {"benchmark.wrapper[1].size=2", "benchmark.wrapper[0].name=other",
                  "benchmark.task_set[0].task[1].parameters=4,-5e-1",
                  "benchmark.task_set[1].range[0].low=0.25", "benchmark.task_set[1].split=TEST"});
  const v1::BenchmarkSpec& benchmark = spec.benchmark();
  CHECK(benchmark.wrapper(0).name() == "other");
  REQUIRE(benchmark.wrapper(1).option_size() == 1);
  CHECK(benchmark.wrapper(1).option(0).value() == "2");
  REQUIRE(benchmark.task_set(0).task(1).parameters_size() == 2);
  CHECK(benchmark.task_set(0).task(1).parameters(1) == -0.5);
  CHECK(benchmark.task_set(1).range(0).low() == 0.25);
  CHECK(benchmark.task_set(1).split() == v1::TEST);
  // Defaults inside entries are written out too, and belong to the hash as elsewhere.
  CHECK(WithDefaults(spec).benchmark().task_set(0).has_split());
  v1::ExperimentSpec written = spec;
  written.mutable_benchmark()->mutable_task_set(0)->set_split(v1::TRAIN);
  CHECK(SpecHash(written) == SpecHash(spec));
  written.mutable_benchmark()->mutable_task_set(0)->set_goal_visible(true);
  CHECK(SpecHash(written) != SpecHash(spec));
  CHECK(SpecHash(*LoadSpec(PrintSpec(WithDefaults(spec)))) == SpecHash(spec));

  const auto complaint = [&](const std::string& override_text) {
    const absl::Status status = LoadSpec(text, {override_text}).status();
    return std::string(status.message());
  };
  CHECK(complaint("benchmark.wrapper.name=x") ==
        "--set 'benchmark.wrapper.name': 'wrapper' is a list of 2 in the spec; name one of them "
        "from [0] on, or write it in the file");
  for (const char* path : {"wrapper[2].name", "wrapper[-1].name", "wrapper[].name",
                           "wrapper[0.name", "wrapper[x].name"}) {
    INFO(path);
    CHECK(complaint("benchmark." + std::string(path) + "=x").find("is a list of 2") !=
          std::string::npos);
  }
  CHECK(complaint("agent[0].epochs=3").find("no field 'agent[0]'") != std::string::npos);
  CHECK(complaint("agent.epochs[0]=3").find("no field 'epochs[0]'") != std::string::npos);
  CHECK(complaint("benchmark.wrapper[0]=x").find("is a group of fields") != std::string::npos);
  CHECK(complaint("benchmark.task_set[0].task[0].parameters=1,x") ==
        "benchmark.task_set[0].task[0].parameters: is 'x'; give a finite number, separated by "
        "commas");

  CHECK(TheOnly(Complaints("benchmark { name: 'c' task_set { environment: 'a' task { parameters: "
                           "[1, inf] } } }")) ==
        "benchmark.task_set[0].task[0].parameters[1]: is inf; give a finite number");
  CHECK(TheOnly(Complaints("benchmark { name: 'c' task_set { environment: 'a' range { low: 1 } } "
                           "}")) == "benchmark.task_set[0].range[0].high: is missing; set it");
  CHECK(
      TheOnly(Complaints("benchmark { name: 'c' task_set { environment: 'a' goals: 10001 } }")) ==
      "benchmark.task_set[0].goals: is 10001; give an integer of at most 10000; the default is 0");
}

TEST_CASE(
    "spec: parts are checked too, with defaults where fields are wrong, and nothing is said twice",
    "[unit]") {
  v1::ExperimentSpec seen;
  const PartsCheck check = [&](const v1::ExperimentSpec& spec, Violations* violations) {
    seen = spec;
    violations->Add("benchmark.name", "unknown benchmark");
    violations->Add("rule.k", "unknown option");
    violations->Add("signal.option.x", "unknown option");
    violations->Add("agent.gamma", "said already");
  };
  Violations violations;
  CheckSpec(*LoadSpec("benchmark { name: 'x' }"), &violations, check);
  CHECK(violations.list().size() == 4);
  CHECK(seen.agent().has_epochs());

  violations = {};
  ParseSpec("agent { gamma: 7 } signal { role: SIGNAL_ROLE_UNSPECIFIED option { name: 'x' } }",
            {"rule.k=9"}, &violations, check);
  std::vector<std::string> fields;
  for (const Violation& violation : violations.list()) fields.push_back(violation.field);
  CHECK(fields == std::vector<std::string>{"benchmark", "agent.gamma", "signal.role",
                                           "signal.option[0].value", "rule.k"});
  CHECK(seen.agent().gamma() == 0.99);
  CHECK(seen.signal().role() == v1::REWARD);
  CHECK(seen.signal().option().empty());  // The option's absence is not reported.
  CHECK(seen.rule().option(0).value() == "9");

  // With what goes together where the rest does not: minibatches of 1 step, with T back at its
  // default and 1500 of them.
  violations = {};
  seen.Clear();
  ParseSpec(
      "benchmark { name: 'x' } lifetime { steps_per_iteration: 0 } agent { minibatches: 1500 }", {},
      &violations, check);
  CHECK(violations.list().size() == 5);
  CHECK(seen.agent().minibatches() == 1);
}

TEST_CASE("spec: a minibatch of one step has no advantage to standardise", "[unit]") {
  const auto with = [](const std::string& more) {
    return Complaints("benchmark { name: 'x' } lifetime { steps_per_iteration: 105 " + more);
  };
  const auto lines = with("} agent { minibatches: 4 }");
  REQUIRE(lines.size() == 1);
  CHECK(
      lines[0].starts_with("agent.minibatches: is 4, which cuts lifetime.steps_per_iteration = "
                           "105 steps into minibatches of 26 and one of a single step"));
  CHECK(with("} agent { minibatches: 5 }").empty());
  CHECK(with("} agent { minibatches: 4 normalize_advantage: false }").empty());
  CHECK(with("iterations: 1 } agent { minibatches: 4 }").empty());
}

TEST_CASE("spec: LoadSpec says every violation in a status for programs", "[unit]") {
  const auto spec = LoadSpec("agent { gamma: 2 clip: 0 }");
  CHECK(spec.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(ReasonOf(spec.status()) == "INVALID_FIELD");
  const std::string message(spec.status().message());
  CHECK(message.find("benchmark: is missing") != message.npos);
  CHECK(message.find("agent.gamma: is 2") != message.npos);
  CHECK(message.find("agent.clip: is 0") != message.npos);
}

TEST_CASE("spec: numbers of lifetimes stay within 32 bits", "[unit]") {
  const std::vector<std::string> wide = {"rule.lifetimes_per_update=65536",
                                         "rule.shard_lifetimes=1"};
  auto with = [&](const std::string& updates) {
    auto overrides = wide;
    overrides.push_back("rule.outer_updates=" + updates);
    return Complaints(kSmall, overrides);
  };
  CHECK(with("65535").empty());
  CHECK(TheOnly(with("65536"))
            .find("rule.outer_updates: is 65536, which makes 4294967296 lifetimes") == 0);
}

TEST_CASE("spec: text fields are bounded and printable", "[unit]") {
  const std::string name101(101, 'a');
  CHECK(TheOnly(Complaints("benchmark { name: '" + name101 + "' }")) ==
        "benchmark.name: is 101 bytes long; give at most 100");
  CHECK(TheOnly(Complaints("benchmark { name: 'a\\nb' }")) ==
        "benchmark.name: is 'a?b'; give printable ASCII characters");
  CHECK(Complaints(std::string(kSmall) + "display_name: 'Türen, schließen'").empty());
  for (const char* bad :
       {"\\xff", "\\xc0\\x80", "\\xed\\xa0\\x80", "\\xf4\\x90\\x80\\x80", "\\xe2\\x82"}) {
    INFO(bad);
    CHECK(TheOnly(Complaints(std::string(kSmall) + "display_name: '" + bad + "'"))
              .find("display_name: is ") == 0);
  }
  std::string options;
  for (int i = 0; i <= 100; ++i) options += "option { name: 'a' value: 'b' } ";
  CHECK(TheOnly(Complaints(std::string(kSmall) + "rule { " + options + "}")) ==
        "rule.option: has 101 entries; give at most 100");
}

TEST_CASE("spec: limits of size and depth", "[unit]") {
  CHECK(TheOnly(Complaints(std::string(kSpecBytesMax + 1, ' '))) ==
        "spec: has 1048577 bytes; give at most 1048576");
  CHECK(Complaints(kSmall + std::string(kSpecBytesMax - 100, ' ')).empty());
  std::string deep, wide;
  for (int i = 0; i < 200000; ++i) deep += "a{";
  CHECK_FALSE(Complaints(deep).empty());
  for (int i = 0; i < 200000; ++i) wide += "a:1 ";
  // The report is for people, not a megabyte: 100 violations, how many more, and what is missing.
  CHECK(Complaints(wide).size() == 102);
}

TEST_CASE("spec: lists of wrappers, violations and overrides have an end (D6)", "[unit]") {
  std::string wrappers, sets;
  for (int i = 0; i <= 100; ++i) wrappers += "wrapper { name: 'a' } ";
  CHECK(TheOnly(Complaints("benchmark { name: 'c' " + wrappers + "}")) ==
        "benchmark.wrapper: has 101 entries; give at most 100");
  CHECK(TheOnly(
            Complaints("benchmark { name: 'c' task_set { environment: 'a' " + wrappers + "} }")) ==
        "benchmark.task_set[0].wrapper: has 101 entries; give at most 100");
  // Two bytes of a message each, and a violation that is longer than what it complains of.
  for (int i = 0; i < 10'000; ++i) sets += "task_set {} ";
  CHECK(Complaints("benchmark { name: 'c' " + sets + "}").size() == 1000);
  bool parts_seen = false;
  Violations violations;
  ParseSpec("benchmark { name: 'c' " + sets + "}", {}, &violations,
            [&](const v1::ExperimentSpec&, Violations*) { parts_seen = true; });
  CHECK_FALSE(parts_seen);
  CHECK(Complaints(kSmall, std::vector<std::string>(1001, "a=b")).size() == 1);
}

TEST_CASE("spec: fields that only a newer program knows are refused", "[unit]") {
  v1::ExperimentSpec spec = Load(kSmall);
  spec.mutable_rule()->GetReflection()->MutableUnknownFields(spec.mutable_rule())->AddVarint(77, 1);
  // An unlisted enum value travels as an unknown field in proto2.
  std::string bytes = spec.SerializeAsString();
  bytes += std::string("\x32\x02\x10\x09", 4);  // signal { role: 9 }
  v1::ExperimentSpec received;
  REQUIRE(received.ParseFromString(bytes));
  Violations violations;
  CheckSpec(received, &violations);
  REQUIRE(violations.list().size() == 2);
  CHECK(violations.list()[0].field == "signal.2");
  CHECK(violations.list()[1].field == "rule.77");
}

TEST_CASE("spec: overrides of every type", "[unit]") {
  const v1::ExperimentSpec spec = Load(
      "benchmark { name: 'a' } rule { option { name: 'k' value: '400' } option { name: 'epochs' "
      "value: '12' } }"
      "evaluation { baseline: PPO_SPARSE }",
      {"seed=18446744073709551615", "benchmark.name=b=c", "agent.gamma=0.5",
       "agent.clip_value_loss=true", "signal.role=ADVANTAGE", "rule.k=100",
       "rule.option.learning_rate=3e-4", "rule.learning_rate=1e-3", "signal.initial_std=0.3",
       "evaluation.baseline=PPO_SHAPED,PPO_SPARSE", "display_name=a b"});
  CHECK(spec.seed() == std::numeric_limits<uint64_t>::max());
  CHECK(spec.benchmark().name() == "b=c");
  CHECK(spec.agent().gamma() == 0.5);
  CHECK(spec.agent().clip_value_loss());
  CHECK(spec.signal().role() == v1::ADVANTAGE);
  REQUIRE(spec.rule().option_size() == 3);
  CHECK(spec.rule().option(0).value() == "100");  // Replaced in place.
  CHECK(spec.rule().option(1).value() == "12");   // Left alone.
  CHECK(spec.rule().option(2).name() == "learning_rate");
  CHECK(spec.rule().option(2).value() == "1e-3");  // The later override wins.
  CHECK(spec.signal().option(0).value() == "0.3");
  REQUIRE(spec.evaluation().baseline_size() == 2);
  CHECK(spec.evaluation().baseline(0) == v1::PPO_SHAPED);
  CHECK(
      Load("benchmark { name: 'a' } evaluation { baseline: PPO_SPARSE }", {"evaluation.baseline="})
          .evaluation()
          .baseline_size() == 0);
}

TEST_CASE("spec: bad overrides name path, value and remedy, and the later ones are still read",
          "[unit]") {
  const auto lines = Complaints(kSmall, {
                                            "gamma",
                                            "=3",
                                            "agnet.gamma=1",
                                            "agent.gama=1",
                                            "agent=1",
                                            "agent.gamma.x=1",
                                            "rule.option=1",
                                            "rule.option.a.b=1",
                                            "agent.epochs=-1",
                                            "agent.epochs=1.5",
                                            "agent.gamma=",
                                            "agent.gamma=nan",
                                            "agent.normalize_advantage=yes",
                                            "signal.role=reward",
                                            "evaluation.baseline=PPO_SPARSE,PPO",
                                            "seed=18446744073709551616",
                                            "rule.=1",
                                            "a..b=1",
                                        });
  const std::vector<std::string> expected = {
      "--set 'gamma': is not of the form path.to.field=value",
      "--set '=3': is not of the form path.to.field=value",
      "--set 'agnet.gamma': ExperimentSpec has no field 'agnet'; did you mean 'agent'?",
      "--set 'agent.gama': AgentSpec has no field 'gama'; did you mean 'gamma'?",
      "--set 'agent': is a group of fields; name one of them, for instance agent.hidden_units",
      "--set 'agent.gamma.x': 'gamma' has no parts; end the path there",
      "--set 'rule.option': names a list of options; name one of them, for instance "
      "rule.option.learning_rate=3e-4",
      "--set 'rule.option.a.b': names a list of options; name one of them, for instance "
      "rule.option.a.b.learning_rate=3e-4",
      "agent.epochs: is '-1'; give an integer from 1 to 10000; the default is 64",
      "agent.epochs: is '1.5'; give an integer from 1 to 10000; the default is 64",
      "agent.gamma: is ''; give a finite number from 0 to 1; the default is 0.99",
      "agent.normalize_advantage: is 'yes'; give true or false; the default is true",
      "signal.role: is 'reward'; give one of REWARD, ADVANTAGE, LOSS (did you mean 'REWARD'?); the "
      "default is REWARD",
      "evaluation.baseline: is 'PPO'; give one of PPO_SPARSE, PPO_SHAPED, PPO_SPARSE_AND_SHAPED, "
      "RANDOM_SIGNAL, PPO_POTENTIAL, PPO_RND, PPO_ICM, PPO_COUNTS (did you mean 'PPO_ICM' or "
      "'PPO_RND'?), separated by commas",
      "seed: is '18446744073709551616'; give an integer from 0 to 18446744073709551615; the "
      "default is 1",
      "--set 'rule.': RuleSpec has no field ''; known: name, outer_updates, lifetimes_per_update, "
      "shard_lifetimes, "
      "option, patience",
      "--set 'a..b': ExperimentSpec has no field 'a'; known: display_name, seed, benchmark, "
      "lifetime, agent, signal, "
      "rule, evaluation, checkpoint, curriculum, base, clear",
      "agent.gamma: is nan; give a finite number from 0 to 1; the default is 0.99",
  };
  REQUIRE(lines.size() == expected.size());
  for (size_t i = 0; i < lines.size(); ++i) CHECK(lines[i] == expected[i]);
}

TEST_CASE("spec: differences as lines, by the paths that --set takes", "[unit]") {
  const v1::ExperimentSpec before = Load(kSmall, {"seed=1", "agent.gamma=0.9"});
  const v1::ExperimentSpec after =
      Load(kSmall, {"seed=2", "signal.lstm=64", "display_name=other", "checkpoint.every=3"});
  const std::vector<std::string> all = {"agent.gamma: 0.9 -> 0.99", "seed: 1 -> 2",
                                        "signal.lstm: default -> 64"};
  CHECK(SpecDifferences(before, before, 5).empty());
  CHECK(SpecDifferences(before, after, 3) == all);
  CHECK(SpecDifferences(before, after, 1) == std::vector<std::string>{all[0], "and 2 more"});
  v1::ExperimentSpec wrapped = before;
  wrapped.mutable_benchmark()->add_wrapper()->set_name("time_feature");
  const std::vector<std::string> one = SpecDifferences(before, wrapped, 3);
  REQUIRE(one.size() == 1);
  CHECK(one[0] == "benchmark.wrapper[0].name: default -> time_feature");
}

TEST_CASE("spec: the hash covers what results depend on and nothing else", "[unit]") {
  const std::string hash = SpecHash(Load(kSmall));
  CHECK(hash.size() == 64);
  CHECK(SpecHash(WithDefaults(Load(kSmall))) == hash);
  CHECK(SpecHash(Load(kSmall, {"agent.gamma=0.99"})) == hash);  // A default, written out.
  CHECK(SpecHash(Load(kSmall, {"display_name=x"})) == hash);
  CHECK(SpecHash(Load(kSmall, {"checkpoint.every=7", "checkpoint.keep_last=1"})) == hash);
  CHECK(SpecHash(Load(kSmall, {"agent.entropy_coef=-0"})) == hash);
  for (const char* change :
       {"seed=2", "benchmark.name=x", "benchmark.goal_seed=2", "agent.gamma=0.9900000000000001",
        "agent.target_kl=1", "signal.role=ADVANTAGE", "rule.shard_lifetimes=30", "rule.k=1",
        "evaluation.goals=1", "evaluation.baseline=PPO_SPARSE"}) {
    INFO(change);
    CHECK(SpecHash(Load(kSmall, {change})) != hash);
  }
  // Options are a set.
  CHECK(SpecHash(Load(kSmall, {"rule.k=1", "rule.l=2"})) ==
        SpecHash(Load(kSmall, {"rule.l=2", "rule.k=1"})));
  CHECK(SpecHash(Load(kSmall, {"rule.k=1", "rule.l=2"})) !=
        SpecHash(Load(kSmall, {"rule.k=2", "rule.l=1"})));
}

TEST_CASE("spec: a part that may be absent stays so, and its presence counts", "[unit]") {
  const v1::ExperimentSpec without = WithDefaults(Load(kSmall));
  CHECK_FALSE(without.has_curriculum());
  CHECK(without.has_checkpoint());
  const v1::ExperimentSpec with = Load(kSmall, {"curriculum.name=adr", "curriculum.buffer=3"});
  CHECK(with.curriculum().name() == "adr");
  CHECK(SpecHash(with) != SpecHash(without));
  Violations violations;
  ParseSpec(kSmall, {"curriculum.buffer=3"}, &violations);
  REQUIRE(violations.list().size() == 1);
  CHECK(violations.list()[0].field == "curriculum.name");
}

TEST_CASE("spec: the canonical text is written down", "[unit]") {
  CHECK(CanonicalText(
            Load("benchmark { name: 'a;b' } agent { gamma: 0.5 clip_value_loss: true }"
                 "evaluation { baseline: [PPO_SHAPED, PPO_SPARSE] }"
                 "rule { option { name: 'z' value: '1' } option { name: 'a' value: '2' } }")) ==
        "{3={1=3:a;b;};5={4=0x1p-1;16=1;};7={5={1=1:a;2=1:2;};5={1=1:z;2=1:1;};};8={6=2;6=1;};}");
}

TEST_CASE("spec: broken texts never crash, and an accepted one reads back as itself", "[unit]") {
  std::string whole = PrintSpec(
      WithDefaults(Load(kSmall, {"rule.k=400", "signal.initial_std=0.2",
                                 "evaluation.baseline=PPO_SPARSE", "display_name=\"quoted\""})));
  const RandomStream random{.seed = 7, .purpose = Purpose::kTest};
  constexpr char kAlphabet[] = "{}[]<>:;,'\"\\#/ \n\0\xff-.0123456789eEinfatruPOS_";
  int accepted = 0;
  for (uint32_t trial = 0; trial < 4000; ++trial) {
    std::string text = whole;
    const uint32_t edits = 1 + random.Below(3, trial, 0);
    for (uint32_t edit = 0; edit < edits && !text.empty(); ++edit) {
      const size_t at = random.Below(text.size(), trial, 4 * edit + 1);
      const char letter = kAlphabet[random.Below(sizeof(kAlphabet) - 1, trial, 4 * edit + 2)];
      switch (random.Below(4, trial, 4 * edit + 3)) {
        case 0:
          text[at] = letter;
          break;
        case 1:
          text.insert(at, 1, letter);
          break;
        case 2:
          text.erase(at, random.Below(20, trial, 4 * edit + 4));
          break;
        default:
          text.resize(at);
      }
    }
    const auto spec = LoadSpec(text);
    if (!spec.ok()) {
      if (spec.status().code() != absl::StatusCode::kInvalidArgument ||
          spec.status().message().empty()) {
        FAIL("trial " << trial << ": " << spec.status().ToString());
      }
      continue;
    }
    ++accepted;
    const auto again = LoadSpec(PrintSpec(*spec));
    if (!again.ok() || !Same(*again, *spec) || SpecHash(*again) != SpecHash(*spec))
      FAIL("trial " << trial);
  }
  CHECK(accepted > 100);  // Both branches were tried.
  CHECK(accepted < 3900);
}

TEST_CASE("spec: what does not go together does not hide what is wrong with the parts", "[unit]") {
  // The default of 15 lifetimes a shard does not divide 7; 4 minibatches of 3 steps are empty.
  for (const char* text :
       {"rule { lifetimes_per_update: 7 shard_lifetimes: 0 }", "rule { lifetimes_per_update: 7 }",
        "lifetime { steps_per_iteration: 3 }",
        "agent { minibatches: 100000 } lifetime { steps_per_iteration: 3 }"}) {
    INFO(text);
    Violations violations;
    v1::ExperimentSpec seen;
    ParseSpec(std::string("benchmark { name: 'point_reach' } ") + text, {}, &violations,
              [&](const v1::ExperimentSpec& legal, Violations* found) {
                seen = legal;
                found->Add("signal.name", "is wrong");
              });
    REQUIRE(violations.list().size() >= 2);
    CHECK(violations.list().back().field == "signal.name");
    Violations left;
    CheckSpec(seen, &left, nullptr);
    CHECK(left.empty());
  }
}

TEST_CASE("spec: broken overrides never crash", "[unit]") {
  const RandomStream random{.seed = 8, .purpose = Purpose::kTest};
  const std::vector<std::string> parts = {
      "rule",     "option",     "agent", "gamma",  ".",    "..",  "=", "1",    "-", "evaluation",
      "baseline", "PPO_SPARSE", ",",     "signal", "role", "nan", "",  "\xff", "k"};
  for (uint32_t trial = 0; trial < 4000; ++trial) {
    std::string text;
    const uint32_t length = random.Below(8, trial, 0);
    for (uint32_t i = 0; i < length; ++i) text += parts[random.Below(parts.size(), trial, i + 1)];
    const auto spec = LoadSpec(kSmall, {text});
    if (!spec.ok() && spec.status().code() != absl::StatusCode::kInvalidArgument)
      FAIL(spec.status().ToString());
  }
}

TEST_CASE("spec: the only task set for training", "[unit]") {
  v1::ExperimentSpec spec;
  CHECK_FALSE(OnlyTrainingSet(spec).has_value());
  spec.mutable_benchmark()->add_task_set()->set_split(v1::TEST);
  CHECK_FALSE(OnlyTrainingSet(spec).has_value());
  spec.mutable_benchmark()->add_task_set();  // For training, as by default.
  CHECK(OnlyTrainingSet(spec) == 1);
  spec.mutable_benchmark()->add_task_set()->set_split(v1::TRAIN);
  CHECK_FALSE(OnlyTrainingSet(spec).has_value());
}

TEST_CASE("spec: every committed experiment loads, and says what it is", "[unit]") {
  int count = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(testing::SourcePath("experiments"))) {
    if (entry.path().extension() != ".txtpb") continue;
    INFO(entry.path().string());
    const auto spec = LoadSpecFile(entry.path());
    REQUIRE(spec.ok());
    CHECK_FALSE(spec->display_name().empty());
    ++count;
  }
  CHECK(count >= 7);
}

}  // namespace mentor::TEST_FILE
