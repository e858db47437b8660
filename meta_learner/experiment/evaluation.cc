#include "meta_learner/experiment/evaluation.h"

#include <algorithm>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_replace.h>

#include "agents/segment.h"
#include "common/check.h"
#include "common/evaluation_method.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/printable.h"
#include "meta_learner/experiment/outcomes.h"
#include "shards/tensor_proto.h"

namespace mentor::meta_learner {
namespace {

// Lifetimes whose signals are kept, for the report's distribution and correlation.
constexpr uint32_t kSignalLifetimes = 8;
// Enough shards at once to keep two learners busy, and few enough that an interruption loses
// little.
constexpr size_t kShardsAtOnce = 4;
constexpr std::string_view kSeedFolder = "seed-";

// They have the same names.
v1::EvaluationMethod MethodOf(v1::Baseline baseline) {
  v1::EvaluationMethod method = v1::EVALUATION_METHOD_UNSPECIFIED;
  MENTOR_CHECK(
      v1::EvaluationMethod_Parse("EVALUATION_METHOD_" + v1::Baseline_Name(baseline), &method));
  return method;
}

std::string ShardFileName(std::string_view split, v1::EvaluationMethod method, size_t index) {
  const std::string plain = absl::StrReplaceAll(NameOf(method), {{" ", "_"}, {"(", ""}, {")", ""}});
  return absl::StrFormat("%s-%s-%05d.binpb", split, plain, index);
}

std::filesystem::path ShardFile(const EvaluationJob& job, size_t index) {
  return job.folder / ShardFileName(SplitName(job.split), job.teacher.method, index);
}

v1::EvaluationShard WithoutResults(const EvaluationJob& job, size_t index, const v1::Shard& shard,
                                   const std::vector<SampledTask>& tasks) {
  v1::EvaluationShard proto;
  proto.set_taught_by(job.teacher.method);
  proto.set_split(SplitName(job.split));
  proto.set_index(static_cast<uint32_t>(index));
  proto.set_tasks(job.tasks);
  proto.set_seed(job.owner.spec.seed());
  proto.set_outer_step(job.outer_step);
  proto.set_spec_hash(job.spec_hash);
  proto.set_state_hash(job.state_hash);
  if (job.teacher.method == v1::EVALUATION_METHOD_LEARNED_AVERAGE)
    proto.set_averaged_checkpoints(job.averaged_checkpoints);
  for (const auto& lifetime : shard.lifetimes()) {
    v1::EvaluatedLifetime& row = *proto.add_lifetimes();
    row.set_number(lifetime.number());
    row.set_environment(tasks[lifetime.number()].environment);
    row.set_goal(static_cast<uint32_t>(tasks[lifetime.number()].goal));
  }
  return proto;
}

absl::Status SaveShard(const EvaluationJob& job, size_t index, const v1::Shard& shard,
                       const std::vector<SampledTask>& tasks, const ShardResult& result) {
  const uint32_t iterations = job.owner.spec.lifetime().iterations();
  const std::vector<agents::Segment> lifetime(result.segments.begin(),
                                              result.segments.begin() + iterations);
  const std::vector<LifetimeOutcome> outcomes = Outcomes(lifetime);
  std::vector<LifetimeOutcome> deterministic(outcomes.size());
  if (result.segments.size() > iterations) deterministic = Outcomes({result.segments[iterations]});
  // A lifetime's steps hold that many full episodes; where episodes end early there are more.
  for (LifetimeOutcome& outcome : deterministic) {
    const size_t asked = job.owner.spec.evaluation().deterministic_episodes();
    outcome.episode_success.resize(std::min(asked, outcome.episode_success.size()));
    outcome.episode_return.resize(std::min(asked, outcome.episode_return.size()));
  }

  v1::EvaluationShard proto = WithoutResults(job, index, shard, tasks);
  for (int i = 0; i < proto.lifetimes_size(); ++i) {
    v1::EvaluatedLifetime& row = *proto.mutable_lifetimes(i);
    for (double value : outcomes[i].episode_success) row.add_episode_success(value);
    for (double value : outcomes[i].episode_return) row.add_episode_return(value);
    for (int episodes : outcomes[i].segment_episodes)
      row.add_segment_episodes(static_cast<uint32_t>(episodes));
    for (double value : deterministic[i].episode_success) row.add_deterministic_success(value);
    for (double value : deterministic[i].episode_return) row.add_deterministic_return(value);
    if (job.teacher.source != v1::REWARD_SOURCE_SIGNAL || row.number() >= kSignalLifetimes)
      continue;
    for (const agents::Segment& segment : lifetime) {
      if (!segment.signals.defined()) continue;  // The rule has no signals.
      const auto signal = segment.signals.accessor<float, 2>();
      const auto shaped = segment.shaped_rewards.accessor<double, 2>();
      for (int64_t t = 0; t < signal.size(1); ++t) {
        row.add_signal(signal[i][t]);
        row.add_shaped(static_cast<float>(shaped[i][t]));
      }
    }
  }
  const std::filesystem::path file = ShardFile(job, index);
  MENTOR_RETURN_IF_ERROR(WriteShard(file, proto));
  return job.keep ? job.keep(file) : absl::OkStatus();
}

// The checksum stands before the other fields; protobuf accepts fields in any order.
std::string ChecksumField(uint32_t crc) {
  v1::EvaluationShard first;
  first.set_crc32c(crc);
  return first.SerializeAsString();
}

// True if the bytes are as they were written. No damaged length in front can swallow the checksum;
// a damaged tag of its own leaves an unknown field.
bool IsWhole(std::string_view bytes, const v1::EvaluationShard& shard) {
  if (!shard.has_crc32c()) return shard.GetReflection()->GetUnknownFields(shard).empty();
  const std::string field = ChecksumField(shard.crc32c());
  return bytes.starts_with(field) && Crc32c(bytes.substr(field.size())) == shard.crc32c();
}

// Evaluations of 0.1.0 name the method as text. Returns false when it is unknown.
bool GiveMethod(v1::EvaluationShard* shard) {
  if (shard->taught_by() != v1::EVALUATION_METHOD_UNSPECIFIED)
    return v1::EvaluationMethod_IsValid(shard->taught_by());
  const auto method = MethodNamed(shard->method());
  if (!method) return false;
  shard->set_taught_by(*method);
  shard->clear_method();
  return true;
}

// Checks that a shard matches the name of its file and the run of its folder.
absl::Status CheckOwner(const std::filesystem::path& file, const v1::EvaluationShard& shard,
                        const EvaluatedRun* run) {
  if (shard.spec_hash().empty()) return absl::OkStatus();  // An earlier build wrote it.
  const auto refuse = [&](const std::string& what) {
    return absl::FailedPreconditionError(absl::StrCat(
        file.string(), " ", what, "; remove it, and fetch the run again or evaluate again"));
  };
  const std::string name = ShardFileName(shard.split(), shard.taught_by(), shard.index());
  if (file.filename() != name)
    return refuse(absl::StrCat("holds what ", name, " should hold: it was copied or renamed"));
  const std::string folder = file.parent_path().filename(), own = SeedFolder(shard.seed());
  if (folder != own && folder.starts_with(kSeedFolder))
    return refuse(absl::StrCat("holds what one in ", own, " should hold: it was copied"));
  if (run == nullptr) return absl::OkStatus();
  if (shard.spec_hash() != run->spec_hash) {
    return refuse(absl::StrCat("belongs to a run of another spec (", Printable(shard.spec_hash()),
                               "); that of this folder is ", run->spec_hash));
  }
  const std::string state = run->state_hash(shard.outer_step());
  if (state.empty() || shard.state_hash() == state) return absl::OkStatus();
  return refuse(absl::StrCat("is of another run: there the hash after outer update ",
                             shard.outer_step(), " is ", Printable(shard.state_hash()),
                             ", and in this folder ", state));
}

absl::StatusOr<v1::EvaluationShard> ReadOne(const std::filesystem::path& file,
                                            const EvaluatedRun* run) {
  MENTOR_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(file, uint64_t{1} << 30));
  v1::EvaluationShard shard;
  if (!shard.ParseFromString(bytes) || !IsWhole(bytes, shard) || !GiveMethod(&shard)) {
    return absl::DataLossError(
        file.string() +
        " is damaged, or not an evaluation; fetch it again, or remove it and evaluate again; a "
        "run that has ended must run again in a new folder");
  }
  MENTOR_RETURN_IF_ERROR(CheckOwner(file, shard, run));
  shard.clear_crc32c();
  return shard;
}

// True if what an earlier start evaluated is this shard.
bool IsSame(const v1::EvaluationShard& found, v1::EvaluationShard expected, uint32_t iterations) {
  if (found.spec_hash().empty()) {  // An earlier build wrote it.
    expected.clear_spec_hash();
    expected.clear_state_hash();
  }
  v1::EvaluationShard own = found;
  own.clear_lifetimes();
  for (const v1::EvaluatedLifetime& lifetime : found.lifetimes()) {
    if (static_cast<uint32_t>(lifetime.segment_episodes_size()) != iterations) return false;
    v1::EvaluatedLifetime& row = *own.add_lifetimes();
    row.set_number(lifetime.number());
    row.set_environment(lifetime.environment());
    row.set_goal(lifetime.goal());
  }
  return own.SerializeAsString() == expected.SerializeAsString();
}

// True if an earlier start evaluated this shard. A file that is damaged, or of another shard, is
// evaluated again.
absl::StatusOr<bool> IsEvaluated(const EvaluationJob& job, const v1::EvaluationShard& expected) {
  const std::filesystem::path file = ShardFile(job, expected.index());
  const auto shard = ReadOne(file, /*run=*/nullptr);
  if (absl::IsNotFound(shard.status())) return false;
  const bool is_damaged = absl::IsDataLoss(shard.status());
  if (!shard.ok() && !is_damaged && !absl::IsFailedPrecondition(shard.status()))
    return shard.status();
  if (shard.ok() && IsSame(*shard, expected, job.owner.spec.lifetime().iterations())) return true;
  MENTOR_LOG(kWarning,
             is_damaged ? "a result is damaged; it is computed again"
                        : "a result is of another seed, run, life or task; it is computed again",
             {{"experiment", job.owner.experiment}, {"file", file.string()}});
  return false;
}

}  // namespace

Teacher TeacherOf(v1::EvaluationMethod method, const RunParameters& parameters) {
  const Teacher all[] = {
      {v1::EVALUATION_METHOD_LEARNED, v1::REWARD_SOURCE_SIGNAL, parameters.learned},
      {v1::EVALUATION_METHOD_LEARNED_BEST, v1::REWARD_SOURCE_SIGNAL, parameters.best},
      {v1::EVALUATION_METHOD_LEARNED_AVERAGE, v1::REWARD_SOURCE_SIGNAL, parameters.average},
      {v1::EVALUATION_METHOD_RANDOM_SIGNAL, v1::REWARD_SOURCE_SIGNAL, parameters.initial},
      {v1::EVALUATION_METHOD_PPO_SPARSE, v1::REWARD_SOURCE_SPARSE},
      {v1::EVALUATION_METHOD_PPO_SHAPED, v1::REWARD_SOURCE_SHAPED},
      {v1::EVALUATION_METHOD_PPO_SPARSE_AND_SHAPED, v1::REWARD_SOURCE_SPARSE_AND_SHAPED},
      {v1::EVALUATION_METHOD_PPO_POTENTIAL, v1::REWARD_SOURCE_POTENTIAL},
      {v1::EVALUATION_METHOD_PPO_RND, v1::REWARD_SOURCE_RND},
      {v1::EVALUATION_METHOD_PPO_ICM, v1::REWARD_SOURCE_ICM},
      {v1::EVALUATION_METHOD_PPO_COUNTS, v1::REWARD_SOURCE_COUNTS}};
  const Teacher* found = std::find_if(std::begin(all), std::end(all),
                                      [&](const Teacher& one) { return one.method == method; });
  MENTOR_CHECK(found != std::end(all));
  return *found;
}

std::vector<Teacher> Teachers(const v1::EvaluationSpec& spec, const RunParameters& parameters,
                              bool learned, bool baselines) {
  std::vector<v1::EvaluationMethod> methods;
  if (learned) methods.push_back(v1::EVALUATION_METHOD_LEARNED);
  if (learned && spec.best_weights()) methods.push_back(v1::EVALUATION_METHOD_LEARNED_BEST);
  if (learned && spec.averaged_checkpoints() > 0)
    methods.push_back(v1::EVALUATION_METHOD_LEARNED_AVERAGE);
  for (int i = 0; baselines && i < spec.baseline_size(); ++i)
    methods.push_back(MethodOf(spec.baseline(i)));
  std::vector<Teacher> teachers;
  for (const v1::EvaluationMethod method : methods)
    teachers.push_back(TeacherOf(method, parameters));
  return teachers;
}

uint32_t NumLifetimes(const EvaluationJob& job) {
  return static_cast<uint32_t>(
      NumEvaluationLifetimes(job.owner.benchmark, job.owner.spec, job.split));
}

double EvaluationBytes(const v1::ExperimentSpec& spec) {
  // Signal, shaped reward, success, return and flags of a step, as message and as tensors.
  constexpr double kStepBytes = 60;
  return kStepBytes * kShardsAtOnce * spec.rule().shard_lifetimes() * spec.lifetime().iterations() *
         spec.lifetime().steps_per_iteration();
}

v1::Shard FirstShard(const EvaluationJob& job) {
  const size_t lifetimes =
      std::min<size_t>(job.owner.spec.rule().shard_lifetimes(), NumLifetimes(job));
  return EvaluationShards(job.owner, std::vector<SampledTask>(std::max<size_t>(1, lifetimes)),
                          /*first_number=*/0, job.split, job.teacher.source)[0];
}

std::vector<EvaluatedTeacher> EvaluatedTeachers(const envs::Benchmark& benchmark,
                                                const v1::ExperimentSpec& spec,
                                                const RunParameters& parameters) {
  std::vector<EvaluatedTeacher> found;
  const std::vector<envs::Split> splits = EvaluatedSplits(benchmark, spec);
  for (const envs::Split split : splits) {
    for (Teacher& teacher :
         Teachers(spec.evaluation(), parameters, /*learned=*/spec.rule().outer_updates() > 0,
                  /*baselines=*/split == splits[0]))
      found.push_back({split, std::move(teacher)});
  }
  return found;
}

EvaluationCount EvaluationCost(const envs::Benchmark& benchmark, const v1::ExperimentSpec& spec) {
  uint64_t lifetimes = 0;
  for (const EvaluatedTeacher& one : EvaluatedTeachers(benchmark, spec, {}))
    lifetimes += NumEvaluationLifetimes(benchmark, spec, one.split);
  const uint64_t steps =
      uint64_t{spec.lifetime().iterations()} * spec.lifetime().steps_per_iteration();
  return {.done = static_cast<uint32_t>(lifetimes), .env_steps = lifetimes * steps};
}

absl::Status RunEvaluation(const EvaluationJob& job, ShardBoard* board,
                           const std::atomic<bool>& cancel, EvaluationCount* count,
                           const ShardBoard::OnProgress& on_progress) {
  MENTOR_ASSIGN_OR_RETURN(const std::vector<SampledTask> tasks, DrawWithin(cancel, [&job] {
                            return EvaluationTasks(job.owner.benchmark, job.owner.spec, job.split);
                          }));
  const std::vector<v1::Shard> all =
      EvaluationShards(job.owner, tasks, /*first_number=*/0, job.split, job.teacher.source);
  v1::Tensor parameters;
  if (job.teacher.parameters.defined()) parameters = shards::ToProto(job.teacher.parameters);
  for (size_t begin = 0; begin < all.size();) {
    std::vector<size_t> indices;
    std::vector<v1::Shard> shards;
    for (; begin < all.size() && shards.size() < kShardsAtOnce; ++begin) {
      MENTOR_ASSIGN_OR_RETURN(const bool is_done,
                              IsEvaluated(job, WithoutResults(job, begin, all[begin], tasks)));
      if (is_done) {
        count->done += static_cast<uint32_t>(all[begin].lifetimes_size());
        count->skipped += static_cast<uint32_t>(all[begin].lifetimes_size());
        continue;
      }
      shards.push_back(all[begin]);
      indices.push_back(begin);
    }
    if (shards.empty()) continue;
    MENTOR_ASSIGN_OR_RETURN(std::vector<ShardResult> results,
                            board->Run(std::move(shards), parameters, cancel, on_progress));
    for (size_t i = 0; i < results.size(); ++i) {
      MENTOR_RETURN_IF_ERROR(SaveShard(job, indices[i], all[indices[i]], tasks, results[i]));
      count->done += static_cast<uint32_t>(all[indices[i]].lifetimes_size());
      count->env_steps += agents::StepsOf(all[indices[i]]);
    }
  }
  return absl::OkStatus();
}

std::string SplitName(envs::Split split) {
  return split == envs::Split::kTest ? "test" : "train";
}

std::string SeedFolder(uint64_t seed) {
  return absl::StrCat(std::string(kSeedFolder), seed);
}

absl::Status WriteShard(const std::filesystem::path& file, const v1::EvaluationShard& shard) {
  const std::string bytes = shard.SerializeAsString(), field = ChecksumField(Crc32c(bytes));
  const std::string_view pieces[] = {field, bytes};
  return WriteFileAtomically(file, pieces);
}

absl::StatusOr<std::vector<v1::EvaluationShard>> ReadShards(const std::filesystem::path& folder,
                                                            const EvaluatedRun* run) {
  std::vector<v1::EvaluationShard> shards;
  const auto names = NamesIn(folder);
  if (absl::IsNotFound(names.status())) return shards;
  MENTOR_RETURN_IF_ERROR(names.status());
  for (const std::string& name : *names) {
    if (!name.ends_with(".binpb")) continue;
    MENTOR_ASSIGN_OR_RETURN(v1::EvaluationShard shard, ReadOne(folder / name, run));
    shards.push_back(std::move(shard));
  }
  return shards;
}

std::filesystem::path EvaluationFolder(const std::filesystem::path& experiment_folder) {
  return experiment_folder / "artifacts" / "evaluation";
}

absl::StatusOr<std::vector<v1::EvaluationShard>> ReadEvaluation(
    const std::filesystem::path& experiment_folder, const EvaluatedRun* run) {
  return ReadShards(EvaluationFolder(experiment_folder), run);
}

}  // namespace mentor::meta_learner
