// Broken or malicious models of bundles: each is refused with a message, and this process lives on.
#include "envs/mjcf/bundle_model.h"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "common/file.h"
#include "common/pause_point.h"
#include "tests/bundles.h"
#include "tests/text.h"

namespace mentor::envs::mjcf::TEST_FILE {

using mentor::testing::BundleFolder;
using mentor::testing::Contains;
using mentor::testing::Files;
using mentor::testing::kCartModel;
using mentor::testing::kCartTask;
using mentor::testing::Replaced;

// The compiler's answer for a folder's cart.xml.
absl::Status Compile(const BundleFolder& folder, const CompilerLimits& limits = {},
                     const std::string& file = "cart.xml") {
  const auto manifest = ReadBundle(folder.root());
  INFO(manifest.status().ToString());
  REQUIRE(manifest.ok());
  return CompileModel(HeldBundle(folder.root(), *manifest), file, limits).status();
}

std::string RefusalOf(const std::string& xml, const CompilerLimits& limits = {}) {
  const absl::Status status = Compile(BundleFolder(Files{{"cart.xml", xml}}), limits);
  INFO(xml.substr(0, 2000));
  CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

std::string World(const std::string& inside, const std::string& before = "") {
  return "<mujoco>" + before + "<worldbody>" + inside + "</worldbody></mujoco>";
}
constexpr char kBody[] = "<body><freejoint/><geom size='.1'/></body>";

TEST_CASE("mjcf model: a model that is compiled elsewhere is the one that is compiled here",
          "[unit]") {
  const BundleFolder folder(Files{{"cart.xml", kCartModel}});
  const HeldBundle bundle(folder.root(), ReadBundle(folder.root()).value());
  const auto foreign = CompileModel(bundle, "cart.xml");
  INFO(foreign.status().ToString());
  REQUIRE(foreign.ok());
  char error[500] = "";
  mjModel* own = mj_loadXML((folder.root() / "cart.xml").c_str(), nullptr, error, sizeof(error));
  REQUIRE(own != nullptr);
  REQUIRE((*foreign)->nbuffer == own->nbuffer);
  CHECK(std::string(static_cast<const char*>((*foreign)->buffer), own->nbuffer) ==
        std::string(static_cast<const char*>(own->buffer), own->nbuffer));
  mj_deleteModel(own);
}

TEST_CASE("mjcf model: includes and meshes within the bundle are taken, from whichever folder",
          "[unit]") {
  const std::string triangle =
      "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n";
  const BundleFolder folder(
      {{"scene/robot/cart.xml",
        "<mujoco><compiler meshdir='../meshes'/><include file='../parts/ball.xml'/>"
        "<asset><mesh name='m' file='t.obj'/></asset><worldbody><body><freejoint/><geom "
        "type='mesh' "
        "mesh='m'/></body></worldbody></mujoco>"},
       {"scene/parts/ball.xml",
        "<mujocoinclude><worldbody>" + std::string(kBody) + "</worldbody></mujocoinclude>"},
       {"scene/meshes/t.obj", triangle}});
  const absl::Status status = Compile(folder, {}, "scene/robot/cart.xml");
  INFO(status.ToString());
  CHECK(status.ok());
}

TEST_CASE("mjcf model: nothing outside of the bundle is named", "[unit]") {
  for (const char* path : {"/etc/passwd", "../cart.xml", "a/../../cart.xml", "..\\\\cart.xml"}) {
    INFO(path);
    CHECK(Contains(RefusalOf("<mujoco><include file='" + std::string(path) + "'/></mujoco>"),
                   "leads out of the bundle"));
    const std::string file = "file='" + std::string(path) + "'";
    CHECK(Contains(RefusalOf(World(kBody, "<asset><mesh " + file + "/></asset>")),
                   "leads out of the bundle"));
    CHECK(Contains(RefusalOf(World(kBody, "<asset><texture type='2d' " + file + "/></asset>")),
                   "leads out of the bundle"));
    CHECK(Contains(
        RefusalOf(World(kBody, "<asset><hfield name='h' size='1 1 1 1' " + file + "/></asset>")),
        "leads out of the bundle"));
  }
  CHECK(Contains(RefusalOf(World(kBody, "<compiler meshdir='..'/>")), "leads out of the bundle"));
  // Through a folder that another file sets.
  CHECK(Contains(
      Compile(BundleFolder(Files{{"a/cart.xml", World(kBody,
                                                      "<include file='dirs.xml'/><asset><mesh "
                                                      "file='../../secret.stl'/></asset>")},
                                 {"a/dirs.xml",
                                  "<mujocoinclude><compiler meshdir='deep/deeper'/>"
                                  "</mujocoinclude>"}}),
              {}, "a/cart.xml"),
      "leads out of the bundle"));
  CHECK(Contains(RefusalOf("<mujoco><include file='missing.xml'/></mujoco>"),
                 "'missing.xml' is not in the bundle"));
}

TEST_CASE("mjcf model: a link that leaves the bundle is no part of one", "[unit]") {
  const BundleFolder folder = BundleFolder::Cart();
  std::filesystem::create_symlink("/etc/passwd", folder.root() / "passwd.stl");
  const auto manifest = ReadBundle(folder.root());
  CHECK(manifest.status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(Contains(manifest.status(), "passwd.stl"));
}

// Where the kernel has Landlock, it backs the check of names: a link that came after the bundle was
// read is not followed.
TEST_CASE("mjcf model: the compiler is shut in", "[unit]") {
  const BundleFolder folder(Files{{"cart.xml", kCartModel}, {"other.xml", World(kBody)}});
  const HeldBundle bundle(folder.root(), ReadBundle(folder.root()).value());
  const BundleFolder outside(Files{{"cart.xml", kCartModel}});
  std::filesystem::remove(folder.root() / "cart.xml");
  std::filesystem::create_symlink(outside.root() / "cart.xml", folder.root() / "cart.xml");
  const auto model = CompileModel(bundle, "cart.xml");
  if (model.ok()) {
    WARN("skipped: this kernel has no Landlock");
    return;
  }
  CHECK(Contains(model.status(), "is no XML"));
}

TEST_CASE("mjcf model: what is no model, or none of ours, is refused with the compiler's words",
          "[unit]") {
  CHECK(Contains(RefusalOf("this is no XML"), "is no XML"));
  CHECK(Contains(RefusalOf(""), "is no XML"));
  CHECK(Contains(RefusalOf("<robot name='r'/>"), "is a URDF file; give MJCF"));
  CHECK(Contains(RefusalOf("<mujoco><worldbody><geom tipe='box'/></worldbody></mujoco>"), "tipe"));
  CHECK(Contains(RefusalOf(World("<body><joint/></body>")), "mass and inertia"));
  CHECK(Contains(RefusalOf(World("<geom size='1'/>")), "no joints, so that nothing moves"));
  CHECK(Contains(RefusalOf(World(kBody, "<extension><plugin plugin='mujoco.pid'/></extension>")),
                 "plugins are not loaded here"));
  CHECK(Contains(RefusalOf(World(kBody, "<asset><mesh name='m' file='m.stl'/></asset>")), "m.stl"));
  CHECK(Contains(RefusalOf(World(kBody, "<option timestep='7'/>")), "a timestep of 7 s"));
  CHECK(Contains(RefusalOf(World(kBody, "<option iterations='2000000000'/>")),
                 "2000000000 solver iterations, at most 1000"));
  CHECK(Contains(RefusalOf(World(kBody, "<option noslip_iterations='1001'/>")),
                 "1001 noslip_iterations, at most 1000"));
}

TEST_CASE("mjcf model: sizes of old models are taken, and sizes beyond the bounds refused",
          "[unit]") {
  const absl::Status old = Compile(BundleFolder(
      Files{{"cart.xml", World(kBody, "<size njmax='-1' nconmax='-1' nstack='3000'/>")}}));
  INFO(old.ToString());
  CHECK(old.ok());
  CHECK(Contains(RefusalOf(World(kBody, "<size memory='1G'/>")), "bytes of simulation memory"));
  std::string many;
  for (int i = 0; i < 200; ++i) {
    many += "<body pos='" + std::to_string(i) + " 0 0'><freejoint/><geom size='.1'/></body>";
  }
  CHECK(Contains(RefusalOf(World(many)), "has 1200 degrees of freedom, at most 1000"));
  // The compiler refuses plugins by their element; a model that has some all the same is none.
  const BundleFolder cart = BundleFolder::Cart();
  const auto model =
      CompileModel(HeldBundle(cart.root(), ReadBundle(cart.root()).value()), "cart.xml").value();
  mjModel with = *model;
  CHECK(CheckModelSize(with).ok());
  with.nplugin = 1;
  CHECK(Contains(CheckModelSize(with), "has plugins, which are not loaded here"));
}

// Geoms beside each other, in nested copies.
std::string Replicated(const std::vector<int>& counts, const std::string& inside = "") {
  std::string text = inside;
  for (const int count : counts) {
    text =
        "<replicate count='" + std::to_string(count) + "' offset='1 0 0'>" + text + "</replicate>";
  }
  return text;
}
constexpr char kGeom[] = "<geom size='.1'/>";

// A compiler of its own: a script.
class Script {
 public:
  explicit Script(const std::string& commands) {
    tools_.Write("compiler.sh", "#!/bin/sh\ncd " + tools_.root().string() + "\n" + commands);
    const std::filesystem::path script = tools_.root() / "compiler.sh";
    std::filesystem::permissions(script, std::filesystem::perms::owner_all);
    setenv("MENTOR_MJCF", script.c_str(), 1);
  }
  ~Script() { unsetenv("MENTOR_MJCF"); }
  std::filesystem::path folder() const { return tools_.root(); }

 private:
  const BundleFolder tools_{Files{}};
};

TEST_CASE("mjcf model: a compiler that takes too much memory or time is ended", "[unit]") {
  const std::string slow = World(kBody + Replicated({24'000}, kGeom));
  CompilerLimits limits;
  limits.cpu_seconds = 1;
  CHECK(Contains(RefusalOf(slow, limits), "the compiler was ended after 1 s of CPU time"));
  // A caller may have less time.
  {
    const AskerScope asker({.owner = "ann", .program_cpu_seconds = 1});
    CHECK(Contains(RefusalOf(slow), "the compiler was ended after 1 s of CPU time"));
  }
  limits = {};
  limits.memory_bytes = uint64_t{200} << 20;
  const std::string large =
      World(kBody, "<asset><hfield name='h' nrow='8000' ncol='8000' size='1 1 1 1'/></asset>");
  const std::string refusal = RefusalOf(large, limits);
  INFO(refusal);
  CHECK((Contains(refusal, "memory") || Contains(refusal, "crashed")));
  // A compiled model beyond its bound.
  limits = {};
  limits.model_bytes = 2000;
  CHECK(Contains(RefusalOf(kCartModel, limits), "bytes when compiled; at most 2000 are taken"));
  const Script waits("exec tail -f /dev/null");
  limits.wall = std::chrono::seconds(1);
  const absl::Status late = Compile(BundleFolder(Files{{"cart.xml", kCartModel}}), limits);
  CHECK(absl::IsUnavailable(late));
  CHECK(Contains(late, "the compiler was ended"));
}

TEST_CASE("mjcf model: copies are counted before they are made", "[unit]") {
  const auto refused = [](const std::string& world, const std::string& before = "",
                          Files others = {}) {
    others["cart.xml"] = World(kBody + world, before);
    // Too little time to make the copies.
    const absl::Status status = Compile(BundleFolder(others), {.cpu_seconds = 1});
    INFO(world << before << status.ToString());
    CHECK(absl::IsInvalidArgument(status));
    CHECK(Contains(status,
                   "elements with the copies of replicate, composite, flexcomp and attach, "
                   "at most 50000; lower their counts"));
  };
  refused(Replicated({60'000}, kGeom));
  refused(Replicated({60'000}));
  refused(Replicated({1'000'000, 1'000'000}, kBody));
  refused(Replicated({30, 30, 30, 30}));
  refused(Replicated({10'000}, kGeom) + Replicated({10'000}, kGeom) + Replicated({10'000}, kGeom));
  refused("<frame>" + Replicated({300}, "<body>" + Replicated({300}, kGeom) + "</body>") +
          "</frame>");
  refused("<composite prefix='p' type='cable' count='100000 1 1' size='1'/>");
  refused("<composite prefix='p' type='particle' count='100 100 100' spacing='1'>" +
          std::string(kGeom) + "</composite>");
  refused("<flexcomp name='f' type='grid' count='60 60 60' spacing='1 1 1'/>");
  refused(Replicated({300}, "<include file='inside.xml'/>"), "",
          {{"inside.xml", "<mujocoinclude>" + Replicated({300}, kGeom) + "</mujocoinclude>"}});
  // Models that attach models.
  const auto attaches = [](const std::string& other, const std::string& world) {
    return "<mujoco><asset><model name='m' file='" + other +
           "'/></asset><worldbody><body name='b'>" + world + "</body></worldbody></mujoco>";
  };
  std::string many;
  for (int i = 0; i < 40; ++i)
    many += "<attach model='m' body='b' prefix='p" + std::to_string(i) + "'/>";
  refused(many, "<asset><model name='m' file='1.xml'/></asset>",
          {{"1.xml", attaches("2.xml", many)},
           {"2.xml", attaches("3.xml", many)},
           {"3.xml",
            "<mujoco><worldbody><body name='b'><geom size='1'/></body></worldbody>"
            "</mujoco>"}});
  CHECK(Contains(Compile(BundleFolder(Files{{"cart.xml", attaches("cart.xml", many)}})),
                 "has itself as a part"));
  // What a person builds is taken.
  for (const std::string& world :
       {Replicated({10}, "<body>" + Replicated({20}, kGeom) + "</body>"), Replicated({2000}, kGeom),
        std::string("<body>") + many + "</body>"}) {
    const absl::Status status = Compile(BundleFolder(
        {{"cart.xml", World(kBody + world, "<asset><model name='m' file='3.xml'/></asset>")},
         {"3.xml",
          "<mujoco><worldbody><body name='b'><geom size='.1' contype='0' "
          "conaffinity='0'/></body></worldbody></mujoco>"}}));
    INFO(world.substr(0, 200) << status.ToString());
    CHECK(status.ok());
  }
}

TEST_CASE("mjcf model: height fields and textures are weighed before they are made", "[unit]") {
  for (const char* asset :
       {"<hfield name='h' nrow='12000' ncol='12000' size='1 1 1 1'/>",
        "<hfield name='h' nrow='2000000000' ncol='2000000000' size='1 1 1 1'/>",
        "<texture name='t' type='2d' builtin='checker' width='20000' height='10000'/>",
        "<texture name='t' type='cube' builtin='flat' width='6000' height='6000'/>"}) {
    INFO(asset);
    CHECK(Contains(RefusalOf(World(kBody, "<asset>" + std::string(asset) + "</asset>")),
                   "bytes in height fields and textures, at most 536870912; make them smaller"));
  }
}

TEST_CASE("mjcf model: a compiler ends when its caller has gone", "[unit]") {
  // A compiler that never ends by itself, and a caller that goes once it runs.
  const Script waits("echo $$ > pid.new\nmv pid.new pid\nexec tail -f /dev/null");
  struct Gone final : Turn {
    explicit Gone(std::filesystem::path file) : file(std::move(file)) {}
    absl::Status Continue() override {
      if (!std::filesystem::exists(file)) return absl::OkStatus();
      return absl::InvalidArgumentError("the caller has gone");
    }
    void Begin(const char* /*name*/) override {}
    const std::filesystem::path file;
  } turn(waits.folder() / "pid");
  const TurnScope scope(&turn);
  const BundleFolder bundle(
      Files{{"cart.xml", std::string(kCartModel) + "<!-- of one who goes -->"},
            {"task.txtpb", kCartTask}});
  const absl::Status status = bundle.Make().status();
  CHECK(absl::IsCancelled(status));
  CHECK(Contains(status, "the caller has gone"));
  const int pid = std::stoi(ReadFile(turn.file, 100).value());
  CHECK((kill(pid, 0) != 0 && errno == ESRCH));
}

TEST_CASE("mjcf model: XML that would be gigabytes when written out is not", "[unit]") {
  std::string bomb = "<!DOCTYPE m [<!ENTITY a 'aaaaaaaaaa'>";
  for (char c = 'b'; c < 'k'; ++c) {
    bomb += std::string("<!ENTITY ") + c + " '";
    for (int i = 0; i < 10; ++i) bomb += std::string("&") + static_cast<char>(c - 1) + ";";
    bomb += "'>";
  }
  bomb += "]><mujoco model='&j;'><worldbody>" + std::string(kBody) + "</worldbody></mujoco>";
  const absl::Status status = Compile(BundleFolder(Files{{"cart.xml", bomb}}));
  INFO(status.ToString());  // Accepted as it is, or refused; never written out.
  CHECK((status.ok() || absl::IsInvalidArgument(status)));
  std::string deep = "<mujoco><worldbody>", end = "</worldbody></mujoco>";
  for (int i = 0; i < 50000; ++i) {
    deep += "<body>";
    end = "</body>" + end;
  }
  CHECK(absl::IsInvalidArgument(Compile(BundleFolder(Files{{"cart.xml", deep + end}}))));
}

TEST_CASE("mjcf model: a mesh that lies about its size is refused", "[unit]") {
  std::string stl(80, ' ');
  stl += std::string("\xff\xff\xff\x7f", 4) + std::string(50, '\0');
  const std::string xml = World("<body><freejoint/><geom type='mesh' mesh='m'/></body>",
                                "<asset><mesh name='m' file='m.stl'/></asset>");
  const absl::Status status = Compile(BundleFolder(Files{{"cart.xml", xml}, {"m.stl", stl}}));
  CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  CHECK(Contains(status, "m.stl"));
}

TEST_CASE("mjcf model: without its compiler the process says so", "[unit]") {
  setenv("MENTOR_MJCF", "/no/such/program", 1);
  const absl::Status status = Compile(BundleFolder(Files{{"cart.xml", kCartModel}}));
  unsetenv("MENTOR_MJCF");
  CHECK(status.code() == absl::StatusCode::kNotFound);
  CHECK(Contains(status, "mentor-mjcf"));
}

TEST_CASE("mjcf model: a compiler that crashes leaves its last words", "[unit]") {
  const BundleFolder tools(
      Files{{"compiler.sh", "#!/bin/sh\necho about to fail\nkill -SEGV $$\n"}});
  const std::filesystem::path script = tools.root() / "compiler.sh";
  std::filesystem::permissions(script, std::filesystem::perms::owner_all);
  setenv("MENTOR_MJCF", script.c_str(), 1);
  const absl::Status status = Compile(BundleFolder(Files{{"cart.xml", kCartModel}}));
  unsetenv("MENTOR_MJCF");
  CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  CHECK(Contains(status, "the compiler crashed (signal 11); its last words: about to fail"));
}

TEST_CASE("mjcf model: a compiler that is killed may be asked again", "[unit]") {
  // The first call fails, as on a machine without memory.
  const BundleFolder tools(Files{});
  const std::filesystem::path script = tools.root() / "compiler.sh";
  tools.Write("compiler.sh", "#!/bin/sh\nkill -KILL $$\n");
  std::filesystem::permissions(script, std::filesystem::perms::owner_all);
  const BundleFolder bundle(Files{{"cart.xml", std::string(kCartModel) + "<!-- killed once -->"},
                                  {"task.txtpb", kCartTask}});
  setenv("MENTOR_MJCF", script.c_str(), 1);
  const absl::Status killed = Compile(bundle);
  const absl::Status made = bundle.Make().status();
  unsetenv("MENTOR_MJCF");
  CHECK(absl::IsUnavailable(killed));
  CHECK(Contains(killed, "model 'cart.xml': the compiler was ended"));
  CHECK(absl::IsUnavailable(made));
  CHECK(Contains(made, "bundle sha256:"));
  CHECK(Contains(made, " (bundle/): "));  // The folder's name, which people know.
  CHECK(bundle.Make().ok());
}

TEST_CASE("mjcf model: who asks again for a bad one is told at once", "[unit]") {
  const BundleFolder tools(Files{});
  const std::filesystem::path script = tools.root() / "compiler.sh", runs = tools.root() / "runs";
  tools.Write("compiler.sh",
              "#!/bin/sh\necho run >> " + runs.string() + "\necho too odd\nexit 1\n");
  std::filesystem::permissions(script, std::filesystem::perms::owner_all);
  const BundleFolder bundle(
      Files{{"cart.xml", std::string(kCartModel) + "<!-- asked for twice -->"},
            {"task.txtpb", kCartTask}});
  setenv("MENTOR_MJCF", script.c_str(), 1);
  CHECK(Contains(bundle.Refusal(), "too odd"));
  CHECK(Contains(bundle.Refusal(), "too odd"));
  unsetenv("MENTOR_MJCF");
  CHECK(std::filesystem::file_size(runs) == 4);
}

TEST_CASE("mjcf model: what a compiler writes that is no model is refused", "[unit]") {
  const BundleFolder tools(Files{{"compiler.sh", "#!/bin/sh\nhead -c 5000 /dev/zero >&0\n"}});
  const std::filesystem::path script = tools.root() / "compiler.sh";
  std::filesystem::permissions(script, std::filesystem::perms::owner_all);
  setenv("MENTOR_MJCF", script.c_str(), 1);
  const absl::Status status = Compile(BundleFolder(Files{{"cart.xml", kCartModel}}));
  unsetenv("MENTOR_MJCF");
  CHECK(status.code() == absl::StatusCode::kInvalidArgument);
}

}  // namespace mentor::envs::mjcf::TEST_FILE
