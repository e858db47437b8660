#include "cli/ctl/experiment_file.h"

#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::TEST_FILE {

using namespace mentor::ctl;
using mentor::testing::Contains;

TEST_CASE("experiment file: a spec, or an experiment around one", "[unit]") {
  const auto spec = ParseExperimentFile("dir/first.txtpb", "benchmark { name: 'x' }", {"seed=3"});
  CHECK(spec.id == "first");
  CHECK(spec.violations.empty());
  CHECK(spec.experiment.spec().seed() == 3);

  const auto whole = ParseExperimentFile(
      "first.txtpb", "name: 'experiments/other' weight: 2 spec { benchmark { name: 'x' } }",
      {"seed=3"});
  CHECK(whole.id == "other");
  CHECK(whole.violations.empty());
  CHECK(whole.experiment.spec().seed() == 3);
  CHECK(whole.experiment.weight() == 2);
  CHECK(ParseExperimentFile("-", "", {}).id.empty());

  const auto short_form = ParseExperimentFile(
      "x", "weight: 2 spec { benchmark { name: 'x' } rule { learning_rate: 1e-3 } }", {});
  CHECK(short_form.violations.empty());
  CHECK(short_form.experiment.spec().rule().option(0).value() == "1e-3");
}

TEST_CASE("experiment file: what is wrong has its place or its field", "[unit]") {
  const auto first = [](const std::string& text) {
    const auto file = ParseExperimentFile("x", text, {});
    REQUIRE(!file.violations.empty());
    const Violation& violation = file.violations.list()[0];
    return violation.field + ": " + violation.description;
  };
  CHECK(Contains(first("spec { benchmark { name: 'x' } }\nweigth: 2"),
                 "line 2, column 1: Experiment has no field 'weigth'; did you mean 'weight'?"));
  CHECK(Contains(first("spec { benchmark { name: 'x' } }\nweight: -2"),
                 "line 2, column 9: weight is -2; give an integer"));
  CHECK(Contains(first("spec { benchmark { nam: 'x' } }"), "line 1, column "));
  CHECK(Contains(first("spec { benchmark { name: 'x' } } owner: 'me'"),
                 "owner: is set by the server; leave it out"));
  CHECK(
      Contains(first("spec { benchmark { name: 'x' } agent { gamma: 2 } }"), "agent.gamma: is 2"));
  CHECK(Contains(first("benchmark { name: 'x' } agent { gamma: 2 }"), "agent.gamma: is 2"));
  CHECK(Contains(first(std::string("benchmark\0x", 11)), "zero byte"));
  CHECK(!ParseExperimentFile("x", "spec {", {}).violations.empty());
}

TEST_CASE("experiment file: only what it sets is compared", "[unit]") {
  const auto file =
      ParseExperimentFile("x",
                          "spec { benchmark { name: 'x' } } priority: PRIORITY_NORMAL weight: 1 "
                          "labels { key: 'a' value: 'b' }",
                          {});
  v1::Experiment there;
  there.set_display_name("a title of its own");
  (*there.mutable_labels())["a"] = "b";
  CHECK(ChangedFields(file, there).empty());  // 0 and unspecified are 1 and NORMAL.
  (*there.mutable_labels())["c"] = "d";
  there.set_priority(v1::PRIORITY_LOW);
  CHECK(ChangedFields(file, there) == std::vector<std::string>{"labels", "priority"});
}

}  // namespace mentor::TEST_FILE
