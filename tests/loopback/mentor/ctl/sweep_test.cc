// sweep and table.
#include <nlohmann/json.hpp>

#include "common/spec/spec.h"
#include "tests/loopback/mentor/ctl/program.h"

using namespace mentor;
using namespace mentor::testing;

namespace {

using Arguments = std::vector<std::string>;

Outcome Sweep(Fixture* fixture, const Arguments& more) {
  Arguments arguments = {"sweep", fixture->spec()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return fixture->Run(arguments);
}

void Succeed(Fixture* fixture, const std::string& id) {
  fixture->service().Change("experiments/" + id, [](v1::Experiment* experiment) {
    experiment->set_state(v1::Experiment::STATE_SUCCEEDED);
    experiment->mutable_progress()->set_outer_updates(4);
  });
}

}  // namespace

TEST_CASE("mentorctl: a sweep creates every combination once, however often it is repeated",
          "[loopback]") {
  Fixture fixture;
  const Arguments gamma = {"--name", "gamma", "--grid", "agent.gamma=0.9,0.99", "--seeds", "1-2"};
  Arguments trial = gamma;
  trial.push_back("--dry-run");
  const Outcome planned = Sweep(&fixture, trial);
  INFO(planned.err);
  CHECK(planned.code == 0);
  CHECK(Contains(planned.out,
                 "NAME           NOW               agent.gamma  seed\n"
                 "gamma-0p9-s1   would be created  0.9          1\n"));
  CHECK(Contains(planned.out, "gamma-0p99-s2  would be created  0.99         2\n"));
  CHECK(fixture.Run({"list", "-o", "name"}).out.empty());

  Arguments labelled = gamma;
  labelled.insert(labelled.end(), {"--label", "team=a", "--priority", "low", "--set", "seed=9"});
  const Outcome made = Sweep(&fixture, labelled);
  INFO(made.err);
  CHECK(made.code == 0);
  CHECK(Contains(made.out, "gamma-0p9-s1   created  0.9          1\n"));
  CHECK(Contains(made.err, "4 of 4 created; 'mentorctl table --label sweep=gamma --metric"));
  const auto one = fixture.service().Experiment("experiments/gamma-0p99-s2");
  CHECK(one.spec().agent().gamma() == 0.99);
  CHECK(one.spec().seed() == 2);
  CHECK(one.labels().at("sweep") == "gamma");
  CHECK(one.labels().at("team") == "a");
  CHECK(one.priority() == v1::PRIORITY_LOW);

  // Repeated with one more seed, and with other digits for the same number.
  const Outcome more =
      Sweep(&fixture, {"--name", "gamma", "--grid", "agent.gamma=0.90,0.99", "--seeds", "1-3"});
  CHECK(more.code == 0);
  CHECK(Contains(more.out, "gamma-0p9-s1   is there  0.90         1\n"));
  CHECK(Contains(more.out, "gamma-0p99-s3  created   0.99         3\n"));
  CHECK(Contains(more.err, "2 of 6 created"));
}

TEST_CASE("mentorctl: a sweep that cannot be is refused before anything is created", "[loopback]") {
  Fixture fixture;
  const auto refused = [&](const Arguments& arguments, const std::string& why, int code = 2) {
    const Outcome outcome = Sweep(&fixture, arguments);
    INFO(outcome.err);
    CHECK(outcome.code == code);
    CHECK(Contains(outcome.err, why));
  };
  refused({}, "--grid: is missing, and so is --seeds");
  refused({"--grid", "agent.gama=1,2"}, "did you mean 'gamma'?");
  refused({"--grid", "agent.gamma=0.9,2", "--seeds", "1"}, "agent.gamma");
  refused({"--grid", "agent.gamma=0.9", "--seeds", "a"}, "give seeds such as 1-5");
  refused({"--seeds", "1-5000"}, "at most 1000");
  CHECK(fixture.Run({"list", "-o", "name"}).out.empty());
  fixture.Make("taken-s1");
  refused({"--name", "taken", "--seeds", "1,2", "--set", "agent.gamma=0.5"}, "already", 5);
}

TEST_CASE("mentorctl: a table has a row for each setting and the mean over its seeds",
          "[loopback]") {
  Fixture fixture;
  REQUIRE(
      Sweep(&fixture, {"--name", "g", "--grid", "agent.gamma=0.9,0.99", "--seeds", "1-2"}).code ==
      0);
  fixture.service().AddPoint(4, {{"its_seed", 0}});
  const Arguments table = {"table", "--label", "sweep=g", "--metric", "its_seed"};
  const Outcome early = fixture.Run(table);
  CHECK(early.code == 5);
  CHECK(Contains(early.err, "none of the 4 experiments has succeeded yet"));
  for (const char* id : {"g-0p9-s1", "g-0p9-s2", "g-0p99-s2"}) Succeed(&fixture, id);

  const Outcome shown = fixture.Run(table);
  INFO(shown.err);
  CHECK(shown.code == 0);
  CHECK(shown.out ==
        "gamma  RUNS  its_seed\n"
        "0.9    2     1.5 [1, 2]\n"
        "0.99   1     2\n");
  CHECK(Contains(shown.err,
                 "of the last outer update\n1 experiment that has not succeeded is left out"));
  Arguments many = table;
  many.insert(many.end(), {"--last", "10"});
  CHECK(Contains(fixture.Run(many).err, "over runs, of 1 outer update, all that there are\n"));
  for (const uint32_t step : {1u, 2u, 3u}) fixture.service().AddPoint(step, {{"its_seed", 0}});
  const Outcome four = fixture.Run(many);
  INFO(four.err);
  CHECK(Contains(four.err, "over runs, of 4 outer updates, all that there are\n"));
  many.back() = "3";
  CHECK(Contains(fixture.Run(many).err, "over runs, of the last 3 outer updates\n"));
  const auto in = [&](const std::string& format) {
    Arguments arguments = table;
    arguments.insert(arguments.end(), {"-o", format});
    return fixture.Run(arguments).out;
  };
  CHECK(in("csv") ==
        "agent.gamma,runs,its_seed,its_seed low,its_seed high\n"
        "0.9,2,1.5,1,2\n"
        "0.99,1,2,2,2\n");
  const auto json = nlohmann::json::parse(in("json").substr(0, in("json").find('\n')));
  CHECK(json["settings"]["agent.gamma"] == "0.9");
  CHECK(json["metrics"]["its_seed"]["mean"] == 1.5);
  CHECK(json["metrics"]["its_seed"]["values"]["experiments/g-0p9-s2"] == 2);
  CHECK(in("name") == "experiments/g-0p9-s1\nexperiments/g-0p9-s2\nexperiments/g-0p99-s2\n");

  CHECK(fixture.Run({"table", "--label", "sweep=g", "--metric", "none"}).code == 3);
  CHECK(fixture.Run({"table", "--metric", "its_seed"}).code == 2);
  CHECK(fixture.Run({"table", "--label", "sweep=none", "--metric", "its_seed"}).code == 3);
  CHECK(Contains(fixture.Run({"table", "--label", "sweep=g"}).err, "--metric is required"));
}
