// Tokens, roles and the decision about a call, without any network.
#include "common/rpc/auth.h"

#include <sstream>
#include <type_traits>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor_database.h>

#include "common/rpc/secret_file.h"
#include "tests/certificate_files.h"
#include "tests/metric_value.h"
#include "tests/testing.h"

namespace mentor::rpc::TEST_FILE {

using grpc::StatusCode;
using mentor::testing::MetricValue;
using mentor::testing::TempFolder;
using mentor::testing::TestTokens;
using mentor::testing::WriteText;

constexpr char kView[] = "/mentor.v1.ExperimentService/GetExperiment";
constexpr char kCreate[] = "/mentor.v1.ExperimentService/CreateExperiment";
constexpr char kWork[] = "/mentor.v1.RolloutService/Work";
constexpr char kRun[] = "/mentor.v1.ShardService/Run";
constexpr char kHealth[] = "/grpc.health.v1.Health/Check";

bool Has(const std::string& text, const std::string& part) {
  INFO(text);
  INFO("must have: " << part);
  CHECK(text.find(part) != std::string::npos);
  return text.find(part) != std::string::npos;
}

template <typename T>
concept Printable = requires(std::ostream& out, const T& value) {
  out << value;
};

TEST_CASE("secret: it cannot be printed", "[unit]") {
  STATIC_REQUIRE_FALSE(Printable<Secret>);
  STATIC_REQUIRE(Printable<std::string>);
  STATIC_REQUIRE_FALSE(std::is_convertible_v<Secret, std::string>);
  const Secret secret("a word that is long enough for the heap");
  CHECK(Secret(secret).Reveal() == "a word that is long enough for the heap");
}

TEST_CASE("roles: an operator looks too, others keep to their own", "[unit]") {
  CHECK(Includes(v1::ROLE_OPERATOR, v1::ROLE_VIEWER));
  CHECK_FALSE(Includes(v1::ROLE_VIEWER, v1::ROLE_OPERATOR));
  CHECK_FALSE(Includes(v1::ROLE_OPERATOR, v1::ROLE_ACTOR));
  CHECK_FALSE(Includes(v1::ROLE_LEARNER, v1::ROLE_ACTOR));
  CHECK_FALSE(Includes(v1::ROLE_LEARNER, v1::ROLE_VIEWER));
  CHECK_FALSE(Includes(v1::ROLE_UNSPECIFIED, v1::ROLE_UNSPECIFIED));
  Has(std::string(ParseRole("root").status().message()), "viewer, operator, admin, actor, learner");
}

TEST_CASE("roles: an admin does what an operator does, also to what others own (D13)", "[unit]") {
  CHECK(ParseRole("admin").value() == v1::ROLE_ADMIN);
  CHECK(Includes(v1::ROLE_ADMIN, v1::ROLE_OPERATOR));
  CHECK(Includes(v1::ROLE_ADMIN, v1::ROLE_VIEWER));
  CHECK_FALSE(Includes(v1::ROLE_ADMIN, v1::ROLE_ACTOR));
  CHECK_FALSE(Includes(v1::ROLE_OPERATOR, v1::ROLE_ADMIN));
  const Caller ann{.name = "ann", .role = v1::ROLE_OPERATOR};
  CHECK(ann.MayChange("ann"));
  CHECK_FALSE(ann.MayChange("bob"));
  CHECK_FALSE(Caller{}.MayChange(""));
  CHECK(Caller{.name = "root", .role = v1::ROLE_ADMIN}.MayChange("bob"));
  CHECK(Caller{.name = "local", .role = v1::ROLE_OPERATOR, .everything = true}.MayChange("bob"));
}

TEST_CASE("roles: every method of ours says which role it takes", "[unit]") {
  CHECK(RequiredRole(kView) == v1::ROLE_VIEWER);
  CHECK(RequiredRole(kCreate) == v1::ROLE_OPERATOR);
  CHECK(RequiredRole(kWork) == v1::ROLE_ACTOR);
  CHECK(RequiredRole(kRun) == v1::ROLE_LEARNER);
  CHECK_FALSE(RequiredRole(kHealth).has_value());
  CHECK_FALSE(RequiredRole("/mentor.v1.ExperimentService/Nothing").has_value());
  CHECK_FALSE(RequiredRole("").has_value());
  std::vector<std::string> files;
  google::protobuf::DescriptorPool::internal_generated_database()->FindAllFileNames(&files);
  int methods = 0;
  for (const std::string& name : files) {
    if (!name.starts_with("mentor/v1/")) continue;
    const auto* file = google::protobuf::DescriptorPool::generated_pool()->FindFileByName(name);
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m, ++methods) {
        const auto* method = file->service(s)->method(m);
        INFO(method->full_name());
        CHECK(method->options().GetExtension(v1::required_role) != v1::ROLE_UNSPECIFIED);
      }
    }
  }
  CHECK(methods >= 7);
}

TEST_CASE("tokens: a new one has its line, and only the hash is in it", "[unit]") {
  const auto made = MakeToken(v1::ROLE_OPERATOR, "ann@lab");
  REQUIRE(made.ok());
  CHECK(made->token.Reveal().size() == 7 + 64);
  CHECK(made->line.find(made->token.Reveal()) == std::string::npos);
  CHECK(made->line.starts_with("operator ann@lab "));
  CHECK(MakeToken(v1::ROLE_OPERATOR, "ann@lab")->line != made->line);
  const auto table = TokenTable::Parse("file", made->line);
  REQUIRE(table.ok());
  const auto* entry = table->Find(made->token.Reveal());
  REQUIRE(entry != nullptr);
  CHECK(entry->name == "ann@lab");
  CHECK(entry->role == v1::ROLE_OPERATOR);
  CHECK(table->Find("") == nullptr);
  CHECK(table->Find(made->token.Reveal() + "x") == nullptr);
  CHECK_FALSE(MakeToken(v1::ROLE_VIEWER, "two words").ok());
  CHECK_FALSE(MakeToken(v1::ROLE_VIEWER, "").ok());
  CHECK_FALSE(MakeToken(v1::ROLE_UNSPECIFIED, "x").ok());
}

TEST_CASE("tokens: a bad line is named, but a token in it is not repeated", "[unit]") {
  const std::string hash(64, 'a');
  const auto message = [](const std::string& text) {
    return std::string(TokenTable::Parse("tokens", text).status().message());
  };
  CHECK(TokenTable::Parse("tokens", "# only this\n\n viewer a " + hash + " # one\r\n").ok());
  Has(message("viewer a\n"), "tokens:1");
  Has(message("\n\nroot a " + hash), "tokens:3: 'root' is not a role");
  Has(message("viewer a/b/\\ " + hash), "a name has");
  Has(message("viewer a " + hash + "\nactor b " + hash), "the token of 'a' once more");
  const std::string leaked = message("viewer a mentor_secret");
  Has(leaked, "64 hexadecimal digits");
  CHECK(leaked.find("mentor_secret") == std::string::npos);
  CHECK_FALSE(TokenTable::Parse("tokens", "viewer a " + std::string(63, 'a') + "g").ok());
}

TEST_CASE("tokens: a file that others may read is refused", "[unit]") {
  const TempFolder folder;
  const std::string path = (folder.path() / "tokens").string();
  for (const int mode : {0600, 0400, 0440, 0640, 0700}) {
    WriteText(path, "x", mode);
    INFO(std::oct << mode);
    CHECK(ReadSecretFile("--tokens", path).ok());
  }
  for (const int mode : {0644, 0604, 0660, 0602, 0666, 0777}) {
    std::filesystem::remove(path);
    WriteText(path, "x", mode);
    INFO(std::oct << mode);
    const auto read = ReadSecretFile("--tokens", path);
    REQUIRE_FALSE(read.ok());
    Has(std::string(read.status().message()), "chmod 600");
  }
  WriteText(path, "x", 0644);
  CHECK(ReadGuardedFile("--roles", path).ok());
  WriteText(path, "x", 0664);
  CHECK_FALSE(ReadGuardedFile("--roles", path).ok());
  CHECK_FALSE(ReadSecretFile("--tokens", folder.path().string()).ok());
  Has(std::string(ReadSecretFile("--tokens", path + "x").status().message()), "--tokens");
  for (const char* text : {"", " \n", "two words\n", "a\x01"}) {
    WriteText(path, text, 0600);
    CHECK_FALSE(TokenFile::Open(path).ok());
  }
  WriteText(path, " token \n", 0600);
  REQUIRE(TokenFile::Open(path).ok());
  CHECK((*TokenFile::Open(path))->Get().Reveal() == "token");
}

TEST_CASE("roles: lines of role and common name", "[unit]") {
  const auto roles = ParseRoles("roles", "actor rack-1.example.org\n# x\nviewer ann\n");
  REQUIRE(roles.ok());
  CHECK(roles->at("rack-1.example.org") == v1::ROLE_ACTOR);
  CHECK(roles->size() == 2);
  Has(std::string(ParseRoles("roles", "actor a\nviewer a").status().message()), "roles:2");
  CHECK_FALSE(ParseRoles("roles", "actor").ok());
}

struct Fixture {
  Fixture() : tokens((folder.path() / "tokens").string()) {
    roles = (folder.path() / "roles").string();
    WriteText(roles, "actor by-name\n");
  }
  std::shared_ptr<AccessControl> Control(bool with_tokens, bool certificates) {
    auto made = AccessControl::Make({.tokens = with_tokens ? tokens.path() : "",
                                     .roles = certificates ? roles : "",
                                     .certificates = certificates,
                                     .metrics = metrics.get()});
    INFO(made.status());
    REQUIRE(made.ok());
    return *made;
  }
  std::string Bearer(v1::Role role) const { return "Bearer " + tokens.token(role); }

  TempFolder folder;
  TestTokens tokens;
  std::string roles;
  std::unique_ptr<Metrics> metrics = Metrics::Create();
};

TEST_CASE("access: tokens", "[unit]") {
  Fixture f;
  const auto control = f.Control(true, false);
  const auto code = [&](const char* path, const std::vector<std::string_view>& authorization) {
    return control->Check(path, authorization, {}).code;
  };
  const std::string viewer = f.Bearer(v1::ROLE_VIEWER), actor = f.Bearer(v1::ROLE_ACTOR);
  CHECK(code(kView, {viewer}) == StatusCode::OK);
  CHECK(code(kCreate, {viewer}) == StatusCode::PERMISSION_DENIED);
  CHECK(code(kWork, {actor}) == StatusCode::OK);
  CHECK(code(kView, {actor}) == StatusCode::PERMISSION_DENIED);
  CHECK(code(kHealth, {actor}) == StatusCode::OK);
  CHECK(code("/x.Y/Z", {actor}) == StatusCode::OK);  // gRPC itself then reports the missing method.
  for (const char* path : {kView, kHealth, "/x.Y/Z", ""}) {
    CHECK(code(path, {}) == StatusCode::UNAUTHENTICATED);
    CHECK(code(path, {"Bearer nonsense"}) == StatusCode::UNAUTHENTICATED);
  }
  CHECK(code(kView, {viewer, viewer}) == StatusCode::UNAUTHENTICATED);
  CHECK(code(kView, {viewer + " "}) == StatusCode::UNAUTHENTICATED);
  CHECK(code(kView, {viewer.substr(7)}) == StatusCode::UNAUTHENTICATED);
  CHECK(code(kView, {"Bearer "}) == StatusCode::UNAUTHENTICATED);
  CHECK(code(kView, {"bEARER " + viewer.substr(7)}) == StatusCode::OK);
  const auto denied = control->Check(kCreate, {viewer}, {});
  Has(denied.message, "takes the role operator; 'viewer-token' has viewer");
  CHECK(control->Identify({viewer}, {})->name == "viewer-token");
  CHECK(control->Identify({viewer}, {})->role == v1::ROLE_VIEWER);
  CHECK_FALSE(control->Identify({}, {}).has_value());
  CHECK(MetricValue(*f.metrics, "mentor_auth_failures_total{reason=\"missing\"}") == 4);
  CHECK(MetricValue(*f.metrics, "mentor_auth_failures_total{reason=\"role\"}") == 3);
  CHECK(MetricValue(*f.metrics, "mentor_auth_failures_total{reason=\"unknown\"}") == 8);
}

TEST_CASE("access: certificates say their role, or the list does", "[unit]") {
  Fixture f;
  const auto control = f.Control(false, true);
  const PeerCertificate learner{.common_name = "l", .spiffe_id = "spiffe://mentor/role/learner"};
  CHECK(control->Check(kRun, {}, learner).code == StatusCode::OK);
  CHECK(control->Check(kWork, {}, learner).code == StatusCode::PERMISSION_DENIED);
  CHECK(control->Check(kWork, {}, {.common_name = "by-name"}).code == StatusCode::OK);
  CHECK(control->Identify({}, {.common_name = "by-name"})->name == "by-name");
  for (const char* id : {"", "spiffe://mentor/role/root", "spiffe://other/role/actor",
                         "spiffe://mentor/role/actor/x", "spiffe://mentor/role/"}) {
    const PeerCertificate plain{.common_name = "x", .spiffe_id = id};
    const auto decision = control->Check(kWork, {}, plain);
    CHECK(decision.code == StatusCode::PERMISSION_DENIED);
    Has(decision.message, "a certificate without a role");
    CHECK(control->Check(kHealth, {}, plain).code == StatusCode::OK);
  }
  // Where tokens are not configured, they are ignored.
  CHECK(control->Check(kRun, {"Bearer x"}, learner).code == StatusCode::OK);
  CHECK(control->Check(kRun, {}, {}).code == StatusCode::UNAUTHENTICATED);
}

TEST_CASE("access: of certificate and token the narrower counts", "[unit]") {
  Fixture f;
  const auto control = f.Control(true, true);
  const auto certificate = [](const std::string& role) {
    return PeerCertificate{.common_name = "c", .spiffe_id = "spiffe://mentor/role/" + role};
  };
  const std::string viewer = f.Bearer(v1::ROLE_VIEWER), op = f.Bearer(v1::ROLE_OPERATOR);
  CHECK(control->Check(kCreate, {}, certificate("operator")).code == StatusCode::OK);
  CHECK(control->Check(kCreate, {op}, certificate("operator")).code == StatusCode::OK);
  CHECK(control->Check(kView, {viewer}, certificate("operator")).code == StatusCode::OK);
  const auto narrow = control->Check(kCreate, {viewer}, certificate("operator"));
  CHECK(narrow.code == StatusCode::PERMISSION_DENIED);
  Has(narrow.message, "a token for viewer and a certificate for operator");
  CHECK(control->Check(kCreate, {op}, certificate("viewer")).code == StatusCode::PERMISSION_DENIED);
  CHECK(control->Check(kView, {op}, certificate("viewer")).code == StatusCode::OK);
  CHECK(control->Check(kView, {op}, certificate("actor")).code == StatusCode::PERMISSION_DENIED);
  CHECK(control->Identify({op}, certificate("actor"))->role == v1::ROLE_UNSPECIFIED);
  CHECK(control->Identify({viewer}, certificate("operator"))->role == v1::ROLE_VIEWER);
  CHECK(control->Identify({viewer}, certificate("operator"))->name == "viewer-token");
  CHECK(control->Identify({}, certificate("admin"))->role == v1::ROLE_ADMIN);
  CHECK(control->Identify({op}, certificate("admin"))->role == v1::ROLE_OPERATOR);
  // A certificate without a role restricts nothing, but does not suffice alone; a wrong token is
  // never ignored.
  CHECK(control->Check(kCreate, {op}, {.common_name = "x"}).code == StatusCode::OK);
  CHECK(control->Check(kView, {}, {.common_name = "x"}).code == StatusCode::UNAUTHENTICATED);
  CHECK(control->Check(kView, {"Bearer x"}, certificate("operator")).code ==
        StatusCode::UNAUTHENTICATED);
}

TEST_CASE("access: files are read again, and a broken one changes nothing", "[unit]") {
  Fixture f;
  const auto control = f.Control(true, false);
  const std::string viewer = f.Bearer(v1::ROLE_VIEWER);
  const auto ok = [&](const std::string& authorization) {
    return control->Check(kHealth, {authorization}, {}).code == StatusCode::OK;
  };
  const auto second = MakeToken(v1::ROLE_VIEWER, "second").value();
  WriteText(f.tokens.path(), second.line + "\n");
  CHECK(ok(viewer));
  control->Reload();
  CHECK_FALSE(ok(viewer));
  CHECK(ok("Bearer " + second.token.Reveal()));
  constexpr char kFailures[] = "mentor_auth_reload_failures_total";
  const std::string broken[] = {"viewer second\n", "", "\xff\xfe"};
  int failures = 0;
  for (const std::string& text : broken) {
    WriteText(f.tokens.path(), text);
    for (int i = 0; i < 3; ++i) control->Reload();
    CHECK(ok("Bearer " + second.token.Reveal()));
    CHECK(MetricValue(*f.metrics, kFailures) == ++failures);
  }
  WriteText(f.tokens.path(), second.line + "\n", 0644);
  for (int i = 0; i < 3; ++i) control->Reload();
  CHECK(ok("Bearer " + second.token.Reveal()));
  CHECK(MetricValue(*f.metrics, kFailures) == ++failures);
  std::filesystem::remove(f.tokens.path());
  for (int i = 0; i < 3; ++i) control->Reload();
  CHECK(ok("Bearer " + second.token.Reveal()));
  CHECK(MetricValue(*f.metrics, kFailures) == ++failures);
  WriteText(f.tokens.path(), "viewer old " + std::string(64, 'b') + "\n");
  control->Reload();
  CHECK_FALSE(ok("Bearer " + second.token.Reveal()));
}

}  // namespace mentor::rpc::TEST_FILE
