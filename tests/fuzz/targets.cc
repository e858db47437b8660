// Targets without LibTorch: the fuzzer is built of these.
#include "tests/fuzz/targets.h"

#include <algorithm>
#include <filesystem>

#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/util/delimited_message_util.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/ctl/settings.h"
#include "cli/ctl/values.h"
#include "common/check.h"
#include "common/failpoint.h"
#include "common/options.h"
#include "common/protocol.h"
#include "common/resources/names.h"
#include "common/result_hash.h"
#include "common/rpc/auth.h"
#include "common/rpc/chunks.h"
#include "common/safetensors.h"
#include "common/spec/spec.h"
#include "learner/rollout/rollout_server.h"
#include "mentor/v1/rollout_service.pb.h"
#include "meta_learner/control/filter.h"
#include "meta_learner/store/backup.h"
#include "meta_learner/store/checkpoint.h"

namespace mentor::fuzz {
namespace {

std::vector<Target>& MutableTargets() {
  static std::vector<Target> targets;
  return targets;
}

// True for OK; an error says something.
bool Answer(const absl::Status& status) {
  if (!status.ok()) MENTOR_CHECK(!status.message().empty());
  return status.ok();
}

const Register kFilter("filter", [](std::string_view bytes) {
  const auto filter = meta_learner::ParseFilter(bytes);
  v1::Experiment experiment;
  experiment.set_name("experiments/a");
  (*experiment.mutable_labels())["team"] = "a";
  if (filter.ok() && *filter != nullptr) (*filter)(experiment);
  return Answer(filter.status());
});

const Register kSpec("spec", [](std::string_view bytes) {
  Violations violations;
  const v1::ExperimentSpec spec = ParseSpec(bytes, {}, &violations);
  if (!violations.empty()) return false;
  // An accepted spec is accepted again as printed, and is the same experiment.
  const auto again = LoadSpec(PrintSpec(spec));
  MENTOR_CHECK(again.ok());
  MENTOR_CHECK(SpecHash(*again) == SpecHash(spec));
  MENTOR_CHECK(SpecHash(WithDefaults(spec)) == SpecHash(spec));
  return true;
});

const Register kYaml("yaml", [](std::string_view bytes) {
  Violations violations;
  const v1::ExperimentSpec spec = ParseSpec(bytes, {}, &violations, nullptr, "fuzz.yaml");
  for (const Violation& violation : violations.list()) MENTOR_CHECK(!violation.description.empty());
  if (!violations.empty()) return false;
  MENTOR_CHECK(SpecHash(LoadSpec(PrintSpec(spec)).value()) == SpecHash(spec));
  return true;
});

const Register kOverride("override", [](std::string_view bytes) {
  Violations violations;
  const v1::ExperimentSpec spec =
      ParseSpec("benchmark { name: \"point_reach\" wrapper { name: \"sparse_reward\" } }",
                {std::string(bytes)}, &violations);
  if (violations.empty()) MENTOR_CHECK(LoadSpec(PrintSpec(spec)).ok());
  return violations.empty();
});

const Register kOptions("options", [](std::string_view bytes) {
  struct Config {
    double number;
    int64_t integer;
    bool flag, choice;
  };
  const auto bound = Bind<Config>({{&Config::number, "number", "1", -5, 5, ""},
                                   {&Config::integer, "integer", "1", -5, 5, ""},
                                   {&Config::flag, "flag", false, ""},
                                   {&Config::choice, "choice", {{"a", false}, {"b", true}}, ""}});
  v1::SignalSpec spec;
  const size_t middle = std::min(bytes.find('='), bytes.size());
  spec.add_option()->set_name(std::string(bytes.substr(0, middle)));
  spec.mutable_option(0)->set_value(std::string(bytes.substr(std::min(middle + 1, bytes.size()))));
  Violations violations;
  const OptionValues values =
      OptionValues::Parse(bound.table(), spec.option(), "option", &violations);
  if (!violations.empty()) return false;
  const Config config = bound.Read(values);
  MENTOR_CHECK(config.number >= -5 && config.number <= 5);
  MENTOR_CHECK(config.integer >= -5 && config.integer <= 5);
  return true;
});

const Register kSafeTensors("safetensors", [](std::string_view bytes) {
  const auto file = ReadSafeTensors(bytes);
  if (!file.ok()) return Answer(file.status());
  const std::string again = WriteSafeTensors(*file);
  const auto read = ReadSafeTensors(again);
  MENTOR_CHECK(read.ok() && read->tensors.size() == file->tensors.size());
  MENTOR_CHECK(WriteSafeTensors(*read) == again);
  return true;
});

const Register kFailpoints("failpoints", [](std::string_view bytes) {
  return Answer(failpoint::internal::Parse(bytes).status());
});

const Register kTokens("tokens", [](std::string_view bytes) {
  const auto table = rpc::TokenTable::Parse("tokens", bytes);
  if (table.ok()) table->Find(bytes.substr(0, 64));
  return Answer(table.status());
});

const Register kRoles("roles", [](std::string_view bytes) {
  return Answer(rpc::ParseRoles("roles", bytes).status());
});

const Register kConfig("config", [](std::string_view bytes) {
  return Answer(ctl::ParseConfig(std::string(bytes), "config.txtpb").status());
});

const Register kValues("values", [](std::string_view bytes) {
  const bool taken[] = {
      Answer(ctl::ParseSpan("--within", bytes).status()),
      Answer(ctl::ParseWhen("--deadline", bytes, absl::FromUnixSeconds(1'800'000'000)).status()),
      Answer(ctl::ParseLabel("--label", bytes).status()),
      Answer(ctl::ParseState("--state", bytes).status()),
      Answer(ctl::FullCheckpointName(bytes).status())};
  return std::count(std::begin(taken), std::end(taken), true) > 0;
});

const Register kNames("names", [](std::string_view bytes) {
  const auto artifact = ParseArtifactName(bytes);
  if (!artifact) return ParseCheckpointName(bytes).has_value();
  const std::filesystem::path path = artifact->second;
  MENTOR_CHECK(path.is_relative() && !path.empty());
  for (const std::filesystem::path& part : path) MENTOR_CHECK(part != ".." && part != ".");
  return true;
});

// A stream of pieces, each with its length before it.
const Register kChunks("chunks", [](std::string_view bytes) {
  constexpr size_t kMax = 1 << 16;
  rpc::Reassembler reassembler({.chunk_bytes_max = 1 << 12, .message_bytes_max = kMax});
  google::protobuf::io::ArrayInputStream stream(bytes.data(), static_cast<int>(bytes.size()));
  v1::Chunk chunk;
  while (google::protobuf::util::ParseDelimitedFromZeroCopyStream(&chunk, &stream, nullptr)) {
    const auto message = reassembler.Add(chunk);
    if (!message.ok()) return Answer(message.status());
    if (*message) MENTOR_CHECK((*message)->size() <= kMax);
    chunk.Clear();
  }
  return !reassembler.pending();
});

const Register kResult("result", [](std::string_view bytes) {
  v1::Result result;
  if (!Parse(bytes, &result)) return false;
  v1::Unit unit;
  unit.mutable_id()->set_shard(1);
  unit.set_steps(2);
  unit.mutable_policy()->set_observation_size(1);
  unit.mutable_policy()->set_action_size(1);
  // Behind the hash there are more checks.
  if (result.error().empty())
    result.set_result_hash(ResultHash(result.trajectory(), result.final_state()));
  return Answer(learner::ValidateResult(unit, result));
});

const Register kHello("hello", [](std::string_view bytes) {
  v1::Hello hello;
  return Parse(bytes, &hello) && Answer(CheckHello(hello));
});

const Register kManifest("manifest", [](std::string_view bytes) {
  const auto manifest = meta_learner::ParseManifest(bytes);
  if (!manifest.ok()) return Answer(manifest.status());
  for (const auto& [name, hash] : *manifest) {
    const std::filesystem::path path = std::filesystem::path("/backup") / name;
    MENTOR_CHECK(path.lexically_normal().string().starts_with("/backup/"));
    MENTOR_CHECK(hash.size() == 64);
  }
  return !manifest->empty();
});

const Register kCheckpoint("checkpoint", [](std::string_view bytes) {
  const int file = memfd_create("checkpoint", MFD_CLOEXEC);
  MENTOR_CHECK(file >= 0);
  MENTOR_CHECK(write(file, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  meta_learner::CheckpointInfo info;
  const auto checkpoint =
      meta_learner::ReadCheckpoint("/proc/self/fd/" + std::to_string(file), &info);
  close(file);
  if (!checkpoint.ok()) return Answer(checkpoint.status());
  MENTOR_CHECK(meta_learner::StateHash(checkpoint->sections) == info.state_hash);
  return true;
});

}  // namespace

Register::Register(const char* name, bool (*run)(std::string_view bytes), uint32_t inputs) {
  std::vector<Target>& targets = MutableTargets();
  targets.push_back({name, run, inputs});
  std::sort(targets.begin(), targets.end(),
            [](const Target& a, const Target& b) { return a.name < b.name; });
}

const std::vector<Target>& Targets() {
  return MutableTargets();
}

}  // namespace mentor::fuzz
