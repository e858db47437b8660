#include "cli/ctl/settings.h"

#include <fstream>
#include <map>

#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::TEST_FILE {

using namespace mentor::ctl;
using mentor::testing::Contains;
using mentor::testing::TempFolder;

class Fixture {
 public:
  Fixture() { variables["HOME"] = folder_.path().string(); }
  void Write(const std::string& text) {
    const auto path = folder_.path() / ".config" / "mentor" / "config.txtpb";
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  absl::StatusOr<Settings> Resolve() const {
    return Settings::Resolve(flags, [this](const std::string& name) {
      const auto found = variables.find(name);
      return found == variables.end() ? std::nullopt : std::optional(found->second);
    });
  }
  // "value from source"
  std::string Of(const std::string& name) const {
    const auto settings = Resolve();
    if (!settings.ok()) return std::string(settings.status().message());
    for (const Setting& setting : settings->all()) {
      if (setting.name == name) return setting.value + " from " + setting.source;
    }
    return "none";
  }
  const std::filesystem::path& folder() const { return folder_.path(); }

  GlobalFlags flags;
  std::map<std::string, std::string> variables;

 private:
  const TempFolder folder_;
};

TEST_CASE("settings: flag before environment before context before config file before default",
          "[unit]") {
  Fixture fixture;
  CHECK(fixture.Of("server") == "127.0.0.1:50052 from default");
  CHECK(fixture.Of("timeout") == "10 from default");
  fixture.Write(
      "timeout: 3 current_context: 'b'\n"
      "context { name: 'a' server: 'a:1' }\n"
      "context { name: 'b' server: 'b:1' tls_ca: 'ca.crt' tls_key: '~/key' tls_cert: '/x/crt' }");
  CHECK(fixture.Of("timeout") == "3 from config file");
  CHECK(fixture.Of("server") == "b:1 from context b");
  CHECK(fixture.Of("context") == "b from config file");
  CHECK(fixture.Of("tls_ca") ==
        (fixture.folder() / ".config/mentor/ca.crt").string() + " from context b");
  CHECK(fixture.Of("tls_key") == (fixture.folder() / "key").string() + " from context b");
  CHECK(fixture.Of("tls_cert") == "/x/crt from context b");
  fixture.variables["MENTOR_CONTEXT"] = "a";
  CHECK(fixture.Of("server") == "a:1 from context a");
  fixture.variables["MENTOR_SERVER"] = "c:1";
  CHECK(fixture.Of("server") == "c:1 from MENTOR_SERVER");
  fixture.flags.server = "d:1";
  CHECK(fixture.Of("server") == "d:1 from --server");
  fixture.flags.context = "b";
  CHECK(fixture.Of("context") == "b from --context");
  CHECK(fixture.Of("tls_cert") == "/x/crt from context b");
  CHECK(fixture.Of("color") == "yes from default");
  fixture.variables["NO_COLOR"] = "1";
  CHECK(fixture.Of("color") == "no from NO_COLOR");
}

TEST_CASE("settings: the config file is where the environment says", "[unit]") {
  Fixture fixture;
  fixture.variables["XDG_CONFIG_HOME"] = "/xdg";
  CHECK(fixture.Of("config") == "/xdg/mentor/config.txtpb from default");
  fixture.variables["MENTOR_CONFIG"] = "/none.txtpb";
  CHECK(fixture.Of("config") == "/none.txtpb from MENTOR_CONFIG, not there yet");
}

TEST_CASE("settings: what is wrong is named with its place", "[unit]") {
  Fixture fixture;
  const auto error = [&](const std::string& text) {
    fixture.Write(text);
    const auto settings = fixture.Resolve();
    CHECK(absl::IsInvalidArgument(settings.status()));
    return std::string(settings.status().message());
  };
  CHECK(Contains(error("timeout: 3\noutputs: 'json'"), "config.txtpb:2:8: "));
  CHECK(Contains(error("context { server: 'x' }"), "context 1 has no name"));
  CHECK(Contains(error("context { name: 'x' } context { name: 'x' }"), "two contexts are called"));
  CHECK(Contains(error("output: 'xml'"), "output is 'xml'; give table, json, yaml, csv or name"));
  CHECK(Contains(error("timeout: -1"), "timeout is -1"));
  CHECK(Contains(error("timeout: nan"), "timeout is nan"));
  CHECK(Contains(error("current_context: 'y' context { name: 'x' }"),
                 "config file: there is no context 'y'"));
  fixture.Write("");
  fixture.variables["MENTOR_TIMEOUT"] = "soon";
  CHECK(Contains(fixture.Of("timeout"), "MENTOR_TIMEOUT is 'soon'; give seconds"));
}

TEST_CASE("settings: a token comes from a file or the environment", "[unit]") {
  Fixture fixture;
  CHECK(fixture.Resolve()->Token()->empty());
  fixture.variables["MENTOR_TOKEN"] = "secret";
  CHECK(fixture.Resolve()->Token()->Reveal() == "secret");
  CHECK(fixture.Of("token") == "<redacted> from MENTOR_TOKEN");
  const auto path = (fixture.folder() / "token").string();
  std::ofstream(path) << "  other\n";
  std::filesystem::permissions(path, std::filesystem::perms::owner_read);
  fixture.flags.token_file = path;
  CHECK(fixture.Resolve()->Token()->Reveal() == "other");
  std::filesystem::permissions(path, std::filesystem::perms(0604));
  CHECK(absl::IsInvalidArgument(fixture.Resolve()->Token().status()));  // Others may read it.
  std::filesystem::permissions(path, std::filesystem::perms(0600));
  std::ofstream(path) << "two words";
  CHECK(Contains(fixture.Resolve()->Token().status().ToString(), "holds no token"));
}

TEST_CASE("settings: a config that was written reads back", "[unit]") {
  const TempFolder folder;
  v1::ClientConfig config;
  config.set_current_context("é");
  config.add_context()->set_name("é");
  const auto path = folder.path() / "new" / "config.txtpb";
  REQUIRE(WriteConfig(config, path).ok());
  const auto read = ParseConfig(mentor::testing::ReadText(path), path);
  REQUIRE(read.ok());
  CHECK(read->SerializeAsString() == config.SerializeAsString());
  CHECK((std::filesystem::status(path).permissions() & std::filesystem::perms(077)) ==
        std::filesystem::perms::none);
}

}  // namespace mentor::TEST_FILE
