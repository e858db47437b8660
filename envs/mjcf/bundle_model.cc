#include "envs/mjcf/bundle_model.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include <absl/cleanup/cleanup.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/check.h"
#include "common/child_process.h"
#include "common/file.h"
#include "common/installed.h"
#include "common/pause_point.h"
#include "common/printable.h"
#include "envs/mjcf/compiler_places.h"
#include "envs/simulation.h"

namespace mentor::envs::mjcf {
namespace {

constexpr char kProgram[] = "mentor-mjcf";
constexpr size_t kWordsBytesMax = 2000;
constexpr int kKilled = 128 + 9;  // SIGKILL: from us, or from a machine without memory.
constexpr int kAtOnce = 2;        // Compilers of a process at once.

absl::StatusOr<std::string> FindCompiler() {
  std::vector<std::filesystem::path> places;
  if (const char* value = std::getenv("MENTOR_MJCF"); value != nullptr && *value != '\0') {
    places = {value};
  } else {
    const std::filesystem::path folder = ProgramFolder();
    places = {folder / kProgram, folder.parent_path() / "bin" / kProgram};
  }
  for (const std::filesystem::path& place : places) {
    std::error_code error;
    if (std::filesystem::is_regular_file(place, error)) return place.string();
  }
  return absl::NotFoundError(absl::StrCat(
      "the program ", kProgram, ", which compiles models, is not at ", places.back().string(),
      "; install Mentor again, or set MENTOR_MJCF to its path"));
}

// The end of the child's output, up to its end.
std::string LastWords(int descriptor) {
  std::string words;
  char buffer[4096];
  for (;;) {
    const ssize_t count = read(descriptor, buffer, sizeof(buffer));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    words.append(buffer, static_cast<size_t>(count));
    if (words.size() > 2 * kWordsBytesMax) words.erase(0, words.size() - kWordsBytesMax);
  }
  while (!words.empty() && (words.back() == '\n' || words.back() == ' ')) words.pop_back();
  if (words.size() > kWordsBytesMax) words = "..." + words.substr(words.size() - kWordsBytesMax);
  return PrintableLines(words);
}

std::string Ending(int status, int cpu_seconds, std::chrono::seconds wall) {
  constexpr int kSignal = 128;
  switch (status) {
    case kSignal + 24:  // SIGXCPU
      return absl::StrFormat("the compiler was ended after %d s of CPU time", cpu_seconds);
    case kKilled:
      return absl::StrFormat(
          "the compiler was ended: it took longer than %d s or more memory than "
          "there is",
          static_cast<int>(wall.count()));
    default:
      if (status > kSignal)
        return absl::StrFormat("the compiler crashed (signal %d)", status - kSignal);
      return "";
  }
}

// Returns the child's status. A pause point: returns its error when the work must end; the child
// may still run then.
absl::StatusOr<int> WaitForEnd(ChildProcess* child, std::chrono::seconds wall) {
  const auto last = std::chrono::steady_clock::now() + wall;
  while (child->handle() >= 0 && std::chrono::steady_clock::now() < last) {
    pollfd ended = {child->handle(), POLLIN, 0};
    if (poll(&ended, 1, static_cast<int>(kLook.count())) > 0) break;
    // The model is not at fault, whatever code the error has.
    if (const absl::Status goes_on = PausePoint(); !goes_on.ok())
      return absl::CancelledError(goes_on.message());
  }
  const auto rest = last - std::chrono::steady_clock::now();
  return child->Wait(std::max(std::chrono::milliseconds(0),
                              std::chrono::duration_cast<std::chrono::milliseconds>(rest)));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const mjModel>> CompileModel(const HeldBundle& bundle,
                                                            const std::string& file,
                                                            const CompilerLimits& limits) {
  MENTOR_ASSIGN_OR_RETURN(const std::string program, FindCompiler());
  const Asker& asker = CurrentAsker();
  const int cpu_seconds = asker.program_cpu_seconds == 0
                              ? limits.cpu_seconds
                              : std::min(limits.cpu_seconds, asker.program_cpu_seconds);
  static CompilerPlaces& places = *new CompilerPlaces(kAtOnce);  // Threads may outlive statics.
  MENTOR_ASSIGN_OR_RETURN(const auto place, places.Take(asker.owner));
  const auto bad = [&file](const std::string& what) {
    return absl::InvalidArgumentError(absl::StrCat("model '", file, "': ", what));
  };
  OpenedFile compiled(memfd_create("mentor-mjcf", MFD_CLOEXEC));
  int ends[2];
  if (compiled.get() < 0 || pipe2(ends, O_CLOEXEC) != 0)
    return absl::UnavailableError(absl::StrCat("cannot compile a model: ", std::strerror(errno)));
  OpenedFile words_in(ends[0]), words_out(ends[1]);

  // The child's standard input is the descriptor to which it writes the model.
  MENTOR_ASSIGN_OR_RETURN(
      std::unique_ptr<ChildProcess> child,
      ChildProcess::Start({.command = {program, std::filesystem::absolute(bundle.folder()).string(),
                                       file, absl::StrCat(limits.memory_bytes),
                                       absl::StrCat(cpu_seconds), absl::StrCat(limits.model_bytes)},
                           .folder = "/",
                           .input = compiled.get(),
                           .output = words_out.get(),
                           .group = true}));
  words_out.Close();
  std::string words;
  std::jthread listener([&words, descriptor = words_in.get()] { words = LastWords(descriptor); });
  const absl::StatusOr<int> ended = WaitForEnd(child.get(), limits.wall);
  child.reset();  // Ends it, if its caller has gone.
  listener.join();
  MENTOR_RETURN_IF_ERROR(ended.status());
  const int status = *ended;

  if (status != 0) {
    std::string why = Ending(status, cpu_seconds, limits.wall);
    if (!why.empty() && !words.empty()) why += "; its last words: ";
    why += words;
    // An overloaded machine is not the model's fault.
    if (status == kKilled) return absl::UnavailableError(absl::StrCat("model '", file, "': ", why));
    return bad(why.empty() ? absl::StrCat("the compiler ended with ", status) : why);
  }
  struct stat facts = {};
  if (fstat(compiled.get(), &facts) != 0 || facts.st_size <= 0) return bad("nothing was compiled");
  if (static_cast<uint64_t>(facts.st_size) > limits.model_bytes) {
    return bad(absl::StrCat("has ", facts.st_size, " bytes when compiled; at most ",
                            limits.model_bytes, " are taken"));
  }
  absl::StatusOr<std::shared_ptr<const mjModel>> model =
      LoadCompiledModel(absl::StrCat("/proc/self/fd/", compiled.get()));
  if (!model.ok()) return bad(std::string(model.status().message()));
  if (const absl::Status size = CheckModelSize(**model); !size.ok())
    return bad(std::string(size.message()));
  return model;
}

absl::Status CheckModelSize(const mjModel& m) {
  struct Bound {
    const char* what;
    double value, most;
  };
  const Bound bounds[] = {
      {"bodies", static_cast<double>(m.nbody), 10'000},
      {"geoms", static_cast<double>(m.ngeom), 20'000},
      {"degrees of freedom", static_cast<double>(m.nv), 1'000},
      {"actuators", static_cast<double>(m.nu), 1'000},
      {"sensor numbers", static_cast<double>(m.nsensordata), 10'000},
      {"constraints (njmax)", static_cast<double>(m.njmax), 100'000},
      {"contacts (nconmax)", static_cast<double>(m.nconmax), 100'000},
      // One step cannot be interrupted.
      {"solver iterations", static_cast<double>(m.opt.iterations), 1'000},
      {"linesearch iterations (ls_iterations)", static_cast<double>(m.opt.ls_iterations), 1'000},
      {"noslip_iterations", static_cast<double>(m.opt.noslip_iterations), 1'000},
      {"ccd_iterations", static_cast<double>(m.opt.ccd_iterations), 1'000},
      {"sdf_iterations", static_cast<double>(m.opt.sdf_iterations), 1'000},
      {"sdf_initpoints", static_cast<double>(m.opt.sdf_initpoints), 1'000},
      {m.njmax > 0 ? "bytes of simulation memory (size njmax= reserves its square; leave njmax and "
                     "nconmax out)"
                   : "bytes of simulation memory (size memory=)",
       static_cast<double>(m.narena), 256.0 * (1 << 20)}};
  std::vector<std::string> wrong;
  for (const Bound& bound : bounds) {
    if (!(bound.value <= bound.most))
      wrong.push_back(
          absl::StrFormat("%.0f %s, at most %.0f", bound.value, bound.what, bound.most));
  }
  if (m.nplugin > 0) wrong.emplace_back("plugins, which are not loaded here");
  if (!(m.opt.timestep >= 1e-6 && m.opt.timestep <= 1))
    wrong.push_back(absl::StrFormat("a timestep of %g s, give 1e-6 to 1", m.opt.timestep));
  if (m.nv == 0) wrong.emplace_back("no joints, so that nothing moves");
  if (wrong.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("has ", absl::StrJoin(wrong, "; ")));
}

}  // namespace mentor::envs::mjcf
