#include "envs/describe.h"

#include <algorithm>

#include <absl/strings/str_split.h>
#include <nlohmann/json.hpp>

#include "envs/benchmark.h"
#include "envs/environment.h"
#include "envs/wrapper.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::envs::TEST_FILE {

using Json = nlohmann::json;
using mentor::testing::Contains;

TEST_CASE("describe: the list has everything that is registered, by suite", "[unit]") {
  const std::string list = DescribeCatalogue();
  const Json json = Json::parse(DescribeCatalogue(/*json=*/true));
  CHECK(json["environments"].size() == Catalogue().size());
  CHECK(json["benchmarks"].size() == Benchmarks().size());
  CHECK(json["wrappers"].size() == Wrappers().size());
  CHECK(json["catalogue"] == CatalogueHash());
  for (const char* part : {"environments", "benchmarks", "wrappers"}) {
    for (const Json& entry : json[part])
      CHECK(Contains(list, "\n  " + entry["name"].get<std::string>() + " "));
  }
  const auto gymnasium = list.find("Environments: Gymnasium v5\n"),
             metaworld = list.find("Environments: Meta-World v3\n"),
             small = list.find("Environments: Small\n");
  REQUIRE(small != std::string::npos);
  const auto hopper = list.find("\n  Hopper-v5 "), push = list.find("\n  push-v3 "),
             point = list.find("\n  point_reach ");
  CHECK((gymnasium < hopper && hopper < metaworld && metaworld < push && push < small &&
         small < point));
}

TEST_CASE("describe: a page tells spaces, reward, chance, task, policies, cameras and source",
          "[unit]") {
  const std::string push = Describe("push-v3").value();
  for (const char* part :
       {"push-v3, environment (Meta-World v3): Push a puck", "  source        metaworld 3.1.1",
        "  observation   39 numbers: 18 measured now", "  action        4 numbers from -1 to 1\n",
        "  episode       500 steps, always", "  info          success, near_object",
        "refused when n(v[0:2] - v[3:5]) < 0.15", "(-0.1, 0.6, 0.02, -0.1, 0.8, 0.01)",
        "  policies      scripted, random", "  cameras       table, topview",
        "  options       none\n"}) {
    INFO(part);
    CHECK(Contains(push, part));
  }
  for (const auto line : absl::StrSplit(push, '\n')) CHECK(line.size() <= 100);

  const Json json = Json::parse(Describe("Hopper-v5", /*json=*/true).value())["environment"];
  CHECK(json["observation"]["size"] == 11);
  CHECK(json["action"] == Json::parse(R"({"size": 3, "low": -1, "high": 1, "discrete": false})"));
  CHECK(json["episode"] == Json::parse(R"({"steps": 1000, "independent": false})"));
  CHECK(json["scripted_policy"] == false);
  CHECK(json["cameras"] == Json::parse(R"(["track", "free"])"));
  CHECK(json["reward"].get<std::string>().size() > 20);
}

TEST_CASE("describe: every environment says what its numbers, rewards and draws are", "[unit]") {
  for (const EnvironmentEntry* entry : CompleteEnvironments()) {
    INFO(entry->name);
    CHECK_FALSE(entry->observation_help.empty());
    CHECK_FALSE(entry->reward_help.empty());
    CHECK_FALSE(entry->random_help.empty());
    CHECK_FALSE(entry->source.empty());
  }
}

TEST_CASE("describe: benchmarks and wrappers have pages, a shared name has both", "[unit]") {
  const std::string ml1 = Describe("ml1").value();
  CHECK(Contains(ml1, "ml1, benchmark: Meta-World ML1"));
  CHECK(Contains(ml1, "here as an example assembly-v3"));
  CHECK(Contains(ml1, "  training      assembly-v3 (50 goals)\n"));
  for (const BenchmarkEntry* entry : Benchmarks()) {
    INFO(entry->name);
    const Json json = Json::parse(Describe(entry->name, /*json=*/true).value());
    CHECK(json["benchmark"]["name"] == entry->name);
    CHECK((entry->takes_task_sets || !json["benchmark"]["train"].empty()));
  }
  for (const WrapperEntry* entry : Wrappers()) {
    const std::string page = Describe(entry->name).value();
    CHECK(Contains(page, entry->name + ", wrapper: " + entry->summary));
    for (const OptionInfo& option : entry->options)
      CHECK(Contains(page, option.name + ": default " + option.default_value));
  }
}

TEST_CASE("describe: options show kinds, bounds and choices; a wrong name its near matches",
          "[unit]") {
  const std::string point = Describe("point_reach").value();
  CHECK(Contains(point, "point_reach, environment (Small): "));
  CHECK(Contains(point, "view: default visible; visible | revealed | hidden"));
  CHECK(Contains(point, "dimension: default 2; integer from 1 to 2"));
  CHECK(Contains(point, "  cameras       none"));
  const absl::Status wrong = Describe("push").status();
  CHECK(absl::IsNotFound(wrong));
  CHECK(Contains(std::string(wrong.message()), "did you mean 'push-v3'"));
}

}  // namespace mentor::envs::TEST_FILE
