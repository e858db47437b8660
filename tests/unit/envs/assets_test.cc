// Models are used only if every one of their bytes is the package's.
#include "envs/assets.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>

#include <absl/strings/match.h>

#include "common/file.h"
#include "common/registry.h"
#include "envs/environment.h"
#include "envs/metaworld/task.h"
#include "envs/metaworld/world.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::envs::TEST_FILE {

namespace fs = std::filesystem;

constexpr char kFolder[] = "metaworld/assets";

// MENTOR_ASSETS while it lives.
class WithAssets {
 public:
  explicit WithAssets(const fs::path& root) {
    if (const char* before = std::getenv("MENTOR_ASSETS")) before_ = before;
    setenv("MENTOR_ASSETS", root.c_str(), 1);
  }
  ~WithAssets() {
    before_.empty() ? unsetenv("MENTOR_ASSETS") : setenv("MENTOR_ASSETS", before_.c_str(), 1);
  }

 private:
  std::string before_;
};

// The same folders with links in place of files.
void Link(const fs::path& from, const fs::path& to) {
  fs::create_directories(to);
  for (const fs::directory_entry& entry : fs::directory_iterator(from)) {
    const fs::path target = to / entry.path().filename();
    entry.is_directory() ? Link(entry.path(), target) : fs::create_symlink(entry.path(), target);
  }
}

TEST_CASE("assets: one changed bit in any file of a scene is noticed", "[unit]") {
  const testing::TempFolder folder;
  const fs::path root = folder.path() / kFolder;
  Link(AssetsFolder(kFolder), root);
  std::multimap<std::string, fs::path> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root)) {
    if (!entry.is_directory()) files.emplace(entry.path().filename(), entry.path());
  }
  std::set<std::string> scenes;
  for (const auto* task : Registry<metaworld::TaskEntry>::Instance().All())
    scenes.insert(task->facts.xml);
  REQUIRE(scenes.size() == 36);
  for (const std::string& xml : scenes) {
    INFO(xml);
    const auto model = metaworld::LoadScene(xml);
    REQUIRE(model.ok());
    const mjModel& m = **model;
    // The scene itself, and the first and the last of its meshes and textures.
    std::set<std::string> names = {fs::path(xml).filename()};
    const auto add = [&](const int* addresses, int count) {
      for (int i : {0, count - 1}) {
        if (count > 0 && addresses[i] >= 0)
          names.insert(fs::path(m.paths + addresses[i]).filename());
      }
    };
    add(m.mesh_pathadr, m.nmesh);
    add(m.tex_pathadr, m.ntex);
    REQUIRE(names.size() >= 3);
    const WithAssets here(folder.path());
    for (const std::string& name : names) {
      INFO(name);
      const auto [begin, end] = files.equal_range(name);
      REQUIRE(begin != end);
      std::map<fs::path, fs::path> links;
      for (auto file = begin; file != end; ++file) {
        const fs::path& path = file->second;
        std::string bytes = *ReadFile(path, 64 << 20);
        bytes.back() ^= 1;
        links[path] = fs::read_symlink(path);
        fs::remove(path);
        std::ofstream(path, std::ios::binary) << bytes;
      }
      const auto found = ModelFile(kFolder, xml);
      CHECK(found.status().code() == absl::StatusCode::kFailedPrecondition);
      CHECK(absl::StrContains(found.status().message(), name + " has changed"));
      CHECK(absl::StrContains(found.status().message(), "deploy/install.sh"));
      for (const auto& [path, link] : links) {
        fs::remove(path);
        fs::create_symlink(link, path);
      }
    }
    CHECK(ModelFile(kFolder, xml).ok());
  }
}

TEST_CASE("assets: a broken scene spoils no other", "[unit]") {
  const testing::TempFolder folder;
  Link(AssetsFolder(kFolder), folder.path() / kFolder);
  const fs::path scene = folder.path() / kFolder / "sawyer_xyz" / "sawyer_door_pull.xml";
  fs::remove(scene);
  const WithAssets here(folder.path());
  CHECK(absl::StrContains(MakeEnvironment("door-close-v3", {}).status().message(),
                          "sawyer_door_pull.xml"));
  CHECK(MakeEnvironment("push-v3", {}).ok());
}

}  // namespace mentor::envs::TEST_FILE
