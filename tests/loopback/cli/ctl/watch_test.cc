// Long connections: watch, wait, logs, metrics --follow, and how each handles a
// broken connection.
#include "tests/loopback/cli/ctl/mentorctl.h"

namespace mentor::TEST_FILE {

using namespace mentor::testing;
using S = v1::Experiment;

TEST_CASE(
    "mentorctl: watch shows progress, survives a restart of the server and ends with the "
    "experiment",
    "[loopback]") {
  Fixture fixture;
  fixture.Make("one");
  auto watch = fixture.Begin({"watch", "one"});
  REQUIRE(watch->WaitForText("QUEUED  [----------------------------------------]  0/4 updates"));
  const std::string address = fixture.address();
  fixture.Stop();
  REQUIRE(watch->WaitForText("lost the server ("));
  fixture.Start(address);
  fixture.service().SetState("experiments/one", S::STATE_RUNNING);
  fixture.service().SetState("experiments/one", S::STATE_SUCCEEDED);
  const Outcome end = watch->Wait();
  CHECK(end.code == 0);
  CHECK(Contains(end.out, "experiments/one SUCCEEDED\n"));
  // The second stream continues where the first one ended.
  const auto tokens = fixture.service().tokens();
  REQUIRE(tokens.size() >= 2);
  CHECK(tokens[0].empty());
  CHECK(tokens.back() == "1");
}

TEST_CASE("mentorctl: watch begins again from the present state when its token is too old",
          "[loopback]") {
  Fixture fixture;
  fixture.Make("one");
  auto watch = fixture.Begin({"watch", "one", "--output", "json"});
  REQUIRE(watch->WaitForText("STATE_QUEUED"));
  fixture.Stop();
  fixture.service().Change("experiments/one", [](v1::Experiment* experiment) {
    experiment->set_state(S::STATE_RUNNING);
  });
  fixture.service().Compact();
  fixture.Start(fixture.address());
  REQUIRE(watch->WaitForText("STATE_RUNNING"));
  fixture.service().SetState("experiments/one", S::STATE_CANCELLED);
  const Outcome end = watch->Wait();
  CHECK(end.code == 7);
  const auto tokens = fixture.service().tokens();
  REQUIRE(tokens.size() >= 3);
  CHECK(tokens[tokens.size() - 2] == "1");
  CHECK(tokens.back().empty());
}

TEST_CASE("mentorctl: watch notices that the experiment was deleted while it was away",
          "[loopback]") {
  Fixture fixture;
  fixture.Make("one");
  auto watch = fixture.Begin({"watch", "one"});
  REQUIRE(watch->WaitForText("QUEUED"));
  fixture.Stop();
  fixture.service().Stop(false);
  grpc::ServerContext context;
  v1::DeleteExperimentRequest request;
  request.set_name("experiments/one");
  request.set_force(true);
  google::protobuf::Empty empty;
  REQUIRE(fixture.service().DeleteExperiment(&context, &request, &empty).ok());
  fixture.service().Compact();
  fixture.Start(fixture.address());
  const Outcome end = watch->Wait();
  CHECK(end.code == 3);
  CHECK(Contains(end.err, "experiments/one was deleted"));
}

TEST_CASE("mentorctl: create --wait tells success from failure by its exit code", "[loopback]") {
  Fixture fixture;
  auto wait = fixture.Begin({"create", "-f", fixture.spec(), "--id", "one", "--wait"});
  REQUIRE(wait->WaitForText("experiments/one created\n"));
  fixture.service().Change("experiments/one", [](v1::Experiment* experiment) {
    experiment->set_state(S::STATE_FAILED);
    experiment->mutable_error()->set_message("a reason");
  });
  const Outcome end = wait->Wait();
  CHECK(end.code == 7);
  CHECK(Contains(end.out, "experiments/one FAILED: a reason\n"));
}

TEST_CASE("mentorctl: Ctrl-C ends the watch, not the experiment", "[loopback]") {
  Fixture fixture;
  fixture.Make("one");
  auto watch = fixture.Begin({"watch", "one"});
  REQUIRE(watch->WaitForText("QUEUED"));
  watch->Signal(SIGINT);
  const Outcome end = watch->Wait();
  CHECK(end.code == 130);
  CHECK(Contains(end.err,
                 "experiments/one is left as it is; 'mentorctl watch one' shows it again\n"));
  CHECK(fixture.service().Experiment("experiments/one").state() == S::STATE_QUEUED);
}

TEST_CASE("mentorctl: watch of several ends with the last", "[loopback]") {
  Fixture fixture;
  fixture.Make("one");
  fixture.Make("two");
  auto watch = fixture.Begin({"watch", "one", "two"});
  REQUIRE(watch->WaitForText("experiments/two QUEUED"));
  fixture.service().SetState("experiments/two", S::STATE_SUCCEEDED);
  REQUIRE(watch->WaitForText("experiments/two SUCCEEDED"));
  fixture.service().SetState("experiments/one", S::STATE_SUCCEEDED);
  const Outcome end = watch->Wait();
  CHECK(end.code == 0);
  CHECK(end.out ==
        "experiments/one QUEUED\nexperiments/two QUEUED\nexperiments/two SUCCEEDED\n"
        "experiments/one SUCCEEDED\n");
}

TEST_CASE("mentorctl: wait ends in the state it waits for, in another one, or after a while",
          "[loopback]") {
  Fixture fixture;
  fixture.Make("one");
  auto running = fixture.Begin({"wait", "one", "--for=RUNNING"});
  REQUIRE(Program::WaitFor([&] { return fixture.service().calls("WatchExperiments") == 1; }));
  fixture.service().SetState("experiments/one", S::STATE_RUNNING);
  const Outcome reached = running->Wait();
  CHECK(reached.code == 0);
  CHECK(reached.out == "experiments/one RUNNING\n");

  const Outcome late = fixture.Run({"wait", "one", "--within", "300ms"});
  CHECK(late.code == 6);
  CHECK(Contains(late.err, "experiments/one: not SUCCEEDED within 300ms"));

  fixture.service().SetState("experiments/one", S::STATE_FAILED);
  const Outcome other = fixture.Run({"wait", "one"});
  CHECK(other.code == 7);
  CHECK(Contains(other.err, "another state than SUCCEEDED: experiments/one is FAILED\n"));
  CHECK(fixture.Run({"wait", "one", "--for=failed,cancelled"}).code == 0);
  CHECK(fixture.Run({"wait", "one", "--for=done"}).code == 2);

  const int before = fixture.service().calls("WatchExperiments");
  auto deleted = fixture.Begin({"wait", "one", "--for=DELETED"});
  REQUIRE(Program::WaitFor([&] { return fixture.service().calls("WatchExperiments") > before; }));
  REQUIRE(fixture.Run({"delete", "one"}).code == 0);
  CHECK(deleted->Wait().code == 0);
  CHECK(fixture.Run({"wait", "one", "--for=DELETED"}).code == 0);
}

TEST_CASE("mentorctl: watch without names prints a line for each change of any experiment",
          "[loopback]") {
  Fixture fixture;
  fixture.Make("one");
  fixture.Make("two");
  auto all = fixture.Begin({"watch"});
  REQUIRE(all->WaitForText("experiments/two QUEUED\n"));
  fixture.service().SetState("experiments/one", S::STATE_RUNNING);
  REQUIRE(all->WaitForText("experiments/one RUNNING"));
  fixture.service().BreakStreams();
  // It has no end of its own, whatever ends.
  fixture.service().SetState("experiments/one", S::STATE_SUCCEEDED);
  REQUIRE(all->WaitForText("experiments/one SUCCEEDED\n"));
  fixture.service().SetState("experiments/two", S::STATE_CANCELLED);
  REQUIRE(all->WaitForText("experiments/two CANCELLED\n"));
  grpc::ServerContext context;
  v1::DeleteExperimentRequest request;
  request.set_name("experiments/two");
  google::protobuf::Empty empty;
  REQUIRE(fixture.service().DeleteExperiment(&context, &request, &empty).ok());
  REQUIRE(all->WaitForText("experiments/two DELETED\n"));
  all->Signal(SIGINT);
  CHECK(all->Wait().code == 130);

  auto some = fixture.Begin({"watch", "--output", "json"});
  REQUIRE(some->WaitForText("experiments/one"));
  fixture.service().SetState("experiments/one", S::STATE_FAILED);
  REQUIRE(some->WaitForText("STATE_FAILED"));
  some->Signal(SIGINT);
  const Outcome end = some->Wait();
  CHECK(end.code == 130);
  CHECK(Contains(end.out, "\"event\":\"EVENT_UPDATED\""));
}

TEST_CASE("mentorctl: logs follow over a broken connection, every line once", "[loopback]") {
  Fixture fixture;
  fixture.Make("one");
  for (const char* message : {"a", "b", "c"}) fixture.service().AddLog(message, 1000);
  CHECK(fixture.Run({"logs", "one", "--tail", "2"}).out ==
        "1970-01-01 00:16:40 info    b\n1970-01-01 00:16:40 info    c\n");
  auto follow = fixture.Begin({"logs", "one", "-f", "--tail", "1"});
  REQUIRE(follow->WaitForText("info    c"));
  fixture.service().BreakStreams();
  fixture.service().AddLog("d", 1001);
  REQUIRE(follow->WaitForText("info    d"));
  fixture.service().BreakStreams();
  fixture.service().AddLog("e", 1001);
  REQUIRE(follow->WaitForText("info    e"));
  fixture.service().SetState("experiments/one", S::STATE_SUCCEEDED);
  const Outcome end = follow->Wait();
  CHECK(end.code == 0);
  CHECK(end.out ==
        "1970-01-01 00:16:40 info    c\n1970-01-01 00:16:41 info    d\n"
        "1970-01-01 00:16:41 info    e\n");
  CHECK_FALSE(Contains(end.err, "may be missing"));
  CHECK(Contains(fixture.Run({"logs", "one", "--output", "json"}).out,
                 "\"severity\":\"info\",\"message\":\"e\"}\n"));
}

TEST_CASE("mentorctl: logs whose place was rotated away meanwhile say so", "[loopback]") {
  Fixture fixture;
  fixture.Make("one");
  fixture.service().AddLog("a", 1000);
  auto follow = fixture.Begin({"logs", "one", "-f"});
  REQUIRE(follow->WaitForText("info    a"));
  fixture.service().RotateLogs();
  fixture.service().AddLog("d", 1060);
  REQUIRE(follow->WaitForText("info    d"));
  fixture.service().SetState("experiments/one", S::STATE_SUCCEEDED);
  const Outcome end = follow->Wait();
  CHECK(Contains(end.err, "lines between 1970-01-01 00:16:40 and 1970-01-01 00:17:40 may be "));
}

TEST_CASE("mentorctl: metrics as names, table, CSV, JSON and as they come", "[loopback]") {
  Fixture fixture;
  fixture.Make("one");
  fixture.service().AddPoint(1, {{"loss", 0.5}, {"score", 1}});
  fixture.service().AddPoint(2, {{"loss", 0.25}});
  CHECK(fixture.Run({"metrics", "one"}).out ==
        "METRIC  UNIT  LAST  STEP  HELP\nloss    1     0.25  2\nscore   1     1     1\n");
  CHECK(fixture.Run({"metrics", "one", "loss"}).out ==
        "    STEP         loss\n       1          0.5\n       2         0.25\n");
  CHECK(fixture.Run({"metrics", "one", "--csv"}).out == "step,loss,score\n1,0.5,1\n2,0.25,\n");
  CHECK(Contains(fixture.Run({"metrics", "one", "loss", "--json"}).out,
                 "{\"metric\":\"loss\",\"steps\":[1,2],\"mean\":[0.5,0.25]"));
  const Outcome unknown = fixture.Run({"metrics", "one", "los"});
  CHECK(unknown.code == 3);
  CHECK(Contains(unknown.err, "hint: 'mentorctl metrics one' lists those that have values"));

  auto follow = fixture.Begin({"metrics", "one", "loss", "--follow", "--csv"});
  REQUIRE(follow->WaitForText("2,0.25\n"));
  fixture.service().BreakStreams();
  fixture.service().AddPoint(3, {{"loss", 0.125}});
  REQUIRE(follow->WaitForText("3,0.125\n"));
  fixture.service().SetState("experiments/one", S::STATE_SUCCEEDED);
  const Outcome end = follow->Wait();
  CHECK(end.code == 0);
  CHECK(end.out == "step,loss\n1,0.5\n2,0.25\n3,0.125\n");
}

}  // namespace mentor::TEST_FILE
