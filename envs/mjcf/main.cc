// mentor-mjcf: compiles the MuJoCo model of a bundle and writes it, as MJB, to descriptor 0.
// envs/mjcf/bundle_model.cc runs it for models that no one has checked. So it is small and links
// only MuJoCo and an XML reader. It first gives up memory and CPU time beyond its bounds and, where
// the kernel has Landlock, every file but the bundle's. Its output for people goes to descriptor 1.
//
//   mentor-mjcf FOLDER FILE MEMORY_BYTES CPU_SECONDS MODEL_BYTES
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <linux/landlock.h>
#include <malloc.h>
#include <mujoco/mujoco.h>
#include <pugixml.hpp>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

namespace fs = std::filesystem;

constexpr int kElementsMax = 1'000'000;
constexpr int kFilesMax = 2000;
constexpr size_t kFoldersMax = 100;

[[noreturn]] void Refuse(const std::string& what) {
  std::fprintf(stdout, "%s\n", what.c_str());
  std::fflush(stdout);
  _exit(1);
}

void Limit(int what, rlim_t most, rlim_t grace = 0) {
  const rlimit limit = {most, most + grace};
  if (setrlimit(static_cast<__rlimit_resource>(what), &limit) != 0)
    Refuse(std::string("cannot set a limit: ") + std::strerror(errno));
}

// From now on the process reads only files of this folder. Older kernels restrict less or nothing;
// then only the check of names below protects.
void StayWithin(const char* folder) {
  const long version =
      syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 1) return;
  landlock_ruleset_attr rules = {};
  rules.handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;  // All of the first version.
  const int ruleset =
      static_cast<int>(syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0));
  const int root = open(folder, O_PATH | O_CLOEXEC);
  if (ruleset < 0 || root < 0)
    Refuse(std::string("cannot shut itself in: ") + std::strerror(errno));
  landlock_path_beneath_attr rule = {};
  rule.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
  rule.parent_fd = root;
  if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0 ||
      syscall(SYS_landlock_restrict_self, ruleset, 0) != 0) {
    Refuse(std::string("cannot shut itself in: ") + std::strerror(errno));
  }
  close(ruleset);
  close(root);
}

// Names of files in MJCF, checked before MuJoCo opens any. None may lead out of the bundle, from
// whichever folder MuJoCo counts it.
class References {
 public:
  explicit References(fs::path root) : root_(std::move(root)) {}

  void Check(const fs::path& file) {
    open_.emplace_back(file, file.parent_path());
    while (!open_.empty()) {
      const auto [next, base] = open_.back();
      open_.pop_back();
      if (seen_.insert({next.string(), base.string()}).second) Read(next, base);
      if (static_cast<int>(seen_.size()) > kFilesMax)
        Refuse("includes more files than a bundle has");
    }
    // Only now are all folders known that a name may count from.
    for (const Name& name : names_) {
      Within(name.base, name);
      for (const fs::path& folder : name.texture ? texture_dirs_ : mesh_dirs_) Within(folder, name);
    }
  }

  // What <size> asks for: `njmax="12000"`.
  const std::string& memory() const { return memory_; }

 private:
  // An attribute that names a file or a folder.
  struct Name {
    fs::path file, base;  // The file with the attribute, and the folder of its model.
    std::string element, attribute, value;
    bool texture = false;
  };

  void Read(const fs::path& file, const fs::path& base) {
    pugi::xml_document document;
    const pugi::xml_parse_result parsed = document.load_file((root_ / file).c_str());
    if (!parsed) {
      std::error_code error;
      if (!fs::is_regular_file(root_ / file, error))
        Refuse("'" + file.string() + "' is not in the bundle; write the path of a file in it");
      Refuse("'" + file.string() + "' is no XML: " + parsed.description() + " at byte " +
             std::to_string(parsed.offset));
    }
    if (std::strcmp(document.document_element().name(), "robot") == 0)
      Refuse("'" + file.string() + "' is a URDF file; give MJCF");
    std::vector<pugi::xml_node> nodes = {document};
    while (!nodes.empty()) {
      const pugi::xml_node node = nodes.back();
      nodes.pop_back();
      if (++elements_ > kElementsMax) Refuse("has more elements than a model needs");
      Look(node, file, base);
      for (const pugi::xml_node child : node.children()) nodes.push_back(child);
    }
  }

  void Look(const pugi::xml_node& node, const fs::path& file, const fs::path& base) {
    const std::string kind = node.name();
    if (kind == "size") {
      for (const char* name : {"memory", "njmax", "nconmax", "nstack"}) {
        if (const pugi::xml_attribute attribute = node.attribute(name))
          memory_ +=
              std::string(memory_.empty() ? "" : " ") + name + "=\"" + attribute.value() + '"';
      }
    }
    if (kind == "plugin" || kind == "extension") {
      Refuse("'" + file.string() + "' has <" + kind +
             ">; plugins are not loaded here: take it out");
    }
    for (const pugi::xml_attribute attribute : node.attributes()) {
      const std::string_view name = attribute.name();
      const bool folder = name == "meshdir" || name == "texturedir" || name == "assetdir";
      if ((!folder && !name.starts_with("file")) || *attribute.value() == '\0') continue;
      const Name named = {file, base, kind, attribute.name(), attribute.value(), kind == "texture"};
      const fs::path path = Within(base, named);
      if (folder) {
        if (name != "meshdir") texture_dirs_.insert(path);
        if (name != "texturedir") mesh_dirs_.insert(path);
        if (mesh_dirs_.size() + texture_dirs_.size() > kFoldersMax)
          Refuse("names more folders than a bundle needs");
      } else if (kind == "include") {
        open_.emplace_back(path, base);
      } else if (kind == "model") {
        open_.emplace_back(path, path.parent_path());
      } else {
        names_.push_back(named);
      }
    }
  }

  fs::path Within(const fs::path& base, const Name& name) const {
    const fs::path path = (base / name.value).lexically_normal();
    if (fs::path(name.value).is_absolute() || (!path.empty() && *path.begin() == "..") ||
        name.value.find_first_of("\\:") != std::string::npos) {
      Refuse("'" + name.file.string() + "': " + name.attribute + "=\"" + name.value + "\" of <" +
             name.element +
             "> leads out of the bundle; put the file into it and name it from there");
    }
    return path;
  }

  const fs::path root_;
  std::set<std::pair<std::string, std::string>> seen_;  // Files, and their models' folders.
  std::vector<std::pair<fs::path, fs::path>> open_;
  std::vector<Name> names_;
  std::set<fs::path> mesh_dirs_, texture_dirs_;
  std::string memory_;
  int elements_ = 0;
};

void Write(const void* data, size_t size) {
  const char* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t count = write(0, bytes, size);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) Refuse(std::string("cannot write the compiled model: ") + std::strerror(errno));
    bytes += count;
    size -= static_cast<size_t>(count);
  }
}

void Compile(const fs::path& root, const std::string& file, uint64_t model_bytes_max) {
  References references(root);
  references.Check(file);
  char error[2000] = "";
  mjModel* model = mj_loadXML((root / file).c_str(), nullptr, error, sizeof(error));
  if (model == nullptr) {
    std::string why = error;
    if (why.find("allocate memory") != std::string::npos && !references.memory().empty()) {
      why += "; <size> has " + references.memory() +
             ", and at most 256 MiB of simulation memory are taken, of which njmax reserves its "
             "square: leave these out, so that MuJoCo takes what it needs, or give memory=\"256M\"";
    }
    Refuse(why);
  }
  const int size = mj_sizeModel(model);
  if (size <= 0 || static_cast<uint64_t>(size) > model_bytes_max) {
    Refuse("has " + std::to_string(size) + " bytes when compiled; at most " +
           std::to_string(model_bytes_max) + " are taken");
  }
  // A model that cannot make a step must end here, not in an actor.
  mjData* data = mj_makeData(model);
  if (data == nullptr) Refuse("its simulation does not fit into memory");
  mj_step(model, data);
  mj_deleteData(data);
  std::vector<char> bytes(static_cast<size_t>(size));
  mj_saveModel(model, nullptr, bytes.data(), size);
  Write(bytes.data(), bytes.size());
}

}  // namespace

int main(int count, char** words) {
  if (count == 2 && std::string_view(words[1]) == "--version") {
    std::printf("mentor-mjcf %s\n", MENTOR_VERSION);
    return 0;
  }
  if (count == 2 && std::string_view(words[1]) == "--help") {
    std::printf(
        "mentor-mjcf FOLDER FILE MEMORY_BYTES CPU_SECONDS MODEL_BYTES\n\n"
        "Compiles the model FILE of the bundle in FOLDER, shut in and within these bounds, "
        "and\nwrites it to descriptor 0. Mentor runs it; there is no need to.\n");
    return 0;
  }
  if (count != 6) {
    std::fprintf(stderr, "mentor-mjcf: give FOLDER FILE MEMORY_BYTES CPU_SECONDS MODEL_BYTES\n");
    return 2;
  }
  const fs::path root = words[1];
  const std::string file = words[2];
  const uint64_t model_bytes_max = std::strtoull(words[5], nullptr, 10);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  mallopt(M_ARENA_MAX, 2);  // Each arena takes address space.
  Limit(RLIMIT_CORE, 0);
  // One second more, so that the signal is SIGXCPU, which tells the reason.
  Limit(RLIMIT_CPU, static_cast<rlim_t>(std::strtoull(words[4], nullptr, 10)), 1);
  Limit(RLIMIT_FSIZE, static_cast<rlim_t>(model_bytes_max + (1 << 20)));
  Limit(RLIMIT_AS, static_cast<rlim_t>(std::strtoull(words[3], nullptr, 10)));
  StayWithin(words[1]);
  mju_user_error = [](const char* message) { Refuse(message); };
  mju_user_warning = [](const char*) {};
  try {
    Compile(root, file, model_bytes_max);
  } catch (const std::bad_alloc&) {
    Refuse("takes more memory than " + std::string(words[3]) + " bytes to compile");
  } catch (const std::exception& thrown) {
    Refuse(thrown.what());
  }
  std::fflush(stdout);
  _exit(0);
}
