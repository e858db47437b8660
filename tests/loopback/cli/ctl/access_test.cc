// Credentials: the program makes them, a server asks for them, the program sends them.
#include <sys/stat.h>

#include "common/rpc/auth.h"
#include "common/rpc/server.h"
#include "tests/loopback/cli/ctl/mentorctl.h"

namespace mentor::TEST_FILE {

using namespace mentor::testing;

mode_t ModeOf(const std::filesystem::path& path) {
  struct stat facts = {};
  REQUIRE(stat(path.c_str(), &facts) == 0);
  return facts.st_mode & 0777;
}

TEST_CASE("mentorctl: token new gives a token and the line that a server knows it by",
          "[loopback]") {
  const TempFolder folder;
  const auto run = [&](const std::vector<std::string>& arguments) {
    return Program(folder.path(), arguments).Wait();
  };
  const Outcome made = run({"token", "new", "operator", "ann", "--output", "json"});
  CHECK(made.code == 0);
  CHECK(Contains(made.out, "{\"token\":\""));
  const Outcome plain = run({"token", "new", "viewer", "bob", "--quiet"});
  REQUIRE(plain.code == 0);
  const std::string token = plain.out.substr(0, plain.out.size() - 1);
  CHECK(token.size() >= 32);
  const auto table = rpc::TokenTable::Parse("line", plain.err);
  REQUIRE(table.ok());
  REQUIRE(table->Find(token) != nullptr);
  CHECK(table->Find(token)->name == "bob");
  CHECK(table->Find(token)->role == v1::ROLE_VIEWER);

  const auto out = folder.path() / "ann.token", tokens = folder.path() / "tokens";
  for (const char* name : {"ann", "eve"}) {
    const auto file = folder.path() / (std::string(name) + ".token");
    CHECK(
        run({"token", "new", "operator", name, "--out", file.string(), "--append", tokens.string()})
            .out.empty());
    CHECK(ModeOf(file) == 0600);
  }
  CHECK(ModeOf(tokens) == 0600);
  CHECK(rpc::TokenTable::Parse("tokens", ReadText(tokens))->size() == 2);
  CHECK(run({"token", "new", "operator", "ann", "--out", out.string()}).code == 5);
  CHECK(run({"token", "new", "king", "ann"}).code == 2);
  CHECK(run({"token", "new", "operator", "two words"}).code == 2);
}

TEST_CASE("mentorctl: certificates and tokens of its own making open a server", "[loopback]") {
  const TempFolder folder;
  FakeService service;
  const auto path = [&](const std::string& name) { return (folder.path() / name).string(); };
  const auto run = [&](const std::vector<std::string>& arguments) {
    return Program(folder.path(), arguments).Wait();
  };
  const Outcome certs = run({"certs", "init", path("certs"), "--name", "lab.example"});
  INFO(certs.err);
  REQUIRE(certs.code == 0);
  CHECK(Contains(certs.out, path("certs/ca.crt") + "\n"));
  CHECK(ModeOf(path("certs/ca.key")) == 0600);
  for (const char* role : {"viewer", "operator", "actor"}) {
    REQUIRE(
        run({"token", "new", role, role, "--out", path(role), "--append", path("tokens")}).code ==
        0);
  }
  auto server = rpc::Server::Start({.tls = {.certificate = path("certs/meta-learner.crt"),
                                            .key = path("certs/meta-learner.key")},
                                    .tokens = path("tokens")},
                                   {&service});
  INFO(server.status().ToString());
  REQUIRE(server.ok());
  const auto call = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--server", (*server)->address(), "--timeout", "5"});
    return run(arguments);
  };
  const std::string ca = path("certs/ca.crt");
  CHECK(call({"list", "--tls_ca", ca, "--token_file", path("viewer")}).code == 0);
  const Outcome nobody = call({"list", "--tls_ca", ca});
  CHECK(nobody.code == 4);
  CHECK(Contains(nobody.err, "hint: --token_file or MENTOR_TOKEN identifies you"));
  CHECK(call({"cancel", "x", "--tls_ca", ca, "--token_file", path("viewer")}).code == 4);
  CHECK(call({"cancel", "x", "--tls_ca", ca, "--token_file", path("operator")}).code == 3);
  CHECK(call({"list", "--tls_ca", ca, "--token_file", path("actor")}).code == 4);

  const Outcome doctor = call({"doctor", "--tls_ca", ca, "--token_file", path("viewer")});
  INFO(doctor.out);
  CHECK(Contains(doctor.out, "good  authority: "));
  CHECK(Contains(doctor.out, "good  token: "));
  CHECK(Contains(doctor.out, "good  server certificate: "));
  chmod(path("viewer").c_str(), 0644);
  const Outcome open = call({"list", "--tls_ca", ca, "--token_file", path("viewer")});
  CHECK(open.code == 2);
  CHECK(Contains(open.err, "--token_file: "));
}

TEST_CASE("mentorctl: plain text beyond this machine must be asked for", "[loopback]") {
  const TempFolder folder;
  const auto run = [&](const std::vector<std::string>& arguments) {
    return Program(folder.path(), arguments).Wait();
  };
  CHECK(run({"list", "--server", "lab.invalid:1"}).code == 2);
  CHECK(run({"list", "--server", "lab.invalid:1", "--allow-insecure", "--timeout", "0.5"}).code ==
        6);
  REQUIRE(
      run({"config", "set-context", "lab", "--server", "lab.invalid:1", "--allow-insecure"}).code ==
      0);
  CHECK(run({"list", "--timeout", "0.5"}).code == 6);
  CHECK(Contains(run({"config", "view"}).out, "allow_insecure  yes "));
}

}  // namespace mentor::TEST_FILE
