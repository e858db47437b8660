#include <fstream>

#include <nlohmann/json.hpp>

#include "common/resources/names.h"
#include "common/resources/states.h"
#include "tests/paths.h"
#include "tests/testing.h"

namespace mentor::TEST_FILE {

// The Python client must give the same (tests/python/client_test.py).
nlohmann::json Examples() {
  std::ifstream file(testing::SourcePath("tests/data/resource_names.json"));
  REQUIRE(file.good());
  return nlohmann::json::parse(file);
}

TEST_CASE("resources: ids of experiments", "[unit]") {
  const nlohmann::json examples = Examples();
  for (const std::string id : examples["ids"]) {
    INFO(id);
    CHECK(IsExperimentId(id));
    CHECK(ExperimentIdOf(ExperimentName(id)) == id);
    CHECK(CollectionOf(ExperimentName(id)).empty());
  }
  for (const std::string id : examples["not_ids"]) {
    INFO(id);
    CHECK_FALSE(IsExperimentId(id));
  }
  CHECK(ExperimentName("first") == "experiments/first");
  for (const std::string name : {"", "first", "experiments/", "experiments/a/b", "runs/a"}) {
    INFO(name);
    CHECK_FALSE(ExperimentIdOf(name));
  }
}

TEST_CASE("resources: files of experiments", "[unit]") {
  const nlohmann::json examples = Examples();
  for (const auto& file : examples["files"]) {
    const std::string name = file["name"],
                      experiment = ExperimentName(std::string(file["experiment"]));
    const std::string rest = file["rest"];
    INFO(name);
    CHECK(CollectionOf(name) == std::string(file["collection"]));
    if (file["collection"] == "checkpoints") {
      const auto parsed = ParseCheckpointName(name);
      REQUIRE(parsed);
      CHECK(parsed->first == experiment);
      CHECK(parsed->second == std::stoul(rest));
      CHECK(CheckpointName(parsed->first, parsed->second) == name);
      CHECK_FALSE(ParseArtifactName(name));
    } else {
      CHECK(ParseArtifactName(name) == std::pair(experiment, rest));
      CHECK(ArtifactName(experiment, rest) == name);
      CHECK_FALSE(ParseCheckpointName(name));
    }
  }
  for (const std::string name : examples["not_files"]) {
    INFO(name);
    CHECK_FALSE(ParseCheckpointName(name));
    CHECK_FALSE(ParseArtifactName(name));
  }
  CHECK_FALSE(ParseArtifactName(ArtifactName("experiments/a", std::string("b\0c", 3))));
  CHECK_FALSE(ParseArtifactName(ArtifactName("experiments/a", std::string(1001, 'x'))));
  CHECK(ShardName("experiments/a", 7) == "experiments/a/shards/7");
}

TEST_CASE("resources: states and priorities by name", "[unit]") {
  const nlohmann::json examples = Examples();
  std::set<std::string> all, final_ones;
  for (const ExperimentState state : AllStates()) {
    const std::string text = StateText(state);
    all.insert(text);
    if (IsFinal(state)) final_ones.insert(text);
    CHECK_FALSE((IsFinal(state) && IsAtWork(state)));
    CHECK(ParseState(text) == state);
    CHECK(ParseState("STATE_" + text) == state);
  }
  CHECK(all == examples["states"].get<std::set<std::string>>());
  CHECK(final_ones == examples["final_states"].get<std::set<std::string>>());
  CHECK(ParseState("running") == v1::Experiment::STATE_RUNNING);
  for (const char* wrong :
       {"", "unspecified", "STATE_UNSPECIFIED", "STATE_", "run", "STATE_STATE_RUNNING"}) {
    INFO(wrong);
    CHECK_FALSE(ParseState(wrong));
  }
  CHECK(StateText(static_cast<ExperimentState>(99)) == "STATE 99");
  CHECK(PriorityText(v1::PRIORITY_UNSPECIFIED) == "NORMAL");
  CHECK(ParsePriority("low") == v1::PRIORITY_LOW);
  CHECK_FALSE(ParsePriority("unspecified"));
}

}  // namespace mentor::TEST_FILE
