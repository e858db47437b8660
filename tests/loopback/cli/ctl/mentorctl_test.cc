// Jobs: create, apply, get, list, changes, errors and their exit codes.
#include "tests/loopback/cli/ctl/mentorctl.h"

#include <algorithm>

#include <sys/stat.h>

#include "common/rpc/channel.h"
#include "common/spec/spec.h"

namespace mentor::TEST_FILE {

using namespace mentor::testing;
using S = v1::Experiment;

int Lines(const std::string& text) {
  return static_cast<int>(std::count(text.begin(), text.end(), '\n'));
}

TEST_CASE("mentorctl: create, get, list, pause, resume, cancel, delete", "[loopback]") {
  Fixture fixture;
  const Outcome made = fixture.Run({"create", "-f", fixture.spec(), "--id", "one", "--set",
                                    "seed=7", "--set", "rule.learning_rate=1e-3"});
  INFO(made.err);
  CHECK(made.code == 0);
  CHECK(made.out == "experiments/one created; 'mentorctl watch one' shows its progress\n");
  const v1::Experiment stored = fixture.service().Experiment("experiments/one");
  CHECK(stored.spec().seed() == 7);
  CHECK(stored.spec().rule().option(0).value() == "1e-3");

  const Outcome got = fixture.Run({"get", "one"});
  CHECK(got.code == 0);
  CHECK(Contains(got.out, "Name       experiments/one\n"));
  CHECK(Contains(got.out, "State      QUEUED\n"));
  CHECK(Contains(got.out, "Updates    0/4\n"));
  CHECK(Contains(got.out, "Owner      ada\n"));
  const Outcome spec = fixture.Run({"get", "experiments/one", "--spec"});
  CHECK(SpecHash(*LoadSpec(spec.out)) == SpecHash(stored.spec()));

  // The example in the help of create.
  CHECK(fixture.Run({"create", "-f", "-", "--set", "seed=3", "--id", "again"}, spec.out).code == 0);
  CHECK(fixture.service().Experiment("experiments/again").spec().seed() == 3);
  CHECK(fixture.Run({"delete", "again", "--force"}).code == 0);

  const Outcome list = fixture.Run({"list"});
  CHECK(Contains(list.out,
                 "NAME  STATE   UPDATES  NOW  STEPS/S  LEFT  PRIORITY  OWNER  CREATED  TITLE\n"
                 "one   QUEUED  0/4      -    -        -     NORMAL    ada    "));
  CHECK(Contains(list.out, "a title\n"));
  const Outcome csv = fixture.Run({"list", "-o", "csv"});
  CHECK(
      csv.out.starts_with("NAME,STATE,UPDATES,NOW,STEPS/S,LEFT,PRIORITY,OWNER,CREATED,TITLE\n"
                          "one,QUEUED,0/4,-,-,-,NORMAL,ada,"));
  CHECK(Contains(fixture.Run({"list", "-o", "jsno"}).err, "did you mean 'json'?"));
  const Outcome json = fixture.Run({"list", "--output", "json"});
  CHECK(Contains(json.out, "{\"name\":\"experiments/one\""));
  CHECK(Lines(json.out) == 1);
  CHECK(fixture.Run({"list", "--output", "name"}).out == "experiments/one\n");
  const Outcome yaml = fixture.Run({"list", "--output", "yaml"});
  CHECK(Contains(yaml.out, "- name: experiments/one\n  uid: uid-one\n  spec:\n    displayName: "));

  CHECK(fixture.Run({"pause", "one"}).out == "experiments/one PAUSED\n");
  CHECK(fixture.Run({"resume", "one"}).out == "experiments/one QUEUED\n");
  CHECK(fixture.Run({"delete", "one"}).code == 5);
  CHECK(fixture.Run({"cancel", "one", "--reason", "wrong seed"}).out ==
        "experiments/one CANCELLED\n");
  CHECK(fixture.service().reason() == "wrong seed");
  CHECK(fixture.Run({"cancel", "one"}).code == 0);  // Repeating changes nothing.
  CHECK(fixture.Run({"pause", "one"}).code == 5);
  CHECK(fixture.Run({"delete", "one"}).out == "experiments/one deleted\n");
  CHECK(fixture.Run({"delete", "one"}).code == 3);
  CHECK(fixture.Run({"delete", "one", "--allow-missing"}).out == "experiments/one was not there\n");
  CHECK(fixture.Run({"delete", "one", "--allow-missing", "--quiet"}).out.empty());
}

TEST_CASE("mentorctl: an experiment may have the name of a verb", "[loopback]") {
  Fixture fixture;
  fixture.Make("list");
  CHECK(Contains(fixture.Run({"get", "list"}).out, "Name       experiments/list\n"));
}

TEST_CASE("mentorctl: flags of create become fields, with dashes or underscores", "[loopback]") {
  Fixture fixture;
  const Outcome made = fixture.Run({"create",
                                    "-f",
                                    fixture.spec(),
                                    "--id",
                                    "one",
                                    "--priority",
                                    "high",
                                    "--weight",
                                    "4",
                                    "--label",
                                    "team=a",
                                    "--label",
                                    "empty=",
                                    "--title",
                                    "other",
                                    "--deadline",
                                    "2h",
                                    "--retries",
                                    "3",
                                    "--keep-last",
                                    "5",
                                    "--keep_every=10",
                                    "--ttl",
                                    "7d",
                                    "--output",
                                    "name"});
  INFO(made.err);
  CHECK(made.out == "experiments/one\n");
  const v1::Experiment stored = fixture.service().Experiment("experiments/one");
  CHECK(stored.priority() == v1::PRIORITY_HIGH);
  CHECK(stored.weight() == 4);
  CHECK(stored.labels().at("team") == "a");
  CHECK(stored.labels().at("empty").empty());
  CHECK(stored.display_name() == "other");
  CHECK(stored.retries_max() == 3);
  CHECK(stored.retention().keep_last() == 5);
  CHECK(stored.retention().keep_every() == 10);
  CHECK(stored.retention().ttl().seconds() == 7 * 86400);
  const int64_t left = stored.deadline().seconds() - time(nullptr);
  CHECK(left > 7100);
  CHECK(left <= 7200);
  CHECK(fixture.Run({"create", "-f", fixture.spec(), "--deadline", "soon"}).code == 2);
  CHECK(fixture.Run({"create", "-f", fixture.spec(), "--priority", "urgent"}).code == 2);
  CHECK(fixture.Run({"create", "-f", fixture.spec(), "--label", "team"}).code == 2);

  const Outcome updated =
      fixture.Run({"update", "one", "--priority=low", "--label", "team-", "--label", "run=2",
                   "--keep_last", "9", "--deadline", "none"});
  CHECK(updated.out == "experiments/one updated: priority, labels, deadline, retention\n");
  const v1::Experiment after = fixture.service().Experiment("experiments/one");
  CHECK(after.priority() == v1::PRIORITY_LOW);
  CHECK(after.labels().size() == 2);
  CHECK(after.labels().at("run") == "2");
  CHECK(after.retention().keep_last() == 9);
  CHECK(after.retention().keep_every() == 10);  // Settings that were not named stay.
  CHECK(!after.has_deadline());
  CHECK(after.weight() == 4);
  CHECK(fixture.Run({"update", "one"}).code == 2);

  fixture.Make("two");
  CHECK(fixture.Run({"list", "--label", "run=2", "--output", "name"}).out == "experiments/one\n");
  fixture.service().SetState("experiments/two", S::STATE_RUNNING);
  CHECK(fixture.Run({"list", "--state", "running", "--output", "name"}).out == "experiments/two\n");
}

TEST_CASE("mentorctl: a spec from the standard input", "[loopback]") {
  Fixture fixture;
  const Outcome made = fixture.Run({"create", "-f", "-", "--id", "one"},
                                   "benchmark { name: 'point_reach' } seed: 3");
  INFO(made.err);
  CHECK(made.code == 0);
  CHECK(fixture.service().Experiment("experiments/one").spec().seed() == 3);
}

TEST_CASE("mentorctl: more experiments than a page", "[loopback]") {
  Fixture fixture;
  for (int i = 0; i < 3; ++i) fixture.Make("e" + std::to_string(i));
  for (int i = 0; i < 202; ++i) {
    v1::CreateExperimentRequest request;
    request.mutable_experiment()->mutable_spec()->mutable_benchmark()->set_name("point_reach");
    request.set_experiment_id("x" + std::to_string(i));
    request.set_request_id("request" + std::to_string(i));
    const auto channel = rpc::MakeChannel({.address = fixture.address()});
    grpc::ClientContext context;
    v1::Experiment made;
    REQUIRE(
        v1::ExperimentService::NewStub(*channel)->CreateExperiment(&context, request, &made).ok());
  }
  CHECK(Lines(fixture.Run({"list"}).out) == 206);
  CHECK(fixture.service().calls("ListExperiments") == 3);
}

TEST_CASE("mentorctl: errors say reason, sentence and hint, and have their exit codes",
          "[loopback]") {
  Fixture fixture;
  const Outcome missing = fixture.Run({"get", "none"});
  CHECK(missing.code == 3);
  CHECK(Contains(missing.err, "error: NOT_FOUND: there is no experiment 'experiments/none'"));
  CHECK(Contains(missing.err, "hint: run 'mentorctl list' to see all experiments\n"));
  for (const char* verb : {"watch", "cancel", "wait", "pause", "delete"}) {
    CHECK(fixture.Run({verb, "none"}).code == 3);
  }

  fixture.Make("one");
  const Outcome again = fixture.Run({"create", "-f", fixture.spec(), "--id", "one"});
  CHECK(again.code == 5);
  CHECK(Contains(again.err, "error: ALREADY_EXISTS: "));
  // The others are done; the first error counts.
  const Outcome mixed = fixture.Run({"cancel", "none", "one"});
  CHECK(mixed.code == 3);
  CHECK(mixed.out == "experiments/one CANCELLED\n");

  const Outcome misspelt = fixture.Run({"config", "veiw"});
  CHECK(misspelt.code == 2);
  CHECK(Contains(misspelt.err, "there is no 'config veiw'; did you mean 'view'?\n"));
  CHECK(fixture.Run({"get"}).code == 2);
  CHECK(fixture.Run({"list", "--output", "xml"}).code == 2);
  CHECK(fixture.Run({"list", "--timeout", "0"}).code == 2);
  CHECK(fixture.Run({"create", "-f", "/nowhere/at/all"}).code == 2);
  // The specs that come with Mentor are found by name.
  const Outcome ready = fixture.Run({"validate", "-f", "smoke"});
  CHECK(Contains(ready.out, "smoke is valid"));
  const Outcome near = fixture.Run({"create", "-f", "smoek"});
  CHECK(near.code == 2);
  CHECK(Contains(near.err, "there is no spec 'smoek'; did you mean 'smoke'?"));
  CHECK(fixture.Run({"--help"}).code == 0);
  CHECK(Contains(fixture.Run({"--help"}).out, "Examples:"));

  const auto code_of = [&](absl::StatusCode code) {
    fixture.service().FailNext(1, absl::Status(code, "because"));
    return fixture.Run({"get", "one", "--timeout", "5"}).code;
  };
  CHECK(code_of(absl::StatusCode::kUnauthenticated) == 4);
  CHECK(code_of(absl::StatusCode::kPermissionDenied) == 4);
  CHECK(code_of(absl::StatusCode::kResourceExhausted) == 6);  // Without RetryInfo: at once.
  CHECK(code_of(absl::StatusCode::kInternal) == 1);
  CHECK(code_of(absl::StatusCode::kDataLoss) == 1);
  CHECK(code_of(absl::StatusCode::kUnavailable) == 0);  // Tried again.

  const Outcome json = fixture.Run({"get", "none", "--output", "json"});
  CHECK(json.code == 3);
  CHECK(Contains(json.err, "{\"code\":5,"));
  CHECK(Contains(json.err, "\"reason\":\"NOT_FOUND\""));

  const std::string address = fixture.address();
  fixture.Stop();
  const Outcome gone = fixture.Run({"list", "--timeout", "3"});
  CHECK(gone.code == 6);
  CHECK(Contains(gone.err, "hint: is mentor-meta-learner running at " + address));
  // A failed handshake looks the same to gRPC.
  CHECK(Contains(gone.err, "--tls_ca"));
  CHECK(Contains(gone.err, "--tls_cert"));
}

TEST_CASE("mentorctl: a text from elsewhere cannot steer the terminal", "[loopback]") {
  Fixture fixture;
  fixture.Make("one");
  fixture.service().Change("experiments/one", [](v1::Experiment* experiment) {
    experiment->set_display_name("red \x1b[31m and\nmore");
  });
  const Outcome list = fixture.Run({"list"});
  CHECK(Contains(list.out, "red ?[31m and more\n"));
}

TEST_CASE("mentorctl: waits as long as it is told, then tries again, within the timeout",
          "[loopback]") {
  Fixture fixture;
  fixture.Make("one");
  fixture.service().FailNext(2, FakeService::Busy(300));
  const auto began = std::chrono::steady_clock::now();
  CHECK(fixture.Run({"get", "one"}).code == 0);
  CHECK(std::chrono::steady_clock::now() - began >= std::chrono::milliseconds(600));

  fixture.service().FailNext(1, FakeService::Busy(900));
  CHECK(fixture.Run({"get", "one", "--timeout", "0.5"}).code == 6);
}

TEST_CASE("mentorctl: a create whose answer was lost is repeated with its request_id",
          "[loopback]") {
  Fixture fixture;
  fixture.service().LoseNextAnswer();
  const Outcome made = fixture.Run({"create", "-f", fixture.spec()});
  INFO(made.err);
  CHECK(made.code == 0);
  CHECK(made.out == "experiments/exp-1 created; 'mentorctl watch exp-1' shows its progress\n");
  CHECK(fixture.service().calls("CreateExperiment") == 2);
  CHECK(fixture.service().size() == 1);
}

TEST_CASE("mentorctl: a deletion whose answer was lost is done, one that was refused is not",
          "[loopback]") {
  Fixture fixture;
  fixture.Make("one");
  fixture.service().LoseNextAnswer();
  CHECK(fixture.Run({"delete", "one", "--force"}).out == "experiments/one deleted\n");
  CHECK(fixture.service().calls("DeleteExperiment") == 2);
  CHECK(fixture.service().size() == 0);
  // A server whose queue is full has done nothing.
  fixture.service().FailNext(2, FakeService::Busy(1));
  CHECK(fixture.Run({"delete", "one", "--force"}).code == 3);
  fixture.Make("two");
  fixture.service().FailNext(2, FakeService::Busy(1));
  CHECK(fixture.Run({"delete", "two", "--force"}).out == "experiments/two deleted\n");
  CHECK(fixture.service().calls("DeleteExperiment") == 8);
}

TEST_CASE(
    "mentorctl: a wrong spec is answered with everything that is wrong, also what only the server "
    "knows",
    "[loopback]") {
  Fixture fixture;
  const Outcome wrong =
      fixture.Run({"create", "-f", fixture.spec(), "--set", "benchmark.name=nowhere", "--set",
                   "agent.gamma=2", "--set", "agent.epochs=many"});
  CHECK(wrong.code == 2);
  INFO(wrong.err);
  CHECK(Contains(wrong.err, "error: INVALID_FIELD: the request has 3 wrong fields\n"));
  CHECK(
      Contains(wrong.err,
               "  agent.epochs: is 'many'; give an integer from 1 to 10000; the default is 64\n"));
  CHECK(Contains(wrong.err,
                 "  agent.gamma: is 2; give a finite number from 0 to 1; the default is 0.99\n"));
  CHECK(Contains(wrong.err, "  benchmark.name: is unknown; give point_reach\n"));

  CHECK(fixture.Run({"create", "-f", fixture.spec(), "--validate_only"}).out ==
        fixture.spec() + " is valid\n");
  CHECK(fixture.Run({"validate", "-f", fixture.spec()}).out == fixture.spec() + " is valid\n");
  CHECK(fixture.Run({"validate", "-f", fixture.spec(), "--set", "benchmark.name=x"}).code == 2);
  CHECK(fixture.service().size() == 0);
}

TEST_CASE("mentorctl: apply creates, updates, leaves alone and refuses", "[loopback]") {
  Fixture fixture;
  const std::string spec = "spec { benchmark { name: 'point_reach' } seed: 1 }";
  const std::string file = fixture.Write("first.txtpb", spec +
                                                            " priority: PRIORITY_HIGH "
                                                            "labels { key: 'a' value: 'b' }");
  CHECK(fixture.Run({"apply", "-f", file, "--validate-only"}).out ==
        "experiments/first would be created\n");
  CHECK(fixture.service().size() == 0);
  CHECK(fixture.Run({"apply", "-f", file}).out == "experiments/first created\n");
  CHECK(fixture.Run({"apply", "-f", file}).out == "experiments/first unchanged\n");
  // Another user creates it between the look and the creation.
  fixture.service().FailNext(1, absl::NotFoundError("not yet"));
  fixture.service().FailNext(1, absl::AlreadyExistsError("now"));
  CHECK(fixture.Run({"apply", "-f", file}).out == "experiments/first unchanged\n");
  CHECK(fixture.service().calls("UpdateExperiment") == 0);

  fixture.Write("first.txtpb", spec +
                                   " priority: PRIORITY_LOW weight: 2 "
                                   "labels { key: 'a' value: 'b' }");
  CHECK(fixture.Run({"apply", "-f", file}).out == "experiments/first updated: priority, weight\n");
  CHECK(fixture.service().Experiment("experiments/first").weight() == 2);

  const Outcome other = fixture.Run({"apply", "-f", file, "--set", "seed=2"});
  CHECK(other.code == 5);
  INFO(other.err);
  CHECK(Contains(other.err, "exists with another spec, and a spec never changes: seed: 1 -> 2"));
  CHECK(Contains(other.err, "hint: 'mentorctl clone first"));

  // A spec alone says nothing of the rest.
  const std::string bare =
      fixture.Write("first2/first.txtpb", "benchmark { name: 'point_reach' } seed: 1");
  CHECK(fixture.Run({"apply", "-f", bare, file}).out ==
        "experiments/first unchanged\nexperiments/first unchanged\n");
  // Nothing is done when one file is wrong.
  const std::string wrong = fixture.Write("wrong.txtpb", "spec { benchmark { nam: 'x' } }");
  const std::string fresh = fixture.Write("fresh.txtpb", spec);
  const Outcome refused = fixture.Run({"apply", "-f", fresh, wrong});
  CHECK(refused.code == 2);
  INFO(refused.err);
  CHECK(Contains(refused.err, "line 1, column "));
  CHECK(fixture.service().size() == 1);
  // Only the server says these.
  const std::string said = fixture.Write("said.txtpb", spec + " state: STATE_RUNNING");
  CHECK(Contains(fixture.Run({"apply", "-f", said}).err, "state: is set by the server"));
  CHECK(fixture.Run({"apply", "-f", "-"}, spec).code == 2);
  CHECK(fixture.Run({"apply", "-f", "-", "--id", "x"}, spec).out == "experiments/x created\n");
}

TEST_CASE("mentorctl: clone begins from a checkpoint", "[loopback]") {
  Fixture fixture;
  fixture.Make("one");
  const Outcome none = fixture.Run({"clone", "one", "--id", "two"});
  CHECK(none.code == 3);
  fixture.service().AddCheckpoint("experiments/one", 7);
  fixture.service().AddCheckpoint("experiments/one", 12);
  CHECK(fixture.Run({"clone", "one", "--id", "two", "--set", "seed=5"}).out ==
        "experiments/two begins from experiments/one/checkpoints/00000012\n");
  CHECK(fixture.service().Experiment("experiments/two").display_name() == "seed=5");
  CHECK(fixture.Run({"clone", "one/checkpoints/7", "--id", "three"}).out ==
        "experiments/three begins from experiments/one/checkpoints/00000007\n");
  CHECK(fixture.Run({"clone", "one/points/7", "--id", "four"}).code == 2);
}

TEST_CASE("mentorctl: flags before the environment before the config file", "[loopback]") {
  Fixture fixture;
  fixture.Make("one");
  CHECK(fixture.RunPlain({"config", "set-context", "lab", "--server", fixture.address()}).out ==
        "context lab made in " + (fixture.folder() / ".config/mentor/config.txtpb").string() +
            "\n");
  CHECK(fixture.RunPlain({"list", "--output", "name"}).out == "experiments/one\n");
  CHECK(fixture.RunPlain({"config", "set-context", "other", "--server", "127.0.0.1:1"}).code == 0);
  CHECK(fixture.RunPlain({"list", "--output", "name"}).out == "experiments/one\n");
  CHECK(fixture.RunPlain({"list", "--context", "other", "--timeout", "0.2"}).code == 6);
  const Outcome portless =
      fixture.RunPlain({"config", "set-context", "lab", "--server", "a:1,lab"});
  CHECK(portless.code == 2);
  CHECK(Contains(portless.err, "address 'lab': expected HOST:PORT"));
  const Outcome nameless = fixture.RunPlain({"config", "set-context", "", "--server", "a:1"});
  CHECK(Contains(nameless.err, "CONTEXT: is empty; give the context a name"));
  CHECK(Contains(fixture.RunPlain({"config", "set-context", "lab"}).err, "nothing to set: give"));
  CHECK(fixture.RunPlain({"config", "use-context", "other"}).code == 0);
  CHECK(fixture.RunPlain({"list", "--timeout", "0.2"}).code == 6);
  CHECK(fixture.RunPlain({"list", "--context", "third"}).code == 2);
  fixture.environment = {"MENTOR_SERVER=" + fixture.address(), "MENTOR_OUTPUT=name"};
  CHECK(fixture.RunPlain({"list"}).out == "experiments/one\n");
  const Outcome view = fixture.RunPlain({"config", "view", "--timeout", "3", "--output", "table"});
  INFO(view.out);
  CHECK(Contains(view.out, fixture.address() + " "));
  CHECK(Contains(view.out, "  MENTOR_SERVER\n"));
  CHECK(Contains(view.out, "other "));
  CHECK(Contains(view.out, "  --timeout\n"));
  CHECK(Contains(fixture.RunPlain({"config", "list", "--output", "table"}).out, "other    127.0."));

  const std::string config = fixture.Write("bad.txtpb", "context {\n  name: 'x'\n  sever: 'y'\n}");
  const Outcome bad = fixture.RunPlain({"list", "--config", config});
  CHECK(bad.code == 2);
  INFO(bad.err);
  CHECK(Contains(bad.err, "bad.txtpb:3:8: "));
  CHECK(Contains(bad.err, "\"sever\""));

  chmod(config.c_str(), 0666);
  std::ofstream(config) << "context { name: 'x' server: '" << fixture.address() << "' }";
  CHECK(Contains(fixture.RunPlain({"list", "--config", config}).err,
                 "warning: others may write " + config));
}

TEST_CASE("mentorctl: the token goes with each call and is never shown", "[loopback]") {
  Fixture fixture;
  const std::string file = fixture.Write("token", "canary-token\n");
  chmod(file.c_str(), 0600);
  CHECK(fixture.Run({"list", "--token_file", file}).code == 0);
  CHECK(fixture.service().authorization() == "Bearer canary-token");
  fixture.environment = {"MENTOR_TOKEN=canary-two"};
  const Outcome listed = fixture.Run({"list", "--verbose"});
  CHECK(fixture.service().authorization() == "Bearer canary-two");
  CHECK(Contains(listed.err, "ListExperiments at " + fixture.address() + ": OK in "));
  const Outcome view = fixture.Run({"config", "view"});
  for (const std::string& text : {listed.out, listed.err, view.out, view.err}) {
    CHECK(!Contains(text, "canary"));
  }
  CHECK(Contains(view.out, "<redacted>"));
  CHECK(fixture.Run({"list", "--token_file", "/nowhere"}).code == 2);
}

TEST_CASE("mentorctl: a token that cannot be a header is refused, and not shown", "[loopback]") {
  Fixture fixture;
  for (const std::string token : {"canary two", "canary-\u00e9", "canary\x01", "\n"}) {
    const std::string file = fixture.Write("token", token);
    chmod(file.c_str(), 0600);
    fixture.environment = {"MENTOR_TOKEN=" + token};
    for (const Outcome& outcome : {fixture.Run({"list"}), fixture.Run({"doctor"}),
                                   fixture.Run({"list", "--token_file", file})}) {
      INFO(outcome.err);
      CHECK((outcome.code == 1 || outcome.code == 2));
      CHECK(!Contains(outcome.out + outcome.err, "canary"));
    }
    CHECK(fixture.Run({"list"}).code == 2);
  }
  fixture.environment = {"MENTOR_TOKEN= canary-three\n"};
  CHECK(fixture.Run({"list"}).code == 0);
  CHECK(fixture.service().authorization() == "Bearer canary-three");
}

TEST_CASE("mentorctl: no proxy within this machine; elsewhere errors name the proxy",
          "[loopback]") {
  Fixture fixture;
  // Nothing listens on port 1.
  for (const char* name : {"grpc_proxy", "https_proxy", "http_proxy", "HTTP_PROXY", "HTTPS_PROXY"})
    fixture.environment.push_back(std::string(name) + "=http://ann:canary@127.0.0.1:1");
  CHECK(fixture.Run({"list"}).code == 0);
  const std::string through =
      "the proxy 127.0.0.1:1 of grpc_proxy; no_proxy=lab.invalid leaves it out";
  for (const char* verb : {"list", "doctor"}) {
    const Outcome outcome = fixture.RunPlain(
        {verb, "--server", "lab.invalid:1", "--allow_insecure", "--timeout", "0.2"});
    INFO(outcome.out << outcome.err);
    CHECK(outcome.code == 6);
    CHECK(Contains(outcome.out + outcome.err, through));
    CHECK(!Contains(outcome.out + outcome.err, "canary"));
  }
}

TEST_CASE("mentorctl: every verb's help has examples", "[loopback]") {
  Fixture fixture;
  const Outcome all = fixture.RunPlain({"--help"});
  int verbs = 0;
  bool in_verbs = false;
  std::istringstream text(all.out);
  for (std::string line; std::getline(text, line);) {
    if (line == "Experiments:") in_verbs = true;
    if (line == "Examples:") in_verbs = false;
    const size_t end = line.find(' ', 2);
    if (!in_verbs || !line.starts_with("  ") || end == 2) continue;
    const std::string verb = line.substr(2, end - 2);
    INFO(verb);
    const Outcome help = fixture.RunPlain({verb, "--help"});
    CHECK(help.code == 0);
    CHECK(Contains(help.out, "Examples:\n  "));
    ++verbs;
  }
  CHECK(verbs >= 28);
}

}  // namespace mentor::TEST_FILE
