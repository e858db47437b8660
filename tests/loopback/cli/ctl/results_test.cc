// Results and the fleet: checkpoints, downloads, top, peers, doctor, completion.
#include <sys/stat.h>

#include "common/hash.h"
#include "common/protocol.h"
#include "tests/loopback/cli/ctl/mentorctl.h"
#include "tests/paths.h"

namespace mentor::TEST_FILE {

using namespace mentor::testing;
using S = v1::Experiment;

std::string Noise(size_t bytes) {
  std::string text;
  uint64_t state = 1;
  while (text.size() < bytes) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    text += static_cast<char>(state >> 56);
  }
  return text;
}

std::vector<v1::Peer> Fleet() {
  v1::Peer learner;
  learner.set_name("learners/l1");
  learner.set_host("host-a");
  learner.set_build(std::string(kBuildVersion));
  learner.set_shard_slots(2);
  learner.set_work(1);
  learner.set_catalogue_hash("aaaa");
  learner.mutable_connect_time()->set_seconds(time(nullptr) - 100);
  v1::Peer actor = learner;
  actor.set_name("actors/a1");
  actor.set_threads(8);
  actor.set_work(16);
  actor.set_learner("learners/l1");
  actor.set_env_steps_per_second(41200);
  actor.mutable_round_trip()->set_nanos(1'500'000);
  return {learner, actor};
}

bool InPath(const char* program) {
  std::istringstream path(std::getenv("PATH"));
  for (std::string folder; std::getline(path, folder, ':');) {
    if (access((folder + "/" + program).c_str(), X_OK) == 0) return true;
  }
  WARN(std::string("skipped: ") + program + " is not installed");
  return false;
}

TEST_CASE("mentorctl: checkpoints are listed and pinned", "[loopback]") {
  Fixture fixture;
  fixture.Make("one");
  fixture.service().AddCheckpoint("experiments/one", 7);
  const Outcome list = fixture.Run({"checkpoints", "one"});
  CHECK(Contains(list.out, "one/checkpoints/00000007  7       4.9 KiB  "));
  CHECK(fixture.Run({"checkpoints", "one", "--pin", "7"}).out ==
        "experiments/one/checkpoints/00000007 pinned\n");
  CHECK(Contains(fixture.Run({"checkpoints", "one"}).out, "  yes     0123456789abcdef\n"));
  CHECK(fixture.Run({"checkpoints", "one", "--unpin", "7"}).code == 0);
  const Outcome missing = fixture.Run({"checkpoints", "one", "--pin", "8"});
  CHECK(missing.code == 3);
  CHECK(Contains(missing.err, "hint: run 'mentorctl checkpoints one' to see them\n"));
}

TEST_CASE("mentorctl: a download goes on where it broke off and is checked", "[loopback]") {
  Fixture fixture;
  fixture.Make("one");
  fixture.service().AddCheckpoint("experiments/one", 7);
  const std::string name = "experiments/one/checkpoints/00000007";
  const std::string bytes = Noise(5500);
  const std::string out = (fixture.folder() / "x.ckpt").string();

  // The stream breaks in between, and the program continues by itself.
  fixture.service().SetFile(name, bytes, 2000);
  const Outcome broken = fixture.Run({"download", "one", "--out", out});
  INFO(broken.err);
  CHECK(broken.code == 0);
  CHECK(broken.out == out + ": 5500 bytes, sha256 " + Sha256Hex(bytes) + "\n");
  CHECK(ReadText(out) == bytes);
  CHECK(fixture.service().offsets() == std::vector<uint64_t>{0, 2000});
  CHECK(!std::filesystem::exists(out + ".part"));

  const Outcome there = fixture.Run({"download", "one", "--out", out});
  CHECK(there.code == 5);
  CHECK(Contains(there.err, "hint: --force overwrites it"));

  // An earlier program left a part.
  fixture.Write("x.ckpt.part", bytes.substr(0, 3000));
  CHECK(fixture.Run({"download", "one/checkpoints/7", "--out", out, "--force"}).code == 0);
  CHECK(fixture.service().offsets().back() == 3000);
  CHECK(ReadText(out) == bytes);

  // A part of another file: the download begins again.
  fixture.Write("x.ckpt.part", Noise(7000).substr(1000));
  const Outcome foreign = fixture.Run({"download", "one", "--out", out, "--force"});
  INFO(foreign.err);
  CHECK(foreign.code == 0);
  CHECK(fixture.service().offsets().back() == 0);
  CHECK(ReadText(out) == bytes);
  fixture.Write("x.ckpt.part", Noise(9000).substr(1000));
  CHECK(fixture.Run({"download", "one", "--out", out, "--force"}).code == 0);
  CHECK(ReadText(out) == bytes);

  fixture.service().CorruptNextPiece();
  const Outcome corrupt = fixture.Run({"download", "one", "--out", out, "--force"});
  CHECK(corrupt.code == 1);
  CHECK(Contains(corrupt.err, "error: DATA_LOSS: "));
  CHECK(ReadText(out) == bytes);  // The file that was there is untouched.
}

TEST_CASE("mentorctl: a download that is slow and moves goes on past its timeout", "[loopback]") {
  Fixture fixture;
  fixture.Make("one");
  fixture.service().AddCheckpoint("experiments/one", 7);
  // Thirty streams of a piece each, with the shortest pause of some 90 ms after each: more than the
  // timeout together, and far less from piece to piece.
  const std::string bytes = Noise(30'000), out = (fixture.folder() / "x.ckpt").string();
  fixture.service().SetFile("experiments/one/checkpoints/00000007", bytes);
  fixture.service().BreakAfterEachPiece();
  const Outcome slow = fixture.Run({"download", "one", "--out", out, "--timeout", "2"});
  INFO(slow.err);
  CHECK(slow.code == 0);
  CHECK(ReadText(out) == bytes);
  CHECK(fixture.service().offsets().size() == 30);
}

TEST_CASE("mentorctl: a download of which nothing more comes ends and keeps its part",
          "[loopback]") {
  Fixture fixture;
  fixture.Make("one");
  const std::string bytes = Noise(3000), out = (fixture.folder() / "x.ckpt").string();
  fixture.service().SetFile("experiments/one/checkpoints/00000007", bytes);
  fixture.Write("x.ckpt.part", bytes.substr(0, 1000));
  fixture.service().FailNext(1000, absl::UnavailableError("away"));
  const Outcome still =
      fixture.Run({"download", "one/checkpoints/7", "--out", out, "--timeout", "1"});
  INFO(still.err);
  CHECK(still.code == 6);
  CHECK(ReadText(out + ".part") == bytes.substr(0, 1000));
  CHECK(!std::filesystem::exists(out));
}

TEST_CASE("mentorctl: a download of what is not there leaves no part behind", "[loopback]") {
  Fixture fixture;
  fixture.Make("one");
  fixture.service().AddCheckpoint("experiments/one", 7);
  const std::string out = (fixture.folder() / "x.ckpt").string();
  CHECK(fixture.Run({"download", "one/checkpoints/8", "--out", out}).code == 3);
  CHECK(!std::filesystem::exists(out + ".part"));
  // Results from before its removal do not count, either.
  fixture.Write("x.ckpt.part", Noise(3000));
  CHECK(fixture.Run({"download", "one/checkpoints/8", "--out", out}).code == 3);
  CHECK(!std::filesystem::exists(out + ".part"));
  CHECK(!std::filesystem::exists(out));
}

TEST_CASE("mentorctl: a file that cannot be written here is no error of the server", "[loopback]") {
  Fixture fixture;
  fixture.Make("one");
  fixture.service().AddCheckpoint("experiments/one", 7);
  fixture.service().SetFile("experiments/one/checkpoints/00000007", Noise(100));
  const auto out = fixture.folder() / "x.ckpt";
  std::filesystem::create_directory(out.string() + ".part");
  const Outcome refused = fixture.Run({"download", "one", "--out", out.string()});
  CHECK(refused.code == 5);
  CHECK(Contains(refused.err, "the file on this machine: cannot write " + out.string() + ".part"));
  CHECK_FALSE(Contains(refused.err, "UNAVAILABLE"));
}

TEST_CASE("mentorctl: artifacts are listed and fetched under their own names", "[loopback]") {
  Fixture fixture;
  fixture.Make("one");
  fixture.service().SetFile("experiments/one/artifacts/evaluation/0.csv", "a,b\n");
  CHECK(fixture.Run({"artifacts", "one", "--output", "name"}).out ==
        "experiments/one/artifacts/evaluation/0.csv\n");
  CHECK(fixture
            .Run({"download", "one/artifacts/evaluation/0.csv", "--out", fixture.folder().string()})
            .code == 0);
  CHECK(ReadText(fixture.folder() / "0.csv") == "a,b\n");
  CHECK(fixture.Run({"download", "one/artifacts/none", "--out", fixture.folder().string()}).code ==
        3);
}

TEST_CASE("mentorctl: peers, drain, shards, tasks, catalogue", "[loopback]") {
  Fixture fixture;
  fixture.service().SetPeers(Fleet());
  const Outcome peers = fixture.Run({"peers"});
  CHECK(Contains(peers.out, "learners/l1  host-a"));
  CHECK(Contains(peers.out, "16 units    41.2k    1.5 ms      10"));
  const Outcome whoever = fixture.Run({"drain", "actors/"});
  CHECK(whoever.code == 2);
  CHECK(Contains(whoever.err, "at least one character"));
  CHECK(fixture.Run({"drain", "learners/"}).code == 2);
  CHECK_FALSE(Contains(fixture.Run({"peers"}).out, "draining"));
  CHECK(fixture.Run({"drain", "actors/a"}).out ==
        "actors/a1 finishes its work and takes no more\n");
  CHECK(fixture.Run({"drain", "actors/a1"}).code == 0);
  CHECK(Contains(fixture.Run({"peers"}).out, "l1       -         -     draining\n"));
  CHECK(fixture.Run({"drain", "actors/a2"}).code == 3);
  CHECK(fixture.Run({"drain", "a1"}).code == 2);
  CHECK(Contains(fixture.Run({"shards"}).out, "one/shards/0  RUNNING  l1       30"));
  const Outcome tasks = fixture.Run({"tasks", "ml1", "--environment", "push-v3"});
  CHECK(Contains(tasks.out, "4     test   push-v3      2\n"));
  const Outcome some = fixture.Run({"tasks", "ml1", "--limit", "2"});
  CHECK(std::count(some.out.begin(), some.out.end(), '\n') == 3);
  CHECK(Contains(some.err, "2 of 5 tasks"));
  CHECK(fixture.Run({"tasks"}).code == 2);
  CHECK(Contains(fixture.Run({"tasks", "-f", fixture.spec(), "--output", "name"}).out,
                 "benchmarks/point_reach/tasks/0\n"));
  CHECK(Contains(fixture.Run({"catalogue", "rule"}).out, "rule  a_rule  What it is.\n"));
  CHECK(Contains(fixture.Run({"catalogue", "rule", "a_rule"}).out, "rate     3e-4     How fast."));
  CHECK(fixture.Run({"catalogue", "rule", "none"}).code == 3);
  CHECK(fixture.Run({"catalogue", "colour"}).code == 2);
}

TEST_CASE("mentorctl: top prints one picture where there is no terminal", "[loopback]") {
  Fixture fixture;
  fixture.service().SetPeers(Fleet());
  fixture.Make("one");
  fixture.Make("two");
  fixture.Make("done");
  fixture.service().SetState("experiments/done", S::STATE_SUCCEEDED);
  fixture.service().Change("experiments/one", [](v1::Experiment* experiment) {
    experiment->set_state(S::STATE_RUNNING);
    experiment->mutable_progress()->set_outer_updates(2);
    experiment->mutable_progress()->set_env_steps_per_second(41200);
    experiment->mutable_progress()->set_seconds_left(151);
  });
  const Outcome top = fixture.Run({"top"});
  INFO(top.out);
  CHECK(top.code == 0);
  CHECK(Contains(top.out, "1 running, 1 queued, 0 paused\n"));
  CHECK(Contains(top.out, "1 learner, 1 actor, 8 threads, 41.2k steps/s\n"));
  CHECK(Contains(top.out,
                 "one         RUNNING  NORMAL    [##########----------] 2/4  41.2k    2:31\n"));
  CHECK(Contains(top.out,
                 "two         QUEUED   NORMAL    [--------------------] 0/4  -        -   "
                 "  a place (1 running)\n"));
  CHECK(!Contains(top.out, "done"));
  CHECK(!Contains(top.out, "\x1b"));
  CHECK(Contains(fixture.Run({"top", "--once", "--output", "name"}).out, "actors/a1\n"));
}

TEST_CASE("mentorctl: doctor finds what is wrong and says what to do", "[loopback]") {
  Fixture fixture;
  fixture.service().SetPeers(Fleet());
  const Outcome well = fixture.Run({"doctor"});
  INFO(well.out);
  CHECK(well.code == 0);
  CHECK(Contains(well.out, "good  server: " + fixture.address() + " answers in "));
  CHECK(Contains(well.out, "good  catalogues: all peers know the same environments\n"));
  CHECK(!Contains(well.out, "->"));

  auto peers = Fleet();
  peers[1].set_catalogue_hash("bbbb");
  peers[1].set_build("0.0.1");
  fixture.service().SetPeers(peers);
  const Outcome ill = fixture.Run({"doctor"});
  CHECK(ill.code == 1);
  CHECK(Contains(ill.out,
                 "bad  catalogues: peers know different environments: aaaa: learners/l1; "
                 "bbbb: actors/a1\n      -> run the same build"));
  CHECK(Contains(ill.out, "look  builds: actors/a1 is of build 0.0.1"));
  CHECK(Contains(fixture.Run({"doctor", "--output", "json"}).out,
                 "{\"grade\":\"bad\",\"subject\":\"catalogues\""));

  const Outcome lost = fixture.Run({"doctor", "--token_file", "/nowhere/token"});
  CHECK(lost.code == 1);
  CHECK(Contains(lost.out, "bad  token: /nowhere/token cannot be read\n      -> name a file"));
  CHECK(Contains(lost.out, "bad  server: not asked: "));

  fixture.service().SetPeers({});
  CHECK(Contains(fixture.Run({"doctor"}).out, "bad  learners: no learner is connected"));
  fixture.Stop();
  const Outcome gone = fixture.Run({"doctor", "--timeout", "0.5"});
  CHECK(gone.code == 6);
  CHECK(Contains(gone.out, "      -> start mentor-meta-learner there"));
}

TEST_CASE("mentorctl: the bash completion knows verbs, flags, values and names on the server",
          "[loopback]") {
  Fixture fixture;
  fixture.Make("first");
  fixture.Make("second");
  fixture.service().AddCheckpoint("experiments/first", 7);
  const std::string script =
      fixture.Write("completion.bash", fixture.RunPlain({"completion", "bash"}).out);
  const auto complete = [&](const std::string& line) {
    // Does what bash does at the Tab key: calls the function with the words so far.
    const std::string run =
        fixture.Write("run.sh", "source " + script +
                                    "\nread -ra COMP_WORDS <<<\"$1\"\n"
                                    "[[ \"$1\" == *' ' ]] && COMP_WORDS+=('')\n"
                                    "COMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_mentorctl\n"
                                    "printf '%s\\n' \"${COMPREPLY[@]}\"\n");
    const std::string out = (fixture.folder() / "replies").string();
    const std::string command = "MENTOR_SERVER=" + fixture.address() + " bash " + run + " '" +
                                testing::BuildPath("bin/mentorctl") + " " + line + "' > " + out +
                                " 2>&1";
    REQUIRE(std::system(command.c_str()) == 0);
    return ReadText(out);
  };
  // A completion gives a busy server a second, and then offers nothing.
  const auto becomes = [&](const std::string& line, const std::string& wanted) {
    return Program::WaitFor([&] { return complete(line) == wanted; });
  };
  CHECK(complete("pa") == "pause\n");
  CHECK(complete("config us") == "use_context\n");
  CHECK(complete("--output j") == "json\n");
  CHECK(complete("list --output = j") == "json\n");  // So bash cuts --output=j.
  CHECK(complete("list --output=j") == "json\n");
  CHECK(complete("create --prio") == "--priority\n");
  CHECK(complete("create --priority h") == "high\n");
  CHECK(complete("wait first --for SUC") == "SUCCEEDED\n");
  CHECK(complete("wait first --for DEL") == "DELETED\n");
  CHECK(becomes("logs -f s", "second\n"));
  CHECK(becomes("get ", "first\nsecond\n"));
  CHECK(becomes("get first s", "second\n"));
  CHECK(becomes("--verbose get f", "first\n"));
  CHECK(becomes("clone first/", "first/checkpoints/00000007\n"));
  CHECK(becomes("clone experiments/first/", "experiments/first/checkpoints/00000007\n"));
  CHECK(complete("completion z") == "zsh\n");
  CHECK(complete("create -f " + fixture.folder().string() + "/spec") == fixture.spec() + "\n");
  // Without a server nothing is offered, and soon; a flag before the cursor names the server.
  CHECK(complete("--server 127.0.0.1 : 1 get ") == "\n");
  fixture.Stop();
  const auto began = std::chrono::steady_clock::now();
  CHECK(complete("get ") == "\n");
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(30));
}

TEST_CASE("mentorctl: the completion scripts have no errors in their shells", "[loopback]") {
  Fixture fixture;
  for (const char* shell : {"bash", "zsh", "fish"}) {
    if (!InPath(shell)) continue;
    const std::string script = fixture.Write(std::string("completion.") + shell,
                                             fixture.RunPlain({"completion", shell}).out);
    CHECK(std::system((std::string(shell) + " -n " + script).c_str()) == 0);
  }
  CHECK(fixture.RunPlain({"completion", "tcsh"}).code == 2);
  if (!InPath("fish")) return;
  const std::string out = (fixture.folder() / "replies").string();
  const std::string script = (fixture.folder() / "completion.fish").string();
  REQUIRE(std::system(("HOME=" + fixture.folder().string() + " PATH=" + testing::BuildPath("bin") +
                       ":\"$PATH\" fish -c 'source " + script +
                       "; complete -C \"mentorctl config us\"' > " + out + " 2>&1")
                          .c_str()) == 0);
  CHECK(Contains(ReadText(out), "use_context\t"));
}

}  // namespace mentor::TEST_FILE
