#include "meta_learner/control/filter.h"

#include <google/protobuf/util/time_util.h>

#include "common/rng.h"
#include "common/status.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::meta_learner::TEST_FILE {

v1::Experiment Example() {
  v1::Experiment experiment;
  experiment.set_name("experiments/door-1");
  experiment.set_state(v1::Experiment::STATE_RUNNING);
  experiment.set_owner("ada");
  experiment.set_priority(v1::PRIORITY_HIGH);
  experiment.set_display_name("Door close, reward");
  experiment.mutable_spec()->mutable_rule()->set_name("black_box");
  experiment.mutable_spec()->mutable_benchmark()->set_name("ml1");
  experiment.mutable_spec()->mutable_benchmark()->set_environment("door-close-v3");
  experiment.mutable_spec()->set_seed(7);
  experiment.set_weight(2);
  (*experiment.mutable_labels())["team"] = "robots and \"friends\"";
  google::protobuf::util::TimeUtil::FromString("2026-03-01T12:00:00Z",
                                               experiment.mutable_create_time());
  return experiment;
}

bool Matches(const std::string& text) {
  const auto filter = ParseFilter(text);
  INFO(text << ": " << filter.status().ToString());
  REQUIRE(filter.ok());
  return (*filter)(Example());
}

TEST_CASE("filter: fields of every kind", "[unit]") {
  for (const char* text :
       {"state=RUNNING", "state = running", "state=STATE_RUNNING", "state!=QUEUED", "owner=ada",
        "owner=\"ada\"", "name=door-1", "name:OOR", "display_name:\"door close\"", "priority=HIGH",
        "rule=black_box", "benchmark=ml1", "environment:door", "seed=7", "seed>6.5", "seed<=7",
        "weight>=2", "create_time>2026-01-01T00:00:00Z", "create_time<=2026-03-01T12:00:00Z",
        "labels.team=\"robots and \\\"friends\\\"\"", "labels.none=\"\"", "labels.team:robots",
        "end_time!=2026-01-01T00:00:00Z", "state=RUNNING AND owner=ada AND seed=7",
        // Plain text, wherever it is.
        "OOR", "door-1", "Close", "robots", "\"door close\"", "ada robots box",
        "door AND state=RUNNING", "state=RUNNING AND door ada"}) {
    CHECK(Matches(text));
  }
  for (const char* text : {"bob", "door bob", "\"close door\"", "running", "state=QUEUED",
                           "owner=bob", "seed!=7", "seed>7", "create_time>2026-03-01T12:00:00Z",
                           "labels.team=robots", "labels.none:x", "end_time<2030-01-01T00:00:00Z",
                           "end_time>=2000-01-01T00:00:00Z", "state=RUNNING AND owner=bob"}) {
    CHECK_FALSE(Matches(text));
  }
  CHECK(*ParseFilter("") == nullptr);
  CHECK(*ParseFilter("  ") == nullptr);
}

TEST_CASE("filter: what is wrong is named, with its place", "[unit]") {
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {"colour=red", "'colour' is not a field; there are benchmark, create_time"},
      {"state", "expected one of ="},
      {"state=", "a value is missing"},
      {"reach=1", "labels.KEY, at character 1"},
      {"door OR close", "expected AND between two conditions, at character 6"},
      {"OR", "'OR' is not a field"},
      {"state=RUNNING door", "expected AND between two conditions, at character 15"},
      {"door state=RUNNING", "expected AND between two conditions, at character 6"},
      {"state=ASLEEP", "'ASLEEP' is not a state; give one of QUEUED, "},
      {"state=HIGH", "'HIGH' is not a state"},
      {"priority=RUNNING", "'RUNNING' is not a priority; give LOW, NORMAL or HIGH"},
      {"seed=many", "'many' is not a number"},
      {"seed=inf", "'inf' is not a number"},
      {"create_time>yesterday", "'yesterday' is not a time; give one such as 2026"},
      {"state:RUN", "':' looks into texts only"},
      {"owner=\"ada", "a quoted value has no end"},
      {"owner=ada OR owner=bob", "expected AND between two conditions, at character 11"},
      {"owner=ada AND", "'' is not a field"},
      {std::string(5000, 'x'), "has 5000 bytes, at most 4096"},
  };
  for (const auto& [text, message] : wrong) {
    const auto filter = ParseFilter(text);
    INFO(text.substr(0, 50) << ": " << filter.status().ToString());
    CHECK(ReasonOf(filter.status()) == "INVALID_FIELD");
    CHECK(mentor::testing::Contains(std::string(filter.status().message()), "filter: "));
    CHECK(mentor::testing::Contains(std::string(filter.status().message()), message));
  }
}

TEST_CASE("filter: any text is parsed or refused, and what is parsed can be asked", "[unit]") {
  const std::vector<std::string> pieces = {"state",
                                           "seed",
                                           "labels.",
                                           "labels.a",
                                           "create_time",
                                           "=",
                                           "!=",
                                           "<=",
                                           ">",
                                           ":",
                                           "AND",
                                           " ",
                                           "\"",
                                           "\\",
                                           "RUNNING",
                                           "7",
                                           "1e999",
                                           "nan",
                                           "2026-01-01T00:00:00Z",
                                           "x",
                                           "\x00\xff",
                                           "(",
                                           "\n",
                                           "owner",
                                           "and"};
  const v1::Experiment experiment = Example();
  int parsed = 0;
  for (uint32_t round = 0; round < 20'000; ++round) {
    const RandomStream random{.seed = 5, .lifetime = round};
    std::string text;
    const uint64_t length = random.Below(9, 0, 0);
    for (uint32_t i = 0; i < length; ++i) text += pieces[random.Below(pieces.size(), 1, i)];
    const auto filter = ParseFilter(text);
    if (filter.ok()) {
      ++parsed;
      if (*filter != nullptr) static_cast<void>((*filter)(experiment));
    } else {
      REQUIRE(ReasonOf(filter.status()) == "INVALID_FIELD");
    }
  }
  CHECK(parsed > 500);
}

}  // namespace mentor::meta_learner::TEST_FILE
