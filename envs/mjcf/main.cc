// mentor-mjcf: compiles the MuJoCo model of a bundle and writes it, as MJB, to descriptor 0.
// envs/mjcf/bundle_model.cc runs it for models that no one has checked. So it is small and links
// only MuJoCo and an XML reader. It first gives up memory and CPU time beyond its bounds and, where
// the kernel has Landlock, every file but the bundle's. Its output for people goes to descriptor 1.
//
//   mentor-mjcf FOLDER FILE MEMORY_BYTES CPU_SECONDS MODEL_BYTES
#include <algorithm>
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
// The same with the copies that MuJoCo makes. A few thousand bodies have fewer; making more copies
// takes longer than their number says.
constexpr double kCopiesMax = 50'000;
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
//
// Reckons also what the model costs, since MuJoCo makes all copies of <replicate> and its kin
// before it looks at any bound.
class References {
 public:
  References(fs::path root, uint64_t model_bytes_max)
      : root_(std::move(root)), model_bytes_max_(static_cast<double>(model_bytes_max)) {}

  void Check(const fs::path& file) {
    ModelOf(file);
    while (!open_.empty()) {
      const File next = open_.back();
      open_.pop_back();
      if (seen_.insert({next.path.string(), next.model}).second) Read(next);
      if (static_cast<int>(seen_.size()) > kFilesMax)
        Refuse("includes more files than a bundle has");
    }
    // Only now are all folders known that a name may count from.
    for (const Name& name : names_) {
      Within(name.base, name);
      for (const fs::path& folder : name.texture ? texture_dirs_ : mesh_dirs_) Within(folder, name);
    }
    if (const double copies = CopiesIn(0); copies > kCopiesMax) {
      Refuse("has " + Rounded(copies) +
             " elements with the copies of replicate, composite, flexcomp and attach, at most " +
             Rounded(kCopiesMax) + "; lower their counts");
    }
    if (bytes_ > model_bytes_max_) {
      Refuse("has " + Rounded(bytes_) + " bytes in height fields and textures, at most " +
             Rounded(model_bytes_max_) + "; make them smaller");
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

  // A file to read: the root of a model, or included in one.
  struct File {
    fs::path path;
    size_t model;
    double times;  // Copies of what it has.
  };
  struct Model {
    fs::path file;
    double elements = 0;      // As written.
    double copies = 0;        // Elements that replicate, composite and flexcomp make.
    double attached = 0;      // Copies of other models.
    std::set<size_t> others;  // Models that it names.
    bool counting = false;
    double total = -1;  // All copies; negative: not counted yet.
  };

  static std::string Rounded(double value) {
    char text[32];
    std::snprintf(text, sizeof(text), value < 1e15 ? "%.0f" : "%.3g", value);
    return text;
  }

  // The number of a model, which is read later.
  size_t ModelOf(const fs::path& file) {
    for (size_t i = 0; i < models_.size(); ++i) {
      if (models_[i].file == file) return i;
    }
    models_.emplace_back().file = file;
    open_.push_back({file, models_.size() - 1, 1});
    return models_.size() - 1;
  }

  double CopiesIn(size_t number) {
    Model& model = models_[number];
    if (model.total >= 0) return model.total;
    if (std::exchange(model.counting, true))
      Refuse("'" + model.file.string() + "' is a model that has itself as a part");
    double largest = 0, total = model.copies;
    for (const size_t other : model.others) {
      total += CopiesIn(other);
      largest = std::max(largest, CopiesIn(other) + models_[other].elements);
    }
    // Which one an <attach> means is MuJoCo's to find out.
    return model.total = total + model.attached * largest;
  }

  // The product of up to three numbers.
  static double Product(const char* text) {
    double product = 1;
    for (int i = 0; i < 3; ++i) {
      char* end = nullptr;
      const double value = std::strtod(text, &end);
      if (end == text) break;
      product *= std::max(1.0, value);
      text = end;
    }
    return product;
  }

  // Counts an element of which there are so many copies. Returns how many there are of each element
  // in it.
  double Count(const pugi::xml_node& node, double times, Model* model) {
    const std::string_view kind = node.name();
    const auto number = [&](const char* name) {
      return std::max(0.0, node.attribute(name).as_double(0));
    };
    if (kind == "hfield") bytes_ += 4 * number("nrow") * number("ncol");
    if (kind == "texture") {
      const std::string_view type = node.attribute("type").value();
      bytes_ += 3 * number("width") * number("height") * (type == "2d" ? 1 : 6);
    }
    if (kind == "attach") model->attached += times;
    const bool copies = kind == "replicate" || kind == "composite" || kind == "flexcomp";
    if (copies) times *= Product(node.attribute("count").value());
    model->elements += 1;
    if (copies || times > 1) model->copies += times;
    return times;
  }

  void Read(const File& from) {
    const fs::path& file = from.path;
    const fs::path base = models_[from.model].file.parent_path();
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
    std::vector<std::pair<pugi::xml_node, double>> nodes = {{document, from.times}};
    while (!nodes.empty()) {
      const auto [node, outside] = nodes.back();
      nodes.pop_back();
      if (++elements_ > kElementsMax) Refuse("has more elements than a model needs");
      const double times = Count(node, outside, &models_[from.model]);
      Look(node, {file, from.model, times}, base);
      for (const pugi::xml_node child : node.children()) nodes.emplace_back(child, times);
    }
  }

  void Look(const pugi::xml_node& node, const File& from, const fs::path& base) {
    const fs::path& file = from.path;
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
        open_.push_back({path, from.model, from.times});
      } else if (kind == "model") {
        const size_t other = ModelOf(path);
        models_[from.model].others.insert(other);
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
  const double model_bytes_max_;
  std::set<std::pair<std::string, size_t>> seen_;  // Files, and the models that they are part of.
  std::vector<File> open_;
  std::vector<Model> models_;  // The first one is compiled.
  double bytes_ = 0;           // Height fields and textures.
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
  References references(root, model_bytes_max);
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
